/* Bandwidth that streams share. The clock is the test's. */
#include "unit.h"

#include "base/clock.h"
#include "wire.h"

#define BURST 65536

static struct loop *loop;
static struct stream_meter *meter;
static struct end ends[3];
static int fars[3];
static int64_t now_ns;

int64_t __wrap_clock_monotonic_ns(void);
int64_t __real_clock_monotonic_ns(void);

int64_t
__wrap_clock_monotonic_ns(void)
{
	return now_ns;
}

static void
pass_ms(int64_t ms)
{
	for (; ms > 0; ms -= 10) {
		now_ns += 10 * 1000000;
		for (int i = 0; i < 5; i++)
			turn(loop);
	}
}

static int
set_up(void **state)
{
	now_ns = 1000000000;
	assert_int_equal(loop_new(&loop), 0);
	meter = stream_meter_new(loop, 100000); /* a burst of 64 KiB */
	assert_non_null(meter);
	for (int i = 0; i < 3; i++) {
		int fds[2], size = 4 << 20;
		socket_pair(fds);
		assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
		end_open(&ends[i], loop, fds[0]);
		fars[i] = fds[1];
		stream_set_meter(ends[i].stream, meter);
	}
	return 0;
}

static int
tear_down(void **state)
{
	for (int i = 0; i < 3; i++) {
		end_close(&ends[i]);
		close_fd(&fars[i]);
	}
	for (int i = 0; i < 5; i++)
		turn(loop);
	meter = stream_meter_free(meter);
	loop = loop_free(loop);
	return 0;
}

static size_t
received(void)
{
	return ends[0].got.len + ends[1].got.len + ends[2].got.len;
}

static void
all_together_receive_a_burst_and_then_the_rate(void **state)
{
	uint8_t *bytes = pattern_new(100000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(send(fars[i], bytes, 100000, MSG_NOSIGNAL), 100000);
	for (int i = 0; i < 5; i++)
		turn(loop);
	assert_int_equal(received(), BURST);
	pass_ms(1000);
	assert_in_range(received(), BURST + 98000, BURST + 100000);
	pass_ms(3000);
	assert_int_equal(received(), 300000);
	for (int i = 0; i < 3; i++)
		assert_memory_equal(ends[i].got.data, bytes, 100000);
	free(bytes);
}

static void
nobody_starves(void **state)
{
	uint8_t *bytes = pattern_new(190000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(send(fars[i], bytes, 190000, MSG_NOSIGNAL), 190000);
	pass_ms(3000);
	for (int i = 0; i < 3; i++)
		assert_in_range(ends[i].got.len, 60000, 190000);
	free(bytes);
}

static void
what_is_sent_is_metered_by_itself(void **state)
{
	_cleanup_buf_ struct buf got;
	buf_init(&got, 1 << 20);
	uint8_t *bytes = pattern_new(200000);
	assert_int_equal(send(fars[1], bytes, BURST, MSG_NOSIGNAL), BURST);
	assert_int_equal(stream_write(ends[0].stream, bytes, 200000), 0);
	for (int i = 0; i < 5; i++)
		turn(loop);
	assert_int_equal(received(), BURST); /* the other way's burst */
	(void)drain(fars[0], &got);
	assert_int_equal(got.len, BURST);
	pass_ms(500);
	(void)drain(fars[0], &got);
	assert_in_range(got.len, BURST + 49000, BURST + 50000);
	pass_ms(1000);
	(void)drain(fars[0], &got);
	assert_int_equal(got.len, 200000);
	assert_memory_equal(got.data, bytes, 200000);
	assert_int_equal(ends[0].drained > 0, 1);
	free(bytes);
}

static void
a_stream_that_waits_may_go_or_lose_its_meter(void **state)
{
	uint8_t *bytes = pattern_new(150000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(send(fars[i], bytes, 150000, MSG_NOSIGNAL), 150000);
	for (int i = 0; i < 5; i++)
		turn(loop);
	end_close(&ends[1]);
	stream_set_meter(ends[2].stream, NULL);
	for (int i = 0; i < 5; i++)
		turn(loop);
	assert_int_equal(ends[2].got.len, 150000);
	pass_ms(3000);
	assert_int_equal(ends[0].got.len, 150000);
	free(bytes);
}

static void
a_meter_lives_as_long_as_a_stream_has_it(void **state)
{
	uint8_t *bytes = pattern_new(150000);
	meter = stream_meter_free(meter);
	assert_int_equal(send(fars[0], bytes, 150000, MSG_NOSIGNAL), 150000);
	pass_ms(2000);
	assert_int_equal(ends[0].got.len, 150000);
	assert_null(stream_meter_free(NULL));
	free(bytes);
}

static void
a_stream_may_be_freed_when_it_is_woken(void **state)
{
	uint8_t *bytes = pattern_new(150000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(send(fars[i], bytes, 150000, MSG_NOSIGNAL), 150000);
	for (int i = 0; i < 5; i++)
		turn(loop);
	for (int i = 0; i < 3; i++)
		ends[i].free_at = STREAM_READABLE;
	pass_ms(100);
	for (int i = 0; i < 3; i++)
		assert_null(ends[i].stream);
	free(bytes);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(all_together_receive_a_burst_and_then_the_rate),
	    TEST(nobody_starves),
	    TEST(what_is_sent_is_metered_by_itself),
	    TEST(a_stream_that_waits_may_go_or_lose_its_meter),
	    TEST(a_meter_lives_as_long_as_a_stream_has_it),
	    TEST(a_stream_may_be_freed_when_it_is_woken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
