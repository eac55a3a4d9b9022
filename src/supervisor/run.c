/* One `ringfence run`, from its request to its result.
 *
 *   PROPOSED ─verdict: reviewing→ PROPOSED (HELD told)
 *     │ approved: plan sent                    anything denied, failed or killed:
 *   BUILDING ─INIT_READY, floor holds→ CLAIMING   └→ ENDING ─pid 1 reaped→ freed
 *     CLAIMING ─MSG_CLAIMED→ RUNNING ─INIT_EXITED→ ENDING
 *
 * PROPOSED  the arbiter decides; rf-init already waits in empty namespaces
 * BUILDING  rf-init builds; nothing of the agent's has run
 * CLAIMING  the receipt is in the ledger; the arbiter checks once more
 * RUNNING   the command executes; the wall clock runs
 * ENDING    the result is known and told, pid 1 was told to die; waits for the kernel
 *
 * The client hears one of MSG_ERROR (nothing ran) or MSG_DONE (something did). A run outlives its client
 * only until its sandbox is destroyed. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/uuid.h"
#include "ipc/messages.h"
#include "sandbox/host.h"
#include "sandbox/plan.h"
#include "supervisor/supervisor.h"
#include "sys/process.h"

#define SAMPLE_MS 50
#define ARGV_BYTES_MAX (128 * 1024)

enum run_state { RUN_PROPOSED, RUN_BUILDING, RUN_CLAIMING, RUN_RUNNING, RUN_ENDING };

struct run {
	struct run *next;
	struct supervisor *s;
	struct conn *client; /* NULL once it left */
	uint32_t client_serial;
	enum run_state state;
	struct msg request; /* owned: its body and descriptors */
	uint32_t propose_serial;
	char task[UUID_TEXT], sandbox_id[UUID_TEXT], action_id[UUID_TEXT];
	char program[RESOLVED_MAX];
	struct sandbox *sandbox;
	struct watch *control, *pid_watch;
	struct timer *wall, *sample;
	struct json *config, *receipt, *timing, *usage, *exit_status;
	const char *limit;
	struct error err; /* why it failed; code is empty if it did not */
	int64_t started_ns;
	int upper_fd;
	int64_t peak_bytes;
	bool told;   /* the client has its result */
	bool settled;
	bool claimed;
	uint32_t kill_serial; /* the arbiter's MSG_KILL_TASK that ended it, or 0 */
	unsigned kill_count;  /* how many runs that one ended */
};

static void run_fail(struct run *run, const struct error *err);

/* ---- small steps ---- */

static void
run_set_state(struct run *run, enum run_state state)
{
	static const char *const names[] = {"proposed", "building", "claiming", "running", "ending"};
	assert(state > run->state || (run->state == RUN_PROPOSED && state == RUN_PROPOSED));
	log_event(LOG_DEBUG, "run", "sandbox", run->sandbox_id, "from", names[run->state], "to",
	    names[state], NULL);
	run->state = state;
}

static void
mark(struct run *run, const char *step, int64_t at_ns)
{
	struct json *entry = json_new_object();
	(void)json_set_str(entry, "step", step);
	(void)json_set_int(entry, "at_ns", at_ns);
	(void)json_push(run->timing, entry);
}

static struct json *
body_with_ids(const struct run *run)
{
	struct json *body = json_new_object();
	if (run->action_id[0] != 0)
		(void)json_set_str(body, "action_id", run->action_id);
	(void)json_set_str(body, "task", run->task);
	(void)json_set_str(body, "sandbox", run->sandbox_id);
	return body;
}

static void
settle(struct run *run, const char *state)
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
	(void)json_set(body, "outcome", outcome);
	(void)conn_send_take(run->s->arbiter.conn, MSG_SETTLE, 0, body);
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
	sandbox_free(run->sandbox);
	msg_done(&run->request);
	json_free(run->config);
	json_free(run->receipt);
	json_free(run->timing);
	json_free(run->usage);
	json_free(run->exit_status);
	if (run->upper_fd >= 0)
		(void)close(run->upper_fd);
	free(run);
	clients_consider_idle(s);
}

