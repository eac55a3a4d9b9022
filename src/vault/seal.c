#include "vault/seal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/sha256.h"

#define MAGIC "RFSEAL1\n"
#define MAGIC_BYTES 8
#define LENGTH_BYTES 4
#define NONCE_BYTES 12
#define TAG_BYTES 16

static EVP_CIPHER *aes;
static EVP_CIPHER_CTX *context;

int
seal_prepare(struct error *err)
{
	/* No configuration file: nobody's modules are loaded into this program. */
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	context = EVP_CIPHER_CTX_new();
	if (aes == NULL || context == NULL)
		return error_set(err, EIO, "vault_unusable", "AES-256-GCM cannot be had");
	return 0;
}

void
seal_key_derive(const uint8_t *master, struct seal_key *ret)
{
	static const char use[] = "ringfence vault: seal, 1", id[] = "ringfence vault: key id, 1";
	uint8_t mark[SHA256_BYTES];
	hmac_sha256(master, SEAL_KEY_BYTES, use, sizeof(use) - 1, ret->bytes);
	hmac_sha256(master, SEAL_KEY_BYTES, id, sizeof(id) - 1, mark);
	hex_encode(mark, (SEAL_ID_HEX - 1) / 2, ret->id);
	ret->is_set = true;
}

void
seal_key_done(struct seal_key *key)
{
	explicit_bzero(key, sizeof(*key));
}

/* ---- writing ---- */

/* Encrypts LEN bytes; NONCE, TAG and the text follow each other at OUT. */
static int
encrypt(const struct seal_key *key, const uint8_t *aad, size_t aad_len, const uint8_t *value,
    size_t len, uint8_t *out)
{
	uint8_t *tag = out + NONCE_BYTES, *text = tag + TAG_BYTES;
	int n = 0;
	if (getrandom(out, NONCE_BYTES, 0) != NONCE_BYTES)
		return -EIO;
	bool good = EVP_EncryptInit_ex2(context, aes, key->bytes, out, NULL) == 1 &&
	    EVP_EncryptUpdate(context, NULL, &n, aad, (int)aad_len) == 1 &&
	    EVP_EncryptUpdate(context, text, &n, value, (int)len) == 1 && n == (int)len &&
	    EVP_EncryptFinal_ex(context, text + n, &n) == 1 && n == 0 &&
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1;
	(void)EVP_CIPHER_CTX_reset(context);
	return good ? 0 : -EIO;
}

int
seal_write(const struct seal_key *key, struct json *head, const uint8_t *value, size_t len,
    struct buf *out)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, SEAL_HEAD_MAX);
	if (json_set_str(head, "key", key->id) < 0)
		return -ENOMEM;
	int r = len > SEAL_VALUE_MAX ? -EMSGSIZE : json_write(head, &text);
	if (r < 0)
		return r;
	size_t aad_len = MAGIC_BYTES + LENGTH_BYTES + text.len;
	uint8_t *at = buf_reserve(out, aad_len + NONCE_BYTES + TAG_BYTES + len);
	if (at == NULL)
		return -ENOMEM;
	memcpy(at, MAGIC, MAGIC_BYTES);
	for (int i = 0; i < LENGTH_BYTES; i++)
		at[MAGIC_BYTES + i] = (uint8_t)(text.len >> (8 * i));
	memcpy(at + MAGIC_BYTES + LENGTH_BYTES, text.data, text.len);
	r = encrypt(key, at, aad_len, value, len, at + aad_len);
	if (r == 0)
		buf_grew(out, aad_len + NONCE_BYTES + TAG_BYTES + len);
	return r;
}

/* ---- reading ---- */

/* How long the additional data at the front is; -EBADMSG if FILE is none of ours. */
static int
aad_length(const uint8_t *file, size_t len)
{
	size_t head = 0;
	if (len < MAGIC_BYTES + LENGTH_BYTES || memcmp(file, MAGIC, MAGIC_BYTES) != 0)
		return -EBADMSG;
	for (int i = 0; i < LENGTH_BYTES; i++)
		head |= (size_t)file[MAGIC_BYTES + i] << (8 * i);
	size_t rest = len - MAGIC_BYTES - LENGTH_BYTES;
	if (head > SEAL_HEAD_MAX || rest < head || rest - head < NONCE_BYTES + TAG_BYTES ||
	    rest - head > NONCE_BYTES + TAG_BYTES + SEAL_VALUE_MAX)
		return -EBADMSG;
	return (int)(MAGIC_BYTES + LENGTH_BYTES + head);
}

int
seal_head(const uint8_t *file, size_t len, struct json **ret)
{
	int aad = aad_length(file, len);
	if (aad < 0)
		return aad;
	struct json *head = NULL;
	int r = json_parse((const char *)file + MAGIC_BYTES + LENGTH_BYTES,
	    (size_t)aad - MAGIC_BYTES - LENGTH_BYTES, &head, NULL);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || json_type(head) != JSON_OBJECT) {
		json_free(head);
		return -EBADMSG;
	}
	*ret = head;
	return 0;
}

static int
decrypt(const struct seal_key *key, const uint8_t *file, size_t aad_len, size_t len, uint8_t *ret)
{
	const uint8_t *nonce = file + aad_len, *tag = nonce + NONCE_BYTES, *text = tag + TAG_BYTES;
	size_t text_len = len - aad_len - NONCE_BYTES - TAG_BYTES;
	uint8_t tag_copy[TAG_BYTES];
	int n = 0, rest = 0;
	memcpy(tag_copy, tag, TAG_BYTES);
	bool good = EVP_DecryptInit_ex2(context, aes, key->bytes, nonce, NULL) == 1 &&
	    EVP_DecryptUpdate(context, NULL, &n, file, (int)aad_len) == 1 &&
	    EVP_DecryptUpdate(context, ret, &n, text, (int)text_len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag_copy) == 1;
	bool whole = good && EVP_DecryptFinal_ex(context, ret + n, &rest) == 1;
	(void)EVP_CIPHER_CTX_reset(context);
	if (!whole) /* nothing of what does not verify is used */
		explicit_bzero(ret, text_len);
	return whole ? (int)text_len : good ? -EBADMSG : -EIO;
}

int
seal_open(const struct seal_key *key, const uint8_t *file, size_t len, uint8_t *ret)
{
	_cleanup_json_ struct json *head = NULL;
	int aad = aad_length(file, len);
	int r = aad < 0 ? aad : seal_head(file, len, &head);
	if (r < 0)
		return r;
	if (!key->is_set || strcmp(json_get_str(head, "key", ""), key->id) != 0)
		return -ENOKEY;
	return decrypt(key, file, (size_t)aad, len, ret);
}
