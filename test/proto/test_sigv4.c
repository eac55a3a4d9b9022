/* proto/sigv4.h, against the examples that AWS publishes: "Signature Calculations for the Authorization Header" (Amazon
 * S3 API Reference), the Signature Version 4 test suite and the IAM example (IAM User Guide). */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/sigv4.h"

#define S3_NOW INT64_C(1369353600000)    /* 2013-05-24T00:00:00Z */
#define SUITE_NOW INT64_C(1440938160000) /* 2015-08-30T12:36:00Z */
#define S3_SCOPE "20130524/us-east-1/s3"
#define SUITE_SCOPE "20150830/us-east-1/service"

static struct http_text
text_of(const char *text)
{
	return (struct http_text){text, strlen(text)};
}

/* A request as a test writes it down. */
struct example {
	const char *method, *host, *path, *query;
	const char *headers[8][2];
	const char *body;  /* NULL: none */
	bool unknown_body; /* its hash is not known before */
	bool plain;        /* not over TLS */
};

struct prepared {
	struct http_head head;
	uint8_t hash[SHA256_BYTES];
	struct sigv4_request request;
};

static void
prepare(const struct example *e, int64_t now_ms, struct prepared *ret)
{
	*ret = (struct prepared){.head = {.method = text_of(e->method)}};
	for (size_t i = 0; i < ARRAY_LEN(e->headers) && e->headers[i][0] != NULL; i++)
		ret->head.headers[ret->head.n_headers++] =
		    (struct http_header){text_of(e->headers[i][0]), text_of(e->headers[i][1])};
	if (e->body != NULL) {
		ret->head.body = HTTP_BODY_LENGTH;
		sha256(e->body, strlen(e->body), ret->hash);
	}
	ret->request = (struct sigv4_request){.head = &ret->head,
	    .host = e->host,
	    .path = text_of(e->path),
	    .query = text_of(e->query != NULL ? e->query : ""),
	    .tls = !e->plain,
	    .body_hash = e->body != NULL && !e->unknown_body ? ret->hash : NULL,
	    .now_ms = now_ms};
}

/* What SECRET gives for SCOPE, as MSG_CREDENTIAL brings it. */
static struct credential
credential_of(const char *id, const char *secret, const char *scope)
{
	uint8_t key[SHA256_BYTES];
	char hex[SHA256_HEX];
	struct credential credential;
	struct error err = {.code = ""};
	assert_int_equal(sigv4_derive(secret, scope, key), 0);
	hex_encode(key, sizeof(key), hex);
	struct json *body = json_new_object(), *apply = json_new_object();
	(void)json_set_str(apply, "as", "aws");
	(void)json_set_str(apply, "name", scope);
	(void)json_set_str(apply, "user", id);
	(void)json_set_str(body, "credential", "store");
	(void)json_set(body, "apply", apply);
	(void)json_set_str(body, "value", hex);
	if (credential_read(body, &credential, &err) < 0)
		fail_msg("%s", err.message);
	json_free(body);
	return credential;
}

