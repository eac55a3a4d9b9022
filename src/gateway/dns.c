/* The resolver inside a sandbox: its sockets. Whatever address was asked answers, because every address is local
 * there; so a program that insists on 8.8.8.8 is served as well.
 *
 * UDP: a datagram, an answer from the very address asked. Who made the socket has set what that needs (init/network.c):
 * PKTINFO, and for IPv6 FREEBIND, because no interface has that address. TCP (RFC 7766): any number of questions on a
 * connection, one at a time; one that does not finish its question within IDLE_MS is closed. Both bounded: questions
 * that wait for the arbiter, connections, and questions per second (a token bucket; beyond it REFUSED). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "gateway/dns.h"

#define PER_SECOND 500 /* a busy program looks a name up for each connection, twice */
#define BURST 1000
#define WAITING_MAX 256 /* UDP questions that wait for the arbiter */
#define CONNECTIONS_MAX 32
#define DATAGRAMS_PER_TURN 32
#define QUESTION_MAX 4096 /* bytes, with all its EDNS options */
#define MESSAGE_MAX 65535
#define IDLE_MS 10000
#define TOKEN_NS (1000000000LL / PER_SECOND)

/* Where a datagram came from, and the address that it was sent to: where its answer comes from. On a host without IPv6
 * the socket is one of IPv4. */
struct udp_path {
	struct sockaddr_storage from;
	socklen_t from_len;
	union {
		struct in6_pktinfo ipv6;
		struct in_pktinfo ipv4;
	} to;
};

struct udp_question {
	struct dns_question question; /* first */
	struct udp_question *next, **link;
	struct dns_server *server;
	struct udp_path path;
};

struct tcp_client {
	struct dns_question question; /* first; one at a time */
	struct tcp_client *next, **link;
	struct dns_server *server;
	struct stream *stream; /* owned */
	struct timer *idle;
	bool waiting; /* for the answer to the question */
	bool reading; /* in read_questions: an answer at once goes on there */
};

struct dns_server {
	struct guest *guest;
	int fd; /* owned */
	bool no_ipv6;
	struct watch *watch;
	struct udp_question *questions; /* of UDP, waiting */
	unsigned n_questions;
	struct tcp_client *clients;
	unsigned n_clients;
	int64_t full_ns; /* when the bucket will be full again */
	bool flooded;    /* noted once */
};

/* Takes a token: the bucket as the time when it is full. */
static bool
may_ask(struct dns_server *server)
{
	int64_t now = clock_monotonic_ns();
	int64_t full = MAX(server->full_ns, now) + TOKEN_NS;
	if (full - now > BURST * TOKEN_NS) {
		if (!server->flooded)
			guest_denied(server->guest, "request-refused", "DNS",
			    "more than 500 questions a second", NULL);
		server->flooded = true;
		return false;
	}
	server->full_ns = full;
	return true;
}

/* Answers QUESTION, of the LEN bytes that were read with result READ, unless there are too many. */
static void
answer_question(struct dns_server *server, struct dns_question *question, int read, bool room)
{
	if (room && may_ask(server))
		dns_question_answer(question, read);
	else
		question->done(question, &(struct dns_answer){.rcode = DNS_REFUSED});
}

/* ---- UDP ---- */

static void
udp_question_free(struct udp_question *question)
{
	dns_question_forget(&question->question);
	*question->link = question->next;
	if (question->next != NULL)
		question->next->link = question->link;
	question->server->n_questions--;
	free(question);
}

static void
set_source(struct msghdr *msg, int level, int type, const void *info, size_t len)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = level;
	cmsg->cmsg_type = type;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), info, len);
	msg->msg_controllen = CMSG_SPACE(len);
}

