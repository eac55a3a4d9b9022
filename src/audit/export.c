/* `ringfence audit export`: a tar file with the segments, the checkpoints and the public key, which
 * whoever gets it can unpack and verify without anything else.
 *
 * A part (--from, --to) begins with the Merkle tree's edge at its first record (file `start`) and ends
 * where a checkpoint does, so that its signature proves the part. The notes are read before the
 * records: a ledger that is being written never gives a checkpoint without its records. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/records.h"
#include "audit/tar.h"
#include "base/clock.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/frontier.h"
#include "ledgerfmt/note.h"

#define NOTES_BYTES_MAX (256u * 1024 * 1024)

/* A boundary between records. */
struct cut {
	bool set;
	uint32_t segment;
	int64_t offset;
};

struct export
{
	int dir_fd, out_fd;
	char folder[64]; /* in the tar file, with a slash */
	int64_t now_s;
	uint64_t from, to; /* records FROM..TO-1 */
	struct buf notes;  /* all of them */
	struct buf chosen; /* those that go along */
	size_t last_note;  /* where the last of the chosen begins */
	struct note_key key;
	struct merkle tree;
	uint8_t head[SHA256_BYTES];
	struct frontier start;
	struct cut first, end;
};

static int
add_file(struct export *x, const char *name, const void *bytes, size_t len)
{
	char path[100];
	(void)snprintf(path, sizeof(path), "%s%s", x->folder, name);
	int r = tar_header(x->out_fd, path, len, x->now_s);
	if (r == 0)
		r = files_write_all(x->out_fd, bytes, len);
	return r == 0 ? tar_pad(x->out_fd, len) : r;
}

/* ---- what goes along ---- */

static int
read_inputs(struct export *x, struct error *err)
{
	char path[64];
	_cleanup_buf_ struct buf key = {0};
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/" FILES_CHECKPOINTS, x->dir_fd);
	if (file_read(path, NOTES_BYTES_MAX, &x->notes, err) < 0) {
		error_set(err, ENOENT, "no_checkpoint", "the ledger has no checkpoint yet");
		error_remedy(err, "`ringfence audit checkpoint` asks for one");
		return -ENOENT;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/" FILES_PUBLIC_KEY, x->dir_fd);
	int r = file_read(path, 65536, &key, err);
	if (r < 0)
		return r;
	if (note_key_parse(buf_str(&key), key.len, &x->key) < 0)
		return error_set(err, EINVAL, "bad_key", FILES_PUBLIC_KEY " is not a verifier key");
	const char *slash = strrchr(x->key.name, '/');
	(void)snprintf(
	    x->folder, sizeof(x->folder), "ledger-%.16s/", slash == NULL ? x->key.name : slash + 1);
	return 0;
}

/* Chooses the notes that cover the part: those behind its first record, up to the first that covers
 * its last. Sets where the part ends. */
static int
choose_notes(struct export *x, struct error *err)
{
	uint64_t end = 0;
	size_t at = 0, body, n;
	buf_init(&x->chosen, NOTES_BYTES_MAX);
	while ((n = note_extent(buf_str(&x->notes) + at, x->notes.len - at, &body)) > 0) {
		struct checkpoint c;
		const char *note = buf_str(&x->notes) + at;
		if (checkpoint_parse(note, body, &c) < 0)
			break;
		if (c.size > x->from && (end == 0 || end < x->to)) {
			x->last_note = x->chosen.len;
			(void)buf_add(&x->chosen, note, n);
			(void)buf_add_char(&x->chosen, '\n');
			end = c.size;
		}
		at += n;
		at += at < x->notes.len && buf_str(&x->notes)[at] == '\n';
	}
	if (x->chosen.len == 0) {
		error_set(err, ENOENT, "no_checkpoint", "no checkpoint covers record %llu",
		    (unsigned long long)x->from);
		error_remedy(err, "`ringfence audit checkpoint` asks for one");
		return -ENOENT;
	}
	if (buf_failed(&x->chosen))
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	/* Without --to, what is not signed yet goes along. */
	if (x->to != UINT64_MAX && end >= x->to)
		x->to = end;
	return 0;
}

static int
find_cuts(void *data, uint32_t segment, const struct line *line, const struct record *record)
{
	struct export *x = data;
	if (record->seq != x->tree.size)
		return -EUCLEAN;
	if (record->seq == x->from) {
		x->first = (struct cut){true, segment, line->offset};
		x->start = (struct frontier){.tree = x->tree, .segment = segment};
		memcpy(x->start.head, x->head, SHA256_BYTES);
	}
	merkle_leaf(line->text, line->len, x->head);
	merkle_push(&x->tree, x->head);
	x->end = (struct cut){true, segment, line->offset + (int64_t)line->len + 1};
	return x->tree.size >= x->to ? 1 : 0;
}

static int
find_part(struct export *x, struct error *err)
{
	merkle_init(&x->tree);
	int r = records_each(x->dir_fd, 0, 0, find_cuts, x, err);
	if (r == -EUCLEAN)
		return error_set(err, EUCLEAN, "broken",
		    "the records are not in order: run `ringfence audit verify`");
	if (r < 0)
		return r;
	if (!x->first.set)
		return error_set(err, ENOENT, "not_found", "the ledger has no record %llu",
		    (unsigned long long)x->from);
	return 0;
}

/* ---- writing ---- */

static int
add_segment(struct export *x, uint32_t number)
{
	struct reader reader;
	char name[SEGMENT_NAME_BYTES];
	int r = reader_open(&reader, x->dir_fd, number, 0);
	if (r < 0)
		return r;
	size_t from = number == x->first.segment ? (size_t)x->first.offset : 0;
	size_t to = number == x->end.segment ? (size_t)x->end.offset : reader.len;
	segment_name(number, name);
	r = to > reader.len || from > to ? -EIO : add_file(x, name, reader.text + from, to - from);
	reader_done(&reader);
	return r;
}

static int
write_all(struct export *x)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, FRONTIER_BYTES_MAX);
	int r = 0;
	if (x->from > 0) {
		r = frontier_write(&x->start, &text);
		if (r == 0)
			r = add_file(x, FILES_START, text.data, text.len);
		buf_clear(&text);
	}
	for (uint32_t n = x->first.segment; r == 0 && n <= x->end.segment; n++)
		r = add_segment(x, n);
	if (r == 0)
		r = add_file(x, FILES_CHECKPOINTS, x->chosen.data, x->chosen.len);
	if (r == 0)
		r = add_file(x, FILES_CHECKPOINT, x->chosen.data + x->last_note,
		    x->chosen.len - x->last_note - 1);
	(void)note_key_write(&x->key, &text);
	(void)buf_add_char(&text, '\n');
	if (r == 0)
		r = add_file(x, FILES_PUBLIC_KEY, text.data, text.len);
	return r == 0 ? tar_end(x->out_fd) : r;
}

