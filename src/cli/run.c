/* `ringfence run`: options in, request out, and then whatever the outcome needs. */
#include "cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/say.h"
#include "ipc/paths.h"

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

static const struct {
	int option;
	const char *member;
	int (*parse)(const char *text, const char *what, long long *ret, struct error *err);
} limit_options[] = {
    {OPT_CPU, "cpu_millis", parse_millis},
    {OPT_MEMORY, "memory_bytes", parse_bytes},
    {OPT_PROCESSES, "processes", parse_count},
    {OPT_DISK, "disk_bytes", parse_bytes},
    {OPT_WALL, "wall_ms", parse_duration},
    {OPT_CPU_TIME, "cpu_time_ms", parse_duration},
    {OPT_OUTPUT, "output_bytes", parse_bytes},
    {OPT_OPEN_FILES, "open_files", parse_count},
};

/* ---- options ---- */

static int
add_env(struct run_options *o, const char *text, struct error *err)
{
	char name[256];
	const char *equals = strchr(text, '=');
	size_t len = equals == NULL ? strlen(text) : (size_t)(equals - text);
	bool good = len > 0 && len < sizeof(name) && (text[0] < '0' || text[0] > '9');
	for (size_t i = 0; good && i < len; i++)
		good = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'z') ||
		    (text[i] >= 'A' && text[i] <= 'Z') || text[i] == '_';
	if (!good)
		return error_set(
		    err, EINVAL, "bad_value", "--env %.60s: expected NAME=VALUE or NAME", text);
	memcpy(name, text, len);
	name[len] = 0;
	const char *value = equals == NULL ? getenv(name) : equals + 1;
	if (value == NULL)
		return error_set(
		    err, EINVAL, "bad_value", "--env %s: not set in this environment", name);
	if (o->env == NULL)
		o->env = json_new_object();
	return json_set_str(o->env, name, value) < 0
	    ? error_set(err, ENOMEM, "no_memory", "out of memory")
	    : 0;
}

/* Opens DIR or DIR:direct, DIR:staged (a directory of exactly that name wins). */
static __attribute__((noinline)) int /* its buffer stays out of the usual run's stack */
take_workspace(struct run_options *o, const char *text, struct error *err)
{
	char dir[PATH_MAX];
	size_t len = strlen(text);
	if (len >= sizeof(dir))
		return error_set(err, ENAMETOOLONG, "workspace", "--workspace: path is too long");
	memcpy(dir, text, len + 1);
	o->mode = WORKSPACE_STAGED;
	struct stat st;
	const char *colon = strrchr(text, ':');
	if (colon != NULL && stat(text, &st) < 0) {
		if (strcmp(colon, ":direct") == 0)
			o->mode = WORKSPACE_DIRECT;
		else if (strcmp(colon, ":staged") != 0)
			return error_set(err, EINVAL, "workspace",
			    "--workspace %.200s: after the colon, expected direct or staged", text);
		dir[colon - text] = 0;
	}
	cleanup_close(&o->workspace_fd);
	free(o->workspace);
	o->workspace = NULL;
	o->workspace_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->workspace_fd < 0)
		return error_set_errno(err, errno, "workspace", "--workspace %.200s", dir);
	o->workspace = realpath(dir, NULL);
	if (o->workspace == NULL)
		return error_set_errno(err, errno, "workspace", "--workspace %.200s", dir);
	if (strcmp(o->workspace, "/") == 0)
		return error_set(err, EINVAL, "workspace",
		    "--workspace /: the whole file system is no workspace");
	return 0;
}

static int
take_limit(struct run_options *o, int option, const char *value, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(limit_options); i++) {
		if (limit_options[i].option != option)
			continue;
		long long number;
		int r = limit_options[i].parse(value, run_option_table[option].name, &number, err);
		if (r < 0)
			return r;
		if (o->limits == NULL)
			o->limits = json_new_object();
		(void)json_set_int(o->limits, limit_options[i].member, number);
		return 0;
	}
	return error_set(err, EINVAL, "bad_value", "--%s", run_option_table[option].name);
}

