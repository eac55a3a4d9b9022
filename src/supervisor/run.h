/* One run, as the files that share it see it: run.c (life and end), run_request.c (asked), run_verdict.c
 * (decided), run_sandbox.c (performed). run.c draws the states. */
#pragma once

#include "base/uuid.h"
#include "sandbox/host.h"
#include "supervisor/supervisor.h"

enum run_state { RUN_PROPOSED, RUN_BUILDING, RUN_CLAIMING, RUN_RUNNING, RUN_ENDING };

struct run {
	struct run *next;
	struct supervisor *s;
	struct conn *client; /* NULL once it left */
	uint32_t client_serial;
	enum run_state state;
	struct msg request; /* owned: its body and descriptors */
	uint32_t propose_serial;
	char task[UUID_TEXT], sandbox_id[UUID_TEXT], action_id[UUID_TEXT];
	char program[RESOLVED_MAX];
	struct sandbox *sandbox;
	struct watch *control, *pid_watch;
	struct timer *wall, *sample;
	struct timer *patience; /* with an arbiter that owes an answer */
	struct json *config, *receipt, *timing, *usage, *exit_status;
	const char *limit;
	struct error err; /* why it failed; code is empty if it did not */
	int64_t started_ns;
	int upper_fd;
	int64_t peak_bytes;
	bool told; /* the client has its result */
	bool settled;
	bool claimed;
	uint32_t kill_serial; /* the arbiter's MSG_KILL_TASK that ended it, or 0 */
	unsigned kill_count;  /* how many runs that one ended */
};

/* Goes on to STATE, which must be later than now. */
void run_set_state(struct run *run, enum run_state state);
/* A line of --timing; AT_NS is CLOCK_MONOTONIC. */
void run_mark(struct run *run, const char *step, int64_t at_ns);
/* {"action_id","task","sandbox"}; owned. */
struct json *run_body(const struct run *run);
/* The arbiter owes RUN an answer from now on; without one the run fails. run_answered: it came. */
void run_await(struct run *run);
void run_answered(struct run *run);
/* Tells the arbiter how it ended, or that it will never be performed; once. */
void run_settle(struct run *run, const char *state);
/* Tells the client how it ended; once. */
void run_tell(struct run *run);
/* What the control group counted, into usage, and the limit that explains the end, if one does. */
void run_read_usage(struct run *run);

/* Destroys the sandbox; the run is freed when pid 1 has been reaped, or now if there is none. */
void run_end(struct run *run);
void run_fail(struct run *run, const struct error *err);
void run_fail_with(struct run *run, int errnum, const char *code, const char *message);
void run_hit_limit(struct run *run, const char *limit);

void run_on_pid_end(struct watch *watch, uint32_t events, void *data);
/* Reads what rf-init said last, when it has ended. */
void run_drain_control(struct run *run);
void run_on_control(struct watch *watch, uint32_t events, void *data);
