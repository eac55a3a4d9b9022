#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
buf_init(struct buf *b, size_t limit)
{
	*b = (struct buf){.limit = limit};
}

void
buf_done(struct buf *b)
{
	size_t limit = b->limit;
	free(b->data);
	buf_init(b, limit);
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data != NULL)
		b->data[0] = 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t len)
{
	if (b->failed || len > b->limit - b->len) {
		b->failed = true;
		return NULL;
	}
	size_t need = b->len + len + 1;
	if (need > b->room) {
		size_t room = MAX(need, b->room * 2);
		room = MAX(room, (size_t)128);
		uint8_t *data = realloc(b->data, room);
		if (data == NULL) {
			b->failed = true;
			return NULL;
		}
		b->data = data;
		b->room = room;
	}
	return b->data + b->len;
}

void
buf_grew(struct buf *b, size_t len)
{
	b->len += len;
	b->data[b->len] = 0;
}

int
buf_add(struct buf *b, const void *bytes, size_t len)
{
	/* Nearly always there is room. */
	if (len > 0 && len < b->room - b->len && !b->failed && len <= b->limit - b->len) {
		memcpy(b->data + b->len, bytes, len);
		buf_grew(b, len);
		return 0;
	}
	bool fits = !b->failed && len <= b->limit - b->len;
	uint8_t *at = buf_reserve(b, len);
	if (at == NULL)
		return fits ? -ENOMEM : -EMSGSIZE;
	if (len > 0)
		memcpy(at, bytes, len);
	buf_grew(b, len);
	return 0;
}

int
buf_add_str(struct buf *b, const char *text)
{
	return buf_add(b, text, strlen(text));
}

int
buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0) {
		b->failed = true;
		return -EINVAL;
	}
	uint8_t *at = buf_reserve(b, (size_t)len);
	if (at == NULL)
		return -EMSGSIZE;
	va_start(args, fmt);
	(void)vsnprintf((char *)at, (size_t)len + 1, fmt, args);
	va_end(args);
	buf_grew(b, (size_t)len);
	return 0;
}

void
buf_drop(struct buf *b, size_t len)
{
	len = MIN(len, b->len);
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len + 1);
	b->len -= len;
}

bool
buf_failed(const struct buf *b)
{
	return b->failed;
}

const char *
buf_str(const struct buf *b)
{
	return b->data == NULL ? "" : (const char *)b->data;
}

char *
buf_take(struct buf *b)
{
	char *data = (char *)TAKE_PTR(b->data);
	b->len = b->room = 0;
	return data;
}
