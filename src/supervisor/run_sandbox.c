/* The performing half of a run: what rf-init reports, the claim, the clocks. run.c draws the states. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "sandbox/plan.h"
#include "supervisor/run.h"

#define SAMPLE_MS 50

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
	if (sandbox_sample(run->sandbox, &now) < 0) {
		run_fail_with(run, EIO, "sandbox_failed", "what the sandbox uses cannot be seen");
		return;
	}
	run->peak_bytes = MAX(run->peak_bytes, now.resident_bytes);
	int64_t memory = json_get_int(limits, "memory_bytes", 0);
	int64_t cpu_ms = json_get_int(limits, "cpu_time_ms", 0);
	if (run->sandbox->group == NULL && memory > 0 && now.resident_bytes > memory) {
		run->limit = "memory";
		if (run->session != NULL)
			session_end(
			    run->session, "memory", "the sandbox used more memory than its limit");
		else
			run_end(run);
	} else if (run->session == NULL && cpu_ms > 0 && now.cpu_ms > cpu_ms)
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

/* The client knows that it runs; with a terminal, once that is there. */
static void
announce(struct run *run, const int *fds, unsigned n_fds)
{
	struct json *body = run_body(run);
	bool receipt = run->session == NULL && json_get_bool(run->request.body, "receipt", false);
	if (receipt)                                           /* it is large: only for who asks */
		(void)json_set(body, "receipt", run->receipt); /* lent */
	if (run->session != NULL)
		(void)json_set_int(body, "command", run->number);
	(void)json_set(body, "limits", json_copy(json_get(run->config, "limits")));
	if (run->client != NULL && !run->announced)
		(void)conn_send(run->client, MSG_STARTED, run->client_serial, body, fds, n_fds);
	run->announced = true;
	if (receipt)
		run->receipt = json_detach(body, "receipt");
	json_free(body);
}

void
run_go(struct run *run)
{
	const struct json *body = run->request.body, *tty = json_get(body, "tty");
	struct sandbox_command command = {.number = run->number,
	    .argv = json_get(body, "argv"),
	    .env = json_get(body, "env"),
	    .program = run->program,
	    .cwd = json_get_str(body, "cwd", NULL),
	    .tty = tty,
	    .stdio = {run->stdio[0], run->stdio[1], run->stdio[2]},
	    .cpu_time_ms = json_get_int(json_get(run->config, "limits"), "cpu_time_ms", 0)};
	struct cgroup_usage used = {0};
	run_answered(run);
	if (run->session != NULL && checkpoint_under_way(run->session)) {
		run->delayed = true; /* it calls us again */
		return;
	}
	if (run->session != NULL && run->sandbox->group != NULL) {
		cgroup_read_usage(run->sandbox->group, &used);
		run->oom_before = used.oom_kills;
	}
	run->started_ns = clock_monotonic_ns();
	run_set_state(run, RUN_RUNNING);
	int r = run->session != NULL ? sandbox_exec(run->sandbox, &command)
				     : sandbox_go(run->sandbox, &command);
	if (r < 0) {
		run_fail_with(run, EIO, "sandbox_failed", "rf-init is gone");
		return;
	}
	run->executed = true; /* or it says why not */
	/* Our copies: with them open, the client would never see the end of its pipes. */
	for (int i = 0; i < 3; i++)
		close_fd(&run->stdio[i]);
	start_clocks(run);
	if (tty == NULL)
		announce(run, NULL, 0);
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
	run_mark(run, "claimed", clock_monotonic_ns());
	run->claimed = true;
	if (run->receipt_serial == 0)
		run_go(run);
	return 0;
}

/* The ledger has RUN's receipt, or cannot take it: what is not recorded does not begin. */
void
run_on_recorded(struct supervisor *s, uint32_t serial, const struct error *err)
{
	struct run *run = s->runs;
	while (run != NULL && (serial == 0 || run->receipt_serial != serial))
		run = run->next;
	if (run == NULL || run->state != RUN_CLAIMING)
		return;
	run->receipt_serial = 0;
	run_mark(run, "recorded", clock_monotonic_ns());
	if (err != NULL)
		run_fail(run, err);
	else if (run->claimed)
		run_go(run);
}

/* ---- ready ---- */

int
run_watch_sandbox(struct run *run)
{
	int r = loop_watch(
	    run->s->loop, run->sandbox->control, EPOLLIN, run_on_control, run, &run->control);
	if (r == 0)
		r = loop_watch(run->s->loop, run->sandbox->pidfd, EPOLLIN, run_on_pid_end, run,
		    &run->pid_watch);
	return r;
}

