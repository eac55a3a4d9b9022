/* What gateways are told of their actions, and what they get to perform them with.
 *
 *     MSG_NET_PROPOSE ─ decide.c ─▶ denied | reviewing ─▶ …
 *                          └──────▶ recorded ─▶ granted by the vault (a rule with a credential) ─▶ claimed
 *                                   ─▶ MSG_NET_VERDICT "performing" with a ticket ─▶ MSG_NET_SETTLE
 *
 * The path is that of every action (decide.c, review.c, claim.c); here is what differs: the verdict comes when the
 * action is claimed, never before, and brings all that is needed. A ticket opens one way for one action of one
 * gateway; a grant is asked for after people have approved, bound to the digest that they approved, and taken back
 * when the action ends. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/claim.h"
#include "arbiter/decide.h"
#include "arbiter/evidence.h"
#include "arbiter/net.h"
#include "arbiter/net_record.h"
#include "arbiter/verdict.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/ticket.h"

#define TICKET_MS (15 * 1000)
#define TICKET_CONNECTIONS 2 /* one that fails halfway may be tried again */
#define GRANT_MS (60 * 1000)

struct pending_grant {
	uint32_t serial; /* of our MSG_GRANT */
	char grant[UUID_TEXT], action_id[UUID_TEXT];
	struct pending_grant *next;
};

/* ---- from gateways ---- */

int
on_net_propose(struct conn *conn, struct msg *m)
{
	struct gateway_peer *gateway = conn_data(conn);
	struct binding *binding =
	    binding_find(gateway->arbiter, json_get_str(m->body, "sandbox", ""));
	if (binding != NULL && binding->gateway != gateway)
		return -EPROTO;
	if (binding == NULL || binding->closing != NULL) {
		struct error err;
		error_set(&err, ENOENT, "sandbox_unknown", "that sandbox is not there (any more)");
		(void)conn_send_error(conn, m->serial, &err);
		return 0;
	}
	decide_bound(binding, m->serial, json_get(m->body, "action"));
	return 0;
}

/* The action that M names: NULL if it ended; -EPROTO if it is another gateway's. */
static int
own_action(struct conn *conn, const struct msg *m, struct action **ret)
{
	struct gateway_peer *gateway = conn_data(conn);
	*ret = actions_find(&gateway->arbiter->actions, json_get_str(m->body, "action_id", ""));
	if (*ret == NULL)
		return 0;
	return (*ret)->binding == NULL || (*ret)->binding->gateway != gateway ? -EPROTO : 0;
}

int
on_net_settle(struct conn *conn, struct msg *m)
{
	struct gateway_peer *gateway = conn_data(conn);
	struct action *action;
	int r = own_action(conn, m, &action);
	return r < 0 ? r : claim_settle_by(gateway->arbiter, action, m);
}

int
on_net_withdraw(struct conn *conn, struct msg *m)
{
	struct gateway_peer *gateway = conn_data(conn);
	struct action *action;
	int r = own_action(conn, m, &action);
	if (r == 0)
		claim_withdraw(gateway->arbiter, action);
	return r;
}

/* ---- verdicts ---- */

static struct json *
verdict_body(const struct action *action, const char *state)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", action->id);
	(void)json_set_str(body, "state", state);
	if (action->review_id[0] != '\0')
		(void)json_set_str(body, "review_id", action->review_id);
	return body;
}

/* Sends BODY (taken). A send that fails ends the conversation with the gateway. */
static void
verdict_post(const struct action *action, struct json *body)
{
	struct conn *conn = action->binding->gateway->conn;
	if (conn != NULL)
		(void)conn_send_take(conn, MSG_NET_VERDICT, action->serial, body);
	else
		json_free(body);
}

void
net_verdict_send(struct arbiter *arbiter, struct action *action, const char *comment)
{
	struct json *body = verdict_body(action, action_state_name(action->state));
	(void)json_set(body, "decision", json_copy(action->decision));
	if (action->expires_at != 0)
		(void)json_set_int(body, "expires_at", action->expires_at);
	if (comment != NULL)
		(void)json_set_str(body, "comment", comment);
	verdict_post(action, body);
}

