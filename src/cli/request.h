/* What a run, a sandbox and a command in one are asked for with: the options that they share, and the
 * bodies of the requests. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "cli/options.h"
#include "cli/run.h"

/* Takes the option SPEC with VALUE into O, if it is a shared one: --policy, --workspace, --env, --task,
 * --cwd, --json, --timing, --quiet, --raw, --tty, and the limits. 0; -ENOENT if it is another; or -errno
 * with ERR. */
int request_take(struct run_options *o, const struct option_spec *spec, const char *value,
    struct error *err) MUST_CHECK;
/* Opens the policy if it is a file, and checks that argv, --env, --cwd and --workspace are what JSON can
 * carry. 0 or -errno. */
int request_check(struct run_options *o, struct error *err) MUST_CHECK;
/* Frees what O owns. */
void request_done(struct run_options *o);

/* Whether JSON carries TEXT (which WHAT names) unchanged. A byte that is not UTF-8 would be replaced:
 * refuse instead. 0 or -EILSEQ. */
int request_check_text(const char *what, const char *text, struct error *err) MUST_CHECK;

/* {"name"} or {"file"}, as the messages carry a policy; owned. */
struct json *request_policy(const struct run_options *o);
/* {"path","mode"}; NULL without a workspace; owned. */
struct json *request_workspace(const struct run_options *o);
/* MSG_RUN's body, or with o->sandbox MSG_SESSION_EXEC's; owned. */
struct json *request_command(const struct run_options *o);
