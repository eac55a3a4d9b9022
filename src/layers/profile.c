/* rf-layers mounts, so Landlock, which forbids that, is not for it; its capabilities are the sandbox's own. What it
 * gives up is the rest of the kernel: programs, sockets, other processes. */
#include "layers/profile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "sys/seccomp.h"

/* The numbers of the mount calls are the same on every architecture, and newer than some headers. */
#define SYS_OPEN_TREE 428
#define SYS_MOVE_MOUNT 429
#define SYS_FSOPEN 430
#define SYS_FSCONFIG 431
#define SYS_FSMOUNT 432
#define SYS_MOUNT_SETATTR 442

static const int syscalls[] = {
    /* namespaces and mounts */
    SYS_setns, SYS_unshare, SYS_setgroups, SYS_setresgid, SYS_setresuid, SYS_mount, SYS_umount2,
    SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT, SYS_MOUNT_SETATTR,
    SYS_chdir,
    /* files */
    SYS_openat, SYS_close, SYS_read, SYS_write, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek,
    SYS_ftruncate, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_getdents64,
    SYS_mkdirat, SYS_mknodat, SYS_symlinkat, SYS_linkat, SYS_readlinkat, SYS_unlinkat,
    SYS_renameat2, SYS_fchownat, SYS_fchmodat, SYS_utimensat, SYS_flistxattr, SYS_fgetxattr,
    SYS_fsetxattr, SYS_fcntl, SYS_umask,
#ifdef SYS_open /* what musl uses where there are the old names */
    SYS_open, SYS_stat, SYS_lstat,
#endif
    /* the socket, memory, the end */
    SYS_recvmsg, SYS_sendmsg, SYS_mmap, SYS_munmap, SYS_mremap, SYS_brk, SYS_madvise, SYS_mprotect,
    SYS_futex, SYS_clock_gettime, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_exit, SYS_exit_group,
    SYS_getpid, SYS_gettid};

int
profile_enter(struct error *err)
{
	struct seccomp_rule rules[ARRAY_LEN(syscalls)];
	for (size_t i = 0; i < ARRAY_LEN(syscalls); i++)
		rules[i] = (struct seccomp_rule){.nr = syscalls[i], .action = SECCOMP_RET_ALLOW};
	return seccomp_enter(rules, ARRAY_LEN(rules), SECCOMP_RET_ERRNO | EPERM, "rf-layers", err);
}
