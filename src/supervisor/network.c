#include "supervisor/network.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/uuid.h"
#include "ipc/messages.h"
#include "sys/process.h"
#include "sys/status.h"

#define PATIENCE_MS 15000
#define LISTENS_MAX 32 /* messages; each has up to MSG_FDS_MAX listeners */

enum state { OPENING, OPEN, CLOSING };

struct network {
	struct network *next;
	struct supervisor *s;
	enum state state;
	char sandbox[UUID_TEXT], task[UUID_TEXT];
	network_fn *fn; /* NULL: nobody wants to know any more */
	void *data;
	bool record;
	struct json *to_gateway,
	    *to_arbiter; /* owned: what they are asked, until both have answered */
	bool again;      /* they were asked a second time */
	uint32_t open_serial, bind_serial, close_serial; /* 0: answered, or not asked */
	uint32_t listen_serials[LISTENS_MAX];
	size_t n_listens;       /* that are not answered */
	bool complete;          /* rf-init has no more listeners */
	bool lost;              /* network_lose_all has seen it */
	int bundle_fd;          /* owned */
	struct json *listeners; /* owned */
	struct json *result;    /* owned */
	struct timer *patience;
};

/* ---- small steps ---- */

static void
network_free(struct network *network)
{
	struct supervisor *s = network->s;
	for (struct network **at = &network->s->networks; *at != NULL; at = &(*at)->next)
		if (*at == network) {
			*at = network->next;
			break;
		}
	network->patience = timer_cancel(network->patience);
	close_fd(&network->bundle_fd);
	json_free(network->to_gateway);
	json_free(network->to_arbiter);
	json_free(network->listeners);
	json_free(network->result);
	free(network);
	if (s->networks == NULL)
		clients_consider_idle(s);
}

/* Tells whoever asked; NETWORK may be gone afterwards. One that nobody asks for any more is done. */
static void
tell(struct network *network, enum network_event event, const struct error *err)
{
	bool last = event == NETWORK_CLOSED || event == NETWORK_FAILED;
	if (network->fn != NULL)
		network->fn(network, event, err, network->data);
	else if (last)
		network_free(network);
}

/* The arbiter lets go of it: after the gateway has, whose last words are before that. */
static void
unbind(struct network *network)
{
	if (network->s->arbiter.conn == NULL)
		return;
	struct json *body = json_new_object();
	(void)json_set_str(body, "sandbox", network->sandbox);
	(void)conn_send_take(network->s->arbiter.conn, MSG_NET_CLOSE, 0, body);
}

static void
fail(struct network *network, const struct error *err)
{
	bool closing = network->state == CLOSING;
	network->state = CLOSING;
	network->patience = timer_cancel(network->patience);
	network->open_serial = network->bind_serial = network->close_serial = 0;
	network->n_listens = 0;
	if (!closing && network->s->gateway.conn != NULL) {
		struct json *body = json_new_object();
		(void)json_set_str(body, "sandbox", network->sandbox);
		(void)conn_send_take(network->s->gateway.conn, MSG_GATEWAY_CLOSE, 0, body);
	}
	unbind(network);
	tell(network, NETWORK_FAILED, err);
}

/* ---- answers that do not come ---- */

static void
on_patience(struct timer *timer, void *data)
{
	struct network *network = data;
	struct supervisor *s = network->s;
	struct error err;
	(void)timer;
	network->patience = NULL;
	bool arbiter = network->bind_serial != 0 && network->open_serial == 0;
	log_event(LOG_ERROR, "no-answer", "program", arbiter ? "rf-arbiter" : "rf-gateway", NULL);
	if (!arbiter && s->gateway.pidfd >= 0) {
		(void)process_signal(s->gateway.pidfd, SIGKILL); /* its end is everybody's */
		return;
	}
	(void)error_set(&err, ETIMEDOUT, "no_answer", "%s does not answer; without it nothing runs",
	    arbiter ? "rf-arbiter" : "rf-gateway");
	fail(network, &err);
}

static bool
owed(const struct network *network)
{
	return network->open_serial != 0 || network->bind_serial != 0 ||
	    network->close_serial != 0 || network->n_listens > 0;
}

/* Somebody owes an answer, or nobody does any more. */
static void
set_patience(struct network *network)
{
	network->patience = timer_cancel(network->patience);
	if (owed(network) &&
	    loop_timer(network->s->loop, PATIENCE_MS, on_patience, network, &network->patience) < 0)
		network->patience = NULL; /* no memory for a timer: the caller waits */
}

