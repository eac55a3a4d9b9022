/* The life of a session (session.h draws it). Its making is no action: nothing of the agent's runs by it. The
 * receipt and the end are recorded; each command is decided. */
#include "supervisor/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "sandbox/plan.h"
#include "supervisor/network.h"
#include "supervisor/request.h"
#include "supervisor/run.h"
#include "sys/process.h"

#define PATIENCE_MS 30000
#define SESSIONS_MAX 4096
#define PREFIX_MIN 8

/* ---- finding ---- */

struct session *
session_find(struct supervisor *s, const char *name, struct error *err)
{
	struct session *found = NULL;
	size_t len = strlen(name);
	for (struct session *at = s->sessions; at != NULL; at = at->next) {
		if (strcmp(at->id, name) == 0 || (at->name[0] != 0 && strcmp(at->name, name) == 0))
			return at;
		if (len < PREFIX_MIN || strncmp(at->id, name, len) != 0)
			continue;
		if (found != NULL) {
			(void)error_set(err, EINVAL, "ambiguous",
			    "more than one sandbox's id begins with %.40s", name);
			return NULL;
		}
		found = at;
	}
	if (found == NULL) {
		char shown[100];
		log_escape(name, MIN(len, (size_t)80), shown, sizeof(shown));
		(void)error_set(err, ENOENT, "no_such_sandbox", "no sandbox %s", shown);
		error_remedy(err, "ringfence sandbox list shows those that live");
	}
	return found;
}

/* ---- small steps ---- */

void
session_record(struct session *session, const char *event, struct json *data)
{
	struct json *record = json_new_object();
	(void)json_set_str(record, "event", event);
	(void)json_set_str(record, "task", session->task);
	(void)json_set_str(data, "sandbox", session->id);
	(void)json_set(record, "data", data);
	(void)json_set_bool(record, "durable", false);
	if (session->s->ledger.conn == NULL)
		json_free(record);
	else
		(void)conn_send_take(session->s->ledger.conn, MSG_APPEND, 0, record);
}

bool
session_signal_all(struct session *session, int signal)
{
	return session->sandbox != NULL && sandbox_signal(session->sandbox, -1, signal) >= 0;
}

struct session_waiter *
session_wait(struct session *session, struct conn *client, uint32_t client_serial, uint32_t serial)
{
	struct session_waiter *waiter = calloc(1, sizeof(*waiter));
	if (waiter == NULL)
		return NULL;
	*waiter = (struct session_waiter){.next = session->waiters,
	    .client = client,
	    .client_serial = client_serial,
	    .serial = serial};
	session->waiters = waiter;
	return waiter;
}

void
session_forget_waiters(struct session *session, const struct conn *client)
{
	for (struct session_waiter **at = &session->waiters; *at != NULL;) {
		struct session_waiter *waiter = *at;
		if (client != NULL && waiter->client != client) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		free(waiter);
	}
}

/* ---- clocks ---- */

static void
on_idle(struct timer *timer, void *data)
{
	struct session *session = data;
	(void)timer;
	session->idle = NULL;
	session_end(session, "idle", "no command ran for as long as its idle time-out allows");
}

static void
on_lifetime(struct timer *timer, void *data)
{
	struct session *session = data;
	(void)timer;
	session->lifetime = NULL;
	session_end(session, "lifetime", "its lifetime has passed");
}

static void
on_patience(struct timer *timer, void *data)
{
	struct session *session = data;
	(void)timer;
	session->patience = NULL;
	session_end(session, "no_answer", "rf-arbiter or rf-init does not answer");
}

/* A session that cannot be timed must not live for ever. */
static void
start_clock(struct session *session, int64_t ms, loop_timer_fn *fn, struct timer **ret)
{
	*ret = timer_cancel(*ret);
	if (ms > 0 && loop_timer(session->s->loop, ms, fn, session, ret) < 0) {
		*ret = NULL;
		session_end(session, "no_memory", "out of memory");
	}
}