/* Tells the client how it ended; once. */
static void
tell(struct run *run)
{
	if (run->told)
		return;
	run->told = true;
	bool ran = run->claimed;
	settle(run, run->err.code[0] == 0 && run->limit == NULL ? "succeeded" : "failed");
	if (run->client == NULL)
		return;
	struct json *body = body_with_ids(run);
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
	(void)json_set(body, "usage", run->usage == NULL ? json_new_object() : json_copy(run->usage));
	(void)json_set(body, "receipt", json_copy(run->receipt));
	(void)json_set(body, "timing", json_copy(run->timing));
	(void)conn_send(run->client, MSG_DONE, run->client_serial, body, &run->upper_fd,
	    run->upper_fd >= 0 ? 1 : 0);
	json_free(body);
}

/* What the control group counted, and whether that explains the end. */
static void
read_usage(struct run *run)
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
	if (run->limit == NULL && used.oom_kills > 0)
		run->limit = "memory";
	else if (run->limit == NULL && used.pids_refused > 0 && run->exit_status != NULL &&
	    json_get_int(run->exit_status, "code", 1) != 0)
		run->limit = "processes";
}

static void
on_pid_end(struct watch *watch, uint32_t events, void *data)
{
	struct run *run = data;
	(void)watch;
	(void)events;
	if (process_reap(run->sandbox->pidfd, false, NULL) == -EAGAIN)
		return;
	if (!run->told) {
		read_usage(run);
		if (run->err.code[0] == 0 && run->exit_status == NULL && run->limit == NULL)
			(void)error_set(&run->err, EIO, "sandbox_failed", "the sandbox ended unexpectedly");
		tell(run);
	}
	struct supervisor *s = run->s;
	uint32_t kill_serial = run->kill_serial;
	unsigned kill_count = run->kill_count;
	run_free(run);
	if (kill_serial == 0 || s->arbiter.conn == NULL)
		return;
	/* The last of those that one kill ended reports it. */
	for (const struct run *other = s->runs; other != NULL; other = other->next)
		if (other->kill_serial == kill_serial)
			return;
	struct json *body = json_new_object();
	(void)json_set_int(body, "count", kill_count);
	(void)conn_send_take(s->arbiter.conn, MSG_KILLED, kill_serial, body);
}

/* Destroys the sandbox; the rest happens when pid 1 has been reaped. Without a sandbox, now. */
static void
run_end(struct run *run)
{
	if (run->state == RUN_ENDING)
		return;
	run_set_state(run, RUN_ENDING);
	run->wall = timer_cancel(run->wall);
	run->sample = timer_cancel(run->sample);
	if (run->sandbox != NULL) {
		sandbox_kill(run->sandbox);
		return;
	}
	tell(run);
	run_free(run);
}

static void
run_fail(struct run *run, const struct error *err)
{
	if (run->state == RUN_ENDING)
		return;
	if (run->err.code[0] == 0)
		run->err = *err;
	/* Nothing ran: the client need not wait for the kernel to take the namespaces down. */
	if (!run->claimed)
		tell(run);
	run_end(run);
}

static void
run_fail_with(struct run *run, int errnum, const char *code, const char *message)
{
	struct error err;
	(void)error_set(&err, errnum, code, "%s", message);
	run_fail(run, &err);
}

static void
run_hit_limit(struct run *run, const char *limit)
{
	if (run->limit == NULL)
		run->limit = limit;
	run_end(run);
}

/* ---- RUNNING ---- */

static void
on_wall(struct timer *timer, void *data)
{
	struct run *run = data;
	(void)timer;
	run->wall = NULL;
	run_hit_limit(run, "wall");
}

/* Where no control group counts for us, we look. */
static void
on_sample(struct timer *timer, void *data)
{
	struct run *run = data;
	const struct json *limits = json_get(run->config, "limits");
	struct sandbox_sample now;
	(void)timer;
	run->sample = NULL;
	sandbox_sample(run->sandbox, &now);
	run->peak_bytes = MAX(run->peak_bytes, now.resident_bytes);
	int64_t memory = json_get_int(limits, "memory_bytes", 0);
	int64_t cpu_ms = json_get_int(limits, "cpu_time_ms", 0);
	if (run->sandbox->group == NULL && memory > 0 && now.resident_bytes > memory)
		run_hit_limit(run, "memory");
	else if (cpu_ms > 0 && now.cpu_ms > cpu_ms)
		run_hit_limit(run, "cpu_time");
	else if (loop_timer(run->s->loop, SAMPLE_MS, on_sample, run, &run->sample) < 0)
		run_fail_with(run, ENOMEM, "no_memory", "out of memory");
}

static bool
needs_sampling(const struct run *run)
{
	const struct json *limits = json_get(run->config, "limits");
	return json_get_int(limits, "cpu_time_ms", 0) > 0 ||
	    (run->sandbox->group == NULL && json_get_int(limits, "memory_bytes", 0) > 0);
}

