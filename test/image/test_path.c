/* image/path.h: names in archives. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "image/path.h"

static void
paths_become_plain(void **state)
{
	static const char *const cases[][2] = {{"a", "a"}, {"./a", "a"}, {"a/", "a"},
	    {"a//b", "a/b"}, {"./a/./b/", "a/b"}, {".", ""}, {"./", ""}, {"", ""},
	    {"..a/b..", "..a/b.."}, {"...", "..."}, {"a/.b", "a/.b"}};
	char clean[IMAGE_PATH_MAX];
	struct error err;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(path_clean(cases[i][0], clean, &err), 0);
		assert_string_equal(clean, cases[i][1]);
	}
}

static void
paths_that_lead_elsewhere_are_refused(void **state)
{
	static const char *const cases[] = {
	    "/", "/a", "..", "a/..", "a/../b", "./../a", "../a", "//a"};
	char clean[IMAGE_PATH_MAX];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		assert_int_equal(path_clean(cases[i], clean, &err), -EBADMSG);
		assert_string_equal(err.code, "image_refused");
	}
}

static void
lengths_and_depth_are_bounded(void **state)
{
	char text[8192], clean[IMAGE_PATH_MAX];
	struct error err;
	(void)state;
	memset(text, 'a', sizeof(text));
	text[255] = 0;
	assert_int_equal(path_clean(text, clean, &err), 0);
	text[255] = 'a';
	text[256] = 0;
	assert_int_equal(path_clean(text, clean, &err), -EBADMSG);
	/* The longest path that fits: parts of 255 bytes. */
	memset(text, 'a', sizeof(text));
	for (size_t i = 255; i < sizeof(text); i += 256)
		text[i] = '/';
	text[IMAGE_PATH_MAX - 1] = 0;
	assert_int_equal(path_clean(text, clean, &err), 0);
	assert_true(strlen(clean) < sizeof(clean));
	text[IMAGE_PATH_MAX - 1] = '/';
	text[IMAGE_PATH_MAX + 1] = 0;
	assert_int_equal(path_clean(text, clean, &err), -EBADMSG);
	for (size_t i = 0; i < IMAGE_DEPTH_MAX; i++)
		memcpy(text + 2 * i, "d/", 3);
	assert_int_equal(path_clean(text, clean, &err), 0);
	memcpy(text + 2 * (size_t)IMAGE_DEPTH_MAX, "d", 2);
	assert_int_equal(path_clean(text, clean, &err), -EBADMSG);
}

static void
what_every_sandbox_has_of_its_own_is_left_out(void **state)
{
	static const char *const out[] = {"dev", "dev/null", "proc/1", "run", "sys/x", "tmp/a/b",
	    ".ringfence/passwd", ".canary", ".empty/x"};
	static const char *const in[] = {
	    "", "device", "de", "usr/dev", "var/run", "runner", "tmpl/x"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(out); i++)
		assert_true(path_is_left_out(out[i]));
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		assert_false(path_is_left_out(in[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(paths_become_plain),
	    cmocka_unit_test(paths_that_lead_elsewhere_are_refused),
	    cmocka_unit_test(lengths_and_depth_are_bounded),
	    cmocka_unit_test(what_every_sandbox_has_of_its_own_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
