/* The last look before an effect (MSG_CLAIM), and its end (MSG_SETTLE, MSG_WITHDRAW). */
#pragma once

#include "arbiter/arbiter.h"

int on_claim(struct conn *conn, struct msg *m);
int on_settle(struct conn *conn, struct msg *m);
int on_withdraw(struct conn *conn, struct msg *m);

/* ACTION was approved by people: its requester is told, or, if a gateway waits with it, its claim begins.
 * COMMENT may be NULL. */
void claim_approved(struct arbiter *arbiter, struct action *action, const char *comment);
/* ACTION, which is being performed, ended as TO; takes OUTCOME (may be NULL). Frees ACTION. */
void claim_settle(
    struct arbiter *arbiter, struct action *action, enum action_state to, struct json *outcome);
/* The same as M says (MSG_SETTLE, MSG_NET_SETTLE). ACTION NULL: it ended before. 0 or -EPROTO. */
int claim_settle_by(struct arbiter *arbiter, struct action *action, struct msg *m) MUST_CHECK;
/* Whoever asked for ACTION left; accepts NULL. */
void claim_withdraw(struct arbiter *arbiter, struct action *action);

/* The ledger has everything about ACTION, whose claim waits: answer it. */
void claim_finish(struct arbiter *arbiter, struct action *action);
