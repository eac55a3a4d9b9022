/* Processes that become commands. Each shares our memory, and we do nothing, until it executes or ends
 * (CLONE_VM): a start costs the same however large we are, and what it finds out is ours to read.
 *
 * The first one is made ahead: it applies every lock, reads each back from the kernel, reports INIT_READY, and
 * only then waits for what to execute. What it executes it learns last of all, so a whole sandbox can wait,
 * locked, for whoever comes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "init/init.h"
#include "init/locks.h"
#include "sandbox/plan.h"

#define CLOSE_ON_EXEC (1u << 2) /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

#define STACK_USED (256 * 1024) /* how far down our own stack may have been used before */
#define FRAME_BYTES \
	1024 /* more than a function without arrays, and what it calls, has on the stack */

typedef int process_fn(void *data);

/* Runs FN in a process of its own until it executes or ends. Its pid, or -errno. */
static pid_t
spawn(struct init *init, process_fn *fn)
{
	static _Alignas(4096) char stack[256 * 1024]; /* msg_recv alone takes half of it */
	int gone[2];
	char none;
	if (pipe2(gone, O_CLOEXEC) < 0)
		return error_set_errno(
		    &init->err, errno, "sandbox_failed", "cannot start a process in the sandbox");
	init->their_stack = stack;
	init->our_stack = (const char *)__builtin_frame_address(0) - FRAME_BYTES;
	pid_t pid = clone(fn, stack + sizeof(stack), CLONE_VM | SIGCHLD, init);
	/* Its descriptors are closed after it has left our memory, by an exec or by its end: until then we do nothing
	 * but wait. (CLONE_VFORK would have the kernel wait, in a state that counts as load.) */
	(void)close(gone[1]);
	while (pid >= 0 && read(gone[0], &none, 1) < 0 && errno == EINTR)
		;
	(void)close(gone[0]);
	free(TAKE_PTR(init->argv));
	free(TAKE_PTR(init->envp));
	if (pid < 0)
		return error_set_errno(
		    &init->err, errno, "sandbox_failed", "cannot start a process in the sandbox");
	/* A change of ids makes the memory that we share as readable as the host's suid_dumpable says. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return pid;
}

static char **
string_list(const struct json *array)
{
	size_t n = json_len(array);
	char **list = calloc(n + 1, sizeof(*list));
	for (size_t i = 0; list != NULL && i < n; i++)
		list[i] = (char *)(uintptr_t)json_str(json_at(array, i), "");
	return list;
}

/* ---- standard streams ---- */

static int
place(const int stdio[3])
{
	for (int i = 0; i < 3; i++)
		if (dup2(stdio[i], i) < 0)
			return -errno;
	/* Whatever else is open here, our conversation with the supervisor first of all, ends at the exec. */
	return syscall(SYS_close_range, 3u, ~0u, CLOSE_ON_EXEC) < 0 ? -errno : 0;
}

static int
place_pipes(struct msg *order)
{
	const int stdio[3] = {order->fds[0], order->fds[1], order->fds[2]};
	return order->n_fds < 3 ? -EBADMSG : place(stdio);
}

/* A terminal of the sandbox's own devpts, which the command owns and has as its controlling one. Its master
 * goes to the supervisor, and from there to whoever asked. */
static int
place_terminal(struct init *init, const struct json *tty)
{
	struct winsize size = {.ws_row = (unsigned short)json_get_int(tty, "rows", 24),
	    .ws_col = (unsigned short)json_get_int(tty, "cols", 80)};
	int unlocked = 0;
	_cleanup_close_ int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0)
		return -errno;
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || ioctl(master, TIOCSWINSZ, &size) < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
		return -errno;
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_int(body, "command", json_get_int(init->order->body, "command", 0));
	int r = msg_send(init->control, INIT_TERMINAL, 0, body, &master, 1);
	const int stdio[3] = {slave, slave, slave};
	return r < 0 ? r : place(stdio);
}

/* ---- executing ---- */

static int
explain(struct init *init, int negative, const char *code, const char *what)
{
	return error_set_errno(&init->err, -negative, code, "cannot %s", what);
}

