/* For a denial: which rule would be needed. */
#pragma once

#include "policy/match.h"

/* Fills RET's `needed` for the denied S; DENY is the rule that denied it, or NULL. */
void needed_for(const struct policy *policy, const struct subject *s, const struct rule *deny,
    struct decision *ret);
