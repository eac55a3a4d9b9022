/* See index.h. */
#include "audit/index.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/audit.h"
#include "base/sha256.h"
#include "ipc/paths.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/merkle.h"

#define SCHEMA_VERSION 1
#define BUSY_MS 3000

static const char schema[] =
    "DROP TABLE IF EXISTS records; DROP TABLE IF EXISTS last;"
    "CREATE TABLE records(seq INTEGER PRIMARY KEY, time INTEGER, segment INTEGER, offset INTEGER,"
    " len INTEGER, event TEXT, task TEXT, action TEXT, decision TEXT);"
    "CREATE INDEX by_task ON records(task) WHERE task IS NOT NULL;"
    "CREATE INDEX by_action ON records(action) WHERE action IS NOT NULL;"
    "CREATE TABLE last(segment INTEGER, offset INTEGER, len INTEGER, hash BLOB);"
    "PRAGMA user_version=1";

struct index {
	sqlite3 *db;
	int dir_fd;
	sqlite3_stmt *insert;
	/* the last record that is in it */
	bool any;
	uint32_t segment;
	int64_t offset;
	size_t len;
	uint8_t hash[SHA256_BYTES];
};

static int
index_error(struct index *x, struct error *err)
{
	return error_set(err, EIO, "index", "the audit index: %s", sqlite3_errmsg(x->db));
}

/* ---- opening ---- */

static int
open_file(struct index *x)
{
	char state[PATHS_MAX], path[PATHS_MAX + 32];
	if (paths_state_dir(state, NULL) < 0)
		return -ENOENT;
	(void)snprintf(path, sizeof(path), "%s/audit", state);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/audit/index.db", state);
	if (sqlite3_open_v2(path, &x->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW,
		NULL) == SQLITE_OK) {
		(void)sqlite3_busy_timeout(x->db, BUSY_MS);
		if (sqlite3_exec(x->db, "PRAGMA synchronous=OFF; BEGIN IMMEDIATE", NULL, NULL,
			NULL) == SQLITE_OK)
			return 0;
	}
	(void)sqlite3_close(x->db);
	x->db = NULL;
	return -EIO;
}

static int
open_memory(struct index *x, struct error *err)
{
	if (sqlite3_open(":memory:", &x->db) != SQLITE_OK)
		return index_error(x, err);
	return sqlite3_exec(x->db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK ? 0
									   : index_error(x, err);
}

/* Whether the index belongs to these segments: then ANY and the last record are filled. */
static bool
fits(struct index *x)
{
	sqlite3_stmt *q;
	bool good = false;
	uint8_t hash[SHA256_BYTES];
	if (sqlite3_prepare_v2(
		x->db, "SELECT segment, offset, len, hash FROM last", -1, &q, NULL) != SQLITE_OK)
		return false;
	if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 3) == SHA256_BYTES) {
		struct record record;
		_cleanup_buf_ struct buf line;
		buf_init(&line, RECORD_LINE_MAX + 1);
		x->segment = (uint32_t)sqlite3_column_int64(q, 0);
		x->offset = sqlite3_column_int64(q, 1);
		x->len = (size_t)sqlite3_column_int64(q, 2);
		memcpy(x->hash, sqlite3_column_blob(q, 3), sizeof(x->hash));
		if (record_read(x->dir_fd, x->segment, x->offset, x->len, &line, &record) == 0) {
			merkle_leaf(line.data, line.len, hash);
			good = memcmp(hash, x->hash, sizeof(hash)) == 0;
		}
	}
	(void)sqlite3_finalize(q);
	x->any = good;
	return good;
}

static int
user_version(struct index *x)
{
	sqlite3_stmt *q;
	int version = -1;
	if (sqlite3_prepare_v2(x->db, "PRAGMA user_version", -1, &q, NULL) != SQLITE_OK)
		return -1;
	if (sqlite3_step(q) == SQLITE_ROW)
		version = sqlite3_column_int(q, 0);
	(void)sqlite3_finalize(q);
	return version;
}

/* ---- filling ---- */

static void
bind_span(sqlite3_stmt *q, int at, const char *text, size_t len)
{
	if (text == NULL)
		(void)sqlite3_bind_null(q, at);
	else
		(void)sqlite3_bind_text(q, at, text, (int)len, SQLITE_TRANSIENT);
}

static int
insert_record(void *data, uint32_t segment, const struct line *line, const struct record *record)
{
	struct index *x = data;
	_cleanup_json_ struct json *value = NULL;
	/* Only few records hold a decision: look before parsing. */
	if (memmem(record->data, record->data_len, "\"decision\"", 10) != NULL)
		(void)!json_parse(record->data, record->data_len, &value, NULL);
	const char *decision = record_decision(value);
	(void)sqlite3_reset(x->insert);
	(void)sqlite3_bind_int64(x->insert, 1, (int64_t)record->seq);
	(void)sqlite3_bind_int64(x->insert, 2, record->time_ms);
	(void)sqlite3_bind_int64(x->insert, 3, segment);
	(void)sqlite3_bind_int64(x->insert, 4, line->offset);
	(void)sqlite3_bind_int64(x->insert, 5, (int64_t)line->len);
	bind_span(x->insert, 6, record->event, record->event_len);
	bind_span(x->insert, 7, record->task, record->task_len);
	bind_span(x->insert, 8, record->action_id, record->action_id_len);
	bind_span(x->insert, 9, decision[0] == 0 ? NULL : decision, strlen(decision));
	if (sqlite3_step(x->insert) != SQLITE_DONE)
		return -EIO;
	x->any = true;
	x->segment = segment;
	x->offset = line->offset;
	x->len = line->len;
	merkle_leaf(line->text, line->len, x->hash);
	return 0;
}

