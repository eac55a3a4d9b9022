/* Finding the rules that an action may meet: by kind, then by program, host or database. */
#pragma once

#include "policy/match.h"

/* Builds POLICY's indexes over its rules. 0 or -ENOMEM. */
int index_build(struct policy *policy) MUST_CHECK;

/* Walks the rules that S may meet; each at least once, in no particular order.
 *
 *     struct index_walk w = index_walk(policy, s);
 *     while ((rule = index_next(&w)) != NULL) … */
struct index_walk {
	const struct policy *policy;
	const struct rule_index *index;
	const struct subject *subject;
	size_t key; /* which of the subject's keys; past the last: the rest */
	size_t at;
};

struct index_walk index_walk(const struct policy *policy, const struct subject *s);
const struct rule *index_next(struct index_walk *w);

/* The key of TEXT (a program, host or database); letters in either case have one key. */
uint32_t index_key(const char *text, size_t len);