void
session_command_begins(struct session *session)
{
	session->n_commands++;
	session->commands_total++;
	session->idle = timer_cancel(session->idle);
}

void
session_command_ended(struct session *session)
{
	session->n_commands--;
	session->last_used_ms = clock_wall_ms();
	if (session->n_commands == 0 && session->state == SESSION_READY)
		start_clock(session, session->idle_ms, on_idle, &session->idle);
}

/* ---- the end ---- */

/* Whoever waits for the end has it; whoever waits for anything else will not get it. */
static void
tell_waiters(struct session *session)
{
	for (struct session_waiter *at = session->waiters; at != NULL; at = at->next) {
		if (at->serial == WAITS_FOR_END)
			(void)conn_send(at->client, MSG_OK, at->client_serial, NULL, NULL, 0);
		else if (at->serial != WAITS_FOR_NOTHING)
			(void)conn_send_error(at->client, at->client_serial, &session->why);
	}
	session_forget_waiters(session, NULL);
}

static void
session_free(struct session *session)
{
	struct supervisor *s = session->s;
	for (struct session **at = &s->sessions; *at != NULL; at = &(*at)->next)
		if (*at == session) {
			*at = session->next;
			break;
		}
	s->n_sessions--;
	for (struct run *run = s->runs, *next; run != NULL; run = next) {
		next = run->next;
		if (run->session == session)
			run_finish(run);
	}
	checkpoint_session_gone(session);
	tell_waiters(session);
	session->control = watch_remove(session->control);
	session->pid_watch = watch_remove(session->pid_watch);
	session->pausing = timer_cancel(session->pausing);
	session->idle = timer_cancel(session->idle);
	session->lifetime = timer_cancel(session->lifetime);
	session->patience = timer_cancel(session->patience);
	session->network = network_release(session->network);
	sandbox_free(session->sandbox);
	msg_done(&session->request);
	close_fd(&session->policy_fd);
	close_fd(&session->workspace_fd);
	json_free(session->policy);
	json_free(session->wanted);
	json_free(session->config);
	json_free(session->env);
	json_free(session->receipt);
	free(session->receipt_text);
	free(session->workspace_path);
	free(session->workspace_mode);
	uint32_t kill_serial = session->kill_serial;
	free(session);
	run_report_kill(s, kill_serial);
	pool_refill_later(s->pool);
	clients_consider_idle(s);
}

static void
on_pid_end(struct watch *watch, uint32_t events, void *data)
{
	struct session *session = data;
	(void)watch;
	(void)events;
	if (process_reap(session->sandbox->pidfd, false, NULL) == -EAGAIN)
		return;
	session_end(session, "sandbox_failed", "its first process ended");
	session_free(session);
}

static void
fail_creator(struct session *session)
{
	if (session->creator != NULL)
		(void)conn_send_error(session->creator, session->creator_serial, &session->why);
	session->creator = NULL;
}

void
session_end(struct session *session, const char *code, const char *why)
{
	if (session->state == SESSION_ENDING)
		return;
	bool lived = session->state == SESSION_READY;
	session->state = SESSION_ENDING;
	if (session->why.code[0] == 0)
		(void)error_set(&session->why, EIO, code, "%s", why);
	session->idle = timer_cancel(session->idle);
	session->lifetime = timer_cancel(session->lifetime);
	session->patience = timer_cancel(session->patience);
	session->pausing = timer_cancel(session->pausing);
	fail_creator(session);
	for (struct run *run = session->s->runs, *next; run != NULL; run = next) {
		next = run->next;
		if (run->session != session)
			continue;
		/* Not killed by itself: its sandbox is. */
		run->executed = false;
		if (run->err.code[0] == 0 && run->limit == NULL)
			run->err = session->why;
		if (run->state != RUN_ENDING)
			run_end(run);
		else
			run_finish(run);
	}
	if (lived) {
		struct json *data = json_new_object();
		(void)json_set_str(data, "code", session->why.code);
		(void)json_set_str(data, "why", session->why.message);
		(void)json_set_int(data, "commands", session->commands_total);
		session_record(session, "sandbox-ended", data);
		session_note_ended(session);
	}
	if (session->network != NULL)
		network_close(session->network);
	if (session->sandbox != NULL)
		sandbox_kill(session->sandbox);
	else
		session_free(session);
}

