/* proto/credential.h, scrubbing: what comes back is without the secret, in every spelling, in every division. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/credential.h"
#include "proto/encode.h"

static struct scrub *
scrub_of(const char *const *values)
{
	struct scrub *scrub = scrub_new();
	assert_non_null(scrub);
	assert_true(scrub_is_empty(scrub));
	for (; *values != NULL; values++) {
		char name[] = "t", value[256];
		(void)snprintf(value, sizeof(value), "%s", *values);
		struct credential credential = {
		    .as = CREDENTIAL_BEARER, .name = name, .value = value};
		assert_int_equal(scrub_add(scrub, &credential), 0);
		assert_int_equal(scrub_add(scrub, &credential), 0); /* twice is once */
	}
	return scrub;
}

/* Checks TEXT cut at CUT, and in pieces of PIECE bytes after it. */
static void
assert_cut(
    const char *const *values, const char *text, const char *expected, size_t cut, size_t piece)
{
	struct scrub *scrub = scrub_of(values);
	struct buf out;
	size_t len = strlen(text);
	buf_init(&out, 4096);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)text, cut, false, &out), 0);
	for (size_t at = cut; at < len; at += piece)
		assert_int_equal(scrub_feed(scrub, (const uint8_t *)text + at, MIN(piece, len - at),
				     false, &out),
		    0);
	assert_int_equal(scrub_feed(scrub, NULL, 0, true, &out), 0);
	assert_string_equal(buf_str(&out), expected);
	buf_done(&out);
	scrub_free(scrub);
}

static void
assert_scrubbed(const char *const *values, const char *text, const char *expected)
{
	for (size_t cut = 0; cut <= strlen(text); cut++) {
		assert_cut(values, text, expected, cut, 1);
		assert_cut(values, text, expected, cut, 7);
		assert_cut(values, text, expected, cut, 4096);
	}
}

static const char *const one[] = {"S3cr3t/Va+lue", NULL};

static void
a_secret_becomes_asterisks_in_any_division(void **state)
{
	assert_scrubbed(one, "a S3cr3t/Va+lue b", "a ************* b");
	assert_scrubbed(one, "S3cr3t/Va+lueS3cr3t/Va+lue", "**************************");
	assert_scrubbed(
	    one, "S3cr3t/Va+lu S3cr3t/S3cr3t/Va+lue", "S3cr3t/Va+lu S3cr3t/*************");
	assert_scrubbed(one, "", "");
	assert_scrubbed(one, "S3cr3t/Va+l", "S3cr3t/Va+l");
}

static void
its_other_spellings_too(void **state)
{
	assert_scrubbed(one, "=S3cr3t%2FVa%2Blue&", "=*****************&");
	assert_scrubbed(one, "=S3cr3t%2fVa%2blue&", "=*****************&");
	assert_scrubbed(one, "=S3cr3t/Va%2Blue&", "=***************&");
	assert_scrubbed(one, "\"S3cr3t\\/Va+lue\"", "\"**************\"");
	assert_scrubbed(one, "x533363723374 2f56612b6c7565", "x533363723374 2f56612b6c7565");
	assert_scrubbed(one, "x5333637233742f56612b6c7565", "x**************************");
	assert_scrubbed(one, "x5333637233742F56612B6C7565", "x**************************");
	static const char *const marked[] = {"a<b>c&d\"e'f", NULL};
	assert_scrubbed(marked, "a&lt;b&gt;c&amp;d&quot;e&#39;f", "******************************");
	assert_scrubbed(marked, "a\\u003cb\\u003ec\\u0026d\\\"e'f", "***************************");
	static const char *const spaced[] = {"token abcdefgh", NULL};
	assert_scrubbed(spaced, "token abcdefgh token+abcdefgh abcdefgh",
	    "************** ************** ********");
}

static void
base64_at_every_alignment_leaves_no_digit_of_it(void **state)
{
	static const char *const plain[][2] = {{"S3cr3t/Va+lue", ""}, {"uS3cr3t/Va+lue", "u"},
	    {"us:S3cr3t/Va+lue", "us:"}, {"uS3cr3t/Va+luexyz", "u"}};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		struct buf text, out;
		buf_init(&text, 256);
		buf_init(&out, 256);
		assert_int_equal(encode_base64(plain[i][0], strlen(plain[i][0]), false, &text), 0);
		struct scrub *scrub = scrub_of(one);
		assert_int_equal(scrub_feed(scrub, text.data, text.len, true, &out), 0);
		/* Digits that have a bit of the secret: from its first bit to its last. */
		size_t before = strlen(plain[i][1]), first = before * 8 / 6;
		size_t last = ((before + 13) * 8 + 5) / 6;
		for (size_t k = first; k < last; k++)
			assert_int_equal(out.data[k], '*');
		assert_int_equal(out.len, text.len);
		assert_memory_equal(out.data, text.data, first);
		assert_memory_equal(out.data + last, text.data + last, text.len - last);
		assert_int_equal(scrub_count(scrub), 1);
		scrub_free(scrub);
		buf_done(&text);
		buf_done(&out);
	}
}

