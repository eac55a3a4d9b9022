/* Credentials, scrubbing and signing when memory ends at any allocation: an error, or the whole result; and never a part of
 * a secret among what passes. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "failalloc.h"
#include "proto/credential.h"
#include "proto/sigv4.h"

static const char basic[] = "{\"credential\":\"tok\",\"apply\":{\"as\":\"basic\",\"user\":\"u\"},"
			    "\"value\":\"S3cr3t/Va+lue\"}";
static const char aws[] =
    "{\"credential\":\"tok\",\"apply\":{\"as\":\"aws\",\"user\":\"ID\",\"name\":\"20130524/"
    "us-east-1/s3\"},"
    "\"value\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}";

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	assert_int_equal(json_parse(text, strlen(text), &v, NULL), 0);
	return v;
}

static struct http_text
text_of(const char *text)
{
	return (struct http_text){text, strlen(text)};
}

/* Runs FN with each allocation failing in turn until none of its allocations is the failing one. */
static void
fail_each(int (*fn)(const struct credential *credential), const struct credential *credential)
{
	bool failed = true;
	for (long n = 0; failed; n++) {
		fail_allocation(n);
		int r = fn(credential);
		failed = allocation_failed();
		fail_allocation(-1);
		if (r != (failed ? -ENOMEM : 0) && !(failed && r == 0))
			fail_msg("allocation %ld: %d", n, r);
		assert_true(n < 1000);
	}
}

static struct json *body_to_read;

static int
read_one(const struct credential *ignored)
{
	struct credential credential = {0};
	int r = credential_read(body_to_read, &credential, NULL);
	if (r == 0)
		assert_string_equal(credential.value, "S3cr3t/Va+lue");
	else
		assert_null(credential.value);
	credential_done(&credential);
	return r;
}

static int
write_one(const struct credential *credential)
{
	static const struct http_head none = {0};
	struct buf out;
	buf_init(&out, 4096);
	int r = credential_header(credential, &none, &out);
	if (r == 0)
		r = credential_fill(
		    credential, text_of("Basic dXNlcjpSSU5HRkVOQ0VfU0VDUkVUX3Rvaw=="), &out);
	if (r == 0)
		r = credential_fill_encoded(credential, text_of("/RINGFENCE_SECRET_tok"), &out);
	if (r ==
	    0) /* or the placeholder was not seen, for want of memory: nothing is filled in then */
		assert_non_null(
		    strstr(buf_str(&out), "Authorization: Basic dTpTM2NyM3QvVmErbHVl\r\n"));
	buf_done(&out);
	return r == -EMSGSIZE ? -ENOMEM : r;
}

static int
scrub_one(const struct credential *credential)
{
	static const char text[] = "x S3cr3t/Va+lue y S3cr3t/Va+lue UzNjcjN0L1ZhK2x1ZQ== z";
	struct scrub *scrub = scrub_new();
	struct buf out;
	buf_init(&out, 4096);
	int r = scrub == NULL ? -ENOMEM : scrub_add(scrub, credential);
	for (size_t at = 0; r == 0 && at < sizeof(text) - 1; at += 5)
		r = scrub_feed(scrub, (const uint8_t *)text + at,
		    MIN((size_t)5, sizeof(text) - 1 - at), false, &out);
	if (r == 0)
		r = scrub_feed(scrub, NULL, 0, true, &out);
	if (r == 0)
		assert_string_equal(
		    buf_str(&out), "x ************* y ************* ******************== z");
	assert_null(strstr(buf_str(&out), "S3cr3t/Va+lue"));
	scrub_free(scrub);
	buf_done(&out);
	return r;
}

static int
sign_one(const struct credential *credential)
{
	static const char method[] = "GET";
	struct http_head head = {.method = {method, 3}};
	struct sigv4_request request = {.head = &head,
	    .host = "b.s3.example",
	    .path = text_of("/k%20"),
	    .query = text_of("prefix=b&marker=a"),
	    .tls = true,
	    .now_ms = INT64_C(1369353600000)};
	struct buf headers, query;
	buf_init(&headers, 4096);
	buf_init(&query, 4096);
	int r = sigv4_sign(credential, &request, &headers, &query, NULL);
	if (r == 0) {
		assert_string_equal(buf_str(&query), "marker=a&prefix=b");
		assert_non_null(strstr(buf_str(&headers), ", Signature="));
	}
	buf_done(&headers);
	buf_done(&query);
	return r == -EMSGSIZE ? -ENOMEM : r;
}

static struct credential
credential_of(const char *text)
{
	struct json *body = parse(text);
	struct credential credential;
	assert_int_equal(credential_read(body, &credential, NULL), 0);
	json_free(body);
	return credential;
}

static void
a_credential_is_read_and_written_whole_or_not_at_all(void **state)
{
	struct credential credential = credential_of(basic);
	body_to_read = parse(basic);
	fail_each(read_one, NULL);
	body_to_read = json_free(body_to_read);
	fail_each(write_one, &credential);
	credential_done(&credential);
}

static void
nothing_secret_passes_when_memory_ends(void **state)
{
	struct credential credential = credential_of(basic);
	fail_each(scrub_one, &credential);
	credential_done(&credential);
}

static void
a_request_is_signed_or_not_sent(void **state)
{
	struct credential credential = credential_of(aws);
	fail_each(sign_one, &credential);
	credential_done(&credential);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_credential_is_read_and_written_whole_or_not_at_all),
	    cmocka_unit_test(nothing_secret_passes_when_memory_ends),
	    cmocka_unit_test(a_request_is_signed_or_not_sent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
