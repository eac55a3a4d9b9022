/* See journal.h. What is kept in memory is one batch: the lines in a buffer and the hash of each.
 *
 * Never: write in place, rewrite a record, or answer for a record before its bytes were handed to the
 * kernel. */
#include "ledger/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "ledger/recover.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/record.h"

#define LOCK_WAIT_MS 2500
#define LOCK_PAUSE_MS 20
#define BATCH_BYTES_MAX (32u * 1024 * 1024)
#define ROOM_FOR_MORE (32 * 1024) /* what a run records from its decision to its end, and some */
#define RESERVE_STEP (256 * 1024) /* bytes reserved ahead at a time */
#define RESERVE_LOW (64 * 1024)   /* reserve more when less than this is left */
#define LAST_WORDS_MAX 4096       /* bytes of the record that says why the ledger failed */

struct journal {
	int dir_fd; /* borrowed */
	int fd;     /* the newest segment; owned */
	uint32_t segment;
	int64_t end;      /* bytes in the segment */
	int64_t reserved; /* bytes allocated to it, if more than END */
	bool reserve_works;
	bool directory_dirty;        /* a segment was created since the last sync */
	bool dirty;                  /* something was written since the last sync */
	struct journal_at next;      /* the next record's number; hash: of the last in the batch */
	struct journal_at committed; /* the same, of what was written */
	struct buf batch;
	struct buf hashes; /* SHA256_BYTES for each record of the batch */
	int failed;        /* negative errno, or 0 */
	struct error why;
	journal_written_fn *on_written;
	void *written_data;
};

/* ---- failing ---- */

void
journal_fail(struct journal *j, int errnum, const struct error *why)
{
	if (j->failed < 0)
		return;
	j->failed = -errnum;
	j->why = *why;
	log_event(LOG_ERROR, "ledger-failed", "reason", why->message, NULL);
}

int
journal_failed(const struct journal *j, struct error *err)
{
	if (j->failed < 0 && err != NULL)
		*err = j->why;
	return j->failed;
}

/* Says in the ledger itself why it ends here, in the room that the cut gave back. Best effort: the
 * ledger has failed already. Not for a ledger whose first record could not be written: the first must
 * be the one that names it. */
static void
write_last_words(struct journal *j)
{
	_cleanup_buf_ struct buf line;
	char text[700], data[1600];
	log_escape(j->why.message, strlen(j->why.message), text, sizeof(text));
	struct buf quoted;
	buf_init(&quoted, sizeof(data));
	(void)json_write_string(text, strlen(text), &quoted);
	(void)snprintf(
	    data, sizeof(data), "{\"code\":\"%s\",\"reason\":%s}", j->why.code, buf_str(&quoted));
	buf_done(&quoted);
	buf_init(&line, LAST_WORDS_MAX);
	if (record_write(&line, j->committed.seq, j->committed.hash, clock_wall_ms(),
		"ledger-failed", NULL, NULL, data, strlen(data)) < 0 ||
	    buf_add_char(&line, '\n') < 0)
		return;
	if (files_write_all(j->fd, line.data, line.len) < 0 && ftruncate(j->fd, j->end) < 0)
		log_event(LOG_ERROR, "torn-record-left", NULL);
}

/* Cuts the segment back to its last whole record. If even that fails, the process that comes next
 * will: it cuts a torn end on start. */
static int
fail_write(struct journal *j, int error, struct error *err)
{
	struct error why;
	if (ftruncate(j->fd, j->end) < 0)
		log_event(LOG_ERROR, "truncate-failed", "reason", strerror(errno), NULL);
	buf_clear(&j->batch);
	buf_clear(&j->hashes);
	j->next = j->committed;
	(void)error_set_errno(
	    &why, -error, "ledger_failed", "the ledger cannot write segment %08u", j->segment);
	error_remedy(&why, "%s",
	    error == -ENOSPC ? "free space where the state directory is, then try again"
			     : "look at the disk of the state directory, then try again");
	journal_fail(j, -error, &why);
	if (j->committed.seq > 0)
		write_last_words(j);
	return journal_failed(j, err);
}

/* ---- opening ---- */

/* An rf-ledger whose supervisor was killed still syncs and signs: it is given the time. */
static int
journal_lock(int dir_fd, struct error *err)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
	int r = flock(dir_fd, LOCK_EX | LOCK_NB);
	for (int i = 0; r < 0 && errno == EWOULDBLOCK && i < LOCK_WAIT_MS / LOCK_PAUSE_MS; i++) {
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		r = flock(dir_fd, LOCK_EX | LOCK_NB);
	}
	if (r == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(err, EBUSY, "ledger_busy", "another rf-ledger writes this ledger");
	return error_set_errno(err, errno, "ledger_unusable", "cannot lock the ledger's directory");
}

