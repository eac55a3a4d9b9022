#include "supervisor/layers_call.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "ipc/paths.h"
#include "sandbox/layers.h"
#include "sys/process.h"

#define PATIENCE_MS 300000 /* a copy may be large */

/* The process may outlive its answer, and even the session, by an instant: it is reaped on its own. */
struct layers_call {
	struct loop *loop;
	int pidfd, control; /* owned */
	struct watch *pid_watch, *control_watch;
	struct timer *patience;
	bool exchanges;      /* it has begun to exchange mounts */
	layers_reply_fn *fn; /* NULL once it was called or nobody wants it */
	void *data;
};

static void
call_free(struct layers_call *call)
{
	call->pid_watch = watch_remove(call->pid_watch);
	call->control_watch = watch_remove(call->control_watch);
	call->patience = timer_cancel(call->patience);
	close_fd(&call->pidfd);
	close_fd(&call->control);
	free(call);
}

static void
answer(struct layers_call *call, struct msg *m, const struct error *err)
{
	layers_reply_fn *fn = TAKE_PTR(call->fn);
	call->control_watch = watch_remove(call->control_watch);
	call->patience = timer_cancel(call->patience);
	if (fn != NULL)
		fn(m, err, call->data);
}

/* The process did not answer and will not. */
static void
fall_silent(struct layers_call *call, int errnum, const char *what)
{
	struct error err;
	(void)error_set(
	    &err, errnum, call->exchanges ? LAYERS_SILENT : "layers_failed", "rf-layers %s", what);
	answer(call, NULL, &err);
}

/* False when there is nothing to read now. */
static bool
read_reply(struct layers_call *call)
{
	struct msg m = MSG_INIT;
	struct error err;
	int r = msg_recv(call->control, MSG_DONTWAIT, &m);
	if (r == -ECONNRESET) /* it ended without reading the request: what it said comes after */
		r = msg_recv(call->control, MSG_DONTWAIT, &m);
	if (r == -EAGAIN)
		return false;
	if (r == 1 && m.type == LAYERS_EXCHANGES) {
		call->exchanges = true;
	} else if (r != 1 || m.type != LAYERS_DONE) {
		fall_silent(call, EIO, "ended without an answer");
	} else if (json_get(m.body, "error") != NULL) {
		msg_error_read(m.body, &err);
		answer(call, NULL, &err);
	} else {
		answer(call, &m, NULL);
	}
	msg_done(&m);
	return true;
}

static void
on_control(struct watch *watch, uint32_t events, void *data)
{
	(void)watch;
	(void)events;
	(void)read_reply(data);
}

static void
on_pid_end(struct watch *watch, uint32_t events, void *data)
{
	struct layers_call *call = data;
	(void)watch;
	(void)events;
	if (process_reap(call->pidfd, false, NULL) == -EAGAIN)
		return;
	while (call->fn != NULL && read_reply(call))
		;
	call_free(call);
}

static void
on_patience(struct timer *timer, void *data)
{
	struct layers_call *call = data;
	(void)timer;
	call->patience = NULL;
	(void)process_signal(call->pidfd, SIGKILL);
	fall_silent(call, ETIMEDOUT, "does not answer");
}

/* ---- starting ---- */

static int
start(struct layers_call *call, int theirs, struct error *err)
{
	static const char *const argv[] = {"rf-layers", NULL};
	char path[PATHS_MAX];
	pid_t pid;
	int r = paths_program("rf-layers", path, err);
	if (r < 0)
		return r;
	_cleanup_close_ int program = open(path, O_PATH | O_CLOEXEC);
	if (program < 0)
		return error_set_errno(err, errno, "not_installed", "cannot open %s", path);
	int fds[] = {-1, -1, -1, theirs};
	struct process_spec spec = {.program_fd = program,
	    .argv = argv,
	    .envp = argv + 1,
	    .fds = fds,
	    .n_fds = 4,
	    .die_with_parent = true};
	r = process_start(&spec, &pid, &call->pidfd);
	return r < 0 ? error_set_errno(err, -r, "layers_failed", "cannot start rf-layers") : 0;
}

static int
send_request(
    struct layers_call *call, const struct sandbox *sandbox, struct json *request, bool in_group)
{
	struct json *ids = json_new_object(), *owner = json_new_object();
	int fds[MSG_FDS_MAX] = {sandbox->pidfd};
	unsigned n = 1;
	(void)json_set_int(ids, "uid", sandbox->inner_init_uid);
	(void)json_set_int(ids, "gid", sandbox->inner_init_gid);
	(void)json_set_bool(ids, "change", !sandbox_host_rootless(sandbox->host));
	(void)json_set_int(owner, "uid", sandbox->inner_uid);
	(void)json_set_int(owner, "gid", sandbox->inner_gid);
	(void)json_set(request, "ids", ids);
	(void)json_set(request, "owner", owner);
	if (in_group && sandbox->group != NULL) {
		const int *entries;
		unsigned groups = cgroup_entry_fds(sandbox->group, &entries);
		for (unsigned i = 0; i < groups && n < MSG_FDS_MAX; i++)
			fds[n++] = entries[i];
	}
	return msg_send(call->control, LAYERS_DO, 1, request, fds, n);
}

static int
watch_call(struct layers_call *call)
{
	int r =
	    loop_watch(call->loop, call->control, EPOLLIN, on_control, call, &call->control_watch);
	if (r == 0)
		r = loop_watch(
		    call->loop, call->pidfd, EPOLLIN, on_pid_end, call, &call->pid_watch);
	if (r == 0)
		r = loop_timer(call->loop, PATIENCE_MS, on_patience, call, &call->patience);
	return r;
}

int
layers_call(struct session *session, struct json *request, bool in_group, layers_reply_fn *fn,
    void *data, struct layers_call **ret, struct error *err)
{
	_cleanup_json_ struct json *body = request;
	struct layers_call *call = calloc(1, sizeof(*call));
	int pair[2];
	if (call == NULL || msg_pair(pair) < 0) {
		free(call);
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	}
	_cleanup_close_ int theirs = pair[1];
	*call = (struct layers_call){
	    .loop = session->s->loop, .pidfd = -1, .control = pair[0], .fn = fn, .data = data};
	int r = start(call, theirs, err);
	if (r < 0) {
		call_free(call);
		return r;
	}
	r = send_request(call, session->sandbox, body, in_group);
	if (r == 0)
		r = watch_call(call);
	if (r < 0) {
		(void)process_signal(call->pidfd, SIGKILL);
		(void)process_reap(call->pidfd, true, NULL);
		call_free(call);
		return error_set_errno(err, -r, "layers_failed", "rf-layers cannot be asked");
	}
	*ret = call;
	return 0;
}

struct layers_call *
layers_call_cancel(struct layers_call *call)
{
	if (call == NULL)
		return NULL;
	call->fn = NULL;
	call->control_watch = watch_remove(call->control_watch);
	call->patience = timer_cancel(call->patience);
	(void)process_signal(call->pidfd, SIGKILL); /* on_pid_end frees it */
	return NULL;
}
