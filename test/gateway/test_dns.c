/* The resolver: what a sandbox is told, over real sockets. The arbiter is played by a table here, and the clock can be
 * held, so that no timing decides. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "failalloc.h"
#include "gateway/gateway.h"
#include "proto/dns.h"

#define SECOND_NS 1000000000LL

/* ---- the clock ---- */

int64_t __real_clock_monotonic_ns(void);
int64_t __wrap_clock_monotonic_ns(void);
static int64_t held_ns, ahead_ns;

int64_t
__wrap_clock_monotonic_ns(void)
{
	return held_ns != 0 ? held_ns : __real_clock_monotonic_ns() + ahead_ns;
}

/* ---- the arbiter ---- */

struct reach_question {
	reach_fn *fn;
	void *data;
	struct reach_question **place, *next;
};

static struct {
	unsigned asked, denied, forgotten, n_waiting;
	bool gone, later;
	char host[300], denial[300];
	struct reach_question *waiting;
} arbiter;

static bool
may_reach(const char *host)
{
	static const char *const hosts[] = {
	    "example.com", "one.wild.example", "xn--bcher-kva.example"};
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (strcmp(hosts[i], host) == 0)
			return true;
	return strncmp(host, "many-", 5) == 0;
}

void
reach_ask(struct guest *guest, const char *host, int port, reach_fn *fn, void *data,
    struct reach_question **place)
{
	struct reach reach = {.reach = may_reach(host)};
	assert_int_equal(port, 0);
	arbiter.asked++;
	(void)snprintf(arbiter.host, sizeof(arbiter.host), "%s", host);
	if (!arbiter.later) {
		fn(arbiter.gone ? NULL : &reach, data);
		return;
	}
	struct reach_question *question = calloc(1, sizeof(*question));
	*question = (struct reach_question){fn, data, place, arbiter.waiting};
	arbiter.waiting = question;
	arbiter.n_waiting++;
	*place = question;
}

void
reach_forget(struct reach_question *question)
{
	if (question == NULL)
		return;
	struct reach_question **at = &arbiter.waiting;
	while (*at != question)
		at = &(*at)->next;
	*at = question->next;
	*question->place = NULL;
	arbiter.forgotten++;
	arbiter.n_waiting--;
	free(question);
}

/* Answers the question that came last. */
static void
arbiter_answers(bool reachable)
{
	struct reach_question *question = arbiter.waiting;
	struct reach reach = {.reach = reachable};
	arbiter.waiting = question->next;
	arbiter.n_waiting--;
	*question->place = NULL;
	reach_fn *fn = question->fn;
	void *data = question->data;
	free(question);
	fn(&reach, data);
}

void
guest_denied(struct guest *guest, const char *event, const char *what, const char *reason,
    const char *needed)
{
	arbiter.denied++;
	(void)snprintf(arbiter.denial, sizeof(arbiter.denial), "%s %s", event, what);
}

/* ---- a guest with its resolver ---- */

static struct gateway gateway;
static struct guest guest;
static struct dns_server *udp, *tcp;
static int port_udp, port_tcp, udp_fd;

static int
bind_loopback(int type)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, off = 0;
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	if (type == SOCK_DGRAM)
		assert_int_equal(
		    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static int
port_of(int fd)
{
	struct sockaddr_in6 address;
	socklen_t len = sizeof(address);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	return ntohs(address.sin6_port);
}

static int
set_up(void **state)
{
	memset(&arbiter, 0, sizeof(arbiter));
	held_ns = ahead_ns = 0;
	assert_int_equal(loop_new(&gateway.loop), 0);
	guest.gateway = &gateway;
	guest.names = names_new();
	int fd = bind_loopback(SOCK_DGRAM);
	port_udp = port_of(fd);
	udp_fd = fd;
	assert_int_equal(dns_server_new(&guest, fd, false, &udp), 0);
	fd = bind_loopback(SOCK_STREAM);
	port_tcp = port_of(fd);
	assert_int_equal(dns_server_new(&guest, fd, true, &tcp), 0);
	return 0;
}

static int
tear_down(void **state)
{
	udp = dns_server_free(udp);
	tcp = dns_server_free(tcp);
	assert_null(arbiter.waiting);
	guest.names = names_free(guest.names);
	gateway.loop = loop_free(gateway.loop);
	return 0;
}

/* ---- the client ---- */

static int
connect_to(const char *address, int type)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)(type == SOCK_DGRAM ? port_udp : port_tcp)),
	    .sin_addr.s_addr = inet_addr(address)};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void
