/* A hash table with open addressing, by the ticket's id hashed. Entries are not deleted one by one: when the table is
 * half full it is built anew without what has expired, larger if need be. */
#include "dialer/tickets.h"

#include <errno.h>
#include <string.h>

#include "base/sha256.h"

#define FIRST_ROOM 1024
#define CLOCK_BACK_MS 5000 /* well below the life of a ticket */

struct used {
	uint8_t id[16];     /* of SHA-256 of the text: two that collide are nobody's to find */
	int64_t expires_ms; /* 0: free */
	int left;
};

struct tickets {
	struct used *table;
	size_t room; /* a power of two */
	size_t n, max;
	int64_t latest_ms;
};

struct tickets *
tickets_new(size_t max)
{
	struct tickets *t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->table = calloc(FIRST_ROOM, sizeof(*t->table));
	t->room = FIRST_ROOM;
	t->max = max;
	return t->table != NULL ? t : tickets_free(t);
}

struct tickets *
tickets_free(struct tickets *t)
{
	if (t != NULL)
		free(t->table);
	free(t);
	return NULL;
}

int64_t
tickets_now_ms(struct tickets *t, int64_t wall_ms)
{
	t->latest_ms = MAX(t->latest_ms, wall_ms);
	return t->latest_ms;
}

bool
tickets_clock_is_lost(const struct tickets *t, int64_t wall_ms)
{
	return wall_ms < t->latest_ms - CLOCK_BACK_MS;
}

size_t
tickets_count(const struct tickets *t)
{
	return t->n;
}

/* Where ID is, or the free place where it belongs. */
static struct used *
find(struct used *table, size_t room, const uint8_t id[16])
{
	size_t at;
	memcpy(&at, id, sizeof(at));
	for (;; at++) {
		struct used *u = &table[at & (room - 1)];
		if (u->expires_ms == 0 || memcmp(u->id, id, sizeof(u->id)) == 0)
			return u;
	}
}

/* Builds the table anew with ROOM places, without what has expired. */
static int
rebuild(struct tickets *t, size_t room, int64_t now_ms)
{
	struct used *table = calloc(room, sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	t->n = 0;
	for (size_t i = 0; i < t->room; i++) {
		if (t->table[i].expires_ms <= now_ms)
			continue;
		*find(table, room, t->table[i].id) = t->table[i];
		t->n++;
	}
	free(t->table);
	t->table = table;
	t->room = room;
	return 0;
}

/* Room for one more. -EACCES if there may be none. */
static int
make_room(struct tickets *t, int64_t now_ms)
{
	if (t->n < t->room / 2 && t->n < t->max)
		return 0;
	int r = rebuild(t, t->room, now_ms);
	/* Twice the room while what is left fills more than a quarter, so that the next time is far. */
	if (r == 0 && t->n >= t->room / 4 && t->room / 2 < t->max)
		r = rebuild(t, t->room * 2, now_ms);
	if (r < 0)
		return r;
	return t->n < t->max && t->n < t->room / 2 ? 0 : -EACCES;
}

int
tickets_use(struct tickets *t, const struct ticket *ticket, int64_t now_ms, struct error *err)
{
	uint8_t hash[SHA256_BYTES];
	sha256(ticket->id, strlen(ticket->id), hash);
	struct used *u = find(t->table, t->room, hash);
	if (u->expires_ms != 0) {
		if (u->left == 0)
			return error_set(err, EACCES, "ticket_refused",
			    "the dialer refuses the ticket: it has been used");
		u->left--;
		return 0;
	}
	int r = make_room(t, now_ms);
	if (r == -EACCES)
		return error_set(err, EACCES, "ticket_refused",
		    "the dialer refuses the ticket: it remembers as many as it can");
	if (r < 0)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	u = find(t->table, t->room, hash);
	memcpy(u->id, hash, sizeof(u->id));
	u->expires_ms = ticket->expires_ms;
	u->left = ticket->connections - 1;
	t->n++;
	return 0;
}
