#include "sandbox/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "base/macros.h"

#ifndef __NR_quotactl_fd
#define __NR_quotactl_fd 443
#endif
#ifndef __NR_futex_waitv
#define __NR_futex_waitv 449
#endif
#ifndef __NR_set_mempolicy_home_node
#define __NR_set_mempolicy_home_node 450
#endif
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif
#ifndef __NR_map_shadow_stack
#define __NR_map_shadow_stack 453
#endif

#define ALLOW SECCOMP_RET_ALLOW
#define DENY (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT (SECCOMP_RET_ERRNO | ENOSYS)

#define EQ(arg, v)                                             \
	{                                                      \
		.index = (arg), .op = SECCOMP_EQ, .value = (v) \
	}
#define NONE_OF(arg, bits)                                                          \
	{                                                                           \
		.index = (arg), .op = SECCOMP_MASKED_EQ, .mask = (bits), .value = 0 \
	}
#define FIELD(arg, m, v)                                                           \
	{                                                                          \
		.index = (arg), .op = SECCOMP_MASKED_EQ, .mask = (m), .value = (v) \
	}

#define INTERNET(family, type, protocol)                                                     \
	{                                                                                    \
		__NR_socket, ALLOW, {EQ(0, family), FIELD(1, 0xf, type), EQ(2, protocol)}, 3 \
	}

#define PRETEND (SECCOMP_RET_ERRNO | 0) /* success, and nothing happens */

#define SETID_BITS 06000u
#define CREATE_FLAGS (0100u | 020000000u) /* O_CREAT, __O_TMPFILE */
#define NEW_NAMESPACES 0x7e020000u        /* every CLONE_NEW* that clone(2) takes */
#define NODE_TYPE 0170000u
#define EMPTY_PATH 0x1000u /* AT_EMPTY_PATH */

