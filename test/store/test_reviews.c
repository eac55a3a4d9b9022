/* The review queue: distinct people, one role each, and races between two connections. */
#include "store_fixture.h"

#include <errno.h>
#include <sys/wait.h>

static void
open_review(
    struct store *store, const char *id, const char *const *roles, unsigned n, char ret[REVIEW_ID])
{
	struct store_review review = {
	    .action = an_action(id, STATE_REVIEWING), .decision = "{}", .n_roles = n};
	for (unsigned i = 0; i < n; i++)
		review.roles[i] = roles[i];
	assert_int_equal(store_review_open(store, &review, NULL, NULL), 0);
	memcpy(ret, review.review_id, REVIEW_ID);
}

static int
approve(struct store *store, const char *review, uid_t uid, const char *role, int64_t now,
    bool *complete)
{
	struct store_approval approval = {.role = role, .uid = uid, .name = "someone", .at = now};
	return store_review_approve(store, review, &approval, now, complete);
}

struct found {
	enum action_state state;
	unsigned n_approvals;
	char comment[64], by[64];
	unsigned n;
};

static void
on_found(const struct store_review *review, const struct store_approval *approvals, unsigned n,
    void *data)
{
	struct found *found = data;
	found->state = review->action.state;
	found->n_approvals = n;
	(void)snprintf(found->comment, sizeof(found->comment), "%s",
	    review->comment != NULL ? review->comment : "-");
	(void)snprintf(
	    found->by, sizeof(found->by), "%s", review->ended_by != NULL ? review->ended_by : "-");
	found->n++;
}

static const char *const two[] = {"operator", "dba"};
static const char *const same[] = {"dba", "dba"};

static void
the_last_approval_completes_and_not_before(void **state)
{
	struct fixture *f = *state;
	char id[REVIEW_ID];
	bool complete = true;
	open_review(f->a, "x", two, 2, id);
	assert_int_equal(approve(f->a, id, 1, "operator", 200, &complete), 0);
	assert_false(complete);
	assert_int_equal(approve(f->b, id, 2, "dba", 201, &complete), 0);
	assert_true(complete);
	struct found found = {.n = 0};
	assert_int_equal(store_review_get(f->a, "x", on_found, &found), 0);
	assert_int_equal(found.state, STATE_APPROVED);
	assert_int_equal(found.n_approvals, 2);
	assert_int_equal(approve(f->a, id, 3, "dba", 202, &complete), -ESTALE);
}

static void
one_person_does_not_fill_two_roles(void **state)
{
	struct fixture *f = *state;
	char id[REVIEW_ID];
	bool complete = false;
	open_review(f->a, "x", two, 2, id);
	assert_int_equal(approve(f->a, id, 1, "operator", 200, &complete), 0);
	assert_int_equal(approve(f->b, id, 1, "dba", 200, &complete), -EEXIST);
	assert_int_equal(approve(f->b, id, 2, "operator", 200, &complete), -EADDRINUSE);
	assert_int_equal(approve(f->b, id, 2, "cook", 200, &complete), -EINVAL);
	assert_false(complete);
}

static void
a_role_that_is_needed_twice_takes_two_people(void **state)
{
	struct fixture *f = *state;
	char id[REVIEW_ID];
	bool complete = false;
	open_review(f->a, "x", same, 2, id);
	assert_int_equal(approve(f->a, id, 1, "dba", 200, &complete), 0);
	assert_false(complete);
	assert_int_equal(approve(f->a, id, 1, "dba", 200, &complete), -EEXIST);
	assert_int_equal(approve(f->a, id, 2, "dba", 200, &complete), 0);
	assert_true(complete);
}

static void
an_approval_at_the_expiry_is_too_late(void **state)
{
	struct fixture *f = *state;
	char id[REVIEW_ID];
	bool complete = false;
	open_review(f->a, "x", two, 1, id);
	assert_int_equal(approve(f->a, id, 1, "operator", 1000, &complete), -ETIME);
	assert_int_equal(approve(f->a, id, 1, "operator", 999, &complete), 0);
	assert_true(complete);
}

static void
a_rejection_is_final_and_keeps_who_and_why(void **state)
{
	struct fixture *f = *state;
	char id[REVIEW_ID];
	bool complete = false;
	open_review(f->a, "x", two, 2, id);
	assert_int_equal(approve(f->a, id, 1, "operator", 200, &complete), 0);
	assert_int_equal(store_action_move(
			     f->b, "x", STATE_REVIEWING, STATE_REJECTED, 300, "not today", "carol"),
	    0);
	assert_int_equal(approve(f->a, id, 2, "dba", 301, &complete), -ESTALE);
	struct found found = {.n = 0};
	assert_int_equal(store_review_get(f->a, id, on_found, &found), 0);
	assert_int_equal(found.state, STATE_REJECTED);
	assert_string_equal(found.comment, "not today");
	assert_string_equal(found.by, "carol");
}

static void
the_list_has_what_is_open_and_on_demand_all(void **state)
{
	struct fixture *f = *state;
	char id[REVIEW_ID];
	struct found found = {.n = 0};
	open_review(f->a, "x", two, 1, id);
	open_review(f->a, "y", two, 1, id);
	assert_int_equal(
	    store_action_move(f->a, "x", STATE_REVIEWING, STATE_REVOKED, 300, NULL, NULL), 0);
	assert_int_equal(store_review_each(f->b, false, 10, on_found, &found), 0);
	assert_int_equal(found.n, 1);
	found.n = 0;
	assert_int_equal(store_review_each(f->b, true, 10, on_found, &found), 0);
	assert_int_equal(found.n, 2);
	assert_int_equal(store_review_get(f->b, "nobody", on_found, &found), -ENOENT);
}

/* Opens its own connection, waits for the start, and tries to approve as UID; exits 0 if it did. */
static void
rival(const char *path, const char *review, uid_t uid, int start)
{
	struct store *store = NULL;
	struct error err;
	bool complete = false;
	char go;
	if (store_open(path, &store, &err) < 0 || read(start, &go, 1) != 0)
		_exit(2);
	int r = approve(store, review, uid, "operator", 200, &complete);
	_exit(r == 0 && complete ? 0 : r == -ESTALE ? 1 : 3);
}

static void
of_many_processes_that_approve_at_once_one_completes(void **state)
{
	struct fixture *f = *state;
	char id[REVIEW_ID];
	enum { RIVALS = 6 };
	pid_t pids[RIVALS];
	int start[2];
	open_review(f->a, "x", two, 1, id);
	assert_int_equal(pipe(start), 0);
	for (unsigned i = 0; i < RIVALS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			(void)close(start[1]);
			rival(f->path, id, 100 + i, start[0]);
		}
	}
	(void)close(start[0]);
	(void)close(start[1]); /* end of file is the signal */
	unsigned won = 0, lost = 0;
	for (unsigned i = 0; i < RIVALS; i++) {
		int status = 0;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		won += WEXITSTATUS(status) == 0;
		lost += WEXITSTATUS(status) == 1;
	}
	assert_int_equal(won, 1);
	assert_int_equal(lost, RIVALS - 1);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    CASE(the_last_approval_completes_and_not_before),
	    CASE(one_person_does_not_fill_two_roles),
	    CASE(a_role_that_is_needed_twice_takes_two_people),
	    CASE(an_approval_at_the_expiry_is_too_late),
	    CASE(a_rejection_is_final_and_keeps_who_and_why),
	    CASE(the_list_has_what_is_open_and_on_demand_all),
	    CASE(of_many_processes_that_approve_at_once_one_completes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
