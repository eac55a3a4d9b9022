/* Copies, removes and measures what the agent made: any name, any depth, any mode. We act with capabilities over
 * the sandbox's user namespace only, on its own scratch file system, and follow no link. */
#include "layers/layers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define DEPTH_MAX 256 /* directories; each holds two descriptors open */
#define LINK_SLOTS 4096
#define VALUE_MAX 65536

/* ---- walking ---- */

static DIR *
open_list(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (list == NULL && fd >= 0)
		(void)close(fd);
	return list;
}

/* The next entry, without "." and ".."; NULL with errno 0 at the end. */
static struct dirent *
next_entry(DIR *list)
{
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(list);
		if (entry == NULL ||
		    (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0))
			return entry;
	}
}

/* ---- copying ---- */

/* Where a file with several names was copied to. */
struct linked {
	struct linked *next;
	ino_t inode;
	char *path; /* below the copy */
};

struct copy {
	int root; /* of the copy */
	int64_t bytes;
	struct linked *slots[LINK_SLOTS];
	char path[4096 * 2];
	size_t path_len;
	unsigned depth;
};

static void
copy_done(struct copy *copy)
{
	for (size_t i = 0; i < LINK_SLOTS; i++)
		while (copy->slots[i] != NULL) {
			struct linked *first = copy->slots[i];
			copy->slots[i] = first->next;
			free(first->path);
			free(first);
		}
	if (copy->root >= 0)
		(void)close(copy->root);
	free(copy);
}

/* 1 if the file was copied under another name, which it now has a second time; 0 if not; -errno. */
static int
link_twin(struct copy *copy, const struct stat *st, int to, const char *name)
{
	struct linked **slot = &copy->slots[st->st_ino % LINK_SLOTS];
	for (struct linked *at = *slot; at != NULL; at = at->next)
		if (at->inode == st->st_ino)
			return linkat(copy->root, at->path, to, name, 0) < 0 ? -errno : 1;
	struct linked *new = calloc(1, sizeof(*new));
	if (new == NULL)
		return -ENOMEM;
	*new = (struct linked){.next = *slot, .inode = st->st_ino, .path = strdup(copy->path)};
	*slot = new;
	return new->path == NULL ? -ENOMEM : 0;
}

/* The user's attributes, access lists, and the overlay's own unless PLAIN. What a file system cannot hold it did
 * not have. */
static int
copy_attributes(int from, int to, bool plain)
{
	static char names[VALUE_MAX], value[VALUE_MAX];
	ssize_t len = flistxattr(from, names, sizeof(names));
	if (len < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (const char *name = names; name < names + len; name += strlen(name) + 1) {
		if ((strncmp(name, "user.", 5) != 0 &&
			strncmp(name, "system.posix_acl_", 17) != 0) ||
		    (plain && strncmp(name, "user.overlay.", 13) == 0))
			continue;
		ssize_t n = fgetxattr(from, name, value, sizeof(value));
		if (n < 0 || fsetxattr(to, name, value, (size_t)n, 0) < 0)
			return -errno;
	}
	return 0;
}

static int
copy_range(int from, int to, off_t at, off_t end)
{
	static char chunk[256 * 1024];
	while (at < end) {
		ssize_t n = pread(from, chunk, MIN((size_t)(end - at), sizeof(chunk)), at);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = pwrite(to, chunk + done, (size_t)(n - done), at + done);
			if (w < 0)
				return -errno;
			done += w;
		}
		at += n;
	}
	return 0;
}

/* Holes stay holes: a sparse file is not larger than it was. */
static int
copy_contents(struct copy *copy, int from, int to, off_t size)
{
	for (off_t at = 0; at < size;) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		off_t end = data < 0 ? size : lseek(from, data, SEEK_HOLE);
		if (data < 0)
			data = at;
		end = end < 0 || end > size ? size : end;
		int r = copy_range(from, to, data, end);
		if (r < 0)
			return r;
		copy->bytes += end - data;
		at = end;
	}
	return ftruncate(to, size) < 0 ? -errno : 0;
}

static int
copy_file(struct copy *copy, int from, int to, const char *name, const struct stat *st)
{
	_cleanup_close_ int source =
	    openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_close_ int target =
	    openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (source < 0 || target < 0)
		return -errno;
	int r = copy_contents(copy, source, target, st->st_size);
	return r < 0 ? r : copy_attributes(source, target, false);
}

static int
copy_link(int from, int to, const char *name)
{
	char target[4097];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	return symlinkat(target, to, name) < 0 ? -errno : 0;
}

static int copy_below(struct copy *copy, int from, int to);

static int
copy_directory(struct copy *copy, int from, int to, const char *name)
{
	if (mkdirat(to, name, 0700) < 0)
		return -errno;
	_cleanup_close_ int source =
	    openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int target =
	    openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0 || target < 0)
		return -errno;
	if (copy->depth >= DEPTH_MAX)
		return -ELOOP;
	copy->depth++;
	int r = copy_below(copy, source, target);
	copy->depth--;
	return r < 0 ? r : copy_attributes(source, target, false);
}

/* Owner, mode and times, last: each change before would undo one of them. */
static int
finish(int to, const char *name, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int
copy_entry(struct copy *copy, int from, int to, const char *name)
{
	struct stat st;
	int r = 0;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1)
		r = link_twin(copy, &st, to, name);
	if (r != 0)
		return r < 0 ? r : 0;
	if (S_ISDIR(st.st_mode))
		r = copy_directory(copy, from, to, name);
	else if (S_ISREG(st.st_mode))
		r = copy_file(copy, from, to, name, &st);
	else if (S_ISLNK(st.st_mode))
		r = copy_link(from, to, name);
	else /* whiteouts (character device 0:0), fifos, sockets */
		r = mknodat(to, name, st.st_mode & (S_IFMT | 0777), st.st_rdev) < 0 ? -errno : 0;
	return r < 0 ? r : finish(to, name, &st);
}

