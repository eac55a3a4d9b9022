/* The internet of sandboxes that have a network, on the host's loopback: a resolver and servers that answer whoever
 * reaches them. `rf-attack --internet`, started by rf-prove (prove/internet.c); ends when killed with it.
 *
 * TCP: the canary at once. HTTP: the canary for what no policy of prove permits (a path below /private, the host
 * inside.prove.test), "public" for the rest, and to GET /seen/N whether anything of trial N's arrived anywhere. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "prove/attacks/attacks.h"
#include "prove/attacks/reach.h"

#define CLIENTS 48
#define REQUEST_BYTES 4096
#define SEEN_MAX 64
#define TRIES 20
#define HERE 0x7f000001u  /* 127.0.0.1 */
#define THERE 0x7f000002u /* 127.0.0.2 */

enum service { RESOLVER, ECHO, TCP_HERE, TCP_THERE, TCP_6, OTHER, WEB_HERE, WEB_THERE, SERVICES };

struct client {
	int fd;
	bool web;
	size_t length;
	char text[REQUEST_BYTES + 1];
};

static struct client clients[CLIENTS];
static struct pollfd polled[SERVICES + CLIENTS];
static unsigned long seen[SEEN_MAX];
static size_t seen_next;

/* ---- what arrived ---- */

/* "arrived-N." anywhere in what somebody sent. */
static void
note(const char *text, size_t length)
{
	static const char mark[] = ARRIVED;
	for (size_t i = 0; i + sizeof(mark) <= length; i++)
		if (memcmp(text + i, mark, sizeof(mark) - 1) == 0)
			seen[seen_next++ % SEEN_MAX] =
			    strtoul(text + i + sizeof(mark) - 1, NULL, 10);
}

static bool
was_seen(unsigned long trial)
{
	for (size_t i = 0; i < SEEN_MAX; i++)
		if (seen[i] == trial && trial != 0)
			return true;
	return false;
}

/* ---- servers ---- */

static void
leave(size_t at)
{
	(void)close(clients[at].fd);
	clients[at] = (struct client){.fd = -1};
	polled[SERVICES + at].fd = -1;
}

static void
welcome(int listener, bool web)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	for (size_t i = 0; i < CLIENTS; i++) {
		if (clients[i].fd >= 0)
			continue;
		clients[i] = (struct client){.fd = fd, .web = web};
		polled[SERVICES + i] = (struct pollfd){.fd = fd, .events = POLLIN};
		if (!web)
			(void)send(fd, CANARY, strlen(CANARY), MSG_NOSIGNAL);
		return;
	}
	(void)close(fd);
}

static bool
is_private(const char *request)
{
	static const char inside[] = "\r\nhost: " INSIDE;
	char path[128] = "";
	if (sscanf(request, "%*15s %127s", path) == 1 && strstr(path, "private") != NULL)
		return true;
	for (const char *line = strstr(request, "\r\n"); line != NULL;
	     line = strstr(line + 2, "\r\n"))
		if (strncasecmp(line, inside, sizeof(inside) - 1) == 0)
			return true;
	return false;
}

static void
answer_web(size_t at)
{
	struct client *c = &clients[at];
	unsigned long trial;
	char text[256];
	if (strstr(c->text, "\r\n\r\n") == NULL && c->length < REQUEST_BYTES)
		return;
	const char *body = is_private(c->text) ? CANARY : "public";
	if (sscanf(c->text, "GET /seen/%lu", &trial) == 1)
		body = was_seen(trial) ? CANARY : "nothing";
	int n = snprintf(text, sizeof(text),
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: "
	    "close\r\n\r\n%s",
	    strlen(body), body);
	(void)send(c->fd, text, (size_t)n, MSG_NOSIGNAL);
	leave(at);
}

static void
hear(size_t at)
{
	struct client *c = &clients[at];
	ssize_t n = recv(c->fd, c->text + c->length, REQUEST_BYTES - c->length, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		leave(at);
		return;
	}
	c->length += (size_t)n;
	c->text[c->length] = 0;
	note(c->text, c->length);
	if (c->web)
		answer_web(at);
	else if (c->length == REQUEST_BYTES)
		leave(at);
}

static void
answer_echo(int fd)
{
	char question[64];
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	if (recvfrom(fd, question, sizeof(question), 0, (struct sockaddr *)&from, &length) >= 0)
		(void)sendto(
		    fd, CANARY, strlen(CANARY), MSG_NOSIGNAL, (struct sockaddr *)&from, length);
}

/* ---- the resolver ---- */

/* The first label of the question, in lower case. */
static void
read_label(const uint8_t *question, size_t length, char ret[64])
{
	size_t n = length > 13 && question[12] < 64 ? question[12] : 0, i;
	for (i = 0; i < n && 13 + i < length; i++)
		ret[i] = (char)(question[13 + i] | 0x20);
	ret[i] = 0;
}

static void
put_record(uint8_t *text, size_t *length, unsigned type, const void *data, unsigned bytes)
{
	const uint8_t head[] = {0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 5, 0, (uint8_t)bytes};
	memcpy(text + *length, head, sizeof(head));
	memcpy(text + *length + sizeof(head), data, bytes);
	*length += sizeof(head) + bytes;
	text[7]++;
}

