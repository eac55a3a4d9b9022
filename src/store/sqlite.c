/* The SQLite connection: opening it safely, preparing and binding, transactions.
 *
 * WAL, so that a reader never blocks the arbiter. `synchronous` is set for each transaction: FULL for
 * what people decided, NORMAL for budgets, which need to survive our death but not a power cut (no
 * task survives that either). Temporary tables stay in memory: the process may write nowhere else. */
#include "store/sqlite.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define SCHEMA_VERSION 1

static const char schema[] =
    "CREATE TABLE actions("
    " id TEXT PRIMARY KEY, task TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL,"
    " state TEXT NOT NULL, requester INTEGER NOT NULL, owner INTEGER NOT NULL,"
    " digest TEXT NOT NULL, policy_hash TEXT NOT NULL, policy_name TEXT NOT NULL,"
    " epoch INTEGER NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,"
    " record TEXT NOT NULL, changed_at INTEGER NOT NULL,"
    " task_key TEXT, day_key TEXT) WITHOUT ROWID;"
    "CREATE INDEX actions_open ON actions(state)"
    " WHERE state IN ('proposed','reviewing','approved','claimed','performing');"
    "CREATE TABLE reviews("
    " n INTEGER PRIMARY KEY AUTOINCREMENT,"
    " review_id TEXT NOT NULL UNIQUE, action_id TEXT NOT NULL UNIQUE REFERENCES actions(id),"
    " decision TEXT NOT NULL, roles TEXT NOT NULL, self_approve INTEGER NOT NULL,"
    " ended_at INTEGER NOT NULL DEFAULT 0, comment TEXT, ended_by TEXT);"
    "CREATE TABLE approvals("
    " review_id TEXT NOT NULL, slot INTEGER NOT NULL, role TEXT NOT NULL, uid INTEGER NOT NULL,"
    " name TEXT NOT NULL, at INTEGER NOT NULL, comment TEXT, conventional INTEGER NOT NULL,"
    " PRIMARY KEY(review_id, slot), UNIQUE(review_id, uid)) WITHOUT ROWID;"
    "CREATE TABLE budgets("
    " key TEXT PRIMARY KEY, used INTEGER NOT NULL, reserved INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE generations("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, hash TEXT NOT NULL,"
    " text TEXT NOT NULL, activated_at INTEGER NOT NULL, ended_at INTEGER NOT NULL DEFAULT 0,"
    " by TEXT NOT NULL, previous INTEGER, active INTEGER NOT NULL,"
    " rolled_back INTEGER NOT NULL DEFAULT 0);"
    "CREATE UNIQUE INDEX generations_active ON generations(name) WHERE active = 1;"
    "CREATE TABLE seen(key TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 1;";

int
db_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW:
		return 0;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EUCLEAN;
	case SQLITE_TOOBIG:
		return -E2BIG;
	default:
		return -EIO;
	}
}

/* ---- statements ---- */

static int
db_bind(sqlite3_stmt *stmt, const char *format, va_list args)
{
	for (int i = 1; format[i - 1] != '\0'; i++) {
		int code = SQLITE_MISUSE;
		if (format[i - 1] == 't') {
			code = sqlite3_bind_text(
			    stmt, i, va_arg(args, const char *), -1, SQLITE_STATIC);
		} else if (format[i - 1] == 'i') {
			code = sqlite3_bind_int64(stmt, i, va_arg(args, int64_t));
		} else if (format[i - 1] == 'b') {
			const char *bytes = va_arg(args, const char *);
			code = sqlite3_bind_text64(
			    stmt, i, bytes, va_arg(args, size_t), SQLITE_STATIC, SQLITE_UTF8);
		}
		if (code != SQLITE_OK)
			return db_errno(code);
	}
	return 0;
}

static int
db_vprepare(
    struct store *store, sqlite3_stmt **ret, const char *sql, const char *format, va_list args)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL);
	if (code != SQLITE_OK)
		return db_errno(code);
	int r = db_bind(stmt, format, args);
	if (r < 0) {
		sqlite3_finalize(stmt);
		return r;
	}
	*ret = stmt;
	return 0;
}

int
db_prepare(struct store *store, sqlite3_stmt **ret, const char *sql, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int r = db_vprepare(store, ret, sql, format, args);
	va_end(args);
	return r;
}

