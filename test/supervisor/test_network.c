/* One sandbox's part in the network boundary, with gateway, arbiter and ledger played by the test: whatever they answer,
 * in whatever order, and whichever of them ends. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "ipc/messages.h"
#include "supervisor/network.h"

#define PATIENCE_MS 10000
#define SANDBOX "01a1fec2-2fd1-7a40-8b5b-3f0f5d8f0a01"
#define TASK "01a1fec2-2fd1-7a40-8b5b-3f0f5d8f0a02"

/* Our ends. */
static struct {
	int gateway, arbiter, ledger;
	unsigned starts;
} peers;
static struct supervisor s;
static struct network *network;
static enum network_event told[8];
static size_t n_told;
static struct error why;

/* ---- what the supervisor's other parts would do ---- */

static int
answer_ok(struct conn *conn, struct msg *m)
{
	network_on_bound(conn_data(conn), m->serial);
	return 0;
}

static int
answer_error(struct conn *conn, struct msg *m)
{
	assert_true(network_on_refused(conn_data(conn), m));
	return 0;
}

static void
on_closed(struct conn *conn)
{
	if (s.gateway.conn == conn)
		s.gateway.conn = NULL;
}

static const struct route routes[] = {
    {MSG_GATEWAY_OPENED, 1u << PEER_GATEWAY, 0, 16384, 1, network_on_opened},
    {MSG_OK, 1u << PEER_GATEWAY, 0, 64, 0, network_on_listening},
    {MSG_GATEWAY_CLOSED, 1u << PEER_GATEWAY, 0, MSG_BODY_MAX, 0, network_on_closed},
    {MSG_ERROR, 1u << PEER_GATEWAY, 0, 16384, 0, network_on_error},
    {MSG_OK, 1u << PEER_ARBITER, 0, 64, 0, answer_ok},
    {MSG_ERROR, 1u << PEER_ARBITER, 0, 16384, 0, answer_error},
    {0},
};

static int
connect_peer(unsigned peer, struct conn **ret)
{
	int pair[2];
	assert_int_equal(msg_pair(pair), 0);
	assert_int_equal(conn_new(s.loop, pair[0], peer, routes, on_closed, &s, ret), 0);
	return pair[1];
}

int
gateways_need(struct supervisor *supervisor, bool vault, struct error *err)
{
	(void)supervisor, (void)vault, (void)err;
	if (s.gateway.conn == NULL) {
		peers.starts++;
		s.gateway_number++;
		peers.gateway = connect_peer(PEER_GATEWAY, &s.gateway.conn);
	}
	return 0;
}

void
clients_consider_idle(struct supervisor *supervisor)
{
	(void)supervisor;
}

/* ---- the play ---- */

static void
on_event(struct network *of, enum network_event event, const struct error *err, void *data)
{
	assert_ptr_equal(of, network);
	assert_ptr_equal(data, &network);
	assert_true(n_told < ARRAY_LEN(told));
	told[n_told++] = event;
	if (err != NULL)
		why = *err;
	loop_stop(s.loop, 0);
}

static void
on_late(struct timer *timer, void *data)
{
	(void)timer, (void)data;
	fail_msg("nothing was said");
}

/* Until the next event. */
static void
await_event(enum network_event event)
{
	struct timer *late;
	size_t before = n_told;
	assert_int_equal(loop_timer(s.loop, PATIENCE_MS, on_late, NULL, &late), 0);
	assert_int_equal(loop_run(s.loop), 0);
	(void)timer_cancel(late);
	assert_int_equal(n_told, before + 1);
	assert_int_equal(told[before], event);
}

/* The next message at FD must be TYPE; its serial. */
static uint32_t
expect(int fd, uint16_t type)
{
	struct msg m = MSG_INIT;
	assert_int_equal(msg_recv(fd, MSG_DONTWAIT, &m), 1);
	assert_int_equal(m.type, type);
	uint32_t serial = m.serial;
	if (type == MSG_NET_OPEN)
		assert_int_equal(json_get_int(m.body, "gateway", 0), s.gateway_number);
	if (type != MSG_APPEND)
		assert_string_equal(json_get_str(m.body, "sandbox", ""), SANDBOX);
	msg_done(&m);
	return serial;
}

static void
say(int fd, uint16_t type, uint32_t serial, const char *text, const int *fds, unsigned n)
{
	struct json *body = NULL;
	if (text != NULL)
		assert_int_equal(json_parse(text, strlen(text), &body, &(struct error){0}), 0);
	assert_int_equal(msg_send(fd, type, serial, body, fds, n), 0);
	json_free(body);
}

static void
say_opened(uint32_t serial)
{
	int bundle = memfd_create("bundle", MFD_CLOEXEC);
	say(peers.gateway, MSG_GATEWAY_OPENED, serial, "{\"ca\":\"PEM\"}", &bundle, 1);
	(void)close(bundle);
}

