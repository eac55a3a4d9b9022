/* One const table per program: which message, from which peer, in which state, at which size, goes
 * to which handler. Everything else ends the conversation. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "io/loop.h"
#include "ipc/msg.h"

struct conn;

/* A handler returns 0, or a negative errno to end the conversation (an answer that says "no" is not
 * an error: reply with MSG_ERROR and return 0). M is borrowed; take descriptors with msg_take_fd. */
typedef int route_fn(struct conn *conn, struct msg *m);
typedef void conn_closed_fn(struct conn *conn);

struct route {
	uint16_t type;
	uint32_t peers;  /* bit mask of enum values that the program defines, 1 << PEER_x */
	uint32_t states; /* bit mask, 1 << STATE_x of conn_set_state; 0 means any */
	size_t max_body; /* bytes */
	unsigned max_fds;
	route_fn *handle;
};

/* Serves FD (taken; made non-blocking) by the table ROUTES (ends with a NULL handler).
 * ON_CLOSED is called once, after which CONN is freed by the loop. PEER is the sender's kind. */
int conn_new(struct loop *loop, int fd, unsigned peer, const struct route *routes,
    conn_closed_fn *on_closed, void *data, struct conn **ret) MUST_CHECK;
/* Ends the conversation after the current callback; ON_CLOSED is called. Accepts NULL. */
void conn_close(struct conn *conn);

/* Sends now, or queues up to 1 MiB (descriptors are duplicated); past that the conversation ends. */
int conn_send(struct conn *conn, uint16_t type, uint32_t serial, const struct json *body,
    const int *fds, unsigned n_fds);
/* As conn_send, and frees BODY. */
int conn_send_take(struct conn *conn, uint16_t type, uint32_t serial, struct json *body);
int conn_send_error(struct conn *conn, uint32_t serial, const struct error *err);
/* Handles what waits in CONN now, before the loop comes to it: for a message whose meaning depends on what another
 * peer sent earlier. Not from CONN's own handler. Whether the conversation goes on; accepts NULL (then not). */
bool conn_receive(struct conn *conn);
/* How many messages wait because the peer does not read. */
size_t conn_queued(const struct conn *conn);
/* The next serial for a request of ours; never 0. */
uint32_t conn_next_serial(struct conn *conn);

void *conn_data(const struct conn *conn);
void conn_set_data(struct conn *conn, void *data);
unsigned conn_peer(const struct conn *conn);
unsigned conn_state(const struct conn *conn);
void conn_set_state(struct conn *conn, unsigned state);
/* Peer credentials, read once at conn_new. */
uid_t conn_uid(const struct conn *conn);
gid_t conn_gid(const struct conn *conn);
int conn_fd(const struct conn *conn);
/* The loop it runs in. */
struct loop *conn_loop(const struct conn *conn);

/* Accepts on LISTENER (borrowed) for ever; ON_ACCEPT takes FD. 0 or -errno. */
typedef void accept_fn(int fd, void *data);
int conn_accept(struct loop *loop, int listener, accept_fn *on_accept, void *data,
    struct watch **ret) MUST_CHECK;
