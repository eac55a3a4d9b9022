/* What the kernel says of a process: proc_pid_status(5), in one reading. Read after locks were
 * applied, it is the evidence that they hold. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

enum status_caps {
	STATUS_INHERITABLE,
	STATUS_PERMITTED,
	STATUS_EFFECTIVE,
	STATUS_BOUNDING,
	STATUS_AMBIENT,
	STATUS_CAPS
};
extern const char *const status_caps_names[STATUS_CAPS];

struct status {
	uid_t uid
	    [4]; /* real, effective, saved, of the file system; as our user namespace sees them */
	gid_t gid[4];
	int groups; /* how many supplementary ones */
	uint64_t caps[STATUS_CAPS];
	int no_new_privs;
	int seccomp_mode;    /* SECCOMP_MODE_* of linux/seccomp.h */
	int seccomp_filters; /* how many; -1 where the kernel does not say (before Linux 5.9) */
};

/* Of the calling process. 0, or -errno; -EBADMSG if a field is not there. */
int status_read(struct status *ret) MUST_CHECK;
/* Of the process PID. As status_read. */
int status_read_of(pid_t pid, struct status *ret) MUST_CHECK;
int status_parse(const char *text, struct status *ret) MUST_CHECK;
