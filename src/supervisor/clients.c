/* What people's programs may ask: a table, and when to leave. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "ipc/messages.h"
#include "supervisor/supervisor.h"

#define CLIENT (1u << PEER_CLIENT)

static int
on_status(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct json *body = json_new_object(), *programs = json_new_array();
	if (json_get_bool(m->body, "stay", false)) {
		s->idle_ms = 0; /* `ringfence start`: until told to leave */
		s->idle = timer_cancel(s->idle);
	}
	const struct sibling *siblings[] = {
	    &s->arbiter, &s->ledger, &s->gateway, &s->dialer, &s->vault, &s->issuer};
	for (size_t i = 0; i < ARRAY_LEN(siblings); i++) {
		if (siblings[i]->pidfd < 0)
			continue;
		struct json *program = json_new_object();
		(void)json_set_str(program, "name", siblings[i]->name);
		(void)json_set_int(program, "pid", siblings[i]->pid);
		(void)json_push(programs, program);
	}
	(void)json_set_str(body, "version", RINGFENCE_VERSION);
	(void)json_set_int(body, "pid", getpid());
	(void)json_set(body, "sandboxes", run_list(s));
	(void)json_set(body, "programs", programs);
	return conn_send_take(conn, MSG_STATUS, m->serial, body);
}

static int
on_shutdown(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	s->leaving = true;
	s->shutdown_by = conn;
	s->shutdown_serial = m->serial;
	clients_consider_idle(s);
	return 0;
}

static const struct route routes[] = {
    {MSG_RUN, CLIENT, 0, MSG_BODY_MAX, 5, run_on_request},
    {MSG_SIGNAL, CLIENT, 0, 64, 0, run_on_signal},
    {MSG_STOP, CLIENT, 0, 64, 0, run_on_stop},
    {MSG_COMMIT, CLIENT, 0, MSG_BODY_MAX, 1, commit_on_request},
    {MSG_COMMITTED, CLIENT, 0, 4096, 0, commit_on_done},
    {MSG_SESSION_CREATE, CLIENT, 0, MSG_BODY_MAX, 2, session_on_create},
    {MSG_SESSION_EXEC, CLIENT, 0, MSG_BODY_MAX, 3, run_on_exec},
    {MSG_SESSION_LIST, CLIENT, 0, 256, 0, session_on_list},
    {MSG_SESSION_INSPECT, CLIENT, 0, 1024, 0, session_on_inspect},
    {MSG_SESSION_CONTROL, CLIENT, 0, 1024, 0, session_on_control},
    {MSG_SESSION_OPEN, CLIENT, 0, 32768, 0, session_on_open},
    {MSG_SESSION_CHECKPOINT, CLIENT, 0, 1024, 0, checkpoint_on_request},
    {MSG_SESSION_VIEW, CLIENT, 0, 1024, 0, checkpoint_on_view},
    {MSG_STATUS, CLIENT, 0, 64, 0, on_status},
    {MSG_SHUTDOWN, CLIENT, 0, 64, 0, on_shutdown},
    {0},
};

static void
on_closed(struct conn *conn)
{
	struct supervisor *s = conn_data(conn);
	if (s->shutdown_by == conn)
		s->shutdown_by = NULL;
	run_on_client_closed(conn);
	commit_on_client_closed(conn);
	session_on_client_closed(conn);
	checkpoint_on_client_closed(conn);
	s->n_clients--;
	clients_consider_idle(s);
}

void
clients_add(struct supervisor *s, int fd)
{
	struct conn *conn;
	if (conn_new(s->loop, fd, PEER_CLIENT, routes, on_closed, s, &conn) < 0) {
		(void)close(fd);
		return;
	}
	/* The same user, or root: nobody else's task is ours to run. */
	if (conn_uid(conn) != geteuid() && conn_uid(conn) != 0) {
		log_event(LOG_WARNING, "refused-peer", NULL);
		s->n_clients++;
		conn_close(conn);
		return;
	}
	s->n_clients++;
	s->idle = timer_cancel(s->idle);
}

static void
on_idle(struct timer *timer, void *data)
{
	struct supervisor *s = data;
	(void)timer;
	s->idle = NULL;
	s->leaving = true;
	loop_stop(s->loop, 0);
}

void
clients_consider_idle(struct supervisor *s)
{
	if (s->n_runs > 0 || s->commits != NULL)
		return;
	if (s->leaving)
		session_end_all(s, "leaving", "rf-supervisor was told to leave");
	if (s->sessions != NULL)
		return; /* a session that should not outlive its user has a time-out */
	if (s->networks != NULL)
		return; /* what came of them is still to be recorded */
	if (s->leaving) {
		loop_stop(s->loop, 0);
		return;
	}
	if (s->n_clients == 0 && s->idle == NULL && s->idle_ms > 0 &&
	    loop_timer(s->loop, s->idle_ms, on_idle, s, &s->idle) < 0)
		loop_stop(s->loop, 0);
}
