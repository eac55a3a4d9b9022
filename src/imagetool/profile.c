#include "imagetool/profile.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <termios.h>
#include <sys/ioctl.h>

#include "imagetool/tool.h"
#include "sandbox/ids.h"
#include "sys/confine.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* Files below the given descriptors, memory, the end. */
#define FILE_CALLS                                                                                \
	SYS_openat2, SYS_openat, SYS_close, SYS_read, SYS_pread64, SYS_write, SYS_writev,         \
	    SYS_pwrite64, SYS_lseek, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_getdents64,        \
	    SYS_readlinkat, SYS_faccessat2, SYS_mkdirat, SYS_symlinkat, SYS_linkat, SYS_unlinkat, \
	    SYS_renameat, SYS_renameat2, SYS_ftruncate, SYS_fchmod, SYS_fchmodat, SYS_fchmodat2,  \
	    SYS_utimensat, SYS_fcntl
#define MEMORY_CALLS                                                                         \
	SYS_mmap, SYS_munmap, SYS_mremap, SYS_brk, SYS_madvise, SYS_mprotect, SYS_getrandom, \
	    SYS_uname, SYS_sysinfo, SYS_geteuid, SYS_getegid, SYS_getpid, SYS_clock_gettime, \
	    SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_rt_sigreturn, SYS_futex, SYS_exit,     \
	    SYS_exit_group

/* clang-format off */
static const int reader_calls[] = {
	FILE_CALLS, MEMORY_CALLS,
#ifdef SYS_chmod
	SYS_chmod, /* before Linux 6.6, through /proc */
#endif
#ifdef SYS_readlink
	SYS_readlink,
#endif
};

static const int store_calls[] = {
	FILE_CALLS, MEMORY_CALLS, SYS_fchownat, SYS_flock, SYS_fsync, SYS_syncfs,
#ifdef SYS_chmod
	SYS_chmod,
#endif
};

/* A dynamic program of another project, perhaps with threads. It gets no socket, no namespace, no key,
 * no trace, no mount, no set-id; Landlock says which files. */
static const int tool_calls[] = {
	FILE_CALLS, MEMORY_CALLS, SYS_execve, SYS_execveat, SYS_set_tid_address, SYS_set_robust_list,
	SYS_rseq, SYS_prlimit64, SYS_sched_getaffinity, SYS_sched_yield,
	SYS_fadvise64, SYS_fallocate, SYS_fsync, SYS_fdatasync, SYS_preadv, SYS_pwritev, SYS_readv, SYS_dup,
	SYS_dup3, SYS_pipe2, SYS_umask, SYS_getuid, SYS_getgid, SYS_gettid, SYS_getppid, SYS_getcwd,
	SYS_fstatfs, SYS_statfs, SYS_getxattr, SYS_lgetxattr, SYS_fgetxattr, SYS_fchown, SYS_fchownat,
	SYS_faccessat, SYS_mknodat, SYS_clock_nanosleep, SYS_nanosleep, SYS_sigaltstack, SYS_sysinfo,
	SYS_gettimeofday, SYS_chdir, SYS_fchdir, SYS_tgkill, SYS_copy_file_range, SYS_getrusage,
#ifdef SYS_open /* the older calls of x86-64 */
	SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_mkdir, SYS_rmdir, SYS_unlink,
	SYS_symlink, SYS_link, SYS_rename, SYS_chmod, SYS_chown, SYS_lchown, SYS_mknod, SYS_getdents,
	SYS_utimes, SYS_utime, SYS_pipe, SYS_dup2, SYS_poll, SYS_time, SYS_arch_prctl, SYS_truncate,
	SYS_creat,
#endif
};
/* clang-format on */

/* What the C library asks of a terminal, and the wish to die with who started us (a change of id ends it). */
static const struct seccomp_rule small_rules[] = {
    {.nr = SYS_ioctl,
	.action = SECCOMP_RET_ALLOW,
	.tests = {{.index = 1, .op = SECCOMP_EQ, .value = TCGETS}},
	.n_tests = 1},
    {.nr = SYS_ioctl,
	.action = SECCOMP_RET_ALLOW,
	.tests = {{.index = 1, .op = SECCOMP_EQ, .value = TIOCGWINSZ}},
	.n_tests = 1},
    {.nr = SYS_ioctl, .action = SECCOMP_RET_ERRNO | ENOTTY},
    {.nr = SYS_prctl,
	.action = SECCOMP_RET_ALLOW,
	.tests = {{.index = 0, .op = SECCOMP_EQ, .value = PR_SET_PDEATHSIG}},
	.n_tests = 1},
    {.nr = SYS_prctl, .action = SECCOMP_RET_ERRNO | EINVAL},
};

/* Threads, but no process: one that stayed behind could write to an image that has its name already.
 * The flags of clone3 lie in memory, where no filter sees them; the C library then uses clone. */
