/* See note.h. Ed25519 is OpenSSL's; it is initialised by its first use, without its configuration
 * file, because a ledger must start in a fraction of the time that takes. */
#include "ledgerfmt/note.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "ledgerfmt/base64.h"

#define ALGORITHM_ED25519 0x01
#define DASH "\xe2\x80\x94 " /* em dash and space begin a signature line */
#define DASH_BYTES 4

/* ---- Ed25519 ---- */

static void
crypto_start(void)
{
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}

int
note_public_key(const uint8_t seed[NOTE_KEY_BYTES], uint8_t ret[NOTE_KEY_BYTES])
{
	size_t len = NOTE_KEY_BYTES;
	crypto_start();
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, NOTE_KEY_BYTES);
	int good = key != NULL && EVP_PKEY_get_raw_public_key(key, ret, &len) == 1;
	EVP_PKEY_free(key);
	return good ? 0 : -EIO;
}

static int
ed25519_sign(const uint8_t seed[NOTE_KEY_BYTES], const void *text, size_t len,
    uint8_t ret[NOTE_SIGNATURE_BYTES])
{
	size_t got = NOTE_SIGNATURE_BYTES;
	crypto_start();
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, NOTE_KEY_BYTES);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int good = key != NULL && context != NULL &&
	    EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestSign(context, ret, &got, text, len) == 1 && got == NOTE_SIGNATURE_BYTES;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return good ? 0 : -EIO;
}

static int
ed25519_verify(const uint8_t public_key[NOTE_KEY_BYTES], const void *text, size_t len,
    const uint8_t signature[NOTE_SIGNATURE_BYTES])
{
	crypto_start();
	EVP_PKEY *key =
	    EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, NOTE_KEY_BYTES);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int good = key != NULL && context != NULL &&
	    EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestVerify(context, signature, NOTE_SIGNATURE_BYTES, text, len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return good ? 0 : -EBADMSG;
}

/* ---- keys ---- */

void
note_key_hash(struct note_key *key)
{
	static const uint8_t between[] = {'\n', ALGORITHM_ED25519};
	uint8_t digest[SHA256_BYTES];
	struct sha256 h;
	sha256_init(&h);
	sha256_update(&h, key->name, strlen(key->name));
	sha256_update(&h, between, sizeof(between));
	sha256_update(&h, key->key, sizeof(key->key));
	sha256_final(&h, digest);
	memcpy(key->hash, digest, sizeof(key->hash));
}

/* Not empty, no white space, no plus sign, no control characters. */
static bool
name_valid(const char *name, size_t len)
{
	if (len == 0 || len >= NOTE_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == '+' || name[i] == 0x7f)
			return false;
	return true;
}

int
note_key_write(const struct note_key *key, struct buf *out)
{
	uint8_t typed[1 + NOTE_KEY_BYTES] = {ALGORITHM_ED25519};
	char hex[9];
	memcpy(typed + 1, key->key, NOTE_KEY_BYTES);
	hex_encode(key->hash, sizeof(key->hash), hex);
	(void)buf_addf(out, "%s+%s+", key->name, hex);
	return base64_encode(typed, sizeof(typed), out);
}

int
note_key_parse(const char *text, size_t len, struct note_key *ret)
{
	uint8_t typed[1 + NOTE_KEY_BYTES], hash[4];
	struct note_key key = {{0}};
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		len--;
	const char *plus = memchr(text, '+', len);
	if (plus == NULL || !name_valid(text, (size_t)(plus - text)))
		return -EINVAL;
	memcpy(key.name, text, (size_t)(plus - text));
	size_t left = len - (size_t)(plus + 1 - text);
	char hex[9] = "";
	if (left < 9 || plus[9] != '+')
		return -EINVAL;
	memcpy(hex, plus + 1, 8);
	if (hex_decode(hex, 4, hash) < 0)
		return -EINVAL;
	if (base64_decode(plus + 10, left - 9, typed, sizeof(typed)) != (int)sizeof(typed) ||
	    typed[0] != ALGORITHM_ED25519)
		return -EINVAL;
	memcpy(key.key, typed + 1, NOTE_KEY_BYTES);
	note_key_hash(&key);
	if (memcmp(key.hash, hash, sizeof(hash)) != 0)
		return -EINVAL;
	*ret = key;
	return 0;
}

/* ---- notes ---- */

