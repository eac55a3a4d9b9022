/* Letting a staged workspace out: a file action like any other. The caller applies the changes, with
 * the caller's own rights, only after the arbiter said so and recorded it durably; we carry the
 * question and the outcome.
 *
 *   ASKED ─approved→ CLAIMING ─claimed→ PERFORMING ─MSG_COMMITTED→ gone
 *     └ reviewing: MSG_HELD; anything else: MSG_ERROR, gone */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/uuid.h"
#include "ipc/messages.h"
#include "supervisor/supervisor.h"
#include "supervisor/verdict.h"

#define PATHS_BYTES_MAX (48 * 1024) /* of paths in one action record */

enum commit_state { COMMIT_ASKED, COMMIT_CLAIMING, COMMIT_PERFORMING };

struct commit {
	struct commit *next;
	struct supervisor *s;
	struct conn *client;
	uint32_t client_serial, propose_serial;
	enum commit_state state;
	char action_id[UUID_TEXT], task[UUID_TEXT];
	struct json *verdict; /* what the client gets once claimed */
};

static void
commit_free(struct commit *commit)
{
	struct supervisor *s = commit->s;
	for (struct commit **at = &s->commits; *at != NULL; at = &(*at)->next)
		if (*at == commit) {
			*at = commit->next;
			break;
		}
	json_free(commit->verdict);
	free(commit);
	clients_consider_idle(s);
}

static void
settle(struct commit *commit, const char *state, const struct json *outcome)
{
	if (commit->s->arbiter.conn == NULL || commit->action_id[0] == 0)
		return;
	struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", commit->action_id);
	bool claimed = commit->state == COMMIT_PERFORMING;
	if (claimed) {
		(void)json_set_str(body, "state", state);
		(void)json_set(
		    body, "outcome", outcome == NULL ? json_new_object() : json_copy(outcome));
	}
	(void)conn_send_take(commit->s->arbiter.conn, claimed ? MSG_SETTLE : MSG_WITHDRAW, 0, body);
}

static void
refuse(struct commit *commit, const struct error *err)
{
	(void)conn_send_error(commit->client, commit->client_serial, err);
	commit_free(commit);
}

/* {"target","request":{"operation":"commit","paths":[…],"bytes","content"}} from what rf-workspace listed. The
 * whole list is in the digest of the changes. A list too long for a record is cut, and the policy, which sees
 * that "changes" is more than the paths, does not permit by path then. */
static struct json *
make_action(const struct json *body)
{
	const struct json *changes = json_get(body, "changes"),
			  *list = json_get(changes, "changes");
	struct json *action = json_new_object(), *request = json_new_object(),
		    *paths = json_new_array();
	size_t bytes = 0;
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *path = json_get(json_at(list, i), "path");
		bytes += json_str_len(path) + 4;
		if (bytes > PATHS_BYTES_MAX)
			break;
		(void)json_push(paths, json_new_string(json_str(path, "")));
	}
	(void)json_set_str(request, "operation", "commit");
	(void)json_set(request, "paths", paths);
	(void)json_set_int(request, "bytes", json_get_int(changes, "bytes", 0));
	/* Of the whole list with the contents: what is approved is exactly this. */
	(void)json_set_str(request, "content", json_get_str(changes, "digest", ""));
	(void)json_set_str(action, "kind", "file");
	(void)json_set_str(action, "target", json_get_str(body, "workspace", "workspace"));
	(void)json_set(action, "request", request);
	(void)json_set_str(action, "effect", "write");
	(void)json_set_bool(action, "reversible", false);
	if (json_get_str(body, "task", NULL) != NULL)
		(void)json_set_str(action, "task", json_get_str(body, "task", NULL));
	struct json *facts = json_new_object();
	(void)json_set_int(
	    facts, "changes", (int64_t)json_len(list) + json_get_int(changes, "omitted", 0));
	(void)json_set(action, "facts", facts);
	return action;
}

int
commit_on_request(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	const struct json *policy = json_get(m->body, "policy");
	bool file = json_get_str(policy, "file", NULL) != NULL;
	if (s->arbiter.conn == NULL || s->leaving)
		(void)error_set(&err, EAGAIN, "not_ready", "the arbiter is being restarted");
	else if (json_len(json_get(m->body, "changes")) == 0 || policy == NULL ||
	    m->n_fds != (file ? 1u : 0u))
		(void)error_set(
		    &err, EINVAL, "bad_request", "a commit names its changes and its policy");
	struct commit *commit = err.code[0] != 0 ? NULL : calloc(1, sizeof(*commit));
	if (commit == NULL)
		return err.code[0] != 0 ? conn_send_error(conn, m->serial, &err) : -ENOMEM;
	commit->s = s;
	commit->client = conn;
	commit->client_serial = m->serial;
	(void)snprintf(commit->task, sizeof(commit->task), "%s", json_get_str(m->body, "task", ""));
	commit->next = s->commits;
	s->commits = commit;
	s->idle = timer_cancel(s->idle);
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set(body, "action", make_action(m->body));
	(void)json_set(body, "policy", json_copy(policy));
	(void)json_set_int(body, "requester_uid", conn_uid(conn));
	commit->propose_serial = conn_next_serial(s->arbiter.conn);
	if (conn_send(s->arbiter.conn, MSG_PROPOSE, commit->propose_serial, body, m->fds,
		file ? 1 : 0) < 0) {
		(void)error_set(&err, EIO, "internal", "the arbiter cannot be asked");
		refuse(commit, &err);
	}
	return 0;
}

