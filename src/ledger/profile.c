/* rf-ledger's locks, as data. It sees one directory, and it can talk only over sockets that it was
 * given: it cannot make one, cannot connect one, cannot execute anything and cannot make memory
 * executable. */
#include "ledger/profile.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static const int syscalls[] = {
    /* files of its directory */
    SYS_openat,
    SYS_close,
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_lseek,
    SYS_fstat,
    SYS_newfstatat,
    SYS_getdents64,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fstatfs,
    SYS_fdatasync,
    SYS_fsync,
    SYS_flock,
    SYS_renameat,
    SYS_unlinkat,
    /* its peers */
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_accept4,
    SYS_getsockopt,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_epoll_create1,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
#ifdef SYS_rename
    SYS_rename,
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

static const struct seccomp_rule rules[] = {
    SECCOMP_NO_CODE(SYS_mmap),
    SECCOMP_NO_CODE(SYS_mprotect),
    SECCOMP_FCNTL(F_GETFD),
    SECCOMP_FCNTL(F_SETFD),
    SECCOMP_FCNTL(F_GETFL),
    SECCOMP_FCNTL(F_SETFL),
    SECCOMP_FCNTL(F_DUPFD_CLOEXEC),
};

static const struct landlock_path paths[] = {
    {.fd = -1,
	.path = ".",
	.access = LL_READ | LL_WRITE_FILE | LL_MAKE_REG | LL_REMOVE_FILE | LL_TRUNCATE},
};

const struct confine_profile ledger_profile = {
    .name = "rf-ledger",
    .syscalls = syscalls,
    .n_syscalls = ARRAY_LEN(syscalls),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
    .paths = paths,
    .n_paths = ARRAY_LEN(paths),
};