static void
udp_send(int fd, struct udp_path *path, const struct buf *message)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = {.bytes = {0}};
	struct iovec iov = {.iov_base = message->data, .iov_len = message->len};
	struct msghdr msg = {.msg_name = &path->from,
	    .msg_namelen = path->from_len,
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	if (path->from.ss_family == AF_INET6) {
		set_source(&msg, IPPROTO_IPV6, IPV6_PKTINFO, &path->to.ipv6, sizeof(path->to.ipv6));
	} else {
		path->to.ipv4.ipi_spec_dst = path->to.ipv4.ipi_addr;
		set_source(&msg, IPPROTO_IP, IP_PKTINFO, &path->to.ipv4, sizeof(path->to.ipv4));
	}
	/* An answer that cannot be sent is one that was lost; UDP's clients ask again. */
	(void)sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
on_udp_answer(struct dns_question *base, const struct dns_answer *answer)
{
	struct udp_question *question = (struct udp_question *)base;
	_cleanup_buf_ struct buf message;
	buf_init(&message, MESSAGE_MAX);
	size_t room = MIN(base->query.udp_bytes, (uint16_t)DNS_EDNS_UDP);
	if (dns_answer_write(&base->query, answer, room, &message) == 0)
		udp_send(question->server->fd, &question->path, &message);
	udp_question_free(question);
}

/* Finds in MSG the address that it was sent to. False: the kernel did not say. */
static bool
read_destination(struct msghdr *msg, struct udp_path *path)
{
	bool ipv6 = path->from.ss_family == AF_INET6;
	int level = ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, type = ipv6 ? IPV6_PKTINFO : IP_PKTINFO;
	size_t len = ipv6 ? sizeof(path->to.ipv6) : sizeof(path->to.ipv4);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != level || c->cmsg_type != type || c->cmsg_len < CMSG_LEN(len))
			continue;
		memcpy(&path->to, CMSG_DATA(c), len);
		return true;
	}
	return false;
}

static void
ask_udp(struct dns_server *server, const uint8_t *bytes, size_t len, const struct udp_path *path)
{
	struct udp_question *question = calloc(1, sizeof(*question));
	if (question == NULL)
		return;
	int r = dns_query_read(bytes, len, &question->question.query);
	if (r < 0) {
		free(question);
		return;
	}
	question->question.guest = server->guest;
	question->question.done = on_udp_answer;
	question->question.no_ipv6 = server->no_ipv6;
	question->server = server;
	question->path = *path;
	question->next = server->questions;
	question->link = &server->questions;
	if (question->next != NULL)
		question->next->link = &question->next;
	server->questions = question;
	bool room = server->n_questions++ < WAITING_MAX;
	answer_question(server, &question->question, r, room);
}

