/* Against the network: listeners outside, which answer whoever reaches them with a canary, and the sockets
 * that reach past any port. */
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "prove/attacks/attacks.h"

#define VSOCK 40 /* AF_VSOCK */
#define ALG 38   /* AF_ALG */
#define ETHER_P_ALL_BE 0x0300

/* Connects (or asks, for datagrams) and reads the canary. */
static enum attack_result
reach(int type, const void *address, socklen_t length, const char *what)
{
	char text[sizeof(CANARY)] = {0};
	struct timeval patience = {.tv_sec = 3};
	_cleanup_close_ int fd =
	    socket(((const struct sockaddr *)address)->sa_family, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, address, length) < 0)
		return answer(false, "");
	if (type == SOCK_DGRAM && send(fd, "?", 1, MSG_NOSIGNAL) < 0)
		return answer(false, "");
	return answer(
	    recv(fd, text, strlen(CANARY), MSG_WAITALL) > 0 && strcmp(text, CANARY) == 0, what);
}

static struct sockaddr_in
loopback(unsigned long port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}

static enum attack_result
connect_ipv4(const struct fixtures *f)
{
	struct sockaddr_in to = loopback(fixture_number(f, "ipv4"));
	return reach(SOCK_STREAM, &to, sizeof(to), "a service of the host's, by TCP over IPv4");
}

static enum attack_result
send_udp(const struct fixtures *f)
{
	struct sockaddr_in to = loopback(fixture_number(f, "udp"));
	return reach(SOCK_DGRAM, &to, sizeof(to), "a service of the host's, by UDP");
}

static enum attack_result
connect_ipv6(const struct fixtures *f)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
	    .sin6_port = htons((uint16_t)fixture_number(f, "ipv6")),
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	return reach(SOCK_STREAM, &to, sizeof(to), "a service of the host's, by TCP over IPv6");
}

static enum attack_result
connect_abstract(const struct fixtures *f)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *name = fixture(f, "abstract");
	(void)snprintf(to.sun_path + 1, sizeof(to.sun_path) - 1, "%s", name);
	return reach(SOCK_STREAM, &to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)),
	    "an abstract socket of the host's");
}

static enum attack_result
connect_docker(const struct fixtures *f)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", fixture(f, "socket"));
	return reach(SOCK_STREAM, &to, sizeof(to), "a socket as Docker's, whose service is root");
}

static enum attack_result
see_connections(const struct fixtures *f)
{
	char line[512], port[16];
	bool found = false;
	FILE *file = fopen("/proc/net/tcp", "re");
	(void)snprintf(port, sizeof(port), ":%04lX ", fixture_number(f, "ipv4"));
	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
		found = strstr(line, port) != NULL;
	errno = ENODATA;
	return answer(found, "who listens on the host");
}

/* ---- sockets past any port ---- */

static enum attack_result
make_socket(int family, int type, int protocol, const char *what)
{
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	return answer(fd >= 0, what);
}

static enum attack_result
raw_socket(const struct fixtures *f)
{
	return make_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP, "packets with any sender");
}

static enum attack_result
packet_socket(const struct fixtures *f)
{
	return make_socket(AF_PACKET, SOCK_RAW, ETHER_P_ALL_BE, "everybody's packets");
}

static enum attack_result
vsock_socket(const struct fixtures *f)
{
	return make_socket(VSOCK, SOCK_STREAM, 0, "a socket to the hypervisor");
}

static enum attack_result
crypto_socket(const struct fixtures *f)
{
	return make_socket(ALG, SOCK_SEQPACKET, 0, "the kernel's ciphers");
}

static enum attack_result
netlink_events(const struct fixtures *f)
{
	return make_socket(
	    AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT, "the kernel's device events");
}

static enum attack_result
netlink_filter(const struct fixtures *f)
{
	return make_socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER, "the packet filter's tables");
}

