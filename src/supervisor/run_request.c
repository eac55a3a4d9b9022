/* The asked part of a run: its request is checked, its program found (inspection, no effect), the action
 * proposed, and rf-init started in the meantime. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/paths.h"
#include "sandbox/plan.h"
#include "supervisor/request.h"
#include "supervisor/run.h"

#define ARGV_BYTES_MAX (128 * 1024)

/* ---- the request ---- */

static int
check_argv(const struct json *argv, struct error *err)
{
	size_t bytes = 0;
	for (size_t i = 0; i < json_len(argv); i++) {
		const char *text = json_str(json_at(argv, i), NULL);
		if (text == NULL || strlen(text) != json_str_len(json_at(argv, i)))
			return error_set(
			    err, EINVAL, "bad_request", "argv[%zu] is not a string", i);
		bytes += strlen(text) + 1;
	}
	if (json_type(argv) != JSON_ARRAY || json_len(argv) == 0 || bytes > ARGV_BYTES_MAX)
		return error_set(err, EINVAL, "bad_request",
		    "argv must have 1 or more strings, %d bytes at most", ARGV_BYTES_MAX);
	return 0;
}

int
request_check_env(const struct json *env, struct error *err)
{
	for (size_t i = 0; i < json_len(env); i++)
		if (json_str(json_at(env, i), NULL) == NULL ||
		    strchr(json_name_at(env, i), '=') != NULL)
			return error_set(
			    err, EINVAL, "bad_request", "env must map names to strings");
	return 0;
}

int
request_check_policy(const struct json *body, struct error *err)
{
	const struct json *policy = json_get(body, "policy");
	if (json_get_str(policy, "file", NULL) == NULL &&
	    json_get_str(policy, "name", NULL) == NULL)
		return error_set(err, EINVAL, "bad_request", "no policy is named");
	const char *task = json_get_str(body, "task", NULL);
	if (task != NULL && !uuid_valid(task))
		return error_set(err, EINVAL, "bad_request", "the task is not a UUID");
	return 0;
}

/* Takes M's descriptors in their order: the three streams unless there is a terminal, the policy's file, the
 * workspace's directory. */
static int
take_descriptors(struct run *run, struct msg *m, struct error *err)
{
	bool file = json_get_str(json_get(m->body, "policy"), "file", NULL) != NULL;
	bool workspace = json_get(m->body, "workspace") != NULL;
	unsigned streams = json_get(m->body, "tty") != NULL ? 0 : 3;
	unsigned need = streams + (file ? 1u : 0u) + (workspace ? 1u : 0u), n = 0;
	if (m->n_fds != need)
		return error_set(err, EINVAL, "bad_request", "%u descriptors came, %u are needed",
		    m->n_fds, need);
	for (; n < streams; n++)
		run->stdio[n] = msg_take_fd(m, n);
	if (file)
		run->policy_fd = msg_take_fd(m, n++);
	if (workspace)
		run->workspace_fd = msg_take_fd(m, n++);
	return 0;
}

/* Whether directory ANCESTOR is FD or above it, by identity: names and links do not matter. When it
 * cannot be found out the answer is yes. */
