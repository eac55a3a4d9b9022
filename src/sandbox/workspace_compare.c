/* Walks two whole trees side by side and collects what differs.
 *
 * Both are views of overlays, or one is the user's own directory. Their layers say where they can differ: an
 * entry that no layer has comes from what both share. So the walk goes down only where a layer does, as long
 * as the layers there are plain directories; below anything else (deleted, replaced, made opaque) it compares
 * everything. The layers decide only where is looked, never what is found. */
#include "sandbox/workspace_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct places {
	int fds[WORKSPACE_LAYERS_MAX]; /* borrowed at the top, owned below */
	size_t n;
	bool everywhere;
};

static int compare_dir(struct walk *w, int to, int from, const struct places *places);

/* ---- where to look ---- */

static void
places_done(struct places *places)
{
	for (size_t i = 0; i < places->n; i++)
		(void)close(places->fds[i]);
	places->n = 0;
}

static void
look_everywhere(struct places *places)
{
	places_done(places);
	places->everywhere = true;
}

/* The places below NAME. */
static void
places_below(const struct places *above, const char *name, struct places *ret)
{
	*ret = (struct places){.everywhere = above->everywhere};
	for (size_t i = 0; i < above->n && !ret->everywhere; i++) {
		struct stat st;
		char value = 0;
		int r = wsfs_stat(above->fds[i], name, &st);
		if (r == -ENOENT)
			continue;
		int fd = r == 0 ? wsfs_open(above->fds[i], name, O_RDONLY | O_DIRECTORY) : r;
		bool plain = fd >= 0 && !(walk_attribute(fd, "opaque", &value) && value == 'y') &&
		    !walk_attribute(fd, "redirect", &value);
		if (fd >= 0)
			ret->fds[ret->n++] = fd;
		if (!plain)
			look_everywhere(ret);
	}
}

/* ---- the walk ---- */

/* The same file in both: what the layers share, seen twice. Only the kernel sets the time of change. */
static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return S_ISREG(a->st_mode) && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	    a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int
compare_subdir(struct walk *w, int to, int from, const char *name, const struct stat *now,
    const struct stat *old)
{
	const struct places *above = w->data;
	_cleanup_close_ int now_fd = wsfs_open(to, name, O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int old_fd = -1;
	if (now_fd == -EACCES)
		return walk_unread(w, now, old);
	if (now_fd < 0)
		return walk_fail(w, now_fd, "open");
	if (old != NULL && S_ISDIR(old->st_mode)) {
		old_fd = wsfs_open(from, name, O_RDONLY | O_DIRECTORY);
		if (old_fd == -EACCES)
			return walk_unread(w, now, old);
		if (old_fd < 0)
			return walk_fail(w, old_fd, "open");
	}
	int r = walk_down(w);
	if (r < 0)
		return r;
	struct places *places = calloc(1, sizeof(*places));
	if (places == NULL)
		return -ENOMEM;
	if (old_fd < 0)
		places->everywhere = true;
	else
		places_below(above, name, places);
	r = compare_dir(w, now_fd, old_fd, places);
	w->data = (void *)(uintptr_t)above;
	places_done(places);
	free(places);
	walk_up(w);
	return r;
}

/* An entry of TO; OLD is what FROM has, or NULL. */
static int
compare_present(struct walk *w, int to, int from, const char *name, const struct stat *now,
    const struct stat *old)
{
	bool was_dir = old != NULL && S_ISDIR(old->st_mode), is_dir = S_ISDIR(now->st_mode);
	if (old != NULL && is_same_file(now, old))
		return 0;
	struct change *c = walk_change(w, old == NULL ? CHANGE_ADDED : CHANGE_MODIFIED, now, old);
	if (c == NULL)
		return -ENOMEM;
	int r = walk_content(w, to, name, c);
	if (r < 0)
		return r;
	if (old != NULL && !walk_differs(w, from, name, c))
		walk_drop(w);
	if (is_dir)
		return compare_subdir(w, to, from, name, now, old);
	return was_dir ? walk_deleted_below(w, from, name) : 0;
}

/* A walk_fn. FROM is -1 where the older tree has no such directory. */
static int
compare_entry(struct walk *w, int to, int from, const char *name)
{
	struct stat now, old;
	int has_now = wsfs_stat(to, name, &now);
	int has_old = from < 0 ? -ENOENT : wsfs_stat(from, name, &old);
	if (has_now < 0 && has_now != -ENOENT)
		return walk_fail(w, has_now, "look at");
	if (has_old < 0 && has_old != -ENOENT)
		return walk_fail(w, has_old, "look at");
	if (has_now < 0)
		return has_old < 0 ? 0 : walk_deleted(w, to, from, name);
	return compare_present(w, to, from, name, &now, has_old == 0 ? &old : NULL);
}

static int
compare_everywhere(struct walk *w, int to, int from)
{
	int r = walk_names(w, to, NULL, compare_entry, to, from);
	if (r < 0 || from < 0)
		return r;
	struct wsfs_names names;
	r = wsfs_names(to, WORKSPACE_ENTRIES_MAX, &names);
	if (r < 0)
		return walk_fail(w, r, "list");
	r = walk_names(w, from, &names, walk_deleted, to, from);
	wsfs_names_done(&names);
	return r;
}

/* Each name once, whichever of the layers have it. */
static int
compare_where_layers_are(struct walk *w, int to, int from, const struct places *places)
{
	for (size_t i = 0; i < places->n; i++) {
		struct wsfs_names names;
		int r = wsfs_names(places->fds[i], WORKSPACE_ENTRIES_MAX, &names);
		if (r < 0)
			return walk_fail(w, r, "list");
		for (size_t k = 0; k < names.n && r == 0; k++) {
			struct stat st;
			bool seen = false;
			for (size_t before = 0; before < i && !seen; before++)
				seen = wsfs_stat(places->fds[before], names.items[k], &st) == 0;
			size_t len = w->path_len;
			r = seen ? 0 : walk_enter(w, names.items[k]);
			if (r == 0 && !seen) {
				r = compare_entry(w, to, from, names.items[k]);
				walk_leave(w, len);
			}
		}
		wsfs_names_done(&names);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
compare_dir(struct walk *w, int to, int from, const struct places *places)
{
	w->data = (void *)(uintptr_t)places;
	return places->everywhere ? compare_everywhere(w, to, from)
				  : compare_where_layers_are(w, to, from, places);
}

int
workspace_compare(int from, int to, const int *layers, size_t n_layers, int64_t since_ms,
    struct changes *ret, struct error *err)
{
	struct places top = {.everywhere = n_layers == 0};
	if (n_layers > WORKSPACE_LAYERS_MAX)
		return error_set(err, E2BIG, "workspace_too_large", "too many layers to compare");
	struct walk *w = walk_new(since_ms, ret, err);
	if (w == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n_layers; i++)
		top.fds[top.n++] = layers[i];
	return walk_finish(w, compare_dir(w, to, from, &top));
}