static int
run_export(struct export *x, const char *file, struct error *err)
{
	int r = read_inputs(x, err);
	if (r == 0)
		r = choose_notes(x, err);
	if (r == 0)
		r = find_part(x, err);
	if (r < 0)
		return r;
	bool to_stdout = strcmp(file, "-") == 0;
	x->out_fd =
	    to_stdout ? STDOUT_FILENO : open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (x->out_fd < 0)
		return error_set_errno(err, errno, "unwritable", "cannot write %s", file);
	r = write_all(x);
	if (!to_stdout && close(x->out_fd) < 0 && r == 0)
		r = -errno;
	if (r < 0) {
		if (!to_stdout)
			(void)unlink(file);
		return error_set_errno(err, -r, "unwritable", "cannot write %s", file);
	}
	(void)fprintf(stderr,
	    "ringfence audit: records %llu to %llu; unpack and run `ringfence audit verify %.*s`\n",
	    (unsigned long long)x->from, (unsigned long long)x->tree.size - 1,
	    (int)strlen(x->folder) - 1, x->folder);
	return 0;
}

int
export_main(int argc, char **argv)
{
	const char *dir = NULL, *from = NULL, *to = NULL, *file = NULL;
	struct export x = {.to = UINT64_MAX, .now_s = clock_wall_ms() / 1000};
	struct error err = {.remedy = ""};
	size_t n;
	const struct option_spec specs[] = {
	    {"--dir", &dir, NULL}, {"--from", &from, NULL}, {"--to", &to, NULL}, {0}};
	if (options_parse(argc, argv, specs, &file, 1, &n, &err) < 0 ||
	    (from != NULL && option_number(from, &x.from, &err) < 0) ||
	    (to != NULL && option_number(to, &x.to, &err) < 0))
		return complain(&err);
	if (to != NULL)
		x.to++; /* a record's number; ours is one behind it */
	if (n == 0 || x.to <= x.from) {
		error_set(&err, EINVAL, "usage", "%s",
		    n == 0 ? "export to which file? (- is standard output)"
			   : "--to is before --from");
		return complain(&err);
	}
	if (dir == NULL)
		checkpoint_refresh();
	_cleanup_close_ int fd = ledger_open(dir, NULL, &err);
	if (fd < 0)
		return complain(&err);
	x.dir_fd = fd;
	int r = run_export(&x, file, &err);
	buf_done(&x.notes);
	buf_done(&x.chosen);
	return r < 0 ? complain(&err) : 0;
}
