/* Pkt-lines, read and written. */
#include "proto/pktline.h"

#include <errno.h>

static int
digit_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
pktline_read(const uint8_t *bytes, size_t len, struct pktline *ret)
{
	static const enum pktline_kind special[] = {PKTLINE_FLUSH, PKTLINE_DELIM, PKTLINE_END};
	size_t line = 0;
	for (size_t i = 0; i < MIN(len, 4); i++) {
		int digit = digit_value(bytes[i]);
		if (digit < 0)
			return -EBADMSG;
		line = line << 4 | (size_t)digit;
	}
	if (len < 4)
		return 0;
	if (line == 3 || line > PKTLINE_MAX)
		return -EBADMSG;
	if (line < 3) {
		*ret = (struct pktline){.kind = special[line], .payload = bytes + 4};
		return 4;
	}
	if (len < line)
		return 0;
	*ret = (struct pktline){.kind = PKTLINE_DATA, .payload = bytes + 4, .len = line - 4};
	return (int)line;
}

int
pktline_add(struct buf *out, const void *payload, size_t len)
{
	if (len > PKTLINE_PAYLOAD_MAX)
		return -EMSGSIZE;
	int r = buf_addf(out, "%04zx", len + 4);
	return r < 0 ? r : buf_add(out, payload, len);
}

int
pktline_add_flush(struct buf *out)
{
	return buf_add_str(out, "0000");
}
