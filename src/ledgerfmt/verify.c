/* See verify.h. First the notes are read and their signatures checked; that gives a list of what the
 * root must be at which size. Then the records are read once, in order, and held against it. */
#include "ledgerfmt/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/frontier.h"
#include "ledgerfmt/reader.h"
#include "ledgerfmt/record.h"

#define CHECKPOINTS_BYTES_MAX (256u * 1024 * 1024)

/* What the root must be at a size, and who says so. */
struct claim {
	uint64_t size;
	uint8_t root[SHA256_BYTES];
	const char *file; /* static */
	uint64_t line;
};

/* Where a record stands. */
struct place {
	uint32_t segment;
	uint64_t line;
	int64_t offset;
};

struct verify {
	int dir_fd;
	struct verify_result *out;
	struct claim *claims; /* owned; sorted by size */
	size_t n_claims, room, next;
	struct merkle tree;
	uint8_t head[SHA256_BYTES];
	char head_hex[SHA256_HEX];
	struct place at, previous,
	    after_good; /* after_good: first record behind the last good claim */
	bool partial, begun;
	/* A claim that does not hold, until the next record tells whether its chain knows better where. */
	char pending[300];
};

/* ---- findings ---- */

static int finding(struct verify *v, enum verify_status status, const char *file, uint64_t line,
    int64_t offset, const char *fmt, ...) PRINTF_LIKE(6, 7);

/* Notes the first thing that is wrong; returns -EBADMSG, so that callers can stop with it. */
static int
finding(struct verify *v, enum verify_status status, const char *file, uint64_t line,
    int64_t offset, const char *fmt, ...)
{
	struct verify_result *out = v->out;
	if (out->status != VERIFY_OK)
		return -EBADMSG;
	out->status = status;
	(void)snprintf(out->file, sizeof(out->file), "%s", file);
	out->line = line;
	out->offset = offset;
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(out->what, sizeof(out->what), fmt, args);
	va_end(args);
	return -EBADMSG;
}

static int
bad_record(struct verify *v, const struct place *at, const char *what)
{
	char name[SEGMENT_NAME_BYTES];
	segment_name(at->segment, name);
	return finding(v, VERIFY_TAMPERED, name, at->line, at->offset, "%s", what);
}

static int
unusable(struct verify *v, const char *file, int error)
{
	return finding(v, VERIFY_UNUSABLE, file, 0, 0, "cannot be read: %s", strerror(error));
}

/* ---- the notes ---- */

static int
add_claim(struct verify *v, const struct checkpoint *c, const char *file, uint64_t line)
{
	if (v->n_claims == v->room) {
		size_t room = v->room == 0 ? 64 : v->room * 2;
		struct claim *claims = realloc(v->claims, room * sizeof(*claims));
		if (claims == NULL)
			return unusable(v, file, ENOMEM);
		v->claims = claims;
		v->room = room;
	}
	struct claim claim = {.size = c->size, .file = file, .line = line};
	memcpy(claim.root, c->root, sizeof(claim.root));
	/* They come nearly sorted: the last file's one or two are put in place. */
	size_t at = v->n_claims++;
	for (; at > 0 && v->claims[at - 1].size > claim.size; at--)
		v->claims[at] = v->claims[at - 1];
	v->claims[at] = claim;
	return 0;
}

/* One note of FILE, which must be a checkpoint of this ledger signed by its key, and of no size below
 * *SMALLEST, which it then becomes. */
static int
take_note(struct verify *v, const char *note, size_t len, const char *file, uint64_t line,
    int64_t offset, uint64_t *smallest)
{
	struct checkpoint c;
	size_t body;
	int r = note_verify(note, len, &v->out->key);
	if (r == -ENOKEY)
		return finding(v, VERIFY_TAMPERED, file, line, offset,
		    "checkpoint is not signed by the key %s", v->out->key.name);
	if (r == -EBADMSG)
		return finding(v, VERIFY_TAMPERED, file, line, offset,
		    "checkpoint's signature is wrong: it was altered");
	if (r < 0 || note_extent(note, len, &body) != len || checkpoint_parse(note, body, &c) < 0)
		return finding(v, VERIFY_TAMPERED, file, line, offset, "not a signed checkpoint");
	if (strcmp(c.origin, v->out->key.name) != 0)
		return finding(
		    v, VERIFY_TAMPERED, file, line, offset, "checkpoint is another ledger's");
	if (c.size < *smallest)
		return finding(
		    v, VERIFY_TAMPERED, file, line, offset, "checkpoint is out of order");
	*smallest = c.size;
	return add_claim(v, &c, file, line);
}

