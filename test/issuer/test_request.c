/* issuer/request.h: the request, byte by byte, and each kind of answer. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "issuer/request.h"

#define NOW INT64_C(1790000000000) /* 2026-09-21T14:13:20Z */

static void
make(const char *ask, struct buf *out)
{
	_cleanup_json_ struct json *body = NULL;
	struct issuer_url url;
	struct error err;
	buf_init(out, 65536);
	assert_int_equal(json_parse(ask, strlen(ask), &body, &err), 0);
	assert_int_equal(
	    issuer_url(json_get_str(json_get(body, "parameters"), "url", ""), &url), 0);
	if (request_make(body, &url, NOW, out, &err) < 0)
		fail_msg("%s", err.message);
}

static void
oauth_sends_its_client_encoded_and_its_scope(void **state)
{
	_cleanup_buf_ struct buf out = {0};
	make("{\"as\":\"oauth\",\"secret\":\"a b:c/ü\",\"parameters\":{\"url\":"
	     "\"https://login.example.com:8443/oauth/token\",\"client_id\":\"me:1\",\"scope\":"
	     "\"read write\"}}",
	    &out);
	/* base64("me%3A1:a%20b%3Ac%2F%C3%BC") */
	assert_string_equal(buf_str(&out),
	    "POST /oauth/token HTTP/1.1\r\nHost: login.example.com:8443\r\nUser-Agent: "
	    "ringfence/" RINGFENCE_VERSION
	    "\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	    "Content-Length: 48\r\nConnection: close\r\nAuthorization: Basic "
	    "bWUlM0ExOmElMjBiJTNBYyUyRiVDMyVCQw==\r\n\r\n"
	    "grant_type=client_credentials&scope=read%20write");
}

static void
without_scope_and_path_there_is_none(void **state)
{
	_cleanup_buf_ struct buf out = {0};
	make("{\"as\":\"oauth\",\"secret\":\"12345678\",\"parameters\":{\"url\":"
	     "\"https://login.example.com/\",\"client_id\":\"me\"}}",
	    &out);
	assert_int_equal(
	    strncmp(buf_str(&out), "POST / HTTP/1.1\r\nHost: login.example.com\r\n", 42), 0);
	assert_non_null(strstr(buf_str(&out), "\r\n\r\ngrant_type=client_credentials"));
	assert_null(strstr(buf_str(&out), "scope"));
}

static void
github_names_repositories_without_their_owner_and_permissions(void **state)
{
	_cleanup_buf_ struct buf out = {0};
	_cleanup_json_ struct json *ask = json_new_object(), *parameters = NULL;
	struct issuer_url url;
	struct error err;
	static const char given[] =
	    "{\"url\":\"https://ghe.example.com/api/v3\",\"app_id\":\"7\",\"installation\":\"99\","
	    "\"repositories\":[\"acme/app\",\"lib\"],\"permissions\":{\"contents\":\"write\"}}";
	char *pem;
	EVP_PKEY *key = EVP_RSA_gen(2048);
	BIO *bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	size_t len = (size_t)BIO_get_mem_data(bio, &pem);
	buf_init(&out, 65536);
	assert_int_equal(json_parse(given, sizeof(given) - 1, &parameters, &err), 0);
	assert_int_equal(issuer_check("github-app", parameters, &err), 0);
	assert_int_equal(issuer_url(json_get_str(parameters, "url", ""), &url), 0);
	(void)json_set(ask, "parameters", json_copy(parameters));
	(void)json_set_str(ask, "as", "github-app");
	(void)json_set(ask, "secret", json_new_string_n(pem, len));
	assert_int_equal(request_make(ask, &url, NOW, &out, &err), 0);
	static const char begin[] = "POST /api/v3/app/installations/99/access_tokens HTTP/1.1\r\n"
				    "Host: ghe.example.com\r\n";
	assert_int_equal(strncmp(buf_str(&out), begin, sizeof(begin) - 1), 0);
	assert_non_null(strstr(buf_str(&out), "\r\nAuthorization: Bearer ey"));
	assert_non_null(strstr(buf_str(&out), "\r\nX-GitHub-Api-Version: 2022-11-28\r\n"));
	assert_non_null(strstr(buf_str(&out),
	    "\r\n\r\n{\"permissions\":{\"contents\":\"write\"},\"repositories\":[\"app\",\"lib\"]"
	    "}"));
	assert_null(strstr(buf_str(&out), "PRIVATE"));
	BIO_free(bio);
	EVP_PKEY_free(key);
}

/* ---- answers ---- */

