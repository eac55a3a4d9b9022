/* The root is two file systems: the skeleton (sandbox/skeleton.h), mounted read-only, and the scratch
 * tmpfs, limited in bytes and inodes, whose directories are all that the command can write.
 *
 * It is built in two parts. root_begin needs no policy and runs while the arbiter decides: skeleton, the
 * host's trees, /dev, /proc. root_finish adds what the plan says, scratch and workspace, and pivots.
 *
 * The skeleton is mounted over "/" of our mount namespace: paths from "/" still lead into the host's
 * tree below it, and relative paths (the working directory is the skeleton) into the new root. Nothing
 * is ever mounted writable first and restricted later. Large trees are cloned detached, with their flags.
 * The many small mounts are bound, one system call each, from a source that has the right flags already,
 * because a bind inherits them; such a source is put over a directory of the host's tree that is not
 * needed any more, and vanishes with that tree: each unmount would cost an RCU grace period. */
#include "init/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "sandbox/plan.h"
#include "sys/mounts.h"

#define READ_ONLY (MNT_RDONLY | MNT_NOSUID | MNT_NODEV)

/* Sources for binds; see the head. In the order in which they are taken. */
#define OVER_ETC "/etc" /* root_begin: /etc itself, read-only; then emptiness */
#define OVER_DEV \
	"/dev" /* root_begin: /dev itself, without set-uid and exec; then the lower layer */
#define OVER_SCRATCH "/usr" /* root_finish: scratch */

static int
root_fail(struct root *root, int negative, const char *what, const char *path)
{
	return error_set_errno(
	    root->err, -negative, "sandbox_failed", "cannot %s %s in the sandbox", what, path);
}

/* Puts a detached mount (taken) at PATH, relative to the new root, or absolute in the host's tree. */
static int
place(struct root *root, int mount_fd, const char *path)
{
	_cleanup_close_ int fd = mount_fd;
	int r = fd < 0 ? fd : mounts_place(fd, AT_FDCWD, path);
	return r < 0 ? root_fail(root, r, "mount", path) : 0;
}

/* Binds FROM (in the host's tree) on TO (in the new root) with FROM's flags. */
static int
bind_inherited(struct root *root, const char *from, const char *to)
{
	return mount(from, to, NULL, MS_BIND, NULL) < 0 ? root_fail(root, -errno, "mount", to) : 0;
}

/* ---- without a policy ---- */

int
root_open(struct root *root, const struct json *view)
{
	const char *path = json_get_str(view, "skeleton", "");
	root->scratch = -1;
	root->fd = mounts_clone(AT_FDCWD, path, READ_ONLY | MNT_NOEXEC);
	return root->fd < 0 ? root_fail(root, root->fd, "mount", path) : 0;
}

static int
enter_skeleton(struct root *root)
{
	int r = 0;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return root_fail(root, -errno, "make private", "/");
	r = mounts_place(root->fd, AT_FDCWD, "/");
	if (r == 0 && fchdir(root->fd) < 0)
		r = -errno;
	return r < 0 ? root_fail(root, r, "enter", "the skeleton") : 0;
}

static int
add_binds(struct root *root, const struct json *binds)
{
	int r = place(root, mounts_clone(AT_FDCWD, "/etc", READ_ONLY | MNT_NOEXEC), OVER_ETC);
	for (size_t i = 0; i < json_len(binds) && r == 0; i++) {
		const char *from = json_get_str(json_at(binds, i), "from", "/");
		const char *to = json_get_str(json_at(binds, i), "to", from);
		uint64_t flags = READ_ONLY |
		    (json_get_bool(json_at(binds, i), "noexec", false) ? MNT_NOEXEC : 0);
		r = strncmp(from, "/etc/", 5) == 0
		    ? bind_inherited(root, from, to + 1)
		    : place(root, mounts_clone(AT_FDCWD, from, flags), to + 1);
	}
	return r;
}

