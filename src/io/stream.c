/* Streams: what arrives waits, what is written goes or is queued. See stream.h for the contract.
 *
 * Everything happens in a step: after an event of the socket, when the meter has tokens again, or (to write what several
 * calls queued in one go, and to go on after the owner made room) at the end of the loop's round. At the end of a round
 * nothing is received: two streams that feed each other would otherwise keep the loop there for ever.
 *
 * A callback may free its stream: the memory lives until the loop frees the watch, DEAD says that it is over. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "io/stream_priv.h"

#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define FIRST_READ (16 * 1024)
#define LATER_READ (64 * 1024)
#define READS_PER_STEP 4         /* READABLE events before others get their turn */
#define DIRECT_WRITE (16 * 1024) /* from this size on nothing is gained by waiting for more */
#define LOW_WATER (16 * 1024)    /* "nearly sent" */

static void on_socket(struct watch *watch, uint32_t events, void *data);
static void on_deferred(void *data);
static void on_watch_freed(void *data);

/* ---- birth and death ---- */

int
stream_new(struct loop *loop, int fd, stream_fn *fn, void *data, struct stream **ret)
{
	_cleanup_close_ int socket = fd;
	int flags = fcntl(socket, F_GETFL);
	if (flags < 0 ||
	    ((flags & O_NONBLOCK) == 0 && fcntl(socket, F_SETFL, flags | O_NONBLOCK) < 0))
		return -errno;
	int on = 1; /* fails for a Unix socket, which has no delay */
	(void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	struct stream *stream = calloc(1, sizeof(*stream));
	if (stream == NULL)
		return -ENOMEM;
	*stream = (struct stream){.loop = loop,
	    .fn = fn,
	    .data = data,
	    .fd = fd,
	    .high_water = STREAM_HIGH_WATER,
	    .writable = true,
	    .work = {.fn = on_deferred, .data = stream}};
	int r = loop_watch(loop, fd, EVENTS, on_socket, stream, &stream->watch);
	if (r < 0) {
		free(stream);
		return r;
	}
	watch_on_done(stream->watch, on_watch_freed);
	(void)TAKE_FD(socket);
	*ret = stream;
	return 0;
}

struct stream *
stream_free(struct stream *stream)
{
	if (stream == NULL || stream->dead)
		return NULL;
	stream->dead = true;
	meter_leave(stream);
	stream->tls = tls_session_free(stream->tls);
	fifo_done(&stream->in);
	fifo_done(&stream->out);
	watch_remove(stream->watch);
	close_fd(&stream->fd);
	return NULL;
}

struct stream *
stream_abort(struct stream *stream)
{
	if (stream == NULL || stream->dead)
		return NULL;
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	(void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return stream_free(stream);
}

static void
on_watch_freed(void *data)
{
	struct stream *stream = data;
	if (!stream->dead)
		return; /* its owner forgot it: a leak rather than a stream that is gone */
	free(stream->luggage);
	free(stream);
}

void
stream_set_owner(struct stream *stream, stream_fn *fn, void *data)
{
	stream->fn = fn;
	stream->data = data;
}

int
stream_fail(struct stream *stream, int errnum, const char *fmt, ...)
{
	if (!stream->failed) {
		va_list args;
		va_start(args, fmt);
		(void)vsnprintf(stream->error, sizeof(stream->error), fmt, args);
		va_end(args);
		stream->failed = true;
		fifo_done(&stream->out);
		loop_defer(stream->loop, &stream->work);
	}
	return -errnum;
}

/* Whether the stream is still there and still ours to drive. */
static bool
emit(struct stream *stream, enum stream_event event)
{
	stream->in_callback = true;
	stream->fn(stream, event, stream->data);
	stream->in_callback = false;
	if (stream->dead)
		return false;
	fifo_trim(&stream->in);
	return stream->ready == NULL && !stream->handshaking;
}

static void
tell_failure(struct stream *stream)
{
	if (stream->told)
		return;
	stream->told = true;
	(void)emit(stream, STREAM_FAILED);
}

/* ---- the socket ---- */

ssize_t
stream_receive(struct stream *stream, void *bytes, size_t len)
{
	if (!stream->readable || stream->socket_rests)
		return -EAGAIN;
	size_t may = meter_take(stream, WAY_IN, len);
	if (may == 0)
		return -EAGAIN;
	ssize_t n;
	do
		n = recv(stream->fd, bytes, may, 0);
	while (n < 0 && errno == EINTR);
	int r = n < 0 ? -errno : 0;
	size_t got = n < 0 ? 0 : (size_t)n;
	meter_give_back(stream, WAY_IN, may - got);
	stream->bytes_in += got;
	if (r == -EAGAIN || r == -EWOULDBLOCK) {
		stream->readable = false;
		return -EAGAIN;
	}
	if (r < 0)
		return stream_fail(stream, -r, "%s", strerror(-r));
	/* Less than asked for: the socket is empty, and says so when that changes; but an end that was
	 * announced already is not announced again. */
	if (got > 0 && got < may)
		stream->readable = stream->hung_up;
	return n;
}

ssize_t
stream_send(struct stream *stream, const void *bytes, size_t len)
{
	if (stream->broken != 0)
		return -stream->broken;
	if (!stream->writable)
		return -EAGAIN;
	size_t may = meter_take(stream, WAY_OUT, len);
	if (may == 0)
		return -EAGAIN;
	ssize_t n;
	do
		n = send(stream->fd, bytes, may, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	int r = n < 0 ? -errno : 0;
	meter_give_back(stream, WAY_OUT, n < 0 ? may : may - (size_t)n);
	if (r == -EAGAIN || r == -EWOULDBLOCK) {
		stream->writable = false;
		return -EAGAIN;
	}
	if (r < 0) {
		stream->broken = -r;
		loop_defer(stream->loop, &stream->work);
		return r;
	}
	stream->bytes_out += (uint64_t)n;
	return n;
}

static ssize_t
get(struct stream *stream, void *bytes, size_t len)
{
	return stream->tls != NULL ? stream_tls_read(stream, bytes, len)
				   : stream_receive(stream, bytes, len);
}

static ssize_t
put(struct stream *stream, const void *bytes, size_t len)
{
	return stream->tls != NULL ? stream_tls_write(stream, bytes, len)
				   : stream_send(stream, bytes, len);
}

/* ---- reading ---- */

static bool
is_full(const struct stream *stream)
{
	return fifo_len(&stream->in) >= stream->high_water;
}

static bool
may_have_more(const struct stream *stream)
{
	if (stream->ended || stream->failed)
		return false;
	return (stream->readable && !stream->socket_rests) ||
	    (stream->tls != NULL && stream_tls_pending(stream));
}

/* Reads until as much waits as may, or there is no more for now. Whether the owner has something new to see. */
static bool
fill(struct stream *stream)
{
	bool news = false;
	size_t chunk = FIRST_READ;
	while (may_have_more(stream) && !is_full(stream)) {
		size_t want = MIN(stream->high_water - fifo_len(&stream->in), chunk);
		uint8_t *at = fifo_reserve(&stream->in, want);
		if (at == NULL) {
			stream_fail(stream, ENOMEM, "out of memory");
			break;
		}
		ssize_t n = get(stream, at, want);
		if (n < 0)
			break;
		if (n == 0 && stream->broken != 0)
			break; /* what looks like an end may be the reset that broke it */
		news = true;
		stream->ended = n == 0;
		fifo_grew(&stream->in, (size_t)n);
		if ((size_t)n == want)
			chunk = LATER_READ;
	}
	fifo_trim(&stream->in);
	return news;
}

/* What the peer sent before it stopped taking ours may be its answer: that is read first. */
static void
fail_if_broken(struct stream *stream)
{
	if (stream->broken != 0 && !is_full(stream))
		stream_fail(stream, stream->broken, "%s", strerror(stream->broken));
}

static void
pull(struct stream *stream)
{
	bool rested = stream->socket_rests;
	for (int round = 0;; round++) {
		if (round == READS_PER_STEP)
			stream->socket_rests = true;
		bool news = fill(stream);
		if (!news && (!stream->socket_rests || !stream->readable))
			fail_if_broken(stream);
		if (news && !emit(stream, STREAM_READABLE))
			break;
		if (stream->failed) {
			tell_failure(stream);
			break;
		}
		if (!news || is_full(stream))
			break;
	}
	bool rests = stream->socket_rests;
	stream->socket_rests = rested;
	if (!stream->dead && rests && stream->readable && !stream->ended && !stream->failed &&
	    !is_full(stream))
		stream_again(stream);
}

const uint8_t *
stream_peek(const struct stream *stream, size_t *ret_len)
{
	*ret_len = fifo_len(&stream->in);
	return *ret_len == 0 ? (const uint8_t *)"" : fifo_data(&stream->in);
}

void
stream_consume(struct stream *stream, size_t len)
{
	bool was_full = is_full(stream);
	fifo_drop(&stream->in, len);
	if (stream->in_callback)
		return;
	fifo_trim(&stream->in);
	if (was_full && !is_full(stream))
		loop_defer(stream->loop, &stream->work);
}

bool
stream_ended(const struct stream *stream)
{
	return stream->ended;
}

void
stream_set_high_water(struct stream *stream, size_t bytes)
{
	stream->high_water = MAX(bytes, (size_t)1);
	loop_defer(stream->loop, &stream->work);
}

/* ---- writing ---- */

/* Sends of the LEN bytes as many as go; how many, or -errno. */
static ssize_t
put_all(struct stream *stream, const uint8_t *bytes, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = put(stream, bytes + done, len - done);
		if (n == -EAGAIN)
			break;
		if (n < 0)
			return n;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int
send_end(struct stream *stream)
{
	if (stream->tls != NULL) {
		int r = stream_tls_end(stream);
		if (r < 0)
			return r == -EAGAIN ? 0 : r;
	}
	stream->shut = true;
	if (shutdown(stream->fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return stream_fail(stream, errno, "%s", strerror(errno));
	return 0;
}

int
stream_flush(struct stream *stream)
{
	if (stream->handshaking)
		return 0;
	if (fifo_len(&stream->out) > 0) {
		ssize_t n = put_all(stream, fifo_data(&stream->out), fifo_len(&stream->out));
		if (n < 0) {
			fifo_done(&stream->out);
			return (int)n;
		}
		fifo_drop(&stream->out, (size_t)n);
		fifo_trim(&stream->out);
	}
	if (fifo_len(&stream->out) == 0 && stream->ending && !stream->shut)
		return send_end(stream);
	return 0;
}

static int
queue(struct stream *stream, const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return 0;
	if (fifo_add(&stream->out, bytes, len) < 0)
		return stream_fail(stream, ENOMEM, "out of memory");
	stream->drain_due = true;
	stream->was_long |= fifo_len(&stream->out) > LOW_WATER;
	loop_defer(stream->loop, &stream->work);
	return 0;
}

/* Much is written at once: what is queued, filled up to a record, and then straight from the caller's memory. */
static int
write_much(struct stream *stream, const uint8_t *bytes, size_t len)
{
	size_t queued = fifo_len(&stream->out);
	if (queued > 0) {
		size_t first = queued < DIRECT_WRITE ? MIN(len, DIRECT_WRITE - queued) : 0;
		int r = queue(stream, bytes, first);
		if (r == 0)
			r = stream_flush(stream);
		if (r < 0)
			return r;
		bytes += first;
		len -= first;
	}
	if (fifo_len(&stream->out) == 0) {
		ssize_t n = put_all(stream, bytes, len);
		if (n < 0)
			return (int)n;
		bytes += n;
		len -= (size_t)n;
	}
	return queue(stream, bytes, len);
}

int
stream_write(struct stream *stream, const void *bytes, size_t len)
{
	if (stream->failed || stream->ending || stream->broken != 0)
		return -EPIPE;
	if (stream->handshaking || !stream->writable || fifo_len(&stream->out) + len < DIRECT_WRITE)
		return queue(stream, bytes, len);
	return write_much(stream, bytes, len);
}

size_t
stream_queued(const struct stream *stream)
{
	return fifo_len(&stream->out);
}

void
stream_end(struct stream *stream)
{
	if (stream->ending)
		return;
	stream->ending = true;
	stream->drain_due = true;
	loop_defer(stream->loop, &stream->work);
}

/* Whether the stream is still ours to drive. */
static bool
tell_drained(struct stream *stream)
{
	size_t queued = fifo_len(&stream->out);
	bool all = stream->drain_due && queued == 0 && stream->ending == stream->shut;
	if (!all && !(stream->was_long && queued <= LOW_WATER))
		return true;
	stream->was_long = false;
	if (all)
		stream->drain_due = false;
	return emit(stream, STREAM_DRAINED);
}

/* ---- the step ---- */

/* Whether the stream is secured and still ours to drive. */
static bool
go_on_handshaking(struct stream *stream)
{
	int r = stream_tls_handshake(stream);
	if (r < 0)
		tell_failure(stream);
	else if (r == 0 && stream->socket_rests && stream->readable)
		stream_again(stream);
	if (r <= 0)
		return false;
	stream->handshaking = false;
	return emit(stream, STREAM_SECURED);
}

static void
step(struct stream *stream)
{
	if (stream->dead)
		return;
	if (stream->ready != NULL) {
		stream->ready(stream, stream->ready_data);
		return;
	}
	if (stream->handshaking && !stream->failed && !go_on_handshaking(stream))
		return;
	if (!stream->failed && stream->broken == 0 && stream_flush(stream) == 0 &&
	    !tell_drained(stream))
		return;
	if (stream->failed)
		tell_failure(stream);
	else
		pull(stream);
}

static void
on_socket(struct watch *watch, uint32_t events, void *data)
{
	struct stream *stream = data;
	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
		stream->readable = stream->hung_up = true;
	if ((events & EPOLLIN) != 0)
		stream->readable = true;
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
		stream->writable = true;
	if ((events & EPOLLERR) != 0 && stream->ended && stream->ready == NULL) {
		int error = 0;
		socklen_t len = sizeof(error);
		if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0)
			stream_fail(stream, error, "%s", strerror(error));
	}
	step(stream);
}

static void
on_deferred(void *data)
{
	struct stream *stream = data;
	if (stream->dead)
		return;
	/* A broken connection says nothing any more: what it said is read now. */
	stream->socket_rests = stream->broken == 0;
	if (stream->broken != 0)
		stream->readable = true;
	step(stream);
	stream->socket_rests = false;
}

void
stream_wake(struct stream *stream)
{
	step(stream);
}

void
stream_again(struct stream *stream)
{
	/* Modifying an edge-triggered watch reports anew what is ready. */
	(void)watch_set_events(stream->watch, EVENTS);
}

/* ---- what is known ---- */

const char *
stream_error(const struct stream *stream)
{
	return stream->error;
}

int
stream_fd(const struct stream *stream)
{
	return stream->fd;
}

uint64_t
stream_bytes_in(const struct stream *stream)
{
	return stream->bytes_in;
}

uint64_t
stream_bytes_out(const struct stream *stream)
{
	return stream->bytes_out;
}
