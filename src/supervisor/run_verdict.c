/* The decided part of a run: a verdict becomes a plan for rf-init, a wait, or a refusal. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "supervisor/request.h"
#include "supervisor/run.h"
#include "supervisor/verdict.h"

/* ---- PROPOSED ---- */

/* The sandbox that was begun shows something else than the policy wants. */
static int
begin_again(struct run *run, const struct json *view, struct error *err)
{
	run->control = watch_remove(run->control);
	run->pid_watch = watch_remove(run->pid_watch);
	pool_bury(run->s->pool, TAKE_PTR(run->sandbox));
	int r = pool_spawn(run->s->pool, view, run->sandbox_id, &run->sandbox, err);
	if (r == 0 && run_watch_sandbox(run) < 0)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	return r;
}

static struct sandbox_shape
shape_of(const struct run *run)
{
	const struct json *workspace = json_get(run->request.body, "workspace");
	return (struct sandbox_shape){.config = run->config,
	    .workspace_mode = json_get_str(workspace, "mode", NULL),
	    .workspace_path = json_get_str(workspace, "path", NULL),
	    .workspace_fd = run->workspace_fd,
	    .bundle_fd = run->network == NULL ? -1 : network_bundle(run->network)};
}

/* Asks for its part in the network boundary: run_on_network builds on. */
static int
open_network(struct run *run, struct error *err)
{
	const struct network_spec spec = {.sandbox = run->sandbox_id,
	    .task = run->task,
	    .config = run->config,
	    .policy = run->policy,
	    .requester_uid = run->client == NULL ? geteuid() : conn_uid(run->client)};
	return network_open(run->s, &spec, run_on_network, run, &run->network, err);
}

/* Its plan needs what the gateway has not answered yet. */
static bool
waits_for_network(struct run *run, struct error *err)
{
	if (json_get(run->config, "network") == NULL)
		return false;
	if (run->network == NULL && open_network(run, err) < 0)
		return false;
	return !network_is_open(run->network);
}

void
run_build(struct run *run)
{
	struct error err = {0};
	const struct json *view = NULL;
	int r = sandbox_host_view(run->s->sandboxes, run->config, &view, &err);
	if (r == 0 &&
	    (run->sandbox == NULL ||
		strcmp(json_get_str(run->sandbox->view, "skeleton", ""),
		    json_get_str(view, "skeleton", "")) != 0))
		r = begin_again(run, view, &err);
	if (r == 0 && waits_for_network(run, &err))
		return;
	const struct sandbox_shape shape = shape_of(run);
	if (r == 0 && err.code[0] == 0)
		r = sandbox_send_plan(run->sandbox, &shape, &err);
	if (err.code[0] != 0)
		run_fail(run, &err);
	else
		run_mark(run, "planned", clock_monotonic_ns());
}

/* The workspace is all that a sandbox which was prepared for one still waits for. */
static void
add_workspace(struct run *run)
{
	struct error err = {0};
	const struct sandbox_shape shape = shape_of(run);
	run_set_state(run, RUN_BUILDING);
	if (sandbox_send_workspace(run->sandbox, &shape, &err) < 0)
		run_fail(run, &err);
}

/* Uses one that waits. False if there is none. */
static bool
use_prepared(struct run *run)
{
	const char *mode = shape_of(run).workspace_mode;
	if (run->key[0] == 0)
		pool_key(run->s->pool, run->policy_hash, run->config, mode, run->key);
	pool_want(run->s->pool, run->key, run->config, mode);
	struct prepared *prepared = run->sandbox == NULL ? pool_take(run->s->pool, run->key) : NULL;
	if (prepared == NULL)
		return false;
	run->sandbox = TAKE_PTR(prepared->sandbox);
	(void)snprintf(run->sandbox->id, sizeof(run->sandbox->id), "%s", run->sandbox_id);
	run->receipt = TAKE_PTR(prepared->receipt);
	pool_release(prepared);
	run_mark(run, "prepared", clock_monotonic_ns());
	if (run_watch_sandbox(run) < 0) {
		run_fail_with(run, ENOMEM, "no_memory", "out of memory");
	} else if (mode != NULL) {
		add_workspace(run);
	} else {
		receipt_name(run->receipt, run->sandbox_id, run->task);
		run_ready(run);
	}
	return true;
}

/* RUN->config becomes what the verdict's generation wants, if that is not what was known. */
static int
take_config(struct run *run, struct msg *m, struct error *err)
{
	const char *hash = json_get_str(m->body, "policy", "");
	struct json *wanted = json_get(m->body, "sandbox");
	if (wanted == NULL)
		return error_set(err, EPROTO, "internal", "the verdict names no sandbox");
	if (strcmp(hash, run->policy_hash) == 0)
		return 0;
	if (run->session != NULL) {
		if (json_equal(wanted, run->session->wanted))
			return 0;
		(void)error_set(err, ESTALE, "policy_changed",
		    "the policy's sandbox section has changed since this sandbox was made");
		error_remedy(err, "create a new sandbox");
		return -ESTALE;
	}
	policies_note(run->s, json_get_str(run->policy, "name", NULL), hash, wanted);
	(void)snprintf(run->policy_hash, sizeof(run->policy_hash), "%s", hash);
	run->key[0] = 0;
	json_free(run->config);
	run->config = json_detach(m->body, "sandbox");
	(void)request_tighten(run->config, json_get(run->request.body, "limits"));
	return 0;
}

static void
on_approved(struct run *run, struct msg *m)
{
	struct error err = {0};
	if (run->state != RUN_PROPOSED) {
		run_fail_with(run, EPROTO, "internal", "a verdict came twice");
		return;
	}
	run->claimed = json_get_bool(m->body, "claimed", false);
	int r = take_config(run, m, &err);
	if (r == 0 && run->session == NULL)
		r = request_check_mode(run->config, shape_of(run).workspace_mode, &err);
	if (r < 0) {
		run_fail(run, &err);
	} else if (run->session != NULL) {
		run_ready(run);
	} else if (!use_prepared(run)) {
		run_set_state(run, RUN_BUILDING);
		run_build(run);
	}
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
					   : run->asked_serial == m->serial)
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
	if (network_on_refused(s, m))
		return 0;
	msg_error_read(m->body, &err);
	for (struct run *run = s->runs; run != NULL; run = run->next)
		if (run->asked_serial == m->serial && run->action_id[0] == 0) {
			run_fail(run, &err);
			return 0;
		}
	if (!session_on_refused(s, m))
		(void)commit_on_refused(s, m);
	return 0;
}
