/* The staged workspace after a run. What the agent changed lies in a scratch layer that only a
 * descriptor names; rf-workspace reads it (it is hostile: src/sandbox/workspace.h), and applies it on
 * the arbiter's word alone. Without --commit the layer goes away with us. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/cli.h"
#include "cli/run.h"
#include "cli/say.h"
#include "ipc/messages.h"
#include "ipc/msg.h"
#include "ipc/paths.h"

#define CHANGES_SENT_BYTES 65536
#define CHANGES_MAX (256u << 20) /* bytes of JSON that rf-workspace may print */

enum { TOOL_UPPER_FD = 3, TOOL_LOWER_FD = 4 };

/* A copy of FD above the numbers that the tool gets; the caller closes it. */
static int
above(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 10);
}

static int
tool_actions(posix_spawn_file_actions_t *actions, int upper, int lower, int out)
{
	int r = posix_spawn_file_actions_init(actions);
	if (r != 0)
		return r;
	if ((r = posix_spawn_file_actions_adddup2(actions, upper, TOOL_UPPER_FD)) != 0 ||
	    (r = posix_spawn_file_actions_adddup2(actions, lower, TOOL_LOWER_FD)) != 0 ||
	    (r = posix_spawn_file_actions_adddup2(actions, out, STDOUT_FILENO)) != 0 ||
	    (r = posix_spawn_file_actions_addopen(
		 actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) != 0)
		posix_spawn_file_actions_destroy(actions);
	return r;
}

struct tool {
	const struct run_options *o;
	int upper_fd;
	int64_t
	    since_ms; /* when the run began: what changed later in the user's copy is a conflict */
};

/* Starts `rf-workspace VERB` on the two layers, its standard output on OUT (borrowed). DIGEST may be
 * NULL. 0 or -errno. */
static int
spawn_tool(const struct tool *tool, const char *verb, const char *form, const char *digest, int out,
    pid_t *ret, struct error *err)
{
	char program[PATHS_MAX], since[24];
	int r = paths_program("rf-workspace", program, err);
	if (r < 0)
		return r;
	(void)snprintf(since, sizeof(since), "%lld", (long long)tool->since_ms);
	const char *argv[16] = {"rf-workspace", verb, "--upper-fd", "3", "--lower-fd", "4",
	    "--since", since, "--name", tool->o->workspace};
	size_t n = 10;
	if (form != NULL)
		argv[n++] = form;
	if (digest != NULL) {
		argv[n++] = "--digest";
		argv[n++] = digest;
	}
	_cleanup_close_ int upper = above(tool->upper_fd);
	_cleanup_close_ int lower = above(tool->o->workspace_fd);
	_cleanup_close_ int output = above(out);
	if (upper < 0 || lower < 0 || output < 0)
		return error_set_errno(err, errno, "workspace", "rf-workspace");
	posix_spawn_file_actions_t actions;
	r = tool_actions(&actions, upper, lower, output);
	if (r == 0) {
		char *args[ARRAY_LEN(argv)];
		memcpy(args, argv, sizeof(args)); /* posix_spawn(3p): it does not modify them */
		r = posix_spawn(ret, program, &actions, NULL, args, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	return r == 0 ? 0 : error_set_errno(err, r, "workspace", "cannot start %s", program);
}

static int
wait_tool(pid_t pid, const char *verb, struct error *err)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "workspace", "rf-workspace %s", verb);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return error_set(err, EIO, "workspace", "rf-workspace %s failed", verb); /* it said why */
}

static int
run_tool(const struct tool *tool, const char *verb, struct error *err)
{
	pid_t pid = 0;
	int r = spawn_tool(tool, verb, NULL, NULL, STDERR_FILENO, &pid, err);
	return r < 0 ? r : wait_tool(pid, verb, err);
}

/* What `rf-workspace VERB --json` prints; owned. */
static int
ask_tool(const struct tool *tool, const char *verb, const char *digest, struct json **ret,
    struct error *err)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "workspace", "pipe");
	pid_t pid = 0;
	int r = spawn_tool(tool, verb, "--json", digest, pipe_fds[1], &pid, err);
	(void)close(pipe_fds[1]);
	_cleanup_buf_ struct buf text;
	buf_init(&text, CHANGES_MAX);
	ssize_t n = 0;
	while (r == 0) {
		uint8_t *at = buf_reserve(&text, 65536);
		n = at == NULL ? -1 : read(pipe_fds[0], at, 65536);
		if (n < 0 && at != NULL && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_grew(&text, (size_t)n);
	}
	(void)close(pipe_fds[0]);
	if (r < 0)
		return r;
	r = wait_tool(pid, verb, err);
	if (n < 0)
		return error_set(err, EFBIG, "workspace", "the list of changes is too long");
	struct error unread;
	size_t len = text.len > 0 && text.data[text.len - 1] == '\n' ? text.len - 1 : text.len;
	struct json *answer = NULL;
	if (json_parse(buf_str(&text), len, &answer, r < 0 ? &unread : err) < 0)
		return r < 0 ? r : -EBADMSG;
	if (r < 0 && json_get(answer, "error") != NULL)
		msg_error_read(answer, err);
	if (r < 0)
		json_free(answer);
	else
		*ret = answer;
	return r;
}

