/* truststore_write on arbitrary bytes, as a gateway that was taken over could send them: never crashes, keeps to its
 * limit, and has an entry for each certificate. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "init/truststore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf out, little;
	buf_init(&out, 1 << 20);
	buf_init(&little, 64);
	int r = truststore_write((const char *)data, size, &out);
	assert(out.len <= 1 << 20);
	if (r == 0)
		assert(out.len >= 32 && memcmp(out.data, "\xfe\xed\xfe\xed\0\0\0\2", 8) == 0);
	r = truststore_write((const char *)data, size, &little);
	assert(little.len <= 64);
	return 0;
}
