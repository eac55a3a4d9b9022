/* Memory of one lifetime: taken piece by piece, freed whole. A policy lives in one arena. */
#pragma once

#include <stddef.h>

#include "base/macros.h"

struct arena {
	struct arena_block *blocks; /* newest first; owned */
	size_t total;               /* bytes taken from the allocator */
	size_t limit;               /* most that may be taken; an allocation past it fails */
};

void arena_init(struct arena *a, size_t limit_bytes);
/* Frees everything that came from A. */
void arena_done(struct arena *a);
/* SIZE zeroed bytes, aligned for any object; NULL if memory or the limit is exhausted. */
void *arena_alloc(struct arena *a, size_t size);
/* COUNT zeroed elements of SIZE bytes; NULL also on overflow. Zero elements give a valid pointer. */
void *arena_array(struct arena *a, size_t count, size_t size);
/* A NUL-terminated copy of LEN bytes. */
char *arena_text(struct arena *a, const char *bytes, size_t len);
