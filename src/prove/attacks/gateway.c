/* Against the boundary of a sandbox that has a network: ways to what no rule names, with a gateway that lets through what
 * one does. Each looks first whether that works (reach.h): a gateway that lets nothing through would prove nothing.
 *
 * What is aimed at is on the host's loopback (internet.c). Nothing here could leave the host, so what would need another
 * host as a control is not tried. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "prove/attacks/reach.h"

#define PROXY 3128
#define HELLO_RANDOM_END 43
#define ETHER_P_ALL_BE 0x0300

static struct in_addr
ipv4(unsigned address)
{
	return (struct in_addr){.s_addr = htonl(address)};
}

static enum attack_result
reached(int owned, const char *what)
{
	_cleanup_close_ int fd = owned;
	return answer(says_canary(fd), what);
}

/* ---- the host's loopback ---- */

static enum attack_result
gateway_ipv4(const struct fixtures *f)
{
	require_permitted(f);
	return reached(connect_to(ipv4(INADDR_LOOPBACK), fixture_number(f, "tcp")),
	    "a service of the host's at 127.0.0.1");
}

/* ADDRESS of IPv6, in whatever it is mapped to. */
static enum attack_result
connect_ipv6(const struct fixtures *f, const struct in6_addr *address, const char *what)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
	    .sin6_port = htons((uint16_t)fixture_number(f, "tcp")),
	    .sin6_addr = *address};
	struct timeval patience = {.tv_sec = 10};
	require_permitted(f);
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && says_canary(fd);
	return answer(yes, what);
}

static enum attack_result
gateway_ipv6(const struct fixtures *f)
{
	return connect_ipv6(f, &in6addr_loopback, "a service of the host's at ::1");
}

static enum attack_result
gateway_mapped(const struct fixtures *f)
{
	struct in6_addr mapped = {{{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}};
	return connect_ipv6(f, &mapped, "a service of the host's at ::ffff:127.0.0.1");
}

static enum attack_result
gateway_name(const struct fixtures *f)
{
	require_permitted(f);
	return reached(connect_name(f, INSIDE, fixture_number(f, "tcp")),
	    "a service of the host's by a name that leads there");
}

static enum attack_result
gateway_port(const struct fixtures *f)
{
	require_permitted(f);
	return reached(connect_name(f, RAW, fixture_number(f, "other")),
	    "a port that no rule names of a host that one does");
}

/* By the sandbox's proxy, where there is one; TARGET as CONNECT has it. */
static enum attack_result
by_proxy(const struct fixtures *f, const char *name, const char *port, const char *what)
{
	char text[200], said[13] = "";
	require_permitted(f);
	if (!behind_gateway())
		return reached(connect_name(f, name, fixture_number(f, port)), what);
	_cleanup_close_ int fd = connect_to(ipv4(INADDR_LOOPBACK), PROXY);
	(void)snprintf(text, sizeof(text), "CONNECT %s:%lu HTTP/1.1\r\nHost: %s:%lu\r\n\r\n", name,
	    fixture_number(f, port), name, fixture_number(f, port));
	if (fd < 0)
		return cannot("the sandbox has no proxy");
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 ||
	    recv(fd, said, sizeof(said) - 1, MSG_WAITALL) != (ssize_t)sizeof(said) - 1)
		return answer(false, "");
	errno = EACCES;
	return answer(strcmp(said, "HTTP/1.1 200") == 0 && answers_canary(fd, "?\n"), what);
}

static enum attack_result
gateway_proxy(const struct fixtures *f)
{
	return by_proxy(f, INSIDE, "tcp", "a name that no rule has, through the proxy");
}

static enum attack_result
gateway_proxy_literal(const struct fixtures *f)
{
	struct in_addr here = ipv4(INADDR_LOOPBACK);
	require_permitted(f);
	if (!behind_gateway())
		return reached(connect_to(here, fixture_number(f, "tcp")), "127.0.0.1");
	return by_proxy(f, "127.0.0.1", "tcp", "an address of the host's, through the proxy");
}

static enum attack_result
gateway_proxy_port(const struct fixtures *f)
{
	return by_proxy(f, RAW, "other", "a port that no rule has, through the proxy");
}

static enum attack_result
gateway_udp(const struct fixtures *f)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)fixture_number(f, "echo")),
	    .sin_addr = ipv4(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 3};
	require_permitted(f);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && says_canary(fd);
	return answer(yes, "a service of the host's, by UDP");
}

/* ---- names ---- */

static enum attack_result
gateway_tunnel(const struct fixtures *f)
{
	struct in_addr said = {0};
	require_permitted(f);
	/* The question itself is what would leave. */
	bool yes = resolve(f, "tunnel-what-is-secret.prove.test", &said);
	return answer(yes && memcmp(&said, TUNNEL_ANSWER, sizeof(said)) == 0,
	    "the resolver outside heard it, in a question");
}