void
session_end_all(struct supervisor *s, const char *code, const char *why)
{
	for (struct session *at = s->sessions, *next; at != NULL; at = next) {
		next = at->next;
		session_end(at, code, why);
	}
}

unsigned
session_on_kill(struct supervisor *s, const char *task, uint32_t serial)
{
	unsigned n = 0;
	for (struct session *at = s->sessions, *next; at != NULL; at = next) {
		next = at->next;
		if (task != NULL && strcmp(at->task, task) != 0)
			continue;
		n++;
		at->kill_serial = serial;
		session_end(at, "killed", "killed by an operator");
	}
	return n;
}

bool
session_kill_waits(const struct supervisor *s, uint32_t serial)
{
	for (const struct session *at = s->sessions; at != NULL; at = at->next)
		if (at->kill_serial == serial)
			return true;
	return false;
}

void
session_on_client_closed(struct conn *conn)
{
	struct supervisor *s = conn_data(conn);
	for (struct session *at = s->sessions, *next; at != NULL; at = next) {
		next = at->next;
		session_forget_waiters(at, conn);
		if (at->creator != conn)
			continue;
		at->creator = NULL;
		session_end(at, "client_gone", "the caller went away");
	}
}

/* ---- what rf-init says ---- */

/* A receipt is large as a tree and seldom asked for. */
static void
keep_receipt_as_text(struct session *session)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, MSG_BODY_MAX);
	if (json_write(session->receipt, &text) == 0)
		session->receipt_text = strdup(buf_str(&text));
	if (session->receipt_text != NULL)
		json_free(TAKE_PTR(session->receipt));
}

static void
become_ready(struct session *session)
{
	if (sandbox_stay(session->sandbox) < 0) {
		session_end(session, "sandbox_failed", "rf-init is gone");
		return;
	}
	session->patience = timer_cancel(session->patience);
	session->state = SESSION_READY;
	session->created_ms = session->last_used_ms = clock_wall_ms();
	session_record(session, "receipt", json_copy(session->receipt));
	session_note_lives(session);
	struct json *body = session_body(session, /* usage= */ false, /* receipt= */ true);
	if (session->creator != NULL)
		(void)conn_send_take(session->creator, MSG_SESSION, session->creator_serial, body);
	else
		json_free(body);
	session->creator = NULL;
	keep_receipt_as_text(session);
	msg_done(&session->request);
	start_clock(session, session->idle_ms, on_idle, &session->idle);
	if (session->state == SESSION_READY)
		start_clock(session, session->lifetime_ms, on_lifetime, &session->lifetime);
}

static void
on_ready(struct session *session, struct msg *m)
{
	struct error err = {0};
	if (session->state != SESSION_BUILDING)
		return;
	sandbox_is_ready(session->sandbox, m);
	session->receipt = receipt_make(
	    session->sandbox, session->config, json_get(m->body, "evidence"), session->task);
	if (session->receipt == NULL ||
	    receipt_check_floor(session->receipt, session->config,
		sandbox_host_cgroups(session->s->sandboxes), &err) < 0) {
		session->why = err;
		session_end(session, "no_memory", "out of memory");
		return;
	}
	receipt_add_mounts(session->receipt, session->sandbox);
	if (session->network != NULL)
		network_describe(session->network, session->receipt);
	if (session->network == NULL || network_has_listeners(session->network))
		become_ready(session); /* else when the gateway has taken them all */
}

static void
on_listeners(struct session *session, struct msg *m)
{
	struct error err = {0};
	if (session->state != SESSION_BUILDING)
		return;
	if (session->network == NULL)
		session_end(session, "internal", "rf-init made listeners for nothing");
	else if (network_listen(session->network, m, &err) < 0)
		session_end(session, err.code, err.message);
}

