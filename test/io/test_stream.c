/* Plain streams: what arrives waits, what is written goes or is queued; ends, failures, callbacks that free. */
#include "unit.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/stat.h>

#include "failalloc.h"
#include "wire.h"

static struct loop *loop;
static struct end end;
static int far_fd; /* the other side, as a socket */

static int
set_up(void **state)
{
	int fds[2];
	assert_int_equal(loop_new(&loop), 0);
	socket_pair(fds);
	end_open(&end, loop, fds[0]);
	far_fd = fds[1];
	return 0;
}

static int
tear_down(void **state)
{
	end_close(&end);
	close_fd(&far_fd);
	settle(loop);
	loop = loop_free(loop);
	return 0;
}

static int
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
	return 0;
}

/* The pair of set_up, but TCP. */
static void
use_tcp(void)
{
	int fds[2];
	end_close(&end);
	close_fd(&far_fd);
	assert_int_equal(tcp_pair(fds), 0);
	end_open(&end, loop, fds[0]);
	far_fd = fds[1];
}

static void
what_arrives_is_told_and_waits_until_it_is_consumed(void **state)
{
	size_t len;
	end.keeps = true;
	push(far_fd, "abc");
	settle(loop);
	assert_int_equal(end.readable, 1);
	push(far_fd, "def");
	settle(loop);
	assert_int_equal(end.readable, 2);
	assert_memory_equal(stream_peek(end.stream, &len), "abcdef", 6);
	assert_int_equal(len, 6);
	stream_consume(end.stream, 4);
	assert_memory_equal(stream_peek(end.stream, &len), "ef", 2);
	stream_consume(end.stream, 100); /* at most all */
	(void)stream_peek(end.stream, &len);
	assert_int_equal(len, 0);
	assert_int_equal(stream_bytes_in(end.stream), 6);
}

static void
writes_of_one_round_go_out_together(void **state)
{
	assert_int_equal(stream_write(end.stream, "head ", 5), 0);
	assert_int_equal(stream_write(end.stream, "", 0), 0);
	assert_int_equal(stream_write(end.stream, "body", 4), 0);
	assert_int_equal(stream_queued(end.stream), 9);
	turn(loop);
	turn(loop);
	assert_int_equal(stream_queued(end.stream), 0);
	assert_int_equal(end.drained, 1);
	char got[20];
	assert_int_equal(recv(far_fd, got, sizeof(got), 0), 9);
	assert_memory_equal(got, "head body", 9);
	assert_int_equal(stream_bytes_out(end.stream), 9);
}

static void
no_more_is_read_than_may_wait_and_more_after_some_was_consumed(void **state)
{
	size_t len = 400000, sent = 0, waits;
	uint8_t *bytes = pattern_new(len);
	end.keeps = true;
	stream_set_high_water(end.stream, 1000);
	for (int i = 0; i < 2000 && end.got.len < len; i++) {
		ssize_t n = sent < len ? send(far_fd, bytes + sent, len - sent, MSG_NOSIGNAL) : 0;
		sent += n > 0 ? (size_t)n : 0;
		turn(loop);
		turn(loop);
		const uint8_t *at = stream_peek(end.stream, &waits);
		assert_true(waits <= 1000);
		size_t take = waits > 500 ? waits - 7 : waits;
		assert_int_equal(buf_add(&end.got, at, take), 0);
		stream_consume(end.stream, take);
	}
	assert_int_equal(end.got.len, len);
	assert_memory_equal(end.got.data, bytes, len);
	free(bytes);
}

static void
a_peer_that_does_not_read_makes_a_queue_and_then_it_drains(void **state)
{
	size_t len = 3 << 20;
	uint8_t *bytes = pattern_new(len);
	_cleanup_buf_ struct buf got;
	buf_init(&got, len + 65536);
	for (size_t at = 0; at < len; at += 30000)
		assert_int_equal(
		    stream_write(end.stream, bytes + at, MIN(len - at, (size_t)30000)), 0);
	stream_end(end.stream);
	settle(loop);
	size_t queued = stream_queued(end.stream);
	assert_true(queued > STREAM_HIGH_WATER);
	assert_int_equal(end.drained, 0);
	bool ended = false;
	while (!ended) {
		ended = drain(far_fd, &got);
		turn(loop);
	}
	settle(loop);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, bytes, len);
	assert_true(end.drained == 1 || end.drained == 2); /* short, and empty */
	assert_int_equal(stream_bytes_out(end.stream), len);
	assert_int_equal(stream_write(end.stream, "x", 1), -EPIPE);
	free(bytes);
}

