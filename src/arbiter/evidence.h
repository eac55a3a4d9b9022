/* Records to the ledger, and which of them it has acknowledged.
 *
 * What an action needs before it may be claimed is *awaited*: the claim is answered only when the
 * ledger has written it (on disk, where the effect leaves the sandbox). A ledger that fails or goes
 * away ends this process: nothing is allowed without evidence. */
#pragma once

#include "arbiter/arbiter.h"

/* Appends EVENT about ACTION, which then waits for it. Takes DATA. */
void evidence_await(
    struct arbiter *arbiter, struct action *action, const char *event, struct json *data);
/* Appends EVENT without waiting; TASK and ACTION_ID may be NULL. Takes DATA. */
void evidence_note(struct arbiter *arbiter, const char *event, const char *task,
    const char *action_id, struct json *data);

/* From the ledger. */
int on_ledger_appended(struct conn *conn, struct msg *m);
int on_ledger_error(struct conn *conn, struct msg *m);
void on_ledger_closed(struct conn *conn);

void evidence_done(struct arbiter *arbiter);
