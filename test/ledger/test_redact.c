/* Redaction: each kind of secret is replaced, what is no secret stays (the positive controls are both
 * ways: a net that catches everything would be as useless as one that catches nothing). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "ledger/redact.h"

static int
fixed_key(void *data, uint8_t ret[REDACT_KEY_BYTES])
{
	memset(ret, data == NULL ? 1 : 2, REDACT_KEY_BYTES);
	return 0;
}

static int
no_key(void *data, uint8_t ret[REDACT_KEY_BYTES])
{
	return -ENOSPC;
}

/* {"x":TEXT} after redaction; the caller frees. Checks that the result is still canonical JSON. */
static int
redacted(const char *document, struct buf *out)
{
	buf_init(out, 1 << 20);
	int n = redact_json(document, strlen(document), fixed_key, NULL, out);
	if (n == 0)
		assert_int_equal(buf_add_str(out, document), 0);
	_cleanup_json_ struct json *v = NULL;
	_cleanup_buf_ struct buf again;
	buf_init(&again, 1 << 20);
	assert_int_equal(json_parse(buf_str(out), out->len, &v, NULL), 0);
	assert_int_equal(json_write(v, &again), 0);
	assert_string_equal(buf_str(&again), buf_str(out));
	return n;
}

#define A16 "ABCDEFGHIJ234567"
#define a36 "abcdefghijklmnopqrstuvwxyz0123456789"

static const struct {
	const char *text;   /* the value of {"x":…}, as JSON escapes it */
	const char *secret; /* must not be in the output */
	const char *kind;   /* must be */
	const char *stays;  /* must be in the output too; NULL: nothing */
} secrets[] = {
    {"key AKIA" A16 " end", A16, "aws-key", "key "},
    {"ASIA" A16, A16, "aws-key", NULL},
    {"git clone with ghp_" a36 " now", a36, "github-token", " now"},
    {"github_pat_11ABCDEFG0" a36, "11ABCDEFG0", "github-token", NULL},
    {"glpat-abcdefghij0123456789", "abcdefghij", "gitlab-token", NULL},
    {"xoxb-1234567890-abcdefghij", "1234567890", "slack-token", NULL},
    {"https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXX", "XXXX", "slack-webhook", NULL},
    {"sk_live_abcdefghijklmnop1234", "abcdefghijkl", "stripe-key", NULL},
    {"rk_test_abcdefghijklmnop1234", "abcdefghijkl", "stripe-key", NULL},
    {"sk-proj-abcdefghij0123456789abcd", "abcdefghij", "api-key", NULL},
    {"AIzaSyA-abcdefghijklmnopqrstuvwxyz012345", "SyA-abc", "google-key", NULL},
    {"npm_" a36, a36, "npm-token", NULL},
    {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl rest", "eyJzdWIi", "jwt", " rest"},
    {"Authorization: Bearer abcdef123456", "abcdef123456", "credential", NULL},
    {"curl -H 'Authorization: Basic dXNlcjpwYXNz' https://h/", "dXNlcjpwYXNz", "credential",
	"https://h/"},
    {"send Bearer abcdef.123456 on", "abcdef.123456", "bearer", " on"},
    {"-----BEGIN RSA PRIVATE KEY-----\\nMIIE\\nabc\\n-----END RSA PRIVATE KEY-----\\nafter", "MIIE",
	"private-key", "after"},
    {"-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjE", "b3Blbn", "private-key", NULL},
    {"password=hunter2", "hunter2", "password", NULL},
    {"a=1&password=hunter2&b=2", "hunter2", "password", "&b=2"},
    {"PGPASSWORD=hunter2 psql -c x", "hunter2", "password", " psql -c x"},
    {"MYSQL_PWD=hunter2", "hunter2", "password", NULL},
    {"AWS_SECRET_ACCESS_KEY = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI", "secret-key", NULL},
    {"db_password: \\\"hunter 2\\\" ok", "hunter 2", "password", "ok"},
    {"{\\\"password\\\":\\\"hunter2\\\",\\\"n\\\":1}", "hunter2", "password", "\\\"n\\\":1"},
    {"{'api_key': 'hunter2'}", "hunter2", "api-key", NULL},
    {"password=a\\\\b\\\\c d", "b\\\\c", "password", " d"},
    {"mysql --password hunter2 -e x", "hunter2", "password", " -e x"},
    {"mysql --password=hunter2 -e x", "hunter2", "password", " -e x"},
    {"Cookie: a=b; session=zzz", "zzz", "cookie", NULL},
    {"Set-Cookie: sid=zzz\\r\\nHost: h", "zzz", "cookie", "Host: h"},
    {"postgres://app:hunter2@db.local/crm", "hunter2", "url-password", "db.local/crm"},
    {"https://user:p%40ss@h/x?y", "p%40ss", "url-password", "user:"},
    {"https://abcdef0123@github.com/x", "abcdef0123", "url-token", "github.com/x"},
    {"client_secret=abc", "=abc", "secret", NULL},
};

static void
every_kind_of_secret_is_replaced(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		char document[1024];
		struct buf out;
		(void)snprintf(document, sizeof(document), "{\"x\":\"%s\"}", secrets[i].text);
		assert_non_null(strstr(document, secrets[i].secret)); /* the control */
		int n = redacted(document, &out);
		if (n < 1 || strstr(buf_str(&out), secrets[i].secret) != NULL ||
		    strstr(buf_str(&out), secrets[i].kind) == NULL ||
		    (secrets[i].stays != NULL && strstr(buf_str(&out), secrets[i].stays) == NULL))
			fail_msg("%s → %s", document, buf_str(&out));
		buf_done(&out);
	}
}