/* ---- letting the changes out ---- */

/* MSG_COMMIT carries as many changes as fit a message, the counts, and the digest of all of them, so
 * that what is committed is what was decided. */
static struct json *
bounded(const struct json *changes)
{
	const struct json *list = json_get(changes, "changes");
	struct json *what = json_copy(changes), *some = json_new_array();
	_cleanup_buf_ struct buf text;
	buf_init(&text, CHANGES_SENT_BYTES);
	size_t i = 0;
	while (i < json_len(list) && json_write(json_at(list, i), &text) == 0)
		(void)json_push(some, json_copy(json_at(list, i++)));
	(void)json_set(what, "changes", some);
	(void)json_set_int(what, "omitted", (int64_t)(json_len(list) - i));
	return what;
}

static struct json *
commit_body(
    const struct run_options *o, const struct run_result *result, const struct json *changes)
{
	struct json *body = json_new_object();
	(void)json_set(body, "changes", bounded(changes));
	(void)json_set(body, "policy", run_policy(o));
	(void)json_set_str(body, "workspace", o->workspace);
	(void)json_set_str(body, "task", json_get_str(result->done, "task", NULL));
	(void)json_set_str(body, "action_id", json_get_str(result->done, "action_id", NULL));
	return body;
}

/* Waits for the arbiter's word on the commit. 0 when approved, with the file action's id in
 * RET_ACTION (owned). */
static int
await_verdict(const struct run_options *o, int fd, char **ret_action, struct error *err)
{
	for (;;) {
		struct msg m = MSG_INIT;
		int r = msg_recv(fd, 0, &m);
		if (r == -EINTR)
			continue;
		if (r <= 0) {
			msg_done(&m);
			return error_set(
			    err, EPIPE, "supervisor_lost", "rf-supervisor ended before the commit");
		}
		const char *state = json_get_str(m.body, "state", "denied");
		bool verdict = m.type == MSG_VERDICT && strcmp(state, "reviewing") != 0;
		if (m.type == MSG_HELD && !o->quiet)
			outcome_held(m.body);
		if (m.type == MSG_HELD && o->no_wait) {
			r = error_set(err, EAGAIN, "held",
			    "commit: held for review; not waiting (--no-wait)");
		} else if (m.type == MSG_ERROR) {
			msg_error_read(m.body, err);
			r = -EPERM;
		} else if (verdict &&
		    (strcmp(state, "approved") == 0 || strcmp(state, "claimed") == 0)) {
			const char *id = json_get_str(m.body, "action_id", "");
			*ret_action = strdup(id);
			r = *ret_action != NULL
			    ? 0
			    : error_set(err, ENOMEM, "no_memory", "out of memory");
		} else if (verdict) {
			const char *why = json_get_str(m.body, "comment",
			    json_get_str(
				json_get(m.body, "decision"), "reason", "no reason given"));
			r = error_set(err, EPERM, "denied", "commit: %s: %s", state, why);
		}
		msg_done(&m);
		if (r <= 0)
			return r;
	}
}

