/* `ringfence sandbox VERB`: the table of verbs, and how they ask. A sandbox goes by its id, the beginning of
 * it, or its name; the supervisor knows the first and the last, the beginning is looked up here. */
#include "cli/sandbox.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "ipc/messages.h"

#define LATER_MAX 250 /* times LATER_MS: five seconds */
#define LATER_MS 20
#define ASK_MS 30000

struct verb {
	const char *name;
	const char *usage; /* after the name */
	const char *summary;
	sandbox_fn *run;
	const struct option_spec *options;
};

/* clang-format off */
static const struct verb verbs[] = {
    {"create", "[options]", "make a sandbox that stays; prints its id",
	sandbox_create, sandbox_create_options},
    {"list", "[options]", "list the sandboxes", sandbox_list, sandbox_list_options},
    {"exec", "SANDBOX [options] [--] COMMAND…", "run a command in it",
	sandbox_exec, sandbox_exec_options},
    {"kill", "SANDBOX…", "end it and everything in it, now", sandbox_kill, sandbox_plain_options},
    {"pause", "SANDBOX…", "stop everything in it where it stands", sandbox_pause, sandbox_plain_options},
    {"resume", "SANDBOX…", "let it go on", sandbox_resume, sandbox_plain_options},
    {"read", "SANDBOX PATH", "copy a file of it to standard output",
	sandbox_read, sandbox_read_options},
    {"write", "SANDBOX PATH", "make a file in it from standard input",
	sandbox_write, sandbox_write_options},
    {"ls", "SANDBOX [PATH]", "list a directory of it", sandbox_ls, sandbox_ls_options},
    {"cp", "SANDBOX:PATH LOCAL | LOCAL SANDBOX:PATH", "copy files out of it, or into it",
	sandbox_cp, sandbox_cp_options},
    {"diff", "SANDBOX [--from NAME] [--to NAME]", "what changed in its workspace",
	sandbox_diff, sandbox_diff_options},
    {"checkpoint", "SANDBOX [make | list | drop] [NAME]", "remember the state of its workspace",
	sandbox_checkpoint, sandbox_json_options},
    {"rollback", "SANDBOX NAME", "take its workspace back to a checkpoint",
	sandbox_rollback, sandbox_json_options},
    {"commit", "SANDBOX", "apply what changed in its workspace to yours",
	sandbox_commit, sandbox_commit_options},
    {"inspect", "SANDBOX", "its locks, limits, use and commands", sandbox_inspect, sandbox_json_options},
    {"top", "[options]", "what the sandboxes use, again and again", sandbox_top, sandbox_list_options},
    {0},
};
/* clang-format on */

const struct option_spec sandbox_plain_options[] = {
    {"help", NULL, "this text", 'h'},
    {0},
};

const struct option_spec sandbox_json_options[] = {
    {"json", NULL, "print JSON", 0},
    {"help", NULL, "this text", 'h'},
    {0},
};

/* The verb NAME, or the end of the table, which has no name. */
static const struct verb *
find_verb(const char *name)
{
	const struct verb *v = verbs;
	while (v->name != NULL && strcmp(v->name, name) != 0)
		v++;
	return v;
}

/* ---- help and arguments ---- */

static int
unknown_verb(const char *name)
{
	const char *near = nearest_name(name, &verbs[0].name, sizeof(verbs[0]));
	if (near != NULL)
		say("unknown command sandbox %.60s; did you mean %s?", name, near);
	else
		say("unknown command sandbox %.60s; see ringfence help sandbox", name);
	return EXIT_BAD_USAGE;
}

void
sandbox_help(struct buf *out)
{
	for (const struct verb *v = verbs; v->name != NULL; v++)
		(void)buf_addf(out, "  %-10s %s\n", v->name, v->summary);
	(void)buf_add_str(out,
	    "\nA sandbox goes by its id, the beginning of it, or its name. "
	    "Each has --help.\n\n"
	    "  id=$(ringfence sandbox create --workspace .)\n"
	    "  ringfence sandbox exec $id -- make test\n"
	    "  ringfence sandbox exec $id -t -- bash\n");
}

