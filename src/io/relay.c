/* Two streams joined: what one receives the other sends, until both have ended.
 *
 * Plain streams without a meter: first what waits in them, then splice(2) from socket to pipe to socket, where the bytes
 * are never copied to us. A pipe is held only while bytes are in it; empty ones wait in a small store, so that a thousand
 * idle connections hold none. Others (TLS, metered): read and written through the streams' buffers.
 *
 * An end of one half is handed on as such, when all bytes before it are through. A failure ends both at once, the other
 * side with a reset. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "io/stream_priv.h"

#define PIPE_BYTES (1024 * 1024) /* the most that anybody may have */
#define PIPE_BYTES_LESS (256 * 1024)
#define SPLICES_PER_TURN 4 /* before others get theirs */
#define PIPES_KEPT 16

struct pipe_ends {
	int read, write;
};

struct direction {
	struct stream *from, *to;
	struct pipe_ends pipe; /* while bytes are in it, else -1 */
	size_t held;           /* bytes in the pipe */
	uint64_t bytes;
	bool done; /* the end is handed on */
};

struct relay {
	struct stream *a, *b; /* the relay's memory lives as long as A's */
	struct direction ways[2];
	relay_fn *fn;
	void *data;
	struct deferred work;
	int64_t active_ns;
	bool copies; /* through the streams' buffers */
	bool over, dead;
	char error[STREAM_ERROR_SIZE];
};

/* Empty pipes for the next direction that needs one. */
static struct pipe_ends kept[PIPES_KEPT];
static size_t n_kept;

