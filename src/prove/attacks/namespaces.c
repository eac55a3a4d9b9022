/* Against the kernel's surface, one: namespaces and mounts, by the old calls and the new. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prove/attacks/attacks.h"

#define WHOLE_TREE (1 /* OPEN_TREE_CLONE */ | 0x8000 /* AT_RECURSIVE: parts may be locked */)
#define FROM_DESCRIPTOR 4
#define NEW_TIME_NS 0x80 /* CLONE_NEWTIME */

/* CLONE_NEW… in a child, so that nothing of it stays. */
static enum attack_result
try_unshare(int flags, const char *what)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0)
		_exit(unshare(flags) < 0 ? errno : 0);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return cannot("no process");
	errno = WEXITSTATUS(status);
	return answer(WIFEXITED(status) && errno == 0, what);
}

static enum attack_result
unshare_user(const struct fixtures *f)
{
	return try_unshare(CLONE_NEWUSER, "it is root of a new user namespace");
}

static enum attack_result
unshare_mount(const struct fixtures *f)
{
	return try_unshare(CLONE_NEWNS, "a mount namespace");
}

static enum attack_result
unshare_pid(const struct fixtures *f)
{
	return try_unshare(CLONE_NEWPID, "a pid namespace");
}

static enum attack_result
unshare_net(const struct fixtures *f)
{
	return try_unshare(CLONE_NEWNET, "a network namespace");
}

static enum attack_result
unshare_time(const struct fixtures *f)
{
	return try_unshare(NEW_TIME_NS, "a time namespace");
}

static enum attack_result
clone_user(const struct fixtures *f)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		_exit(0);
	return answer(pid > 0, "a process in a new user namespace");
}

static enum attack_result
clone3_user(const struct fixtures *f)
{
	/* struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, size, tls */
	unsigned long args[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
	long pid = syscall(SYS_clone3, args, sizeof(args));
	if (pid == 0)
		_exit(0);
	return answer(pid > 0, "a process in a new user namespace");
}

/* The time namespace of a process is its own to enter; the call is what is tried. */
static enum attack_result
setns_own(const struct fixtures *f)
{
	_cleanup_close_ int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	return answer(fd >= 0 && setns(fd, CLONE_NEWUTS) == 0, "it may enter namespaces");
}

/* ---- mounts ---- */

/* An empty directory in dir, which is no mount point. */
static const char *
target(const struct fixtures *f)
{
	const char *path = in_dir(f, "mount-point");
	(void)mkdir(path, 0700);
	return path;
}

static enum attack_result
mounted(const char *at, long result, const char *what)
{
	int error = errno;
	if (result == 0)
		(void)umount2(at, MNT_DETACH);
	errno = error;
	return answer(result == 0, what);
}

static enum attack_result
mount_tmpfs(const struct fixtures *f)
{
	const char *at = target(f);
	return mounted(at, mount("tmpfs", at, "tmpfs", 0, NULL), "a file system was mounted");
}

static enum attack_result
mount_bind(const struct fixtures *f)
{
	const char *at = target(f);
	return mounted(
	    at, mount("/", at, NULL, MS_BIND | MS_REC, NULL), "the root was bound elsewhere");
}

static enum attack_result
mount_proc(const struct fixtures *f)
{
	const char *at = target(f);
	return mounted(at, mount("proc", at, "proc", 0, NULL), "a fresh, writable /proc");
}

static enum attack_result
mount_cgroup(const struct fixtures *f)
{
	/* A hierarchy of its own, without a controller, that ends with the mount. */
	const char *at = target(f);
	return mounted(at, mount("cgroup", at, "cgroup", 0, "none,name=ringfence-prove"),
	    "control groups with a release_agent");
}

static enum attack_result
mount_overlay(const struct fixtures *f)
{
	char options[1100];
	const char *at = target(f);
	(void)snprintf(options, sizeof(options), "lowerdir=/,upperdir=%s,workdir=%s",
	    in_dir(f, "upper"), in_dir(f, "work"));
	(void)mkdir(in_dir(f, "upper"), 0700);
	(void)mkdir(in_dir(f, "work"), 0700);
	return mounted(at, mount("overlay", at, "overlay", 0, options), "an overlay over the root");
}

static enum attack_result
umount_mask(const struct fixtures *f)
{
	/* What is there is no mount point: EINVAL to who may unmount. */
	return answer_harmless(umount2(target(f), 0), EINVAL);
}

static enum attack_result
fsopen_tmpfs(const struct fixtures *f)
{
	_cleanup_close_ int fd = (int)syscall(SYS_fsopen, "tmpfs", 0);
	return answer(fd >= 0, "a file system of its own (fsopen)");
}

static enum attack_result
open_tree_root(const struct fixtures *f)
{
	_cleanup_close_ int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/", WHOLE_TREE);
	return answer(fd >= 0, "a detached copy of the root (open_tree)");
}

static enum attack_result
move_mount_tree(const struct fixtures *f)
{
	const char *at = target(f);
	_cleanup_close_ int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/", WHOLE_TREE);
	if (fd < 0)
		return answer(false, "");
	return mounted(at, syscall(SYS_move_mount, fd, "", AT_FDCWD, at, FROM_DESCRIPTOR),
	    "a detached tree was mounted (move_mount)");
}

static enum attack_result
mount_setattr_tree(const struct fixtures *f)
{
	/* struct mount_attr: set, clear, propagation, user namespace. Of a copy, which ends with us. */
	unsigned long writable[4] = {0, 1 /* MOUNT_ATTR_RDONLY */, 0, 0};
	_cleanup_close_ int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/", WHOLE_TREE);
	return answer(
	    syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, writable, sizeof(writable)) == 0,
	    "a mount was made writable (mount_setattr)");
}

