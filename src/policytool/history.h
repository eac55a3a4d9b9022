/* What the ledger says of one policy, for `policy unused`. Reads the ledger's files; needs no running
 * program. It shows, it does not verify: that is `ringfence audit verify`. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "policy/policy.h"

/* A limit of the sandbox, and what the settled actions used of it. */
struct limit_use {
	const char *name;      /* as in a policy: "memory" */
	const char *setting;   /* as in policy_sandbox: "memory_bytes" */
	const char *fields[2]; /* of an outcome's usage; the larger counts */
	int64_t (*read)(const struct json *usage, const struct limit_use *use); /* -1: not there */
	int64_t runs, max; /* how many settled actions said it, and the most */
};

struct open_action; /* history.c */

#define HISTORY_BUCKETS 4096
#define HISTORY_LIMITS 8

struct history {
	/* set by the caller */
	const struct policy *policy; /* borrowed */
	int64_t since_ms;
	/* what was found */
	struct policy_usage *usage; /* in the window */
	struct json *generations; /* {hash: decisions in the window}: those of this policy's name */
	struct json *others;      /* {policy: decisions in the window}: by other policies */
	struct json *before;      /* {rule: when it last decided, before the window} */
	struct json *reviews;     /* {rule: {"opened","approved","denied","otherwise"}} */
	struct limit_use limits[HISTORY_LIMITS];
	int64_t forks_refused; /* settled actions in which the limit of processes was hit */
	int64_t first_ms;      /* of the first record; 0: there is none */
	uint64_t first_seq;
	int64_t decisions;   /* by this policy, in the window */
	int64_t exact;       /* of these by exactly this text */
	int64_t not_records; /* lines that are no records */
	struct open_action *open[HISTORY_BUCKETS];
};

/* Prepares H, whose caller has set POLICY and SINCE_MS. 0 or -ENOMEM. */
int history_init(struct history *h) MUST_CHECK;
void history_done(struct history *h);
/* Reads the ledger in directory DIR (NULL: the state directory's). 0, or negative errno with ERR. */
int history_read(struct history *h, const char *dir, struct error *err) MUST_CHECK;
