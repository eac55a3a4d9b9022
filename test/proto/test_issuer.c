/* proto/issuer.h: what an exchange may be told. */
#include "unit.h"

#include <string.h>

#include "proto/issuer.h"

static void
urls_are_read_in_their_plain_form_only(void **state)
{
	static const struct {
		const char *text, *host, *path;
		int port;
	} good[] = {
	    {"https://api.github.com", "api.github.com", "", 443},
	    {"https://API.GitHub.com./", "api.github.com", "", 443},
	    {"https://ghe.example.com:8443/api/v3/", "ghe.example.com", "/api/v3", 8443},
	    {"https://login.example.com/a-b_c.d~e/token", "login.example.com", "/a-b_c.d~e/token",
		443},
	};
	static const char *const bad[] = {"", "https://", "http://api.github.com", "api.github.com",
	    "https:///x", "https://user@api.github.com", "https://user:x@api.github.com",
	    "https://api.github.com:", "https://api.github.com:0", "https://api.github.com:65536",
	    "https://api.github.com:0443", "https://api.github.com:443x",
	    "https://api.github.com?x", "https://api.github.com/x?y", "https://api.github.com/x#y",
	    "https://api.github.com/%2e", "https://api.github.com/../x",
	    "https://api.github.com/x/./y", "https://api.github.com//x",
	    "https://api.github.com/x y", "https://api.github.com/x\r\nHost: y",
	    "https://127.0.0.1", "https://[::1]", "https://2130706433", "https://a..b",
	    "https://-a.b", "https://api.github.com\\x", "HTTPS://api.github.com"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct issuer_url url;
		assert_int_equal(issuer_url(good[i].text, &url), 0);
		assert_string_equal(url.host, good[i].host);
		assert_string_equal(url.path, good[i].path);
		assert_int_equal(url.port, good[i].port);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct issuer_url url;
		if (issuer_url(bad[i], &url) == 0)
			fail_msg("%s", bad[i]);
	}
}

static int
check(const char *as, const char *text)
{
	_cleanup_json_ struct json *parameters = NULL;
	struct error err = {.code = ""};
	assert_int_equal(json_parse(text, strlen(text), &parameters, &err), 0);
	int r = issuer_check(as, parameters, &err);
	if (r < 0)
		assert_string_equal(err.code, "secret_invalid");
	return r;
}

#define GITHUB "\"url\":\"https://api.github.com\",\"app_id\":\"1\",\"installation\":\"2\""
#define OAUTH "\"url\":\"https://l.example.com/t\",\"client_id\":\"a:b/c\""

static void
parameters_are_whole_and_nothing_else(void **state)
{
	static const char *const github[] = {"{" GITHUB "}",
	    "{" GITHUB ",\"repositories\":[\"acme/app\",\"acme/b.c\",\"d\"]}",
	    "{" GITHUB ",\"permissions\":{\"contents\":\"write\",\"pull_requests\":\"read\"}}"};
	static const char *const not_github[] = {"{}", "[]", "null",
	    "{\"url\":\"https://api.github.com\",\"app_id\":\"1\"}",
	    "{\"url\":\"https://api.github.com\",\"installation\":\"1\"}",
	    "{\"app_id\":\"1\",\"installation\":\"1\"}", "{" GITHUB ",\"client_id\":\"x\"}",
	    "{" GITHUB ",\"repositories\":[]}", "{" GITHUB ",\"repositories\":\"acme/app\"}",
	    "{" GITHUB ",\"repositories\":[\"acme/app\",\"other/app\"]}",
	    "{" GITHUB ",\"repositories\":[\"acme/..\"]}",
	    "{" GITHUB ",\"repositories\":[\"a/b/c\"]}", "{" GITHUB ",\"repositories\":[\"\"]}",
	    "{" GITHUB ",\"repositories\":[\"a b\"]}",
	    "{" GITHUB ",\"repositories\":[\"a\\u0000\"]}", "{" GITHUB ",\"permissions\":{}}",
	    "{" GITHUB ",\"permissions\":{\"contents\":\"all\"}}",
	    "{" GITHUB ",\"permissions\":{\"con tents\":\"read\"}}",
	    "{" GITHUB ",\"permissions\":{\"contents\":1}}",
	    "{\"url\":\"https://api.github.com\",\"app_id\":\"1\",\"installation\":\"2/../3\"}",
	    "{\"url\":\"https://api.github.com\",\"app_id\":\"1\\\"\",\"installation\":\"2\"}",
	    "{\"url\":\"https://api.github.com\",\"app_id\":1,\"installation\":2}"};
	static const char *const oauth[] = {
	    "{" OAUTH "}", "{" OAUTH ",\"scope\":\"read write:all\"}"};
	static const char *const not_oauth[] = {"{}", "{" GITHUB "}",
	    "{\"url\":\"https://l.example.com/t\"}", "{" OAUTH ",\"scope\":\"\"}",
	    "{" OAUTH ",\"scope\":\"a\\nb\"}", "{" OAUTH ",\"scope\":\"a\\\"b\"}",
	    "{" OAUTH ",\"scope\":7}",
	    "{\"url\":\"https://l.example.com/t\",\"client_id\":\"a b\"}",
	    "{\"url\":\"https://l.example.com/t\",\"client_id\":\"\"}",
	    "{\"url\":\"https://l.example.com/t\",\"client_id\":\"a\\u0000b\"}"};
	for (size_t i = 0; i < ARRAY_LEN(github); i++)
		assert_int_equal(check("github-app", github[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(oauth); i++)
		assert_int_equal(check("oauth", oauth[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(not_github); i++)
		if (check("github-app", not_github[i]) == 0)
			fail_msg("%s", not_github[i]);
	for (size_t i = 0; i < ARRAY_LEN(not_oauth); i++)
		if (check("oauth", not_oauth[i]) == 0)
			fail_msg("%s", not_oauth[i]);
}

static void
a_secret_is_a_key_in_pem_or_one_line(void **state)
{
	static const char pem[] =
	    "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----";
	static const char locked[] =
	    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
	assert_null(issuer_check_secret("github-app", pem, sizeof(pem) - 1));
	assert_non_null(issuer_check_secret("github-app", pem, sizeof(pem))); /* with its NUL */
	assert_non_null(issuer_check_secret("github-app", locked, sizeof(locked) - 1));
	assert_non_null(issuer_check_secret("github-app", "ghp_123456789012", 16));
	assert_non_null(issuer_check_secret("github-app", "", 0));
	assert_non_null(issuer_check_secret("oauth", pem, sizeof(pem) - 1));
	assert_non_null(issuer_check_secret("oauth", "1234567", 7));
	assert_null(issuer_check_secret("oauth", "12345678", 8));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(urls_are_read_in_their_plain_form_only),
	    cmocka_unit_test(parameters_are_whole_and_nothing_else),
	    cmocka_unit_test(a_secret_is_a_key_in_pem_or_one_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
