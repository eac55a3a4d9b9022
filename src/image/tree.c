#include "image/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "image/path.h"
#include "sandbox/workspace_fs.h"

#define WHITEOUT ".wh."
#define WHITEOUT_LEN 4
#define OPAQUE ".wh..wh..opq"

/* One entry on its way in. */
struct place {
	char path[IMAGE_PATH_MAX]; /* clean */
	const char *name;          /* its last component */
	int parent;
};

void
tree_init(struct tree *tree, int root, const struct image_limits *limits)
{
	*tree = (struct tree){.root = root, .limits = *limits};
}

void
tree_next_layer(struct tree *tree)
{
	pathset_done(&tree->seen);
}

void
tree_done(struct tree *tree)
{
	pathset_done(&tree->seen);
}

static int
no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "no_memory", "out of memory");
}

/* ---- bounds ---- */

static int
count_entry(struct tree *tree, struct error *err)
{
	if (++tree->entries > tree->limits.entries)
		return image_refuse(err, "more than %lld files", (long long)tree->limits.entries);
	return 0;
}

static int
count_bytes(struct tree *tree, const char *path, int64_t size, struct error *err)
{
	if (size < 0)
		return image_refuse_path(err, path, "a negative size");
	if (size > tree->limits.bytes - tree->bytes)
		return image_refuse(
		    err, "more than %lld MiB of contents", (long long)(tree->limits.bytes >> 20));
	tree->bytes += size;
	return 0;
}

/* ---- parents ---- */

/* Opens PATH below the tree's root as a directory, without following any link. */
static int
open_directory(const struct tree *tree, const char *path)
{
	return wsfs_open(tree->root, path[0] == 0 ? "." : path, O_RDONLY | O_DIRECTORY);
}

static int
parent_failed(const char *path, int r, struct error *err)
{
	if (r == -ELOOP || r == -ENOTDIR)
		return image_refuse_path(err, path, "lies below a link or a file");
	return image_failed(err, r, "make", path);
}

/* mkdir -p of PATH; every part counts, and is brought by this layer. RET: the directory. */
static int
make_directories(struct tree *tree, const char *path, int *ret, struct error *err)
{
	char partial[IMAGE_PATH_MAX];
	size_t len = strlen(path);
	if (len == 0 || pathset_has(&tree->seen, path)) {
		*ret = open_directory(tree, path);
		return *ret < 0 ? parent_failed(path, *ret, err) : 0;
	}
	int fd = open_directory(tree, "");
	for (size_t from = 0, to; from < len && fd >= 0; from = to + 1) {
		to = from + strcspn(path + from, "/");
		memcpy(partial, path, to);
		partial[to] = 0;
		int r = pathset_add(&tree->seen, partial);
		if (r > 0 && mkdirat(fd, partial + from, 0755) == 0)
			r = count_entry(tree, err);
		int next = r < 0 ? r : wsfs_open(fd, partial + from, O_RDONLY | O_DIRECTORY);
		(void)close(fd);
		if (r < 0)
			return r == -ENOMEM ? no_memory(err) : r;
		fd = next;
	}
	if (fd < 0)
		return parent_failed(path, fd, err);
	*ret = fd;
	return 0;
}

/* Cleans PATH and opens where it belongs; directories on the way are made if MAKE. */
static int
find_place(struct tree *tree, const char *path, bool make, struct place *ret, struct error *err)
{
	char parent[IMAGE_PATH_MAX];
	int r = path_clean(path, ret->path, err);
	if (r < 0)
		return r;
	const char *slash = strrchr(ret->path, '/');
	ret->name = slash == NULL ? ret->path : slash + 1;
	(void)snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 0 : (int)(slash - ret->path),
	    ret->path);
	if (make)
		return make_directories(tree, parent, &ret->parent, err);
	ret->parent = open_directory(tree, parent);
	return ret->parent < 0 ? ret->parent : 0;
}

static void
place_done(struct place *place)
{
	if (place->parent >= 0)
		(void)close(place->parent);
}

/* ---- whiteouts ---- */

/* Removes what the layers below have at NAME in PARENT, whose path is PATH; what this layer brought
 * stays. A directory that it brought is kept with what it brought below. */
static int
hide(struct tree *tree, int parent, const char *name, const char *path)
{
	if (!pathset_has(&tree->seen, path))
		return wsfs_remove_tree(parent, name);
	_cleanup_close_ int fd = wsfs_open(parent, name, O_RDONLY | O_DIRECTORY);
	struct wsfs_names names = {0};
	if (fd < 0)
		return 0; /* a file or a link of this layer */
	int r = wsfs_names(fd, IMAGE_ENTRIES_MAX, &names);
	char *child = malloc(IMAGE_PATH_MAX);
	if (r == 0 && child == NULL)
		r = -ENOMEM;
	for (size_t i = 0; i < names.n && r == 0; i++) {
		(void)snprintf(
		    child, IMAGE_PATH_MAX, "%s%s%s", path, path[0] == 0 ? "" : "/", names.items[i]);
		r = hide(tree, fd, names.items[i], child);
	}
	free(child);
	wsfs_names_done(&names);
	return r;
}

