/* See base64.h. */
#include "ledgerfmt/base64.h"

#include <errno.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int
base64_encode(const uint8_t *bytes, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, (size_t)3);
		unsigned v = (unsigned)bytes[i] << 16;
		v |= n > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
		v |= n > 2 ? (unsigned)bytes[i + 2] : 0;
		char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
		    n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='};
		(void)buf_add(out, four, sizeof(four));
	}
	return buf_failed(out) ? -EMSGSIZE : 0;
}

static int
digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int
base64_decode(const char *text, size_t len, uint8_t *ret, size_t max)
{
	size_t n = 0;
	if (len % 4 != 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 4) {
		unsigned v = 0;
		int pad = 0;
		for (size_t k = 0; k < 4; k++) {
			int d = digit_value(text[i + k]);
			if (text[i + k] == '=' && i + 4 == len && k >= 2)
				pad++;
			else if (d < 0 || pad > 0)
				return -EINVAL;
			v = v << 6 | (unsigned)(d < 0 ? 0 : d);
		}
		size_t got = 3 - (size_t)pad;
		if (n + got > max || (pad == 1 && (v & 0xff) != 0) ||
		    (pad == 2 && (v & 0xffff) != 0))
			return -EINVAL;
		for (size_t k = 0; k < got; k++)
			ret[n++] = (uint8_t)(v >> (16 - 8 * k));
	}
	return (int)n;
}
