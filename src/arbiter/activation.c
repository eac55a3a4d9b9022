/* Activation is one transaction in the store; memory follows it. What was decided by the generation
 * before, and is not being performed yet, does not go on as it was: a review is bound to its policy's
 * hash and becomes invalidated, an approved action is decided again when it is claimed. A policy that
 * does not load, or that this build cannot enforce, changes nothing: the last good one stays. */
#include "arbiter/activation.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/evidence.h"
#include "arbiter/net.h"
#include "arbiter/policies.h"
#include "arbiter/verdict.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

static int
activation_allowed(struct arbiter *arbiter, uid_t uid, struct error *err)
{
	if (arbiter_people(arbiter, err) == NULL || arbiter_store(arbiter, err) == NULL)
		return -EIO;
	if (uid == 0 || uid == arbiter->own_uid ||
	    people_has_role(arbiter->people, uid, "operator") ||
	    people_has_role(arbiter->people, uid, "platform"))
		return 0;
	return error_set(err, EACCES, "policy_not_yours",
	    "you (uid %u) may not change policies: that needs role platform or operator",
	    (unsigned)uid);
}

static void
actor_name(const struct client *client, char *room, size_t size)
{
	const char *name = people_name(client->arbiter->people, client->uid);
	if (name != NULL)
		(void)snprintf(room, size, "%s", name);
	else
		(void)snprintf(room, size, "uid %u", (unsigned)client->uid);
}

/* Whether what is active under NAME decides about ACTION. */
static bool
follows_name(const struct action *action, const char *name)
{
	if (action->binding != NULL)
		return strcmp(action->binding->policy, name) == 0;
	return strcmp(action->generation->name, name) == 0;
}

/* The policy NAME is now HASH: what was decided by another generation of it may not simply go on. */
static void
policy_changed(struct arbiter *arbiter, const char *name, const char *hash)
{
	struct action *next;
	generations_forget_name(&arbiter->generations, name);
	for (struct action *action = arbiter->actions.first; action != NULL; action = next) {
		next = action->next;
		if (action->state == STATE_PERFORMING || !follows_name(action, name) ||
		    strcmp(action->generation->hash, hash) == 0)
			continue;
		if (action->review_id[0] == '\0')
			action->stale = true;
		else
			(void)action_end(arbiter, action, STATE_INVALIDATED, "review-invalidated",
			    "its policy changed", /* by= */ NULL);
	}
}

/* Records the switch, applies it, and answers. */
static void
switched(struct client *client, uint32_t serial, const char *event, const char *name,
    const char *hash, const char *previous)
{
	char by[ROLE_NAME_MAX + 1];
	actor_name(client, by, sizeof(by));
	struct json *data = json_new_object();
	(void)json_set_str(data, "name", name);
	(void)json_set_str(data, "hash", hash);
	(void)json_set_str(data, "previous", previous);
	(void)json_set_str(data, "by", by);
	(void)json_set_int(data, "uid", client->uid);
	evidence_note(client->arbiter, event, /* task= */ NULL, /* action_id= */ NULL, data);
	policy_changed(client->arbiter, name, hash);
	if (strcmp(hash, previous) != 0) {
		policies_tell_changed(client->arbiter, name, hash);
		net_policy_changed(client->arbiter, name);
	}
	struct json *body = json_new_object();
	(void)json_set_str(body, "name", name);
	(void)json_set_str(body, "hash", hash);
	(void)json_set_str(body, "previous", previous);
	(void)conn_send_take(client->conn, MSG_POLICY_STATE, serial, body);
}

/* ---- activate ---- */

/* The bytes behind FD, as they are compiled and stored: read once. */
static int
read_policy(struct arbiter *arbiter, struct msg *m, struct buf *text, struct generation **ret,
    struct error *err)
{
	char label[256];
	_cleanup_close_ int fd = msg_take_fd(m, 0);
	const char *file = json_get_str(m->body, "file", json_get_str(m->body, "name", "policy"));
	if (fd < 0)
		return error_set(
		    err, EINVAL, "policy_missing", "activate: no policy file came along");
	log_escape(file, strlen(file), label, sizeof(label));
	int r = generation_file_text(fd, label, text, err);
	if (r < 0)
		return r;
	return generation_load(&arbiter->generations, buf_str(text), text->len, label, ret, err);
}

