/* Relays: bytes in both directions, in the kernel and through buffers, with ends of one half, failures and slow readers. */
#include "unit.h"

#include <netinet/in.h>

#include "failalloc.h"
#include "wire.h"

enum kind { PLAIN, METERED };

static struct loop *loop;
static struct stream_meter *meter;
static struct relay *relay;
static int a, b; /* the test's ends */
static unsigned n_done;
static bool free_when_done;

static void
on_done(struct relay *done, void *data)
{
	assert_ptr_equal(done, relay);
	n_done++;
	if (free_when_done)
		relay = relay_free(done);
}

static void
on_nobody(struct stream *stream, enum stream_event event, void *data)
{
}

static void
tcp_pair(int fds[2])
{
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&address, len), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fds[1] >= 0);
}

static void
join(bool is_tcp, enum kind kind, const char *waits)
{
	int one[2], two[2];
	struct stream *from, *to;
	(is_tcp ? tcp_pair : socket_pair)(one);
	(is_tcp ? tcp_pair : socket_pair)(two);
	a = one[1];
	b = two[1];
	assert_int_equal(stream_new(loop, one[0], on_nobody, NULL, &from), 0);
	assert_int_equal(stream_new(loop, two[0], on_nobody, NULL, &to), 0);
	if (kind == METERED)
		stream_set_meter(from, meter);
	if (waits[0] != 0) {
		push(a, waits);
		settle(loop);
	}
	assert_int_equal(relay_new(from, to, on_done, NULL, &relay), 0);
}

static int
set_up(void **state)
{
	assert_int_equal(loop_new(&loop), 0);
	meter = stream_meter_new(loop, 1 << 30);
	assert_non_null(meter);
	a = b = -1;
	n_done = 0;
	free_when_done = false;
	return 0;
}

static int
tear_down(void **state)
{
	relay = relay_free(relay);
	close_fd(&a);
	close_fd(&b);
	settle(loop);
	meter = stream_meter_free(meter);
	loop = loop_free(loop);
	return 0;
}

static void
expect(int fd, const char *text)
{
	_cleanup_buf_ struct buf got;
	buf_init(&got, 1 << 20);
	(void)drain(fd, &got);
	assert_string_equal(buf_str(&got), text);
}

static void
conversation(bool is_tcp, enum kind kind)
{
	join(is_tcp, kind, "waited ");
	settle(loop);
	push(a, "for you");
	settle(loop);
	expect(b, "waited for you");
	push(b, "and for me");
	settle(loop);
	expect(a, "and for me");
	assert_int_equal(relay_bytes(relay, true), 14);
	assert_int_equal(relay_bytes(relay, false), 10);
	assert_true(relay_idle_ms(relay) >= 0);
	/* One half ends; the other goes on until it does. */
	push(a, "bye");
	assert_int_equal(shutdown(a, SHUT_WR), 0);
	settle(loop);
	_cleanup_buf_ struct buf got;
	buf_init(&got, 1 << 20);
	assert_true(drain(b, &got));
	assert_string_equal(buf_str(&got), "bye");
	assert_int_equal(n_done, 0);
	push(b, "farewell");
	settle(loop);
	expect(a, "farewell");
	close_fd(&b);
	settle(loop);
	assert_int_equal(n_done, 1);
	assert_string_equal(relay_error(relay), "");
	buf_clear(&got);
	assert_true(drain(a, &got));
}

static void
bytes_and_ends_go_both_ways_in_the_kernel(void **state)
{
	conversation(true, PLAIN);
}

static void
unix_sockets_are_relayed_too(void **state)
{
	conversation(false, PLAIN);
}

static void
metered_streams_are_relayed_through_buffers(void **state)
{
	conversation(true, METERED);
}

