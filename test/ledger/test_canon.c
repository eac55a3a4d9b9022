/* The canonical scanner accepts exactly what json_parse and json_write leave unchanged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "ledgerfmt/canon.h"

static int
scan(const char *text, size_t len)
{
	struct canon_member members[64];
	size_t n, at;
	const char *why;
	return canon_scan(text, len, members, ARRAY_LEN(members), &n, &why, &at);
}

/* What the scanner must say. */
static bool
is_canonical(const char *text, size_t len)
{
	_cleanup_json_ struct json *v = NULL;
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 20);
	return json_parse(text, len, &v, NULL) == 0 && json_type(v) == JSON_OBJECT &&
	    json_write(v, &out) == 0 && out.len == len && memcmp(out.data, text, len) == 0;
}

static const char *const texts[] = {
    "{}",
    "{\"a\":1}",
    "{\"a\":1,\"b\":[]}",
    "{\"b\":1,\"a\":2}",
    "{\"a\":1,\"a\":2}",
    "{ }",
    "{\"a\": 1}",
    "{\"a\":01}",
    "{\"a\":-0}",
    "{\"a\":-1}",
    "{\"a\":1.0}",
    "{\"a\":1e3}",
    "{\"a\":9007199254740991}",
    "{\"a\":9007199254740992}",
    "{\"a\":-9007199254740991}",
    "{\"a\":12345678901234567890}",
    "{\"a\":-}",
    "{\"a\":true,\"b\":false,\"c\":null}",
    "{\"a\":truf}",
    "[]",
    "[1]",
    "1",
    "",
    "{",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,}",
    "{\"a\":[1,]}",
    "{\"a\":[1,2]}",
    "{\"a\":\"x\\ny\"}",
    "{\"a\":\"\\u000a\"}",
    "{\"a\":\"\\u0001\"}",
    "{\"a\":\"\\u001F\"}",
    "{\"a\":\"\\u001f\"}",
    "{\"a\":\"\\/\"}",
    "{\"a\":\"\\u0041\"}",
    "{\"a\":\"\\u0000\"}",
    "{\"\\u0000\":1}",
    "{\"\\\\u0000\":1}",
    "{\"a\\nb\":1}",
    "{\"\\b\":1,\"\\t\":2,\"\\n\":3,\"\\f\":4,\"\\r\":5}",
    "{\"\\t\":1,\"\\b\":2}",
    "{\"a\":\"\x01\"}",
    "{\"a\":\"\xc3\xa9\"}",
    "{\"a\":\"\xc3\"}",
    "{\"a\":\"\xc0\x80\"}",
    "{\"a\":\"\xed\xa0\x80\"}",
    "{\"a\":\"\xf4\x90\x80\x80\"}",
    "{\"a\":\"\xf0\x9f\x98\x80\"}",
    /* U+1F600 sorts before U+E000 and U+FB33, and behind U+D7FF */
    "{\"\xed\x9f\xbf\":2,\"\xf0\x9f\x98\x80\":3,\"\xee\x80\x80\":4,\"\xef\xac\xb3\":5}",
    "{\"\xee\x80\x80\":1,\"\xf0\x9f\x98\x80\":2}",
    "{\"a\":1,\"ab\":2}",
    "{\"ab\":1,\"a\":2}",
    "{\"\":1,\"a\":2}",
    "{\"a\\\"b\":1,\"a\\\\b\":2}",
    "{\"a\\\\b\":1,\"a\\\"b\":2}",
    "{\"a\":1}x",
    "{\"a\":1} ",
    "{\"a\":{\"c\":1,\"b\":2}}",
    "{\"a\":[{\"b\":{}}]}",
    "{\"a\":\"0123456789abcdef0123456789abcdef\\\"\"}",
    "{\"a\":\"0123456789abcdef\x7f\"}",
    "{\"a\":\"\\",
    "{\"a\":\"\\u",
    "{\"a\":\"\\u00",
    "{a:1}",
    "{\"a\" :1}",
};

static void
the_scanner_agrees_with_parsing_and_writing(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		bool expected = is_canonical(texts[i], strlen(texts[i]));
		if ((scan(texts[i], strlen(texts[i])) == 0) != expected)
			fail_msg("%s: the scanner says %s", texts[i], expected ? "no" : "yes");
	}
}

/* Every one-byte change of a record, and every prefix. */
static void
the_scanner_agrees_on_every_damage_to_a_record(void **state)
{
	static const char record[] = "{\"data\":{\"argv\":[\"a\\\"b\",\"\\u001b[31m\",\"\xc3\xa9\"]"
				     ",\"n\":-12,\"t\":true},\"seq\":10}";
	size_t len = strlen(record);
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(scan(record, i) == 0, is_canonical(record, i));
		for (int byte = 0; byte < 256; byte++) {
			char changed[sizeof(record)];
			memcpy(changed, record, sizeof(record));
			changed[i] = (char)byte;
			if ((scan(changed, len) == 0) != is_canonical(changed, len))
				fail_msg("byte %zu as 0x%02x", i, (unsigned)byte);
		}
	}
}

static void
depth_is_bounded_as_the_parser_bounds_it(void **state)
{
	char text[200];
	for (size_t depth = 28; depth < 36; depth++) {
		size_t len = 0;
		len += (size_t)snprintf(text, sizeof(text), "{\"a\":");
		for (size_t i = 1; i < depth; i++)
			text[len++] = '[';
		for (size_t i = 1; i < depth; i++)
			text[len++] = ']';
		text[len++] = '}';
		assert_int_equal(scan(text, len) == 0, is_canonical(text, len));
	}
}

static void
members_of_the_outer_object_are_found(void **state)
{
	static const char text[] = "{\"a\":{\"x\":1},\"b\":\"y\"}";
	struct canon_member members[2];
	size_t n, at;
	const char *why;
	assert_int_equal(canon_scan(text, strlen(text), members, 2, &n, &why, &at), 0);
	assert_int_equal(n, 2);
	assert_int_equal(members[0].value_len, 7);
	assert_memory_equal(members[0].value, "{\"x\":1}", 7);
	assert_memory_equal(members[1].value, "\"y\"", members[1].value_len);
	assert_int_equal(canon_scan(text, strlen(text), members, 1, &n, &why, &at), -E2BIG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_scanner_agrees_with_parsing_and_writing),
	    cmocka_unit_test(the_scanner_agrees_on_every_damage_to_a_record),
	    cmocka_unit_test(depth_is_bounded_as_the_parser_bounds_it),
	    cmocka_unit_test(members_of_the_outer_object_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
