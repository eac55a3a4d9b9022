/* Landlock by system call: the build's headers may be older than the kernel it runs on, so the
 * structures and numbers stand here. See landlock(7), Documentation/userspace-api/landlock.rst. */
#include "sys/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CREATE_RULESET_VERSION (1U << 0)
#define RULE_PATH_BENEATH 1

/* The same numbers on every architecture. */
#define NR_LANDLOCK_CREATE_RULESET 444
#define NR_LANDLOCK_ADD_RULE 445
#define NR_LANDLOCK_RESTRICT_SELF 446

/* Rights that a file (not a directory) can have; the kernel refuses others on one. */
#define FILE_RIGHTS (LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE | LL_IOCTL_DEV)

struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* ABI 4 */
	uint64_t scoped;             /* ABI 6 */
};

struct path_beneath_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

int
landlock_abi(void)
{
	long abi = syscall(NR_LANDLOCK_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);
	return abi < 0 ? 0 : (int)abi;
}

uint64_t
landlock_handled(int abi)
{
	uint64_t rights = abi > 0 ? LL_REFER - 1 : 0; /* all of ABI 1 */
	if (abi >= 2)
		rights |= LL_REFER;
	if (abi >= 3)
		rights |= LL_TRUNCATE;
	if (abi >= 5)
		rights |= LL_IOCTL_DEV;
	return rights;
}

uint64_t
landlock_scoped(int abi, uint64_t scope)
{
	return abi >= 6 ? scope & (LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL) : 0;
}

static size_t
attr_size(int abi)
{
	return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

static int
add_path(int ruleset, const struct landlock_path *p, uint64_t known, struct error *err)
{
	const char *name = p->path != NULL ? p->path : "(descriptor)";
	_cleanup_close_ int opened = -1;
	int fd = p->fd;
	if (fd < 0 && p->path == NULL)
		return error_set(
		    err, EBADF, "landlock_failed", "Landlock: neither path nor descriptor");
	if (fd < 0) {
		opened = fd = open(p->path, O_PATH | O_CLOEXEC);
		if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
			return 0;
		if (fd < 0)
			return error_set_errno(err, errno, "landlock_failed", "Landlock: %s", name);
	}
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "landlock_failed", "Landlock: %s", name);
	struct path_beneath_attr attr = {.allowed_access = p->access & known, .parent_fd = fd};
	if (!S_ISDIR(st.st_mode))
		attr.allowed_access &= FILE_RIGHTS;
	if (attr.allowed_access == 0)
		return 0;
	if (syscall(NR_LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, &attr, 0) < 0)
		return error_set_errno(
		    err, errno, "landlock_failed", "Landlock: rule for %s", name);
	return 0;
}

int
landlock_rules(const struct landlock_path *paths, size_t n_paths, uint64_t net, uint64_t scope,
    int *ret_abi, struct error *err)
{
	int abi = landlock_abi();
	if (abi <= 0) {
		error_set(err, EOPNOTSUPP, "landlock_absent", "this kernel has no Landlock");
		error_remedy(err, "boot with landlock in the lsm= list (kernel 5.13 or newer)");
		return -EOPNOTSUPP;
	}
	struct ruleset_attr attr = {
	    .handled_access_fs = landlock_handled(abi),
	    .handled_access_net = abi >= 4 ? net & (LL_NET_BIND | LL_NET_CONNECT) : 0,
	    .scoped = landlock_scoped(abi, scope),
	};
	_cleanup_close_ int ruleset =
	    (int)syscall(NR_LANDLOCK_CREATE_RULESET, &attr, attr_size(abi), 0);
	if (ruleset < 0)
		return error_set_errno(
		    err, errno, "landlock_failed", "Landlock: create the ruleset");
	for (size_t i = 0; i < n_paths; i++) {
		int r = add_path(ruleset, &paths[i], attr.handled_access_fs, err);
		if (r < 0)
			return r;
	}
	if (ret_abi != NULL)
		*ret_abi = abi;
	return TAKE_FD(ruleset);
}

int
landlock_add(int rules, const struct landlock_path *path, struct error *err)
{
	return add_path(rules, path, landlock_handled(landlock_abi()), err);
}

int
landlock_enter(int rules, struct error *err)
{
	if (syscall(NR_LANDLOCK_RESTRICT_SELF, rules, 0) < 0)
		return error_set_errno(err, errno, "landlock_failed", "Landlock: restrict");
	return 0;
}

int
landlock_restrict(const struct landlock_path *paths, size_t n_paths, uint64_t net, uint64_t scope,
    int *ret_abi, struct error *err)
{
	int abi = 0;
	_cleanup_close_ int rules = landlock_rules(paths, n_paths, net, scope, &abi, err);
	int r = rules < 0 ? rules : landlock_enter(rules, err);
	if (r == 0 && ret_abi != NULL)
		*ret_abi = abi;
	return r;
}
