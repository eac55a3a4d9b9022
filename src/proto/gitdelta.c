/* Applying one delta. */
#include "proto/gitdelta.h"

#include <errno.h>
#include <stdbool.h>

struct reader {
	const uint8_t *at, *end;
};

static int
read_size(struct reader *reader, uint64_t *ret)
{
	uint64_t value = 0;
	for (unsigned shift = 0; shift < 63; shift += 7) {
		if (reader->at == reader->end)
			return -EBADMSG;
		uint8_t c = *reader->at++;
		value |= (uint64_t)(c & 0x7f) << shift;
		if ((c & 0x80) == 0) {
			*ret = value;
			return 0;
		}
	}
	return -EBADMSG;
}

/* Both sizes at the front of a delta. */
static int
read_sizes(struct reader *reader, size_t base_len, uint64_t *ret)
{
	uint64_t base_says;
	int r = read_size(reader, &base_says);
	if (r < 0)
		return r;
	return base_says != base_len ? -EBADMSG : read_size(reader, ret);
}

int
gitdelta_size(const uint8_t *delta, size_t len, size_t base_len, uint64_t *ret)
{
	struct reader reader = {delta, delta + len};
	return read_sizes(&reader, base_len, ret);
}

/* The bytes of an operand that OP says are present, lowest first. */
static int
read_operand(struct reader *reader, unsigned present, unsigned n_bytes, size_t *ret)
{
	size_t value = 0;
	for (unsigned i = 0; i < n_bytes; i++) {
		if ((present >> i & 1) == 0)
			continue;
		if (reader->at == reader->end)
			return -EBADMSG;
		value |= (size_t)*reader->at++ << 8 * i;
	}
	*ret = value;
	return 0;
}

static int
copy_from_base(
    struct reader *reader, uint8_t op, const uint8_t *base, size_t base_len, struct buf *out)
{
	size_t offset, size;
	if (read_operand(reader, op & 0x0f, 4, &offset) < 0 ||
	    read_operand(reader, op >> 4 & 0x07, 3, &size) < 0)
		return -EBADMSG;
	if (size == 0)
		size = 0x10000;
	if (offset > base_len || size > base_len - offset)
		return -EBADMSG;
	return buf_add(out, base + offset, size);
}

int
gitdelta_apply(
    const uint8_t *base, size_t base_len, const uint8_t *delta, size_t len, struct buf *out)
{
	struct reader reader = {delta, delta + len};
	uint64_t result;
	if (read_sizes(&reader, base_len, &result) < 0)
		return -EBADMSG;
	size_t before = out->len;
	while (reader.at < reader.end) {
		uint8_t op = *reader.at++;
		int r;
		if ((op & 0x80) != 0) {
			r = copy_from_base(&reader, op, base, base_len, out);
		} else if (op == 0 || op > reader.end - reader.at) {
			r = -EBADMSG;
		} else {
			r = buf_add(out, reader.at, op);
			reader.at += op;
		}
		if (r < 0)
			return r;
		if (out->len - before > result)
			return -EBADMSG;
	}
	return out->len - before == result ? 0 : -EBADMSG;
}
