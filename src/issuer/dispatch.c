/* rf-issuer's message table. The supervisor introduces, the vault asks, the dialer answers; what is not here ends the
 * conversation. */
#include <errno.h>
#include <string.h>

#include "ipc/messages.h"
#include "ipc/spawn.h"
#include "issuer/issuer.h"

static int on_join(struct conn *conn, struct msg *m);

static const struct route routes[] = {
    {MSG_PEER_JOIN, 1U << PEER_SUPERVISOR, 0, 1024, 1, on_join},
    {MSG_EXCHANGE, 1U << PEER_VAULT, 0, MSG_BODY_MAX, 0, exchange_on_ask},
    {MSG_DIALED, 1U << PEER_DIALER, 0, 4096, 1, exchange_on_dialed},
    {MSG_ERROR, 1U << PEER_DIALER, 0, 16384, 0, exchange_on_refused},
    {0},
};

static void
on_closed(struct conn *conn)
{
	struct issuer *issuer = conn_data(conn);
	if (issuer->vault == conn) {
		issuer->vault = NULL;
		exchange_end_all(issuer);
	} else if (issuer->dialer == conn) {
		issuer->dialer = NULL;
		exchange_dialer_gone(issuer);
	}
}

/* In the place of the one before, if any, whose end is then noticed as that of a stranger. */
static int
join(struct issuer *issuer, unsigned peer, int fd)
{
	struct conn **place = peer == PEER_VAULT ? &issuer->vault : &issuer->dialer;
	struct conn *before = TAKE_PTR(*place);
	if (peer == PEER_VAULT)
		exchange_end_all(issuer);
	else if (before != NULL)
		exchange_dialer_gone(issuer);
	conn_close(before);
	return conn_new(issuer->loop, fd, peer, routes, on_closed, issuer, place);
}

static int
on_join(struct conn *conn, struct msg *m)
{
	struct issuer *issuer = conn_data(conn);
	const char *peer = json_get_str(m->body, "peer", "");
	int fd = msg_take_fd(m, 0);
	if (fd < 0)
		return -EBADMSG;
	if (strcmp(peer, "vault") == 0)
		return join(issuer, PEER_VAULT, fd);
	if (strcmp(peer, "dialer") == 0)
		return join(issuer, PEER_DIALER, fd);
	(void)close(fd);
	return -EBADMSG;
}

static void
on_supervisor_closed(struct conn *conn)
{
	struct issuer *issuer = conn_data(conn);
	issuer->supervisor = NULL;
	loop_stop(issuer->loop, 0);
}

int
dispatch_start(struct issuer *issuer)
{
	return conn_new(issuer->loop, SPAWN_SUPERVISOR, PEER_SUPERVISOR, routes,
	    on_supervisor_closed, issuer, &issuer->supervisor);
}
