/* A file of an archive as its uncompressed bytes: plain, gzip, zstd or xz, found by their first bytes.
 * Counted, so that a small file cannot become an endless one, and hashed. One compression, not several
 * inside each other. Below is libarchive, with only these decompressors linked. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"

struct stream;

/* Reads FD (borrowed) from where it stands; at most LIMIT bytes come out. */
int stream_new(int fd, int64_t limit, struct stream **ret, struct error *err) MUST_CHECK;
struct stream *stream_free(struct stream *s);
/* The next bytes, valid until the next call: their number, 0 at the end, or -errno with ERR (also later,
 * in stream_error: libarchive asks us in its callback). */
ssize_t stream_read(struct stream *s, const void **ret);
const struct error *stream_error(const struct stream *s);
/* Reads what is left; then the hash of all, and how many zero bytes stand at its end. */
int stream_finish(struct stream *s, uint8_t ret_hash[SHA256_BYTES], int64_t *ret_zeros,
    struct error *err) MUST_CHECK;
