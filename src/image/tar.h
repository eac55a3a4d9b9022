/* Tar archives into a tree: a root file system, or one layer of an image. */
#pragma once

#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"
#include "image/tree.h"

/* Reads the archive FD (borrowed; plain, gzip, zstd or xz) to its end and adds every entry to TREE.
 * RET_HASH: of the uncompressed bytes. An archive that ends early is refused.
 * 0, -EBADMSG (refused), or -errno; always with ERR. */
int tar_read(int fd, struct tree *tree, uint8_t ret_hash[SHA256_BYTES], struct error *err)
    MUST_CHECK;