/* One datagram. False: there is none. */
static bool
receive(struct dns_server *server)
{
	uint8_t bytes[QUESTION_MAX];
	union {
		struct cmsghdr align;
		uint8_t bytes[256];
	} control;
	struct udp_path path = {.from_len = 0};
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr msg = {.msg_name = &path.from,
	    .msg_namelen = sizeof(path.from),
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(server->fd, &msg, MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR;
	path.from_len = msg.msg_namelen;
	if (read_destination(&msg, &path))
		ask_udp(server, bytes, (size_t)n, &path);
	return true;
}

static void
on_datagrams(struct watch *watch, uint32_t events, void *data)
{
	for (int i = 0; i < DATAGRAMS_PER_TURN && receive(data); i++)
		;
}

/* ---- TCP ---- */

static void
tcp_client_free(struct tcp_client *client)
{
	dns_question_forget(&client->question);
	client->stream = stream_free(client->stream);
	client->idle = timer_cancel(client->idle);
	*client->link = client->next;
	if (client->next != NULL)
		client->next->link = client->link;
	client->server->n_clients--;
	free(client);
}

static void
on_idle(struct timer *timer, void *data)
{
	struct tcp_client *client = data;
	client->idle = NULL;
	tcp_client_free(client);
}

/* From now on it has IDLE_MS for its next question. */
static int
begin_idle(struct tcp_client *client)
{
	client->idle = timer_cancel(client->idle);
	return loop_timer(
	    client->server->guest->gateway->loop, IDLE_MS, on_idle, client, &client->idle);
}

/* Answers what waits, until a question waits itself. Frees CLIENT when it is done with. */
static void
read_questions(struct tcp_client *client)
{
	client->reading = true;
	while (!client->waiting && stream_queued(client->stream) < STREAM_HIGH_WATER) {
		size_t len;
		const uint8_t *bytes = stream_peek(client->stream, &len);
		size_t message = len >= 2 ? (size_t)bytes[0] << 8 | bytes[1] : 0;
		if (len < 2 || (message <= QUESTION_MAX && len < 2 + message)) {
			client->reading = false;
			if (stream_ended(client->stream) && stream_queued(client->stream) == 0)
				tcp_client_free(client);
			return;
		}
		int r = message > QUESTION_MAX
		    ? -EMSGSIZE
		    : dns_query_read(bytes + 2, message, &client->question.query);
		if (r < 0 || begin_idle(client) < 0) {
			tcp_client_free(client);
			return;
		}
		stream_consume(client->stream, 2 + message);
		client->waiting = true;
		answer_question(client->server, &client->question, r, /* room= */ true);
	}
	client->reading = false;
}

static void
on_tcp_answer(struct dns_question *base, const struct dns_answer *answer)
{
	struct tcp_client *client = (struct tcp_client *)base;
	_cleanup_buf_ struct buf message;
	buf_init(&message, MESSAGE_MAX + 2);
	client->waiting = false;
	(void)buf_add(&message, "\0", 2); /* the length, below */
	int r = dns_answer_write(&base->query, answer, MESSAGE_MAX, &message);
	if (r == 0) {
		message.data[0] = (uint8_t)((message.len - 2) >> 8);
		message.data[1] = (uint8_t)(message.len - 2);
		/* A stream that failed says so itself. */
		(void)stream_write(client->stream, message.data, message.len);
	}
	if (!client->reading)
		read_questions(client);
}

static void
on_stream(struct stream *stream, enum stream_event event, void *data)
{
	struct tcp_client *client = data;
	if (event == STREAM_FAILED)
		tcp_client_free(client);
	else if (!client->reading)
		read_questions(client);
}

static void
on_accepted(int fd, void *data)
{
	struct dns_server *server = data;
	struct tcp_client *client =
	    server->n_clients < CONNECTIONS_MAX ? calloc(1, sizeof(*client)) : NULL;
	if (client == NULL) {
		(void)close(fd);
		return;
	}
	client->question.guest = server->guest;
	client->question.done = on_tcp_answer;
	client->question.no_ipv6 = server->no_ipv6;
	client->server = server;
	client->next = server->clients;
	client->link = &server->clients;
	if (client->next != NULL)
		client->next->link = &client->next;
	server->clients = client;
	server->n_clients++;
	if (stream_new(server->guest->gateway->loop, fd, on_stream, client, &client->stream) < 0 ||
	    begin_idle(client) < 0)
		tcp_client_free(client);
}

/* ---- the server ---- */

/* Listeners are of IPv6, for both, wherever there is IPv6. */
static bool
is_ipv4_only(int fd)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	return getsockname(fd, (struct sockaddr *)&own, &len) == 0 && own.ss_family == AF_INET;
}

int
dns_server_new(struct guest *guest, int fd, bool tcp, struct dns_server **ret)
{
	struct dns_server *server = calloc(1, sizeof(*server));
	if (server == NULL) {
		(void)close(fd);
		return -ENOMEM;
	}
	server->guest = guest;
	server->fd = fd;
	server->no_ipv6 = is_ipv4_only(fd);
	int r = tcp
	    ? conn_accept(guest->gateway->loop, fd, on_accepted, server, &server->watch)
	    : loop_watch(guest->gateway->loop, fd, EPOLLIN, on_datagrams, server, &server->watch);
	if (r < 0) {
		(void)dns_server_free(server);
		return r;
	}
	*ret = server;
	return 0;
}

struct dns_server *
dns_server_free(struct dns_server *server)
{
	if (server == NULL)
		return NULL;
	while (server->questions != NULL)
		udp_question_free(server->questions);
	while (server->clients != NULL)
		tcp_client_free(server->clients);
	server->watch = watch_remove(server->watch);
	close_fd(&server->fd);
	free(server);
	return NULL;
}
