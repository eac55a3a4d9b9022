/* The layers of a workspace as mounts.
 *
 * rf-init leaves three mounts on /workspace, one over the other: the base (the user's directory, read-only),
 * scratch, and the overlay of both, which is all that is seen. A copy of the mount namespace takes the overlay
 * off and has the other two at hand; the new overlay is made there, detached, and put in place in the
 * sandbox's own namespace. The copy vanishes with us.
 *
 * An unmount that is not lazy is the kernel's own answer to whether anybody still holds the old overlay (an open
 * file, a mapping, a working directory): if so it fails, and nothing has changed. */
#include "layers/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "ipc/msg.h"
#include "sandbox/layers.h"
#include "sandbox/plan.h"
#include "sys/mounts.h"

#define SCRATCH "/tmp" /* where scratch is put in our copy */
#define OPTION_MAX 256 /* fsconfig(2): of a string, with its end */
#define VIEWED (MNT_RDONLY | MNT_NOSUID | MNT_NODEV | MNT_NOEXEC)

static int
stack_fail(struct error *err, int negative, const char *what)
{
	return error_set_errno(err, -negative, "layers_failed", "cannot %s", what);
}

/* ---- entering ---- */

static int
become(const struct json *ids, struct error *err)
{
	uid_t uid = (uid_t)json_get_int(ids, "uid", -1);
	gid_t gid = (gid_t)json_get_int(ids, "gid", -1);
	if (!json_get_bool(ids, "change", false))
		return 0;
	if (setgroups(0, NULL) < 0 || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
	    syscall(SYS_setresuid, uid, uid, uid) < 0)
		return stack_fail(err, -errno, "take an id of the sandbox");
	return 0;
}

static uint64_t
attributes_of(const struct statvfs *fs)
{
	uint64_t attrs = MNT_NOSUID | MNT_NODEV;
	return fs->f_flag & ST_NOEXEC ? attrs | MNT_NOEXEC : attrs;
}

static int
is_tmpfs(const char *path)
{
	struct statfs fs;
	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == TMPFS_MAGIC;
}

/* Makes the copy of the mount namespace, takes the overlay off in it and puts scratch where it can be named. */
static int
take_apart(struct stack *stack, struct error *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return stack_fail(err, -errno, "copy the mount namespace");
	if ((!stack->given_up && umount2(PLAN_WORKSPACE, MNT_DETACH) < 0) ||
	    !is_tmpfs(PLAN_WORKSPACE))
		return error_set(err, EOPNOTSUPP, "no_layers",
		    "the workspace of this sandbox is not made of layers");
	if (mount(PLAN_WORKSPACE, SCRATCH, NULL, MS_MOVE, NULL) < 0 || chdir(SCRATCH) < 0)
		return stack_fail(err, -errno, "reach the scratch file system");
	if (stack->scratch >= 0)
		return 0;
	stack->scratch = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return stack->scratch < 0 ? stack_fail(err, -errno, "open the scratch file system") : 0;
}