on_stop(struct watch *watch, uint32_t events, void *data)
{
	loop_stop(gateway.loop, 0);
}

static void
on_late(struct timer *timer, void *data)
{
	fail_msg("nothing came");
}

/* Runs the loop until FD has something to read. */
static void
wait_for(int fd)
{
	struct watch *watch;
	struct timer *late = NULL;
	assert_int_equal(loop_watch(gateway.loop, fd, EPOLLIN, on_stop, NULL, &watch), 0);
	if (held_ns == 0)
		assert_int_equal(
		    loop_timer(gateway.loop, 20000 + ahead_ns / 1000000, on_late, NULL, &late), 0);
	assert_int_equal(loop_run(gateway.loop), 0);
	timer_cancel(late);
	watch_remove(watch);
}

static void
on_look(struct timer *timer, void *data)
{
	loop_stop(gateway.loop, 0);
}

/* Runs it until the arbiter was asked TIMES times. */
static void
wait_for_questions(unsigned times)
{
	for (int i = 0; i < 100000 && arbiter.asked < times; i++) {
		struct timer *timer;
		assert_int_equal(loop_timer(gateway.loop, 0, on_look, NULL, &timer), 0);
		assert_int_equal(loop_run(gateway.loop), 0);
	}
	assert_int_equal(arbiter.asked, times);
}

static void
on_turned(void *data)
{
	loop_stop(gateway.loop, 0);
}

/* One round of the loop; allocates nothing itself. */
static void
turn(void)
{
	static struct deferred work = {.fn = on_turned};
	loop_defer(gateway.loop, &work);
	assert_int_equal(loop_run(gateway.loop), 0);
}

struct message {
	uint8_t bytes[1500];
	size_t len;
};

/* A question for NAME (dots between labels) of TYPE. */
static struct message
question(unsigned id, const char *name, unsigned type, unsigned class)
{
	struct message m = {.bytes = {(uint8_t)(id >> 8), (uint8_t)id, 1, 0, 0, 1}, .len = 12};
	while (*name != 0) {
		size_t label = strcspn(name, ".");
		m.bytes[m.len++] = (uint8_t)label;
		memcpy(m.bytes + m.len, name, label);
		m.len += label;
		name += label + (name[label] == '.');
	}
	uint8_t end[] = {
	    0, (uint8_t)(type >> 8), (uint8_t)type, (uint8_t)(class >> 8), (uint8_t) class};
	memcpy(m.bytes + m.len, end, sizeof(end));
	m.len += sizeof(end);
	return m;
}

static struct message
receive(int fd)
{
	struct message m;
	wait_for(fd);
	ssize_t n = recv(fd, m.bytes, sizeof(m.bytes), 0);
	assert_true(n >= 0);
	m.len = (size_t)n;
	return m;
}

static struct message
ask_udp(const char *name, unsigned type, unsigned class)
{
	int fd = connect_to("127.0.0.1", SOCK_DGRAM);
	struct message m = question(7, name, type, class);
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	struct message answer = receive(fd);
	close(fd);
	assert_true(answer.len >= 12);
	assert_int_equal(answer.bytes[1], 7);
	assert_int_equal(answer.bytes[2] & 0x80, 0x80);
	/* The question comes back as it was. */
	assert_memory_equal(answer.bytes + 12, m.bytes + 12, m.len - 12);
	return answer;
}

static int
rcode(const struct message *m)
{
	return m->bytes[3] & 15;
}

static unsigned
n_answers(const struct message *m)
{
	return m->bytes[7];
}

#define assert_rcode(name, type, expected)                       \
	do {                                                     \
		struct message m_ = ask_udp(name, type, DNS_IN); \
		assert_int_equal(rcode(&m_), expected);          \
		assert_int_equal(n_answers(&m_), 0);             \
	} while (0)

/* ---- names ---- */

