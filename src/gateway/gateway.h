/* What the parts of rf-gateway share: one process, one loop, one tenant; a guest for each of its sandboxes.
 *
 * The parts, in the order in which a connection meets them:
 *   dispatch.c   which message from which sibling goes where
 *   guests.c     sandboxes that come and go, their listeners
 *   names.c      synthetic addresses                 dns.c        the resolver that gives them out
 *   reach.c      what the arbiter says could be reached; remembered until it changes
 *   accept.c     a connection: where to, what it speaks
 *   ask.c        proposing an action, its verdict, its end
 *   upstream.c   dialing by ticket, TLS, connections kept for the next request
 *   raw.c        net actions: bytes in both directions
 *   http*.c      http and git actions: requests and responses, read and written anew
 *   git_guard.c  what a push would change */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/uuid.h"
#include "gateway/names.h"
#include "io/loop.h"
#include "io/stream.h"
#include "io/tls.h"
#include "ipc/dispatch.h"

enum peer { PEER_SUPERVISOR, PEER_ARBITER, PEER_DIALER, PEER_VAULT };

struct guest;
struct listener;
struct connection;
struct reach_cache;
struct upstream;
struct verified;
struct secret; /* a credential that a guest's action was granted (secrets.c) */

struct gateway {
	struct loop *loop;
	struct conn *supervisor, *arbiter, *dialer, *vault; /* NULL while there is none */
	struct timer *orphaned;                             /* until we end without an arbiter */
	struct tls_trust *trust;                            /* owned */
	struct buf bundle; /* the authorities behind it, as text: sandboxes get it, too */
	struct guest *guests;
	unsigned n_connections;
};

struct guest_usage {
	uint64_t connections, requests, denied, bytes_in, bytes_out;
};

/* One sandbox. */
struct guest {
	struct guest *next;
	struct gateway *gateway;
	char id[UUID_TEXT], task[UUID_TEXT];
	struct tls_authority *authority; /* owned */
	struct names *names;             /* owned */
	struct listener *listeners;
	struct connection *connections;
	unsigned n_connections;
	struct reach_cache *reach; /* owned by reach.c */
	struct upstream *idle;     /* owned by upstream.c: kept for the next request */
	struct verified *verified; /* owned by upstream.c */
	unsigned n_idle;
	size_t collected; /* bytes of requests that wait to be decided on */
	struct secret *secrets;
	struct stream_meter *meter; /* owned; NULL: no limit */
	struct guest_usage usage;
	int64_t bytes_max;      /* of all traffic; 0: no limit */
	struct timer *watching; /* that limit */
	bool used_up;
	int64_t notes_at_ns; /* how much more may be told to the ledger (guests.c) */
	unsigned notes_left;
	struct json *denials; /* owned: the first ones, for whoever started the sandbox */
};

/* guests.c */
int guest_on_open(struct conn *conn, struct msg *m);
int guest_on_listen(struct conn *conn, struct msg *m);
int guest_on_close(struct conn *conn, struct msg *m);
struct guest *guest_find(struct gateway *gateway, const char *id);
/* Something of GUEST's was refused: counted, listed, and to the ledger as EVENT (MSG_NET_NOTE; within a rate). WHAT is
 * what it wanted ("example.com:443"), NEEDED the rule that would be needed, or NULL. */
void guest_denied(struct guest *guest, const char *event, const char *what, const char *reason,
    const char *needed);

/* reach.c: what could be reached at HOST and PORT (0: any). FN is called at once if it is known (also before this
 * returns), else later, and then *PLACE is the question meanwhile. REACH is NULL if the arbiter cannot be asked: then
 * nothing may be done. The guest's end forgets every question. */
struct reach {
	bool reach, raw, plain, intercept, git;
};
typedef void reach_fn(const struct reach *reach, void *data);
struct reach_question;
void reach_ask(struct guest *guest, const char *host, int port, reach_fn *fn, void *data,
    struct reach_question **place);
/* FN will not be called; its place is NULL then. Accepts NULL. */
void reach_forget(struct reach_question *question);
int reach_on_reached(struct conn *conn, struct msg *m);
int reach_on_changed(struct conn *conn, struct msg *m);
/* Whether M answered a question of ours. */
bool reach_on_error(struct conn *conn, struct msg *m);
void reach_all_lost(struct gateway *gateway);
void reach_done(struct guest *guest);

/* accept.c: what is under way is asked for again, or ends. */
void connections_policy_changed(struct guest *guest);
/* Bytes of GUEST's connections that are open, both ways. */
uint64_t connections_bytes(const struct guest *guest);

/* dns.c: serves FD (taken) for GUEST: a UDP socket, or a listening TCP one. 0 or -errno. */
struct dns_server;
int dns_server_new(struct guest *guest, int fd, bool tcp, struct dns_server **ret) MUST_CHECK;
struct dns_server *dns_server_free(struct dns_server *server);
