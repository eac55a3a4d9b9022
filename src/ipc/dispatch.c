/* One conversation: receives packets, admits them by the program's table, queues what cannot be
 * sent at once.
 *
 *     open ── malformed, unlisted or refused message, end of file, queue full, conn_close ──▶ closing
 *     closing ── end of the loop's round: on_closed, then freed
 *
 * Open: the watch is live. Closing: no handler is called any more, nothing is sent; the pointer
 * stays valid until the end of the round, so a handler may close any conversation, also its own. */
#include "ipc/dispatch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/log.h"
#include "ipc/messages.h"

#define QUEUE_BYTES_MAX (1024 * 1024)
#define MESSAGES_PER_TURN 16u /* then the other conversations have theirs */
#define LOOK_EVERY 8u         /* turns; then whether more than one waits */
#define ACCEPTS_PER_TURN 16

/* One packet that waits for room in the socket. */
struct queued {
	struct queued *next;
	struct buf packet;
	int fds[MSG_FDS_MAX];
	unsigned n_fds;
};

struct conn {
	struct loop *loop;
	struct watch *watch;
	struct deferred end;
	int fd; /* owned */
	unsigned peer, state;
	uid_t uid;
	gid_t gid;
	const struct route *routes;
	conn_closed_fn *on_closed;
	void *data;
	struct queued *first, **last;
	size_t queued_bytes, n_queued;
	uint32_t last_serial;
	unsigned turns; /* of reading */
	bool many;      /* several messages came in one turn, when we last looked */
	bool closing;
};

/* ---- the end ---- */

static void
queued_free(struct queued *q)
{
	for (unsigned i = 0; i < q->n_fds; i++)
		if (q->fds[i] >= 0)
			(void)close(q->fds[i]);
	buf_done(&q->packet);
	free(q);
}

static void
drop_first(struct conn *conn)
{
	struct queued *q = conn->first;
	conn->first = q->next;
	if (conn->first == NULL)
		conn->last = &conn->first;
	conn->queued_bytes -= q->packet.len;
	conn->n_queued--;
	queued_free(q);
}

static void
on_end(void *data)
{
	struct conn *conn = data;
	if (conn->on_closed != NULL)
		conn->on_closed(conn);
	while (conn->first != NULL)
		drop_first(conn);
	(void)close(conn->fd);
	free(conn);
}

void
conn_close(struct conn *conn)
{
	if (conn == NULL || conn->closing)
		return;
	conn->closing = true;
	conn->watch = watch_remove(conn->watch);
	loop_defer(conn->loop, &conn->end);
}

/* Ends the conversation because the peer broke the rules, and says so. */
static void
end_broken(struct conn *conn, const char *reason, const struct msg *m)
{
	char type[16] = "", peer[16];
	if (m != NULL)
		(void)snprintf(type, sizeof(type), "%u", m->type);
	(void)snprintf(peer, sizeof(peer), "%u", conn->peer);
	log_event(
	    LOG_WARNING, "conversation-ended", "reason", reason, "type", type, "peer", peer, NULL);
	conn_close(conn);
}

/* ---- receiving ---- */

/* The route that admits M, or NULL with the reason it was refused for. */
static const struct route *
find_route(const struct conn *conn, const struct msg *m, const char **ret_reason)
{
	*ret_reason = "unlisted";
	for (const struct route *r = conn->routes; r->handle != NULL; r++) {
		if (r->type != m->type || (r->peers & 1U << conn->peer) == 0)
			continue;
		*ret_reason = "wrong state";
		if (r->states != 0 && (r->states & 1U << conn->state) == 0)
			continue;
		*ret_reason = "too large";
		if (m->body_len > r->max_body)
			return NULL;
		*ret_reason = "too many descriptors";
		return m->n_fds > r->max_fds ? NULL : r;
	}
	return NULL;
}

static void
dispatch(struct conn *conn, struct msg *m)
{
	const char *reason;
	const struct route *route = find_route(conn, m, &reason);
	if (route == NULL) {
		end_broken(conn, reason, m);
		return;
	}
	int r = route->handle(conn, m);
	if (r < 0 && !conn->closing)
		end_broken(conn, strerror(-r), m);
}

/* Reads what waits. Where mostly one message comes at a time, the one that would only say so is saved: the loop comes
 * back if more wait. ALL: everything, whatever was usual. */