static void
answer_question(int fd)
{
	static const uint8_t here6[16] = {[15] = 1};
	uint8_t text[512 + 64], ip[4] = {127, 0, 0, 2};
	char label[64];
	struct sockaddr_storage from;
	socklen_t from_length = sizeof(from);
	ssize_t n = recvfrom(fd, text, 512, 0, (struct sockaddr *)&from, &from_length);
	if (n < 17)
		return;
	size_t length = 12;
	while (length < (size_t)n && text[length] != 0)
		length += 1u + text[length];
	length += 5; /* the end of the name, type and class */
	if (length > (size_t)n)
		return;
	unsigned type = text[length - 3];
	read_label(text, length, label);
	bool inside = strcmp(label, "inside") == 0, tunnel = strncmp(label, "tunnel", 6) == 0;
	bool known = inside || tunnel || strcmp(label, "raw") == 0 || strcmp(label, "open") == 0;
	text[2] = 0x81;
	text[3] = known ? 0x80 : 0x83;
	memset(text + 4, 0, 8);
	text[5] = 1;
	if (inside)
		ip[3] = 1;
	if (tunnel)
		memcpy(ip, TUNNEL_ANSWER, 4);
	if (known && type == 1)
		put_record(text, &length, 1, ip, 4);
	if (inside && type == 28)
		put_record(text, &length, 28, here6, 16);
	(void)sendto(fd, text, length, MSG_NOSIGNAL, (struct sockaddr *)&from, from_length);
}

/* ---- beginning ---- */

static int
open_at(int type, const void *address, socklen_t length)
{
	int family = ((const struct sockaddr *)address)->sa_family, yes = 1;
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Who may, may share it: what an attack that takes a port over finds without locks. */
	if (fd >= 0 &&
	    (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) < 0 ||
		bind(fd, address, length) < 0 || (type == SOCK_STREAM && listen(fd, 64) < 0))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static int
open_ipv4(int type, unsigned address, unsigned port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr = {.s_addr = htonl(address)}};
	return open_at(type, &at, sizeof(at));
}

static unsigned
port_of(int fd)
{
	struct sockaddr_in at = {0};
	socklen_t length = sizeof(at);
	return fd >= 0 && getsockname(fd, (struct sockaddr *)&at, &length) == 0 ? ntohs(at.sin_port)
										: 0;
}

/* The same port at both addresses: a sandbox's listeners are for ports. */
static bool
open_twice(int *ret_here, int *ret_there)
{
	for (int i = 0; i < TRIES; i++) {
		*ret_here = open_ipv4(SOCK_STREAM, HERE, 0);
		*ret_there = open_ipv4(SOCK_STREAM, THERE, port_of(*ret_here));
		if (*ret_here >= 0 && *ret_there >= 0)
			return true;
		(void)close(*ret_here);
		(void)close(*ret_there);
	}
	return false;
}

static bool
open_services(void)
{
	int fds[SERVICES];
	bool yes = open_twice(&fds[TCP_HERE], &fds[TCP_THERE]) &&
	    open_twice(&fds[WEB_HERE], &fds[WEB_THERE]);
	if (!yes)
		return false;
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
	    .sin6_port = htons((uint16_t)port_of(fds[TCP_HERE])),
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	fds[TCP_6] = open_at(SOCK_STREAM, &v6, sizeof(v6));
	fds[OTHER] = open_ipv4(SOCK_STREAM, THERE, 0);
	fds[RESOLVER] = open_ipv4(SOCK_DGRAM, HERE, 0);
	fds[ECHO] = open_ipv4(SOCK_DGRAM, HERE, 0);
	for (int i = 0; i < SERVICES; i++)
		polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	(void)printf("{\"result\":\"ready\",\"fixtures\":{\"resolver\":\"%u\",\"echo\":\"%u\","
		     "\"tcp\":\"%u\",\"other\":\"%u\",\"web\":\"%u\"}}\n",
	    port_of(fds[RESOLVER]), port_of(fds[ECHO]), port_of(fds[TCP_HERE]), port_of(fds[OTHER]),
	    port_of(fds[WEB_HERE]));
	return fflush(stdout) == 0 && fds[OTHER] >= 0 && fds[RESOLVER] >= 0 && fds[ECHO] >= 0;
}

static void
serve(enum service service, int fd)
{
	if (service == RESOLVER)
		answer_question(fd);
	else if (service == ECHO)
		answer_echo(fd);
	else
		welcome(fd, service == WEB_HERE || service == WEB_THERE);
}

int
internet_serve(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i].fd = -1;
		polled[SERVICES + i].fd = -1;
	}
	if (!open_services())
		return 1;
	for (;;) {
		if (poll(polled, SERVICES + CLIENTS, -1) < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < SERVICES; i++)
			if (polled[i].revents != 0)
				serve((enum service)i, polled[i].fd);
		for (size_t i = 0; i < CLIENTS; i++)
			if (clients[i].fd >= 0 && polled[SERVICES + i].revents != 0)
				hear(i);
	}
}
