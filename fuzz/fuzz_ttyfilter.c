/* The terminal filter: whatever goes in, what comes out is text, line control and colours, and is the
 * same however the input was cut. */
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ttyfilter whole = {0}, cut = {0};
	size_t room = size + sizeof(whole.held);
	uint8_t *a = malloc(room), *b = malloc(2 * room);
	if (a == NULL || b == NULL)
		abort();
	size_t n = ttyfilter_run(&whole, data, size, a), m = 0;
	for (size_t i = 0; i < size; i++)
		m += ttyfilter_run(&cut, data + i, 1, b + m);
	if (n > room || n != m || memcmp(a, b, n) != 0)
		abort();
	check(a, n);
	free(a);
	free(b);
	return 0;
}