static struct credential
s3_credential(void)
{
	return credential_of(
	    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", S3_SCOPE);
}

static int
sign(const struct credential *credential, const struct example *e, int64_t now_ms,
    struct buf *headers, struct buf *query, struct error *err)
{
	struct prepared p;
	prepare(e, now_ms, &p);
	buf_init(headers, 65536);
	buf_init(query, 65536);
	return sigv4_sign(credential, &p.request, headers, query, err);
}

static void
assert_signed(const struct credential *credential, const struct example *e, int64_t now_ms,
    const char *names, const char *signature)
{
	struct buf headers, query;
	struct error err = {.code = ""};
	char expected[256];
	if (sign(credential, e, now_ms, &headers, &query, &err) < 0)
		fail_msg("%s", err.message);
	(void)snprintf(expected, sizeof(expected),
	    "/aws4_request, SignedHeaders=%s, Signature=%s\r\n", names, signature);
	if (strstr(buf_str(&headers), expected) == NULL)
		fail_msg("%s\nnot: %s", buf_str(&headers), expected);
	buf_done(&headers);
	buf_done(&query);
}

static void
the_examples_of_s3_are_signed_as_published(void **state)
{
	static const struct {
		struct example request;
		const char *names, *signature;
	} cases[] = {
	    {{"GET", "examplebucket.s3.amazonaws.com", "/test.txt", NULL, {{"Range", "bytes=0-9"}}},
		"host;range;x-amz-content-sha256;x-amz-date",
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
	    {{"PUT", "examplebucket.s3.amazonaws.com", "/test$file.text", NULL,
		 {{"Date", "Fri, 24 May 2013 00:00:00 GMT"},
		     {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
		 "Welcome to Amazon S3."},
		"date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
	    {{"GET", "examplebucket.s3.amazonaws.com", "/", "max-keys=2&prefix=J"},
		"host;x-amz-content-sha256;x-amz-date",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	    /* the same, as a client may write it */
	    {{"GET", "examplebucket.s3.amazonaws.com", "", "&prefix=%4A&&max-keys=2"},
		"host;x-amz-content-sha256;x-amz-date",
		"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
	};
	struct credential credential = s3_credential();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_signed(
		    &credential, &cases[i].request, S3_NOW, cases[i].names, cases[i].signature);
	credential_done(&credential);
}

static void
the_test_suites_requests_are_signed_as_published(void **state)
{
	static const struct {
		struct example request;
		const char *names, *signature;
	} cases[] = {
	    {{"GET", "example.amazonaws.com", "/", NULL}, "host;x-amz-date", /* get-vanilla */
		"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	    {{"POST", "example.amazonaws.com", "/", NULL}, "host;x-amz-date", /* post-vanilla */
		"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	    {{"GET", "example.amazonaws.com", "/", "Param2=value2&Param1=value1"},
		"host;x-amz-date", /* get-vanilla-query-order-key-case */
		"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	    {{"GET", "example.amazonaws.com", "/\xe1\x88\xb4", NULL},
		"host;x-amz-date", /* get-utf8 */
		"8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
	    {{"POST", "example.amazonaws.com", "/", NULL,
		 {{"Content-Type", "application/x-www-form-urlencoded"}}, "Param1=value1"},
		"content-type;host;x-amz-date", /* post-x-www-form-urlencoded */
		"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	};
	struct credential credential =
	    credential_of("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SUITE_SCOPE);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_signed(
		    &credential, &cases[i].request, SUITE_NOW, cases[i].names, cases[i].signature);
	credential_done(&credential);
}

static void
the_key_and_the_canonical_request_are_as_published(void **state)
{
	uint8_t key[SHA256_BYTES], digest[SHA256_BYTES];
	char hex[SHA256_HEX];
	assert_int_equal(
	    sigv4_derive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830/us-east-1/iam", key),
	    0);
	hex_encode(key, sizeof(key), hex);
	assert_string_equal(
	    hex, "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
	static const struct example list = {"GET", "iam.amazonaws.com", "/",
	    "Version=2010-05-08&Action=ListUsers",
	    {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}}};
	struct prepared p;
	struct buf names, query, out;
	prepare(&list, SUITE_NOW, &p);
	buf_init(&names, 256);
	buf_init(&query, 256);
	buf_init(&out, 4096);
	assert_int_equal(sigv4_canonical(&p.request, "iam", "20150830T123600Z",
			     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			     &names, &query, &out),
	    0);
	sha256(out.data, out.len, digest);
	hex_encode(digest, sizeof(digest), hex);
	assert_string_equal(
	    hex, "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59");
	assert_string_equal(buf_str(&query), "Action=ListUsers&Version=2010-05-08");
	assert_string_equal(buf_str(&names), "content-type;host;x-amz-date");
	buf_done(&names);
	buf_done(&query);
	buf_done(&out);
}

static void
values_are_trimmed_and_repeated_headers_joined(void **state)
{
	static const struct example e = {"GET", "h.example", "/a b/%c3%a4+'()",
	    "b=2&a=%7e+x&a=1&=&c",
	    {{"X-Amz-Meta-B", "  a   b  "}, {"x-amz-meta-a", "2"}, {"Other", "x"},
		{"X-AMZ-Meta-A", "1"}, {"X-Amz-Date", "19700101T000000Z"},
		{"X-Amz-Security-Token", "dummy"}, {"Authorization", "AWS4-HMAC-SHA256 dummy"}}};
	struct prepared p;
	struct buf names, query, out;
	prepare(&e, S3_NOW, &p);
	buf_init(&names, 4096);
	buf_init(&query, 4096);
	buf_init(&out, 4096);
	assert_int_equal(sigv4_canonical(&p.request, "s3", "T", "P", &names, &query, &out), 0);
	assert_string_equal(buf_str(&out),
	    "GET\n/a%20b/%C3%A4%2B%27%28%29\n=&a=1&a=~%20x&b=2&c=\n"
	    "host:h.example\nx-amz-content-sha256:P\nx-amz-date:T\nx-amz-meta-a:2,1\nx-amz-meta-b:"
	    "a b\n\n"
	    "host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-meta-b\nP");
	buf_clear(&out);
	buf_clear(&names);
	buf_clear(&query);
	p.request.path = text_of("/a%20b/%C3");
	assert_int_equal(sigv4_canonical(&p.request, "iam", "T", "P", &names, &query, &out), 0);
	assert_non_null(strstr(buf_str(&out), "\n/a%2520b/%25C3\n"));
	buf_done(&names);
	buf_done(&query);
	buf_done(&out);
}

static void
what_goes_round_the_rules_is_refused(void **state)
{
	static const struct {
		struct example request;
		const char *code;
	} cases[] = {
	    {{"GET", "b.s3.example", "/k", "X-Amz-Signature=0"}, "aws_presigned"},
	    {{"GET", "b.s3.example", "/k", "x%2damz-security-token=0"}, "aws_presigned"},
	    {{"GET", "b.s3.example", "/k", "AWSAccessKeyId=0"}, "aws_presigned"},
	    {{"PUT", "b.s3.example", "/k", "acl"}, "aws_operation"},
	    {{"PUT", "b.s3.example", "/", "policy="}, "aws_operation"},
	    {{"POST", "b.s3.example", "/", "%64elete"}, "aws_operation"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{"X-Amz-Copy-Source", "/other/k"}}}, "aws_copy"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{"x-amz-copy-source-range", "bytes=0-1"}}},
		"aws_copy"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{"x-amz-acl", "public-read"}}}, "aws_operation"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{"x-amz-grant-read", "id=1"}}}, "aws_operation"},
	    {{"PUT", "b.s3.example", "/k", NULL,
		 {{"Connection", "x-amz-meta-a"}, {"x-amz-meta-a", "1"}}},
		"aws_operation"},
	    {{"PUT", "b.s3.example", "/k", NULL,
		 {{"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}}, "b"},
		"aws_streaming"},
	    {{"PUT", "b.s3.example", "/k", NULL,
		 {{"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"}}, "b"},
		"aws_streaming"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{"x-amz-content-sha256", "none"}}, "b"},
		"aws_payload"},
	    {{"PUT", "b.s3.example", "/k", NULL,
		 {{"x-amz-content-sha256", "UNSIGNED-PAYLOAD"},
		     {"X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"}},
		 "b"},
		"aws_payload"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{NULL}}, "b", true, true}, "aws_payload"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}},
		 "b", true, true},
		"aws_payload"},
	    {{"GET", "b.s3.example", "/a/../k", NULL}, "aws_path"},
	    {{"GET", "b.s3.example", "/a/%2e%2E/k", NULL}, "aws_path"},
	    {{"GET", "b.s3.example", "/a/.", NULL}, "aws_path"},
	    {{"GET", "b.s3.example", "/a%2", NULL}, "aws_path"},
	    {{"GET", "b.s3.example", "/a%00b", NULL}, "aws_path"},
	    {{"GET", "b.s3.example", "/a%0ab", NULL}, "aws_path"},
	    {{"GET", "b.s3.example", "k", NULL}, "aws_path"},
	    {{"GET", "b.s3.example", "/k", "prefix=%zz"}, "aws_path"},
	};
	struct credential credential = s3_credential();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf headers, query;
		struct error err = {.code = ""};
		int r = sign(&credential, &cases[i].request, S3_NOW, &headers, &query, &err);
		if (r != -EPERM || strcmp(err.code, cases[i].code) != 0 || headers.len > 0)
			fail_msg("case %zu: %d %s", i, r, err.code);
		buf_done(&headers);
		buf_done(&query);
	}
	credential_done(&credential);
}