static struct run *
run_of(const struct session *session, int64_t number)
{
	for (struct run *run = session->s->runs; run != NULL; run = run->next)
		if (run->session == session && run->number == number)
			return run;
	return NULL;
}

static void
on_control(struct watch *watch, uint32_t events, void *data)
{
	struct session *session = data;
	struct msg m = MSG_INIT;
	(void)watch;
	(void)events;
	int r = msg_recv(session->sandbox->control, MSG_DONTWAIT, &m);
	if (r == -EAGAIN)
		return;
	struct run *run = r != 1 ? NULL : run_of(session, json_get_int(m.body, "command", -1));
	if (r <= 0) {
		session->control = watch_remove(session->control); /* its end is reaped by pidfd */
	} else if (m.type == INIT_READY) {
		on_ready(session, &m);
	} else if (m.type == INIT_LISTENERS) {
		on_listeners(session, &m);
	} else if (m.type == INIT_OPENED) {
		session_on_opened(session, &m);
	} else if (m.type == INIT_FAILED) {
		if (session->why.code[0] == 0)
			msg_error_read(m.body, &session->why);
		session_end(session, "sandbox_failed", "rf-init failed");
	} else if (run != NULL) {
		run_on_init(run, &m);
	}
	msg_done(&m);
}

/* ---- making ---- */

static int
watch_sandbox(struct session *session, struct error *err)
{
	int r = loop_watch(session->s->loop, session->sandbox->control, EPOLLIN, on_control,
	    session, &session->control);
	if (r == 0)
		r = loop_watch(session->s->loop, session->sandbox->pidfd, EPOLLIN, on_pid_end,
		    session, &session->pid_watch);
	return r < 0 ? error_set(err, ENOMEM, "no_memory", "out of memory") : 0;
}

static struct sandbox_shape
shape_of(const struct session *session)
{
	return (struct sandbox_shape){.config = session->config,
	    .workspace_mode = session->workspace_mode,
	    .workspace_path = session->workspace_path,
	    .workspace_fd = session->workspace_fd,
	    .bundle_fd = session->network == NULL ? -1 : network_bundle(session->network)};
}

static bool
use_prepared(struct session *session)
{
	char key[POOL_KEY];
	struct error err = {0};
	const char *mode = session->workspace_mode;
	if (session->user >= 0)
		return false;
	pool_key(session->s->pool, session->policy_hash, session->config, mode, key);
	pool_want(session->s->pool, key, session->config, mode);
	struct prepared *prepared = pool_take(session->s->pool, key);
	if (prepared == NULL)
		return false;
	session->sandbox = TAKE_PTR(prepared->sandbox);
	session->receipt = TAKE_PTR(prepared->receipt);
	pool_release(prepared);
	(void)snprintf(session->sandbox->id, sizeof(session->sandbox->id), "%s", session->id);
	const struct sandbox_shape shape = shape_of(session);
	int r = watch_sandbox(session, &err);
	if (r == 0 && mode != NULL)
		r = sandbox_send_workspace(session->sandbox, &shape, &err);
	if (r < 0) {
		session_end(session, err.code, err.message);
	} else if (mode == NULL) {
		receipt_name(session->receipt, session->id, session->task);
		become_ready(session);
	}
	return true;
}

static void
send_plan(struct session *session)
{
	struct error err = {0};
	const struct sandbox_shape shape = shape_of(session);
	if (sandbox_send_plan(session->sandbox, &shape, &err) < 0) {
		session->why = err;
		session_end(session, err.code, err.message);
	}
}

static void
on_network(struct network *network, enum network_event event, const struct error *err, void *data)
{
	struct session *session = data;
	(void)network;
	if (event == NETWORK_OPENED && session->state == SESSION_BUILDING)
		send_plan(session);
	else if (event == NETWORK_LISTENS && session->state == SESSION_BUILDING)
		become_ready(session);
	else if (event == NETWORK_FAILED)
		session_end(session, err->code, err->message);
}

