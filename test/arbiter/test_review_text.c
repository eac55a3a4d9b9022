/* Actions in words, as people see them before they approve. */
#include "unit.h"

#include <string.h>

#include "arbiter/review_text.h"

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &v, &err) < 0)
		fail_msg("%s: %s", err.message, text);
	return v;
}

static void
a_command_says_what_is_done_and_to_what(void **state)
{
	static const struct {
		const char *kind, *target, *request, *command;
	} cases[] = {
	    {"http", "https://a.example", "{\"method\":\"DELETE\",\"path\":\"/x\"}",
		"DELETE https://a.example/x"},
	    {"http", "https://a.example",
		"{\"method\":\"POST\",\"path\":\"/"
		"x\",\"query\":\"a=1\",\"body_bytes\":12,\"body_sha256\":"
		"\"0123456789abcdef\",\"headers\":{\"content-type\":\"application/json\"}}",
		"POST https://a.example/x?a=1 (12 bytes application/json, sha256 0123456789ab…)"},
	    {"http", "https://a.example",
		"{\"method\":\"GET\",\"path\":\"/x\",\"headers\":{\"upgrade\":\"websocket\"}}",
		"GET https://a.example/x and change to websocket, which is not read"},
	    {"git", "g.example/a/b", "{\"operation\":\"fetch\"}", "fetch g.example/a/b"},
	    {"git", "g.example/a/b",
		"{\"operation\":\"push\",\"refs\":[{\"name\":\"refs/heads/agent/x\",\"new\":"
		"\"aaaaaaaaaaaaaaaaaaaa\"},{\"name\":\"refs/heads/main\",\"force\":true,\"new\":"
		"\"bbbbbbbbbbbbbbbbbbbb\"},{\"name\":\"refs/tags/v1\",\"delete\":true},{\"name\":"
		"\"refs/heads/y\",\"force\":true}]}",
		"push to g.example/a/b: agent/x to aaaaaaaaaaaa, main forced to bbbbbbbbbbbb, "
		"refs/tags/v1 "
		"(deleted), y (forced)"},
	    {"net", "d.example:22", "{}", "connect to d.example:22"},
	    {"exec", "/bin/echo", "{\"argv\":[\"echo\",\"it's\",\"a b\"]}",
		"echo 'it'\\''s' 'a b'"},
	    {"file", "/w", "{\"operation\":\"commit\",\"paths\":[\"a\",\"b\"]}",
		"commit 2 paths in /w"},
	    {"sql", "crm", "{\"text\":\"SELECT 1\"}", "SELECT 1"},
	    {"tool", "send", "{}", "tool send"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ struct json *request = parse(cases[i].request);
		_cleanup_buf_ struct buf out;
		buf_init(&out, 4096);
		review_text_command(cases[i].kind, cases[i].target, request, &out);
		assert_string_equal(buf_str(&out), cases[i].command);
	}
}

static void
details_have_headers_and_every_ref(void **state)
{
	static const struct {
		const char *kind, *request, *details;
	} cases[] = {
	    {"http",
		"{\"headers\":{\"accept\":\"x\",\"cookie\":\"[hidden "
		"00]\"},\"body_sha256\":\"abc\"}",
		"[\"header accept: x\",\"header cookie: [hidden 00]\",\"body sha256 abc\"]"},
	    {"git",
		"{\"refs\":[{\"name\":\"refs/heads/"
		"x\",\"old\":\"aa\",\"new\":\"bb\",\"force\":true},{\"name\":"
		"\"refs/heads/y\",\"old\":\"cc\",\"delete\":true}]}",
		"[\"refs/heads/x\",\"  aa → bb (forced: not proved to follow from what was "
		"there)\",\"refs/heads/"
		"y\",\"  cc → deleted\"]"},
	    {"net", "{}", "[\"what the connection carries is not read\"]"},
	    {"exec", "{}", "[]"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ struct json *request = parse(cases[i].request);
		_cleanup_json_ struct json *details = review_text_details(cases[i].kind, request);
		_cleanup_buf_ struct buf out;
		buf_init(&out, 4096);
		assert_int_equal(json_write(details, &out), 0);
		assert_string_equal(buf_str(&out), cases[i].details);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_command_says_what_is_done_and_to_what),
	    cmocka_unit_test(details_have_headers_and_every_ref),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
