/* Bytes in a row that come in at the end and go out at the front: what waits in a stream. Holds no memory while it is
 * empty. (struct buf would move the rest at every removal.) */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct fifo {
	uint8_t *data; /* owned; what waits is [start, end) */
	size_t start, end, room;
};

static inline size_t
fifo_len(const struct fifo *f)
{
	return f->end - f->start;
}

static inline const uint8_t *
fifo_data(const struct fifo *f)
{
	return f->data + f->start;
}

/* Room for LEN more bytes at the end; NULL: out of memory. The caller fills and calls fifo_grew. */
uint8_t *fifo_reserve(struct fifo *f, size_t len) MUST_CHECK;
void fifo_grew(struct fifo *f, size_t len);
/* 0 or -ENOMEM. */
int fifo_add(struct fifo *f, const void *bytes, size_t len) MUST_CHECK;
/* Removes LEN bytes (at most all) from the front; keeps the memory. */
void fifo_drop(struct fifo *f, size_t len);
/* Gives the memory back where nothing waits. */
void fifo_trim(struct fifo *f);
void fifo_done(struct fifo *f);
