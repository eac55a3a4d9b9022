/* Walks the upper layer beside the lower directory and collects what differs. */
#include "sandbox/workspace_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Whether the upper entry NAME stands for "deleted". */
static bool
is_whiteout(int upper, const char *name, const struct stat *st)
{
	if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0))
		return true;
	if (!S_ISREG(st->st_mode) || st->st_size != 0)
		return false;
	_cleanup_close_ int fd = wsfs_open_forced(upper, name);
	char first;
	return fd >= 0 && walk_attribute(fd, "whiteout", &first);
}

static int walk_dir(struct walk *w, int upper, int lower);

static int
walk_subdir(struct walk *w, int upper, int lower, const char *name, const struct stat *now,
    const struct stat *old)
{
	_cleanup_close_ int up = wsfs_open(upper, name, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int low = -1;
	if (up == -EACCES)
		return walk_unread(w, now, old);
	if (up < 0)
		return walk_fail(w, up, "open");
	if (old != NULL && S_ISDIR(old->st_mode)) {
		low = wsfs_open(lower, name, O_RDONLY | O_DIRECTORY);
		if (low < 0)
			return walk_fail(w, low, "open");
	}
	int r = walk_down(w);
	if (r < 0)
		return r;
	r = walk_dir(w, up, low);
	walk_up(w);
	return r;
}

/* An upper entry that is not a whiteout; OLD is the lower one, or NULL. */
static int
walk_present(struct walk *w, int upper, int lower, const char *name, const struct stat *now,
    const struct stat *old)
{
	struct change *c = walk_change(w, old == NULL ? CHANGE_ADDED : CHANGE_MODIFIED, now, old);
	if (c == NULL)
		return -ENOMEM;
	int r = walk_content(w, upper, name, c);
	if (r < 0)
		return r;
	bool differs = old != NULL && walk_differs(w, lower, name, c);
	enum entry_type type = c->type;
	bool replaced_dir = old != NULL && S_ISDIR(old->st_mode) && type != ENTRY_DIR;
	if (old != NULL && !differs)
		walk_drop(w);
	if (type == ENTRY_DIR)
		return walk_subdir(w, upper, lower, name, now, old);
	return replaced_dir ? walk_deleted_below(w, lower, name) : 0;
}

static int
walk_entry(struct walk *w, int upper, int lower, const char *name)
{
	struct stat now, old;
	int r = wsfs_stat(upper, name, &now);
	if (r < 0)
		return walk_fail(w, r, "look at");
	if (is_whiteout(upper, name, &now))
		return lower < 0 ? 0 : walk_deleted(w, upper, lower, name);
	r = lower < 0 ? -ENOENT : wsfs_stat(lower, name, &old);
	if (r < 0 && r != -ENOENT)
		return walk_fail(w, r, "look at");
	return walk_present(w, upper, lower, name, &now, r == 0 ? &old : NULL);
}

/* LOWER is -1 where the lower layer has no such directory. */
static int
walk_dir(struct walk *w, int upper, int lower)
{
	char value = 0;
	if (walk_attribute(upper, "redirect", &value) || walk_attribute(upper, "metacopy", &value))
		return walk_fail(w, -EOPNOTSUPP, "follow the overlay redirection of");
	/* "x" only says that whiteouts inside are files with an attribute. */
	bool opaque = walk_attribute(upper, "opaque", &value) && value == 'y';
	int r = walk_names(w, upper, NULL, walk_entry, upper, lower);
	if (r < 0 || !opaque || lower < 0)
		return r;
	/* What an opaque directory hides is deleted. */
	struct wsfs_names names;
	r = wsfs_names(upper, WORKSPACE_ENTRIES_MAX, &names);
	if (r < 0)
		return walk_fail(w, r, "list");
	r = walk_names(w, lower, &names, walk_deleted, upper, lower);
	wsfs_names_done(&names);
	return r;
}

int
workspace_scan(int upper, int lower, int64_t since_ms, struct changes *ret, struct error *err)
{
	struct walk *w = walk_new(since_ms, ret, err);
	return w == NULL ? -ENOMEM : walk_finish(w, walk_dir(w, upper, lower));
}
