/* `ringfence sandbox exec`: a command in a sandbox that lives, with streams, signals and exit codes as `run`
 * has them (session.c). */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/request.h"
#include "cli/run.h"
#include "cli/sandbox.h"

const struct option_spec sandbox_exec_options[] = {
    {"tty", NULL, "a terminal inside, for an interactive program", 't'},
    {"interactive", NULL, "standard input, which passes in any case", 'i'},
    {"env", "NAME[=VALUE]", "set or pass an environment variable", 'e'},
    {"cwd", "DIR", "working directory inside", 'C'},
    {"detach", NULL, "leave it running, without streams; prints its number", 'd'},
    {"wall", "TIME", "wall-clock time of this command, 60s; limits can only be tightened", 0},
    {"cpu-time", "TIME", "processor time of this command", 0},
    {"output", "SIZE", "standard output and error together", 0},
    {"json", NULL, "capture the output; print one JSON result", 0},
    {"timing", NULL, "show where the time went, step by step", 0},
    {"quiet", NULL, "no messages of ours; only the command's output", 'q'},
    {"raw", NULL, "pass terminal control sequences to the terminal", 0},
    {"no-wait", NULL, "end with 126 instead of waiting for a review", 0},
    {"help", NULL, "this text", 'h'},
    {0},
};

static int
take_option(
    struct run_options *o, const struct option_spec *spec, const char *value, struct error *err)
{
	if (strcmp(spec->name, "detach") == 0)
		o->detach = true;
	else if (strcmp(spec->name, "no-wait") == 0)
		o->no_wait = true;
	else if (strcmp(spec->name, "interactive") != 0) /* habit: -it */
		return request_take(o, spec, value, err);
	return 0;
}

static int
check(struct run_options *o, struct error *err)
{
	if (o->sandbox == NULL || o->argc == 0) {
		error_set(err, EINVAL, "usage", "sandbox exec: no %s given",
		    o->sandbox == NULL ? "sandbox" : "command");
		error_remedy(err, "ringfence sandbox exec SANDBOX -- COMMAND ARGUMENTS…");
		return -EINVAL;
	}
	if (o->detach && o->tty)
		return error_set(err, EINVAL, "usage", "--detach and --tty exclude each other");
	int r = request_check_text("the sandbox's name", o->sandbox, err);
	return r < 0 ? r : request_check(o, err);
}

/* Options may stand before and after SANDBOX, up to the command. 0, 1 when only help was wanted, or
 * -errno. */
static int
parse(struct run_options *o, int argc, char **argv, struct error *err)
{
	struct options options;
	const char *value;
	int option;
	options_init(&options, sandbox_exec_options, argc, argv);
	options.at = 2;
	options.stop_at_operand = true;
	for (;;) {
		while ((option = options_next(&options, &value, err)) >= 0) {
			if (strcmp(sandbox_exec_options[option].name, "help") == 0)
				return 1;
			int r = take_option(o, &sandbox_exec_options[option], value, err);
			if (r < 0)
				return r;
		}
		if (option == OPTIONS_BAD)
			return -EINVAL;
		if (o->sandbox != NULL || options.at >= argc)
			break;
		o->sandbox = argv[options.at++];
	}
	o->argv = argv + options.at;
	o->argc = argc - options.at;
	return check(o, err);
}

static int
say_detached(const struct run_options *o, const struct run_result *result)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 256);
	if (o->json)
		return say_json(result->started);
	(void)buf_addf(&out, "%lld\n", (long long)json_get_int(result->started, "command", 0));
	return say_out(&out);
}

static int
finish(const struct run_options *o, const struct run_result *result)
{
	if (o->detach && result->started != NULL && result->error.code[0] == 0)
		return say_detached(o, result);
	int code = outcome_exit_code(result);
	if (o->timing && !o->json)
		outcome_timing(result);
	if (o->json) {
		int r = outcome_json(o, result);
		return code != 0 || r == 0 ? code : EXIT_RINGFENCE;
	}
	if (o->quiet && result->error.code[0] != 0)
		say_error(&result->error);
	else if (!o->quiet && code != 0)
		outcome_explain(o, result);
	return code;
}

static int
refuse(const struct run_options *o, struct run_result *result, const struct error *err)
{
	result->error = *err;
	if (o->json)
		(void)outcome_json(o, result);
	else
		say_error(err);
	return EXIT_RINGFENCE;
}

static int
join(const struct run_options *o, struct connection *c, struct error *err)
{
	int r = connect_supervisor(CONNECT_JOIN, c, err);
	if (r == -ENOTCONN) {
		error_set(err, ENOTCONN, "no_such_sandbox", "no sandbox %.100s: none is running",
		    o->sandbox);
		error_remedy(err, "ringfence sandbox create makes one");
	}
	return r;
}

int
sandbox_exec(int argc, char **argv)
{
	struct run_options o = {.policy_fd = -1, .workspace_fd = -1};
	struct run_result result = {.upper_fd = -1};
	struct connection c = CONNECTION_INIT;
	struct error err = {0};
	result.at_ns[STEP_BEGIN] = clock_monotonic_ns();
	int code, r = parse(&o, argc, argv, &err);
	if (r == 1) {
		code = sandbox_verb_help("exec");
	} else if (r < 0 || join(&o, &c, &err) < 0) {
		code = refuse(&o, &result, &err);
	} else {
		result.at_ns[STEP_CONNECTED] = clock_monotonic_ns();
		r = session_run(&o, &c, &result, &err);
		code = r < 0 ? refuse(&o, &result, &err) : finish(&o, &result);
	}
	connect_done(&c);
	outcome_done(&result);
	request_done(&o);
	return code;
}