static int
copy_below(struct copy *copy, int from, int to)
{
	DIR *list = open_list(from, ".");
	if (list == NULL)
		return -errno;
	struct dirent *entry;
	int r = 0;
	while (r == 0 && (entry = next_entry(list)) != NULL) {
		size_t before = copy->path_len, len = strlen(entry->d_name);
		if (before + len + 2 > sizeof(copy->path)) {
			r = -ENAMETOOLONG;
			break;
		}
		(void)snprintf(copy->path + before, sizeof(copy->path) - before, "%s%s",
		    before > 0 ? "/" : "", entry->d_name);
		copy->path_len += len + (before > 0);
		r = copy_entry(copy, from, to, entry->d_name);
		copy->path_len = before;
		copy->path[before] = 0;
	}
	if (r == 0 && errno != 0)
		r = -errno;
	(void)closedir(list);
	return r;
}

int
tree_copy(int dir, const char *from, const char *to, int64_t *ret_bytes, struct error *err)
{
	struct stat st;
	struct copy *copy = calloc(1, sizeof(*copy));
	int r = copy == NULL ? -ENOMEM : 0;
	if (copy != NULL)
		copy->root = -1;
	_cleanup_close_ int source =
	    openat(dir, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r == 0 && (source < 0 || fstat(source, &st) < 0 || mkdirat(dir, to, 0700) < 0))
		r = -errno;
	if (r == 0) {
		copy->root = openat(dir, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = copy->root < 0 ? -errno : copy_below(copy, source, copy->root);
	}
	if (r == 0)
		r = copy_attributes(source, copy->root, false);
	if (r == 0)
		r = finish(dir, to, &st);
	if (r == 0)
		*ret_bytes = copy->bytes;
	if (copy != NULL)
		copy_done(copy);
	if (r == -ENOSPC)
		return error_set(err, ENOSPC, "scratch_full",
		    "a copy of the workspace's changes does not fit the sandbox's limit of disk");
	return r < 0
	    ? error_set_errno(err, -r, "layers_failed", "cannot copy the workspace's changes")
	    : 0;
}

int
tree_alike(int dir, const char *from, const char *to)
{
	struct stat st;
	_cleanup_close_ int source =
	    openat(dir, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int target =
	    openat(dir, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0 || target < 0 || fstat(source, &st) < 0)
		return -errno;
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	int r = copy_attributes(source, target, /* plain= */ true);
	return r < 0 ? r : futimens(target, times) < 0 ? -errno : 0;
}

/* ---- removing ---- */

/* Removes NAME of directory FD if it is a file or empty: 1; 0 if it is a directory with something in it. */
static int
remove_simple(int fd, const char *name)
{
	if (unlinkat(fd, name, 0) == 0 || unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 1;
	return errno == ENOTEMPTY ? 0 : -errno;
}

/* Never over what is there. */
static long
rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	return syscall(SYS_renameat2, from_dir, from, to_dir, to, 1u /* RENAME_NOREPLACE */);
}

/* Moves what is in directory NAME of TOP up to TOP, where it has a number for a name. */
static int
flatten(int top, const char *name, unsigned long *counter)
{
	DIR *list = open_list(top, name);
	if (list == NULL)
		return -errno;
	struct dirent *entry;
	int r = 0;
	while (r >= 0 && (entry = next_entry(list)) != NULL) {
		r = remove_simple(dirfd(list), entry->d_name);
		while (r == 0) {
			char number[32];
			(void)snprintf(number, sizeof(number), "%lu", (*counter)++);
			if (rename_new(dirfd(list), entry->d_name, top, number) == 0)
				r = 1;
			else if (errno != EEXIST)
				r = -errno;
		}
	}
	(void)closedir(list);
	return r < 0 ? r : remove_simple(top, name);
}

/* In place and without a stack: no depth is too deep, and nothing new is needed where no room is left. */
int
tree_remove(int dir, const char *name)
{
	unsigned long counter = 0;
	for (;;) {
		int r = remove_simple(dir, name);
		DIR *top = r == 0 ? open_list(dir, name) : NULL;
		if (r != 0 || top == NULL)
			return r > 0 ? 0 : r < 0 ? r : -errno;
		struct dirent *entry;
		while (r >= 0 && (entry = next_entry(top)) != NULL) {
			r = remove_simple(dirfd(top), entry->d_name);
			if (r == 0)
				r = flatten(dirfd(top), entry->d_name, &counter);
		}
		(void)closedir(top);
		if (r < 0)
			return r;
	}
}

/* ---- measuring ---- */

static int
measure_below(int dir, const char *name, unsigned depth, int64_t *bytes)
{
	DIR *list = depth > DEPTH_MAX ? NULL : open_list(dir, name);
	if (list == NULL)
		return depth > DEPTH_MAX ? 0 : -errno; /* of what is deeper nothing is told */
	struct dirent *entry;
	int r = 0;
	while (r == 0 && (entry = next_entry(list)) != NULL) {
		struct stat st;
		if (fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
		else if (S_ISDIR(st.st_mode))
			r = measure_below(dirfd(list), entry->d_name, depth + 1, bytes);
		else
			*bytes += (int64_t)st.st_blocks * 512 / (int64_t)st.st_nlink;
	}
	(void)closedir(list);
	return r;
}

int
tree_measure(int dir, const char *name, int64_t *ret_bytes)
{
	*ret_bytes = 0;
	return measure_below(dir, name, 0, ret_bytes);
}
