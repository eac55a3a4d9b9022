/* The last look before an effect (MSG_CLAIM), and its end (MSG_SETTLE, MSG_WITHDRAW). */
#pragma once

#include "arbiter/arbiter.h"

int on_claim(struct conn *conn, struct msg *m);
int on_settle(struct conn *conn, struct msg *m);
int on_withdraw(struct conn *conn, struct msg *m);

/* The ledger has everything about ACTION, whose claim waits: answer it. */
void claim_finish(struct arbiter *arbiter, struct action *action);