static void
a_payload_stands_as_it_was_said(void **state)
{
	static const struct {
		struct example request;
		const char *said;
	} cases[] = {
	    {{"PUT", "b.s3.example", "/k", NULL, {{"x-amz-content-sha256", "UNSIGNED-PAYLOAD"}},
		 "b", true},
		"UNSIGNED-PAYLOAD"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{NULL}}, "b", true}, "UNSIGNED-PAYLOAD"},
	    {{"PUT", "b.s3.example", "/k", NULL, {{NULL}}, "b"},
		"3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"},
	    {{"PUT", "b.s3.example", "/k", NULL,
		 {{"x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}}, "b", true},
		"STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
	    {{"PUT", "b.s3.example", "/k", NULL,
		 {{"x-amz-content-sha256",
		     "0000000000000000000000000000000000000000000000000000000000000000"}},
		 "b", true, true},
		"0000000000000000000000000000000000000000000000000000000000000000"},
	};
	struct credential credential = s3_credential();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf headers, query;
		struct error err = {.code = ""};
		char line[128];
		if (sign(&credential, &cases[i].request, S3_NOW, &headers, &query, &err) < 0)
			fail_msg("case %zu: %s", i, err.message);
		(void)snprintf(
		    line, sizeof(line), "\r\nX-Amz-Content-Sha256: %s\r\n", cases[i].said);
		assert_non_null(strstr(buf_str(&headers), line));
		buf_done(&headers);
		buf_done(&query);
	}
	credential_done(&credential);
}

static void
of_other_services_the_payload_must_be_known(void **state)
{
	static const struct example unknown = {"POST", "x.example", "/", NULL, {{NULL}}, "b", true};
	static const struct example twofold = {"GET", "x.example", "/a//b", NULL};
	struct credential credential = credential_of("ID", "wJalrXUtnFEMI", SUITE_SCOPE);
	struct buf headers, query;
	struct error err = {.code = ""};
	assert_int_equal(sign(&credential, &unknown, SUITE_NOW, &headers, &query, &err), -EPERM);
	assert_string_equal(err.code, "aws_payload");
	assert_int_equal(sign(&credential, &twofold, SUITE_NOW, &headers, &query, &err), -EPERM);
	assert_string_equal(err.code, "aws_path");
	credential_done(&credential);
}

static void
a_key_signs_for_its_day_only(void **state)
{
	static const struct example e = {"GET", "b.s3.example", "/k", NULL};
	static const struct {
		int64_t after_ms;
		const char *time;
	} cases[] = {{0, "20130524T000000Z"}, {-1000, NULL}, {86399999, "20130524T235959Z"},
	    {86400000, "20130524T235959Z"}, {86400000 + 899000, "20130524T235959Z"},
	    {86400000 + 901000, NULL}};
	struct credential credential = s3_credential();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf headers, query;
		struct error err = {.code = ""};
		int r = sign(&credential, &e, S3_NOW + cases[i].after_ms, &headers, &query, &err);
		assert_int_equal(r, cases[i].time == NULL ? -EPERM : 0);
		if (cases[i].time == NULL)
			assert_string_equal(err.code, "aws_expired");
		else
			assert_non_null(strstr(buf_str(&headers), cases[i].time));
		buf_done(&headers);
		buf_done(&query);
	}
	credential_done(&credential);
}

