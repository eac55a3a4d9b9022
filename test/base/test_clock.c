/* Times as text, both ways. */
#include "unit.h"

#include <errno.h>

#include "base/clock.h"
#include "base/macros.h"

struct moment {
	int64_t ms;
	const char *text;
};

static const struct moment moments[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {1, "1970-01-01T00:00:00.001Z"},
    {951782400000, "2000-02-29T00:00:00.000Z"},
    {1769851800125, "2026-01-31T09:30:00.125Z"},
    {4102444799999, "2099-12-31T23:59:59.999Z"},
};

static void
times_are_written_and_read_back(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
		char text[32];
		int64_t ms = -1;
		clock_format(moments[i].ms, text);
		assert_string_equal(text, moments[i].text);
		assert_int_equal(clock_parse(text, &ms), 0);
		assert_int_equal(ms, moments[i].ms);
	}
}

static void
milliseconds_may_be_left_out(void **state)
{
	int64_t ms;
	assert_int_equal(clock_parse("2026-01-31T09:30:00Z", &ms), 0);
	assert_int_equal(ms, 1769851800000);
}

static void
what_is_not_such_a_time_is_refused(void **state)
{
	static const char *const bad[] = {"", "x", "2026-01-31", "2026-01-31T09:30:00",
	    "2026-01-31T09:30:00+01:00", "2026-01-31T09:30:00.1Z", "2026-01-31T09:30:00.1234Z",
	    "2026-01-31T09:30:00ZZ", "2026-13-31T09:30:00Z", "2026-02-30T09:30:00Z",
	    "2026-01-31T24:30:00Z", "2026-01-31T09:60:00Z", "2026-01-31T09:30:61Z",
	    "+026-01-31T09:30:00Z", "2026- 1-31T09:30:00Z", "2026-01-31T09:30:00.-12Z",
	    "2026-1-31T09:30:00Z", "2026-00-31T09:30:00Z", "2026-01-00T09:30:00Z"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ms;
		if (clock_parse(bad[i], &ms) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	}
}

static void
clocks_do_not_run_backwards(void **state)
{
	int64_t before = clock_monotonic_ns();
	assert_true(clock_monotonic_ns() >= before);
	assert_true(clock_wall_ms() > 1700000000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(times_are_written_and_read_back),
	    cmocka_unit_test(milliseconds_may_be_left_out),
	    cmocka_unit_test(what_is_not_such_a_time_is_refused),
	    cmocka_unit_test(clocks_do_not_run_backwards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
