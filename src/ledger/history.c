/* See history.h. Reading is checked as verification would: the chain, the numbers, the end that the
 * journal found, and the last checkpoint. */
#include "ledger/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/frontier.h"
#include "ledgerfmt/reader.h"
#include "ledgerfmt/record.h"

#define CHECKPOINTS_TAIL (2 * NOTE_BYTES_MAX)

static int
damaged(struct error *err, const char *what)
{
	error_set(err, EUCLEAN, "ledger_altered", "the ledger's history was altered: %s", what);
	error_remedy(err,
	    "look at it with `ringfence audit verify`; to begin a new ledger, move the "
	    "ledger's directory aside");
	return -EUCLEAN;
}

/* ---- the name ---- */

int
history_origin(int dir_fd, char ret[NOTE_NAME_MAX], struct error *err)
{
	struct reader reader;
	struct line line;
	struct record record;
	const char *why;
	int r = reader_open(&reader, dir_fd, 0, 0);
	if (r < 0)
		return r == -ENOENT
		    ? damaged(err, "its first segment is gone")
		    : error_set_errno(err, -r, "ledger_unusable", "cannot read segment 0");
	_cleanup_json_ struct json *data = NULL;
	bool good = reader_next(&reader, &line) == 1 &&
	    record_parse(line.text, line.len, &record, &why) == 0 && record.seq == 0 &&
	    json_parse(record.data, record.data_len, &data, NULL) == 0;
	const char *id = json_get_str(data, "ledger", "");
	good = good && strlen(id) == 32 && record_id_valid(id, 32);
	if (good)
		(void)snprintf(ret, NOTE_NAME_MAX, NOTE_ORIGIN_PREFIX "%s", id);
	reader_done(&reader);
	return good ? 0 : damaged(err, "its first record does not name it");
}

/* ---- the tree ---- */

