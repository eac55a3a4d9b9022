/* The Merkle tree of RFC 6962, section 2.1, over the ledger's records.
 *
 * Only the frontier is kept: the roots of the full subtrees along the right edge, one for each bit
 * of the tree's size. Appending and computing the root need nothing else. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/sha256.h"

#define MERKLE_LEVELS 64

struct merkle {
	uint64_t size;                             /* leaves */
	uint8_t edge[MERKLE_LEVELS][SHA256_BYTES]; /* edge[i] is set where bit i of size is */
};

/* The hash of a leaf: SHA-256(0x00 || bytes). It also chains the records. */
void merkle_leaf(const void *bytes, size_t len, uint8_t ret[SHA256_BYTES]);
/* An empty tree. */
void merkle_init(struct merkle *m);
/* Appends a leaf by its hash. */
void merkle_push(struct merkle *m, const uint8_t leaf[SHA256_BYTES]);
/* The root; SHA-256 of nothing for the empty tree. */
void merkle_root(const struct merkle *m, uint8_t ret[SHA256_BYTES]);
/* Number of hashes in the frontier of a tree with SIZE leaves. */
unsigned merkle_edge_count(uint64_t size);
