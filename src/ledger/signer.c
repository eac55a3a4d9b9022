/* See signer.h.
 *
 *     cold ── first checkpoint: load key, history up to date ──▶ warm
 *     warm: the tree holds every record that was written (fed by the journal)
 *
 * A failure that may pass (a full disk) leaves the state as it is, to be tried again; a history that
 * does not match its own checkpoint fails the journal for good. */
#include "ledger/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "ledger/history.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/frontier.h"
#include "ledgerfmt/note.h"

#define IDLE_MS 200
#define RECORDS_MAX 4096
#define AGE_MS 60000

struct signer {
	struct loop *loop;
	struct journal *journal;
	struct timer *idle;
	uint64_t written_at_idle; /* journal size when the idle timer began */
	int64_t signed_ns;        /* when last signed (or begun) */
	uint64_t signed_size;     /* records under the last note of this process */
	bool warm;
	struct merkle tree;
	struct note_key key;
	uint8_t seed[NOTE_KEY_BYTES];
	struct buf note; /* the last note of this process */
};

static void
on_written(void *data, uint64_t seq, const uint8_t hash[SHA256_BYTES])
{
	struct signer *s = data;
	if (s->warm)
		merkle_push(&s->tree, hash);
}

int
signer_new(struct loop *loop, struct journal *journal, struct signer **ret)
{
	struct signer *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	s->loop = loop;
	s->journal = journal;
	s->signed_ns = clock_monotonic_ns();
	buf_init(&s->note, NOTE_BYTES_MAX);
	journal_on_written(journal, on_written, s);
	*ret = s;
	return 0;
}

/* ---- the key ---- */

