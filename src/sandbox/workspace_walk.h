/* What the two walks share: of an overlay's upper layer beside the lower directory (workspace_walk.c), and
 * of two whole trees (workspace_compare.c). Where it stands, what it may still read, what an entry is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "sandbox/workspace.h"
#include "sandbox/workspace_fs.h"

struct walk {
	struct changes *out;
	struct error *err;
	int64_t since_ns; /* 0: conflicts are not looked for */
	int64_t budget;   /* bytes that may still be read */
	size_t seen, entries_max;
	unsigned depth;
	char path[WORKSPACE_PATH_MAX];
	size_t path_len;
	void *data; /* of the walk's own */
};

/* A walk that collects into RET; NULL when there is no memory. free() it. */
struct walk *walk_new(int64_t since_ms, struct changes *ret, struct error *err);
/* Ends it: sorts the changes, or drops them when R says that it failed. Returns R. */
int walk_finish(struct walk *w, int r) MUST_CHECK;

/* Appends NAME to the path; walk_leave takes the length that the path had before. */
int walk_enter(struct walk *w, const char *name) MUST_CHECK;
void walk_leave(struct walk *w, size_t before);
/* Explains the negative errno R at the path, and returns it. */
int walk_fail(struct walk *w, int r, const char *doing);

/* The overlay attribute NAME of FD, in either form, with the first byte of its value. */
bool walk_attribute(int fd, const char *name, char *ret_first);

/* A change at the path, with what NOW and OLD (either may be NULL) say; NULL when there is no memory. */
struct change *walk_change(
    struct walk *w, enum change_kind kind, const struct stat *now, const struct stat *old);
/* Takes the last change back. */
void walk_drop(struct walk *w);
/* Fills in what the agent's file or link NAME holds. */
int walk_content(struct walk *w, int dir, const char *name, struct change *c) MUST_CHECK;
/* Says in C's flags how it differs from the older entry NAME in directory OLD. True if it does. */
bool walk_differs(struct walk *w, int old, const char *name, struct change *c);
/* The directory at the path cannot be read: what is inside is unknown. */
int walk_unread(struct walk *w, const struct stat *now, const struct stat *old) MUST_CHECK;

typedef int walk_fn(struct walk *w, int now, int old, const char *name);
/* Calls FN with the path of each name in directory FD that SKIP (may be NULL) does not have. */
int walk_names(struct walk *w, int fd, const struct wsfs_names *skip, walk_fn *fn, int now, int old)
    MUST_CHECK;
/* Reports OLD's NAME as deleted, with all below it. A walk_fn. */
int walk_deleted(struct walk *w, int now, int old, const char *name) MUST_CHECK;
/* Everything below OLD's NAME, a directory that something else replaced. */
int walk_deleted_below(struct walk *w, int old, const char *name) MUST_CHECK;
/* One directory deeper, or -E2BIG explained; walk_up after success. */
int walk_down(struct walk *w) MUST_CHECK;
void walk_up(struct walk *w);
