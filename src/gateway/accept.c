/* A connection arrives: where it wanted to go is the address that it was made to, which for a name is one that we
 * gave out. What it speaks is seen from its first bytes; what may be spoken there, the arbiter knows.
 *
 *     accepted ─(name, reach)→ raw                               a net rule, and no http rule
 *                            ├ first bytes: ClientHello → TLS with us → HTTP
 *                            └ first bytes: else        → HTTP in the clear, where a rule has scheme http
 *     accepted on the proxy's port → HTTP → CONNECT → the same again */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "gateway/connection.h"
#include "proto/tls_hello.h"

#define FIRST_BYTES_MS 30000
#define GATEWAY_CONNECTIONS_MAX 8192

void
connection_what(const struct connection *c, char *ret, size_t size)
{
	(void)snprintf(
	    ret, size, strchr(c->host, ':') != NULL ? "[%s]:%d" : "%s:%d", c->host, c->port);
}

void
connection_free(struct connection *c)
{
	struct guest *guest = c->guest;
	*(c->prev != NULL ? &c->prev->next : &guest->connections) = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	guest->n_connections--;
	guest->gateway->n_connections--;
	reach_forget(c->question);
	c->timer = timer_cancel(c->timer);
	http_free(c->http);
	raw_free(c->raw);
	if (c->down != NULL) {
		guest->usage.bytes_out += stream_bytes_in(c->down);
		guest->usage.bytes_in += stream_bytes_out(c->down);
	}
	c->down = c->cut ? stream_abort(c->down) : stream_free(c->down);
	free(c);
}

void
connection_refuse(struct connection *c, const char *event, const char *reason)
{
	char what[HOST_MAX + 16];
	connection_what(c, what, sizeof(what));
	guest_denied(c->guest, event, what, reason, NULL);
	connection_free(c);
}

/* ---- what it speaks ---- */

static void
begin_http(struct connection *c)
{
	c->timer = timer_cancel(c->timer);
	http_begin(c);
}

static void
begin_raw(struct connection *c)
{
	c->timer = timer_cancel(c->timer);
	raw_begin(c, NULL);
}

/* Whether its first bytes decide how it is served; if so it was given away, or closed. */
static bool
decide_first(struct connection *c)
{
	struct tls_hello hello;
	size_t len;
	const uint8_t *bytes = stream_peek(c->down, &len);
	int r = len == 0 ? 0 : tls_hello_read(bytes, len, &hello);
	const char *trouble = NULL;
	if (r == 0)
		return false;
	if (r == -ENOMSG && c->reach.plain) {
		begin_http(c);
		return true;
	}
	if (r == -ENOMSG)
		trouble = "only TLS may be spoken there: no rule has scheme http";
	else if (r < 0)
		trouble = hello.refused != NULL ? hello.refused : "out of memory";
	else if (!c->reach.intercept)
		trouble = "TLS may not be spoken there: no rule has scheme https";
	else if (hello.host[0] != 0 && strcmp(hello.host, c->host) != 0)
		trouble = "the name in the ClientHello is not the one that was asked for";
	if (trouble != NULL) {
		connection_refuse(c, "connection-refused", trouble);
		return true;
	}
	c->secured = true;
	if (stream_secure_server(c->down, c->guest->authority, c->host) < 0)
		connection_free(c);
	return true;
}

static void
on_first_event(struct stream *stream, enum stream_event event, void *data)
{
	struct connection *c = data;
	if (event == STREAM_FAILED) {
		/* A client that does not accept our certificate says so here. */
		if (c->secured)
			connection_refuse(c, NULL, stream_error(stream));
		else
			connection_free(c);
	} else if (event == STREAM_SECURED)
		begin_http(c);
	else if (event == STREAM_READABLE && !c->secured && !decide_first(c) &&
	    stream_ended(stream))
		connection_free(c);
}

static void
on_late(struct timer *timer, void *data)
{
	struct connection *c = data;
	(void)timer;
	c->timer = NULL;
	connection_free(c);
}