int
stack_enter(struct stack *stack, const struct json *ids, struct error *err)
{
	struct statvfs fs;
	if (setns(stack->pidfd, CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return stack_fail(err, -errno, "enter the sandbox's namespaces");
	int r = become(ids, err);
	if (r < 0)
		return r;
	if (statvfs(PLAN_WORKSPACE, &fs) < 0)
		return stack_fail(err, -errno, "look at the workspace");
	stack->attrs = attributes_of(&fs);
	stack->now = mounts_clone(AT_FDCWD, PLAN_WORKSPACE, stack->attrs);
	if (stack->now >= 0)
		stack->shown = mounts_clone(AT_FDCWD, PLAN_WORKSPACE, VIEWED);
	if (stack->now < 0 || stack->shown < 0)
		return stack_fail(err, MIN(stack->now, stack->shown), "take hold of the workspace");
	return take_apart(stack, err);
}

void
stack_done(struct stack *stack)
{
	if (stack->scratch >= 0)
		(void)close(TAKE_FD(stack->scratch));
	if (stack->now >= 0)
		(void)close(TAKE_FD(stack->now));
	if (stack->shown >= 0)
		(void)close(TAKE_FD(stack->shown));
}

/* ---- overlays ---- */

/* "2:1:upper:/workspace", relative to scratch. */
static int
join_lowers(const struct json *lowers, char text[OPTION_MAX], struct error *err)
{
	size_t len = 0;
	for (size_t i = 0; i <= json_len(lowers); i++) {
		const char *name =
		    i < json_len(lowers) ? json_str(json_at(lowers, i), "") : STACK_BASE;
		int n = snprintf(text + len, OPTION_MAX - len, "%s%s", i > 0 ? ":" : "", name);
		len += (size_t)n;
		if (len >= OPTION_MAX)
			return error_set(err, E2BIG, "too_many_layers",
			    "the workspace has too many layers for one mount");
	}
	return 0;
}

static int
mount_layers(const struct json *lowers, const char *upper, const char *work, uint64_t attrs,
    struct error *err)
{
	char below[OPTION_MAX];
	int r = join_lowers(lowers, below, err);
	if (r < 0)
		return r;
	/* xino=off: a file has the same inode number in every overlay that shows it. */
	const char *options[] = {"source", "staged", "lowerdir", below, "userxattr", NULL, "xino",
	    "off", NULL, NULL, NULL, NULL, NULL};
	size_t n = 8;
	if (upper != NULL) {
		options[n++] = "upperdir";
		options[n++] = upper;
		options[n++] = "workdir";
		options[n++] = work;
	}
	return mounts_create("overlay", options, attrs, err);
}

/* The new upper directory, with the mode that the workspace's top has in the state below it. */
static int
make_directories(const struct stack *stack, const struct json *lowers, const char *upper,
    const char *work, uid_t uid, gid_t gid, struct error *err)
{
	const char *top = json_len(lowers) > 0 ? json_str(json_at(lowers, 0), "") : STACK_BASE;
	struct stat st;
	/* What one of us left that was killed. */
	(void)tree_remove(stack->scratch, upper);
	(void)tree_remove(stack->scratch, work);
	if (stat(top, &st) < 0 || mkdirat(stack->scratch, work, 0700) < 0 ||
	    mkdirat(stack->scratch, upper, 0700) < 0 ||
	    fchownat(stack->scratch, upper, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(stack->scratch, upper, st.st_mode & 01777, 0) < 0)
		return stack_fail(err, -errno, "make a layer");
	int r = json_len(lowers) > 0 ? tree_alike(stack->scratch, top, upper) : 0;
	return r < 0 ? stack_fail(err, r, "make a layer") : 0;
}

/* From here on, and until we answer, only we know what is mounted. */
static int
begin_exchange(const struct stack *stack, struct error *err)
{
	int r = msg_send(stack->control, LAYERS_EXCHANGES, 0, NULL, NULL, 0);
	if (r < 0)
		return stack_fail(err, r, "tell the supervisor");
	if (setns(stack->pidfd, CLONE_NEWNS) < 0)
		return stack_fail(err, -errno, "return to the sandbox's mounts");
	return 0;
}

/* In the sandbox's own namespace: NEW takes the place of what is mounted there. */
static int
exchange(const struct stack *stack, int new, bool lazy, struct error *err)
{
	int r = begin_exchange(stack, err);
	if (r < 0)
		return r;
	if (!stack->given_up && umount2(PLAN_WORKSPACE, lazy ? MNT_DETACH : 0) < 0)
		return errno == EBUSY
		    ? error_set(err, EBUSY, "workspace_busy", "files of the workspace are open")
		    : stack_fail(err, -errno, "unmount the workspace");
	r = mounts_place(new, AT_FDCWD, PLAN_WORKSPACE);
	if (r == 0 || stack->given_up)
		return r == 0 ? 0 : stack_fail(err, r, "mount the new layer");
	int back = mounts_place(stack->now, AT_FDCWD, PLAN_WORKSPACE);
	return back == 0 ? stack_fail(err, r, "mount the new layer")
			 : error_set(err, EIO, "workspace_lost",
			       "the workspace was unmounted and cannot be mounted again");
}

int
stack_replace(struct stack *stack, const struct json *lowers, const char *upper, uid_t uid,
    gid_t gid, bool lazy, struct error *err)
{
	char work[64];
	(void)snprintf(work, sizeof(work), "w%s", upper);
	int r = make_directories(stack, lowers, upper, work, uid, gid, err);
	_cleanup_close_ int new = r < 0 ? r : mount_layers(lowers, upper, work, stack->attrs, err);
	r = new < 0 ? new : exchange(stack, new, lazy, err);
	if (r < 0) {
		close_fd(&new);
		(void)tree_remove(stack->scratch, upper);
		(void)tree_remove(stack->scratch, work);
	}
	return r;
}

/* The overlay keeps what was in its upper layer until the last of its mounts is gone. */
int
stack_give_up(struct stack *stack, struct error *err)
{
	int r = begin_exchange(stack, err);
	if (r < 0)
		return r;
	if (umount2(PLAN_WORKSPACE, MNT_DETACH) < 0)
		return stack_fail(err, -errno, "unmount the workspace");
	stack->given_up = true;
	close_fd(&stack->now);
	close_fd(&stack->shown);
	return take_apart(stack, err);
}

/* ---- views ---- */

/* The top directory of a detached MOUNT (borrowed; -errno: it could not be made). It lives as long as the
 * descriptor does. */
static int
open_view(int mount, struct error *err)
{
	if (mount < 0)
		return stack_fail(err, mount, "show a state of the workspace");
	int fd = openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? stack_fail(err, -errno, "open a state of the workspace") : fd;
}

int
stack_view(const struct stack *stack, const struct json *lowers, struct error *err)
{
	if (lowers == NULL)
		return open_view(stack->shown, err);
	_cleanup_close_ int mount = json_len(lowers) == 0
	    ? mounts_clone(AT_FDCWD, STACK_BASE, VIEWED)
	    : mount_layers(lowers, NULL, NULL, VIEWED, err);
	return open_view(mount, err);
}

int
stack_view_scratch(const struct stack *stack, struct error *err)
{
	(void)stack;
	_cleanup_close_ int mount = mounts_clone(AT_FDCWD, SCRATCH, VIEWED);
	return open_view(mount, err);
}
