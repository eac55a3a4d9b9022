/* What whoever proposed an action is told about it: the supervisor, or a gateway (net_perform.c). */
#pragma once

#include "arbiter/arbiter.h"

/* MSG_VERDICT about ACTION in its present state, to request SERIAL. COMMENT may be NULL. */
void verdict_send(
    struct arbiter *arbiter, struct action *action, uint32_t serial, const char *comment);
/* The same to the proposal of ACTION, which was its claim as well and is granted. */
void verdict_send_claimed(struct arbiter *arbiter, struct action *action);

/* Ends ACTION, which nobody performs, in state TO: in the store, in memory, in the ledger (EVENT) and
 * towards the supervisor, and forgets it. COMMENT and BY (who ended it) may be NULL.
 * -ESTALE if the store has it in another state; then nothing has changed. */
int action_end(struct arbiter *arbiter, struct action *action, enum action_state to,
    const char *event, const char *comment, const char *by);
/* The same whatever the store has: ACTION is forgotten here, and its place in the store is left to the next sweep. */
void action_end_surely(struct arbiter *arbiter, struct action *action, enum action_state to,
    const char *event, const char *comment);