static int
open_network(bool record)
{
	static const char config[] = "{\"network\":{\"ports\":[443],\"proxy_port\":3128}}";
	struct json *parsed = NULL, *policy = json_new_object();
	struct error err = {0};
	assert_int_equal(json_parse(config, strlen(config), &parsed, &err), 0);
	(void)json_set_str(policy, "name", "net");
	const struct network_spec spec = {
	    .sandbox = SANDBOX, .task = TASK, .config = parsed, .policy = policy, .record = record};
	int r = network_open(&s, &spec, on_event, &network, &network, &err);
	json_free(parsed);
	json_free(policy);
	return r;
}

static void
become_open(bool record)
{
	assert_int_equal(open_network(record), 0);
	uint32_t open = expect(peers.gateway, MSG_GATEWAY_OPEN);
	uint32_t bind = expect(peers.arbiter, MSG_NET_OPEN);
	say(peers.arbiter, MSG_OK, bind, NULL, NULL, 0);
	say_opened(open);
	await_event(NETWORK_OPENED);
	assert_true(network_is_open(network));
	assert_true(network_bundle(network) >= 0);
}

/* A listener as rf-init would make it, said to be ROLE at PORT (0: where it is). 0, or why it is not taken. */
static int
hand_over(int type, const char *role, int port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6};
	socklen_t len = sizeof(address);
	struct error err = {0};
	struct msg m = {.fds = {-1, -1, -1, -1, -1, -1, -1, -1}, .body = json_new_object()};
	struct json *list = json_new_array(), *entry = json_new_object();
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	(void)json_set_str(entry, "role", role);
	(void)json_set_int(entry, "port", port == 0 ? ntohs(address.sin6_port) : port);
	(void)json_push(list, entry);
	(void)json_set(m.body, "listeners", list);
	m.fds[0] = fd;
	m.n_fds = 1;
	int r = network_listen(network, &m, &err);
	msg_done(&m);
	return r;
}

/* ---- tests ---- */

static void
stop_loop(struct timer *timer, void *data)
{
	(void)timer, (void)data;
	loop_stop(s.loop, 0);
}

