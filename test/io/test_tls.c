/* Authorities, ours and those we trust. */
#include "unit.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "failalloc.h"
#include "io/tls_priv.h"

static struct tls_authority *authority;

static int
set_up(void **state)
{
	struct error err = {0};
	authority =
	    tls_authority_new("Ringfence sandbox 01970000-0000-7000-8000-000000000001", &err);
	return authority == NULL;
}

static int
tear_down(void **state)
{
	authority = tls_authority_free(authority);
	return 0;
}

static X509 *
read_pem(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(cert);
	return cert;
}

static void
common_name(X509 *cert, char ret[100])
{
	assert_true(
	    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, ret, 100) > 0);
}

static void
an_authority_may_sign_leaves_only_and_is_named(void **state)
{
	char name[100];
	X509 *cert = read_pem(tls_authority_pem(authority));
	common_name(cert, name);
	assert_string_equal(name, "Ringfence sandbox 01970000-0000-7000-8000-000000000001");
	assert_true(X509_check_ca(cert) == 1);
	assert_int_equal(X509_get_pathlen(cert), 0);
	assert_int_equal(X509_get_key_usage(cert), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
	assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(cert)), EVP_PKEY_EC);
	assert_true(X509_cmp_current_time(X509_get0_notBefore(cert)) < 0);
	assert_true(X509_cmp_current_time(X509_get0_notAfter(cert)) > 0);
	X509_free(cert);
}

static void
a_name_that_is_too_long_is_cut(void **state)
{
	char name[300], got[100];
	struct error err = {0};
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	struct tls_authority *other = tls_authority_new(name, &err);
	assert_non_null(other);
	X509 *cert = read_pem(tls_authority_pem(other));
	common_name(cert, got);
	assert_int_equal(strlen(got), 64);
	X509_free(cert);
	tls_authority_free(other);
}

static void
a_leaf_is_for_its_host_alone(void **state)
{
	static const struct {
		const char *host, *other;
		bool is_address;
	} cases[] = {
	    {"example.com", "a.example.com", false},
	    {"xn--bcher-kva.example", "example", false},
	    {"192.0.2.7", "192.0.2.8", true},
	    {"2001:db8::7", "2001:db8::8", true},
	    /* What would mean something in the text form of an extension is a name like another here. */
	    {"a,DNS:evil.example", "evil.example", false},
	};
	X509 *ca = read_pem(tls_authority_pem(authority));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		SSL *ssl = tls_authority_accept(authority, cases[i].host);
		assert_non_null(ssl);
		X509 *cert = SSL_get_certificate(ssl);
		if (cases[i].is_address) {
			assert_int_equal(X509_check_ip_asc(cert, cases[i].host, 0), 1);
			assert_int_equal(X509_check_ip_asc(cert, cases[i].other, 0), 0);
		} else {
			assert_int_equal(X509_check_host(cert, cases[i].other, 0, 0, NULL), 0);
			if (strchr(cases[i].host, ',') == NULL)
				assert_int_equal(
				    X509_check_host(cert, cases[i].host, 0, 0, NULL), 1);
		}
		assert_int_equal(X509_verify(cert, X509_get0_pubkey(ca)), 1);
		assert_int_equal(X509_check_issued(ca, cert), X509_V_OK);
		assert_int_equal(X509_check_ca(cert), 0);
		assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
		SSL_free(ssl);
	}
	X509_free(ca);
}

static void
a_leaf_is_kept_and_the_one_used_longest_ago_goes(void **state)
{
	SSL *first = tls_authority_accept(authority, "first.example");
	X509 *cert = SSL_get_certificate(first);
	for (int i = 0; i < 300; i++) {
		char host[40];
		(void)snprintf(host, sizeof(host), "h%d.example", i);
		SSL *ssl = tls_authority_accept(authority, host);
		assert_non_null(ssl);
		SSL_free(ssl);
		if (i % 100 == 0) { /* in use, so it stays */
			ssl = tls_authority_accept(authority, "first.example");
			assert_int_equal(X509_cmp(SSL_get_certificate(ssl), cert), 0);
			SSL_free(ssl);
		}
	}
	for (int i = 0; i < 256; i++) {
		char host[40];
		(void)snprintf(host, sizeof(host), "g%d.example", i);
		SSL *ssl = tls_authority_accept(authority, host);
		SSL_free(ssl);
	}
	SSL *again = tls_authority_accept(authority, "first.example");
	assert_int_not_equal(X509_cmp(SSL_get_certificate(again), cert), 0);
	SSL_free(again);
	SSL_free(first);
}

static void
two_authorities_share_nothing(void **state)
{
	struct error err = {0};
	struct tls_authority *other = tls_authority_new("Ringfence sandbox other", &err);
	X509 *ca = read_pem(tls_authority_pem(other));
	SSL *ssl = tls_authority_accept(authority, "example.com");
	SSL *ssl_other = tls_authority_accept(other, "example.com");
	assert_int_not_equal(X509_verify(SSL_get_certificate(ssl), X509_get0_pubkey(ca)), 1);
	assert_int_equal(EVP_PKEY_eq(SSL_get_privatekey(ssl), SSL_get_privatekey(ssl_other)), 0);
	SSL_free(ssl);
	SSL_free(ssl_other);
	X509_free(ca);
	tls_authority_free(other);
}

static void
a_bundle_must_be_one(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
	    {"", "has no certificate"},
	    {"# only a comment\n", "has no certificate"},
	    {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "number 1"},
	    {"-----BEGIN CERTIFICATE-----\nMIIB\n", "number 1"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		assert_null(tls_trust_new(cases[i].text, strlen(cases[i].text), &err));
		assert_string_equal(err.code, "authorities_invalid");
		assert_non_null(strstr(err.message, cases[i].says));
	}
	char two[8192];
	struct error err = {0};
	int len = snprintf(two, sizeof(two), "# first\n%s\n# and again\n%s",
	    tls_authority_pem(authority), tls_authority_pem(authority));
	struct tls_trust *trust = tls_trust_new(two, (size_t)len, &err);
	assert_non_null(trust);
	assert_null(tls_trust_free(trust));
	assert_null(tls_trust_free(NULL));
}

static void
out_of_memory_makes_no_authority_and_no_leaf(void **state)
{
	for (long n = 0;; n += 29) { /* OpenSSL asks for memory some thousand times */
		struct error err = {0};
		fail_allocation(n);
		struct tls_authority *other = tls_authority_new("Ringfence sandbox other", &err);
		SSL *ssl = other == NULL ? NULL : tls_authority_accept(other, "example.com");
		bool failed = allocation_failed();
		fail_allocation(-1);
		if (other == NULL)
			assert_string_equal(err.code, "tls_failed");
		SSL_free(ssl);
		tls_authority_free(other);
		if (!failed)
			break;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_authority_may_sign_leaves_only_and_is_named),
	    cmocka_unit_test(a_name_that_is_too_long_is_cut),
	    cmocka_unit_test(a_leaf_is_for_its_host_alone),
	    cmocka_unit_test(a_leaf_is_kept_and_the_one_used_longest_ago_goes),
	    cmocka_unit_test(two_authorities_share_nothing),
	    cmocka_unit_test(a_bundle_must_be_one),
	    cmocka_unit_test(out_of_memory_makes_no_authority_and_no_leaf),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