static void
an_allowed_name_has_an_address_that_leads_back_to_it(void **state)
{
	struct message a = ask_udp("example.com", DNS_A, DNS_IN);
	struct message b = ask_udp("EXAMPLE.com", DNS_AAAA, DNS_IN);
	struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
	assert_int_equal(rcode(&a), 0);
	assert_int_equal(n_answers(&a), 1);
	memcpy(address.s6_addr + 12, a.bytes + a.len - 4, 4);
	assert_string_equal(names_find(guest.names, &address), "example.com");
	assert_int_equal(n_answers(&b), 1);
	memcpy(address.s6_addr, b.bytes + b.len - 16, 16);
	assert_string_equal(names_find(guest.names, &address), "example.com");
	struct message again = ask_udp("example.com", DNS_A, DNS_IN);
	assert_memory_equal(again.bytes, a.bytes, a.len);
	struct message other = ask_udp("one.wild.example", DNS_A, DNS_IN);
	assert_memory_not_equal(other.bytes + other.len - 4, a.bytes + a.len - 4, 4);
	assert_int_equal(arbiter.denied, 0);
}

static void
an_allowed_name_has_nothing_else(void **state)
{
	static const unsigned types[] = {
	    2, 5, DNS_SOA, DNS_PTR, 15, 16, 33, DNS_SVCB, DNS_HTTPS, 257};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		assert_rcode("example.com", types[i], DNS_NOERROR);
	assert_int_equal(arbiter.denied, 0);
}

static void
every_other_name_does_not_exist(void **state)
{
	static const char *const names[] = {"evil.org", "evilexample.com", "example.com.evil.org",
	    "example.co", "com", "www.example.com", "example.comx", "example-com",
	    "xn--exmple-cua.com", "xn--xample-2of.com", "example.com.local", "_https.example.com"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char expected[300];
		assert_rcode(names[i], i % 2 ? DNS_A : DNS_AAAA, DNS_NXDOMAIN);
		assert_string_equal(arbiter.host, names[i]);
		(void)snprintf(expected, sizeof(expected), "name-denied %s", names[i]);
		assert_string_equal(arbiter.denial, expected);
	}
	assert_int_equal(arbiter.denied, ARRAY_LEN(names));
	/* A denied name is denied whatever is asked of it. */
	assert_rcode("evil.org", DNS_HTTPS, DNS_NXDOMAIN);
	assert_rcode("evil.org", 16, DNS_NXDOMAIN);
}

