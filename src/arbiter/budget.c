/* The keys under which calls are counted. The day is UTC's. A tenant that the action does not name is
 * the requester. */
#include "arbiter/budget.h"

#include <stdio.h>

#include "base/clock.h"

bool
budget_of(const struct generation *generation, const struct json *record, const char *task,
    uid_t requester, int64_t now, struct budget *ret)
{
	if (generation->calls_per_task <= 0 && generation->calls_per_day <= 0)
		return false;
	char day[32], uid[24];
	clock_format(now, day);
	(void)snprintf(uid, sizeof(uid), "uid:%u", (unsigned)requester);
	const char *name = generation->name[0] != '\0' ? generation->name : generation->hash;
	(void)snprintf(ret->task_key, sizeof(ret->task_key), "task/%s", task);
	(void)snprintf(ret->day_key, sizeof(ret->day_key), "day/%.10s/%s/%.128s", day, name,
	    json_get_str(record, "tenant", uid));
	ret->store = (struct store_budget){
	    .task_key = ret->task_key,
	    .per_task = generation->calls_per_task,
	    .day_key = ret->day_key,
	    .per_day = generation->calls_per_day,
	};
	return true;
}

void
budget_reason(
    const struct generation *generation, enum store_budget_hit hit, char *ret, size_t size)
{
	if (hit == BUDGET_TASK)
		(void)snprintf(ret, size, "the budget of %lld calls for this task is used up",
		    (long long)generation->calls_per_task);
	else
		(void)snprintf(ret, size, "the budget of %lld calls for today is used up",
		    (long long)generation->calls_per_day);
}