/* Calls that need no look at their arguments. */
static const int always[] = {
    /* files, by descriptor and by path: what they reach is the mount namespace's business */
    __NR_read, __NR_write, __NR_close, __NR_fstat, __NR_lseek, __NR_pread64, __NR_pwrite64,
    __NR_readv, __NR_writev, __NR_preadv, __NR_pwritev, __NR_preadv2, __NR_pwritev2, __NR_dup,
    __NR_dup3, __NR_fcntl, __NR_flock, __NR_fsync, __NR_fdatasync, __NR_truncate, __NR_ftruncate,
    __NR_getcwd, __NR_chdir, __NR_fchdir, __NR_fchown, __NR_fchownat, __NR_umask, __NR_getdents64,
    __NR_linkat, __NR_symlinkat, __NR_unlinkat, __NR_renameat2, __NR_mkdirat, __NR_readlinkat,
    __NR_faccessat, __NR_faccessat2, __NR_newfstatat, __NR_statx, __NR_statfs, __NR_fstatfs,
    __NR_utimensat, __NR_fallocate, __NR_fadvise64, __NR_readahead, __NR_sync, __NR_syncfs,
    __NR_sync_file_range, __NR_sendfile, __NR_splice, __NR_tee, __NR_vmsplice, __NR_copy_file_range,
    __NR_close_range, __NR_setxattr, __NR_lsetxattr, __NR_fsetxattr, __NR_getxattr, __NR_lgetxattr,
    __NR_fgetxattr, __NR_listxattr, __NR_llistxattr, __NR_flistxattr, __NR_removexattr,
    __NR_lremovexattr, __NR_fremovexattr, __NR_inotify_init1, __NR_inotify_add_watch,
    __NR_inotify_rm_watch, __NR_memfd_create, __NR_cachestat, __NR_name_to_handle_at,
#ifdef __NR_open
    __NR_stat, __NR_lstat, __NR_access, __NR_pipe, __NR_dup2, __NR_getdents, __NR_rename,
    __NR_mkdir, __NR_rmdir, __NR_link, __NR_unlink, __NR_symlink, __NR_readlink, __NR_chown,
    __NR_lchown, __NR_utime, __NR_utimes, __NR_futimesat, __NR_inotify_init, __NR_poll, __NR_select,
    __NR_epoll_create, __NR_epoll_wait, __NR_eventfd, __NR_signalfd, __NR_pause, __NR_alarm,
    __NR_getpgrp, __NR_fork, __NR_vfork, __NR_time, __NR_arch_prctl, __NR_renameat,
#endif
    /* memory */
    __NR_mmap, __NR_mprotect, __NR_munmap, __NR_brk, __NR_mremap, __NR_msync, __NR_mincore,
    __NR_madvise, __NR_mlock, __NR_mlock2, __NR_munlock, __NR_mlockall, __NR_munlockall,
    __NR_membarrier, __NR_pkey_mprotect, __NR_pkey_alloc, __NR_pkey_free, __NR_mbind,
    __NR_get_mempolicy, __NR_set_mempolicy, __NR_set_mempolicy_home_node, __NR_map_shadow_stack,
    /* waiting */
    __NR_ppoll, __NR_pselect6, __NR_epoll_create1, __NR_epoll_ctl, __NR_epoll_pwait,
    __NR_epoll_pwait2, __NR_eventfd2, __NR_signalfd4, __NR_timerfd_create, __NR_timerfd_settime,
    __NR_timerfd_gettime, __NR_pipe2, __NR_futex, __NR_futex_waitv, __NR_set_robust_list,
    __NR_get_robust_list, __NR_nanosleep, __NR_clock_nanosleep, __NR_restart_syscall,
    /* processes and threads of its own */
    __NR_execve, __NR_execveat, __NR_exit, __NR_exit_group, __NR_wait4, __NR_waitid, __NR_getpid,
    __NR_getppid, __NR_gettid, __NR_getpgid, __NR_setpgid, __NR_getsid, __NR_setsid, __NR_getuid,
    __NR_geteuid, __NR_getgid, __NR_getegid, __NR_getresuid, __NR_getresgid, __NR_getgroups,
    __NR_setuid, __NR_setgid, __NR_setreuid, __NR_setregid, __NR_setresuid, __NR_setresgid,
    __NR_setfsuid, __NR_setfsgid, __NR_setgroups, __NR_capget, __NR_capset, __NR_set_tid_address,
    __NR_rseq, __NR_getrlimit, __NR_getrusage, __NR_times, __NR_getpriority, __NR_sched_yield,
    __NR_sched_getaffinity, __NR_sched_getscheduler, __NR_sched_getparam, __NR_sched_getattr,
    __NR_sched_get_priority_max, __NR_sched_get_priority_min, __NR_sched_rr_get_interval,
    __NR_ioprio_get, __NR_getcpu, __NR_pidfd_send_signal, __NR_landlock_create_ruleset,
    __NR_landlock_add_rule, __NR_landlock_restrict_self, __NR_seccomp,
    /* signals */
    __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_rt_sigpending,
    __NR_rt_sigtimedwait, __NR_rt_sigsuspend, __NR_sigaltstack,
    /* time and identity of the sandbox */
    __NR_clock_gettime, __NR_clock_getres, __NR_gettimeofday, __NR_getitimer, __NR_setitimer,
    __NR_timer_create, __NR_timer_settime, __NR_timer_gettime, __NR_timer_getoverrun,
    __NR_timer_delete, __NR_uname, __NR_sysinfo, __NR_getrandom,
    /* sockets that exist: what they reach is the network namespace's business */
    __NR_connect, __NR_accept, __NR_accept4, __NR_bind, __NR_listen, __NR_sendto, __NR_recvfrom,
    __NR_sendmsg, __NR_recvmsg, __NR_sendmmsg, __NR_recvmmsg, __NR_shutdown, __NR_getsockname,
    __NR_getpeername, __NR_setsockopt, __NR_getsockopt,
    /* System V and POSIX IPC, inside an IPC namespace */
    __NR_shmget, __NR_shmat, __NR_shmdt, __NR_shmctl, __NR_semget, __NR_semop, __NR_semtimedop,
    __NR_semctl, __NR_msgget, __NR_msgsnd, __NR_msgrcv, __NR_msgctl, __NR_mq_open, __NR_mq_unlink,
    __NR_mq_timedsend, __NR_mq_timedreceive, __NR_mq_notify, __NR_mq_getsetattr};

