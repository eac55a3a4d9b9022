/* The review queue. A review is one row beside its action; its state is the action's state, so that
 * there is one thing to swap. Approvals are rows of their own: UNIQUE(review, person) and
 * PRIMARY KEY(review, slot) make "distinct people, one role each" a property of the database. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/json.h"
#include "store/sqlite.h"

#define REVIEW_COLUMNS                                                                    \
	ACTION_COLUMNS ", r.review_id, r.decision, r.roles, r.self_approve, r.ended_at, " \
		       "r.comment, r.ended_by"

/* ---- opening ---- */

static int
review_id_new(char ret[REVIEW_ID])
{
	uint8_t bytes[4];
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -errno;
	hex_encode(bytes, sizeof(bytes), ret);
	return 0;
}

static int
roles_write(const struct store_review *review, struct buf *out)
{
	_cleanup_json_ struct json *roles = json_new_array();
	for (unsigned i = 0; i < review->n_roles; i++)
		(void)json_push(roles, json_new_string(review->roles[i]));
	return json_write(roles, out);
}

static int
review_insert(struct store *store, struct store_review *review, const char *roles)
{
	/* 32 bits: a collision is rare, and then another is drawn. */
	for (int attempt = 0; attempt < 8; attempt++) {
		int r = review_id_new(review->review_id);
		if (r < 0)
			return r;
		r = db_run(store,
		    "INSERT INTO reviews(review_id, action_id, decision, roles, self_approve)"
		    " SELECT ?1, ?2, ?3, ?4, ?5"
		    " WHERE NOT EXISTS(SELECT 1 FROM reviews WHERE review_id = ?1)",
		    "tttti", review->review_id, review->action.id, review->decision, roles,
		    (int64_t)review->self_approve);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return -EEXIST;
}

int
store_review_open(struct store *store, struct store_review *review,
    const struct store_budget *budget, enum store_budget_hit *ret_hit)
{
	if (review->action.state != STATE_REVIEWING || review->n_roles == 0 ||
	    review->n_roles > REVIEW_ROLES_MAX)
		return -EINVAL;
	_cleanup_buf_ struct buf roles;
	buf_init(&roles, 4096);
	int r = roles_write(review, &roles);
	if (r < 0)
		return r;
	r = db_begin(store, STORE_ON_DISK);
	if (r < 0)
		return r;
	r = db_insert_action(store, &review->action, budget, ret_hit);
	if (r == 0)
		r = review_insert(store, review, buf_str(&roles));
	return db_end(store, r);
}

/* ---- reading ---- */

/* Points the role names of REVIEW into ROLES, which must outlive it. */
static void
roles_read(struct json *roles, struct store_review *review)
{
	size_t n = json_len(roles);
	for (size_t i = 0; i < n && i < REVIEW_ROLES_MAX; i++)
		review->roles[review->n_roles++] = json_str(json_at(roles, i), "");
}

static int
approvals_read(sqlite3_stmt *stmt, struct store_approval *ret, unsigned *ret_n)
{
	unsigned n = 0;
	int r = 0;
	while (n < REVIEW_ROLES_MAX && (r = db_step(stmt)) == 1) {
		struct store_approval *approval = &ret[n++];
		approval->role = strdup(db_text(stmt, 0));
		approval->uid = (uid_t)sqlite3_column_int64(stmt, 1);
		approval->name = strdup(db_text(stmt, 2));
		approval->at = sqlite3_column_int64(stmt, 3);
		const char *comment = db_text_or_null(stmt, 4);
		approval->comment = comment != NULL ? strdup(comment) : NULL;
		approval->conventional = sqlite3_column_int64(stmt, 5) != 0;
		if (approval->role == NULL || approval->name == NULL)
			r = -ENOMEM;
		if (r < 0)
			break;
	}
	*ret_n = n;
	return r < 0 ? r : 0;
}

static void
approvals_done(struct store_approval *approvals, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		free((void *)(uintptr_t)approvals[i].role);
		free((void *)(uintptr_t)approvals[i].name);
		free((void *)(uintptr_t)approvals[i].comment);
	}
}

static int
approvals_load(
    struct store *store, const char *review_id, struct store_approval *ret, unsigned *ret_n)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt,
	    "SELECT role, uid, name, at, comment, conventional FROM approvals WHERE review_id = ?1"
	    " ORDER BY at, slot",
	    "t", review_id);
	if (r < 0)
		return r;
	return approvals_read(stmt, ret, ret_n);
}

/* Reads the row that STMT stands on and gives it to FN. */
static int
review_emit(struct store *store, sqlite3_stmt *stmt, store_review_fn *fn, void *data)
{
	struct store_review review = {.n_roles = 0};
	struct store_approval approvals[REVIEW_ROLES_MAX] = {{0}};
	_cleanup_json_ struct json *roles = NULL;
	db_read_action(stmt, 0, &review.action);
	const char *id = db_text(stmt, ACTION_N_COLUMNS);
	(void)snprintf(review.review_id, sizeof(review.review_id), "%s", id);
	review.decision = db_text(stmt, ACTION_N_COLUMNS + 1);
	const char *roles_text = db_text(stmt, ACTION_N_COLUMNS + 2);
	int r = json_parse(roles_text, strlen(roles_text), &roles, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EUCLEAN;
	roles_read(roles, &review);
	review.self_approve = sqlite3_column_int64(stmt, ACTION_N_COLUMNS + 3) != 0;
	review.ended_at = sqlite3_column_int64(stmt, ACTION_N_COLUMNS + 4);
	review.comment = db_text_or_null(stmt, ACTION_N_COLUMNS + 5);
	review.ended_by = db_text_or_null(stmt, ACTION_N_COLUMNS + 6);
	unsigned n = 0;
	r = approvals_load(store, review.review_id, approvals, &n);
	if (r == 0)
		fn(&review, approvals, n, data);
	approvals_done(approvals, n);
	return r;
}

int
store_review_get(struct store *store, const char *id, store_review_fn *fn, void *data)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt,
	    "SELECT " REVIEW_COLUMNS " FROM reviews r JOIN actions a ON a.id = r.action_id"
	    " WHERE r.review_id = ?1 OR r.action_id = ?1",
	    "t", id);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return review_emit(store, stmt, fn, data);
}

