/* A byte stream over a connected socket, plain or TLS, that never blocks. What the gateway's connections are made of.
 *
 * Bytes that arrived wait in the stream until its owner consumes them; while as many wait as may (the high-water
 * mark), nothing more is read: that is the back-pressure. What is written is sent at once as far as the socket takes
 * it; the rest is queued, and STREAM_DRAINED comes when the queue is short again. One loop, no threads. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "io/loop.h"
#include "io/tls.h"

#define STREAM_HIGH_WATER \
	(64 * 1024) /* default of what may wait unread, and of what may be queued */

struct stream;

enum stream_event {
	STREAM_READABLE, /* more bytes wait, or the peer ended its half (stream_ended) */
	STREAM_DRAINED,  /* what was queued is sent, or nearly */
	STREAM_SECURED,  /* the TLS handshake is done */
	STREAM_FAILED,   /* stream_error says why; nothing more will come or go */
};
/* May do anything, also free the stream. */
typedef void stream_fn(struct stream *stream, enum stream_event event, void *data);

/* Serves FD (taken, also on failure; made non-blocking, TCP_NODELAY). 0 or -errno. */
int stream_new(struct loop *loop, int fd, stream_fn *fn, void *data, struct stream **ret)
    MUST_CHECK;
/* Closes at once. Accepts NULL; returns NULL. Safe in its own callback. */
struct stream *stream_free(struct stream *stream);
/* As stream_free, but the peer sees a reset and no orderly end: for what was cut short. */
struct stream *stream_abort(struct stream *stream);
/* Another owner: from now on FN and DATA are called. */
void stream_set_owner(struct stream *stream, stream_fn *fn, void *data);

/* What waits: borrowed until the next call. With TLS these are clear bytes. */
const uint8_t *stream_peek(const struct stream *stream, size_t *ret_len);
void stream_consume(struct stream *stream, size_t len);
/* The peer will send nothing more (after what waits). With TLS: close_notify came; without one an end is a failure. */
bool stream_ended(const struct stream *stream);
/* Raises or lowers how much may wait unread. */
void stream_set_high_water(struct stream *stream, size_t bytes);

/* Sends or queues. 0, or -errno when the stream has failed (STREAM_FAILED comes as well). There is no upper bound here:
 * the owner stops when stream_queued is above STREAM_HIGH_WATER. */
int stream_write(struct stream *stream, const void *bytes, size_t len);
size_t stream_queued(const struct stream *stream);
/* After what is queued: close_notify, and shutdown of our half. */
void stream_end(struct stream *stream);
const char *stream_error(const struct stream *stream); /* "" if there is none */
int stream_fd(const struct stream *stream);
/* Bytes on the wire so far. */
uint64_t stream_bytes_in(const struct stream *stream);
uint64_t stream_bytes_out(const struct stream *stream);

/* At most this many bytes per second each way together with whatever else shares METER (NULL: no limit). */
struct stream_meter;
void stream_set_meter(struct stream *stream, struct stream_meter *meter);
/* PER_SECOND bytes, with a burst of a tenth of a second (at least 64 KiB). NULL: out of memory. */
struct stream_meter *stream_meter_new(struct loop *loop, int64_t per_second);
struct stream_meter *stream_meter_free(struct stream_meter *meter);

/* From now on TLS, as the server (bytes that wait already are the peer's ClientHello) or as the client. Then
 * STREAM_SECURED or STREAM_FAILED. The server's certificate is for HOST. The client checks the peer's chain and that
 * it is for HOST (a name or an address), and offers HTTP/1.1 only. 0 or -errno. */
int stream_secure_server(struct stream *stream, struct tls_authority *authority, const char *host)
    MUST_CHECK;
int stream_secure_client(struct stream *stream, struct tls_trust *trust, const char *host)
    MUST_CHECK;

/* Hands both streams' bytes to each other until both have ended or one fails; then DONE. What waits in them goes first.
 * Plain streams without a meter are joined in the kernel (splice(2)). Where one fails the other is reset, so that what
 * was cut does not look whole. Both are owned by the relay from now on (unless it fails: 0 or -errno). */
struct relay;
typedef void relay_fn(struct relay *relay, void *data);
int relay_new(struct stream *a, struct stream *b, relay_fn *done, void *data, struct relay **ret)
    MUST_CHECK;
uint64_t relay_bytes(const struct relay *relay, bool from_a);
/* How long nothing has passed. */
int64_t relay_idle_ms(const struct relay *relay);
const char *relay_error(const struct relay *relay); /* "" after an orderly end */
/* Ends it at once, with both streams. Accepts NULL; returns NULL. */
struct relay *relay_free(struct relay *relay);
