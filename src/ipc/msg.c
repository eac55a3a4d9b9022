/* Framed messages over SOCK_SEQPACKET, with descriptors. The header file gives the frame. */
#include "ipc/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "ipc/messages.h"

#define MAGIC 0x314d4652U /* "RFM1" */
#define LISTEN_BACKLOG 128

union fd_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * MSG_FDS_MAX)];
};

static void
put_le(uint8_t *p, uint32_t value, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t
get_le(const uint8_t *p, int n)
{
	uint32_t value = 0;
	for (int i = 0; i < n; i++)
		value |= (uint32_t)p[i] << (8 * i);
	return value;
}

/* ---- sending ---- */

int
msg_encode(uint16_t type, uint32_t serial, const struct json *body, struct buf *out)
{
	uint8_t header[MSG_HEADER_BYTES] = {0};
	buf_clear(out);
	(void)buf_add(out, header, sizeof(header));
	int r = body == NULL ? buf_add_str(out, "{}") : json_write(body, out);
	if (r < 0)
		return r;
	put_le(out->data, MAGIC, 4);
	put_le(out->data + 4, type, 2);
	put_le(out->data + 8, serial, 4);
	put_le(out->data + 12, (uint32_t)(out->len - MSG_HEADER_BYTES), 4);
	return 0;
}

int
msg_send_packet(int fd, const void *packet, size_t len, const int *fds, unsigned n_fds)
{
	if (n_fds > MSG_FDS_MAX)
		return -EINVAL;
	/* sendmsg only reads; iovec merely lacks the const. */
	union {
		const void *in;
		void *out;
	} base = {.in = packet};
	struct iovec iov = {.iov_base = base.out, .iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_control control = {0};
	if (n_fds > 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int
msg_send(
    int fd, uint16_t type, uint32_t serial, const struct json *body, const int *fds, unsigned n_fds)
{
	_cleanup_buf_ struct buf packet;
	buf_init(&packet, MSG_HEADER_BYTES + MSG_BODY_MAX);
	int r = msg_encode(type, serial, body, &packet);
	return r < 0 ? r : msg_send_packet(fd, packet.data, packet.len, fds, n_fds);
}

/* ---- receiving ---- */

/* Moves the descriptors of the packet into RET, which owns them from then on. */
static int
take_control(struct msghdr *m, struct msg *ret)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		ret->n_fds = (unsigned)MIN(n, (size_t)MSG_FDS_MAX);
		memcpy(ret->fds, CMSG_DATA(c), sizeof(int) * ret->n_fds);
	}
	return (m->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ? -EBADMSG : 0;
}

int
msg_decode(const uint8_t *packet, size_t len, struct msg *ret)
{
	if (len < MSG_HEADER_BYTES || get_le(packet, 4) != MAGIC || get_le(packet + 6, 2) != 0 ||
	    get_le(packet + 12, 4) != len - MSG_HEADER_BYTES ||
	    len > MSG_HEADER_BYTES + MSG_BODY_MAX)
		return -EBADMSG;
	ret->type = (uint16_t)get_le(packet + 4, 2);
	ret->serial = get_le(packet + 8, 4);
	ret->body_len = len - MSG_HEADER_BYTES;
	if (ret->body_len == 0) {
		ret->body = json_new_object();
		return ret->body == NULL ? -ENOMEM : 0;
	}
	int r =
	    json_parse((const char *)packet + MSG_HEADER_BYTES, ret->body_len, &ret->body, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	return json_type(ret->body) == JSON_OBJECT ? 0 : -EBADMSG;
}

int
msg_recv(int fd, int flags, struct msg *ret)
{
	uint8_t packet[MSG_HEADER_BYTES + MSG_BODY_MAX];
	union fd_control control;
	struct iovec iov = {.iov_base = packet, .iov_len = sizeof(packet)};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	*ret = (struct msg)MSG_INIT;
	ssize_t n;
	do
		n = recvmsg(fd, &m, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	int r = take_control(&m, ret);
	if (r == 0 && n > 0)
		r = msg_decode(packet, (size_t)n, ret);
	explicit_bzero(packet, (size_t)n); /* some carry credentials, and the stack stays */
	if (r < 0 || n == 0) {
		msg_done(ret);
		return r;
	}
	return 1;
}

void
msg_done(struct msg *m)
{
	m->body = json_free(m->body);
	for (unsigned i = 0; i < m->n_fds; i++)
		if (m->fds[i] >= 0)
			(void)close(m->fds[i]);
	*m = (struct msg)MSG_INIT;
}

int
msg_take_fd(struct msg *m, unsigned i)
{
	return i < m->n_fds ? TAKE_FD(m->fds[i]) : -1;
}

/* ---- calling ---- */

/* Waits until FD can be read: 0, -ETIMEDOUT or -errno. DEADLINE_NS < 0 waits for ever. */
static int
wait_readable(int fd, int64_t deadline_ns)
{
	for (;;) {
		int64_t left_ms = -1;
		if (deadline_ns >= 0)
			left_ms = MAX(
			    (deadline_ns - clock_monotonic_ns() + 999999) / 1000000, (int64_t)0);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int n = poll(&p, 1, (int)left_ms);
		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int
receive_reply(int fd, uint32_t serial, int64_t deadline_ns, struct msg *ret, struct error *err)
{
	int r = wait_readable(fd, deadline_ns);
	if (r == 0)
		r = msg_recv(fd, 0, ret);
	if (r == -ETIMEDOUT)
		return error_set(err, ETIMEDOUT, "no_answer", "no answer in time");
	if (r == 0)
		return error_set(
		    err, ECONNRESET, "peer_left", "the other side ended the conversation");
	if (r < 0)
		return error_set_errno(err, -r, "receive_failed", "cannot receive the answer");
	if (ret->serial != serial) {
		msg_done(ret);
		return error_set(err, EBADMSG, "receive_failed", "an answer to another question");
	}
	return 0;
}

int
msg_call(int fd, uint16_t type, const struct json *body, const int *fds, unsigned n_fds,
    int timeout_ms, struct msg *ret, struct error *err)
{
	static uint32_t last_serial;
	uint32_t serial = ++last_serial == 0 ? ++last_serial : last_serial;
	*ret = (struct msg)MSG_INIT;
	int r = msg_send(fd, type, serial, body, fds, n_fds);
	if (r < 0)
		return error_set_errno(err, -r, "send_failed", "cannot send the request");
	int64_t deadline_ns =
	    timeout_ms < 0 ? -1 : clock_monotonic_ns() + (int64_t)timeout_ms * 1000000;
	r = receive_reply(fd, serial, deadline_ns, ret, err);
	if (r < 0 || ret->type != MSG_ERROR)
		return r;
	struct error theirs;
	msg_error_read(ret->body, err != NULL ? err : &theirs);
	msg_done(ret);
	return -EREMOTEIO;
}

struct json *
msg_error_body(const struct error *err)
{
	struct json *inner = json_new_object();
	(void)json_set_str(inner, "code", err->code);
	(void)json_set_str(inner, "message", err->message);
	(void)json_set_str(inner, "remedy", err->remedy);
	struct json *body = json_new_object();
	(void)json_set(body, "error", inner);
	return body;
}

void
msg_error_read(const struct json *body, struct error *ret)
{
	const struct json *inner = json_get(body, "error");
	(void)error_set(ret, EREMOTEIO, json_get_str(inner, "code", "unknown"), "%s",
	    json_get_str(inner, "message", "an error without a message"));
	error_remedy(ret, "%s", json_get_str(inner, "remedy", ""));
}

/* ---- sockets ---- */

int
msg_pair(int ret[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) < 0 ? -errno : 0;
}

/* Fills ADDRESS for PATH. A path too long for sun_path is reached through a descriptor of its
 * directory, left in RET_DIR (else -1), which must stay open while ADDRESS is used. */
static int
socket_address(const char *path, struct sockaddr_un *address, int *ret_dir)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	*ret_dir = -1;
	if (strlen(path) < sizeof(address->sun_path)) {
		(void)snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
		return 0;
	}
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return -ENAMETOOLONG;
	_cleanup_free_ char *parent = strndup(path, (size_t)(slash - path) + 1);
	if (parent == NULL)
		return -ENOMEM;
	_cleanup_close_ int dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	int n = snprintf(
	    address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d%s", dir, slash);
	if (n < 0 || (size_t)n >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	*ret_dir = TAKE_FD(dir);
	return 0;
}

int
msg_connect(const char *path)
{
	struct sockaddr_un address;
	_cleanup_close_ int dir = -1;
	int r = socket_address(path, &address, &dir);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int
msg_listen(const char *path, mode_t mode)
{
	struct sockaddr_un address;
	_cleanup_close_ int dir = -1;
	int r = socket_address(path, &address, &dir);
	if (r < 0)
		return r;
	struct stat st;
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return -EEXIST;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* bind(2) gives the file the socket's mode less the umask: never open wider, even briefly. */
	mode_t before = umask(0777 & ~mode);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(before);
	if (r < 0)
		return r;
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int
msg_peer(int fd, uid_t *ret_uid, gid_t *ret_gid, pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (ret_uid != NULL)
		*ret_uid = peer.uid;
	if (ret_gid != NULL)
		*ret_gid = peer.gid;
	if (ret_pid != NULL)
		*ret_pid = peer.pid;
	return 0;
}
