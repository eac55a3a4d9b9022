/* What a gateway proposes, as a record: nothing but the request is believed, and no credential is in it. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "arbiter/net_record.h"

static const uint8_t key[32] = {1, 2, 3};

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &v, &err) < 0)
		fail_msg("%s: %s", err.message, text);
	return v;
}

/* The record of TEXT, which must be one. */
static struct json *
record(const char *text)
{
	struct json *ret = NULL;
	struct error err = {0};
	_cleanup_json_ struct json *action = parse(text);
	if (net_record_make(action, key, sizeof(key), &ret, &err) < 0)
		fail_msg("%s: %s", err.message, text);
	return ret;
}

static void
assert_refused(const char *text, const char *why)
{
	struct json *ret = NULL;
	struct error err = {0};
	_cleanup_json_ struct json *action = parse(text);
	assert_int_equal(net_record_make(action, key, sizeof(key), &ret, &err), -EINVAL);
	if (strstr(err.message, why) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", why, err.message);
}

#define HTTP(method, more)                                                                        \
	"{\"kind\":\"http\",\"request\":{\"scheme\":\"https\",\"host\":\"a.example\",\"method\":" \
	"\"" method "\",\"path\":\"/p\"" more "}}"
#define GIT(operation)                                                                  \
	"{\"kind\":\"git\",\"request\":{\"host\":\"g.example\",\"repository\":\"a/b\"," \
	"\"operation\":\"" operation "\"}}"
#define NET(host) "{\"kind\":\"net\",\"request\":{\"host\":\"" host "\",\"port\":443}}"

static void
target_and_effect_are_read_from_the_request(void **state)
{
	static const struct {
		const char *action, *target, *effect;
	} cases[] = {
	    {HTTP("GET", ""), "https://a.example", "read"},
	    {HTTP("GET", ",\"port\":443"), "https://a.example", "read"},
	    {HTTP("HEAD", ",\"port\":80"), "https://a.example:80", "read"},
	    {HTTP("OPTIONS", ""), "https://a.example", "read"},
	    {HTTP("get", ""), "https://a.example", "write"},
	    {HTTP("POST", ""), "https://a.example", "write"},
	    {HTTP("TRACE", ""), "https://a.example", "write"},
	    {HTTP("GET", ",\"headers\":{\"upgrade\":\"websocket\"}"), "https://a.example", "write"},
	    {"{\"kind\":\"http\",\"request\":{\"scheme\":\"http\",\"host\":\"::1\",\"port\":8080,"
	     "\"method\":\"GET\",\"path\":\"/\"}}",
		"http://[::1]:8080", "read"},
	    {"{\"kind\":\"http\",\"request\":{\"scheme\":\"http\",\"host\":\"::1\",\"port\":80,"
	     "\"method\":\"GET\",\"path\":\"/\"}}",
		"http://[::1]", "read"},
	    {GIT("fetch"), "g.example/a/b", "read"},
	    {GIT("push"), "g.example/a/b", "write"},
	    {NET("d.example"), "d.example:443", "write"},
	    {NET("2001:db8::1"), "[2001:db8::1]:443", "write"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ struct json *r = record(cases[i].action);
		assert_string_equal(json_get_str(r, "target", ""), cases[i].target);
		assert_string_equal(json_get_str(r, "effect", ""), cases[i].effect);
		assert_false(json_get_bool(r, "reversible", true));
	}
}

static void
nothing_but_the_request_is_taken(void **state)
{
	_cleanup_json_ struct json *r = record("{\"kind\":\"net\",\"effect\":\"read\",\"target\":"
					       "\"elsewhere\",\"task\":\"t\",\"tenant\":"
					       "\"x\",\"facts\":{\"first_seen\":false},\"opaque\":"
					       "true,\"principal\":1,\"request\":{\"host\":"
					       "\"d.example\",\"port\":5432}}");
	struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(json_write(r, &out), 0);
	assert_string_equal(buf_str(&out),
	    "{\"effect\":\"write\",\"kind\":\"net\",\"opaque\":true,\"request\":{\"host\":\"d."
	    "example\","
	    "\"port\":5432},\"reversible\":false,\"target\":\"d.example:5432\"}");
	buf_done(&out);
}

static void
what_is_not_a_network_action_is_refused(void **state)
{
	assert_refused("{}", "net, http and git");
	assert_refused("{\"kind\":\"exec\",\"request\":{}}", "net, http and git");
	assert_refused("{\"kind\":\"http\"}", "is missing");
	assert_refused("{\"kind\":\"http\",\"request\":[]}", "must be an object");
	assert_refused(HTTP("GET", ",\"x\":1"), "unknown member");
	assert_refused(HTTP("GET", ",\"body_bytes\":-2"), "out of range");
	assert_refused(HTTP("GET", ",\"body_sha256\":\"ab\""), "must not be empty");
	assert_refused(HTTP("GET", ",\"headers\":{\"Cookie\":\"x\"}"), "lower case");
	assert_refused(HTTP("GET", ",\"headers\":{\"cookie\":1}"), "must be a string");
	assert_refused(HTTP("GET", ",\"headers\":{\"x\":\"a\\u0000b\"}"), "NUL");
}

static void
credentials_are_hidden_and_still_told_apart(void **state)
{
	_cleanup_json_ struct json *a = record(HTTP(
	    "GET", ",\"headers\":{\"accept\":\"x\",\"cookie\":\"one\",\"private-token\":\"one\"}"));
	_cleanup_json_ struct json *b = record(HTTP(
	    "GET", ",\"headers\":{\"accept\":\"x\",\"cookie\":\"two\",\"private-token\":\"one\"}"));
	const struct json *x = json_get(json_get(a, "request"), "headers");
	const struct json *y = json_get(json_get(b, "request"), "headers");
	assert_string_equal(json_get_str(x, "accept", ""), "x");
	assert_int_equal(strncmp(json_get_str(x, "cookie", ""), "[hidden ", 8), 0);
	assert_string_equal(json_get_str(x, "cookie", "x"), json_get_str(x, "private-token", "y"));
	assert_string_not_equal(json_get_str(x, "cookie", ""), json_get_str(y, "cookie", ""));
	char one[SHA256_HEX], two[SHA256_HEX];
	assert_int_equal(action_digest(a, key, sizeof(key), one), 0);
	assert_int_equal(action_digest(b, key, sizeof(key), two), 0);
	assert_string_not_equal(one, two);
}

static void
headers_that_carry_credentials_are_known(void **state)
{
	static const char *const secret[] = {"authorization", "proxy-authorization", "cookie",
	    "set-cookie", "x-api-key", "x-auth-token", "private-token", "x-amz-security-token",
	    "x-goog-api-key", "x-client-secret", "x-hub-signature-256", "x-csrf-token",
	    "x-vault-token"};
	static const char *const open[] = {"accept", "content-type", "host", "user-agent", "range",
	    "if-none-match", "x-github-api-version", "sec-websocket-key", "content-length"};
	for (size_t i = 0; i < ARRAY_LEN(secret); i++)
		assert_true(net_header_is_secret(secret[i]));
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		assert_false(net_header_is_secret(open[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(target_and_effect_are_read_from_the_request),
	    cmocka_unit_test(nothing_but_the_request_is_taken),
	    cmocka_unit_test(what_is_not_a_network_action_is_refused),
	    cmocka_unit_test(credentials_are_hidden_and_still_told_apart),
	    cmocka_unit_test(headers_that_carry_credentials_are_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