static int
keep_last(struct index *x)
{
	sqlite3_stmt *q;
	if (!x->any)
		return 0;
	if (sqlite3_exec(x->db, "DELETE FROM last", NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(x->db, "INSERT INTO last VALUES(?,?,?,?)", -1, &q, NULL) !=
		SQLITE_OK)
		return -EIO;
	(void)sqlite3_bind_int64(q, 1, x->segment);
	(void)sqlite3_bind_int64(q, 2, x->offset);
	(void)sqlite3_bind_int64(q, 3, (int64_t)x->len);
	(void)sqlite3_bind_blob(q, 4, x->hash, sizeof(x->hash), SQLITE_TRANSIENT);
	int r = sqlite3_step(q) == SQLITE_DONE ? 0 : -EIO;
	(void)sqlite3_finalize(q);
	return r;
}

static int
bring_up_to_date(struct index *x, struct error *err)
{
	bool fresh = user_version(x) != SCHEMA_VERSION || !fits(x);
	if (fresh && sqlite3_exec(x->db, schema, NULL, NULL, NULL) != SQLITE_OK)
		return index_error(x, err);
	if (sqlite3_prepare_v2(x->db, "INSERT OR REPLACE INTO records VALUES(?,?,?,?,?,?,?,?,?)",
		-1, &x->insert, NULL) != SQLITE_OK)
		return index_error(x, err);
	int64_t from = x->any ? x->offset + (int64_t)x->len + 1 : 0;
	int r = records_each(x->dir_fd, x->any ? x->segment : 0, from, insert_record, x, err);
	(void)sqlite3_finalize(x->insert);
	if (r < 0)
		return r == -EIO ? index_error(x, err) : r;
	if (keep_last(x) < 0 || sqlite3_exec(x->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		return index_error(x, err);
	return 0;
}

static int
index_open(struct index *x, bool is_default, struct error *err)
{
	int r = is_default ? open_file(x) : -ENOENT;
	if (r == 0)
		r = bring_up_to_date(x, err);
	if (r == 0)
		return 0;
	(void)sqlite3_close(x->db);
	*x = (struct index){.dir_fd = x->dir_fd};
	r = open_memory(x, err);
	return r == 0 ? bring_up_to_date(x, err) : r;
}

/* ---- asking ---- */

static const char question[] =
    "SELECT segment, offset, len, seq FROM (SELECT * FROM records WHERE (?1 IS NULL OR seq=?1)"
    " AND (?2 IS NULL OR task=?2) AND (?3 IS NULL OR action=?3) AND (?4 IS NULL OR event=?4)"
    " AND (?5 IS NULL OR decision=?5) AND time>=?6 AND time<=?7 ORDER BY seq DESC LIMIT ?8)"
    " ORDER BY seq";

static void
bind_filter(sqlite3_stmt *q, const struct index_filter *f)
{
	const char *texts[] = {f->task, f->action, f->event, f->decision};
	if (f->by_seq)
		(void)sqlite3_bind_int64(q, 1, (int64_t)f->seq);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bind_span(q, (int)i + 2, texts[i], texts[i] == NULL ? 0 : strlen(texts[i]));
	(void)sqlite3_bind_int64(q, 6, f->since_ms);
	(void)sqlite3_bind_int64(q, 7, f->until_ms);
	(void)sqlite3_bind_int64(q, 8, (int64_t)MIN(f->limit, (uint64_t)INT64_MAX));
}

static int
ask(struct index *x, const struct index_filter *filter, record_fn *fn, void *data,
    struct error *err)
{
	sqlite3_stmt *q;
	struct record record;
	_cleanup_buf_ struct buf text;
	int r = 0;
	buf_init(&text, RECORD_LINE_MAX + 1);
	if (sqlite3_prepare_v2(x->db, question, -1, &q, NULL) != SQLITE_OK)
		return index_error(x, err);
	bind_filter(q, filter);
	while (r == 0 && sqlite3_step(q) == SQLITE_ROW) {
		uint32_t segment = (uint32_t)sqlite3_column_int64(q, 0);
		struct line line = {.offset = sqlite3_column_int64(q, 1)};
		r = record_read(x->dir_fd, segment, line.offset, (size_t)sqlite3_column_int64(q, 2),
		    &text, &record);
		if (r < 0 || record.seq != (uint64_t)sqlite3_column_int64(q, 3)) {
			r = error_set(err, EIO, "index",
			    "the ledger changed under its index: run `ringfence audit verify`");
			break;
		}
		line.text = buf_str(&text);
		line.len = text.len;
		r = fn(data, segment, &line, &record);
		if (r < 0)
			error_set(err, EIO, "output", "cannot write the output");
	}
	(void)sqlite3_finalize(q);
	return r;
}

int
index_query(int dir_fd, bool is_default, const struct index_filter *filter, record_fn *fn,
    void *data, struct error *err)
{
	struct index x = {.dir_fd = dir_fd};
	int r = index_open(&x, is_default, err);
	if (r == 0)
		r = ask(&x, filter, fn, data, err);
	(void)sqlite3_close(x.db);
	return r;
}
