#include "issuer/jwt.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/json.h"
#include "proto/encode.h"

#define KEY_BITS_MIN 2048
#define KEY_BITS_MAX 8192
#define SIGNATURE_MAX (KEY_BITS_MAX / 8)

static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";

/* Nobody is asked for a passphrase. */
static int
no_passphrase(char *room, int size, int writing, void *data)
{
	(void)room;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

static EVP_PKEY *
read_key(const char *pem, size_t len)
{
	BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	EVP_PKEY *key =
	    bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	ERR_clear_error();
	if (key == NULL ||
	    (EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_bits(key) >= KEY_BITS_MIN &&
		EVP_PKEY_bits(key) <= KEY_BITS_MAX))
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

/* Base64 for URLs, without padding (RFC 7515, 2). */
static int
add_encoded(const void *bytes, size_t len, struct buf *out)
{
	int r = encode_base64(bytes, len, /* url_safe= */ true, out);
	while (r == 0 && out->len > 0 && out->data[out->len - 1] == '=')
		out->data[--out->len] = 0;
	return r;
}

static int
add_claims(const char *issuer, int64_t now_s, struct buf *out)
{
	_cleanup_buf_ struct buf text;
	_cleanup_json_ struct json *claims = json_new_object();
	buf_init(&text, 1024);
	(void)json_set_int(claims, "iat", now_s - JWT_SKEW_S);
	(void)json_set_int(claims, "exp", now_s + JWT_LIFE_S);
	(void)json_set_str(claims, "iss", issuer);
	int r = json_write(claims, &text);
	return r < 0 ? r : add_encoded(text.data, text.len, out);
}

static int
add_signature(EVP_PKEY *key, size_t from, struct buf *out)
{
	unsigned char signature[SIGNATURE_MAX];
	size_t len = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context != NULL &&
	    EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(context, signature, &len, out->data + from, out->len - from) == 1;
	EVP_MD_CTX_free(context);
	ERR_clear_error();
	if (!good)
		return -EIO;
	int r = buf_add_char(out, '.');
	return r < 0 ? r : add_encoded(signature, len, out);
}

int
jwt_make(const char *issuer, const char *pem, size_t len, int64_t now_s, struct buf *out,
    struct error *err)
{
	size_t from = out->len;
	EVP_PKEY *key = read_key(pem, len);
	if (key == NULL)
		return error_set(err, EINVAL, "credential_unusable",
		    "the secret is not an RSA private key of 2048 to 8192 bits in PEM");
	int r = add_encoded(header, sizeof(header) - 1, out);
	if (r == 0)
		r = buf_add_char(out, '.');
	if (r == 0)
		r = add_claims(issuer, now_s, out);
	if (r == 0)
		r = add_signature(key, from, out);
	EVP_PKEY_free(key);
	return r < 0 ? error_set_errno(err, -r, "internal", "the token cannot be signed") : 0;
}
