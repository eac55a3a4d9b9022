/* What people see of reviews: JSON for the CLI, with agent-controlled text escaped. */
#pragma once

#include "arbiter/arbiter.h"

int on_review_list(struct conn *conn, struct msg *m);
int on_review_show(struct conn *conn, struct msg *m);
int on_review_watch(struct conn *conn, struct msg *m);

/* Answers CLIENT's request SERIAL with MSG_REVIEWS of this one. */
void review_view_send(struct client *client, uint32_t serial, const char *review_id);
/* Sends it to everybody who watches and may see it. */
void review_view_watchers(struct arbiter *arbiter, const char *review_id);