static void
what_is_no_host_name_is_not_even_asked_for(void **state)
{
	static const char *const names[] = {"*.example.com", "exa mple.com", "127.0.0.1",
	    "-example.com", "b\xc3\xbc\x63her.example", "ex\\.ample.com", "xn--a-.com"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_rcode(names[i], DNS_A, DNS_NXDOMAIN);
	assert_int_equal(arbiter.asked, 0);
	assert_int_equal(arbiter.denied, ARRAY_LEN(names));
}

static void
names_of_nobody_are_answered_here(void **state)
{
	struct message m = ask_udp("localhost", DNS_A, DNS_IN);
	assert_memory_equal(m.bytes + m.len - 4, "\x7f\0\0\1", 4);
	m = ask_udp("app.LOCALHOST", DNS_AAAA, DNS_IN);
	assert_memory_equal(m.bytes + m.len - 16, &in6addr_loopback, 16);
	assert_rcode("localhost", 16, DNS_NOERROR);
	assert_rcode("", 2, DNS_NOERROR);
	assert_rcode("ipv4only.arpa", DNS_AAAA, DNS_NXDOMAIN);
	assert_rcode("4.3.2.1.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN);
	assert_rcode("3.2.1.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN);
	assert_int_equal(arbiter.asked, 0);
	assert_rcode("notlocalhost", DNS_A, DNS_NXDOMAIN);
	assert_int_equal(arbiter.asked, 1);
}

static void
a_synthetic_address_has_its_name(void **state)
{
	char reverse[80];
	struct message m = ask_udp("example.com", DNS_A, DNS_IN);
	const uint8_t *a = m.bytes + m.len - 4;
	(void)snprintf(
	    reverse, sizeof(reverse), "%u.%u.%u.%u.in-addr.arpa", a[3], a[2], a[1], a[0]);
	struct message p = ask_udp(reverse, DNS_PTR, DNS_IN);
	assert_int_equal(n_answers(&p), 1);
	assert_memory_equal(p.bytes + p.len - 13, "\7example\3com\0", 13);
	assert_rcode(reverse, DNS_A, DNS_NOERROR);
	(void)snprintf(reverse, sizeof(reverse), "%u.%u.%u.%u.in-addr.arpa", (a[3] ^ 2) | 1,
	    a[2] ^ 1, a[1], a[0]);
	assert_rcode(reverse, DNS_PTR, DNS_NXDOMAIN);
}

static void
what_nobody_needs_is_refused(void **state)
{
	struct message m = ask_udp("example.com", DNS_A, 3); /* CHAOS */
	assert_int_equal(rcode(&m), DNS_REFUSED);
	m = ask_udp("example.com", DNS_A, 255);
	assert_int_equal(rcode(&m), DNS_REFUSED);
	static const unsigned types[] = {
	    0, DNS_OPT, 128, 249, 250, DNS_IXFR, DNS_AXFR, 253, DNS_ANY};
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		assert_rcode("example.com", types[i], DNS_REFUSED);
	assert_int_equal(arbiter.asked, 0);
}

static void
without_an_arbiter_nothing_is_given_out(void **state)
{
	arbiter.gone = true;
	assert_rcode("example.com", DNS_A, DNS_SERVFAIL);
}

static void
a_sandbox_has_only_so_many_names(void **state)
{
	for (int i = 0; i < NAMES_MAX; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		assert_int_equal(names_add(guest.names, name), i);
	}
	assert_rcode("example.com", DNS_A, DNS_SERVFAIL);
	assert_int_equal(arbiter.denied, 1);
}

/* ---- UDP ---- */

static void
an_answer_comes_from_the_address_asked(void **state)
{
	static const char *const addresses[] = {"127.0.0.1", "127.8.8.8", "127.255.0.53"};
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		/* Connected: an answer from elsewhere would not arrive. */
		int fd = connect_to(addresses[i], SOCK_DGRAM);
		struct message m = question(9, "example.com", DNS_A, DNS_IN);
		assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
		m = receive(fd);
		assert_int_equal(n_answers(&m), 1);
		close(fd);
	}
}

static void
ipv6_asks_as_well(void **state)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
	    .sin6_port = htons((uint16_t)port_udp),
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(fd);
		skip(); /* a host without IPv6 */
	}
	struct message m = question(9, "example.com", DNS_AAAA, DNS_IN);
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	m = receive(fd);
	assert_int_equal(n_answers(&m), 1);
	close(fd);
}

static void
a_host_without_ipv6_is_served_as_well(void **state)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	struct dns_server *server;
	int own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	assert_int_equal(setsockopt(own, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)), 0);
	assert_int_equal(bind(own, (struct sockaddr *)&any, sizeof(any)), 0);
	socklen_t len = sizeof(any);
	assert_int_equal(getsockname(own, (struct sockaddr *)&any, &len), 0);
	port_udp = ntohs(any.sin_port);
	assert_int_equal(dns_server_new(&guest, own, false, &server), 0);
	int fd = connect_to("127.5.3.1", SOCK_DGRAM);
	struct message m = question(9, "example.com", DNS_A, DNS_IN);
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	m = receive(fd);
	assert_int_equal(n_answers(&m), 1);
	/* But it is not sent where it cannot go. */
	m = question(10, "example.com", DNS_AAAA, DNS_IN);
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	m = receive(fd);
	assert_int_equal(rcode(&m), DNS_NOERROR);
	assert_int_equal(n_answers(&m), 0);
	close(fd);
	dns_server_free(server);
}

/* Who made the socket forgot to have destinations told: then there is no saying who was asked. */
static void
without_destinations_nothing_is_answered(void **state)
{
	int off = 0, fd = connect_to("127.0.0.1", SOCK_DGRAM);
	assert_int_equal(setsockopt(udp_fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &off, sizeof(off)), 0);
	struct message m = question(1, "example.com", DNS_A, DNS_IN);
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(arbiter.asked, 0);
	close(fd);
}

