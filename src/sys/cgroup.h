/* Control groups for sandboxes, version 2 or version 1, whichever this host can give us.
 *
 * In a unit ringfence.service with Delegate=, groups are made below that unit's, so that limits on it hold
 * for them too; else below what is delegated to us, as root the root group (version 2), or the group that
 * we run in (version 1). On version 1 a sandbox's first process enters by writing "0" to `tasks` itself: a
 * single thread that moves itself takes no RCU grace period, while writing its pid to `cgroup.procs` costs
 * milliseconds. On version 2 the same is done with `cgroup.procs`, before anything else runs in the
 * sandbox.
 * A group that a sandbox left empty is kept and used again: making one costs more than all else here.
 * See cgroups(7), the kernel's Documentation/admin-guide/cgroup-v{1,2}. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

enum cgroup_version { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };
enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CONTROLLERS };

struct cgroup_host; /* what this machine gives us; one per program */
struct cgroup;      /* one sandbox's group */

struct cgroup_limits {
	int64_t memory_bytes; /* 0: none */
	int64_t processes;    /* 0: none */
	int64_t cpu_millis;   /* thousandths of a processor; 0: none */
};

struct cgroup_usage {
	int64_t memory_peak_bytes; /* -1 unknown */
	int64_t oom_kills;         /* since the group was taken */
	int64_t pids_refused;      /* forks refused since the group was taken */
};

/* Looks at the host. Never fails: a host without usable groups has none, with the reason in
 * cgroup_host_reason. NULL only without memory. */
struct cgroup_host *cgroup_host_new(void);
struct cgroup_host *cgroup_host_free(struct cgroup_host *host);
enum cgroup_version cgroup_host_version(const struct cgroup_host *host);
/* Which controllers can be set; a bit mask, 1 << CGROUP_x. */
unsigned cgroup_host_controllers(const struct cgroup_host *host);
/* Why there is none, or fewer than there could be; "" when all is well. */
const char *cgroup_host_reason(const struct cgroup_host *host);
/* The directory below which our groups are made. */
const char *cgroup_host_base(const struct cgroup_host *host);

/* Removes groups that dead supervisors left. Returns how many. */
int cgroup_sweep(struct cgroup_host *host);

/* An empty group without limits: a kept one, else a new one. 0 or -errno. */
int cgroup_take(struct cgroup_host *host, struct cgroup **ret) MUST_CHECK;
/* Sets the limits; a controller that the host lacks is skipped. 0 or -errno with ERR. */
int cgroup_limit(struct cgroup *group, const struct cgroup_limits *limits, struct error *err)
    MUST_CHECK;
/* Descriptors to write "0" to in order to enter, one per hierarchy; borrowed. Returns how many. */
unsigned cgroup_entry_fds(const struct cgroup *group, const int **ret_fds);
void cgroup_read_usage(struct cgroup *group, struct cgroup_usage *ret);
/* Whether no process is in it. */
bool cgroup_is_empty(const struct cgroup *group);
/* Paths and values as the kernel shows them now; owned. */
struct json *cgroup_evidence(struct cgroup *group);
/* Gives the group back: kept for later, or removed if it is not empty after all. Returns NULL. */
struct cgroup *cgroup_give_back(struct cgroup *group);
