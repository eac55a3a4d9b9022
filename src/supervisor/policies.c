#include "supervisor/policies.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ipc/messages.h"
#include "supervisor/run.h"

#define NAMES_MAX 64

const struct json *
policies_known(const struct supervisor *s, const char *name)
{
	return name == NULL ? NULL : json_get(s->policies, name);
}

void
policies_note(struct supervisor *s, const char *name, const char *hash, const struct json *config)
{
	if (name == NULL || strcmp(json_get_str(policies_known(s, name), "policy", ""), hash) == 0)
		return;
	if (s->policies == NULL || json_len(s->policies) >= NAMES_MAX) {
		json_free(s->policies);
		s->policies = json_new_object();
	}
	struct json *entry = json_new_object();
	(void)json_set_str(entry, "policy", hash);
	(void)json_set(entry, "sandbox", json_copy(config));
	(void)json_set(s->policies, name, entry);
}

void
policies_forget(struct supervisor *s, const char *name)
{
	const struct json *known = policies_known(s, name);
	if (name == NULL) {
		json_free(TAKE_PTR(s->policies));
		pool_drop(s->pool, NULL);
	} else if (known != NULL) {
		pool_drop(s->pool, json_get_str(known, "policy", ""));
		json_unset(s->policies, name);
	}
}

bool
policies_must_ask(const struct supervisor *s, const struct json *policy)
{
	const char *name = json_get_str(policy, "name", NULL);
	return name == NULL || (strcmp(name, "isolated") != 0 && policies_known(s, name) == NULL);
}

uint32_t
policies_ask(struct supervisor *s, const struct json *policy, int fd)
{
	if (s->arbiter.conn == NULL)
		return 0;
	uint32_t serial = conn_next_serial(s->arbiter.conn);
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set(body, "policy", json_copy(policy));
	return conn_send(s->arbiter.conn, MSG_POLICY_VIEW, serial, body, &fd, fd >= 0 ? 1 : 0) < 0
	    ? 0
	    : serial;
}

int
policies_on_viewed(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	if (!run_on_viewed(s, m))
		(void)session_on_viewed(s, m); /* or of one that has ended meanwhile */
	return 0;
}

int
policies_on_changed(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	const char *name = json_get_str(m->body, "name", "");
	log_event(LOG_INFO, "policy-changed", "name", name, NULL);
	policies_forget(s, name);
	return 0;
}
