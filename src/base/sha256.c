/* SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104) and hexadecimal.
 *
 * Two block functions give the same answer: portable C, and the SHA extensions of x86-64, which the
 * ledger's hot path needs (about five times the speed). The choice is made once, from cpuid. */
#include "base/sha256.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/macros.h"

#define BLOCK_BYTES 64

typedef void compress_fn(uint32_t state[8], const uint8_t *blocks, size_t n_blocks);

static const uint32_t round_constants[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
    0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
    0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t
rotate_right(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
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

static void
schedule_words(const uint8_t *block, uint32_t w[64])
{
	for (int i = 0; i < 16; i++)
		w[i] = load_be32(block + 4 * i);
	for (int i = 16; i < 64; i++) {
		uint32_t x = w[i - 15], y = w[i - 2];
		uint32_t s0 = rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3;
		uint32_t s1 = rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10;
		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
}

static void
compress_one(uint32_t state[8], const uint8_t *block)
{
	uint32_t w[64];
	schedule_words(block, w);
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	for (int i = 0; i < 64; i++) {
		uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
		uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + round_constants[i] + w[i];
		uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
		uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
		h = g, g = f, f = e, e = d + t1;
		d = c, c = b, b = a, a = t1 + t2;
	}
	state[0] += a, state[1] += b, state[2] += c, state[3] += d;
	state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static void
compress_portable(uint32_t state[8], const uint8_t *blocks, size_t n_blocks)
{
	for (size_t i = 0; i < n_blocks; i++)
		compress_one(state, blocks + i * BLOCK_BYTES);
}

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

/* The instructions keep the state as {A,B,E,F} and {C,D,G,H}. */
struct sha_state {
	__m128i abef, cdgh;
};

WITH_SHA static struct sha_state
sha_ni_load(const uint32_t state[8])
{
	__m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
	__m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
	__m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
	__m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
	return (struct sha_state){
	    .abef = _mm_alignr_epi8(cdab, efgh, 8),
	    .cdgh = _mm_blend_epi16(efgh, cdab, 0xf0),
	};
}

WITH_SHA static void
sha_ni_store(uint32_t state[8], struct sha_state s)
{
	__m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
	__m128i dcba = _mm_blend_epi16(feba, dchg, 0xf0);
	__m128i hgfe = _mm_alignr_epi8(dchg, feba, 8);
	_mm_storeu_si128((__m128i *)(void *)state, dcba);
	_mm_storeu_si128((__m128i *)(void *)(state + 4), hgfe);
}

/* Four rounds, with the message words M and the constants of rounds 4 * QUAD and on. */
WITH_SHA static inline __attribute__((always_inline)) struct sha_state
sha_ni_rounds(struct sha_state s, __m128i m, int quad)
{
	const uint32_t *k = round_constants + (ptrdiff_t)4 * quad;
	__m128i wk = _mm_add_epi32(m, _mm_loadu_si128((const __m128i *)(const void *)k));
	s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, wk);
	s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, _mm_shuffle_epi32(wk, 0x0e));
	return s;
}

/* The next four message words, from the sixteen before. */
WITH_SHA static inline __attribute__((always_inline)) __m128i
sha_ni_schedule(__m128i m0, __m128i m1, __m128i m2, __m128i m3)
{
	__m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(m0, m1), _mm_alignr_epi8(m3, m2, 4));
	return _mm_sha256msg2_epu32(sum, m3);
}

WITH_SHA static void
compress_sha_ni(uint32_t state[8], const uint8_t *blocks, size_t n_blocks)
{
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	struct sha_state s = sha_ni_load(state);
	for (; n_blocks > 0; n_blocks--, blocks += BLOCK_BYTES) {
		struct sha_state before = s;
		__m128i m[4];
		for (int i = 0; i < 4; i++) {
			const void *at = blocks + (ptrdiff_t)16 * i;
			m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)at), big_endian);
			s = sha_ni_rounds(s, m[i], i);
		}
		for (int quad = 4; quad < 16; quad += 4) {
			m[0] = sha_ni_schedule(m[0], m[1], m[2], m[3]);
			s = sha_ni_rounds(s, m[0], quad);
			m[1] = sha_ni_schedule(m[1], m[2], m[3], m[0]);
			s = sha_ni_rounds(s, m[1], quad + 1);
			m[2] = sha_ni_schedule(m[2], m[3], m[0], m[1]);
			s = sha_ni_rounds(s, m[2], quad + 2);
			m[3] = sha_ni_schedule(m[3], m[0], m[1], m[2]);
			s = sha_ni_rounds(s, m[3], quad + 3);
		}
		s.abef = _mm_add_epi32(s.abef, before.abef);
		s.cdgh = _mm_add_epi32(s.cdgh, before.cdgh);
	}
	sha_ni_store(state, s);
}

