/* The root is two file systems: a small tmpfs that becomes read-only and holds the skeleton, and the
 * scratch tmpfs, limited in bytes and inodes, whose directories are all that the command can write.
 *
 * It is built in two parts. root_begin needs no policy and runs while the arbiter decides: skeleton, the
 * host's trees, /dev, /proc. root_finish adds what the plan says, scratch and workspace, and pivots.
 *
 * Nothing is ever mounted writable first and restricted later: /usr is cloned detached, with its flags;
 * the many small mounts are bound from a source that already has the right flags, which a bind
 * inherits, at one system call each. */
#include "init/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/plan.h"
#include "sys/mounts.h"

/* Where sources with the right flags stand while the root is built, below the skeleton. */
#define FROM_ETC ".from-etc"
#define FROM_DEV ".from-dev"
#define FROM_EMPTY ".from-empty"

static int
root_fail(struct root *root, int negative, const char *what, const char *path)
{
	return error_set_errno(root->err, -negative, "sandbox_failed", "cannot %s %s in the sandbox", what,
	    path);
}

/* mkdir -p below the skeleton; PATH is absolute. */
static int
make_directory(struct root *root, const char *path)
{
	char partial[512];
	size_t len = strlen(path);
	if (len >= sizeof(partial))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(partial, path + 1, i - 1);
		partial[i - 1] = 0;
		if (partial[0] != 0 && mkdirat(root->fd, partial, 0755) < 0 && errno != EEXIST)
			return root_fail(root, -errno, "make", path);
	}
	return 0;
}

static int
make_parent(struct root *root, const char *path)
{
	char parent[512];
	const char *slash = strrchr(path, '/');
	if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof(parent))
		return 0;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = 0;
	return make_directory(root, parent);
}

static int
make_file(struct root *root, const char *path, const char *text)
{
	int r = make_parent(root, path);
	if (r < 0)
		return r;
	_cleanup_close_ int fd =
	    openat(root->fd, path + 1, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return root_fail(root, -errno, "write", path);
	return 0;
}

/* Puts a detached mount (taken) at PATH, which must exist. */
static int
place(struct root *root, int mount_fd, const char *path)
{
	_cleanup_close_ int fd = mount_fd;
	if (fd < 0)
		return root_fail(root, fd, "mount", path);
	int r = mounts_place(fd, root->fd, path + 1);
	return r < 0 ? root_fail(root, r, "mount", path) : 0;
}

/* Binds SOURCE of the skeleton on PATH of the skeleton; the new mount inherits the source's flags. Both are
 * reached through our descriptor: the skeleton lies over "/", where no path leads. */
static int
bind_inherited(struct root *root, const char *source, const char *path)
{
	char from[320], to[320];
	(void)snprintf(from, sizeof(from), "/proc/self/fd/%d/%s", root->fd, source);
	(void)snprintf(to, sizeof(to), "/proc/self/fd/%d%s", root->fd, path);
	return mount(from, to, NULL, MS_BIND, NULL) < 0 ? root_fail(root, -errno, "mount", path) : 0;
}

/* Puts a clone of the host's PATH at the skeleton's NAME, for bind_inherited. */
static int
add_source(struct root *root, const char *path, const char *name, uint64_t attrs)
{
	if (mkdirat(root->fd, name, 0700) < 0)
		return root_fail(root, -errno, "make", name);
	_cleanup_close_ int fd = mounts_clone(AT_FDCWD, path, attrs);
	int r = fd < 0 ? fd : mounts_place(fd, root->fd, name);
	return r < 0 ? root_fail(root, r, "mount", path) : 0;
}

static void
drop_source(struct root *root, const char *name)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", root->fd, name);
	(void)umount2(path, MNT_DETACH);
	(void)unlinkat(root->fd, name, AT_REMOVEDIR);
}

/* ---- file systems ---- */

static int
mount_skeleton(struct root *root)
{
	static const char *const options[] = {"size", "4m", "nr_inodes", "2048", "mode", "0755", NULL};
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return root_fail(root, -errno, "make private", "/");
	root->fd = mounts_create("tmpfs", options, MNT_NOSUID | MNT_NODEV | MNT_NOEXEC, root->err);
	if (root->fd < 0)
		return root->fd;
	/* On top of "/": our own root stays below until the pivot, so every host path still resolves. */
	int r = mounts_place(root->fd, AT_FDCWD, "/");
	return r < 0 ? root_fail(root, r, "mount", "/") : 0;
}

