/* Messages between our programs over SOCK_SEQPACKET: one packet is one message.
 *
 * A packet is a 16-byte header (little-endian) and a body of canonical JSON:
 *
 *     0  u32 magic "RFM1"    4  u16 type (ipc/messages.h)    6  u16 flags (0)
 *     8  u32 serial: a reply carries its request's         12  u32 body length
 *
 * Descriptors travel beside it (SCM_RIGHTS, at most MSG_FDS_MAX, received O_CLOEXEC). A packet that
 * is truncated, has a wrong magic, a wrong length or a body that is not JSON is malformed: the
 * receiver ends the conversation. See unix(7), cmsg(3). */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

#define MSG_BODY_MAX (128 * 1024)
#define MSG_FDS_MAX 8
#define MSG_HEADER_BYTES 16

struct msg {
	uint16_t type;
	uint32_t serial;
	struct json *body; /* owned; never NULL after msg_recv (an empty body is an empty object) */
	size_t body_len;   /* bytes on the wire */
	int fds[MSG_FDS_MAX];
	unsigned n_fds; /* owned: msg_done closes those not taken with TAKE_FD */
};

#define MSG_INIT                                          \
	{                                                 \
		.fds = { -1, -1, -1, -1, -1, -1, -1, -1 } \
	}

/* Sends; BODY may be NULL (empty object) and is borrowed, as are FDS.
 * 0, -EAGAIN if the socket is full (non-blocking sockets), -EMSGSIZE, -EPIPE, -ENOMEM, … */
int msg_send(int fd, uint16_t type, uint32_t serial, const struct json *body, const int *fds,
    unsigned n_fds) MUST_CHECK;
/* Receives one message into RET. 1 if there is one, 0 at end of file, -EAGAIN, -EBADMSG (malformed),
 * or -errno. FLAGS as recvmsg(2), e.g. MSG_DONTWAIT. */
int msg_recv(int fd, int flags, struct msg *ret) MUST_CHECK;
/* The two halves of sending and the inner half of receiving, for ipc/dispatch.c, tests and fuzzers.
 * OUT is replaced by one packet; its limit should be MSG_HEADER_BYTES + MSG_BODY_MAX. */
int msg_encode(uint16_t type, uint32_t serial, const struct json *body, struct buf *out) MUST_CHECK;
int msg_send_packet(int fd, const void *packet, size_t len, const int *fds, unsigned n_fds)
    MUST_CHECK;
/* Fills all of RET but its descriptors. 0, -EBADMSG or -ENOMEM; call msg_done in any case. */
int msg_decode(const uint8_t *packet, size_t len, struct msg *ret) MUST_CHECK;
/* Frees the body and closes the descriptors left. */
void msg_done(struct msg *m);
/* Takes descriptor I out of M; -1 if there is none. */
int msg_take_fd(struct msg *m, unsigned i);

/* Sends a request and waits for its reply on a blocking socket (replies to other serials are
 * -EBADMSG). TIMEOUT_MS < 0 waits for ever. An MSG_ERROR reply becomes its struct error, and
 * -EREMOTEIO. For the CLI; programs with a loop use ipc/dispatch.h. */
int msg_call(int fd, uint16_t type, const struct json *body, const int *fds, unsigned n_fds,
    int timeout_ms, struct msg *ret, struct error *err) MUST_CHECK;

/* MSG_ERROR bodies: {"error":{"code","message","remedy"}}. */
struct json *msg_error_body(const struct error *err);
void msg_error_read(const struct json *body, struct error *ret);

/* A connected pair, both ends O_CLOEXEC. 0 or -errno. */
int msg_pair(int ret[2]) MUST_CHECK;
/* Connects to the socket PATH (may be longer than sun_path: opened with O_PATH). fd or -errno. */
int msg_connect(const char *path) MUST_CHECK;
/* Listens on PATH, replacing a stale socket; mode MODE. fd or -errno. */
int msg_listen(const char *path, mode_t mode) MUST_CHECK;
/* The peer's credentials (SO_PEERCRED). 0 or -errno. */
int msg_peer(int fd, uid_t *ret_uid, gid_t *ret_gid, pid_t *ret_pid) MUST_CHECK;