/* The last steps, in the command's process. Returns only if they failed. */
static void
execute(struct init *init)
{
	const struct json *order = init->order->body, *tty = json_get(order, "tty");
	const char *cwd = json_get_str(order, "cwd", "/");
	sigset_t none;
	init->argv = string_list(json_get(order, "argv"));
	init->envp = string_list(json_get(order, "env"));
	int r = init->argv == NULL || init->envp == NULL ? -ENOMEM : 0;
	if (r == 0) {
		r = tty != NULL ? place_terminal(init, tty) : place_pipes(init->order);
		if (r < 0)
			(void)explain(init, r, "sandbox_failed", "place the command's stdio");
	}
	if (r == 0 && chdir(cwd) < 0) {
		r = -errno;
		(void)error_set_errno(
		    &init->err, errno, "bad_directory", "cannot enter %s in the sandbox", cwd);
	}
	if (r == 0) {
		r = locks_limits(init->plan, order);
		if (r < 0)
			(void)explain(init, r, "locks_failed", "apply the command's limits");
	}
	init->exec_errno = -r;
	if (r < 0)
		return;
	/* The supervisor ignores it, which an exec would pass on: `yes | head` must end. */
	(void)signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(json_get_str(order, "program", ""), init->argv, init->envp);
	init->exec_errno = errno;
}

/* What came of an order. The process PID may have ended already. */
static int
answer(struct init *init, const struct msg *order, pid_t pid)
{
	_cleanup_json_ struct json *body = json_new_object();
	int64_t number = json_get_int(order->body, "command", 0);
	(void)json_set_int(body, "command", number);
	(void)json_set_int(body, "errno", init->exec_errno);
	(void)json_set_int(body, "pid", pid);
	if (init->err.code[0] != 0) {
		_cleanup_json_ struct json *error = msg_error_body(&init->err);
		(void)json_set(body, "error", json_detach(error, "error"));
	}
	if (init->exec_errno == 0) {
		if (init->n_commands == init->room) {
			size_t room = MAX(2 * init->room, (size_t)4);
			struct command *more = realloc(init->commands, room * sizeof(*more));
			if (more == NULL)
				return -ENOMEM;
			init->commands = more;
			init->room = room;
		}
		init->commands[init->n_commands++] = (struct command){number, pid};
	}
	return msg_send(init->control, INIT_RUNNING, 0, body, NULL, 0);
}

/* ---- the prepared process ---- */

static int
send_ready(struct init *init)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set(body, "evidence", TAKE_PTR(init->evidence));
	(void)json_set(body, "timing", TAKE_PTR(init->timing));
	const int fds[] = {init->proc_fd, init->scratch_fd, init->upper_fd};
	return msg_send(init->control, INIT_READY, 0, body, fds, init->upper_fd >= 0 ? 3 : 2);
}

/* Waits for the word. Anything else, or the end of the conversation, ends us. */
static int
await_order(struct init *init)
{
	int r = msg_recv(init->control, 0, init->order);
	if (r == 1 && init->order->type == INIT_STAY)
		init->stay = true;
	else if (r == 1 && init->order->type == INIT_GO)
		init->ordered = true;
	else
		return -ECANCELED;
	return 0;
}

/* Waits until there is something to read, with as little memory as can be: a sandbox may wait for long. What lies
 * below our frame, and below that of the rf-init which waits for us, is not alive. */
static __attribute__((noinline)) void
wait_small(struct init *init)
{
	struct pollfd order = {.fd = init->control, .events = POLLIN};
	locks_give_back();
	locks_give_back_pages((const char *)init->our_stack - STACK_USED, init->our_stack);
	locks_give_back_pages(
	    init->their_stack, (const char *)__builtin_frame_address(0) - FRAME_BYTES);
	while (poll(&order, 1, -1) < 0 && errno == EINTR)
		;
}

static int
prepared_main(void *data)
{
	struct init *init = data;
	int r = setsid() < 0 ? -errno : 0;
	if (r == 0)
		r = locks_landlock_enter(init->rules_fd, init->noexec, init->evidence, &init->err);
	if (r == 0)
		r = locks_command(init->plan, init->command_uid, init->command_gid,
		    init->change_ids, init->filter_fd, init->evidence, &init->err);
	if (r < 0)
		_exit(1);
	struct json *step = json_new_object();
	(void)json_set_str(step, "step", "locks");
	(void)json_set_int(step, "at_ns", clock_monotonic_ns());
	(void)json_push(init->timing, step);
	if (send_ready(init) < 0)
		_exit(1);
	wait_small(init);
	if (await_order(init) < 0)
		_exit(1);
	if (init->ordered)
		execute(init);
	_exit(init->stay ? 0 : 127);
}