static bool
has_sha_instructions(void)
{
	unsigned a, b, c, d;
	if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_SSSE3) == 0 || (c & bit_SSE4_1) == 0)
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) != 0;
}

static compress_fn *
choose_compress(void)
{
	return has_sha_instructions() ? compress_sha_ni : compress_portable;
}

#else

static compress_fn *
choose_compress(void)
{
	return compress_portable;
}

#endif

static void
compress(uint32_t state[8], const uint8_t *blocks, size_t n_blocks)
{
	static compress_fn *chosen;
	if (chosen == NULL)
		chosen = choose_compress();
	chosen(state, blocks, n_blocks);
}

/* Its own padding, so that it shares nothing with the fast path that could hide a mistake. */
void
sha256_portable(const void *bytes, size_t len, uint8_t ret[SHA256_BYTES])
{
	struct sha256 h;
	sha256_init(&h);
	compress_portable(h.state, bytes, len / BLOCK_BYTES);
	h.total = len / BLOCK_BYTES * BLOCK_BYTES;
	size_t rest = len - h.total;
	uint8_t tail[2 * BLOCK_BYTES] = {0};
	if (rest > 0)
		memcpy(tail, (const uint8_t *)bytes + h.total, rest);
	tail[rest] = 0x80;
	size_t tail_len = rest < 56 ? BLOCK_BYTES : 2 * BLOCK_BYTES;
	store_be32(tail + tail_len - 8, (uint32_t)((uint64_t)len >> 29));
	store_be32(tail + tail_len - 4, (uint32_t)((uint64_t)len << 3));
	compress_portable(h.state, tail, tail_len / BLOCK_BYTES);
	for (int i = 0; i < 8; i++)
		store_be32(ret + 4 * i, h.state[i]);
}

void
sha256_init(struct sha256 *h)
{
	static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	memcpy(h->state, initial, sizeof(initial));
	h->total = 0;
}

void
sha256_update(struct sha256 *h, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t held = h->total % BLOCK_BYTES;
	h->total += len;
	if (held > 0) {
		size_t n = MIN(len, BLOCK_BYTES - held);
		memcpy(h->block + held, p, n);
		if (held + n < BLOCK_BYTES)
			return;
		compress(h->state, h->block, 1);
		p += n;
		len -= n;
	}
	if (len >= BLOCK_BYTES)
		compress(h->state, p, len / BLOCK_BYTES);
	size_t rest = len % BLOCK_BYTES;
	if (rest > 0)
		memcpy(h->block, p + len - rest, rest);
}

void
sha256_final(struct sha256 *h, uint8_t ret[SHA256_BYTES])
{
	size_t held = h->total % BLOCK_BYTES;
	h->block[held++] = 0x80;
	if (held > BLOCK_BYTES - 8) {
		memset(h->block + held, 0, BLOCK_BYTES - held);
		compress(h->state, h->block, 1);
		held = 0;
	}
	memset(h->block + held, 0, BLOCK_BYTES - 8 - held);
	store_be32(h->block + 56, (uint32_t)(h->total >> 29));
	store_be32(h->block + 60, (uint32_t)(h->total << 3));
	compress(h->state, h->block, 1);
	for (int i = 0; i < 8; i++)
		store_be32(ret + 4 * i, h->state[i]);
}

void
sha256(const void *bytes, size_t len, uint8_t ret[SHA256_BYTES])
{
	struct sha256 h;
	sha256_init(&h);
	sha256_update(&h, bytes, len);
	sha256_final(&h, ret);
}

void
hmac_sha256(
    const void *key, size_t key_len, const void *bytes, size_t len, uint8_t ret[SHA256_BYTES])
{
	uint8_t pad[BLOCK_BYTES] = {0};
	if (key_len > BLOCK_BYTES)
		sha256(key, key_len, pad);
	else if (key_len > 0)
		memcpy(pad, key, key_len);
	struct sha256 h;
	for (int i = 0; i < BLOCK_BYTES; i++)
		pad[i] ^= 0x36;
	sha256_init(&h);
	sha256_update(&h, pad, BLOCK_BYTES);
	sha256_update(&h, bytes, len);
	sha256_final(&h, ret);
	for (int i = 0; i < BLOCK_BYTES; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	sha256_init(&h);
	sha256_update(&h, pad, BLOCK_BYTES);
	sha256_update(&h, ret, SHA256_BYTES);
	sha256_final(&h, ret);
	explicit_bzero(pad, sizeof(pad));
	explicit_bzero(&h, sizeof(h));
}

void
hex_encode(const uint8_t *bytes, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		ret[2 * i] = digits[bytes[i] >> 4];
		ret[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret[2 * len] = 0;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
hex_decode(const char *text, size_t len, uint8_t *ret)
{
	if (strnlen(text, 2 * len + 1) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}
