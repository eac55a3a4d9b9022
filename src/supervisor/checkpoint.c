/* States of a session's workspace: checkpoints of it, the way back, and views (sandbox/layers.h says what they
 * are made of).
 *
 *   make      FREEZING ──done──────────────────────────────▶ made, as a layer
 *                │ commands run, or hold files open
 *                └▶ STOPPING ─every process stands─▶ COPYING ▶ made, as a copy; the processes go on
 *   rollback  ENDING ─no process is left─▶ RESTORING ▶ the state is there; later checkpoints are gone
 *   others    ASKING ▶ done
 *
 * One of these at a time for a session. Until it is over no command of it begins, and nothing is opened in it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "sandbox/layers.h"
#include "supervisor/layers_call.h"
#include "supervisor/run.h"

#define LOOK_MS 1
#define END_MS 10000
#define REST_MS 100 /* what is about to end, of itself */

enum what { MAKE, LIST, DROP, ROLLBACK, VIEW };
static const char *const names[] = {"make", "list", "drop", "rollback", "view"};

struct job {
	struct session *session;
	struct conn *client; /* NULL once it left */
	uint32_t client_serial;
	enum what what;
	char name[LAYERS_NAME_MAX], to[LAYERS_NAME_MAX];
	bool stopped; /* we stopped its processes */
	struct session_stand stand;
	struct layers_call *call;
	struct timer *look;
	int64_t began_ns;
};

struct checkpoints {
	struct layers *layers;
	struct job *job;  /* or NULL */
	int64_t since_ms; /* what changes in the user's directory from then on is a conflict */
	bool shows_all;   /* the last view was of all that changed: what is committed now is that */
};

/* ---- the end of a job ---- */

/* Frees it, and lets go on what waited. */
static void
job_end(struct job *job)
{
	struct session *session = job->session;
	session->checkpoints->job = NULL;
	session->last_used_ms = clock_wall_ms();
	if (job->stopped && !session->paused)
		(void)session_signal_all(session, SIGCONT);
	job->look = timer_cancel(job->look);
	free(job);
	for (struct run *run = session->s->runs; run != NULL;) {
		if (run->session != session || !run->delayed) {
			run = run->next;
			continue;
		}
		run->delayed = false;
		run_go(run);
		run = session->s->runs; /* any of them may be gone now */
	}
}

static void
job_fail(struct job *job, const struct error *err)
{
	if (job->client != NULL)
		(void)conn_send_error(job->client, job->client_serial, err);
	job_end(job);
}

static struct json *
list_body(const struct checkpoints *c)
{
	struct json *body = json_new_object();
	(void)json_set(body, "checkpoints", layers_list(c->layers));
	return body;
}

/* MADE is the new checkpoint's name, or NULL. */
static void
job_done(struct job *job, const char *made)
{
	struct json *body = list_body(job->session->checkpoints);
	if (made != NULL)
		(void)json_set_str(body, "made", made);
	if (job->client != NULL)
		(void)conn_send(
		    job->client, MSG_SESSION_CHECKPOINTS, job->client_serial, body, NULL, 0);
	json_free(body);
	job_end(job);
}

static void
job_record(const struct job *job, const char *how)
{
	struct json *data = json_new_object();
	(void)json_set_str(data, "do", names[job->what]);
	(void)json_set_str(data, "name", job->name);
	if (how != NULL)
		(void)json_set_str(data, "how", how);
	session_record(job->session, "sandbox-checkpoint", data);
}

/* ---- asking rf-layers ---- */

static void
ask(struct job *job, struct json *request, layers_reply_fn *fn)
{
	struct error err;
	int r = request == NULL
	    ? error_set(&err, ENOMEM, "no_memory", "out of memory")
	    : layers_call(job->session, request, job->stopped, fn, job, &job->call, &err);
	if (r < 0)
		job_fail(job, &err);
}

/* Where mounts were exchanged it must be known what is mounted: else the session cannot go on. */
static bool
is_lost(const struct error *err)
{
	return strcmp(err->code, LAYERS_LOST) == 0 || strcmp(err->code, LAYERS_SILENT) == 0;
}

static void
fail_exchange(struct job *job, const struct error *err)
{
	struct session *session = job->session;
	bool lost = is_lost(err);
	job_fail(job, err);
	if (lost)
		session_end(session, err->code, err->message);
}

/* ---- make ---- */

static bool
has_command(const struct session *session)
{
	for (const struct run *run = session->s->runs; run != NULL; run = run->next)
		if (run->session == session && run->executed)
			return true;
	return false;
}

