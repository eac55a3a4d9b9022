/* The locks of rf-gateway, as data. It talks over sockets that it was given, or accepted on those: it cannot
 * make one, connect one or bind one; it opens no file, executes nothing, and no memory of its becomes code. */
#include "gateway/profile.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static const int calls[] = {
    /* the loop and its messages */
    SYS_epoll_create1,
    SYS_epoll_ctl,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
    SYS_epoll_pwait,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_getsockopt,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    /* connections */
    SYS_accept4,
    SYS_getsockname,
    SYS_getpeername,
    SYS_setsockopt,
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_recvfrom,
    SYS_sendto,
    SYS_shutdown,
    SYS_splice,
    SYS_pipe2,
    /* the bundle of authorities that a sandbox gets */
    SYS_memfd_create,
    SYS_ftruncate,
    /* memory */
    SYS_brk,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_mlock,
    SYS_munlock,
    /* itself */
    SYS_getpid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getrandom,
    SYS_clock_gettime,
    SYS_gettimeofday,
    SYS_clock_nanosleep,
    SYS_futex,
    SYS_rt_sigreturn,
    SYS_rt_sigprocmask,
    SYS_rt_sigaction,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
};

/* Memory, but none that can be executed. Descriptors, but no owner of one (F_SETOWN, FIOSETOWN): the kernel would signal
 * it in our name, and rootless our uid is everybody's. */
static const struct seccomp_rule rules[] = {
    SECCOMP_NO_CODE(SYS_mmap),
    SECCOMP_NO_CODE(SYS_mprotect),
    SECCOMP_FCNTL(F_GETFD),
    SECCOMP_FCNTL(F_SETFD),
    SECCOMP_FCNTL(F_GETFL),
    SECCOMP_FCNTL(F_SETFL),
    SECCOMP_FCNTL(F_DUPFD_CLOEXEC),
    SECCOMP_FCNTL(F_ADD_SEALS),
    SECCOMP_FCNTL(F_SETPIPE_SZ),
    /* how much waits */
    {.nr = SYS_ioctl,
	.action = SECCOMP_RET_ALLOW,
	.tests = {{.index = 1, .op = SECCOMP_EQ, .value = FIONREAD}},
	.n_tests = 1},
};

const struct confine_profile gateway_profile = {
    .name = "rf-gateway",
    .syscalls = calls,
    .n_syscalls = ARRAY_LEN(calls),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
};