/* ---- opening ---- */

static void
prepare_questions(struct network *network, const struct network_spec *spec)
{
	struct json *open = json_new_object(), *bind = json_new_object();
	int64_t rate = json_get_int(json_get(spec->config, "limits"), "network_bytes_per_s", 0);
	int64_t total = json_get_int(json_get(spec->config, "limits"), "network_bytes", 0);
	(void)json_set_str(open, "sandbox", spec->sandbox);
	(void)json_set_str(open, "task", spec->task);
	(void)json_set(open, "network", json_copy(json_get(spec->config, "network")));
	if (rate > 0)
		(void)json_set_int(open, "bytes_per_s", rate);
	if (total > 0)
		(void)json_set_int(open, "bytes", total);
	(void)json_set_str(bind, "sandbox", spec->sandbox);
	(void)json_set_str(bind, "task", spec->task);
	(void)json_set(bind, "policy", json_copy(spec->policy));
	(void)json_set_int(bind, "requester_uid", spec->requester_uid);
	network->to_gateway = open;
	network->to_arbiter = bind;
}

static int
ask(struct network *network, struct error *err)
{
	struct supervisor *s = network->s;
	int r = json_set_int(network->to_arbiter, "gateway", s->gateway_number);
	network->open_serial = conn_next_serial(s->gateway.conn);
	network->bind_serial = conn_next_serial(s->arbiter.conn);
	if (r == 0)
		r = conn_send(s->gateway.conn, MSG_GATEWAY_OPEN, network->open_serial,
		    network->to_gateway, NULL, 0);
	if (r == -EPIPE || r == -ECONNRESET)
		r = 0; /* it has ended, which is noticed next: network_lose_all */
	if (r == 0)
		r = conn_send(s->arbiter.conn, MSG_NET_OPEN, network->bind_serial,
		    network->to_arbiter, NULL, 0);
	set_patience(network);
	return r < 0
	    ? error_set_errno(err, -r, "gateway_failed", "the network boundary cannot be asked")
	    : 0;
}

/* Unless the policy says that it has none, there may be credentials. */
static int
need(struct supervisor *s, const struct json *config, struct error *err)
{
	const struct json *network = json_get(config, "network");
	return gateways_need(s, json_get_bool(network, "credentials", true), err);
}

void
network_expect(struct supervisor *s, const struct json *config)
{
	struct error err;
	if (json_get(config, "network") != NULL && s->arbiter.conn != NULL &&
	    need(s, config, &err) < 0)
		log_event(LOG_WARNING, "not-started", "message", err.message, NULL);
}

