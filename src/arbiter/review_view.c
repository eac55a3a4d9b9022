/* Reviews as people see them. Whoever has a role, root, and the user who started us see all; others
 * see what they asked for themselves. */
#include "arbiter/review_view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/review_text.h"
#include "base/log.h"
#include "ipc/messages.h"

#define LIST_MAX 200
#define LIST_BYTES (96 * 1024) /* then the rest is left out, and said so */
#define COMMAND_LIST_MAX 400   /* bytes of a command in a list */
#define COMMAND_SHOW_MAX (16 * 1024)
#define DETAILS_MAX 64 /* lines */
#define DETAIL_MAX 400 /* bytes of one */

/* One answer being built. */
struct view {
	struct client *client;
	struct json *reviews; /* owned by the answer */
	size_t command_max;
	size_t bytes;
	bool truncated;
};

static bool
may_see_all(struct client *client)
{
	struct arbiter *arbiter = client->arbiter;
	return client->uid == 0 || client->uid == arbiter->own_uid ||
	    people_has_any_role(arbiter->people, client->uid);
}

/* ---- text ---- */

static struct json *
escaped(const char *text, size_t max)
{
	char *room = malloc(max + 1);
	if (room == NULL)
		return NULL;
	log_escape(text, strlen(text), room, max + 1);
	struct json *value = json_new_string(room);
	free(room);
	return value;
}

/* What ACTION does, as a line, and what a line has no room for, where all of it is shown. */
static void
add_request(struct json *out, const struct store_action *action, size_t max)
{
	_cleanup_json_ struct json *record = NULL, *details = NULL;
	_cleanup_buf_ struct buf text;
	buf_init(&text, 4 * MSG_BODY_MAX);
	if (json_parse(action->record, strlen(action->record), &record, NULL) < 0) {
		(void)json_set_str(out, "command", "(damaged)");
		return;
	}
	const struct json *request = json_get(record, "request");
	review_text_command(action->kind, action->target, request, &text);
	(void)json_set(out, "command", escaped(buf_str(&text), max));
	if (max < COMMAND_SHOW_MAX)
		return;
	struct json *lines = json_new_array();
	details = review_text_details(action->kind, request);
	for (size_t i = 0; i < json_len(details) && i < DETAILS_MAX; i++)
		(void)json_push(lines, escaped(json_str(json_at(details, i), ""), DETAIL_MAX));
	if (json_len(lines) > 0)
		(void)json_set(out, "details", lines);
	else
		json_free(lines);
}

/* ---- one review ---- */

static struct json *
person_json(const struct client *client, uid_t uid)
{
	struct json *person = json_new_object();
	const char *name = people_name(client->arbiter->people, uid);
	(void)json_set_int(person, "uid", uid);
	if (name != NULL)
		(void)json_set(person, "name", escaped(name, ROLE_NAME_MAX));
	return person;
}

/* Each needed role, with who filled it. */
static struct json *
approvals_json(
    const struct store_review *review, const struct store_approval *approvals, unsigned n)
{
	struct json *list = json_new_array();
	bool used[REVIEW_ROLES_MAX] = {false};
	for (unsigned i = 0; i < review->n_roles; i++) {
		struct json *one = json_new_object();
		(void)json_set_str(one, "role", review->roles[i]);
		for (unsigned a = 0; a < n; a++) {
			if (used[a] || strcmp(approvals[a].role, review->roles[i]) != 0)
				continue;
			used[a] = true;
			(void)json_set_str(one, "by", approvals[a].name);
			(void)json_set_int(one, "uid", approvals[a].uid);
			(void)json_set_int(one, "at", approvals[a].at);
			if (approvals[a].comment != NULL)
				(void)json_set_str(one, "comment", approvals[a].comment);
			if (approvals[a].conventional)
				(void)json_set_bool(one, "conventional", true);
			break;
		}
		(void)json_push(list, one);
	}
	return list;
}

static void
add_decision(struct json *out, const char *text)
{
	_cleanup_json_ struct json *decision = NULL;
	if (json_parse(text, strlen(text), &decision, NULL) < 0)
		return;
	(void)json_set(out, "rule", json_copy(json_get(decision, "rule")));
	(void)json_set_str(out, "why", json_get_str(decision, "reason", ""));
	(void)json_set(out, "risk", json_detach(decision, "risk"));
	(void)json_set(out, "reversible", json_detach(decision, "reversible"));
}