static uint64_t
count_lines(const char *text, size_t len)
{
	uint64_t n = 0;
	for (const char *p = text; (p = memchr(p, '\n', len - (size_t)(p - text))) != NULL; p++)
		n++;
	return n;
}

/* All notes of TEXT. A last one that is not whole is what a crash leaves: it claims nothing. */
static int
take_notes(struct verify *v, const char *text, size_t len, const char *file)
{
	size_t at = 0, body;
	uint64_t line = 1, smallest = 0;
	while (at < len) {
		size_t n = note_extent(text + at, len - at, &body);
		if (n == 0 && memmem(text + at, len - at, "\n\n\xe2\x80\x94 ", 6) == NULL)
			return 0;
		if (n == 0)
			return finding(
			    v, VERIFY_TAMPERED, file, line, (int64_t)at, "not a signed checkpoint");
		int r = take_note(v, text + at, n, file, line, (int64_t)at, &smallest);
		if (r < 0)
			return r;
		line += count_lines(text + at, n);
		at += n;
		if (at < len && text[at] == '\n') {
			at++;
			line++;
		}
	}
	return 0;
}

static int
read_file(int dir_fd, const char *name, size_t max, struct buf *out)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	buf_init(out, max);
	for (;;) {
		uint8_t *at = buf_reserve(out, 65536);
		if (at == NULL)
			return -EMSGSIZE;
		ssize_t n = read(fd, at, 65536);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_grew(out, (size_t)n);
	}
}

static int
load_key(struct verify *v, const struct note_key *given)
{
	_cleanup_buf_ struct buf text = {0};
	v->out->key_given = given != NULL;
	if (given != NULL) {
		v->out->key = *given;
		return 0;
	}
	int r = read_file(v->dir_fd, FILES_PUBLIC_KEY, 131072, &text);
	if (r == -ENOENT)
		return finding(v, VERIFY_UNUSABLE, FILES_PUBLIC_KEY, 0, 0,
		    "is missing: nothing was signed yet, or name the key with --key");
	if (r < 0)
		return unusable(v, FILES_PUBLIC_KEY, -r);
	if (note_key_parse(buf_str(&text), text.len, &v->out->key) < 0)
		return finding(v, VERIFY_TAMPERED, FILES_PUBLIC_KEY, 1, 0, "not a verifier key");
	return 0;
}

static int
load_notes(struct verify *v, const struct verify_options *options)
{
	_cleanup_buf_ struct buf all = {0}, latest = {0};
	uint64_t smallest = 0;
	int r = read_file(v->dir_fd, FILES_CHECKPOINTS, CHECKPOINTS_BYTES_MAX, &all);
	if (r < 0 && r != -ENOENT)
		return unusable(v, FILES_CHECKPOINTS, -r);
	r = take_notes(v, buf_str(&all), all.len, FILES_CHECKPOINTS);
	if (r < 0)
		return r;
	r = read_file(v->dir_fd, FILES_CHECKPOINT, NOTE_BYTES_MAX + 65536, &latest);
	if (r < 0 && r != -ENOENT)
		return unusable(v, FILES_CHECKPOINT, -r);
	if (latest.len > 0) {
		r = take_note(v, buf_str(&latest), latest.len, FILES_CHECKPOINT, 1, 0, &smallest);
		if (r < 0)
			return r;
	}
	if (options->since == NULL)
		return 0;
	size_t body;
	if (note_extent(options->since, options->since_len, &body) == 0)
		return finding(v, VERIFY_UNUSABLE, "--since", 0, 0, "not a signed checkpoint");
	return take_notes(v, options->since, options->since_len, "--since");
}

/* ---- the records ---- */

