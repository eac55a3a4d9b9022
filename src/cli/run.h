/* A command that is run, in a sandbox of its own (`run`) or in one that lives (`sandbox exec`): its
 * options, and what came of it. run.c and sandbox_exec.c parse and orchestrate; request.c has what they
 * share; session.c holds the conversation; outcome.c tells the person or program; staged.c deals with the
 * workspace. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/connect.h"

enum workspace_mode { WORKSPACE_NONE, WORKSPACE_STAGED, WORKSPACE_DIRECT };

struct run_options {
	const char *policy; /* name or path; NULL: the default */
	const char *task;
	const char *cwd;
	const char *receipt; /* file, or "-" */
	char *workspace;     /* owned: absolute path */
	enum workspace_mode mode;
	bool commit, discard, diff, json, timing, quiet, raw, no_wait, tty;
	bool detach;         /* exec: it outlives us */
	const char *sandbox; /* exec: the sandbox, as it was named; NULL: a run */
	struct json *env;    /* owned */
	struct json *limits; /* owned; NULL without --memory and the like */
	char **argv;         /* borrowed */
	int argc;
	int policy_fd;    /* owned; -1 */
	int workspace_fd; /* owned; -1 */
};

enum run_step {
	STEP_BEGIN,
	STEP_CONNECTED,
	STEP_SENT,
	STEP_STARTED,
	STEP_DONE,
	STEP_DRAINED,
	RUN_STEPS
};

struct run_result {
	struct json *held;      /* owned: body of MSG_HELD, or NULL */
	struct json *started;   /* owned: body of MSG_STARTED, or NULL */
	struct json *done;      /* owned: body of MSG_DONE, or NULL */
	struct error error;     /* code "" when there is none */
	struct buf captured[2]; /* --json: standard output and error */
	uint64_t output[2];     /* bytes */
	bool output_limit;      /* we ended it: it printed too much */
	bool broken_pipe;       /* we ended it: nobody reads our output */
	int interrupt;          /* we ended it, because of this second interrupt; or 0 */
	int signal;             /* we left before the command started, because of this signal */
	int upper_fd;           /* owned: the scratch layer of the workspace, or -1 */
	int64_t at_ns[RUN_STEPS];
	int64_t began_ms;     /* wall clock */
	struct json *changes; /* owned: what the workspace run changed (--json) */
	const char
	    *workspace_state; /* "committed", "not applied", "discarded", "unchanged", or NULL */
};

/* Sends the request and serves the run until it ended. 0; or -errno and ERR when the run could not
 * even be asked for. C is the conversation; it may be replaced by a new one. */
int session_run(const struct run_options *o, struct connection *c, struct run_result *ret,
    struct error *err) MUST_CHECK;

/* The exit code that an error of this code means. */
int outcome_error_exit(const char *code);
/* The exit code of DESIGN section 11. */
int outcome_exit_code(const struct run_result *result);
/* Whether the command ran and ended by itself with success. */
bool outcome_success(const struct run_result *result);
/* The block that ends a failed run, on standard error. */
void outcome_explain(const struct run_options *o, const struct run_result *result);
/* The same of a run that succeeded, if the network boundary refused it anything. */
void outcome_refusals(const struct run_result *result);
void outcome_timing(const struct run_result *result);
/* The --json result, on standard output. An exit code. */
int outcome_json(const struct run_options *o, const struct run_result *result);
/* --receipt. 0 or -errno with ERR. */
int outcome_receipt(const struct run_options *o, const struct run_result *result, struct error *err)
    MUST_CHECK;
/* Frees what RESULT owns. */
void outcome_done(struct run_result *result);
/* One line on standard error for MSG_HELD. */
void outcome_held(const struct json *held);

/* After a staged run: shows, and with --commit applies, what changed. C is the conversation of the
 * run. 0, or an exit code after saying what failed. */
int staged_finish(const struct run_options *o, struct connection *c, struct run_result *result);
