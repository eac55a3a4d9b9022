/* Walks the upper layer beside the lower directory and collects what differs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/workspace.h"
#include "sandbox/workspace_fs.h"
#include "sandbox/workspace_list.h"

struct walk {
	struct changes *out;
	struct error *err;
	int64_t since_ns; /* 0: conflicts are not looked for */
	int64_t budget;   /* bytes that may still be read */
	size_t seen;
	unsigned depth;
	char path[WORKSPACE_PATH_MAX];
	size_t path_len;
};

/* ---- the path being looked at ---- */

/* Appends NAME; walk_leave takes the length that the path had before. */
static int
walk_enter(struct walk *w, const char *name)
{
	size_t len = strlen(name), slash = w->path_len > 0 ? 1 : 0;
	if (w->path_len + slash + len >= sizeof(w->path))
		return error_set(w->err, ENAMETOOLONG, "workspace_too_large",
		    "the workspace has a path longer than %d bytes", WORKSPACE_PATH_MAX - 1);
	if (++w->seen > WORKSPACE_ENTRIES_MAX)
		return error_set(w->err, E2BIG, "workspace_too_large",
		    "the workspace has more than %d changed entries", WORKSPACE_ENTRIES_MAX);
	if (slash)
		w->path[w->path_len++] = '/';
	memcpy(w->path + w->path_len, name, len + 1);
	w->path_len += len;
	return 0;
}

static void
walk_leave(struct walk *w, size_t before)
{
	w->path_len = before;
	w->path[before] = 0;
}

static int
walk_fail(struct walk *w, int r, const char *doing)
{
	char shown[512];
	log_escape(w->path, w->path_len, shown, sizeof(shown));
	return error_set_errno(w->err, -r, "workspace_unreadable", "cannot %s %s in the workspace",
	    doing, w->path_len > 0 ? shown : "the top directory");
}

/* ---- entries ---- */

static enum entry_type
type_of(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return ENTRY_FILE;
	if (S_ISDIR(st->st_mode))
		return ENTRY_DIR;
	if (S_ISLNK(st->st_mode))
		return ENTRY_SYMLINK;
	if (S_ISFIFO(st->st_mode))
		return ENTRY_FIFO;
	return S_ISSOCK(st->st_mode) ? ENTRY_SOCKET : ENTRY_DEVICE;
}

static bool
has_attribute(int fd, const char *name, char *ret_first)
{
	static const char *const spaces[] = {"user.overlay.", "trusted.overlay."};
	char full[64], value[16];
	for (size_t i = 0; i < ARRAY_LEN(spaces); i++) {
		(void)snprintf(full, sizeof(full), "%s%s", spaces[i], name);
		ssize_t n = fgetxattr(fd, full, value, sizeof(value));
		if (n >= 0 || errno == ERANGE) {
			*ret_first = n > 0 ? value[0] : 0;
			return true;
		}
	}
	return false;
}

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
	return fd >= 0 && has_attribute(fd, "whiteout", &first);
}

static struct change *
new_change(struct walk *w, enum change_kind kind, const struct stat *now, const struct stat *old)
{
	struct changes *out = w->out;
	if (out->items == NULL || out->n == out->room) {
		size_t room = MAX(out->room * 2, (size_t)64);
		struct change *items = realloc(out->items, room * sizeof(*items));
		if (items == NULL)
			return NULL;
		out->items = items;
		out->room = room;
	}
	struct change *c = &out->items[out->n];
	*c = (struct change){.kind = kind, .path = strdup(w->path)};
	if (c->path == NULL)
		return NULL;
	out->n++;
	if (old != NULL) {
		c->old_type = type_of(old);
		c->old_mode = old->st_mode & 0777;
		c->old_size = S_ISDIR(old->st_mode) ? 0 : old->st_size;
		int64_t changed = (int64_t)old->st_ctim.tv_sec * 1000000000 + old->st_ctim.tv_nsec;
		if (w->since_ns != 0 && changed >= w->since_ns && !S_ISDIR(old->st_mode))
			c->flags |= CHANGE_CONFLICT;
	}
	if (now == NULL) {
		c->type = c->old_type;
		c->mode = c->old_mode;
		c->size = c->old_size;
		return c;
	}
	c->type = type_of(now);
	c->mode = now->st_mode & 0777;
	c->size = c->type == ENTRY_FILE || c->type == ENTRY_SYMLINK ? now->st_size : 0;
	c->inode = now->st_ino;
	c->linked = c->type != ENTRY_DIR && now->st_nlink > 1;
	if (now->st_mode & 07000)
		c->flags |= CHANGE_SETID;
	if (c->type >= ENTRY_FIFO)
		c->flags |= CHANGE_SPECIAL;
	return c;
}

