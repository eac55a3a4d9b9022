/* One command, as the files that share it see it: run.c (life and end), run_request.c (asked), run_verdict.c
 * (decided), run_sandbox.c (performed). run.c draws the states. */
#pragma once

#include "base/uuid.h"
#include "sandbox/host.h"
#include "supervisor/network.h"
#include "supervisor/policies.h"
#include "supervisor/pool.h"
#include "supervisor/session.h"
#include "supervisor/supervisor.h"

enum run_state { RUN_VIEWING, RUN_PROPOSED, RUN_BUILDING, RUN_CLAIMING, RUN_RUNNING, RUN_ENDING };

struct run {
	struct run *next;
	struct supervisor *s;
	struct conn *client; /* NULL once it left */
	uint32_t client_serial;
	enum run_state state;
	struct msg request;                    /* owned: its body */
	int stdio[3], policy_fd, workspace_fd; /* owned: its descriptors; -1 where there is none */
	struct json *policy;                   /* owned: what the proposal names */
	char policy_hash[POLICY_HASH]; /* that CONFIG is from; "" as long as it is not known */
	uint32_t receipt_serial;       /* that the ledger has not acknowledged yet, or 0 */
	uint32_t asked_serial;         /* of our question to the arbiter */
	char task[UUID_TEXT], sandbox_id[UUID_TEXT], action_id[UUID_TEXT];
	char program[RESOLVED_MAX], resolved[RESOLVED_MAX];
	char key
	    [POOL_KEY]; /* of the prepared sandboxes that fit CONFIG; "" as long as it is not known */
	struct session *session; /* whose command it is; NULL: it has a sandbox of its own */
	struct sandbox *sandbox; /* owned, or the session's */
	int64_t number;          /* of the command in its sandbox */
	struct watch *control, *pid_watch;
	struct timer *wall, *sample;
	struct timer *patience;  /* with an arbiter or an rf-init that owes an answer */
	struct network *network; /* owned: of its own sandbox, if the policy has one */
	struct json *config, *receipt, *timing, *usage, *exit_status;
	struct json *reached; /* owned: network_result, in the end */
	const char *limit;
	struct error err; /* why it failed; code is empty if it did not */
	int64_t started_ns;
	int64_t peak_bytes;
	int64_t oom_before; /* kills in the session's group before this command */
	bool again;         /* its sandbox was begun a second time */
	bool detached;      /* goes on without its client */
	bool executed;      /* rf-init started it, and has not said that it ended */
	bool told;          /* the client has its result */
	bool announced;     /* the client has MSG_STARTED */
	bool settled;
	bool claimed;
	bool gone;            /* its sandbox is, and what the gateway says of it is not there yet */
	bool delayed;         /* goes when the session's checkpoint is done */
	uint32_t kill_serial; /* the arbiter's MSG_KILL_TASK that ended it, or 0 */
};

/* Goes on to STATE, which must be later than now. */
void run_set_state(struct run *run, enum run_state state);
/* A line of --timing; AT_NS is CLOCK_MONOTONIC. */
void run_mark(struct run *run, const char *step, int64_t at_ns);
/* {"action_id","task","sandbox"}; owned. */
struct json *run_body(const struct run *run);
/* Somebody owes RUN an answer from now on; without one the run fails. run_answered: it came. */
void run_await(struct run *run);
void run_answered(struct run *run);
/* Tells the arbiter how it ended, or that it will never be performed; once. */
void run_settle(struct run *run, const char *state);
/* Tells the client how it ended; once. */
void run_tell(struct run *run);
/* What the control group counted, into usage, and the limit that explains the end, if one does. */
void run_read_usage(struct run *run);

/* Ends it: destroys its sandbox, or in a session kills the command; freed when that is so, or now if there is
 * nothing to wait for. */
void run_end(struct run *run);
void run_fail(struct run *run, const struct error *err);
void run_fail_with(struct run *run, int errnum, const char *code, const char *message);
void run_hit_limit(struct run *run, const char *limit);
/* Tells and frees: nothing of it is left. */
void run_finish(struct run *run);
/* Tells the arbiter that kill SERIAL is done, if what it ended is all gone. */
void run_report_kill(struct supervisor *s, uint32_t serial);

/* run_request.c: its policy is known (RUN->config, or not needed): finds the program and proposes. */
void run_propose(struct run *run);
/* run_verdict.c: approved: the sandbox gets its plan; another one is begun if this one is not what it needs. */
void run_build(struct run *run);
/* run_sandbox.c */
/* Its part in the network boundary has come further. */
void run_on_network(
    struct network *network, enum network_event event, const struct error *err, void *data);
/* Watches RUN's own sandbox. 0 or -errno. */
int run_watch_sandbox(struct run *run) MUST_CHECK;
/* The sandbox waits, locked, with RUN->receipt: records that and claims, or goes. */
void run_ready(struct run *run);
/* Claimed and ready: the command executes. */
void run_go(struct run *run);
/* One message of rf-init's that is about RUN. */
void run_on_init(struct run *run, struct msg *m);

void run_on_pid_end(struct watch *watch, uint32_t events, void *data);
/* Reads what rf-init said last, when it has ended. */
void run_drain_control(struct run *run);
void run_on_control(struct watch *watch, uint32_t events, void *data);
