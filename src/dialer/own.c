/* Two questions to the kernel, neither of which sends anything. By a datagram socket: from which address would we speak
 * to ADDRESS? To one of its own it speaks from that same address. Only if so, by netlink: is it the loopback
 * interface's? Asked each time, because addresses come and go. What cannot be answered counts as this host's own. */
#include "dialer/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "proto/address.h"

#define LOOPBACK_INDEX 1 /* in every network namespace: the kernel makes it first */
#define DISCARD_PORT 9
#define REPLY_BYTES 32768

int
own_open(int fd, struct error *err)
{
	const struct timeval limit = {.tv_sec = 1};
	_cleanup_close_ int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (netlink < 0 ||
	    setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    (netlink != fd && dup3(netlink, fd, O_CLOEXEC) < 0))
		return error_set_errno(
		    err, errno, "start_failed", "cannot ask for this host's addresses");
	if (netlink == fd)
		(void)TAKE_FD(netlink);
	return 0;
}

/* ---- is it local? ---- */

static socklen_t
to_socket_address(const uint8_t address[16], struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){.ss_family = AF_INET};
	if (address_is_ipv4(address)) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(DISCARD_PORT)};
		memcpy(&in.sin_addr, address + 12, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(DISCARD_PORT)};
	memcpy(&in6.sin6_addr, address, 16);
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}

static bool
is_local(const uint8_t address[16])
{
	struct sockaddr_storage to, from = {.ss_family = AF_UNSPEC};
	socklen_t to_len = to_socket_address(address, &to), len = sizeof(from);
	_cleanup_close_ int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* Without a route there is nothing to reach, here or elsewhere. */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, to_len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&from, &len) < 0)
		return false;
	uint8_t source[16];
	if (from.ss_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, &from, sizeof(in));
		address_from_ipv4((const uint8_t *)&in.sin_addr, source);
	} else {
		struct sockaddr_in6 in6;
		memcpy(&in6, &from, sizeof(in6));
		memcpy(source, &in6.sin6_addr, sizeof(source));
	}
	return memcmp(source, address, sizeof(source)) == 0;
}

/* ---- is it the loopback interface's? ---- */

static int
ask(int netlink, uint32_t sequence, bool ipv4)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg body;
	} request = {
	    .head = {.nlmsg_len = sizeof(request),
		.nlmsg_type = RTM_GETADDR,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.nlmsg_seq = sequence},
	    .body = {.ifa_family = ipv4 ? AF_INET : AF_INET6},
	};
	struct iovec iov = {&request, sizeof(request)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	return sendmsg(netlink, &message, 0) < 0 ? -errno : 0;
}

/* Whether an RTM_NEWADDR of LEN bytes gives ADDRESS to the loopback interface. */
static bool
gives(const struct nlmsghdr *head, size_t len, const uint8_t address[16], bool ipv4)
{
	struct ifaddrmsg body;
	size_t bytes = ipv4 ? 4 : 16, at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(body));
	const uint8_t *start = (const uint8_t *)head;
	if (len < at)
		return false;
	memcpy(&body, start + NLMSG_HDRLEN, sizeof(body));
	while (body.ifa_index == LOOPBACK_INDEX && len - at >= sizeof(struct rtattr)) {
		struct rtattr attribute;
		memcpy(&attribute, start + at, sizeof(attribute));
		if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > len - at)
			return false;
		if ((attribute.rta_type == IFA_LOCAL || attribute.rta_type == IFA_ADDRESS) &&
		    attribute.rta_len == RTA_LENGTH(bytes) &&
		    memcmp(start + at + RTA_LENGTH(0), address + 16 - bytes, bytes) == 0)
			return true;
		at += MIN((size_t)RTA_ALIGN(attribute.rta_len), len - at);
	}
	return false;
}

/* One datagram of the answer SEQUENCE; sets RET_FOUND if ADDRESS is in it. 1: that was all; 0: more comes; -errno. */
static int
read_reply(int netlink, uint32_t sequence, const uint8_t address[16], bool ipv4, bool *ret_found)
{
	static uint8_t reply[REPLY_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct iovec iov = {reply, sizeof(reply)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(netlink, &message, 0);
	if (n < 0)
		return -errno;
	size_t left = (size_t)n, at = 0;
	while (left - at >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *head = (const struct nlmsghdr *)(const void *)(reply + at);
		if (head->nlmsg_len < sizeof(*head) || head->nlmsg_len > left - at)
			return -EBADMSG;
		bool ours = head->nlmsg_seq == sequence;
		if (ours && head->nlmsg_type == NLMSG_DONE)
			return 1;
		if (ours && head->nlmsg_type == NLMSG_ERROR)
			return -EIO;
		if (ours && head->nlmsg_type == RTM_NEWADDR &&
		    gives(head, head->nlmsg_len, address, ipv4))
			*ret_found = true;
		at += MIN((size_t)NLMSG_ALIGN(head->nlmsg_len), left - at);
	}
	return 0;
}

/* Reads to the end: the kernel answers one such question at a time. */
static bool
is_on_loopback(int netlink, const uint8_t address[16])
{
	static uint32_t sequence;
	bool ipv4 = address_is_ipv4(address), found = false;
	int r = ask(netlink, ++sequence, ipv4);
	while (r == 0)
		r = read_reply(netlink, sequence, address, ipv4, &found);
	return r > 0 && found;
}

bool
own_is(int netlink, const uint8_t address[16])
{
	return is_local(address) &&
	    (address_classify(address) == ADDRESS_LOOPBACK || !is_on_loopback(netlink, address));
}
