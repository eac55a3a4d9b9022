/* See reader.h. The file is private to its writer, who only appends; a reader sees the length of when
 * it opened. */
#include "ledgerfmt/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "ledgerfmt/files.h"

#define DROP_BYTES (8u * 1024 * 1024) /* pages behind this are given back */

int
reader_open(struct reader *r, int dir_fd, uint32_t number, int64_t offset)
{
	char name[SEGMENT_NAME_BYTES];
	struct stat st;
	segment_name(number, name);
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || offset < 0 || offset > st.st_size)
		return -EINVAL;
	*r = (struct reader){.text = NULL};
	if (st.st_size == 0)
		return 0;
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	(void)madvise(map, (size_t)st.st_size, MADV_SEQUENTIAL);
	r->text = map;
	r->len = (size_t)st.st_size;
	r->at = (size_t)offset;
	r->dropped = r->at / DROP_BYTES * DROP_BYTES;
	return 0;
}

/* The mapping as munmap and madvise want it: without the const. */
static void *
mapping(const struct reader *r, size_t offset)
{
	union {
		const char *in;
		char *out;
	} cast = {.in = r->text};
	return cast.out + offset;
}

void
reader_done(struct reader *r)
{
	if (r->text != NULL)
		(void)munmap(mapping(r, 0), r->len);
	r->text = NULL;
}

int
reader_next(struct reader *r, struct line *ret)
{
	if (r->at >= r->len)
		return 0;
	if (r->at - r->dropped > 2 * DROP_BYTES) {
		(void)madvise(mapping(r, r->dropped), DROP_BYTES, MADV_DONTNEED);
		r->dropped += DROP_BYTES;
	}
	const char *start = r->text + r->at;
	const char *newline = memchr(start, '\n', r->len - r->at);
	size_t len = newline == NULL ? r->len - r->at : (size_t)(newline - start);
	*ret = (struct line){.text = start, .len = len, .offset = (int64_t)r->at};
	r->at += len + (newline != NULL);
	return newline == NULL ? -ENODATA : 1;
}
