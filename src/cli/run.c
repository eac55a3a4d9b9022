/* `ringfence run`: options in, request out, and then whatever the outcome needs. */
#include "cli/run.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/request.h"
#include "cli/say.h"

enum {
	OPT_POLICY,
	OPT_WORKSPACE,
	OPT_COMMIT,
	OPT_DISCARD,
	OPT_DIFF,
	OPT_TASK,
	OPT_ENV,
	OPT_CWD,
	OPT_JSON,
	OPT_RECEIPT,
	OPT_TIMING,
	OPT_QUIET,
	OPT_RAW,
	OPT_TTY,
	OPT_WAIT,
	OPT_NO_WAIT,
	OPT_CPU,
	OPT_MEMORY,
	OPT_PROCESSES,
	OPT_DISK,
	OPT_WALL,
	OPT_CPU_TIME,
	OPT_OUTPUT,
	OPT_OPEN_FILES,
	OPT_HELP,
};

static const struct option_spec run_option_table[] = {
    [OPT_POLICY] = {"policy", "FILE|NAME",
	"policy file, or a built-in or activated name (isolated)", 'p'},
    [OPT_WORKSPACE] = {"workspace", "DIR",
	"show DIR inside, changes staged; DIR:direct writes through", 'w'},
    [OPT_COMMIT] = {"commit", NULL, "apply the staged changes afterwards, if the command succeeded",
	0},
    [OPT_DISCARD] = {"discard", NULL, "drop the staged changes without showing them", 0},
    [OPT_DIFF] = {"diff", NULL, "show the staged changes as unified diffs", 0},
    [OPT_TASK] = {"task", "ID", "the task that this run belongs to (a new one)", 0},
    [OPT_ENV] = {"env", "NAME[=VALUE]",
	"set or pass an environment variable; all others are scrubbed", 'e'},
    [OPT_CWD] = {"cwd", "DIR", "working directory inside", 'C'},
    [OPT_JSON] = {"json", NULL, "capture the output; print one JSON result", 0},
    [OPT_RECEIPT] = {"receipt", "FILE", "write which locks engaged, with the evidence; - is stdout",
	0},
    [OPT_TIMING] = {"timing", NULL, "show where the time went, step by step", 0},
    [OPT_QUIET] = {"quiet", NULL, "no messages of ours; only the command's output", 'q'},
    [OPT_RAW] = {"raw", NULL, "pass terminal control sequences to the terminal", 0},
    [OPT_TTY] = {"tty", NULL, "a terminal inside, for an interactive program", 't'},
    [OPT_WAIT] = {"wait", NULL, "wait while the run is held for review (default)", 0},
    [OPT_NO_WAIT] = {"no-wait", NULL, "end with 126 instead of waiting for a review", 0},
    [OPT_CPU] = {"cpu", "N", "processors, 0.5 or 2; limits can only be tightened", 0},
    [OPT_MEMORY] = {"memory", "SIZE", "memory, 256MiB", 0},
    [OPT_PROCESSES] = {"processes", "N", "processes and threads", 0},
    [OPT_DISK] = {"disk", "SIZE", "scratch space", 0},
    [OPT_WALL] = {"wall", "TIME", "wall-clock time, 60s", 0},
    [OPT_CPU_TIME] = {"cpu-time", "TIME", "processor time", 0},
    [OPT_OUTPUT] = {"output", "SIZE", "standard output and error together", 0},
    [OPT_OPEN_FILES] = {"open-files", "N", "open files per process", 0},
    [OPT_HELP] = {"help", NULL, "this text", 'h'},
    {0},
};

/* ---- options ---- */

static int
take_option(struct run_options *o, int option, const char *value, struct error *err)
{
	switch (option) {
	case OPT_RECEIPT:
		o->receipt = value;
		return 0;
	case OPT_COMMIT:
		o->commit = true;
		return 0;
	case OPT_DISCARD:
		o->discard = true;
		return 0;
	case OPT_DIFF:
		o->diff = true;
		return 0;
	case OPT_WAIT:
	case OPT_NO_WAIT:
		o->no_wait = option == OPT_NO_WAIT;
		return 0;
	default:
		return request_take(o, &run_option_table[option], value, err);
	}
}