static int
pipe_get(struct pipe_ends *ret)
{
	if (n_kept > 0) {
		*ret = kept[--n_kept];
		return 0;
	}
	int ends[2];
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	/* Its size is a matter of speed alone; a user may have some such pipes. */
	if (fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
		(void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES_LESS);
	*ret = (struct pipe_ends){.read = ends[0], .write = ends[1]};
	return 0;
}

static void
pipe_put(struct pipe_ends *ends, bool is_empty)
{
	if (ends->read < 0)
		return;
	if (is_empty && n_kept < PIPES_KEPT) {
		kept[n_kept++] = *ends;
	} else {
		(void)close(ends->read);
		(void)close(ends->write);
	}
	*ends = (struct pipe_ends){-1, -1};
}

/* ---- bytes ---- */

/* Why a stream failed; sending that failed is told by nothing but BROKEN yet. */
static const char *
reason(const struct stream *stream, int r)
{
	return stream->failed ? stream->error : strerror(stream->broken != 0 ? stream->broken : -r);
}

/* The relay ends; the owner hears of it at the end of the round. */
static void
finish(struct relay *relay, const char *error)
{
	if (relay->over)
		return;
	relay->over = true;
	(void)snprintf(relay->error, sizeof(relay->error), "%s", error);
	loop_defer(relay->a->loop, &relay->work);
}

/* What waits in FROM's buffer is given to TO, as far as that may queue. 0 or -errno. */
static int
hand_on_waiting(struct direction *way)
{
	size_t len;
	const uint8_t *bytes = stream_peek(way->from, &len);
	if (len == 0 || stream_queued(way->to) > STREAM_HIGH_WATER)
		return 0;
	int r = stream_write(way->to, bytes, len);
	if (r < 0)
		return r;
	way->bytes += len;
	stream_consume(way->from, len);
	return 0;
}

/* From FROM's socket into the pipe. The number of bytes; 0: none now, or the end (FROM has ended); -errno. */
static ssize_t
splice_in(struct direction *way)
{
	if (!way->from->readable || way->from->ended)
		return 0;
	int r = way->pipe.read < 0 ? pipe_get(&way->pipe) : 0;
	if (r < 0)
		return r;
	ssize_t n;
	do
		n = splice(
		    way->from->fd, NULL, way->pipe.write, NULL, PIPE_BYTES, SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		way->from->readable = false;
		return 0;
	}
	if (n < 0)
		return -errno;
	way->from->ended = n == 0;
	way->from->bytes_in += (uint64_t)n;
	way->held += (size_t)n;
	return n;
}

/* From the pipe into TO's socket. 0 (HELD says what remains) or -errno. */
static int
splice_out(struct direction *way)
{
	while (way->held > 0 && way->to->writable) {
		ssize_t n =
		    splice(way->pipe.read, NULL, way->to->fd, NULL, way->held, SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			way->to->writable = false;
			return 0;
		}
		if (n <= 0)
			return n == 0 ? -EPIPE : -errno;
		way->held -= (size_t)n;
		way->bytes += (uint64_t)n;
		way->to->bytes_out += (uint64_t)n;
	}
	return 0;
}

/* One direction in the kernel, for a while. 0, -EINVAL (this socket cannot be spliced), or another -errno with RET_WHO. */
static int
move(struct direction *way, const struct stream **ret_who)
{
	*ret_who = way->to;
	int r = hand_on_waiting(way);
	if (r == 0)
		r = stream_flush(way->to);
	if (r < 0 || stream_queued(way->to) > 0)
		return r;
	for (int turn = 0; turn < SPLICES_PER_TURN; turn++) {
		r = splice_out(way);
		if (r < 0 || way->held > 0)
			return r;
		ssize_t n = splice_in(way);
		if (n < 0) {
			*ret_who = way->from;
			return (int)n;
		}
		if (n == 0)
			break;
	}
	r = splice_out(way);
	if (r < 0 || way->held > 0)
		return r;
	pipe_put(&way->pipe, /* is_empty= */ true);
	size_t waits;
	(void)stream_peek(way->from, &waits);
	if (way->from->ended && waits == 0 && !way->done) {
		way->done = true;
		if (shutdown(way->to->fd, SHUT_WR) < 0 && errno != ENOTCONN)
			return -errno;
	} else if (way->from->readable && !way->from->ended) {
		stream_again(way->from);
	}
	return 0;
}

/* One direction through the buffers. 0 or -errno. */
static int
copy(struct direction *way)
{
	int r = hand_on_waiting(way);
	if (r < 0)
		return r;
	size_t waits;
	(void)stream_peek(way->from, &waits);
	if (stream_ended(way->from) && waits == 0)
		stream_end(way->to);
	way->done = way->to->shut;
	return 0;
}

/* ---- both directions ---- */

static void
note_activity(struct relay *relay, uint64_t before)
{
	if (relay->ways[0].bytes + relay->ways[1].bytes != before)
		relay->active_ns = clock_monotonic_ns();
}

static void
copy_both(struct relay *relay)
{
	uint64_t before = relay->ways[0].bytes + relay->ways[1].bytes;
	int r = 0;
	for (int i = 0; i < 2 && r == 0; i++)
		r = copy(&relay->ways[i]);
	note_activity(relay, before);
	/* A stream that does not take ours any more says so itself, after what it still had for us. */
	if (r == 0 && relay->ways[0].done && relay->ways[1].done)
		finish(relay, "");
}

static void
on_stream(struct stream *stream, enum stream_event event, void *data)
{
	struct relay *relay = data;
	if (relay->over)
		return;
	copy_both(relay);
	if (event == STREAM_FAILED)
		finish(relay, stream_error(stream));
}

static void
use_buffers(struct relay *relay)
{
	relay->copies = true;
	relay->a->ready = relay->b->ready = NULL;
	loop_defer(relay->a->loop, &relay->a->work);
	loop_defer(relay->b->loop, &relay->b->work);
	loop_defer(relay->a->loop, &relay->work);
}

static void
move_both(struct relay *relay)
{
	uint64_t before = relay->ways[0].bytes + relay->ways[1].bytes;
	const struct stream *who[2];
	int r[2];
	for (int i = 0; i < 2; i++)
		r[i] = move(&relay->ways[i], &who[i]);
	note_activity(relay, before);
	for (int i = 0; i < 2; i++) {
		bool nothing_moved = relay->ways[0].held == 0 && relay->ways[1].held == 0;
		if (r[i] == -EINVAL && who[i] == relay->ways[i].from && nothing_moved) {
			use_buffers(relay);
			return;
		}
		if (r[i] < 0)
			finish(relay, reason(who[i], r[i]));
	}
	if (relay->ways[0].done && relay->ways[1].done)
		finish(relay, "");
}

static void
pump(struct relay *relay)
{
	if (relay->over)
		return;
	if (relay->a->failed || relay->b->failed)
		finish(relay, relay->a->failed ? relay->a->error : relay->b->error);
	else if (relay->copies)
		copy_both(relay);
	else
		move_both(relay);
}

static void
on_ready(struct stream *stream, void *data)
{
	pump(data);
}

static void
on_work(void *data)
{
	struct relay *relay = data;
	if (relay->dead)
		return;
	if (relay->over)
		relay->fn(relay, relay->data);
	else
		pump(relay);
}

/* ---- life ---- */

static bool
can_splice(const struct stream *stream)
{
	return stream->tls == NULL && stream->meter == NULL;
}

int
relay_new(struct stream *a, struct stream *b, relay_fn *done, void *data, struct relay **ret)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	if (relay == NULL)
		return -ENOMEM;
	*relay = (struct relay){.a = a,
	    .b = b,
	    .ways = {{.from = a, .to = b, .pipe = {-1, -1}},
		{.from = b, .to = a, .pipe = {-1, -1}}},
	    .fn = done,
	    .data = data,
	    .work = {.fn = on_work, .data = relay},
	    .active_ns = clock_monotonic_ns(),
	    .copies = !can_splice(a) || !can_splice(b)};
	a->luggage = relay;
	stream_set_owner(a, on_stream, relay);
	stream_set_owner(b, on_stream, relay);
	if (!relay->copies) {
		a->ready = b->ready = on_ready;
		a->ready_data = b->ready_data = relay;
	}
	loop_defer(a->loop, &relay->work);
	*ret = relay;
	return 0;
}

struct relay *
relay_free(struct relay *relay)
{
	if (relay == NULL || relay->dead)
		return NULL;
	relay->dead = true;
	for (int i = 0; i < 2; i++)
		pipe_put(&relay->ways[i].pipe, /* is_empty= */ false);
	bool cut = !relay->over || relay->error[0] != 0; /* what is cut must not look whole */
	relay->b = cut ? stream_abort(relay->b) : stream_free(relay->b);
	relay->a = cut ? stream_abort(relay->a) : stream_free(relay->a);
	return NULL;
}

uint64_t
relay_bytes(const struct relay *relay, bool from_a)
{
	return relay->ways[from_a ? 0 : 1].bytes;
}

int64_t
relay_idle_ms(const struct relay *relay)
{
	return (clock_monotonic_ns() - relay->active_ns) / 1000000;
}

const char *
relay_error(const struct relay *relay)
{
	return relay->error;
}
