/* `--since`: what the ledger says that a policy could do without, beside what the sandbox holds. rf-policy finds it
 * out; it reads the caller's own ledger and changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "ipc/paths.h"
#include "prove/prove.h"
#include "sys/process.h"

#define OUTPUT_MAX (1 << 20)
#define NOT_KNOWN 2 /* rf-policy's exit code: no ledger, no policy; it has said why */

extern char **environ;

static int
start(const char *since, bool json, int out, pid_t *ret_pid, int *ret_pidfd, struct error *err)
{
	char path[PATHS_MAX];
	const char *const argv[] = {
	    "policy", "unused", "--since", since, json ? "--json" : NULL, NULL};
	int r = paths_program("rf-policy", path, err);
	if (r < 0)
		return r;
	_cleanup_close_ int program = open(path, O_PATH | O_CLOEXEC);
	int fds[] = {-1, out, STDERR_FILENO};
	struct process_spec spec = {.program_fd = program,
	    .argv = argv,
	    .envp = (const char *const *)environ,
	    .fds = fds,
	    .n_fds = 3,
	    .unblock_signals = true};
	r = program < 0 ? -errno : process_start(&spec, ret_pid, ret_pidfd);
	return r < 0 ? error_set_errno(err, -r, "prove_failed", "cannot start %s", path) : 0;
}

static void
read_all(int fd, struct buf *out)
{
	for (;;) {
		uint8_t *at = buf_reserve(out, 4096);
		ssize_t n = at == NULL ? 0 : read(fd, at, 4096);
		if (n > 0)
			buf_grew(out, (size_t)n);
		else if (n == 0 || errno != EINTR)
			return;
	}
}

int
unused_read(const char *since, bool json, char **ret, struct error *err)
{
	int pair[2], pidfd, status = 0;
	pid_t pid;
	_cleanup_buf_ struct buf text;
	buf_init(&text, OUTPUT_MAX);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "prove_failed", "no pipe");
	_cleanup_close_ int ours = pair[0], theirs = pair[1];
	int r = start(since, json, theirs, &pid, &pidfd, err);
	if (r < 0)
		return r;
	(void)close(TAKE_FD(theirs));
	read_all(ours, &text);
	(void)close(TAKE_FD(ours)); /* what is longer than we take ends here */
	(void)process_reap(pidfd, true, &status);
	(void)close(pidfd);
	if (buf_failed(&text) || (status >> 8) >= NOT_KNOWN || (status & 0xff) != 0)
		return error_set(err, ENODATA, "no_ledger",
		    "--since: what could be tightened is not known; `ringfence policy unused` says "
		    "why");
	*ret = buf_take(&text);
	return 0;
}
