/* The facts about an action that only the arbiter knows, and which nobody else may claim. */
#pragma once

#include "arbiter/arbiter.h"

/* Sets facts of RECORD: burst, outside_hours, and for kinds other than exec first_seen. Whatever the sender wrote
 * there is replaced. 0, or negative errno with ERR. */
int facts_complete(struct arbiter *arbiter, struct json *record, struct task *task,
    const struct generation *generation, enum action_kind kind, struct error *err) MUST_CHECK;
/* ACTION is about to be performed: from now on its like was seen. */
int facts_remember(struct arbiter *arbiter, const struct action *action) MUST_CHECK;
/* Whether the effect of such an action leaves the sandbox and is not read-only, so that its records
 * must be on disk before it. */
bool facts_leaves_sandbox(
    const struct json *record, enum action_kind kind, const struct generation *generation);
