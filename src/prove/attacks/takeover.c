/* A gateway that was taken over: what its process could do by itself. The attacker is a process with exactly what
 * rf-gateway puts on (gateway/profile.c, sys/confine.c): all of it, or its filter or its Landlock domain alone. It says
 * that it lives after they are on, and makes one call; so what ends it then is that call. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "gateway/profile.h"
#include "prove/attacks/reach.h"
#include "prove/attacks/talk.h"

#define SAYS_FD 3           /* to the attack */
#define MADE_FD 4           /* what it had before: a socket */
#define KEPT_FDS 8          /* as many does rf-gateway keep, at first */
#define ITS_UID 0x70000010u /* IDS_GATEWAY, sandbox/ids.h */

typedef int call_fn(const struct fixtures *f);

/* ---- the process ---- */

static int
put_on(const struct fixtures *f, struct error *err)
{
	bool filter = !is_open(f, "gateway-filter"), landlock = !is_open(f, "gateway-landlock");
	int r = 0;
	if (filter && landlock) {
		const char *path = in_dir(f, "gateway");
		(void)mkdir(path, 0755);
		int fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		unsigned id = geteuid() == 0 ? ITS_UID : 0;
		return confine_enter(&gateway_profile, fd, id, id, KEPT_FDS, err);
	}
	if (!filter && !landlock)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "lock_failed", "no_new_privs");
	if (landlock)
		r = confine_landlock(&gateway_profile, err);
	if (r == 0 && filter)
		r = confine_filter(&gateway_profile, err);
	return r;
}

struct said {
	bool alive; /* the locks are on, and it lives */
	int error;  /* of the call; 0: it worked */
	char why[200];
};

static _Noreturn void
be_gateway(const struct fixtures *f, call_fn *call, int made, int says)
{
	struct said said = {.alive = false};
	struct error err = {.code = ""};
	bool ready = dup3(says, SAYS_FD + 20, 0) >= 0 &&
	    (made < 0 || dup3(made, MADE_FD + 20, 0) >= 0) && dup2(SAYS_FD + 20, SAYS_FD) >= 0 &&
	    (made < 0 || dup2(MADE_FD + 20, MADE_FD) >= 0);
	if (!ready || put_on(f, &err) < 0) {
		(void)snprintf(said.why, sizeof(said.why), "%s", err.message);
		_exit(write(SAYS_FD, &said, sizeof(said)) < 0 ? 3 : 2);
	}
	said.alive = true;
	if (write(SAYS_FD, &said, sizeof(said)) != (ssize_t)sizeof(said))
		_exit(3);
	errno = 0;
	said.error = call(f);
	_exit(write(SAYS_FD, &said, sizeof(said)) < 0 ? 3 : 1);
}

/* CALL, made by a process that is as rf-gateway is. With MADE (borrowed), which it had before. */
static enum attack_result
taken_over(const struct fixtures *f, call_fn *call, int made, const char *what)
{
	struct said before = {.alive = false}, after = {.alive = false};
	int status = 0, pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return cannot("no pipe");
	pid_t pid = fork();
	if (pid == 0)
		be_gateway(f, call, made, pair[1]);
	(void)close(pair[1]);
	bool lived =
	    read(pair[0], &before, sizeof(before)) == (ssize_t)sizeof(before) && before.alive;
	bool spoke = read(pair[0], &after, sizeof(after)) == (ssize_t)sizeof(after);
	(void)close(pair[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !lived) {
		errno = 0;
		return cannot(before.why[0] != 0 ? before.why : "it did not live to try");
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return held("the call ends it (SIGSYS)");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return answer(true, what); /* it became another program */
	errno = after.error;
	return spoke ? answer(after.error == 0, what) : cannot("it said nothing");
}

static int
worked(long result)
{
	return child_errno(result >= 0);
}

/* ---- sockets ---- */

#define MAKES(name, family, type, protocol)                              \
	static int call_##name(const struct fixtures *f)                 \
	{                                                                \
		return worked(socket(family, type, protocol));           \
	}                                                                \
	static enum attack_result taken_##name(const struct fixtures *f) \
	{                                                                \
		return taken_over(f, call_##name, -1, "a socket");       \
	}
MAKES(tcp, AF_INET, SOCK_STREAM, 0)
MAKES(udp, AF_INET6, SOCK_DGRAM, 0)
MAKES(netlink, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)

static int
call_connect(const struct fixtures *f)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)fixture_number(f, "tcp")),
	    .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	return worked(connect(MADE_FD, (struct sockaddr *)&to, sizeof(to)));
}