static struct json *
record_of(const struct run *run, const char *event, struct json *data)
{
	struct json *record = json_new_object();
	(void)json_set_str(record, "event", event);
	(void)json_set_str(record, "task", run->task);
	(void)json_set_str(record, "action_id", run->action_id);
	(void)json_set(record, "data", data);
	(void)json_set_bool(record, "durable", false);
	return record;
}

/* With ACKNOWLEDGED the command does not begin before the ledger has it. */
static void
record_receipt(struct run *run, bool acknowledged)
{
	struct conn *ledger = run->s->ledger.conn;
	struct json *record = record_of(run, "receipt", run->receipt); /* lent: it is large */
	run->receipt_serial = acknowledged ? conn_next_serial(ledger) : 0;
	(void)conn_send(ledger, MSG_APPEND, run->receipt_serial, record, NULL, 0);
	run->receipt = json_detach(record, "data");
	json_free(record);
	run_mark(run, "receipt", clock_monotonic_ns());
}

/* What is mounted is a record of its own behind the receipt, which somebody waits for; it is read, where a
 * sandbox that waited does not have it, while the arbiter and the ledger are at work. MOUNTS is taken. */
static void
record_mounts(struct run *run, struct json *mounts)
{
	if (mounts == NULL)
		mounts = receipt_mounts(run->sandbox);
	struct json *data = json_new_object();
	(void)json_set_str(data, "sandbox", run->sandbox_id);
	(void)json_set(data, "mounts", mounts); /* lent, too */
	struct json *record = record_of(run, "mounts", data);
	(void)conn_send(run->s->ledger.conn, MSG_APPEND, 0, record, NULL, 0);
	(void)json_set(run->receipt, "mounts", json_detach(data, "mounts"));
	json_free(record);
}

static void
claim(struct run *run)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", run->action_id);
	if (run->s->arbiter.conn == NULL)
		json_free(body); /* its end ends us */
	else
		(void)conn_send_take(
		    run->s->arbiter.conn, MSG_CLAIM, conn_next_serial(run->s->arbiter.conn), body);
}

static void
record(struct run *run, bool acknowledged)
{
	struct json *mounts = json_detach(run->receipt, "mounts");
	record_receipt(run, acknowledged);
	record_mounts(run, mounts);
}

/* Claimed already, in a sandbox that waited: it goes, and its receipt is sent in the same breath. What the ledger
 * acknowledged with the claim implies room for it (ledger/journal.c), and a ledger that ends takes every run with it. */
static void
go_at_once(struct run *run)
{
	bool has_receipt = run->session == NULL;
	run_go(run);
	if (has_receipt) /* without a session nothing is freed before its sandbox is reaped */
		record(run, /* acknowledged= */ false);
}

void
run_ready(struct run *run)
{
	bool waited = run->session != NULL || json_get(run->receipt, "mounts") != NULL;
	if (run->s->ledger.conn == NULL) {
		run_fail_with(run, EIO, "ledger_lost", "the ledger is gone");
		return;
	}
	run_set_state(run, RUN_CLAIMING);
	if (run->claimed && waited) {
		go_at_once(run);
		return;
	}
	if (!run->claimed)
		claim(run);
	if (run->session == NULL)
		record(run, /* acknowledged= */ true); /* the arbiter is at work meanwhile */
	run_await(run);
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
	sandbox_is_ready(run->sandbox, m);
	run->receipt =
	    receipt_make(run->sandbox, run->config, json_get(m->body, "evidence"), run->task);
	if (run->receipt == NULL) {
		run_fail_with(run, ENOMEM, "no_memory", "out of memory");
		return;
	}
	if (run->network != NULL)
		network_describe(run->network, run->receipt);
	if (receipt_check_floor(
		run->receipt, run->config, sandbox_host_cgroups(run->s->sandboxes), &err) < 0)
		run_fail(run, &err);
	else if (run->network == NULL || network_has_listeners(run->network))
		run_ready(run); /* else when the gateway has taken them all */
}

/* ---- its network ---- */

static void
on_listeners(struct run *run, struct msg *m)
{
	struct error err = {0};
	if (run->state != RUN_BUILDING)
		return;
	if (run->network == NULL)
		run_fail_with(run, EPROTO, "internal", "rf-init made listeners for nothing");
	else if (network_listen(run->network, m, &err) < 0)
		run_fail(run, &err);
}

/* What the gateway said last: the result waits for it, or whoever waits for the sandbox's end does. */
static void
on_network_end(struct run *run)
{
	if (run->gone) {
		run_finish(run);
		return;
	}
	if (run->exit_status != NULL && run->sandbox->upper_fd < 0)
		run_tell(run);
}