static void
much_both_ways(bool is_tcp, enum kind kind)
{
	size_t len = 5 << 20, sent[2] = {0};
	uint8_t *bytes = pattern_new(len + 1000);
	struct buf got[2];
	int fds[2];
	join(is_tcp, kind, "");
	fds[0] = a;
	fds[1] = b;
	for (int i = 0; i < 2; i++)
		buf_init(&got[i], len + (1 << 20));
	bool ended[2] = {false, false};
	while (!ended[0] || !ended[1]) {
		for (int i = 0; i < 2; i++) {
			size_t part = MIN(len - sent[i], (size_t)99991);
			ssize_t n =
			    part == 0 ? 0 : send(fds[i], bytes + sent[i], part, MSG_NOSIGNAL);
			sent[i] += n > 0 ? (size_t)n : 0;
			if (n > 0 && sent[i] == len)
				assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
			/* One side reads little at a time, the other all there is. */
			uint8_t *at = buf_reserve(&got[i], 65536);
			ssize_t m = ended[i] ? -1 : recv(fds[i], at, i == 0 ? 3000 : 65536, 0);
			if (m > 0)
				buf_grew(&got[i], (size_t)m);
			ended[i] |= m == 0;
		}
		turn(loop);
	}
	settle(loop);
	assert_int_equal(n_done, 1);
	assert_string_equal(relay_error(relay), "");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(got[i].len, len);
		assert_memory_equal(got[i].data, bytes, len);
		assert_int_equal(relay_bytes(relay, i == 0), len);
		buf_done(&got[i]);
	}
	free(bytes);
}

static void
much_goes_both_ways_in_the_kernel(void **state)
{
	much_both_ways(true, PLAIN);
}

static void
much_goes_both_ways_between_unix_sockets(void **state)
{
	much_both_ways(false, PLAIN);
}

static void
much_goes_both_ways_through_buffers(void **state)
{
	much_both_ways(true, METERED);
}