static int
check_options(struct run_options *o, struct error *err)
{
	int r = request_check(o, err);
	if (r == 0 && o->commit && o->discard)
		r = error_set(err, EINVAL, "usage", "--commit and --discard exclude each other");
	if (r == 0 && (o->commit || o->discard || o->diff) && o->mode != WORKSPACE_STAGED)
		r = error_set(err, EINVAL, "usage", "--%s needs a staged --workspace",
		    o->commit        ? "commit"
			: o->discard ? "discard"
				     : "diff");
	if (r == 0 && o->json && o->receipt != NULL && strcmp(o->receipt, "-") == 0)
		r = error_set(
		    err, EINVAL, "usage", "--receipt - and --json both want standard output");
	return r;
}

/* 0, 1 when only help was wanted, or -errno. */
static int
parse(struct run_options *o, int argc, char **argv, struct error *err)
{
	struct options options;
	options_init(&options, run_option_table, argc, argv);
	options.stop_at_operand = true;
	const char *value;
	int option, r;
	while ((option = options_next(&options, &value, err)) >= 0) {
		if (option == OPT_HELP)
			return 1;
		r = take_option(o, option, value, err);
		if (r < 0)
			return r;
	}
	if (option == OPTIONS_BAD)
		return -EINVAL;
	o->argv = argv + options.at;
	o->argc = argc - options.at;
	if (o->argc == 0) {
		error_set(err, EINVAL, "usage", "run: no command given");
		error_remedy(err, "ringfence run -- COMMAND ARGUMENTS…");
		return -EINVAL;
	}
	return check_options(o, err);
}

void
run_help(struct buf *out)
{
	options_help(run_option_table, out);
}

/* ---- running ---- */

/* Everything after the command ended. Returns the exit code. */
static int
finish(const struct run_options *o, struct connection *c, struct run_result *result)
{
	struct error err = {0};
	int code = outcome_exit_code(result), r = 0;
	if (o->mode == WORKSPACE_STAGED && result->upper_fd >= 0 && result->signal == 0)
		r = staged_finish(o, c, result);
	if (o->receipt != NULL && outcome_receipt(o, result, &err) < 0) {
		say_error(&err);
		r = r == 0 ? EXIT_RINGFENCE : r;
	}
	if (o->timing && !o->json)
		outcome_timing(result);
	if (o->json)
		r = outcome_json(o, result) != 0 ? EXIT_RINGFENCE : r;
	else if (!o->quiet && code != 0)
		outcome_explain(o, result);
	else if (!o->quiet)
		outcome_refusals(result);
	else if (result->error.code[0] != 0)
		say_error(&result->error);
	return code != 0 ? code : r;
}

/* What cannot even be asked for: one line, or with --json the same as a result. */
static int
refuse(const struct run_options *o, struct run_result *result, const struct error *err)
{
	if (o->json) {
		result->error = *err;
		(void)outcome_json(o, result);
	} else {
		say_error(err);
	}
	return EXIT_RINGFENCE;
}

int
cmd_run(int argc, char **argv)
{
	struct run_options o = {.policy_fd = -1, .workspace_fd = -1};
	struct run_result result = {.upper_fd = -1};
	struct connection c = CONNECTION_INIT;
	struct error err = {0};
	result.at_ns[STEP_BEGIN] = clock_monotonic_ns();
	result.began_ms =
	    clock_wall_ms() + 1; /* rounded up: what changed just before is no conflict */
	int code, r = parse(&o, argc, argv, &err);
	if (r == 1) {
		code = cli_help("run");
	} else if (r < 0 || connect_supervisor(CONNECT_START, &c, &err) < 0) {
		code = refuse(&o, &result, &err);
	} else {
		result.at_ns[STEP_CONNECTED] = clock_monotonic_ns();
		r = session_run(&o, &c, &result, &err);
		code = r < 0 ? refuse(&o, &result, &err) : finish(&o, &c, &result);
	}
	connect_done(&c);
	outcome_done(&result);
	request_done(&o);
	return code;
}
