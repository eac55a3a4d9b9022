/* Actions that lie at the edges of a rule: inside it, and one step outside of each of its fields. */
#pragma once

#include "policy/model.h"

/* Called with each action (borrowed). A negative return stops. */
typedef int witness_fn(const struct json *action, const struct rule *rule, void *data);

/* Makes the actions of RULE, at most MOST. 0, what FN returned, or -ENOMEM. */
int witness_rule(const struct rule *rule, size_t most, witness_fn *fn, void *data) MUST_CHECK;
