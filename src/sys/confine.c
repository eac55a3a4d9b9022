/* How a program of ours gives its powers up. The order matters and is the header's: chroot needs
 * CAP_SYS_CHROOT, the bounding set needs CAP_SETPCAP, both are gone with the uid; Landlock opens its
 * paths after the descriptors were closed; seccomp comes last, because nothing above is in any
 * profile. Every step that fails ends the program: no profile is entered in part. */
#include "sys/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define CAP_NUMBER_MAX 63

static int
failed(struct error *err, const struct confine_profile *profile, const char *step)
{
	return error_set_errno(
	    err, errno, "confine_failed", "%s: cannot confine itself: %s", profile->name, step);
}

/* A process without CAP_SETPCAP cannot shrink its bounding set; no_new_privs makes that moot. */
static int
drop_bounding_set(const struct confine_profile *profile, bool root, struct error *err)
{
	for (int cap = 0; cap <= CAP_NUMBER_MAX; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0)
			return 0; /* past the last that this kernel knows */
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (root || errno != EPERM)
			return failed(err, profile, "capability bounding set");
		return 0;
	}
	return 0;
}

static int
enter_directory(const struct confine_profile *profile, int dir_fd, bool root, struct error *err)
{
	if (dir_fd < 0)
		return 0;
	if (fchdir(dir_fd) < 0)
		return failed(err, profile, "fchdir");
	if (root && (chroot(".") < 0 || chdir("/") < 0))
		return failed(err, profile, "chroot");
	return 0;
}

static int
become(const struct confine_profile *profile, uid_t uid, gid_t gid, struct error *err)
{
	if (uid == 0 || gid == 0)
		return error_set(
		    err, EINVAL, "confine_failed", "%s: refuses to run as root", profile->name);
	if (setgroups(0, NULL) < 0)
		return failed(err, profile, "setgroups");
	if (setresgid(gid, gid, gid) < 0)
		return failed(err, profile, "setresgid");
	if (setresuid(uid, uid, uid) < 0)
		return failed(err, profile, "setresuid");
	if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0)
		return error_set(
		    err, EPERM, "confine_failed", "%s: could become root again", profile->name);
	return 0;
}

static int
drop_capabilities(const struct confine_profile *profile, struct error *err)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) < 0)
		return failed(err, profile, "capset");
	return 0;
}

static int
close_the_way_back(const struct confine_profile *profile, int keep_fds_below, struct error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed(err, profile, "no_new_privs");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return failed(err, profile, "not dumpable");
	if (syscall(SYS_close_range, (unsigned)keep_fds_below, ~0U, 0U) < 0)
		return failed(err, profile, "close_range");
	return 0;
}

int
confine_filter(const struct confine_profile *profile, struct error *err)
{
	size_t n = profile->n_syscalls + profile->n_rules;
	_cleanup_free_ struct seccomp_rule *rules = calloc(n + 1, sizeof(*rules));
	if (rules == NULL) {
		errno = ENOMEM;
		return failed(err, profile, "seccomp");
	}
	for (size_t i = 0; i < profile->n_syscalls; i++)
		rules[i] = (struct seccomp_rule){
		    .nr = profile->syscalls[i],
		    .action = SECCOMP_RET_ALLOW,
		};
	for (size_t i = 0; i < profile->n_rules; i++)
		rules[profile->n_syscalls + i] = profile->rules[i];
	struct seccomp_program program;
	int r = seccomp_compile(rules, n, SECCOMP_RET_KILL_PROCESS, &program, err);
	if (r < 0)
		return r;
	r = seccomp_install(program.code, program.len);
	seccomp_program_done(&program);
	if (r < 0)
		return error_set_errno(
		    err, -r, "confine_failed", "%s: cannot confine itself: seccomp", profile->name);
	return 0;
}

int
confine_landlock(const struct confine_profile *profile, struct error *err)
{
	return landlock_restrict(profile->paths, profile->n_paths,
	    (LL_NET_BIND | LL_NET_CONNECT) & ~profile->net, LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL,
	    NULL, err);
}

int
confine_enter(const struct confine_profile *profile, int dir_fd, uid_t uid, gid_t gid,
    int keep_fds_below, struct error *err)
{
	bool root = geteuid() == 0;
	int r = enter_directory(profile, dir_fd, root, err);
	if (r == 0)
		r = drop_bounding_set(profile, root, err);
	if (r == 0 && root)
		r = become(profile, uid, gid, err);
	if (r == 0)
		r = drop_capabilities(profile, err);
	if (r == 0)
		r = close_the_way_back(profile, keep_fds_below, err);
	if (r == 0)
		r = confine_landlock(profile, err);
	if (r == 0)
		r = confine_filter(profile, err);
	return r;
}
