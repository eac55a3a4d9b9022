/* Kill switches: one task, or everything. */
#pragma once

#include "arbiter/arbiter.h"

#define EPOCH_FILE "kill-epoch"

/* From people. */
int on_kill(struct conn *conn, struct msg *m);
int on_tasks(struct conn *conn, struct msg *m);
/* From the supervisor. */
int on_killed(struct conn *conn, struct msg *m);

/* CLIENT leaves: nobody waits for its kills any more. */
void kill_forget_client(struct arbiter *arbiter, const struct client *client);
void kill_done(struct arbiter *arbiter);
