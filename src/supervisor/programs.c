/* rf-ledger and rf-arbiter: started before anything else, connected to each other and to us, restarted
 * together when either dies. What runs meanwhile is destroyed first: without them nothing is decided
 * and nothing is recorded. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/paths.h"
#include "ipc/spawn.h"
#include "sandbox/ids.h"
#include "supervisor/network.h"
#include "supervisor/policies.h"
#include "supervisor/supervisor.h"
#include "sys/process.h"

#define RESTARTS_MAX 5
#define LEAVE_MS 3000
#define LEDGER_LEAVE_MS 10000 /* it still syncs and signs, on a disk that may be busy */
#define RESTARTS_WINDOW_NS 10000000000LL

static int
on_ledger_answer(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err;
	if (m->type == MSG_ERROR) {
		msg_error_read(m->body, &err);
		log_event(LOG_ERROR, "ledger", "code", err.code, "message", err.message, NULL);
	}
	run_on_recorded(s, m->serial, m->type == MSG_ERROR ? &err : NULL);
	return 0;
}

/* To MSG_NET_OPEN. */
static int
on_arbiter_ok(struct conn *conn, struct msg *m)
{
	network_on_bound(conn_data(conn), m->serial);
	return 0;
}

static const struct route arbiter_routes[] = {
    {MSG_VERDICT, 1u << PEER_ARBITER, 0, MSG_BODY_MAX, 0, run_on_verdict},
    {MSG_CLAIMED, 1u << PEER_ARBITER, 0, 4096, 0, run_on_claimed},
    {MSG_KILL_TASK, 1u << PEER_ARBITER, 0, 4096, 0, run_on_kill},
    {MSG_POLICY_CHANGED, 1u << PEER_ARBITER, 0, 4096, 0, policies_on_changed},
    {MSG_POLICY_VIEWED, 1u << PEER_ARBITER, 0, MSG_BODY_MAX, 0, policies_on_viewed},
    {MSG_OK, 1u << PEER_ARBITER, 0, 64, 0, on_arbiter_ok},
    {MSG_ERROR, 1u << PEER_ARBITER, 0, 16384, 0, run_on_refused},
    {0},
};

static const struct route ledger_routes[] = {
    {MSG_APPENDED, 1u << PEER_LEDGER, 0, 4096, 0, on_ledger_answer},
    {MSG_OK, 1u << PEER_LEDGER, 0, 64, 0, on_ledger_answer},
    {MSG_ERROR, 1u << PEER_LEDGER, 0, 16384, 0, on_ledger_answer},
    {0},
};

