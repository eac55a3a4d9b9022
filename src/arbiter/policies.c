/* Policies as the supervisor meets them: what a message names, whether it can be enforced here, and
 * what a sandbox of it must be. A view decides nothing; it lets the supervisor prepare, and what it has
 * seen it may propose by hash, for as long as we keep it (generation_keep). */
#include "arbiter/policies.h"

#include <errno.h>
#include <string.h>

#include "arbiter/review.h"
#include "base/log.h"
#include "ipc/messages.h"

static int
find_file(struct arbiter *arbiter, struct msg *m, const char *file, struct generation **ret,
    struct error *err)
{
	char label[256];
	_cleanup_close_ int fd = msg_take_fd(m, 0);
	if (file == NULL || fd < 0)
		return error_set(err, EINVAL, "policy_missing",
		    "the message names no policy, and brings no file");
	log_escape(file, strlen(file), label, sizeof(label));
	return generation_read(&arbiter->generations, fd, label, ret, err);
}

int
policies_find(struct arbiter *arbiter, struct msg *m, struct generation **ret, struct error *err)
{
	const struct json *policy = json_get(m->body, "policy");
	const char *name = json_get_str(policy, "name", NULL);
	const char *hash = json_get_str(policy, "hash", NULL);
	if (name != NULL)
		return generation_named(arbiter, name, ret, err);
	if (hash != NULL)
		return generation_hashed(arbiter, hash, ret, err);
	return find_file(arbiter, m, json_get_str(policy, "file", NULL), ret, err);
}

int
policies_check(
    const struct arbiter *arbiter, const struct generation *generation, struct error *err)
{
	if (generation->missing != NULL) {
		error_set(err, EOPNOTSUPP, "policy_not_enforceable",
		    "this build cannot enforce policy %s: %s", generation->name,
		    generation->missing);
		error_remedy(
		    err, "remove those rules or settings, or see ringfence policy capabilities");
		return -EOPNOTSUPP;
	}
	if (arbiter->rootless && generation->two_people)
		return review_needs_two_people(generation->name, err);
	return 0;
}

/* ---- views ---- */

static void
view_send(struct conn *conn, uint32_t serial, const struct generation *generation)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "policy", generation->hash);
	(void)json_set_str(body, "name", generation->name);
	(void)json_set(body, "sandbox", json_copy(generation->sandbox));
	(void)conn_send_take(conn, MSG_POLICY_VIEWED, serial, body);
}

int
on_policy_view(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	struct generation *generation = NULL;
	struct error err = {.code = ""};
	int r = policies_find(arbiter, m, &generation, &err);
	if (r == 0)
		r = policies_check(arbiter, generation, &err);
	if (r < 0) {
		if (err.code[0] == '\0')
			error_set_errno(&err, -r, "view_failed", "reading a policy failed");
		(void)conn_send_error(conn, m->serial, &err);
	} else {
		generation_keep(&arbiter->generations, generation);
		view_send(conn, m->serial, generation);
	}
	generation_unref(generation);
	return 0;
}

void
policies_tell_changed(struct arbiter *arbiter, const char *name, const char *hash)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "name", name);
	(void)json_set_str(body, "policy", hash);
	(void)conn_send_take(
	    arbiter->supervisor, MSG_POLICY_CHANGED, /* serial: no reply */ 0, body);
}
