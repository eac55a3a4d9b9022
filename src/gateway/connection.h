/* One connection that a sandbox made: where to, and who serves it now. */
#pragma once

#include "gateway/gateway.h"

#define CONNECTIONS_MAX 1024 /* of one guest */
#define HOST_MAX 256

struct raw;
struct http;

struct connection {
	struct connection *next, *prev;
	struct guest *guest;
	struct stream *down; /* owned: to the sandbox */
	char host
	    [HOST_MAX]; /* where to: a name, or an address as text; "" on the proxy's port until it says */
	int port;
	bool proxy;      /* it came to the proxy's port, and nothing has been asked for yet */
	bool tunnel;     /* by CONNECT: nothing of the request is left */
	bool secured;    /* TLS with us */
	bool cut;        /* an answer ends before its end: the sandbox must see a reset */
	size_t lingered; /* bytes dropped while it ends */
	struct reach reach;
	struct reach_question *question;
	struct timer *timer;
	struct raw *raw;   /* owned: serves it as bytes */
	struct http *http; /* owned: serves it as HTTP */
};

/* accept.c */

/* Serves FD (taken), which came to PORT. */
void connection_new(struct guest *guest, int fd, int port, bool proxy);
/* Closes it at once. */
void connection_free(struct connection *connection);
/* Closes it because WHAT went wrong with it; noted for people as EVENT. */
void connection_refuse(struct connection *connection, const char *event, const char *reason);
/* Where it goes is known (host, port, reach): waits for its first bytes, and gives it to whoever serves those. */
void connection_classify(struct connection *connection);
/* "host:port" of it. */
void connection_what(const struct connection *connection, char *ret, size_t size);

/* raw.c: a net action. DOWN's bytes so far (a ClientHello, or nothing yet) are in the stream. OPENED, if set, is called
 * when the upstream is connected or cannot be (then ok is false, and the connection is the callee's to end). */
typedef void raw_opened_fn(struct connection *connection, bool ok, const char *reason);
void raw_begin(struct connection *connection, raw_opened_fn *opened);
void raw_free(struct raw *raw);
uint64_t raw_bytes(const struct raw *raw);
/* The policy changed: C's connection goes on only if it would be allowed now. May free C. */
void raw_ask_again(struct connection *c);

/* http.c: HTTP/1.1 on DOWN, to (host, port), or on the proxy's port to wherever each request says. */
void http_begin(struct connection *connection);
void http_free(struct http *http);
/* Bytes that passed since nobody reads them (after 101). */
uint64_t http_relay_bytes(const struct http *http);
/* The policy changed: what nobody reads any more (after 101) ends. May free C. */
void http_policy_changed(struct connection *c);
