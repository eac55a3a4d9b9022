/* Stored actions: compare-and-swap, budgets, what a restart makes of what was left open. */
#include "store_fixture.h"

#include <errno.h>
#include <sys/stat.h>

static void
put(struct store *store, const char *id, enum action_state state)
{
	struct store_action action = an_action(id, state);
	assert_int_equal(store_action_put(store, &action, NULL, NULL), 0);
}

static int
claim(struct store *store, const char *id, int64_t now)
{
	_cleanup_buf_ struct buf record;
	char digest[SHA256_HEX];
	buf_init(&record, 4096);
	int r = store_action_claim(store, id, STORE_KILL_SAFE, now, &record, digest);
	if (r == 0) {
		assert_string_equal(buf_str(&record), "{\"kind\":\"exec\"}");
		assert_string_equal(digest, "d1");
	}
	return r;
}

static void
an_action_is_claimed_once_whichever_connection_asks(void **state)
{
	struct fixture *f = *state;
	put(f->a, "x", STATE_APPROVED);
	assert_int_equal(claim(f->b, "x", 500), 0);
	assert_int_equal(claim(f->a, "x", 500), -ESTALE);
	assert_int_equal(claim(f->b, "x", 500), -ESTALE);
}

static void
an_action_is_not_claimed_at_or_after_its_expiry(void **state)
{
	struct fixture *f = *state;
	put(f->a, "x", STATE_APPROVED);
	assert_int_equal(claim(f->a, "x", 1000), -ETIME);
	assert_int_equal(claim(f->a, "x", 999), 0);
}

static void
what_is_not_approved_is_not_claimed(void **state)
{
	struct fixture *f = *state;
	put(f->a, "x", STATE_REVIEWING);
	assert_int_equal(claim(f->a, "x", 500), -ESTALE);
	assert_int_equal(claim(f->a, "y", 500), -ENOENT);
}

static void
of_two_moves_from_one_state_the_second_changes_nothing(void **state)
{
	struct fixture *f = *state;
	put(f->a, "x", STATE_REVIEWING);
	assert_int_equal(
	    store_action_move(f->a, "x", STATE_REVIEWING, STATE_REJECTED, 200, "no", "bob"), 0);
	assert_int_equal(
	    store_action_move(f->b, "x", STATE_REVIEWING, STATE_APPROVED, 200, NULL, NULL),
	    -ESTALE);
	assert_int_equal(
	    store_action_move(f->b, "x", STATE_REVIEWING, STATE_EXPIRED, 200, NULL, NULL), -ESTALE);
}

static void
a_transition_that_the_design_does_not_have_is_refused(void **state)
{
	struct fixture *f = *state;
	put(f->a, "x", STATE_REVIEWING);
	assert_int_equal(
	    store_action_move(f->a, "x", STATE_REVIEWING, STATE_SUCCEEDED, 200, NULL, NULL),
	    -EINVAL);
	assert_int_equal(
	    store_action_move(f->a, "x", STATE_APPROVED, STATE_CLAIMED, 200, NULL, NULL), -EINVAL);
	assert_int_equal(store_action_settle(f->a, "x", STATE_SUCCEEDED, 200), -ESTALE);
	assert_int_equal(store_action_settle(f->a, "x", STATE_DENIED, 200), -EINVAL);
}

/* ---- budgets ---- */

static int
put_limited(struct store *store, const char *id, int64_t per_task, int64_t per_day,
    enum store_budget_hit *hit)
{
	struct store_action action = an_action(id, STATE_APPROVED);
	struct store_budget budget = {
	    .task_key = "task/t", .per_task = per_task, .day_key = "day/d", .per_day = per_day};
	*hit = BUDGET_OK;
	return store_action_put(store, &action, &budget, hit);
}

static void
assert_budget(struct store *store, const char *key, int64_t used, int64_t reserved)
{
	int64_t u = -1, r = -1;
	assert_int_equal(store_budget_read(store, key, &u, &r), 0);
	assert_int_equal(u, used);
	assert_int_equal(r, reserved);
}

static void
a_budget_is_reserved_and_counted_when_the_action_is_settled(void **state)
{
	struct fixture *f = *state;
	enum store_budget_hit hit;
	assert_int_equal(put_limited(f->a, "x", 2, 0, &hit), 0);
	assert_budget(f->a, "task/t", 0, 1);
	assert_int_equal(claim(f->a, "x", 500), 0);
	assert_int_equal(store_action_settle(f->a, "x", STATE_FAILED, 600), 0);
	assert_budget(f->a, "task/t", 1, 0);
	assert_budget(f->a, "day/d", 0, 0);
}

static void
a_reservation_of_what_was_never_claimed_is_given_back(void **state)
{
	struct fixture *f = *state;
	enum store_budget_hit hit;
	assert_int_equal(put_limited(f->a, "x", 1, 5, &hit), 0);
	assert_int_equal(
	    store_action_move(f->a, "x", STATE_APPROVED, STATE_REVOKED, 200, NULL, NULL), 0);
	assert_budget(f->a, "task/t", 0, 0);
	assert_budget(f->a, "day/d", 0, 0);
	assert_int_equal(put_limited(f->b, "y", 1, 5, &hit), 0);
}

