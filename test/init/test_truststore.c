/* The store for Java: what it must be, byte for byte, and what is no PEM. (That a JVM reads it is the business of
 * test/system/test_network_clients.py.) */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/sha1.h"
#include "init/truststore.h"

#define PEM(content) "-----BEGIN CERTIFICATE-----\n" content "\n-----END CERTIFICATE-----\n"

static struct buf
store_of(const char *pem, int expected)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	assert_int_equal(truststore_write(pem, strlen(pem), &out), expected);
	return out;
}

static void
a_store_has_each_certificate_and_a_digest_of_all(void **state)
{
	_cleanup_buf_ struct buf out = store_of("# a comment\n" PEM("aGVs\r\nbG8=") PEM("eA=="), 0);
	static const char expected[] =
	    "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\2"
	    "\0\0\0\2\0\x0eringfence-0000\0\0\0\0\0\0\0\0\0\5X.509\0\0\0\5hello"
	    "\0\0\0\2\0\x0eringfence-0001\0\0\0\0\0\0\0\0\0\5X.509\0\0\0\1x";
	size_t n = sizeof(expected) - 1;
	assert_int_equal(out.len, n + SHA1_BYTES);
	assert_memory_equal(out.data, expected, n);
	static const char known[] = "\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite";
	uint8_t sum[SHA1_BYTES];
	struct sha1 h;
	sha1_init(&h);
	sha1_update(&h, known, sizeof(known) - 1);
	sha1_update(&h, out.data, n);
	sha1_final(&h, sum);
	assert_memory_equal(out.data + n, sum, SHA1_BYTES);
}

static void
nothing_gives_a_store_of_nothing(void **state)
{
	static const char *const none[] = {
	    "", "hello", "-----BEGIN RSA PRIVATE KEY-----\nx\n", "-----END CERTIFICATE-----\n"};
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		_cleanup_buf_ struct buf out = store_of(none[i], 0);
		assert_int_equal(out.len, 12 + SHA1_BYTES);
	}
}

static void
what_is_no_pem_is_refused(void **state)
{
	static const char *const bad[] = {"-----BEGIN CERTIFICATE-----",
	    "-----BEGIN CERTIFICATE-----\naGVsbG8=\n", PEM("aGV sbG8="), PEM("aGV*"), PEM("\x01"),
	    PEM("aGVsbG8\xff"), "-----BEGIN CERTIFICATE-----\n" PEM("aGVsbG8=")};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_buf_ struct buf out = store_of(bad[i], -EBADMSG);
	}
}

static void
a_store_keeps_to_its_limit(void **state)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 100);
	static const char pem[] = PEM("aGVsbG8=") PEM("aGVsbG8=") PEM("aGVsbG8=");
	assert_true(truststore_write(pem, sizeof(pem) - 1, &out) < 0);
	assert_true(out.len <= 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_store_has_each_certificate_and_a_digest_of_all),
	    cmocka_unit_test(nothing_gives_a_store_of_nothing),
	    cmocka_unit_test(what_is_no_pem_is_refused),
	    cmocka_unit_test(a_store_keeps_to_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
