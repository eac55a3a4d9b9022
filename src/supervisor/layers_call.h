/* Asks rf-layers, in a process of its own, to do one thing to a session's workspace (src/layers). */
#pragma once

#include "supervisor/session.h"

struct layers_call;

/* What came of it: with ERR NULL it is done, and M is the reply; else nothing is, unless ERR's code is one of
 * these. */
#define LAYERS_LOST "workspace_lost"
#define LAYERS_SILENT "layers_no_answer" /* while it exchanged mounts: it may be done, or half */
typedef void layers_reply_fn(struct msg *m, const struct error *err, void *data);

/* Sends REQUEST (taken) for SESSION's sandbox. IN_GROUP: what it uses counts against the sandbox. 0 with
 * *RET, or -errno with ERR; FN is called later, once. */
int layers_call(struct session *session, struct json *request, bool in_group, layers_reply_fn *fn,
    void *data, struct layers_call **ret, struct error *err) MUST_CHECK;
/* Ends it; FN is not called. Accepts NULL; returns NULL. */
struct layers_call *layers_call_cancel(struct layers_call *call);
