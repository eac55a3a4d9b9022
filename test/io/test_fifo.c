/* Bytes in a row: in at the end, out at the front, no memory while empty. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "failalloc.h"
#include "io/fifo.h"

static void
what_goes_in_comes_out_in_order_whatever_the_sizes(void **state)
{
	struct fifo f = {0};
	uint8_t in = 0, out = 0, bytes[200];
	for (size_t i = 0; i < 3000; i++) {
		size_t len = i * 31 % sizeof(bytes);
		for (size_t j = 0; j < len; j++)
			bytes[j] = in++;
		assert_int_equal(fifo_add(&f, bytes, len), 0);
		size_t take = MIN(i * 17 % 230, fifo_len(&f));
		for (size_t j = 0; j < take; j++)
			assert_int_equal(fifo_data(&f)[j], out++);
		fifo_drop(&f, take);
	}
	fifo_drop(&f, SIZE_MAX);
	assert_int_equal(fifo_len(&f), 0);
	fifo_done(&f);
}

static void
an_empty_one_gives_its_memory_back(void **state)
{
	struct fifo f = {0};
	fifo_trim(&f);
	assert_int_equal(fifo_add(&f, "x", 1), 0);
	fifo_trim(&f);
	assert_non_null(f.data);
	fifo_drop(&f, 1);
	assert_non_null(f.data);
	fifo_trim(&f);
	assert_null(f.data);
	assert_int_equal(f.room, 0);
}

static void
out_of_memory_leaves_what_was_there(void **state)
{
	struct fifo f = {0};
	static const char much[5000];
	fail_allocation(0);
	assert_int_equal(fifo_add(&f, "x", 1), -ENOMEM);
	fail_allocation(-1);
	assert_int_equal(fifo_add(&f, "abc", 3), 0);
	fail_allocation(0);
	assert_int_equal(fifo_add(&f, much, sizeof(much)), -ENOMEM);
	fail_allocation(-1);
	assert_null(fifo_reserve(&f, SIZE_MAX));
	assert_int_equal(fifo_len(&f), 3);
	assert_memory_equal(fifo_data(&f), "abc", 3);
	fifo_done(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_goes_in_comes_out_in_order_whatever_the_sizes),
	    cmocka_unit_test(an_empty_one_gives_its_memory_back),
	    cmocka_unit_test(out_of_memory_leaves_what_was_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