static const struct seccomp_rule thread_rules[] = {
    {.nr = SYS_clone,
	.action = SECCOMP_RET_ALLOW,
	.tests =
	    {{.index = 0, .op = SECCOMP_MASKED_EQ, .mask = CLONE_THREAD, .value = CLONE_THREAD}},
	.n_tests = 1},
    {.nr = SYS_clone3, .action = SECCOMP_RET_ERRNO | ENOSYS},
};

#define TREE_ACCESS (LL_READ | ((LL_WRITE) & ~(LL_MAKE_SOCK | LL_MAKE_FIFO)))

static int
die_with_parent(struct error *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "confine_failed", "rf-image: death signal");
	return 0;
}

int
profile_enter_reader(int work, int tree, struct error *err)
{
	const struct landlock_path paths[] = {
	    {.fd = -1, .path = ".", .access = TREE_ACCESS},
	    {.fd = tree, .path = "", .access = LL_READ},
	};
	const struct confine_profile profile = {
	    .name = "rf-image",
	    .syscalls = reader_calls,
	    .n_syscalls = ARRAY_LEN(reader_calls),
	    .rules = small_rules,
	    .n_rules = ARRAY_LEN(small_rules),
	    .paths = paths,
	    .n_paths = tree >= 0 ? 2 : 1,
	};
	int r = confine_enter(&profile, work, IDS_IMAGE, IDS_IMAGE, WORKER_WORK_FD + 1, err);
	return r < 0 ? r : die_with_parent(err);
}

int
profile_enter_tool(int work, enum profile_tool tool, struct error *err)
{
	const struct landlock_path paths[] = {
	    {.fd = -1, .path = ".", .access = tool == PROFILE_TOOL_WRITES ? TREE_ACCESS : LL_READ},
	    {.fd = -1, .path = "/usr", .access = LL_READ | LL_EXECUTE},
	    {.fd = -1, .path = "/lib", .access = LL_READ | LL_EXECUTE},
	    {.fd = -1, .path = "/lib64", .access = LL_READ | LL_EXECUTE},
	    {.fd = -1, .path = "/etc/ld.so.cache", .access = LL_READ_FILE},
	    {.fd = -1, .path = "/dev/null", .access = LL_READ_FILE | LL_WRITE_FILE},
	};
	struct seccomp_rule rules[ARRAY_LEN(small_rules) + ARRAY_LEN(thread_rules)];
	memcpy(rules, small_rules, sizeof(small_rules));
	memcpy(rules + ARRAY_LEN(small_rules), thread_rules, sizeof(thread_rules));
	const struct confine_profile profile = {
	    .name = "rf-image",
	    .syscalls = tool_calls,
	    .n_syscalls = ARRAY_LEN(tool_calls),
	    .rules = rules,
	    .n_rules = ARRAY_LEN(rules),
	    .paths = paths,
	    .n_paths = ARRAY_LEN(paths),
	};
	if (fchdir(work) < 0)
		return error_set_errno(err, errno, "confine_failed", "rf-image: its directory");
	int r = confine_enter(&profile, -1, IDS_IMAGE, IDS_IMAGE, 4, err);
	return r < 0 ? r : die_with_parent(err);
}

/* ---- the store's part ---- */

/* Root stays root, to own what it stores, but only over files. Others have nothing to give up. */
static int
keep_file_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	if (geteuid() == 0) {
		static const int kept[] = {
		    CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER};
		for (size_t i = 0; i < ARRAY_LEN(kept); i++)
			data[0].permitted |= 1u << kept[i];
		data[0].effective = data[0].permitted;
	}
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static int
enter_seccomp(struct error *err)
{
	struct seccomp_rule rules[ARRAY_LEN(store_calls) + ARRAY_LEN(small_rules)];
	for (size_t i = 0; i < ARRAY_LEN(store_calls); i++)
		rules[i] = (struct seccomp_rule){.nr = store_calls[i], .action = SECCOMP_RET_ALLOW};
	for (size_t i = 0; i < ARRAY_LEN(small_rules); i++)
		rules[ARRAY_LEN(store_calls) + i] = small_rules[i];
	return seccomp_enter(rules, ARRAY_LEN(rules), SECCOMP_RET_KILL_PROCESS, "rf-image", err);
}

int
profile_enter_store(int images, int source, struct error *err)
{
	const struct landlock_path paths[] = {
	    {.fd = images, .path = "", .access = TREE_ACCESS},
	    {.fd = source, .path = "", .access = LL_READ},
	};
	int r = keep_file_capabilities();
	if (r < 0)
		return error_set_errno(err, -r, "confine_failed", "rf-image: capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "confine_failed", "rf-image: no_new_privs");
	r = landlock_restrict(paths, source >= 0 ? 2 : 1, LL_NET_BIND | LL_NET_CONNECT,
	    LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL, NULL, err);
	return r < 0 ? r : enter_seccomp(err);
}
