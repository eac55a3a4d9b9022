/* proto/credential.h: what a request with a credential looks like, and what cannot be one. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "proto/credential.h"

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	assert_int_equal(json_parse(text, strlen(text), &v, NULL), 0);
	return v;
}

/* {"credential":"tok","apply":APPLY,"value":VALUE}, read. */
static int
read_credential(const char *apply, const char *value, struct credential *ret, struct error *err)
{
	struct json *body = json_new_object();
	assert_int_equal(json_set_str(body, "credential", "tok"), 0);
	assert_int_equal(json_set(body, "apply", parse(apply)), 0);
	assert_int_equal(json_set_str(body, "value", value), 0);
	int r = credential_read(body, ret, err);
	json_free(body);
	return r;
}

static struct credential
credential_of(const char *apply, const char *value)
{
	struct credential credential;
	struct error err = {.code = ""};
	if (read_credential(apply, value, &credential, &err) < 0)
		fail_msg("%s", err.message);
	return credential;
}

static struct http_text
text_of(const char *text)
{
	return (struct http_text){text, strlen(text)};
}

static void
assert_header(
    const char *apply, const char *value, const struct http_head *head, const char *expected)
{
	struct credential credential = credential_of(apply, value);
	struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(credential_header(&credential, head, &out), 0);
	assert_string_equal(buf_str(&out), expected);
	buf_done(&out);
	credential_done(&credential);
}

static void
each_way_gives_its_header(void **state)
{
	struct http_head none = {0};
	assert_header(
	    "{\"as\":\"bearer\"}", "abcdefgh", &none, "Authorization: Bearer abcdefgh\r\n");
	/* RFC 7617, section 2 */
	assert_header("{\"as\":\"basic\",\"user\":\"Aladdin\"}", "open sesame", &none,
	    "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n");
	assert_header("{\"as\":\"basic\",\"user\":\"\"}", "12345678", &none,
	    "Authorization: Basic OjEyMzQ1Njc4\r\n");
	assert_header("{\"as\":\"header\",\"name\":\"X-Api-Key\"}", "token abcdefgh", &none,
	    "X-Api-Key: token abcdefgh\r\n");
	assert_header("{\"as\":\"query\",\"name\":\"key\"}", "abcdefgh", &none, "");
	assert_header(
	    "{\"as\":\"cookie\",\"name\":\"sid\"}", "abcdefgh", &none, "Cookie: sid=abcdefgh\r\n");
}

static void
cookies_of_others_are_kept_and_ones_own_replaced(void **state)
{
	struct http_head head = {.n_headers = 3,
	    .headers = {{text_of("cookie"), text_of("a=1; sid=forged; b=2")},
		{text_of("Host"), text_of("x")},
		{text_of("Cookie"), text_of(" SID = x;;c=\"3\"; ")}}};
	assert_header("{\"as\":\"cookie\",\"name\":\"sid\"}", "abcdefgh", &head,
	    "Cookie: a=1; b=2; c=\"3\"; sid=abcdefgh\r\n");
}

static void
replaced_headers_are_named(void **state)
{
	struct credential bearer = credential_of("{\"as\":\"bearer\"}", "abcdefgh");
	struct credential query = credential_of("{\"as\":\"query\",\"name\":\"k\"}", "abcdefgh");
	assert_true(credential_replaces(&bearer, text_of("AUTHORIZATION")));
	assert_false(credential_replaces(&bearer, text_of("Authorization2")));
	assert_false(credential_replaces(&query, text_of("Authorization")));
	credential_done(&bearer);
	credential_done(&query);
}

static void
a_parameter_replaces_one_of_its_name_however_encoded(void **state)
{
	static const char *const cases[][2] = {
	    {"", "key=a%20b%26c%2Fd"},
	    {"x=1", "x=1&key=a%20b%26c%2Fd"},
	    {"key=forged", "key=a%20b%26c%2Fd"},
	    {"x=1&key=forged&y=2&key=twice", "x=1&y=2&key=a%20b%26c%2Fd"},
	    {"%6bey=forged&k%65%79", "key=a%20b%26c%2Fd"},
	    {"keys=1&akey=2&Key=3", "keys=1&akey=2&Key=3&key=a%20b%26c%2Fd"},
	    {"&&x&&", "x&key=a%20b%26c%2Fd"},
	};
	struct credential credential =
	    credential_of("{\"as\":\"query\",\"name\":\"key\"}", "a b&c/d.");
	credential.value[strlen(credential.value) - 1] = 0;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out;
		buf_init(&out, 4096);
		assert_int_equal(credential_query(&credential, text_of(cases[i][0]), &out), 0);
		assert_string_equal(buf_str(&out), cases[i][1]);
		buf_done(&out);
	}
	credential_done(&credential);
}

