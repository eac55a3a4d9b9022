/* A commit, from the question to the record of what came of it. */
#include "cli/letout.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/run.h"
#include "cli/say.h"
#include "ipc/messages.h"
#include "ipc/msg.h"

#define CHANGES_SENT_BYTES 65536

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
request_body(const struct letout *l, const struct json *changes)
{
	struct json *body = json_new_object();
	(void)json_set(body, "changes", bounded(changes));
	(void)json_set(body, "policy", json_copy(l->policy));
	(void)json_set_str(body, "workspace", l->workspace);
	(void)json_set_str(body, "task", l->task);
	if (l->action_id != NULL)
		(void)json_set_str(body, "action_id", l->action_id);
	return body;
}

/* Waits for the arbiter's word on the commit. 0 when approved, with the file action's id in
 * RET_ACTION (owned). */
static int
await_verdict(const struct letout *l, char **ret_action, struct error *err)
{
	for (;;) {
		struct msg m = MSG_INIT;
		int r = msg_recv(l->fd, 0, &m);
		if (r == -EINTR)
			continue;
		if (r <= 0) {
			msg_done(&m);
			return error_set(
			    err, EPIPE, "supervisor_lost", "rf-supervisor ended before the commit");
		}
		const char *state = json_get_str(m.body, "state", "denied");
		bool verdict = m.type == MSG_VERDICT && strcmp(state, "reviewing") != 0;
		if (m.type == MSG_HELD && !l->quiet)
			outcome_held(m.body);
		if (m.type == MSG_HELD && l->no_wait) {
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
report(const struct letout *l, const char *action, struct json *outcome)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", action);
	(void)json_set(body, "outcome", outcome);
	struct msg reply = MSG_INIT;
	int r = msg_call(l->fd, MSG_COMMITTED, body, NULL, 0, 10000, &reply, NULL);
	if (r < 0)
		say("commit: its outcome may be missing from the ledger: rf-supervisor is gone");
	msg_done(&reply);
}

/* rf-workspace is told the digest of what was decided on. */
static int
apply(const struct tool *tool, const char *verb, const char *const *more,
    const struct json *changes, struct json **ret, struct error *err)
{
	const char *arguments[8] = {"--digest", json_get_str(changes, "digest", "")};
	for (size_t n = 2; more != NULL && *more != NULL && n + 1 < ARRAY_LEN(arguments);)
		arguments[n++] = *more++;
	return tool_ask(tool, verb, arguments, ret, err);
}

int
letout_commit(const struct letout *l, const struct tool *tool, const char *verb,
    const char *const *more, const struct json *changes, struct error *err)
{
	_cleanup_json_ struct json *body = request_body(l, changes);
	_cleanup_free_ char *action = NULL;
	if (l->policy_fd >= 0)
		(void)lseek(l->policy_fd, 0, SEEK_SET); /* the arbiter has read it once */
	int r = msg_send(l->fd, MSG_COMMIT, 2, body, &l->policy_fd, l->policy_fd >= 0 ? 1 : 0);
	if (r < 0)
		return error_set_errno(
		    err, -r, "supervisor_lost", "rf-supervisor ended before the commit");
	r = await_verdict(l, &action, err);
	if (r < 0)
		return r;
	_cleanup_json_ struct json *done = NULL;
	r = apply(tool, verb, more, changes, &done, err);
	struct json *outcome = json_new_object();
	(void)json_set_str(outcome, "result", r == 0 ? "succeeded" : "failed");
	if (r < 0)
		(void)json_set_str(outcome, "error", err->message);
	(void)json_set_int(outcome, "applied", json_get_int(done, "applied", 0));
	(void)json_set_int(outcome, "withheld", json_get_int(done, "withheld", 0));
	report(l, action, outcome);
	long long applied = (long long)json_get_int(done, "applied", 0);
	if (r == 0 && !l->quiet && !l->json)
		say("%lld change%s applied to %s", applied, applied == 1 ? "" : "s", l->workspace);
	return r;
}
