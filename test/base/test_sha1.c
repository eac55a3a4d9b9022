/* SHA-1 against the published examples, in any division. */
#include "unit.h"

#include <string.h>

#include "base/sha1.h"
#include "base/sha256.h"

static void
assert_sha1(const char *text, size_t repeat, size_t piece, const char *expected)
{
	struct sha1 h;
	uint8_t sum[SHA1_BYTES];
	char hex[SHA1_HEX];
	sha1_init(&h);
	for (size_t i = 0; i < repeat; i++)
		for (size_t at = 0; at < strlen(text); at += piece)
			sha1_update(&h, text + at, strnlen(text + at, piece));
	sha1_final(&h, sum);
	hex_encode(sum, SHA1_BYTES, hex);
	assert_string_equal(hex, expected);
}

static void
gives_the_published_sums(void **state)
{
	for (size_t piece = 1; piece < 70; piece++) {
		assert_sha1("", 1, piece, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
		assert_sha1("abc", 1, piece, "a9993e364706816aba3e25717850c26c9cd0d89d");
		assert_sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, piece,
		    "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
	}
	assert_sha1("aaaaaaaaaa", 100000, 7, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(gives_the_published_sums)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
