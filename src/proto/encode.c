/* Base64 and percent-encoding, for credentials: what they become in a request, and what they could look like in a
 * response. The tables decide nothing: reading is strict, so that there is one spelling. */
#include "proto/encode.h"

#include <errno.h>
#include <string.h>

static const char base64_digits[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

char
encode_base64_digit(unsigned value, bool url_safe)
{
	return base64_digits[url_safe ? 1 : 0][value & 63];
}

int
encode_base64(const void *bytes, size_t len, bool url_safe, struct buf *out)
{
	const char *digits = base64_digits[url_safe ? 1 : 0];
	const uint8_t *at = bytes;
	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, (size_t)3);
		uint32_t bits = (uint32_t)at[i] << 16;
		bits |= n > 1 ? (uint32_t)at[i + 1] << 8 : 0;
		bits |= n > 2 ? at[i + 2] : 0;
		char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
		    n > 1 ? digits[bits >> 6 & 63] : '=', n > 2 ? digits[bits & 63] : '='};
		int r = buf_add(out, four, sizeof(four));
		if (r < 0)
			return r;
	}
	return 0;
}

static int
base64_digit(char c)
{
	const char *at = c == 0 ? NULL : strchr(base64_digits[0], c);
	return at == NULL ? -1 : (int)(at - base64_digits[0]);
}

int
decode_base64(const char *text, size_t len, struct buf *out)
{
	if (len % 4 != 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i += 4) {
		bool last = i + 4 == len;
		size_t pads = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
		uint32_t bits = 0;
		for (size_t k = 0; k < 4; k++) {
			int digit = k >= 4 - pads ? 0 : base64_digit(text[i + k]);
			if (digit < 0)
				return -EINVAL;
			bits = bits << 6 | (uint32_t)digit;
		}
		if ((pads == 1 && (bits & 0xff) != 0) || (pads == 2 && (bits & 0xffff) != 0))
			return -EINVAL;
		uint8_t three[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
		int r = buf_add(out, three, 3 - pads);
		if (r < 0)
			return r;
	}
	return 0;
}

bool
encode_is_unreserved(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	    c == '-' || c == '.' || c == '_' || c == '~';
}

int
encode_percent(const void *bytes, size_t len, const char *keep, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";
	const uint8_t *at = bytes;
	int r = 0;
	for (size_t i = 0; r == 0 && i < len; i++) {
		char three[3] = {'%', digits[at[i] >> 4], digits[at[i] & 15]};
		if (encode_is_unreserved(at[i]) || (at[i] != 0 && strchr(keep, at[i]) != NULL))
			r = buf_add_char(out, (char)at[i]);
		else
			r = buf_add(out, three, sizeof(three));
	}
	return r;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
decode_percent(const char *text, size_t len, bool plus, struct buf *out)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < len; i++) {
		int high = text[i] == '%' && len - i > 2 ? hex_digit(text[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
		if (low >= 0) {
			r = buf_add_char(out, (char)(high << 4 | low));
			i += 2;
		} else {
			r = buf_add_char(out, plus && text[i] == '+' ? ' ' : text[i]);
		}
	}
	return r;
}
