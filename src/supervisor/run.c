/* One command, from its request to its result: a `ringfence run` with a sandbox of its own, or a session's.
 *
 *   VIEWING ─policy known→ PROPOSED ─verdict: reviewing→ PROPOSED (HELD told)
 *     │ approved: plan sent                    anything denied, failed or killed:
 *   BUILDING ─INIT_READY, floor holds→ CLAIMING   └→ ENDING ─pid 1 reaped→ freed
 *     CLAIMING ─MSG_CLAIMED→ RUNNING ─INIT_EXITED→ ENDING
 *
 * VIEWING   what the policy's root shows is not known yet
 * PROPOSED  the arbiter decides; meanwhile rf-init waits in empty namespaces, or a prepared sandbox wholly
 * BUILDING  rf-init builds; nothing of the agent's has run. Passed over where a sandbox is ready
 * CLAIMING  the receipt is in the ledger; the arbiter checks once more. Where a sandbox was ready before the
 *           decision, the arbiter claims in the same step
 * RUNNING   the command executes; the wall clock runs
 * ENDING    the result is known and told, pid 1 (in a session the command) was told to die; waits for the kernel
 *
 * The client hears one of MSG_ERROR (nothing ran) or MSG_DONE (something did). A run outlives its client
 * only until its sandbox is destroyed, unless it was detached. */
#include "supervisor/run.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "sandbox/plan.h"
#include "sys/process.h"

#define PATIENCE_MS 30000

/* ---- small steps ---- */

void
run_set_state(struct run *run, enum run_state state)
{
	static const char *const names[] = {
	    "viewing", "proposed", "building", "claiming", "running", "ending"};
	assert(state > run->state);
	log_event(LOG_DEBUG, "run", "sandbox", run->sandbox_id, "from", names[run->state], "to",
	    names[state], NULL);
	run->state = state;
}

void
run_mark(struct run *run, const char *step, int64_t at_ns)
{
	struct json *entry = json_new_object();
	(void)json_set_str(entry, "step", step);
	(void)json_set_int(entry, "at_ns", at_ns);
	(void)json_push(run->timing, entry);
}

struct json *
run_body(const struct run *run)
{
	struct json *body = json_new_object();
	if (run->action_id[0] != 0)
		(void)json_set_str(body, "action_id", run->action_id);
	(void)json_set_str(body, "task", run->task);
	(void)json_set_str(body, "sandbox", run->sandbox_id);
	return body;
}

void
run_settle(struct run *run, const char *state)
{
	if (run->settled || run->action_id[0] == 0 || run->s->arbiter.conn == NULL)
		return;
	run->settled = true;
	struct json *body = json_new_object(), *outcome = json_new_object();
	(void)json_set_str(body, "action_id", run->action_id);
	if (!run->claimed) {
		(void)conn_send_take(run->s->arbiter.conn, MSG_WITHDRAW, 0, body);
		json_free(outcome);
		return;
	}
	(void)json_set_str(body, "state", state);
	if (run->exit_status != NULL)
		(void)json_set(outcome, "exit", json_copy(run->exit_status));
	if (run->limit != NULL)
		(void)json_set_str(outcome, "limit", run->limit);
	if (run->err.code[0] != 0)
		(void)json_set_str(outcome, "error", run->err.code);
	if (run->usage != NULL)
		(void)json_set(outcome, "usage", json_copy(run->usage));
	if (run->reached != NULL)
		(void)json_set(outcome, "network", json_copy(json_get(run->reached, "usage")));
	(void)json_set(body, "outcome", outcome);
	(void)conn_send_take(run->s->arbiter.conn, MSG_SETTLE, 0, body);
}

/* A program that is stopped, or waits for its disk for ever, must not keep its callers for ever. */
static void
on_patience(struct timer *timer, void *data)
{
	struct run *run = data;
	(void)timer;
	run->patience = NULL;
	if (run->session != NULL && run->claimed)
		session_end(run->session, "no_answer", "rf-init does not answer");
	else
		run_fail_with(run, ETIMEDOUT, "no_answer",
		    "rf-arbiter or rf-ledger does not answer; without them nothing runs");
}

void
run_await(struct run *run)
{
	run->patience = timer_cancel(run->patience);
	if (loop_timer(run->s->loop, PATIENCE_MS, on_patience, run, &run->patience) < 0)
		run->patience =
		    NULL; /* no memory for a timer: the caller waits, and may interrupt */
}

void
run_answered(struct run *run)
{
	run->patience = timer_cancel(run->patience);
}

/* ---- the end ---- */