int
sandbox_verb_help(const char *name)
{
	const struct verb *v = find_verb(name);
	_cleanup_buf_ struct buf out = {0};
	if (v->name == NULL)
		return unknown_verb(name);
	buf_init(&out, 1 << 16);
	(void)buf_addf(
	    &out, "usage: ringfence sandbox %s %s\n\n%s\n\n", v->name, v->usage, v->summary);
	options_help(v->options, &out);
	return say_out(&out);
}

static const struct {
	const char *option;
	size_t at;
	bool flag; /* a bool, else a string */
} argument_options[] = {
    {"json", offsetof(struct sandbox_arguments, json), true},
    {"raw", offsetof(struct sandbox_arguments, raw), true},
    {"all", offsetof(struct sandbox_arguments, all), true},
    {"once", offsetof(struct sandbox_arguments, once), true},
    {"quiet", offsetof(struct sandbox_arguments, quiet), true},
    {"recursive", offsetof(struct sandbox_arguments, recursive), true},
    {"force", offsetof(struct sandbox_arguments, force), true},
    {"no-wait", offsetof(struct sandbox_arguments, no_wait), true},
    {"summary", offsetof(struct sandbox_arguments, summary), true},
    {"long", offsetof(struct sandbox_arguments, long_form), true},
    {"mode", offsetof(struct sandbox_arguments, mode), false},
    {"from", offsetof(struct sandbox_arguments, from), false},
    {"to", offsetof(struct sandbox_arguments, to), false},
    {"max", offsetof(struct sandbox_arguments, max), false},
};

static void
take_argument(struct sandbox_arguments *a, const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(argument_options); i++) {
		if (strcmp(argument_options[i].option, name) != 0)
			continue;
		char *at = (char *)a + argument_options[i].at;
		if (argument_options[i].flag)
			*(bool *)at = true;
		else
			memcpy(at, &value, sizeof(value));
	}
}

int
sandbox_parse(int argc, char **argv, const struct option_spec *table, int min, int max,
    struct sandbox_arguments *ret)
{
	struct options options;
	struct error err = {0};
	const char *value;
	int option;
	*ret = (struct sandbox_arguments){0};
	options_init(&options, table, argc, argv);
	options.at = 2;
	while ((option = options_next(&options, &value, &err)) != OPTIONS_END) {
		if (option == OPTIONS_BAD) {
			say_error(&err);
			return -EINVAL;
		}
		if (option != OPTIONS_OPERAND && strcmp(table[option].name, "help") == 0)
			return sandbox_verb_help(argv[1]) == 0 ? 1 : -EPIPE;
		if (option != OPTIONS_OPERAND) {
			take_argument(ret, table[option].name, value);
		} else if (ret->n_operands == max) {
			say("sandbox %s: unexpected argument %.200s; usage: ringfence sandbox %s "
			    "%s",
			    argv[1], value, argv[1], find_verb(argv[1])->usage);
			return -EINVAL;
		} else {
			ret->operands[ret->n_operands++] = value;
		}
	}
	if (ret->n_operands >= min)
		return 0;
	say("sandbox %s: too few arguments; usage: ringfence sandbox %s %s", argv[1], argv[1],
	    find_verb(argv[1])->usage);
	return -EINVAL;
}

int
sandbox_fail(const struct error *err)
{
	static const char *const named[] = {"no_such_sandbox", "ambiguous", "usage",
	    "unknown_option", "option_value", "bad_value", "no_such_checkpoint", "policy",
	    "workspace_missing", "not_utf8"};
	say_error(err);
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (strcmp(err->code, named[i]) == 0)
			return EXIT_BAD_USAGE;
	return EXIT_FAILURE;
}

/* ---- which sandbox ---- */

