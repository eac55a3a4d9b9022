/* Against the host's processes, by a process that waits outside with a canary in its memory, its environment
 * and an open file. A signal is number 0: the kernel says whether it would be delivered, and delivers none. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "prove/attacks/attacks.h"

#define SURVIVAL_US 1000000 /* long enough for a lock to end it on a busy machine */
#define ORPHAN_POLL_US 10000

static pid_t
victim(const struct fixtures *f)
{
	return (pid_t)fixture_number(f, "pid");
}

/* /proc/PID/NAME of the victim */
static const char *
proc_file(const struct fixtures *f, const char *name)
{
	static char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)victim(f), name);
	return path;
}

static bool
holds_canary(const char *text, size_t length)
{
	return memmem(text, length, CANARY, strlen(CANARY)) != NULL;
}

static enum attack_result
see(const struct fixtures *f)
{
	char line[4096];
	_cleanup_close_ int fd = open(proc_file(f, "cmdline"), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line));
	return answer(n > 0 && memmem(line, (size_t)n, "--fixture", 9) != NULL,
	    "the command line of a process outside");
}

static enum attack_result
signal_process(const struct fixtures *f)
{
	return answer(kill(victim(f), 0) == 0, "a signal would reach a process outside");
}

static enum attack_result
signal_all(const struct fixtures *f)
{
	/* Everybody but pid 1 and us. The kernel says yes if there is anybody, and does not tell whom it spared. */
	return answer(kill(-1, 0) == 0, "there is somebody whom it would reach");
}

static enum attack_result
signal_pidfd(const struct fixtures *f)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, victim(f), 0);
	return answer(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0,
	    "a descriptor of a process outside, which no reuse of its pid disturbs");
}

static enum attack_result
queue_signal(const struct fixtures *f)
{
	siginfo_t info = {.si_code = SI_QUEUE};
	return answer(syscall(SYS_rt_sigqueueinfo, victim(f), 0, &info) == 0,
	    "a signal with a value would reach a process outside");
}

static enum attack_result
trace(const struct fixtures *f)
{
	/* Seized, not stopped: it runs on, and is let go when we end. */
	return answer(
	    ptrace(PTRACE_SEIZE, victim(f), NULL, NULL) == 0, "a process outside is traced");
}

static enum attack_result
read_memory(const struct fixtures *f)
{
	char text[sizeof(CANARY)] = {0};
	struct iovec here = {text, strlen(CANARY)};
	struct iovec there = {(void *)fixture_number(f, "address"), strlen(CANARY)};
	return answer(
	    process_vm_readv(victim(f), &here, 1, &there, 1, 0) > 0 && strcmp(text, CANARY) == 0,
	    "the memory of a process outside");
}

static enum attack_result
write_memory(const struct fixtures *f)
{
	/* What is there already. */
	char text[] = CANARY;
	struct iovec here = {text, strlen(CANARY)};
	struct iovec there = {(void *)fixture_number(f, "address"), strlen(CANARY)};
	return answer(process_vm_writev(victim(f), &here, 1, &there, 1, 0) > 0,
	    "the memory of a process outside was written");
}

static enum attack_result
proc_memory(const struct fixtures *f)
{
	char text[sizeof(CANARY)] = {0};
	_cleanup_close_ int fd = open(proc_file(f, "mem"), O_RDONLY | O_CLOEXEC);
	return answer(fd >= 0 &&
		pread(fd, text, strlen(CANARY), (off_t)fixture_number(f, "address")) > 0 &&
		strcmp(text, CANARY) == 0,
	    "the memory of a process outside, as a file");
}

static enum attack_result
proc_environment(const struct fixtures *f)
{
	static char text[65536];
	_cleanup_close_ int fd = open(proc_file(f, "environ"), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	return answer(
	    n > 0 && holds_canary(text, (size_t)n), "the environment of a process outside");
}

static enum attack_result
proc_root(const struct fixtures *f)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s%s", proc_file(f, "root"), fixture(f, "canary"));
	return answer(read_canary(path), "a file by the root of a process outside");
}

static enum attack_result
proc_cwd(const struct fixtures *f)
{
	return answer(read_canary(proc_file(f, "cwd/canary")),
	    "a file by the working directory of a process outside");
}