static void
run_free(struct run *run)
{
	struct supervisor *s = run->s;
	for (struct run **at = &s->runs; *at != NULL; at = &(*at)->next)
		if (*at == run) {
			*at = run->next;
			break;
		}
	s->n_runs--;
	run->control = watch_remove(run->control);
	run->pid_watch = watch_remove(run->pid_watch);
	run->wall = timer_cancel(run->wall);
	run->sample = timer_cancel(run->sample);
	run->patience = timer_cancel(run->patience);
	if (run->session == NULL)
		sandbox_free(run->sandbox);
	else
		session_command_ended(run->session);
	msg_done(&run->request);
	for (int i = 0; i < 3; i++)
		close_fd(&run->stdio[i]);
	close_fd(&run->policy_fd);
	close_fd(&run->workspace_fd);
	json_free(run->policy);
	json_free(run->config);
	json_free(run->receipt);
	json_free(run->timing);
	json_free(run->usage);
	json_free(run->exit_status);
	json_free(run->reached);
	run->network = network_release(run->network);
	free(run);
	pool_refill_later(s->pool);
	clients_consider_idle(s);
}

/* The last of those that one kill ended reports it. */
void
run_report_kill(struct supervisor *s, uint32_t serial)
{
	if (serial == 0 || s->arbiter.conn == NULL || serial != s->kill_serial)
		return;
	for (const struct run *other = s->runs; other != NULL; other = other->next)
		if (other->kill_serial == serial)
			return;
	if (session_kill_waits(s, serial))
		return;
	struct json *body = json_new_object();
	(void)json_set_int(body, "count", s->kill_count);
	s->kill_serial = 0;
	(void)conn_send_take(s->arbiter.conn, MSG_KILLED, serial, body);
}

void
run_finish(struct run *run)
{
	struct supervisor *s = run->s;
	uint32_t kill_serial = run->kill_serial;
	if (!run->told) {
		if (run->err.code[0] == 0 && run->exit_status == NULL && run->limit == NULL)
			(void)error_set(
			    &run->err, EIO, "sandbox_failed", "the sandbox ended unexpectedly");
		run_tell(run);
	}
	run_free(run);
	run_report_kill(s, kill_serial);
}

/* Tells the client how it ended; once. */
void
run_tell(struct run *run)
{
	if (run->told)
		return;
	run->told = true;
	bool ran = run->claimed;
	run_settle(run, run->err.code[0] == 0 && run->limit == NULL ? "succeeded" : "failed");
	if (run->client == NULL)
		return;
	struct json *body = run_body(run);
	if (run->err.code[0] != 0) {
		_cleanup_json_ struct json *error = msg_error_body(&run->err);
		(void)json_set(body, "error", json_detach(error, "error"));
		if (run->action_id[0] != 0)
			(void)json_set_str(json_get(body, "error"), "action_id", run->action_id);
	}
	if (!ran) {
		(void)conn_send_take(run->client, MSG_ERROR, run->client_serial, body);
		return;
	}
	if (run->exit_status != NULL)
		(void)json_set(body, "exit", json_copy(run->exit_status));
	if (run->limit != NULL)
		(void)json_set_str(body, "limit", run->limit);
	(void)json_set(
	    body, "usage", run->usage == NULL ? json_new_object() : json_copy(run->usage));
	if (run->reached != NULL)
		(void)json_set(body, "network", json_copy(run->reached));
	bool failed = run->err.code[0] != 0 || run->limit != NULL ||
	    json_get_int(run->exit_status, "code", -1) != 0;
	bool receipt = failed && run->receipt != NULL && run->session == NULL;
	if (receipt)
		(void)json_set(body, "receipt", run->receipt); /* lent */
	if (json_get_bool(run->request.body, "timing", false))
		(void)json_set(body, "timing", json_copy(run->timing));
	int upper = run->session == NULL && run->sandbox != NULL ? run->sandbox->upper_fd : -1;
	(void)conn_send(
	    run->client, MSG_DONE, run->client_serial, body, &upper, upper >= 0 ? 1 : 0);
	if (receipt)
		run->receipt = json_detach(body, "receipt");
	json_free(body);
}

/* What the control group counted, and whether that explains the end. */
void
run_read_usage(struct run *run)
{
	struct cgroup_usage used;
	if (run->usage == NULL)
		run->usage = json_new_object();
	(void)json_set_int(run->usage, "wall_ms",
	    run->started_ns == 0 ? 0 : (clock_monotonic_ns() - run->started_ns) / 1000000);
	if (run->sandbox->group == NULL) {
		if (run->peak_bytes > 0)
			(void)json_set_int(run->usage, "memory_peak_bytes", run->peak_bytes);
		return;
	}
	cgroup_read_usage(run->sandbox->group, &used);
	if (used.memory_peak_bytes >= 0)
		(void)json_set_int(run->usage, "memory_peak_bytes", used.memory_peak_bytes);
	(void)json_set_int(run->usage, "oom_kills", used.oom_kills);
	(void)json_set_int(run->usage, "forks_refused", used.pids_refused);
	if (run->limit == NULL && used.oom_kills > run->oom_before)
		run->limit = "memory";
	else if (run->limit == NULL && used.pids_refused > 0 && run->exit_status != NULL &&
	    json_get_int(run->exit_status, "code", 1) != 0)
		run->limit = "processes";
}