int
store_review_each(struct store *store, bool all, unsigned limit, store_review_fn *fn, void *data)
{
	static const char open_ones[] =
	    "SELECT " REVIEW_COLUMNS " FROM reviews r JOIN actions a ON a.id = r.action_id"
	    " WHERE a.state = 'reviewing' ORDER BY r.n LIMIT ?1";
	static const char all_of_them[] =
	    "SELECT " REVIEW_COLUMNS
	    " FROM reviews r JOIN actions a ON a.id = r.action_id ORDER BY r.n DESC LIMIT ?1";
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt, all ? all_of_them : open_ones, "i", (int64_t)limit);
	if (r < 0)
		return r;
	while ((r = db_step(stmt)) == 1) {
		r = review_emit(store, stmt, fn, data);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- approving ---- */

/* 0 while the review is open and NOW is before its expiry. */
static int
approve_check(struct store *store, const char *review_id, int64_t now, struct buf *ret_action,
    struct buf *ret_roles)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt,
	    "SELECT a.state, a.expires_at, a.id, r.roles FROM reviews r"
	    " JOIN actions a ON a.id = r.action_id WHERE r.review_id = ?1",
	    "t", review_id);
	if (r < 0)
		return r;
	r = db_step(stmt);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	if (action_state_parse(db_text(stmt, 0)) != STATE_REVIEWING)
		return -ESTALE;
	if (now >= sqlite3_column_int64(stmt, 1))
		return -ETIME;
	r = buf_add_str(ret_action, db_text(stmt, 2));
	if (r == 0)
		r = buf_add_str(ret_roles, db_text(stmt, 3));
	return r;
}

/* Whether a row says so: SQL selects one integer. */
static int
db_exists(struct store *store, const char *sql, const char *review_id, int64_t value)
{
	_cleanup_stmt_ sqlite3_stmt *stmt = NULL;
	int r = db_prepare(store, &stmt, sql, "ti", review_id, value);
	return r < 0 ? r : db_step(stmt);
}

/* The first open slot for ROLE: -EINVAL if the role is not needed, -EADDRINUSE if it is filled. */
static int
slot_find(struct store *store, const char *review_id, const struct json *roles, const char *role)
{
	int found = -EINVAL;
	for (size_t i = 0; i < json_len(roles); i++) {
		if (strcmp(json_str(json_at(roles, i), ""), role) != 0)
			continue;
		int r =
		    db_exists(store, "SELECT 1 FROM approvals WHERE review_id = ?1 AND slot = ?2",
			review_id, (int64_t)i);
		if (r < 0)
			return r;
		if (r == 0)
			return (int)i;
		found = -EADDRINUSE;
	}
	return found;
}

static int
approval_insert(struct store *store, const char *review_id, const struct json *roles,
    const struct store_approval *approval)
{
	int r = db_exists(store, "SELECT 1 FROM approvals WHERE review_id = ?1 AND uid = ?2",
	    review_id, (int64_t)approval->uid);
	if (r != 0)
		return r < 0 ? r : -EEXIST;
	int slot = slot_find(store, review_id, roles, approval->role);
	if (slot < 0)
		return slot;
	r = db_run(store,
	    "INSERT INTO approvals(review_id, slot, role, uid, name, at, comment, conventional)"
	    " VALUES(?,?,?,?,?,?,?,?)",
	    "titititi", review_id, (int64_t)slot, approval->role, (int64_t)approval->uid,
	    approval->name, approval->at, approval->comment, (int64_t)approval->conventional);
	return r < 0 ? r : 0;
}

/* Moves the action on when every role is filled. 1 if it did. */
static int
approve_complete(
    struct store *store, const char *review_id, const char *action_id, size_t n_roles, int64_t now)
{
	int r = db_run(store,
	    "UPDATE actions SET state = 'approved', changed_at = ?3 WHERE id = ?1"
	    " AND state = 'reviewing'"
	    " AND (SELECT count(*) FROM approvals WHERE review_id = ?2) >= ?4",
	    "ttii", action_id, review_id, now, (int64_t)n_roles);
	return r;
}

int
store_review_approve(struct store *store, const char *review_id,
    const struct store_approval *approval, int64_t now, bool *ret_complete)
{
	_cleanup_buf_ struct buf action_id, roles_text;
	_cleanup_json_ struct json *roles = NULL;
	buf_init(&action_id, 256);
	buf_init(&roles_text, 4096);
	int r = db_begin(store, STORE_ON_DISK);
	if (r < 0)
		return r;
	r = approve_check(store, review_id, now, &action_id, &roles_text);
	if (r == 0)
		r = json_parse(buf_str(&roles_text), roles_text.len, &roles, NULL);
	if (r == 0)
		r = approval_insert(store, review_id, roles, approval);
	if (r == 0)
		r = approve_complete(store, review_id, buf_str(&action_id), json_len(roles), now);
	int complete = r;
	r = db_end(store, r);
	if (r < 0)
		return r;
	*ret_complete = complete == 1;
	return 0;
}
