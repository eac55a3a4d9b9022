/* rf-workspace, started with exactly the descriptors that it is meant to have. */
#include "cli/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "ipc/msg.h"
#include "ipc/paths.h"

#define ANSWER_MAX (256u << 20) /* bytes of JSON that it may print */
#define ARGUMENTS_MAX 32

/* Copies of the descriptors above the numbers that the tool gets. All are set, also on failure. */
static int
move_up(const struct tool *tool, int out, int ret[TOOL_FDS + 1])
{
	int r = 0;
	for (int i = 0; i <= TOOL_FDS; i++) {
		int fd = i < TOOL_FDS ? tool->fds[i] : out;
		ret[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);
		if (fd >= 0 && ret[i] < 0)
			r = -errno;
	}
	return r;
}

static int
file_actions(posix_spawn_file_actions_t *actions, const int fds[TOOL_FDS + 1])
{
	int r = posix_spawn_file_actions_init(actions);
	if (r != 0)
		return r;
	for (int i = 0; r == 0 && i < TOOL_FDS; i++)
		if (fds[i] >= 0)
			r = posix_spawn_file_actions_adddup2(actions, fds[i], TOOL_FIRST_FD + i);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, fds[TOOL_FDS], STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(
		    actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r != 0)
		posix_spawn_file_actions_destroy(actions);
	return r;
}

static void
add_arguments(const char **argv, size_t *n, const char *const *more)
{
	for (size_t i = 0; more != NULL && more[i] != NULL && *n + 1 < ARGUMENTS_MAX; i++)
		argv[(*n)++] = more[i];
}

/* Starts it, its standard output on OUT (borrowed). FORM may be NULL. 0 or -errno. */
static int
spawn_tool(const struct tool *tool, const char *verb, const char *form, const char *const *more,
    int out, pid_t *ret, struct error *err)
{
	char program[PATHS_MAX];
	int fds[TOOL_FDS + 1];
	int r = paths_program("rf-workspace", program, err);
	if (r < 0)
		return r;
	const char *argv[ARGUMENTS_MAX] = {"rf-workspace", verb, form};
	size_t n = form == NULL ? 2 : 3;
	add_arguments(argv, &n, tool->arguments);
	add_arguments(argv, &n, more);
	posix_spawn_file_actions_t actions;
	r = -move_up(tool, out, fds);
	if (r == 0)
		r = file_actions(&actions, fds);
	if (r == 0) {
		char *args[ARGUMENTS_MAX];
		memcpy(args, argv, sizeof(args)); /* posix_spawn(3p): it does not modify them */
		r = posix_spawn(ret, program, &actions, NULL, args, environ);
		posix_spawn_file_actions_destroy(&actions);
	}
	for (int i = 0; i <= TOOL_FDS; i++)
		cleanup_close(&fds[i]);
	return r == 0 ? 0 : error_set_errno(err, r, "workspace", "cannot start %s", program);
}

static int
wait_tool(pid_t pid, const char *verb, struct error *err)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "workspace", "rf-workspace %s", verb);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return error_set(err, EIO, "workspace", "rf-workspace %s failed", verb); /* it said why */
}

int
tool_run(
    const struct tool *tool, const char *verb, const char *const *more, int out, struct error *err)
{
	pid_t pid = 0;
	int r = spawn_tool(tool, verb, NULL, more, out, &pid, err);
	return r < 0 ? r : wait_tool(pid, verb, err);
}

int
tool_ask(const struct tool *tool, const char *verb, const char *const *more, struct json **ret,
    struct error *err)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "workspace", "pipe");
	pid_t pid = 0;
	int r = spawn_tool(tool, verb, "--json", more, pipe_fds[1], &pid, err);
	(void)close(pipe_fds[1]);
	_cleanup_buf_ struct buf text;
	buf_init(&text, ANSWER_MAX);
	ssize_t n = 0;
	while (r == 0) {
		uint8_t *at = buf_reserve(&text, 65536);
		n = at == NULL ? -1 : read(pipe_fds[0], at, 65536);
		if (n < 0 && at != NULL && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_grew(&text, (size_t)n);
	}
	(void)close(pipe_fds[0]);
	if (r < 0)
		return r;
	r = wait_tool(pid, verb, err);
	if (n < 0)
		return error_set(err, EFBIG, "workspace", "the list of changes is too long");
	struct error unread;
	size_t len = text.len > 0 && text.data[text.len - 1] == '\n' ? text.len - 1 : text.len;
	struct json *answer = NULL;
	if (json_parse(buf_str(&text), len, &answer, r < 0 ? &unread : err) < 0)
		return r < 0 ? r : -EBADMSG;
	if (r < 0 && json_get(answer, "error") != NULL)
		msg_error_read(answer, err);
	if (r < 0)
		json_free(answer);
	else
		*ret = answer;
	return r;
}
