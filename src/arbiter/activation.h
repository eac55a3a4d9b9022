/* Which generation stands behind a policy's name: activate, roll back, history. */
#pragma once

#include "arbiter/arbiter.h"

/* From people. */
int on_policy_activate(struct conn *conn, struct msg *m);
int on_policy_rollback(struct conn *conn, struct msg *m);
int on_policy_history(struct conn *conn, struct msg *m);