static void
a_budget_that_is_used_up_refuses_and_reserves_nothing(void **state)
{
	struct fixture *f = *state;
	enum store_budget_hit hit;
	assert_int_equal(put_limited(f->a, "x", 5, 1, &hit), 0);
	assert_int_equal(put_limited(f->b, "y", 5, 1, &hit), -EDQUOT);
	assert_int_equal(hit, BUDGET_DAY);
	assert_budget(f->a, "task/t", 0, 1); /* not 2: the whole transaction went */
	assert_int_equal(put_limited(f->b, "z", 1, 5, &hit), -EDQUOT);
	assert_int_equal(hit, BUDGET_TASK);
	assert_int_equal(claim(f->a, "y", 500), -ENOENT);
}

/* ---- restart ---- */

struct swept {
	enum action_state by_id[128];
	unsigned n;
};

static void
on_swept(const struct store_action *action, void *data)
{
	struct swept *swept = data;
	swept->by_id[(unsigned char)action->id[0]] = action->state;
	swept->n++;
}

static void
a_restart_makes_claimed_unknown_and_ends_what_waited(void **state)
{
	struct fixture *f = *state;
	struct swept swept = {.n = 0};
	put(f->a, "c", STATE_APPROVED);
	assert_int_equal(claim(f->a, "c", 500), 0);
	put(f->a, "w", STATE_REVIEWING);
	put(f->a, "a", STATE_APPROVED);
	put(f->a, "d", STATE_APPROVED);
	assert_int_equal(claim(f->a, "d", 500), 0);
	assert_int_equal(store_action_settle(f->a, "d", STATE_SUCCEEDED, 600), 0);
	assert_int_equal(store_sweep(f->b, 600, on_swept, &swept), 0);
	assert_int_equal(swept.n, 3);
	assert_int_equal(swept.by_id['c'], STATE_UNKNOWN);
	assert_int_equal(swept.by_id['w'], STATE_INVALIDATED);
	assert_int_equal(swept.by_id['a'], STATE_INVALIDATED);
	assert_int_equal(claim(f->a, "a", 500), -ESTALE);
	assert_int_equal(claim(f->a, "c", 500), -ESTALE);
	assert_int_equal(store_sweep(f->b, 600, on_swept, &swept), 0);
	assert_int_equal(swept.n, 3);
}

static void
a_restart_after_the_expiry_ends_as_expired(void **state)
{
	struct fixture *f = *state;
	struct swept swept = {.n = 0};
	put(f->a, "w", STATE_REVIEWING);
	assert_int_equal(store_sweep(f->a, 1000, on_swept, &swept), 0);
	assert_int_equal(swept.by_id['w'], STATE_EXPIRED);
}

static void
an_unknown_outcome_counts_as_used(void **state)
{
	struct fixture *f = *state;
	struct swept swept = {.n = 0};
	enum store_budget_hit hit;
	assert_int_equal(put_limited(f->a, "x", 2, 0, &hit), 0);
	assert_int_equal(put_limited(f->a, "y", 2, 0, &hit), 0);
	assert_int_equal(claim(f->a, "x", 500), 0);
	assert_int_equal(store_sweep(f->a, 600, on_swept, &swept), 0);
	assert_budget(f->a, "task/t", 1, 0);
}

/* ---- the file ---- */

static void
the_store_is_private_and_remembers(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(store_knows(f->a, "k"), 0);
	assert_int_equal(store_remember(f->a, "k", 1), 0);
	assert_int_equal(store_remember(f->a, "k", 2), 0);
	assert_int_equal(store_knows(f->b, "k"), 1);
}

static void
a_file_that_is_no_store_is_refused_with_its_reason(void **state)
{
	struct fixture *f = *state;
	char path[128];
	struct error err;
	struct store *store = NULL;
	(void)snprintf(path, sizeof(path), "%s/other.db", f->directory);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		(void)fputs("this is not a database\n", file);
	(void)fclose(file);
	assert_int_equal(store_open(path, &store, &err), -EUCLEAN);
	assert_non_null(strstr(err.message, "other.db"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(store_open("/nonexistent/store.db", &store, &err), -EACCES);
	assert_null(store);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    CASE(an_action_is_claimed_once_whichever_connection_asks),
	    CASE(an_action_is_not_claimed_at_or_after_its_expiry),
	    CASE(what_is_not_approved_is_not_claimed),
	    CASE(of_two_moves_from_one_state_the_second_changes_nothing),
	    CASE(a_transition_that_the_design_does_not_have_is_refused),
	    CASE(a_budget_is_reserved_and_counted_when_the_action_is_settled),
	    CASE(a_reservation_of_what_was_never_claimed_is_given_back),
	    CASE(a_budget_that_is_used_up_refuses_and_reserves_nothing),
	    CASE(a_restart_makes_claimed_unknown_and_ends_what_waited),
	    CASE(a_restart_after_the_expiry_ends_as_expired),
	    CASE(an_unknown_outcome_counts_as_used),
	    CASE(the_store_is_private_and_remembers),
	    CASE(a_file_that_is_no_store_is_refused_with_its_reason),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
