/* What each lock takes where it is the only one, as data. */
#include <sched.h>

#include "base/macros.h"
#include "prove/prove.h"
#include "sys/landlock.h"

#define PROC_NEEDS \
	(CLONE_NEWNS | CLONE_NEWPID) /* as a user: a /proc only of one's own pid namespace */

static const struct {
	uint64_t root, user; /* namespaces, as root and as an ordinary user */
	bool product;
	const char *not_as_user;
} table[LOCK_COUNT] = {
    [LOCK_ROOT] = {CLONE_NEWNS, PROC_NEEDS},
    [LOCK_USER_NS] = {CLONE_NEWUSER, CLONE_NEWUSER},
    [LOCK_PID_NS] = {CLONE_NEWPID, PROC_NEEDS},
    [LOCK_NET_NS] = {CLONE_NEWNET, CLONE_NEWNET},
    [LOCK_IPC_NS] = {CLONE_NEWIPC, CLONE_NEWIPC},
    [LOCK_UTS_NS] = {CLONE_NEWUTS, CLONE_NEWUTS},
    [LOCK_CGROUP_NS] = {0, CLONE_NEWNS},
    [LOCK_NO_CAPS] = {0, 0, .not_as_user = "an ordinary user has no capability to lose"},
    [LOCK_NOSUID] = {0, CLONE_NEWNS},
    [LOCK_NODEV] = {0, 0, .not_as_user = "an ordinary user's mounts are nodev in any case"},
    [LOCK_NESTING] = {CLONE_NEWUSER, CLONE_NEWUSER},
    [LOCK_PROC] = {0, PROC_NEEDS},
    [LOCK_SCRATCH] = {0, CLONE_NEWNS},
    [LOCK_STAGED] = {0, CLONE_NEWNS},
    [LOCK_WALL] = {.product = true},
    [LOCK_CPU_CLOCK] = {.product = true},
    [LOCK_WATCH] = {.product = true},
    [LOCK_OUTPUT] = {.product = true},
    [LOCK_PID1] = {CLONE_NEWPID, PROC_NEEDS},
    [LOCK_PDEATH] = {0,
	CLONE_NEWNS}, /* rf-prove-init makes the pid namespace one process further down */
    [LOCK_NOEXEC] = {0, CLONE_NEWNS},
    [LOCK_POLICY] = {.product = true},
    [LOCK_ADDRESSES] = {.product = true},
    [LOCK_OTHER_UID] = {0, 0, .not_as_user = "an ordinary user has one uid only"},
};

/* Where an ordinary user is root of namespaces of their own: what rootless containers start from. */
#define NS_ROOT \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

struct means
means_of(const struct prove *p, const struct attack *attack, enum lock lock)
{
	struct means m = {.product = table[lock].product};
	bool groups = cgroup_host_version(p->cgroups) != CGROUP_NONE;
	m.ns_root = !p->root && (attack->needs & NEEDS_NS_ROOT) != 0 && lock != LOCK_USER_NS;
	if (p->root) {
		/* Always a mount namespace: the attack's directory is a file system of its own. */
		m.namespaces = table[lock].root | CLONE_NEWNS;
	} else if (m.ns_root) {
		m.namespaces = NS_ROOT;
	} else if (table[lock].user != 0) {
		m.namespaces = table[lock].user | CLONE_NEWUSER | CLONE_NEWNS;
		m.user_ns = lock != LOCK_USER_NS && lock != LOCK_NESTING;
	}
	if (m.product)
		m.namespaces = 0;
	if (!p->root && !m.ns_root)
		m.without = table[lock].not_as_user;
	bool landlock = lock == LOCK_LANDLOCK || lock == LOCK_GATEWAY_LANDLOCK;
	if (landlock && (attack->needs & NEEDS_SCOPE) != 0 && landlock_abi() < 6)
		m.without = "this kernel's Landlock has no scopes (Linux 6.12)";
	if (landlock && (attack->needs & NEEDS_PORTS) != 0 && landlock_abi() < 4)
		m.without = "this kernel's Landlock knows no ports (Linux 6.7)";
	m.lock = lock;
	if (lock == LOCK_CGROUP && !groups)
		m.without = "no control group can be made here";
	if (lock == LOCK_WATCH && groups)
		m.without = "not used here: the control group counts";
	return m;
}

const char *
means_note(const struct means *means)
{
	if (means->lock == LOCK_POLICY)
		return "in the product's sandbox, with pins for every address that is wanted";
	if (means->lock == LOCK_ADDRESSES)
		return "in the product's sandbox, with rules for every host and port that is "
		       "wanted";
	if (means->product)
		return "in the product's sandbox, every other limit far away";
	if (means->ns_root)
		return "from the root of a user namespace";
	return means->user_ns ? "with a user namespace, which the kernel asks for" : NULL;
}