static bool
is_below(int fd, const struct stat *ancestor)
{
	struct stat now, up;
	_cleanup_close_ int at = openat(fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (;;) {
		if (at < 0 || fstat(at, &now) < 0)
			return true;
		if (now.st_dev == ancestor->st_dev && now.st_ino == ancestor->st_ino)
			return true;
		int parent = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		(void)close(at);
		at = parent;
		if (at >= 0 && fstat(at, &up) == 0 && up.st_dev == now.st_dev &&
		    up.st_ino == now.st_ino)
			return false; /* the root is its own parent */
	}
}

/* Our sockets, the ledger and its key must not be anybody's workspace: rootless, the command has the uid
 * that they trust. */
static int
check_apart(const struct supervisor *s, int workspace_fd, const char *path, struct error *err)
{
	struct stat workspace, state;
	if (fstat(workspace_fd, &workspace) < 0 || fstat(s->state_fd, &state) < 0)
		return error_set_errno(err, errno, "bad_workspace", "workspace");
	if (!is_below(s->state_fd, &workspace) && !is_below(workspace_fd, &state))
		return 0;
	char shown[200];
	log_escape(path, strlen(path), shown, sizeof(shown));
	(void)error_set(err, EACCES, "bad_workspace",
	    "workspace %s contains Ringfence's state directory, or lies in it", shown);
	error_remedy(
	    err, "name the project's own directory, or move the state: RINGFENCE_STATE=DIR");
	return -EACCES;
}

/* The directory that holds FILE, or -1. */
static int
open_parent(const char *file)
{
	char directory[PATHS_MAX];
	const char *slash = strrchr(file, '/');
	if (slash == NULL || slash == file)
		return -1;
	(void)snprintf(directory, sizeof(directory), "%.*s", (int)(slash - file), file);
	return open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* What decides about the agent must not lie where the agent writes directly: our programs and our
 * configuration. */
static int
check_writable(int workspace_fd, struct error *err)
{
	char program[PATHS_MAX] = "", config[PATHS_MAX] = "";
	struct stat workspace;
	struct error ignored;
	if (fstat(workspace_fd, &workspace) < 0)
		return error_set_errno(err, errno, "bad_workspace", "workspace");
	(void)!paths_program("rf-supervisor", program, &ignored);
	(void)!paths_config_file(config, &ignored);
	_cleanup_close_ int programs = open_parent(program), configs = open_parent(config);
	if ((programs < 0 || !is_below(programs, &workspace)) &&
	    (configs < 0 || !is_below(configs, &workspace)))
		return 0;
	(void)error_set(err, EACCES, "bad_workspace",
	    "this workspace contains Ringfence's own programs or configuration");
	error_remedy(err, "use a staged workspace: nothing in it changes without --commit");
	return -EACCES;
}

int
request_check_workspace(
    const struct supervisor *s, const struct json *workspace, int fd, struct error *err)
{
	struct stat st;
	if (workspace == NULL)
		return 0;
	const char *mode = json_get_str(workspace, "mode", "");
	if (strcmp(mode, "staged") != 0 && strcmp(mode, "direct") != 0)
		return error_set(err, EINVAL, "bad_request", "a workspace is staged or direct");
	if (json_get_str(workspace, "path", "")[0] != '/' || fstat(fd, &st) < 0 ||
	    !S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "bad_workspace", "the workspace is not a directory");
	int r = check_apart(s, fd, json_get_str(workspace, "path", ""), err);
	return r < 0 || strcmp(mode, "direct") != 0 ? r : check_writable(fd, err);
}

/* ---- proposing ---- */

static bool
has_workspace(const struct run *run)
{
	return run->session != NULL ? run->session->workspace_mode != NULL
				    : json_get(run->request.body, "workspace") != NULL;
}

static const char *
working_directory(const struct run *run)
{
	return json_get_str(
	    run->request.body, "cwd", has_workspace(run) ? PLAN_WORKSPACE : PLAN_HOME);
}

static struct json *
make_action(const struct run *run)
{
	const struct json *body = run->request.body, *env = json_get(body, "env");
	struct json *action = json_new_object(), *request = json_new_object(),
		    *names = json_new_array();
	for (size_t i = 0; i < json_len(env); i++)
		(void)json_push(names, json_new_string(json_name_at(env, i)));
	(void)json_set_str(request, "program", run->program);
	(void)json_set_str(request, "resolved", run->resolved);
	(void)json_set(request, "argv", json_copy(json_get(body, "argv")));
	(void)json_set_str(request, "cwd", working_directory(run));
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

/* With CLAIM the arbiter claims what it allows at once: a sandbox waits. */
static int
ask(struct run *run, bool claim)
{
	struct conn *arbiter = run->s->arbiter.conn;
	if (arbiter == NULL)
		return -ENOTCONN;
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set(body, "action", make_action(run));
	(void)json_set(body, "policy", json_copy(run->policy));
	(void)json_set_int(body, "requester_uid", conn_uid(run->client));
	if (claim)
		(void)json_set_bool(body, "claim", true);
	run->asked_serial = conn_next_serial(arbiter);
	return conn_send(arbiter, MSG_PROPOSE, run->asked_serial, body, NULL, 0);
}

static int
find_program(struct run *run, struct error *err)
{
	const char *name = json_str(json_at(json_get(run->request.body, "argv"), 0), "");
	int r = sandbox_host_resolve(run->s->sandboxes, run->config, name, working_directory(run),
	    run->program, run->resolved);
	if (r == 0)
		return 0;
	char shown[200];
	log_escape(name, strlen(name), shown, sizeof(shown));
	if (r == -EACCES)
		return error_set(
		    err, EACCES, "program_not_executable", "%s: not executable", shown);
	/* Perhaps there is no such root: an image that was never imported. */
	const struct json *view;
	if (run->config != NULL) {
		r = sandbox_host_view(run->s->sandboxes, run->config, &view, err);
		if (r < 0)
			return r;
	}
	(void)error_set(
	    err, ENOENT, "program_not_found", "%s: no such program in the sandbox", shown);
	error_remedy(err, "the sandbox shows its root (%s) and the workspace, nothing else",
	    json_get_str(run->config, "root", "the host's /usr"));
	return -ENOENT;
}

/* Something to build on while the arbiter decides. */
static int
begin_sandbox(struct run *run, struct error *err)
{
	const struct json *view = NULL;
	if (run->config != NULL) {
		int r = sandbox_host_view(run->s->sandboxes, run->config, &view, err);
		if (r < 0)
			return r;
	}
	int r = pool_spawn(run->s->pool, view, run->sandbox_id, &run->sandbox, err);
	if (r == 0 && run_watch_sandbox(run) < 0)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	run_mark(run, "spawned", clock_monotonic_ns());
	return r;
}

void
run_propose(struct run *run)
{
	struct error err = {0};
	bool warm = run->session != NULL;
	bool waits = false;
	if (!warm && run->config != NULL) {
		pool_key(run->s->pool, run->policy_hash, run->config,
		    json_get_str(json_get(run->request.body, "workspace"), "mode", NULL), run->key);
		waits = pool_has(run->s->pool, run->key);
		warm = waits && !has_workspace(run);
	}
	run_set_state(run, RUN_PROPOSED);
	int r = find_program(run, &err);
	if (r == 0 && ask(run, warm) < 0)
		r = error_set(&err, EIO, "internal", "the arbiter cannot be asked");
	if (r == 0) {
		run_mark(run, "proposed", clock_monotonic_ns());
		run_await(run);
	}
	if (r == 0 && !warm && !waits)
		r = begin_sandbox(run, &err);
	if (r == 0 && run->session == NULL)
		network_expect(run->s, run->config); /* the arbiter is at work meanwhile */
	if (r < 0)
		run_fail(run, &err);
}

/* ---- the policy ---- */

static void
know_policy(struct run *run, const char *hash, const struct json *config)
{
	(void)snprintf(run->policy_hash, sizeof(run->policy_hash), "%s", hash);
	run->config = json_copy(config);
	request_tighten(run->config, json_get(run->request.body, "limits"));
}

bool
run_on_viewed(struct supervisor *s, struct msg *m)
{
	struct run *run = s->runs;
	while (run != NULL && (run->state != RUN_VIEWING || run->asked_serial != m->serial))
		run = run->next;
	if (run == NULL)
		return false;
	const char *hash = json_get_str(m->body, "policy", "");
	const struct json *config = json_get(m->body, "sandbox");
	const char *name = json_get_str(run->policy, "name", NULL);
	run_answered(run);
	run_mark(run, "viewed", clock_monotonic_ns());
	policies_note(s, name, hash, config);
	if (name == NULL) {
		/* The file is read once: what is proposed is what was viewed. */
		json_free(run->policy);
		run->policy = json_new_object();
		(void)json_set_str(run->policy, "hash", hash);
	}
	know_policy(run, hash, config);
	run_propose(run);
	return true;
}

/* The request is good: on to its policy. */
static void
begin(struct run *run)
{
	struct supervisor *s = run->s;
	if (!policies_must_ask(s, run->policy)) {
		const struct json *known =
		    policies_known(s, json_get_str(run->policy, "name", NULL));
		if (known != NULL)
			know_policy(
			    run, json_get_str(known, "policy", ""), json_get(known, "sandbox"));
		run_propose(run);
		return;
	}
	run->asked_serial = policies_ask(s, run->policy, run->policy_fd);
	if (run->asked_serial == 0)
		run_fail_with(run, EIO, "internal", "the arbiter cannot be asked");
	else
		run_await(run);
}

/* ---- the request ---- */

int
request_check_mode(const struct json *config, const char *mode, struct error *err)
{
	const char *allowed = json_get_str(config, "workspace", "none");
	if (mode == NULL || strcmp(mode, allowed) == 0 ||
	    (strcmp(mode, "staged") == 0 && strcmp(allowed, "direct") == 0))
		return 0;
	(void)error_set(err, EACCES, "denied",
	    "the policy allows no %s workspace (sandbox.workspace: %s)", mode, allowed);
	error_remedy(
	    err, "set sandbox.workspace: %s in the policy, or use --policy workspace", mode);
	return -EACCES;
}

int
request_tighten(struct json *config, const struct json *wanted)
{
	struct json *limits = json_get(config, "limits");
	int n = 0;
	for (size_t i = 0; i < json_len(wanted); i++) {
		const char *name = json_name_at(wanted, i);
		int64_t value = json_int(json_at(wanted, i), 0),
			now = json_get_int(limits, name, 0);
		if (value <= 0 || (now != 0 && value >= now))
			continue;
		(void)json_set_int(limits, name, value);
		n++;
	}
	return n;
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
	run->stdio[0] = run->stdio[1] = run->stdio[2] = run->policy_fd = run->workspace_fd = -1;
	run->timing = json_new_array();
	run->request = (struct msg)MSG_INIT;
	run->next = s->runs;
	s->runs = run;
	s->n_runs++;
	s->idle = timer_cancel(s->idle);
	run_mark(run, "received", clock_monotonic_ns());
	return run;
}

int
request_possible(const struct supervisor *s, struct error *err)
{
	if (s->leaving)
		return error_set(err, ESHUTDOWN, "leaving", "rf-supervisor is about to leave");
	if (s->arbiter.conn == NULL || s->ledger.conn == NULL)
		return error_set(
		    err, EAGAIN, "not_ready", "the arbiter or the ledger is being restarted");
	return 0;
}

/* What every command's request must be. */
static int
check_command(const struct conn *conn, const struct msg *m, struct error *err)
{
	const struct supervisor *s = conn_data(conn);
	for (const struct run *other = s->runs; other != NULL; other = other->next)
		if (other->client == conn && other->state != RUN_ENDING)
			return error_set(
			    err, EBUSY, "bad_request", "one run at a time on one connection");
	int r = request_possible(s, err);
	if (r == 0)
		r = check_argv(json_get(m->body, "argv"), err);
	return r < 0 ? r : request_check_env(json_get(m->body, "env"), err);
}

/* Takes the request over into a run; one that cannot be is answered. */
static struct run *
accept_run(struct conn *conn, struct msg *m, struct error *err)
{
	struct run *run = run_new(conn, m);
	if (run == NULL) {
		(void)error_set(err, ENOMEM, "no_memory", "out of memory");
		return NULL;
	}
	int r = take_descriptors(run, m, err);
	run->request.body = TAKE_PTR(m->body);
	const char *task = json_get_str(run->request.body, "task", NULL);
	if (task != NULL)
		(void)snprintf(run->task, sizeof(run->task), "%s", task);
	if (r == 0 && run->session == NULL &&
	    ((task == NULL && uuid7_new(run->task) < 0) || uuid7_new(run->sandbox_id) < 0))
		r = error_set(err, EIO, "internal", "no random numbers");
	if (r < 0) {
		run_fail(run, err);
		return NULL;
	}
	return run;
}

int
run_on_request(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	int r = check_command(conn, m, &err);
	if (r == 0)
		r = request_check_policy(m->body, &err);
	if (r < 0)
		return conn_send_error(conn, m->serial, &err);
	struct run *run = accept_run(conn, m, &err);
	if (run == NULL)
		return 0;
	run->policy = json_copy(json_get(run->request.body, "policy"));
	if (request_check_workspace(
		s, json_get(run->request.body, "workspace"), run->workspace_fd, &err) < 0)
		run_fail(run, &err);
	else
		begin(run);
	return 0;
}

/* What the session gives to every command, under what this one asks for. */
static void
add_session_env(struct run *run)
{
	struct json *env = json_get(run->request.body, "env");
	const struct json *all = run->session->env;
	if (env == NULL && json_len(all) > 0) {
		(void)json_set(run->request.body, "env", json_new_object());
		env = json_get(run->request.body, "env");
	}
	for (size_t i = 0; i < json_len(all); i++)
		if (json_get(env, json_name_at(all, i)) == NULL)
			(void)json_set(env, json_name_at(all, i), json_copy(json_at(all, i)));
}

int
run_on_exec(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	int r = check_command(conn, m, &err);
	struct session *session =
	    r < 0 ? NULL : session_find(s, json_get_str(m->body, "sandbox", ""), &err);
	if (session != NULL && session->state != SESSION_READY)
		(void)error_set(&err, EAGAIN, "not_ready", "the sandbox is not ready");
	else if (session != NULL && session->paused)
		(void)error_set(&err, EAGAIN, "paused", "the sandbox is paused; resume it first");
	if (session == NULL || err.code[0] != 0)
		return conn_send_error(conn, m->serial, &err);
	struct run *run = accept_run(conn, m, &err);
	if (run == NULL)
		return 0;
	run->session = session;
	run->sandbox = session->sandbox;
	run->number = session->next_number++;
	run->detached = json_get_bool(run->request.body, "detach", false);
	(void)snprintf(run->task, sizeof(run->task), "%s", session->task);
	(void)snprintf(run->sandbox_id, sizeof(run->sandbox_id), "%s", session->id);
	(void)snprintf(run->policy_hash, sizeof(run->policy_hash), "%s", session->policy_hash);
	run->policy = json_copy(session->policy);
	run->config = json_copy(session->config);
	request_tighten(run->config, json_get(run->request.body, "limits"));
	add_session_env(run);
	session_command_begins(session);
	run_propose(run);
	return 0;
}