/* Calls that reach for the host: refused by name, so that programs say "not permitted". */
static const int never[] = {
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_kcmp,
    __NR_pidfd_getfd,
    __NR_process_madvise,
    __NR_migrate_pages,
    __NR_move_pages,
    __NR_unshare,
    __NR_setns,
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_chroot,
    __NR_open_tree,
    __NR_move_mount,
    __NR_fsopen,
    __NR_fsconfig,
    __NR_fsmount,
    __NR_fspick,
    __NR_mount_setattr,
    __NR_open_by_handle_at,
    __NR_fanotify_init,
    __NR_fanotify_mark,
    __NR_quotactl,
    __NR_quotactl_fd,
    __NR_acct,
    __NR_swapon,
    __NR_swapoff,
    __NR_reboot,
    __NR_kexec_load,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_bpf,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_add_key,
    __NR_request_key,
    __NR_keyctl,
    __NR_syslog,
    __NR_vhangup,
    __NR_sethostname,
    __NR_setdomainname,
    __NR_settimeofday,
    __NR_clock_settime,
    __NR_clock_adjtime,
    __NR_adjtimex,
    __NR_nfsservctl,
    __NR_lookup_dcookie,
#ifdef __NR_kexec_file_load
    __NR_kexec_file_load,
#endif
#ifdef __NR_iopl
    __NR_iopl,
    __NR_ioperm,
    __NR_modify_ldt,
#endif
};