static int
open_segment(struct journal *j, uint32_t number, int flags)
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(number, name);
	int fd = openat(j->dir_fd, name, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | flags, 0640);
	if (fd < 0)
		return -errno;
	if (j->fd >= 0)
		(void)close(j->fd);
	j->fd = fd;
	j->segment = number;
	j->end = j->reserved = 0;
	if ((flags & O_CREAT) != 0)
		j->directory_dirty = true;
	return 0;
}

static int
begin_ledger(struct journal *j, struct error *err)
{
	uint8_t id[16];
	char hex[33], data[160];
	int r = open_segment(j, 0, O_CREAT);
	if (r < 0)
		return error_set_errno(err, -r, "ledger_unusable", "cannot create the ledger");
	if (getentropy(id, sizeof(id)) < 0)
		return error_set_errno(err, errno, "ledger_unusable", "cannot name the ledger");
	hex_encode(id, sizeof(id), hex);
	(void)snprintf(data, sizeof(data),
	    "{\"format\":1,\"ledger\":\"%s\",\"program\":\"rf-ledger %s\"}", hex,
	    RINGFENCE_VERSION);
	struct journal_at at;
	return journal_add(j, "genesis", NULL, NULL, data, strlen(data), &at, err);
}

static int
continue_ledger(struct journal *j, uint32_t newest, struct error *err)
{
	struct recovered found;
	int r = recover_end(j->dir_fd, newest, &found, err);
	if (r < 0)
		return r;
	r = open_segment(j, newest, 0);
	if (r < 0)
		return error_set_errno(
		    err, -r, "ledger_unusable", "cannot open segment %08u", newest);
	j->end = found.end;
	if (found.has_record) {
		j->next.seq = found.seq + 1;
		memcpy(j->next.hash, found.hash, sizeof(found.hash));
		j->committed = j->next;
	} else {
		r = begin_ledger(j, err);
	}
	if (r < 0 || found.cut_bytes == 0)
		return r;
	char data[320];
	struct journal_at at;
	(void)snprintf(data, sizeof(data),
	    "{\"cut_bytes\":%lld,\"kept_in\":\"%s\",\"segment\":%u,\"sha256\":\"%s\"}",
	    (long long)found.cut_bytes, found.kept_in, newest, found.cut_sha256);
	log_event(LOG_WARNING, "torn-end-cut", "kept_in", found.kept_in, NULL);
	return journal_add(j, "recovered", NULL, NULL, data, strlen(data), &at, err);
}

