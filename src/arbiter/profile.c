/* The locks of rf-arbiter, as data: its own directory, and the calls that its loop, its files and
 * SQLite make. No socket, no connect, no exec, no fork, no ptrace, no memory that becomes code. */
#include "arbiter/profile.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static const int calls[] = {
    /* the loop and its messages */
    __NR_epoll_create1,
    __NR_epoll_ctl,
    __NR_epoll_wait,
    __NR_epoll_pwait,
    __NR_recvmsg,
    __NR_sendmsg,
    __NR_accept4,
    __NR_getsockopt,
    __NR_close,
    /* files: the store, the epoch, the key, policies by descriptor */
    __NR_openat,
    __NR_open,
    __NR_read,
    __NR_write,
    __NR_pread64,
    __NR_pwrite64,
    __NR_lseek,
    __NR_fstat,
    __NR_newfstatat,
    __NR_stat,
    __NR_lstat,
    __NR_fstatfs,
    __NR_fsync,
    __NR_fdatasync,
    __NR_ftruncate,
    __NR_unlink,
    __NR_unlinkat,
    __NR_rename,
    __NR_renameat,
    __NR_renameat2,
    __NR_access,
    __NR_faccessat,
    __NR_faccessat2,
    __NR_readlink,
    __NR_readlinkat,
    __NR_getcwd,
    __NR_umask,
    __NR_fchmod,
    /* log lines */
    __NR_writev,
    /* memory */
    __NR_brk,
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_sysinfo, /* qsort(3) asks how much there is */
    /* itself */
    __NR_getpid,
    __NR_gettid,
    __NR_getuid,
    __NR_geteuid,
    __NR_getgid,
    __NR_getegid,
    __NR_getrandom,
    __NR_clock_gettime,
    __NR_gettimeofday,
    __NR_clock_nanosleep,
    __NR_nanosleep,
    __NR_futex,
    __NR_rt_sigreturn,
    __NR_rt_sigprocmask,
    __NR_rt_sigaction,
    __NR_restart_syscall,
    __NR_exit,
    __NR_exit_group,
};

/* Memory, but none that can be executed. */
static const struct seccomp_rule rules[] = {
    SECCOMP_NO_CODE(__NR_mmap),
    SECCOMP_NO_CODE(__NR_mprotect),
    SECCOMP_FCNTL(F_GETFD),
    SECCOMP_FCNTL(F_SETFD),
    SECCOMP_FCNTL(F_GETFL),
    SECCOMP_FCNTL(F_SETFL),
    SECCOMP_FCNTL(F_DUPFD_CLOEXEC),
    /* SQLite's locks */
    SECCOMP_FCNTL(F_GETLK),
    SECCOMP_FCNTL(F_SETLK),
    SECCOMP_FCNTL(F_SETLKW),
};

static const struct landlock_path paths[] = {
    {.fd = -1,
	.path = ".",
	.access = LL_READ | LL_WRITE_FILE | LL_REMOVE_FILE | LL_MAKE_REG | LL_TRUNCATE},
};

const struct confine_profile arbiter_profile = {
    .name = "rf-arbiter",
    .syscalls = calls,
    .n_syscalls = ARRAY_LEN(calls),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
    .paths = paths,
    .n_paths = ARRAY_LEN(paths),
};