int
network_open(struct supervisor *s, const struct network_spec *spec, network_fn *fn, void *data,
    struct network **ret, struct error *err)
{
	if (s->arbiter.conn == NULL)
		return error_set(err, EAGAIN, "not_ready", "the arbiter is being restarted");
	int r = need(s, spec->config, err);
	if (r < 0)
		return r;
	struct network *network = calloc(1, sizeof(*network));
	if (network == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	*network = (struct network){.next = s->networks,
	    .s = s,
	    .fn = fn,
	    .data = data,
	    .record = spec->record,
	    .bundle_fd = -1,
	    .listeners = json_new_array()};
	(void)snprintf(network->sandbox, sizeof(network->sandbox), "%s", spec->sandbox);
	(void)snprintf(network->task, sizeof(network->task), "%s", spec->task);
	s->networks = network;
	prepare_questions(network, spec);
	r = ask(network, err);
	if (r < 0) {
		network_free(network);
		return r;
	}
	*ret = network;
	return 0;
}

bool
network_is_open(const struct network *network)
{
	return network->state == OPEN;
}

int
network_bundle(const struct network *network)
{
	return network->bundle_fd;
}

static struct network *
find(struct supervisor *s, uint32_t serial, size_t offset)
{
	for (struct network *at = s->networks; at != NULL; at = at->next) {
		uint32_t theirs;
		memcpy(&theirs, (const char *)at + offset, sizeof(theirs));
		if (serial != 0 && theirs == serial)
			return at;
	}
	return NULL;
}
#define FIND(s, serial, member) find(s, serial, offsetof(struct network, member))

static void
consider_open(struct network *network)
{
	set_patience(network);
	if (network->state != OPENING || network->open_serial != 0 || network->bind_serial != 0)
		return;
	network->state = OPEN;
	json_free(TAKE_PTR(network->to_gateway));
	json_free(TAKE_PTR(network->to_arbiter));
	tell(network, NETWORK_OPENED, NULL);
}

int
network_on_opened(struct conn *conn, struct msg *m)
{
	struct network *network = FIND(conn_data(conn), m->serial, open_serial);
	if (network == NULL)
		return 0; /* of one that has ended meanwhile */
	network->bundle_fd = msg_take_fd(m, 0);
	if (network->bundle_fd < 0)
		return -EPROTO;
	network->open_serial = 0;
	consider_open(network);
	return 0;
}

void
network_on_bound(struct supervisor *s, uint32_t serial)
{
	struct network *network = FIND(s, serial, bind_serial);
	if (network == NULL)
		return;
	network->bind_serial = 0;
	consider_open(network);
}

bool
network_on_refused(struct supervisor *s, const struct msg *m)
{
	struct error err;
	struct network *network = FIND(s, m->serial, bind_serial);
	if (network == NULL)
		return false;
	msg_error_read(m->body, &err);
	/* It knows before we do that the gateway has ended, or they do not talk any more: then the gateway is of no use
	 * to anybody. When it is gone network_lose_all goes on. */
	if (strcmp(err.code, "gateway_unknown") == 0 && !network->again) {
		if (s->gateway.pidfd >= 0)
			(void)process_signal(s->gateway.pidfd, SIGKILL);
		return true;
	}
	fail(network, &err);
	return true;
}

/* ---- listening ---- */

/* The port that the kernel says FD has; -1 if it is no socket of the internet's, or does not listen where ROLE does. */
static int
port_of(int fd, const char *role)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address), option_len = sizeof(int);
	int listens = 0;
	bool stream = strcmp(role, "dns-udp") != 0;
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &option_len) < 0 ||
	    (listens != 0) != stream)
		return -1;
	in_port_t port = 0;
	if (address.ss_family == AF_INET6)
		memcpy(&port, (char *)&address + offsetof(struct sockaddr_in6, sin6_port),
		    sizeof(port));
	else if (address.ss_family == AF_INET)
		memcpy(
		    &port, (char *)&address + offsetof(struct sockaddr_in, sin_port), sizeof(port));
	return port == 0 ? -1 : ntohs(port);
}

int
network_listen(struct network *network, struct msg *m, struct error *err)
{
	const struct json *list = json_get(m->body, "listeners");
	struct conn *gateway = network->s->gateway.conn;
	if (network->state != OPEN || gateway == NULL || network->n_listens == LISTENS_MAX ||
	    json_len(list) != m->n_fds || m->n_fds == 0)
		return error_set(
		    err, EPROTO, "network_failed", "rf-init's listeners are not wanted");
	for (unsigned i = 0; i < m->n_fds; i++) {
		const struct json *listener = json_at(list, i);
		int port = port_of(m->fds[i], json_get_str(listener, "role", ""));
		if (port < 0 || port != json_get_int(listener, "port", 0))
			return error_set(
			    err, EPROTO, "network_failed", "a listener is not what rf-init says");
		(void)json_push(network->listeners, json_copy(listener));
	}
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_str(body, "sandbox", network->sandbox);
	(void)json_set(body, "listeners", json_copy(list));
	network->complete = false;
	uint32_t serial = conn_next_serial(gateway);
	int r = conn_send(gateway, MSG_GATEWAY_LISTEN, serial, body, m->fds, m->n_fds);
	if (r < 0)
		return error_set_errno(err, -r, "gateway_failed", "rf-gateway cannot be asked");
	network->listen_serials[network->n_listens++] = serial;
	set_patience(network);
	return 0;
}

bool
network_has_listeners(struct network *network)
{
	network->complete = true;
	close_fd(&network->bundle_fd); /* the sandbox has its own copy */
	return network->n_listens == 0;
}

/* Takes SERIAL off those that are owed. */
static struct network *
take_listen(struct supervisor *s, uint32_t serial)
{
	for (struct network *at = s->networks; at != NULL; at = at->next)
		for (size_t i = 0; i < at->n_listens; i++)
			if (at->listen_serials[i] == serial) {
				at->listen_serials[i] = at->listen_serials[--at->n_listens];
				return at;
			}
	return NULL;
}

int
network_on_listening(struct conn *conn, struct msg *m)
{
	struct network *network = take_listen(conn_data(conn), m->serial);
	if (network == NULL)
		return 0;
	set_patience(network);
	if (network->n_listens == 0 && network->complete && network->state == OPEN)
		tell(network, NETWORK_LISTENS, NULL);
	return 0;
}

