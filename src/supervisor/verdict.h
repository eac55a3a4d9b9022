/* What a verdict of the arbiter's means to the client that waits for it: one form for runs and commits. */
#pragma once

#include "base/error.h"
#include "base/json.h"

/* Adds to HELD what a person must know while VERDICT waits for review: "review_id", "expires_at",
 * "rule", "approvals", "risk". */
void verdict_add_held(struct json *held, const struct json *verdict);
/* Explains a VERDICT whose state is STATE, which is not an approval: code, reason, and what rule would
 * be needed. */
void verdict_explain_refusal(const struct json *verdict, const char *state, struct error *err);