static void
each_half_ends_for_itself(void **state)
{
	_cleanup_buf_ struct buf got;
	buf_init(&got, 1 << 20);
	push(far_fd, "last");
	assert_int_equal(shutdown(far_fd, SHUT_WR), 0);
	settle(loop);
	assert_true(end.ended);
	assert_string_equal(buf_str(&end.got), "last");
	assert_int_equal(stream_write(end.stream, "answer", 6), 0);
	stream_end(end.stream);
	stream_end(end.stream);
	settle(loop);
	assert_true(drain(far_fd, &got));
	assert_string_equal(buf_str(&got), "answer");
	assert_int_equal(end.failed, 0);
	assert_int_equal(end.drained, 1);
}

static void
an_end_with_nothing_queued_is_told_too(void **state)
{
	stream_end(end.stream);
	settle(loop);
	assert_int_equal(end.drained, 1);
	char byte;
	assert_int_equal(recv(far_fd, &byte, 1, 0), 0);
}

static void
an_end_behind_more_than_may_wait_comes_after_it(void **state)
{
	size_t len;
	end.keeps = true;
	stream_set_high_water(end.stream, 4);
	push(far_fd, "12345678");
	close_fd(&far_fd);
	settle(loop);
	assert_false(stream_ended(end.stream));
	stream_consume(end.stream, 4);
	settle(loop);
	assert_memory_equal(stream_peek(end.stream, &len), "5678", 4);
	stream_consume(end.stream, 4);
	settle(loop);
	assert_true(stream_ended(end.stream));
	assert_int_equal(end.failed, 0);
}

