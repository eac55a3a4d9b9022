/* Numbers are given out in order; an address is a number and where this sandbox began. So finding the name of an
 * address is arithmetic, and nothing that was once given out ever means another name: that would be rebinding. */
#include "gateway/names.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/macros.h"

#define HOSTS_PER_24 254u /* not .0, not .255: some programs take them for something else */
#define PLACES_V4 \
	(512u * HOSTS_PER_24 - 1) /* in 198.18.0.0/15, without the resolver's, which is the first */
#define NETWORK_V4 0xc6120000u
#define TABLE_FIRST 64u

static const uint8_t network_v6[8] = {0xfd, 0x52, 0x66, 0x00};

struct names {
	uint32_t first_v4; /* the place of number 0 */
	uint64_t first_v6; /* the low half of its address */
	uint32_t seed;
	char **names; /* owned, and each of them */
	unsigned n;
	uint16_t *table; /* a number + 1, or 0: by hash, linear probing, at most half full */
	unsigned table_size;
};

struct names *
names_new(void)
{
	struct names *names = calloc(1, sizeof(*names));
	if (names == NULL)
		return NULL;
	uint64_t random[2];
	if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
		free(names);
		return NULL;
	}
	names->first_v4 = (uint32_t)(random[0] >> 32) % PLACES_V4;
	names->seed = (uint32_t)random[0];
	names->first_v6 = (random[1] >> 1) | 1; /* never ::0, and no number wraps round to it */
	return names;
}

struct names *
names_free(struct names *names)
{
	if (names == NULL)
		return NULL;
	for (unsigned i = 0; i < names->n; i++)
		free(names->names[i]);
	free(names->names);
	free(names->table);
	free(names);
	return NULL;
}

/* ---- by name ---- */

/* Where NAME is in the table, or would be. */
static unsigned
place_of(const struct names *names, const char *name)
{
	uint32_t hash = 2166136261u ^ names->seed; /* FNV-1a */
	for (const char *p = name; *p != 0; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	unsigned at = hash % names->table_size;
	while (names->table[at] != 0 && strcmp(names->names[names->table[at] - 1], name) != 0)
		at = (at + 1) % names->table_size;
	return at;
}

/* Makes room for one more name. */
static int
grow(struct names *names)
{
	if (2 * (names->n + 1) <= names->table_size)
		return 0;
	unsigned size = names->table_size == 0 ? TABLE_FIRST : 2 * names->table_size;
	char **list = realloc(names->names, size / 2 * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	names->names = list;
	uint16_t *table = calloc(size, sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	free(names->table);
	names->table = table;
	names->table_size = size;
	for (unsigned i = 0; i < names->n; i++)
		table[place_of(names, names->names[i])] = (uint16_t)(i + 1);
	return 0;
}

int
names_add(struct names *names, const char *name)
{
	if (names->n > 0) {
		unsigned number = names->table[place_of(names, name)];
		if (number > 0)
			return (int)number - 1;
	}
	if (names->n >= NAMES_MAX)
		return -ENOSPC;
	int r = grow(names);
	char *copy = r < 0 ? NULL : strdup(name);
	if (copy == NULL)
		return -ENOMEM;
	unsigned at = place_of(names, name);
	names->names[names->n++] = copy;
	names->table[at] = (uint16_t)names->n;
	return (int)names->n - 1;
}

/* ---- by address ---- */

static uint32_t
get_bytes32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	    bytes[3];
}

static void
put_bytes(uint8_t *bytes, uint64_t value, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		bytes[i] = (uint8_t)(value >> (8 * (n - 1 - i)));
}

void
names_ipv4(const struct names *names, int number, struct in_addr *ret)
{
	uint32_t place = 1 + (names->first_v4 + (uint32_t)number) % PLACES_V4;
	uint32_t address = NETWORK_V4 + place / HOSTS_PER_24 * 256 + 1 + place % HOSTS_PER_24;
	put_bytes((uint8_t *)&ret->s_addr, address, 4);
}

void
names_ipv6(const struct names *names, int number, struct in6_addr *ret)
{
	memcpy(ret->s6_addr, network_v6, sizeof(network_v6));
	put_bytes(ret->s6_addr + 8, names->first_v6 + (uint64_t)number, 8);
}

/* The number of an address in 198.18.0.0/15; PLACES_V4 or more if it has none. */
static uint32_t
number_v4(const struct names *names, uint32_t address)
{
	uint32_t host = address & 255;
	if (host == 0 || host == 255)
		return PLACES_V4;
	uint32_t place = (address - NETWORK_V4) / 256 * HOSTS_PER_24 + host - 1;
	if (place == 0)
		return PLACES_V4; /* the resolver's */
	return (place - 1 + PLACES_V4 - names->first_v4) % PLACES_V4;
}

static bool
is_synthetic_v4(const struct in6_addr *address)
{
	return IN6_IS_ADDR_V4MAPPED(address) &&
	    (get_bytes32(address->s6_addr + 12) & 0xfffe0000u) == NETWORK_V4;
}

static bool
is_synthetic_v6(const struct in6_addr *address)
{
	return memcmp(address->s6_addr, network_v6, sizeof(network_v6)) == 0;
}

bool
names_is_synthetic(const struct in6_addr *address)
{
	return is_synthetic_v4(address) || is_synthetic_v6(address);
}

const char *
names_find(const struct names *names, const struct in6_addr *address)
{
	uint64_t number;
	if (is_synthetic_v4(address))
		number = number_v4(names, get_bytes32(address->s6_addr + 12));
	else if (is_synthetic_v6(address))
		number = ((uint64_t)get_bytes32(address->s6_addr + 8) << 32 |
			     get_bytes32(address->s6_addr + 12)) -
		    names->first_v6;
	else
		return NULL;
	return number < names->n ? names->names[number] : NULL;
}
