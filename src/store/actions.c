/* Stored actions and their call budgets.
 *
 * An action is stored when it must outlive the arbiter's memory: it waits for people, it holds a
 * reservation, or its effect leaves the sandbox. The rest lives in memory, and the ledger has the
 * record. A reservation is one call under a key ("task" or "day"): put reserves, the transition into
 * a final state closes. used + reserved never passes the limit, since both happen in the transaction
 * that changes the state. */
#include <errno.h>
#include <string.h>

#include "store/sqlite.h"

/* ---- budgets ---- */

/* Reserves one call under KEY: -EDQUOT if LIMIT is reached. */
static int
budget_reserve(struct store *store, const char *key, int64_t limit)
{
	int r = db_run(store,
	    "INSERT INTO budgets(key, used, reserved) SELECT ?1, 0, 0"
	    " WHERE NOT EXISTS(SELECT 1 FROM budgets WHERE key = ?1)",
	    "t", key);
	if (r < 0)
		return r;
	r = db_run(store,
	    "UPDATE budgets SET reserved = reserved + 1 WHERE key = ?1 AND used + reserved < ?2",
	    "ti", key, limit);
	if (r < 0)
		return r;
	return r == 1 ? 0 : -EDQUOT;
}

/* Closes the reservations of action ID; USED counts the call, otherwise it is given back. */
static int
budget_close(struct store *store, const char *id, int64_t used)
{
	return db_run(store,
	    "UPDATE budgets SET reserved = max(reserved - 1, 0), used = used + ?2 WHERE key IN"
	    " (SELECT task_key FROM actions WHERE id = ?1"
	    "  UNION ALL SELECT day_key FROM actions WHERE id = ?1)",
	    "ti", id, used);
}

int
store_budget_read(struct store *store, const char *key, int64_t *ret_used, int64_t *ret_reserved)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r =
	    db_prepare(store, &stmt, "SELECT used, reserved FROM budgets WHERE key = ?1", "t", key);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r < 0)
		return r;
	*ret_used = r == 1 ? sqlite3_column_int64(stmt, 0) : 0;
	*ret_reserved = r == 1 ? sqlite3_column_int64(stmt, 1) : 0;
	return 0;
}

/* ---- actions ---- */

void
db_read_action(sqlite3_stmt *stmt, int first, struct store_action *ret)
{
	int state = action_state_parse(db_text(stmt, first + 4));
	*ret = (struct store_action){
	    .id = db_text(stmt, first),
	    .task = db_text(stmt, first + 1),
	    .kind = db_text(stmt, first + 2),
	    .target = db_text(stmt, first + 3),
	    /* A state that we do not know must not look open. */
	    .state = state < 0 ? STATE_UNKNOWN : (enum action_state)state,
	    .requester = (uid_t)sqlite3_column_int64(stmt, first + 5),
	    .owner = (uid_t)sqlite3_column_int64(stmt, first + 6),
	    .digest = db_text(stmt, first + 7),
	    .policy_hash = db_text(stmt, first + 8),
	    .policy_name = db_text(stmt, first + 9),
	    .epoch = sqlite3_column_int64(stmt, first + 10),
	    .created_at = sqlite3_column_int64(stmt, first + 11),
	    .expires_at = sqlite3_column_int64(stmt, first + 12),
	    .record = db_text(stmt, first + 13),
	};
}

static int
reserve_all(struct store *store, const struct store_budget *budget, enum store_budget_hit *ret_hit)
{
	if (budget == NULL)
		return 0;
	if (budget->per_task > 0) {
		int r = budget_reserve(store, budget->task_key, budget->per_task);
		if (r == -EDQUOT && ret_hit != NULL)
			*ret_hit = BUDGET_TASK;
		if (r < 0)
			return r;
	}
	if (budget->per_day > 0) {
		int r = budget_reserve(store, budget->day_key, budget->per_day);
		if (r == -EDQUOT && ret_hit != NULL)
			*ret_hit = BUDGET_DAY;
		if (r < 0)
			return r;
	}
	return 0;
}

int
db_insert_action(struct store *store, const struct store_action *action,
    const struct store_budget *budget, enum store_budget_hit *ret_hit)
{
	int r = reserve_all(store, budget, ret_hit);
	if (r < 0)
		return r;
	const char *task_key = budget != NULL && budget->per_task > 0 ? budget->task_key : NULL;
	const char *day_key = budget != NULL && budget->per_day > 0 ? budget->day_key : NULL;
	r = db_run(store,
	    "INSERT INTO actions(id, task, kind, target, state, requester, owner, digest, "
	    "policy_hash,"
	    " policy_name, epoch, created_at, expires_at, record, changed_at, task_key, day_key)"
	    " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	    "tttttiitttiiititt", action->id, action->task, action->kind, action->target,
	    action_state_name(action->state), (int64_t)action->requester, (int64_t)action->owner,
	    action->digest, action->policy_hash, action->policy_name, action->epoch,
	    action->created_at, action->expires_at, action->record, action->created_at, task_key,
	    day_key);
	return r < 0 ? r : 0;
}

int
store_action_put(struct store *store, const struct store_action *action,
    const struct store_budget *budget, enum store_budget_hit *ret_hit)
{
	int r = db_begin(store, STORE_KILL_SAFE);
	if (r < 0)
		return r;
	return db_end(store, db_insert_action(store, action, budget, ret_hit));
}