void
run_on_pid_end(struct watch *watch, uint32_t events, void *data)
{
	struct run *run = data;
	(void)watch;
	(void)events;
	if (process_reap(run->sandbox->pidfd, false, NULL) == -EAGAIN)
		return;
	run_drain_control(run);
	if (!run->told)
		run_read_usage(run);
	/* What it could not reach belongs to the result; to one that failed or was killed, only if it is there. */
	if (!run->told && run->err.code[0] == 0 && run->network != NULL &&
	    network_is_closing(run->network)) {
		run->gone = true;
		run->pid_watch = watch_remove(run->pid_watch);
		return;
	}
	run_finish(run);
}

/* Destroys the sandbox, or kills the session's command. The rest happens when that has ended; where there is
 * nothing to wait for, now. */
void
run_end(struct run *run)
{
	if (run->state == RUN_ENDING)
		return;
	run_set_state(run, RUN_ENDING);
	run->wall = timer_cancel(run->wall);
	run->sample = timer_cancel(run->sample);
	run->patience = timer_cancel(run->patience);
	if (run->session != NULL && run->executed) {
		(void)sandbox_signal(run->sandbox, run->number, SIGKILL);
		run_await(run); /* one that does not end ends the session */
		return;
	}
	if (run->network != NULL)
		network_close(run->network);
	if (run->session == NULL && run->sandbox != NULL) {
		sandbox_kill(run->sandbox);
		return;
	}
	run_finish(run);
}

void
run_fail(struct run *run, const struct error *err)
{
	if (run->state == RUN_ENDING)
		return;
	if (run->err.code[0] == 0)
		run->err = *err;
	/* Nothing ran: the client need not wait for the kernel to take the namespaces down. */
	if (!run->claimed)
		run_tell(run);
	run_end(run);
}

void
run_fail_with(struct run *run, int errnum, const char *code, const char *message)
{
	struct error err;
	(void)error_set(&err, errnum, code, "%s", message);
	run_fail(run, &err);
}

void
run_hit_limit(struct run *run, const char *limit)
{
	if (run->limit == NULL)
		run->limit = limit;
	run_end(run);
}

/* ---- from the client ---- */

static struct run *
run_of_client(struct conn *conn)
{
	struct supervisor *s = conn_data(conn);
	for (struct run *run = s->runs; run != NULL; run = run->next)
		if (run->client == conn && run->state != RUN_ENDING)
			return run;
	return NULL;
}

int
run_on_signal(struct conn *conn, struct msg *m)
{
	struct run *run = run_of_client(conn);
	if (run == NULL || run->state != RUN_RUNNING)
		return 0;
	int number = (int)json_get_int(m->body, "signal", 0);
	if (number == SIGCONT && run->session != NULL && checkpoint_under_way(run->session))
		return 0; /* they stand still to be copied, and go on right after */
	(void)sandbox_signal(run->sandbox, run->number, number);
	return 0; /* it may have ended just now */
}

int
run_on_stop(struct conn *conn, struct msg *m)
{
	struct run *run = run_of_client(conn);
	if (run == NULL)
		return 0;
	const char *reason = json_get_str(m->body, "reason", "");
	if (strcmp(reason, "output") == 0)
		run_hit_limit(run, "output");
	else
		run_fail_with(run, EINTR, "interrupted", "interrupted");
	return 0;
}

void
run_on_client_closed(struct conn *conn)
{
	struct supervisor *s = conn_data(conn);
	for (struct run *run = s->runs, *next; run != NULL; run = next) {
		next = run->next;
		if (run->client != conn)
			continue;
		run->client = NULL;
		if (!run->detached || run->state != RUN_RUNNING)
			run_fail_with(run, EPIPE, "client_gone", "the caller went away");
	}
}

/* ---- ends from elsewhere ---- */

int
run_on_kill(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	const char *task = json_get_str(m->body, "task", NULL);
	bool all = json_get_bool(m->body, "all", false);
	unsigned count = 0;
	if (!all && task == NULL)
		return -EPROTO;
	for (struct run *run = s->runs, *next; run != NULL; run = next) {
		next = run->next;
		if (!all && strcmp(run->task, task) != 0)
			continue;
		count++;
		if (run->sandbox != NULL)
			run->kill_serial = m->serial;
		run_fail_with(run, ECANCELED, "killed", "killed by an operator");
	}
	count += session_on_kill(s, all ? NULL : task, m->serial);
	if (all)
		pool_drop(s->pool, NULL); /* they hold nothing, but "all" is all */
	s->kill_serial = m->serial;
	s->kill_count = count;
	run_report_kill(s, m->serial); /* or when the last is gone */
	return 0;
}

void
run_end_all(struct supervisor *s, const char *code, const char *why)
{
	for (struct run *run = s->runs, *next; run != NULL; run = next) {
		next = run->next;
		run_fail_with(run, EIO, code, why);
	}
}

struct json *
run_list(const struct supervisor *s)
{
	struct json *list = json_new_array();
	for (const struct run *run = s->runs; run != NULL; run = run->next) {
		if (run->session != NULL)
			continue;
		struct json *entry = run_body(run);
		if (run->sandbox != NULL)
			(void)json_set_int(entry, "pid", run->sandbox->pid);
		(void)json_set_str(entry, "program", run->program);
		(void)json_push(list, entry);
	}
	return list;
}