static int
open_network(struct session *session, struct error *err)
{
	const struct network_spec spec = {.sandbox = session->id,
	    .task = session->task,
	    .config = session->config,
	    .policy = session->policy,
	    .requester_uid = session->creator == NULL ? geteuid() : conn_uid(session->creator),
	    .record = true};
	return network_open(session->s, &spec, on_network, session, &session->network, err);
}

/* The policy's sandbox is known: something is built, or taken. */
static void
build(struct session *session, const char *hash, const struct json *config)
{
	struct error err = {0};
	const struct json *view = NULL;
	(void)snprintf(session->policy_hash, sizeof(session->policy_hash), "%s", hash);
	session->wanted = json_copy(config);
	session->config = json_copy(config);
	(void)request_tighten(session->config, json_get(session->request.body, "limits"));
	session->state = SESSION_BUILDING;
	int r = request_check_mode(session->config, session->workspace_mode, &err);
	if (r == 0 && use_prepared(session))
		return;
	if (r == 0)
		r = sandbox_host_view(session->s->sandboxes, session->config, &view, &err);
	if (r == 0) {
		bool host = strcmp(json_get_str(session->config, "root", ""), "host") == 0 &&
		    strcmp(json_get_str(session->config, "executables", ""), "listed") != 0;
		/* One begun ahead does not see what was mounted since, and a user's workspace is a path. */
		bool fresh = session->user >= 0 ||
		    (session->workspace_mode != NULL &&
			sandbox_host_rootless(session->s->sandboxes));
		r = fresh ? sandbox_spawn(session->s->sandboxes, view, session->id, session->user,
				&session->sandbox, &err)
			  : pool_spawn(session->s->pool, host ? NULL : view, session->id,
				&session->sandbox, &err);
	}
	if (r == 0)
		r = watch_sandbox(session, &err);
	bool network = json_get(session->config, "network") != NULL;
	if (r == 0 && network)
		r = open_network(session, &err);
	if (r < 0) {
		session->why = err;
		session_end(session, "sandbox_failed", "the sandbox cannot be made");
	} else if (!network) {
		send_plan(session);
	}
}

bool
session_on_viewed(struct supervisor *s, struct msg *m)
{
	struct session *session = s->sessions;
	while (session != NULL &&
	    (session->state != SESSION_VIEWING || session->asked_serial != m->serial))
		session = session->next;
	if (session == NULL)
		return false;
	const char *hash = json_get_str(m->body, "policy", "");
	const char *name = json_get_str(session->policy, "name", NULL);
	policies_note(s, name, hash, json_get(m->body, "sandbox"));
	if (name == NULL) {
		/* The file is read once; each command names what it was. */
		json_free(session->policy);
		session->policy = json_new_object();
		(void)json_set_str(session->policy, "hash", hash);
	}
	build(session, hash, json_get(m->body, "sandbox"));
	return true;
}

/* The arbiter does not take the policy. */
bool
session_on_refused(struct supervisor *s, struct msg *m)
{
	for (struct session *at = s->sessions; at != NULL; at = at->next)
		if (at->state == SESSION_VIEWING && at->asked_serial == m->serial) {
			msg_error_read(m->body, &at->why);
			session_end(at, "denied", "the policy cannot be used");
			return true;
		}
	return false;
}

/* ---- the request ---- */

static int
check_name(struct supervisor *s, const char *name, struct error *err)
{
	size_t len = strlen(name);
	struct error ignored = {0};
	bool good = len < SESSION_NAME;
	for (size_t i = 0; i < len && good; i++)
		good = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			   name[i]) != NULL;
	if (!good || (len > 0 && name[0] == '-'))
		return error_set(err, EINVAL, "bad_name",
		    "a sandbox's name is up to %d letters, digits, dots, dashes", SESSION_NAME - 1);
	if (len > 0 && session_find(s, name, &ignored) != NULL)
		return error_set(
		    err, EEXIST, "name_taken", "there is a sandbox called %s already", name);
	return 0;
}