static enum attack_result
proc_descriptor(const struct fixtures *f)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "fd/%lu", fixture_number(f, "descriptor"));
	return answer(read_canary(proc_file(f, name)), "a file that a process outside has open");
}

static enum attack_result
take_descriptor(const struct fixtures *f)
{
	char text[sizeof(CANARY)] = {0};
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, victim(f), 0);
	_cleanup_close_ int fd =
	    (int)syscall(SYS_pidfd_getfd, process, fixture_number(f, "descriptor"), 0);
	return answer(
	    fd >= 0 && pread(fd, text, strlen(CANARY), 0) > 0 && strcmp(text, CANARY) == 0,
	    "a descriptor of a process outside");
}

static enum attack_result
limit_process(const struct fixtures *f)
{
	struct rlimit limit;
	return answer(prlimit(victim(f), RLIMIT_NOFILE, NULL, &limit) == 0 &&
		prlimit(victim(f), RLIMIT_NOFILE, &limit, NULL) == 0,
	    "the limits of a process outside were set (to what they were)");
}

static enum attack_result
pin_process(const struct fixtures *f)
{
	cpu_set_t set;
	return answer(sched_getaffinity(victim(f), sizeof(set), &set) == 0 &&
		sched_setaffinity(victim(f), sizeof(set), &set) == 0,
	    "the processors of a process outside were set (to what they were)");
}

static enum attack_result
slow_process(const struct fixtures *f)
{
	errno = 0;
	int now = getpriority(PRIO_PROCESS, (id_t)victim(f));
	return answer(errno == 0 && setpriority(PRIO_PROCESS, (id_t)victim(f), now) == 0,
	    "the priority of a process outside was set (to what it was)");
}

static enum attack_result
compare_process(const struct fixtures *f)
{
	return answer(syscall(SYS_kcmp, getpid(), victim(f), KCMP_VM, 0, 0) >= 0,
	    "kernel objects of a process outside were compared");
}

static enum attack_result
move_pages_of(const struct fixtures *f)
{
	/* No page at all. */
	return answer(syscall(SYS_move_pages, victim(f), 0, NULL, NULL, NULL, 0) == 0,
	    "pages of a process outside would move");
}

static enum attack_result
enter_namespaces(const struct fixtures *f)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, victim(f), 0);
	return answer(fd >= 0 && setns(fd, CLONE_NEWNET) == 0, "the network of a process outside");
}

static enum attack_result
signal_init(const struct fixtures *f)
{
	return answer(kill(1, 0) == 0, "a signal would reach pid 1");
}

/* ---- what processes share ---- */

static enum attack_result
attach_segment(const struct fixtures *f)
{
	char *at = shmat((int)fixture_number(f, "shm"), NULL, SHM_RDONLY);
	if (at == (char *)-1)
		return answer(false, "");
	errno = ENOENT;
	return answer(strcmp(at, CANARY) == 0, "shared memory (System V) of a process outside");
}

static enum attack_result
open_queue(const struct fixtures *f)
{
	mqd_t queue = mq_open(fixture(f, "queue"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return answer(queue >= 0, "a message queue (POSIX) of a process outside");
}

static enum attack_result
see_groups(const struct fixtures *f)
{
	char line[512];
	bool more = false;
	(void)fixture(f, "bounded"); /* which put us in a group */
	FILE *file = fopen("/proc/self/cgroup", "re");
	/* "4:memory:/path": inside, its own group is the root of all. */
	while (file != NULL && !more && fgets(line, sizeof(line), file) != NULL) {
		const char *path = strrchr(line, ':');
		more = path != NULL && strcmp(path, ":/\n") != 0;
	}
	errno = ENODATA;
	return answer(more, "where its control group lies among the host's");
}

/* ---- outliving ---- */

/* A daemon as daemons are made, deaf to every signal that can be ignored. It answers if it is still there a
 * while after END, the reading side of a pipe, says that all others are gone. */
static void
leave_daemon(int end, int other_side)
{
	char byte;
	if (fork() != 0)
		return;
	(void)setsid();
	if (fork() != 0)
		_exit(0);
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_IGN);
	(void)close(other_side);
	while (read(end, &byte, 1) < 0 && errno == EINTR)
		;
	(void)usleep(SURVIVAL_US);
	finish(answer(true, "a process that outlived what started it"));
}

static enum attack_result
outlive_command(const struct fixtures *f)
{
	int end[2];
	if (pipe2(end, O_CLOEXEC) < 0)
		return cannot("no pipe");
	leave_daemon(end[0], end[1]);
	say_ready();
	_exit(ATTACK_HELD); /* and says no more: the daemon does, if it can */
}

/* Returns when what started us has ended, however deaf to signals one must be for that. */
static void
await_orphanage(void)
{
	pid_t parent = getppid();
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_IGN);
	say_ready();
	while (getppid() == parent)
		(void)usleep(ORPHAN_POLL_US);
}