void
connection_classify(struct connection *c)
{
	if (!c->reach.plain && !c->reach.intercept) {
		begin_raw(c); /* the server may speak first */
		return;
	}
	stream_set_owner(c->down, on_first_event, c);
	c->timer = timer_cancel(c->timer);
	if (loop_timer(c->guest->gateway->loop, FIRST_BYTES_MS, on_late, c, &c->timer) < 0) {
		connection_free(c);
		return;
	}
	(void)decide_first(c);
}

uint64_t
connections_bytes(const struct guest *guest)
{
	uint64_t bytes = 0;
	for (const struct connection *c = guest->connections; c != NULL; c = c->next) {
		if (c->down != NULL)
			bytes += stream_bytes_in(c->down) + stream_bytes_out(c->down);
		else if (c->raw != NULL)
			bytes += raw_bytes(c->raw);
		else if (c->http != NULL)
			bytes += http_relay_bytes(c->http);
	}
	return bytes;
}

/* ---- the policy changed ---- */

void
connections_policy_changed(struct guest *guest)
{
	for (struct connection *c = guest->connections, *next; c != NULL; c = next) {
		next = c->next; /* none of these ends another */
		if (c->raw != NULL)
			raw_ask_again(c);
		else if (c->http != NULL)
			http_policy_changed(c);
	}
}

/* ---- where to ---- */

static void
on_reach(const struct reach *reach, void *data)
{
	struct connection *c = data;
	if (reach == NULL) {
		connection_refuse(c, NULL, "nobody decides: the arbiter is gone");
		return;
	}
	c->reach = *reach;
	if (!reach->raw && !reach->plain && !reach->intercept)
		connection_refuse(c, "connection-refused", "no rule permits anything there");
	else
		connection_classify(c);
}

/* The name, or the address as text, that the connection FD was made to. */
static int
find_destination(struct connection *c, int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to;
	struct in6_addr address = IN6ADDR_ANY_INIT;
	socklen_t len = sizeof(to);
	if (getsockname(fd, &to.any, &len) < 0)
		return -errno;
	if (to.any.sa_family == AF_INET) {
		address.s6_addr[10] = address.s6_addr[11] = 0xff;
		memcpy(&address.s6_addr[12], &to.v4.sin_addr, 4);
	} else
		address = to.v6.sin6_addr;
	const char *name = names_find(c->guest->names, &address);
	if (name != NULL) {
		(void)snprintf(c->host, sizeof(c->host), "%s", name);
		return 0;
	}
	bool mapped = IN6_IS_ADDR_V4MAPPED(&address);
	if (inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? &address.s6_addr[12] : address.s6_addr,
		c->host, sizeof(c->host)) == NULL)
		return -EINVAL;
	/* An address that we would give out, but did not, here. */
	return names_is_synthetic(&address) ? -EADDRNOTAVAIL : 0;
}

static void
on_early_event(struct stream *stream, enum stream_event event, void *data)
{
	(void)stream;
	if (event == STREAM_FAILED)
		connection_free(data);
}

void
connection_new(struct guest *guest, int fd, int port, bool proxy)
{
	struct gateway *gateway = guest->gateway;
	struct connection *c = NULL;
	if (guest->n_connections < CONNECTIONS_MAX && !guest->used_up &&
	    gateway->n_connections < GATEWAY_CONNECTIONS_MAX)
		c = calloc(1, sizeof(*c));
	if (c == NULL) {
		guest->usage.denied++;
		(void)close(fd);
		return;
	}
	c->guest = guest;
	c->port = port;
	c->proxy = proxy;
	c->next = guest->connections;
	if (c->next != NULL)
		c->next->prev = c;
	guest->connections = c;
	guest->n_connections++;
	gateway->n_connections++;
	guest->usage.connections++;
	int r = proxy ? 0 : find_destination(c, fd);
	if (r == -EADDRNOTAVAIL) {
		(void)close(fd);
		connection_refuse(c, "connection-refused", "no name was given this address here");
		return;
	}
	if (r < 0)
		(void)close(fd);
	if (r < 0 || stream_new(gateway->loop, fd, on_early_event, c, &c->down) < 0) {
		connection_free(c);
		return;
	}
	if (guest->meter != NULL)
		stream_set_meter(c->down, guest->meter);
	if (proxy)
		http_begin(c);
	else
		reach_ask(guest, c->host, port, on_reach, c, &c->question);
}
