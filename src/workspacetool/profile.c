/* rf-workspace keeps the caller's uid: it applies changes with the caller's privileges. What it gives
 * up is everything else: other files (Landlock), programs, sockets and processes (seccomp). */
#include "workspacetool/profile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>

#include "sys/landlock.h"
#include "sys/seccomp.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

static const int syscalls[] = {
    /* files, below the descriptors */
    SYS_openat2, SYS_openat, SYS_close, SYS_read, SYS_write, SYS_writev, SYS_lseek, SYS_fstat,
    SYS_newfstatat, SYS_statx, SYS_getdents64, SYS_readlinkat, SYS_fgetxattr, SYS_faccessat2,
    SYS_mkdirat, SYS_symlinkat, SYS_linkat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_fchmod,
    SYS_fchmodat2, SYS_fchown, SYS_utimensat, SYS_flock, SYS_fsync, SYS_syncfs, SYS_fcntl,
    /* memory, time, the end */
    SYS_mmap, SYS_munmap, SYS_mremap, SYS_brk, SYS_madvise, SYS_mprotect, SYS_getrandom,
    SYS_geteuid, SYS_clock_gettime, SYS_nanosleep, SYS_clock_nanosleep, SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_futex, SYS_exit, SYS_exit_group,
#ifdef SYS_chmod
    SYS_chmod, /* before Linux 6.6, through /proc */
#endif
};

/* What libc asks a descriptor to learn whether it is a terminal. */
static const unsigned terminal_questions[] = {TIOCGWINSZ, TCGETS};

static int
enter_seccomp(struct error *err)
{
	struct seccomp_rule rules[ARRAY_LEN(syscalls) + ARRAY_LEN(terminal_questions)];
	for (size_t i = 0; i < ARRAY_LEN(syscalls); i++)
		rules[i] = (struct seccomp_rule){.nr = syscalls[i], .action = SECCOMP_RET_ALLOW};
	for (size_t i = 0; i < ARRAY_LEN(terminal_questions); i++)
		rules[ARRAY_LEN(syscalls) + i] = (struct seccomp_rule){
		    .nr = SYS_ioctl,
		    .action = SECCOMP_RET_ALLOW,
		    .tests = {{.index = 1, .op = SECCOMP_EQ, .value = terminal_questions[i]}},
		    .n_tests = 1,
		};
	return seccomp_enter(
	    rules, ARRAY_LEN(rules), SECCOMP_RET_KILL_PROCESS, "rf-workspace", err);
}

int
profile_enter(const struct profile_trees *trees, struct error *err)
{
	struct landlock_path paths[3];
	size_t n = 0;
	paths[n++] = (struct landlock_path){
	    .fd = trees->from, .access = LL_READ | (trees->writes ? LL_WRITE : 0)};
	if (trees->to >= 0)
		paths[n++] = (struct landlock_path){.fd = trees->to, .access = LL_READ};
	if (trees->layers >= 0)
		paths[n++] = (struct landlock_path){.fd = trees->layers, .access = LL_READ};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "confine_failed", "rf-workspace: no_new_privs");
	int r = landlock_restrict(
	    paths, n, LL_NET_BIND | LL_NET_CONNECT, LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL, NULL, err);
	return r < 0 ? r : enter_seccomp(err);
}
