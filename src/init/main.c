/* rf-init — the first process of a sandbox.
 *
 * Started by rf-supervisor in new user, pid, mount, net, ipc and uts namespaces, as pid 1, with every
 * signal blocked. Builds the root from its plan, applies the locks, starts the command when told, and
 * reaps. Its end is the sandbox's end: the kernel kills all that is left in the pid namespace.
 *
 *   uid           an id of the sandbox's user namespace; never the host's root
 *   capabilities  those of its own user namespace until the command starts, then none
 *   descriptors   3: socket to the supervisor. End of file there ends the sandbox.
 *   reads         its plan, from the supervisor. Nothing of the agent's.
 *   if compromised, an attacker can do what the command can, and see the plan (which holds no secret)
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "init/locks.h"
#include "init/root.h"
#include "ipc/msg.h"
#include "sandbox/plan.h"

#define TIMING_MAX 8
#define CLOSE_ON_EXEC (1u << 2) /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */

struct init {
	int control;
	struct msg view_msg, plan_msg;
	const struct json *view, *plan; /* borrowed from them */
	struct root root;
	uid_t init_uid, command_uid;
	gid_t init_gid, command_gid;
	bool change_ids;
	int filter_fd, stdio[3], workspace_fd, proc_fd, upper_fd;
	struct json *evidence, *timing;
	struct error err;
	/* written by the command's process, which shares our memory until it executes */
	volatile int exec_errno;
	volatile bool prepared;
};

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
	for (unsigned i = 0; i < 3; i++)
		init->stdio[i] = msg_take_fd(&init->plan_msg, 1 + i);
	return 0;
}

static int
enter_groups(struct init *init)
{
	const struct json *fds = json_get(init->plan, "fds");
	unsigned groups = (unsigned)json_get_int(fds, "cgroups", 0);
	for (unsigned i = 0; i < groups; i++) {
		_cleanup_close_ int fd = msg_take_fd(&init->plan_msg, 4 + i);
		if (fd < 0 || write(fd, "0", 1) != 1)
			return error_set_errno(&init->err, errno, "cgroup_failed",
			    "the sandbox cannot enter its control group");
	}
	if (json_get_bool(fds, "workspace", false))
		init->workspace_fd = msg_take_fd(&init->plan_msg, 4 + groups);
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
raise_loopback(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "lo");
	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

/* No user namespace below ours: the kernel's own count is the lock behind the seccomp filter's. Read back
 * for the receipt. The file is the host's /proc's, but the value is our namespace's. */
static int
forbid_nesting(struct init *init)
{
	static const char path[] = "/proc/sys/user/max_user_namespaces";
	char value[16] = {0};
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1 || pread(fd, value, sizeof(value) - 1, 0) <= 0) {
		(void)json_set_str(init->evidence, "nesting", "by seccomp only");
		return 0; /* /proc/sys is read-only in some containers; the filter holds alone, and we say so */
	}
	if (strcmp(value, "0\n") != 0)
		return error_set(&init->err, EPERM, "sandbox_failed",
		    "nested user namespaces cannot be forbidden");
	(void)json_set_str(init->evidence, "nesting", "refused by the kernel's count");
	return 0;
}

static int
name_host(struct init *init)
{
	const char *name = json_get_str(init->view, "hostname", "sandbox");
	if (sethostname(name, strlen(name)) < 0 || raise_loopback() < 0)
		return error_set_errno(&init->err, errno, "sandbox_failed",
		    "cannot set up the host name and the loopback interface");
	/* A session key ring of its own: nothing of the user's key rings is reachable by inheritance. */
	if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0 && errno != ENOSYS)
		return error_set_errno(
		    &init->err, errno, "sandbox_failed", "no new session key ring");
	return 0;
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
		r = forbid_nesting(init);
	if (r < 0)
		return r;
	return root_begin(&init->root, init->view, init->evidence);
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
	r = root_finish(&init->root, init->plan, init->workspace_fd, &init->upper_fd);
	if (r < 0)
		return r;
	/* For the supervisor, which counts by it: everything in here, and nothing else. */
	init->proc_fd = open("/proc", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (init->proc_fd < 0)
		return error_set_errno(&init->err, errno, "sandbox_failed", "cannot open /proc");
	step_done(init, "root");
	r = locks_landlock(init->view, init->evidence, &init->err);
	if (r == 0)
		r = locks_drop_bounding_set();
	if (r == 0)
		step_done(init, "landlock");
	return r;
}

