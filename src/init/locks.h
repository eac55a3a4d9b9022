/* The last locks of a sandbox: what rf-init puts on itself and on the command. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* Enters the sandbox's Landlock domain, whose rules follow the binds of VIEW (inherited by everything started later) and proves it with a
 * canary: a file that permissions let us read and no rule does. 0 or -errno. */
int locks_landlock(const struct json *view, struct json *evidence, struct error *err) MUST_CHECK;

/* In the command's process, in this order: limits, ids, capabilities, no_new_privs, seccomp; then
 * reads each back from the kernel into EVIDENCE. 0 or -errno. */
int locks_command(const struct json *plan, uid_t uid, gid_t gid, bool change_groups, int filter_fd,
    struct json *evidence, struct error *err) MUST_CHECK;

/* In rf-init once the command runs: no capabilities but CAP_KILL over its own user namespace, not dumpable,
 * and a filter that leaves it waiting, reading its socket and ending. FILTERS says where in FILTER_FD that
 * filter is. 0 or -errno. */
int locks_init(int filter_fd, const struct json *filters, struct error *err) MUST_CHECK;

/* Empties the capability bounding set, which every later process inherits. 0 or -errno. */
int locks_drop_bounding_set(void) MUST_CHECK;
/* Drops every capability but those in KEEP (a mask of the first 32), and the ambient set. 0 or -errno. */
int locks_drop_capabilities(uint32_t keep) MUST_CHECK;
