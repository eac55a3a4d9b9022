/* The last locks of a sandbox: what rf-init puts on itself and on the command. */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* Enters the sandbox's Landlock domain, whose rules are VIEW's or follow its binds (inherited by everything started later), and proves it with a
 * canary: a file that permissions let us read and no rule does. 0 or -errno. */
int locks_landlock(const struct json *view, struct json *evidence, struct error *err) MUST_CHECK;

/* The same in two steps, where the workspace is made of layers: another layer is another file system, which only
 * a later domain can have a rule for, so each process enters its own. First, in rf-init: the rules into
 * *RET_RULES (owned; -1 where there is no Landlock), and a domain for rf-init itself that allows every file and
 * forbids to mount. Then, in each process that becomes a command: the domain, with the workspace as it is mounted
 * now. EVIDENCE may be NULL. 0 or -errno. */
int locks_landlock_rules(
    const struct json *view, struct json *evidence, int *ret_rules, struct error *err) MUST_CHECK;
int locks_landlock_enter(int rules, bool noexec, struct json *evidence, struct error *err)
    MUST_CHECK;

/* No user namespace below ours: the kernel's own count is the lock behind the seccomp filter's. Read back for the
 * receipt. 0, also where only the filter forbids it (EVIDENCE says so), or -errno. */
int locks_nesting(struct json *evidence, struct error *err) MUST_CHECK;
/* A session key ring of its own: nothing of the user's is reachable by inheritance. 0 or -errno. */
int locks_keyring(struct error *err) MUST_CHECK;
/* What no command of ours may have, whatever the policy says: cores, real time, priority. 0 or -errno. */
int locks_cores(void) MUST_CHECK;

/* In the command's process, in this order: ids, capabilities, no_new_privs, seccomp; then reads each back
 * from the kernel into EVIDENCE. 0 or -errno. */
int locks_command(const struct json *plan, uid_t uid, gid_t gid, bool change_ids, int filter_fd,
    struct json *evidence, struct error *err) MUST_CHECK;
/* The same in a session, where rf-init has the other locks and a process of its inherits them. */
int locks_become_command(uid_t uid, gid_t gid, bool change_ids, struct error *err) MUST_CHECK;
/* The resource limits of PLAN and, tighter, of ORDER ("cpu_s", "file_bytes"): last of all, because they
 * hold for us as well. 0 or -errno. */
int locks_limits(const struct json *plan, const struct json *order) MUST_CHECK;

/* In rf-init once its only command runs: no capabilities but CAP_KILL over its own user namespace, not
 * dumpable, and a filter that leaves it waiting, reading its socket and ending. FILTERS says where in
 * FILTER_FD that filter is. 0 or -errno. */
int locks_init(int filter_fd, const struct json *filters, struct error *err) MUST_CHECK;
/* In rf-init as a session begins: the command's own filter, so that whatever is started has it already, and
 * with CHANGE_IDS the capabilities that give a process the command's id. 0 or -errno. */
int locks_session(int filter_fd, const struct json *filters, bool change_ids, struct error *err)
    MUST_CHECK;

/* Gives back the pages of what was needed to lock: a sandbox that is prepared ahead waits small. */
void locks_give_back(void);
/* The pages that lie wholly in FROM..TO are zero from now on, and take no memory. */
void locks_give_back_pages(const void *from, const void *to);

/* Empties the capability bounding set, which every later process inherits. 0 or -errno. */
int locks_drop_bounding_set(void) MUST_CHECK;
/* Drops every capability but those in KEEP (a mask of the first 32), and the ambient set. 0 or -errno. */
int locks_drop_capabilities(uint32_t keep) MUST_CHECK;
