/* rf-dialer's locks by attack: what a program that was taken over would try, in a child that entered the profile, and the
 * same in one that did not. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "dialer/profile.h"
#include "sys/landlock.h"

struct attack {
	const char *name;
	int (*try)(void); /* 0: it succeeded; 1: it did not */
};

/* ---- what a gateway's dialer must never do ---- */

static int
open_a_file(void)
{
	return open("/proc/self/status", O_RDONLY | O_CLOEXEC) < 0;
}

static int
open_by_another_call(void)
{
	return syscall(SYS_openat2, AT_FDCWD, "/", &(uint64_t[3]){O_RDONLY}, 24L) < 0;
}

static int
make_a_file(void)
{
	return mkdir("rf-test-profile", 0700) < 0 || rmdir("rf-test-profile") < 0;
}

static int
execute(void)
{
	char *argv[] = {(char[]){"/bin/true"}, NULL};
	execv(argv[0], argv);
	return 1;
}

static int
fork_a_process(void)
{
	pid_t pid = fork();
	if (pid == 0)
		syscall(SYS_exit_group, 0);
	return pid < 0;
}

static int
listen_on(int type)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, type, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&in, sizeof(in)) < 0)
		return 1;
	return type == SOCK_STREAM && listen(fd, 1) < 0;
}

static int
listen_on_tcp(void)
{
	return listen_on(SOCK_STREAM);
}

static int
bind_udp(void)
{
	return listen_on(SOCK_DGRAM);
}

static int
listen_without_bind(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 || listen(fd, 1) < 0;
}

static int
make_a_unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int
make_a_netlink_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) < 0;
}

static int
make_a_socket_of_another_protocol(void)
{
	return socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE) < 0 &&
	    socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) < 0;
}

static int
make_a_raw_socket(void)
{
	/* Without CAP_NET_RAW the kernel refuses; a ping socket may be made. Neither call may be made at all. */
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0 && errno != EPERM &&
	    socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) < 0;
}

static int
make_a_pair(void)
{
	int pair[2];
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0;
}

static int
send_to_an_address(void)
{
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	return sendto(fd, "x", 1, 0, (const struct sockaddr *)&in, sizeof(in)) < 0;
}

static int
set_a_mark(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0;
}

static int
make_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	    MAP_FAILED;
}

static int
make_data_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0;
}

static int
signal_the_parent(void)
{
	return kill(getppid(), 0) < 0;
}

static int
read_other_memory(void)
{
	char c = 'x', d;
	struct iovec to = {&d, 1}, from = {&c, 1};
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) < 0;
}

static int
take_descriptors_by_signal(void)
{
	int p[2];
	return pipe2(p, O_CLOEXEC) < 0 || fcntl(p[0], F_SETOWN, getpid()) < 0;
}

static int
change_its_limits(void)
{
	struct rlimit limit;
	return getrlimit(RLIMIT_CORE, &limit) < 0 || setrlimit(RLIMIT_CORE, &limit) < 0;
}

static const struct attack attacks[] = {
    {"open a file", open_a_file},
    {"open a file by openat2", open_by_another_call},
    {"make a directory", make_a_file},
    {"execute a program", execute},
    {"fork", fork_a_process},
    {"listen on TCP", listen_on_tcp},
    {"bind UDP", bind_udp},
    {"listen without bind", listen_without_bind},
    {"make a Unix socket", make_a_unix_socket},
    {"make a netlink socket", make_a_netlink_socket},
    {"name a protocol", make_a_socket_of_another_protocol},
    {"make a raw socket", make_a_raw_socket},
    {"make a socket pair", make_a_pair},
    {"send a datagram without connect", send_to_an_address},
    {"set a socket option that it does not need", set_a_mark},
    {"map memory that is code", make_code},
    {"turn memory into code", make_data_code},
    {"signal a process", signal_the_parent},
    {"read a process's memory", read_other_memory},
    {"have a descriptor signal somebody", take_descriptors_by_signal},
    {"change its limits", change_its_limits},
};

static int
without_locks(void *data)
{
	const struct attack *attack = data;
	return attack->try();
}

/* As whoever runs the tests: root becomes an id of no account, in a directory that is empty but for others. */
static int
enter(const struct confine_profile *profile)
{
	struct error err;
	unsigned id = geteuid() == 0 ? 0x70000004 : 0;
	int dir = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || confine_enter(profile, dir, id, id, 3, &err) < 0)
		return -1;
	return 0;
}

static int
with_locks(void *data)
{
	const struct attack *attack = data;
	if (enter(&dialer_profile) < 0)
		return 100;
	return attack->try();
}

static void
each_attack_works_without_the_locks_and_kills_with_them(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		void *attack = (void *)(uintptr_t)&attacks[i];
		int free = in_child(without_locks, attack), held = in_child(with_locks, attack);
		if (free != 0)
			fail_msg(
			    "%s: does not work without the locks (%#x)", attacks[i].name, free);
		if (!WIFSIGNALED(held) || WTERMSIG(held) != SIGSYS)
			fail_msg("%s: not killed by the filter (%#x)", attacks[i].name, held);
	}
}

/* ---- what it needs ---- */

static int
connect_and_ask(void *data)
{
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (enter(&dialer_profile) < 0)
		return 100;
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
		if (fd < 0 ||
		    (type == SOCK_STREAM &&
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0))
			return 1;
		/* Landlock would say EACCES. */
		if (connect(fd, (const struct sockaddr *)&in, sizeof(in)) < 0 &&
		    errno != ECONNREFUSED && errno != EINPROGRESS && errno != ENETUNREACH)
			return 2;
	}
	return 0;
}

static void
it_can_make_sockets_and_connect(void **state)
{
	assert_exited(in_child(connect_and_ask, NULL), 0);
}

/* ---- the second lock ---- */

/* The same profile with a filter that lets the calls through: then Landlock alone has to refuse. */
static int
only_landlock(void *data)
{
	static const int more[] = {SYS_bind, SYS_openat, SYS_socket, SYS_mkdir, SYS_exit_group,
	    SYS_close, SYS_connect, SYS_fcntl, SYS_newfstatat, SYS_mmap, SYS_munmap, SYS_exit,
	    SYS_brk, SYS_futex, SYS_write};
	struct confine_profile open_filter = dialer_profile;
	open_filter.syscalls = more;
	open_filter.n_syscalls = ARRAY_LEN(more);
	open_filter.rules = NULL;
	open_filter.n_rules = 0;
	struct sockaddr_in in = {
	    .sin_family = AF_INET, .sin_port = htons(0), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (enter(&open_filter) < 0)
		return 100;
	if (open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 1;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if ((bind(fd, (const struct sockaddr *)&in, sizeof(in)) == 0 || errno != EACCES))
		return 2;
	return 0;
}

static int
no_landlock(void *data)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 ||
	    bind(fd, (const struct sockaddr *)&in, sizeof(in)) < 0;
}

static void
landlock_refuses_files_and_tcp_bind_by_itself(void **state)
{
	if (landlock_abi() < 4)
		skip();
	assert_exited(in_child(no_landlock, NULL), 0);
	assert_exited(in_child(only_landlock, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_attack_works_without_the_locks_and_kills_with_them),
	    cmocka_unit_test(it_can_make_sockets_and_connect),
	    cmocka_unit_test(landlock_refuses_files_and_tcp_bind_by_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