static void
malformed_messages_are_answered_as_such_and_answers_are_not(void **state)
{
	int fd = connect_to("127.0.0.1", SOCK_DGRAM);
	struct message m = question(1, "example.com", DNS_A, DNS_IN);
	m.bytes[2] |= 0x80; /* an answer */
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	assert_int_equal(send(fd, m.bytes, 11, 0), 11);
	assert_int_equal(send(fd, "", 0, 0), 0);
	m = question(2, "example.com", DNS_A, DNS_IN);
	assert_int_equal(send(fd, m.bytes, m.len - 1, 0), (ssize_t)m.len - 1);
	struct message answer = receive(fd);
	assert_int_equal(answer.bytes[1], 2); /* the first that is answered at all */
	assert_int_equal(rcode(&answer), DNS_FORMERR);
	m.bytes[2] = 0x28; /* UPDATE */
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	answer = receive(fd);
	assert_int_equal(rcode(&answer), DNS_NOTIMP);
	assert_int_equal(arbiter.asked, 0);
	close(fd);
}

static void
an_answer_waits_for_the_arbiter(void **state)
{
	arbiter.later = true;
	int fd = connect_to("127.0.0.1", SOCK_DGRAM);
	for (unsigned id = 1; id <= 3; id++) {
		struct message m = question(id, "example.com", DNS_A, DNS_IN);
		assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	}
	wait_for_questions(3);
	for (unsigned id = 3; id >= 1; id--) {
		arbiter_answers(id != 2);
		struct message m = receive(fd);
		assert_int_equal(m.bytes[1], id);
		assert_int_equal(rcode(&m), id == 2 ? DNS_NXDOMAIN : DNS_NOERROR);
	}
	/* One that nobody waits for any more: the resolver goes first. */
	struct message m = question(4, "example.com", DNS_A, DNS_IN);
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	wait_for_questions(4);
	udp = dns_server_free(udp);
	assert_int_equal(arbiter.forgotten, 1);
	close(fd);
}

/* ---- bounds ---- */

/* Sends N questions and counts the answers with RCODE; the clock stands still. */
static unsigned
flood(int fd, unsigned n, int expected)
{
	unsigned count = 0;
	for (unsigned i = 0; i < n; i++) {
		struct message m = question(i, "example.com", DNS_A, DNS_IN);
		assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
		m = receive(fd);
		count += rcode(&m) == expected;
	}
	return count;
}

static void
a_flood_is_refused_and_noted_once(void **state)
{
	held_ns = __real_clock_monotonic_ns();
	int fd = connect_to("127.0.0.1", SOCK_DGRAM);
	assert_int_equal(flood(fd, 1000, DNS_NOERROR), 1000);
	assert_int_equal(flood(fd, 50, DNS_REFUSED), 50);
	assert_int_equal(arbiter.asked, 1000);
	assert_int_equal(arbiter.denied, 1);
	held_ns += SECOND_NS / 2;
	assert_int_equal(flood(fd, 250, DNS_NOERROR), 250);
	assert_int_equal(flood(fd, 1, DNS_REFUSED), 1);
	held_ns += 100 * SECOND_NS;
	assert_int_equal(flood(fd, 1000, DNS_NOERROR), 1000);
	assert_int_equal(flood(fd, 1, DNS_REFUSED), 1);
	assert_int_equal(arbiter.denied, 1);
	close(fd);
}

static void
only_so_many_questions_wait(void **state)
{
	arbiter.later = true;
	int fd = connect_to("127.0.0.1", SOCK_DGRAM);
	held_ns = __real_clock_monotonic_ns();
	for (unsigned i = 0; i < 256; i++) {
		struct message m = question(i, "example.com", DNS_A, DNS_IN);
		assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
		wait_for_questions(i + 1);
		held_ns += SECOND_NS;
	}
	struct message m = question(7, "example.com", DNS_A, DNS_IN);
	assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
	m = receive(fd);
	assert_int_equal(rcode(&m), DNS_REFUSED);
	arbiter_answers(true);
	m = receive(fd);
	assert_int_equal(rcode(&m), DNS_NOERROR);
	close(fd);
}

/* ---- TCP ---- */

