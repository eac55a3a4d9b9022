/* The set of things that a listed root shows, as it grows: files, links, directories of data.
 *
 * Everything is named by where it is on the host, which is where it will be inside. Paths are walked one
 * component at a time, so that each link on the way is shown as a link (/usr/bin/awk → /etc/alternatives/awk
 * → /usr/bin/mawk) and each thing is in the set once, under the name that has no link in it.
 *
 * Beside it grows the list of sources: what was looked at and how it was, absences included, so that
 * a later look tells whether the set would still be the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

#define LISTED_PATH_MAX 4096
#define LISTED_ITEMS_MAX 4096

enum listed_kind {
	LISTED_FILE, /* copied */
	LISTED_LINK, /* made anew */
	LISTED_DATA, /* a directory or file of data, bound without execution */
	LISTED_CODE, /* a directory in which there may be libraries; "mapped" says whether there are */
	LISTED_COVERED, /* a program below such a directory: an empty file lies over it */
};

struct listed_item {
	enum listed_kind kind;
	bool execute;       /* a FILE that Landlock lets be executed: a program, or its loader */
	bool mapped;        /* of CODE: something in it is mapped as code */
	bool file;          /* of DATA: not a directory */
	size_t because;     /* the item that needs this one; itself, if a rule does */
	char *path;         /* owned */
	char *target;       /* of a LINK; owned */
	char identity[160]; /* of a FILE: what was looked at, to compare when it is copied */
	long long bytes;    /* of a FILE */
};

struct listed_set {
	struct listed_item *items; /* owned */
	size_t n, room;
	struct json *sources; /* {path: identity}; owned */
	bool failed;          /* without memory, or too many: the set is no good */
};

int listed_set_init(struct listed_set *set) MUST_CHECK;
void listed_set_done(struct listed_set *set);

/* How the file that ST describes is known again; "-" for NULL: absent. */
void listed_identity(const struct stat *st, char ret[160]);
/* Notes how PATH is now (not following a link). */
void listed_source(struct listed_set *set, const char *path);

/* Follows PATH to the end, putting every link of the way into the set. RET is its name without links, ST
 * what it is. 0, or -errno: it is not there (its absence is noted), or cannot be followed. */
int listed_walk(struct listed_set *set, const char *path, char ret[LISTED_PATH_MAX],
    struct stat *st) MUST_CHECK;
/* The item PATH (which has no link in it) of KIND, added if need be, because of the item BECAUSE (or
 * SIZE_MAX: of itself). Its index, or SIZE_MAX when the set failed. */
size_t listed_add(struct listed_set *set, enum listed_kind kind, const char *path, size_t because);
/* The index of PATH among items of KIND, or SIZE_MAX. */
size_t listed_find(const struct listed_set *set, enum listed_kind kind, const char *path);
/* The nearest DATA or CODE item at or above PATH; NULL: none. */
const struct listed_item *listed_above(const struct listed_set *set, const char *path);
/* Whether PATH is DIRECTORY or lies in it. */
bool listed_below(const char *path, const char *directory);