int
program_directory(struct supervisor *s, const char *name, uid_t uid, struct error *err)
{
	struct stat st;
	bool root = geteuid() == 0;
	if (mkdirat(s->state_fd, name, root ? 0750 : 0700) < 0 && errno != EEXIST)
		return error_set_errno(
		    err, errno, "state_dir", "cannot make %s/%s", s->state, name);
	int fd = openat(s->state_fd, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(
		    err, errno, "state_dir", "cannot open %s/%s", s->state, name);
	if (root && st.st_uid != uid && fchown(fd, uid, (gid_t)uid) < 0) {
		(void)close(fd);
		return error_set_errno(err, errno, "state_dir", "cannot give %s/%s to uid %u",
		    s->state, name, (unsigned)uid);
	}
	return fd;
}

static int start_both(struct supervisor *s, struct error *err);

int
program_forget(struct sibling *sibling)
{
	int status = -1;
	sibling->watch = watch_remove(sibling->watch);
	if (sibling->conn != NULL) {
		struct conn *conn = TAKE_PTR(sibling->conn);
		conn_close(conn);
	}
	if (sibling->pidfd >= 0) {
		(void)process_signal(sibling->pidfd, SIGKILL);
		(void)process_reap(sibling->pidfd, true, &status);
		(void)close(TAKE_FD(sibling->pidfd));
	}
	sibling->pid = 0;
	return status;
}

bool
program_restarts_too_often(struct sibling *sibling)
{
	int64_t now = clock_monotonic_ns();
	if (now - sibling->restarts_since_ns > RESTARTS_WINDOW_NS) {
		sibling->restarts_since_ns = now;
		sibling->restarts = 0;
	}
	return ++sibling->restarts > RESTARTS_MAX;
}

static void
on_program_end(struct watch *watch, uint32_t events, void *data)
{
	struct supervisor *s = data;
	struct error err = {0};
	(void)events;
	bool ledger = watch == s->ledger.watch;
	const char *why = ledger ? "rf-ledger ended; without a record nothing may run"
				 : "rf-arbiter ended; without a decision nothing may run";
	if (s->leaving && s->n_runs == 0)
		return;
	log_event(LOG_ERROR, "program-ended", "program", ledger ? "rf-ledger" : "rf-arbiter", NULL);
	run_end_all(s, ledger ? "ledger_lost" : "arbiter_lost", why);
	commit_end_all(s, ledger ? "ledger_lost" : "arbiter_lost", why);
	session_end_all(s, ledger ? "ledger_lost" : "arbiter_lost", why);
	policies_forget(s, NULL);
	gateways_end(s);
	(void)program_forget(&s->arbiter);
	(void)program_forget(&s->ledger);
	int r = program_restarts_too_often(&s->arbiter)
	    ? error_set(
		  &err, ELOOP, "restarts", "rf-arbiter or rf-ledger keeps ending; see the log")
	    : start_both(s, &err);
	if (r < 0) {
		log_event(LOG_ERROR, "cannot-restart", "message", err.message, NULL);
		s->leaving = true;
		clients_consider_idle(s);
	}
}

static void
on_conn_closed(struct conn *conn)
{
	struct supervisor *s = conn_data(conn);
	/* The end of the process is noticed by its pidfd. If only the conversation broke, make it so. */
	struct sibling *siblings[] = {
	    &s->arbiter, &s->ledger, &s->gateway, &s->dialer, &s->vault, &s->issuer};
	for (size_t i = 0; i < ARRAY_LEN(siblings); i++)
		if (siblings[i]->conn == conn) {
			siblings[i]->conn = NULL;
			if (siblings[i]->pidfd >= 0 && !s->leaving)
				(void)process_signal(siblings[i]->pidfd, SIGKILL);
		}
}

int
program_start(struct supervisor *s, const struct program *program, struct error *err)
{
	struct sibling *sibling = program->sibling;
	char path[PATHS_MAX], id[16];
	int pair[2];
	int r = paths_program(sibling->name, path, err);
	if (r < 0)
		return r;
	_cleanup_close_ int file = open(path, O_PATH | O_CLOEXEC);
	if (file < 0)
		return error_set_errno(err, errno, "not_installed", "cannot open %s", path);
	r = msg_pair(pair);
	if (r < 0)
		return error_set_errno(err, -r, "internal", "no socket pair");
	_cleanup_close_ int theirs = pair[1];
	program->fds[SPAWN_SUPERVISOR] = theirs;
	(void)snprintf(id, sizeof(id), "%u", (unsigned)program->uid);
	const char *const argv[] = {sibling->name, "--uid", id, "--gid", id, NULL};
	const char *const envp[] = {NULL};
	struct process_spec spec = {.program_fd = file,
	    .argv = argv,
	    .envp = envp,
	    .fds = program->fds,
	    .n_fds = program->n_fds,
	    .new_session = true};
	r = process_start(&spec, &sibling->pid, &sibling->pidfd);
	if (r < 0) {
		(void)close(pair[0]);
		return error_set_errno(err, -r, "not_installed", "cannot start %s", path);
	}
	r = conn_new(
	    s->loop, pair[0], program->peer, program->routes, on_conn_closed, s, &sibling->conn);
	if (r == 0)
		r = loop_watch(
		    s->loop, sibling->pidfd, EPOLLIN, program->on_end, s, &sibling->watch);
	return r < 0 ? error_set_errno(err, -r, "internal", "cannot watch %s", sibling->name) : 0;
}

int
program_config(void)
{
	char path[PATHS_MAX];
	struct error ignored;
	if (paths_config_file(path, &ignored) < 0)
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC); /* absent is empty: /dev/null */
}