size_t
note_extent(const char *text, size_t len, size_t *ret_body)
{
	len = MIN(len, (size_t)NOTE_BYTES_MAX);
	const char *blank = memmem(text, len, "\n\n", 2);
	if (blank == NULL || blank == text)
		return 0;
	size_t at = (size_t)(blank - text) + 2, end = 0;
	while (len - at > DASH_BYTES && memcmp(text + at, DASH, DASH_BYTES) == 0) {
		const char *newline = memchr(text + at, '\n', len - at);
		if (newline == NULL)
			return 0;
		at = end = (size_t)(newline - text) + 1;
	}
	*ret_body = (size_t)(blank - text) + 1;
	return end;
}

/* Whether LINE (without DASH and newline) is a signature by KEY's name and hash; then RET is it. */
static bool
signature_by(
    const char *line, size_t len, const struct note_key *key, uint8_t ret[NOTE_SIGNATURE_BYTES])
{
	uint8_t typed[4 + NOTE_SIGNATURE_BYTES];
	size_t name_len = strlen(key->name);
	if (len <= name_len || memcmp(line, key->name, name_len) != 0 || line[name_len] != ' ')
		return false;
	if (base64_decode(line + name_len + 1, len - name_len - 1, typed, sizeof(typed)) !=
		(int)sizeof(typed) ||
	    memcmp(typed, key->hash, 4) != 0)
		return false;
	memcpy(ret, typed + 4, NOTE_SIGNATURE_BYTES);
	return true;
}

int
note_verify(const char *note, size_t len, const struct note_key *key)
{
	size_t body;
	if (note_extent(note, len, &body) != len || len == 0)
		return -EINVAL;
	for (size_t at = body + 1; at < len;) {
		uint8_t signature[NOTE_SIGNATURE_BYTES];
		const char *line = note + at + DASH_BYTES;
		const char *newline = memchr(line, '\n', len - at - DASH_BYTES);
		if (newline == NULL)
			return -EINVAL;
		if (signature_by(line, (size_t)(newline - line), key, signature))
			return ed25519_verify(key->key, note, body, signature);
		at = (size_t)(newline - note) + 1;
	}
	return -ENOKEY;
}

int
note_sign(const char *body, size_t len, const struct note_key *key,
    const uint8_t seed[NOTE_KEY_BYTES], struct buf *out)
{
	uint8_t typed[4 + NOTE_SIGNATURE_BYTES];
	if (len == 0 || body[len - 1] != '\n' || memmem(body, len, "\n\n", 2) != NULL)
		return -EINVAL;
	memcpy(typed, key->hash, 4);
	int r = ed25519_sign(seed, body, len, typed + 4);
	if (r < 0)
		return r;
	(void)buf_add(out, body, len);
	(void)buf_addf(out, "\n" DASH "%s ", key->name);
	(void)base64_encode(typed, sizeof(typed), out);
	(void)buf_add_char(out, '\n');
	return buf_failed(out) ? -EMSGSIZE : 0;
}

/* ---- checkpoints ---- */

int
checkpoint_write(const struct checkpoint *c, struct buf *out)
{
	(void)buf_addf(out, "%s\n%llu\n", c->origin, (unsigned long long)c->size);
	(void)base64_encode(c->root, sizeof(c->root), out);
	return buf_add_char(out, '\n');
}

/* Takes a line off the front; false if there is none. */
static bool
take_line(const char **text, size_t *left, const char **ret, size_t *ret_len)
{
	const char *newline = memchr(*text, '\n', *left);
	if (newline == NULL)
		return false;
	*ret = *text;
	*ret_len = (size_t)(newline - *text);
	*left -= *ret_len + 1;
	*text = newline + 1;
	return true;
}

int
checkpoint_parse(const char *body, size_t len, struct checkpoint *ret)
{
	const char *line;
	size_t n;
	struct checkpoint c = {{0}};
	if (!take_line(&body, &len, &line, &n) || !name_valid(line, n))
		return -EINVAL;
	memcpy(c.origin, line, n);
	if (!take_line(&body, &len, &line, &n) || n == 0 || n > 18 || (line[0] == '0' && n > 1))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -EINVAL;
		c.size = c.size * 10 + (uint64_t)(line[i] - '0');
	}
	if (!take_line(&body, &len, &line, &n) ||
	    base64_decode(line, n, c.root, sizeof(c.root)) != (int)sizeof(c.root))
		return -EINVAL;
	*ret = c;
	return 0;
}
