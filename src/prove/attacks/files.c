/* Against the host's files: what a program of the host may read and change that one in a sandbox may not.
 * A file counts as changed when it opens for writing; nothing is written to what is not ours. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "prove/attacks/attacks.h"

#define CHANGE "was-here"

static enum attack_result
read_file(const struct fixtures *f)
{
	return answer(read_canary(fixture(f, "canary")), "a file of the host's");
}

static enum attack_result
read_ssh_key(const struct fixtures *f)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/.ssh/id_ed25519", fixture(f, "home"));
	return answer(read_canary(path), "a private key");
}

static enum attack_result
read_passwords(const struct fixtures *f)
{
	char byte;
	_cleanup_close_ int fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
	return answer(fd >= 0 && read(fd, &byte, 1) == 1, "/etc/shadow");
}

static enum attack_result
write_file(const struct fixtures *f)
{
	return answer(
	    opens_for_writing(fixture(f, "canary")), "a file of the host's is open for writing");
}

/* A file without a name in DIRECTORY: who can make one can make others. */
static enum attack_result
create_in(const char *directory)
{
	_cleanup_close_ int fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	return answer(fd >= 0, directory);
}

static enum attack_result
create_in_etc(const struct fixtures *f)
{
	return create_in("/etc");
}

static enum attack_result
create_program(const struct fixtures *f)
{
	return create_in("/usr/bin");
}

static enum attack_result
symlink_out(const struct fixtures *f)
{
	const char *link = in_dir(f, "link");
	(void)unlink(link);
	if (symlink(fixture(f, "canary"), link) < 0)
		return cannot("no symbolic link");
	return answer(read_canary(link), "a file of the host's, through a link");
}

static enum attack_result
hardlink_out(const struct fixtures *f)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s.link", fixture(f, "canary"));
	bool linked = link(fixture(f, "canary"), path) == 0;
	if (linked)
		(void)unlink(path);
	return answer(linked, "another name for a file of the host's");
}

static enum attack_result
dots_out(const struct fixtures *f)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/../../../../../../../..%s", fixture(f, "dir"),
	    fixture(f, "canary"));
	return answer(read_canary(path), "a file of the host's, by way of ..");
}

static enum attack_result
leaked_directory(const struct fixtures *f)
{
	char path[PATH_MAX], text[sizeof(CANARY)] = {0};
	(void)snprintf(path, sizeof(path), ".%s", fixture(f, "canary"));
	_cleanup_close_ int fd = openat((int)fixture_number(f, "leak"), path, O_RDONLY | O_CLOEXEC);
	return answer(fd >= 0 && read(fd, text, strlen(CANARY)) > 0 && strcmp(text, CANARY) == 0,
	    "a file of the host's, through a directory left open");
}

/* A program that waits for its input and that hardly anybody runs; its file then stays open as /proc shows
 * it, and is no more busy when the program has ended. */
static enum attack_result
overwrite_program(const struct fixtures *f)
{
	char path[64];
	int input[2], started[2], status;
	if (pipe2(input, O_CLOEXEC) < 0 || pipe2(started, O_CLOEXEC) < 0)
		return cannot("no pipe");
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(input[0], STDIN_FILENO);
		(void)execl("/usr/bin/tac", "tac", (char *)NULL);
		_exit(127);
	}
	(void)close(started[1]);
	(void)read(started[0], path, 1); /* end of file: it executes */
	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	_cleanup_close_ int program = open(path, O_PATH | O_CLOEXEC);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", program);
	return answer(program >= 0 && opens_for_writing(path), "/usr/bin/tac is open for writing");
}

static enum attack_result
trusted_attribute(const struct fixtures *f)
{
	const char *path = in_dir(f, "redirected");
	(void)mkdir(path, 0700);
	return answer(setxattr(path, "trusted.overlay.redirect", "/etc", 4, 0) == 0,
	    "an attribute that overlays obey");
}

static enum attack_result
read_shared_memory_file(const struct fixtures *f)
{
	return answer(read_canary(fixture(f, "shm_file")), "a file of the host's /dev/shm");
}

