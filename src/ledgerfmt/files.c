/* See files.h. */
#include "ledgerfmt/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

void
segment_name(uint32_t number, char ret[SEGMENT_NAME_BYTES])
{
	(void)snprintf(ret, SEGMENT_NAME_BYTES, "%08u.jsonl", number % (SEGMENT_NUMBER_MAX + 1));
}

bool
segment_parse(const char *name, uint32_t *ret_number)
{
	uint32_t number = 0;
	if (strlen(name) != 14 || strcmp(name + 8, ".jsonl") != 0)
		return false;
	for (int i = 0; i < 8; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		number = number * 10 + (uint32_t)(name[i] - '0');
	}
	*ret_number = number;
	return true;
}

int
segment_range(int dir_fd, uint32_t *ret_first, uint32_t *ret_last, uint32_t *ret_count)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dir = fdopendir(fd);
	if (dir == NULL) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	uint32_t first = UINT32_MAX, last = 0, count = 0, number;
	struct dirent *entry;
	while (errno = 0, (entry = readdir(dir)) != NULL) {
		if (!segment_parse(entry->d_name, &number))
			continue;
		first = MIN(first, number);
		last = MAX(last, number);
		count++;
	}
	int r = errno != 0 ? -errno : count > 0;
	(void)closedir(dir);
	if (r > 0) {
		*ret_first = first;
		*ret_last = last;
		*ret_count = count;
	}
	return r;
}

int
files_write_all(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
files_pread_all(int fd, void *ret, size_t len, int64_t offset)
{
	char *p = ret;
	while (len > 0) {
		ssize_t n = pread(fd, p, len, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

int
files_replace(int dir_fd, const char *name, const void *bytes, size_t len, unsigned mode,
    enum files_sync sync)
{
	char temporary[64];
	(void)snprintf(temporary, sizeof(temporary), "%s.new", name);
	_cleanup_close_ int fd =
	    openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	int r = files_write_all(fd, bytes, len);
	if (r == 0 && sync == FILES_SYNCED && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, temporary, 0);
	return r;
}
