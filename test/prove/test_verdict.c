/* What the trials of an attack say together. */
#include "unit.h"

#include <string.h>

#include "base/macros.h"
#include "prove/prove.h"

static const enum lock two_locks[ATTACK_LOCKS_MAX] = {LOCK_SECCOMP, LOCK_LANDLOCK};

struct scenario {
	enum outcome control, one, two, all;
	bool conventional;
	enum verdict expected;
};

static enum verdict
verdict_of(const struct scenario *s)
{
	struct attack attack = {
	    .name = "it", .conventional = s->conventional ? "it says why" : NULL};
	struct row row = {.attack = &attack,
	    .locks = two_locks,
	    .n_locks = 2,
	    .control = {.outcome = s->control},
	    .only = {{.outcome = s->one}, {.outcome = s->two}},
	    .all = {.outcome = s->all}};
	verdict_reach(&row);
	return row.verdict;
}

static void
assert_verdicts(const struct scenario *scenarios, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_string_equal(
		    verdict_name(verdict_of(&scenarios[i])), verdict_name(scenarios[i].expected));
}

#define WIN OUTCOME_SUCCEEDED
#define HELD OUTCOME_HELD
#define NO OUTCOME_UNAVAILABLE
#define MUTE OUTCOME_BROKEN
#define CANNOT OUTCOME_CANNOT

static void
an_attack_is_enforced_only_if_its_control_succeeds_and_everything_holds_it(void **state)
{
	static const struct scenario scenarios[] = {
	    {WIN, HELD, HELD, HELD, false, VERDICT_ENFORCED},
	    {WIN, HELD, HELD, HELD, true, VERDICT_ENFORCED},
	    {WIN, HELD, NO, HELD, false,
		VERDICT_ENFORCED}, /* the report shows which is not to be had */
	    {HELD, HELD, HELD, HELD, false, VERDICT_NO_CONTROL},
	    {CANNOT, HELD, HELD, HELD, false, VERDICT_NO_CONTROL},
	    {NO, HELD, HELD, HELD, false, VERDICT_NO_CONTROL},
	    {OUTCOME_NONE, OUTCOME_NONE, OUTCOME_NONE, OUTCOME_NONE, false, VERDICT_NOT_TESTED},
	};
	assert_verdicts(scenarios, ARRAY_LEN(scenarios));
}

static void
a_lock_that_does_not_hold_alone_is_a_finding(void **state)
{
	static const struct scenario scenarios[] = {
	    {WIN, WIN, HELD, HELD, false, VERDICT_WEAK},
	    {WIN, HELD, WIN, HELD, true, VERDICT_WEAK},
	};
	assert_verdicts(scenarios, ARRAY_LEN(scenarios));
}

static void
an_attack_that_succeeds_in_the_sandbox_is_a_breach_whatever_the_locks_say(void **state)
{
	static const struct scenario scenarios[] = {
	    {WIN, HELD, HELD, WIN, false, VERDICT_BREACHED},
	    {WIN, WIN, MUTE, WIN, false, VERDICT_BREACHED},
	    /* "conventional" excuses only where a lock cannot be had. */
	    {WIN, HELD, HELD, WIN, true, VERDICT_BREACHED},
	    {WIN, NO, HELD, WIN, true, VERDICT_CONVENTIONAL},
	    {WIN, NO, HELD, WIN, false, VERDICT_BREACHED},
	};
	assert_verdicts(scenarios, ARRAY_LEN(scenarios));
}

static void
no_answer_is_never_taken_for_a_hold(void **state)
{
	static const struct scenario scenarios[] = {
	    {MUTE, HELD, HELD, HELD, false, VERDICT_BROKEN},
	    {WIN, MUTE, HELD, HELD, false, VERDICT_BROKEN},
	    {WIN, HELD, CANNOT, HELD, false, VERDICT_BROKEN},
	    {WIN, HELD, HELD, MUTE, false, VERDICT_BROKEN},
	    {WIN, HELD, HELD, CANNOT, false, VERDICT_BROKEN},
	    {WIN, HELD, HELD, NO, false, VERDICT_BROKEN},
	    {WIN, HELD, OUTCOME_NONE, HELD, false, VERDICT_BROKEN},
	};
	assert_verdicts(scenarios, ARRAY_LEN(scenarios));
}

static void
the_exit_code_asks_for_something_proved_and_nothing_open(void **state)
{
	struct summary good = {.controlled = 3}, nothing = {0};
	assert_int_equal(verdict_exit_code(&good), 0);
	assert_int_equal(verdict_exit_code(&nothing), 1);
	static const enum verdict open[] = {VERDICT_WEAK, VERDICT_BREACHED, VERDICT_BROKEN};
	static const enum verdict told[] = {
	    VERDICT_CONVENTIONAL, VERDICT_NO_CONTROL, VERDICT_NOT_TESTED};
	for (size_t i = 0; i < ARRAY_LEN(open); i++) {
		struct summary sum = {.controlled = 3};
		sum.counts[open[i]] = 1;
		assert_int_equal(verdict_exit_code(&sum), 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(told); i++) {
		struct summary sum = {.controlled = 3};
		sum.counts[told[i]] = 1;
		assert_int_equal(verdict_exit_code(&sum), 0);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		an_attack_is_enforced_only_if_its_control_succeeds_and_everything_holds_it),
	    cmocka_unit_test(a_lock_that_does_not_hold_alone_is_a_finding),
	    cmocka_unit_test(
		an_attack_that_succeeds_in_the_sandbox_is_a_breach_whatever_the_locks_say),
	    cmocka_unit_test(no_answer_is_never_taken_for_a_hold),
	    cmocka_unit_test(the_exit_code_asks_for_something_proved_and_nothing_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
