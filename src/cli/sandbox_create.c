/* `ringfence sandbox create`: a sandbox that stays until it is killed, idle for too long, or at its end of
 * life. It is shown to nobody but its maker and root. */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/request.h"
#include "cli/run.h"
#include "cli/sandbox.h"
#include "ipc/messages.h"

const struct option_spec sandbox_create_options[] = {
    {"policy", "FILE|NAME", "policy file, or a built-in or activated name (isolated)", 'p'},
    {"workspace", "DIR", "show DIR inside, changes staged; DIR:direct writes through", 'w'},
    {"name", "NAME", "a name to call it by", 'n'},
    {"task", "ID", "the task that it belongs to (a new one)", 0},
    {"env", "NAME[=VALUE]", "set or pass an environment variable for every command in it", 'e'},
    {"user", "N", "the user id that its commands have inside (1000)", 0},
    {"idle", "TIME", "end it after so long without a command, 10m", 0},
    {"lifetime", "TIME", "end it after so long in any case, 2h", 0},
    {"cpu", "N", "processors, 0.5 or 2; limits can only be tightened", 0},
    {"memory", "SIZE", "memory, 256MiB", 0},
    {"processes", "N", "processes and threads", 0},
    {"disk", "SIZE", "scratch space", 0},
    {"wall", "TIME", "wall-clock time of each command, 60s", 0},
    {"cpu-time", "TIME", "processor time of each command", 0},
    {"output", "SIZE", "standard output and error of each command together", 0},
    {"open-files", "N", "open files per process", 0},
    {"json", NULL, "print JSON, with the receipt", 0},
    {"help", NULL, "this text", 'h'},
    {0},
};

struct creation {
	struct run_options o;
	const char *name;
	long long idle_ms, lifetime_ms; /* 0: not given */
	long long user;                 /* -1: not given */
};

/* A name must be nothing that could be an id, a path, or part of SANDBOX:PATH. */
static int
check_name(const char *name, struct error *err)
{
	size_t len =
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
	if (len == 0 || len > 63 || name[len] != 0 || name[0] == '-' || name[0] == '.')
		return error_set(err, EINVAL, "bad_value",
		    "--name %.80s: expected up to 63 letters, digits, dots, - and _", name);
	return 0;
}

static int
parse_user(const char *text, long long *ret, struct error *err)
{
	if (strcmp(text, "0") != 0)
		return parse_count(text, "user", ret, err);
	*ret = 0;
	return 0;
}

static int
take_option(
    struct creation *c, const struct option_spec *spec, const char *value, struct error *err)
{
	if (strcmp(spec->name, "name") == 0) {
		c->name = value;
		return check_name(value, err);
	}
	if (strcmp(spec->name, "idle") == 0)
		return parse_duration(value, "idle", &c->idle_ms, err);
	if (strcmp(spec->name, "lifetime") == 0)
		return parse_duration(value, "lifetime", &c->lifetime_ms, err);
	if (strcmp(spec->name, "user") == 0)
		return parse_user(value, &c->user, err);
	return request_take(&c->o, spec, value, err);
}

/* 0, 1 when only help was wanted, or -errno. */
static int
parse(struct creation *c, int argc, char **argv, struct error *err)
{
	struct options options;
	const char *value;
	int option;
	options_init(&options, sandbox_create_options, argc, argv);
	options.at = 2;
	while ((option = options_next(&options, &value, err)) != OPTIONS_END) {
		if (option == OPTIONS_BAD)
			return -EINVAL;
		if (option == OPTIONS_OPERAND) {
			error_set(err, EINVAL, "usage",
			    "sandbox create: unexpected argument %.200s", value);
			error_remedy(err, "sandbox exec runs commands in it");
			return -EINVAL;
		}
		if (strcmp(sandbox_create_options[option].name, "help") == 0)
			return 1;
		int r = take_option(c, &sandbox_create_options[option], value, err);
		if (r < 0)
			return r;
	}
	return request_check(&c->o, err);
}

static struct json *
request_body(const struct creation *c)
{
	const struct run_options *o = &c->o;
	struct json *body = json_new_object();
	(void)json_set(body, "policy", request_policy(o));
	if (o->task != NULL)
		(void)json_set_str(body, "task", o->task);
	if (o->mode != WORKSPACE_NONE)
		(void)json_set(body, "workspace", request_workspace(o));
	if (o->limits != NULL)
		(void)json_set(body, "limits", json_copy(o->limits));
	if (o->env != NULL)
		(void)json_set(body, "env", json_copy(o->env));
	if (c->name != NULL)
		(void)json_set_str(body, "name", c->name);
	if (c->user >= 0)
		(void)json_set_int(body, "user", c->user);
	if (c->idle_ms > 0)
		(void)json_set_int(body, "idle_ms", c->idle_ms);
	if (c->lifetime_ms > 0)
		(void)json_set_int(body, "lifetime_ms", c->lifetime_ms);
	return body;
}

static int
print_id(const struct json *session)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 16);
	say_add_text(&out, json_get_str(session, "sandbox", NULL));
	(void)buf_add_char(&out, '\n');
	return say_out(&out);
}

static int
create(const struct creation *c, struct error *err)
{
	_cleanup_json_ struct json *body = request_body(c);
	struct connection connection = CONNECTION_INIT;
	struct msg reply = MSG_INIT;
	int fds[2];
	unsigned n = 0;
	if (c->o.policy_fd >= 0)
		fds[n++] = c->o.policy_fd;
	if (c->o.workspace_fd >= 0)
		fds[n++] = c->o.workspace_fd;
	int r = sandbox_ask(
	    &connection, CONNECT_START, MSG_SESSION_CREATE, body, fds, n, MSG_SESSION, &reply, err);
	int code = r < 0 ? 0 : c->o.json ? say_json(reply.body) : print_id(reply.body);
	msg_done(&reply);
	connect_done(&connection);
	return r < 0 ? r : code;
}

int
sandbox_create(int argc, char **argv)
{
	struct creation c = {.o = {.policy_fd = -1, .workspace_fd = -1}, .user = -1};
	struct error err = {0};
	int r = parse(&c, argc, argv, &err);
	if (r == 1)
		r = sandbox_verb_help("create");
	else if (r == 0)
		r = create(&c, &err);
	request_done(&c.o);
	return r < 0 ? sandbox_fail(&err) : r;
}
