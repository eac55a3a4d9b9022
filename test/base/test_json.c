/* JSON: what is accepted, what is refused and where, the canonical form, and every allocation failing
 * once. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/macros.h"
#include "failalloc.h"

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &v, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return v;
}

static void
assert_canonical(const char *text, const char *canonical)
{
	_cleanup_json_ struct json *v = parse(text);
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 20);
	assert_int_equal(json_write(v, &out), 0);
	assert_string_equal(buf_str(&out), canonical);
}

struct pair {
	const char *text, *canonical;
};

static const struct pair canonical[] = {
    {"null", "null"},
    {" [ ] ", "[]"},
    {"\"\"", "\"\""},
    {"{}", "{}"},
    {"0", "0"},
    {"-0", "0"},
    {"9007199254740991", "9007199254740991"},
    {"-9007199254740991", "-9007199254740991"},
    {"[true,false , null,\t-12 ]", "[true,false,null,-12]"},
    {"{\"b\":1,\"a\":{\"d\":2,\"c\":[]}}", "{\"a\":{\"c\":[],\"d\":2},\"b\":1}"},
    {"{\"\":1,\"a\":2,\"A\":3,\"aa\":4}", "{\"\":1,\"A\":3,\"a\":2,\"aa\":4}"},
    /* RFC 8785, section 3.2.2: strings (its numbers are fractions, which we refuse) */
    {"{\"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\","
     "\"literals\": [null, true, false]}",
	"{\"literals\":[null,true,false],"
	"\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"},
    /* RFC 8785, section 3.2.3: order by UTF-16 code units */
    {"{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew\",\"1\":\"One\","
     "\"\\ud83d\\ude00\":\"Emoji\",\"\\u0080\":\"Control\",\"\\u00f6\":\"Latin\"}",
	"{\"\\r\":\"Carriage "
	"Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\",\"\xc3\xb6\":\"Latin\","
	"\"\xe2\x82\xac\":\"Euro Sign\",\"\xf0\x9f\x98\x80\":\"Emoji\","
	"\"\xef\xac\xb3\":\"Hebrew\"}"},
    {"\"\\b\\f\\n\\r\\t\\u0000\\u001f\\u007f\"", "\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\""},
};

static void
the_canonical_form_is_that_of_rfc_8785(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(canonical); i++) {
		assert_canonical(canonical[i].text, canonical[i].canonical);
		assert_canonical(
		    canonical[i].canonical, canonical[i].canonical); /* a fixed point */
	}
}

static void
many_members_are_sorted_as_few_are(void **state)
{
	_cleanup_json_ struct json *v = json_new_object();
	for (int i = 499; i >= 0; i--) {
		char name[16];
		(void)snprintf(name, sizeof(name), "k%03d", i * 7 % 500);
		assert_int_equal(json_set_int(v, name, i), 0);
	}
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 20);
	assert_int_equal(json_write(v, &out), 0);
	_cleanup_json_ struct json *again = parse(buf_str(&out));
	assert_int_equal(json_len(again), 500);
	for (size_t i = 1; i < 500; i++)
		assert_true(strcmp(json_name_at(again, i - 1), json_name_at(again, i)) < 0);
	assert_true(json_equal(v, again));
}

static const char *const refused[] = {"", " ", "nul", "nulll", "tru", "{", "}", "[", "]", "[1",
    "[1,", "[1,]", "[,1]", "[1 2]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}",
    "{a:1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}",
    "1 2", "01", "-01", "-", "+1", "1.0", "1e3", "1E3", ".5", "0x10", "9007199254740992",
    "-9007199254740992", "99999999999999999999", "NaN", "Infinity", "\"", "\"\\", "\"\\x\"",
    "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\n\"",
    "\"\\ud800\\ud800\"", "\"\\udc00\"", "\"a\nb\"", "\"a\tb\"", "\"\x80\"", "\"\xc0\xaf\"",
    "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "'a'", "{\"a\\u0000b\":1}",
    "\xef\xbb\xbf{}", "/**/1", "[1]x", "\"a\"\x01"};

static void
what_is_not_strict_json_is_refused_with_its_place(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct json *v = NULL;
		struct error err = {0};
		if (json_parse(refused[i], strlen(refused[i]), &v, &err) != -EINVAL)
			fail_msg("accepted: %s", refused[i]);
		assert_null(v);
		assert_string_equal(err.code, "json_invalid");
		assert_non_null(strstr(err.message, "at byte"));
		assert_int_equal(json_parse(refused[i], strlen(refused[i]), &v, NULL), -EINVAL);
	}
	struct json *v = NULL;
	assert_int_equal(json_parse("\"a\0b\"", 5, &v, NULL), -EINVAL);
}