static int
read_seed(int dir_fd, uint8_t ret[NOTE_KEY_BYTES])
{
	struct stat st;
	_cleanup_close_ int fd =
	    openat(dir_fd, FILES_PRIVATE_KEY, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_size != NOTE_KEY_BYTES ? -EINVAL : files_pread_all(fd, ret, NOTE_KEY_BYTES, 0);
}

static bool
exists(int dir_fd, const char *name)
{
	struct stat st;
	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Makes the key. Its record stands in the ledger before anything is signed with it. */
static int
make_key(struct signer *s, const char *origin, struct error *err)
{
	int dir_fd = journal_dir(s->journal);
	if (exists(dir_fd, FILES_PUBLIC_KEY) || exists(dir_fd, FILES_CHECKPOINT)) {
		error_set(err, ENOKEY, "ledger_key_lost",
		    "the ledger has checkpoints but its signing key is gone");
		error_remedy(err,
		    "bring " FILES_PRIVATE_KEY " back from a backup, or move the ledger's "
		    "directory aside to begin a new ledger");
		return -ENOKEY;
	}
	if (getentropy(s->seed, sizeof(s->seed)) < 0)
		return error_set_errno(err, errno, "ledger_key", "cannot make the ledger's key");
	int r =
	    files_replace(dir_fd, FILES_PRIVATE_KEY, s->seed, sizeof(s->seed), 0600, FILES_SYNCED);
	return r < 0 ? error_set_errno(err, -r, "ledger_key", "cannot keep the ledger's key") : 0;
}

static int
publish_key(struct signer *s, struct error *err)
{
	_cleanup_buf_ struct buf line;
	buf_init(&line, 512);
	int r = note_key_write(&s->key, &line);
	if (r == 0)
		r = buf_add_char(&line, '\n');
	if (r == 0)
		r = files_replace(journal_dir(s->journal), FILES_PUBLIC_KEY, line.data, line.len,
		    0644, FILES_SYNCED);
	return r < 0 ? error_set_errno(err, -r, "ledger_key", "cannot publish the ledger's key")
		     : 0;
}

/* Records which key signs from here on. */
static int
record_key(struct signer *s, struct error *err)
{
	_cleanup_buf_ struct buf line, data;
	struct journal_at at;
	buf_init(&line, 512);
	buf_init(&data, 1024);
	int r = note_key_write(&s->key, &line);
	if (r == 0)
		r = buf_addf(&data, "{\"key\":\"%s\"}", buf_str(&line));
	if (r < 0)
		return error_set(err, -r, "no_memory", "out of memory");
	r = journal_add(s->journal, "key", NULL, NULL, (const char *)data.data, data.len, &at, err);
	return r < 0 ? r : journal_write(s->journal, err);
}

static int
load_key(struct signer *s, const char *origin, struct error *err)
{
	int dir_fd = journal_dir(s->journal);
	bool is_new = false;
	int r = read_seed(dir_fd, s->seed);
	if (r == -ENOENT) {
		is_new = true;
		r = make_key(s, origin, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return error_set_errno(err, -r, "ledger_key", "cannot read the ledger's key");
	(void)snprintf(s->key.name, sizeof(s->key.name), "%s", origin);
	if (note_public_key(s->seed, s->key.key) < 0)
		return error_set(err, EIO, "ledger_key", "cannot use the ledger's key");
	note_key_hash(&s->key);
	/* ledger.pub is written after the record: without it, the record may be missing as well. */
	if (is_new || !exists(dir_fd, FILES_PUBLIC_KEY)) {
		r = record_key(s, err);
		if (r == 0)
			r = publish_key(s, err);
	}
	return r;
}

/* ---- getting warm ---- */

static int
warm_up(struct signer *s, struct error *err)
{
	char origin[NOTE_NAME_MAX];
	if (s->warm)
		return 0;
	int dir_fd = journal_dir(s->journal);
	int r = history_origin(dir_fd, origin, err);
	if (r == 0)
		r = load_key(s, origin, err);
	if (r == 0) {
		struct history_end end = {.size = journal_size(s->journal)};
		memcpy(end.head, journal_head(s->journal), SHA256_BYTES);
		journal_end(s->journal, &end.segment, &end.offset);
		r = history_load(dir_fd, &s->key, &end, &s->tree, &s->note, err);
	}
	if (r == 0) {
		s->warm = true;
		s->signed_size = s->note.len > 0 ? s->tree.size : 0;
	}
	/* What will not pass by itself: nothing more may be recorded on top of it. */
	if (r == -ENOKEY || r == -EUCLEAN)
		journal_fail(s->journal, -r, err);
	return r;
}

/* ---- signing ---- */

static int
sign(struct signer *s, struct error *err)
{
	struct checkpoint c = {.size = s->tree.size};
	_cleanup_buf_ struct buf body;
	buf_init(&body, 1024);
	(void)snprintf(c.origin, sizeof(c.origin), "%s", s->key.name);
	merkle_root(&s->tree, c.root);
	buf_clear(&s->note);
	s->signed_size = 0;
	int r = checkpoint_write(&c, &body);
	if (r == 0)
		r = note_sign((const char *)body.data, body.len, &s->key, s->seed, &s->note);
	if (r < 0)
		return error_set_errno(err, -r, "ledger_sign", "cannot sign a checkpoint");
	return 0;
}

/* Appends the note to the file of all, then replaces the latest, then the cache. */
static int
keep_note(struct signer *s, struct error *err)
{
	int dir_fd = journal_dir(s->journal);
	int r = history_append_note(dir_fd, buf_str(&s->note), s->note.len);
	if (r == 0)
		r = files_replace(
		    dir_fd, FILES_CHECKPOINT, s->note.data, s->note.len, 0644, FILES_PLAIN);
	if (r < 0)
		return error_set_errno(err, -r, "ledger_sign", "cannot keep a checkpoint");
	struct frontier f = {.tree = s->tree};
	memcpy(f.head, journal_head(s->journal), SHA256_BYTES);
	journal_end(s->journal, &f.segment, &f.offset);
	_cleanup_buf_ struct buf text;
	buf_init(&text, FRONTIER_BYTES_MAX);
	r = frontier_write(&f, &text);
	if (r == 0)
		r = files_replace(dir_fd, FILES_FRONTIER, text.data, text.len, 0640, FILES_PLAIN);
	if (r < 0) /* only a cache: the next start reads more */
		log_event(LOG_WARNING, "frontier-not-kept", "reason", strerror(-r), NULL);
	return 0;
}

static int
make_checkpoint(struct signer *s, struct error *err)
{
	int r = warm_up(s, err);
	if (r == 0 && s->note.len > 0 && s->signed_size == journal_size(s->journal))
		return journal_failed(s->journal, err);
	s->signed_ns = clock_monotonic_ns();
	if (r == 0)
		r = journal_sync(s->journal, err);
	if (r == 0)
		r = sign(s, err);
	if (r == 0)
		r = keep_note(s, err);
	if (r == 0)
		s->signed_size = s->tree.size;
	else
		buf_clear(&s->note);
	return r;
}

int
signer_checkpoint(struct signer *s, struct buf *note, struct error *err)
{
	int r = make_checkpoint(s, err);
	if (r == 0 && buf_add(note, s->note.data, s->note.len) < 0)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	return r;
}

int
signer_finish(struct signer *s, struct error *err)
{
	return make_checkpoint(s, err);
}

/* ---- in time ---- */

static void
sign_now(struct signer *s)
{
	struct error err;
	if (make_checkpoint(s, &err) < 0)
		log_event(LOG_ERROR, err.code, "reason", err.message, NULL);
	journal_reserve(s->journal);
}

static void
on_idle(struct timer *timer, void *data)
{
	struct signer *s = data;
	s->idle = NULL;
	if (journal_failed(s->journal, NULL) == 0) {
		if (journal_size(s->journal) != s->written_at_idle)
			signer_after_write(s); /* not idle yet */
		else
			sign_now(s);
	}
}

void
signer_after_write(struct signer *s)
{
	uint64_t size = journal_size(s->journal);
	if (size == s->signed_size)
		return;
	bool many = s->signed_size > 0 && size - s->signed_size >= RECORDS_MAX;
	if (many || clock_monotonic_ns() - s->signed_ns > AGE_MS * 1000000LL) {
		sign_now(s);
		return;
	}
	if (s->idle != NULL)
		return;
	s->written_at_idle = size;
	if (loop_timer(s->loop, IDLE_MS, on_idle, s, &s->idle) < 0)
		sign_now(s);
}