static void
a_reset_is_a_failure_after_what_was_received(void **state)
{
	struct linger now = {.l_onoff = 1};
	use_tcp();
	push(far_fd, "half an ans");
	settle(loop);
	assert_int_equal(setsockopt(far_fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close_fd(&far_fd);
	settle(loop);
	assert_string_equal(buf_str(&end.got), "half an ans");
	assert_int_equal(end.failed, 1);
	assert_false(stream_ended(end.stream));
	assert_string_equal(stream_error(end.stream), "Connection reset by peer");
	assert_true(stream_write(end.stream, "x", 1) < 0);
	settle(loop);
	assert_int_equal(end.failed, 1);
}

static void
an_answer_from_a_peer_that_takes_nothing_more_is_read_before_the_failure(void **state)
{
	use_tcp();
	turn(loop);
	turn(loop);
	push(far_fd, "413 too much");
	close_fd(&far_fd);
	/* The first write makes the peer reset the connection, the second is refused; nothing was read yet. */
	uint8_t *bytes = pattern_new(100000);
	assert_int_equal(send(stream_fd(end.stream), bytes, 1, MSG_NOSIGNAL), 1);
	assert_true(stream_write(end.stream, bytes, 100000) < 0);
	assert_int_equal(end.failed, 0); /* never in the call */
	settle(loop);
	assert_string_equal(buf_str(&end.got), "413 too much");
	assert_int_equal(end.failed, 1);
	assert_false(end.ended);
	free(bytes);
}

static void
a_stream_that_is_aborted_is_reset(void **state)
{
	use_tcp();
	turn(loop);
	end.stream = stream_abort(end.stream);
	char byte;
	assert_int_equal(recv(far_fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_null(stream_abort(NULL));
	assert_null(stream_free(NULL));
}

static void
a_stream_may_be_freed_in_any_of_its_callbacks(void **state)
{
	for (int event = STREAM_READABLE; event <= STREAM_DRAINED; event++) {
		int fds[2];
		struct end other;
		socket_pair(fds);
		end_open(&other, loop, fds[0]);
		other.free_at = event;
		push(fds[1], "hello");
		assert_int_equal(stream_write(other.stream, "hello", 5), 0);
		settle(loop);
		assert_null(other.stream);
		end_close(&other);
		close_fd(&fds[1]);
	}
	use_tcp();
	end.free_at = STREAM_FAILED;
	struct linger now = {.l_onoff = 1};
	assert_int_equal(setsockopt(far_fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close_fd(&far_fd);
	settle(loop);
	assert_null(end.stream);
}

static void
a_freed_stream_with_work_to_do_does_nothing(void **state)
{
	assert_int_equal(stream_write(end.stream, "lost", 4), 0);
	end.stream = stream_free(end.stream);
	settle(loop);
	char byte;
	assert_int_equal(recv(far_fd, &byte, 1, 0), 0);
	assert_int_equal(end.drained, 0);
}

static void
another_owner_hears_what_comes_from_then_on(void **state)
{
	struct end other = {.free_at = -1, .stream = end.stream};
	buf_init(&other.got, 1000);
	push(far_fd, "one");
	settle(loop);
	stream_set_owner(end.stream, on_end, &other);
	push(far_fd, "two");
	settle(loop);
	assert_string_equal(buf_str(&end.got), "one");
	assert_string_equal(buf_str(&other.got), "two");
	buf_done(&other.got);
}

static void
a_descriptor_that_cannot_be_watched_is_closed(void **state)
{
	struct stream *stream;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(stream_new(loop, fd, on_end, &end, &stream), -EPERM);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* Everything a stream does, with one allocation that fails: it works or it fails, and is then told once. */
static void
out_of_memory_fails_a_stream_and_nothing_else(void **state)
{
	uint8_t *bytes = pattern_new(50000);
	for (long n = 0;; n++) {
		int fds[2];
		struct end other = {.free_at = -1};
		buf_init(&other.got, 1 << 20);
		assert_non_null(buf_reserve(&other.got, 200000));
		socket_pair(fds);
		assert_int_equal(send(fds[1], bytes, 50000, MSG_NOSIGNAL), 50000);
		struct timer *timer;
		assert_int_equal(loop_timer(loop, 0, on_turned, loop, &timer), 0);
		fail_allocation(n);
		int r = stream_new(loop, fds[0], on_end, &other, &other.stream);
		if (r == 0) {
			(void)stream_write(other.stream, bytes, 100);
			(void)stream_write(other.stream, bytes, 50000);
		}
		assert_int_equal(loop_run(loop), 0);
		bool failed = allocation_failed();
		fail_allocation(-1);
		settle(loop);
		assert_true(r == 0 || r == -ENOMEM);
		if (r == 0)
			assert_true(other.failed == 1 || other.got.len == 50000);
		end_close(&other);
		close_fd(&fds[1]);
		if (!failed)
			break;
	}
	free(bytes);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(what_arrives_is_told_and_waits_until_it_is_consumed),
	    TEST(writes_of_one_round_go_out_together),
	    TEST(no_more_is_read_than_may_wait_and_more_after_some_was_consumed),
	    TEST(a_peer_that_does_not_read_makes_a_queue_and_then_it_drains),
	    TEST(each_half_ends_for_itself),
	    TEST(an_end_with_nothing_queued_is_told_too),
	    TEST(an_end_behind_more_than_may_wait_comes_after_it),
	    TEST(a_reset_is_a_failure_after_what_was_received),
	    TEST(an_answer_from_a_peer_that_takes_nothing_more_is_read_before_the_failure),
	    TEST(a_stream_that_is_aborted_is_reset),
	    TEST(a_stream_may_be_freed_in_any_of_its_callbacks),
	    TEST(a_freed_stream_with_work_to_do_does_nothing),
	    TEST(another_owner_hears_what_comes_from_then_on),
	    TEST(a_descriptor_that_cannot_be_watched_is_closed),
	    TEST(out_of_memory_fails_a_stream_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
