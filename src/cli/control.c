/* `ringfence kill | tasks | status | start | stop`: people's hand on what runs. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/options.h"
#include "cli/sandbox.h"
#include "cli/say.h"
#include "ipc/messages.h"
#include "ipc/msg.h"
#include "ipc/paths.h"

enum { OPT_JSON, OPT_HELP };

static const struct option_spec control_options[] = {
    [OPT_JSON] = {"json", NULL, "print JSON", 0},
    [OPT_HELP] = {"help", NULL, "this text", 'h'},
    {0},
};

void
control_help(struct buf *out)
{
	options_help(control_options, out);
}

struct arguments {
	bool json;
	const char *operands[3];
	int n_operands;
};

/* 0; 1 when help was printed; negative after saying what is wrong. */
static int
take_arguments(int argc, char **argv, int max_operands, struct arguments *ret)
{
	struct options options;
	struct error err = {0};
	const char *value;
	int option;
	*ret = (struct arguments){0};
	options_init(&options, control_options, argc, argv);
	while ((option = options_next(&options, &value, &err)) != OPTIONS_END) {
		if (option == OPTIONS_BAD) {
			say_error(&err);
			return -EINVAL;
		}
		if (option == OPT_HELP)
			return cli_help(argv[0]) == 0 ? 1 : -EPIPE;
		if (option == OPT_JSON) {
			ret->json = true;
		} else if (ret->n_operands == max_operands) {
			say("%s: unexpected argument %s; see ringfence help %s", argv[0], value,
			    argv[0]);
			return -EINVAL;
		} else {
			ret->operands[ret->n_operands++] = value;
		}
	}
	return 0;
}

static int
fail(const struct error *err)
{
	say_error(err);
	return EXIT_FAILURE;
}

/* One request to the arbiter (BODY is taken); its answer in RET. 0, -ENOTCONN if nothing runs, or -errno. */
static int
ask_arbiter(uint16_t type, struct json *body, int timeout_ms, struct msg *ret, struct error *err)
{
	_cleanup_json_ struct json *owned = body;
	_cleanup_close_ int fd = connect_program("arbiter", CONNECT_JOIN, err);
	return fd < 0 ? fd : msg_call(fd, type, owned, NULL, 0, timeout_ms, ret, err);
}

/* ---- kill ---- */

static int
print_killed(const struct arguments *a, const struct json *body, const char *what)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 20);
	if (a->json)
		return say_json(body);
	long long count = (long long)json_get_int(body, "count", 0);
	(void)buf_add_str(&out, "killed ");
	say_add_text(&out, what);
	if (json_get_bool(body, "unconfirmed", false))
		(void)buf_add_str(&out, " (rf-supervisor has not confirmed it yet)");
	(void)buf_addf(&out, ": %lld sandbox%s destroyed, epoch %lld\n", count,
	    count == 1 ? "" : "es", (long long)json_get_int(body, "epoch", 0));
	return say_out(&out);
}

/* Whether the supervisor at the other end of FD is gone within TIMEOUT_MS. */
static bool
is_gone(int fd, int timeout_ms)
{
	struct pollfd gone = {.fd = fd, .events = POLLIN};
	char byte;
	return poll(&gone, 1, timeout_ms) > 0 && recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) <= 0;
}

/* Where the arbiter gives no answer, the kill still has to come: rf-supervisor ends, and with it every
 * sandbox. It is told to leave first; one that cannot hear is killed. 0 or a negative errno. */
static int
kill_supervisor(struct error *err)
{
	struct connection c = CONNECTION_INIT;
	uid_t uid;
	gid_t gid;
	pid_t pid = 0;
	int r = connect_supervisor(CONNECT_JOIN, &c, err);
	if (r == 0 && (r = msg_peer(c.fd, &uid, &gid, &pid)) == 0 && kill(pid, SIGTERM) < 0)
		r = -errno;
	if (r == 0 && !is_gone(c.fd, 1000)) {
		(void)kill(pid, SIGKILL);
		r = is_gone(c.fd, 2000) ? 0 : -ETIMEDOUT;
	}
	connect_done(&c);
	if (r < 0 && err->code[0] == 0)
		return error_set_errno(err, -r, "not_killed", "cannot end rf-supervisor");
	return r;
}

/* `kill all` when the arbiter was silent. */
static int
kill_without_arbiter(const struct arguments *a)
{
	struct error err = {0};
	int r = kill_supervisor(&err);
	if (r < 0)
		return fail(&err);
	if (a->json) {
		_cleanup_json_ struct json *body = json_new_object();
		(void)json_set_bool(body, "without_arbiter", true);
		return say_json(body);
	}
	say("rf-arbiter did not answer; rf-supervisor was ended, and with it every sandbox");
	return 0;
}

