/* For tests of streams: a loop that is turned by hand, and an end that notes what it hears. */
#pragma once

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "io/stream.h"

struct end {
	struct stream *stream;
	struct buf got; /* what it consumed */
	bool keeps;     /* does not consume */
	unsigned readable, drained, secured, failed;
	bool ended;
	int free_at; /* the event at which it frees its stream, or -1 */
};

static inline void
on_end(struct stream *stream, enum stream_event event, void *data)
{
	struct end *end = data;
	assert_ptr_equal(stream, end->stream);
	if ((int)event == end->free_at) {
		end->stream = stream_free(stream);
		return;
	}
	switch (event) {
	case STREAM_READABLE:
		end->readable++;
		end->ended = stream_ended(stream);
		if (!end->keeps) {
			size_t len;
			const uint8_t *bytes = stream_peek(stream, &len);
			assert_int_equal(buf_add(&end->got, bytes, len), 0);
			stream_consume(stream, len);
		}
		break;
	case STREAM_DRAINED:
		end->drained++;
		break;
	case STREAM_SECURED:
		end->secured++;
		break;
	case STREAM_FAILED:
		end->failed++;
		assert_string_not_equal(stream_error(stream), "");
		break;
	}
}

static inline void
end_open(struct end *end, struct loop *loop, int fd)
{
	*end = (struct end){.free_at = -1};
	buf_init(&end->got, 64u << 20);
	assert_int_equal(stream_new(loop, fd, on_end, end, &end->stream), 0);
}

static inline void
end_close(struct end *end)
{
	end->stream = stream_free(end->stream);
	buf_done(&end->got);
}

static inline void
on_turned(struct timer *timer, void *data)
{
	loop_stop(data, 0);
}

static inline void
turn_within(struct loop *loop, int64_t wait_ms)
{
	struct timer *timer;
	assert_int_equal(loop_timer(loop, wait_ms, on_turned, loop, &timer), 0);
	assert_int_equal(loop_run(loop), 0);
}

/* One round of the loop, without waiting. */
static inline void
turn(struct loop *loop)
{
	turn_within(loop, 0);
}

/* Rounds enough for whatever can happen without the test doing something; the kernel carries TCP's segments of loopback
 * within the call, but when it is busy a little later. */
static inline void
settle(struct loop *loop)
{
	for (int i = 0; i < 20; i++)
		turn(loop);
	for (int i = 0; i < 3; i++)
		turn_within(loop, 1);
}

/* A stream at [0]; at [1] a socket for the test, which does not block. */
static inline void
socket_pair(int fds[2])
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

/* Reads what there is from FD into GOT; whether the end was reached. */
static inline bool
drain(int fd, struct buf *got)
{
	for (;;) {
		uint8_t *at = buf_reserve(got, 65536);
		assert_non_null(at);
		ssize_t n = recv(fd, at, 65536, 0);
		if (n <= 0)
			return n == 0;
		buf_grew(got, (size_t)n);
	}
}

static inline void
push(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Bytes that tell their place. */
static inline uint8_t *
pattern_new(size_t len)
{
	uint8_t *bytes = malloc(len);
	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + (i >> 16));
	return bytes;
}