static void
start_clocks(struct run *run)
{
	int64_t wall = json_get_int(json_get(run->config, "limits"), "wall_ms", 0);
	int r = 0;
	if (wall > 0)
		r = loop_timer(run->s->loop, wall, on_wall, run, &run->wall);
	if (r == 0 && needs_sampling(run))
		r = loop_timer(run->s->loop, SAMPLE_MS, on_sample, run, &run->sample);
	if (r < 0)
		run_fail_with(run, ENOMEM, "no_memory", "out of memory");
}

int
run_on_claimed(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct run *run = s->runs;
	const char *id = json_get_str(m->body, "action_id", "");
	while (run != NULL && strcmp(run->action_id, id) != 0)
		run = run->next;
	if (run == NULL)
		return commit_on_claimed(s, m) ? 0 : -EPROTO;
	if (run->state != RUN_CLAIMING)
		return run->state == RUN_ENDING ? 0 : -EPROTO;
	mark(run, "claimed", clock_monotonic_ns());
	run->claimed = true;
	run->started_ns = clock_monotonic_ns();
	run_set_state(run, RUN_RUNNING);
	if (sandbox_go(run->sandbox) < 0) {
		run_fail_with(run, EIO, "sandbox_failed", "rf-init is gone");
		return 0;
	}
	start_clocks(run);
	struct json *body = body_with_ids(run);
	(void)json_set(body, "receipt", json_copy(run->receipt));
	(void)json_set(body, "limits", json_copy(json_get(run->config, "limits")));
	if (run->client != NULL)
		(void)conn_send_take(run->client, MSG_STARTED, run->client_serial, body);
	else
		json_free(body);
	return 0;
}

/* ---- what rf-init says ---- */

static void
on_ready(struct run *run, struct msg *m)
{
	struct error err = {0};
	if (run->state != RUN_BUILDING)
		return;
	const struct json *timing = json_get(m->body, "timing");
	for (size_t i = 0; i < json_len(timing); i++)
		(void)json_push(run->timing, json_copy(json_at(timing, i)));
	run->upper_fd = msg_take_fd(m, 0);
	run->receipt = receipt_make(run->sandbox, run->config, json_get(m->body, "evidence"), run->task);
	if (run->receipt == NULL) {
		run_fail_with(run, ENOMEM, "no_memory", "out of memory");
		return;
	}
	if (receipt_check_floor(run->receipt, run->config, sandbox_host_cgroups(run->s->sandboxes), &err) <
	    0) {
		run_fail(run, &err);
		return;
	}
	struct json *record = json_new_object();
	(void)json_set_str(record, "event", "receipt");
	(void)json_set_str(record, "task", run->task);
	(void)json_set_str(record, "action_id", run->action_id);
	(void)json_set(record, "data", json_copy(run->receipt));
	(void)json_set_bool(record, "durable", false);
	(void)conn_send_take(run->s->ledger.conn, MSG_APPEND, 0, record);
	mark(run, "receipt", clock_monotonic_ns());
	run_set_state(run, RUN_CLAIMING);
	struct json *claim = json_new_object();
	(void)json_set_str(claim, "action_id", run->action_id);
	(void)conn_send_take(run->s->arbiter.conn, MSG_CLAIM, conn_next_serial(run->s->arbiter.conn), claim);
}

static void
on_running(struct run *run, struct msg *m)
{
	struct error err;
	int number = (int)json_get_int(m->body, "errno", 0);
	mark(run, "executed", clock_monotonic_ns());
	if (number == 0)
		return;
	bool absent = number == ENOENT || number == ENOTDIR;
	(void)error_set_errno(&err, number, absent ? "program_not_found" : "program_not_executable",
	    "%s: cannot execute in the sandbox", run->program);
	if (number == ENOENT)
		error_remedy(&err, "the sandbox shows /usr and the workspace; scripts also need their "
		    "interpreter there");
	run_fail(run, &err);
}

static void
on_exited(struct run *run, struct msg *m)
{
	if (run->state != RUN_RUNNING)
		return;
	mark(run, "exited", clock_monotonic_ns());
	run->exit_status = json_new_object();
	static const char *const members[] = {"code", "signal"};
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_get(m->body, members[i]) != NULL)
			(void)json_set_int(run->exit_status, members[i], json_get_int(m->body, members[i], 0));
	run->usage = json_detach(m->body, "usage");
	if (json_get_int(run->exit_status, "signal", 0) == SIGXCPU)
		run->limit = "cpu_time";
	else if (json_get_bool(run->usage, "scratch_full", false) &&
	    json_get_int(run->exit_status, "code", 1) != 0)
		run->limit = "disk";
	read_usage(run);
	/* A staged workspace is only at rest once every process is gone; otherwise tell at once. */
	if (run->upper_fd < 0)
		tell(run);
	run_end(run);
}

