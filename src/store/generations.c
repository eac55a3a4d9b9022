/* Policy generations: an append-only history per name, at most one row of it active.
 *
 * Each activation remembers which row was active before; a rollback follows that link one step, so
 * that two rollbacks go back two activations and not to and fro. */
#include <errno.h>
#include <string.h>

#include "store/sqlite.h"

/* The active row of NAME: 1 with its id, its predecessor (0: none) and its hash, 0 if none. */
static int
active_row(struct store *store, const char *name, int64_t *ret_id, int64_t *ret_previous,
    char ret_hash[SHA256_HEX])
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt,
	    "SELECT id, previous, hash FROM generations WHERE name = ?1 AND active = 1", "t", name);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r <= 0)
		return r;
	const char *hash = db_text(stmt, 2);
	if (strlen(hash) != SHA256_HEX - 1)
		return -EUCLEAN;
	*ret_id = sqlite3_column_int64(stmt, 0);
	*ret_previous = sqlite3_column_int64(stmt, 1);
	memcpy(ret_hash, hash, SHA256_HEX);
	return 1;
}

static int
activate(struct store *store, const char *name, const char *hash, const char *text, size_t len,
    const char *by, int64_t now, char ret_previous[SHA256_HEX])
{
	int64_t id = 0, before = 0;
	int r = active_row(store, name, &id, &before, ret_previous);
	if (r < 0)
		return r;
	if (r == 1 && strcmp(ret_previous, hash) == 0)
		return 0;
	r = db_run(store,
	    "UPDATE generations SET active = 0, ended_at = ?2 WHERE name = ?1 AND active = 1", "ti",
	    name, now);
	if (r < 0)
		return r;
	r = db_run(store,
	    "INSERT INTO generations(name, hash, text, activated_at, by, previous, active)"
	    " VALUES(?,?,?,?,?,nullif(?,0),1)",
	    "ttbiti", name, hash, text, len, now, by, id);
	return r < 0 ? r : 0;
}

int
store_policy_activate(struct store *store, const char *name, const char *hash, const char *text,
    size_t len, const char *by, int64_t now, char ret_previous[SHA256_HEX])
{
	ret_previous[0] = '\0';
	int r = db_begin(store, STORE_ON_DISK);
	if (r < 0)
		return r;
	return db_end(store, activate(store, name, hash, text, len, by, now, ret_previous));
}

static int
rollback(struct store *store, const char *name, const char *by, int64_t now,
    char ret_hash[SHA256_HEX], char ret_previous[SHA256_HEX])
{
	int64_t id = 0, before = 0, none = 0;
	int r = active_row(store, name, &id, &before, ret_previous);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	if (before == 0)
		return -ENODATA;
	r = db_run(store,
	    "UPDATE generations SET active = 0, rolled_back = 1, ended_at = ?2 WHERE id = ?1", "ii",
	    id, now);
	if (r < 0)
		return r;
	r = db_run(store,
	    "UPDATE generations SET active = 1, ended_at = 0, activated_at = ?2, by = ?3 WHERE id "
	    "= ?1",
	    "iit", before, now, by);
	if (r != 1)
		return r < 0 ? r : -EUCLEAN;
	r = active_row(store, name, &id, &none, ret_hash);
	return r < 0 ? r : 0;
}

int
store_policy_rollback(struct store *store, const char *name, const char *by, int64_t now,
    char ret_hash[SHA256_HEX], char ret_previous[SHA256_HEX])
{
	int r = db_begin(store, STORE_ON_DISK);
	if (r < 0)
		return r;
	return db_end(store, rollback(store, name, by, now, ret_hash, ret_previous));
}

int
store_policy_active(
    struct store *store, const char *name, struct buf *ret_text, char ret_hash[SHA256_HEX])
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt,
	    "SELECT hash, text FROM generations WHERE name = ?1 AND active = 1", "t", name);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	const char *hash = db_text(stmt, 0);
	if (strlen(hash) != SHA256_HEX - 1)
		return -EUCLEAN;
	memcpy(ret_hash, hash, SHA256_HEX);
	const char *text = db_text(stmt, 1);
	return buf_add(ret_text, text, (size_t)sqlite3_column_bytes(stmt, 1));
}

int
store_policy_text(struct store *store, const char *hash, struct buf *ret_text)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(
	    store, &stmt, "SELECT text FROM generations WHERE hash = ?1 LIMIT 1", "t", hash);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	const char *text = db_text(stmt, 0);
	return buf_add(ret_text, text, (size_t)sqlite3_column_bytes(stmt, 0));
}

int
store_policy_history(struct store *store, const char *name, store_generation_fn *fn, void *data)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt,
	    "SELECT id, name, hash, activated_at, ended_at, by, active, rolled_back FROM "
	    "generations"
	    " WHERE ?1 IS NULL OR name = ?1 ORDER BY id DESC LIMIT 500",
	    "t", name);
	if (r < 0)
		return r;
	while ((r = db_step(stmt)) == 1) {
		struct store_generation generation = {
		    .id = sqlite3_column_int64(stmt, 0),
		    .name = db_text(stmt, 1),
		    .hash = db_text(stmt, 2),
		    .activated_at = sqlite3_column_int64(stmt, 3),
		    .ended_at = sqlite3_column_int64(stmt, 4),
		    .by = db_text(stmt, 5),
		    .active = sqlite3_column_int64(stmt, 6) != 0,
		    .rolled_back = sqlite3_column_int64(stmt, 7) != 0,
		};
		fn(&generation, data);
	}
	return r;
}
