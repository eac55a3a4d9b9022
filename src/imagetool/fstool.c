/* squashfs and erofs in a file. The kernel's drivers trust what they mount, so a hostile image is an
 * attack on the host; the tools read it as a file instead, as a process that can reach nothing else. Their
 * output is not trusted either: sqfs2tar writes a tar archive, which goes the way of every archive;
 * fsck.erofs writes a tree, which is looked at entry by entry (image/seal.h). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "imagetool/profile.h"
#include "imagetool/tool.h"
#include "sandbox/workspace_fs.h"
#include "sys/process.h"

#define EROFS_AT 1024
#define WATCH_MS 100
#define BLOCK 512

struct kind {
	const char *name; /* of the worker */
	const char *what;
	const char *package;
	enum profile_tool profile;
	const char *program;
	const char *arguments[8];
};

/* In the order of enum fstool. */
static const struct kind kinds[] = {
    [FSTOOL_SQUASHFS] = {"squashfs", "squashfs image", "squashfs-tools-ng", PROFILE_TOOL_READS,
	"/usr/bin/sqfs2tar", {"sqfs2tar", "--no-skip", "--no-xattr", WORK_INPUT, NULL}},
    [FSTOOL_EROFS] = {"erofs", "erofs image", "erofs-utils", PROFILE_TOOL_WRITES,
	"/usr/bin/fsck.erofs",
	{"fsck.erofs", "--extract=" WORK_ROOTFS, "--no-preserve", WORK_INPUT, NULL}},
};

enum fstool
fstool_recognise(int fd)
{
	static const uint8_t squashfs[] = {'h', 's', 'q', 's'}, erofs[] = {0xe2, 0xe1, 0xf5, 0xe0};
	uint8_t magic[4];
	if (pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	    memcmp(magic, squashfs, sizeof(magic)) == 0)
		return FSTOOL_SQUASHFS;
	if (pread(fd, magic, sizeof(magic), EROFS_AT) == (ssize_t)sizeof(magic) &&
	    memcmp(magic, erofs, sizeof(magic)) == 0)
		return FSTOOL_EROFS;
	return FSTOOL_NONE;
}

/* ---- in the worker ---- */

int
fstool_become(const char *kind, int work, const struct image_limits *limits, struct error *err)
{
	static char *const env[] = {NULL};
	(void)limits;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].name == NULL || strcmp(kind, kinds[i].name) != 0)
			continue;
		int r = profile_enter_tool(work, kinds[i].profile, err);
		if (r < 0)
			return r;
		(void)execve(kinds[i].program, (char *const *)(uintptr_t)kinds[i].arguments, env);
		return -errno;
	}
	return -EINVAL;
}

/* ---- in who starts it ---- */

static int
tool_failed(const struct kind *kind, int status, struct error *err)
{
	char how[40];
	if ((status & 0x7f) != 0)
		(void)snprintf(how, sizeof(how), "signal %d", status & 0x7f);
	else
		(void)snprintf(how, sizeof(how), "exit status %d", status >> 8);
	int r = error_set(err, EBADMSG, "image_refused", "the %s cannot be unpacked: %s, %s",
	    kind->what, kind->program, how);
	error_remedy(
	    err, "see what %s says about it, or make a tar archive of it", kind->arguments[0]);
	return r;
}

/* sqfs2tar into a pipe, at whose other end the archive's reader sits. */
static int
unpack_squashfs(
    const struct kind *kind, int work, const struct image_limits *limits, struct error *err)
{
	int pair[2], tool_status = 0, status = 0;
	struct worker tool = {.pidfd = -1}, reader = {.pidfd = -1};
	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "image_failed", "cannot make a pipe");
	int r = worker_start(kind->name, -1, work, pair[1], limits, &tool, err);
	if (r == 0)
		r = worker_start("archive", pair[0], work, -1, limits, &reader, err);
	(void)close(pair[0]);
	(void)close(pair[1]);
	if (r < 0) {
		worker_kill(&tool);
		return r;
	}
	(void)worker_wait(&reader, &status);
	(void)worker_wait(&tool, &tool_status);
	/* A tool that died leaves an archive that ends early: then the tool is what to tell of. One whose
	 * reader refused to go on may have died of that. */
	if (tool_status != 0 && status == WORKER_DAMAGED << 8)
		return tool_failed(kind, tool_status, err);
	return worker_ended(status, err);
}