void
run_on_network(
    struct network *network, enum network_event event, const struct error *err, void *data)
{
	struct run *run = data;
	if (event == NETWORK_OPENED && run->state == RUN_BUILDING) {
		run_mark(run, "gateway", clock_monotonic_ns());
		run_build(run);
	} else if (event == NETWORK_LISTENS && run->state == RUN_BUILDING) {
		run_ready(run);
	} else if (event == NETWORK_CLOSED) {
		run->reached = json_copy(network_result(network));
		on_network_end(run);
	} else if (event == NETWORK_FAILED && run->state != RUN_ENDING) {
		run_fail(run, err);
	} else if (event == NETWORK_FAILED) {
		on_network_end(run);
	}
}

/* ---- and then ---- */

static void
on_running(struct run *run, struct msg *m)
{
	struct error err = {0};
	int number = (int)json_get_int(m->body, "errno", 0);
	run_mark(run, "executed", clock_monotonic_ns());
	if (number == 0)
		return;
	bool absent = number == ENOENT || number == ENOTDIR;
	run->executed = false;
	if (json_get(m->body, "error") != NULL)
		msg_error_read(m->body, &err);
	else
		(void)error_set_errno(&err, number,
		    absent ? "program_not_found" : "program_not_executable",
		    "%s: cannot execute in the sandbox", run->program);
	if (number == ENOENT && json_get(m->body, "error") == NULL)
		error_remedy(&err,
		    "the sandbox shows its root and the workspace; scripts also need their "
		    "interpreter there");
	if (run->state == RUN_ENDING && run->session != NULL)
		run_finish(run);
	else
		run_fail(run, &err);
}

static void
on_terminal(struct run *run, struct msg *m)
{
	_cleanup_close_ int master = msg_take_fd(m, 0);
	if (master >= 0 && run->state == RUN_RUNNING)
		announce(run, &master, 1);
}

static void
on_exited(struct run *run, struct msg *m)
{
	run->executed = false;
	if (run->state != RUN_RUNNING) {
		if (run->session != NULL && run->state == RUN_ENDING) {
			run->usage = json_detach(m->body, "usage");
			run_read_usage(run);
			run_finish(run);
		}
		return;
	}
	run_mark(run, "exited", clock_monotonic_ns());
	run->exit_status = json_new_object();
	static const char *const members[] = {"code", "signal"};
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (json_get(m->body, members[i]) != NULL)
			(void)json_set_int(
			    run->exit_status, members[i], json_get_int(m->body, members[i], 0));
	run->usage = json_detach(m->body, "usage");
	if (json_get_int(run->exit_status, "signal", 0) == SIGXCPU)
		run->limit = "cpu_time";
	else if (json_get_bool(run->usage, "scratch_full", false) &&
	    json_get_int(run->exit_status, "code", 1) != 0)
		run->limit = "disk";
	run_read_usage(run);
	/* A staged workspace is only at rest once every process is gone; otherwise tell at once. */
	if (run->session != NULL || (run->sandbox->upper_fd < 0 && run->network == NULL))
		run_tell(run);
	run_end(run);
}

/* A sandbox that was begun ahead does not see what was mounted on the host since: a new one does. */
static void
begin_again(struct run *run)
{
	run->again = true;
	run->control = watch_remove(run->control);
	run->pid_watch = watch_remove(run->pid_watch);
	pool_bury(run->s->pool, TAKE_PTR(run->sandbox));
	pool_drop_spare(run->s->pool);
	run_build(run);
}

void
run_on_init(struct run *run, struct msg *m)
{
	struct error err = {0};
	if (m->type == INIT_READY) {
		on_ready(run, m);
	} else if (m->type == INIT_LISTENERS) {
		on_listeners(run, m);
	} else if (m->type == INIT_RUNNING) {
		on_running(run, m);
	} else if (m->type == INIT_TERMINAL) {
		on_terminal(run, m);
	} else if (m->type == INIT_EXITED) {
		on_exited(run, m);
	} else if (m->type == INIT_FAILED) {
		msg_error_read(m->body, &err);
		if (strcmp(err.code, "workspace_changed") == 0 && !run->again &&
		    run->state == RUN_BUILDING)
			begin_again(run);
		else
			run_fail(run, &err);
	}
}

/* Reads one message. False when there is none to read now or ever. */
static bool
read_control(struct run *run)
{
	struct msg m = MSG_INIT;
	int r = msg_recv(run->sandbox->control, MSG_DONTWAIT, &m);
	if (r == -EAGAIN)
		return false;
	if (r <= 0)
		run->control = watch_remove(run->control); /* its end is reaped by pidfd */
	else
		run_on_init(run, &m);
	msg_done(&m);
	return r > 0;
}

void
run_on_control(struct watch *watch, uint32_t events, void *data)
{
	(void)watch;
	(void)events;
	(void)read_control(data);
}

void
run_drain_control(struct run *run)
{
	while (read_control(run))
		;
}