/* The directory of an opaque whiteout is brought by the layer, empty unless it brings more. */
static int
make_opaque(struct tree *tree, const char *directory, struct error *err)
{
	int fd = -1;
	struct place place = {.parent = -1};
	int r = make_directories(tree, directory, &fd, err);
	if (fd >= 0)
		(void)close(fd);
	if (r < 0)
		return r;
	if (directory[0] == 0) {
		place.parent = wsfs_open(tree->root, ".", O_RDONLY | O_DIRECTORY);
		r = pathset_add(&tree->seen, "");
		r = r < 0 ? r : hide(tree, place.parent, ".", "");
	} else {
		r = find_place(tree, directory, false, &place, err);
		if (r == 0)
			r = hide(tree, place.parent, place.name, directory);
	}
	place_done(&place);
	return r < 0 ? image_failed(err, r, "empty", directory) : 0;
}

/* Whether a directory on the way to PATH is a file by now: builders that replaced it say of each thing
 * that was in it that it is gone. */
static bool
is_below_file(const struct tree *tree, const char *path)
{
	char partial[IMAGE_PATH_MAX];
	struct stat st;
	for (size_t len = strcspn(path, "/"); path[len] != 0;
	     len += 1 + strcspn(path + len + 1, "/")) {
		(void)snprintf(partial, sizeof(partial), "%.*s", (int)len, path);
		if (wsfs_stat(tree->root, partial, &st) < 0)
			return false;
		if (!S_ISDIR(st.st_mode))
			return S_ISREG(st.st_mode);
	}
	return false;
}

static int
hide_path(struct tree *tree, const char *path, struct error *err)
{
	struct place place = {.parent = -1};
	int r = find_place(tree, path, false, &place, err);
	if (r == -ENOENT || r == -EBADMSG)
		return r == -ENOENT ? 0 : r;
	if (r < 0)
		return is_below_file(tree, path) ? 0 : parent_failed(path, r, err);
	r = hide(tree, place.parent, place.name, path);
	place_done(&place);
	return r < 0 ? image_failed(err, r, "remove", path) : 0;
}

static int
add_whiteout(struct tree *tree, const char *path, const char *name, struct error *err)
{
	char hidden[IMAGE_PATH_MAX];
	int directory = (int)(name - path);
	if (strcmp(name, OPAQUE) == 0) {
		(void)snprintf(hidden, sizeof(hidden), "%.*s", MAX(directory - 1, 0), path);
		return make_opaque(tree, hidden, err);
	}
	const char *what = name + WHITEOUT_LEN;
	if (strncmp(what, WHITEOUT, WHITEOUT_LEN) == 0)
		return 0; /* what aufs kept for itself: .wh..wh.plnk, .wh..wh.aufs */
	if (what[0] == 0 || strcmp(what, ".") == 0 || strcmp(what, "..") == 0)
		return image_refuse_path(err, path, "a whiteout of nothing");
	(void)snprintf(hidden, sizeof(hidden), "%.*s%s", directory, path, what);
	return hide_path(tree, hidden, err);
}

/* ---- entries ---- */

static int
add_directory(struct tree *tree, const struct place *place, struct error *err)
{
	struct stat st;
	bool again = pathset_has(&tree->seen, place->path);
	if (mkdirat(place->parent, place->name, 0755) < 0) {
		if (errno != EEXIST ||
		    fstatat(place->parent, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return image_failed(err, -errno, "make", place->path);
		if (S_ISDIR(st.st_mode))
			return pathset_add(&tree->seen, place->path) < 0 ? no_memory(err) : 0;
		if (again)
			return image_refuse_path(err, place->path, "is there twice");
		if (unlinkat(place->parent, place->name, 0) < 0 ||
		    mkdirat(place->parent, place->name, 0755) < 0)
			return image_failed(err, -errno, "replace", place->path);
	}
	return pathset_add(&tree->seen, place->path) < 0 ? no_memory(err) : count_entry(tree, err);
}

static int
write_contents(const struct place *place, const struct tree_entry *entry, int fd, struct error *err)
{
	const void *bytes;
	size_t len;
	int64_t offset, end = 0;
	int r;
	while ((r = entry->read(entry->data, &bytes, &len, &offset, err)) > 0) {
		if (offset < end || len > (size_t)INT32_MAX || offset > entry->size - (int64_t)len)
			return image_refuse_path(err, place->path, "is longer than it says");
		if (lseek(fd, offset, SEEK_SET) < 0)
			return image_failed(err, -errno, "write", place->path);
		int w = wsfs_write(fd, bytes, len);
		if (w < 0)
			return image_failed(err, w, "write", place->path);
		end = offset + (int64_t)len;
	}
	if (r < 0)
		return r;
	return ftruncate(fd, entry->size) < 0 ? image_failed(err, -errno, "write", place->path) : 0;
}

static int
add_file(
    struct tree *tree, const struct place *place, const struct tree_entry *entry, struct error *err)
{
	int r = count_bytes(tree, place->path, entry->size, err);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = openat(place->parent, place->name,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry->executable ? 0755 : 0644);
	if (fd < 0)
		return image_failed(err, -errno, "make", place->path);
	r = write_contents(place, entry, fd, err);
	if (r < 0)
		return r;
	/* Kept, because compiled files of Python and others name the time of their source. */
	int64_t mtime = MIN(MAX(entry->mtime_s, (int64_t)0), (int64_t)UINT32_MAX);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)mtime}};
	return futimens(fd, times) < 0 ? image_failed(err, -errno, "write", place->path) : 0;
}

