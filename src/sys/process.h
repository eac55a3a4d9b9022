/* Starting processes: programs of ours with exact descriptors, and the first process of a sandbox in
 * namespaces of its own. Always an exec, never a bare fork: the child shares our memory until then
 * (CLONE_VM|CLONE_VFORK), which costs the same however large we are. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

struct process_spec {
	int program_fd;          /* O_PATH; borrowed */
	const char *const *argv; /* ends with NULL */
	const char *const *envp; /* ends with NULL */
	const int *fds;          /* become 0..n_fds-1 in the child; -1 opens /dev/null. borrowed */
	int n_fds;
	uint64_t namespaces;  /* CLONE_NEW*, or 0 */
	bool keep_caps;       /* in a new user namespace: keep its capabilities over the exec */
	bool die_with_parent; /* SIGKILL when our thread ends; the child must set it again after a
	                         change of uid */
	bool new_session;
	/* None is blocked in it, rather than all: for programs that are not of ours. */
	bool unblock_signals;
	int exec_errno; /* out: why the exec failed */
};

/* Starts the process. All signals are blocked in it when it starts, unless it is to have none. Pid and pidfd (owned, O_CLOEXEC)
 * in *RET_PID and *RET_PIDFD. 0, or -errno (with exec_errno set if it was the exec). */
int process_start(struct process_spec *spec, pid_t *ret_pid, int *ret_pidfd) MUST_CHECK;

/* Writes the id maps of PID's user namespace: inner ids INNER.. map to OUTER.., COUNT of them. As an
 * ordinary user only one's own id (and setgroups is denied first). 0 or -errno. */
int process_map_ids(pid_t pid, uid_t inner_uid, uid_t outer_uid, gid_t inner_gid, gid_t outer_gid,
    unsigned count, bool deny_setgroups) MUST_CHECK;

/* Sends SIGNAL through PIDFD. 0 or -errno. */
int process_signal(int pidfd, int signal);
/* Reaps the child behind PIDFD; its wait status in RET_STATUS. 0, -EAGAIN if it still runs (and BLOCK
 * is false), or -errno. */
int process_reap(int pidfd, bool block, int *ret_status);