int
command_prepare(struct init *init)
{
	struct msg order = MSG_INIT;
	init->order = &order;
	pid_t pid = spawn(init, prepared_main);
	init->order = NULL;
	order.n_fds =
	    0; /* they came to that process; our descriptors of those numbers are others */
	int r = pid < 0 ? pid : 0;
	if (r == 0 && init->ordered)
		r = answer(init, &order, pid);
	else if (r == 0 && !init->stay)
		r = -ECANCELED;
	msg_done(&order);
	if (r == -ECANCELED && init->err.code[0] == 0)
		(void)error_set(&init->err, ECANCELED, "cancelled", "the sandbox was cancelled");
	return r;
}

/* ---- a session's ---- */

static int
ordered_main(void *data)
{
	struct init *init = data;
	int r = setsid() < 0 ? -errno : 0;
	if (r == 0)
		r = locks_landlock_enter(init->rules_fd, init->noexec, NULL, &init->err);
	if (r == 0)
		r = locks_become_command(
		    init->command_uid, init->command_gid, init->change_ids, &init->err);
	init->exec_errno = -r;
	if (r == 0)
		execute(init);
	_exit(127);
}

int
command_execute(struct init *init, struct msg *m)
{
	init->order = m;
	init->exec_errno = 0;
	init->err = (struct error){0};
	pid_t pid = spawn(init, ordered_main);
	init->order = NULL;
	if (pid < 0)
		init->exec_errno = -pid; /* the limit of processes, for one */
	return answer(init, m, pid);
}

/* ---- files ---- */

/* A descriptor of PATH for what HOW asks, or -errno. Truncating is left to when it is known to be a regular
 * file. Nothing here blocks: a fifo without a peer opens at once, and is refused by who receives it. */
static int
open_as(const char *how, const char *path, mode_t mode)
{
	int flags = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	if (strcmp(how, "read") == 0)
		return open(path, O_RDONLY | flags);
	if (strcmp(how, "write") == 0)
		return open(path, O_WRONLY | O_CREAT | flags, mode & 0777);
	if (strcmp(how, "list") == 0)
		return open(path, O_RDONLY | O_DIRECTORY | flags);
	if (strcmp(how, "stat") == 0)
		return open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (strcmp(how, "mkdir") == 0)
		return mkdir(path, mode & 0777) < 0 ? -1
						    : open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (strcmp(how, "remove") == 0) {
		int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;
		if (fd < 0 || fstat(fd, &st) < 0)
			return -1;
		if ((S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path)) == 0)
			return fd;
		return -1;
	}
	errno = EINVAL;
	return -1;
}

static int
opened_main(void *data)
{
	struct init *init = data;
	const struct json *body = init->order->body;
	_cleanup_json_ struct json *reply = json_new_object();
	int fd = -1;
	int r = locks_landlock_enter(init->rules_fd, init->noexec, NULL, &init->err);
	if (r == 0)
		r = locks_become_command(
		    init->command_uid, init->command_gid, init->change_ids, &init->err);
	if (r == 0) {
		fd = open_as(json_get_str(body, "how", ""), json_get_str(body, "path", ""),
		    (mode_t)json_get_int(body, "mode", 0644));
		r = fd < 0 ? -errno : 0;
	}
	(void)json_set_int(reply, "errno", -r);
	r = msg_send(init->control, INIT_OPENED, init->order->serial, reply, &fd, fd >= 0 ? 1 : 0);
	_exit(r < 0 ? 1 : 0);
}

int
command_open(struct init *init, struct msg *m)
{
	init->order = m;
	init->err = (struct error){0};
	pid_t pid = spawn(init, opened_main);
	init->order = NULL;
	if (pid >= 0)
		return 0;
	_cleanup_json_ struct json *reply = json_new_object();
	(void)json_set_int(reply, "errno", -pid);
	return msg_send(init->control, INIT_OPENED, m->serial, reply, NULL, 0);
}
