/* SHA-1 in portable C. */
#include "base/sha1.h"

#include <string.h>

#include "base/macros.h"

#define BLOCK_BYTES 64

static uint32_t
rotate_left(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static uint32_t
load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
store_be32(uint8_t *p, uint32_t x)
{
	p[0] = (uint8_t)(x >> 24);
	p[1] = (uint8_t)(x >> 16);
	p[2] = (uint8_t)(x >> 8);
	p[3] = (uint8_t)x;
}

/* Twenty rounds with one function and one constant. */
#define ROUNDS(from, f, k)                                                          \
	for (int i = (from); i < (from) + 20; i++) {                                \
		uint32_t next = rotate_left(a, 5) + (f) + e + (uint32_t)(k) + w[i]; \
		e = d, d = c, c = rotate_left(b, 30), b = a, a = next;              \
	}

static void
compress_one(uint32_t state[5], const uint8_t *block)
{
	uint32_t w[80];
	for (int i = 0; i < 16; i++)
		w[i] = load_be32(block + 4 * i);
	for (int i = 16; i < 80; i++)
		w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
	ROUNDS(0, (b & c) | (~b & d), 0x5a827999)
	ROUNDS(20, b ^ c ^ d, 0x6ed9eba1)
	ROUNDS(40, (b & c) | (b & d) | (c & d), 0x8f1bbcdc)
	ROUNDS(60, b ^ c ^ d, 0xca62c1d6)
	state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

void
sha1_init(struct sha1 *h)
{
	static const uint32_t initial[5] = {
	    0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	memcpy(h->state, initial, sizeof(initial));
	h->total = 0;
}

void
sha1_update(struct sha1 *h, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t held = h->total % BLOCK_BYTES;
	h->total += len;
	if (held > 0) {
		size_t n = MIN(len, BLOCK_BYTES - held);
		memcpy(h->block + held, p, n);
		if (held + n < BLOCK_BYTES)
			return;
		compress_one(h->state, h->block);
		p += n;
		len -= n;
	}
	for (; len >= BLOCK_BYTES; p += BLOCK_BYTES, len -= BLOCK_BYTES)
		compress_one(h->state, p);
	if (len > 0)
		memcpy(h->block, p, len);
}

void
sha1_final(struct sha1 *h, uint8_t ret[SHA1_BYTES])
{
	size_t held = h->total % BLOCK_BYTES;
	h->block[held++] = 0x80;
	if (held > BLOCK_BYTES - 8) {
		memset(h->block + held, 0, BLOCK_BYTES - held);
		compress_one(h->state, h->block);
		held = 0;
	}
	memset(h->block + held, 0, BLOCK_BYTES - 8 - held);
	store_be32(h->block + 56, (uint32_t)(h->total >> 29));
	store_be32(h->block + 60, (uint32_t)(h->total << 3));
	compress_one(h->state, h->block);
	for (int i = 0; i < 5; i++)
		store_be32(ret + 4 * i, h->state[i]);
}
