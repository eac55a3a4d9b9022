#include "io/fifo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 512

uint8_t *
fifo_reserve(struct fifo *f, size_t len)
{
	if (f->data != NULL && f->room - f->end >= len)
		return f->data + f->end;
	size_t waits = fifo_len(f);
	if (len > SIZE_MAX / 2 - waits)
		return NULL;
	if (f->data != NULL && f->room >= waits + len && f->start >= f->room / 2) {
		memmove(f->data, f->data + f->start, waits);
	} else {
		size_t room = MAX(waits + len, MIN(f->room * 2, f->room + (256u << 10)));
		room = MAX(room, (size_t)SMALLEST);
		uint8_t *data = malloc(room);
		if (data == NULL)
			return NULL;
		if (f->data != NULL)
			memcpy(data, f->data + f->start, waits);
		free(f->data);
		f->data = data;
		f->room = room;
	}
	f->start = 0;
	f->end = waits;
	return f->data + f->end;
}

void
fifo_grew(struct fifo *f, size_t len)
{
	f->end += len;
}

int
fifo_add(struct fifo *f, const void *bytes, size_t len)
{
	if (len == 0)
		return 0;
	uint8_t *at = fifo_reserve(f, len);
	if (at == NULL)
		return -ENOMEM;
	memcpy(at, bytes, len);
	fifo_grew(f, len);
	return 0;
}

void
fifo_drop(struct fifo *f, size_t len)
{
	f->start += MIN(len, fifo_len(f));
	if (f->start == f->end)
		f->start = f->end = 0;
}

void
fifo_trim(struct fifo *f)
{
	if (fifo_len(f) == 0)
		fifo_done(f);
}

void
fifo_done(struct fifo *f)
{
	free(f->data);
	*f = (struct fifo){0};
}
