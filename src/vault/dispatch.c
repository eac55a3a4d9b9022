/* rf-vault's message table, and its peers' coming and going. Gateways are told; nothing is accepted from them. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/spawn.h"
#include "vault/vault.h"

static int on_peer_join(struct conn *conn, struct msg *m);

#define SUPERVISOR (1U << PEER_SUPERVISOR)
#define ARBITER (1U << PEER_ARBITER)
#define ISSUER (1U << PEER_ISSUER)
#define PERSON (1U << PEER_PERSON)

static const struct route routes[] = {
    {MSG_PEER_JOIN, SUPERVISOR, 0, 4096, 1, on_peer_join},
    {MSG_GRANT, ARBITER, 0, MSG_BODY_MAX, 0, grants_on_grant},
    {MSG_REVOKE, ARBITER, 0, 4096, 0, grants_on_revoke},
    {MSG_ISSUER_TICKETED, ARBITER, 0, 16384, 0, exchange_on_ticket},
    {MSG_ERROR, ARBITER, 0, 16384, 0, exchange_on_no_ticket},
    {MSG_ERROR, SUPERVISOR, 0, 16384, 0, exchange_on_no_issuer},
    {MSG_EXCHANGED, ISSUER, 0, 32768, 0, exchange_on_done},
    {MSG_ERROR, ISSUER, 0, 16384, 0, exchange_on_failed},
    {MSG_SECRET_SET, PERSON, 0, SEAL_HEAD_MAX - 4096, 1, people_on_set},
    {MSG_SECRET_LIST, PERSON, 0, 4096, 0, people_on_list},
    {MSG_SECRET_REMOVE, PERSON, 0, 4096, 0, people_on_remove},
    {0},
};

struct vault_gateway *
vault_gateway(struct vault *vault, int64_t number)
{
	for (size_t i = 0; i < GATEWAYS_MAX; i++)
		if (vault->gateways[i].conn != NULL && vault->gateways[i].number == number)
			return &vault->gateways[i];
	return NULL;
}

/* ---- people ---- */

bool
vault_permits(const struct vault *vault, uid_t uid)
{
	return uid == 0 || uid == vault->owner;
}

static unsigned *
places_of(struct vault *vault, uid_t uid)
{
	return vault_permits(vault, uid) ? &vault->people : &vault->strangers;
}

static void
on_person_closed(struct conn *conn)
{
	(*places_of(conn_data(conn), conn_uid(conn)))--;
}

static void
on_person(int fd, void *data)
{
	struct vault *vault = data;
	struct conn *conn;
	uid_t uid = 0;
	gid_t gid = 0;
	pid_t pid = 0;
	if (msg_peer(fd, &uid, &gid, &pid) < 0 ||
	    *places_of(vault, uid) >= (vault_permits(vault, uid) ? PEOPLE_MAX : STRANGERS_MAX)) {
		(void)close(fd);
		return;
	}
	if (conn_new(vault->loop, fd, PEER_PERSON, routes, on_person_closed, vault, &conn) == 0)
		(*places_of(vault, uid))++;
}

/* ---- siblings ---- */

static void
on_arbiter_closed(struct conn *conn)
{
	struct vault *vault = conn_data(conn);
	if (vault->arbiter != conn)
		return;
	/* Nobody is left who could revoke what was granted. */
	vault->arbiter = NULL;
	grants_revoke(vault, NULL);
}

static int
join_arbiter(struct vault *vault, int fd)
{
	struct conn *before = vault->arbiter;
	int r = conn_new(
	    vault->loop, fd, PEER_ARBITER, routes, on_arbiter_closed, vault, &vault->arbiter);
	if (r < 0)
		return r;
	if (before != NULL) {
		grants_revoke(vault, NULL);
		conn_close(before);
	}
	/* People wait until what they do can be recorded. */
	if (vault->listener == NULL)
		r = conn_accept(vault->loop, SPAWN_LISTENER, on_person, vault, &vault->listener);
	return r;
}

static void
on_gateway_closed(struct conn *conn)
{
	struct vault_gateway *gateway = conn_data(conn);
	if (gateway->conn != conn)
		return;
	gateway->conn = NULL;
	grants_forget_gateway(gateway->vault, gateway->number);
}

static int
join_gateway(struct vault *vault, int fd, int64_t number)
{
	struct vault_gateway *gateway = vault_gateway(vault, number);
	if (gateway != NULL) {
		struct conn *before = TAKE_PTR(gateway->conn);
		grants_forget_gateway(vault, number);
		conn_close(before);
	}
	for (size_t i = 0; gateway == NULL && i < GATEWAYS_MAX; i++)
		if (vault->gateways[i].conn == NULL)
			gateway = &vault->gateways[i];
	if (gateway == NULL || number < 0) {
		(void)close(fd);
		log_event(LOG_ERROR, "gateway-refused", NULL);
		return 0;
	}
	gateway->vault = vault;
	gateway->number = number;
	return conn_new(
	    vault->loop, fd, PEER_GATEWAY, routes, on_gateway_closed, gateway, &gateway->conn);
}

static void
on_issuer_closed(struct conn *conn)
{
	struct vault *vault = conn_data(conn);
	if (vault->issuer != conn)
		return;
	vault->issuer = NULL;
	exchange_issuer_gone(vault);
}

static int
join_issuer(struct vault *vault, int fd)
{
	struct conn *before = TAKE_PTR(vault->issuer);
	if (before != NULL) {
		exchange_issuer_gone(vault);
		conn_close(before);
	}
	int r =
	    conn_new(vault->loop, fd, PEER_ISSUER, routes, on_issuer_closed, vault, &vault->issuer);
	if (r == 0)
		exchange_issuer_joined(vault);
	return r;
}

static int
on_peer_join(struct conn *conn, struct msg *m)
{
	struct vault *vault = conn_data(conn);
	const char *peer = json_get_str(m->body, "peer", "");
	bool arbiter = strcmp(peer, "arbiter") == 0, issuer = strcmp(peer, "issuer") == 0;
	if (m->n_fds != 1 || (!arbiter && !issuer && strcmp(peer, "gateway") != 0))
		return -EPROTO;
	int fd = msg_take_fd(m, 0);
	if (issuer)
		return join_issuer(vault, fd);
	return arbiter ? join_arbiter(vault, fd)
		       : join_gateway(vault, fd, json_get_int(m->body, "gateway", -1));
}

static void
on_supervisor_closed(struct conn *conn)
{
	struct vault *vault = conn_data(conn);
	vault->supervisor = NULL;
	loop_stop(vault->loop, 0);
}

int
dispatch_start(struct vault *vault)
{
	return conn_new(vault->loop, SPAWN_SUPERVISOR, PEER_SUPERVISOR, routes,
	    on_supervisor_closed, vault, &vault->supervisor);
}
