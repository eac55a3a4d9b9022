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

/* U+061C, U+200B..U+200F, U+202A..U+202E, U+2066..U+2069, U+FEFF: they reorder or hide what a
 * person reads. Returns the code point if P starts one of them in UTF-8, with its length. */
static unsigned
hidden_codepoint(const unsigned char *p, size_t left, size_t *ret_len)
{
	if (left >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
		*ret_len = 2; /* C1 controls: some terminals act on them */
		return p[1];
	}
	if (left >= 2 && p[0] == 0xd8 && p[1] == 0x9c) {
		*ret_len = 2;
		return 0x61c;
	}
	if (left < 3)
		return 0;
	unsigned c = (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	*ret_len = 3;
	if ((p[0] & 0xf0) != 0xe0)
		return 0;
	bool hidden = (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
	return hidden ? c : 0;
}

void
log_escape(const char *text, size_t len, char *ret, size_t ret_size)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t at = 0;
	for (size_t i = 0; i < len && at + 12 < ret_size;) {
		size_t n = 1;
		unsigned c = hidden_codepoint(p + i, len - i, &n);
		if (c != 0) {
			at += (size_t)snprintf(ret + at, ret_size - at, "\\u{%x}", c);
			i += n;
		} else if (p[i] < 0x20 || p[i] == 0x7f) {
			at += (size_t)snprintf(ret + at, ret_size - at, "\\x%02x", p[i++]);
		} else {
			ret[at++] = (char)p[i++];
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
