/* Copies are made without set-user-ID bits, readable by everybody, writable by nobody. */
#include "sandbox/listed_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/sha256.h"

static mode_t
mode_of(const struct listed_item *item)
{
	return item->execute ? 0555 : 0444;
}

static void
name_of(const struct listed_item *item, char ret[64])
{
	uint8_t hash[SHA256_BYTES];
	char hex[SHA256_HEX];
	struct sha256 h;
	sha256_init(&h);
	sha256_update(&h, item->execute ? "x" : "r", 1);
	sha256_update(&h, item->identity, sizeof(item->identity));
	sha256_update(&h, item->path, strlen(item->path));
	sha256_final(&h, hash);
	hex_encode(hash, sizeof(hash), hex);
	(void)snprintf(ret, 64, LISTED_STORE "/%.32s", hex);
}

static bool
is_whole(int state_fd, const char *name, const struct listed_item *item)
{
	struct stat st;
	return fstatat(state_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid() && (st.st_mode & 07777) == mode_of(item) &&
	    st.st_size == item->bytes;
}

static int
copy_bytes(int from, int to)
{
	char buffer[64 * 1024];
	ssize_t n;
	if (ioctl(to, FICLONE, from) == 0)
		return 0; /* the file system shares the blocks */
	while ((n = read(from, buffer, sizeof(buffer))) > 0) {
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(to, buffer + done, (size_t)(n - done));
			if (w < 0)
				return -errno;
		}
	}
	return n < 0 ? -errno : 0;
}

static int
copy(int state_fd, const char *name, const struct listed_item *item)
{
	char identity[160];
	struct stat st;
	_cleanup_close_ int from = open(item->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (from < 0 || fstat(from, &st) < 0)
		return errno == ENOENT || errno == ELOOP ? -ESTALE : -errno;
	listed_identity(&st, identity);
	if (strcmp(identity, item->identity) != 0)
		return -ESTALE;
	_cleanup_close_ int to =
	    openat(state_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return -errno;
	int r = copy_bytes(from, to);
	if (r == 0 && (fchmod(to, mode_of(item)) < 0 || fstat(from, &st) < 0))
		r = -errno;
	listed_identity(&st, identity);
	return r == 0 && strcmp(identity, item->identity) != 0 ? -ESTALE : r;
}

int
listed_store_link(int state_fd, const struct listed_item *item, int tree_fd, const char *path)
{
	char name[64], temporary[64];
	int r = 0;
	name_of(item, name);
	if (!is_whole(state_fd, name, item)) {
		(void)snprintf(temporary, sizeof(temporary), LISTED_STORE "/new-%d", (int)getpid());
		(void)unlinkat(state_fd, temporary, 0);
		if (mkdirat(state_fd, LISTED_STORE, 0755) < 0 && errno != EEXIST)
			return -errno;
		r = copy(state_fd, temporary, item);
		if (r == 0 && renameat(state_fd, temporary, state_fd, name) < 0)
			r = -errno;
		if (r < 0)
			(void)unlinkat(state_fd, temporary, 0);
	}
	return r == 0 && linkat(state_fd, name, tree_fd, path, 0) < 0 ? -errno : r;
}

void
listed_store_sweep(int state_fd)
{
	struct dirent *entry;
	struct stat st;
	int fd = openat(state_fd, LISTED_STORE, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_nlink == 1)
			(void)unlinkat(fd, entry->d_name, 0);
	if (dir != NULL)
		(void)closedir(dir);
}
