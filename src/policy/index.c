/* The rule index: per kind, an array of (key, rule) sorted by key, and the rules without a key.
 *
 * A key only narrows the search: what it finds is matched in full. A rule that could match anything
 * else than its keys stands among the rest; an action whose host is not in its plain form meets every
 * rule of its kind. */
#include "policy/index.h"

#include <errno.h>
#include <string.h>

#include "policy/patterns.h"

uint32_t
index_key(const char *text, size_t len)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		h = (h ^ (unsigned char)c) * 16777619u;
	}
	return h;
}

/* The list that RULE is found by, or NULL if it has to be met by all. */
static const struct list *
key_list(const struct rule *rule)
{
	const struct list *list = NULL;
	if (rule->kind == ACTION_EXEC)
		list = &rule->programs;
	else if (rule->kind == ACTION_NET || rule->kind == ACTION_HTTP || rule->kind == ACTION_GIT)
		list = rule->addresses.n == 0 ? &rule->hosts : NULL;
	else if (rule->kind == ACTION_SQL)
		list = &rule->databases;
	if (list == NULL || list->mode != LIST_ITEMS)
		return NULL;
	for (size_t i = 0; i < list->n; i++)
		if (strchr(list->items[i], '*') != NULL)
			return NULL;
	return list;
}

static uint32_t
rule_key(const struct rule *rule, const char *text)
{
	if (rule->kind == ACTION_EXEC)
		text = exec_fold_path(text);
	return index_key(text, strlen(text));
}

static int
compare_entries(const void *a, const void *b)
{
	const struct index_entry *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

static int
build_kind(struct policy *policy, enum action_kind kind)
{
	struct rule_index *index = &policy->index[kind];
	size_t keyed = 0, rest = 0;
	for (size_t i = 0; i < policy->n_rules; i++) {
		if (policy->rules[i].kind != kind)
			continue;
		const struct list *list = key_list(&policy->rules[i]);
		keyed += list != NULL ? list->n : 0;
		rest += list == NULL;
	}
	index->keyed = arena_array(&policy->arena, keyed, sizeof(*index->keyed));
	index->rest = arena_array(&policy->arena, rest, sizeof(*index->rest));
	if (index->keyed == NULL || index->rest == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];
		if (rule->kind != kind)
			continue;
		const struct list *list = key_list(rule);
		if (list == NULL)
			index->rest[index->n_rest++] = i;
		for (size_t k = 0; list != NULL && k < list->n; k++)
			index->keyed[index->n_keyed++] =
			    (struct index_entry){rule_key(rule, list->items[k]), i};
	}
	if (index->n_keyed > 1)
		qsort(index->keyed, index->n_keyed, sizeof(*index->keyed), compare_entries);
	return 0;
}

int
index_build(struct policy *policy)
{
	for (int kind = 0; kind < ACTION_KINDS; kind++) {
		int r = build_kind(policy, (enum action_kind)kind);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The first entry of INDEX with HASH or above. */
static size_t
lower_bound(const struct rule_index *index, uint32_t hash)
{
	size_t low = 0, high = index->n_keyed;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (index->keyed[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
walk_to_key(struct index_walk *w, size_t key)
{
	w->key = key;
	w->at = key < w->subject->n_keys ? lower_bound(w->index, w->subject->keys[key]) : 0;
}

struct index_walk
index_walk(const struct policy *policy, const struct subject *s)
{
	struct index_walk w = {.policy = policy, .index = &policy->index[s->kind], .subject = s};
	walk_to_key(&w, 0);
	return w;
}

const struct rule *
index_next(struct index_walk *w)
{
	const struct subject *s = w->subject;
	const struct rule_index *index = w->index;
	for (; w->key < s->n_keys; walk_to_key(w, w->key + 1))
		if (w->at < index->n_keyed && index->keyed[w->at].hash == s->keys[w->key])
			return &w->policy->rules[index->keyed[w->at++].rule];
	/* No key: every keyed rule, then the rest, counted on by AT. */
	size_t keyed = s->n_keys == 0 ? index->n_keyed : 0;
	if (w->at < keyed)
		return &w->policy->rules[index->keyed[w->at++].rule];
	if (w->at - keyed < index->n_rest)
		return &w->policy->rules[index->rest[w->at++ - keyed]];
	return NULL;
}