/* The latest note, if it is a checkpoint signed by KEY. 1, 0 if there is none, -EUCLEAN. */
static int
last_checkpoint(int dir_fd, const struct note_key *key, struct checkpoint *ret,
    struct buf *ret_note, struct error *err)
{
	char note[NOTE_BYTES_MAX];
	size_t body;
	_cleanup_close_ int fd =
	    openat(dir_fd, FILES_CHECKPOINT, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0
				       : error_set_errno(err, errno, "ledger_unusable",
					     "cannot read the last checkpoint");
	ssize_t n = read(fd, note, sizeof(note));
	if (n == 0)
		return 0; /* a crash of the machine between making and filling it */
	if (n < 0 || note_verify(note, (size_t)n, key) < 0 ||
	    note_extent(note, (size_t)n, &body) == 0 || checkpoint_parse(note, body, ret) < 0)
		return damaged(err, "its last checkpoint is not signed by its key");
	if (strcmp(ret->origin, key->name) != 0)
		return damaged(err, "its last checkpoint is another ledger's");
	if (buf_add(ret_note, note, (size_t)n) < 0)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	return 1;
}

/* Whether F is the tree that C signed, and ends where the segment has that record. */
static bool
frontier_holds(int dir_fd, const struct frontier *f, const struct checkpoint *c)
{
	uint8_t root[SHA256_BYTES], hash[SHA256_BYTES];
	char tail[8192];
	char name[SEGMENT_NAME_BYTES];
	merkle_root(&f->tree, root);
	if (f->tree.size == 0 || f->tree.size != c->size ||
	    memcmp(root, c->root, sizeof(root)) != 0)
		return false;
	segment_name(f->segment, name);
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	size_t len = (size_t)MIN(f->offset, (int64_t)sizeof(tail));
	if (fd < 0 || len == 0 || files_pread_all(fd, tail, len, f->offset - (int64_t)len) < 0 ||
	    tail[len - 1] != '\n')
		return false;
	const char *before = len < 2 ? NULL : memrchr(tail, '\n', len - 1);
	if (before == NULL && (int64_t)len != f->offset)
		return false; /* an unusually long record: read everything */
	const char *line = before == NULL ? tail : before + 1;
	merkle_leaf(line, (size_t)(tail + len - 1 - line), hash);
	return memcmp(hash, f->head, sizeof(hash)) == 0;
}

struct walk {
	struct merkle *tree;
	uint8_t head[SHA256_BYTES];
	const struct checkpoint *checkpoint; /* NULL: none to compare with */
};

static int
walk_segment(struct walk *w, struct reader *reader, struct error *err)
{
	struct line line;
	struct record record;
	const char *why;
	char head[SHA256_HEX];
	int r;
	while ((r = reader_next(reader, &line)) == 1) {
		hex_encode(w->head, SHA256_BYTES, head);
		if (record_parse(line.text, line.len, &record, &why) < 0)
			return damaged(err, why);
		if (record.seq != w->tree->size || memcmp(record.prev, head, SHA256_HEX - 1) != 0)
			return damaged(err, "its chain is broken");
		merkle_leaf(line.text, line.len, w->head);
		merkle_push(w->tree, w->head);
		if (w->checkpoint == NULL || w->checkpoint->size != w->tree->size)
			continue;
		uint8_t root[SHA256_BYTES];
		merkle_root(w->tree, root);
		if (memcmp(root, w->checkpoint->root, sizeof(root)) != 0)
			return damaged(err, "it does not match its last checkpoint");
	}
	return r < 0 ? damaged(err, "a record is not whole") : 0;
}

static int
walk_history(
    int dir_fd, struct walk *w, uint32_t segment, int64_t offset, uint32_t last, struct error *err)
{
	for (; segment <= last; segment++, offset = 0) {
		struct reader reader;
		int r = reader_open(&reader, dir_fd, segment, offset);
		if (r == -ENOENT || r == -EINVAL)
			return damaged(err, "a segment is missing");
		if (r < 0)
			return error_set_errno(
			    err, -r, "ledger_unusable", "cannot read segment %08u", segment);
		r = walk_segment(w, &reader, err);
		reader_done(&reader);
		if (r < 0)
			return r;
	}
	return 0;
}

int
history_load(int dir_fd, const struct note_key *key, const struct history_end *end,
    struct merkle *ret, struct buf *ret_note, struct error *err)
{
	struct checkpoint checkpoint;
	struct frontier f;
	int r = last_checkpoint(dir_fd, key, &checkpoint, ret_note, err);
	if (r < 0)
		return r;
	bool have = r == 1;
	if (have && checkpoint.size > end->size)
		return damaged(err, "records that its last checkpoint covers are gone");
	bool cached = have && frontier_load(dir_fd, FILES_FRONTIER, &f) == 0 &&
	    frontier_holds(dir_fd, &f, &checkpoint);
	if (!cached)
		f = (struct frontier){.tree = {0}};
	merkle_init(ret);
	*ret = f.tree;
	struct walk w = {.tree = ret, .checkpoint = have && !cached ? &checkpoint : NULL};
	memcpy(w.head, f.head, SHA256_BYTES);
	r = walk_history(dir_fd, &w, f.segment, f.offset, end->segment, err);
	if (r == 0 && (ret->size != end->size || memcmp(w.head, end->head, SHA256_BYTES) != 0))
		r = damaged(err, "its end is not where its writer left it");
	if (r < 0 || (have && checkpoint.size < end->size))
		buf_clear(ret_note);
	return r;
}

/* ---- the checkpoints ---- */

/* The length of the whole notes in the last LEN bytes at TEXT of a file: what follows the last empty
 * line that ends a note is unfinished. */
static size_t
whole_notes(const char *text, size_t len)
{
	size_t end = len;
	while (end > 1) {
		const char *newline = memrchr(text, '\n', end);
		if (newline == NULL)
			return 0;
		size_t at = (size_t)(newline - text);
		/* An empty line behind a signature line: the line before it starts with the em dash. */
		if (at > 0 && text[at - 1] == '\n') {
			const char *line = at < 2 ? NULL : memrchr(text, '\n', at - 1);
			line = line == NULL ? text : line + 1;
			if (memcmp(line, "\xe2\x80\x94", 3) == 0)
				return at + 1;
		}
		end = at;
	}
	return 0;
}

int
history_append_note(int dir_fd, const char *note, size_t len)
{
	char tail[CHECKPOINTS_TAIL];
	struct stat st;
	_cleanup_close_ int fd = openat(
	    dir_fd, FILES_CHECKPOINTS, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	size_t n = (size_t)MIN(st.st_size, (off_t)sizeof(tail));
	int r = files_pread_all(fd, tail, n, st.st_size - (int64_t)n);
	if (r < 0)
		return r;
	int64_t end = st.st_size - (int64_t)n + (int64_t)whole_notes(tail, n);
	if (end < st.st_size && ftruncate(fd, end) < 0)
		return -errno;
	r = files_write_all(fd, note, len);
	if (r == 0)
		r = files_write_all(fd, "\n", 1);
	if (r < 0 && ftruncate(fd, end) < 0)
		return -errno;
	return r;
}
