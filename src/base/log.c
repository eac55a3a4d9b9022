#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char *program = "ringfence";
static enum log_level shown = LOG_WARNING;

void
log_program(const char *name)
{
	program = name;
}

void
log_set_level(enum log_level level)
{
	shown = level;
}

struct range {
	uint32_t first, last;
};

/* What reorders or hides what a person reads, or makes some terminals act: C1 controls, bidirectional
 * controls, zero-width and invisible characters, variation selectors, tags. */
static const struct range hidden[] = {
    {0x80, 0x9f},
    {0xad, 0xad},
    {0x61c, 0x61c},
    {0x180b, 0x180f},
    {0x200b, 0x200f},
    {0x2028, 0x202e},
    {0x2060, 0x206f},
    {0xfe00, 0xfe0f},
    {0xfeff, 0xfeff},
    {0xfff9, 0xfffb},
    {0xe0000, 0xe0fff},
};

/* Decodes the UTF-8 sequence at P; its length, or 0 if it is not one (RFC 3629). */
static size_t
decode_utf8(const unsigned char *p, size_t left, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
	if (n == 0 || p[0] > 0xf4 || n > left)
		return 0;
	uint32_t c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	*ret = c;
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

static bool
is_hidden(uint32_t c)
{
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		if (c >= hidden[i].first && c <= hidden[i].last)
			return true;
	return false;
}

void
log_escape(const char *text, size_t len, char *ret, size_t ret_size)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t at = 0;
	for (size_t i = 0; i < len && at + 12 < ret_size;) {
		uint32_t c = p[i];
		size_t n = c < 0x80 ? 1 : decode_utf8(p + i, len - i, &c);
		if (n == 0 || c < 0x20 || c == 0x7f) {
			at += (size_t)snprintf(ret + at, ret_size - at, "\\x%02x", p[i++]);
		} else if (is_hidden(c)) {
			at += (size_t)snprintf(ret + at, ret_size - at, "\\u{%x}", (unsigned)c);
			i += n;
		} else {
			memcpy(ret + at, p + i, n);
			at += n;
			i += n;
		}
	}
	if (ret_size > 0)
		ret[at] = 0;
}

static bool
rate_limited(void)
{
	static int64_t second;
	static unsigned lines, dropped;
	int64_t now = clock_monotonic_ns() / 1000000000;
	if (now != second) {
		if (dropped > 0)
			(void)fprintf(
			    stderr, "%s warning lines-dropped count=%u\n", program, dropped);
		second = now;
		lines = dropped = 0;
	}
	if (++lines <= 200)
		return false;
	dropped++;
	return true;
}

void
log_event(enum log_level level, const char *event, ...)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	if (level > shown || rate_limited())
		return;
	char line[2048], value[600];
	int at = snprintf(line, sizeof(line), "%s %s %s", program, names[level], event);
	va_list args;
	va_start(args, event);
	const char *name;
	while ((name = va_arg(args, const char *)) != NULL) {
		const char *text = va_arg(args, const char *);
		if (text == NULL)
			break;
		log_escape(text, strlen(text), value, sizeof(value));
		const char *quote = strpbrk(value, " =\"") != NULL || value[0] == 0 ? "\"" : "";
		if ((size_t)at + strlen(name) + strlen(value) + 8 >= sizeof(line))
			break;
		at += snprintf(
		    line + at, sizeof(line) - (size_t)at, " %s=%s%s%s", name, quote, value, quote);
	}
	va_end(args);
	line[at++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, (size_t)at);
	(void)written;
}
