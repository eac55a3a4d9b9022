/* The entries that a walk meets: where it stands, what each is, what changed in it. Everything is bounded,
 * and nothing is opened but by descriptor (workspace_fs.h). */
#include "sandbox/workspace_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/workspace_list.h"

/* ---- the path being looked at ---- */

int
walk_enter(struct walk *w, const char *name)
{
	size_t len = strlen(name), slash = w->path_len > 0 ? 1 : 0;
	if (w->path_len + slash + len >= sizeof(w->path))
		return error_set(w->err, ENAMETOOLONG, "workspace_too_large",
		    "the workspace has a path longer than %d bytes", WORKSPACE_PATH_MAX - 1);
	if (++w->seen > w->entries_max)
		return error_set(w->err, E2BIG, "workspace_too_large",
		    "the workspace has more than %zu entries to compare", w->entries_max);
	if (slash)
		w->path[w->path_len++] = '/';
	memcpy(w->path + w->path_len, name, len + 1);
	w->path_len += len;
	return 0;
}

void
walk_leave(struct walk *w, size_t before)
{
	w->path_len = before;
	w->path[before] = 0;
}

int
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

bool
walk_attribute(int fd, const char *name, char *ret_first)
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

static bool
is_reserved(const char *name)
{
	return strncmp(name, WORKSPACE_RESERVED, strlen(WORKSPACE_RESERVED)) == 0;
}

struct change *
walk_change(struct walk *w, enum change_kind kind, const struct stat *now, const struct stat *old)
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
	const char *slash = strrchr(c->path, '/');
	if (is_reserved(slash != NULL ? slash + 1 : c->path))
		c->flags |= CHANGE_PRIVATE;
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
	c->device = now->st_dev;
	c->linked = c->type != ENTRY_DIR && now->st_nlink > 1;
	if (now->st_mode & 07000)
		c->flags |= CHANGE_SETID;
	if (c->type >= ENTRY_FIFO)
		c->flags |= CHANGE_SPECIAL;
	return c;
}

/* Whether a link at PATH with TARGET, read as text, may leave the workspace. ".." counts at the beginning
 * only, where the directories are real ones: after a name, which may itself be a link, it may lead anywhere. */
static bool
leads_outside(const char *path, const char *target)
{
	if (target[0] == '/')
		return true;
	int depth = 0;
	bool named = false;
	for (const char *p = path; *p != 0; p++)
		depth += *p == '/';
	while (*target != 0) {
		size_t n = strcspn(target, "/");
		if (n == 2 && memcmp(target, "..", 2) == 0) {
			if (named || --depth < 0)
				return true;
		} else if (n > 0 && !(n == 1 && target[0] == '.')) {
			named = true;
		}
		target += n + (target[n] == '/');
	}
	return false;
}

int
walk_content(struct walk *w, int dir, const char *name, struct change *c)
{
	if (c->type == ENTRY_SYMLINK) {
		int r = wsfs_readlink(dir, name, &c->target);
		if (r < 0)
			return walk_fail(w, r, "read the link");
		sha256(c->target, strlen(c->target), c->hash);
		if (leads_outside(w->path, c->target))
			c->flags |= CHANGE_OUTSIDE;
		return 0;
	}
	if (c->type != ENTRY_FILE)
		return 0;
	_cleanup_close_ int fd = wsfs_open_forced(dir, name);
	char value;
	if (fd >= 0 && walk_attribute(fd, "metacopy", &value))
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

/* Whether OLD's NAME has other contents than C. What cannot be read counts as different. */
static bool
content_differs(struct walk *w, int old, const char *name, const struct change *c)
{
	if (c->size != c->old_size || (c->flags & CHANGE_UNREAD))
		return true;
	if (c->type == ENTRY_SYMLINK) {
		_cleanup_free_ char *target = NULL;
		return wsfs_readlink(old, name, &target) < 0 || strcmp(target, c->target) != 0;
	}
	_cleanup_close_ int fd = wsfs_open(old, name, O_RDONLY | O_NONBLOCK);
	uint8_t hash[SHA256_BYTES];
	return fd < 0 || wsfs_hash(fd, &w->budget, hash) < 0 ||
	    memcmp(hash, c->hash, sizeof(hash)) != 0;
}

bool
walk_differs(struct walk *w, int old, const char *name, struct change *c)
{
	if (c->type != c->old_type)
		c->flags |= CHANGE_TYPE | CHANGE_CONTENT;
	else if (c->type != ENTRY_DIR && content_differs(w, old, name, c))
		c->flags |= CHANGE_CONTENT;
	if (c->type != ENTRY_SYMLINK && c->mode != c->old_mode)
		c->flags |= CHANGE_MODE;
	return (c->flags & (CHANGE_CONTENT | CHANGE_MODE | CHANGE_TYPE)) != 0;
}

void
walk_drop(struct walk *w)
{
	struct change *c = &w->out->items[--w->out->n];
	free(c->path);
	free(c->target);
}

/* ---- the walk ---- */

int
walk_names(struct walk *w, int fd, const struct wsfs_names *skip, walk_fn *fn, int now, int old)
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
			r = fn(w, now, old, names.items[i]);
			walk_leave(w, before);
		}
	}
	wsfs_names_done(&names);
	return r;
}