int
cmd_kill(int argc, char **argv)
{
	struct arguments a;
	int r = take_arguments(argc, argv, 2, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	bool all = a.n_operands == 1 && strcmp(a.operands[0], "all") == 0;
	bool task =
	    a.n_operands == 2 && strcmp(a.operands[0], "task") == 0 && a.operands[1][0] != 0;
	if (!all && !task) {
		say("kill: expected `task ID` or `all`; `ringfence tasks` lists the tasks");
		return EXIT_BAD_USAGE;
	}
	struct json *body = json_new_object();
	if (all)
		(void)json_set_bool(body, "all", true);
	else
		(void)json_set_str(body, "task", a.operands[1]);
	struct msg reply = MSG_INIT;
	struct error err = {0};
	r = ask_arbiter(MSG_KILL, body, all ? 1500 : 10000, &reply, &err);
	if (r == -ETIMEDOUT && all) {
		r = kill_without_arbiter(&a);
	} else if (r == -ENOTCONN && all) {
		_cleanup_json_ struct json *none = json_new_object();
		(void)json_set_int(none, "count", 0);
		(void)json_set(none, "tasks", json_new_array());
		r = a.json ? say_json(none) : (say("nothing is running"), 0);
	} else {
		r = r < 0 ? fail(&err) : print_killed(&a, reply.body, all ? "all" : a.operands[1]);
	}
	msg_done(&reply);
	return r;
}

/* ---- tasks ---- */

static void
cell_time(struct table *t, int64_t ms)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm local;
	char text[64] = "-";
	if (ms > 0 && localtime_r(&seconds, &local) != NULL)
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
	table_cell(t, text);
}

static int
print_tasks(const struct json *body)
{
	const struct json *tasks = json_get(body, "tasks");
	_cleanup_buf_ struct buf out;
	buf_init(&out, 16 << 20);
	struct table t;
	table_init(&t, 6);
	table_cell(&t, "TASK");
	table_cell(&t, "STATE");
	table_cell(&t, "LIVE");
	table_cell(&t, "CALLS");
	table_cell(&t, "REQUESTER");
	table_cell(&t, "SINCE");
	for (size_t i = 0; i < json_len(tasks); i++) {
		const struct json *task = json_at(tasks, i);
		table_cell(&t, json_get_str(task, "task", NULL));
		table_cell(&t, json_get_str(task, "state", NULL));
		table_cellf(&t, "%lld", (long long)json_get_int(task, "actions", 0));
		table_cellf(&t, "%lld", (long long)json_get_int(task, "calls", 0));
		const char *name = json_get_str(task, "requester", NULL);
		if (name != NULL)
			table_cell(&t, name);
		else
			table_cellf(&t, "uid %lld", (long long)json_get_int(task, "uid", -1));
		cell_time(&t, json_get_int(task, "since", 0));
	}
	table_print(&t, &out);
	if (json_len(tasks) == 0) {
		buf_clear(&out);
		(void)buf_add_str(&out, "no tasks\n");
	}
	return say_out(&out);
}

