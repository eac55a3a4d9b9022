/* What the arbiter must not forget: reviews, actions that outlive a process, call budgets, policy
 * generations, and what was seen before.
 *
 * Typed functions only; no SQL outside this folder. The backend is SQLite (WAL; decisions of people
 * and generations are synced before they are answered, budgets survive the death of a process). A
 * second backend, PostgreSQL, will implement the same header when several nodes share one store.
 *
 * Every change of state is a compare-and-swap: it names the state it starts from, and a second one
 * that starts from the same state gets -ESTALE and changes nothing. Times are wall-clock ms.
 *
 * Errors: 0 or negative errno; -ESTALE (the state was another), -ENOENT, -EEXIST, -EBUSY (another
 * connection holds the database for longer than STORE_BUSY_MS), -ENOSPC, -EIO, -EUCLEAN (damaged). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "action/action.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"
#include "base/uuid.h"

#define STORE_BUSY_MS 2000
#define REVIEW_ID 9 /* 8 hexadecimal digits and the NUL */
#define REVIEW_ROLES_MAX 8

struct store;

/* What a change survives when it has returned: the death of this process, or a power cut as well. */
enum store_durability { STORE_KILL_SAFE, STORE_ON_DISK };

/* Opens or makes PATH (mode 0600), and brings its tables up to date. *RET is owned. */
int store_open(const char *path, struct store **ret, struct error *err) MUST_CHECK;
/* Opens PATH, which must exist, for reading only: for tools, beside a running arbiter. Call it with the
 * rights of the store's owner and no more: SQLite makes files beside it, and gives them to its owner. */
int store_open_to_read(const char *path, struct store **ret, struct error *err) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct store *store_close(struct store *store);

/* ---- actions ---- */

/* One action as it is stored. Strings are borrowed when written, and valid only during the callback
 * when read. */
struct store_action {
	const char *id;
	const char *task;
	const char *kind;
	const char *target;
	enum action_state state;
	uid_t requester;
	uid_t owner; /* of the task */
	const char *digest;
	const char *policy_hash;
	const char *policy_name;
	int64_t epoch;
	int64_t created_at;
	int64_t expires_at; /* 0: never */
	const char *record; /* canonical JSON of what is asked: {"kind","request","target"} */
};

/* Call budgets to reserve from: one call each. A limit of 0 or less means there is none. */
struct store_budget {
	const char *task_key;
	int64_t per_task;
	const char *day_key;
	int64_t per_day;
};

enum store_budget_hit { BUDGET_OK, BUDGET_TASK, BUDGET_DAY };

/* Writes a new action and reserves its calls, or does neither: -EDQUOT with the budget that is used
 * up in RET_HIT. BUDGET may be NULL. */
int store_action_put(struct store *store, const struct store_action *action,
    const struct store_budget *budget, enum store_budget_hit *ret_hit) MUST_CHECK;

/* Moves action ID, which nobody has claimed, from FROM to TO, and gives its reserved calls back where
 * it ends there. COMMENT and BY (who ended it) may be NULL.
 * Also refuses (-EINVAL) what the state machine does not have. */
int store_action_move(struct store *store, const char *id, enum action_state from,
    enum action_state to, int64_t now, const char *comment, const char *by) MUST_CHECK;

/* APPROVED → CLAIMED while NOW is before its expiry: -ETIME when it is not, -ESTALE when another
 * claim or an end came first. Record and digest as stored come back for the caller's check. */
int store_action_claim(struct store *store, const char *id, enum store_durability durability,
    int64_t now, struct buf *ret_record, char ret_digest[SHA256_HEX]) MUST_CHECK;

/* CLAIMED → TO (SUCCEEDED, FAILED or UNKNOWN), and counts the reserved calls as used. A claimed action
 * may be performing: the store does not tell the two apart. */
int store_action_settle(struct store *store, const char *id, enum action_state to, int64_t now)
    MUST_CHECK;

/* What a process that ended left behind: claimed and performing become UNKNOWN (never tried again),
 * what waited becomes EXPIRED or INVALIDATED, since its requester's conversation is gone. FN is
 * called for each, with the new state. */