/* Whether a link at PATH with TARGET, read as text, leaves the workspace. Links inside may make this a
 * wrong "no"; it is shown to people and decides nothing. */
static bool
leads_outside(const char *path, const char *target)
{
	if (target[0] == '/')
		return true;
	int depth = 0;
	for (const char *p = path; *p != 0; p++)
		depth += *p == '/';
	while (*target != 0) {
		size_t n = strcspn(target, "/");
		if (n == 2 && memcmp(target, "..", 2) == 0)
			depth--;
		else if (n > 0 && !(n == 1 && target[0] == '.'))
			depth++;
		if (depth < 0)
			return true;
		target += n + (target[n] == '/');
	}
	return false;
}

/* Fills in what the agent's file or link holds. */
static int
read_content(struct walk *w, int upper, const char *name, struct change *c)
{
	if (c->type == ENTRY_SYMLINK) {
		int r = wsfs_readlink(upper, name, &c->target);
		if (r < 0)
			return walk_fail(w, r, "read the link");
		sha256(c->target, strlen(c->target), c->hash);
		if (leads_outside(w->path, c->target))
			c->flags |= CHANGE_OUTSIDE;
		return 0;
	}
	if (c->type != ENTRY_FILE)
		return 0;
	_cleanup_close_ int fd = wsfs_open_forced(upper, name);
	char value;
	if (fd >= 0 && has_attribute(fd, "metacopy", &value))
		return walk_fail(w, -EOPNOTSUPP, "follow the overlay redirection of");
	if (c->size > w->budget || fd == -EACCES || fd == -EPERM) {
		c->flags |= CHANGE_UNREAD;
		return 0;
	}
	int r = fd < 0 ? fd : wsfs_hash(fd, &w->budget, c->hash);
	if (r == -EFBIG) {
		c->flags |= CHANGE_UNREAD;
		return 0;
	}
	return r < 0 ? walk_fail(w, r, "read") : 0;
}

/* Whether LOWER's NAME has other contents than C. What cannot be read counts as different. */
static bool
content_differs(struct walk *w, int lower, const char *name, const struct change *c)
{
	if (c->size != c->old_size || (c->flags & CHANGE_UNREAD))
		return true;
	if (c->type == ENTRY_SYMLINK) {
		_cleanup_free_ char *target = NULL;
		return wsfs_readlink(lower, name, &target) < 0 || strcmp(target, c->target) != 0;
	}
	_cleanup_close_ int fd = wsfs_open(lower, name, O_RDONLY | O_NONBLOCK);
	uint8_t hash[SHA256_BYTES];
	return fd < 0 || wsfs_hash(fd, &w->budget, hash) < 0 ||
	    memcmp(hash, c->hash, sizeof(hash)) != 0;
}

static bool
is_reserved(const char *name)
{
	return strncmp(name, WORKSPACE_RESERVED, strlen(WORKSPACE_RESERVED)) == 0;
}

static void
drop_last(struct changes *out)
{
	struct change *c = &out->items[--out->n];
	free(c->path);
	free(c->target);
}

/* ---- the walk ---- */

static int walk_dir(struct walk *w, int upper, int lower);

typedef int walk_fn(struct walk *w, int upper, int lower, const char *name);

/* Calls FN with the path of each name in directory FD that SKIP (may be NULL) does not have. */
static int
walk_names(struct walk *w, int fd, const struct wsfs_names *skip, walk_fn *fn, int upper, int lower)
{
	struct wsfs_names names;
	int r = wsfs_names(fd, WORKSPACE_ENTRIES_MAX, &names);
	if (r < 0)
		return walk_fail(w, r, "list");
	for (size_t i = 0; i < names.n && r == 0; i++) {
		size_t before = w->path_len;
		if (skip != NULL && wsfs_names_have(skip, names.items[i]))
			continue;
		r = walk_enter(w, names.items[i]);
		if (r == 0) {
			r = fn(w, upper, lower, names.items[i]);
			walk_leave(w, before);
		}
	}
	wsfs_names_done(&names);
	return r;
}