static int
mount_scratch(struct root *root, const struct json *limits)
{
	char bytes[24], inodes[24];
	(void)snprintf(bytes, sizeof(bytes), "%lld", (long long)json_get_int(limits, "bytes", 1 << 20));
	(void)snprintf(inodes, sizeof(inodes), "%lld", (long long)json_get_int(limits, "inodes", 4096));
	const char *const options[] = {"size", bytes, "nr_inodes", inodes, "mode", "0755", NULL};
	root->scratch = mounts_create("tmpfs", options, MNT_NOSUID | MNT_NODEV, root->err);
	if (root->scratch < 0)
		return root->scratch;
	int r = make_directory(root, "/.scratch");
	if (r == 0)
		r = mounts_place(root->scratch, root->fd, ".scratch");
	return r < 0 ? root_fail(root, r, "mount", "/.scratch") : 0;
}

/* A writable directory: NAME of the scratch file system appears at PATH. */
static int
add_scratch_directory(struct root *root, const char *name, const char *path, mode_t mode)
{
	int r = make_directory(root, path);
	if (r < 0)
		return r;
	if (mkdirat(root->scratch, name, 0700) < 0 ||
	    fchownat(root->scratch, name, root->uid, root->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(root->scratch, name, mode, 0) < 0)
		return root_fail(root, -errno, "make", path);
	return place(root, mounts_clone(root->scratch, name, MNT_NOSUID | MNT_NODEV), path);
}

/* /var/tmp and /dev/shm are links into /tmp: one mount less each, the same size limit anyway. */
static int
add_scratch(struct root *root)
{
	int r = add_scratch_directory(root, "tmp", "/tmp", 01777);
	if (r == 0)
		r = add_scratch_directory(root, "home", PLAN_HOME, 0755);
	if (r == 0 && (mkdirat(root->scratch, "tmp/.shm", 0700) < 0 ||
	        fchownat(root->scratch, "tmp/.shm", root->uid, root->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	        fchmodat(root->scratch, "tmp/.shm", 01777, 0) < 0))
		r = root_fail(root, -errno, "make", "/dev/shm");
	return r;
}

/* ---- the host's files ---- */

static int
add_bind(struct root *root, const struct json *bind)
{
	const char *from = json_get_str(bind, "from", "");
	const char *to = json_get_str(bind, "to", "");
	int r = json_get_bool(bind, "file", false) ? make_file(root, to, "") : make_directory(root, to);
	if (r < 0)
		return r;
	if (strncmp(from, "/etc/", 5) == 0) {
		char source[256];
		(void)snprintf(source, sizeof(source), FROM_ETC "/%s", from + 5);
		return bind_inherited(root, source, to);
	}
	return place(root, mounts_clone(AT_FDCWD, from, MNT_RDONLY | MNT_NOSUID | MNT_NODEV), to);
}

static int
add_binds(struct root *root, const struct json *binds)
{
	int r = add_source(root, "/etc", FROM_ETC, MNT_RDONLY | MNT_NOSUID | MNT_NODEV | MNT_NOEXEC);
	for (size_t i = 0; i < json_len(binds) && r == 0; i++)
		r = add_bind(root, json_at(binds, i));
	drop_source(root, FROM_ETC);
	return r;
}

static int
add_links_and_files(struct root *root, const struct json *plan)
{
	const struct json *links = json_get(plan, "links"), *files = json_get(plan, "files");
	for (size_t i = 0; i < json_len(links); i++) {
		const struct json *link = json_at(links, i);
		const char *path = json_get_str(link, "path", "");
		int r = make_parent(root, path);
		if (r == 0 && symlinkat(json_get_str(link, "target", ""), root->fd, path + 1) < 0)
			r = root_fail(root, -errno, "link", path);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < json_len(files); i++) {
		const struct json *file = json_at(files, i);
		int r = make_file(root, json_get_str(file, "path", ""), json_get_str(file, "text", ""));
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- /dev and /proc ---- */

static int
add_devices(struct root *root)
{
	static const char *const devices[] = {"null", "zero", "full", "random", "urandom"};
	static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"},
	    {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
	    {"/tmp/.shm", "dev/shm"}};
	static const char *const pts[] = {"newinstance", NULL, "ptmxmode", "0666", "mode", "0620", NULL};
	int r = make_directory(root, "/dev/pts");
	if (r == 0)
		r = add_source(root, "/dev", FROM_DEV, MNT_NOSUID | MNT_NOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(devices) && r == 0; i++) {
		char source[64], path[64];
		(void)snprintf(source, sizeof(source), FROM_DEV "/%s", devices[i]);
		(void)snprintf(path, sizeof(path), "/dev/%s", devices[i]);
		r = make_file(root, path, "");
		if (r == 0)
			r = bind_inherited(root, source, path);
	}
	drop_source(root, FROM_DEV);
	for (size_t i = 0; i < ARRAY_LEN(links) && r == 0; i++)
		if (symlinkat(links[i][0], root->fd, links[i][1]) < 0)
			r = root_fail(root, -errno, "link", links[i][1]);
	if (r < 0)
		return r;
	int fd = mounts_create("devpts", pts, MNT_NOSUID | MNT_NOEXEC, root->err);
	return fd < 0 ? fd : place(root, fd, "/dev/pts");
}

/* An empty file and an empty directory, on a read-only mount of their own. */
static int
add_emptiness(struct root *root)
{
	int r = make_directory(root, "/.empty/directory");
	if (r == 0)
		r = make_file(root, "/.empty/file", "");
	if (r == 0 && mkdirat(root->fd, FROM_EMPTY, 0700) < 0)
		r = root_fail(root, -errno, "make", FROM_EMPTY);
	if (r < 0)
		return r;
	return place(root, mounts_clone(root->fd, ".empty",
	    MNT_RDONLY | MNT_NOSUID | MNT_NODEV | MNT_NOEXEC), "/" FROM_EMPTY);
}

/* Names below /proc that tell about the host and that no program needs: replaced by emptiness. What only
 * root could read (kcore, kmsg, timer_list, sysrq-trigger) is refused by its mode: no id in here is the
 * host's root. */
static int
mask_proc(struct root *root)
{
	static const char *const files[] = {"keys", "key-users", "kallsyms", "cmdline", "config.gz",
	    "interrupts"};
	static const char *const dirs[] = {"acpi", "scsi", "bus", "fs", "irq", "driver"};
	int r = add_emptiness(root);
	char path[64];
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(files) + ARRAY_LEN(dirs) && r == 0; i++) {
		bool file = i < ARRAY_LEN(files);
		(void)snprintf(path, sizeof(path), "/proc/%s", file ? files[i] : dirs[i - ARRAY_LEN(files)]);
		if (fstatat(root->fd, path + 1, &st, AT_SYMLINK_NOFOLLOW) == 0)
			r = bind_inherited(root, file ? FROM_EMPTY "/file" : FROM_EMPTY "/directory", path);
	}
	drop_source(root, FROM_EMPTY);
	return r;
}

static int
add_proc(struct root *root, struct json *evidence)
{
	static const char *const subset[] = {"subset", "pid", NULL};
	uint64_t attrs = MNT_RDONLY | MNT_NOSUID | MNT_NODEV | MNT_NOEXEC;
	int r = make_directory(root, "/proc");
	if (r < 0)
		return r;
	const char *shown = "masked";
	int fd = mounts_create("proc", NULL, attrs, root->err);
	if (fd == -EPERM) {
		/* Inside a container whose own /proc is masked the kernel refuses a full one. */
		fd = mounts_create("proc", subset, attrs, root->err);
		shown = "pids only";
	}
	if (fd < 0)
		return fd;
	(void)json_set_str(evidence, "proc", shown);
	r = place(root, fd, "/proc");
	return r < 0 || strcmp(shown, "masked") != 0 ? r : mask_proc(root);
}

/* ---- the workspace ---- */

/* The workspace as a detached mount: given as one, or made from its path, whose identity must be what
 * the caller's descriptor showed (so that a swapped directory is noticed). */
static int
open_workspace(struct root *root, const struct json *workspace, int given_fd, uint64_t attrs)
{
	if (given_fd >= 0)
		return fcntl(given_fd, F_DUPFD_CLOEXEC, 0);
	const char *path = json_get_str(workspace, "path", "");
	int fd = mounts_clone(AT_FDCWD, path, attrs);
	struct stat st;
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

static int
add_workspace_layers(struct root *root, const struct json *workspace, int given_fd)
{
	bool staged = strcmp(json_get_str(workspace, "mode", ""), "staged") == 0;
	uint64_t attrs = MNT_NOSUID | MNT_NODEV | (staged ? MNT_RDONLY : 0);
	int fd = open_workspace(root, workspace, given_fd, attrs);
	if (fd < 0)
		return fd;
	if (!staged) {
		int r = make_directory(root, PLAN_WORKSPACE);
		return r < 0 ? r : place(root, fd, PLAN_WORKSPACE);
	}
	struct stat st = {0};
	(void)fstat(fd, &st);
	int r = make_directory(root, "/.lower");
	if (r == 0)
		r = make_directory(root, PLAN_WORKSPACE);
	if (r == 0)
		r = place(root, fd, "/.lower");
	if (r == 0 && (mkdirat(root->scratch, "upper", 0700) < 0 || mkdirat(root->scratch, "work", 0700) < 0 ||
	    fchownat(root->scratch, "upper", root->uid, root->gid, 0) < 0 ||
	    fchmodat(root->scratch, "upper", st.st_mode & 0777, 0) < 0))
		r = root_fail(root, -errno, "make layers of", PLAN_WORKSPACE);
	return r;
}

/* After the pivot: the layers have paths now. */
static int
mount_overlay(struct root *root, int *ret_upper_fd)
{
	static const char *const options[] = {"source", "staged", "lowerdir", "/.lower", "upperdir",
	    "/.scratch/upper", "workdir", "/.scratch/work", "userxattr", NULL, NULL};
	int fd = mounts_create("overlay", options, MNT_NOSUID | MNT_NODEV, root->err);
	if (fd < 0)
		return fd;
	int r = place(root, fd, PLAN_WORKSPACE);
	if (r < 0)
		return r;
	int upper = openat(root->scratch, "upper", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (upper < 0 || umount2("/.lower", MNT_DETACH) < 0)
		return root_fail(root, -errno, "stage", PLAN_WORKSPACE);
	*ret_upper_fd = upper;
	return 0;
}

/* A file that file permissions let everybody read and no Landlock rule does: the canary of the
 * receipt. */
static int
finish_skeleton(struct root *root)
{
	if (umount2("/.scratch", MNT_DETACH) < 0)
		return root_fail(root, -errno, "unmount", "/.scratch");
	(void)unlinkat(root->fd, ".scratch", AT_REMOVEDIR);
	(void)unlinkat(root->fd, ".lower", AT_REMOVEDIR);
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
	        NULL) < 0)
		return root_fail(root, -errno, "make read-only", "/");
	return 0;
}

int
root_begin(struct root *root, const struct json *view, struct json *evidence)
{
	root->fd = root->scratch = -1;
	int r = mount_skeleton(root);
	if (r == 0)
		r = add_binds(root, json_get(view, "binds"));
	if (r == 0)
		r = add_links_and_files(root, view);
	if (r == 0)
		r = make_file(root, "/.canary", "unreachable\n");
	if (r == 0)
		r = make_directory(root, "/run");
	if (r == 0)
		r = add_devices(root);
	return r < 0 ? r : add_proc(root, evidence);
}

int
root_finish(struct root *root, const struct json *plan, int workspace_fd, int *ret_upper_fd)
{
	const struct json *workspace = json_get(plan, "workspace");
	bool staged = strcmp(json_get_str(workspace, "mode", ""), "staged") == 0;
	*ret_upper_fd = -1;
	int r = mount_scratch(root, json_get(plan, "scratch"));
	if (r == 0)
		r = add_scratch(root);
	if (r == 0 && workspace != NULL)
		r = add_workspace_layers(root, workspace, workspace_fd);
	if (r == 0) {
		r = mounts_become_root(root->fd);
		if (r < 0)
			r = root_fail(root, r, "pivot into", "/");
	}
	if (r == 0 && staged)
		r = mount_overlay(root, ret_upper_fd);
	if (r == 0)
		r = finish_skeleton(root);
	(void)close(TAKE_FD(root->fd));
	(void)close(TAKE_FD(root->scratch));
	return r;
}