/* Holds the tree against the claims for its size. */
static void
check_claims(struct verify *v)
{
	uint8_t root[SHA256_BYTES];
	if (v->next >= v->n_claims || v->claims[v->next].size != v->tree.size)
		return;
	merkle_root(&v->tree, root);
	for (; v->next < v->n_claims && v->claims[v->next].size == v->tree.size; v->next++) {
		const struct claim *claim = &v->claims[v->next];
		if (memcmp(root, claim->root, sizeof(root)) == 0) {
			v->out->checkpoints += v->out->signed_size != claim->size;
			v->out->signed_size = claim->size;
			continue;
		}
		(void)snprintf(v->pending, sizeof(v->pending),
		    "records from here to %llu do not match the checkpoint of size %llu in %s line "
		    "%llu",
		    (unsigned long long)v->tree.size - 1, (unsigned long long)claim->size,
		    claim->file, (unsigned long long)claim->line);
		return;
	}
	v->after_good = (struct place){0};
}

/* The ledger's own records: they name it and its key. */
static int
check_own(struct verify *v, const struct record *record)
{
	bool genesis = record->event_len == 7 && memcmp(record->event, "genesis", 7) == 0;
	bool key = record->event_len == 3 && memcmp(record->event, "key", 3) == 0;
	if (genesis != (record->seq == 0))
		return bad_record(v, &v->at,
		    genesis ? "a second genesis record"
			    : "the first record is not the genesis record");
	if (!genesis && !key)
		return 0;
	_cleanup_json_ struct json *data = NULL;
	_cleanup_buf_ struct buf line;
	buf_init(&line, 1024);
	if (json_parse(record->data, record->data_len, &data, NULL) < 0)
		return bad_record(v, &v->at, "data cannot be read");
	if (genesis) {
		(void)buf_addf(&line, NOTE_ORIGIN_PREFIX "%s", json_get_str(data, "ledger", ""));
		if (strcmp(buf_str(&line), v->out->key.name) != 0)
			return bad_record(
			    v, &v->at, "the records and the key are of different ledgers");
		return 0;
	}
	(void)note_key_write(&v->out->key, &line);
	if (strcmp(buf_str(&line), json_get_str(data, "key", "")) != 0)
		return bad_record(
		    v, &v->at, "the ledger names another signing key than the one given");
	return 0;
}

static int
check_pending(struct verify *v)
{
	return v->pending[0] == 0 ? 0 : bad_record(v, &v->after_good, v->pending);
}

static int
check_chain(struct verify *v, const struct record *record)
{
	char what[200];
	if (memcmp(record->prev, v->head_hex, SHA256_HEX - 1) == 0)
		return 0;
	if (!v->begun)
		return bad_record(v, &v->at, "the first record does not begin the chain");
	(void)snprintf(what, sizeof(what),
	    "record %llu was altered: it is not the one that record %llu follows",
	    (unsigned long long)record->seq - 1, (unsigned long long)record->seq);
	return bad_record(v, &v->previous, what);
}

static int
check_line(struct verify *v, const struct line *line)
{
	struct record record;
	const char *why;
	char what[200];
	if (line->len > RECORD_LINE_MAX)
		return bad_record(v, &v->at, "line is too long");
	if (record_parse(line->text, line->len, &record, &why) < 0) {
		(void)check_pending(v);
		(void)snprintf(what, sizeof(what), "not a record: %s", why);
		return bad_record(v, &v->at, what);
	}
	if (record.seq != v->tree.size) {
		(void)check_pending(v);
		(void)snprintf(what, sizeof(what),
		    "record %llu stands where %llu should: records were removed, added or "
		    "reordered",
		    (unsigned long long)record.seq, (unsigned long long)v->tree.size);
		return bad_record(v, &v->at, what);
	}
	int r = check_chain(v, &record);
	if (r == 0)
		r = check_pending(v);
	if (r == 0)
		r = check_own(v, &record);
	if (r < 0)
		return r;
	merkle_leaf(line->text, line->len, v->head);
	hex_encode(v->head, SHA256_BYTES, v->head_hex);
	if (v->after_good.line == 0)
		v->after_good = v->at;
	merkle_push(&v->tree, v->head);
	v->begun = true;
	check_claims(v);
	return 0;
}

static int
check_segment(struct verify *v, struct reader *reader, bool last)
{
	struct line line;
	int r;
	while ((r = reader_next(reader, &line)) == 1) {
		v->at.line++;
		v->at.offset = line.offset;
		r = check_line(v, &line);
		if (r < 0)
			return r;
		v->previous = v->at;
	}
	v->out->bytes += reader->len;
	if (r == 0)
		return 0;
	if (!last) {
		v->at.line++;
		v->at.offset = line.offset;
		return bad_record(v, &v->at, "line has no end");
	}
	v->out->unfinished = true;
	return 0;
}