static enum attack_result
outlive_kill(const struct fixtures *f)
{
	int end[2];
	if (pipe2(end, O_CLOEXEC) < 0)
		return cannot("no pipe");
	leave_daemon(end[0], end[1]);
	await_orphanage(); /* or we are what is killed */
	_exit(ATTACK_HELD);
}

#define SEE_LOCKS           \
	{                   \
		LOCK_PID_NS \
	}
#define SIGNAL_LOCKS                                     \
	{                                                \
		LOCK_PID_NS, LOCK_LANDLOCK, LOCK_USER_NS \
	}
#define SIGNAL_ROOTLESS                    \
	{                                  \
		LOCK_PID_NS, LOCK_LANDLOCK \
	}
#define TRACE_LOCKS                                                    \
	{                                                              \
		LOCK_PID_NS, LOCK_SECCOMP, LOCK_LANDLOCK, LOCK_USER_NS \
	}
#define PROC_LOCKS                                       \
	{                                                \
		LOCK_PID_NS, LOCK_LANDLOCK, LOCK_USER_NS \
	}
#define SET_LOCKS                         \
	{                                 \
		LOCK_PID_NS, LOCK_USER_NS \
	}
#define SET_ROOTLESS        \
	{                   \
		LOCK_PID_NS \
	}

