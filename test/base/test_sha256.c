/* SHA-256 against the published vectors, and the two block functions against each other. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/sha256.h"

struct vector {
	const char *text;
	size_t repeat;
	const char *hex;
};

/* FIPS 180-4 examples; NIST's million of "a". */
static const struct vector vectors[] = {
    {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void
gives_the_published_digests(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct sha256 h;
		sha256_init(&h);
		for (size_t n = 0; n < vectors[i].repeat; n++)
			sha256_update(&h, vectors[i].text, strlen(vectors[i].text));
		uint8_t digest[SHA256_BYTES];
		char hex[SHA256_HEX];
		sha256_final(&h, digest);
		hex_encode(digest, sizeof(digest), hex);
		assert_string_equal(hex, vectors[i].hex);
	}
}

static void
agrees_with_the_portable_code_at_every_length(void **state)
{
	uint8_t bytes[600], fast[SHA256_BYTES], slow[SHA256_BYTES];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 131 + i / 7);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		sha256(bytes, len, fast);
		sha256_portable(bytes, len, slow);
		assert_memory_equal(fast, slow, sizeof(fast));
	}
}

static void
does_not_depend_on_how_the_input_is_cut(void **state)
{
	uint8_t bytes[300], whole[SHA256_BYTES], parts[SHA256_BYTES];
	memset(bytes, 0x5a, sizeof(bytes));
	sha256(bytes, sizeof(bytes), whole);
	for (size_t step = 1; step < 130; step++) {
		struct sha256 h;
		sha256_init(&h);
		for (size_t at = 0; at < sizeof(bytes); at += step) {
			size_t left = sizeof(bytes) - at;
			sha256_update(&h, bytes + at, left < step ? left : step);
		}
		sha256_final(&h, parts);
		assert_memory_equal(whole, parts, sizeof(whole));
	}
}

static void
hmac_gives_the_digests_of_rfc_4231(void **state)
{
	uint8_t key[131], digest[SHA256_BYTES];
	char hex[SHA256_HEX];
	memset(key, 0x0b, 20);
	hmac_sha256(key, 20, "Hi There", 8, digest);
	hex_encode(digest, sizeof(digest), hex);
	assert_string_equal(
	    hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, digest);
	hex_encode(digest, sizeof(digest), hex);
	assert_string_equal(
	    hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
	hmac_sha256(key, sizeof(key), text, strlen(text), digest);
	hex_encode(digest, sizeof(digest), hex);
	assert_string_equal(
	    hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void
hex_decodes_only_lower_case_of_the_right_length(void **state)
{
	uint8_t bytes[2];
	assert_int_equal(hex_decode("0aff", 2, bytes), 0);
	assert_int_equal(bytes[0], 0x0a);
	assert_int_equal(bytes[1], 0xff);
	const char *const bad[] = {"", "0", "0aff0", "0aff00", "0AFF", "0agf", "0a f"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(hex_decode(bad[i], 2, bytes), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gives_the_published_digests),
	    cmocka_unit_test(agrees_with_the_portable_code_at_every_length),
	    cmocka_unit_test(does_not_depend_on_how_the_input_is_cut),
	    cmocka_unit_test(hmac_gives_the_digests_of_rfc_4231),
	    cmocka_unit_test(hex_decodes_only_lower_case_of_the_right_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