static int
take_option(struct run_options *o, int option, const char *value, struct error *err)
{
	switch (option) {
	case OPT_POLICY:
		o->policy = value;
		return 0;
	case OPT_WORKSPACE:
		return take_workspace(o, value, err);
	case OPT_ENV:
		return add_env(o, value, err);
	case OPT_TASK:
		o->task = value;
		return 0;
	case OPT_CWD:
		o->cwd = value;
		return 0;
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
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_TIMING:
		o->timing = true;
		return 0;
	case OPT_QUIET:
		o->quiet = true;
		return 0;
	case OPT_RAW:
		o->raw = true;
		return 0;
	case OPT_WAIT:
	case OPT_NO_WAIT:
		o->no_wait = option == OPT_NO_WAIT;
		return 0;
	default:
		return take_limit(o, option, value, err);
	}
}

/* A policy given by path is opened here, by the caller's own rights. A bare word is always a name: a
 * file that happens to lie in the working directory must not replace a built-in policy. */
static int
open_policy(struct run_options *o, struct error *err)
{
	const char *text = o->policy;
	if (text == NULL || (strchr(text, '/') == NULL && strchr(text, '.') == NULL))
		return 0;
	o->policy_fd = open(text, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (o->policy_fd < 0)
		return error_set_errno(err, errno, "policy", "--policy %.200s", text);
	struct stat st;
	if (fstat(o->policy_fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(
		    err, EINVAL, "policy", "--policy %.200s: not a regular file", text);
	if (st.st_size == 0)
		return error_set(err, EINVAL, "policy", "--policy %.200s: the file is empty", text);
	if (st.st_size > 1024 * 1024)
		return error_set(err, EFBIG, "policy", "--policy %.200s: larger than 1 MiB", text);
	return 0;
}

/* Whether JSON carries TEXT unchanged. A byte that is not UTF-8 would be replaced: refuse instead. */
static int
check_text(const char *what, const char *text, struct error *err)
{
	_cleanup_json_ struct json *v = json_new_string(text);
	if (v == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	if (strcmp(json_str(v, ""), text) != 0)
		return error_set(
		    err, EILSEQ, "not_utf8", "%s is not valid UTF-8: %.60s", what, text);
	return 0;
}

static int
check_request(const struct run_options *o, struct error *err)
{
	int r = 0;
	for (int i = 0; r == 0 && i < o->argc; i++)
		for (const char *p = o->argv[i]; *p != 0; p++)
			if ((*p & 0x80) != 0) {
				r = check_text("an argument", o->argv[i], err);
				break;
			}
	for (size_t i = 0; r == 0 && i < json_len(o->env); i++) {
		const char *name = json_name_at(o->env, i),
			   *value = json_str(json_at(o->env, i), "");
		if (strstr(value, "\xef\xbf\xbd") != NULL)
			r = error_set(err, EILSEQ, "not_utf8",
			    "--env %s: the value is not valid UTF-8", name);
	}
	if (r == 0 && o->cwd != NULL)
		r = check_text("--cwd", o->cwd, err);
	if (r == 0 && o->workspace != NULL)
		r = check_text("--workspace", o->workspace, err);
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
	r = check_request(o, err);
	return r < 0 ? r : open_policy(o, err);
}

void
run_help(struct buf *out)
{
	options_help(run_option_table, out);
}

/* ---- running ---- */

static void
options_done(struct run_options *o)
{
	free(o->workspace);
	json_free(o->env);
	json_free(o->limits);
	cleanup_close(&o->policy_fd);
	cleanup_close(&o->workspace_fd);
}

static void
result_done(struct run_result *result)
{
	json_free(result->held);
	json_free(result->started);
	json_free(result->done);
	json_free(result->changes);
	buf_done(&result->captured[0]);
	buf_done(&result->captured[1]);
	cleanup_close(&result->upper_fd);
}

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
	else if (o->quiet && result->error.code[0] != 0)
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
	result_done(&result);
	options_done(&o);
	return code;
}
