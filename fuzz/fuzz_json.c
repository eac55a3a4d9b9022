/* json_parse on arbitrary bytes: never crashes, and what it accepts is a fixed point of the canonical
 * form. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ struct json *v = NULL;
	struct error err;
	if (json_parse((const char *)data, size, &v, &err) < 0)
		return 0;
	_cleanup_buf_ struct buf once, twice, pretty;
	buf_init(&once, SIZE_MAX / 2);
	buf_init(&twice, SIZE_MAX / 2);
	buf_init(&pretty, SIZE_MAX / 2);
	assert(json_write(v, &once) == 0);
	_cleanup_json_ struct json *again = NULL, *from_pretty = NULL;
	assert(json_parse(buf_str(&once), once.len, &again, &err) == 0);
	assert(json_equal(v, again));
	assert(json_write(again, &twice) == 0);
	assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	assert(json_write_pretty(v, &pretty) == 0);
	assert(json_parse(buf_str(&pretty), pretty.len, &from_pretty, &err) == 0);
	assert(json_equal(v, from_pretty));
	return 0;
}
