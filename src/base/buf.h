/* A bounded, growable byte buffer. Outside bytes live only in one of these.
 *
 * A buffer has a hard limit; an append that would pass it fails with -EMSGSIZE and marks the buffer
 * failed, so that a run of appends needs one check at the end (buf_failed). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct buf {
	uint8_t *data; /* owned; NUL-terminated at data[len] whenever data is set */
	size_t len;
	size_t room;
	size_t limit;
	bool failed;
};

/* An empty buffer that may hold at most LIMIT bytes. Allocates nothing. */
void buf_init(struct buf *b, size_t limit);
/* Frees the contents; the buffer is empty and usable again with the same limit. */
void buf_done(struct buf *b);
/* Forgets the contents, keeps the allocation and clears the failed mark. */
void buf_clear(struct buf *b);

/* Append; 0, -EMSGSIZE past the limit, or -ENOMEM. */
int buf_add(struct buf *b, const void *bytes, size_t len);
int buf_add_str(struct buf *b, const char *text);
int buf_add_char(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Makes room for LEN more bytes and returns where they go, or NULL (failed mark set).
 * The caller fills them and calls buf_grew. */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_grew(struct buf *b, size_t len);

/* Removes LEN bytes (at most all) from the front. */
void buf_drop(struct buf *b, size_t len);

/* Whether any append since init or clear failed. */
bool buf_failed(const struct buf *b);
/* The contents as a string; "" when empty. Borrowed. */
const char *buf_str(const struct buf *b);
/* Hands the allocation to the caller (free it); NULL if empty. */
char *buf_take(struct buf *b);

#define _cleanup_buf_ CLEANUP(buf_done)