static void
what_would_break_a_request_is_no_credential(void **state)
{
	static const struct {
		const char *apply, *value, *word;
	} cases[] = {
	    {"{}", "abcdefgh", "bearer, basic"},
	    {"{\"as\":\"Bearer\"}", "abcdefgh", "bearer, basic"},
	    {"{\"as\":\"bearer\"}", "abcdefg", "shorter"},
	    {"{\"as\":\"bearer\"}", "abcdefgh\r\nX: y", "control"},
	    {"{\"as\":\"bearer\"}", "abcd efgh", "spaces"},
	    {"{\"as\":\"bearer\",\"name\":\"x\"}", "abcdefgh", "no name"},
	    {"{\"as\":\"bearer\",\"user\":\"x\"}", "abcdefgh", "only basic"},
	    {"{\"as\":\"basic\"}", "abcdefgh", "needs a user"},
	    {"{\"as\":\"basic\",\"user\":\"a:b\"}", "abcdefgh", "colon"},
	    {"{\"as\":\"basic\",\"user\":\"a\\r\\nb\"}", "abcdefgh", "control"},
	    {"{\"as\":\"header\"}", "abcdefgh", "no name"},
	    {"{\"as\":\"header\",\"name\":\"\"}", "abcdefgh", "letters"},
	    {"{\"as\":\"header\",\"name\":\"X:\"}", "abcdefgh", "letters"},
	    {"{\"as\":\"header\",\"name\":\"X\\r\\nY\"}", "abcdefgh", "letters"},
	    {"{\"as\":\"header\",\"name\":\"transfer-ENCODING\"}", "abcdefgh", "frames"},
	    {"{\"as\":\"header\",\"name\":\"Host\"}", "abcdefgh", "frames"},
	    {"{\"as\":\"header\",\"name\":\"X\"}", " abcdefgh", "begin or end"},
	    {"{\"as\":\"cookie\",\"name\":\"x=y\"}", "abcdefgh", "letters"},
	    {"{\"as\":\"cookie\",\"name\":\"x\"}", "abcdefgh;y=z", "semicolons"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct credential credential;
		struct error err = {.code = ""};
		assert_int_equal(
		    read_credential(cases[i].apply, cases[i].value, &credential, &err), -EBADMSG);
		if (strstr(err.message, cases[i].word) == NULL)
			fail_msg("%s: %s", cases[i].apply, err.message);
	}
}

static void
a_value_with_a_nul_inside_is_no_credential(void **state)
{
	struct credential credential;
	struct json *body = parse(
	    "{\"credential\":\"t\",\"apply\":{\"as\":\"bearer\"},\"value\":\"abcdefgh\\u0000x\"}");
	assert_int_equal(credential_read(body, &credential, NULL), -EBADMSG);
	json_free(body);
}

static void
a_placeholder_ends_where_its_name_ends(void **state)
{
	static const struct {
		const char *text;
		bool own, any;
	} cases[] = {
	    {"RINGFENCE_SECRET_tok", true, true},
	    {"x RINGFENCE_SECRET_tok.", true, true},
	    {"(RINGFENCE_SECRET_tok)", true, true},
	    {"RINGFENCE_SECRET_token", false, true},
	    {"RINGFENCE_SECRET_tok-2", false, true},
	    {"RINGFENCE_SECRET_token RINGFENCE_SECRET_tok", true, true},
	    {"RINGFENCE_SECRET_", false, true},
	    {"ringfence_secret_tok", false, false},
	    {"RINGFENCE_SECRE", false, false},
	    {"Basic dXNlcjpSSU5HRkVOQ0VfU0VDUkVUX3Rvaw==", true,
		true}, /* user:RINGFENCE_SECRET_tok */
	    {"Basic dXNlcjpwYXNz", false, false},
	    {"Basic !!!", false, false},
	    {"", false, false},
	};
	struct credential credential = credential_of("{\"as\":\"bearer\"}", "abcdefgh");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_text text = text_of(cases[i].text);
		if (credential_placeholder(&credential, text) != cases[i].own ||
		    credential_placeholder(NULL, text) != cases[i].any)
			fail_msg("%s", cases[i].text);
	}
	credential_done(&credential);
}

static void
assert_filled(
    const struct credential *credential, const char *text, const char *plain, const char *encoded)
{
	struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(credential_fill(credential, text_of(text), &out), 0);
	assert_string_equal(buf_str(&out), plain);
	buf_clear(&out);
	assert_int_equal(credential_fill_encoded(credential, text_of(text), &out), 0);
	assert_string_equal(buf_str(&out), encoded);
	buf_done(&out);
}

static void
placeholders_are_filled_in(void **state)
{
	struct credential credential =
	    credential_of("{\"as\":\"basic\",\"user\":\"u\"}", "a&b/c d=e");
	assert_filled(&credential,
	    "k=RINGFENCE_SECRET_tok&x=RINGFENCE_SECRET_tok.RINGFENCE_SECRET_toke",
	    "k=a&b/c d=e&x=RINGFENCE_SECRET_tok.RINGFENCE_SECRET_toke",
	    "k=a%26b%2Fc%20d%3De&x=RINGFENCE_SECRET_tok.RINGFENCE_SECRET_toke");
	assert_filled(&credential, "nothing", "nothing", "nothing");
	struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(credential_fill(&credential,
			     text_of("Basic dXNlcjpSSU5HRkVOQ0VfU0VDUkVUX3Rvaw=="), &out),
	    0);
	assert_string_equal(buf_str(&out), "Basic dXNlcjphJmIvYyBkPWU=");
	buf_done(&out);
	credential_done(&credential);
}

static void
what_does_not_fit_is_an_error(void **state)
{
	struct credential credential =
	    credential_of("{\"as\":\"basic\",\"user\":\"u\"}", "abcdefgh");
	struct http_head none = {0};
	for (size_t limit = 0; limit < 35; limit++) {
		struct buf out;
		buf_init(&out, limit);
		assert_int_equal(credential_header(&credential, &none, &out), -EMSGSIZE);
		buf_done(&out);
	}
	credential_done(&credential);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_way_gives_its_header),
	    cmocka_unit_test(cookies_of_others_are_kept_and_ones_own_replaced),
	    cmocka_unit_test(replaced_headers_are_named),
	    cmocka_unit_test(a_parameter_replaces_one_of_its_name_however_encoded),
	    cmocka_unit_test(what_would_break_a_request_is_no_credential),
	    cmocka_unit_test(a_value_with_a_nul_inside_is_no_credential),
	    cmocka_unit_test(a_placeholder_ends_where_its_name_ends),
	    cmocka_unit_test(placeholders_are_filled_in),
	    cmocka_unit_test(what_does_not_fit_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