static struct json *
review_json(const struct view *view, const struct store_review *review,
    const struct store_approval *approvals, unsigned n)
{
	const struct store_action *action = &review->action;
	struct json *out = json_new_object();
	(void)json_set_str(out, "review_id", review->review_id);
	(void)json_set_str(out, "action_id", action->id);
	(void)json_set_str(out, "task", action->task);
	(void)json_set_str(out, "state", action_state_name(action->state));
	(void)json_set_str(out, "kind", action->kind);
	(void)json_set(out, "target", escaped(action->target, COMMAND_LIST_MAX));
	add_request(out, action, view->command_max);
	(void)json_set(out, "requester", person_json(view->client, action->requester));
	add_decision(out, review->decision);
	(void)json_set(out, "approvals", approvals_json(review, approvals, n));
	(void)json_set_bool(out, "self_approve", review->self_approve);
	(void)json_set_int(out, "created_at", action->created_at);
	(void)json_set_int(out, "expires_at", action->expires_at);
	(void)json_set_str(out, "digest", action->digest);
	(void)json_set_str(out, "policy", action->policy_hash);
	(void)json_set_str(out, "policy_name", action->policy_name);
	if (review->ended_at != 0)
		(void)json_set_int(out, "ended_at", review->ended_at);
	if (review->comment != NULL)
		(void)json_set_str(out, "comment", review->comment);
	if (review->ended_by != NULL)
		(void)json_set_str(out, "ended_by", review->ended_by);
	return out;
}

static void
on_each(const struct store_review *review, const struct store_approval *approvals, unsigned n,
    void *data)
{
	struct view *view = data;
	if (view->truncated)
		return;
	if (!may_see_all(view->client) && review->action.requester != view->client->uid)
		return;
	_cleanup_buf_ struct buf text;
	buf_init(&text, MSG_BODY_MAX);
	struct json *one = review_json(view, review, approvals, n);
	if (json_write(one, &text) < 0 || view->bytes + text.len > LIST_BYTES) {
		view->truncated = true;
		json_free(one);
		return;
	}
	view->bytes += text.len;
	(void)json_push(view->reviews, one);
}

/* ---- answers ---- */

static int
view_begin(struct client *client, size_t command_max, struct view *ret, struct error *err)
{
	*ret = (struct view){.client = client, .command_max = command_max};
	if (arbiter_store(client->arbiter, err) == NULL ||
	    arbiter_people(client->arbiter, err) == NULL)
		return -EIO;
	ret->reviews = json_new_array();
	return 0;
}

static void
view_end(struct view *view, uint32_t serial)
{
	struct json *body = json_new_object();
	(void)json_set(body, "reviews", view->reviews);
	if (view->truncated)
		(void)json_set_bool(body, "truncated", true);
	(void)conn_send_take(view->client->conn, MSG_REVIEWS, serial, body);
}

static int
view_failed(struct view *view, uint32_t serial, struct error *err)
{
	json_free(view->reviews);
	(void)conn_send_error(view->client->conn, serial, err);
	return 0;
}

static int
send_list(struct client *client, uint32_t serial, bool all)
{
	struct view view;
	struct error err = {.code = ""};
	int r = view_begin(client, COMMAND_LIST_MAX, &view, &err);
	if (r == 0) {
		r = store_review_each(client->arbiter->store, all, LIST_MAX, on_each, &view);
		if (r < 0)
			error_set_errno(&err, -r, "store_failed", "store: reading reviews");
	}
	if (r < 0)
		return view_failed(&view, serial, &err);
	view_end(&view, serial);
	return 0;
}

int
on_review_list(struct conn *conn, struct msg *m)
{
	return send_list(conn_data(conn), m->serial, json_get_bool(m->body, "all", false));
}

void
review_view_send(struct client *client, uint32_t serial, const char *review_id)
{
	struct view view;
	struct error err = {.code = ""};
	int r = view_begin(client, COMMAND_SHOW_MAX, &view, &err);
	if (r == 0) {
		r = store_review_get(client->arbiter->store, review_id, on_each, &view);
		if (r == 0 && json_len(view.reviews) == 0)
			r = -ENOENT;
		if (r == -ENOENT)
			error_set(&err, ENOENT, "review_unknown", "there is no such review");
		else if (r < 0)
			error_set_errno(&err, -r, "store_failed", "store: reading a review");
	}
	if (r < 0)
		(void)view_failed(&view, serial, &err);
	else
		view_end(&view, serial);
}

int
on_review_show(struct conn *conn, struct msg *m)
{
	review_view_send(conn_data(conn), m->serial, json_get_str(m->body, "review_id", ""));
	return 0;
}

/* ---- watching ---- */

int
on_review_watch(struct conn *conn, struct msg *m)
{
	struct client *client = conn_data(conn);
	client->watching = true;
	client->watch_serial = m->serial;
	return send_list(client, m->serial, /* all= */ false);
}

void
review_view_watchers(struct arbiter *arbiter, const char *review_id)
{
	struct error err;
	struct client *next;
	for (struct client *client = arbiter->clients; client != NULL; client = next) {
		struct view view;
		next = client->next;
		if (!client->watching || view_begin(client, COMMAND_LIST_MAX, &view, &err) < 0)
			continue;
		if (store_review_get(arbiter->store, review_id, on_each, &view) < 0 ||
		    json_len(view.reviews) == 0)
			json_free(view.reviews);
		else
			view_end(&view, client->watch_serial);
	}
}
