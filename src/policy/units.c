/* Sizes, durations, rates and shares of a CPU. */
#include "policy/units.h"

#include <errno.h>
#include <string.h>
#include <stdbool.h>
#include <strings.h>

#define UNITS_MAX 9007199254740991LL

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = {
    {"B", 1}, {"KiB", 1LL << 10}, {"MiB", 1LL << 20}, {"GiB", 1LL << 30}, {"TiB", 1LL << 40}};
static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit rate_units[] = {
    {"B/s", 1}, {"KiB/s", 1LL << 10}, {"MiB/s", 1LL << 20}, {"GiB/s", 1LL << 30}};

/* Reads digits without a leading zero (but "0"), and leaves *TEXT behind them. */
static int
read_digits(const char **text, int64_t *ret)
{
	const char *p = *text;
	if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
		return -EINVAL;
	int64_t value = 0;
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (*p - '0');
		if (value > UNITS_MAX)
			return -ERANGE;
	}
	*text = p;
	*ret = value;
	return 0;
}

static int
read_unit(const char *text, const struct unit *units, size_t n, int64_t *ret)
{
	int64_t value;
	int r = read_digits(&text, &value);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcmp(text, units[i].name) != 0)
			continue;
		if (value > UNITS_MAX / units[i].factor)
			return -ERANGE;
		*ret = value * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

int
units_bytes(const char *text, int64_t *ret_bytes)
{
	return read_unit(text, size_units, ARRAY_LEN(size_units), ret_bytes);
}

int
units_ms(const char *text, int64_t *ret_ms)
{
	return read_unit(text, time_units, ARRAY_LEN(time_units), ret_ms);
}

int
units_bytes_per_s(const char *text, int64_t *ret)
{
	return read_unit(text, rate_units, ARRAY_LEN(rate_units), ret);
}

int
units_millis(const char *text, int64_t *ret_millis)
{
	int64_t whole;
	int r = read_digits(&text, &whole);
	if (r < 0)
		return r;
	if (whole > UNITS_MAX / 1000)
		return -ERANGE;
	int64_t millis = whole * 1000;
	if (*text == '.') {
		int64_t scale = 100;
		size_t n = strspn(text + 1, "0123456789");
		if (n == 0 || n > 3)
			return -EINVAL;
		for (size_t i = 1; i <= n; i++, scale /= 10)
			millis += (text[i] - '0') * scale;
		text += 1 + n;
	}
	if (*text != 0)
		return -EINVAL;
	*ret_millis = millis;
	return 0;
}

int
units_clock(const char *text, int64_t *ret_minutes)
{
	if (strlen(text) != 5 || text[2] != ':' || strspn(text, "0123456789") != 2 ||
	    strspn(text + 3, "0123456789") != 2)
		return -EINVAL;
	int hours = (text[0] - '0') * 10 + (text[1] - '0');
	int minutes = (text[3] - '0') * 10 + (text[4] - '0');
	if (minutes > 59 || hours > 24 || (hours == 24 && minutes > 0))
		return -EINVAL;
	*ret_minutes = hours * 60 + minutes;
	return 0;
}

int
units_int(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	text += negative;
	int64_t value;
	int r = read_digits(&text, &value);
	if (r < 0)
		return r;
	if (*text != 0)
		return -EINVAL;
	*ret = negative ? -value : value;
	return 0;
}

const char *
units_size_hint(const char *text)
{
	static const struct {
		const char *wrong, *right;
	} hints[] = {{"k", "KiB"}, {"kb", "KiB"}, {"kib", "KiB"}, {"m", "MiB"}, {"mb", "MiB"},
	    {"mib", "MiB"}, {"g", "GiB"}, {"gb", "GiB"}, {"gib", "GiB"}, {"t", "TiB"},
	    {"tb", "TiB"}, {"b", "B"}, {"", "MiB"}};
	size_t digits = strspn(text, "0123456789");
	if (digits == 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(hints); i++)
		if (strcasecmp(text + digits, hints[i].wrong) == 0)
			return hints[i].right;
	return NULL;
}
