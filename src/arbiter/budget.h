/* Call budgets: what a policy allows a task, and a tenant on one day, reserved before and settled
 * after. Two budgets exist: calls_per_task, and calls_per_day for each tenant under one policy. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "arbiter/generations.h"
#include "base/json.h"
#include "store/store.h"

#define BUDGET_KEY_MAX 320

struct budget {
	char task_key[BUDGET_KEY_MAX], day_key[BUDGET_KEY_MAX];
	struct store_budget store; /* points into the keys */
};

/* Works out what RECORD (an action of TASK, by REQUESTER) draws on. False if nothing. */
bool budget_of(const struct generation *generation, const struct json *record, const char *task,
    uid_t requester, int64_t now, struct budget *ret);
/* One line for people about the budget that is used up. */
void budget_reason(
    const struct generation *generation, enum store_budget_hit hit, char *ret, size_t size);
