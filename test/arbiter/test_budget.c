/* Under which keys calls are counted. */
#include "unit.h"

#include <string.h>

#include "arbiter/budget.h"

#define NOON 1700000000000 /* 2023-11-14, UTC */

static struct generation
a_generation(int64_t per_task, int64_t per_day)
{
	struct generation generation = {.calls_per_task = per_task, .calls_per_day = per_day};
	memcpy(generation.name, "acme", sizeof("acme"));
	return generation;
}

static void
a_policy_without_budgets_draws_on_nothing(void **state)
{
	struct generation generation = a_generation(0, 0);
	struct budget budget;
	assert_false(budget_of(&generation, NULL, "t", 1000, NOON, &budget));
}

static void
a_task_has_a_key_of_its_own(void **state)
{
	struct generation generation = a_generation(3, 0);
	struct budget budget;
	assert_true(budget_of(&generation, NULL, "t1", 1000, NOON, &budget));
	assert_string_equal(budget.store.task_key, "task/t1");
	assert_int_equal(budget.store.per_task, 3);
	assert_int_equal(budget.store.per_day, 0);
}

static void
a_day_is_counted_for_each_policy_and_tenant(void **state)
{
	struct generation generation = a_generation(0, 7);
	struct budget budget;
	_cleanup_json_ struct json *record = json_new_object();
	assert_true(budget_of(&generation, record, "t", 1000, NOON, &budget));
	assert_string_equal(budget.store.day_key, "day/2023-11-14/acme/uid:1000");
	assert_int_equal(json_set_str(record, "tenant", "shop"), 0);
	assert_true(budget_of(&generation, record, "t", 1000, NOON, &budget));
	assert_string_equal(budget.store.day_key, "day/2023-11-14/acme/shop");
}

static void
the_reason_names_the_budget(void **state)
{
	struct generation generation = a_generation(3, 7);
	char reason[256];
	budget_reason(&generation, BUDGET_TASK, reason, sizeof(reason));
	assert_string_equal(reason, "the budget of 3 calls for this task is used up");
	budget_reason(&generation, BUDGET_DAY, reason, sizeof(reason));
	assert_string_equal(reason, "the budget of 7 calls for today is used up");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_policy_without_budgets_draws_on_nothing),
	    cmocka_unit_test(a_task_has_a_key_of_its_own),
	    cmocka_unit_test(a_day_is_counted_for_each_policy_and_tenant),
	    cmocka_unit_test(the_reason_names_the_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