/* ---- the workspace ---- */

static enum attack_result
make_whiteout(const struct fixtures *f)
{
	/* How an overlay writes down that a file below is gone; any user may make one. */
	const char *path = in_dir(f, "whiteout");
	(void)unlink(path);
	return answer(mknod(path, S_IFCHR | 0600, 0) == 0, "a whiteout, as overlays make them");
}

static const char *
original(const struct fixtures *f)
{
	static char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/original", fixture(f, "workspace"));
	return path;
}

static enum attack_result
change_workspace(const struct fixtures *f)
{
	_cleanup_close_ int fd = open(original(f), O_WRONLY | O_APPEND | O_CLOEXEC);
	return answer(fd >= 0 && write(fd, CHANGE, strlen(CHANGE)) > 0, "the copy that it sees");
}

static enum attack_result
changed_outside(const struct fixtures *f)
{
	char text[256] = {0};
	_cleanup_close_ int fd = open(original(f), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return cannot("no file to look at");
	return strstr(text, CHANGE) != NULL ? answer(true, "the host's file has what it wrote")
					    : held("the host's file is as it was");
}

static enum attack_result
delete_workspace(const struct fixtures *f)
{
	return answer(unlink(original(f)) == 0, "the copy that it sees is gone");
}

static enum attack_result
rename_workspace(const struct fixtures *f)
{
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/moved", fixture(f, "workspace"));
	return answer(rename(original(f), path) == 0, "the copy that it sees has another name");
}

static enum attack_result
link_workspace(const struct fixtures *f)
{
	/* By another name of the same file. */
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s/linked", fixture(f, "workspace"));
	if (link(original(f), path) < 0)
		return answer(false, "");
	_cleanup_close_ int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	return answer(fd >= 0 && write(fd, CHANGE, strlen(CHANGE)) > 0, "the copy that it sees");
}

static enum attack_result
open_workspace(const struct fixtures *f)
{
	return answer(chmod(original(f), 0777) == 0, "the copy that it sees may be run");
}

static enum attack_result
opened_outside(const struct fixtures *f)
{
	return access(original(f), X_OK) == 0 ? answer(true, "the host's file may be run")
					      : held("the host's file has the mode that it had");
}

static enum attack_result
deleted_outside(const struct fixtures *f)
{
	return access(original(f), F_OK) < 0 ? answer(true, "the host's file is gone")
					     : held("the host's file is there");
}

static enum attack_result
map_workspace(const struct fixtures *f)
{
	/* Mapped before the copy is made: the page that the copy must not share. */
	_cleanup_close_ int lower = open(original(f), O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int fd = open(original(f), O_RDWR | O_CLOEXEC);
	char *before = mmap(NULL, 4096, PROT_READ, MAP_SHARED, lower, 0);
	char *after = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (before == MAP_FAILED || after == MAP_FAILED)
		return answer(false, "");
	memcpy(after, CHANGE, strlen(CHANGE));
	return answer(msync(after, 4096, MS_SYNC) == 0, "the copy that it sees");
}

#define FILE_LOCKS                                     \
	{                                              \
		LOCK_ROOT, LOCK_LANDLOCK, LOCK_USER_NS \
	}
#define FILE_ROOTLESS                    \
	{                                \
		LOCK_ROOT, LOCK_LANDLOCK \
	}

const struct attack files_attacks[] = {
    {"read_file", BOUNDARY_FILES, "reads a file of the host's", FILE_LOCKS, FILE_ROOTLESS,
	NEEDS_OUTSIDE, .run = RUN(read_file)},
    {"read_ssh_key", BOUNDARY_FILES, "reads a private key in a home", FILE_LOCKS, FILE_ROOTLESS,
	NEEDS_OUTSIDE, .run = RUN(read_ssh_key)},
    {"read_passwords", BOUNDARY_FILES, "reads the host's password hashes",
	{LOCK_ROOT, LOCK_USER_NS}, .needs = NEEDS_ROOT, .run = RUN(read_passwords)},
    {"write_file", BOUNDARY_FILES, "writes to a file of the host's", FILE_LOCKS, FILE_ROOTLESS,
	NEEDS_OUTSIDE, .run = RUN(write_file)},
    {"create_in_etc", BOUNDARY_FILES, "makes a file in /etc", FILE_LOCKS, .needs = NEEDS_ROOT,
	.run = RUN(create_in_etc)},
    {"create_program", BOUNDARY_FILES, "makes a file in /usr/bin", FILE_LOCKS, .needs = NEEDS_ROOT,
	.run = RUN(create_program)},
    {"symlink_out", BOUNDARY_FILES, "reads the host's file through a symbolic link", FILE_LOCKS,
	FILE_ROOTLESS, NEEDS_OUTSIDE, .run = RUN(symlink_out)},
    {"hardlink_out", BOUNDARY_FILES, "gives the host's file another name", FILE_LOCKS,
	FILE_ROOTLESS, NEEDS_OUTSIDE, .run = RUN(hardlink_out)},
    {"dots_out", BOUNDARY_FILES, "leaves its directory by way of ..", FILE_LOCKS, FILE_ROOTLESS,
	NEEDS_OUTSIDE, .run = RUN(dots_out)},
    {"leaked_directory", BOUNDARY_FILES, "leaves through a directory left open",
	{LOCK_CLOSED, LOCK_LANDLOCK, LOCK_USER_NS}, {LOCK_CLOSED, LOCK_LANDLOCK},
	NEEDS_OUTSIDE | NEEDS_LEAK, .run = RUN(leaked_directory)},
    {"overwrite_program", BOUNDARY_FILES, "overwrites a program of the host's by /proc/PID/exe",
	FILE_LOCKS, .needs = NEEDS_ROOT, .run = RUN(overwrite_program)},
    {"trusted_attribute", BOUNDARY_FILES, "redirects an overlay by an attribute",
	{LOCK_USER_NS, LOCK_NO_CAPS}, .needs = NEEDS_ROOT, .run = RUN(trusted_attribute)},
    {"read_shared_memory_file", BOUNDARY_FILES, "reads a file of the host's /dev/shm", FILE_LOCKS,
	FILE_ROOTLESS, NEEDS_OUTSIDE, .run = RUN(read_shared_memory_file)},
    {"make_whiteout", BOUNDARY_FILES, "forges the mark of a deleted file",
	{LOCK_SECCOMP, LOCK_LANDLOCK}, .run = RUN(make_whiteout)},
    {"change_workspace", BOUNDARY_FILES, "changes a file below a staged workspace", {LOCK_STAGED},
	.needs = NEEDS_WORKSPACE | CHECK_OUTSIDE, .run = RUN(change_workspace),
	.check = RUN(changed_outside)},
    {"map_workspace", BOUNDARY_FILES, "changes a file below a staged workspace through a mapping",
	{LOCK_STAGED}, .needs = NEEDS_WORKSPACE | CHECK_OUTSIDE, .run = RUN(map_workspace),
	.check = RUN(changed_outside)},
    {"delete_workspace", BOUNDARY_FILES, "deletes a file below a staged workspace", {LOCK_STAGED},
	.needs = NEEDS_WORKSPACE | CHECK_OUTSIDE, .run = RUN(delete_workspace),
	.check = RUN(deleted_outside)},
    {"rename_workspace", BOUNDARY_FILES, "renames a file below a staged workspace", {LOCK_STAGED},
	.needs = NEEDS_WORKSPACE | CHECK_OUTSIDE, .run = RUN(rename_workspace),
	.check = RUN(deleted_outside)},
    {"link_workspace", BOUNDARY_FILES, "changes a file below a staged workspace through a link",
	{LOCK_STAGED}, .needs = NEEDS_WORKSPACE | CHECK_OUTSIDE, .run = RUN(link_workspace),
	.check = RUN(changed_outside)},
    {"open_workspace", BOUNDARY_FILES, "makes a file below a staged workspace executable",
	{LOCK_STAGED}, .needs = NEEDS_WORKSPACE | CHECK_OUTSIDE, .run = RUN(open_workspace),
	.check = RUN(opened_outside)},
    {0}};
