/* What the files of this folder share: statements, binding, transactions over one connection. */
#pragma once

#include <sqlite3.h>

#include "store/store.h"

struct store {
	sqlite3 *db;
	enum store_durability durability; /* as the connection stands */
};

/* A negative errno for an SQLite result code. */
int db_errno(int sqlite_code);

/* Prepares SQL and binds ARGS by FORMAT: t text (NULL binds NULL), i int64_t, b bytes then size_t.
 * *RET is finalized by the caller (_cleanup_stmt_). */
int db_prepare(struct store *store, sqlite3_stmt **ret, const char *sql, const char *format, ...);
/* Steps once: 1 a row, 0 done, negative errno. */
int db_step(sqlite3_stmt *stmt);
/* Runs SQL, which returns no rows. The number of rows changed, or negative errno. */
int db_run(struct store *store, const char *sql, const char *format, ...);

/* A write transaction. */
int db_begin(struct store *store, enum store_durability durability);
/* Commits when RESULT is not negative, rolls back otherwise. RESULT, or the error of the commit. */
int db_end(struct store *store, int result);

/* Column I as text, "" for NULL; borrowed until the next step. */
const char *db_text(sqlite3_stmt *stmt, int i);
/* Column I as text, NULL for NULL. */
const char *db_text_or_null(sqlite3_stmt *stmt, int i);

static inline void
cleanup_stmt(sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}
#define _cleanup_stmt_ CLEANUP(cleanup_stmt)

/* Columns of `actions` in the order of ACTION_COLUMNS, from column FIRST; borrowed from STMT. */
#define ACTION_COLUMNS                                                              \
	"a.id, a.task, a.kind, a.target, a.state, a.requester, a.owner, a.digest, " \
	"a.policy_hash, a.policy_name, a.epoch, a.created_at, a.expires_at, a.record"
#define ACTION_N_COLUMNS 14
void db_read_action(sqlite3_stmt *stmt, int first, struct store_action *ret);
/* Inserts ACTION and reserves from BUDGET; inside a transaction. */
int db_insert_action(struct store *store, const struct store_action *action,
    const struct store_budget *budget, enum store_budget_hit *ret_hit);