static void
duplicates_are_found_among_many_members(void **state)
{
	for (int n = 2; n < 100; n++) {
		_cleanup_buf_ struct buf text;
		buf_init(&text, 1 << 16);
		for (int i = 0; i < n; i++)
			(void)buf_addf(
			    &text, "%s\"k%d\":0", i == 0 ? "{" : ",", i == n - 1 ? 0 : i);
		(void)buf_add_char(&text, '}');
		struct json *v = NULL;
		assert_int_equal(json_parse(buf_str(&text), text.len, &v, NULL), -EINVAL);
	}
}

static void
depth_is_bounded(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 2];
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	struct json *v;
	assert_int_equal(json_parse(text, 2 * (size_t)JSON_DEPTH_MAX, &v, NULL), 0);
	json_free(v);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_parse(text, sizeof(text), &v, NULL), -EMSGSIZE);
}

static void
values_are_read_with_fallbacks(void **state)
{
	_cleanup_json_ struct json *v =
	    parse("{\"s\":\"x\",\"i\":7,\"b\":true,\"n\":null,\"a\":[1,2]}");
	assert_string_equal(json_get_str(v, "s", "-"), "x");
	assert_string_equal(json_get_str(v, "i", "-"), "-");
	assert_string_equal(json_get_str(v, "absent", "-"), "-");
	assert_int_equal(json_get_int(v, "i", -1), 7);
	assert_int_equal(json_get_int(v, "s", -1), -1);
	assert_true(json_get_bool(v, "b", false));
	assert_true(json_get_bool(v, "s", true));
	assert_int_equal(json_type(json_get(v, "n")), JSON_NULL);
	assert_int_equal(json_type(NULL), JSON_NULL);
	assert_int_equal(json_len(json_get(v, "a")), 2);
	assert_int_equal(json_int(json_at(json_get(v, "a"), 1), 0), 2);
	assert_null(json_at(json_get(v, "a"), 2));
	assert_null(json_at(v, 5));
	assert_string_equal(json_name_at(v, 4), "a");
	assert_null(json_name_at(v, 5));
	assert_null(json_name_at(json_get(v, "a"), 0));
	assert_null(json_get(NULL, "s"));
	assert_null(json_get(json_get(v, "a"), "s"));
	assert_int_equal(json_str_len(json_get(v, "s")), 1);
	assert_int_equal(json_str_len(NULL), 0);
}

static void
members_are_replaced_detached_and_removed(void **state)
{
	_cleanup_json_ struct json *v = json_new_object();
	assert_int_equal(json_set_str(v, "a", "1"), 0);
	assert_int_equal(json_set_int(v, "b", 2), 0);
	assert_int_equal(json_set_bool(v, "a", true), 0);
	assert_int_equal(json_len(v), 2);
	_cleanup_json_ struct json *b = json_detach(v, "b");
	assert_int_equal(json_int(b, 0), 2);
	assert_null(json_detach(v, "b"));
	assert_null(json_detach(b, "b"));
	json_unset(v, "a");
	json_unset(v, "a");
	assert_int_equal(json_len(v), 0);
	assert_int_equal(json_set(b, "a", json_new_null()), -EINVAL);
	assert_int_equal(json_push(v, json_new_null()), -EINVAL);
	assert_int_equal(json_set(NULL, "a", json_new_null()), -ENOMEM);
	assert_int_equal(json_push(NULL, json_new_null()), -ENOMEM);
}

static void
strings_that_are_not_utf_8_are_mended(void **state)
{
	_cleanup_json_ struct json *v = json_new_string_n("a\xff\xe2\x82z\0q", 7);
	assert_int_equal(json_str_len(v), 13);
	assert_memory_equal(json_str(v, ""), "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\0q", 13);
	_cleanup_json_ struct json *null = json_new_string(NULL);
	assert_int_equal(json_type(null), JSON_NULL);
	_cleanup_json_ struct json *big = json_new_int(INT64_MIN);
	assert_int_equal(json_int(big, 0), -JSON_INT_MAX);
}

