/* Against Ringfence itself: the sockets, the state and the processes of the supervisor that runs the sandbox. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "prove/attacks/attacks.h"

static enum attack_result
connect_to(const char *path, const char *what)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		_cleanup_close_ int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
			return answer(true, what);
		if (errno != EPROTOTYPE)
			break;
	}
	return answer(false, "");
}

static enum attack_result
connect_control(const struct fixtures *f)
{
	return connect_to(fixture(f, "control"), "the supervisor listens to it");
}

static enum attack_result
connect_arbiter(const struct fixtures *f)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/run/arbiter.sock", fixture(f, "state"));
	return connect_to(path, "the arbiter, which takes approvals, listens to it");
}

static enum attack_result
list_state(const struct fixtures *f)
{
	DIR *directory = opendir(fixture(f, "state"));
	return answer(directory != NULL, "the names in the state directory");
}

/* The first file of the ledger that opens with FLAGS. */
static enum attack_result
open_ledger(const struct fixtures *f, int flags, const char *what)
{
	char path[PATH_MAX];
	struct dirent *entry;
	int found = -1;
	(void)snprintf(path, sizeof(path), "%s/ledger", fixture(f, "state"));
	DIR *directory = opendir(path);
	while (directory != NULL && found < 0 && (entry = readdir(directory)) != NULL)
		if (entry->d_type == DT_REG)
			found = openat(dirfd(directory), entry->d_name, flags | O_CLOEXEC);
	return answer(found >= 0, what);
}

static enum attack_result
read_state(const struct fixtures *f)
{
	return open_ledger(f, O_RDONLY, "what was recorded");
}

static enum attack_result
write_state(const struct fixtures *f)
{
	return open_ledger(f, O_WRONLY, "a file of the ledger is open for writing");
}

static enum attack_result
signal_supervisor(const struct fixtures *f)
{
	return answer(kill((pid_t)fixture_number(f, "supervisor"), 0) == 0,
	    "a signal would reach the supervisor");
}

static enum attack_result
trace_supervisor(const struct fixtures *f)
{
	return answer(ptrace(PTRACE_SEIZE, (pid_t)fixture_number(f, "supervisor"), NULL, NULL) == 0,
	    "the supervisor is traced");
}

static enum attack_result
supervisor_descriptors(const struct fixtures *f)
{
	char path[64], target[256];
	(void)snprintf(path, sizeof(path), "/proc/%lu/fd/0", fixture_number(f, "supervisor"));
	return answer(readlink(path, target, sizeof(target)) > 0, "what the supervisor has open");
}

static enum attack_result
inherited_descriptor(const struct fixtures *f)
{
	struct stat st;
	/* Above standard input, output and error: what somebody forgot to close. */
	for (int fd = 3; fd < 1024; fd++)
		if (fstat(fd, &st) == 0)
			return answer(true, "a descriptor that it was not given");
	return answer(false, "");
}

static enum attack_result
memory_of_init(const struct fixtures *f)
{
	_cleanup_close_ int fd = open("/proc/1/mem", O_RDONLY | O_CLOEXEC);
	return answer(fd >= 0, "the memory of pid 1, which holds the plan of a sandbox");
}

static enum attack_result
copy_from_init(const struct fixtures *f)
{
	/* From where nothing is, so that nothing is read: EFAULT to who may. */
	char byte;
	struct iovec here = {&byte, 1}, there = {(void *)sizeof(byte), 1};
	return answer_harmless(process_vm_readv(1, &here, 1, &there, 1, 0), EFAULT);
}

#define STATE_LOCKS                                    \
	{                                              \
		LOCK_ROOT, LOCK_LANDLOCK, LOCK_USER_NS \
	}
#define STATE_ROOTLESS                   \
	{                                \
		LOCK_ROOT, LOCK_LANDLOCK \
	}
#define TRACE_LOCKS                                                    \
	{                                                              \
		LOCK_PID_NS, LOCK_SECCOMP, LOCK_LANDLOCK, LOCK_USER_NS \
	}

const struct attack supervisor_attacks[] = {
    {"connect_control", BOUNDARY_SUPERVISOR, "speaks to the supervisor's socket", {LOCK_ROOT},
	.needs = NEEDS_STATE, .run = RUN(connect_control)},
    {"connect_arbiter", BOUNDARY_SUPERVISOR, "speaks to the arbiter's socket", {LOCK_ROOT},
	.needs = NEEDS_STATE, .run = RUN(connect_arbiter)},
    {"list_state", BOUNDARY_SUPERVISOR, "lists the state directory",
	/* Landlock lets everybody list: names alone, not what lies behind them. */
	{LOCK_ROOT}, .needs = NEEDS_STATE, .run = RUN(list_state)},
    {"read_state", BOUNDARY_SUPERVISOR, "reads the ledger's files", STATE_LOCKS, STATE_ROOTLESS,
	NEEDS_STATE, .run = RUN(read_state)},
    {"write_state", BOUNDARY_SUPERVISOR, "writes to the ledger's files", STATE_LOCKS,
	STATE_ROOTLESS, NEEDS_STATE, .run = RUN(write_state)},
    {"signal_supervisor", BOUNDARY_SUPERVISOR, "signals the supervisor",
	{LOCK_PID_NS, LOCK_LANDLOCK, LOCK_USER_NS}, {LOCK_PID_NS, LOCK_LANDLOCK},
	NEEDS_STATE | NEEDS_SCOPE, .run = RUN(signal_supervisor)},
    {"trace_supervisor", BOUNDARY_SUPERVISOR, "traces the supervisor", TRACE_LOCKS,
	.needs = NEEDS_STATE, .run = RUN(trace_supervisor)},
    {"supervisor_descriptors", BOUNDARY_SUPERVISOR, "sees what the supervisor has open",
	{LOCK_PID_NS, LOCK_LANDLOCK, LOCK_USER_NS}, .needs = NEEDS_STATE,
	.run = RUN(supervisor_descriptors)},
    {"inherited_descriptor", BOUNDARY_SUPERVISOR, "holds a descriptor that was left open",
	{LOCK_CLOSED}, .needs = NEEDS_LEAK, .run = RUN(inherited_descriptor)},
    /* Landlock is not named: pid 1 may be in its domain too. */
    {"memory_of_init", BOUNDARY_SUPERVISOR, "reads the memory of pid 1 (/proc/1/mem)",
	{LOCK_OTHER_UID}, .needs = NEEDS_ROOT, .run = RUN(memory_of_init)},
    {"copy_from_init", BOUNDARY_SUPERVISOR, "reads the memory of pid 1 (process_vm_readv)",
	{LOCK_SECCOMP, LOCK_OTHER_UID}, {LOCK_SECCOMP}, NEEDS_NS_ROOT, .run = RUN(copy_from_init)},
    {0}};
