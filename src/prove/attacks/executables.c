/* Against the choice of programs. What may be executed is always the sandbox's root and scratch; with
 * `executables: listed` it is what the policy names, and the second half of these must fail too. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prove/attacks/attacks.h"

/* Runs PATH, or the file that FD is, with one argument; errno tells why not. */
static bool
runs(int fd, const char *path, const char *argument)
{
	int status = 0;
	char name[] = "attack", *argv[] = {name, NULL, NULL}, *envp[] = {NULL};
	char copy[32];
	(void)snprintf(copy, sizeof(copy), "%s", argument);
	argv[1] = copy;
	pid_t pid = fork();
	if (pid == 0) {
		if (path != NULL)
			(void)execve(path, argv, envp);
		else
			(void)syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
		_exit(errno);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return false;
	errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
	return errno == 0;
}

static enum attack_result
run_outside(const struct fixtures *f)
{
	return answer(runs(-1, fixture(f, "program"), "--true"), "a program of the host's ran");
}

static enum attack_result
run_copy(const struct fixtures *f)
{
	const char *path = in_dir(f, "copy");
	if (!copy_program(path, 0700))
		return answer(false, "");
	return answer(runs(-1, path, "--true"), "a program that it wrote ran");
}

static enum attack_result
run_script(const struct fixtures *f)
{
	const char *path = in_dir(f, "script");
	char text[600], self[500] = {0};
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		return cannot("no /proc/self/exe");
	(void)snprintf(text, sizeof(text), "#!%s --true\n", self);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	bool written = fd >= 0 && write(fd, text, strlen(text)) > 0;
	(void)close(fd);
	return written ? answer(runs(-1, path, "script"), "a script that it wrote ran")
		       : answer(false, "");
}

static enum attack_result
run_nameless(const struct fixtures *f)
{
	const char *path = in_dir(f, "nameless");
	if (!copy_program(path, 0700))
		return answer(false, "");
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	(void)unlink(path);
	return answer(fd >= 0 && runs(fd, NULL, "--true"), "a program without a name ran");
}

static enum attack_result
run_memory(const struct fixtures *f)
{
	char path[40];
	int fd = memfd_create("program", 0);
	if (fd < 0)
		return answer(false, "");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!copy_program(path, 0700))
		return answer(false, "");
	/* Open for writing it would be busy. */
	_cleanup_close_ int program = open(path, O_RDONLY);
	(void)close(fd);
	return answer(program >= 0 && runs(program, NULL, "--true"), "a program in memory ran");
}

static enum attack_result
map_code(const struct fixtures *f)
{
	const char *path = in_dir(f, "code");
	if (!copy_program(path, 0700))
		return answer(false, "");
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	return answer(code != MAP_FAILED, "code from a file that it wrote (as a loader maps it)");
}

#define LISTED_LOCKS                       \
	{                                  \
		LOCK_NOEXEC, LOCK_LANDLOCK \
	}

const struct attack executables_attacks[] = {
    {"run_outside", BOUNDARY_EXECUTABLES, "runs a program of the host's that is not shown",
	{LOCK_ROOT, LOCK_LANDLOCK, LOCK_USER_NS}, {LOCK_ROOT, LOCK_LANDLOCK}, NEEDS_OUTSIDE,
	.run = RUN(run_outside)},
    {"run_copy", BOUNDARY_EXECUTABLES, "listed: runs a program that it wrote", {LOCK_NOEXEC},
	.needs = NEEDS_LISTED, .run = RUN(run_copy)},
    {"run_script", BOUNDARY_EXECUTABLES, "listed: runs a script that it wrote", {LOCK_NOEXEC},
	.needs = NEEDS_LISTED, .run = RUN(run_script)},
    {"run_nameless", BOUNDARY_EXECUTABLES, "listed: runs a file without a name (execveat)",
	{LOCK_NOEXEC}, .needs = NEEDS_LISTED, .run = RUN(run_nameless)},
    {"run_memory", BOUNDARY_EXECUTABLES, "listed: runs a program in memory (memfd)", {LOCK_LISTED},
	.needs = NEEDS_LISTED, .run = RUN(run_memory)},
    {"map_code", BOUNDARY_EXECUTABLES, "listed: maps code that it wrote, as the loader does",
	{LOCK_NOEXEC}, .needs = NEEDS_LISTED, .run = RUN(map_code)},
    {"code_in_memory", BOUNDARY_EXECUTABLES, "runs machine code of its own in its own memory",
	.not_tested = "a program may change itself; lists choose programs, not what they do"},
    {0}};