/* Reports LOWER's NAME as deleted, with all below it. */
static int
walk_deleted(struct walk *w, int upper, int lower, const char *name)
{
	struct stat st;
	int r = wsfs_stat(lower, name, &st);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return walk_fail(w, r, "look at");
	struct change *c = new_change(w, CHANGE_DELETED, NULL, &st);
	if (c == NULL)
		return -ENOMEM;
	if (is_reserved(name))
		c->flags |= CHANGE_PRIVATE;
	if (!S_ISDIR(st.st_mode))
		return 0;
	if (w->depth >= WORKSPACE_DEPTH_MAX)
		return walk_fail(w, -E2BIG, "go deeper than");
	_cleanup_close_ int fd = wsfs_open(lower, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return walk_fail(w, fd, "open");
	w->depth++;
	r = walk_names(w, fd, NULL, walk_deleted, upper, fd);
	w->depth--;
	return r;
}

/* Everything below LOWER's NAME, a directory that something else replaced. */
static int
walk_deleted_below(struct walk *w, int lower, const char *name)
{
	size_t at = w->out->n;
	int r = walk_deleted(w, -1, lower, name);
	if (r < 0)
		return r;
	/* The directory itself is already reported as changed. */
	struct change *first = &w->out->items[at];
	free(first->path);
	memmove(first, first + 1, (w->out->n - at - 1) * sizeof(*first));
	w->out->n--;
	return 0;
}

/* The agent took away the right to read the directory at the path: what is inside is unknown. */
static int
mark_unread(struct walk *w, const struct stat *now, const struct stat *old)
{
	struct changes *out = w->out;
	struct change *c = out->n > 0 ? &out->items[out->n - 1] : NULL;
	if (c == NULL || strcmp(c->path, w->path) != 0)
		c = new_change(w, old == NULL ? CHANGE_ADDED : CHANGE_MODIFIED, now, old);
	if (c == NULL)
		return -ENOMEM;
	c->flags |= CHANGE_UNREAD;
	return 0;
}

static int
walk_subdir(struct walk *w, int upper, int lower, const char *name, const struct stat *now,
    const struct stat *old)
{
	if (w->depth >= WORKSPACE_DEPTH_MAX)
		return walk_fail(w, -E2BIG, "go deeper than");
	_cleanup_close_ int up = wsfs_open(upper, name, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int low = -1;
	if (up == -EACCES)
		return mark_unread(w, now, old);
	if (up < 0)
		return walk_fail(w, up, "open");
	if (old != NULL && S_ISDIR(old->st_mode)) {
		low = wsfs_open(lower, name, O_RDONLY | O_DIRECTORY);
		if (low < 0)
			return walk_fail(w, low, "open");
	}
	w->depth++;
	int r = walk_dir(w, up, low);
	w->depth--;
	return r;
}

/* An upper entry that is not a whiteout; OLD is the lower one, or NULL. */
static int
walk_present(struct walk *w, int upper, int lower, const char *name, const struct stat *now,
    const struct stat *old)
{
	struct change *c = new_change(w, old == NULL ? CHANGE_ADDED : CHANGE_MODIFIED, now, old);
	if (c == NULL)
		return -ENOMEM;
	if (is_reserved(name))
		c->flags |= CHANGE_PRIVATE;
	int r = read_content(w, upper, name, c);
	if (r < 0)
		return r;
	if (old != NULL) {
		if (c->type != c->old_type)
			c->flags |= CHANGE_TYPE | CHANGE_CONTENT;
		else if (c->type != ENTRY_DIR && content_differs(w, lower, name, c))
			c->flags |= CHANGE_CONTENT;
		if (c->type != ENTRY_SYMLINK && c->mode != c->old_mode)
			c->flags |= CHANGE_MODE;
	}
	enum entry_type type = c->type;
	bool replaced_dir = old != NULL && S_ISDIR(old->st_mode) && type != ENTRY_DIR;
	if (c->kind == CHANGE_MODIFIED &&
	    !(c->flags & (CHANGE_CONTENT | CHANGE_MODE | CHANGE_TYPE)))
		drop_last(w->out);
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
	if (has_attribute(upper, "redirect", &value) || has_attribute(upper, "metacopy", &value))
		return walk_fail(w, -EOPNOTSUPP, "follow the overlay redirection of");
	/* "x" only says that whiteouts inside are files with an attribute. */
	bool opaque = has_attribute(upper, "opaque", &value) && value == 'y';
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
	*ret = (struct changes){0};
	struct walk *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return error_set_errno(err, ENOMEM, "no_memory", "cannot compare the workspace");
	*w = (struct walk){
	    .out = ret, .err = err, .since_ns = since_ms * 1000000, .budget = WORKSPACE_BYTES_MAX};
	int r = walk_dir(w, upper, lower);
	free(w);
	if (r == -ENOMEM)
		(void)error_set_errno(err, ENOMEM, "no_memory", "cannot compare the workspace");
	if (r == 0)
		changes_finish(ret);
	else
		changes_done(ret);
	return r;
}
