/* See merkle.h. The tree grows as a binary counter: a new leaf merges with the full subtrees of its
 * size to its left. */
#include "ledgerfmt/merkle.h"

#include <string.h>

void
merkle_leaf(const void *bytes, size_t len, uint8_t ret[SHA256_BYTES])
{
	static const uint8_t prefix = 0x00;
	struct sha256 h;
	sha256_init(&h);
	sha256_update(&h, &prefix, 1);
	sha256_update(&h, bytes, len);
	sha256_final(&h, ret);
}

/* RET may be LEFT or RIGHT. */
static void
merkle_node(
    const uint8_t left[SHA256_BYTES], const uint8_t right[SHA256_BYTES], uint8_t ret[SHA256_BYTES])
{
	uint8_t both[1 + 2 * SHA256_BYTES];
	both[0] = 0x01;
	memcpy(both + 1, left, SHA256_BYTES);
	memcpy(both + 1 + SHA256_BYTES, right, SHA256_BYTES);
	sha256(both, sizeof(both), ret);
}

void
merkle_init(struct merkle *m)
{
	m->size = 0;
}

void
merkle_push(struct merkle *m, const uint8_t leaf[SHA256_BYTES])
{
	uint8_t node[SHA256_BYTES];
	memcpy(node, leaf, SHA256_BYTES);
	unsigned level = 0;
	for (; (m->size >> level & 1) != 0; level++)
		merkle_node(m->edge[level], node, node);
	memcpy(m->edge[level], node, SHA256_BYTES);
	m->size++;
}

void
merkle_root(const struct merkle *m, uint8_t ret[SHA256_BYTES])
{
	uint8_t node[SHA256_BYTES];
	unsigned level = 0;
	if (m->size == 0) {
		sha256("", 0, ret);
		return;
	}
	while ((m->size >> level & 1) == 0)
		level++;
	memcpy(node, m->edge[level], SHA256_BYTES);
	for (level++; level < MERKLE_LEVELS; level++)
		if ((m->size >> level & 1) != 0)
			merkle_node(m->edge[level], node, node);
	memcpy(ret, node, SHA256_BYTES);
}

unsigned
merkle_edge_count(uint64_t size)
{
	return (unsigned)__builtin_popcountll(size);
}
