/* The last look at a tree before it becomes an image, by code that trusts nothing that was there when it
 * was made: every entry is a directory, a file or a link, belongs to us, has a mode of ours, and is
 * counted. What comes out is the tree's hash. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"
#include "image/image.h"

struct seal {
	char hash[SHA256_HEX]; /* of names, types, executable bits, contents, targets */
	int64_t entries;
	int64_t bytes; /* contents; a file with several names counts once for each */
};

enum seal_how { SEAL_MEND, SEAL_CHECK };

/* Walks ROOT (borrowed). SEAL_MEND sets owner (ours) and mode (755 or 644) of everything; SEAL_CHECK
 * changes nothing. 0, -EBADMSG (something else is there, or more than LIMITS), -errno; with ERR. */
int seal_tree(int root, enum seal_how how, const struct image_limits *limits, struct seal *ret,
    struct error *err) MUST_CHECK;
