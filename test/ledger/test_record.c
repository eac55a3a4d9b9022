/* A record is read as it was written, and nothing else is a record. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "ledgerfmt/record.h"

static const uint8_t prev[SHA256_BYTES] = {0xab, 0xcd};

static void
write_one(struct buf *out, uint64_t seq, const char *task, const char *action)
{
	buf_init(out, RECORD_LINE_MAX);
	assert_int_equal(
	    record_write(out, seq, prev, 1769851800125, "exec", task, action, "{\"n\":1}", 7), 0);
}

static void
a_record_is_canonical_json(void **state)
{
	_cleanup_buf_ struct buf out;
	write_one(&out, 3, "t-1", "a-1");
	assert_string_equal(buf_str(&out),
	    "{\"action_id\":\"a-1\",\"data\":{\"n\":1},\"event\":\"exec\",\"prev\":"
	    "\"abcd0000000000000000"
	    "00000000000000000000000000000000000000000000\",\"seq\":3,\"task\":\"t-1\","
	    "\"time\":\"2026-01-31T09:30:00.125Z\",\"v\":1}");
}

static void
a_record_is_read_as_it_was_written(void **state)
{
	for (int with = 0; with < 4; with++) {
		_cleanup_buf_ struct buf out;
		struct record r;
		const char *why;
		write_one(&out, JSON_INT_MAX, with & 1 ? "t" : NULL, with & 2 ? "a" : NULL);
		assert_int_equal(record_parse(buf_str(&out), out.len, &r, &why), 0);
		assert_int_equal(r.seq, JSON_INT_MAX);
		assert_int_equal(r.time_ms, 1769851800125);
		assert_memory_equal(r.event, "exec", r.event_len);
		assert_memory_equal(r.data, "{\"n\":1}", r.data_len);
		assert_int_equal(r.task != NULL, with & 1);
		assert_int_equal(r.action_id != NULL, (with & 2) != 0);
		assert_memory_equal(r.prev, "abcd", 4);
	}
}

static void
times_of_all_centuries_are_read_as_the_clock_reads_them(void **state)
{
	for (int64_t ms = 0; ms < 4102444800000; ms += 86399999 * 7LL) {
		_cleanup_buf_ struct buf out;
		struct record r;
		const char *why;
		buf_init(&out, 4096);
		assert_int_equal(record_write(&out, 0, prev, ms, "e", NULL, NULL, "{}", 2), 0);
		assert_int_equal(record_parse(buf_str(&out), out.len, &r, &why), 0);
		assert_int_equal(r.time_ms, ms);
	}
}

static void
names_that_are_not_names_are_refused(void **state)
{
	static const char *const events[] = {"", "a b", "A", "a\n", "\xc3\xa9", "a\"b",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	_cleanup_buf_ struct buf out;
	buf_init(&out, 4096);
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		assert_int_equal(
		    record_write(&out, 0, prev, 0, events[i], NULL, NULL, "{}", 2), -EINVAL);
	assert_int_equal(record_write(&out, 0, prev, 0, "e", "", NULL, "{}", 2), -EINVAL);
	assert_int_equal(record_write(&out, 0, prev, 0, "e", NULL, "a/b", "{}", 2), -EINVAL);
	assert_int_equal(out.len, 0);
}

#define P "\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\""
#define T "\"time\":\"2026-01-31T09:30:00.125Z\""

static void
what_is_not_a_record_is_refused(void **state)
{
	static const char good[] = "{\"data\":{},\"event\":\"e\"," P ",\"seq\":0," T ",\"v\":1}";
	static const char *const bad[] = {
	    "{}",
	    "",
	    "x",
	    "{\"data\":{},\"event\":\"e\"," P ",\"seq\":0," T ",\"v\":2}",
	    "{\"data\":{},\"event\":\"e\"," P ",\"seq\":0," T "}",
	    "{\"data\":[],\"event\":\"e\"," P ",\"seq\":0," T ",\"v\":1}",
	    "{\"data\":{},\"event\":\"E\"," P ",\"seq\":0," T ",\"v\":1}",
	    "{\"data\":{},\"event\":\"e\"," P ",\"seq\":-1," T ",\"v\":1}",
	    "{\"data\":{},\"event\":\"e\"," P ",\"seq\":\"0\"," T ",\"v\":1}",
	    "{\"data\":{},\"event\":\"e\",\"prev\":\"00\",\"seq\":0," T ",\"v\":1}",
	    "{\"data\":{},\"event\":\"e\"," P
	    ",\"seq\":0,\"time\":\"2026-13-31T09:30:00.125Z\",\"v\":1}",
	    "{\"data\":{},\"event\":\"e\"," P
	    ",\"seq\":0,\"time\":\"2026-01-31T09:30:00Z\",\"v\":1}",
	    "{\"data\":{},\"event\":\"e\",\"extra\":1," P ",\"seq\":0," T ",\"v\":1}",
	    "{\"data\":{},\"event\":\"e\"," P ",\"seq\":0," T ",\"v\":1,\"w\":1}",
	    "{\"a\":1,\"data\":{},\"event\":\"e\"," P ",\"seq\":0," T ",\"v\":1}",
	    "{\"action_id\":\"a b\",\"data\":{},\"event\":\"e\"," P ",\"seq\":0," T ",\"v\":1}",
	    "{\"data\":{},\"event\":\"e\"," P ",\"seq\":0,\"task\":7," T ",\"v\":1}",
	    "{\"data\":{}, \"event\":\"e\"," P ",\"seq\":0," T ",\"v\":1}",
	};
	struct record r;
	const char *why = NULL;
	assert_int_equal(record_parse(good, strlen(good), &r, &why), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (record_parse(bad[i], strlen(bad[i]), &r, &why) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_record_is_canonical_json),
	    cmocka_unit_test(a_record_is_read_as_it_was_written),
	    cmocka_unit_test(times_of_all_centuries_are_read_as_the_clock_reads_them),
	    cmocka_unit_test(names_that_are_not_names_are_refused),
	    cmocka_unit_test(what_is_not_a_record_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
