/* rf-dialer's locks, as data. The one program that makes sockets to the outside, and that is all it can do: IPv4 and
 * IPv6, streams and datagrams, connected, never bound, never listening. No file of any kind: there is no call that
 * opens one, no path in Landlock, and its root is an empty directory. */
#include "dialer/profile.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const int syscalls[] = {
    /* its peers, name servers and upstreams */
    SYS_connect,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_recvfrom,
    SYS_read,
    SYS_write,
    SYS_writev,
    SYS_close,
    SYS_getsockopt,
    SYS_getsockname,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_epoll_create1,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
    /* itself */
    SYS_munmap,
    SYS_mremap,
    SYS_brk,
    SYS_madvise,
    SYS_getrandom,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_gettimeofday,
    SYS_getpid,
    SYS_gettid,
    SYS_futex,
    SYS_rt_sigreturn,
    SYS_rt_sigprocmask,
    SYS_restart_syscall,
    SYS_sysinfo,
    SYS_exit,
    SYS_exit_group,
};

#define ALLOW .action = SECCOMP_RET_ALLOW
#define IS(argument, what)                                                       \
	{                                                                        \
		.index = (argument), .op = SECCOMP_EQ, .value = (uint64_t)(what) \
	}
/* The kind of socket, whatever its flags; nothing above the low 32 bits is looked at by the kernel. */
#define KIND(type)                                                                              \
	{                                                                                       \
		.index = 1, .op = SECCOMP_MASKED_EQ,                                            \
		.mask = 0xffffffff & ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK), .value = (type) \
	}
#define SOCKET(family, type)                                                             \
	{                                                                                \
		.nr = SYS_socket, ALLOW, .tests = {IS(0, family), KIND(type), IS(2, 0)}, \
		.n_tests = 3                                                             \
	}
#define OPTION(level, name)                                                                     \
	{                                                                                       \
		.nr = SYS_setsockopt, ALLOW, .tests = {IS(1, level), IS(2, name)}, .n_tests = 2 \
	}

static const struct seccomp_rule rules[] = {
    SOCKET(AF_INET, SOCK_STREAM),
    SOCKET(AF_INET, SOCK_DGRAM),
    SOCKET(AF_INET6, SOCK_STREAM),
    SOCKET(AF_INET6, SOCK_DGRAM),
    OPTION(SOL_SOCKET, SO_KEEPALIVE),
    OPTION(IPPROTO_TCP, TCP_NODELAY),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT),
    SECCOMP_FCNTL(F_GETFD),
    SECCOMP_FCNTL(F_SETFD),
    SECCOMP_FCNTL(F_GETFL),
    SECCOMP_FCNTL(F_SETFL),
    SECCOMP_FCNTL(F_DUPFD_CLOEXEC),
    /* Only where the socket is connected to: no address. */
    {.nr = SYS_sendto,
	ALLOW,
	.tests = {{.index = 4, .op = SECCOMP_EQ, .wide = true}},
	.n_tests = 1},
    SECCOMP_NO_CODE(SYS_mmap),
    SECCOMP_NO_CODE(SYS_mprotect),
};

const struct confine_profile dialer_profile = {
    .name = "rf-dialer",
    .syscalls = syscalls,
    .n_syscalls = ARRAY_LEN(syscalls),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
    .net = LL_NET_CONNECT,
};