static int
start_both(struct supervisor *s, struct error *err)
{
	bool root = geteuid() == 0;
	uid_t ledger_uid = root ? IDS_LEDGER : 0, arbiter_uid = root ? IDS_ARBITER : 0;
	int between[2];
	_cleanup_close_ int ledger_dir = program_directory(s, "ledger", ledger_uid, err);
	if (ledger_dir < 0)
		return ledger_dir;
	_cleanup_close_ int arbiter_dir = program_directory(s, "arbiter", arbiter_uid, err);
	if (arbiter_dir < 0)
		return arbiter_dir;
	int r = msg_pair(between);
	if (r < 0)
		return error_set_errno(err, -r, "internal", "no socket pair");
	_cleanup_close_ int to_ledger = between[0], to_arbiter = between[1];
	int ledger_fds[SPAWN_FDS] = {
	    -1, -1, STDERR_FILENO, -1, ledger_dir, s->listeners[LISTENER_LEDGER], to_arbiter};
	const struct program ledger = {.sibling = &s->ledger,
	    .peer = PEER_LEDGER,
	    .routes = ledger_routes,
	    .uid = ledger_uid,
	    .fds = ledger_fds,
	    .n_fds = SPAWN_PEER + 1,
	    .on_end = on_program_end};
	r = program_start(s, &ledger, err);
	if (r < 0)
		return r;
	_cleanup_close_ int config = program_config();
	_cleanup_close_ int passwd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int group = open("/etc/group", O_RDONLY | O_CLOEXEC);
	int arbiter_fds[SPAWN_FDS] = {-1, -1, STDERR_FILENO, -1, arbiter_dir,
	    s->listeners[LISTENER_ARBITER], to_ledger, config, passwd, group};
	const struct program arbiter = {.sibling = &s->arbiter,
	    .peer = PEER_ARBITER,
	    .routes = arbiter_routes,
	    .uid = arbiter_uid,
	    .fds = arbiter_fds,
	    .n_fds = SPAWN_FDS,
	    .on_end = on_program_end};
	return program_start(s, &arbiter, err);
}

int
programs_start(struct supervisor *s, struct error *err)
{
	s->arbiter = (struct sibling){.name = "rf-arbiter", .pidfd = -1};
	s->ledger = (struct sibling){.name = "rf-ledger", .pidfd = -1};
	return start_both(s, err);
}

void
program_stop(struct sibling *sibling, int wait_ms)
{
	sibling->watch = watch_remove(sibling->watch);
	if (sibling->conn != NULL)
		(void)shutdown(conn_fd(sibling->conn), SHUT_RDWR);
	if (sibling->pidfd < 0)
		return;
	struct pollfd wait = {.fd = sibling->pidfd, .events = POLLIN};
	if (poll(&wait, 1, wait_ms) <= 0)
		log_event(LOG_WARNING, "slow-to-leave", "program", sibling->name, NULL);
	(void)process_signal(sibling->pidfd, SIGKILL);
	(void)process_reap(sibling->pidfd, true, NULL);
	(void)close(TAKE_FD(sibling->pidfd));
}

/* The arbiter first: what it still says is recorded. Each gets a moment, then SIGKILL: the ledger's
 * files stand a kill at any time. */
void
programs_stop(struct supervisor *s)
{
	program_stop(&s->arbiter, LEAVE_MS);
	program_stop(&s->ledger, LEDGER_LEAVE_MS);
}