static void
a_reset_on_one_side_is_one_on_the_other(void **state)
{
	static const struct {
		enum kind kind;
		bool from_a;
	} cases[] = {{PLAIN, true}, {PLAIN, false}, {METERED, true}, {METERED, false}};
	struct linger now = {.l_onoff = 1};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		join(true, cases[i].kind, "");
		int *from = cases[i].from_a ? &a : &b, *to = cases[i].from_a ? &b : &a;
		push(*from, "half an ans");
		settle(loop);
		assert_int_equal(setsockopt(*from, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
		close_fd(from);
		settle(loop);
		assert_int_equal(n_done, 1);
		assert_string_equal(relay_error(relay), "Connection reset by peer");
		relay = relay_free(relay);
		char got[20];
		assert_int_equal(recv(*to, got, sizeof(got), 0), 11);
		assert_int_equal(recv(*to, got, sizeof(got), 0), -1);
		assert_int_equal(errno, ECONNRESET);
		tear_down(state);
		set_up(state);
	}
}

static void
a_relay_that_is_freed_early_cuts_both(void **state)
{
	join(true, PLAIN, "");
	settle(loop);
	relay = relay_free(relay);
	char byte;
	assert_int_equal(recv(a, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(recv(b, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	settle(loop);
	assert_int_equal(n_done, 0);
	assert_null(relay_free(NULL));
}

static void
a_relay_may_be_freed_when_it_is_done(void **state)
{
	free_when_done = true;
	for (int kind = PLAIN; kind <= METERED; kind++) {
		join(true, (enum kind)kind, "x");
		close_fd(&a);
		(void)shutdown(b, SHUT_WR);
		settle(loop);
		assert_null(relay);
		assert_int_equal(n_done, 1);
		tear_down(state);
		set_up(state);
		free_when_done = true;
	}
}

static void
an_end_that_came_before_the_relay_is_handed_on(void **state)
{
	int one[2], two[2];
	struct stream *from, *to;
	tcp_pair(one);
	tcp_pair(two);
	a = one[1];
	b = two[1];
	assert_int_equal(stream_new(loop, one[0], on_nobody, NULL, &from), 0);
	assert_int_equal(stream_new(loop, two[0], on_nobody, NULL, &to), 0);
	push(a, "all of it");
	assert_int_equal(shutdown(a, SHUT_WR), 0);
	settle(loop);
	assert_true(stream_ended(from));
	assert_int_equal(relay_new(from, to, on_done, NULL, &relay), 0);
	settle(loop);
	_cleanup_buf_ struct buf got;
	buf_init(&got, 1 << 20);
	assert_true(drain(b, &got));
	assert_string_equal(buf_str(&got), "all of it");
	assert_int_equal(n_done, 0);
}

static void
a_stream_that_failed_before_ends_the_relay(void **state)
{
	struct linger now = {.l_onoff = 1};
	int one[2], two[2];
	struct stream *from, *to;
	tcp_pair(one);
	tcp_pair(two);
	b = two[1];
	assert_int_equal(stream_new(loop, one[0], on_nobody, NULL, &from), 0);
	assert_int_equal(stream_new(loop, two[0], on_nobody, NULL, &to), 0);
	assert_int_equal(setsockopt(one[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close_fd(&one[1]);
	settle(loop);
	assert_int_equal(relay_new(from, to, on_done, NULL, &relay), 0);
	assert_int_equal(n_done, 0);
	settle(loop);
	assert_int_equal(n_done, 1);
	assert_string_equal(relay_error(relay), "Connection reset by peer");
}

static void
relays_that_feed_each_other_leave_the_loop_its_turn(void **state)
{
	/* What leaves by B comes in by A again: without end, as fast as it goes. */
	static uint8_t bytes[30000];
	for (int kind = PLAIN; kind <= METERED; kind++) {
		int one[2];
		struct stream *from, *to;
		tcp_pair(one);
		assert_int_equal(stream_new(loop, one[0], on_nobody, NULL, &from), 0);
		assert_int_equal(stream_new(loop, one[1], on_nobody, NULL, &to), 0);
		if (kind == METERED)
			stream_set_meter(from, meter);
		assert_int_equal(stream_write(to, bytes, sizeof(bytes)), 0);
		turn(loop);
		assert_int_equal(relay_new(from, to, on_done, NULL, &relay), 0);
		settle(loop); /* would not come back */
		assert_int_equal(n_done, 0);
		assert_true(relay_bytes(relay, true) > 0);
		relay = relay_free(relay);
		settle(loop);
	}
}

static void
without_memory_there_is_no_relay_and_the_streams_stay_their_owners(void **state)
{
	int one[2], two[2];
	struct stream *from, *to;
	tcp_pair(one);
	tcp_pair(two);
	a = one[1];
	b = two[1];
	assert_int_equal(stream_new(loop, one[0], on_nobody, NULL, &from), 0);
	assert_int_equal(stream_new(loop, two[0], on_nobody, NULL, &to), 0);
	fail_allocation(0);
	int r = relay_new(from, to, on_done, NULL, &relay);
	fail_allocation(-1);
	assert_int_equal(r, -ENOMEM);
	stream_free(from);
	stream_free(to);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(bytes_and_ends_go_both_ways_in_the_kernel),
	    TEST(unix_sockets_are_relayed_too),
	    TEST(metered_streams_are_relayed_through_buffers),
	    TEST(much_goes_both_ways_in_the_kernel),
	    TEST(much_goes_both_ways_between_unix_sockets),
	    TEST(much_goes_both_ways_through_buffers),
	    TEST(a_reset_on_one_side_is_one_on_the_other),
	    TEST(a_relay_that_is_freed_early_cuts_both),
	    TEST(a_relay_may_be_freed_when_it_is_done),
	    TEST(an_end_that_came_before_the_relay_is_handed_on),
	    TEST(a_stream_that_failed_before_ends_the_relay),
	    TEST(relays_that_feed_each_other_leave_the_loop_its_turn),
	    TEST(without_memory_there_is_no_relay_and_the_streams_stay_their_owners),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
