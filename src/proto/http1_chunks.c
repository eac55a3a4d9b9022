/* The chunked transfer coding (RFC 9112, 7.1), read as it arrives and written anew.
 *
 *   SIZE 0..15 ──CR──▶ SIZE_LF ──LF──▶ DATA ──(left = 0)──▶ DATA_CR ──▶ DATA_LF ──▶ SIZE 0
 *                          └──LF, size 0──▶ LINE ──CR──▶ END_LF ──LF──▶ done
 *                                            └─token─▶ NAME ──:──▶ VALUE ──CR──▶ VALUE_LF ──LF──▶ LINE
 *
 * SIZE + n: n digits of the size are read. Refused: an extension, white space about the size, sixteen digits, a line
 * that ends in LF alone, a trailer line that is not a header line, trailers of more than TRAILERS_MAX bytes. Trailers
 * are dropped, so what they say has no meaning to anyone behind us. */
#include <errno.h>

#include "proto/http1.h"
#include "proto/http1_impl.h"

#define SIZE_DIGITS_MAX 15
#define TRAILERS_MAX 8192

enum state {
	SIZE = 0,
	SIZE_LF = SIZE_DIGITS_MAX + 1,
	DATA,
	DATA_CR,
	DATA_LF,
	LINE,
	NAME,
	VALUE,
	VALUE_LF,
	END_LF,
	BROKEN,
};

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a chunk's size line. */
static int
size_byte(struct http_chunks *chunks, uint8_t c)
{
	int digit = hex_digit(c);
	if (digit >= 0 && chunks->state < SIZE + SIZE_DIGITS_MAX) {
		chunks->left = chunks->left << 4 | (unsigned)digit;
		chunks->state++;
		return 0;
	}
	if (c != '\r' || chunks->state == SIZE)
		return -EBADMSG;
	chunks->state = SIZE_LF;
	return 0;
}

/* One byte of the trailers. */
static int
trailer_byte(struct http_chunks *chunks, uint8_t c)
{
	if (++chunks->trailer_bytes > TRAILERS_MAX)
		return -EBADMSG;
	switch (chunks->state) {
	case LINE:
		if (c == '\r')
			chunks->state = END_LF;
		else if (http_byte_is_token(c))
			chunks->state = NAME;
		else
			return -EBADMSG;
		return 0;
	case NAME:
		if (c == ':')
			chunks->state = VALUE;
		else if (!http_byte_is_token(c))
			return -EBADMSG;
		return 0;
	case VALUE:
		if (c == '\r')
			chunks->state = VALUE_LF;
		else if (!http_byte_is_value(c))
			return -EBADMSG;
		return 0;
	default: /* VALUE_LF, END_LF */
		if (c != '\n')
			return -EBADMSG;
		chunks->done = chunks->state == END_LF;
		chunks->state = LINE;
		return 0;
	}
}

/* One byte that is not content. */
static int
chunk_byte(struct http_chunks *chunks, uint8_t c)
{
	switch (chunks->state) {
	case SIZE_LF:
		chunks->state = chunks->left == 0 ? LINE : DATA;
		return c == '\n' ? 0 : -EBADMSG;
	case DATA_CR:
		chunks->state = DATA_LF;
		return c == '\r' ? 0 : -EBADMSG;
	case DATA_LF:
		chunks->state = SIZE;
		return c == '\n' ? 0 : -EBADMSG;
	default:
		return chunks->state < SIZE_LF ? size_byte(chunks, c) : trailer_byte(chunks, c);
	}
}

int
http_chunks_read(struct http_chunks *chunks, const uint8_t *bytes, size_t len, size_t *ret_used,
    struct http_text *ret_content)
{
	size_t used = 0;
	struct http_text content = {"", 0};
	if (chunks->state == BROKEN)
		return -EBADMSG;
	while (used < len && !chunks->done && content.len == 0) {
		if (chunks->state == DATA) {
			content.at = (const char *)bytes + used;
			content.len = (size_t)MIN((uint64_t)(len - used), chunks->left);
			used += content.len;
			chunks->left -= content.len;
			if (chunks->left == 0)
				chunks->state = DATA_CR;
		} else if (chunk_byte(chunks, bytes[used]) < 0) {
			chunks->state = BROKEN;
			return -EBADMSG;
		} else {
			used++;
		}
	}
	*ret_used = used;
	*ret_content = content;
	return 0;
}

int
http_chunk_begin(struct buf *out, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char line[sizeof(len) * 2 + 2];
	size_t at = sizeof(line);
	line[--at] = '\n';
	line[--at] = '\r';
	do {
		line[--at] = digits[len & 15];
		len >>= 4;
	} while (len > 0);
	return buf_add(out, line + at, sizeof(line) - at);
}
