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
#include "supervisor/run.h"

#define ARGV_BYTES_MAX (128 * 1024)

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
			return error_set(
			    err, EINVAL, "bad_request", "argv[%zu] is not a string", i);
		bytes += strlen(text) + 1;
	}
	if (json_type(argv) != JSON_ARRAY || json_len(argv) == 0 || bytes > ARGV_BYTES_MAX)
		return error_set(err, EINVAL, "bad_request",
		    "argv must have 1 or more strings, %d bytes at most", ARGV_BYTES_MAX);
	for (size_t i = 0; i < json_len(env); i++)
		if (json_str(json_at(env, i), NULL) == NULL ||
		    strchr(json_name_at(env, i), '=') != NULL)
			return error_set(
			    err, EINVAL, "bad_request", "env must map names to strings");
	if (!file && json_get_str(policy, "name", NULL) == NULL)
		return error_set(err, EINVAL, "bad_request", "no policy is named");
	if (m->n_fds != fds)
		return error_set(err, EINVAL, "bad_request", "%u descriptors came, %u are needed",
		    m->n_fds, fds);
	const char *task = json_get_str(m->body, "task", NULL);
	if (task != NULL && !uuid_valid(task))
		return error_set(err, EINVAL, "bad_request", "the task is not a UUID");
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

static int
check_workspace_fd(const struct supervisor *s, const struct msg *m, struct error *err)
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
	int fd = m->fds[m->n_fds - 1];
	int r = check_apart(s, fd, json_get_str(workspace, "path", ""), err);
	return r < 0 || strcmp(mode, "direct") != 0 ? r : check_writable(fd, err);
}

static struct json *
make_action(const struct run *run, const char *resolved)
{
	const struct json *body = run->request.body, *env = json_get(body, "env");
	struct json *action = json_new_object(), *request = json_new_object(),
		    *names = json_new_array();
	bool workspace = json_get(body, "workspace") != NULL;
	for (size_t i = 0; i < json_len(env); i++)
		(void)json_push(names, json_new_string(json_name_at(env, i)));
	(void)json_set_str(request, "program", run->program);
	(void)json_set_str(request, "resolved", resolved);
	(void)json_set(request, "argv", json_copy(json_get(body, "argv")));
	(void)json_set_str(
	    request, "cwd", json_get_str(body, "cwd", workspace ? PLAN_WORKSPACE : PLAN_HOME));
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
	return conn_send(
	    arbiter, MSG_PROPOSE, run->propose_serial, body, &run->request.fds[3], file ? 1 : 0);
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
		return error_set(
		    err, EACCES, "program_not_executable", "%s: not executable", shown);
	(void)error_set(
	    err, ENOENT, "program_not_found", "%s: no such program in the sandbox", shown);
	error_remedy(err, "the sandbox shows the host's /usr and the workspace, nothing else");
	return -ENOENT;
}

static int
watch_sandbox(struct run *run)
{
	int r = loop_watch(
	    run->s->loop, run->sandbox->control, EPOLLIN, run_on_control, run, &run->control);
	if (r == 0)
		r = loop_watch(run->s->loop, run->sandbox->pidfd, EPOLLIN, run_on_pid_end, run,
		    &run->pid_watch);
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
			(void)error_set(
			    &err, EBUSY, "bad_request", "one run at a time on one connection");
			return conn_send_error(conn, m->serial, &err);
		}
	if (s->leaving)
		(void)error_set(&err, ESHUTDOWN, "leaving", "rf-supervisor is about to leave");
	else if (s->arbiter.conn == NULL || s->ledger.conn == NULL)
		(void)error_set(
		    &err, EAGAIN, "not_ready", "the arbiter or the ledger is being restarted");
	else if (check_request(m, &err) == 0)
		(void)check_workspace_fd(s, m, &err);
	if (err.code[0] != 0)
		return conn_send_error(conn, m->serial, &err);
	struct run *run = run_new(conn, m);
	if (run == NULL)
		return -ENOMEM;
	run_mark(run, "received", clock_monotonic_ns());
	int r = find_program(run, resolved, &err);
	const char *task = json_get_str(run->request.body, "task", NULL);
	if (task != NULL)
		(void)snprintf(run->task, sizeof(run->task), "%s", task);
	if (r == 0 &&
	    ((task == NULL && uuid7_new(run->task) < 0) || uuid7_new(run->sandbox_id) < 0))
		r = error_set(&err, EIO, "internal", "no random numbers");
	if (r == 0 && propose(run, resolved) < 0)
		r = error_set(&err, EIO, "internal", "the arbiter cannot be asked");
	if (r == 0) {
		run_mark(run, "proposed", clock_monotonic_ns());
		run_await(run);
	}
	if (r == 0)
		r = spare_take(s, run->sandbox_id, &run->sandbox, &err);
	if (r == 0)
		run_mark(run, "spawned", clock_monotonic_ns());
	if (r == 0 && watch_sandbox(run) < 0)
		r = error_set(&err, ENOMEM, "no_memory", "out of memory");
	if (r < 0)
		run_fail(run, &err);
	return 0;
}