static enum attack_result
netlink_audit(const struct fixtures *f)
{
	return make_socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT, "the kernel's audit");
}

static enum attack_result
set_interface(const struct fixtures *f)
{
	/* The flags that it has. */
	struct ifreq request = {.ifr_name = "lo"};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return answer(fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0 &&
		ioctl(fd, SIOCSIFFLAGS, &request) == 0,
	    "an interface was set (to what it was)");
}

static enum attack_result
low_port(const struct fixtures *f)
{
	struct sockaddr_in at = loopback(1);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return answer(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0,
	    "a port that services trust");
}

#define SOCKET_LOCKS                                     \
	{                                                \
		LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS \
	}

const struct attack network_attacks[] = {
    {"connect_ipv4", BOUNDARY_NETWORK, "reaches the host's loopback (TCP, IPv4)", {LOCK_NET_NS},
	.needs = NEEDS_OUTSIDE, .run = RUN(connect_ipv4)},
    {"connect_ipv6", BOUNDARY_NETWORK, "reaches the host's loopback (TCP, IPv6)", {LOCK_NET_NS},
	.needs = NEEDS_OUTSIDE, .run = RUN(connect_ipv6)},
    {"send_udp", BOUNDARY_NETWORK, "reaches the host's loopback (UDP)", {LOCK_NET_NS},
	.needs = NEEDS_OUTSIDE, .run = RUN(send_udp)},
    {"connect_abstract", BOUNDARY_NETWORK, "reaches an abstract socket of the host's",
	{LOCK_NET_NS, LOCK_LANDLOCK}, .needs = NEEDS_OUTSIDE | NEEDS_SCOPE,
	.run = RUN(connect_abstract)},
    {"see_connections", BOUNDARY_NETWORK, "sees the host's connections (/proc/net)", {LOCK_NET_NS},
	.needs = NEEDS_OUTSIDE, .run = RUN(see_connections)},
    {"connect_docker", BOUNDARY_NETWORK, "reaches a service's socket (docker.sock)",
	{LOCK_ROOT, LOCK_USER_NS}, {LOCK_ROOT}, NEEDS_OUTSIDE, .run = RUN(connect_docker)},
    {"raw_socket", BOUNDARY_NETWORK, "sends packets with any sender (raw)", SOCKET_LOCKS,
	.needs = NEEDS_NS_ROOT, .run = RUN(raw_socket)},
    {"packet_socket", BOUNDARY_NETWORK, "hears everybody's packets (AF_PACKET)", SOCKET_LOCKS,
	.needs = NEEDS_NS_ROOT, .run = RUN(packet_socket)},
    {"vsock_socket", BOUNDARY_NETWORK, "speaks to the hypervisor (AF_VSOCK)", {LOCK_SECCOMP},
	.run = RUN(vsock_socket)},
    {"crypto_socket", BOUNDARY_NETWORK, "drives the kernel's ciphers (AF_ALG)", {LOCK_SECCOMP},
	.run = RUN(crypto_socket)},
    {"netlink_events", BOUNDARY_NETWORK, "hears the host's devices (netlink)", {LOCK_SECCOMP},
	.run = RUN(netlink_events)},
    {"netlink_filter", BOUNDARY_NETWORK, "reaches the packet filter (netlink)", {LOCK_SECCOMP},
	.run = RUN(netlink_filter)},
    {"netlink_audit", BOUNDARY_NETWORK, "reaches the audit (netlink)", {LOCK_SECCOMP},
	.run = RUN(netlink_audit)},
    {"set_interface", BOUNDARY_NETWORK, "changes a network interface", {LOCK_USER_NS, LOCK_NO_CAPS},
	.needs = NEEDS_NS_ROOT, .run = RUN(set_interface)},
    {"low_port", BOUNDARY_NETWORK, "takes a port that services trust", {LOCK_USER_NS, LOCK_NO_CAPS},
	.needs = NEEDS_NS_ROOT, .run = RUN(low_port)},
    {0}};