static int
add_devices(struct root *root)
{
	static const char *const devices[] = {
	    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
	static const char *const pts[] = {
	    "newinstance", NULL, "ptmxmode", "0666", "mode", "0620", NULL};
	int r = place(root, mounts_clone(AT_FDCWD, "/dev", MNT_NOSUID | MNT_NOEXEC), OVER_DEV);
	for (size_t i = 0; i < ARRAY_LEN(devices) && r == 0; i++)
		r = bind_inherited(root, devices[i], devices[i] + 1);
	if (r < 0)
		return r;
	int fd = mounts_create("devpts", pts, MNT_NOSUID | MNT_NOEXEC, root->err);
	return fd < 0 ? fd : place(root, fd, "dev/pts");
}

/* Names below /proc that anybody may read, that tell about the host and that no program needs: replaced by
 * emptiness. Keys: rootless, the command has its user's uid and would read the names of their keys;
 * kallsyms and modules: with perf_event_paranoid below 2 they tell the kernel's addresses. What only root could read or write (kcore, kmsg, timer_list, sysrq-trigger) is refused by its
 * mode: no id in here is the host's root. */
static const char *const masked[] = {"proc/cmdline", "proc/config.gz", "proc/interrupts",
    "proc/acpi", "proc/bus", "proc/fs", "proc/scsi", "proc/keys", "proc/kallsyms", "proc/modules"};

const char *
root_masked(size_t i)
{
	return i < ARRAY_LEN(masked) ? masked[i] : NULL;
}

static int
mask_proc(struct root *root)
{
	int r = place(root, mounts_clone(root->fd, ".empty", READ_ONLY | MNT_NOEXEC), OVER_ETC);
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(masked) && r == 0; i++)
		if (stat(masked[i], &st) == 0)
			r = bind_inherited(root,
			    S_ISDIR(st.st_mode) ? OVER_ETC "/directory" : OVER_ETC "/file",
			    masked[i]);
	return r;
}

static int
add_proc(struct root *root, struct json *evidence)
{
	static const char *const subset[] = {"subset", "pid", NULL};
	const char *shown = "masked";
	int fd = mounts_create("proc", NULL, READ_ONLY | MNT_NOEXEC, root->err);
	if (fd == -EPERM) {
		/* Inside a container whose own /proc is masked the kernel refuses a full one. */
		fd = mounts_create("proc", subset, READ_ONLY | MNT_NOEXEC, root->err);
		shown = "pids only";
	}
	if (fd < 0)
		return fd;
	(void)json_set_str(evidence, "proc", shown);
	int r = place(root, fd, "proc");
	return r < 0 || strcmp(shown, "masked") != 0 ? r : mask_proc(root);
}

int
root_begin(struct root *root, const struct json *view, struct json *evidence)
{
	int r = enter_skeleton(root);
	if (r == 0)
		r = add_binds(root, json_get(view, "binds"));
	if (r == 0)
		r = add_devices(root);
	return r < 0 ? r : add_proc(root, evidence);
}

/* ---- as the plan says ---- */

static uint64_t
writable_flags(const struct root *root)
{
	return MNT_NOSUID | MNT_NODEV | (root->noexec ? MNT_NOEXEC : 0);
}

/* The workspace as a detached mount: given as one, or made from its path, whose identity must be what
 * the caller's descriptor showed (so that a swapped directory is noticed). -1 if there is none. */
static int
open_workspace(struct root *root, const struct json *workspace, int given_fd)
{
	bool staged = strcmp(json_get_str(workspace, "mode", ""), "staged") == 0;
	const char *path = json_get_str(workspace, "path", "");
	struct stat st;
	if (given_fd >= 0)
		return fcntl(given_fd, F_DUPFD_CLOEXEC, 0);
	int fd = mounts_clone(AT_FDCWD, path, writable_flags(root) | (staged ? MNT_RDONLY : 0));
	if (fd < 0)
		return root_fail(root, fd, "mount workspace", path);
	if (fstat(fd, &st) < 0 || (int64_t)st.st_dev != json_get_int(workspace, "dev", -1) ||
	    (int64_t)st.st_ino != json_get_int(workspace, "ino", -1)) {
		(void)close(fd);
		return error_set(root->err, ESTALE, "workspace_changed",
		    "the workspace %s was replaced while the sandbox started", path);
	}
	return fd;
}

