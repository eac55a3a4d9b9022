#include "image/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "image/path.h"
#include "sandbox/workspace_fs.h"

#define BLOCK 131072
#define LINKED_FIRST 256

/* Files with several names, by where they were met first. */
struct linked {
	dev_t dev;
	ino_t ino;
	char *path; /* owned; NULL: free */
};

struct copy {
	struct tree *tree;
	struct linked *linked; /* owned; open addressing */
	size_t n_slots, n;
	int fd; /* of the file being read */
	int64_t offset;
	const char *path;
	uint8_t block[BLOCK];
};

/* ---- hard links ---- */

static struct linked *
find_linked(struct linked *slots, size_t n_slots, dev_t dev, ino_t ino)
{
	size_t i = ((size_t)ino * 0x9e3779b97f4a7c15u) & (n_slots - 1);
	while (slots[i].path != NULL && (slots[i].dev != dev || slots[i].ino != ino))
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

static int
grow_linked(struct copy *c)
{
	size_t n_slots = MAX(c->n_slots * 2, (size_t)LINKED_FIRST);
	struct linked *slots = calloc(n_slots, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < c->n_slots; i++)
		if (c->linked[i].path != NULL)
			*find_linked(slots, n_slots, c->linked[i].dev, c->linked[i].ino) =
			    c->linked[i];
	free(c->linked);
	c->linked = slots;
	c->n_slots = n_slots;
	return 0;
}

/* The first path of this file, or NULL (and PATH is now the first). -ENOMEM through RET. */
static const char *
note_linked(struct copy *c, const struct stat *st, const char *path, int *ret)
{
	*ret = c->n * 2 >= c->n_slots ? grow_linked(c) : 0;
	if (*ret < 0)
		return NULL;
	struct linked *slot = find_linked(c->linked, c->n_slots, st->st_dev, st->st_ino);
	if (slot->path != NULL)
		return slot->path;
	*slot = (struct linked){st->st_dev, st->st_ino, strdup(path)};
	if (slot->path == NULL)
		*ret = -ENOMEM;
	else
		c->n++;
	return NULL;
}

/* ---- entries ---- */

static int
read_piece(
    void *data, const void **ret_bytes, size_t *ret_len, int64_t *ret_offset, struct error *err)
{
	struct copy *c = data;
	ssize_t n = read(c->fd, c->block, sizeof(c->block));
	if (n < 0)
		return image_failed(err, -errno, "read", c->path);
	*ret_bytes = c->block;
	*ret_len = (size_t)n;
	*ret_offset = c->offset;
	c->offset += n;
	return n > 0 ? 1 : 0;
}

static int
copy_file(struct copy *c, int dir, const char *name, struct tree_entry *entry,
    const struct stat *expected, struct error *err)
{
	struct stat st;
	int r = 0;
	const char *first =
	    expected->st_nlink > 1 ? note_linked(c, expected, entry->path, &r) : NULL;
	if (r < 0)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	if (first != NULL) {
		entry->type = TREE_HARD_LINK;
		entry->target = first;
		return tree_add(c->tree, entry, err);
	}
	_cleanup_close_ int fd = wsfs_open(dir, name, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return image_failed(err, fd, "open", entry->path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_ino != expected->st_ino)
		return image_failed(err, -ESTALE, "read", entry->path);
	c->fd = fd;
	c->offset = 0;
	c->path = entry->path;
	entry->size = st.st_size;
	return tree_add(c->tree, entry, err);
}

static int
copy_link(struct copy *c, int dir, const char *name, struct tree_entry *entry, struct error *err)
{
	_cleanup_free_ char *target = NULL;
	int r = wsfs_readlink(dir, name, &target);
	if (r < 0)
		return image_failed(err, r, "read", entry->path);
	entry->target = target;
	return tree_add(c->tree, entry, err);
}

static int copy_below(struct copy *c, int dir, const char *path, struct error *err);

static int
copy_entry(struct copy *c, int dir, const char *name, const char *path, struct error *err)
{
	struct stat st;
	int r = wsfs_stat(dir, name, &st);
	if (r < 0)
		return image_failed(err, r, "look at", path);
	struct tree_entry entry = {.path = path,
	    .type = TREE_OTHER,
	    .kind = S_ISFIFO(st.st_mode) ? "a named pipe"
		: S_ISSOCK(st.st_mode)   ? "a socket"
					 : "a device node",
	    .executable = (st.st_mode & 0111) != 0,
	    .mtime_s = st.st_mtim.tv_sec,
	    .read = read_piece,
	    .data = c};
	if (S_ISREG(st.st_mode)) {
		entry.type = TREE_FILE;
		return copy_file(c, dir, name, &entry, &st, err);
	}
	if (S_ISLNK(st.st_mode)) {
		entry.type = TREE_LINK;
		return copy_link(c, dir, name, &entry, err);
	}
	if (!S_ISDIR(st.st_mode))
		return tree_add(c->tree, &entry, err);
	entry.type = TREE_DIR;
	r = tree_add(c->tree, &entry, err);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = wsfs_open(dir, name, O_RDONLY | O_DIRECTORY);
	return fd < 0 ? image_failed(err, fd, "open", path) : copy_below(c, fd, path, err);
}

static int
copy_below(struct copy *c, int dir, const char *path, struct error *err)
{
	struct wsfs_names names = {0};
	int r = wsfs_names(dir, (size_t)c->tree->limits.entries, &names);
	if (r == -E2BIG)
		return image_refuse(
		    err, "more than %lld files", (long long)c->tree->limits.entries);
	if (r < 0)
		return image_failed(err, r, "list", path[0] == 0 ? "." : path);
	_cleanup_free_ char *child = malloc(IMAGE_PATH_MAX);
	if (child == NULL)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	for (size_t i = 0; i < names.n && r == 0; i++) {
		int n = snprintf(
		    child, IMAGE_PATH_MAX, "%s%s%s", path, path[0] == 0 ? "" : "/", names.items[i]);
		if (n >= IMAGE_PATH_MAX)
			r = image_refuse_path(err, path, "too long a path lies below");
		else if (path_is_left_out(child))
			c->tree->left_out++;
		else
			r = copy_entry(c, dir, names.items[i], child, err);
	}
	wsfs_names_done(&names);
	return r;
}

int
copy_directory(int dir, struct tree *tree, struct error *err)
{
	struct copy *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	c->tree = tree;
	int r = copy_below(c, dir, "", err);
	for (size_t i = 0; i < c->n_slots; i++)
		free(c->linked[i].path);
	free(c->linked);
	free(c);
	return r;
}