/* Whether nothing runs in there, nor may at any moment. */
static bool
is_at_rest(const struct session *session)
{
	struct sandbox_sample now;
	if (has_command(session))
		return false;
	for (const struct session_waiter *at = session->waiters; at != NULL; at = at->next)
		if (at->serial >= FIRST_SERIAL)
			return false;
	return sandbox_sample(session->sandbox, &now) == 0 && now.processes == 0;
}

static void
on_copied(struct msg *m, const struct error *err, void *data)
{
	struct job *job = data;
	struct layers *layers = job->session->checkpoints->layers;
	job->call = NULL;
	if (err != NULL) {
		job_fail(job, err);
		return;
	}
	layers_copied(layers, job->name, json_get_int(m->body, "bytes", 0));
	job_record(job, "copy");
	job_done(job, job->name);
}

static void
copy(struct job *job)
{
	struct error err;
	struct json *request = layers_ask_copy(job->session->checkpoints->layers);
	if (request == NULL) {
		(void)error_set(&err, E2BIG, "too_many_layers",
		    "the workspace has as many layers as one mount can name");
		error_remedy(
		    &err, "roll back to an earlier checkpoint, or commit and create a new sandbox");
		job_fail(job, &err);
		return;
	}
	ask(job, request, on_copied);
}

static void
on_stopping(struct timer *timer, void *data)
{
	struct job *job = data;
	struct error err;
	(void)timer;
	job->look = NULL;
	int r = session_stands(job->session, &job->stand, &err);
	if (r > 0) {
		copy(job);
		return;
	}
	if (r == 0 && loop_timer(job->session->s->loop, LOOK_MS, on_stopping, job, &job->look) < 0)
		r = error_set(&err, ENOMEM, "no_memory", "out of memory");
	if (r < 0)
		job_fail(job, &err);
}

static void
stop_and_copy(struct job *job)
{
	struct error err;
	job->stopped = true;
	if (session_stand_begin(job->session, &job->stand) == 0 &&
	    loop_timer(job->session->s->loop, LOOK_MS, on_stopping, job, &job->look) == 0)
		return;
	(void)error_set(&err, EIO, "sandbox_failed", "rf-init cannot be told");
	job_fail(job, &err);
}

static void
on_frozen(struct msg *m, const struct error *err, void *data)
{
	struct job *job = data;
	(void)m;
	job->call = NULL;
	if (err != NULL && strcmp(err->code, "workspace_busy") == 0) {
		stop_and_copy(job); /* who reads or writes a file from outside, perhaps */
		return;
	}
	if (err != NULL) {
		fail_exchange(job, err);
		return;
	}
	layers_frozen(job->session->checkpoints->layers, job->name);
	job_record(job, "layer");
	job_done(job, job->name);
}

static void on_resting(struct timer *timer, void *data);

static void
make(struct job *job)
{
	struct session *session = job->session;
	bool at_rest = is_at_rest(session);
	struct json *request = at_rest ? layers_ask_freeze(session->checkpoints->layers) : NULL;
	/* Without a command it may be a process of rf-init's own that is about to end. */
	bool late = clock_monotonic_ns() - job->began_ns > REST_MS * 1000000LL;
	if (request != NULL)
		ask(job, request, on_frozen);
	else if (at_rest || late || has_command(session) ||
	    loop_timer(session->s->loop, LOOK_MS, on_resting, job, &job->look) < 0)
		stop_and_copy(job);
}

static void
on_resting(struct timer *timer, void *data)
{
	struct job *job = data;
	(void)timer;
	job->look = NULL;
	make(job);
}

/* ---- rollback ---- */

static void
on_restored(struct msg *m, const struct error *err, void *data)
{
	struct job *job = data;
	(void)m;
	job->call = NULL;
	if (err != NULL) {
		fail_exchange(job, err);
		return;
	}
	layers_rolled_back(job->session->checkpoints->layers, job->name);
	job_record(job, NULL);
	job_done(job, NULL);
}

static void
on_ending(struct timer *timer, void *data)
{
	struct job *job = data;
	struct error err;
	(void)timer;
	job->look = NULL;
	if (is_at_rest(job->session)) {
		ask(job, layers_ask_rollback(job->session->checkpoints->layers, job->name),
		    on_restored);
		return;
	}
	bool late = clock_monotonic_ns() - job->began_ns > END_MS * 1000000LL;
	if (!late && session_signal_all(job->session, SIGKILL) &&
	    loop_timer(job->session->s->loop, LOOK_MS, on_ending, job, &job->look) == 0)
		return;
	(void)error_set(&err, EAGAIN, "does_not_end",
	    "a process in the sandbox does not end: it waits for the kernel");
	job_fail(job, &err);
}

