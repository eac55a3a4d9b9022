#include "prove/one_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/securebits.h>
#include <sched.h>

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "init/locks.h"
#include "init/root.h"
#include "sandbox/plan.h"
#include "sys/mounts.h"
#include "sys/seccomp.h"

#define FILTER_MAX 2048
#define CLOSE_ON_EXEC (1u << 2) /* CLOSE_RANGE_CLOEXEC */

bool
order_has(const struct order *order, enum lock lock)
{
	const struct json *locks = json_get(order->body, "locks");
	for (size_t i = 0; i < json_len(locks); i++)
		if (strcmp(json_str(json_at(locks, i), ""), lock_name(lock)) == 0)
			return true;
	return false;
}

static int
failed(struct error *err, const char *what)
{
	return error_set_errno(err, errno, "lock_failed", "%s", what);
}

/* ---- surroundings ---- */

static int
enter_groups(struct order *order, struct error *err)
{
	unsigned n = (unsigned)json_get_int(order->body, "cgroups", 0);
	for (unsigned i = 0; i < n; i++) {
		_cleanup_close_ int fd = msg_take_fd(&order->msg, 1 + i);
		if (fd < 0 || write(fd, "0", 1) != 1)
			return failed(err, "cannot enter the control group");
	}
	bool own =
	    order_has(order, LOCK_CGROUP_NS) || json_get_bool(order->body, "cgroup_ns", false);
	if (own && unshare(CLONE_NEWCGROUP) < 0)
		return failed(err, "no cgroup namespace");
	return 0;
}

/* Bounds of what could go wrong where nothing holds the attack; far above what any attack tries. */
static int
apply_bounds(const struct order *order, struct error *err)
{
	static const struct {
		const char *name;
		int resource;
	} bounds[] = {{"open_files", RLIMIT_NOFILE}, {"processes", RLIMIT_NPROC},
	    {"file_bytes", RLIMIT_FSIZE}};
	const struct json *values = json_get(order->body, "bounds");
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		struct rlimit limit;
		int64_t value = json_get_int(values, bounds[i].name, 0);
		if (value <= 0 || getrlimit(bounds[i].resource, &limit) < 0)
			continue;
		limit.rlim_cur = limit.rlim_max = MIN(limit.rlim_max, (rlim_t)value);
		if (setrlimit(bounds[i].resource, &limit) < 0)
			return failed(err, "cannot bound the attack");
	}
	return 0;
}

/* A file system that is mounted over PATH. */
static int
mount_over(const char *path, int mount_fd, const char *what, struct error *err)
{
	_cleanup_close_ int fd = mount_fd;
	int r = fd < 0 ? fd : mounts_place(fd, AT_FDCWD, path);
	return r < 0 ? error_set_errno(err, -r, "lock_failed", "cannot mount %s", what) : 0;
}

/* The attack's directory: large and plain, with what the order's locks make of it. */
static int
make_dir(const struct order *order, struct error *err)
{
	const char *dir = json_get_str(order->body, "dir", NULL);
	const struct json *scratch = json_get(order->body, "scratch");
	char bytes[24], inodes[24];
	uint64_t flags = (order_has(order, LOCK_NOSUID) ? MNT_NOSUID : 0) |
	    (order_has(order, LOCK_NODEV) ? MNT_NODEV : 0) |
	    (order_has(order, LOCK_NOEXEC) ? MNT_NOEXEC : 0);
	if (dir == NULL)
		return 0;
	(void)snprintf(
	    bytes, sizeof(bytes), "%lld", (long long)json_get_int(scratch, "bytes", 1 << 20));
	(void)snprintf(
	    inodes, sizeof(inodes), "%lld", (long long)json_get_int(scratch, "inodes", 256));
	const char *const options[] = {"size", bytes, "nr_inodes", inodes, "mode", "1777", NULL};
	return mount_over(
	    dir, mounts_create("tmpfs", options, flags, err), "the attack's directory", err);
}

/* An overlay over the workspace of the host, as root.c's stage_workspace makes one; changes go into dir. */
static int
stage(const struct order *order, struct error *err)
{
	char upper[512], work[512];
	const char *dir = json_get_str(order->body, "dir", "");
	const char *workspace = json_get_str(order->body, "workspace", "");
	(void)snprintf(upper, sizeof(upper), "%s/.upper", dir);
	(void)snprintf(work, sizeof(work), "%s/.work", dir);
	if (mkdir(upper, 0700) < 0 || mkdir(work, 0700) < 0)
		return failed(err, "cannot stage the workspace");
	const char *const options[] = {"source", "staged", "lowerdir", workspace, "upperdir", upper,
	    "workdir", work, "userxattr", NULL, NULL};
	return mount_over(workspace, mounts_create("overlay", options, MNT_NOSUID | MNT_NODEV, err),
	    "the staged workspace", err);
}

