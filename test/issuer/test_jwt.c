/* issuer/jwt.h: what is signed is what RFC 7519 asks for, and verifies; what is no RSA key is refused. (test_issuer.py has
 * openssl(1) verify it.) */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/json.h"
#include "issuer/jwt.h"
#include "proto/encode.h"

#define NOW INT64_C(1790000000)

static EVP_PKEY *key;
static char *pem;
static size_t pem_len;

static char *
pem_of(EVP_PKEY *of, const EVP_CIPHER *cipher, size_t *ret_len)
{
	char *text, *copy;
	BIO *bio = BIO_new(BIO_s_mem());
	assert_int_equal(
	    PEM_write_bio_PrivateKey(bio, of, cipher, (const unsigned char *)"pass", 4, NULL, NULL),
	    1);
	*ret_len = (size_t)BIO_get_mem_data(bio, &text);
	copy = strndup(text, *ret_len);
	BIO_free(bio);
	return copy;
}

static int
make_key(void **state)
{
	key = EVP_RSA_gen(2048);
	pem = pem_of(key, NULL, &pem_len);
	return key == NULL;
}

static int
free_key(void **state)
{
	EVP_PKEY_free(key);
	free(pem);
	return 0;
}

static void
decode(const char *text, size_t len, struct buf *out)
{
	char padded[4096];
	assert_true(len < sizeof(padded) - 4);
	for (size_t i = 0; i < len; i++)
		padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	while (len % 4 != 0)
		padded[len++] = '=';
	assert_int_equal(decode_base64(padded, len, out), 0);
}

static void
a_token_says_who_and_until_when_and_its_signature_verifies(void **state)
{
	_cleanup_buf_ struct buf out, head, claims, signature;
	struct error err;
	buf_init(&out, 8192);
	buf_init(&head, 1024);
	buf_init(&claims, 1024);
	buf_init(&signature, 4096);
	(void)buf_add_str(&out, "Bearer ");
	assert_int_equal(jwt_make("Iv1.4242", pem, pem_len, NOW, &out, &err), 0);
	const char *text = buf_str(&out) + 7;
	const char *first = strchr(text, '.'), *second = strrchr(text, '.');
	assert_true(first != NULL && second > first && strchr(first + 1, '.') == second);
	assert_null(strpbrk(text, "=+/\n"));
	decode(text, (size_t)(first - text), &head);
	decode(first + 1, (size_t)(second - first - 1), &claims);
	decode(second + 1, strlen(second + 1), &signature);
	assert_string_equal(buf_str(&head), "{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
	assert_string_equal(
	    buf_str(&claims), "{\"exp\":1790000540,\"iat\":1789999940,\"iss\":\"Iv1.4242\"}");
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(context, signature.data, signature.len,
			     (const unsigned char *)text, (size_t)(second - text)),
	    1);
	EVP_MD_CTX_free(context);
}

static void
refuses(const char *text, size_t len)
{
	_cleanup_buf_ struct buf out;
	struct error err = {.code = ""};
	buf_init(&out, 8192);
	assert_true(jwt_make("1", text, len, NOW, &out, &err) < 0);
	assert_string_equal(err.code, "credential_unusable");
	assert_null(len > 40 ? strstr(err.message, text + 32) : NULL);
}

static void
what_is_no_rsa_key_of_2048_bits_is_refused(void **state)
{
	size_t len;
	EVP_PKEY *others[] = {EVP_RSA_gen(1024), EVP_EC_gen("P-256")};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		char *text = pem_of(others[i], NULL, &len);
		refuses(text, len);
		free(text);
		EVP_PKEY_free(others[i]);
	}
	refuses("", 0);
	refuses("-----BEGIN PRIVATE KEY-----\n", 28);
	for (size_t cut = 0; cut < pem_len - 30; cut += 97)
		refuses(pem, cut);
	/* With a passphrase; nobody is asked for it. */
	char *text = pem_of(key, EVP_aes_128_cbc(), &len);
	refuses(text, len);
	free(text);
}

static void
a_token_that_has_no_room_is_none(void **state)
{
	for (size_t limit = 0; limit < 400; limit += 13) {
		_cleanup_buf_ struct buf out;
		struct error err;
		buf_init(&out, limit);
		assert_true(jwt_make("1", pem, pem_len, NOW, &out, &err) < 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_token_says_who_and_until_when_and_its_signature_verifies),
	    cmocka_unit_test(what_is_no_rsa_key_of_2048_bits_is_refused),
	    cmocka_unit_test(a_token_that_has_no_room_is_none),
	};
	return cmocka_run_group_tests(tests, make_key, free_key);
}