/* The ticket for ACTION, and its mac, into BODY. */
static int
add_ticket(struct arbiter *arbiter, const struct action *action, struct json *body)
{
	struct error err;
	const struct json *request = json_get(action->record, "request");
	struct ticket ticket = {
	    .gateway = action->binding->gateway->number,
	    .port = net_port(action->kind, request),
	    .addresses = json_get(action->terms, "addresses"),
	    .expires_ms = clock_wall_ms() + TICKET_MS,
	    .connections = TICKET_CONNECTIONS,
	};
	(void)snprintf(ticket.id, sizeof(ticket.id), "%s", action->id);
	(void)snprintf(ticket.action_id, sizeof(ticket.action_id), "%s", action->id);
	(void)snprintf(ticket.sandbox, sizeof(ticket.sandbox), "%s", action->binding->sandbox);
	(void)snprintf(ticket.host, sizeof(ticket.host), "%s", json_get_str(request, "host", ""));
	struct json *object = NULL;
	char mac[SHA256_HEX];
	const uint8_t *key = net_ticket_key(arbiter, &err);
	int r = key != NULL ? ticket_sign(key, &ticket, &object, mac) : -EIO;
	if (r < 0)
		return r;
	(void)json_set(body, "ticket", object);
	return json_set_str(body, "mac", mac);
}

int
net_perform(struct arbiter *arbiter, struct action *action)
{
	struct json *body = verdict_body(action, "performing");
	struct json *decision = json_new_object();
	/* Whoever performs has no use for more of it, and there are many. */
	(void)json_set_str(decision, "decision", "allow");
	(void)json_set_str(decision, "rule", json_get_str(action->decision, "rule", NULL));
	(void)json_set(body, "decision", decision);
	int r = add_ticket(arbiter, action, body);
	(void)json_set(body, "limits", json_copy(json_get(action->terms, "limits")));
	if (action->grant[0] != '\0') {
		(void)json_set_str(body, "grant", action->grant);
		(void)json_set_str(
		    body, "credential", json_get_str(action->terms, "credential", ""));
	}
	if (r == 0) {
		verdict_post(action, body);
		return 0;
	}
	json_free(body);
	struct error err;
	error_set_errno(&err, -r, "ticket_failed", "no ticket could be made for it");
	(void)conn_send_error(action->binding->gateway->conn, action->serial, &err);
	return r;
}

/* ---- grants ---- */

static struct json *
grant_target(const struct action *action)
{
	const struct json *request = json_get(action->record, "request");
	bool git = action->kind == ACTION_GIT;
	struct json *target = json_new_object();
	(void)json_set_str(target, "kind", action_kind_name(action->kind));
	(void)json_set_str(target, "scheme", net_scheme(action->kind, request));
	(void)json_set_str(target, "host", json_get_str(request, "host", ""));
	(void)json_set_int(target, "port", net_port(action->kind, request));
	(void)json_set_str(target, "method", git ? "POST" : json_get_str(request, "method", ""));
	if (git) {
		char path[1100];
		(void)snprintf(path, sizeof(path), "/%s", json_get_str(request, "repository", ""));
		(void)json_set_str(target, "path", path);
	} else {
		(void)json_set_str(target, "path", json_get_str(request, "path", ""));
	}
	return target;
}

static int
grant_ask(struct arbiter *arbiter, struct action *action, const char *credential)
{
	struct pending_grant *pending = calloc(1, sizeof(*pending));
	if (pending == NULL || uuid7_new(pending->grant) < 0) {
		free(pending);
		return -ENOMEM;
	}
	pending->serial = conn_next_serial(arbiter->vault);
	(void)snprintf(pending->action_id, sizeof(pending->action_id), "%s", action->id);
	(void)snprintf(action->grant, sizeof(action->grant), "%s", pending->grant);
	pending->next = arbiter->grants;
	arbiter->grants = pending;
	struct json *body = json_new_object();
	(void)json_set_str(body, "grant", pending->grant);
	(void)json_set_str(body, "credential", credential);
	(void)json_set_str(body, "action_id", action->id);
	(void)json_set_str(body, "sandbox", action->binding->sandbox);
	(void)json_set_int(body, "gateway", action->binding->gateway->number);
	(void)json_set(body, "target", grant_target(action));
	(void)json_set_str(body, "digest", action->digest);
	(void)json_set_int(body, "expires_ms", clock_wall_ms() + GRANT_MS);
	action->granting = true;
	return conn_send_take(arbiter->vault, MSG_GRANT, pending->serial, body);
}

