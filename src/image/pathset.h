/* A set of paths: which names the archive at hand has brought already. It holds hashes (the first half
 * of a SHA-256, which nobody can make collide on purpose), so it costs the same for long names. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct pathset {
	uint64_t (*slots)[2]; /* owned; {0, 0} is free */
	size_t n_slots;       /* a power of two, or 0 */
	size_t n;
};

/* Adds PATH: 1 if it is new, 0 if it was there, or -ENOMEM. */
int pathset_add(struct pathset *set, const char *path) MUST_CHECK;
bool pathset_has(const struct pathset *set, const char *path);
/* Empties and frees. A set of zero bytes is empty. */
void pathset_done(struct pathset *set);