static int
check(struct supervisor *s, const struct msg *m, struct error *err)
{
	const struct json *body = m->body;
	bool file = json_get_str(json_get(body, "policy"), "file", NULL) != NULL;
	bool workspace = json_get(body, "workspace") != NULL;
	int r = request_possible(s, err);
	if (r == 0)
		r = request_check_policy(body, err);
	if (r == 0)
		r = request_check_env(json_get(body, "env"), err);
	if (r == 0)
		r = check_name(s, json_get_str(body, "name", ""), err);
	if (r == 0 && m->n_fds != (file ? 1u : 0u) + (workspace ? 1u : 0u))
		r = error_set(
		    err, EINVAL, "bad_request", "%u descriptors came", (unsigned)m->n_fds);
	if (r == 0 && json_get_int(body, "user", 0) > SANDBOX_USER_MAX)
		r = error_set(
		    err, EINVAL, "bad_request", "the user is a number up to %d", SANDBOX_USER_MAX);
	if (r == 0 && s->n_sessions >= SESSIONS_MAX)
		r = error_set(err, EAGAIN, "too_many_sandboxes", "there are %d sandboxes already",
		    SESSIONS_MAX);
	return r < 0 ? r
		     : request_check_workspace(s, json_get(body, "workspace"),
			   workspace ? m->fds[m->n_fds - 1] : -1, err);
}

static struct session *
session_new(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct session *session = calloc(1, sizeof(*session));
	if (session == NULL)
		return NULL;
	const struct json *body = m->body, *workspace = json_get(body, "workspace");
	bool file = json_get_str(json_get(body, "policy"), "file", NULL) != NULL;
	session->s = s;
	session->creator = conn;
	session->creator_serial = m->serial;
	session->request = (struct msg)MSG_INIT;
	session->policy_fd = file ? msg_take_fd(m, 0) : -1;
	session->workspace_fd = workspace != NULL ? msg_take_fd(m, m->n_fds - 1) : -1;
	session->next_serial = FIRST_SERIAL;
	session->user = json_get_int(body, "user", -1);
	session->idle_ms = json_get_int(body, "idle_ms", 0);
	session->lifetime_ms = json_get_int(body, "lifetime_ms", 0);
	session->policy = json_copy(json_get(body, "policy"));
	session->env = json_copy(json_get(body, "env"));
	(void)snprintf(session->name, sizeof(session->name), "%s", json_get_str(body, "name", ""));
	if (workspace != NULL) {
		session->workspace_path = strdup(json_get_str(workspace, "path", ""));
		session->workspace_mode = strdup(json_get_str(workspace, "mode", ""));
	}
	const char *task = json_get_str(body, "task", NULL);
	if (task != NULL)
		(void)snprintf(session->task, sizeof(session->task), "%s", task);
	session->request.body = TAKE_PTR(m->body);
	session->next = s->sessions;
	s->sessions = session;
	s->n_sessions++;
	s->idle = timer_cancel(s->idle);
	return session;
}

int
session_on_create(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	if (check(s, m, &err) < 0)
		return conn_send_error(conn, m->serial, &err);
	struct session *session = session_new(conn, m);
	if (session == NULL)
		return -ENOMEM;
	if ((session->task[0] == 0 && uuid7_new(session->task) < 0) || uuid7_new(session->id) < 0) {
		session_end(session, "internal", "no random numbers");
		return 0;
	}
	start_clock(session, PATIENCE_MS, on_patience, &session->patience);
	if (session->state == SESSION_ENDING)
		return 0;
	const struct json *known = policies_known(s, json_get_str(session->policy, "name", NULL));
	if (known != NULL) {
		build(session, json_get_str(known, "policy", ""), json_get(known, "sandbox"));
		return 0;
	}
	session->asked_serial = policies_ask(s, session->policy, session->policy_fd);
	if (session->asked_serial == 0)
		session_end(session, "internal", "the arbiter cannot be asked");
	return 0;
}
