/* The bounded buffer: contents, the limit, the sticky failure, and what happens without memory. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "failalloc.h"

static void
holds_what_was_added_and_ends_in_nul(void **state)
{
	_cleanup_buf_ struct buf b;
	buf_init(&b, 1000);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_add(&b, "ab", 2), 0);
	assert_int_equal(buf_add_str(&b, "cd"), 0);
	assert_int_equal(buf_add_char(&b, 'e'), 0);
	assert_int_equal(buf_addf(&b, "%03d", 7), 0);
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	assert_string_equal(buf_str(&b), "abcde007");
	assert_int_equal(b.len, 8);
}

static void
an_append_past_the_limit_fails_and_marks_the_buffer(void **state)
{
	_cleanup_buf_ struct buf b;
	buf_init(&b, 4);
	assert_int_equal(buf_add(&b, "abc", 3), 0);
	assert_int_equal(buf_add(&b, "de", 2), -EMSGSIZE);
	assert_true(buf_failed(&b));
	assert_int_equal(buf_add(&b, "d", 1), -EMSGSIZE); /* the mark stays */
	assert_int_equal(buf_addf(&b, "d"), -EMSGSIZE);
	assert_string_equal(buf_str(&b), "abc");
	buf_clear(&b);
	assert_false(buf_failed(&b));
	assert_int_equal(buf_add(&b, "abcd", 4), 0);
	assert_null(buf_reserve(&b, SIZE_MAX));
}

static void
reserve_and_grew_append_in_place(void **state)
{
	_cleanup_buf_ struct buf b;
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 1000; i++) {
		uint8_t *at = buf_reserve(&b, 100);
		assert_non_null(at);
		memset(at, 'x', 100);
		buf_grew(&b, 100);
	}
	assert_int_equal(strlen(buf_str(&b)), 100000);
}

static void
drop_removes_from_the_front_and_at_most_all(void **state)
{
	_cleanup_buf_ struct buf b;
	buf_init(&b, 100);
	buf_drop(&b, 5);
	assert_int_equal(buf_add_str(&b, "abcdef"), 0);
	buf_drop(&b, 2);
	assert_string_equal(buf_str(&b), "cdef");
	buf_drop(&b, 99);
	assert_string_equal(buf_str(&b), "");
}

static void
take_hands_the_allocation_over(void **state)
{
	struct buf b;
	buf_init(&b, 100);
	assert_null(buf_take(&b));
	assert_int_equal(buf_add_str(&b, "abc"), 0);
	char *text = buf_take(&b);
	assert_string_equal(text, "abc");
	assert_string_equal(buf_str(&b), "");
	free(text);
	buf_done(&b);
}

static void
without_memory_an_append_fails_and_the_contents_stay(void **state)
{
	_cleanup_buf_ struct buf b;
	buf_init(&b, 10000);
	assert_int_equal(buf_add_str(&b, "abc"), 0);
	fail_allocation(0);
	char big[500] = {0};
	assert_int_equal(buf_add(&b, big, sizeof(big)), -ENOMEM);
	fail_allocation(-1);
	assert_true(buf_failed(&b));
	assert_string_equal(buf_str(&b), "abc");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(holds_what_was_added_and_ends_in_nul),
	    cmocka_unit_test(an_append_past_the_limit_fails_and_marks_the_buffer),
	    cmocka_unit_test(reserve_and_grew_append_in_place),
	    cmocka_unit_test(drop_removes_from_the_front_and_at_most_all),
	    cmocka_unit_test(take_hands_the_allocation_over),
	    cmocka_unit_test(without_memory_an_append_fails_and_the_contents_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
