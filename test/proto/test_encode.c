/* proto/encode.h: Base64 and percent-encoding. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "proto/encode.h"

static void
base64_is_that_of_rfc_4648(void **state)
{
	static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
	    {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
	    {"\xfb\xff\xfe", "+//+"}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out;
		buf_init(&out, 64);
		assert_int_equal(encode_base64(cases[i][0], strlen(cases[i][0]), false, &out), 0);
		assert_string_equal(buf_str(&out), cases[i][1]);
		buf_clear(&out);
		assert_int_equal(decode_base64(cases[i][1], strlen(cases[i][1]), &out), 0);
		assert_string_equal(buf_str(&out), cases[i][0]);
		buf_done(&out);
	}
	struct buf out;
	buf_init(&out, 64);
	assert_int_equal(encode_base64("\xfb\xff\xfe", 3, true, &out), 0);
	assert_string_equal(buf_str(&out), "-__-");
	buf_done(&out);
}

static void
base64_has_one_spelling(void **state)
{
	static const char *const bad[] = {"Zg",
	    "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9v", "Zm9v\n", "-__-",
	    "=Zg=", "Zg=a"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf out;
		buf_init(&out, 64);
		if (decode_base64(bad[i], strlen(bad[i]), &out) != -EINVAL)
			fail_msg("%s", bad[i]);
		buf_done(&out);
	}
}

static void
percent_encoding_keeps_what_it_is_told(void **state)
{
	struct buf out;
	buf_init(&out, 64);
	assert_int_equal(encode_percent("a-Z_.~/ %\xc3", 10, "/", &out), 0);
	assert_string_equal(buf_str(&out), "a-Z_.~/%20%25%C3");
	buf_clear(&out);
	assert_int_equal(encode_percent("/\0", 2, "", &out), 0);
	assert_string_equal(buf_str(&out), "%2F%00");
	buf_clear(&out);
	assert_int_equal(decode_percent("%41%2f+%zz%4", 12, false, &out), 0);
	assert_string_equal(buf_str(&out), "A/+%zz%4");
	buf_clear(&out);
	assert_int_equal(decode_percent("a+b%2B", 6, true, &out), 0);
	assert_string_equal(buf_str(&out), "a b+");
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(base64_is_that_of_rfc_4648),
	    cmocka_unit_test(base64_has_one_spelling),
	    cmocka_unit_test(percent_encoding_keeps_what_it_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