static void
send_framed(int fd, const struct message *m)
{
	uint8_t bytes[1502] = {(uint8_t)(m->len >> 8), (uint8_t)m->len};
	memcpy(bytes + 2, m->bytes, m->len);
	assert_int_equal(send(fd, bytes, m->len + 2, MSG_NOSIGNAL), (ssize_t)m->len + 2);
}

/* The next answer of a connection; len 0: it was closed. */
static struct message
receive_framed(int fd)
{
	struct message m = {.len = 0};
	uint8_t head[2];
	wait_for(fd);
	ssize_t n = recv(fd, head, 2, MSG_WAITALL);
	if (n <= 0)
		return m;
	m.len = (size_t)head[0] << 8 | head[1];
	assert_int_equal(recv(fd, m.bytes, m.len, MSG_WAITALL), (ssize_t)m.len);
	return m;
}

static void
a_connection_asks_many_questions(void **state)
{
	int fd = connect_to("127.0.0.1", SOCK_STREAM);
	for (unsigned id = 1; id <= 20; id++) {
		struct message m = question(id, id % 2 ? "example.com" : "evil.org", DNS_A, DNS_IN);
		send_framed(fd, &m);
	}
	for (unsigned id = 1; id <= 20; id++) {
		struct message m = receive_framed(fd);
		assert_int_equal(m.bytes[1], id);
		assert_int_equal(rcode(&m), id % 2 ? DNS_NOERROR : DNS_NXDOMAIN);
	}
	/* One that comes byte by byte, and the end of our half before its answer. */
	struct message m = question(99, "example.com", DNS_AAAA, DNS_IN);
	uint8_t head[2] = {0, (uint8_t)m.len};
	assert_int_equal(send(fd, head, 1, 0), 1);
	assert_int_equal(send(fd, head + 1, 1, 0), 1);
	for (size_t i = 0; i < m.len; i++)
		assert_int_equal(send(fd, m.bytes + i, 1, 0), 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	m = receive_framed(fd);
	assert_int_equal(m.bytes[1], 99);
	assert_int_equal(n_answers(&m), 1);
	assert_int_equal(receive_framed(fd).len, 0);
	close(fd);
}

static void
a_connection_waits_for_the_arbiter(void **state)
{
	arbiter.later = true;
	int fd = connect_to("127.0.0.1", SOCK_STREAM), other = connect_to("127.0.0.1", SOCK_STREAM);
	struct message m = question(1, "example.com", DNS_A, DNS_IN);
	send_framed(fd, &m);
	send_framed(fd, &m);
	wait_for_questions(1); /* one at a time */
	arbiter_answers(true);
	m = receive_framed(fd);
	assert_int_equal(n_answers(&m), 1);
	wait_for_questions(2);
	arbiter_answers(false);
	m = receive_framed(fd);
	assert_int_equal(rcode(&m), DNS_NXDOMAIN);
	/* A client that leaves takes its question with it. */
	m = question(2, "example.com", DNS_A, DNS_IN);
	send_framed(other, &m);
	wait_for_questions(3);
	struct linger now = {.l_onoff = 1};
	assert_int_equal(setsockopt(other, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(other);
	arbiter.later = false;
	m = question(3, "example.com", DNS_A, DNS_IN);
	send_framed(fd, &m);
	m = receive_framed(fd);
	assert_int_equal(m.bytes[1], 3);
	close(fd);
}

static void
a_connection_that_says_nothing_sensible_is_closed(void **state)
{
	struct message m = question(1, "example.com", DNS_A, DNS_IN);
	m.bytes[2] |= 0x80; /* an answer */
	int fd = connect_to("127.0.0.1", SOCK_STREAM);
	send_framed(fd, &m);
	assert_int_equal(receive_framed(fd).len, 0);
	close(fd);
	fd = connect_to("127.0.0.1", SOCK_STREAM);
	assert_int_equal(send(fd, "GET / HTTP/1.1\r\n", 16, 0), 16);
	assert_int_equal(receive_framed(fd).len, 0);
	close(fd);
	fd = connect_to("127.0.0.1", SOCK_STREAM);
	assert_int_equal(send(fd, "\0\0", 2, 0), 2);
	assert_int_equal(receive_framed(fd).len, 0);
	close(fd);
}

static void
a_connection_that_dawdles_is_closed(void **state)
{
	int fd = connect_to("127.0.0.1", SOCK_STREAM);
	struct message m = question(1, "example.com", DNS_A, DNS_IN);
	send_framed(fd, &m);
	assert_int_equal(receive_framed(fd).len > 0, true);
	assert_int_equal(send(fd, "\0", 1, 0), 1);
	ahead_ns = 11 * SECOND_NS;
	assert_int_equal(receive_framed(fd).len, 0);
	close(fd);
}

static void
only_so_many_connections_are_served(void **state)
{
	int fds[33];
	struct message m = question(1, "example.com", DNS_A, DNS_IN);
	for (size_t i = 0; i < 32; i++) {
		fds[i] = connect_to("127.0.0.1", SOCK_STREAM);
		send_framed(fds[i], &m);
		assert_true(receive_framed(fds[i]).len > 0);
	}
	fds[32] = connect_to("127.0.0.1", SOCK_STREAM);
	assert_int_equal(receive_framed(fds[32]).len, 0);
	close(fds[32]);
	send_framed(fds[0], &m);
	assert_true(receive_framed(fds[0]).len > 0);
	for (size_t i = 0; i < 32; i++)
		close(fds[i]);
}

/* ---- without memory ---- */

static void
a_resolver_without_memory_is_refused(void **state)
{
	for (long n = 0;; n++) {
		struct dns_server *server = NULL;
		int fd = bind_loopback(n % 2 ? SOCK_STREAM : SOCK_DGRAM);
		fail_allocation(n / 2);
		int r = dns_server_new(&guest, fd, n % 2, &server);
		bool failed = allocation_failed();
		fail_allocation(-1);
		assert_int_equal(r, failed ? -ENOMEM : 0);
		/* Taken, in any case. */
		dns_server_free(server);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
		if (!failed && n % 2)
			break;
	}
}

/* What memory failed for is lost or refused; whoever asks again is served. */
static void
questions_without_memory_harm_nobody(void **state)
{
	bool failed = true;
	for (long n = 0; failed; n++) {
		int fd = connect_to("127.0.0.1", SOCK_DGRAM),
		    stream = connect_to("127.0.0.1", SOCK_STREAM);
		char name[32];
		(void)snprintf(name, sizeof(name), "many-%ld.example", n);
		struct message m = question(1, name, DNS_A, DNS_IN);
		assert_int_equal(send(fd, m.bytes, m.len, 0), (ssize_t)m.len);
		send_framed(stream, &m);
		fail_allocation(n);
		for (int i = 0; i < 8; i++)
			turn();
		failed = allocation_failed();
		fail_allocation(-1);
		close(fd);
		close(stream);
		struct message again = ask_udp(name, DNS_AAAA, DNS_IN);
		assert_int_equal(n_answers(&again), 1);
		ahead_ns += SECOND_NS;
	}
}

#define test_case(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    test_case(an_allowed_name_has_an_address_that_leads_back_to_it),
	    test_case(an_allowed_name_has_nothing_else),
	    test_case(every_other_name_does_not_exist),
	    test_case(what_is_no_host_name_is_not_even_asked_for),
	    test_case(names_of_nobody_are_answered_here),
	    test_case(a_synthetic_address_has_its_name),
	    test_case(what_nobody_needs_is_refused),
	    test_case(without_an_arbiter_nothing_is_given_out),
	    test_case(a_sandbox_has_only_so_many_names),
	    test_case(an_answer_comes_from_the_address_asked),
	    test_case(ipv6_asks_as_well),
	    test_case(a_host_without_ipv6_is_served_as_well),
	    test_case(without_destinations_nothing_is_answered),
	    test_case(malformed_messages_are_answered_as_such_and_answers_are_not),
	    test_case(an_answer_waits_for_the_arbiter),
	    test_case(a_flood_is_refused_and_noted_once),
	    test_case(only_so_many_questions_wait),
	    test_case(a_connection_asks_many_questions),
	    test_case(a_connection_waits_for_the_arbiter),
	    test_case(a_connection_that_says_nothing_sensible_is_closed),
	    test_case(a_connection_that_dawdles_is_closed),
	    test_case(only_so_many_connections_are_served),
	    test_case(a_resolver_without_memory_is_refused),
	    test_case(questions_without_memory_harm_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
