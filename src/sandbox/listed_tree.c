/* Makes a tree under a temporary name and renames it, so that one that has its name is whole. */
#include "sandbox/listed_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "sandbox/listed_store.h"
#include "sandbox/skeleton.h"

/* Counts in the name: raise it when what is built here changes. */
#define TREE_VERSION 2
#define DEPTH_MAX 48

static const char *const whole[] = {
    "/usr", "/opt", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

bool
listed_is_whole(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		if (listed_below(path, whole[i]) && path[strlen(whole[i])] == '/')
			return true;
	return false;
}

const char *
listed_whole_at(size_t i)
{
	return i < ARRAY_LEN(whole) ? whole[i] : NULL;
}

bool
listed_is_copied(const struct listed_set *set, const struct listed_item *item)
{
	if (item->kind != LISTED_FILE)
		return false;
	const struct listed_item *above = listed_above(set, item->path);
	return above == NULL || !above->mapped;
}

struct json *
listed_tree_files(const struct listed_set *set)
{
	struct json *files = json_new_object();
	for (size_t i = 0; i < set->n; i++)
		if (listed_is_copied(set, &set->items[i]))
			(void)json_set_int(files, set->items[i].path, set->items[i].bytes);
	return files;
}

/* ---- making ---- */

/* An empty file. */
static int
make_file(int fd, const char *path)
{
	int r = skeleton_make_path(fd, path, false);
	if (r < 0)
		return r;
	_cleanup_close_ int file =
	    openat(fd, path + 1, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return errno == EEXIST ? 0 : -errno;
	return fchmod(file, 0444) < 0 ? -errno : 0; /* whatever the umask is */
}

static int
copy_file(int state_fd, int fd, const struct listed_item *item)
{
	int r = skeleton_make_path(fd, item->path, false);
	return r < 0 ? r : listed_store_link(state_fd, item, fd, item->path + 1);
}

static int
make_link(int fd, const struct listed_item *item)
{
	int r = skeleton_make_path(fd, item->path, false);
	return r == 0 && symlinkat(item->target, fd, item->path + 1) < 0 ? -errno : r;
}

/* Where a directory or file will be bound. */
static int
make_mount_point(int fd, const struct listed_item *item)
{
	return item->file ? make_file(fd, item->path) : skeleton_make_path(fd, item->path, true);
}

static int
make_item(int state_fd, int fd, const struct listed_set *set, const struct listed_item *item)
{
	const struct listed_item *above = listed_above(set, item->path);
	switch (item->kind) {
	case LISTED_FILE:
		return listed_is_copied(set, item) ? copy_file(state_fd, fd, item) : 0;
	case LISTED_LINK:
		return above == NULL && listed_is_whole(item->path) ? make_link(fd, item) : 0;
	case LISTED_DATA:
	case LISTED_CODE:
		return listed_is_whole(item->path) ? make_mount_point(fd, item) : 0;
	default:
		return 0;
	}
}

static int
make_all(int state_fd, int fd, const struct listed_set *set, struct error *err)
{
	int r = make_file(fd, LISTED_EMPTY);
	if (r < 0)
		return error_set_errno(err, -r, "listed_failed", "cannot make the listed root");
	for (size_t i = 0; i < set->n; i++) {
		r = make_item(state_fd, fd, set, &set->items[i]);
		if (r < 0)
			return error_set_errno(err, -r, "listed_failed",
			    "cannot make %.300s of the listed root", set->items[i].path);
	}
	return 0;
}

/* ---- names ---- */

static void
add_text(struct sha256 *h, const char *text)
{
	sha256_update(h, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 1);
}

static void
name_of(const struct listed_set *set, char ret[LISTED_NAME_SIZE])
{
	uint8_t hash[SHA256_BYTES];
	char hex[SHA256_HEX], head[64];
	struct sha256 h;
	sha256_init(&h);
	for (size_t i = 0; i < set->n; i++) {
		const struct listed_item *item = &set->items[i];
		(void)snprintf(head, sizeof(head), "%d %d %d %d %d", TREE_VERSION, (int)item->kind,
		    item->execute, item->mapped, item->file);
		add_text(&h, head);
		add_text(&h, item->path);
		add_text(&h, item->target);
		add_text(&h, item->identity);
	}
	sha256_final(&h, hash);
	hex_encode(hash, sizeof(hash), hex);
	(void)snprintf(ret, LISTED_NAME_SIZE, "run/listed-tree-%.24s", hex);
}

bool
listed_tree_intact(int state_fd, const char *name, const struct json *files)
{
	struct stat st;
	_cleanup_close_ int fd =
	    openat(state_fd, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 0022) != 0)
		return false;
	for (size_t i = 0; i < json_len(files); i++)
		if (fstatat(fd, json_name_at(files, i) + 1, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) || st.st_size != json_int(json_at(files, i), -1) ||
		    st.st_uid != geteuid() || (st.st_mode & 0022) != 0)
			return false;
	return true;
}

int
listed_tree_ensure(
    int state_fd, const struct listed_set *set, char ret[LISTED_NAME_SIZE], struct error *err)
{
	char temporary[LISTED_NAME_SIZE];
	_cleanup_json_ struct json *files = listed_tree_files(set);
	name_of(set, ret);
	if (listed_tree_intact(state_fd, ret, files))
		return 0;
	(void)snprintf(temporary, sizeof(temporary), "run/listed-new-%d", (int)getpid());
	listed_tree_remove(state_fd, temporary);
	listed_tree_remove(state_fd, ret); /* a torn one, after a crash of the machine */
	int r = mkdirat(state_fd, temporary, 0755) < 0 ? -errno : 0;
	_cleanup_close_ int fd = r < 0
	    ? -1
	    : openat(state_fd, temporary, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (r == 0 && (fd < 0 || fchmod(fd, 0755) < 0))
		r = -errno;
	if (r < 0)
		return error_set_errno(err, -r, "listed_failed", "cannot make the listed root");
	r = make_all(state_fd, fd, set, err);
	if (r == 0 && renameat(state_fd, temporary, state_fd, ret) < 0)
		r = error_set_errno(err, errno, "listed_failed", "cannot keep the listed root");
	if (r < 0)
		listed_tree_remove(state_fd, temporary);
	return r;
}

/* ---- removing ---- */

static void
remove_below(int fd, const char *name, unsigned depth)
{
	int child = openat(fd, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = child < 0 ? NULL : fdopendir(child);
	struct dirent *entry;
	if (dir == NULL && child >= 0)
		(void)close(child);
	while (dir != NULL && depth < DEPTH_MAX && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			remove_below(dirfd(dir), entry->d_name, depth + 1);
	}
	if (dir != NULL)
		(void)closedir(dir);
	(void)unlinkat(fd, name, AT_REMOVEDIR);
}

void
listed_tree_remove(int state_fd, const char *name)
{
	remove_below(state_fd, name, 0);
}
