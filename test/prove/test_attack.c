/* The table of attacks says what the harness relies on. */
#include "unit.h"

#include <string.h>

#include "base/macros.h"
#include "prove/attack.h"

#define CONTROLLED_MIN 60

static void
names_are_plain_and_unique(void **state)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	const struct attack *a;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++) {
		assert_true(a->name[0] != 0 && strspn(a->name, letters) == strlen(a->name));
		assert_ptr_equal(attack_find(a->name), a);
	}
	assert_null(attack_find("no_such_attack"));
	assert_null(attack_find(""));
}

static void
at_least_sixty_have_a_control(void **state)
{
	const struct attack *a;
	int controlled = 0;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++)
		controlled += a->not_tested == NULL;
	assert_true(controlled >= CONTROLLED_MIN);
}

static void
each_boundary_has_attacks_of_which_one_is_controlled(void **state)
{
	int found[BOUNDARY_COUNT] = {0};
	const struct attack *a;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++) {
		assert_in_range(a->boundary, 0, BOUNDARY_COUNT - 1);
		found[a->boundary] += a->not_tested == NULL;
	}
	for (int b = 0; b < BOUNDARY_COUNT; b++) {
		assert_true(found[b] > 0);
		assert_non_null(boundary_name((enum boundary)b));
	}
}

static void
check_locks(const enum lock locks[ATTACK_LOCKS_MAX])
{
	bool seen[LOCK_COUNT] = {false}, ended = false;
	for (int i = 0; i < ATTACK_LOCKS_MAX; i++) {
		assert_in_range(locks[i], 0, LOCK_COUNT - 1);
		ended |= locks[i] == LOCK_NONE;
		assert_true(ended == (locks[i] == LOCK_NONE)); /* nothing after the end */
		assert_true(ended || !seen[locks[i]]);
		seen[locks[i]] = true;
	}
}

static void
a_row_names_each_of_its_locks_once_and_has_one_unless_it_is_not_tested(void **state)
{
	const struct attack *a;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++) {
		check_locks(a->locks);
		check_locks(a->rootless);
		assert_true(a->not_tested != NULL || a->locks[0] != LOCK_NONE);
		assert_true(strlen(a->title) > 10 && strlen(a->title) <= 72);
		/* A row for the host's root alone is never tried rootless. */
		assert_true((a->needs & NEEDS_ROOT) == 0 || a->rootless[0] == LOCK_NONE);
	}
}

static void
needs_of_a_row_go_together(void **state)
{
	const unsigned kills = ACT_KILL | SILENCE_HOLDS, fixtures = NEEDS_OUTSIDE | NEEDS_NEIGHBOUR;
	const unsigned roots = NEEDS_ROOT | NEEDS_NS_ROOT;
	const struct attack *a;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++) {
		/* Both fixtures would hand on the same keys. */
		assert_true((a->needs & fixtures) != fixtures);
		assert_true((a->needs & roots) != roots);
		assert_true((a->needs & ACT_KILL) == 0 || (a->needs & kills) == kills);
		if (a->boundary == BOUNDARY_SANDBOXES)
			assert_true((a->needs & NEEDS_NEIGHBOUR) != 0);
	}
}

static void
every_lock_has_a_name_of_its_own_and_a_title(void **state)
{
	for (int l = 0; l < LOCK_COUNT; l++) {
		assert_non_null(lock_name((enum lock)l));
		assert_non_null(lock_title((enum lock)l));
		for (int other = 0; other < l; other++)
			assert_string_not_equal(
			    lock_name((enum lock)l), lock_name((enum lock)other));
	}
}

static void
the_harness_links_rows_without_functions(void **state)
{
	const struct attack *a;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++)
		assert_true(a->run == NULL && a->check == NULL);
}

static void
attempts_lie_between_the_limit_and_the_bound(void **state)
{
	static const struct {
		long limit, attempt, bound;
	} sizes[] = {
	    {LIMIT_MEMORY, ATTEMPT_MEMORY, BOUND_MEMORY},
	    {LIMIT_PROCESSES, ATTEMPT_PROCESSES, BOUND_PROCESSES},
	    {LIMIT_DISK, ATTEMPT_DISK, BOUND_DISK},
	    {LIMIT_INODES, ATTEMPT_INODES, BOUND_INODES},
	    {LIMIT_FILES, ATTEMPT_FILES, BOUND_FILES},
	};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		assert_true(sizes[i].limit < sizes[i].attempt && sizes[i].attempt < sizes[i].bound);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_plain_and_unique),
	    cmocka_unit_test(at_least_sixty_have_a_control),
	    cmocka_unit_test(each_boundary_has_attacks_of_which_one_is_controlled),
	    cmocka_unit_test(
		a_row_names_each_of_its_locks_once_and_has_one_unless_it_is_not_tested),
	    cmocka_unit_test(needs_of_a_row_go_together),
	    cmocka_unit_test(every_lock_has_a_name_of_its_own_and_a_title),
	    cmocka_unit_test(the_harness_links_rows_without_functions),
	    cmocka_unit_test(attempts_lie_between_the_limit_and_the_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