/* ---- the command ---- */

static char **
string_list(const struct json *array)
{
	size_t n = json_len(array);
	char **list = calloc(n + 1, sizeof(*list));
	for (size_t i = 0; list != NULL && i < n; i++)
		list[i] = (char *)(uintptr_t)json_str(json_at(array, i), "");
	return list;
}

static int
send_ready(struct init *init)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set(body, "evidence", TAKE_PTR(init->evidence));
	(void)json_set(body, "timing", TAKE_PTR(init->timing));
	const int fds[] = {init->proc_fd, init->upper_fd};
	return msg_send(init->control, INIT_READY, 0, body, fds, init->upper_fd >= 0 ? 2 : 1);
}

/* Waits for the word to execute. Anything else, or silence for ever, ends us. */
static int
await_go(struct init *init)
{
	struct msg m = MSG_INIT;
	int r = msg_recv(init->control, 0, &m);
	bool go = r == 1 && m.type == INIT_GO;
	msg_done(&m);
	return go ? 0 : -ECANCELED;
}

static int
place_stdio(struct init *init)
{
	for (int i = 0; i < 3; i++)
		if (dup2(init->stdio[i], i) < 0)
			return -errno;
	/* Whatever else is open here, our conversation with the supervisor first of all, ends at the exec. */
	return syscall(SYS_close_range, 3u, ~0u, CLOSE_ON_EXEC) < 0 ? -errno : 0;
}

/* In the command's process, which shares our memory (and has us stopped) until it executes. */
static int
command_main(void *data)
{
	struct init *init = data;
	char **argv = string_list(json_get(init->plan, "argv"));
	char **envp = string_list(json_get(init->plan, "env"));
	const char *cwd = json_get_str(init->plan, "cwd", "/");
	const char *program = json_get_str(init->plan, "program", "");
	sigset_t none;
	int r = argv == NULL || envp == NULL ? -ENOMEM : 0;
	if (r == 0 && (setsid() < 0 || place_stdio(init) < 0))
		r = error_set_errno(
		    &init->err, errno, "sandbox_failed", "cannot place the command's stdio");
	if (r == 0 && chdir(cwd) < 0)
		r = error_set_errno(
		    &init->err, errno, "bad_directory", "cannot enter %s in the sandbox", cwd);
	if (r == 0)
		r = locks_command(init->plan, init->command_uid, init->command_gid,
		    init->change_ids, init->filter_fd, init->evidence, &init->err);
	if (r < 0)
		_exit(1);
	step_done(init, "locks");
	if (send_ready(init) < 0 || await_go(init) < 0)
		_exit(1);
	init->prepared = true;
	/* The supervisor ignores it, which an exec would pass on: `yes | head` must end. */
	(void)signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(program, argv, envp);
	init->exec_errno = errno;
	_exit(127);
}

static int
start_command(struct init *init, pid_t *ret_pid)
{
	static _Alignas(16) char stack[128 * 1024];
	*ret_pid =
	    clone(command_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, init);
	if (*ret_pid < 0)
		return error_set_errno(
		    &init->err, errno, "sandbox_failed", "cannot start the command");
	if (!init->prepared) {
		if (init->err.code[0] == 0)
			(void)error_set(
			    &init->err, ECANCELED, "cancelled", "the sandbox was cancelled");
		return -ECANCELED;
	}
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_int(body, "errno", init->exec_errno);
	(void)json_set_int(body, "pid", *ret_pid);
	return msg_send(init->control, INIT_RUNNING, 0, body, NULL, 0);
}

/* ---- reaping ---- */