static void
grant_denied(struct arbiter *arbiter, struct action *action, const char *why)
{
	action->grant[0] = '\0';
	action->granting = false;
	action_end_surely(arbiter, action, STATE_DENIED, "grant-refused", why);
}

bool
net_grant_ready(struct arbiter *arbiter, struct action *action)
{
	char why[160];
	const char *credential = json_get_str(action->terms, "credential", NULL);
	if (credential == NULL || (action->grant[0] != '\0' && !action->granting))
		return true;
	if (action->granting)
		return false;
	if (arbiter->vault != NULL && grant_ask(arbiter, action, credential) == 0)
		return false;
	(void)snprintf(
	    why, sizeof(why), "credential %.64s cannot be had: there is no vault", credential);
	grant_denied(arbiter, action, why);
	return false;
}

static void
vault_revoke(struct arbiter *arbiter, const char *grant)
{
	if (arbiter->vault == NULL)
		return;
	struct json *body = json_new_object();
	(void)json_set_str(body, "grant", grant);
	(void)conn_send_take(arbiter->vault, MSG_REVOKE, /* serial: no reply */ 0, body);
}

void
net_grant_revoke(struct arbiter *arbiter, struct action *action)
{
	if (action->grant[0] == '\0')
		return;
	vault_revoke(arbiter, action->grant);
	action->grant[0] = '\0';
	action->granting = false;
}

/* ---- from the vault ---- */

/* Takes what SERIAL asked for out of the list, or NULL. */
static struct pending_grant *
pending_take(struct arbiter *arbiter, uint32_t serial)
{
	struct pending_grant **at = &arbiter->grants;
	while (*at != NULL && (*at)->serial != serial)
		at = &(*at)->next;
	struct pending_grant *pending = *at;
	if (pending != NULL)
		*at = pending->next;
	return pending;
}

/* The action that waits for PENDING; NULL if none does any more. */
static struct action *
pending_action(struct arbiter *arbiter, const struct pending_grant *pending)
{
	struct action *action = actions_find(&arbiter->actions, pending->action_id);
	bool waits = action != NULL && action->granting && action->claim_waiting &&
	    strcmp(action->grant, pending->grant) == 0;
	return waits ? action : NULL;
}

struct action *
net_granting(struct arbiter *arbiter, const char *grant)
{
	const struct pending_grant *pending = arbiter->grants;
	while (pending != NULL && strcmp(pending->grant, grant) != 0)
		pending = pending->next;
	return pending != NULL ? pending_action(arbiter, pending) : NULL;
}

int
on_granted(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	_cleanup_free_ struct pending_grant *pending = pending_take(arbiter, m->serial);
	if (pending == NULL)
		return -EPROTO;
	struct action *action = pending_action(arbiter, pending);
	if (action == NULL) {
		vault_revoke(arbiter, pending->grant);
		return 0;
	}
	action->granting = false;
	action->grant_version = json_get_int(m->body, "version", 0);
	if (action->unrecorded == 0)
		claim_finish(arbiter, action); /* else when it is recorded */
	return 0;
}

int
on_grant_refused(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	_cleanup_free_ struct pending_grant *pending = pending_take(arbiter, m->serial);
	if (pending == NULL)
		return -EPROTO;
	struct error err;
	msg_error_read(m->body, &err);
	struct action *action = pending_action(arbiter, pending);
	if (action != NULL)
		grant_denied(arbiter, action, err.message);
	return 0;
}

void
net_vault_gone(struct arbiter *arbiter)
{
	while (arbiter->grants != NULL) {
		_cleanup_free_ struct pending_grant *pending = arbiter->grants;
		arbiter->grants = pending->next;
		struct action *action = pending_action(arbiter, pending);
		if (action != NULL)
			grant_denied(
			    arbiter, action, "the vault ended before it granted the credential");
	}
}
