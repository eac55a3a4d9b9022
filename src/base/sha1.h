/* SHA-1 (FIPS 180-4), only because git names its objects by it.
 *
 * Not for anything that must withstand a collision: two inputs of one SHA-1 can be made for money. Where
 * a name proves something (proto/gitcommits.h), say there why a collision does not help. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SHA1_BYTES 20
#define SHA1_HEX 41 /* with the NUL */

struct sha1 {
	uint32_t state[5];
	uint64_t total;
	uint8_t block[64];
};

void sha1_init(struct sha1 *h);
void sha1_update(struct sha1 *h, const void *bytes, size_t len);
void sha1_final(struct sha1 *h, uint8_t ret[SHA1_BYTES]);