static int
check_segments(struct verify *v, uint32_t first, uint32_t last)
{
	for (uint32_t n = first; n <= last; n++) {
		struct reader reader;
		char name[SEGMENT_NAME_BYTES];
		segment_name(n, name);
		int r = reader_open(&reader, v->dir_fd, n, 0);
		if (r == -ENOENT)
			return finding(v, VERIFY_TAMPERED, name, 0, 0, "segment is missing");
		if (r < 0)
			return unusable(v, name, -r);
		v->at = (struct place){.segment = n};
		r = check_segment(v, &reader, n == last);
		reader_done(&reader);
		if (r < 0)
			return r;
		v->out->segments++;
	}
	return 0;
}

/* Where a partial export begins: its edge of the tree is proved by the first checkpoint that holds. */
static int
load_start(struct verify *v)
{
	struct frontier f;
	int r = frontier_load(v->dir_fd, FILES_START, &f);
	if (r == -ENOENT) {
		merkle_init(&v->tree);
		return 0;
	}
	if (r < 0)
		return finding(v, VERIFY_UNUSABLE, FILES_START, 1, 0, "cannot be read");
	v->partial = true;
	v->tree = f.tree;
	v->out->first = f.tree.size;
	memcpy(v->head, f.head, SHA256_BYTES);
	return 0;
}

/* Claims about what is before the first record that is here cannot be checked. */
static int
skip_claims(struct verify *v)
{
	for (; v->next < v->n_claims && v->claims[v->next].size <= v->tree.size; v->next++) {
		const struct claim *claim = &v->claims[v->next];
		if (v->partial && strcmp(claim->file, "--since") == 0)
			return finding(v, VERIFY_UNUSABLE, "--since", claim->line, 0,
			    "is older than the part of the ledger that is here");
	}
	return 0;
}

static int
check_records(struct verify *v)
{
	uint32_t first, last, count;
	int r = load_start(v);
	if (r == 0)
		r = skip_claims(v);
	if (r < 0)
		return r;
	hex_encode(v->head, SHA256_BYTES, v->head_hex);
	r = segment_range(v->dir_fd, &first, &last, &count);
	if (r < 0)
		return unusable(v, ".", -r);
	if (r == 0 && v->n_claims > 0)
		return finding(v, VERIFY_TAMPERED, "00000000.jsonl", 0, 0,
		    "there are checkpoints but no records");
	if (r == 0)
		return finding(v, VERIFY_UNUSABLE, ".", 0, 0, "there is no ledger here");
	if (!v->partial)
		first = 0;
	return check_segments(v, first, last);
}

/* Claims about more records than there are. */
static int
check_length(struct verify *v)
{
	if (check_pending(v) < 0)
		return -EBADMSG;
	if (v->next < v->n_claims) {
		const struct claim *claim = &v->claims[v->n_claims - 1];
		char name[SEGMENT_NAME_BYTES];
		segment_name(v->at.segment, name);
		return finding(v, VERIFY_TAMPERED, name, v->at.line, v->at.offset,
		    "the end was cut off: there are %llu records, and the checkpoint in %s line "
		    "%llu "
		    "covers %llu",
		    (unsigned long long)v->tree.size, claim->file, (unsigned long long)claim->line,
		    (unsigned long long)claim->size);
	}
	if (v->out->checkpoints == 0)
		return finding(v, VERIFY_UNUSABLE, FILES_CHECKPOINTS, 0, 0,
		    "no checkpoint covers these records: the chain holds, but nothing was signed");
	return 0;
}

void
verify_ledger(int dir_fd, const struct verify_options *options, struct verify_result *ret)
{
	struct verify v = {.dir_fd = dir_fd, .out = ret};
	*ret = (struct verify_result){.status = VERIFY_OK};
	int r = load_key(&v, options->key);
	if (r == 0)
		r = load_notes(&v, options);
	if (r == 0)
		r = check_records(&v);
	if (r == 0)
		(void)check_length(&v);
	(void)snprintf(ret->origin, sizeof(ret->origin), "%s", ret->key.name);
	ret->records = v.tree.size - ret->first;
	merkle_root(&v.tree, ret->root);
	memcpy(ret->head, v.head, SHA256_BYTES);
	free(v.claims);
}