/* /proc of our own pid namespace; with LOCK_PROC read-only, and without what the sandbox's hides. */
static int
mount_proc(const struct order *order, struct error *err)
{
	bool masked = order_has(order, LOCK_PROC);
	char empty[4200];
	uint64_t flags = MNT_NOSUID | MNT_NODEV | MNT_NOEXEC | (masked ? MNT_RDONLY : 0);
	const char *skeleton = json_get_str(json_get(order->body, "view"), "skeleton", "");
	int r = mount_over("/proc", mounts_create("proc", NULL, flags, err), "/proc", err);
	for (size_t i = 0; masked && r == 0 && root_masked(i) != NULL; i++) {
		char path[64];
		struct stat st;
		(void)snprintf(path, sizeof(path), "/%s", root_masked(i));
		if (stat(path, &st) < 0)
			continue;
		(void)snprintf(empty, sizeof(empty), "%s/.empty/%s", skeleton,
		    S_ISDIR(st.st_mode) ? "directory" : "file");
		r = mount_over(path, mounts_clone(AT_FDCWD, empty, flags), path, err);
	}
	return r;
}

/* The sandbox's whole root, and the harness's directory as its workspace. */
static int
enter_root(const struct order *order, struct error *err)
{
	const struct json *view = json_get(order->body, "view"),
			  *ids = json_get(order->body, "ids");
	_cleanup_json_ struct json *plan = json_new_object(), *evidence = json_new_object();
	struct json *workspace = json_new_object();
	struct root root = {.fd = -1,
	    .scratch = -1,
	    .uid = (uid_t)json_get_int(ids, "uid", (int64_t)geteuid()),
	    .gid = (gid_t)json_get_int(ids, "gid", (int64_t)getegid()),
	    .err = err};
	const char *path = json_get_str(order->body, "workspace", "");
	struct stat st;
	int upper = -1;
	(void)json_set(plan, "workspace", workspace);
	(void)json_set(plan, "scratch", json_copy(json_get(order->body, "scratch")));
	if (stat(path, &st) < 0)
		return failed(err, "no workspace");
	(void)json_set_str(workspace, "mode", "direct");
	(void)json_set_str(workspace, "path", path);
	(void)json_set_int(workspace, "dev", (int64_t)st.st_dev);
	(void)json_set_int(workspace, "ino", (int64_t)st.st_ino);
	int r = root_open(&root, view);
	if (r == 0)
		r = root_begin(&root, view, evidence);
	if (r == 0)
		r = root_finish(&root, view, plan, /* workspace_fd= */ -1, &upper);
	if (upper >= 0)
		(void)close(upper);
	return r;
}

static int
make_mounts(const struct order *order, struct error *err)
{
	bool pids = json_get_bool(order->body, "proc", false);
	if (!json_get_bool(order->body, "mounts", false))
		return 0;
	/* Nothing that is mounted here reaches the host. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return failed(err, "no mount namespace");
	if (order_has(order, LOCK_ROOT))
		return enter_root(order, err);
	int r = make_dir(order, err);
	if (r == 0 && order_has(order, LOCK_STAGED))
		r = stage(order, err);
	if (r == 0 && (pids || order_has(order, LOCK_PROC)))
		r = mount_proc(order, err);
	return r;
}

/* In the product the filter may stand alone where the count cannot be set; alone it may not. */
static int
forbid_nesting(struct error *err)
{
	_cleanup_json_ struct json *evidence = json_new_object();
	int r = locks_nesting(evidence, err);
	if (r == 0 && strcmp(json_get_str(evidence, "nesting", ""), "by seccomp only") == 0)
		return error_set(err, EOPNOTSUPP, "lock_failed", "the count cannot be set here");
	return r;
}

int
one_lock_surroundings(struct order *order, struct error *err)
{
	(void)umask(022);
	int r = enter_groups(order, err);
	if (r == 0)
		r = make_mounts(order, err);
	if (r == 0 && order_has(order, LOCK_NESTING))
		r = forbid_nesting(err);
	if (r == 0 && order_has(order, LOCK_KEYRING))
		r = locks_keyring(err);
	return r;
}

/* ---- the process ---- */

/* Another id than the harness's; the kernel takes the capabilities with the host's root. */
static int
change_ids(const struct order *order, struct error *err)
{
	const struct json *ids = json_get(order->body, "ids");
	if (ids == NULL)
		return 0;
	unsigned uid = (unsigned)json_get_int(ids, "uid", -1),
		 gid = (unsigned)json_get_int(ids, "gid", -1);
	if (json_get_bool(ids, "change", false) &&
	    (setgroups(0, NULL) < 0 || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
		syscall(SYS_setresuid, uid, uid, uid) < 0))
		return failed(err, "cannot change ids");
	int r = locks_drop_capabilities(0);
	errno = -r;
	return r < 0 ? failed(err, "cannot drop capabilities") : 0;
}

/* With the uid of root but nothing that it usually means. */
static int
drop_capabilities(struct error *err)
{
	/* First: it needs the capability that it makes worthless. An ordinary user has neither. */
	if (geteuid() == 0 &&
	    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0) < 0)
		return failed(err, "cannot set securebits");
	int r = geteuid() == 0 ? locks_drop_bounding_set() : 0;
	if (r == 0)
		r = locks_drop_capabilities(0);
	errno = -r;
	return r < 0 ? failed(err, "cannot drop capabilities") : 0;
}