static void
secrets_that_overlap_are_covered_together(void **state)
{
	static const char *const values[] = {"abcabcabc", "cabcabcXYZ", "abcabcab", NULL};
	assert_scrubbed(values, "-abcabcabcXYZ-", "-************-");
	assert_scrubbed(values, "-abcabcabcabcab-", "-**************-");
	assert_scrubbed(values, "-abcabcaXYZ-", "-abcabcaXYZ-");
}

static void
only_what_could_become_one_is_held_back(void **state)
{
	struct scrub *scrub = scrub_of(one);
	struct buf out;
	buf_init(&out, 256);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)"event: x\n\n", 10, false, &out), 0);
	assert_int_equal(out.len, 10);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)"\nS3cr3t", 7, false, &out), 0);
	assert_int_equal(out.len, 11);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)"!", 1, false, &out), 0);
	assert_int_equal(out.len, 18);
	assert_int_equal(scrub_count(scrub), 0);
	scrub_free(scrub);
	buf_done(&out);
}

static void
without_secrets_everything_passes(void **state)
{
	struct scrub *scrub = scrub_new();
	struct buf out;
	buf_init(&out, 16);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)"S3cr", 4, false, &out), 0);
	assert_int_equal(out.len, 4);
	assert_int_equal(
	    scrub_feed(scrub, (const uint8_t *)"longer than it", 14, false, &out), -EMSGSIZE);
	scrub_free(scrub);
	buf_done(&out);
	scrub_free(NULL);
}

static void
a_secret_that_is_added_later_counts_from_then_on(void **state)
{
	struct scrub *scrub = scrub_of(one);
	char name[] = "t", value[] = "another-secret-that-is-longer";
	struct credential credential = {.as = CREDENTIAL_BEARER, .name = name, .value = value};
	struct buf out;
	buf_init(&out, 256);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)"S3cr3t/Va", 9, false, &out), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(scrub_add(scrub, &credential), 0);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)"+lue another-secret-that-is-longer",
			     34, true, &out),
	    0);
	assert_string_equal(buf_str(&out), "************* *****************************");
	assert_int_equal(scrub_count(scrub), 2);
	scrub_free(scrub);
	buf_done(&out);
}

static void
a_response_larger_than_its_buffer_is_an_error(void **state)
{
	struct scrub *scrub = scrub_of(one);
	struct buf out;
	buf_init(&out, 8);
	assert_int_equal(
	    scrub_feed(scrub, (const uint8_t *)"0123456789", 10, false, &out), -EMSGSIZE);
	scrub_free(scrub);
	buf_done(&out);
}

static void
the_longest_secret_is_found_across_small_pieces(void **state)
{
	static char value[CREDENTIAL_VALUE_MAX + 1];
	uint32_t x = 7;
	for (size_t i = 0; i < CREDENTIAL_VALUE_MAX; i++) {
		x = x * 1664525 + 1013904223;
		value[i] = (char)('a' + (x >> 24) % 26);
	}
	char name[] = "t";
	struct credential credential = {.as = CREDENTIAL_BEARER, .name = name, .value = value};
	struct scrub *scrub = scrub_new();
	struct buf out;
	buf_init(&out, 4 * CREDENTIAL_VALUE_MAX);
	assert_int_equal(scrub_add(scrub, &credential), 0);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)"x", 1, false, &out), 0);
	for (size_t at = 0; at < CREDENTIAL_VALUE_MAX; at += 16384)
		assert_int_equal(
		    scrub_feed(scrub, (const uint8_t *)value + at, 16384, false, &out), 0);
	assert_int_equal(scrub_feed(scrub, (const uint8_t *)"y", 1, true, &out), 0);
	assert_int_equal(scrub_count(scrub), 1);
	assert_int_equal(out.len, CREDENTIAL_VALUE_MAX + 2);
	for (size_t i = 1; i <= CREDENTIAL_VALUE_MAX; i++)
		assert_int_equal(out.data[i], '*');
	scrub_free(scrub);
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_secret_becomes_asterisks_in_any_division),
	    cmocka_unit_test(its_other_spellings_too),
	    cmocka_unit_test(base64_at_every_alignment_leaves_no_digit_of_it),
	    cmocka_unit_test(secrets_that_overlap_are_covered_together),
	    cmocka_unit_test(only_what_could_become_one_is_held_back),
	    cmocka_unit_test(without_secrets_everything_passes),
	    cmocka_unit_test(a_secret_that_is_added_later_counts_from_then_on),
	    cmocka_unit_test(a_response_larger_than_its_buffer_is_an_error),
	    cmocka_unit_test(the_longest_secret_is_found_across_small_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