int
db_step(sqlite3_stmt *stmt)
{
	int code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		return 1;
	return db_errno(code);
}

int
db_run(struct store *store, const char *sql, const char *format, ...)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	va_list args;
	va_start(args, format);
	int r = db_vprepare(store, &stmt, sql, format, args);
	va_end(args);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r < 0)
		return r;
	return sqlite3_changes(store->db);
}

const char *
db_text_or_null(sqlite3_stmt *stmt, int i)
{
	return (const char *)sqlite3_column_text(stmt, i);
}

const char *
db_text(sqlite3_stmt *stmt, int i)
{
	const char *text = db_text_or_null(stmt, i);
	return text != NULL ? text : "";
}

/* ---- transactions ---- */

int
db_begin(struct store *store, enum store_durability durability)
{
	if (store->durability != durability) {
		int code = sqlite3_exec(store->db,
		    durability == STORE_ON_DISK ? "PRAGMA synchronous=FULL"
						: "PRAGMA synchronous=NORMAL",
		    NULL, NULL, NULL);
		if (code != SQLITE_OK)
			return db_errno(code);
		store->durability = durability;
	}
	return db_errno(sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
}

int
db_end(struct store *store, int result)
{
	if (result >= 0) {
		int r = db_errno(sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL));
		if (r == 0)
			return result;
		result = r;
	}
	if (sqlite3_get_autocommit(store->db) == 0)
		(void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return result;
}

/* ---- open and close ---- */

static int
schema_version(struct store *store, int64_t *ret)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt, "PRAGMA user_version", "");
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r <= 0)
		return r < 0 ? r : -EUCLEAN;
	*ret = sqlite3_column_int64(stmt, 0);
	return 0;
}

/* Makes the tables of an empty database; a newer one than we know is refused. */
static int
store_migrate(struct store *store, struct error *err)
{
	int64_t version = 0;
	int r = db_begin(store, STORE_ON_DISK);
	if (r < 0)
		return error_set_errno(err, -r, "store_failed", "store: begin");
	r = schema_version(store, &version);
	if (r == 0 && version == 0)
		r = db_errno(sqlite3_exec(store->db, schema, NULL, NULL, NULL));
	r = db_end(store, r);
	if (r < 0)
		return error_set_errno(err, -r, "store_failed", "store: making its tables");
	if (version > SCHEMA_VERSION)
		return error_set(err, EPROTONOSUPPORT, "store_newer",
		    "store: written by a newer ringfence (tables version %lld, this one knows %d)",
		    (long long)version, SCHEMA_VERSION);
	return 0;
}

static int
store_configure(struct store *store)
{
	static const char setup[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
				    "PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON;"
				    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;";
	(void)sqlite3_extended_result_codes(store->db, 1);
	(void)sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
	(void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	store->durability = STORE_ON_DISK;
	return db_errno(sqlite3_exec(store->db, setup, NULL, NULL, NULL));
}

int
store_open(const char *path, struct store **ret, struct error *err)
{
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "store: out of memory");
	mode_t old = umask(077);
	int code = sqlite3_open_v2(path, &store->db,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	(void)umask(old);
	int r = db_errno(code);
	if (r == 0)
		r = store_configure(store);
	if (r < 0) {
		error_set_errno(err, -r, "store_failed", "store: cannot open %s", path);
		error_remedy(err, "check that the state directory is writable and has space");
	} else {
		r = store_migrate(store, err);
	}
	if (r < 0) {
		store_close(store);
		return r;
	}
	*ret = store;
	return 0;
}

int
store_open_to_read(const char *path, struct store **ret, struct error *err)
{
	int64_t version = 0;
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "store: out of memory");
	int r = db_errno(
	    sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL));
	if (r == 0) {
		(void)sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
		(void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		r = db_errno(sqlite3_exec(store->db,
		    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;", NULL, NULL, NULL));
	}
	if (r == 0)
		r = schema_version(store, &version);
	if (r == 0 && version != SCHEMA_VERSION)
		r = -EPROTONOSUPPORT;
	if (r < 0) {
		store_close(store);
		return error_set_errno(err, -r, "store_failed", "store: cannot read %s", path);
	}
	*ret = store;
	return 0;
}

struct store *
store_close(struct store *store)
{
	if (store != NULL) {
		(void)sqlite3_close(store->db);
		free(store);
	}
	return NULL;
}
