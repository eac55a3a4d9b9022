#include "proto/hostname.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define LABEL_MAX 63

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- Punycode: RFC 3492, 6 ---- */

enum {
	BASE = 36,
	T_MIN = 1,
	T_MAX = 26,
	SKEW = 38,
	DAMP = 700,
	INITIAL_BIAS = 72,
	INITIAL_N = 128
};

/* The value of a digit of Punycode in lower case, or BASE. */
static uint32_t
puny_digit(char c)
{
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a');
	return is_digit(c) ? (uint32_t)(c - '0') + 26 : BASE;
}

static uint32_t
puny_adapt(uint32_t delta, uint32_t points, bool first)
{
	uint32_t k = 0;
	delta = first ? delta / DAMP : delta / 2;
	delta += delta / points;
	for (; delta > ((BASE - T_MIN) * T_MAX) / 2; k += BASE)
		delta /= BASE - T_MIN;
	return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static uint32_t
puny_threshold(uint32_t k, uint32_t bias)
{
	return k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
}

/* Reads one number with variable length at *AT of TEXT. False: cut short, too large, not digits. */
static bool
puny_number(const char *text, size_t len, size_t *at, uint32_t bias, uint32_t *ret)
{
	uint64_t value = 0, weight = 1;
	for (uint32_t k = BASE;; k += BASE) {
		if (*at >= len)
			return false;
		uint32_t digit = puny_digit(text[(*at)++]);
		if (digit >= BASE)
			return false;
		value += digit * weight;
		if (value > INT32_MAX)
			return false;
		uint32_t threshold = puny_threshold(k, bias);
		if (digit < threshold)
			break;
		weight *= BASE - threshold;
		if (weight > INT32_MAX)
			return false;
	}
	*ret = (uint32_t)value;
	return true;
}

/* Whether the LEN bytes behind "xn--" decode to something with a character beyond ASCII in it. There is exactly one
 * encoding of each text, but that the basic characters may come without their delimiter: so the digits' case and the
 * delimiter are all that there is to check for decode and encode to be inverse. */
static bool
puny_valid(const char *text, size_t len)
{
	size_t basic = 0, at = 0;
	for (size_t i = 0; i < len; i++)
		if (text[i] == '-')
			basic = i;
	if (len > 0 && text[0] == '-' && basic == 0)
		return false; /* a delimiter with nothing before it */
	if (basic > 0)
		at = basic + 1;
	uint32_t n = INITIAL_N, i = 0, bias = INITIAL_BIAS, points = (uint32_t)basic;
	if (at >= len)
		return false;
	while (at < len) {
		uint32_t delta;
		if (!puny_number(text, len, &at, bias, &delta) || delta > INT32_MAX - i)
			return false;
		i += delta;
		points++;
		bias = puny_adapt(delta, points, points == basic + 1);
		n += i / points;
		i %= points;
		i++;
		if (n > 0x10ffff || (n >= 0xd800 && n <= 0xdfff))
			return false;
	}
	return true;
}

/* ---- names ---- */

static bool
label_valid(const char *label, size_t len)
{
	if (len == 0 || len > LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = label[i];
		if (!(c >= 'a' && c <= 'z') && !is_digit(c) && c != '-' && c != '_')
			return false;
	}
	return len < 4 || memcmp(label, "xn--", 4) != 0 || puny_valid(label + 4, len - 4);
}

/* Whether somebody reads a name whose last label is this as an IPv4 address (WHATWG URL, "ends in a number"). */
static bool
label_is_number(const char *label, size_t len)
{
	if (len >= 2 && label[0] == '0' && label[1] == 'x') {
		for (size_t i = 2; i < len; i++)
			if (!is_digit(label[i]) && !(label[i] >= 'a' && label[i] <= 'f'))
				return false;
		return true;
	}
	for (size_t i = 0; i < len; i++)
		if (!is_digit(label[i]))
			return false;
	return true;
}

int
hostname_canonical(const char *text, size_t len, char ret[HOSTNAME_TEXT])
{
	char name[HOSTNAME_TEXT];
	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > HOSTNAME_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		name[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
	name[len] = 0;
	size_t start = 0;
	for (;;) {
		const char *dot = memchr(name + start, '.', len - start);
		size_t n = dot != NULL ? (size_t)(dot - name) - start : len - start;
		if (!label_valid(name + start, n))
			return -EINVAL;
		if (dot == NULL) {
			if (label_is_number(name + start, n))
				return -EINVAL;
			break;
		}
		start += n + 1;
	}
	memcpy(ret, name, len + 1);
	return 0;
}

bool
hostname_is_canonical(const char *text)
{
	char name[HOSTNAME_TEXT];
	return hostname_canonical(text, strnlen(text, HOSTNAME_TEXT), name) == 0 &&
	    strcmp(name, text) == 0;
}
