/* See the header. Walking is done by hand, not by realpath(3), because each link on the way is wanted. */
#include "sandbox/listed_set.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LINKS_MAX 40 /* as the kernel */

int
listed_set_init(struct listed_set *set)
{
	*set = (struct listed_set){.sources = json_new_object()};
	return set->sources == NULL ? -ENOMEM : 0;
}

void
listed_set_done(struct listed_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		free(set->items[i].path);
		free(set->items[i].target);
	}
	free(set->items);
	json_free(set->sources);
	*set = (struct listed_set){0};
}

/* ---- sources ---- */

void
listed_identity(const struct stat *st, char ret[160])
{
	if (st == NULL) {
		(void)snprintf(ret, 160, "-");
		return;
	}
	(void)snprintf(ret, 160, "%llx:%llx %o %lld %lld.%09ld %lld.%09ld",
	    (unsigned long long)st->st_dev, (unsigned long long)st->st_ino, (unsigned)st->st_mode,
	    (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
	    (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

void
listed_source(struct listed_set *set, const char *path)
{
	char identity[160];
	struct stat st;
	listed_identity(lstat(path, &st) == 0 ? &st : NULL, identity);
	if (json_set_str(set->sources, path, identity) < 0)
		set->failed = true;
}

/* ---- items ---- */

bool
listed_below(const char *path, const char *directory)
{
	size_t len = strlen(directory);
	return strncmp(path, directory, len) == 0 && (path[len] == 0 || path[len] == '/');
}

size_t
listed_find(const struct listed_set *set, enum listed_kind kind, const char *path)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].kind == kind && strcmp(set->items[i].path, path) == 0)
			return i;
	return SIZE_MAX;
}

static struct listed_item *
make_room(struct listed_set *set)
{
	if (set->n == set->room && set->n < LISTED_ITEMS_MAX) {
		size_t room = MAX((size_t)64, set->room * 2);
		struct listed_item *items = realloc(set->items, room * sizeof(*items));
		if (items != NULL) {
			set->items = items;
			set->room = room;
		}
	}
	if (set->failed || set->n == set->room || set->n >= LISTED_ITEMS_MAX) {
		set->failed = true;
		return NULL;
	}
	return &set->items[set->n];
}

size_t
listed_add(struct listed_set *set, enum listed_kind kind, const char *path, size_t because)
{
	size_t at = listed_find(set, kind, path);
	if (at != SIZE_MAX)
		return at;
	struct listed_item *item = make_room(set);
	if (item == NULL)
		return SIZE_MAX;
	*item = (struct listed_item){
	    .kind = kind, .because = because == SIZE_MAX ? set->n : because, .path = strdup(path)};
	if (item->path == NULL) {
		set->failed = true;
		return SIZE_MAX;
	}
	return set->n++;
}

const struct listed_item *
listed_above(const struct listed_set *set, const char *path)
{
	const struct listed_item *best = NULL;
	for (size_t i = 0; i < set->n; i++) {
		const struct listed_item *item = &set->items[i];
		if ((item->kind == LISTED_DATA || item->kind == LISTED_CODE) &&
		    listed_below(path, item->path) &&
		    (best == NULL || strlen(item->path) > strlen(best->path)))
			best = item;
	}
	return best;
}

/* ---- walking ---- */

struct walk {
	char done[LISTED_PATH_MAX]; /* without links; "" is the root */
	char todo[LISTED_PATH_MAX]; /* what is left, relative to it */
	unsigned links;
};

static int
add_link(struct listed_set *set, const char *path, const char *target)
{
	size_t at = listed_add(set, LISTED_LINK, path, SIZE_MAX);
	if (at == SIZE_MAX)
		return -ENOMEM;
	listed_source(set, path);
	if (set->items[at].target == NULL)
		set->items[at].target = strdup(target);
	return set->items[at].target == NULL ? -ENOMEM : 0;
}

/* DONE is a link: what it says comes before what is left. */
static int
follow(struct listed_set *set, struct walk *w)
{
	char target[LISTED_PATH_MAX], rest[LISTED_PATH_MAX];
	ssize_t n = readlink(w->done, target, sizeof(target) - 1);
	if (n <= 0 || ++w->links > LINKS_MAX)
		return n < 0 ? -errno : -ELOOP;
	target[n] = 0;
	int r = add_link(set, w->done, target);
	if (r < 0)
		return r;
	*strrchr(w->done, '/') = 0;
	if (target[0] == '/')
		w->done[0] = 0;
	(void)snprintf(rest, sizeof(rest), "%s", w->todo);
	n = snprintf(w->todo, sizeof(w->todo), "%s/%s", target, rest);
	return n >= (int)sizeof(w->todo) ? -ENAMETOOLONG : 0;
}

/* Appends NAME of LEN bytes to DONE, or takes the last component off for "..". Whether DONE now names
 * something that was not looked at yet, or -ENAMETOOLONG. */
static int
move_on(struct walk *w, const char *name, size_t len)
{
	size_t have = strlen(w->done);
	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && memcmp(name, "..", 2) == 0) {
		if (have > 0)
			*strrchr(w->done, '/') = 0;
		return 0;
	}
	if (have + len + 2 > sizeof(w->done))
		return -ENAMETOOLONG;
	w->done[have] = '/';
	memcpy(w->done + have + 1, name, len);
	w->done[have + 1 + len] = 0;
	return 1;
}

/* Takes one component from TODO to DONE. */
static int
step(struct listed_set *set, struct walk *w, struct stat *st)
{
	const char *name = w->todo + strspn(w->todo, "/");
	size_t len = strcspn(name, "/");
	int r = move_on(w, name, len);
	memmove(w->todo, name + len, strlen(name + len) + 1);
	if (r <= 0)
		return r;
	if (lstat(w->done, st) < 0)
		return -errno;
	return S_ISLNK(st->st_mode) ? follow(set, w) : 0;
}

int
listed_walk(struct listed_set *set, const char *path, char ret[LISTED_PATH_MAX], struct stat *st)
{
	struct walk w = {0};
	if (path[0] != '/' || strlen(path) >= sizeof(w.todo))
		return -EINVAL;
	if (stat(path, st) < 0) {
		int r = -errno;
		listed_source(set, path);
		return r;
	}
	(void)snprintf(w.todo, sizeof(w.todo), "%s", path);
	int r = 0;
	while (r == 0 && w.todo[0] != 0)
		r = step(set, &w, st);
	if (r == 0 && (w.done[0] == 0 || lstat(w.done, st) < 0))
		r = w.done[0] == 0 ? -EINVAL : -errno;
	if (r == 0)
		(void)snprintf(ret, LISTED_PATH_MAX, "%s", w.done);
	return set->failed ? -ENOMEM : r;
}