static void
on_control(struct watch *watch, uint32_t events, void *data)
{
	struct run *run = data;
	struct msg m = MSG_INIT;
	struct error err = {0};
	(void)watch;
	(void)events;
	int r = msg_recv(run->sandbox->control, MSG_DONTWAIT, &m);
	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		run->control = watch_remove(run->control); /* its end is reaped by pidfd */
	} else if (m.type == INIT_READY) {
		on_ready(run, &m);
	} else if (m.type == INIT_RUNNING) {
		on_running(run, &m);
	} else if (m.type == INIT_EXITED) {
		on_exited(run, &m);
	} else if (m.type == INIT_FAILED) {
		msg_error_read(m.body, &err);
		run_fail(run, &err);
	}
	msg_done(&m);
}

/* ---- PROPOSED ---- */

static void
build(struct run *run)
{
	struct error err = {0};
	const struct json *workspace = json_get(run->request.body, "workspace");
	unsigned fd = json_get_str(json_get(run->request.body, "policy"), "file", NULL) != NULL ? 4 : 3;
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
	mark(run, "planned", clock_monotonic_ns());
}

/* The request's own limits may only tighten the policy's. */
static void
tighten(struct json *config, const struct json *wanted)
{
	struct json *limits = json_get(config, "limits");
	for (size_t i = 0; i < json_len(wanted); i++) {
		const char *name = json_name_at(wanted, i);
		int64_t value = json_int(json_at(wanted, i), 0), now = json_get_int(limits, name, 0);
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
	(void)error_set(err, EACCES, "denied", "the policy allows no %s workspace (sandbox.workspace: %s)",
	    wanted, allowed);
	error_remedy(err, "set sandbox.workspace: %s in the policy, or use --policy workspace", wanted);
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
	const struct json *decision = json_get(m->body, "decision");
	struct json *held = body_with_ids(run);
	static const char *const copied[] = {"review_id", "expires_at"};
	for (size_t i = 0; i < ARRAY_LEN(copied); i++)
		(void)json_set(held, copied[i], json_copy(json_get(m->body, copied[i])));
	(void)json_set_str(held, "rule", json_get_str(decision, "rule", ""));
	const struct json *approvals = json_get(json_get(decision, "review"), "approvals");
	(void)json_set(held, "approvals", approvals == NULL ? json_new_array() : json_copy(approvals));
	const struct json *risk = json_get(decision, "risk");
	(void)json_set(held, "risk", risk == NULL ? json_new_object() : json_copy(risk));
	if (run->client != NULL)
		(void)conn_send_take(run->client, MSG_HELD, run->client_serial, held);
	else
		json_free(held);
}

static void
on_refused(struct run *run, const struct msg *m, const char *state)
{
	struct error err;
	const struct json *decision = json_get(m->body, "decision");
	const char *comment = json_get_str(m->body, "comment", NULL);
	const char *reason = json_get_str(decision, "reason", "");
	const char *needed = json_get_str(decision, "needed", "");
	if (strcmp(state, "rejected") == 0)
		(void)error_set(&err, EACCES, state, "denied by reviewer%s%s", comment == NULL ? "" : ": ",
		    comment == NULL ? "" : comment);
	else
		(void)error_set(&err, EACCES, state, "%s: %s", state,
		    comment != NULL ? comment : reason[0] ? reason : "no reason given");
	if (needed[0] != 0)
		error_remedy(&err, "%s", needed);
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
	(void)snprintf(run->action_id, sizeof(run->action_id), "%s",
	    json_get_str(m->body, "action_id", ""));
	mark(run, "verdict", clock_monotonic_ns());
	if (run->state == RUN_ENDING)
		settle(run, "failed");
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

/* ---- the request ---- */

static int
check_request(const struct msg *m, struct error *err)
{
	const struct json *argv = json_get(m->body, "argv"), *env = json_get(m->body, "env");
	const struct json *policy = json_get(m->body, "policy");
	bool file = json_get_str(policy, "file", NULL) != NULL;
	unsigned fds = 3u + (file ? 1u : 0u) + (json_get(m->body, "workspace") != NULL ? 1u : 0u);
	size_t bytes = 0;
	for (size_t i = 0; i < json_len(argv); i++) {
		const char *text = json_str(json_at(argv, i), NULL);
		if (text == NULL || strlen(text) != json_str_len(json_at(argv, i)))
			return error_set(err, EINVAL, "bad_request", "argv[%zu] is not a string", i);
		bytes += strlen(text) + 1;
	}
	if (json_type(argv) != JSON_ARRAY || json_len(argv) == 0 || bytes > ARGV_BYTES_MAX)
		return error_set(err, EINVAL, "bad_request", "argv must have 1 or more strings, %d bytes at most",
		    ARGV_BYTES_MAX);
	for (size_t i = 0; i < json_len(env); i++)
		if (json_str(json_at(env, i), NULL) == NULL || strchr(json_name_at(env, i), '=') != NULL)
			return error_set(err, EINVAL, "bad_request", "env must map names to strings");
	if (!file && json_get_str(policy, "name", NULL) == NULL)
		return error_set(err, EINVAL, "bad_request", "no policy is named");
	if (m->n_fds != fds)
		return error_set(err, EINVAL, "bad_request", "%u descriptors came, %u are needed", m->n_fds, fds);
	const char *task = json_get_str(m->body, "task", NULL);
	if (task != NULL && !uuid_valid(task))
		return error_set(err, EINVAL, "bad_request", "the task is not a UUID");
	return 0;
}

static int
check_workspace_fd(const struct msg *m, struct error *err)
{
	const struct json *workspace = json_get(m->body, "workspace");
	struct stat st;
	if (workspace == NULL)
		return 0;
	const char *mode = json_get_str(workspace, "mode", "");
	if (strcmp(mode, "staged") != 0 && strcmp(mode, "direct") != 0)
		return error_set(err, EINVAL, "bad_request", "a workspace is staged or direct");
	if (json_get_str(workspace, "path", "")[0] != '/' || fstat(m->fds[m->n_fds - 1], &st) < 0 ||
	    !S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "bad_workspace", "the workspace is not a directory");
	return 0;
}

static struct json *
make_action(const struct run *run, const char *resolved)
{
	const struct json *body = run->request.body, *env = json_get(body, "env");
	struct json *action = json_new_object(), *request = json_new_object(), *names = json_new_array();
	bool workspace = json_get(body, "workspace") != NULL;
	for (size_t i = 0; i < json_len(env); i++)
		(void)json_push(names, json_new_string(json_name_at(env, i)));
	(void)json_set_str(request, "program", run->program);
	(void)json_set_str(request, "resolved", resolved);
	(void)json_set(request, "argv", json_copy(json_get(body, "argv")));
	(void)json_set_str(request, "cwd",
	    json_get_str(body, "cwd", workspace ? PLAN_WORKSPACE : PLAN_HOME));
	(void)json_set(request, "env", names);
	(void)json_set_str(action, "kind", "exec");
	(void)json_set_str(action, "target", run->program);
	(void)json_set(action, "request", request);
	(void)json_set_str(action, "effect", "write");
	(void)json_set_bool(action, "reversible", true);
	(void)json_set_str(action, "task", run->task);
	(void)json_set_str(action, "sandbox", run->sandbox_id);
	(void)json_set(action, "facts", json_new_object());
	return action;
}

static int
propose(struct run *run, const char *resolved)
{
	struct conn *arbiter = run->s->arbiter.conn;
	const struct json *policy = json_get(run->request.body, "policy");
	bool file = json_get_str(policy, "file", NULL) != NULL;
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set(body, "action", make_action(run, resolved));
	(void)json_set(body, "policy", json_copy(policy));
	(void)json_set_int(body, "requester_uid", conn_uid(run->client));
	run->propose_serial = conn_next_serial(arbiter);
	return conn_send(arbiter, MSG_PROPOSE, run->propose_serial, body, &run->request.fds[3], file ? 1 : 0);
}

static int
find_program(struct run *run, char resolved[RESOLVED_MAX], struct error *err)
{
	const struct json *body = run->request.body;
	const char *name = json_str(json_at(json_get(body, "argv"), 0), "");
	const char *home = json_get(body, "workspace") != NULL ? PLAN_WORKSPACE : PLAN_HOME;
	int r = host_resolve(name, json_get_str(body, "cwd", home), run->program, resolved);
	if (r == 0)
		return 0;
	char shown[200];
	log_escape(name, strlen(name), shown, sizeof(shown));
	if (r == -EACCES)
		return error_set(err, EACCES, "program_not_executable", "%s: not executable", shown);
	(void)error_set(err, ENOENT, "program_not_found", "%s: no such program in the sandbox", shown);
	error_remedy(err, "the sandbox shows the host's /usr and the workspace, nothing else");
	return -ENOENT;
}

static int
watch_sandbox(struct run *run)
{
	int r = loop_watch(run->s->loop, run->sandbox->control, EPOLLIN, on_control, run, &run->control);
	if (r == 0)
		r = loop_watch(run->s->loop, run->sandbox->pidfd, EPOLLIN, on_pid_end, run, &run->pid_watch);
	return r;
}

static struct run *
run_new(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct run *run = calloc(1, sizeof(*run));
	if (run == NULL)
		return NULL;
	run->s = s;
	run->client = conn;
	run->client_serial = m->serial;
	run->upper_fd = -1;
	run->timing = json_new_array();
	run->request = *m;
	*m = (struct msg)MSG_INIT;
	run->next = s->runs;
	s->runs = run;
	s->n_runs++;
	s->idle = timer_cancel(s->idle);
	return run;
}

int
run_on_request(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	char resolved[RESOLVED_MAX];
	for (const struct run *other = s->runs; other != NULL; other = other->next)
		if (other->client == conn && other->state != RUN_ENDING) {
			(void)error_set(&err, EBUSY, "bad_request", "one run at a time on one connection");
			return conn_send_error(conn, m->serial, &err);
		}
	if (s->leaving)
		(void)error_set(&err, ESHUTDOWN, "leaving", "rf-supervisor is about to leave");
	else if (s->arbiter.conn == NULL || s->ledger.conn == NULL)
		(void)error_set(&err, EAGAIN, "not_ready", "the arbiter or the ledger is being restarted");
	else if (check_request(m, &err) == 0)
		(void)check_workspace_fd(m, &err);
	if (err.code[0] != 0)
		return conn_send_error(conn, m->serial, &err);
	struct run *run = run_new(conn, m);
	if (run == NULL)
		return -ENOMEM;
	mark(run, "received", clock_monotonic_ns());
	int r = find_program(run, resolved, &err);
	const char *task = json_get_str(run->request.body, "task", NULL);
	if (task != NULL)
		(void)snprintf(run->task, sizeof(run->task), "%s", task);
	if (r == 0 && ((task == NULL && uuid7_new(run->task) < 0) || uuid7_new(run->sandbox_id) < 0))
		r = error_set(&err, EIO, "internal", "no random numbers");
	if (r == 0 && propose(run, resolved) < 0)
		r = error_set(&err, EIO, "internal", "the arbiter cannot be asked");
	if (r == 0)
		mark(run, "proposed", clock_monotonic_ns());
	if (r == 0)
		r = sandbox_spawn(s->sandboxes, run->sandbox_id, &run->sandbox, &err);
	if (r == 0)
		mark(run, "spawned", clock_monotonic_ns());
	if (r == 0 && watch_sandbox(run) < 0)
		r = error_set(&err, ENOMEM, "no_memory", "out of memory");
	if (r < 0)
		run_fail(run, &err);
	return 0;
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
	int r = msg_send(run->sandbox->control, INIT_SIGNAL, 0, m->body, NULL, 0);
	(void)r; /* it may have ended just now */
	return 0;
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
	for (struct run *run = s->runs, *next; run != NULL; run = next) {
		next = run->next;
		if (!all && (task == NULL || strcmp(run->task, task) != 0))
			continue;
		count++;
		if (run->sandbox != NULL)
			run->kill_serial = m->serial;
		run_fail_with(run, ECANCELED, "killed", "killed by an operator");
	}
	bool waiting = false;
	for (struct run *run = s->runs; run != NULL; run = run->next)
		if (run->kill_serial == m->serial) {
			run->kill_count = count;
			waiting = true;
		}
	if (waiting)
		return 0; /* answered when the last is gone */
	struct json *body = json_new_object();
	(void)json_set_int(body, "count", count);
	return conn_send_take(conn, MSG_KILLED, m->serial, body);
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
		if (run->sandbox == NULL)
			continue;
		struct json *entry = body_with_ids(run);
		(void)json_set_int(entry, "pid", run->sandbox->pid);
		(void)json_set_str(entry, "program", run->program);
		(void)json_push(list, entry);
	}
	return list;
}