static int
check_name(const struct generation *generation, const struct msg *m, struct error *err)
{
	const char *wanted = json_get_str(m->body, "name", generation->name);
	if (generation->name[0] == '\0')
		return error_set(
		    err, EINVAL, "policy_unnamed", "activate: the policy has no name:");
	if (strcmp(wanted, generation->name) != 0)
		return error_set(err, EINVAL, "policy_name_differs",
		    "activate: the file's name: is \"%s\", not what was asked for",
		    generation->name);
	if (policy_builtin(generation->name) != NULL)
		return error_set(err, EEXIST, "policy_builtin",
		    "activate: \"%s\" is a built-in policy; give yours another name",
		    generation->name);
	if (generation->missing != NULL)
		return error_set(err, EOPNOTSUPP, "policy_not_enforceable",
		    "activate: this build cannot enforce policy %s: %s", generation->name,
		    generation->missing);
	return 0;
}

static int
activate(struct client *client, struct msg *m, struct error *err)
{
	struct arbiter *arbiter = client->arbiter;
	struct generation *generation = NULL;
	char by[ROLE_NAME_MAX + 1], previous[SHA256_HEX];
	_cleanup_buf_ struct buf text;
	buf_init(&text, POLICY_BYTES_MAX + 1);
	int r = activation_allowed(arbiter, client->uid, err);
	if (r == 0)
		r = read_policy(arbiter, m, &text, &generation, err);
	if (r < 0)
		return r;
	r = check_name(generation, m, err);
	if (r == 0) {
		actor_name(client, by, sizeof(by));
		r = store_policy_activate(arbiter->store, generation->name, generation->hash,
		    buf_str(&text), text.len, by, clock_wall_ms(), previous);
		if (r < 0)
			error_set_errno(err, -r, "store_failed", "store: activating a policy");
	}
	if (r == 0)
		switched(client, m->serial, "policy-activated", generation->name, generation->hash,
		    previous);
	generation_unref(generation);
	return r;
}

int
on_policy_activate(struct conn *conn, struct msg *m)
{
	struct error err = {.code = ""};
	if (activate(conn_data(conn), m, &err) < 0)
		(void)conn_send_error(conn, m->serial, &err);
	return 0;
}

/* ---- roll back ---- */

static int
rollback(struct client *client, const struct msg *m, struct error *err)
{
	struct arbiter *arbiter = client->arbiter;
	char by[ROLE_NAME_MAX + 1], hash[SHA256_HEX], previous[SHA256_HEX];
	const char *name = json_get_str(m->body, "name", "");
	int r = activation_allowed(arbiter, client->uid, err);
	if (r < 0)
		return r;
	actor_name(client, by, sizeof(by));
	r = store_policy_rollback(arbiter->store, name, by, clock_wall_ms(), hash, previous);
	if (r == -ENOENT)
		return error_set(
		    err, ENOENT, "policy_unknown", "no policy is active under that name");
	if (r == -ENODATA)
		return error_set(err, ENODATA, "policy_first",
		    "there is no generation of this policy before the active one");
	if (r < 0)
		return error_set_errno(err, -r, "store_failed", "store: rolling a policy back");
	switched(client, m->serial, "policy-rolled-back", name, hash, previous);
	return 0;
}

int
on_policy_rollback(struct conn *conn, struct msg *m)
{
	struct error err = {.code = ""};
	if (rollback(conn_data(conn), m, &err) < 0)
		(void)conn_send_error(conn, m->serial, &err);
	return 0;
}

/* ---- history ---- */

static void
on_generation(const struct store_generation *generation, void *data)
{
	struct json *list = data;
	struct json *one = json_new_object();
	(void)json_set_str(one, "name", generation->name);
	(void)json_set_str(one, "hash", generation->hash);
	(void)json_set_int(one, "activated_at", generation->activated_at);
	if (generation->ended_at != 0)
		(void)json_set_int(one, "ended_at", generation->ended_at);
	(void)json_set_str(one, "by", generation->by);
	(void)json_set_bool(one, "active", generation->active);
	if (generation->rolled_back)
		(void)json_set_bool(one, "rolled_back", true);
	(void)json_push(list, one);
}

int
on_policy_history(struct conn *conn, struct msg *m)
{
	struct client *client = conn_data(conn);
	struct error err = {.code = ""};
	struct json *list = json_new_array();
	struct store *store = arbiter_store(client->arbiter, &err);
	int r = store == NULL
	    ? -EIO
	    : store_policy_history(store, json_get_str(m->body, "name", NULL), on_generation, list);
	if (r < 0) {
		if (store != NULL)
			error_set_errno(&err, -r, "store_failed", "store: reading generations");
		json_free(list);
		(void)conn_send_error(conn, m->serial, &err);
		return 0;
	}
	struct json *body = json_new_object();
	(void)json_set(body, "generations", list);
	(void)conn_send_take(conn, MSG_POLICY_STATE, m->serial, body);
	return 0;
}
