/* image/pathset.h. */
#include "unit.h"

#include <stdio.h>

#include "image/pathset.h"

static void
a_path_is_new_once(void **state)
{
	struct pathset set = {0};
	(void)state;
	assert_false(pathset_has(&set, "a"));
	assert_int_equal(pathset_add(&set, "a"), 1);
	assert_int_equal(pathset_add(&set, "a"), 0);
	assert_true(pathset_has(&set, "a"));
	assert_false(pathset_has(&set, ""));
	assert_int_equal(pathset_add(&set, ""), 1);
	pathset_done(&set);
	assert_false(pathset_has(&set, "a"));
}

static void
it_grows_and_forgets_nothing(void **state)
{
	struct pathset set = {0};
	char path[32];
	(void)state;
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(path, sizeof(path), "d/%d", i);
		assert_int_equal(pathset_add(&set, path), 1);
	}
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(path, sizeof(path), "d/%d", i);
		assert_true(pathset_has(&set, path));
		(void)snprintf(path, sizeof(path), "e/%d", i);
		assert_false(pathset_has(&set, path));
	}
	pathset_done(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_path_is_new_once),
	    cmocka_unit_test(it_grows_and_forgets_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
