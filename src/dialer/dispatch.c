/* rf-dialer's message table. The supervisor introduces, the arbiter gives the key, gateways dial; what is not here ends
 * the conversation. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "dialer/dial.h"
#include "ipc/messages.h"
#include "ipc/spawn.h"

static int on_join(struct conn *conn, struct msg *m);
static int on_key(struct conn *conn, struct msg *m);
static int on_dial(struct conn *conn, struct msg *m);

static const struct route routes[] = {
    {MSG_PEER_JOIN, 1U << PEER_SUPERVISOR, 0, 1024, 1, on_join},
    {MSG_TICKET_KEY, 1U << PEER_ARBITER, 0, 1024, 0, on_key},
    {MSG_DIAL, 1U << PEER_GATEWAY, 0, 64 * 1024, 0, on_dial},
    {0},
};

/* ---- the arbiter ---- */

static void
forget_key(struct dialer *d)
{
	explicit_bzero(d->key, sizeof(d->key));
	d->has_key = false;
}

/* What it signed is not good without it: it could not take anything back any more. */
static void
on_arbiter_closed(struct conn *conn)
{
	struct dialer *d = conn_data(conn);
	if (d->arbiter != conn)
		return;
	d->arbiter = NULL;
	forget_key(d);
}

static int
on_key(struct conn *conn, struct msg *m)
{
	struct dialer *d = conn_data(conn);
	const char *text = json_get_str(m->body, "key", "");
	if (d->arbiter != conn)
		return 0; /* another took its place */
	forget_key(d);
	if (strlen(text) != (size_t)2 * TICKET_KEY_BYTES ||
	    hex_decode(text, TICKET_KEY_BYTES, d->key) < 0)
		return -EBADMSG;
	d->has_key = true;
	return 0;
}

/* ---- gateways ---- */

static void
on_gateway_closed(struct conn *conn)
{
	struct gateway *gateway = conn_data(conn);
	struct dialer *d = gateway->dialer;
	dial_end_all(gateway);
	struct gateway **link = &d->gateways;
	while (*link != gateway)
		link = &(*link)->next;
	*link = gateway->next;
	d->n_gateways--;
	free(gateway);
}

static int
check(const struct gateway *gateway, const struct json *body, struct ticket *ret, struct error *err)
{
	struct dialer *d = gateway->dialer;
	if (!d->has_key)
		return error_set(err, EACCES, "ticket_refused",
		    "the dialer refuses the ticket: the arbiter has not given it a key");
	return ticket_check(d->key, json_get(body, "ticket"), json_get_str(body, "mac", NULL),
	    gateway->number, tickets_now_ms(d->tickets, clock_wall_ms()), ret, err);
}

/* What the supervisor and the arbiter said or did before this gateway spoke counts, whichever the loop told us of first:
 * a key that was sent before the ticket was, an arbiter that has left. */
static int
check_ticket(
    const struct gateway *gateway, const struct json *body, struct ticket *ret, struct error *err)
{
	struct dialer *d = gateway->dialer;
	(void)conn_receive(d->supervisor);
	if (!conn_receive(d->arbiter))
		forget_key(d);
	return check(gateway, body, ret, err);
}

/* The supervisor starts us anew, and the arbiter gives a new key. */
static int
check_clock(struct dialer *d, struct error *err)
{
	if (!tickets_clock_is_lost(d->tickets, clock_wall_ms()))
		return 0;
	loop_stop(d->loop, 1);
	return error_set(err, EACCES, "ticket_refused",
	    "the dialer refuses the ticket: this host's clock was set back; it starts anew");
}

/* Answers that the gateway does not read hold descriptors as dials do. */
static int
check_room(const struct gateway *gateway, struct error *err)
{
	if (gateway->n_dials + conn_queued(gateway->conn) < DIALS_PER_GATEWAY_MAX &&
	    gateway->dialer->n_dials < DIALS_MAX)
		return 0;
	return error_set(
	    err, EBUSY, "connect_failed", "too many connections are being made at this moment");
}

