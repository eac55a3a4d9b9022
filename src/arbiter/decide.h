/* MSG_PROPOSE → MSG_VERDICT: identify, validate, complete the facts, decide, reserve, record. */
#pragma once

#include "arbiter/arbiter.h"

int on_propose(struct conn *conn, struct msg *m);
/* Decides what the gateway of BINDING proposes by request SERIAL (its request is taken out of ACTION), and answers
 * it, now or when the action is claimed. */
void decide_bound(struct binding *binding, uint32_t serial, struct json *action);
/* Decides ACTION again under the generation that is now active for its policy's name. True if it is
 * still allowed as it is; its new decision is then on its way to the ledger. */
bool decide_again(struct arbiter *arbiter, struct action *action);
