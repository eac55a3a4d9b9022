/* The review queue: who may decide what, approvals, expiry. The store is the truth; memory follows. */
#pragma once

#include "arbiter/arbiter.h"
#include "policy/policy.h"

/* ---- for decide.c ---- */

/* Fills ERR: POLICY's reviews need people who can be told apart, and here they cannot. -EOPNOTSUPP. */
int review_needs_two_people(const char *policy, struct error *err);
/* Whether the people that DECISION asks for can exist here; an action that nobody could approve is
 * refused at once. 0, or negative errno with ERR. */
int review_possible(struct arbiter *arbiter, const struct action *action,
    const struct decision *decision, struct error *err) MUST_CHECK;
/* Writes ACTION to the store as DECISION says (REVIEWING with its review, or APPROVED), and reserves
 * from BUDGET (may be NULL). -EDQUOT with RET_HIT; other errors with ERR. */
int review_store(struct arbiter *arbiter, struct action *action, const struct decision *decision,
    const struct store_budget *budget, int64_t now, enum store_budget_hit *ret_hit,
    struct error *err) MUST_CHECK;
/* ACTION's review is in the queue: records it, tells the watchers, arms the clock. */
void review_opened(struct arbiter *arbiter, struct action *action);

/* ---- for the rest ---- */

/* Tells the watchers. */
void review_changed(struct arbiter *arbiter, const char *review_id);

/* ---- from people ---- */

int on_review_approve(struct conn *conn, struct msg *m);
int on_review_deny(struct conn *conn, struct msg *m);