static void
rollback(struct job *job)
{
	struct session *session = job->session;
	struct error err;
	for (struct run *run = session->s->runs, *next; run != NULL; run = next) {
		next = run->next;
		if (run->session == session)
			run_fail_with(run, ECANCELED, "rolled_back", "the sandbox was rolled back");
	}
	job->began_ns = clock_monotonic_ns();
	if (loop_timer(session->s->loop, 0, on_ending, job, &job->look) == 0)
		return;
	(void)error_set(&err, ENOMEM, "no_memory", "out of memory");
	job_fail(job, &err);
}

/* ---- the others ---- */

static void
on_measured(struct msg *m, const struct error *err, void *data)
{
	struct job *job = data;
	job->call = NULL;
	if (err == NULL)
		layers_measured(job->session->checkpoints->layers, json_get(m->body, "bytes"));
	job_done(job, NULL); /* a list without sizes is one, too */
}

static void
list(struct job *job)
{
	struct json *request = layers_ask_measure(job->session->checkpoints->layers);
	if (request != NULL)
		ask(job, request, on_measured);
	else
		job_done(job, NULL);
}

static void
on_dropped(struct msg *m, const struct error *err, void *data)
{
	struct job *job = data;
	(void)m;
	job->call = NULL;
	if (err != NULL) {
		job_fail(job, err);
		return;
	}
	job_done(job, NULL);
}

static void
drop(struct job *job)
{
	struct layers *layers = job->session->checkpoints->layers;
	struct json *request = layers_ask_drop(layers, job->name);
	if (request == NULL) {
		ask(job, NULL, on_dropped);
		return;
	}
	layers_dropped(layers, job->name); /* whatever becomes of its files */
	job_record(job, NULL);
	ask(job, request, on_dropped);
}

static void
on_viewed(struct msg *m, const struct error *err, void *data)
{
	struct job *job = data;
	struct session *session = job->session;
	job->call = NULL;
	_cleanup_free_ char *between =
	    layers_between(session->checkpoints->layers, job->name, job->to);
	struct error failed;
	if (err == NULL && (between == NULL || m->n_fds != 3)) {
		(void)error_set(&failed, EIO, "layers_failed", "the states cannot be shown");
		err = &failed;
	}
	if (err != NULL) {
		job_fail(job, err);
		return;
	}
	struct json *body = json_new_object();
	(void)json_set_str(body, "task", session->task);
	(void)json_set(body, "policy", json_copy(session->policy));
	(void)json_set_str(body, "path", session->workspace_path);
	/* Between two of its own states there is no conflict. */
	session->checkpoints->shows_all =
	    strcmp(job->name, LAYERS_BASE) == 0 && strcmp(job->to, LAYERS_NOW) == 0;
	if (strcmp(job->name, LAYERS_BASE) == 0)
		(void)json_set_int(body, "began_ms", session->checkpoints->since_ms);
	(void)json_set_str(body, "layers", between);
	if (job->client != NULL)
		(void)conn_send(
		    job->client, MSG_SESSION_VIEWED, job->client_serial, body, m->fds, 3);
	json_free(body);
	job_end(job);
}

static void
view(struct job *job)
{
	ask(job, layers_ask_view(job->session->checkpoints->layers, job->name, job->to), on_viewed);
}

/* ---- requests ---- */

static int
check_session(struct session *session, struct error *err)
{
	const char *mode = session->workspace_mode;
	if (session->state != SESSION_READY)
		return error_set(err, EAGAIN, "not_ready", "the sandbox is not ready");
	if (mode == NULL)
		return error_set(err, EOPNOTSUPP, "no_workspace",
		    "the sandbox has no workspace: there is nothing to keep a state of");
	if (strcmp(mode, "staged") != 0)
		return error_set(err, EOPNOTSUPP, "workspace_direct",
		    "the workspace is direct: what is written is in your directory already");
	if (session->checkpoints == NULL) {
		struct checkpoints *c = calloc(1, sizeof(*c));
		if (c != NULL && (c->layers = layers_new()) == NULL)
			free(TAKE_PTR(c));
		if (c == NULL)
			return error_set(err, ENOMEM, "no_memory", "out of memory");
		c->since_ms = session->created_ms;
		session->checkpoints = c;
	}
	if (session->checkpoints->job != NULL)
		return error_set(err, EBUSY, "checkpoint_busy",
		    "the sandbox's workspace is being changed or looked at already");
	return 0;
}