typedef void store_action_fn(const struct store_action *action, void *data);
int store_sweep(struct store *store, int64_t now, store_action_fn *fn, void *data) MUST_CHECK;

/* Calls used and reserved under a budget key. */
int store_budget_read(
    struct store *store, const char *key, int64_t *ret_used, int64_t *ret_reserved) MUST_CHECK;

/* ---- reviews ---- */

struct store_review {
	char review_id[REVIEW_ID];
	struct store_action action;
	const char *decision; /* canonical JSON of the decision; carries rule, reasons, risk */
	const char *roles[REVIEW_ROLES_MAX]; /* needed, one person for each */
	unsigned n_roles;
	bool self_approve;
	int64_t ended_at;     /* 0 while open */
	const char *comment;  /* of who ended it; may be NULL */
	const char *ended_by; /* may be NULL */
};

struct store_approval {
	const char *role;
	uid_t uid;
	const char *name;
	int64_t at;
	const char *comment; /* may be NULL */
	bool conventional;   /* the approver is the requester */
};

/* Writes the action (state REVIEWING) with its review and reserves its calls, as store_action_put.
 * The review's id is chosen here. */
int store_review_open(struct store *store, struct store_review *review,
    const struct store_budget *budget, enum store_budget_hit *ret_hit) MUST_CHECK;

/* One review with its approvals in order: FN is called once. ID is a review's or an action's id.
 * -ENOENT if there is none. */
typedef void store_review_fn(const struct store_review *review,
    const struct store_approval *approvals, unsigned n_approvals, void *data);
int store_review_get(struct store *store, const char *id, store_review_fn *fn, void *data)
    MUST_CHECK;
/* All that are open, oldest first; with ALL also those that ended, at most LIMIT, newest first. */
int store_review_each(
    struct store *store, bool all, unsigned limit, store_review_fn *fn, void *data) MUST_CHECK;

/* Adds APPROVAL, and with the last one moves the action to APPROVED (*RET_COMPLETE).
 * Which of the needed roles it fills is approval->role. In one transaction:
 * -ESTALE (no longer open), -ETIME (expired), -EEXIST (this person approved before), -EADDRINUSE
 * (the role is filled), -EINVAL (the role is not needed). */
int store_review_approve(struct store *store, const char *review_id,
    const struct store_approval *approval, int64_t now, bool *ret_complete) MUST_CHECK;

/* ---- policy generations ---- */

struct store_generation {
	int64_t id;
	const char *name;
	const char *hash;
	int64_t activated_at;
	int64_t ended_at; /* 0 while active */
	const char *by;
	bool active;
	bool rolled_back;
};

/* Makes TEXT the active generation of NAME, in one transaction. RET_PREVIOUS gets the hash that was
 * active, or "". Activating what is active already changes nothing. */
int store_policy_activate(struct store *store, const char *name, const char *hash, const char *text,
    size_t len, const char *by, int64_t now, char ret_previous[SHA256_HEX]) MUST_CHECK;
/* Goes back one step: the generation before the active one becomes active. -ENOENT if NAME has no
 * active generation, -ENODATA if there is none before it. */
int store_policy_rollback(struct store *store, const char *name, const char *by, int64_t now,
    char ret_hash[SHA256_HEX], char ret_previous[SHA256_HEX]) MUST_CHECK;
/* The active generation's text. -ENOENT if there is none. */
int store_policy_active(struct store *store, const char *name, struct buf *ret_text,
    char ret_hash[SHA256_HEX]) MUST_CHECK;
/* The text that was activated as HASH at some time. -ENOENT if there is none. */
int store_policy_text(struct store *store, const char *hash, struct buf *ret_text) MUST_CHECK;
/* Newest first; NAME may be NULL for all. */
typedef void store_generation_fn(const struct store_generation *generation, void *data);
int store_policy_history(struct store *store, const char *name, store_generation_fn *fn, void *data)
    MUST_CHECK;

/* ---- memory ---- */

/* Whether KEY was remembered. 1, 0, or negative errno. */
int store_knows(struct store *store, const char *key) MUST_CHECK;
int store_remember(struct store *store, const char *key, int64_t now) MUST_CHECK;
