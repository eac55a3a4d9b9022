/* Errors: filled, cut to their room, and never needed. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

static void
an_error_says_what_and_what_to_do(void **state)
{
	struct error err;
	assert_int_equal(error_set(&err, EINVAL, "bad_thing", "no %s", "good"), -EINVAL);
	assert_string_equal(err.code, "bad_thing");
	assert_string_equal(err.message, "no good");
	assert_string_equal(err.remedy, "");
	error_remedy(&err, "try %d", 2);
	assert_string_equal(err.remedy, "try 2");
	assert_int_equal(error_set_errno(&err, ENOENT, "gone", "file %s", "x"), -ENOENT);
	assert_string_equal(err.message, "file x: No such file or directory");
	assert_string_equal(err.remedy, "");
}

static void
nobody_needs_to_listen(void **state)
{
	assert_int_equal(error_set(NULL, EIO, "x", "y"), -EIO);
	assert_int_equal(error_set_errno(NULL, EIO, "x", "y"), -EIO);
	error_remedy(NULL, "z");
}

static void
long_texts_are_cut(void **state)
{
	struct error err;
	char text[2000];
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	(void)error_set_errno(&err, EIO, text, "%s", text);
	error_remedy(&err, "%s", text);
	assert_int_equal(strlen(err.code), sizeof(err.code) - 1);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_int_equal(strlen(err.remedy), sizeof(err.remedy) - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_error_says_what_and_what_to_do),
	    cmocka_unit_test(nobody_needs_to_listen),
	    cmocka_unit_test(long_texts_are_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
