/* Memory of one lifetime: a list of blocks, each cut from the front. */
#include "policy/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#define BLOCK_BYTES 8192

struct arena_block {
	struct arena_block *next;
	size_t used, room;
	alignas(max_align_t) unsigned char bytes[];
};

void
arena_init(struct arena *a, size_t limit_bytes)
{
	*a = (struct arena){.limit = limit_bytes};
}

void
arena_done(struct arena *a)
{
	struct arena_block *next;
	for (struct arena_block *b = a->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	a->blocks = NULL;
	a->total = 0;
}

static struct arena_block *
arena_grow(struct arena *a, size_t size)
{
	/* Blocks double with what is already there, so that a large policy takes few of them. */
	size_t room = MAX(size, MAX((size_t)BLOCK_BYTES, a->total / 2));
	if (room > a->limit - MIN(a->total, a->limit))
		return NULL;
	struct arena_block *b = malloc(sizeof(*b) + room);
	if (b == NULL)
		return NULL;
	b->next = a->blocks;
	b->used = 0;
	b->room = room;
	a->blocks = b;
	a->total += room;
	return b;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	size_t align = alignof(max_align_t);
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (MAX(size, (size_t)1) + align - 1) & ~(align - 1);
	struct arena_block *b = a->blocks;
	if (b == NULL || b->room - b->used < size)
		b = arena_grow(a, size);
	if (b == NULL)
		return NULL;
	void *p = b->bytes + b->used;
	b->used += size;
	return memset(p, 0, size);
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / 4 / size)
		return NULL;
	return arena_alloc(a, count * size);
}

char *
arena_text(struct arena *a, const char *bytes, size_t len)
{
	char *p = arena_alloc(a, len + 1);
	if (p != NULL && len > 0)
		memcpy(p, bytes, len);
	return p;
}