int
walk_deleted(struct walk *w, int now, int old, const char *name)
{
	struct stat st;
	int r = wsfs_stat(old, name, &st);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return walk_fail(w, r, "look at");
	struct change *c = walk_change(w, CHANGE_DELETED, NULL, &st);
	if (c == NULL)
		return -ENOMEM;
	if (!S_ISDIR(st.st_mode))
		return 0;
	_cleanup_close_ int fd = wsfs_open(old, name, O_RDONLY | O_DIRECTORY);
	if (fd == -EACCES)
		return walk_unread(w, NULL, &st);
	if (fd < 0)
		return walk_fail(w, fd, "open");
	r = walk_down(w);
	if (r < 0)
		return r;
	r = walk_names(w, fd, NULL, walk_deleted, now, fd);
	walk_up(w);
	return r;
}

int
walk_deleted_below(struct walk *w, int old, const char *name)
{
	size_t at = w->out->n;
	int r = walk_deleted(w, -1, old, name);
	if (r < 0)
		return r;
	/* The directory itself is already reported as changed. */
	struct change *first = &w->out->items[at];
	free(first->path);
	memmove(first, first + 1, (w->out->n - at - 1) * sizeof(*first));
	w->out->n--;
	return 0;
}

int
walk_unread(struct walk *w, const struct stat *now, const struct stat *old)
{
	struct changes *out = w->out;
	struct change *c = out->n > 0 ? &out->items[out->n - 1] : NULL;
	if (c == NULL || strcmp(c->path, w->path) != 0)
		c = walk_change(w, old == NULL ? CHANGE_ADDED : CHANGE_MODIFIED, now, old);
	if (c == NULL)
		return -ENOMEM;
	c->flags |= CHANGE_UNREAD;
	return 0;
}

/* ---- the walk as a whole ---- */

int
walk_down(struct walk *w)
{
	if (w->depth >= WORKSPACE_DEPTH_MAX)
		return walk_fail(w, -E2BIG, "go deeper than");
	w->depth++;
	return 0;
}

void
walk_up(struct walk *w)
{
	w->depth--;
}

struct walk *
walk_new(int64_t since_ms, struct changes *ret, struct error *err)
{
	*ret = (struct changes){0};
	struct walk *w = calloc(1, sizeof(*w));
	if (w == NULL) {
		(void)error_set_errno(err, ENOMEM, "no_memory", "cannot compare the workspace");
		return NULL;
	}
	w->out = ret;
	w->err = err;
	w->since_ns = since_ms * 1000000;
	w->budget = WORKSPACE_BYTES_MAX;
	w->entries_max = WORKSPACE_ENTRIES_MAX;
	return w;
}

int
walk_finish(struct walk *w, int r)
{
	if (r == -ENOMEM)
		(void)error_set_errno(w->err, ENOMEM, "no_memory", "cannot compare the workspace");
	if (r == 0)
		changes_finish(w->out);
	else
		changes_done(w->out);
	free(w);
	return r;
}
