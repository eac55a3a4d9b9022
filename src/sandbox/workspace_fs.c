#include "sandbox/workspace_fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/workspace.h"
#include "sys/opens.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

int
wsfs_open(int dir, const char *path, int flags)
{
	return opens_below(dir, path, flags | O_NOFOLLOW, (flags & O_CREAT) != 0 ? 0600 : 0,
	    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

/* chmod of an O_PATH descriptor: fchmodat2 since Linux 6.6, before that through /proc. */
static int
chmod_fd(int fd, mode_t mode)
{
	if (syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOSYS)
		return -errno;
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode) < 0 ? -errno : 0;
}

int
wsfs_chmod(int dir, const char *name, mode_t mode)
{
	_cleanup_close_ int fd = wsfs_open(dir, name, O_PATH);
	struct stat st;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	return chmod_fd(fd, mode);
}

int
wsfs_open_forced(int dir, const char *name)
{
	int fd = wsfs_open(dir, name, O_RDONLY | O_NONBLOCK);
	struct stat st;
	if (fd != -EACCES || wsfs_stat(dir, name, &st) < 0 || !S_ISREG(st.st_mode))
		return fd;
	if (wsfs_chmod(dir, name, 0600) < 0)
		return -EACCES;
	fd = wsfs_open(dir, name, O_RDONLY | O_NONBLOCK);
	int r = wsfs_chmod(dir, name, st.st_mode & 07777);
	if (r < 0 && fd >= 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

int
wsfs_open_parent(int dir, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL) {
		*ret_name = path;
		return wsfs_open(dir, ".", O_RDONLY | O_DIRECTORY);
	}
	char parent[WORKSPACE_PATH_MAX];
	size_t len = (size_t)(slash - path);
	if (len >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, len);
	parent[len] = 0;
	*ret_name = slash + 1;
	return wsfs_open(dir, parent, O_RDONLY | O_DIRECTORY);
}

int
wsfs_stat(int dir, const char *path, struct stat *ret)
{
	_cleanup_close_ int fd = wsfs_open(dir, path, O_PATH);
	if (fd < 0)
		return fd;
	return fstat(fd, ret) < 0 ? -errno : 0;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
read_names(DIR *d, size_t max, struct wsfs_names *names)
{
	size_t room = 0;
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(d);
		if (e == NULL)
			return -errno;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (names->n >= max)
			return -E2BIG;
		if (names->n == room) {
			room = MAX(room * 2, (size_t)32);
			char **items = realloc(names->items, room * sizeof(*items));
			if (items == NULL)
				return -ENOMEM;
			names->items = items;
		}
		names->items[names->n] = strdup(e->d_name);
		if (names->items[names->n] == NULL)
			return -ENOMEM;
		names->n++;
	}
}

int
wsfs_names(int fd, size_t max, struct wsfs_names *ret)
{
	struct wsfs_names names = {0};
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (copy < 0)
		return -errno;
	DIR *d = fdopendir(copy);
	if (d == NULL) {
		int r = -errno;
		(void)close(copy);
		return r;
	}
	int r = read_names(d, max, &names);
	(void)closedir(d);
	if (r < 0) {
		wsfs_names_done(&names);
		return r;
	}
	if (names.n > 1)
		qsort(names.items, names.n, sizeof(*names.items), compare_names);
	*ret = names;
	return 0;
}

void
wsfs_names_done(struct wsfs_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct wsfs_names){0};
}

bool
wsfs_names_have(const struct wsfs_names *names, const char *name)
{
	return names->n > 0 &&
	    bsearch(&name, names->items, names->n, sizeof(*names->items), compare_names) != NULL;
}

int
wsfs_hash(int fd, int64_t *budget, uint8_t ret[SHA256_BYTES])
{
	static uint8_t chunk[65536];
	struct sha256 h;
	sha256_init(&h);
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*budget -= n;
		if (*budget < 0)
			return -EFBIG;
		sha256_update(&h, chunk, (size_t)n);
	}
	sha256_final(&h, ret);
	return 0;
}

int
wsfs_readlink(int dir, const char *name, char **ret)
{
	char target[WORKSPACE_PATH_MAX];
	_cleanup_close_ int fd = wsfs_open(dir, name, O_PATH);
	if (fd < 0)
		return fd;
	ssize_t n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n >= sizeof(target))
		return -ENAMETOOLONG;
	target[n] = 0;
	*ret = strdup(target);
	return *ret == NULL ? -ENOMEM : 0;
}

int
wsfs_write(int fd, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
remove_tree(int dir, const char *name, unsigned depth)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (depth > WORKSPACE_DEPTH_MAX + 8)
		return -E2BIG;
	_cleanup_close_ int fd = wsfs_open(dir, name, O_RDONLY | O_DIRECTORY);
	if (fd == -EACCES) {
		int r = wsfs_chmod(dir, name, 0700);
		fd = r < 0 ? r : wsfs_open(dir, name, O_RDONLY | O_DIRECTORY);
	}
	if (fd < 0)
		return fd;
	struct wsfs_names names = {0};
	int r = wsfs_names(fd, (size_t)-1, &names);
	if (r < 0)
		return r;
	if (names.n > 0)
		(void)fchmod(fd, 0700); /* a directory without write permission */
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = remove_tree(fd, names.items[i], depth + 1);
	wsfs_names_done(&names);
	if (r == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

int
wsfs_remove_tree(int dir, const char *name)
{
	return remove_tree(dir, name, 0);
}
