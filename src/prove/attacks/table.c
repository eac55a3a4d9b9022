/* The table of all attacks, and the names of what it speaks of. Linked by rf-attack and by the harness. */
#include <string.h>

#include "prove/attacks/attacks.h"

static const struct attack *const tables[] = {files_attacks, processes_attacks, namespaces_attacks,
    kernel_attacks, settings_attacks, devices_attacks, network_attacks, gateway_attacks,
    takeover_attacks, arbiter_attacks, dialer_attacks, vault_attacks, executables_attacks,
    resources_attacks, privilege_attacks, sandboxes_attacks, supervisor_attacks};

static const char *const boundary_names[] = {
    [BOUNDARY_FILES] = "files",
    [BOUNDARY_PROCESSES] = "processes",
    [BOUNDARY_KERNEL] = "kernel surface",
    [BOUNDARY_DEVICES] = "devices",
    [BOUNDARY_NETWORK] = "network",
    [BOUNDARY_GATEWAY] = "gateway",
    [BOUNDARY_TAKEOVER] = "gateway taken over",
    [BOUNDARY_EXECUTABLES] = "executables",
    [BOUNDARY_RESOURCES] = "resources",
    [BOUNDARY_PRIVILEGE] = "privilege",
    [BOUNDARY_SANDBOXES] = "other sandboxes",
    [BOUNDARY_SUPERVISOR] = "supervisor",
};

static const struct {
	const char *name, *title;
} lock_names[] = {
    [LOCK_NONE] = {"none", "no lock"},
    [LOCK_ROOT] = {"root", "private root"},
    [LOCK_USER_NS] = {"user-ns", "user namespace"},
    [LOCK_PID_NS] = {"pid-ns", "pid namespace"},
    [LOCK_NET_NS] = {"net-ns", "network namespace"},
    [LOCK_IPC_NS] = {"ipc-ns", "IPC namespace"},
    [LOCK_UTS_NS] = {"uts-ns", "UTS namespace"},
    [LOCK_CGROUP_NS] = {"cgroup-ns", "cgroup namespace"},
    [LOCK_SECCOMP] = {"seccomp", "system-call filter"},
    [LOCK_LANDLOCK] = {"landlock", "Landlock"},
    [LOCK_NO_CAPS] = {"no-caps", "no capabilities"},
    [LOCK_NO_NEW_PRIVS] = {"no-new-privs", "no_new_privs"},
    [LOCK_NOSUID] = {"nosuid", "nosuid mount"},
    [LOCK_NODEV] = {"nodev", "nodev mount"},
    [LOCK_NESTING] = {"nesting", "namespace count of zero"},
    [LOCK_PROC] = {"proc", "masked, read-only /proc"},
    [LOCK_KEYRING] = {"keyring", "session key ring of its own"},
    [LOCK_CGROUP] = {"cgroup", "control group"},
    [LOCK_RLIMITS] = {"rlimits", "resource limits"},
    [LOCK_SCRATCH] = {"scratch", "bounded scratch"},
    [LOCK_STAGED] = {"staged", "staged workspace"},
    [LOCK_WALL] = {"wall", "supervisor's clock"},
    [LOCK_CPU_CLOCK] = {"cpu-clock", "supervisor's sum of processor time"},
    [LOCK_WATCH] = {"watch", "supervisor's sum of memory"},
    [LOCK_OUTPUT] = {"output", "cap on output"},
    [LOCK_CLOSED] = {"closed", "no descriptor left open"},
    [LOCK_PID1] = {"pid1", "end of pid 1 ends all"},
    [LOCK_PDEATH] = {"pdeath", "parent-death signal"},
    [LOCK_LISTED] = {"listed", "filter of listed executables"},
    [LOCK_NOEXEC] = {"noexec", "noexec mount"},
    [LOCK_OTHER_UID] = {"other-uid", "another uid than pid 1's"},
    [LOCK_POLICY] = {"policy", "the policy's rules"},
    [LOCK_ADDRESSES] = {"addresses", "rf-dialer's look at addresses"},
    [LOCK_GATEWAY_FILTER] = {"gateway-filter", "rf-gateway's system-call filter"},
    [LOCK_GATEWAY_LANDLOCK] = {"gateway-landlock", "rf-gateway's Landlock"},
    [LOCK_DECISION] = {"decision", "the arbiter's decision"},
    [LOCK_BOUND] = {"owner", "the arbiter knows whose it is"},
    [LOCK_TICKET] = {"ticket", "rf-dialer's tickets"},
    [LOCK_PINS] = {"pins", "rf-dialer's look at addresses"},
    [LOCK_GRANT] = {"grant", "the arbiter's grant"},
    [LOCK_BINDING] = {"binding", "what the secret is bound to"},
};

const struct attack *
attack_at(size_t index)
{
	for (size_t t = 0; t < ARRAY_LEN(tables); t++)
		for (const struct attack *a = tables[t]; a->name != NULL; a++)
			if (index-- == 0)
				return a;
	return NULL;
}

const struct attack *
attack_find(const char *name)
{
	const struct attack *a;
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

const char *
lock_name(enum lock lock)
{
	return lock_names[lock].name;
}

const char *
lock_title(enum lock lock)
{
	return lock_names[lock].title;
}

const char *
boundary_name(enum boundary boundary)
{
	return boundary_names[boundary];
}
