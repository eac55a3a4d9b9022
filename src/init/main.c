/* rf-init — the first process of a sandbox.
 *
 * Started by rf-supervisor in new user, pid, mount, net, ipc and uts namespaces, as pid 1, with every
 * signal blocked. Builds the root from its plan, applies the locks, executes what is ordered and reaps. Its
 * end is the sandbox's end: the kernel kills all that is left in the pid namespace.
 *
 *   view → plan → READY ─GO→ one command, whose end is ours
 *                       └STAY→ a session: EXEC and OPEN, under the command's own filter, until end of file
 *
 *   uid           an id of the sandbox's user namespace; never the host's root
 *   capabilities  those of its own user namespace while it builds; then CAP_KILL over it, and in a
 *                 session CAP_SETUID and CAP_SETGID over it, which is how a command gets its id
 *   descriptors   3: socket to the supervisor. End of file there ends the sandbox.
 *   reads         its plan and orders, from the supervisor. Nothing of the agent's.
 *   if compromised, an attacker can do what the command can, and see the plan (which holds no secret)
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "init/init.h"
#include "init/locks.h"
#include "init/network.h"
#include "sandbox/plan.h"

static void
step_done(struct init *init, const char *name)
{
	struct json *step = json_new_object();
	(void)json_set_str(step, "step", name);
	(void)json_set_int(step, "at_ns", clock_monotonic_ns());
	(void)json_push(init->timing, step);
}

static void
send_error(struct init *init)
{
	_cleanup_json_ struct json *body = msg_error_body(&init->err);
	int r = msg_send(init->control, INIT_FAILED, 0, body, NULL, 0);
	(void)r; /* the supervisor sees our end in any case */
}

/* ---- before the plan matters ---- */

static int
receive(struct init *init, uint16_t type, struct msg *m, const struct json **ret)
{
	int r = msg_recv(init->control, 0, m);
	if (r <= 0)
		return r == 0 ? -ECONNRESET : r;
	*ret = m->body;
	return m->type == type ? 0 : -EBADMSG;
}

static int
receive_view(struct init *init)
{
	int r = receive(init, INIT_VIEW, &init->view_msg, &init->view);
	if (r < 0)
		return r;
	const struct json *ids = json_get(init->view, "ids");
	init->change_ids = json_get_bool(ids, "groups", false);
	init->init_uid = (uid_t)json_get_int(ids, "init", (int64_t)getuid());
	init->command_uid = (uid_t)json_get_int(ids, "command", (int64_t)getuid());
	init->init_gid = (gid_t)json_get_int(ids, "init_group", (int64_t)getgid());
	init->command_gid = (gid_t)json_get_int(ids, "command_group", (int64_t)getgid());
	return 0;
}

static int
receive_plan(struct init *init)
{
	int r = receive(init, INIT_PLAN, &init->plan_msg, &init->plan);
	if (r < 0)
		return r;
	init->filter_fd = msg_take_fd(&init->plan_msg, 0);
	return 0;
}

static int
enter_groups(struct init *init)
{
	const struct json *fds = json_get(init->plan, "fds");
	unsigned groups = (unsigned)json_get_int(fds, "cgroups", 0);
	for (unsigned i = 0; i < groups; i++) {
		_cleanup_close_ int fd = msg_take_fd(&init->plan_msg, 1 + i);
		if (fd < 0 || write(fd, "0", 1) != 1)
			return error_set_errno(&init->err, errno, "cgroup_failed",
			    "the sandbox cannot enter its control group");
	}
	bool workspace = json_get_bool(fds, "workspace", false);
	if (workspace)
		init->workspace_fd = msg_take_fd(&init->plan_msg, 1 + groups);
	if (json_get_bool(json_get(init->plan, "network"), "bundle", false))
		init->bundle_fd = msg_take_fd(&init->plan_msg, 1 + groups + (workspace ? 1 : 0));
	if (unshare(CLONE_NEWCGROUP) < 0)
		return error_set_errno(&init->err, errno, "sandbox_failed", "no cgroup namespace");
	return 0;
}

static int
become_init(struct init *init)
{
	if (init->change_ids &&
	    (setgroups(0, NULL) < 0 ||
		syscall(SYS_setresgid, init->init_gid, init->init_gid, init->init_gid) < 0 ||
		syscall(SYS_setresuid, init->init_uid, init->init_uid, init->init_uid) < 0))
		return error_set_errno(&init->err, errno, "sandbox_failed", "cannot change ids");
	/* After the change of uid, which clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return error_set_errno(
		    &init->err, errno, "sandbox_failed", "no parent-death signal");
	umask(022);
	return 0;
}

static int
name_host(struct init *init)
{
	const char *name = json_get_str(init->view, "hostname", "sandbox");
	if (sethostname(name, strlen(name)) < 0 || network_raise_loopback() < 0)
		return error_set_errno(&init->err, errno, "sandbox_failed",
		    "cannot set up the host name and the loopback interface");
	return locks_keyring(&init->err);
}

/* The ids of our namespaces, as the host's /proc shows them while it is still in sight. */
static void
note_namespaces(struct init *init)
{
	static const char *const names[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};
	struct json *list = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[40], id[64];
		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		ssize_t n = readlink(path, id, sizeof(id) - 1);
		if (n <= 0)
			continue;
		id[n] = 0;
		(void)json_set_str(list, names[i], id);
	}
	(void)json_set(init->evidence, "namespaces", list);
}

