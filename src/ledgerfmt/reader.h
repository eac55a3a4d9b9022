/* Reads a segment line by line, from a mapping that is dropped as it goes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct reader {
	const char *text; /* the mapping */
	size_t len, at, dropped;
};

struct line {
	const char *text; /* without the newline; valid until the next call */
	size_t len;
	int64_t offset; /* of its first byte in the file */
};

/* Opens segment NUMBER of DIR_FD at OFFSET. 0, -ENOENT, -EINVAL (not a file, OFFSET behind its end),
 * -errno. */
int reader_open(struct reader *r, int dir_fd, uint32_t number, int64_t offset) MUST_CHECK;
void reader_done(struct reader *r);
/* The next line. 1; 0 at the end of the file; -ENODATA if bytes without a newline are left: RET has
 * them. */
int reader_next(struct reader *r, struct line *ret) MUST_CHECK;