static enum attack_result
taken_connect(const struct fixtures *f)
{
	_cleanup_close_ int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return taken_over(
	    f, call_connect, made, "a service of the host's, with a socket that it had");
}

static int
call_bind(const struct fixtures *f)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	return worked(bind(MADE_FD, (struct sockaddr *)&at, sizeof(at)));
}

static enum attack_result
taken_bind(const struct fixtures *f)
{
	_cleanup_close_ int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return taken_over(f, call_bind, made, "a port of the host's, with a socket that it had");
}

static int
call_unix(const struct fixtures *f)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", fixture(f, "control"));
	return worked(connect(MADE_FD, (struct sockaddr *)&to, sizeof(to)));
}

static enum attack_result
taken_unix(const struct fixtures *f)
{
	_cleanup_close_ int made = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return taken_over(f, call_unix, made, "the supervisor's socket, as a person would");
}

/* ---- files ---- */

static int
call_open(const struct fixtures *f)
{
	return worked(open(fixture(f, "canary"), O_RDONLY | O_CLOEXEC));
}

static enum attack_result
taken_open(const struct fixtures *f)
{
	return taken_over(f, call_open, -1, "a file of the host's");
}

static int
call_create(const struct fixtures *f)
{
	return worked(open(in_dir(f, "new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static enum attack_result
taken_create(const struct fixtures *f)
{
	return taken_over(f, call_create, -1, "a new file");
}

static int
call_proc(const struct fixtures *f)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%lu/environ", fixture_number(f, "pid"));
	return worked(open(path, O_RDONLY | O_CLOEXEC));
}

static enum attack_result
taken_proc(const struct fixtures *f)
{
	return taken_over(f, call_proc, -1, "another program's environment, by /proc");
}

static int
call_execute(const struct fixtures *f)
{
	static char name[] = "rf-attack", argument[] = "--true";
	char *const argv[] = {name, argument, NULL}, *const env[] = {NULL};
	return worked(execve("/proc/self/exe", argv, env));
}

static enum attack_result
taken_execute(const struct fixtures *f)
{
	return taken_over(f, call_execute, -1, "it became another program");
}

/* ---- processes ---- */

static int
call_fork(const struct fixtures *f)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return worked(pid);
}

static enum attack_result
taken_fork(const struct fixtures *f)
{
	return taken_over(f, call_fork, -1, "a process of its own");
}

static int
call_code(const struct fixtures *f)
{
	void *at = mmap(
	    NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return child_errno(at != MAP_FAILED);
}

static enum attack_result
taken_code(const struct fixtures *f)
{
	return taken_over(f, call_code, -1, "code of its own in memory");
}

static int
call_signal(const struct fixtures *f)
{
	return worked(kill((pid_t)fixture_number(f, "pid"), 0));
}

static enum attack_result
taken_signal(const struct fixtures *f)
{
	return taken_over(f, call_signal, -1, "a signal would reach another program");
}

static int
call_owner(const struct fixtures *f)
{
	return worked(fcntl(MADE_FD, F_SETOWN, (int)fixture_number(f, "pid")));
}

static enum attack_result
taken_owner(const struct fixtures *f)
{
	_cleanup_close_ int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return taken_over(f, call_owner, made, "the kernel would signal another program for it");
}

static int
call_trace(const struct fixtures *f)
{
	return worked(ptrace(PTRACE_SEIZE, (pid_t)fixture_number(f, "pid"), NULL, NULL));
}

static enum attack_result
taken_trace(const struct fixtures *f)
{
	return taken_over(f, call_trace, -1, "another program is traced");
}

static int
call_memory(const struct fixtures *f)
{
	char text[sizeof(CANARY)];
	struct iovec here = {text, 1}, there = {(void *)fixture_number(f, "address"), 1};
	return worked(process_vm_readv((pid_t)fixture_number(f, "pid"), &here, 1, &there, 1, 0));
}

static enum attack_result
taken_memory(const struct fixtures *f)
{
	return taken_over(f, call_memory, -1, "another program's memory");
}

static int
call_unshare(const struct fixtures *f)
{
	return worked(unshare(CLONE_NEWUSER));
}

static enum attack_result
taken_unshare(const struct fixtures *f)
{
	return taken_over(f, call_unshare, -1, "every capability, in a namespace of its own");
}

#define BOTH                                               \
	{                                                  \
		LOCK_GATEWAY_FILTER, LOCK_GATEWAY_LANDLOCK \
	}
#define FILTER                      \
	{                           \
		LOCK_GATEWAY_FILTER \
	}

const struct attack takeover_attacks[] = {
    {"taken_tcp", BOUNDARY_TAKEOVER, "a gateway makes a socket (TCP)", FILTER,
	.needs = ITS_OWN_LOCKS, .run = RUN(taken_tcp)},
    {"taken_udp", BOUNDARY_TAKEOVER, "a gateway makes a socket (UDP)", FILTER,
	.needs = ITS_OWN_LOCKS, .run = RUN(taken_udp)},
    {"taken_netlink", BOUNDARY_TAKEOVER, "a gateway makes a socket (netlink)", FILTER,
	.needs = ITS_OWN_LOCKS, .run = RUN(taken_netlink)},
    {"taken_connect", BOUNDARY_TAKEOVER, "a gateway connects a socket that it has", BOTH,
	.needs = ITS_OWN_LOCKS | NEEDS_INTERNET | NEEDS_PORTS, .run = RUN(taken_connect)},
    {"taken_bind", BOUNDARY_TAKEOVER, "a gateway binds a socket that it has", BOTH,
	.needs = ITS_OWN_LOCKS | NEEDS_PORTS, .run = RUN(taken_bind)},
    {"taken_unix", BOUNDARY_TAKEOVER, "a gateway speaks to the supervisor as a person", FILTER,
	.needs = ITS_OWN_LOCKS | NEEDS_STATE, .run = RUN(taken_unix)},
    {"taken_open", BOUNDARY_TAKEOVER, "a gateway reads a file of the host's", BOTH,
	.needs = ITS_OWN_LOCKS | NEEDS_OUTSIDE, .run = RUN(taken_open)},
    {"taken_create", BOUNDARY_TAKEOVER, "a gateway makes a file", BOTH, .needs = ITS_OWN_LOCKS,
	.run = RUN(taken_create)},
    {"taken_proc", BOUNDARY_TAKEOVER, "a gateway reads /proc of another program", BOTH,
	.needs = ITS_OWN_LOCKS | NEEDS_OUTSIDE, .run = RUN(taken_proc)},
    {"taken_execute", BOUNDARY_TAKEOVER, "a gateway starts a program", BOTH, .needs = ITS_OWN_LOCKS,
	.run = RUN(taken_execute)},
    {"taken_fork", BOUNDARY_TAKEOVER, "a gateway makes a process", FILTER, .needs = ITS_OWN_LOCKS,
	.run = RUN(taken_fork)},
    {"taken_code", BOUNDARY_TAKEOVER, "a gateway makes memory executable", FILTER,
	.needs = ITS_OWN_LOCKS, .run = RUN(taken_code)},
    {"taken_signal", BOUNDARY_TAKEOVER, "a gateway signals another program", BOTH,
	.needs = ITS_OWN_LOCKS | NEEDS_OUTSIDE | NEEDS_SCOPE, .run = RUN(taken_signal)},
    {"taken_owner", BOUNDARY_TAKEOVER, "a gateway has the kernel signal it (F_SETOWN)", FILTER,
	.needs = ITS_OWN_LOCKS | NEEDS_OUTSIDE, .run = RUN(taken_owner)},
    {"taken_trace", BOUNDARY_TAKEOVER, "a gateway traces another program", BOTH,
	.needs = ITS_OWN_LOCKS | NEEDS_OUTSIDE, .run = RUN(taken_trace)},
    {"taken_memory", BOUNDARY_TAKEOVER, "a gateway reads another program's memory", BOTH,
	.needs = ITS_OWN_LOCKS | NEEDS_OUTSIDE, .run = RUN(taken_memory)},
    {"taken_unshare", BOUNDARY_TAKEOVER, "a gateway makes a user namespace", FILTER,
	.needs = ITS_OWN_LOCKS, .run = RUN(taken_unshare)},
    {0}};