static void
receive(struct conn *conn, bool all)
{
	bool look = all || conn->many || conn->turns++ % LOOK_EVERY == 0;
	for (unsigned i = 0; i < (look ? MESSAGES_PER_TURN : 1u) && !conn->closing; i++) {
		struct msg m;
		int r = msg_recv(conn->fd, MSG_DONTWAIT, &m);
		if (r == -EAGAIN) {
			conn->many = i > 1;
			return;
		}
		if (r == 0 || r == -ECONNRESET) {
			conn_close(conn);
			return;
		}
		if (r < 0) {
			end_broken(conn, r == -EBADMSG ? "malformed" : strerror(-r), NULL);
			return;
		}
		dispatch(conn, &m);
		msg_done(&m);
	}
}

bool
conn_receive(struct conn *conn)
{
	if (conn != NULL && !conn->closing)
		receive(conn, /* all= */ true);
	return conn != NULL && !conn->closing;
}

/* ---- sending ---- */

static void
flush(struct conn *conn)
{
	while (conn->first != NULL) {
		struct queued *q = conn->first;
		int r = msg_send_packet(conn->fd, q->packet.data, q->packet.len, q->fds, q->n_fds);
		if (r == -EAGAIN)
			return;
		if (r < 0) {
			conn_close(conn);
			return;
		}
		drop_first(conn);
	}
	if (watch_set_events(conn->watch, EPOLLIN) < 0)
		conn_close(conn);
}

static int
queued_new(const struct buf *packet, const int *fds, unsigned n_fds, struct queued **ret)
{
	struct queued *q = calloc(1, sizeof(*q));
	if (q == NULL)
		return -ENOMEM;
	buf_init(&q->packet, packet->limit);
	int r = buf_add(&q->packet, packet->data, packet->len);
	for (; r == 0 && q->n_fds < n_fds; q->n_fds++) {
		q->fds[q->n_fds] = fcntl(fds[q->n_fds], F_DUPFD_CLOEXEC, 3);
		if (q->fds[q->n_fds] < 0)
			r = -errno;
	}
	if (r < 0) {
		queued_free(q);
		return r;
	}
	*ret = q;
	return 0;
}

static int
enqueue(struct conn *conn, const struct buf *packet, const int *fds, unsigned n_fds)
{
	if (conn->queued_bytes + packet->len > QUEUE_BYTES_MAX)
		return -ENOBUFS;
	struct queued *q;
	int r = queued_new(packet, fds, n_fds, &q);
	if (r < 0)
		return r;
	bool was_empty = conn->first == NULL;
	*conn->last = q;
	conn->last = &q->next;
	conn->queued_bytes += q->packet.len;
	conn->n_queued++;
	return was_empty ? watch_set_events(conn->watch, EPOLLIN | EPOLLOUT) : 0;
}

static int
send_or_queue(struct conn *conn, const struct buf *packet, const int *fds, unsigned n_fds)
{
	if (conn->first == NULL) {
		int r = msg_send_packet(conn->fd, packet->data, packet->len, fds, n_fds);
		if (r != -EAGAIN)
			return r;
	}
	return enqueue(conn, packet, fds, n_fds);
}

int
conn_send(struct conn *conn, uint16_t type, uint32_t serial, const struct json *body,
    const int *fds, unsigned n_fds)
{
	if (conn->closing)
		return -EPIPE;
	_cleanup_buf_ struct buf packet;
	buf_init(&packet, MSG_HEADER_BYTES + MSG_BODY_MAX);
	int r = n_fds > MSG_FDS_MAX ? -EINVAL : msg_encode(type, serial, body, &packet);
	if (r == 0)
		r = send_or_queue(conn, &packet, fds, n_fds);
	if (r == 0)
		return 0;
	/* A peer that waits for what cannot be sent would wait for ever: let it see the end. */
	if (r != -EPIPE && r != -ECONNRESET) {
		char number[16];
		(void)snprintf(number, sizeof(number), "%u", type);
		log_event(LOG_WARNING, "send-failed", "reason", strerror(-r), "type", number, NULL);
	}
	conn_close(conn);
	return r;
}

int
conn_send_take(struct conn *conn, uint16_t type, uint32_t serial, struct json *body)
{
	/* NULL here is a body that could not be built, not an empty one. */
	_cleanup_json_ struct json *owned = body;
	if (owned == NULL) {
		conn_close(conn);
		return -ENOMEM;
	}
	return conn_send(conn, type, serial, owned, NULL, 0);
}