int
commit_on_done(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	const char *id = json_get_str(m->body, "action_id", "");
	for (struct commit *commit = s->commits; commit != NULL; commit = commit->next)
		if (commit->client == conn && commit->state == COMMIT_PERFORMING &&
		    strcmp(commit->action_id, id) == 0) {
			const struct json *outcome = json_get(m->body, "outcome");
			bool failed = json_get(outcome, "error") != NULL;
			settle(commit, failed ? "failed" : "succeeded", outcome);
			if (!failed)
				checkpoint_committed(s, commit->task);
			commit_free(commit);
			return conn_send(conn, MSG_OK, m->serial, NULL, NULL, 0);
		}
	struct error err;
	(void)error_set(&err, ENOENT, "bad_request", "no such commit is being performed");
	return conn_send_error(conn, m->serial, &err);
}

void
commit_on_client_closed(struct conn *conn)
{
	struct supervisor *s = conn_data(conn);
	for (struct commit *commit = s->commits, *next; commit != NULL; commit = next) {
		next = commit->next;
		if (commit->client != conn)
			continue;
		settle(commit, "unknown", NULL); /* it may or may not have been applied */
		commit_free(commit);
	}
}

static void
forward_held(struct commit *commit, const struct msg *m)
{
	struct json *held = json_new_object();
	(void)json_set_str(held, "action_id", commit->action_id);
	verdict_add_held(held, m->body);
	(void)conn_send_take(commit->client, MSG_HELD, commit->client_serial, held);
}

static void
forward_refusal(struct commit *commit, const struct msg *m, const char *state)
{
	struct error err;
	verdict_explain_refusal(m->body, state, &err);
	refuse(commit, &err);
}

bool
commit_on_verdict(struct supervisor *s, struct msg *m)
{
	const char *id = json_get_str(m->body, "action_id", "");
	struct commit *commit = s->commits;
	while (commit != NULL &&
	    (commit->action_id[0] != 0 ? strcmp(commit->action_id, id) != 0
				       : commit->propose_serial != m->serial))
		commit = commit->next;
	if (commit == NULL)
		return false;
	const char *state = json_get_str(m->body, "state", "");
	(void)snprintf(commit->action_id, sizeof(commit->action_id), "%s", id);
	if (strcmp(state, "reviewing") == 0) {
		forward_held(commit, m);
	} else if (strcmp(state, "approved") == 0) {
		json_free(commit->verdict);
		commit->verdict = TAKE_PTR(m->body);
		m->body = json_new_object();
		commit->state = COMMIT_CLAIMING;
		struct json *claim = json_new_object();
		(void)json_set_str(claim, "action_id", commit->action_id);
		(void)conn_send_take(
		    s->arbiter.conn, MSG_CLAIM, conn_next_serial(s->arbiter.conn), claim);
	} else {
		forward_refusal(commit, m, state);
	}
	return true;
}

bool
commit_on_claimed(struct supervisor *s, struct msg *m)
{
	const char *id = json_get_str(m->body, "action_id", "");
	for (struct commit *commit = s->commits; commit != NULL; commit = commit->next)
		if (commit->state == COMMIT_CLAIMING && strcmp(commit->action_id, id) == 0) {
			commit->state = COMMIT_PERFORMING;
			(void)conn_send(commit->client, MSG_VERDICT, commit->client_serial,
			    commit->verdict, NULL, 0);
			return true;
		}
	return false;
}

bool
commit_on_refused(struct supervisor *s, struct msg *m)
{
	struct error err;
	for (struct commit *commit = s->commits; commit != NULL; commit = commit->next)
		if (commit->propose_serial == m->serial) {
			msg_error_read(m->body, &err);
			refuse(commit, &err);
			return true;
		}
	return false;
}

void
commit_end_all(struct supervisor *s, const char *code, const char *why)
{
	struct error err;
	(void)error_set(&err, EIO, code, "%s", why);
	while (s->commits != NULL)
		refuse(s->commits, &err);
}