/* What needs no policy: done while the arbiter decides, or long before in a kept sandbox. */
static int
begin(struct init *init)
{
	init->root = (struct root){.fd = -1,
	    .scratch = -1,
	    .uid = init->command_uid,
	    .gid = init->command_gid,
	    .err = &init->err};
	int r = root_open(&init->root, init->view);
	if (r == 0)
		r = become_init(init);
	if (r == 0)
		r = name_host(init);
	if (r == 0)
		r = locks_nesting(init->evidence, &init->err);
	if (r < 0)
		return r;
	return root_begin(&init->root, init->view, init->evidence);
}

/* All is built but for the workspace, which a sandbox prepared ahead does not know yet. */
static int
await_workspace(struct init *init)
{
	struct msg m = MSG_INIT;
	const struct json *ignored;
	int r = root_scratch(&init->root, init->view, init->plan);
	if (r == 0)
		r = msg_send(init->control, INIT_WAITING, 0, NULL, NULL, 0);
	if (r == 0)
		r = receive(init, INIT_WORKSPACE, &m, &ignored);
	if (r == 0) {
		init->workspace_fd = msg_take_fd(&m, 0);
		r = init->workspace_fd < 0
		    ? -EBADMSG
		    : json_set(init->plan_msg.body, "workspace", TAKE_PTR(m.body));
	}
	msg_done(&m);
	return r;
}

static int
finish(struct init *init)
{
	step_done(init, "plan received");
	int r = enter_groups(init);
	if (r < 0)
		return r;
	note_namespaces(init);
	step_done(init, "group");
	const struct json *network = json_get(init->plan, "network");
	if (network != NULL) {
		r = network_open(network, init->control, init->evidence, &init->err);
		if (r < 0)
			return r;
		step_done(init, "network");
	}
	if (json_get_bool(init->plan, "later", false))
		r = await_workspace(init);
	if (r == 0)
		r = root_finish(
		    &init->root, init->view, init->plan, init->workspace_fd, &init->upper_fd);
	if (r == 0 && network != NULL)
		r = network_show(network, init->bundle_fd, &init->err);
	if (r < 0)
		return r;
	close_fd(&init->bundle_fd);
	init->scratch_fd = TAKE_FD(init->root.scratch);
	/* For the supervisor, which counts by it: everything in here, and nothing else. */
	init->proc_fd = open("/proc", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (init->proc_fd < 0)
		return error_set_errno(&init->err, errno, "sandbox_failed", "cannot open /proc");
	step_done(init, "root");
	init->noexec = json_get_bool(init->view, "noexec", false);
	r = init->upper_fd >= 0
	    ? locks_landlock_rules(init->view, init->evidence, &init->rules_fd, &init->err)
	    : locks_landlock(init->view, init->evidence, &init->err);
	msg_done(&init->view_msg); /* what comes now can have its memory */
	init->view = NULL;
	if (r == 0)
		r = locks_drop_bounding_set();
	if (r == 0)
		step_done(init, "landlock");
	return r;
}

/* What was needed to build, and what a waiting process must not hold. */
static void
let_go(struct init *init)
{
	(void)close(TAKE_FD(init->proc_fd));
	(void)close(TAKE_FD(init->scratch_fd));
	if (init->upper_fd >= 0)
		(void)close(TAKE_FD(init->upper_fd));
	if (init->session)
		return; /* each command gets the plan's limits */
	if (init->rules_fd >= 0)
		(void)close(TAKE_FD(init->rules_fd));
	msg_done(&init->plan_msg);
	init->plan = NULL;
}

/* The locks of the time after building: narrow ones when our only command runs already, the command's own
 * where more will be started. */
static int
confine(struct init *init)
{
	const struct json *filters = json_get(init->plan, "filters");
	return init->session ? locks_session(init->filter_fd, filters, init->change_ids, &init->err)
			     : locks_init(init->filter_fd, filters, &init->err);
}

static int
run(struct init *init)
{
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	init->child_events = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	int r = receive_view(init);
	if (r == 0)
		r = init->child_events < 0 ? -errno : begin(init);
	if (r == 0)
		r = receive_plan(init);
	if (r == 0)
		r = finish(init);
	if (r == 0)
		r = command_prepare(init);
	if (r == 0) {
		init->session = init->stay;
		r = confine(init);
	}
	if (r < 0) {
		if (init->err.code[0] == 0)
			(void)error_set_errno(&init->err, -r, "sandbox_failed", "rf-init failed");
		send_error(init);
		return 1;
	}
	(void)close(TAKE_FD(init->filter_fd));
	let_go(init);
	return serve(init);
}

int
main(void)
{
	struct init init = {.control = PLAN_CONTROL_FD,
	    .child_events = -1,
	    .view_msg = MSG_INIT,
	    .plan_msg = MSG_INIT,
	    .workspace_fd = -1,
	    .bundle_fd = -1,
	    .proc_fd = -1,
	    .scratch_fd = -1,
	    .upper_fd = -1,
	    .rules_fd = -1,
	    .filter_fd = -1};
	if (getpid() != 1) {
		static const char text[] =
		    "rf-init: started by rf-supervisor inside a sandbox, not by hand\n";
		ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
		(void)n;
		return 125;
	}
	init.evidence = json_new_object();
	init.timing = json_new_array();
	return run(&init);
}