static int
load_filter(struct order *order, struct error *err)
{
	static struct sock_filter code[FILTER_MAX];
	size_t length = (size_t)json_get_int(order->body, "filter", 0),
	       bytes = length * sizeof(code[0]);
	if (length == 0 || length > FILTER_MAX ||
	    pread(order->msg.fds[0], code, bytes, 0) != (ssize_t)bytes)
		return error_set(err, EINVAL, "lock_failed", "no filter");
	int r = seccomp_install(code, (unsigned short)length);
	return r < 0 ? error_set_errno(err, -r, "lock_failed", "cannot load the filter") : 0;
}

static int
restrict_files(const struct order *order, struct error *err)
{
	_cleanup_json_ struct json *evidence = json_new_object();
	int r = locks_landlock(json_get(order->body, "view"), evidence, err);
	if (r < 0 && strcmp(err->code, "landlock_ineffective") == 0 &&
	    access("/.canary", F_OK) < 0 && errno == ENOENT)
		r = 0; /* the host has no canary, and needs none: here the attack is the proof */
	if (r == 0 && json_get_int(evidence, "landlock_abi", 1) == 0)
		return error_set(err, EOPNOTSUPP, "lock_failed", "this kernel has no Landlock");
	return r;
}

/* The kernel takes a filter or a domain only from who can gain nothing more by an exec, or is privileged. */
static int
forbid_gain(const struct order *order, struct error *err)
{
	bool demanded = geteuid() != 0 &&
	    (order_has(order, LOCK_SECCOMP) || order_has(order, LOCK_LISTED) ||
		order_has(order, LOCK_LANDLOCK));
	if (!demanded && !order_has(order, LOCK_NO_NEW_PRIVS))
		return 0;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? failed(err, "no_new_privs") : 0;
}

static int
apply_limits(const struct order *order, struct error *err)
{
	int r = locks_cores();
	if (r == 0)
		r = locks_limits(order->body, order->body);
	return r < 0 ? error_set_errno(err, -r, "lock_failed", "cannot set resource limits") : 0;
}

int
one_lock_process(struct order *order, struct error *err)
{
	int r = apply_bounds(order, err);
	if (r == 0)
		r = forbid_gain(order, err);
	if (r == 0 && order_has(order, LOCK_LANDLOCK))
		r = restrict_files(order, err);
	if (r == 0)
		r = change_ids(order, err);
	if (r == 0 && order_has(order, LOCK_NO_CAPS))
		r = drop_capabilities(err);
	if (r == 0 && order_has(order, LOCK_CLOSED) &&
	    syscall(SYS_close_range, 3u, ~0u, CLOSE_ON_EXEC) < 0)
		r = failed(err, "cannot close descriptors");
	if (r == 0 && order_has(order, LOCK_RLIMITS))
		r = apply_limits(order, err);
	if (r == 0 && (order_has(order, LOCK_SECCOMP) || order_has(order, LOCK_LISTED)))
		r = load_filter(order, err);
	return r;
}

struct json *
one_lock_engaged(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2] = {0};
	struct json *engaged = json_new_object();
	char text[24];
	(void)syscall(SYS_capget, &header, caps);
	(void)snprintf(text, sizeof(text), "%08x%08x", caps[1].effective, caps[0].effective);
	(void)json_set_int(engaged, "seccomp", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	(void)json_set_int(engaged, "no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	(void)json_set_str(engaged, "capabilities", text);
	(void)json_set_int(engaged, "uid", (int64_t)getuid());
	return engaged;
}
