/* Letting a staged workspace out: the arbiter is asked (MSG_COMMIT, a file action), rf-workspace applies what
 * was decided and nothing else, and the outcome goes to the ledger. */
#pragma once

#include <stdbool.h>

#include "cli/tool.h"

struct letout {
	int fd;                       /* the conversation with the supervisor; borrowed */
	const char *workspace, *task; /* borrowed */
	const char *action_id;        /* of the command that made the changes; or NULL */
	struct json *policy;          /* borrowed: {"name"}, {"file"} or {"hash"} */
	int policy_fd;                /* borrowed; -1 */
	bool quiet, json, no_wait;
};

/* Asks for CHANGES (what rf-workspace listed, with its digest), waits for the decision, and has
 * `rf-workspace VERB MORE…` apply them. 0; or -errno with ERR. */
int letout_commit(const struct letout *l, const struct tool *tool, const char *verb,
    const char *const *more, const struct json *changes, struct error *err) MUST_CHECK;
