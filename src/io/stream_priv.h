/* What stream.c, stream_tls.c, meter.c and relay.c know of a stream; for nobody else.
 *
 * The socket is watched edge-triggered for both directions from birth to death, so that a request costs no epoll_ctl:
 * READABLE and WRITABLE remember what the kernel said until it says EAGAIN. */
#pragma once

#include <sys/types.h>

#include "io/fifo.h"
#include "io/stream.h"

#define STREAM_ERROR_SIZE 320

enum stream_way { WAY_IN, WAY_OUT };

struct tls_session;
typedef void stream_ready_fn(struct stream *stream, void *data);

struct stream {
	struct loop *loop;
	struct watch *watch; /* the stream's memory lives as long */
	stream_fn *fn;
	void *data;
	stream_ready_fn *ready; /* set: a relay moves the bytes itself */
	void *ready_data;
	void *luggage; /* freed with the stream's memory */
	int fd;

	struct fifo in, out; /* clear bytes */
	size_t high_water;
	struct tls_session *tls;
	uint64_t bytes_in, bytes_out;

	struct stream_meter *meter;                    /* a reference */
	struct stream *meter_next[2], **meter_link[2]; /* in the meter's lines, by way */

	struct deferred work;
	bool readable, writable; /* as far as we know */
	bool hung_up;            /* an end or an error is behind what can be read */
	bool socket_rests;       /* in this step nothing is received */
	bool handshaking;
	int broken;        /* sending failed so; what was received before comes first */
	bool ended;        /* by the peer */
	bool ending, shut; /* by us: asked for, done */
	bool drain_due;    /* DRAINED comes when the queue is empty */
	bool was_long;     /* DRAINED comes when the queue is short */
	bool failed, told; /* STREAM_FAILED was delivered */
	bool in_callback;
	bool dead;
	char error[STREAM_ERROR_SIZE];
};

/* Why it failed; the first reason stays. Returns -ERRNUM. The event is delivered by the next step. */
int stream_fail(struct stream *stream, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The socket's bytes, metered and counted. The number of bytes; receive: 0 at the end; -EAGAIN; -errno (the stream has
 * failed). */
ssize_t stream_receive(struct stream *stream, void *bytes, size_t len);
ssize_t stream_send(struct stream *stream, const void *bytes, size_t len);
/* Sends of what is queued as much as goes. 0 or -errno (failed). */
int stream_flush(struct stream *stream);
/* Asks the kernel again what is ready: the next round's event goes on. */
void stream_again(struct stream *stream);
/* A step, now: the meter has tokens. */
void stream_wake(struct stream *stream);

/* stream_tls.c */
/* 1 done, 0 under way, -errno (failed). */
int stream_tls_handshake(struct stream *stream);
ssize_t stream_tls_read(struct stream *stream, void *bytes, size_t len);
ssize_t stream_tls_write(struct stream *stream, const void *bytes, size_t len);
/* close_notify: 0, -EAGAIN, or -errno (failed). */
int stream_tls_end(struct stream *stream);
/* Whether OpenSSL holds bytes that it has received. */
bool stream_tls_pending(const struct stream *stream);
struct tls_session *tls_session_free(struct tls_session *session);

/* meter.c: how many of WANT bytes may pass now; 0: STREAM is woken later. */
size_t meter_take(struct stream *stream, enum stream_way way, size_t want);
void meter_give_back(struct stream *stream, enum stream_way way, size_t len);
void meter_leave(struct stream *stream);
