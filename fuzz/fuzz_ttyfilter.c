/* The terminal filter: whatever goes in, what comes out is text, line control and colours, for programs
 * besides what they draw with, and is the same however the input was cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ttyfilter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts unless OUT holds nothing but what the header promises. */
static void
check(const uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (out[i] == 0x1b) {
			if (i + 1 >= len || out[++i] != '[')
				abort();
			do
				i++;
			while (i < len &&
			    ((out[i] >= '0' && out[i] <= '9') || out[i] == ';' || out[i] == ':'));
			if (i >= len || out[i] != 'm')
				abort();
		} else if (out[i] == 0x7f ||
		    (out[i] < 0x20 && memchr("\n\t\r", out[i], 3) == NULL)) {
			abort();
		} else if (out[i] == 0xc2 && (i + 1 >= len || out[i + 1] < 0xa0)) {
			abort();
		}
	}
}

/* The same for a program's output, written down a second time and the other way round: what makes a
 * terminal answer, keep or send something. */
static void
check_program(const uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = out[i];
		if (c == 0xc2 && (i + 1 >= len || out[i + 1] < 0xa0))
			abort();
		if (c == 0x7f || c < 7 || (c > 0x0f && c < 0x20 && c != 0x1b))
			abort();
		if (c != 0x1b)
			continue;
		if (++i >= len || out[i] == 0 || strchr("[()*+78DEHM=>c", out[i]) == NULL)
			abort();
		if (strchr("()*+", out[i]) != NULL && (++i >= len || strchr("0AB", out[i]) == NULL))
			abort();
		if (out[i] != '[')
			continue;
		size_t start = ++i;
		while (i < len && out[i] >= 0x20 && out[i] <= 0x3f)
			i++;
		if (i >= len || out[i] == 0 || strchr("cntxiyzvw{|}~\\_^", out[i]) != NULL)
			abort();
		if (memchr(out + start, '>', i - start) != NULL ||
		    memchr(out + start, '=', i - start) != NULL ||
		    memchr(out + start, '<', i - start) != NULL ||
		    memchr(out + start, '$', i - start) != NULL)
			abort();
		if (out[start] == '?' && strchr("hlrsJK", out[i]) == NULL)
			abort();
	}
}

static void
try_mode(enum ttyfilter_mode mode, const uint8_t *data, size_t size)
{
	struct ttyfilter whole = {.mode = (uint8_t)mode}, cut = whole;
	size_t room = size + sizeof(whole.held);
	uint8_t *a = malloc(room), *b = malloc(2 * room), reset[TTYFILTER_RESET_MAX];
	if (a == NULL || b == NULL)
		abort();
	size_t n = ttyfilter_run(&whole, data, size, a), m = 0;
	for (size_t i = 0; i < size; i++)
		m += ttyfilter_run(&cut, data + i, 1, b + m);
	if (n > room || n != m || memcmp(a, b, n) != 0)
		abort();
	if (mode == TTYFILTER_PROGRAM)
		check_program(a, n);
	else
		check(a, n);
	if (ttyfilter_reset(&whole, reset) > sizeof(reset))
		abort();
	free(a);
	free(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_mode(TTYFILTER_TEXT, data, size);
	try_mode(TTYFILTER_PROGRAM, data, size);
	return 0;
}