struct json *
sandbox_body(const char *sandbox)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "sandbox", sandbox);
	return body;
}

bool
sandbox_is_unknown(const struct error *err)
{
	return strcmp(err->code, "no_such_sandbox") == 0;
}

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Of SANDBOXES the one that GIVEN means; NULL if none or several do; how many in RET_N. */
static const struct json *
find_sandbox(const struct json *sandboxes, const char *given, size_t *ret_n)
{
	const struct json *found = NULL;
	*ret_n = 0;
	for (size_t i = 0; given[0] != 0 && i < json_len(sandboxes); i++) {
		const struct json *s = json_at(sandboxes, i);
		const char *id = json_get_str(s, "sandbox", ""),
			   *name = json_get_str(s, "name", "");
		if (strcmp(id, given) == 0 || strcmp(name, given) == 0) {
			*ret_n = 1;
			return s;
		}
		if (begins(id, given)) {
			found = s;
			++*ret_n;
		}
	}
	return *ret_n == 1 ? found : NULL;
}

/* The name among SANDBOXES that may have been meant, or NULL. */
static const char *
near_name(const struct json *sandboxes, const char *given)
{
	size_t n = json_len(sandboxes), used = 0;
	const char **names = calloc(n + 1, sizeof(*names));
	if (names == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *name = json_get_str(json_at(sandboxes, i), "name", NULL);
		if (name != NULL)
			names[used++] = name;
	}
	const char *near = nearest_name(given, names, sizeof(*names));
	free(names);
	return near;
}

/* Fills ERR with why GIVEN is no sandbox that lives. */
static int
explain_unknown(const struct json *body, const char *given, struct error *err)
{
	const struct json *sandboxes = json_get(body, "sandboxes");
	size_t n;
	const struct json *ended = find_sandbox(json_get(body, "ended"), given, &n);
	const char *near = near_name(sandboxes, given);
	if (ended != NULL)
		error_set(err, ENOENT, "no_such_sandbox", "sandbox %.100s has ended: %.300s", given,
		    json_get_str(ended, "why", "unknown why"));
	else
		error_set(err, ENOENT, "no_such_sandbox", "no sandbox %.100s", given);
	if (near != NULL)
		error_remedy(err, "did you mean %.100s?", near);
	else if (json_len(sandboxes) == 0)
		error_remedy(err, "ringfence sandbox create makes one");
	else
		error_remedy(err, "ringfence sandbox list shows those that live");
	return -ENOENT;
}

int
sandbox_list_rest(int fd, bool usage, struct json *body, struct error *err)
{
	struct json *all = json_get(body, "sandboxes");
	while (json_get_int(body, "omitted", 0) > 0 && json_len(all) > 0) {
		const struct json *last = json_at(all, json_len(all) - 1);
		_cleanup_json_ struct json *ask = json_new_object();
		struct msg reply = MSG_INIT;
		(void)json_set_bool(ask, "usage", usage);
		(void)json_set_str(ask, "after", json_get_str(last, "sandbox", ""));
		int r = msg_call(fd, MSG_SESSION_LIST, ask, NULL, 0, ASK_MS, &reply, err);
		if (r < 0)
			return r;
		const struct json *more = json_get(reply.body, "sandboxes");
		for (size_t i = 0; i < json_len(more); i++)
			(void)json_push(all, json_copy(json_at(more, i)));
		(void)json_set_int(body, "omitted",
		    json_len(more) == 0 ? 0 : json_get_int(reply.body, "omitted", 0));
		msg_done(&reply);
	}
	json_unset(body, "omitted");
	return 0;
}