static int
begin_dial(struct gateway *gateway, const struct msg *m, struct error *err)
{
	struct dialer *d = gateway->dialer;
	struct ticket ticket = {.port = 0};
	int r = check_clock(d, err);
	if (r == 0)
		r = check_ticket(gateway, m->body, &ticket, err);
	if (r < 0)
		return r;
	r = check_room(gateway, err);
	if (r == 0)
		r = tickets_use(
		    d->tickets, &ticket, tickets_now_ms(d->tickets, clock_wall_ms()), err);
	if (r == 0)
		return dial_new(gateway, m->serial, &ticket, err);
	ticket_done(&ticket);
	return r;
}

static int
on_dial(struct conn *conn, struct msg *m)
{
	struct gateway *gateway = conn_data(conn);
	struct error err = {.code = ""};
	if (begin_dial(gateway, m, &err) == 0)
		return 0;
	char number[16];
	(void)snprintf(number, sizeof(number), "%u", gateway->number);
	log_event(LOG_WARNING, "dial-refused", "reason", err.message, "gateway", number, NULL);
	return conn_send_error(conn, m->serial, &err);
}

/* ---- joining ---- */

static int
join_arbiter(struct dialer *d, int fd)
{
	struct conn *old = d->arbiter;
	struct conn *conn;
	int r = conn_new(d->loop, fd, PEER_ARBITER, routes, on_arbiter_closed, d, &conn);
	if (r < 0)
		return r;
	d->arbiter = conn;
	forget_key(d);
	conn_close(old);
	return 0;
}

/* A gateway that was started anew has the number of the one that ended. */
static void
close_gateway(struct dialer *d, unsigned number)
{
	for (struct gateway *g = d->gateways; g != NULL; g = g->next)
		if (g->number == number)
			conn_close(g->conn);
}

static int
join_gateway(struct dialer *d, int64_t number, int fd)
{
	_cleanup_close_ int owned = fd;
	if (number < 0 || number > UINT32_MAX)
		return -EBADMSG;
	if (d->n_gateways >= GATEWAYS_MAX) {
		log_event(LOG_WARNING, "gateway-refused", "reason", "too many", NULL);
		return 0;
	}
	struct gateway *gateway = calloc(1, sizeof(*gateway));
	if (gateway == NULL)
		return -ENOMEM;
	close_gateway(d, (unsigned)number);
	*gateway = (struct gateway){.dialer = d, .number = (unsigned)number};
	int r = conn_new(d->loop, TAKE_FD(owned), PEER_GATEWAY, routes, on_gateway_closed, gateway,
	    &gateway->conn);
	if (r < 0) {
		free(gateway);
		return r;
	}
	gateway->next = d->gateways;
	d->gateways = gateway;
	d->n_gateways++;
	return 0;
}

static int
on_join(struct conn *conn, struct msg *m)
{
	struct dialer *d = conn_data(conn);
	const char *peer = json_get_str(m->body, "peer", "");
	int fd = msg_take_fd(m, 0);
	if (fd < 0)
		return -EBADMSG;
	if (strcmp(peer, "arbiter") == 0)
		return join_arbiter(d, fd);
	int64_t number = json_get_int(m->body, "gateway", -1);
	/* rf-issuer dials as gateways do, under a number that none of them has. */
	if (strcmp(peer, "issuer") == 0)
		return join_gateway(d, TICKET_ISSUER, fd);
	if (strcmp(peer, "gateway") == 0)
		return join_gateway(d, number != TICKET_ISSUER ? number : -1, fd);
	(void)close(fd);
	return -EBADMSG;
}

static void
on_supervisor_closed(struct conn *conn)
{
	struct dialer *d = conn_data(conn);
	d->supervisor = NULL;
	loop_stop(d->loop, 0);
}

int
dispatch_start(struct dialer *d)
{
	return conn_new(d->loop, SPAWN_SUPERVISOR, PEER_SUPERVISOR, routes, on_supervisor_closed, d,
	    &d->supervisor);
}
