/* The way to an issuer. The vault asks for it while it holds back an action's grant, because the secret of that is exchanged
 * for a token first. A ticket is signed for rf-issuer alone, to a host that the configuration pins, once for each grant:
 * without an action that was allowed, claimed and recorded nobody's secret is shown to anybody. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/evidence.h"
#include "arbiter/net.h"
#include "base/clock.h"
#include "ipc/messages.h"
#include "ipc/spawn.h"
#include "ipc/ticket.h"
#include "policy/config.h"

#define TICKET_MS (20 * 1000) /* rf-issuer may have to be started */

/* ---- what is pinned ---- */

static int
read_config(struct buf *out)
{
	for (;;) {
		uint8_t *room = buf_reserve(out, 16384);
		if (room == NULL)
			return -EMSGSIZE;
		ssize_t n = pread(SPAWN_CONFIG, room, 16384, (off_t)out->len);
		if (n < 0 && errno == ESPIPE) /* /dev/null */
			return 0;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_grew(out, (size_t)n);
	}
}

static const struct config *
pins(struct arbiter *arbiter, struct error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, CONFIG_BYTES_MAX + 16384);
	if (arbiter->config != NULL)
		return arbiter->config;
	int r = read_config(&text);
	if (r < 0)
		(void)error_set_errno(
		    err, -r, "config_invalid", "the configuration cannot be read");
	else
		r = config_load(buf_str(&text), text.len, "config.yaml", &arbiter->config, err);
	return r < 0 ? NULL : arbiter->config;
}

void
net_issuers_done(struct arbiter *arbiter)
{
	arbiter->config = config_free(arbiter->config);
}

/* ---- tickets ---- */

static int
sign(struct arbiter *arbiter, const struct action *action, const char *host, int port,
    struct json *body, struct error *err)
{
	struct ticket ticket = {.gateway = TICKET_ISSUER,
	    .port = port,
	    .expires_ms = clock_wall_ms() + TICKET_MS,
	    .connections = 1};
	struct json *object = NULL;
	char mac[SHA256_HEX];
	const uint8_t *key = net_ticket_key(arbiter, err);
	if (key == NULL)
		return -EIO;
	/* The action's own ticket has the action's id. */
	(void)snprintf(ticket.id, sizeof(ticket.id), "%s", action->grant);
	(void)snprintf(ticket.action_id, sizeof(ticket.action_id), "%s", action->id);
	(void)snprintf(ticket.sandbox, sizeof(ticket.sandbox), "%s", action->binding->sandbox);
	(void)snprintf(ticket.host, sizeof(ticket.host), "%s", host);
	int r = ticket_sign(key, &ticket, &object, mac);
	if (r < 0)
		return error_set_errno(err, -r, "ticket_failed", "no ticket could be made for it");
	(void)json_set(body, "ticket", object);
	return json_set_str(body, "mac", mac);
}

static int
check(struct arbiter *arbiter, const struct msg *m, struct action **ret, struct error *err)
{
	const char *host = json_get_str(m->body, "host", "");
	int64_t port = json_get_int(m->body, "port", 0);
	*ret = net_granting(arbiter, json_get_str(m->body, "grant", ""));
	if (*ret == NULL)
		return error_set(err, ENOENT, "grant_unknown", "no action waits for that grant");
	const struct config *config = pins(arbiter, err);
	if (config == NULL)
		return -EINVAL;
	if (port < 1 || port > 65535 || !config_pins_issuer(config, host, (int)port))
		return error_set(err, EACCES, "issuer_not_pinned",
		    "the configuration does not name the issuer %.120s:%lld in network.issuers",
		    host, (long long)port);
	return 0;
}

static void
record(struct arbiter *arbiter, const struct action *action, const struct msg *m)
{
	struct json *data = json_new_object();
	(void)json_set_str(data, "credential", json_get_str(action->terms, "credential", ""));
	(void)json_set_str(data, "host", json_get_str(m->body, "host", ""));
	(void)json_set_int(data, "port", json_get_int(m->body, "port", 0));
	evidence_note(arbiter, "token-exchange", action->task->id, action->id, data);
}

int
on_issuer_ticket(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	struct action *action;
	struct error err = {.code = ""};
	_cleanup_json_ struct json *body = json_new_object();
	int r = check(arbiter, m, &action, &err);
	if (r == 0)
		r = sign(arbiter, action, json_get_str(m->body, "host", ""),
		    (int)json_get_int(m->body, "port", 0), body, &err);
	if (r < 0)
		return conn_send_error(conn, m->serial, &err);
	record(arbiter, action, m);
	return conn_send(conn, MSG_ISSUER_TICKETED, m->serial, body, NULL, 0);
}
