#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#define CHILD_STACK 16384
#define FDS_MAX 16

/* Capabilities that rf-init needs in its own user namespace until it drops them all. */
static const int init_capabilities[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_KILL,
    CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN,
    CAP_SYS_CHROOT, CAP_SYS_RESOURCE};

/* An exec by an id that the new user namespace does not map yet would lose every capability; ambient
 * ones survive it (capabilities(7)). */
static int
keep_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	for (size_t i = 0; i < ARRAY_LEN(init_capabilities); i++) {
		int cap = init_capabilities[i];
		data[cap / 32].permitted |= 1u << (cap % 32);
	}
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].inheritable = data[i].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(init_capabilities); i++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, init_capabilities[i], 0, 0) < 0)
			return -errno;
	return 0;
}

/* Puts the descriptors at 0..n-1, without closing one that is still needed further on. */
static int
place_fds(const int *fds, int n)
{
	int moved[FDS_MAX];
	for (int i = 0; i < n; i++) {
		int from = fds[i] < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : fds[i];
		moved[i] = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, FDS_MAX);
		if (moved[i] < 0)
			return -errno;
	}
	for (int i = 0; i < n; i++)
		if (dup2(moved[i], i) < 0)
			return -errno;
	return 0;
}

/* The program's descriptor, above all numbers that are given to others. Or -errno. */
static int
move_program(const struct process_spec *spec)
{
	if (spec->program_fd >= FDS_MAX)
		return spec->program_fd;
	int fd = fcntl(spec->program_fd, F_DUPFD_CLOEXEC, FDS_MAX);
	return fd < 0 ? -errno : fd;
}

/* Runs in the child, on its own stack but in our memory: system calls only. */
static int
child_main(void *data)
{
	struct process_spec *spec = data;
	int r = spec->keep_caps ? keep_capabilities() : 0;
	if (r == 0 && spec->new_session && setsid() < 0)
		r = -errno;
	if (r == 0 && spec->die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		r = -errno;
	int program = move_program(spec);
	if (r == 0)
		r = program < 0 ? program : place_fds(spec->fds, spec->n_fds);
	if (r == 0 && spec->unblock_signals) {
		sigset_t none;
		sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
	}
	if (r == 0) {
		(void)syscall(SYS_execveat, program, "", spec->argv, spec->envp, AT_EMPTY_PATH);
		r = -errno;
	}
	spec->exec_errno = -r;
	_exit(127);
}

int
process_start(struct process_spec *spec, pid_t *ret_pid, int *ret_pidfd)
{
	static _Alignas(16) char stack[CHILD_STACK];
	sigset_t all, before;
	int pidfd = -1;
	if (spec->n_fds > FDS_MAX)
		return -EINVAL;
	spec->exec_errno = 0;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | (int)spec->namespaces;
	pid_t pid = clone(child_main, stack + sizeof(stack), flags, spec, &pidfd);
	int failed = pid < 0 ? errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return -failed;
	if (spec->exec_errno != 0) {
		(void)process_reap(pidfd, true, NULL);
		(void)close(pidfd);
		return -spec->exec_errno;
	}
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}

static int
write_proc(pid_t pid, const char *name, const char *text)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int
process_map_ids(pid_t pid, uid_t inner_uid, uid_t outer_uid, gid_t inner_gid, gid_t outer_gid,
    unsigned count, bool deny_setgroups)
{
	char map[64];
	(void)snprintf(map, sizeof(map), "%u %u %u\n", inner_uid, outer_uid, count);
	int r = write_proc(pid, "uid_map", map);
	if (r == 0 && deny_setgroups)
		r = write_proc(pid, "setgroups", "deny");
	if (r < 0)
		return r;
	(void)snprintf(map, sizeof(map), "%u %u %u\n", inner_gid, outer_gid, count);
	return write_proc(pid, "gid_map", map);
}

int
process_signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int
process_reap(int pidfd, bool block, int *ret_status)
{
	siginfo_t info = {0};
	while (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | (block ? 0 : WNOHANG)) < 0)
		if (errno != EINTR)
			return -errno;
	if (info.si_pid == 0)
		return -EAGAIN;
	if (ret_status != NULL)
		*ret_status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
	return 0;
}