static int
add_link(const struct place *place, const struct tree_entry *entry, struct error *err)
{
	size_t len = entry->target == NULL ? 0 : strlen(entry->target);
	if (len == 0 || len >= IMAGE_PATH_MAX)
		return image_refuse_path(err, place->path, "a link to a bad name");
	if (symlinkat(entry->target, place->parent, place->name) < 0)
		return image_failed(err, -errno, "make", place->path);
	return 0;
}

/* A second name for a file of this tree, found as carefully as a place to write to. */
static int
add_hard_link(
    struct tree *tree, const struct place *place, const struct tree_entry *entry, struct error *err)
{
	struct place from = {.parent = -1};
	struct stat st;
	if (entry->target == NULL)
		return image_refuse_path(err, place->path, "a hard link to a bad name");
	int r = find_place(tree, entry->target, false, &from, err);
	if (r == -EBADMSG)
		return image_refuse_path(err, place->path, "a hard link that leads out");
	if (r == -ELOOP)
		return image_refuse_path(err, place->path, "a hard link through a link");
	if (r == 0 &&
	    (from.name[0] == 0 || fstatat(from.parent, from.name, &st, AT_SYMLINK_NOFOLLOW) < 0))
		r = -ENOENT;
	if (r < 0)
		r = image_refuse_path(err, place->path, "a hard link to a file that is not there");
	else if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		r = image_refuse_path(err, place->path, "a hard link to something that is no file");
	else if (linkat(from.parent, from.name, place->parent, place->name, 0) < 0)
		r = image_failed(err, -errno, "link", place->path);
	place_done(&from);
	return r;
}

/* Makes room for something that is no directory: what a layer below has there goes. */
static int
claim(struct tree *tree, const struct place *place, struct error *err)
{
	int r = pathset_add(&tree->seen, place->path);
	if (r < 0)
		return no_memory(err);
	if (r == 0)
		return image_refuse_path(err, place->path, "is there twice");
	r = count_entry(tree, err);
	if (r == 0 && tree->layered) {
		r = wsfs_remove_tree(place->parent, place->name);
		if (r < 0)
			return image_failed(err, r, "replace", place->path);
	}
	return r;
}

static int
add_at(
    struct tree *tree, const struct place *place, const struct tree_entry *entry, struct error *err)
{
	if (entry->type == TREE_DIR)
		return add_directory(tree, place, err);
	if (entry->type == TREE_NULL_DEVICE || entry->type == TREE_OTHER)
		return image_refuse_path(
		    err, place->path, entry->type == TREE_OTHER ? entry->kind : "a device node");
	int r = claim(tree, place, err);
	if (r < 0)
		return r;
	if (entry->type == TREE_FILE)
		return add_file(tree, place, entry, err);
	return entry->type == TREE_LINK ? add_link(place, entry, err)
					: add_hard_link(tree, place, entry, err);
}

int
tree_add(struct tree *tree, const struct tree_entry *entry, struct error *err)
{
	struct place place = {.parent = -1};
	char path[IMAGE_PATH_MAX];
	int r = path_clean(entry->path, path, err);
	if (r < 0)
		return r;
	if (path[0] == 0)
		return entry->type == TREE_DIR
		    ? 0
		    : image_refuse(err, "the root is something that is no directory");
	if (path_is_left_out(path)) {
		tree->left_out += strchr(path, '/') != NULL;
		return 0;
	}
	if (tree->layered && entry->type == TREE_NULL_DEVICE)
		return hide_path(tree, path, err);
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	if (tree->layered && strncmp(name, WHITEOUT, WHITEOUT_LEN) == 0) {
		r = count_entry(tree, err);
		return r < 0 ? r : add_whiteout(tree, path, name, err);
	}
	r = find_place(tree, path, true, &place, err);
	if (r == 0)
		r = add_at(tree, &place, entry, err);
	place_done(&place);
	return r;
}
