/* rf-issuer's locks, as data. It talks over sockets that it was given: it makes none, connects none, accepts none; it
 * opens no file, executes nothing, and no memory of its becomes code. */
#include "issuer/profile.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static const int calls[] = {
    /* the loop, its messages, its connections */
    SYS_epoll_create1,
    SYS_epoll_ctl,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
    SYS_epoll_pwait,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_getsockopt,
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_shutdown,
    SYS_close,
    /* itself */
    SYS_brk,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_getpid,
    SYS_gettid,
    SYS_getrandom,
    SYS_clock_gettime,
    SYS_gettimeofday,
    SYS_futex,
    SYS_rt_sigreturn,
    SYS_rt_sigprocmask,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
};

#define ALLOW .action = SECCOMP_RET_ALLOW

static const struct seccomp_rule rules[] = {
    SECCOMP_NO_CODE(SYS_mmap),
    SECCOMP_NO_CODE(SYS_mprotect),
    SECCOMP_FCNTL(F_GETFD),
    SECCOMP_FCNTL(F_SETFD),
    SECCOMP_FCNTL(F_GETFL),
    SECCOMP_FCNTL(F_SETFL),
    SECCOMP_FCNTL(F_DUPFD_CLOEXEC),
    {.nr = SYS_setsockopt,
	ALLOW,
	.tests = {{.index = 1, .op = SECCOMP_EQ, .value = IPPROTO_TCP},
	    {.index = 2, .op = SECCOMP_EQ, .value = TCP_NODELAY}},
	.n_tests = 2},
    /* Only where the socket is connected to: no address. */
    {.nr = SYS_sendto,
	ALLOW,
	.tests = {{.index = 4, .op = SECCOMP_EQ, .wide = true}},
	.n_tests = 1},
    {.nr = SYS_recvfrom,
	ALLOW,
	.tests = {{.index = 4, .op = SECCOMP_EQ, .wide = true}},
	.n_tests = 1},
    /* how much waits */
    {.nr = SYS_ioctl,
	ALLOW,
	.tests = {{.index = 1, .op = SECCOMP_EQ, .value = FIONREAD}},
	.n_tests = 1},
};

const struct confine_profile issuer_profile = {
    .name = "rf-issuer",
    .syscalls = calls,
    .n_syscalls = ARRAY_LEN(calls),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};