int
journal_open(int dir_fd, struct journal **ret, struct error *err)
{
	uint32_t first, last, count;
	int r = journal_lock(dir_fd, err);
	if (r < 0)
		return r;
	struct journal *j = calloc(1, sizeof(*j));
	if (j == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	j->dir_fd = dir_fd;
	j->fd = -1;
	j->reserve_works = true;
	buf_init(&j->batch, BATCH_BYTES_MAX);
	buf_init(&j->hashes, BATCH_BYTES_MAX);
	r = segment_range(dir_fd, &first, &last, &count);
	if (r < 0)
		r = error_set_errno(
		    err, -r, "ledger_unusable", "cannot read the ledger's directory");
	else if (r == 0)
		r = begin_ledger(j, err);
	else
		r = continue_ledger(j, last, err);
	if (r < 0) {
		journal_free(j);
		return r;
	}
	*ret = j;
	return 0;
}

struct journal *
journal_free(struct journal *j)
{
	if (j == NULL)
		return NULL;
	if (j->fd >= 0) {
		/* The room that was reserved but not used goes back. */
		if (j->reserved > j->end && j->failed == 0 && ftruncate(j->fd, j->end) < 0)
			log_event(LOG_WARNING, "reserve-kept", "reason", strerror(errno), NULL);
		(void)close(j->fd);
	}
	buf_done(&j->batch);
	buf_done(&j->hashes);
	free(j);
	return NULL;
}

/* ---- adding ---- */

int
journal_add(struct journal *j, const char *event, const char *task, const char *action_id,
    const char *data, size_t data_len, struct journal_at *ret, struct error *err)
{
	if (journal_failed(j, err) < 0)
		return j->failed;
	size_t start = j->batch.len;
	int r = record_write(&j->batch, j->next.seq, j->next.hash, clock_wall_ms(), event, task,
	    action_id, data, data_len);
	size_t len = j->batch.len - start;
	if (r == 0 && len > RECORD_LINE_MAX)
		r = -EMSGSIZE;
	if (r == 0)
		r = buf_add_char(&j->batch, '\n');
	if (r < 0) {
		j->batch.len = start;
		j->batch.failed = false;
		return error_set(err, -r, "record_invalid", "the ledger refuses the record: %s",
		    r == -EINVAL ? "malformed event, task or action id" : "too large");
	}
	struct journal_at at = {.seq = j->next.seq};
	merkle_leaf(j->batch.data + start, len, at.hash);
	r = buf_add(&j->hashes, at.hash, sizeof(at.hash));
	if (r < 0) {
		j->batch.len = start;
		return error_set(err, -r, "no_memory", "out of memory");
	}
	j->next.seq++;
	memcpy(j->next.hash, at.hash, sizeof(at.hash));
	*ret = at;
	return 0;
}

size_t
journal_batched(const struct journal *j)
{
	return j->batch.len;
}

/* ---- writing ---- */

static int
rotate(struct journal *j)
{
	/* The old segment is complete: nothing will sync it later. */
	if (j->reserved > j->end && ftruncate(j->fd, j->end) < 0)
		return -errno;
	if (fdatasync(j->fd) < 0)
		return -errno;
	if (j->segment >= SEGMENT_NUMBER_MAX)
		return -EFBIG;
	return open_segment(j, j->segment + 1, O_CREAT | O_EXCL);
}

static void
tell_written(struct journal *j)
{
	if (j->on_written != NULL)
		for (size_t at = 0; at < j->hashes.len; at += SHA256_BYTES)
			j->on_written(j->written_data, j->committed.seq + at / SHA256_BYTES,
			    j->hashes.data + at);
}

/* What is acknowledged has consequences that are recorded too: on a disk where those would not fit any more,
 * nothing is. Reserved room counts; without it the file system is asked, which is cheap. */
static int
check_room(const struct journal *j)
{
	struct statfs fs;
	int64_t need = (int64_t)j->batch.len + ROOM_FOR_MORE;
	if (j->reserved - j->end >= need || fstatfs(j->fd, &fs) < 0 || fs.f_blocks == 0)
		return 0; /* or a write will tell */
	return (int64_t)fs.f_bavail * (int64_t)fs.f_bsize < need ? -ENOSPC : 0;
}

int
journal_write(struct journal *j, struct error *err)
{
	if (journal_failed(j, err) < 0)
		return j->failed;
	if (j->batch.len == 0)
		return 0;
	int r = check_room(j);
	if (r == 0 && j->end > 0 && j->end + (int64_t)j->batch.len > (int64_t)SEGMENT_BYTES_MAX)
		r = rotate(j);
	if (r == 0)
		r = files_write_all(j->fd, j->batch.data, j->batch.len);
	if (r < 0)
		return fail_write(j, r, err);
	j->end += (int64_t)j->batch.len;
	j->dirty = true;
	tell_written(j);
	j->committed = j->next;
	buf_clear(&j->batch);
	buf_clear(&j->hashes);
	return 0;
}

int
journal_sync(struct journal *j, struct error *err)
{
	if (journal_failed(j, err) < 0)
		return j->failed;
	if (!j->dirty)
		return 0;
	int r = fdatasync(j->fd) < 0 ? -errno : 0;
	if (r == 0 && j->directory_dirty && fsync(j->dir_fd) < 0)
		r = -errno;
	if (r == 0) {
		j->dirty = j->directory_dirty = false;
		return 0;
	}
	/* After a failed sync the kernel may have dropped the pages: nobody can tell what is on the
	 * disk, so nothing more is promised. */
	struct error why;
	(void)error_set_errno(
	    &why, -r, "ledger_failed", "the ledger cannot sync segment %08u", j->segment);
	error_remedy(&why, "look at the disk of the state directory, then try again");
	journal_fail(j, -r, &why);
	return journal_failed(j, err);
}

void
journal_reserve(struct journal *j)
{
	int64_t from = MAX(j->reserved, j->end);
	if (!j->reserve_works || j->failed < 0 || from - j->end >= RESERVE_LOW)
		return;
	if (fallocate(j->fd, FALLOC_FL_KEEP_SIZE, from, RESERVE_STEP) == 0) {
		j->reserved = from + RESERVE_STEP;
		return;
	}
	if (errno != ENOSPC && errno != EDQUOT) {
		j->reserve_works = false; /* the file system cannot: writes will tell */
		return;
	}
	/* Nearly full: the records at hand may still fit in what is left; a write will tell. */
	log_event(LOG_WARNING, "disk-nearly-full", NULL);
}

/* ---- reading ---- */

uint64_t
journal_size(const struct journal *j)
{
	return j->committed.seq;
}

const uint8_t *
journal_head(const struct journal *j)
{
	return j->committed.hash;
}

int
journal_dir(const struct journal *j)
{
	return j->dir_fd;
}

void
journal_end(const struct journal *j, uint32_t *ret_segment, int64_t *ret_offset)
{
	*ret_segment = j->segment;
	*ret_offset = j->end;
}

void
journal_on_written(struct journal *j, journal_written_fn *fn, void *data)
{
	j->on_written = fn;
	j->written_data = data;
}
