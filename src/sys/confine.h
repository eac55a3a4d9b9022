/* The ritual of every program of ours that reads messages: give up the uid, the capabilities and the
 * way back, then enter the program's own Landlock and seccomp profile. */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "base/macros.h"
#include "sys/landlock.h"
#include "sys/seccomp.h"

/* Locks as data; each program's profile.c defines one. */
struct confine_profile {
	const char *name;
	const int *syscalls; /* allowed whatever the arguments */
	size_t n_syscalls;
	const struct seccomp_rule *rules; /* allowed with tests */
	size_t n_rules;
	const struct landlock_path *paths; /* relative to the working directory */
	size_t n_paths;
	uint64_t net; /* LL_NET_* that Landlock leaves alone; 0: no TCP bind, no TCP connect */
};

/* Steps, in order: fchdir to DIR_FD if not negative; as root also chroot there and become UID:GID
 * (never 0; rootless callers keep their own and pass 0); drop every capability and the bounding set;
 * set no_new_privs and not dumpable; close every descriptor above KEEP_FDS_BELOW; Landlock; seccomp
 * (a call that is not listed kills the process: SECCOMP_RET_KILL_PROCESS, logged).
 * Landlock or seccomp being unavailable is an error: fail closed. 0 or -errno. */
int confine_enter(const struct confine_profile *profile, int dir_fd, uid_t uid, gid_t gid,
    int keep_fds_below, struct error *err) MUST_CHECK;
/* Its last two steps, each by itself: what `ringfence prove` puts on as the only lock. no_new_privs must be set. 0 or
 * -errno. */
int confine_landlock(const struct confine_profile *profile, struct error *err) MUST_CHECK;
int confine_filter(const struct confine_profile *profile, struct error *err) MUST_CHECK;
