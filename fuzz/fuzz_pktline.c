/* pktline_read on arbitrary bytes: what is a line with all bytes there is "more needed" with fewer, and written again it
 * is the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/pktline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		struct pktline line, again;
		int n = pktline_read(data + at, size - at, &line);
		if (n <= 0)
			return 0;
		assert((size_t)n <= size - at && n >= 4);
		assert(pktline_read(data + at, (size_t)n - 1, &again) == 0);
		_cleanup_buf_ struct buf out;
		buf_init(&out, PKTLINE_MAX);
		if (line.kind == PKTLINE_DATA) {
			assert(pktline_add(&out, line.payload, line.len) == 0);
			assert(out.len == (size_t)n && memcmp(out.data, data + at, out.len) == 0);
		}
		at += (size_t)n;
	}
	return 0;
}
