/* "Every address is ours": one route per family makes each unicast address local, so that whatever a program in here
 * connects to is a socket in here. Those that listen are made here, once, and leave by descriptor; a port without one
 * refuses. There is no other interface than lo: what nobody accepts goes nowhere.
 *
 * rtnetlink(7), ip(7), ipv6(7). One dual-stack socket for each port: an IPv4 destination is then seen as ::ffff:a.b.c.d.
 * Never SO_REUSEPORT or SO_REUSEADDR: nobody else in here can have a port that is ours. */
#include "init/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/msg.h"
#include "sandbox/plan.h"

#define BACKLOG 1024
#define DNS_PORT 53
#define LOOPBACK 1 /* the index of lo in every network namespace */
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

int
network_raise_loopback(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "lo");
	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* ---- rtnetlink ---- */

struct route_request {
	struct nlmsghdr head;
	struct rtmsg route;
	char attributes[64];
};

static void
add_attribute(struct route_request *request, unsigned short type, const void *value, size_t len)
{
	struct rtattr attribute = {.rta_type = type, .rta_len = (unsigned short)RTA_LENGTH(len)};
	char *at = (char *)request + NLMSG_ALIGN(request->head.nlmsg_len);
	memcpy(at, &attribute, sizeof(attribute));
	memcpy(at + RTA_LENGTH(0), value, len);
	request->head.nlmsg_len =
	    (unsigned)(NLMSG_ALIGN(request->head.nlmsg_len) + RTA_ALIGN(attribute.rta_len));
}

static struct route_request
make_request(unsigned short type, unsigned short flags, unsigned char family)
{
	return (struct route_request){
	    .head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
		.nlmsg_type = type,
		.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags),
		.nlmsg_seq = 1},
	    .route = {.rtm_family = family},
	};
}

/* Sends REQUEST and receives one datagram of answers into REPLY. Its length, or -errno. */
static ssize_t
ask(int fd, const struct nlmsghdr *request, void *reply, size_t room)
{
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	ssize_t n = recv(fd, reply, room, 0);
	return n < 0 ? -errno : n;
}

union reply {
	struct nlmsghdr head;
	char bytes[8192];
};

/* What the kernel says to a request that only succeeds or fails. */
static int
status_of(const union reply *reply, ssize_t n)
{
	struct nlmsgerr status;
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(status)) || reply->head.nlmsg_type != NLMSG_ERROR)
		return n < 0 ? (int)n : -EBADMSG;
	memcpy(&status, reply->bytes + NLMSG_HDRLEN, sizeof(status));
	return status.error;
}

/* `ip route add local 0/0 dev lo` of FAMILY. */
static int
add_route(int fd, unsigned char family)
{
	union reply reply;
	int lo = LOOPBACK;
	struct route_request request =
	    make_request(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, family);
	request.route.rtm_table = RT_TABLE_LOCAL;
	request.route.rtm_protocol = RTPROT_BOOT;
	request.route.rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
	request.route.rtm_type = RTN_LOCAL;
	add_attribute(&request, RTA_OIF, &lo, sizeof(lo));
	return status_of(&reply, ask(fd, &request.head, &reply, sizeof(reply)));
}

/* Whether the kernel, asked for the way to an address of the world, says that it is local. */
static bool
is_local(int fd, unsigned char family)
{
	static const unsigned char ipv4[4] = {192, 0, 2, 1};
	static const unsigned char ipv6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	union reply reply;
	struct rtmsg answer;
	struct route_request request = make_request(RTM_GETROUTE, 0, family);
	request.route.rtm_dst_len = family == AF_INET ? 32 : 128;
	add_attribute(&request, RTA_DST, family == AF_INET ? ipv4 : ipv6,
	    family == AF_INET ? sizeof(ipv4) : sizeof(ipv6));
	ssize_t n = ask(fd, &request.head, &reply, sizeof(reply));
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(answer)) || reply.head.nlmsg_type != RTM_NEWROUTE)
		return false;
	memcpy(&answer, reply.bytes + NLMSG_HDRLEN, sizeof(answer));
	return answer.rtm_type == RTN_LOCAL;
}

static void
note_route(struct json *routes, const char *to)
{
	struct json *route = json_new_object();
	(void)json_set_str(route, "to", to);
	(void)json_set_str(route, "type", "local");
	(void)json_set_str(route, "dev", "lo");
	(void)json_push(routes, route);
}

/* Every interface that there is, as the kernel lists them. */
static struct json *
list_interfaces(void)
{
	struct json *names = json_new_array();
	struct if_nameindex *all = if_nameindex();
	for (size_t i = 0; all != NULL && all[i].if_index != 0; i++)
		(void)json_push(names, json_new_string(all[i].if_name));
	if (all != NULL)
		if_freenameindex(all);
	return names;
}

