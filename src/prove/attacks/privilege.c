/* Against privilege: more rights, other ids, and programs that give them. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "prove/attacks/attacks.h"

#define SOMEBODY 65534
#define FCHMODAT2 452

/* As somebody without rights: runs a program that belongs to us and has the set-user-ID bit. */
static int
become_by_program(const struct fixtures *f)
{
	if (syscall(SYS_setresuid, SOMEBODY, SOMEBODY, SOMEBODY) < 0)
		return errno;
	(void)execl(in_dir(f, "become"), "become", "--am-i-root", (char *)NULL);
	return errno;
}

static enum attack_result
run_setuid(const struct fixtures *f)
{
	if (chmod(fixture(f, "dir"), 0755) < 0 || !copy_program(in_dir(f, "become"), 04755))
		return answer(false, "");
	return answer(in_child(become_by_program, f), "a set-user-ID program made it root");
}

/* ---- leaving such files ---- */

static enum attack_result
has_bits(const char *path, bool worked)
{
	struct stat st;
	return answer(worked && stat(path, &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID)) != 0,
	    "a set-id file");
}

static enum attack_result
chmod_setuid(const struct fixtures *f)
{
	const char *path = in_dir(f, "file");
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	return has_bits(path, fd >= 0 && syscall(SYS_chmod, path, 04755) == 0);
}

static enum attack_result
fchmod_setgid(const struct fixtures *f)
{
	const char *path = in_dir(f, "file");
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	return has_bits(path, fd >= 0 && syscall(SYS_fchmod, fd, 02755) == 0);
}

static enum attack_result
fchmodat2_setuid(const struct fixtures *f)
{
	const char *path = in_dir(f, "file");
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	return has_bits(path, fd >= 0 && syscall(FCHMODAT2, AT_FDCWD, path, 04755, 0) == 0);
}

static enum attack_result
create_setuid(const struct fixtures *f)
{
	const char *path = in_dir(f, "created");
	(void)unlink(path);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 04755);
	return has_bits(path, fd >= 0);
}

static enum attack_result
mknod_setuid(const struct fixtures *f)
{
	const char *path = in_dir(f, "node");
	(void)unlink(path);
	return has_bits(path, mknod(path, S_IFREG | 04755, 0) == 0);
}

static enum attack_result
openat2_setuid(const struct fixtures *f)
{
	/* struct open_how: flags, mode, resolve. Its mode is behind a pointer, where no filter looks. */
	const char *path = in_dir(f, "how");
	unsigned long how[3] = {O_WRONLY | O_CREAT | O_CLOEXEC, 04755, 0};
	(void)unlink(path);
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, how, sizeof(how));
	return has_bits(path, fd >= 0);
}

static enum attack_result
file_capabilities(const struct fixtures *f)
{
	const struct vfs_cap_data all = {
	    .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, .data = {{~0u, 0}, {0, 0}}};
	const char *path = in_dir(f, "capable");
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
	return answer(fd >= 0 && setxattr(path, "security.capability", &all, sizeof(all), 0) == 0,
	    "a program that would run with capabilities");
}

/* ---- changing itself ---- */

static enum attack_result
raise_capabilities(const struct fixtures *f)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct want[2] = {{.effective = 1u << CAP_SYS_ADMIN,
	    .permitted = 1u << CAP_SYS_ADMIN,
	    .inheritable = 1u << CAP_SYS_ADMIN}};
	return answer(syscall(SYS_capset, &header, want) == 0, "it has CAP_SYS_ADMIN");
}

static enum attack_result
become_somebody(const struct fixtures *f)
{
	return answer(syscall(SYS_setresuid, SOMEBODY, SOMEBODY, SOMEBODY) == 0, "another user");
}

static enum attack_result
become_root(const struct fixtures *f)
{
	return answer(syscall(SYS_setresuid, 0, 0, 0) == 0, "uid 0");
}

static enum attack_result
join_group(const struct fixtures *f)
{
	const gid_t root = 0;
	return answer(setgroups(1, &root) == 0, "a group that it was not in");
}