int
network_on_error(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err;
	struct network *network = FIND(s, m->serial, open_serial);
	if (network == NULL)
		network = FIND(s, m->serial, close_serial);
	if (network == NULL)
		network = take_listen(s, m->serial);
	if (network == NULL)
		return 0;
	msg_error_read(m->body, &err);
	fail(network, &err);
	return 0;
}

/* ---- the receipt ---- */

static struct json *
describe_gateway(const struct supervisor *s)
{
	struct json *gateway = json_new_object();
	struct status status;
	(void)json_set_int(gateway, "pid", s->gateway.pid);
	(void)json_set_int(gateway, "number", s->gateway_number);
	if (status_read_of(s->gateway.pid, &status) < 0)
		return gateway;
	(void)json_set_int(gateway, "uid", status.uid[0]);
	(void)json_set_int(gateway, "seccomp_mode", status.seccomp_mode);
	if (status.seccomp_filters >= 0)
		(void)json_set_int(gateway, "seccomp_filters", status.seccomp_filters);
	(void)json_set_int(gateway, "no_new_privs", status.no_new_privs);
	(void)json_set_str(gateway, "evidence", "kernel");
	return gateway;
}

void
network_describe(const struct network *network, struct json *receipt)
{
	struct json *part = json_get(receipt, "network");
	(void)json_set(part, "listeners", json_copy(network->listeners));
	(void)json_set(part, "gateway", describe_gateway(network->s));
}

/* ---- closing ---- */

void
network_close(struct network *network)
{
	struct conn *gateway = network->s->gateway.conn;
	if (network->state == CLOSING)
		return;
	network->state = CLOSING;
	network->open_serial = network->bind_serial = 0;
	network->n_listens = 0;
	if (gateway == NULL)
		return; /* its end has been noticed, or will be: network_lose_all */
	struct json *body = json_new_object();
	(void)json_set_str(body, "sandbox", network->sandbox);
	network->close_serial = conn_next_serial(gateway);
	(void)conn_send_take(gateway, MSG_GATEWAY_CLOSE, network->close_serial, body);
	set_patience(network);
}

bool
network_is_closing(const struct network *network)
{
	return network->state == CLOSING && network->close_serial != 0;
}

const struct json *
network_result(const struct network *network)
{
	return network->result;
}

static void
record_result(const struct network *network)
{
	struct json *record = json_new_object(), *data = json_copy(network->result);
	(void)json_set_str(record, "event", "network-ended");
	(void)json_set_str(record, "task", network->task);
	(void)json_set_str(data, "sandbox", network->sandbox);
	(void)json_set(record, "data", data);
	(void)json_set_bool(record, "durable", false);
	if (network->s->ledger.conn == NULL)
		json_free(record);
	else
		(void)conn_send_take(network->s->ledger.conn, MSG_APPEND, 0, record);
}

int
network_on_closed(struct conn *conn, struct msg *m)
{
	static const char *const parts[] = {"usage", "denials"};
	struct network *network = FIND(conn_data(conn), m->serial, close_serial);
	if (network == NULL)
		return 0;
	network->close_serial = 0;
	network->patience = timer_cancel(network->patience);
	network->result = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (json_get(m->body, parts[i]) != NULL)
			(void)json_set(network->result, parts[i], json_detach(m->body, parts[i]));
	if (network->record)
		record_result(network);
	unbind(network);
	tell(network, NETWORK_CLOSED, NULL);
	return 0;
}

struct network *
network_release(struct network *network)
{
	if (network == NULL)
		return NULL;
	network->fn = NULL;
	network_close(network);
	if (network->close_serial == 0)
		network_free(network); /* nothing more will come */
	return NULL;
}

/* A gateway that ended before anything came of NETWORK is not missed: the next one is asked. */
static bool
ask_again(struct network *network)
{
	struct supervisor *s = network->s;
	struct error err;
	if (network->state != OPENING || network->again || s->leaving || s->arbiter.conn == NULL)
		return false;
	network->again = true;
	unbind(network);
	close_fd(&network->bundle_fd);
	bool vault = s->vault.conn != NULL;
	return gateways_need(s, vault, &err) == 0 && ask(network, &err) == 0;
}

void
network_lose_all(struct supervisor *s, const struct error *err)
{
	/* Each may release itself, or another. */
	for (struct network *at = s->networks; at != NULL; at = at->next)
		at->lost = false;
	for (;;) {
		struct network *at = s->networks;
		while (at != NULL && at->lost)
			at = at->next;
		if (at == NULL)
			return;
		at->lost = true;
		if (!ask_again(at))
			fail(at, err);
	}
}