/* First rule whose tests hold wins. */
static const struct seccomp_rule by_argument[] = {
    /* Nothing may be aimed at pid 1, rf-init: where only one uid can be mapped it shares ours. */
    {__NR_kill, DENY, {EQ(0, 1)}, 1},
    {__NR_kill, ALLOW},
    {__NR_tkill, DENY, {EQ(0, 1)}, 1},
    {__NR_tkill, ALLOW},
    {__NR_tgkill, DENY, {EQ(0, 1)}, 1},
    {__NR_tgkill, ALLOW},
    {__NR_rt_sigqueueinfo, DENY, {EQ(0, 1)}, 1},
    {__NR_rt_sigqueueinfo, ALLOW},
    {__NR_rt_tgsigqueueinfo, DENY, {EQ(0, 1)}, 1},
    {__NR_rt_tgsigqueueinfo, ALLOW},
    {__NR_pidfd_open, DENY, {EQ(0, 1)}, 1},
    {__NR_pidfd_open, ALLOW},
    {__NR_prlimit64, DENY, {EQ(0, 1)}, 1},
    /* The core limit stays what locks.c set, which keeps cores from the host's handler; programs that
     * turn their cores off (gpg, ssh-agent) may believe that they did. */
    {__NR_prlimit64, PRETEND, {EQ(1, 4), {.index = 2, .op = SECCOMP_NE, .wide = true, .value = 0}},
	2},
    {__NR_prlimit64, ALLOW},
    {__NR_setrlimit, PRETEND, {EQ(0, 4)}, 1},
    {__NR_setrlimit, ALLOW},
    {__NR_sched_setaffinity, DENY, {EQ(0, 1)}, 1},
    {__NR_sched_setaffinity, ALLOW},
    {__NR_sched_setscheduler, DENY, {EQ(0, 1)}, 1},
    {__NR_sched_setscheduler, ALLOW},
    {__NR_sched_setparam, DENY, {EQ(0, 1)}, 1},
    {__NR_sched_setparam, ALLOW},
    {__NR_sched_setattr, DENY, {EQ(0, 1)}, 1},
    {__NR_sched_setattr, ALLOW},
    /* PRIO_PROCESS and IOPRIO_WHO_PROCESS only: a group or a user would include pid 1. */
    {__NR_setpriority, DENY, {EQ(1, 1)}, 1},
    {__NR_setpriority, ALLOW, {EQ(0, 0)}, 1},
    {__NR_setpriority, DENY},
    {__NR_ioprio_set, DENY, {EQ(1, 1)}, 1},
    {__NR_ioprio_set, ALLOW, {EQ(0, 1)}, 1},
    {__NR_ioprio_set, DENY},

    /* New processes, never new namespaces. clone3 hides its flags behind a pointer: absent. */
    {__NR_clone, ALLOW, {NONE_OF(0, NEW_NAMESPACES)}, 1},
    {__NR_clone, DENY},
    {__NR_clone3, ABSENT},

    /* Families with a reason to exist in here; no raw, packet, vsock or crypto sockets. Of the internet
     * families TCP and UDP only: SCTP, DCCP, MPTCP and the like are stream sockets too. */
    {__NR_socket, ALLOW, {EQ(0, 1)}, 1},
    INTERNET(2, 1, 0),
    INTERNET(2, 1, 6),
    INTERNET(2, 2, 0),
    INTERNET(2, 2, 17),
    INTERNET(10, 1, 0),
    INTERNET(10, 1, 6),
    INTERNET(10, 2, 0),
    INTERNET(10, 2, 17),
    {__NR_socket, ALLOW, {EQ(0, 16), EQ(2, 0)}, 2}, /* NETLINK_ROUTE: getifaddrs(3) */
    {__NR_socket, DENY},
    {__NR_socketpair, ALLOW, {EQ(0, 1)}, 1},
    {__NR_socketpair, DENY},

    /* Terminals: no typing on behalf of the user, no console or line discipline games. */
    {__NR_ioctl, DENY, {EQ(1, 0x5412)}, 1}, /* TIOCSTI */
    {__NR_ioctl, DENY, {EQ(1, 0x541c)}, 1}, /* TIOCLINUX */
    {__NR_ioctl, DENY, {EQ(1, 0x541d)}, 1}, /* TIOCCONS */
    {__NR_ioctl, DENY, {EQ(1, 0x5423)}, 1}, /* TIOCSETD */
    {__NR_ioctl, ALLOW},

    {__NR_prctl, DENY, {EQ(0, 35)}, 1}, /* PR_SET_MM */
    {__NR_prctl, ALLOW},
    {__NR_personality, ALLOW, {EQ(0, 0)}, 1},
    {__NR_personality, ALLOW, {EQ(0, 0xffffffffu)}, 1},
    {__NR_personality, DENY},

    /* No set-user-ID or set-group-ID files, not even in a workspace that the host will see. */
    {__NR_fchmod, ALLOW, {NONE_OF(1, SETID_BITS)}, 1},
    {__NR_fchmod, DENY},
    {__NR_fchmodat, ALLOW, {NONE_OF(2, SETID_BITS)}, 1},
    {__NR_fchmodat, DENY},
    {__NR_fchmodat2, ALLOW, {NONE_OF(2, SETID_BITS)}, 1},
    {__NR_fchmodat2, DENY},
    {__NR_openat, ALLOW, {NONE_OF(2, CREATE_FLAGS)}, 1},
    {__NR_openat, ALLOW, {NONE_OF(3, SETID_BITS)}, 1},
    {__NR_openat, DENY},
    {__NR_openat2, ABSENT}, /* its mode hides behind a pointer */
    {__NR_mknodat, ALLOW, {NONE_OF(2, NODE_TYPE | SETID_BITS)}, 1},
    {__NR_mknodat, ALLOW, {FIELD(2, NODE_TYPE | SETID_BITS, 0100000u)}, 1},
    {__NR_mknodat, ALLOW, {FIELD(2, NODE_TYPE | SETID_BITS, 0010000u)}, 1},
    {__NR_mknodat, ALLOW, {FIELD(2, NODE_TYPE | SETID_BITS, 0140000u)}, 1},
    {__NR_mknodat, DENY},
#ifdef __NR_open
    {__NR_chmod, ALLOW, {NONE_OF(1, SETID_BITS)}, 1},
    {__NR_chmod, DENY},
    {__NR_open, ALLOW, {NONE_OF(1, CREATE_FLAGS)}, 1},
    {__NR_open, ALLOW, {NONE_OF(2, SETID_BITS)}, 1},
    {__NR_open, DENY},
    {__NR_creat, ALLOW, {NONE_OF(1, SETID_BITS)}, 1},
    {__NR_creat, DENY},
    {__NR_mknod, ALLOW, {NONE_OF(1, NODE_TYPE | SETID_BITS)}, 1},
    {__NR_mknod, ALLOW, {FIELD(1, NODE_TYPE | SETID_BITS, 0100000u)}, 1},
    {__NR_mknod, ALLOW, {FIELD(1, NODE_TYPE | SETID_BITS, 0010000u)}, 1},
    {__NR_mknod, ALLOW, {FIELD(1, NODE_TYPE | SETID_BITS, 0140000u)}, 1},
    {__NR_mknod, DENY},
#endif
};