static const struct {
	const char *as;
	int status;
	const char *body;
	const char *token; /* NULL: refused with CODE, saying SAID */
	int64_t life_ms;
	const char *code, *said;
} answers[] = {
    {"oauth", 200, "{\"access_token\":\"12345678\",\"token_type\":\"Bearer\",\"expires_in\":60}",
	"12345678", 60000},
    {"oauth", 200, "{\"access_token\":\"12345678\",\"token_type\":\"bearer\",\"scope\":\"a\"}",
	"12345678", TOKEN_LIFE_UNSAID_MS},
    {"oauth", 200,
	"{\"access_token\":\"12345678\",\"token_type\":\"bearer\",\"expires_in\":9007199254740991}",
	"12345678", TOKEN_LIFE_MAX_MS},
    {"github-app", 201, "{\"token\":\"ghs_1234\",\"expires_at\":\"2026-09-21T15:13:20Z\"}",
	"ghs_1234", 3600000},
    {"github-app", 201, "{\"token\":\"ghs_1234\",\"expires_at\":\"2026-09-21T14:13:20Z\"}", NULL, 0,
	"issuer_invalid", "expired"},
    {"github-app", 201, "{\"token\":\"ghs_1234\"}", NULL, 0, "issuer_invalid", "until when"},
    {"github-app", 200, "{\"token\":\"ghs_1234\",\"expires_at\":\"2026-09-21T15:13:20Z\"}", NULL, 0,
	"issuer_refused", "(status 200)"},
    {"github-app", 401, "LEAKED", NULL, 0, "issuer_refused", "by this key"},
    {"github-app", 403, "LEAKED", NULL, 0, "issuer_refused", "forbids"},
    {"github-app", 404, "{\"message\":\"LEAKED\"}", NULL, 0, "issuer_refused", "installation"},
    {"github-app", 422, "{\"error\":\"LEAKED\"}", NULL, 0, "issuer_refused", "permissions"},
    {"oauth", 400, "{\"error\":\"invalid_scope\",\"error_description\":\"LEAKED\"}", NULL, 0,
	"issuer_refused", "invalid_scope"},
    {"oauth", 400, "{\"error\":\"LEAKED\"}", NULL, 0, "issuer_refused", "(status 400)"},
    {"oauth", 302, "", NULL, 0, "issuer_refused", "(status 302)"},
    {"oauth", 200, "", NULL, 0, "issuer_invalid", "not a JSON object"},
    {"oauth", 200, "[\"LEAKED\"]", NULL, 0, "issuer_invalid", "not a JSON object"},
    {"oauth", 200, "{\"access_token\":\"12345678\"}", NULL, 0, "issuer_invalid", "bearer"},
    {"oauth", 200, "{\"access_token\":\"1234567\",\"token_type\":\"bearer\"}", NULL, 0,
	"issuer_invalid", "no token"},
    {"oauth", 200, "{\"access_token\":\"LEAKED\\nLEAKED\",\"token_type\":\"bearer\"}", NULL, 0,
	"issuer_invalid", "no token"},
    {"oauth", 200, "{\"access_token\":\"LEAKED\\u0000LEAKED\",\"token_type\":\"bearer\"}", NULL, 0,
	"issuer_invalid", "no token"},
    {"oauth", 200, "{\"access_token\":[\"12345678\"],\"token_type\":\"bearer\"}", NULL, 0,
	"issuer_invalid", "no token"},
    {"oauth", 200, "{\"access_token\":\"12345678\",\"token_type\":\"bearer\",\"expires_in\":-1}",
	NULL, 0, "issuer_invalid", "until when"},
    {"oauth", 200, "{\"access_token\":\"12345678\",\"token_type\":\"bearer\",\"expires_in\":1.5}",
	NULL, 0, "issuer_invalid", "not a JSON object"},
};

static void
each_answer_means_what_it_says_and_is_never_repeated(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		char *token = NULL;
		int64_t expires_ms = 0;
		struct error err = {.code = ""};
		int r = answer_read(answers[i].as, answers[i].status, answers[i].body,
		    strlen(answers[i].body), NOW, &token, &expires_ms, &err);
		if (answers[i].token != NULL) {
			assert_int_equal(r, 0);
			assert_string_equal(token, answers[i].token);
			assert_int_equal(expires_ms, NOW + answers[i].life_ms);
		} else {
			assert_true(r < 0);
			assert_null(token);
			assert_string_equal(err.code, answers[i].code);
			assert_null(strstr(err.message, "LEAKED"));
			if (strstr(err.message, answers[i].said) == NULL)
				fail_msg("%s: %s", answers[i].body, err.message);
		}
		free(token);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(oauth_sends_its_client_encoded_and_its_scope),
	    cmocka_unit_test(without_scope_and_path_there_is_none),
	    cmocka_unit_test(github_names_repositories_without_their_owner_and_permissions),
	    cmocka_unit_test(each_answer_means_what_it_says_and_is_never_repeated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