static const char *const harmless[] = {
    "{}",
    "{\"x\":\"\"}",
    "{\"x\":\"git log --oneline\"}",
    "{\"x\":\"PWD=/workspace\"}",
    "{\"x\":\"OLDPWD=/\"}",
    "{\"tokens\":100,\"x\":\"max_tokens=5\"}",
    "{\"x\":\"https://github.com/a/b:c\"}",
    "{\"x\":\"ssh://git@github.com/a\"}",
    "{\"x\":\"git@github.com:acme/x.git\"}",
    "{\"x\":\"task-abc sk-1\"}",
    "{\"x\":\"eyJust three.words.here\"}",
    "{\"x\":\"AKIA is a prefix\"}",
    "{\"x\":\"bearer of news\"}",
    "{\"x\":\"-----BEGIN CERTIFICATE-----\\nMIIE\\n-----END CERTIFICATE-----\"}",
    "{\"credential\":\"github-ro\",\"key\":\"k\"}",
    "{\"hash\":\"0123456789abcdef0123456789abcdef\"}",
    "{\"x\":\"mask-risk-desk-0123456789abcdefghijklmnop\"}",
    "{\"password\":\"\"}",
    "{\"token\":12}",
    "{\"password\":null,\"x\":[\"a\",\"b\"]}",
    "{\"x\":\"time: 12:30\"}",
    "{\"a\":{\"secretary\":\"Ann\"}}",
};

static void
what_is_no_secret_stays_as_it_is(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
		struct buf out;
		if (redacted(harmless[i], &out) != 0)
			fail_msg("%s → %s", harmless[i], buf_str(&out));
		buf_done(&out);
	}
}

static const struct {
	const char *document;
	int replaced;
} members[] = {
    {"{\"password\":\"SECRET\"}", 1},
    {"{\"DB_PASSWORD\":\"SECRET\"}", 1},
    {"{\"X-Api-Key\":\"SECRET\"}", 1},
    {"{\"headers\":{\"Authorization\":\"SECRET\",\"cookie\":\"SECRET\"}}", 2},
    {"{\"token\":[\"SECRET\",{\"a\":\"SECRET\"}],\"x\":\"stays\"}", 2},
    {"{\"argv\":[\"mysql\",\"--password\",\"SECRET\",\"stays\"]}", 1},
    {"{\"argv\":[\"x\",\"--token\",\"SECRET\",\"--api-key\",\"SECRET\"]}", 2},
    {"{\"a\":[[\"--secret\"],\"stays\"]}", 0},
    {"{\"password\":1,\"x\":\"stays\"}", 0},
    {"{\"secret\":{},\"x\":\"stays\"}", 0},
};

static void
members_whose_name_says_so_are_replaced_whole(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		struct buf out;
		int n = redacted(members[i].document, &out);
		if (n != members[i].replaced || strstr(buf_str(&out), "SECRET") != NULL ||
		    (strstr(members[i].document, "stays") != NULL) !=
			(strstr(buf_str(&out), "stays") != NULL))
			fail_msg("%s → %s", members[i].document, buf_str(&out));
		buf_done(&out);
	}
}

static void
the_same_secret_has_the_same_mark_under_one_key_only(void **state)
{
	static const char document[] = "{\"a\":\"password=hunter2\",\"password\":\"hunter2\"}";
	struct buf out, other;
	assert_int_equal(redacted(document, &out), 2);
	const char *first = strstr(buf_str(&out), "[redacted:password:");
	const char *second = strstr(first + 1, "[redacted:password:");
	assert_non_null(second);
	assert_memory_equal(first, second, strlen("[redacted:password:01234567]"));
	buf_init(&other, 4096);
	assert_int_equal(redact_json(document, strlen(document), fixed_key, &other, &other), 2);
	assert_string_not_equal(buf_str(&out), buf_str(&other));
	buf_done(&out);
	buf_done(&other);
}

static void
without_a_key_nothing_is_let_through(void **state)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(redact_json("{\"password\":\"x\"}", 16, no_key, NULL, &out), -ENOSPC);
	assert_int_equal(redact_json("{\"x\":\"plain\"}", 13, no_key, NULL, &out), 0);
}

static void
any_cut_of_a_document_is_survived(void **state)
{
	static const char text[] =
	    "{\"a\":[\"--password\",\"x\\\\\\\"y\"],\"b\":\"https://u:p@h -----BEGIN X "
	    "PRIVATE KEY-----\\n eyJ0.aaaaaaaaaaaa.b password: \\\"q\"}";
	for (size_t i = 0; i < sizeof(text); i++) {
		_cleanup_free_ char *exact = malloc(i + 1);
		_cleanup_buf_ struct buf out;
		buf_init(&out, 4096);
		memcpy(exact, text, i);
		assert_true(redact_json(exact, i, fixed_key, NULL, &out) >= 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_kind_of_secret_is_replaced),
	    cmocka_unit_test(what_is_no_secret_stays_as_it_is),
	    cmocka_unit_test(members_whose_name_says_so_are_replaced_whole),
	    cmocka_unit_test(the_same_secret_has_the_same_mark_under_one_key_only),
	    cmocka_unit_test(without_a_key_nothing_is_let_through),
	    cmocka_unit_test(any_cut_of_a_document_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
