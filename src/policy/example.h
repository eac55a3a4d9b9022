/* The examples of a policy file: each becomes an action, and its decision must be the expected one. */
#pragma once

#include "policy/model.h"

/* Builds the action of EXAMPLE. 0 and an owned *RET, or -EINVAL/-ENOMEM with the reader's error. */
int example_action(const struct field_reader *rd, const struct policy *policy,
    const struct example *example, struct json **ret) MUST_CHECK;
/* Runs all examples. Without RESULTS: 0, or -EINVAL at the first that fails. With RESULTS (borrowed
 * array): appends what came out of each (policy.h), and fails only where one cannot be read. */
int examples_run(struct field_reader *rd, struct policy *policy, struct json *results) MUST_CHECK;
