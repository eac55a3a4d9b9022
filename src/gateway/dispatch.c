/* Which message from which sibling goes where. What is not in this table ends the conversation. */
#include "gateway/dispatch.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "gateway/ask.h"
#include "gateway/secrets.h"
#include "gateway/upstream.h"
#include "ipc/messages.h"
#include "ipc/spawn.h"

#define SUPERVISOR (1U << PEER_SUPERVISOR)
#define ARBITER (1U << PEER_ARBITER)
#define DIALER (1U << PEER_DIALER)
#define VAULT (1U << PEER_VAULT)
#define SMALL (16 * 1024)
#define ORPHAN_MS 1000

static int on_join(struct conn *conn, struct msg *m);
static int on_error(struct conn *conn, struct msg *m);

static const struct route routes[] = {
    {MSG_PEER_JOIN, SUPERVISOR, 0, SMALL, 1, on_join},
    {MSG_GATEWAY_OPEN, SUPERVISOR, 0, SMALL, 0, guest_on_open},
    {MSG_GATEWAY_LISTEN, SUPERVISOR, 0, SMALL, MSG_FDS_MAX, guest_on_listen},
    {MSG_GATEWAY_CLOSE, SUPERVISOR, 0, SMALL, 0, guest_on_close},
    {MSG_NET_REACHED, ARBITER, 0, SMALL, 0, reach_on_reached},
    {MSG_NET_CHANGED, ARBITER, 0, SMALL, 0, reach_on_changed},
    {MSG_NET_VERDICT, ARBITER, 0, MSG_BODY_MAX, 0, ask_on_verdict},
    {MSG_DIALED, DIALER, 0, SMALL, 1, upstream_on_dialed},
    {MSG_CREDENTIAL, VAULT, 0, MSG_BODY_MAX, 0, secret_on_credential},
    {MSG_CREDENTIAL_REVOKED, VAULT, 0, SMALL, 0, secret_on_revoked},
    {MSG_ERROR, ARBITER | DIALER, 0, SMALL, 0, on_error},
    {.handle = NULL},
};

static int
on_error(struct conn *conn, struct msg *m)
{
	if (conn_peer(conn) == PEER_DIALER)
		return upstream_on_refused(conn, m);
	/* If it answers neither, whoever asked left meanwhile. */
	if (!ask_on_error(conn, m))
		(void)reach_on_error(conn, m);
	return 0;
}

/* ---- siblings that come and go ---- */

static void
on_supervisor_closed(struct conn *conn)
{
	struct gateway *gateway = conn_data(conn);
	gateway->supervisor = NULL;
	loop_stop(gateway->loop, 0);
}

static void
on_orphaned(struct timer *timer, void *data)
{
	struct gateway *gateway = data;
	gateway->orphaned = NULL;
	log_event(LOG_ERROR, "arbiter-lost", "reason", "nobody decides any more", NULL);
	loop_stop(gateway->loop, 1);
}

/* Without the arbiter nothing is decided: what waits for it is refused. Nor would what passes hear that it was killed
 * or that the policy changed; and if it was the arbiter that ended the conversation, it will not have this gateway
 * again. So, unless another one joins at once, we end, and the supervisor starts a gateway anew. */
static void
on_arbiter_closed(struct conn *conn)
{
	struct gateway *gateway = conn_data(conn);
	if (gateway->arbiter != conn)
		return;
	gateway->arbiter = NULL;
	if (gateway->orphaned == NULL &&
	    loop_timer(gateway->loop, ORPHAN_MS, on_orphaned, gateway, &gateway->orphaned) < 0)
		loop_stop(gateway->loop, 1);
	reach_all_lost(gateway);
	ask_all_lost(gateway);
}

static void
on_dialer_closed(struct conn *conn)
{
	struct gateway *gateway = conn_data(conn);
	if (gateway->dialer != conn)
		return;
	gateway->dialer = NULL;
	upstream_dialer_lost(gateway);
}

static void
on_vault_closed(struct conn *conn)
{
	struct gateway *gateway = conn_data(conn);
	if (gateway->vault == conn)
		gateway->vault = NULL;
}

static const struct {
	const char *name;
	enum peer peer;
	conn_closed_fn *on_closed;
} siblings[] = {
    {"arbiter", PEER_ARBITER, on_arbiter_closed},
    {"dialer", PEER_DIALER, on_dialer_closed},
    {"vault", PEER_VAULT, on_vault_closed},
};

static struct conn **
place_of(struct gateway *gateway, enum peer peer)
{
	return peer == PEER_ARBITER ? &gateway->arbiter
	    : peer == PEER_DIALER   ? &gateway->dialer
				    : &gateway->vault;
}

static int
on_join(struct conn *conn, struct msg *m)
{
	struct gateway *gateway = conn_data(conn);
	const char *name = json_get_str(m->body, "peer", "");
	int fd = msg_take_fd(m, 0);
	for (size_t i = 0; fd >= 0 && i < ARRAY_LEN(siblings); i++) {
		if (strcmp(siblings[i].name, name) != 0)
			continue;
		struct conn **place = place_of(gateway, siblings[i].peer);
		conn_close(*place); /* its end is not this one's: on_closed compares */
		if (siblings[i].peer == PEER_ARBITER)
			gateway->orphaned = timer_cancel(gateway->orphaned);
		return conn_new(gateway->loop, fd, siblings[i].peer, routes, siblings[i].on_closed,
		    gateway, place);
	}
	if (fd >= 0)
		(void)close(fd);
	return -EPROTO;
}

int
dispatch_start(struct gateway *gateway)
{
	return conn_new(gateway->loop, SPAWN_SUPERVISOR, PEER_SUPERVISOR, routes,
	    on_supervisor_closed, gateway, &gateway->supervisor);
}