/* ---- HTTP ---- */

/* A connection to the server of HTTP; where the boundary is, one request that is permitted went through before. */
static int
connect_web(const struct fixtures *f)
{
	char text[200], said[2048];
	size_t length = 0;
	ssize_t n = 1;
	unsigned long port = fixture_number(f, "web");
	(void)snprintf(text, sizeof(text),
	    "GET /public/x HTTP/1.1\r\nHost: " OPEN ":%lu\r\nConnection: close\r\n\r\n", port);
	_cleanup_close_ int fd = behind_gateway() ? connect_name(f, OPEN, port) : -1;
	if (fd >= 0 && send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
		for (; n > 0 && length<sizeof(said) - 1; length += n> 0 ? (size_t)n : 0)
			n = recv(fd, said + length, sizeof(said) - 1 - length, 0);
	said[length] = 0;
	if (behind_gateway() && strstr(said, "\r\n\r\npublic") == NULL)
		finish(cannot("what is permitted does not work either"));
	errno = 0;
	return connect_name(f, OPEN, port);
}

static enum attack_result
request(const struct fixtures *f, const char *line, const char *host, const char *what)
{
	char text[400];
	_cleanup_close_ int fd = connect_web(f);
	(void)snprintf(text, sizeof(text),
	    "%s HTTP/1.1\r\nHost: %s:%lu\r\nConnection: close\r\n\r\n", line, host,
	    fixture_number(f, "web"));
	return answer(answers_canary(fd, text), what);
}

static enum attack_result
gateway_host(const struct fixtures *f)
{
	return request(f, "GET /public/x", INSIDE, "another host of the same server, by Host");
}

static enum attack_result
gateway_absolute(const struct fixtures *f)
{
	char line[120];
	(void)snprintf(
	    line, sizeof(line), "GET http://" OPEN ":%lu/private/x", fixture_number(f, "web"));
	return request(f, line, OPEN, "a path that no rule names, in absolute form");
}

static enum attack_result
gateway_path(const struct fixtures *f)
{
	return request(f, "GET /private/x", OPEN, "a path that no rule names");
}

static enum attack_result
gateway_dots(const struct fixtures *f)
{
	return request(
	    f, "GET /public/..%2fprivate/x", OPEN, "a path that leads out of what a rule names");
}

static enum attack_result
gateway_method(const struct fixtures *f)
{
	return request(f, "DELETE /public/private", OPEN, "a method that no rule names");
}

/* ---- what must not arrive: sent here, looked for outside ---- */

/* LINE and HEADERS of what is permitted, then a request that is not. */
static enum attack_result
smuggle(const struct fixtures *f, const char *line, const char *headers)
{
	char text[600], said[2048];
	_cleanup_close_ int fd = connect_web(f);
	(void)snprintf(text, sizeof(text),
	    "%s HTTP/1.1\r\nHost: " OPEN ":%lu\r\n%sGET /private/" ARRIVED
	    "%lu. HTTP/1.1\r\nHost: " OPEN "\r\n\r\n",
	    line, fixture_number(f, "web"), headers, fixture_number(f, "trial"));
	if (fd < 0 || send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		return answer(false, "");
	while (recv(fd, said, sizeof(said), 0) > 0)
		;
	return answer(true, "sent");
}

static enum attack_result
smuggle_lengths(const struct fixtures *f)
{
	return smuggle(f, "POST /public/x",
	    "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

static enum attack_result
smuggle_line_ends(const struct fixtures *f)
{
	return smuggle(f, "GET /public/x", "X: y\n\n");
}

static enum attack_result
smuggle_folded(const struct fixtures *f)
{
	return smuggle(f, "GET /public/x", "X: y\r\n ");
}

/* A ClientHello for the host arrived-N.prove.test. */
static size_t
put_hello(uint8_t *text, size_t size, unsigned long trial)
{
	char name[64];
	size_t n = (size_t)snprintf(name, sizeof(name), ARRIVED "%lu.prove.test", trial);
	static const uint8_t head[] = {22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3};
	const uint8_t tail[] = {0, 0, 2, 0x13, 1, 1, 0, 0, (uint8_t)(n + 9), 0, 0, 0,
	    (uint8_t)(n + 5), 0, (uint8_t)(n + 3), 0, 0, (uint8_t)n};
	size_t length = HELLO_RANDOM_END + sizeof(tail) + n;
	memset(text, 7, size);
	memcpy(text, head, sizeof(head));
	memcpy(text + HELLO_RANDOM_END, tail, sizeof(tail));
	memcpy(text + HELLO_RANDOM_END + sizeof(tail), name, n);
	text[4] = (uint8_t)(length - 5);
	text[8] = (uint8_t)(length - 9);
	return length;
}

static enum attack_result
gateway_fronting(const struct fixtures *f)
{
	uint8_t text[256];
	char said[256];
	require_permitted(f);
	size_t length = put_hello(text, sizeof(text), fixture_number(f, "trial"));
	_cleanup_close_ int fd = connect_name(f, RAW, fixture_number(f, "tcp"));
	if (fd < 0 || send(fd, text, length, MSG_NOSIGNAL) < 0 || shutdown(fd, SHUT_WR) < 0)
		return answer(false, "");
	while (recv(fd, said, sizeof(said), 0) > 0)
		;
	return answer(true, "sent");
}

static enum attack_result
has_arrived(const struct fixtures *f)
{
	char text[100];
	_cleanup_close_ int fd = connect_to(ipv4(INADDR_LOOPBACK), fixture_number(f, "web"));
	(void)snprintf(
	    text, sizeof(text), "GET /seen/%lu HTTP/1.1\r\n\r\n", fixture_number(f, "trial"));
	if (fd < 0)
		return cannot("nobody can be asked whether it arrived");
	bool yes = answers_canary(fd, text);
	errno = ENOMSG;
	return answer(yes, "it arrived");
}

/* ---- the namespace ---- */

static enum attack_result
gateway_listener(const struct fixtures *f)
{
	int yes = 1;
	struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)fixture_number(f, "tcp")),
	    .sin_addr = ipv4(INADDR_LOOPBACK)};
	require_permitted(f);
	_cleanup_close_ int theirs = connect_to(at.sin_addr, fixture_number(f, "tcp"));
	if (theirs < 0)
		return answer(false, ""); /* nobody's port */
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
	/* Not listening: nobody's connection is taken. */
	return answer(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0,
	    "the port of somebody who listens");
}

static enum attack_result
gateway_route(const struct fixtures *f)
{
	/* Removes a route that is not there. */
	struct {
		struct nlmsghdr head;
		struct rtmsg route;
		struct rtattr attribute;
		struct in_addr to;
	} message = {.head = {.nlmsg_len = sizeof(message),
			 .nlmsg_type = RTM_DELROUTE,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
	    .route = {.rtm_family = AF_INET, .rtm_dst_len = 32, .rtm_table = 250},
	    .attribute = {.rta_len = sizeof(struct rtattr) + sizeof(struct in_addr),
		.rta_type = RTA_DST},
	    .to = ipv4(0xc0000201)};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char more[256];
	} said = {0};
	require_permitted(f);
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || send(fd, &message, sizeof(message), 0) < 0 ||
	    recv(fd, &said, sizeof(said), 0) < 0)
		return answer(false, "");
	errno = -said.error.error;
	return answer_harmless(errno == 0 ? 0 : -1, ESRCH);
}

