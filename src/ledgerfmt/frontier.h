/* The frontier file: the edge of the Merkle tree at some record, and where that record ends, so that
 * a long history need not be read again. A cache: whoever reads it checks its root against a signed
 * checkpoint and its last leaf against the segment.
 *
 *   {"edge":[hex…],"head":hex,"offset":N,"segment":N,"size":N,"v":1}
 *
 * `edge` has the hashes of the full subtrees, the largest first. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/macros.h"
#include "ledgerfmt/merkle.h"

#define FRONTIER_BYTES_MAX 8192

struct frontier {
	struct merkle tree;
	uint8_t head[SHA256_BYTES]; /* leaf hash of the last record */
	uint32_t segment;           /* that the last record is in */
	int64_t offset;             /* of its end */
};

/* Appends the file's text, with a newline. */
int frontier_write(const struct frontier *f, struct buf *out) MUST_CHECK;
/* 0, -EINVAL or -ENOMEM. */
int frontier_parse(const char *text, size_t len, struct frontier *ret) MUST_CHECK;
/* Reads file NAME of DIR_FD. 0, -ENOENT, -EINVAL, -errno. */
int frontier_load(int dir_fd, const char *name, struct frontier *ret) MUST_CHECK;
