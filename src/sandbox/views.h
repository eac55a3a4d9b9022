/* What a sandbox's root shows, by policy: the host's /usr, an image, or only the programs that rules name.
 *
 * A view is {"skeleton","hostname","binds":[{"from","to","file"?,"noexec"?}],"rules"?:[{"path","execute"}],
 * "noexec"?,"env"?,"image"?}: what INIT_VIEW carries but the ids (sandbox/plan.h). host.c, listed.c and image_view.c
 * make them; here they are chosen, given their skeleton and kept. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "sandbox/host.h"

struct views;

/* STATE (open as STATE_FD, borrowed) keeps skeletons. Makes the host's view. 0 or -errno with ERR. */
int views_new(const char *state, int state_fd, struct views **ret, struct error *err) MUST_CHECK;
struct views *views_free(struct views *views);
/* That of `root: host`; borrowed. */
const struct json *views_host(const struct views *views);
/* That of CONFIG (policy_sandbox()); borrowed until the next call. 0 or -errno with ERR. */
int views_get(struct views *views, const struct json *config, const struct json **ret,
    struct error *err) MUST_CHECK;
/* Finds the program NAME in CONFIG's root (NULL: the host's). As host_resolve. */
int views_resolve(struct views *views, const struct json *config, const char *name, const char *cwd,
    char ret_program[RESOLVED_MAX], char ret_resolved[RESOLVED_MAX]);
