/* SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104).
 *
 * The only hash of the project. Own code, because the lean programs link no library and because the
 * ledger hashes on its hot path: it uses the processor's SHA instructions where they exist. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define SHA256_HEX 65 /* with the NUL */

struct sha256 {
	uint32_t state[8];
	uint64_t total;
	uint8_t block[64];
};

void sha256_init(struct sha256 *h);
void sha256_update(struct sha256 *h, const void *bytes, size_t len);
void sha256_final(struct sha256 *h, uint8_t ret[SHA256_BYTES]);
/* All three in one. */
void sha256(const void *bytes, size_t len, uint8_t ret[SHA256_BYTES]);
/* The same without the SHA instructions: for tests, and to compare. */
void sha256_portable(const void *bytes, size_t len, uint8_t ret[SHA256_BYTES]);
void hmac_sha256(
    const void *key, size_t key_len, const void *bytes, size_t len, uint8_t ret[SHA256_BYTES]);

/* Lower-case hexadecimal with a NUL: RET has room for 2 * LEN + 1. */
void hex_encode(const uint8_t *bytes, size_t len, char *ret);
/* Decodes exactly 2 * LEN lower-case digits; 0 or -EINVAL. */
int hex_decode(const char *text, size_t len, uint8_t *ret);
