/* What requests for runs and for sessions have in common (run_request.c). */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "supervisor/supervisor.h"

/* Whether anything can be begun now. Each of these: 0, or -errno with ERR for the client. */
int request_possible(const struct supervisor *s, struct error *err) MUST_CHECK;
/* That BODY names a policy, and a task that could be one. */
int request_check_policy(const struct json *body, struct error *err) MUST_CHECK;
int request_check_env(const struct json *env, struct error *err) MUST_CHECK;
/* That the directory FD may be the workspace that WORKSPACE ({"mode","path"} or NULL) says. */
int request_check_workspace(
    const struct supervisor *s, const struct json *workspace, int fd, struct error *err) MUST_CHECK;
/* That CONFIG's policy allows a workspace of MODE ("staged", "direct"; NULL: none is wanted). */
int request_check_mode(const struct json *config, const char *mode, struct error *err) MUST_CHECK;
/* The request's own limits may only tighten CONFIG's. How many did. */
int request_tighten(struct json *config, const struct json *wanted);