/* NAME of the scratch file system, owned by the command. */
static int
make_scratch_directory(struct root *root, const char *name, mode_t mode)
{
	if (mkdirat(root->scratch, name, 0700) < 0 ||
	    fchownat(root->scratch, name, root->uid, root->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(root->scratch, name, mode, 0) < 0)
		return root_fail(root, -errno, "make scratch", name);
	return 0;
}

/* /var/tmp and /dev/shm are links into /tmp: one mount less each, and the same size limit anyway. */
static int
add_scratch(struct root *root, const struct json *limits)
{
	char bytes[24], inodes[24];
	(void)snprintf(
	    bytes, sizeof(bytes), "%lld", (long long)json_get_int(limits, "bytes", 1 << 20));
	(void)snprintf(
	    inodes, sizeof(inodes), "%lld", (long long)json_get_int(limits, "inodes", 4096));
	const char *const options[] = {"size", bytes, "nr_inodes", inodes, "mode", "0755", NULL};
	root->scratch = mounts_create("tmpfs", options, writable_flags(root), root->err);
	if (root->scratch < 0)
		return root->scratch;
	int r = mounts_place(root->scratch, AT_FDCWD, OVER_SCRATCH);
	if (r < 0)
		return root_fail(root, r, "mount", "scratch");
	r = make_scratch_directory(root, "tmp", 01777);
	if (r == 0)
		r = make_scratch_directory(root, "tmp/.shm", 01777);
	if (r == 0)
		r = make_scratch_directory(root, "home", 0755);
	if (r == 0)
		r = bind_inherited(root, OVER_SCRATCH "/tmp", "tmp");
	return r < 0 ? r : bind_inherited(root, OVER_SCRATCH "/home", &PLAN_HOME[1]);
}

/* Workspace and scratch stay below the overlay, where nothing sees them but who takes it off: rf-layers, to mount
 * another over the same (src/layers). */
static int
keep_layers(struct root *root)
{
	static const char *const from[] = {OVER_DEV, OVER_SCRATCH};
	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		if (mount(from[i], &PLAN_WORKSPACE[1], NULL, MS_MOVE, NULL) < 0)
			return root_fail(root, -errno, "keep the layers of", PLAN_WORKSPACE);
	return 0;
}

/* Changes go to the scratch file system; the workspace below stays as it is. */
static int
stage_workspace(struct root *root, int lower, int *ret_upper_fd)
{
	static const char *const options[] = {"source", "staged", "lowerdir", OVER_DEV, "upperdir",
	    OVER_SCRATCH "/upper", "workdir", OVER_SCRATCH "/work", "userxattr", NULL, NULL};
	struct stat st = {0};
	(void)fstat(lower, &st);
	int r = place(root, lower, OVER_DEV);
	if (r == 0)
		r = make_scratch_directory(root, "upper", st.st_mode & 0777);
	if (r == 0 && mkdirat(root->scratch, "work", 0700) < 0)
		r = root_fail(root, -errno, "stage", PLAN_WORKSPACE);
	if (r < 0)
		return r;
	int fd = mounts_create("overlay", options, writable_flags(root), root->err);
	if (fd == -EINVAL) {
		/* The kernel does not let an ordinary user look below what was mounted there. */
		(void)error_set(root->err, EINVAL, "bad_workspace",
		    "the workspace cannot be staged: a file system is mounted below it");
		error_remedy(root->err, "name a directory below which nothing is mounted");
	}
	_cleanup_close_ int overlay = fd;
	r = fd < 0 ? fd : keep_layers(root);
	if (r == 0)
		r = place(root, TAKE_FD(overlay), &PLAN_WORKSPACE[1]);
	if (r < 0)
		return r;
	*ret_upper_fd = openat(root->scratch, "upper", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return *ret_upper_fd < 0 ? root_fail(root, -errno, "stage", PLAN_WORKSPACE) : 0;
}

static int
add_workspace(struct root *root, const struct json *workspace, int fd, int *ret_upper_fd)
{
	if (strcmp(json_get_str(workspace, "mode", ""), "staged") == 0)
		return stage_workspace(root, fd, ret_upper_fd);
	return place(root, fd, &PLAN_WORKSPACE[1]);
}

int
root_scratch(struct root *root, const struct json *view, const struct json *plan)
{
	root->noexec = json_get_bool(view, "noexec", false);
	return add_scratch(root, json_get(plan, "scratch"));
}

int
root_finish(struct root *root, const struct json *view, const struct json *plan, int workspace_fd,
    int *ret_upper_fd)
{
	root->noexec = json_get_bool(view, "noexec", false);
	const struct json *workspace = json_get(plan, "workspace");
	int fd = -1, r = 0;
	*ret_upper_fd = -1;
	if (workspace != NULL) {
		/* First of all: its path may lie below what is covered next. */
		fd = open_workspace(root, workspace, workspace_fd);
		r = fd < 0 ? fd : 0;
	}
	if (r == 0 && root->scratch < 0)
		r = add_scratch(root, json_get(plan, "scratch"));
	if (r == 0 && workspace != NULL)
		r = add_workspace(root, workspace, fd, ret_upper_fd);
	if (r == 0) {
		r = mounts_become_root(root->fd);
		if (r < 0)
			r = root_fail(root, r, "pivot into", "/");
	}
	(void)close(TAKE_FD(root->fd));
	return r;
}