static void
what_is_no_scope_or_key_is_refused(void **state)
{
	static const char *const bad[] = {"", "20150830", "20150830/us-east-1",
	    "2015083/us-east-1/s3", "20150830//s3", "20150830/us-east-1/", "20150830/us-east-1/s3/",
	    "20150830/us east/s3", "2015083x/us-east-1/s3", "20150830/us-east-1/s3\n"};
	uint8_t key[SHA256_BYTES];
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(sigv4_derive("secret", bad[i], key), -EINVAL);
	static const char *const bodies[] = {"{\"as\":\"aws\",\"name\":\"20150830/r/s3\"}",
	    "{\"as\":\"aws\",\"user\":\"ID\"}",
	    "{\"as\":\"aws\",\"name\":\"20150830/r/s3\",\"user\":\"I D\"}",
	    "{\"as\":\"aws\",\"name\":\"20150830/r/s3\",\"user\":\"ID,SignedHeaders=\"}"};
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct json *apply = NULL;
		assert_int_equal(json_parse(bodies[i], strlen(bodies[i]), &apply, NULL), 0);
		assert_non_null(credential_check_apply(apply));
		json_free(apply);
	}
	struct credential credential = s3_credential();
	assert_true(credential_replaces(&credential, text_of("x-amz-date")));
	assert_false(credential_replaces(&credential, text_of("x-amz-meta-a")));
	assert_false(credential_placeholder(&credential, text_of("RINGFENCE_SECRET_store")));
	credential_done(&credential);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_examples_of_s3_are_signed_as_published),
	    cmocka_unit_test(the_test_suites_requests_are_signed_as_published),
	    cmocka_unit_test(the_key_and_the_canonical_request_are_as_published),
	    cmocka_unit_test(values_are_trimmed_and_repeated_headers_joined),
	    cmocka_unit_test(what_goes_round_the_rules_is_refused),
	    cmocka_unit_test(a_payload_stands_as_it_was_said),
	    cmocka_unit_test(of_other_services_the_payload_must_be_known),
	    cmocka_unit_test(a_key_signs_for_its_day_only),
	    cmocka_unit_test(what_is_no_scope_or_key_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