const struct attack processes_attacks[] = {{"see", BOUNDARY_PROCESSES, "sees the host's processes",
					       SEE_LOCKS, .needs = NEEDS_OUTSIDE, .run = RUN(see)},
    {"signal_process", BOUNDARY_PROCESSES, "signals a process outside", SIGNAL_LOCKS,
	SIGNAL_ROOTLESS, NEEDS_OUTSIDE | NEEDS_SCOPE, .run = RUN(signal_process)},
    {"signal_all", BOUNDARY_PROCESSES, "signals every process (kill -1)", SEE_LOCKS,
	.needs = NEEDS_OUTSIDE, .run = RUN(signal_all)},
    {"signal_pidfd", BOUNDARY_PROCESSES, "signals a process outside by a descriptor (pidfd)",
	SIGNAL_LOCKS, SIGNAL_ROOTLESS, NEEDS_OUTSIDE | NEEDS_SCOPE, .run = RUN(signal_pidfd)},
    {"queue_signal", BOUNDARY_PROCESSES, "signals a process outside with a value (rt_sigqueueinfo)",
	SIGNAL_LOCKS, SIGNAL_ROOTLESS, NEEDS_OUTSIDE | NEEDS_SCOPE, .run = RUN(queue_signal)},
    {"trace", BOUNDARY_PROCESSES, "traces a process outside (ptrace)", TRACE_LOCKS,
	.needs = NEEDS_OUTSIDE, .run = RUN(trace)},
    {"read_memory", BOUNDARY_PROCESSES, "reads the memory of a process outside (process_vm_readv)",
	TRACE_LOCKS, .needs = NEEDS_OUTSIDE, .run = RUN(read_memory)},
    {"write_memory", BOUNDARY_PROCESSES,
	"writes the memory of a process outside (process_vm_writev)", TRACE_LOCKS,
	.needs = NEEDS_OUTSIDE, .run = RUN(write_memory)},
    {"proc_memory", BOUNDARY_PROCESSES, "reads the memory of a process outside (/proc/PID/mem)",
	PROC_LOCKS, .needs = NEEDS_OUTSIDE, .run = RUN(proc_memory)},
    {"proc_environment", BOUNDARY_PROCESSES,
	"reads the environment of a process outside (/proc/PID/environ)",
	/* For CAP_PERFMON the kernel asks no security module: Landlock alone holds a user only. */
	SET_LOCKS, PROC_LOCKS, NEEDS_OUTSIDE, .run = RUN(proc_environment)},
    {"proc_root", BOUNDARY_PROCESSES,
	"reads files by the root of a process outside (/proc/PID/root)", PROC_LOCKS,
	.needs = NEEDS_OUTSIDE, .run = RUN(proc_root)},
    {"proc_cwd", BOUNDARY_PROCESSES,
	"reads files by the directory of a process outside (/proc/PID/cwd)", PROC_LOCKS,
	.needs = NEEDS_OUTSIDE, .run = RUN(proc_cwd)},
    {"proc_descriptor", BOUNDARY_PROCESSES, "opens what a process outside has open (/proc/PID/fd)",
	PROC_LOCKS, .needs = NEEDS_OUTSIDE, .run = RUN(proc_descriptor)},
    {"take_descriptor", BOUNDARY_PROCESSES, "takes what a process outside has open (pidfd_getfd)",
	TRACE_LOCKS, .needs = NEEDS_OUTSIDE, .run = RUN(take_descriptor)},
    {"limit_process", BOUNDARY_PROCESSES, "changes the limits of a process outside (prlimit)",
	SET_LOCKS, SET_ROOTLESS, NEEDS_OUTSIDE, .run = RUN(limit_process)},
    {"pin_process", BOUNDARY_PROCESSES,
	"chooses the processors of a process outside (sched_setaffinity)", SET_LOCKS, SET_ROOTLESS,
	NEEDS_OUTSIDE, .run = RUN(pin_process)},
    {"slow_process", BOUNDARY_PROCESSES, "changes the priority of a process outside (setpriority)",
	SET_LOCKS, SET_ROOTLESS, NEEDS_OUTSIDE, .run = RUN(slow_process)},
    {"compare_process", BOUNDARY_PROCESSES, "compares kernel objects of a process outside (kcmp)",
	TRACE_LOCKS, .needs = NEEDS_OUTSIDE, .run = RUN(compare_process)},
    {"move_pages_of", BOUNDARY_PROCESSES, "moves the memory of a process outside (move_pages)",
	TRACE_LOCKS, .needs = NEEDS_OUTSIDE, .run = RUN(move_pages_of)},
    {"enter_namespaces", BOUNDARY_PROCESSES, "enters the namespaces of a process outside (setns)",
	{LOCK_PID_NS, LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS},
	.needs = NEEDS_ROOT | NEEDS_OUTSIDE, .run = RUN(enter_namespaces)},
    {"attach_segment", BOUNDARY_PROCESSES,
	"reads the shared memory of a process outside (System V)", {LOCK_IPC_NS, LOCK_USER_NS},
	{LOCK_IPC_NS}, NEEDS_OUTSIDE, .run = RUN(attach_segment)},
    {"open_queue", BOUNDARY_PROCESSES, "opens the message queue of a process outside (POSIX)",
	{LOCK_IPC_NS, LOCK_USER_NS}, {LOCK_IPC_NS}, NEEDS_OUTSIDE, .run = RUN(open_queue)},
    {"see_groups", BOUNDARY_PROCESSES, "sees the host's control groups", {LOCK_CGROUP_NS},
	.needs = NEEDS_BOUNDS, .run = RUN(see_groups)},
    {"signal_init", BOUNDARY_PROCESSES, "signals pid 1", {LOCK_SECCOMP, LOCK_OTHER_UID},
	{LOCK_SECCOMP}, .needs = NEEDS_NS_ROOT, .run = RUN(signal_init)},
    {"outlive_command", BOUNDARY_PROCESSES, "leaves a daemon behind when it ends", {LOCK_PID1},
	.needs = SILENCE_HOLDS | ACT_KILL, .run = RUN(outlive_command)},
    {"outlive_kill", BOUNDARY_PROCESSES, "leaves a daemon behind when it is killed",
	{LOCK_PID1, LOCK_PDEATH}, .needs = SILENCE_HOLDS | ACT_KILL, .run = RUN(outlive_kill)},
    {0}};