int
sandbox_resolve(int fd, const char *given, char ret[SANDBOX_NAME_MAX], struct error *err)
{
	struct msg reply = MSG_INIT;
	size_t n = 0;
	int r = msg_call(fd, MSG_SESSION_LIST, NULL, NULL, 0, ASK_MS, &reply, err);
	if (r == 0)
		r = sandbox_list_rest(fd, /* usage= */ false, reply.body, err);
	if (r == 0) {
		const struct json *found =
		    find_sandbox(json_get(reply.body, "sandboxes"), given, &n);
		if (found != NULL) {
			(void)snprintf(
			    ret, SANDBOX_NAME_MAX, "%s", json_get_str(found, "sandbox", ""));
		} else if (n > 1) {
			r = error_set(err, ENOTUNIQ, "ambiguous", "%zu sandboxes begin with %.100s",
			    n, given);
			error_remedy(err, "ringfence sandbox list shows longer ids");
		} else {
			r = explain_unknown(reply.body, given, err);
		}
	}
	msg_done(&reply);
	return r;
}

size_t
sandbox_short_id(const struct json *sandboxes, const char *id)
{
	size_t len = strlen(id), need = 8;
	for (size_t i = 0; i < json_len(sandboxes); i++) {
		const char *other = json_get_str(json_at(sandboxes, i), "sandbox", "");
		size_t same = 0;
		while (id[same] != 0 && id[same] == other[same])
			same++;
		if (same < len)
			need = MAX(need, same + 1);
	}
	return MIN(need, len);
}

/* ---- asking ---- */

/* Whether the request was turned away for a reason that passes. */
static bool
is_passing(int r, const struct error *err)
{
	static const struct timespec pause = {.tv_nsec = LATER_MS * 1000000L};
	bool passing = r == -EREMOTEIO &&
	    (strcmp(err->code, "leaving") == 0 || strcmp(err->code, "not_ready") == 0);
	if (passing)
		(void)nanosleep(&pause, NULL);
	return passing || r == -ECONNRESET || r == -EPIPE;
}

static int
no_programs(const struct json *body, struct error *err)
{
	const char *sandbox = json_get_str(body, "sandbox", NULL);
	if (sandbox != NULL) {
		error_set(
		    err, ENOENT, "no_such_sandbox", "no sandbox %.100s: none is running", sandbox);
		error_remedy(err, "ringfence sandbox create makes one");
	}
	return -ENOTCONN;
}

int
sandbox_ask(struct connection *c, enum connect_mode mode, uint16_t type, struct json *body,
    const int *fds, unsigned n_fds, uint16_t reply, struct msg *ret, struct error *err)
{
	bool resolved = false;
	for (int i = 0;; i++) {
		int r = c->fd >= 0 ? 0 : connect_supervisor(mode, c, err);
		if (r == -ENOTCONN)
			return no_programs(body, err);
		if (r < 0)
			return r;
		r = msg_call(c->fd, type, body, fds, n_fds, ASK_MS, ret, err);
		connect_settled(c);
		const char *given = json_get_str(body, "sandbox", NULL);
		if (r == -EREMOTEIO && sandbox_is_unknown(err) && given != NULL && !resolved) {
			char name[SANDBOX_NAME_MAX];
			msg_done(ret);
			r = sandbox_resolve(c->fd, given, name, err);
			if (r < 0)
				return r;
			(void)json_set_str(body, "sandbox", name);
			resolved = true;
		} else if (i < LATER_MAX && is_passing(r, err)) {
			msg_done(ret);
			connect_done(c);
		} else if (r == 0 && ret->type != reply) {
			return error_set(err, EPROTO, "protocol",
			    "rf-supervisor answered with message %u", ret->type);
		} else {
			return r;
		}
	}
}

void
sandbox_add_age(struct buf *out, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}};
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (ms >= 2 * units[i].ms || i + 1 == ARRAY_LEN(units)) {
			(void)buf_addf(out, "%lld %s",
			    (long long)(MAX(ms, (int64_t)0) / units[i].ms), units[i].unit);
			return;
		}
}

/* ---- the command ---- */

int
cmd_sandbox(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cli_help("sandbox");
	const struct verb *verb = find_verb(argv[1]);
	if (verb->name != NULL)
		return verb->run(argc, argv);
	return unknown_verb(argv[1]);
}