static enum attack_result
raise_hard_limit(const struct fixtures *f)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_MSGQUEUE, &limit) < 0 || limit.rlim_max == RLIM_INFINITY)
		return cannot("no limit");
	limit.rlim_max += 1;
	return answer(
	    setrlimit(RLIMIT_MSGQUEUE, &limit) == 0, "a hard limit was raised, by one byte");
}

static enum attack_result
raise_core_limit(const struct fixtures *f)
{
	/* With 0 or 1 as the limit no handler of the host's runs at a crash; core(5). */
	struct rlimit limit;
	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return cannot("no limit");
	limit.rlim_cur = limit.rlim_max = limit.rlim_max == RLIM_INFINITY ? RLIM_INFINITY : 1 << 20;
	errno = EPERM;
	bool set = setrlimit(RLIMIT_CORE, &limit) == 0 && getrlimit(RLIMIT_CORE, &limit) == 0;
	return answer(set && limit.rlim_cur > 1, "its crash would run the host's core handler");
}

#define CAPABILITY_LOCKS                   \
	{                                  \
		LOCK_USER_NS, LOCK_NO_CAPS \
	}

const struct attack privilege_attacks[] = {
    {"run_setuid", BOUNDARY_PRIVILEGE, "becomes root by a set-user-ID program",
	{LOCK_NO_NEW_PRIVS, LOCK_NOSUID, LOCK_SECCOMP}, .needs = NEEDS_ROOT,
	.run = RUN(run_setuid)},
    {"chmod_setuid", BOUNDARY_PRIVILEGE, "leaves a set-user-ID file (chmod)", {LOCK_SECCOMP},
	.run = RUN(chmod_setuid)},
    {"fchmod_setgid", BOUNDARY_PRIVILEGE, "leaves a set-group-ID file (fchmod)", {LOCK_SECCOMP},
	.run = RUN(fchmod_setgid)},
    {"fchmodat2_setuid", BOUNDARY_PRIVILEGE, "leaves a set-user-ID file (fchmodat2)",
	{LOCK_SECCOMP}, .run = RUN(fchmodat2_setuid)},
    {"create_setuid", BOUNDARY_PRIVILEGE, "leaves a set-user-ID file (open)", {LOCK_SECCOMP},
	.run = RUN(create_setuid)},
    {"openat2_setuid", BOUNDARY_PRIVILEGE, "leaves a set-user-ID file (openat2)", {LOCK_SECCOMP},
	.run = RUN(openat2_setuid)},
    {"mknod_setuid", BOUNDARY_PRIVILEGE, "leaves a set-user-ID file (mknod)", {LOCK_SECCOMP},
	.run = RUN(mknod_setuid)},
    {"file_capabilities", BOUNDARY_PRIVILEGE, "leaves a file with capabilities", CAPABILITY_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(file_capabilities)},
    {"raise_capabilities", BOUNDARY_PRIVILEGE, "takes a capability (capset)", CAPABILITY_LOCKS,
	.needs = NEEDS_NS_ROOT, .run = RUN(raise_capabilities)},
    {"become_somebody", BOUNDARY_PRIVILEGE, "becomes another user (setresuid)", CAPABILITY_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(become_somebody)},
    {"become_root", BOUNDARY_PRIVILEGE, "becomes the host's root (setresuid)", {LOCK_USER_NS},
	.needs = NEEDS_ROOT, .run = RUN(become_root)},
    {"join_group", BOUNDARY_PRIVILEGE, "joins a group (setgroups)", CAPABILITY_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(join_group)},
    {"raise_hard_limit", BOUNDARY_PRIVILEGE, "raises a hard limit", CAPABILITY_LOCKS,
	.needs = NEEDS_ROOT, .run = RUN(raise_hard_limit)},
    {"raise_core_limit", BOUNDARY_PRIVILEGE, "has the host's core handler run (core limit)",
	{LOCK_SECCOMP}, .run = RUN(raise_core_limit)},
    {0}};