int
cmd_tasks(int argc, char **argv)
{
	struct arguments a;
	int r = take_arguments(argc, argv, 0, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	int fd;
	struct error err = {0};
	struct msg reply = MSG_INIT;
	fd = connect_program("arbiter", CONNECT_START, &err);
	if (fd < 0)
		return fail(&err);
	r = msg_call(fd, MSG_TASKS, NULL, NULL, 0, 10000, &reply, &err);
	(void)close(fd);
	if (r < 0)
		r = fail(&err);
	else
		r = a.json ? say_json(reply.body) : print_tasks(reply.body);
	msg_done(&reply);
	return r;
}

/* ---- status ---- */

/* How many sandboxes stay, and how many commands run in them, asked on FD. */
static void
count_sessions(int fd, size_t *ret_staying, size_t *ret_commands)
{
	struct msg reply = MSG_INIT;
	struct error err;
	*ret_staying = *ret_commands = 0;
	if (msg_call(fd, MSG_SESSION_LIST, NULL, NULL, 0, 10000, &reply, &err) == 0 &&
	    sandbox_list_rest(fd, /* usage= */ false, reply.body, &err) == 0) {
		const struct json *list = json_get(reply.body, "sandboxes");
		*ret_staying = json_len(list);
		for (size_t i = 0; i < json_len(list); i++)
			*ret_commands += json_len(json_get(json_at(list, i), "commands"));
	}
	msg_done(&reply);
}

/* The supervisor's status, with the number of sandboxes that stay. 0 or -errno. */
static int
ask_status(struct msg *ret, struct error *err)
{
	struct connection c = CONNECTION_INIT;
	int r = connect_supervisor(CONNECT_JOIN, &c, err);
	if (r == 0)
		r = msg_call(c.fd, MSG_STATUS, NULL, NULL, 0, 10000, ret, err);
	if (r == 0) {
		size_t staying, commands;
		count_sessions(c.fd, &staying, &commands);
		(void)json_set_int(ret->body, "staying", (int64_t)staying);
	}
	connect_done(&c);
	return r;
}

static int
print_status(const struct json *body)
{
	const struct json *sandboxes = json_get(body, "sandboxes"),
			  *programs = json_get(body, "programs");
	_cleanup_buf_ struct buf out;
	buf_init(&out, 16 << 20);
	char state[PATHS_MAX];
	(void)buf_add_str(&out, "running, version ");
	say_add_text(&out, json_get_str(body, "version", NULL));
	(void)buf_addf(&out, ", rf-supervisor pid %lld\n", (long long)json_get_int(body, "pid", 0));
	if (paths_state_dir(state, NULL) == 0)
		(void)buf_addf(&out, "state directory %s\n", state);
	for (size_t i = 0; i < json_len(programs); i++) {
		(void)buf_add_str(&out, "  ");
		say_add_text(&out, json_get_str(json_at(programs, i), "name", NULL));
		(void)buf_addf(
		    &out, " pid %lld\n", (long long)json_get_int(json_at(programs, i), "pid", 0));
	}
	long long staying = (long long)json_get_int(body, "staying", 0);
	if (staying > 0)
		(void)buf_addf(&out, "%lld sandbox%s that stay%s: ringfence sandbox list\n",
		    staying, staying == 1 ? "" : "es", staying == 1 ? "s" : "");
	if (json_len(sandboxes) == 0) {
		if (staying == 0)
			(void)buf_add_str(&out, "no sandboxes\n");
		return say_out(&out);
	}
	struct table t;
	table_init(&t, 4);
	table_cell(&t, "SANDBOX");
	table_cell(&t, "TASK");
	table_cell(&t, "PID");
	table_cell(&t, "PROGRAM");
	for (size_t i = 0; i < json_len(sandboxes); i++) {
		const struct json *sandbox = json_at(sandboxes, i);
		table_cell(&t, json_get_str(sandbox, "sandbox", NULL));
		table_cell(&t, json_get_str(sandbox, "task", NULL));
		table_cellf(&t, "%lld", (long long)json_get_int(sandbox, "pid", 0));
		table_cell(&t, json_get_str(sandbox, "program", NULL));
	}
	table_print(&t, &out);
	return say_out(&out);
}

int
cmd_status(int argc, char **argv)
{
	struct arguments a;
	int r = take_arguments(argc, argv, 0, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	struct msg reply = MSG_INIT;
	struct error err = {0};
	r = ask_status(&reply, &err);
	if (r == -ENOTCONN && a.json) {
		_cleanup_json_ struct json *none = json_new_object();
		(void)json_set_bool(none, "running", false);
		(void)say_json(none);
		r = 1;
	} else if (r < 0) {
		r = fail(&err);
	} else if (a.json) {
		(void)json_set_bool(reply.body, "running", true);
		r = say_json(reply.body);
	} else {
		r = print_status(reply.body);
	}
	msg_done(&reply);
	return r;
}

/* ---- start, stop ---- */

int
cmd_start(int argc, char **argv)
{
	struct arguments a;
	int r = take_arguments(argc, argv, 0, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	struct connection c = CONNECTION_INIT;
	struct msg reply = MSG_INIT;
	struct error err = {0};
	r = connect_supervisor(CONNECT_STAY, &c, &err);
	bool started = c.started;
	_cleanup_json_ struct json *stay = json_new_object();
	(void)json_set_bool(stay, "stay", true); /* also one that a run started */
	if (r == 0)
		r = msg_call(c.fd, MSG_STATUS, stay, NULL, 0, 10000, &reply, &err);
	connect_done(&c);
	if (r < 0) {
		r = fail(&err);
	} else if (a.json) {
		(void)json_set_bool(reply.body, "started", started);
		r = say_json(reply.body);
	} else {
		say("%s, pid %lld", started ? "started" : "already running",
		    (long long)json_get_int(reply.body, "pid", 0));
	}
	msg_done(&reply);
	return r;
}

/* Stopping waits for what runs: says for how much. Sandboxes in which nothing runs end at once. */
static void
say_who_runs(int fd)
{
	struct msg reply = MSG_INIT;
	size_t staying, n;
	count_sessions(fd, &staying, &n);
	if (msg_call(fd, MSG_STATUS, NULL, NULL, 0, 10000, &reply, NULL) == 0)
		n += json_len(json_get(reply.body, "sandboxes"));
	if (n > 0)
		say("waiting for %zu command%s to end; `ringfence kill all` ends everything now", n,
		    n == 1 ? "" : "s");
	if (staying > 0)
		say("%zu sandbox%s that stay%s then end%s too", staying, staying == 1 ? "" : "es",
		    staying == 1 ? "s" : "", staying == 1 ? "s" : "");
	msg_done(&reply);
}

int
cmd_stop(int argc, char **argv)
{
	struct arguments a;
	int r = take_arguments(argc, argv, 0, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	struct connection c = CONNECTION_INIT;
	struct msg reply = MSG_INIT;
	struct error err = {0};
	r = connect_supervisor(CONNECT_JOIN, &c, &err);
	if (r == -ENOTCONN) {
		say("not running");
		return 0;
	}
	if (r == 0)
		say_who_runs(c.fd);
	if (r == 0)
		r = msg_call(c.fd, MSG_SHUTDOWN, NULL, NULL, 0, -1, &reply, &err);
	msg_done(&reply);
	connect_done(&c);
	return r < 0 ? fail(&err) : 0;
}
