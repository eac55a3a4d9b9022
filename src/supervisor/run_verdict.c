/* The decided part of a run: a verdict becomes a plan for rf-init, a wait, or a refusal. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "supervisor/run.h"
#include "supervisor/verdict.h"

/* ---- PROPOSED ---- */

static void
build(struct run *run)
{
	struct error err = {0};
	const struct json *workspace = json_get(run->request.body, "workspace");
	unsigned fd =
	    json_get_str(json_get(run->request.body, "policy"), "file", NULL) != NULL ? 4 : 3;
	struct sandbox_order order = {.config = run->config,
	    .argv = json_get(run->request.body, "argv"),
	    .env = json_get(run->request.body, "env"),
	    .program = run->program,
	    .cwd = json_get_str(run->request.body, "cwd", NULL),
	    .stdio = {run->request.fds[0], run->request.fds[1], run->request.fds[2]},
	    .workspace_mode = json_get_str(workspace, "mode", NULL),
	    .workspace_path = json_get_str(workspace, "path", NULL),
	    .workspace_fd = workspace == NULL ? -1 : run->request.fds[fd]};
	run_set_state(run, RUN_BUILDING);
	if (sandbox_send_plan(run->sandbox, &order, &err) < 0) {
		run_fail(run, &err);
		return;
	}
	/* Our copies: with them open, the client would never see the end of its pipes. */
	for (unsigned i = 0; i < 3; i++)
		(void)close(msg_take_fd(&run->request, i));
	run_mark(run, "planned", clock_monotonic_ns());
}

/* The request's own limits may only tighten the policy's. */
static void
tighten(struct json *config, const struct json *wanted)
{
	struct json *limits = json_get(config, "limits");
	for (size_t i = 0; i < json_len(wanted); i++) {
		const char *name = json_name_at(wanted, i);
		int64_t value = json_int(json_at(wanted, i), 0),
			now = json_get_int(limits, name, 0);
		if (value > 0 && (now == 0 || value < now))
			(void)json_set_int(limits, name, value);
	}
}

static int
check_workspace(struct run *run, struct error *err)
{
	const char *allowed = json_get_str(run->config, "workspace", "none");
	const char *wanted = json_get_str(json_get(run->request.body, "workspace"), "mode", "none");
	bool fits = strcmp(wanted, "none") == 0 || strcmp(wanted, allowed) == 0 ||
	    (strcmp(wanted, "staged") == 0 && strcmp(allowed, "direct") == 0);
	if (fits)
		return 0;
	(void)error_set(err, EACCES, "denied",
	    "the policy allows no %s workspace (sandbox.workspace: %s)", wanted, allowed);
	error_remedy(
	    err, "set sandbox.workspace: %s in the policy, or use --policy workspace", wanted);
	return -EACCES;
}

static void
on_approved(struct run *run, struct msg *m)
{
	struct error err = {0};
	if (run->state != RUN_PROPOSED) {
		run_fail_with(run, EPROTO, "internal", "a verdict came twice");
		return;
	}
	run->config = json_detach(m->body, "sandbox");
	if (run->config == NULL) {
		run_fail_with(run, EPROTO, "internal", "the verdict names no sandbox");
		return;
	}
	tighten(run->config, json_get(run->request.body, "limits"));
	if (check_workspace(run, &err) < 0)
		run_fail(run, &err);
	else
		build(run);
}

static void
on_reviewing(struct run *run, const struct msg *m)
{
	if (run->client == NULL)
		return;
	struct json *held = run_body(run);
	verdict_add_held(held, m->body);
	(void)conn_send_take(run->client, MSG_HELD, run->client_serial, held);
}

static void
on_refused(struct run *run, const struct msg *m, const char *state)
{
	struct error err;
	verdict_explain_refusal(m->body, state, &err);
	run->settled = true; /* the arbiter has closed it already */
	run_fail(run, &err);
}

static struct run *
run_of_verdict(struct supervisor *s, const struct msg *m)
{
	const char *id = json_get_str(m->body, "action_id", "");
	for (struct run *run = s->runs; run != NULL; run = run->next)
		if (run->action_id[0] != 0 ? strcmp(run->action_id, id) == 0
					   : run->propose_serial == m->serial)
			return run;
	return NULL;
}

int
run_on_verdict(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct run *run = run_of_verdict(s, m);
	if (run == NULL) {
		(void)commit_on_verdict(s, m); /* or of a run that has ended meanwhile */
		return 0;
	}
	const char *state = json_get_str(m->body, "state", "");
	(void)snprintf(
	    run->action_id, sizeof(run->action_id), "%s", json_get_str(m->body, "action_id", ""));
	run_answered(run);
	run_mark(run, "verdict", clock_monotonic_ns());
	if (run->state == RUN_ENDING)
		run_settle(run, "failed");
	else if (strcmp(state, "approved") == 0)
		on_approved(run, m);
	else if (strcmp(state, "reviewing") == 0)
		on_reviewing(run, m);
	else
		on_refused(run, m, state);
	return 0;
}

/* The arbiter answers a proposal with an error: nothing was decided, so nothing runs. */
int
run_on_refused(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err;
	msg_error_read(m->body, &err);
	for (struct run *run = s->runs; run != NULL; run = run->next)
		if (run->propose_serial == m->serial && run->action_id[0] == 0) {
			run_fail(run, &err);
			return 0;
		}
	(void)commit_on_refused(s, m);
	return 0;
}
