#include "sandbox/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/process.h"

#define PAIRS_PER_SUPERVISOR 1024u

/* The highest 2 * PAIRS ids that this user namespace maps, if IDS_BASE is not among its ids. */
static int
find_base(uid_t *ret)
{
	char text[1024];
	_cleanup_close_ int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	unsigned long best_start = 0, best_count = 0;
	for (char *line = text; *line != 0;) {
		unsigned long inside, outside, count;
		if (sscanf(line, "%lu %lu %lu", &inside, &outside, &count) != 3)
			break;
		if (inside <= IDS_BASE && inside + count > IDS_BASE + 0x8020000ul) {
			*ret = IDS_BASE + 0x10000u +
			    ((uid_t)getpid() & 0xffffu) * 2u * PAIRS_PER_SUPERVISOR;
			return 0;
		}
		if (count > best_count) {
			best_start = inside;
			best_count = count;
		}
		line = strchrnul(line, '\n');
		if (*line == '\n')
			line++;
	}
	if (best_count < 4 * PAIRS_PER_SUPERVISOR)
		return -ERANGE;
	*ret = (uid_t)(best_start + best_count - 2 * PAIRS_PER_SUPERVISOR);
	return 0;
}

int
ids_next_pair(uid_t *ret, struct error *err)
{
	static uid_t base;
	static unsigned next;
	if (base == 0) {
		int r = find_base(&base);
		if (r < 0) {
			(void)error_set(err, -r, "no_ids",
			    "this user namespace maps too few ids to give each sandbox its own");
			error_remedy(
			    err, "run as an ordinary user instead of as this container's root");
			return r;
		}
	}
	*ret = base + 2u * (next++ % PAIRS_PER_SUPERVISOR);
	return 0;
}

int
ids_mapping_namespace(int helper, uid_t uid, gid_t gid, uid_t outer_uid, gid_t outer_gid)
{
	static const char *const argv[] = {"rf-init", NULL};
	int pair[2], pidfd;
	pid_t pid;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	_cleanup_close_ int ours = pair[0], theirs = pair[1];
	(void)ours; /* open until we return: rf-init waits at the other end */
	/* A new pid namespace too: rf-init then waits for a plan that never comes. */
	int fds[] = {-1, -1, -1, theirs};
	struct process_spec spec = {.program_fd = helper,
	    .argv = argv,
	    .envp = argv + 1,
	    .fds = fds,
	    .n_fds = 4,
	    .namespaces = CLONE_NEWUSER | CLONE_NEWPID};
	int r = process_start(&spec, &pid, &pidfd);
	if (r < 0)
		return r;
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	int namespace = -1;
	r = process_map_ids(pid, uid, outer_uid, gid, outer_gid, 1, false);
	if (r == 0) {
		namespace = open(path, O_RDONLY | O_CLOEXEC);
		r = namespace < 0 ? -errno : 0;
	}
	(void)process_signal(pidfd, SIGKILL);
	(void)process_reap(pidfd, true, NULL);
	(void)close(pidfd);
	return r < 0 ? r : namespace;
}