/* A host without IPv6 has no way there: then there is nothing to make local. */
static int
make_local(bool ipv6, struct json *evidence, struct error *err)
{
	struct json *routes = json_new_array();
	(void)json_set(evidence, "interfaces", list_interfaces());
	(void)json_set(evidence, "routes", routes);
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int r = fd < 0 ? -errno : add_route(fd, AF_INET);
	if (r == 0 && !is_local(fd, AF_INET))
		r = -EHOSTUNREACH;
	if (r < 0)
		return error_set_errno(
		    err, -r, "network_failed", "cannot make every address local");
	note_route(routes, "0.0.0.0/0");
	if (ipv6 && add_route(fd, AF_INET6) == 0 && is_local(fd, AF_INET6))
		note_route(routes, "::/0");
	return 0;
}

/* ---- listeners ---- */

static int
set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The address that a query was sent to comes with it, and its answer may say that it is from there. */
static int
tell_destinations(int fd, bool ipv6)
{
	int r = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (r < 0 || !ipv6)
		return r;
	r = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return r < 0 ? r : set_option(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
}

static int
bind_any(int fd, bool ipv6, int port)
{
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6,
	    .sin6_port = htons((uint16_t)port),
	    .sin6_addr = IN6ADDR_ANY_INIT};
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	return bind(fd, ipv6 ? (struct sockaddr *)&any6 : (struct sockaddr *)&any4,
		   ipv6 ? sizeof(any6) : sizeof(any4)) < 0
	    ? -errno
	    : 0;
}

/* A socket that has PORT of every address. fd or -errno. */
static int
listen_at(bool ipv6, int type, int port)
{
	_cleanup_close_ int fd =
	    socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int r = ipv6 ? set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) : 0;
	if (r == 0 && type == SOCK_DGRAM)
		r = tell_destinations(fd, ipv6);
	if (r == 0)
		r = bind_any(fd, ipv6, port);
	/* What is accepted inherits it: inside there is no network to be careful with, and what paces for one (bbr)
	 * costs half the speed here. Where it cannot be chosen the host's is as good. */
	static const char congestion[] = "reno";
	if (r == 0 && type == SOCK_STREAM)
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_CONGESTION, congestion, sizeof(congestion) - 1);
	if (r == 0 && type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

/* Listeners on their way out: as many as one message takes. */
struct batch {
	int control, fds[MSG_FDS_MAX];
	unsigned n;
	struct json *list; /* owned */
	bool ipv6;
	struct error *err;
};

static int
send_batch(struct batch *batch)
{
	_cleanup_json_ struct json *body = json_new_object();
	if (batch->n == 0)
		return 0;
	(void)json_set(body, "listeners", TAKE_PTR(batch->list));
	int r = msg_send(batch->control, INIT_LISTENERS, 0, body, batch->fds, batch->n);
	while (batch->n > 0)
		(void)close(batch->fds[--batch->n]);
	return r < 0
	    ? error_set_errno(batch->err, -r, "network_failed", "cannot hand out listeners")
	    : 0;
}

static int
add_listener(struct batch *batch, const char *role, int type, int port)
{
	struct json *entry = json_new_object();
	int fd = listen_at(batch->ipv6, type, port);
	if (batch->list == NULL)
		batch->list = json_new_array();
	(void)json_set_str(entry, "role", role);
	(void)json_set_int(entry, "port", port);
	(void)json_push(batch->list, entry);
	if (fd < 0)
		return error_set_errno(batch->err, -fd, "network_failed",
		    "no listener at port %d in the sandbox", port);
	batch->fds[batch->n++] = fd;
	return batch->n == MSG_FDS_MAX ? send_batch(batch) : 0;
}

static int
add_listeners(struct batch *batch, const struct json *network)
{
	const struct json *ports = json_get(network, "ports");
	int proxy = (int)json_get_int(network, "proxy_port", 0);
	int r = add_listener(batch, "dns-udp", SOCK_DGRAM, DNS_PORT);
	if (r == 0)
		r = add_listener(batch, "dns-tcp", SOCK_STREAM, DNS_PORT);
	if (r == 0 && proxy > 0)
		r = add_listener(batch, "proxy", SOCK_STREAM, proxy);
	for (size_t i = 0; i < json_len(ports) && r == 0; i++) {
		int64_t port = json_int(json_at(ports, i), 0);
		if (port <= 0 || port > 65535 || port == DNS_PORT || port == proxy)
			continue;
		r = add_listener(batch, "tcp", SOCK_STREAM, (int)port);
	}
	return r == 0 ? send_batch(batch) : r;
}

int
network_open(const struct json *network, int control, struct json *evidence, struct error *err)
{
	struct json *facts = json_new_object();
	struct batch batch = {.control = control, .err = err};
	_cleanup_close_ int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	batch.ipv6 = probe >= 0;
	(void)json_set(evidence, "network", facts);
	int r = make_local(batch.ipv6, facts, err);
	if (r == 0)
		r = add_listeners(&batch, network);
	while (batch.n > 0)
		(void)close(batch.fds[--batch.n]);
	json_free(batch.list);
	return r;
}
