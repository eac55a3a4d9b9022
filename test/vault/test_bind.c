/* vault/bind.h: what a secret may be bound to, and what is within. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "vault/bind.h"

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	struct error err;
	if (json_parse(text, strlen(text), &v, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return v;
}

static void
a_binding_needs_a_host_and_nothing_unknown(void **state)
{
	static const struct {
		const char *bind, *word;
	} cases[] = {
	    {"{\"hosts\":[\"a.b\"]}", NULL},
	    {"{\"hosts\":[\"*.a.b\",\"**.c.d\",\"10.0.0.1\",\"::1\",\"localhost\"],\"ports\":[1,"
	     "65535],\"methods\":[\"GET\",\"M-SEARCH\"],"
	     "\"paths\":[\"/a/**\",\"/*.txt\"],\"plain\":true}",
		NULL},
	    {"{}", "needs a host"},
	    {"[]", "needs a host"},
	    {"{\"hosts\":\"a.b\"}", "needs a host"},
	    {"{\"hosts\":[]}", "needs a host"},
	    {"{\"hosts\":[\"a.b\",7]}", "hosts"},
	    {"{\"hosts\":[\"a.b\\u0000\"]}", "hosts"},
	    {"{\"hosts\":[\"\"]}", "hosts"},
	    {"{\"hosts\":[\"*\"]}", "hosts"},
	    {"{\"hosts\":[\"*.com\"]}", "two labels"},
	    {"{\"hosts\":[\"**.com\"]}", "two labels"},
	    {"{\"hosts\":[\"a.*.b\"]}", "hosts"},
	    {"{\"hosts\":[\"a.b:443\"]}", "hosts"},
	    {"{\"hosts\":[\"a.b\"],\"ports\":[]}", "ports"},
	    {"{\"hosts\":[\"a.b\"],\"ports\":[\"443\"]}", "ports"},
	    {"{\"hosts\":[\"a.b\"],\"methods\":[]}", "methods"},
	    {"{\"hosts\":[\"a.b\"],\"methods\":[\"\"]}", "methods"},
	    {"{\"hosts\":[\"a.b\"],\"paths\":[\"a\"]}", "paths"},
	    {"{\"hosts\":[\"a.b\"],\"paths\":[\"/../a\"]}", "paths"},
	    {"{\"hosts\":[\"a.b\"],\"plain\":null}", "plain"},
	    {"{\"hosts\":[\"a.b\"],\"path\":[\"/a\"]}", "path is not known"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *bind = parse(cases[i].bind);
		struct error err = {.code = ""};
		int r = bind_check(bind, &err);
		if (r != (cases[i].word == NULL ? 0 : -EINVAL) ||
		    (cases[i].word != NULL && strstr(err.message, cases[i].word) == NULL))
			fail_msg("%s: %d %s", cases[i].bind, r, err.message);
		json_free(bind);
	}
}

static void
assert_within(const char *bind_text, const char *target_text, const char *which)
{
	struct json *bind = parse(bind_text), *target = parse(target_text);
	struct error err = {.message = ""};
	int r = bind_allows(bind, target, "tok", &err);
	if (r != (which == NULL ? 0 : -EACCES))
		fail_msg("%s %s: %d %s", bind_text, target_text, r, err.message);
	if (which != NULL && strstr(err.message, which) == NULL)
		fail_msg("%s: %s", which, err.message);
	json_free(bind);
	json_free(target);
}

#define TARGET(rest) \
	"{\"kind\":\"http\",\"scheme\":\"https\",\"host\":\"api.a.b\",\"port\":443," rest "}"

static void
only_what_is_bound_is_within(void **state)
{
	static const char host[] = "{\"hosts\":[\"api.a.b\"]}";
	assert_within(host, TARGET("\"method\":\"GET\",\"path\":\"/\""), NULL);
	assert_within(host, TARGET("\"method\":\"\""), NULL);
	assert_within("{\"hosts\":[\"API.A.B\"]}", TARGET("\"path\":\"/\""), NULL);
	assert_within("{\"hosts\":[\"*.a.b\"]}", TARGET("\"path\":\"/\""), NULL);
	assert_within("{\"hosts\":[\"*.b\",\"a.b\"]}", TARGET("\"path\":\"/\""), "to this host");
	assert_within(
	    "{\"hosts\":[\"api.a.b\"],\"ports\":[8443]}", TARGET("\"path\":\"/\""), "to this port");
	assert_within("{\"hosts\":[\"api.a.b\"],\"methods\":[\"GET\"]}", TARGET("\"path\":\"/\""),
	    "to this method");
	assert_within("{\"hosts\":[\"api.a.b\"],\"methods\":[\"GET\"]}",
	    TARGET("\"method\":\"GETX\""), "to this method");
	assert_within(
	    "{\"hosts\":[\"api.a.b\"],\"paths\":[\"/a/*\"]}", TARGET("\"path\":\"/a/b\""), NULL);
	assert_within("{\"hosts\":[\"api.a.b\"],\"paths\":[\"/a/*\"]}",
	    TARGET("\"path\":\"/a/b/c\""), "to this path");
	assert_within("{\"hosts\":[\"api.a.b\"],\"paths\":[\"/a/**\"]}",
	    TARGET("\"path\":\"/a/../b\""), "to this path");
	assert_within("{\"hosts\":[\"api.a.b\"],\"paths\":[\"/a/**\"]}",
	    TARGET("\"path\":\"/a/%2e%2e/b\""), "to this path");
	assert_within("{\"hosts\":[\"api.a.b\"],\"paths\":[\"/**\"]}", TARGET("\"method\":\"GET\""),
	    "to this path");
	assert_within(host,
	    "{\"kind\":\"http\",\"scheme\":\"http\",\"host\":\"api.a.b\",\"port\":80}",
	    "to this scheme");
	assert_within(host,
	    "{\"kind\":\"http\",\"scheme\":\"http\",\"host\":\"api.a.b\",\"port\":443}",
	    "to this scheme");
	assert_within(host,
	    "{\"kind\":\"net\",\"scheme\":\"https\",\"host\":\"api.a.b\",\"port\":443}",
	    "to this kind");
	assert_within(
	    host, "{\"kind\":\"http\",\"host\":\"api.a.b\",\"port\":443}", "to this scheme");
	assert_within(
	    host, "{\"kind\":\"http\",\"scheme\":\"https\",\"host\":\"api.a.b\"}", "to this port");
	assert_within(
	    host, "{\"kind\":\"http\",\"scheme\":\"https\",\"port\":443}", "to this host");
	assert_within(host,
	    "{\"kind\":\"http\",\"scheme\":\"https\",\"host\":\"api.a.b\\u0000\",\"port\":443}",
	    "to this host");
	assert_within(host, "{}", "to this kind");
	assert_within("{\"hosts\":[\"api.a.b\"],\"plain\":true}",
	    "{\"kind\":\"http\",\"scheme\":\"http\",\"host\":\"api.a.b\",\"port\":80}", NULL);
	assert_within("{\"hosts\":[\"api.a.b\"],\"plain\":true,\"ports\":[8080]}",
	    "{\"kind\":\"http\",\"scheme\":\"http\",\"host\":\"api.a.b\",\"port\":80}",
	    "to this port");
}

static void
a_binding_that_is_none_lets_nothing_pass(void **state)
{
	assert_within("{}", TARGET("\"path\":\"/\""), "to this host");
	assert_within("[]", TARGET("\"path\":\"/\""), "to this host");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_binding_needs_a_host_and_nothing_unknown),
	    cmocka_unit_test(only_what_is_bound_is_within),
	    cmocka_unit_test(a_binding_that_is_none_lets_nothing_pass),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
