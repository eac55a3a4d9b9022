/* The actions and tasks of this process, in memory.
 *
 * An action is here from its proposal until it is settled or has ended. Those that must outlive us
 * are in the store as well (`stored`), and there the state is swapped first. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "action/action.h"
#include "arbiter/generations.h"
#include "base/json.h"
#include "base/uuid.h"
#include "store/store.h"

#define ACTIONS_MAX 8192 /* live ones; more proposals are refused */
#define TASKS_MAX 8192   /* remembered ones; idle tasks are forgotten, oldest first */
#define ACTION_BUCKETS 1024

struct task {
	char id[UUID_TEXT];
	uid_t owner;
	int64_t since;  /* wall ms */
	unsigned live;  /* actions that refer to it */
	unsigned bound; /* sandboxes whose network is its */
	uint64_t calls;
	int64_t burst_since_ns; /* the window in which burst_calls were proposed */
	unsigned burst_calls;
	struct task *chain;       /* bucket */
	struct task *next, *prev; /* oldest first */
};

struct binding; /* net.h */

struct action {
	char id[UUID_TEXT];
	struct task *task; /* borrowed; counted in task->live */
	enum action_kind kind;
	enum action_state state; /* write it with action_set_state only */
	uint32_t serial;         /* of its MSG_PROPOSE */
	uid_t requester;
	struct json *record; /* owned: as proposed and completed by us (action/action.h) */
	struct json
	    *decision; /* owned: what was decided, for the verdict that comes after a review */
	char digest[SHA256_HEX];
	struct generation *generation; /* counted reference */
	uint64_t epoch;                /* kill epoch at proposal */
	bool leaves_sandbox;           /* its effect: records must be on disk before it */
	bool stored;
	bool stale;          /* the policy changed since it was decided */
	unsigned unrecorded; /* records that the ledger has not acknowledged */
	bool claim_waiting;
	bool claim_proposed; /* its proposal was the claim: the verdict is the answer */
	bool claim_recorded; /* the record of its decision says that it is claimed with it */
	uint32_t claim_serial;
	char review_id[REVIEW_ID]; /* "" when nobody reviews it */
	/* of the network: */
	struct binding
	    *binding; /* borrowed, counted in binding->live; NULL: the supervisor proposed it */
	struct json *terms;    /* owned: policy_rule_terms of the rule that permits it */
	char grant[UUID_TEXT]; /* what the vault was asked for, or granted; "": nothing */
	bool granting;         /* it has not answered */
	int64_t grant_version;
	int64_t expires_at; /* wall ms; 0: never */
	int64_t
	    deadline_ns; /* the same on the monotonic clock: a clock set back does not extend it */
	struct action *chain;
	struct action *next, *prev; /* oldest first */
};

struct actions {
	struct action *buckets[ACTION_BUCKETS];
	struct task *task_buckets[ACTION_BUCKETS];
	struct action *first, *last;
	struct task *first_task, *last_task;
	unsigned n_actions, n_tasks;
};

/* Adds an action in state PROPOSED for TASK, or NULL (out of memory). */
struct action *actions_add(struct actions *actions, const char *id, struct task *task);
struct action *actions_find(const struct actions *actions, const char *id);
/* Forgets ACTION and frees it. */
void actions_remove(struct actions *actions, struct action *action);
/* Walks the transition, which must exist (action_can_go), and traces it. */
void action_set_state(struct action *action, enum action_state to);

/* NULL if unknown. */
struct task *tasks_find(const struct actions *actions, const char *id);
/* Adds it; forgets the oldest idle one if there are too many. NULL: out of memory, or none is idle. */
struct task *tasks_add(struct actions *actions, const char *id, uid_t owner, int64_t now);
void actions_remove_all(struct actions *actions);
/* Frees everything. */
void actions_done(struct actions *actions);
