/* The staged workspace after a run. What the agent changed lies in a scratch layer that only a
 * descriptor names; rf-workspace reads it (it is hostile: src/sandbox/workspace.h), and applies it on
 * the arbiter's word alone. Without --commit the layer goes away with us. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/letout.h"
#include "cli/request.h"
#include "cli/run.h"
#include "cli/say.h"
#include "cli/tool.h"

static int
show(const struct run_options *o, const struct tool *tool, struct error *err)
{
	int r = o->json || o->quiet ? 0 : tool_run(tool, "summary", NULL, STDERR_FILENO, err);
	return r == 0 && o->diff && !o->json ? tool_run(tool, "diff", NULL, STDERR_FILENO, err) : r;
}

static int
commit(const struct run_options *o, const struct tool *tool, struct connection *c,
    const struct run_result *result, struct error *err)
{
	_cleanup_json_ struct json *policy = request_policy(o);
	struct letout l = {.fd = c->fd,
	    .workspace = o->workspace,
	    .task = json_get_str(result->done, "task", NULL),
	    .action_id = json_get_str(result->done, "action_id", NULL),
	    .policy = policy,
	    .policy_fd = o->policy_fd,
	    .quiet = o->quiet,
	    .json = o->json,
	    .no_wait = o->no_wait};
	return letout_commit(&l, tool, "commit", NULL, result->changes, err);
}

/* Shows, and commits where asked to. 0 or -errno. */
static int
deal(const struct run_options *o, const struct tool *tool, struct connection *c,
    struct run_result *result, struct error *err)
{
	int r = tool_ask(tool, "changes", NULL, &result->changes, err);
	if (r < 0)
		return r;
	if (json_len(json_get(result->changes, "changes")) == 0) {
		result->workspace_state = "unchanged";
		return 0;
	}
	result->workspace_state = "not applied";
	r = show(o, tool, err);
	if (r == 0 && o->commit && outcome_success(result)) {
		r = commit(o, tool, c, result, err);
		if (r == 0)
			result->workspace_state = "committed";
	} else if (r == 0 && !o->quiet && !o->json) {
		say(o->commit
			? "the command failed: its changes to %s are not applied"
			: "changes to %s are not applied; run again with --commit to apply them",
		    o->workspace);
	}
	return r;
}

int
staged_finish(const struct run_options *o, struct connection *c, struct run_result *result)
{
	struct error err = {0};
	result->workspace_state = "discarded";
	if (o->discard)
		return 0;
	char since[24];
	(void)snprintf(since, sizeof(since), "%lld", (long long)result->began_ms);
	struct tool tool = {.fds = {result->upper_fd, o->workspace_fd, -1},
	    .arguments = {
		"--upper-fd", "3", "--lower-fd", "4", "--since", since, "--name", o->workspace}};
	if (deal(o, &tool, c, result, &err) == 0)
		return 0;
	if (result->error.code[0] == 0 && o->json)
		result->error = err;
	else
		say_error(&err);
	return outcome_error_exit(err.code);
}
