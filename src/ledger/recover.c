/* See recover.h. A crash of the process leaves at most one line without its newline; a crash of the
 * machine can also leave lines that were never filled in. Both stand after the last synced record, so
 * nothing durable is among what is cut, and what is cut is kept. */
#include "ledger/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ledgerfmt/files.h"
#include "ledgerfmt/merkle.h"
#include "ledgerfmt/record.h"

#define FIRST_READ 4096 /* most records fit, and it is one page */

/* The last whole record within the LEN bytes at TEXT. Its line ends (newline included) at *RET_END.
 * STARTS_AT_LINE: TEXT begins a line. 1 if there is one, 0 if not. */
static int
last_record(const char *text, size_t len, bool starts_at_line, struct record *ret,
    const char **ret_line, size_t *ret_end)
{
	size_t end = len;
	while (end > 0) {
		const char *newline = memrchr(text, '\n', end);
		if (newline == NULL)
			return 0;
		end = (size_t)(newline - text);
		const char *before = end == 0 ? NULL : memrchr(text, '\n', end);
		if (before == NULL && !starts_at_line)
			return 0;
		const char *line = before == NULL ? text : before + 1;
		const char *why;
		if (record_parse(line, (size_t)(newline - line), ret, &why) == 0) {
			*ret_line = line;
			*ret_end = end + 1;
			return 1;
		}
	}
	return 0;
}

/* Reads backwards from SIZE until a record is found. 1, 0 if the whole file has none, or -errno. */
static int
find_last(int fd, int64_t size, struct recovered *ret)
{
	for (size_t window = FIRST_READ;; window *= 8) {
		window = (size_t)MIN((int64_t)window, size);
		_cleanup_free_ char *text = malloc(window + 1);
		if (text == NULL)
			return -ENOMEM;
		int64_t offset = size - (int64_t)window;
		int r = files_pread_all(fd, text, window, offset);
		if (r < 0)
			return r;
		struct record record;
		const char *line;
		size_t end;
		if (last_record(text, window, offset == 0, &record, &line, &end) == 1) {
			ret->has_record = true;
			ret->seq = record.seq;
			merkle_leaf(line, (size_t)(text + end - 1 - line), ret->hash);
			ret->end = offset + (int64_t)end;
			return 1;
		}
		if (offset == 0)
			return 0;
		if (window > RECOVER_BYTES_MAX)
			return -EUCLEAN;
	}
}

/* Moves the bytes from FROM to SIZE into a side file of their own. */
static int
cut(int dir_fd, int fd, uint32_t segment, int64_t from, int64_t size, struct recovered *ret)
{
	size_t len = (size_t)(size - from);
	_cleanup_free_ char *bytes = malloc(len);
	if (bytes == NULL)
		return -ENOMEM;
	int r = files_pread_all(fd, bytes, len, from);
	if (r < 0)
		return r;
	_cleanup_close_ int side = -1;
	for (unsigned i = 0; side < 0; i++) {
		(void)snprintf(ret->kept_in, sizeof(ret->kept_in), "%08u.torn-%u", segment, i);
		side = openat(dir_fd, ret->kept_in, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
		if (side < 0 && (errno != EEXIST || i > 9999))
			return -errno;
	}
	r = files_write_all(side, bytes, len);
	if (r == 0 && (fsync(side) < 0 || ftruncate(fd, from) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dir_fd, ret->kept_in, 0);
		return r;
	}
	uint8_t digest[SHA256_BYTES];
	sha256(bytes, len, digest);
	hex_encode(digest, sizeof(digest), ret->cut_sha256);
	ret->cut_bytes = (int64_t)len;
	return 0;
}

enum on_torn { TORN_CUT, TORN_REFUSE };

static int
recover_segment(int dir_fd, uint32_t number, enum on_torn on_torn, struct recovered *ret)
{
	char name[SEGMENT_NAME_BYTES];
	struct stat st;
	segment_name(number, name);
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EUCLEAN;
	if (st.st_size == 0)
		return 0;
	int r = find_last(fd, st.st_size, ret);
	if (r < 0)
		return r;
	if (st.st_size - ret->end > RECOVER_BYTES_MAX)
		return -EUCLEAN;
	if (st.st_size == ret->end)
		return 0;
	return on_torn == TORN_REFUSE ? -EUCLEAN
				      : cut(dir_fd, fd, number, ret->end, st.st_size, ret);
}

int
recover_end(int dir_fd, uint32_t newest, struct recovered *ret, struct error *err)
{
	*ret = (struct recovered){0};
	int r = recover_segment(dir_fd, newest, TORN_CUT, ret);
	if (r == 0 && !ret->has_record && newest > 0) {
		/* The newest was created and not yet written: the one before has the last record. It was
		 * synced before, so it must be whole. */
		struct recovered before = {0};
		r = recover_segment(dir_fd, newest - 1, TORN_REFUSE, &before);
		if (r == 0 && (!before.has_record))
			r = -EUCLEAN;
		ret->has_record = true;
		ret->seq = before.seq;
		memcpy(ret->hash, before.hash, sizeof(ret->hash));
	}
	if (r == -EUCLEAN) {
		error_set(err, EUCLEAN, "ledger_damaged",
		    "the ledger's segment %08u is damaged beyond what a crash explains", newest);
		error_remedy(err,
		    "look at it with `ringfence audit verify`; to begin a new ledger, move "
		    "the ledger's directory aside");
		return r;
	}
	return r < 0
	    ? error_set_errno(err, -r, "ledger_unusable", "cannot read segment %08u", newest)
	    : 0;
}
