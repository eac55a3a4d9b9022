/* memcpy(3) and memmove(3) where rf-arbiter is linked against musl, whose own start a string
 * instruction for every copy: that costs more than the copy for the few bytes that most JSON values
 * have, a tenth of a decision's time. Both are here because musl's call each other. Portable C: each
 * copy of a fixed size becomes one or two moves. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MOVE(size, at) __builtin_memcpy(d + (at), s + (at), (size))

/* For 16 bytes and less: all is loaded before anything is stored, so the two may overlap. */
static inline void
copy_small(uint8_t *d, const uint8_t *s, size_t n)
{
	uint64_t head = 0, tail = 0;
	if (n >= 8) {
		__builtin_memcpy(&head, s, 8);
		__builtin_memcpy(&tail, s + n - 8, 8);
		__builtin_memcpy(d, &head, 8);
		__builtin_memcpy(d + n - 8, &tail, 8);
	} else if (n >= 4) {
		__builtin_memcpy(&head, s, 4);
		__builtin_memcpy(&tail, s + n - 4, 4);
		__builtin_memcpy(d, &head, 4);
		__builtin_memcpy(d + n - 4, &tail, 4);
	} else if (n > 0) {
		uint8_t first = s[0], middle = s[n / 2], last = s[n - 1];
		d[0] = first;
		d[n / 2] = middle;
		d[n - 1] = last;
	}
}

void *
memcpy(void *restrict to, const void *restrict from, size_t n)
{
	uint8_t *d = to;
	const uint8_t *s = from;
	if (n <= 16) {
		copy_small(d, s, n);
		return to;
	}
	size_t at = 0;
	for (; at + 64 <= n; at += 64)
		MOVE(64, at);
	for (; at + 16 <= n; at += 16)
		MOVE(16, at);
	MOVE(16, n - 16);
	return to;
}

/* Eight bytes at a time, from the end that is safe: what is stored is never loaded later. */
void *
memmove(void *to, const void *from, size_t n)
{
	uint8_t *d = to;
	const uint8_t *s = from;
	if (n <= 16) {
		copy_small(d, s, n);
	} else if ((uintptr_t)d - (uintptr_t)s >= n && (uintptr_t)s - (uintptr_t)d >= n) {
		return memcpy(to, from, n);
	} else if (d < s) {
		size_t at = 0;
		for (; at + 8 <= n; at += 8)
			MOVE(8, at);
		for (; at < n; at++)
			d[at] = s[at];
	} else {
		for (; n >= 8; n -= 8)
			MOVE(8, n - 8);
		while (n-- > 0)
			d[n] = s[n];
	}
	return to;
}