/* The names that JOB needs, from BODY. */
static int
check_names(
    struct job *job, const struct layers *layers, const struct json *body, struct error *err)
{
	static const char *const members[] = {"name", "from", "to"};
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (strlen(json_get_str(body, members[i], "")) !=
		    json_str_len(json_get(body, members[i])))
			return error_set(err, EINVAL, "bad_name", "a name has no zero bytes");
	const char *name = json_get_str(body, "name", NULL);
	const char *from = json_get_str(body, "from", LAYERS_BASE),
		   *to = json_get_str(body, "to", LAYERS_NOW);
	if (job->what == MAKE)
		return layers_name(layers, name, job->name, err);
	if (job->what == LIST)
		return 0;
	if (job->what != VIEW) {
		name = name == NULL ? "" : name;
		(void)snprintf(job->name, sizeof(job->name), "%s", name);
		return layers_find(layers, name, job->what == ROLLBACK, err);
	}
	(void)snprintf(job->name, sizeof(job->name), "%s", from);
	(void)snprintf(job->to, sizeof(job->to), "%s", to);
	int r = strcmp(from, LAYERS_NOW) == 0 ? 0 : layers_find(layers, from, true, err);
	return r < 0 || strcmp(to, LAYERS_NOW) == 0 ? r : layers_find(layers, to, true, err);
}

static int
begin(struct conn *conn, struct msg *m, enum what what)
{
	static void (*const steps[])(struct job * job) = {make, list, drop, rollback, view};
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	struct session *session = session_find(s, json_get_str(m->body, "sandbox", ""), &err);
	if (session == NULL || check_session(session, &err) < 0)
		return conn_send_error(conn, m->serial, &err);
	struct job *job = calloc(1, sizeof(*job));
	if (job == NULL)
		return -ENOMEM;
	*job = (struct job){.session = session,
	    .client = conn,
	    .client_serial = m->serial,
	    .what = what,
	    .began_ns = clock_monotonic_ns()};
	if (check_names(job, session->checkpoints->layers, m->body, &err) < 0) {
		free(job);
		return conn_send_error(conn, m->serial, &err);
	}
	session->checkpoints->job = job;
	steps[what](job);
	return 0;
}

int
checkpoint_on_request(struct conn *conn, struct msg *m)
{
	const char *what = json_get_str(m->body, "do", "");
	for (enum what i = MAKE; i < VIEW; i++)
		if (strcmp(what, names[i]) == 0)
			return begin(conn, m, i);
	struct error err;
	(void)error_set(&err, EINVAL, "bad_request", "make, list, drop or rollback");
	return conn_send_error(conn, m->serial, &err);
}

int
checkpoint_on_view(struct conn *conn, struct msg *m)
{
	return begin(conn, m, VIEW);
}

/* ---- what others need to know ---- */

bool
checkpoint_under_way(const struct session *session)
{
	return session->checkpoints != NULL && session->checkpoints->job != NULL;
}

size_t
checkpoint_count(const struct session *session)
{
	return session->checkpoints == NULL ? 0 : layers_count(session->checkpoints->layers);
}

void
checkpoint_committed(struct supervisor *s, const char *task)
{
	for (struct session *at = s->sessions; at != NULL; at = at->next)
		if (at->checkpoints != NULL && at->checkpoints->shows_all &&
		    strcmp(at->task, task) == 0)
			at->checkpoints->since_ms =
			    clock_files_ms(); /* rf-workspace let its own pass */
}

void
checkpoint_on_client_closed(struct conn *conn)
{
	struct supervisor *s = conn_data(conn);
	for (struct session *at = s->sessions; at != NULL; at = at->next)
		if (checkpoint_under_way(at) && at->checkpoints->job->client == conn)
			at->checkpoints->job->client = NULL; /* it is finished all the same */
}

void
checkpoint_session_gone(struct session *session)
{
	struct checkpoints *c = TAKE_PTR(session->checkpoints);
	if (c == NULL)
		return;
	if (c->job != NULL) {
		if (c->job->client != NULL)
			(void)conn_send_error(c->job->client, c->job->client_serial, &session->why);
		c->job->look = timer_cancel(c->job->look);
		c->job->call = layers_call_cancel(c->job->call);
		free(c->job);
	}
	c->layers = layers_free(c->layers);
	free(c);
}