static enum attack_result
gateway_raw(const struct fixtures *f)
{
	require_permitted(f);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
	return answer(fd >= 0, "packets with any sender");
}

static enum attack_result
gateway_packet(const struct fixtures *f)
{
	require_permitted(f);
	_cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, ETHER_P_ALL_BE);
	return answer(fd >= 0, "everybody's packets");
}

#define ALL_LOCKS                                        \
	{                                                \
		LOCK_NET_NS, LOCK_POLICY, LOCK_ADDRESSES \
	}
/* A pin is a permission of that address itself (doc/policy.md): the policy cannot stand alone there. */
#define LITERAL_LOCKS                       \
	{                                   \
		LOCK_NET_NS, LOCK_ADDRESSES \
	}
#define TWO_LOCKS                        \
	{                                \
		LOCK_NET_NS, LOCK_POLICY \
	}
#define SOCKET_LOCKS                                     \
	{                                                \
		LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS \
	}
const struct attack gateway_attacks[] = {
    {"gateway_ipv4", BOUNDARY_GATEWAY, "reaches the host's loopback (127.0.0.1)", LITERAL_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_ipv4)},
    {"gateway_ipv6", BOUNDARY_GATEWAY, "reaches the host's loopback (::1)", LITERAL_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_ipv6)},
    {"gateway_mapped", BOUNDARY_GATEWAY, "reaches the host's loopback (::ffff:127.0.0.1)",
	LITERAL_LOCKS, .needs = NEEDS_INTERNET, .run = RUN(gateway_mapped)},
    {"gateway_name", BOUNDARY_GATEWAY, "reaches the host's loopback by a name that leads there",
	ALL_LOCKS, .needs = NEEDS_INTERNET, .run = RUN(gateway_name)},
    {"gateway_proxy", BOUNDARY_GATEWAY, "reaches the same by the proxy (CONNECT)", ALL_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_proxy)},
    {"gateway_proxy_literal", BOUNDARY_GATEWAY, "reaches 127.0.0.1 by the proxy (CONNECT)",
	LITERAL_LOCKS, .needs = NEEDS_INTERNET, .run = RUN(gateway_proxy_literal)},
    {"gateway_port", BOUNDARY_GATEWAY, "reaches another port of a permitted host", TWO_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_port)},
    {"gateway_proxy_port", BOUNDARY_GATEWAY, "reaches another port of it by the proxy", TWO_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_proxy_port)},
    {"gateway_udp", BOUNDARY_GATEWAY, "reaches the host's loopback (UDP)", {LOCK_NET_NS},
	.needs = NEEDS_INTERNET, .run = RUN(gateway_udp)},
    {"gateway_tunnel", BOUNDARY_GATEWAY, "says something outside by asking for a name", TWO_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_tunnel)},
    {"gateway_path", BOUNDARY_GATEWAY, "gets a path that no rule names (HTTP)", TWO_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_path)},
    {"gateway_dots", BOUNDARY_GATEWAY, "gets it by a path that leads out of a permitted one",
	TWO_LOCKS, .needs = NEEDS_INTERNET, .run = RUN(gateway_dots)},
    {"gateway_absolute", BOUNDARY_GATEWAY, "gets it by a request in absolute form", TWO_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_absolute)},
    {"gateway_method", BOUNDARY_GATEWAY, "uses a method that no rule names (HTTP)", TWO_LOCKS,
	.needs = NEEDS_INTERNET, .run = RUN(gateway_method)},
    {"gateway_host", BOUNDARY_GATEWAY, "gets another host's page of a permitted server (Host)",
	TWO_LOCKS, .needs = NEEDS_INTERNET, .run = RUN(gateway_host)},
    {"gateway_fronting", BOUNDARY_GATEWAY,
	"hides another host behind a permitted one (ClientHello)", TWO_LOCKS,
	.needs = NEEDS_INTERNET | CHECK_OUTSIDE, .run = RUN(gateway_fronting),
	.check = RUN(has_arrived)},
    {"smuggle_lengths", BOUNDARY_GATEWAY, "smuggles a request: two lengths", TWO_LOCKS,
	.needs = NEEDS_INTERNET | CHECK_OUTSIDE, .run = RUN(smuggle_lengths),
	.check = RUN(has_arrived)},
    {"smuggle_line_ends", BOUNDARY_GATEWAY, "smuggles a request: bare line ends", TWO_LOCKS,
	.needs = NEEDS_INTERNET | CHECK_OUTSIDE, .run = RUN(smuggle_line_ends),
	.check = RUN(has_arrived)},
    {"smuggle_folded", BOUNDARY_GATEWAY, "smuggles a request: a folded header", TWO_LOCKS,
	.needs = NEEDS_INTERNET | CHECK_OUTSIDE, .run = RUN(smuggle_folded),
	.check = RUN(has_arrived)},
    /* An ordinary user has no other uid; there it is how the listener was made. */
    {"gateway_listener", BOUNDARY_GATEWAY, "takes over a port of the gateway's (SO_REUSEPORT)",
	{LOCK_OTHER_UID}, .needs = NEEDS_INTERNET, .run = RUN(gateway_listener)},
    {"gateway_route", BOUNDARY_GATEWAY, "changes routes", {LOCK_USER_NS, LOCK_NO_CAPS},
	.needs = NEEDS_INTERNET | NEEDS_NS_ROOT, .run = RUN(gateway_route)},
    {"gateway_raw", BOUNDARY_GATEWAY, "sends packets past the gateway (raw)", SOCKET_LOCKS,
	.needs = NEEDS_INTERNET | NEEDS_NS_ROOT, .run = RUN(gateway_raw)},
    {"gateway_packet", BOUNDARY_GATEWAY, "hears what the gateway hears (AF_PACKET)", SOCKET_LOCKS,
	.needs = NEEDS_INTERNET | NEEDS_NS_ROOT, .run = RUN(gateway_packet)},
    {"gateway_metadata", BOUNDARY_GATEWAY, "reaches a cloud's metadata (169.254.169.254)",
	.not_tested =
	    "its control would speak to a cloud; test_network_addresses.py has a metadata "
	    "service of its own"},
    {"gateway_nat64", BOUNDARY_GATEWAY, "reaches the host's loopback by NAT64 (64:ff9b::7f00:1)",
	.not_tested =
	    "its control would leave the host, to a translator; test_network_addresses.py has "
	    "addresses of its own"},
    {0}};
