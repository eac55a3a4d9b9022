/* Risk: 0 to 100, the sum of parts that each have a reason. It can only tighten a decision. */
#pragma once

#include "policy/match.h"

/* Fills the decision's risk, band and parts. REVERSIBLE says whether the effect can be taken back. */
void risk_assess(
    const struct policy *policy, const struct subject *s, bool reversible, struct decision *ret);