/* The directory NAME, also if its mode keeps us out. */
static int
open_below(int fd, const char *name)
{
	int below = wsfs_open(fd, name, O_RDONLY | O_DIRECTORY);
	if (below != -EACCES || wsfs_chmod(fd, name, 0755) < 0)
		return below;
	return wsfs_open(fd, name, O_RDONLY | O_DIRECTORY);
}

/* Takes what lies below FD from the budgets; it may change meanwhile. -EFBIG past them. */
static int
measure(int fd, unsigned depth, int64_t *bytes, int64_t *entries)
{
	struct wsfs_names names = {0};
	struct stat st;
	int r = depth > IMAGE_DEPTH_MAX ? -EFBIG : wsfs_names(fd, (size_t)*entries, &names);
	r = r == -E2BIG ? -EFBIG : r;
	for (size_t i = 0; i < names.n && r != -EFBIG; i++) {
		r = 0;
		if (fstatat(fd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*bytes -= MAX((int64_t)st.st_blocks * BLOCK, S_ISREG(st.st_mode) ? st.st_size : 0);
		*entries -= 1;
		if (*bytes < 0 || *entries < 0)
			r = -EFBIG;
		_cleanup_close_ int below =
		    S_ISDIR(st.st_mode) ? open_below(fd, names.items[i]) : -1;
		if (r == 0 && below >= 0)
			r = measure(below, depth + 1, bytes, entries);
	}
	wsfs_names_done(&names);
	return r == -EFBIG ? r : 0;
}

/* The tool writes by itself, so its output is measured while it grows, and once more at the end. */
static int
watch(struct worker *tool, int work, const struct image_limits *limits, int *ret_status,
    struct error *err)
{
	for (bool ended = false;;) {
		int64_t bytes = limits->bytes, entries = limits->entries;
		_cleanup_close_ int rootfs = wsfs_open(work, WORK_ROOTFS, O_RDONLY | O_DIRECTORY);
		if (rootfs >= 0 && measure(rootfs, 0, &bytes, &entries) < 0) {
			if (!ended)
				worker_kill(tool);
			return image_refuse(
			    err, "more files, contents or depth than an image may have");
		}
		if (ended)
			return 0;
		struct pollfd fd = {.fd = tool->pidfd, .events = POLLIN};
		ended = poll(&fd, 1, WATCH_MS) > 0;
		if (ended)
			(void)worker_wait(tool, ret_status);
	}
}

static int
unpack_erofs(
    const struct kind *kind, int work, const struct image_limits *limits, struct error *err)
{
	struct worker tool;
	int status = 0;
	int r = worker_start(kind->name, -1, work, -1, limits, &tool, err);
	if (r == 0)
		r = watch(&tool, work, limits, &status, err);
	return r == 0 && status != 0 ? tool_failed(kind, status, err) : r;
}

int
fstool_unpack(enum fstool tool, int work, const struct image_limits *limits, struct error *err)
{
	const struct kind *kind = &kinds[tool];
	if (access(kind->program, X_OK) < 0) {
		(void)error_set(err, ENOENT, "tool_missing", "to read a %s, %s is needed",
		    kind->what, kind->program);
		error_remedy(err, "install it: apt-get install %s", kind->package);
		return -ENOENT;
	}
	return tool == FSTOOL_SQUASHFS ? unpack_squashfs(kind, work, limits, err)
				       : unpack_erofs(kind, work, limits, err);
}