static int
set_up(void **state)
{
	(void)state;
	s = (struct supervisor){.gateway = {.pidfd = -1}};
	memset(&peers, 0, sizeof(peers));
	network = NULL;
	n_told = 0;
	why = (struct error){0};
	if (loop_new(&s.loop) < 0)
		return -1;
	peers.arbiter = connect_peer(PEER_ARBITER, &s.arbiter.conn);
	peers.ledger = connect_peer(PEER_LEDGER, &s.ledger.conn);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	network = network_release(network);
	struct error gone = {.code = "gone"};
	struct timer *soon;
	s.leaving = true;
	conn_close(TAKE_PTR(s.gateway.conn));
	network_lose_all(&s, &gone);
	assert_null(s.networks);
	conn_close(TAKE_PTR(s.arbiter.conn));
	conn_close(TAKE_PTR(s.ledger.conn));
	/* They are freed in a round, and what they watched after it. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(loop_timer(s.loop, 1, stop_loop, NULL, &soon), 0);
		assert_int_equal(loop_run(s.loop), 0);
	}
	s.loop = loop_free(s.loop);
	(void)close(peers.arbiter);
	(void)close(peers.ledger);
	(void)close(peers.gateway);
	return 0;
}

static void
it_is_open_when_both_have_answered_in_whatever_order(void **state)
{
	(void)state;
	assert_int_equal(open_network(false), 0);
	uint32_t open = expect(peers.gateway, MSG_GATEWAY_OPEN);
	uint32_t bind = expect(peers.arbiter, MSG_NET_OPEN);
	say_opened(open);
	say(peers.arbiter, MSG_OK, bind, NULL, NULL, 0);
	await_event(NETWORK_OPENED);
	assert_true(network_is_open(network));
	assert_int_equal(n_told, 1);
}

static void
listeners_are_taken_before_it_is_said_that_they_are(void **state)
{
	(void)state;
	become_open(false);
	assert_int_equal(hand_over(SOCK_STREAM, "tcp", 0), 0);
	assert_int_equal(hand_over(SOCK_DGRAM, "dns-udp", 0), 0);
	assert_false(network_has_listeners(network));
	assert_int_equal(network_bundle(network), -1);
	uint32_t first = expect(peers.gateway, MSG_GATEWAY_LISTEN);
	uint32_t second = expect(peers.gateway, MSG_GATEWAY_LISTEN);
	say(peers.gateway, MSG_OK, second, NULL, NULL, 0);
	say(peers.gateway, MSG_OK, first, NULL, NULL, 0);
	await_event(NETWORK_LISTENS);
}

static void
a_socket_that_is_not_what_it_is_said_to_be_is_not_handed_on(void **state)
{
	(void)state;
	struct msg m = MSG_INIT;
	become_open(false);
	assert_int_equal(hand_over(SOCK_STREAM, "tcp", 1), -EPROTO);
	assert_int_equal(hand_over(SOCK_DGRAM, "tcp", 0), -EPROTO);
	assert_int_equal(hand_over(SOCK_STREAM, "dns-udp", 0), -EPROTO);
	assert_int_equal(msg_recv(peers.gateway, MSG_DONTWAIT, &m), -EAGAIN);
	msg_done(&m);
}

static void
an_arbiter_that_refuses_is_the_end_of_it(void **state)
{
	(void)state;
	assert_int_equal(open_network(false), 0);
	(void)expect(peers.gateway, MSG_GATEWAY_OPEN);
	uint32_t bind = expect(peers.arbiter, MSG_NET_OPEN);
	say(peers.arbiter, MSG_ERROR, bind,
	    "{\"error\":{\"code\":\"policy_unknown\",\"message\":\"no\"}}", NULL, 0);
	await_event(NETWORK_FAILED);
	assert_string_equal(why.code, "policy_unknown");
	(void)expect(peers.gateway, MSG_GATEWAY_CLOSE);
	(void)expect(peers.arbiter, MSG_NET_CLOSE);
}

/* As gateways.c does when the process has ended. */
static void
lose_gateway(void)
{
	struct error err;
	(void)error_set(&err, EIO, "gateway_lost", "rf-gateway ended");
	conn_close(TAKE_PTR(s.gateway.conn));
	(void)close(peers.gateway);
	network_lose_all(&s, &err);
}

static void
a_gateway_that_ends_before_it_answered_is_not_missed_once(void **state)
{
	(void)state;
	assert_int_equal(open_network(false), 0);
	(void)expect(peers.arbiter, MSG_NET_OPEN);
	lose_gateway();
	assert_int_equal(n_told, 0);
	assert_int_equal(peers.starts, 2);
	(void)expect(peers.gateway, MSG_GATEWAY_OPEN);
	(void)expect(peers.arbiter, MSG_NET_CLOSE);
	(void)expect(peers.arbiter, MSG_NET_OPEN);
	lose_gateway();
	assert_int_equal(n_told, 1);
	assert_int_equal(told[0], NETWORK_FAILED);
	assert_string_equal(why.code, "gateway_lost");
}

static void
a_gateway_that_ends_later_is_the_end_of_it(void **state)
{
	(void)state;
	become_open(false);
	lose_gateway();
	assert_int_equal(n_told, 2);
	assert_int_equal(told[1], NETWORK_FAILED);
	assert_false(network_is_closing(network));
	(void)expect(peers.arbiter, MSG_NET_CLOSE);
}

static void
what_came_of_it_is_told_and_then_the_arbiter_lets_go(void **state)
{
	(void)state;
	become_open(false);
	network_close(network);
	network_close(network);
	assert_true(network_is_closing(network));
	uint32_t serial = expect(peers.gateway, MSG_GATEWAY_CLOSE);
	struct msg m = MSG_INIT;
	assert_int_equal(msg_recv(peers.arbiter, MSG_DONTWAIT, &m), -EAGAIN);
	msg_done(&m);
	say(peers.gateway, MSG_GATEWAY_CLOSED, serial,
	    "{\"denials\":[],\"usage\":{\"denied\":3},\"else\":1}", NULL, 0);
	await_event(NETWORK_CLOSED);
	const struct json *result = network_result(network);
	assert_int_equal(json_get_int(json_get(result, "usage"), "denied", 0), 3);
	assert_null(json_get(result, "else"));
	(void)expect(peers.arbiter, MSG_NET_CLOSE);
}

static void
one_that_nobody_waits_for_is_recorded_and_gone(void **state)
{
	(void)state;
	become_open(true);
	network = network_release(network);
	assert_non_null(s.networks);
	uint32_t serial = expect(peers.gateway, MSG_GATEWAY_CLOSE);
	say(peers.gateway, MSG_GATEWAY_CLOSED, serial, "{\"denials\":[],\"usage\":{}}", NULL, 0);
	while (s.networks != NULL) {
		struct timer *soon;
		assert_int_equal(loop_timer(s.loop, 1, stop_loop, NULL, &soon), 0);
		assert_int_equal(loop_run(s.loop), 0);
	}
	(void)expect(peers.ledger, MSG_APPEND);
	(void)expect(peers.arbiter, MSG_NET_CLOSE);
	assert_int_equal(n_told, 1);
}

#define PLAYED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    PLAYED(it_is_open_when_both_have_answered_in_whatever_order),
	    PLAYED(listeners_are_taken_before_it_is_said_that_they_are),
	    PLAYED(a_socket_that_is_not_what_it_is_said_to_be_is_not_handed_on),
	    PLAYED(an_arbiter_that_refuses_is_the_end_of_it),
	    PLAYED(a_gateway_that_ends_before_it_answered_is_not_missed_once),
	    PLAYED(a_gateway_that_ends_later_is_the_end_of_it),
	    PLAYED(what_came_of_it_is_told_and_then_the_arbiter_lets_go),
	    PLAYED(one_that_nobody_waits_for_is_recorded_and_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