static void
report_commit(struct connection *c, const char *action, struct json *outcome)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", action);
	(void)json_set(body, "outcome", outcome);
	struct msg reply = MSG_INIT;
	int r = msg_call(c->fd, MSG_COMMITTED, body, NULL, 0, 10000, &reply, NULL);
	if (r < 0)
		say("commit: its outcome may be missing from the ledger: rf-supervisor is gone");
	msg_done(&reply);
}

static int
commit(const struct tool *tool, struct connection *c, const struct run_result *result,
    const struct json *changes, struct error *err)
{
	_cleanup_json_ struct json *body = commit_body(tool->o, result, changes);
	_cleanup_free_ char *action = NULL;
	int file = tool->o->policy_fd;
	if (file >= 0)
		(void)lseek(file, 0, SEEK_SET); /* the arbiter has read it once */
	int r = msg_send(c->fd, MSG_COMMIT, 2, body, &file, file >= 0 ? 1 : 0);
	if (r < 0)
		return error_set_errno(
		    err, -r, "supervisor_lost", "rf-supervisor ended before the commit");
	r = await_verdict(tool->o, c->fd, &action, err);
	if (r < 0)
		return r;
	_cleanup_json_ struct json *done = NULL;
	r = ask_tool(tool, "commit", json_get_str(changes, "digest", ""), &done, err);
	struct json *outcome = json_new_object();
	(void)json_set_str(outcome, "result", r == 0 ? "succeeded" : "failed");
	if (r < 0)
		(void)json_set_str(outcome, "error", err->message);
	(void)json_set_int(outcome, "applied", json_get_int(done, "applied", 0));
	(void)json_set_int(outcome, "withheld", json_get_int(done, "withheld", 0));
	report_commit(c, action, outcome);
	long long applied = (long long)json_get_int(done, "applied", 0);
	if (r == 0 && !tool->o->quiet && !tool->o->json)
		say("%lld change%s applied to %s", applied, applied == 1 ? "" : "s",
		    tool->o->workspace);
	return r;
}

/* ---- after the run ---- */

static int
show(const struct tool *tool, struct error *err)
{
	const struct run_options *o = tool->o;
	int r = o->json || o->quiet ? 0 : run_tool(tool, "summary", err);
	return r == 0 && o->diff && !o->json ? run_tool(tool, "diff", err) : r;
}

/* Shows, and commits where asked to. 0 or -errno. */
static int
deal(const struct tool *tool, struct connection *c, struct run_result *result, struct error *err)
{
	const struct run_options *o = tool->o;
	int r = ask_tool(tool, "changes", NULL, &result->changes, err);
	if (r < 0)
		return r;
	if (json_len(json_get(result->changes, "changes")) == 0) {
		result->workspace_state = "unchanged";
		return 0;
	}
	result->workspace_state = "not applied";
	r = show(tool, err);
	if (r == 0 && o->commit && outcome_success(result)) {
		r = commit(tool, c, result, result->changes, err);
		if (r == 0)
			result->workspace_state = "committed";
	} else if (r == 0 && !o->quiet && !o->json) {
		say(o->commit
			? "the command failed: its changes to %s are not applied"
			: "changes to %s are not applied; run again with --commit to apply them",
		    o->workspace);
	}
	return r;
}

int
staged_finish(const struct run_options *o, struct connection *c, struct run_result *result)
{
	struct error err = {0};
	result->workspace_state = "discarded";
	if (o->discard)
		return 0;
	struct tool tool = {.o = o, .upper_fd = result->upper_fd, .since_ms = result->began_ms};
	if (deal(&tool, c, result, &err) == 0)
		return 0;
	if (result->error.code[0] == 0 && o->json)
		result->error = err;
	else
		say_error(&err);
	return outcome_error_exit(err.code);
}
