#include "sys/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

/* Numbers and flags, because the C libraries' headers are older than the calls. The numbers are the
 * same on every architecture. */
#define SYS_OPEN_TREE 428
#define SYS_MOVE_MOUNT 429
#define SYS_FSOPEN 430
#define SYS_FSCONFIG 431
#define SYS_FSMOUNT 432
#define SYS_MOUNT_SETATTR 442

#define TREE_CLONE 1u
#define FD_CLOEXEC_OPEN 02000000u /* OPEN_TREE_CLOEXEC = O_CLOEXEC */
#define RECURSIVE 0x8000u
#define EMPTY_PATH 0x1000u
#define MOVE_FROM_EMPTY 0x4u
#define CONFIG_FLAG 0u
#define CONFIG_STRING 1u
#define CONFIG_CREATE 6u
#define FS_CLOEXEC 1u

struct attributes {
	uint64_t set, clear, propagation, userns_fd;
};

static int
result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static int
clone_tree(int dir_fd, const char *path, unsigned recursive, const struct attributes *attributes)
{
	unsigned empty = path[0] == 0 ? EMPTY_PATH : 0;
	_cleanup_close_ int fd = result(
	    syscall(SYS_OPEN_TREE, dir_fd, path, TREE_CLONE | FD_CLOEXEC_OPEN | recursive | empty));
	if (fd < 0)
		return fd;
	int r = result(syscall(
	    SYS_MOUNT_SETATTR, fd, "", EMPTY_PATH | recursive, attributes, sizeof(*attributes)));
	return r < 0 ? r : TAKE_FD(fd);
}

int
mounts_clone(int dir_fd, const char *path, uint64_t attrs)
{
	struct attributes attributes = {.set = attrs};
	return clone_tree(dir_fd, path, RECURSIVE, &attributes);
}

int
mounts_clone_idmapped(int dir_fd, const char *path, uint64_t attrs, int userns_fd)
{
	struct attributes attributes = {.set = attrs | MNT_IDMAP, .userns_fd = (uint64_t)userns_fd};
	return clone_tree(dir_fd, path, 0, &attributes);
}

int
mounts_create(const char *type, const char *const *options, uint64_t attrs, struct error *err)
{
	_cleanup_close_ int context = result(syscall(SYS_FSOPEN, type, FS_CLOEXEC));
	if (context < 0)
		return error_set_errno(
		    err, -context, "mount_failed", "cannot open file system %s", type);
	for (size_t i = 0; options != NULL && options[i] != NULL; i += 2) {
		unsigned command = options[i + 1] == NULL ? CONFIG_FLAG : CONFIG_STRING;
		int r =
		    result(syscall(SYS_FSCONFIG, context, command, options[i], options[i + 1], 0));
		if (r < 0)
			return error_set_errno(err, -r, "mount_failed", "%s refuses option %s=%s",
			    type, options[i], options[i + 1] == NULL ? "" : options[i + 1]);
	}
	int r = result(syscall(SYS_FSCONFIG, context, CONFIG_CREATE, NULL, NULL, 0));
	if (r == 0)
		r = result(syscall(SYS_FSMOUNT, context, FS_CLOEXEC, attrs));
	if (r < 0)
		return error_set_errno(
		    err, -r, "mount_failed", "cannot create file system %s", type);
	return r;
}

int
mounts_restrict(int fd, uint64_t attrs)
{
	struct attributes attributes = {.set = attrs};
	return result(
	    syscall(SYS_MOUNT_SETATTR, fd, "", EMPTY_PATH, &attributes, sizeof(attributes)));
}

int
mounts_place(int fd, int dir_fd, const char *path)
{
	return result(syscall(SYS_MOVE_MOUNT, fd, "", dir_fd, path, MOVE_FROM_EMPTY));
}

int
mounts_become_root(int dir_fd)
{
	if (fchdir(dir_fd) < 0)
		return -errno;
	/* pivot_root(2): "." twice stacks the old root on the new one, from where it is detached. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}
