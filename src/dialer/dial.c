/* Dialing.
 *
 *     new ── a name: dial_new ──▶ RESOLVING ── on_resolved ──▶ CONNECTING ── one attempt connects: MSG_DIALED ──▶ ENDED
 *      │                            └─────── no address, time ──▶ MSG_ERROR ──▶ ENDED          │
 *      └── a literal address, /etc/hosts ────────────────────────▶ CONNECTING                  │
 *                                            CONNECTING ── all failed, time ──▶ MSG_ERROR ──▶ ENDED
 *     any ── the gateway left: dial_end_all ──▶ ENDED ── end of the round ──▶ freed
 *
 * RESOLVING: there is a resolve and no socket. CONNECTING: every address that could be connected to has been checked,
 * in this process, and stands in `allowed`; it is these bytes that connect(2) gets, no name is looked up again. ENDED:
 * no socket, timer or resolve is left; nothing is sent.
 *
 * Attempts follow RFC 8305: the next address after NEXT_ATTEMPT_MS or when one failed; the first that connects ends
 * the others. */
#include "dialer/dial.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "dialer/check.h"
#include "dialer/own.h"
#include "ipc/messages.h"
#include "proto/address.h"
#include "proto/hostname.h"

#define KEEPALIVE_IDLE_S 60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_PROBES 4

enum dial_state { DIAL_RESOLVING, DIAL_CONNECTING, DIAL_ENDED };

struct attempt {
	struct dial *dial;
	struct watch *watch; /* NULL: not under way */
	int fd;
	size_t which; /* of dial->allowed */
};

struct dial {
	struct gateway *gateway;
	struct dial *next, **link;
	enum dial_state state;
	uint32_t serial;
	struct ticket ticket;
	struct pins pins;
	struct resolve *resolve;
	struct timer *limit, *next_attempt;
	uint8_t allowed[ATTEMPTS_MAX][16];
	size_t n_allowed, n_checked;
	struct attempt attempts[ATTEMPTS_MAX];
	size_t n_tried, n_pending;
	int last_errno;
	struct deferred free;
};

/* ---- the end ---- */

static void
attempt_end(struct attempt *attempt)
{
	if (attempt->watch == NULL)
		return;
	attempt->watch = watch_remove(attempt->watch);
	close_fd(&attempt->fd);
	attempt->dial->n_pending--;
}

static void
on_free(void *data)
{
	struct dial *dial = data;
	ticket_done(&dial->ticket);
	pins_done(&dial->pins);
	free(dial);
}

/* Leaves the gateway's list at once: the gateway may be gone before the round ends. */
static void
dial_end(struct dial *dial)
{
	if (dial->state == DIAL_ENDED)
		return;
	struct dialer *d = dial->gateway->dialer;
	dial->state = DIAL_ENDED;
	dial->resolve = resolve_cancel(dial->resolve);
	dial->limit = timer_cancel(dial->limit);
	dial->next_attempt = timer_cancel(dial->next_attempt);
	for (size_t i = 0; i < dial->n_tried; i++)
		attempt_end(&dial->attempts[i]);
	*dial->link = dial->next;
	if (dial->next != NULL)
		dial->next->link = dial->link;
	dial->gateway->n_dials--;
	d->n_dials--;
	loop_defer(d->loop, &dial->free);
}

void
dial_end_all(struct gateway *gateway)
{
	while (gateway->dials != NULL)
		dial_end(gateway->dials);
}

static void
dial_fail(struct dial *dial, const struct error *err)
{
	(void)conn_send_error(dial->gateway->conn, dial->serial, err);
	dial_end(dial);
}

/* ---- connected ---- */

static void
dial_succeed(struct dial *dial, const struct attempt *attempt)
{
	char text[ADDRESS_TEXT];
	address_format(dial->allowed[attempt->which], text);
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_str(body, "address", text);
	(void)json_set_int(body, "port", dial->ticket.port);
	(void)json_set_int(body, "addresses", (int64_t)dial->n_checked);
	if (body == NULL)
		conn_close(dial->gateway->conn);
	else
		(void)conn_send(
		    dial->gateway->conn, MSG_DIALED, dial->serial, body, &attempt->fd, 1);
	dial_end(dial);
}