/* With `executables: listed` a program comes from a file of the root or not at all: none from memory, and
 * none by a descriptor without a name. These come before the tables above and so win over them. */
static const struct seccomp_rule listed[] = {
    {__NR_memfd_create, DENY},
    {__NR_execveat, DENY, {FIELD(4, EMPTY_PATH, EMPTY_PATH)}, 1},
    {__NR_execveat, ALLOW},
};

#define COMMAND_RULES \
	(ARRAY_LEN(listed) + ARRAY_LEN(always) + ARRAY_LEN(never) + ARRAY_LEN(by_argument))

static int
compile_command(const struct seccomp_rule *extra, size_t n_extra, struct seccomp_program *ret,
    struct error *err)
{
	static struct seccomp_rule rules[COMMAND_RULES];
	size_t n = 0;
	for (size_t i = 0; i < n_extra; i++)
		rules[n++] = extra[i];
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		rules[n++] = (struct seccomp_rule){.nr = always[i], .action = ALLOW};
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		rules[n++] = (struct seccomp_rule){.nr = never[i], .action = DENY};
	for (size_t i = 0; i < ARRAY_LEN(by_argument); i++)
		rules[n++] = by_argument[i];
	return seccomp_compile(rules, n, ABSENT, ret, err);
}

int
filter_command(struct seccomp_program *ret, struct error *err)
{
	return compile_command(NULL, 0, ret, err);
}

int
filter_command_listed(struct seccomp_program *ret, struct error *err)
{
	return compile_command(listed, ARRAY_LEN(listed), ret, err);
}

int
filter_init(struct seccomp_program *ret, struct error *err)
{
	static const int calls[] = {
	    __NR_read,
	    __NR_close,
	    __NR_recvmsg,
	    __NR_sendmsg,
	    __NR_ppoll,
	    __NR_wait4,
	    __NR_kill,
	    __NR_exit,
	    __NR_exit_group,
	    __NR_rt_sigreturn,
	    __NR_rt_sigprocmask,
	    __NR_brk,
	    __NR_mmap,
	    __NR_munmap,
	    __NR_mremap,
	    __NR_madvise,
	    __NR_mprotect,
	    __NR_futex,
	    __NR_clock_gettime,
	    __NR_fcntl,
	    __NR_restart_syscall,
	    __NR_statfs,
#ifdef __NR_poll
	    __NR_poll,
#endif
	};
	static struct seccomp_rule rules[ARRAY_LEN(calls)];
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		rules[i] = (struct seccomp_rule){.nr = calls[i], .action = ALLOW};
	return seccomp_compile(rules, ARRAY_LEN(rules), SECCOMP_RET_KILL_PROCESS, ret, err);
}