static void
send_exited(struct init *init, int status, const struct rusage *usage)
{
	_cleanup_json_ struct json *body = json_new_object();
	if (WIFSIGNALED(status))
		(void)json_set_int(body, "signal", WTERMSIG(status));
	else
		(void)json_set_int(body, "code", WEXITSTATUS(status));
	int64_t user_us = (int64_t)usage->ru_utime.tv_sec * 1000000 + usage->ru_utime.tv_usec;
	int64_t system_us = (int64_t)usage->ru_stime.tv_sec * 1000000 + usage->ru_stime.tv_usec;
	struct json *used = json_new_object();
	(void)json_set_int(used, "cpu_user_us", user_us);
	(void)json_set_int(used, "cpu_system_us", system_us);
	(void)json_set_int(used, "max_rss_bytes", (int64_t)usage->ru_maxrss * 1024);
	struct statfs scratch;
	if (statfs("/tmp", &scratch) == 0) {
		int64_t block = (int64_t)scratch.f_bsize;
		(void)json_set_int(
		    used, "scratch_bytes", (int64_t)(scratch.f_blocks - scratch.f_bfree) * block);
		(void)json_set_bool(
		    used, "scratch_full", scratch.f_bfree == 0 || scratch.f_ffree == 0);
	}
	(void)json_set(body, "usage", used);
	int r = msg_send(init->control, INIT_EXITED, 0, body, NULL, 0);
	(void)r;
}

/* Reaps whatever ended. True once the command itself has. */
static bool
reap(struct init *init, pid_t command)
{
	for (;;) {
		int status;
		struct rusage usage;
		pid_t pid = wait4(-1, &status, WNOHANG, &usage);
		if (pid <= 0)
			return false;
		if (pid == command) {
			send_exited(init, status, &usage);
			return true;
		}
	}
}

/* False when the supervisor is gone. */
static bool
obey(struct init *init, pid_t command)
{
	struct msg m = MSG_INIT;
	int r = msg_recv(init->control, MSG_DONTWAIT, &m);
	if (r == -EAGAIN)
		return true;
	if (r == 1 && m.type == INIT_SIGNAL) {
		int number = (int)json_get_int(m.body, "signal", 0);
		/* To the command's whole process group, as a terminal would. */
		if (number > 0 && number < 65 && kill(-command, number) < 0)
			(void)kill(command, number);
	}
	msg_done(&m);
	return r == 1;
}

static int
supervise(struct init *init, pid_t command, int child_events)
{
	struct pollfd fds[2] = {
	    {.fd = init->control, .events = POLLIN}, {.fd = child_events, .events = POLLIN}};
	for (;;) {
		char info[sizeof(struct signalfd_siginfo)];
		if (reap(init, command))
			return 0;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (fds[1].revents != 0 && read(child_events, info, sizeof(info)) < 0 &&
		    errno != EAGAIN)
			return 1;
		if (fds[0].revents != 0 && !obey(init, command))
			return 1;
	}
}

static int
run(struct init *init)
{
	pid_t command = -1;
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	int child_events = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	int r = receive_view(init);
	if (r == 0)
		r = child_events < 0 ? -errno : begin(init);
	if (r == 0)
		r = receive_plan(init);
	if (r == 0)
		r = finish(init);
	if (r == 0)
		r = start_command(init, &command);
	if (r == 0)
		r = locks_init(init->filter_fd, json_get(init->plan, "filters"), &init->err);
	if (r < 0) {
		if (init->err.code[0] == 0)
			(void)error_set_errno(&init->err, -r, "sandbox_failed", "rf-init failed");
		send_error(init);
		return 1;
	}
	for (int i = 0; i < 3; i++)
		(void)close(init->stdio[i]);
	(void)close(init->filter_fd);
	(void)close(init->proc_fd);
	if (init->upper_fd >= 0)
		(void)close(init->upper_fd);
	return supervise(init, command, child_events);
}

int
main(void)
{
	struct init init = {.control = PLAN_CONTROL_FD,
	    .view_msg = MSG_INIT,
	    .plan_msg = MSG_INIT,
	    .workspace_fd = -1,
	    .proc_fd = -1,
	    .upper_fd = -1,
	    .filter_fd = -1,
	    .stdio = {-1, -1, -1}};
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
