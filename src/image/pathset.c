#include "image/pathset.h"

#include <errno.h>
#include <string.h>

#include "base/sha256.h"

#define SLOTS_FIRST 1024

static void
make_key(const char *path, uint64_t ret[2])
{
	uint8_t hash[SHA256_BYTES];
	sha256(path, strlen(path), hash);
	memcpy(ret, hash, 2 * sizeof(ret[0]));
	ret[0] |= 1; /* never {0, 0} */
}

/* The slot that has KEY, or the free one where it belongs. The table is never full. */
static uint64_t *
find(const struct pathset *set, const uint64_t key[2])
{
	size_t i = (size_t)key[1] & (set->n_slots - 1);
	while (set->slots[i][0] != 0 && (set->slots[i][0] != key[0] || set->slots[i][1] != key[1]))
		i = (i + 1) & (set->n_slots - 1);
	return set->slots[i];
}

static int
grow(struct pathset *set)
{
	struct pathset bigger = {.n_slots = MAX(set->n_slots * 2, (size_t)SLOTS_FIRST)};
	bigger.slots = calloc(bigger.n_slots, sizeof(bigger.slots[0]));
	if (bigger.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < set->n_slots; i++)
		if (set->slots[i][0] != 0)
			memcpy(find(&bigger, set->slots[i]), set->slots[i], sizeof(set->slots[i]));
	free(set->slots);
	set->slots = bigger.slots;
	set->n_slots = bigger.n_slots;
	return 0;
}

int
pathset_add(struct pathset *set, const char *path)
{
	uint64_t key[2];
	if (set->n * 2 >= set->n_slots && grow(set) < 0)
		return -ENOMEM;
	make_key(path, key);
	uint64_t *slot = find(set, key);
	if (slot[0] != 0)
		return 0;
	memcpy(slot, key, sizeof(key));
	set->n++;
	return 1;
}

bool
pathset_has(const struct pathset *set, const char *path)
{
	uint64_t key[2];
	if (set->n == 0)
		return false;
	make_key(path, key);
	return find(set, key)[0] != 0;
}

void
pathset_done(struct pathset *set)
{
	free(set->slots);
	*set = (struct pathset){0};
}