int
conn_send_error(struct conn *conn, uint32_t serial, const struct error *err)
{
	return conn_send_take(conn, MSG_ERROR, serial, msg_error_body(err));
}

static void
on_ready(struct watch *watch, uint32_t events, void *data)
{
	struct conn *conn = data;
	if ((events & EPOLLOUT) != 0)
		flush(conn);
	if (!conn->closing && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		receive(conn, /* all= */ false);
}

/* ---- life ---- */

int
conn_new(struct loop *loop, int fd, unsigned peer, const struct route *routes,
    conn_closed_fn *on_closed, void *data, struct conn **ret)
{
	_cleanup_close_ int owned_fd = fd;
	_cleanup_free_ struct conn *conn = calloc(1, sizeof(*conn));
	if (conn == NULL)
		return -ENOMEM;
	*conn = (struct conn){.loop = loop, .fd = fd, .peer = peer, .routes = routes, .data = data};
	conn->on_closed = on_closed;
	conn->last = &conn->first;
	conn->end = (struct deferred){.fn = on_end, .data = conn};
	int r = msg_peer(fd, &conn->uid, &conn->gid, NULL);
	if (r < 0)
		return r;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	r = loop_watch(loop, fd, EPOLLIN, on_ready, conn, &conn->watch);
	if (r < 0)
		return r;
	(void)TAKE_FD(owned_fd);
	*ret = TAKE_PTR(conn);
	return 0;
}

size_t
conn_queued(const struct conn *conn)
{
	return conn->n_queued;
}

uint32_t
conn_next_serial(struct conn *conn)
{
	if (++conn->last_serial == 0)
		conn->last_serial = 1;
	return conn->last_serial;
}

void *
conn_data(const struct conn *conn)
{
	return conn->data;
}

void
conn_set_data(struct conn *conn, void *data)
{
	conn->data = data;
}

unsigned
conn_peer(const struct conn *conn)
{
	return conn->peer;
}

unsigned
conn_state(const struct conn *conn)
{
	return conn->state;
}

void
conn_set_state(struct conn *conn, unsigned state)
{
	conn->state = state;
}

uid_t
conn_uid(const struct conn *conn)
{
	return conn->uid;
}

gid_t
conn_gid(const struct conn *conn)
{
	return conn->gid;
}

int
conn_fd(const struct conn *conn)
{
	return conn->fd;
}

struct loop *
conn_loop(const struct conn *conn)
{
	return conn->loop;
}

/* ---- accepting ---- */

/* SPARE is given up for a moment when descriptors run out, so that the connection that waits can be
 * taken and refused; else the listener would stay readable and the loop would spin. */
struct acceptor {
	accept_fn *fn;
	void *data;
	int spare;
};

static void
acceptor_done(void *data)
{
	struct acceptor *a = data;
	if (a->spare >= 0)
		(void)close(a->spare);
	free(a);
}

static void
refuse_one(struct acceptor *a, int listener)
{
	if (a->spare >= 0)
		(void)close(a->spare);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		(void)close(fd);
	a->spare = fcntl(listener, F_DUPFD_CLOEXEC, 3);
	log_event(LOG_WARNING, "connection-refused", "reason", "no descriptors left", NULL);
}

static void
on_connection(struct watch *watch, uint32_t events, void *data)
{
	struct acceptor *a = data;
	int listener = watch_fd(watch);
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			a->fn(fd, a->data);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno == EMFILE || errno == ENFILE)
			refuse_one(a, listener);
		return;
	}
}

int
conn_accept(struct loop *loop, int listener, accept_fn *on_accept, void *data, struct watch **ret)
{
	int flags = fcntl(listener, F_GETFL);
	if (flags < 0 || fcntl(listener, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	struct acceptor *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return -ENOMEM;
	*a = (struct acceptor){.fn = on_accept, .data = data};
	a->spare = fcntl(listener, F_DUPFD_CLOEXEC, 3);
	int r = loop_watch(loop, listener, EPOLLIN, on_connection, a, ret);
	if (r < 0) {
		acceptor_done(a);
		return r;
	}
	watch_on_done(*ret, acceptor_done);
	return 0;
}