static enum attack_result
pivot_root_here(const struct fixtures *f)
{
	/* Both are directories of one mount: EBUSY or EINVAL to who may pivot. */
	const char *at = target(f);
	long r = syscall(SYS_pivot_root, at, at);
	return answer_harmless(r, r < 0 && errno == EBUSY ? EBUSY : EINVAL);
}

static int
chroot_child(const struct fixtures *f)
{
	/* The old way out: a root below the working directory does not hold it. */
	return child_errno(chroot(target(f)) == 0 && chdir("../../../../../../..") == 0);
}

static enum attack_result
chroot_out(const struct fixtures *f)
{
	return answer(in_child(chroot_child, f), "it changed its root (chroot)");
}

#define NEEDS_MOUNT                                      \
	{                                                \
		LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS \
	}
#define NEEDS_MOUNT_LL                                                  \
	{                                                               \
		LOCK_SECCOMP, LOCK_USER_NS, LOCK_NO_CAPS, LOCK_LANDLOCK \
	}

const struct attack namespaces_attacks[] = {
    {"unshare_user", BOUNDARY_KERNEL, "makes a user namespace (unshare)",
	{LOCK_SECCOMP, LOCK_NESTING}, .run = RUN(unshare_user)},
    {"clone_user", BOUNDARY_KERNEL, "makes a user namespace (clone)", {LOCK_SECCOMP, LOCK_NESTING},
	.run = RUN(clone_user)},
    {"clone3_user", BOUNDARY_KERNEL, "makes a user namespace (clone3)",
	{LOCK_SECCOMP, LOCK_NESTING}, .run = RUN(clone3_user)},
    {"unshare_mount", BOUNDARY_KERNEL, "makes a mount namespace", NEEDS_MOUNT,
	.needs = NEEDS_NS_ROOT, .run = RUN(unshare_mount)},
    {"unshare_pid", BOUNDARY_KERNEL, "makes a pid namespace", NEEDS_MOUNT, .needs = NEEDS_NS_ROOT,
	.run = RUN(unshare_pid)},
    {"unshare_net", BOUNDARY_KERNEL, "makes a network namespace", NEEDS_MOUNT,
	.needs = NEEDS_NS_ROOT, .run = RUN(unshare_net)},
    {"unshare_time", BOUNDARY_KERNEL, "makes a time namespace", NEEDS_MOUNT, .needs = NEEDS_NS_ROOT,
	.run = RUN(unshare_time)},
    {"setns_own", BOUNDARY_KERNEL, "enters a namespace (setns)", NEEDS_MOUNT,
	.needs = NEEDS_NS_ROOT, .run = RUN(setns_own)},
    {"mount_tmpfs", BOUNDARY_KERNEL, "mounts a file system", NEEDS_MOUNT_LL, .needs = NEEDS_NS_ROOT,
	.run = RUN(mount_tmpfs)},
    {"mount_bind", BOUNDARY_KERNEL, "binds the root elsewhere", NEEDS_MOUNT_LL,
	.needs = NEEDS_NS_ROOT, .run = RUN(mount_bind)},
    {"mount_proc", BOUNDARY_KERNEL, "mounts an unmasked /proc", NEEDS_MOUNT_LL, .needs = NEEDS_ROOT,
	.run = RUN(mount_proc)},
    {"mount_cgroup", BOUNDARY_KERNEL, "mounts control groups, for release_agent (CVE-2022-0492)",
	NEEDS_MOUNT_LL, .needs = NEEDS_ROOT, .run = RUN(mount_cgroup)},
    {"mount_overlay", BOUNDARY_KERNEL, "mounts an overlay over the root", NEEDS_MOUNT_LL,
	.needs = NEEDS_ROOT, .run = RUN(mount_overlay)},
    {"umount_mask", BOUNDARY_KERNEL, "unmounts what covers a file", NEEDS_MOUNT,
	.needs = NEEDS_NS_ROOT, .run = RUN(umount_mask)},
    {"fsopen_tmpfs", BOUNDARY_KERNEL, "opens a file system (fsopen)", NEEDS_MOUNT,
	.needs = NEEDS_NS_ROOT, .run = RUN(fsopen_tmpfs)},
    {"open_tree_root", BOUNDARY_KERNEL, "copies a mount (open_tree)", NEEDS_MOUNT,
	.needs = NEEDS_NS_ROOT, .run = RUN(open_tree_root)},
    {"move_mount_tree", BOUNDARY_KERNEL, "mounts a copied tree (move_mount)", NEEDS_MOUNT_LL,
	.needs = NEEDS_NS_ROOT, .run = RUN(move_mount_tree)},
    {"mount_setattr_tree", BOUNDARY_KERNEL, "makes a read-only mount writable (mount_setattr)",
	NEEDS_MOUNT, .needs = NEEDS_ROOT, .run = RUN(mount_setattr_tree)},
    {"pivot_root_here", BOUNDARY_KERNEL, "changes the root of its mounts (pivot_root)",
	NEEDS_MOUNT_LL, .needs = NEEDS_NS_ROOT, .run = RUN(pivot_root_here)},
    {"chroot_out", BOUNDARY_KERNEL, "leaves a root by another (chroot)", NEEDS_MOUNT,
	.needs = NEEDS_NS_ROOT, .run = RUN(chroot_out)},
    {0}};
