/* Gateways, the dialer and the vault: siblings that the supervisor joins to us when it starts them.
 *
 * The dialer is told the key that our tickets are signed with, a new one in each life of ours and of its: a ticket
 * of an earlier arbiter opens nothing, and one that was used opens nothing at the next dialer. The vault answers
 * grants. None of them can ask for anything else. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "arbiter/dispatch.h"
#include "arbiter/evidence.h"
#include "arbiter/net.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/ticket.h"

#define SECRET_TEXT_MAX 256

_Static_assert(TICKET_KEY_BYTES == sizeof(((struct arbiter *)0)->ticket_key), "one key");

struct gateway_peer *
net_gateway(const struct arbiter *arbiter, unsigned number)
{
	struct gateway_peer *gateway = arbiter->gateways;
	while (gateway != NULL && gateway->number != number)
		gateway = gateway->next;
	return gateway;
}

const uint8_t *
net_ticket_key(struct arbiter *arbiter, struct error *err)
{
	if (!arbiter->have_ticket_key) {
		ssize_t n = getrandom(arbiter->ticket_key, sizeof(arbiter->ticket_key), 0);
		if (n != sizeof(arbiter->ticket_key)) {
			error_set(err, EIO, "random_failed", "making the key of the tickets");
			return NULL;
		}
		arbiter->have_ticket_key = true;
	}
	return arbiter->ticket_key;
}

/* ---- gateways ---- */

static void
gateway_forget(struct gateway_peer *gateway)
{
	struct arbiter *arbiter = gateway->arbiter;
	struct gateway_peer **at = &arbiter->gateways;
	while (*at != gateway)
		at = &(*at)->next;
	*at = gateway->next;
	arbiter->n_gateways--;
	gateway->conn = NULL;
	net_gateway_gone(arbiter, gateway);
	free(gateway);
}

static void
on_gateway_closed(struct conn *conn)
{
	struct gateway_peer *gateway = conn_data(conn);
	if (gateway != NULL)
		gateway_forget(gateway);
}

/* Joins the gateway of NUMBER; one of that number before it is over. Takes FD. */
static int
join_gateway(struct arbiter *arbiter, int fd, unsigned number)
{
	struct gateway_peer *before = net_gateway(arbiter, number);
	if (before != NULL) {
		conn_set_data(before->conn, NULL);
		conn_close(before->conn);
		gateway_forget(before);
	}
	struct gateway_peer *gateway =
	    arbiter->n_gateways < GATEWAYS_MAX ? calloc(1, sizeof(*gateway)) : NULL;
	if (gateway == NULL) {
		(void)close(fd);
		return -ENOMEM;
	}
	gateway->arbiter = arbiter;
	gateway->number = number;
	int r = conn_new(arbiter->loop, fd, PEER_GATEWAY, dispatch_routes(), on_gateway_closed,
	    gateway, &gateway->conn);
	if (r < 0) {
		free(gateway);
		return r;
	}
	gateway->next = arbiter->gateways;
	arbiter->gateways = gateway;
	arbiter->n_gateways++;
	return 0;
}

/* ---- dialer and vault ---- */

static void
on_dialer_closed(struct conn *conn)
{
	struct arbiter *arbiter = conn_data(conn);
	if (arbiter->dialer == conn)
		arbiter->dialer = NULL;
}

static int
send_ticket_key(struct arbiter *arbiter)
{
	struct error err;
	char hex[2 * TICKET_KEY_BYTES + 1];
	const uint8_t *key = net_ticket_key(arbiter, &err);
	if (key == NULL)
		return -EIO;
	hex_encode(key, TICKET_KEY_BYTES, hex);
	struct json *body = json_new_object();
	(void)json_set_str(body, "key", hex);
	int r = conn_send_take(arbiter->dialer, MSG_TICKET_KEY, /* serial: no reply */ 0, body);
	explicit_bzero(hex, sizeof(hex));
	return r;
}

static int
join_dialer(struct arbiter *arbiter, int fd)
{
	conn_close(arbiter->dialer);
	arbiter->dialer = NULL;
	arbiter->have_ticket_key = false; /* a new dialer does not know which tickets were used */
	int r = conn_new(arbiter->loop, fd, PEER_DIALER, dispatch_routes(), on_dialer_closed,
	    arbiter, &arbiter->dialer);
	return r < 0 ? r : send_ticket_key(arbiter);
}

static void
on_vault_closed(struct conn *conn)
{
	struct arbiter *arbiter = conn_data(conn);
	if (arbiter->vault != conn)
		return;
	arbiter->vault = NULL;
	net_vault_gone(arbiter);
}

static int
join_vault(struct arbiter *arbiter, int fd)
{
	if (arbiter->vault != NULL) {
		conn_close(arbiter->vault);
		arbiter->vault = NULL;
		net_vault_gone(arbiter);
	}
	return conn_new(arbiter->loop, fd, PEER_VAULT, dispatch_routes(), on_vault_closed, arbiter,
	    &arbiter->vault);
}

int
on_peer_join(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	const char *peer = json_get_str(m->body, "peer", "");
	int64_t number = json_get_int(m->body, "gateway", -1);
	int fd = msg_take_fd(m, 0), r = -EPROTO;
	if (fd < 0)
		return -EPROTO;
	if (strcmp(peer, "gateway") == 0 && number >= 0 && number <= UINT32_MAX)
		r = join_gateway(arbiter, fd, (unsigned)number);
	else if (strcmp(peer, "dialer") == 0)
		r = join_dialer(arbiter, fd);
	else if (strcmp(peer, "vault") == 0)
		r = join_vault(arbiter, fd);
	else
		(void)close(fd);
	if (r == -EPROTO)
		return r;
	if (r < 0)
		log_event(LOG_ERROR, "join-failed", "peer", peer, "reason", strerror(-r), NULL);
	return 0;
}

int
on_secret_changed(struct conn *conn, struct msg *m)
{
	static const char *const copied[] = {"credential", "by", "version"};
	const char *event = json_get_str(m->body, "event", "");
	if (strcmp(event, "secret-set") != 0 && strcmp(event, "secret-removed") != 0)
		return -EPROTO;
	struct json *data = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const struct json *value = json_get(m->body, copied[i]);
		if (json_type(value) == JSON_INT ||
		    (json_type(value) == JSON_STRING && json_str_len(value) <= SECRET_TEXT_MAX))
			(void)json_set(data, copied[i], json_copy(value));
	}
	evidence_note(conn_data(conn), event, /* task= */ NULL, /* action_id= */ NULL, data);
	return 0;
}

void
net_peers_done(struct arbiter *arbiter)
{
	while (arbiter->gateways != NULL) {
		struct gateway_peer *gateway = arbiter->gateways;
		arbiter->gateways = gateway->next;
		free(gateway);
	}
	explicit_bzero(arbiter->ticket_key, sizeof(arbiter->ticket_key));
}
