#include "prove/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define DEPTH_MAX 64

int
tree_copy_file(int from_fd, const char *path, mode_t mode)
{
	char name[40];
	struct stat st;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", from_fd);
	_cleanup_close_ int from = open(name, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (from < 0 || to < 0 || fstat(from, &st) < 0 || fchmod(to, mode) < 0)
		return -errno;
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
	}
	return 0;
}

int
tree_write(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -EIO;
}

int
tree_copy_workspace(const struct prove *p, const char *path)
{
	char name[160];
	if (mkdir(path, 0755) < 0)
		return -errno;
	(void)snprintf(name, sizeof(name), "%s/rf-attack", path);
	int r = tree_copy_file(p->attack_fd, name, 0755);
	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "%s/original", path);
	return tree_write(name, "as it was\n");
}

static void
remove_below(int at, const char *name, unsigned depth)
{
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT || depth > DEPTH_MAX)
		return;
	int fd = openat(at, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_below(dirfd(dir), entry->d_name, depth + 1);
	if (dir != NULL)
		(void)closedir(dir);
	else if (fd >= 0)
		(void)close(fd);
	(void)unlinkat(at, name, AT_REMOVEDIR);
}

void
tree_remove(const char *path)
{
	if (path[0] == '/')
		remove_below(AT_FDCWD, path, 0);
}
