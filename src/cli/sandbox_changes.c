/* `ringfence sandbox diff | commit`: two states of a sandbox's workspace as directories, which rf-workspace
 * compares, or applies to the caller's own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/letout.h"
#include "cli/request.h"
#include "cli/run.h"
#include "cli/sandbox.h"
#include "cli/tool.h"
#include "ipc/messages.h"

const struct option_spec sandbox_diff_options[] = {
    {"from", "NAME", "since this checkpoint (base: your own directory)", 0},
    {"to", "NAME", "up to this checkpoint (now)", 0},
    {"summary", NULL, "only which files", 's'},
    {"json", NULL, "print JSON", 0},
    {"help", NULL, "this text", 'h'},
    {0},
};

const struct option_spec sandbox_commit_options[] = {
    {"to", "NAME", "up to this checkpoint (now)", 0},
    {"force", NULL, "also over what you changed meanwhile", 'f'},
    {"no-wait", NULL, "end with 126 instead of waiting for a review", 0},
    {"quiet", NULL, "say nothing", 'q'},
    {"json", NULL, "print JSON", 0},
    {"help", NULL, "this text", 'h'},
    {0},
};

struct view {
	struct connection c;
	struct msg reply;     /* owned: MSG_SESSION_VIEWED */
	int from, to, layers; /* owned */
	char since[24];
};

#define VIEW_INIT                                                                           \
	{                                                                                   \
		.c = CONNECTION_INIT, .reply = MSG_INIT, .from = -1, .to = -1, .layers = -1 \
	}

static void
view_done(struct view *v)
{
	cleanup_close(&v->from);
	cleanup_close(&v->to);
	cleanup_close(&v->layers);
	msg_done(&v->reply);
	connect_done(&v->c);
}

static int
take_state(struct json *body, const char *member, const char *name, struct error *err)
{
	if (name == NULL)
		return 0;
	(void)json_set_str(body, member, name);
	return request_check_text("the checkpoint's name", name, err);
}

static int
view(struct view *v, const struct sandbox_arguments *a, struct error *err)
{
	_cleanup_json_ struct json *body = sandbox_body(a->operands[0]);
	int r = take_state(body, "from", a->from, err);
	if (r == 0)
		r = take_state(body, "to", a->to, err);
	if (r == 0)
		r = sandbox_ask(&v->c, CONNECT_JOIN, MSG_SESSION_VIEW, body, NULL, 0,
		    MSG_SESSION_VIEWED, &v->reply, err);
	if (r < 0)
		return r;
	v->from = msg_take_fd(&v->reply, 0);
	v->to = msg_take_fd(&v->reply, 1);
	v->layers = msg_take_fd(&v->reply, 2);
	if (v->from < 0 || v->to < 0)
		return error_set(err, EPROTO, "protocol", "the two states did not come");
	(void)snprintf(v->since, sizeof(v->since), "%lld",
	    (long long)json_get_int(v->reply.body, "began_ms", 0));
	return 0;
}

/* rf-workspace on the two states; FROM is borrowed. */
static struct tool
tool_of(const struct view *v, int from)
{
	struct tool tool = {.fds = {from, v->to, v->layers},
	    .arguments = {"--from-fd", "3", "--to-fd", "4", "--since", v->since, "--name",
		json_get_str(v->reply.body, "path", "workspace")}};
	if (v->layers >= 0) {
		tool.arguments[8] = "--layers-fd";
		tool.arguments[9] = "5";
		tool.arguments[10] = "--layers";
		tool.arguments[11] = json_get_str(v->reply.body, "layers", "");
	}
	return tool;
}

/* ---- diff ---- */

int
sandbox_diff(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct view v = VIEW_INIT;
	struct error err = {0};
	int r = sandbox_parse(argc, argv, sandbox_diff_options, 1, 1, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	r = view(&v, &a, &err);
	if (r == 0) {
		struct tool tool = tool_of(&v, v.from);
		const char *more[3] = {a.json ? "--json" : a.summary ? NULL : "--diff"};
		r = tool_run(&tool, "compare", more, STDOUT_FILENO, &err);
	}
	view_done(&v);
	return r < 0 ? sandbox_fail(&err) : 0;
}

/* ---- commit ---- */

/* The user's own directory, opened with the caller's own rights: it must still be the one that the sandbox
 * began with. fd or -errno. */
static int
open_own(const struct view *v, struct error *err)
{
	const char *path = json_get_str(v->reply.body, "path", "");
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat now, then;
	if (fd < 0)
		return error_set_errno(err, errno, "workspace_missing", "%.300s", path);
	if (fstat(fd, &now) == 0 && fstat(v->from, &then) == 0 && now.st_ino == then.st_ino &&
	    now.st_dev == then.st_dev)
		return fd;
	(void)close(fd);
	error_set(err, ESTALE, "workspace_missing",
	    "%.300s is another directory than when the sandbox was made", path);
	error_remedy(err, "sandbox cp copies files out");
	return -ESTALE;
}

static int
apply(const struct view *v, const struct sandbox_arguments *a, const struct tool *tool,
    const struct json *changes, struct error *err)
{
	const struct json *body = v->reply.body, *named = json_get(body, "policy");
	_cleanup_json_ struct json *policy =
	    json_type(named) == JSON_OBJECT ? json_copy(named) : NULL;
	if (policy == NULL) {
		policy = json_new_object();
		(void)json_set_str(policy, "name", json_str(named, ""));
	}
	struct letout l = {.fd = v->c.fd,
	    .workspace = json_get_str(body, "path", ""),
	    .task = json_get_str(body, "task", NULL),
	    .policy = policy,
	    .policy_fd = -1,
	    .quiet = a->quiet,
	    .json = a->json,
	    .no_wait = a->no_wait};
	const char *more[2] = {a->force ? "--force" : NULL};
	return letout_commit(&l, tool, "apply", more, changes, err);
}

static int
print_committed(struct json *changes, const char *state)
{
	(void)json_set_str(changes, "workspace", state);
	return say_json(changes);
}

static int
commit(const struct view *v, const struct sandbox_arguments *a, struct error *err)
{
	_cleanup_close_ int own = open_own(v, err);
	if (own < 0)
		return own;
	struct tool tool = tool_of(v, own);
	_cleanup_json_ struct json *changes = NULL;
	int r = tool_ask(&tool, "compare", NULL, &changes, err);
	if (r < 0)
		return r;
	bool none = json_len(json_get(changes, "changes")) == 0;
	if (none && a->json)
		return print_committed(changes, "unchanged");
	if (none && !a->quiet)
		say("nothing changed in %s", json_get_str(v->reply.body, "path", ""));
	if (none)
		return 0;
	if (!a->quiet && !a->json)
		r = tool_run(&tool, "compare", NULL, STDERR_FILENO, err);
	if (r == 0)
		r = apply(v, a, &tool, changes, err);
	return r == 0 && a->json ? print_committed(changes, "committed") : r;
}

int
sandbox_commit(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct view v = VIEW_INIT;
	struct error err = {0};
	int r = sandbox_parse(argc, argv, sandbox_commit_options, 1, 1, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	r = view(&v, &a, &err);
	if (r == 0)
		r = commit(&v, &a, &err);
	view_done(&v);
	if (r >= 0)
		return r;
	r = sandbox_fail(&err);
	int code = outcome_error_exit(err.code);
	return code == EXIT_DENIED ? code : r;
}
