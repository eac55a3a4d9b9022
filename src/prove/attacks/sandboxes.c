/* Against another sandbox: the process that attacks aim at runs in one of its own, under the same locks. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "prove/attacks/attacks.h"

/* Its number on the host. Where that is a number of our own, it is out of sight. */
static pid_t
neighbour(const struct fixtures *f)
{
	pid_t pid = (pid_t)fixture_number(f, "pid");
	if (pid == getpid())
		finish(held("no process of another sandbox has a number here"));
	return pid;
}

static enum attack_result
neighbour_file(const struct fixtures *f)
{
	return answer(read_canary(fixture(f, "canary")), "a file of another sandbox");
}

static enum attack_result
neighbour_shared_file(const struct fixtures *f)
{
	return answer(read_canary(fixture(f, "shm_file")), "a file in another sandbox's /dev/shm");
}

static enum attack_result
neighbour_signal(const struct fixtures *f)
{
	return answer(kill(neighbour(f), 0) == 0, "a signal would reach another sandbox");
}

static enum attack_result
neighbour_trace(const struct fixtures *f)
{
	return answer(ptrace(PTRACE_SEIZE, neighbour(f), NULL, NULL) == 0,
	    "a process of another sandbox is traced");
}

static enum attack_result
neighbour_memory(const struct fixtures *f)
{
	char text[sizeof(CANARY)] = {0};
	struct iovec here = {text, strlen(CANARY)};
	struct iovec there = {(void *)fixture_number(f, "address"), strlen(CANARY)};
	return answer(
	    process_vm_readv(neighbour(f), &here, 1, &there, 1, 0) > 0 && strcmp(text, CANARY) == 0,
	    "the memory of another sandbox");
}

static enum attack_result
neighbour_root(const struct fixtures *f)
{
	char path[PATH_MAX];
	(void)snprintf(
	    path, sizeof(path), "/proc/%d/root%s", (int)neighbour(f), fixture(f, "canary"));
	return answer(read_canary(path), "a file by the root of another sandbox");
}

/* Connects and reads the canary. */
static enum attack_result
reach(const void *address, socklen_t length, const char *what)
{
	char text[sizeof(CANARY)] = {0};
	_cleanup_close_ int fd =
	    socket(((const struct sockaddr *)address)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = fd >= 0 && connect(fd, address, length) == 0 &&
	    recv(fd, text, strlen(CANARY), MSG_WAITALL) > 0 && strcmp(text, CANARY) == 0;
	return answer(yes, what);
}

static enum attack_result
neighbour_abstract(const struct fixtures *f)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *name = fixture(f, "abstract");
	(void)snprintf(to.sun_path + 1, sizeof(to.sun_path) - 1, "%s", name);
	return reach(&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)),
	    "an abstract socket of another sandbox");
}

static enum attack_result
neighbour_port(const struct fixtures *f)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)fixture_number(f, "ipv4")),
	    .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	return reach(&to, sizeof(to), "a server in another sandbox");
}

static enum attack_result
neighbour_segment(const struct fixtures *f)
{
	char *at = shmat((int)fixture_number(f, "shm"), NULL, SHM_RDONLY);
	if (at == (char *)-1)
		return answer(false, "");
	errno = ENOENT;
	return answer(strcmp(at, CANARY) == 0, "shared memory (System V) of another sandbox");
}

static enum attack_result
neighbour_queue(const struct fixtures *f)
{
	mqd_t queue = mq_open(fixture(f, "queue"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return answer(queue >= 0, "a message queue (POSIX) of another sandbox");
}

static enum attack_result
neighbour_descriptor(const struct fixtures *f)
{
	char text[sizeof(CANARY)] = {0};
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, neighbour(f), 0);
	_cleanup_close_ int fd =
	    (int)syscall(SYS_pidfd_getfd, process, fixture_number(f, "descriptor"), 0);
	return answer(
	    fd >= 0 && pread(fd, text, strlen(CANARY), 0) > 0 && strcmp(text, CANARY) == 0,
	    "a descriptor of another sandbox");
}

#define TRACE_LOCKS                                                    \
	{                                                              \
		LOCK_PID_NS, LOCK_SECCOMP, LOCK_LANDLOCK, LOCK_USER_NS \
	}

const struct attack sandboxes_attacks[] = {
    {"neighbour_file", BOUNDARY_SANDBOXES, "reads a file of another sandbox",
	{LOCK_ROOT, LOCK_USER_NS}, {LOCK_ROOT}, NEEDS_NEIGHBOUR, .run = RUN(neighbour_file)},
    {"neighbour_shared_file", BOUNDARY_SANDBOXES, "reads another sandbox's /dev/shm",
	{LOCK_ROOT, LOCK_USER_NS}, {LOCK_ROOT}, NEEDS_NEIGHBOUR, .run = RUN(neighbour_shared_file)},
    {"neighbour_signal", BOUNDARY_SANDBOXES, "signals a process of another sandbox",
	{LOCK_PID_NS, LOCK_LANDLOCK, LOCK_USER_NS}, {LOCK_PID_NS, LOCK_LANDLOCK},
	NEEDS_NEIGHBOUR | NEEDS_SCOPE, .run = RUN(neighbour_signal)},
    {"neighbour_trace", BOUNDARY_SANDBOXES, "traces a process of another sandbox", TRACE_LOCKS,
	.needs = NEEDS_NEIGHBOUR, .run = RUN(neighbour_trace)},
    {"neighbour_memory", BOUNDARY_SANDBOXES, "reads the memory of another sandbox", TRACE_LOCKS,
	.needs = NEEDS_NEIGHBOUR, .run = RUN(neighbour_memory)},
    {"neighbour_descriptor", BOUNDARY_SANDBOXES, "takes what another sandbox has open", TRACE_LOCKS,
	.needs = NEEDS_NEIGHBOUR, .run = RUN(neighbour_descriptor)},
    {"neighbour_root", BOUNDARY_SANDBOXES, "reads files of another sandbox by /proc/PID/root",
	{LOCK_PID_NS, LOCK_LANDLOCK, LOCK_USER_NS}, .needs = NEEDS_NEIGHBOUR,
	.run = RUN(neighbour_root)},
    {"neighbour_abstract", BOUNDARY_SANDBOXES, "connects to an abstract socket of another sandbox",
	{LOCK_NET_NS, LOCK_LANDLOCK}, .needs = NEEDS_NEIGHBOUR | NEEDS_SCOPE,
	.run = RUN(neighbour_abstract)},
    {"neighbour_port", BOUNDARY_SANDBOXES, "connects to a server in another sandbox (TCP)",
	{LOCK_NET_NS}, .needs = NEEDS_NEIGHBOUR, .run = RUN(neighbour_port)},
    {"neighbour_segment", BOUNDARY_SANDBOXES, "reads shared memory of another sandbox (System V)",
	{LOCK_IPC_NS, LOCK_USER_NS}, {LOCK_IPC_NS}, NEEDS_NEIGHBOUR, .run = RUN(neighbour_segment)},
    {"neighbour_queue", BOUNDARY_SANDBOXES, "opens a message queue of another sandbox (POSIX)",
	{LOCK_IPC_NS, LOCK_USER_NS}, {LOCK_IPC_NS}, NEEDS_NEIGHBOUR, .run = RUN(neighbour_queue)},
    {0}};