static void
copies_are_equal_and_apart(void **state)
{
	_cleanup_json_ struct json *v = parse("{\"a\":[1,\"x\",null,true,{}],\"b\":{\"c\":-1}}");
	_cleanup_json_ struct json *copy = json_copy(v);
	assert_true(json_equal(v, copy));
	json_set_int(json_get(copy, "b"), "c", -2);
	assert_false(json_equal(v, copy));
	assert_null(json_copy(NULL));
	static const struct pair unequal[] = {{"1", "2"}, {"1", "\"1\""}, {"true", "false"},
	    {"[1]", "[1,2]"}, {"[1,2]", "[1,3]"}, {"{\"a\":1}", "{\"b\":1}"}, {"{}", "{\"b\":1}"},
	    {"\"a\"", "\"b\""}, {"\"a\"", "\"aa\""}};
	for (size_t i = 0; i < ARRAY_LEN(unequal); i++) {
		_cleanup_json_ struct json *a = parse(unequal[i].text);
		_cleanup_json_ struct json *b = parse(unequal[i].canonical);
		assert_false(json_equal(a, b));
		assert_true(json_equal(a, a));
	}
}

static void
the_form_for_people_keeps_the_order(void **state)
{
	_cleanup_json_ struct json *v = parse("{\"b\":[1,{}],\"a\":\"x\",\"c\":[]}");
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1000);
	assert_int_equal(json_write_pretty(v, &out), 0);
	assert_string_equal(
	    buf_str(&out), "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": \"x\",\n  \"c\": []\n}");
}

static void
writing_past_the_limit_is_an_error(void **state)
{
	_cleanup_json_ struct json *v = parse("{\"b\":[1,{}],\"a\":\"x\",\"c\":[]}");
	for (size_t limit = 0; limit < 26; limit++) {
		_cleanup_buf_ struct buf out;
		buf_init(&out, limit);
		assert_int_equal(json_write(v, &out), -EMSGSIZE);
		buf_clear(&out);
		assert_int_equal(json_write_pretty(v, &out), -EMSGSIZE);
	}
}

static int
build_and_write(struct buf *out)
{
	_cleanup_json_ struct json *v = json_new_object();
	struct json *list = json_new_array();
	for (int i = 0; i < 20; i++)
		(void)json_push(list, json_new_int(i));
	(void)json_set(v, "list", list);
	(void)json_set_str(v, "text", "some text");
	(void)json_set_str(v, "text", "another text");
	(void)json_set_bool(v, "yes", true);
	(void)json_set(v, "copy", json_copy(json_get(v, "list")));
	return json_write(v, out);
}

static void
a_builder_needs_one_check_at_the_end(void **state)
{
	_cleanup_buf_ struct buf whole;
	buf_init(&whole, 10000);
	assert_int_equal(build_and_write(&whole), 0);
	for (long n = 0;; n++) {
		_cleanup_buf_ struct buf out;
		buf_init(&out, 10000);
		fail_allocation(n);
		int r = build_and_write(&out);
		bool failed = allocation_failed();
		fail_allocation(-1);
		if (!failed) {
			assert_int_equal(r, 0);
			assert_string_equal(buf_str(&out), buf_str(&whole));
			assert_true(n > 20);
			return;
		}
		/* Either it says so, or what failed was not needed; never a text with a hole. */
		assert_true(r < 0 || strcmp(buf_str(&out), buf_str(&whole)) == 0);
	}
}

static void
parsing_survives_every_allocation_failing(void **state)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 10000);
	for (int i = 0; i < 40; i++)
		(void)buf_addf(&text, "%s\"k%d\":[\"a\\n\",{\"x\":1}]", i == 0 ? "{" : ",", i);
	(void)buf_add_char(&text, '}');
	for (long n = 0;; n++) {
		struct json *v = NULL;
		struct error err = {0};
		fail_allocation(n);
		int r = json_parse(buf_str(&text), text.len, &v, &err);
		bool failed = allocation_failed();
		fail_allocation(-1);
		if (!failed) {
			assert_int_equal(r, 0);
			json_free(v);
			assert_true(n > 100);
			return;
		}
		assert_int_equal(r, -ENOMEM);
		assert_null(v);
		assert_string_equal(err.code, "no_memory");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_canonical_form_is_that_of_rfc_8785),
	    cmocka_unit_test(many_members_are_sorted_as_few_are),
	    cmocka_unit_test(what_is_not_strict_json_is_refused_with_its_place),
	    cmocka_unit_test(duplicates_are_found_among_many_members),
	    cmocka_unit_test(depth_is_bounded),
	    cmocka_unit_test(values_are_read_with_fallbacks),
	    cmocka_unit_test(members_are_replaced_detached_and_removed),
	    cmocka_unit_test(strings_that_are_not_utf_8_are_mended),
	    cmocka_unit_test(copies_are_equal_and_apart),
	    cmocka_unit_test(the_form_for_people_keeps_the_order),
	    cmocka_unit_test(writing_past_the_limit_is_an_error),
	    cmocka_unit_test(a_builder_needs_one_check_at_the_end),
	    cmocka_unit_test(parsing_survives_every_allocation_failing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