/* ---- attempts ---- */

static void try_next(struct dial *dial);

static socklen_t
socket_address(const uint8_t address[16], int port, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (address_is_ipv4(address)) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
		memcpy(&in.sin_addr, address + 12, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	memcpy(&in6.sin6_addr, address, 16);
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}

/* What a gateway's connection to the outside has; failing to set it harms nobody. */
static void
set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
	    {IPPROTO_TCP, TCP_NODELAY, 1},
	    {SOL_SOCKET, SO_KEEPALIVE, 1},
	    {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
	    {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
	    {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
	};
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
		    sizeof(options[i].value));
}

/* A socket that connects to ADDRESS, or -errno. */
static int
begin_connect(const uint8_t address[16], int port)
{
	struct sockaddr_storage to;
	socklen_t len = socket_address(address, port, &to);
	_cleanup_close_ int fd =
	    socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	set_options(fd);
	if (connect(fd, (const struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(fd);
}

static void
on_attempt(struct watch *watch, uint32_t events, void *data)
{
	struct attempt *attempt = data;
	struct dial *dial = attempt->dial;
	int failed = 0;
	socklen_t len = sizeof(failed);
	if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0)
		failed = errno;
	if (failed == 0 && (events & EPOLLOUT) != 0) {
		dial_succeed(dial, attempt);
		return;
	}
	dial->last_errno = failed != 0 ? failed : ECONNABORTED;
	attempt_end(attempt);
	try_next(dial);
}

/* 0, or -errno if the attempt failed at once. */
static int
attempt_new(struct dial *dial)
{
	size_t which = dial->n_tried++;
	struct attempt *attempt = &dial->attempts[which];
	*attempt = (struct attempt){.dial = dial, .fd = -1, .which = which};
	_cleanup_close_ int fd = begin_connect(dial->allowed[which], dial->ticket.port);
	if (fd < 0)
		return fd;
	int r = loop_watch(
	    dial->gateway->dialer->loop, fd, EPOLLOUT, on_attempt, attempt, &attempt->watch);
	if (r < 0)
		return r;
	attempt->fd = TAKE_FD(fd);
	dial->n_pending++;
	return 0;
}

static void
on_next_attempt(struct timer *timer, void *data)
{
	struct dial *dial = data;
	dial->next_attempt = NULL;
	try_next(dial);
}

static void
all_failed(struct dial *dial)
{
	struct error err;
	error_set_errno(&err, dial->last_errno, "connect_failed", "%s port %d", dial->ticket.host,
	    dial->ticket.port);
	dial_fail(dial, &err);
}

static void
try_next(struct dial *dial)
{
	dial->next_attempt = timer_cancel(dial->next_attempt);
	while (dial->n_tried < dial->n_allowed) {
		int r = attempt_new(dial);
		if (r == 0)
			break;
		dial->last_errno = -r;
	}
	if (dial->n_pending == 0)
		all_failed(dial);
	else if (dial->n_tried < dial->n_allowed &&
	    loop_timer(dial->gateway->dialer->loop, NEXT_ATTEMPT_MS, on_next_attempt, dial,
		&dial->next_attempt) < 0)
		dial->next_attempt = NULL; /* then one after the other */
}

static void
on_connect_limit(struct timer *timer, void *data)
{
	struct dial *dial = data;
	struct error err;
	dial->limit = NULL;
	error_set(&err, ETIMEDOUT, "dial_timeout", "%s port %d: not connected within %d s",
	    dial->ticket.host, dial->ticket.port, CONNECT_LIMIT_MS / 1000);
	dial_fail(dial, &err);
}

/* ---- checking ---- */

/* Keeps of FOUND what may be connected to. The first reason why one may not goes to ERR. */
static void
check_all(struct dial *dial, const struct addresses *found, struct error *err)
{
	int netlink = dial->gateway->dialer->netlink;
	dial->n_checked = found->n;
	for (size_t i = 0; i < found->n; i++) {
		const uint8_t *address = found->items[i];
		const char *why = check_address(address, &dial->pins, own_is(netlink, address));
		if (why == NULL && dial->n_allowed < ATTEMPTS_MAX) {
			memcpy(dial->allowed[dial->n_allowed++], address, 16);
		} else if (why != NULL && err->code[0] == '\0') {
			char text[ADDRESS_TEXT];
			address_format(address, text);
			bool literal = strcmp(text, dial->ticket.host) == 0;
			error_set(err, EACCES, "address_refused", "%s%s%s%s %s",
			    literal ? "" : dial->ticket.host, literal ? "" : " is at ", text,
			    literal ? " is" : ",", why);
		}
	}
}

static void
connect_to(struct dial *dial, const struct addresses *found)
{
	struct error err = {.code = ""};
	assert(dial->state == DIAL_RESOLVING && dial->resolve == NULL);
	check_all(dial, found, &err);
	if (dial->n_allowed == 0) {
		log_event(LOG_WARNING, "address-refused", "reason", err.message, "action",
		    dial->ticket.action_id, NULL);
		dial_fail(dial, &err);
		return;
	}
	dial->state = DIAL_CONNECTING;
	if (loop_timer(dial->gateway->dialer->loop, CONNECT_LIMIT_MS, on_connect_limit, dial,
		&dial->limit) < 0) {
		error_set(&err, ENOMEM, "connect_failed", "out of memory");
		dial_fail(dial, &err);
		return;
	}
	try_next(dial);
}

/* ---- resolving ---- */

static void
on_resolved(int status, const struct addresses *found, void *data)
{
	struct dial *dial = data;
	struct error err;
	dial->resolve = NULL;
	if (status == 0) {
		connect_to(dial, found);
		return;
	}
	if (status == -ENOENT)
		error_set(&err, ENOENT, "name_unknown", "%s has no address", dial->ticket.host);
	else if (status == -ETIMEDOUT)
		error_set(&err, ETIMEDOUT, "dial_timeout", "%s: no name server answered in time",
		    dial->ticket.host);
	else
		error_set(&err, EIO, "name_unknown", "%s: no name server could say its address",
		    dial->ticket.host);
	dial_fail(dial, &err);
}

/* What needs no question: a literal address, or a name in /etc/hosts. */
static bool
find_here(const struct dial *dial, struct addresses *ret)
{
	const struct settings *settings = &dial->gateway->dialer->settings;
	ret->n = 0;
	if (address_parse(dial->ticket.host, ret->items[0]) == 0)
		ret->n = 1;
	else
		ret->n = settings_find(settings, dial->ticket.host, ret->items, ADDRESSES_MAX);
	return ret->n > 0;
}

static int
begin(struct dial *dial, struct error *err)
{
	struct addresses found;
	uint8_t literal[16];
	int r = pins_read(dial->ticket.addresses, &dial->pins);
	if (r == -EINVAL)
		return error_set(err, EACCES, "ticket_refused",
		    "the dialer refuses the ticket: an address of it is not a network");
	if (r < 0)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	if (!hostname_is_canonical(dial->ticket.host) &&
	    address_parse(dial->ticket.host, literal) < 0)
		return error_set(err, EACCES, "ticket_refused",
		    "the dialer refuses the ticket: its host is neither a name nor an address in "
		    "plain form");
	if (find_here(dial, &found)) {
		connect_to(dial, &found);
		return 0;
	}
	r = resolve_new(dial->gateway->dialer->resolver, dial->ticket.host, RESOLVE_LIMIT_MS,
	    on_resolved, dial, &dial->resolve);
	return r < 0 ? error_set(err, ENOMEM, "no_memory", "out of memory") : 0;
}

int
dial_new(struct gateway *gateway, uint32_t serial, struct ticket *ticket, struct error *err)
{
	struct dial *dial = calloc(1, sizeof(*dial));
	if (dial == NULL) {
		ticket_done(ticket);
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	}
	*dial = (struct dial){.gateway = gateway, .serial = serial, .ticket = *ticket};
	*ticket = (struct ticket){.port = 0};
	dial->free = (struct deferred){.fn = on_free, .data = dial};
	dial->next = gateway->dials;
	dial->link = &gateway->dials;
	if (dial->next != NULL)
		dial->next->link = &dial->next;
	gateway->dials = dial;
	gateway->n_dials++;
	gateway->dialer->n_dials++;
	int r = begin(dial, err);
	if (r < 0)
		dial_end(dial);
	return r;
}