/* The swap itself, inside a transaction. */
static int
action_swap(
    struct store *store, const char *id, enum action_state from, enum action_state to, int64_t now)
{
	int r = db_run(store,
	    "UPDATE actions SET state = ?3, changed_at = ?4 WHERE id = ?1 AND state = ?2", "ttti",
	    id, action_state_name(from), action_state_name(to), now);
	if (r < 0)
		return r;
	if (r != 1)
		return -ESTALE;
	if (to == STATE_APPROVED || to == STATE_CLAIMED)
		return 0;
	bool was_claimed = from == STATE_CLAIMED || from == STATE_PERFORMING;
	r = budget_close(store, id, was_claimed ? 1 : 0);
	return r < 0 ? r : 0;
}

static int
review_close(struct store *store, const char *id, int64_t now, const char *comment, const char *by)
{
	int r = db_run(store,
	    "UPDATE reviews SET ended_at = ?2, comment = coalesce(?3, comment),"
	    " ended_by = coalesce(?4, ended_by) WHERE action_id = ?1 AND ended_at = 0",
	    "titt", id, now, comment, by);
	return r < 0 ? r : 0;
}

int
store_action_move(struct store *store, const char *id, enum action_state from, enum action_state to,
    int64_t now, const char *comment, const char *by)
{
	if (!action_can_go(from, to) || to == STATE_CLAIMED || from == STATE_CLAIMED)
		return -EINVAL;
	/* What a person decided must be on disk before it is said. */
	bool decided = from == STATE_REVIEWING || to == STATE_REVOKED || to == STATE_INVALIDATED;
	int r = db_begin(store, decided ? STORE_ON_DISK : STORE_KILL_SAFE);
	if (r < 0)
		return r;
	r = action_swap(store, id, from, to, now);
	if (r == 0 && to != STATE_APPROVED)
		r = review_close(store, id, now, comment, by);
	return db_end(store, r);
}

static int
claim_check(struct store *store, const char *id, int64_t now, struct buf *ret_record,
    char ret_digest[SHA256_HEX])
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt,
	    "SELECT state, expires_at, digest, record FROM actions WHERE id = ?1", "t", id);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	if (action_state_parse(db_text(stmt, 0)) != STATE_APPROVED)
		return -ESTALE;
	int64_t expires_at = sqlite3_column_int64(stmt, 1);
	if (expires_at != 0 && now >= expires_at)
		return -ETIME;
	const char *digest = db_text(stmt, 2);
	size_t len = strlen(digest);
	if (len >= SHA256_HEX)
		return -EUCLEAN;
	memcpy(ret_digest, digest, len + 1);
	return buf_add_str(ret_record, db_text(stmt, 3));
}

int
store_action_claim(struct store *store, const char *id, enum store_durability durability,
    int64_t now, struct buf *ret_record, char ret_digest[SHA256_HEX])
{
	int r = db_begin(store, durability);
	if (r < 0)
		return r;
	r = claim_check(store, id, now, ret_record, ret_digest);
	if (r == 0)
		r = action_swap(store, id, STATE_APPROVED, STATE_CLAIMED, now);
	return db_end(store, r);
}

int
store_action_settle(struct store *store, const char *id, enum action_state to, int64_t now)
{
	if (to != STATE_SUCCEEDED && to != STATE_FAILED && to != STATE_UNKNOWN)
		return -EINVAL;
	int r = db_begin(store, STORE_KILL_SAFE);
	if (r < 0)
		return r;
	r = action_swap(store, id, STATE_CLAIMED, to, now);
	if (r == 0)
		r = review_close(store, id, now, /* comment= */ NULL, /* by= */ NULL);
	return db_end(store, r);
}

/* ---- after a restart ---- */

/* What a forgotten action becomes. */
static enum action_state
swept_state(const struct store_action *action, int64_t now)
{
	if (action->state == STATE_CLAIMED || action->state == STATE_PERFORMING)
		return STATE_UNKNOWN;
	if (action->expires_at != 0 && now >= action->expires_at)
		return STATE_EXPIRED;
	return STATE_INVALIDATED;
}

static int
sweep_one(struct store *store, int64_t now, store_action_fn *fn, void *data)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt,
	    "SELECT " ACTION_COLUMNS " FROM actions a WHERE a.state IN"
	    " ('proposed','reviewing','approved','claimed','performing') ORDER BY a.id LIMIT 1",
	    "");
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r <= 0)
		return r;
	struct store_action action;
	db_read_action(stmt, 0, &action);
	enum action_state from = action.state;
	action.state = swept_state(&action, now);
	r = action_swap(store, action.id, from, action.state, now);
	if (r == 0)
		r = review_close(store, action.id, now,
		    "its requester is gone: the arbiter was restarted",
		    /* by= */ NULL);
	if (r < 0)
		return r;
	fn(&action, data);
	return 1;
}

int
store_sweep(struct store *store, int64_t now, store_action_fn *fn, void *data)
{
	int r = db_begin(store, STORE_ON_DISK);
	if (r < 0)
		return r;
	do {
		r = sweep_one(store, now, fn, data);
	} while (r == 1);
	return db_end(store, r);
}

/* ---- memory ---- */

int
store_knows(struct store *store, const char *key)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt, "SELECT 1 FROM seen WHERE key = ?1", "t", key);
	return r < 0 ? r : db_step(stmt);
}

int
store_remember(struct store *store, const char *key, int64_t now)
{
	int r = db_begin(store, STORE_KILL_SAFE);
	if (r < 0)
		return r;
	r = db_run(store, "INSERT OR IGNORE INTO seen(key, at) VALUES(?1, ?2)", "ti", key, now);
	r = db_end(store, r);
	return r < 0 ? r : 0;
}
