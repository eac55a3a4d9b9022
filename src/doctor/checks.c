/* Checks that read: kernel version, control groups, containers, ptrace scope, disk space, programs. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "doctor/doctor.h"
#include "ipc/paths.h"
#include "sys/cgroup.h"

#define MIB (1024LL * 1024)

void
check_kernel(struct finding *ret)
{
	struct utsname name;
	unsigned major = 0, minor = 0;
	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2) {
		finding_set(ret, STATE_MISSING, "its version cannot be read");
		return;
	}
	bool enough = major > 5 || (major == 5 && minor >= 13);
	finding_set(ret, enough ? STATE_OK : STATE_MISSING, "Linux %.80s on %.30s", name.release,
	    name.machine);
	if (!enough)
		finding_fix(ret, "Linux 5.13 or later is needed (Landlock, mount_setattr, pidfd)");
}

static void
explain_no_cgroup(struct finding *ret, const char *reason)
{
	finding_set(
	    ret, STATE_WEAKER, "%.200s; memory is watched and limited per process instead", reason);
	if (geteuid() == 0)
		finding_fix(ret,
		    "in a container, give it its own writable cgroup namespace "
		    "(docker run --cgroupns=private with a delegated subtree, or systemd's "
		    "Delegate=yes)");
	else
		finding_fix(ret,
		    "systemd-run --user --scope -p Delegate=yes -- YOUR COMMAND, or log in through "
		    "systemd; for the cpu controller: a drop-in of user@.service with Delegate=cpu "
		    "memory pids");
}

/* Takes a group, sets limits on it and reads them back, as the supervisor does. */
void
check_cgroup(struct finding *ret)
{
	static const char *const names[] = {"memory", "pids", "cpu"};
	struct cgroup_host *host = cgroup_host_new();
	struct cgroup *group = NULL;
	struct error err = {0};
	if (host == NULL || cgroup_host_version(host) == CGROUP_NONE) {
		explain_no_cgroup(ret, host == NULL ? "out of memory" : cgroup_host_reason(host));
		cgroup_host_free(host);
		return;
	}
	const struct cgroup_limits limits = {
	    .memory_bytes = 64 * MIB, .processes = 16, .cpu_millis = 500};
	int r = cgroup_take(host, &group);
	if (r < 0)
		(void)error_set_errno(
		    &err, -r, "cgroup", "a group cannot be made in %.150s", cgroup_host_base(host));
	else
		r = cgroup_limit(group, &limits, &err);
	if (r < 0) {
		explain_no_cgroup(ret, err.message);
		cgroup_give_back(group);
		cgroup_host_free(host);
		return;
	}
	char have[40] = "", lack[40] = "";
	unsigned mask = cgroup_host_controllers(host);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		char *list = (mask & 1u << i) != 0 ? have : lack;
		(void)snprintf(list + strlen(list), sizeof(have) - strlen(list), " %s", names[i]);
	}
	bool v1 = cgroup_host_version(host) == CGROUP_V1;
	finding_set(ret, lack[0] == 0 ? STATE_OK : STATE_WEAKER,
	    "version %d below %.120s; limits set and read:%s%s%s", v1 ? 1 : 2,
	    cgroup_host_base(host), have, lack[0] != 0 ? "; not available:" : "", lack);
	if (lack[0] != 0)
		finding_fix(ret,
		    "delegate the controllers:%s (systemd: Delegate=cpu memory pids for "
		    "user@.service, then log in again)",
		    lack);
	cgroup_give_back(group);
	cgroup_host_free(host);
}

/* Which container we are in, if any: the usual marks. */
static const char *
container_kind(char *text, size_t size)
{
	if (access("/.dockerenv", F_OK) == 0)
		return "docker";
	if (access("/run/.containerenv", F_OK) == 0)
		return "podman";
	doctor_read("/run/systemd/container", text, size);
	if (text[0] != 0)
		return text;
	if (getenv("KUBERNETES_SERVICE_HOST") != NULL)
		return "kubernetes";
	const char *container = getenv("container");
	return container != NULL && container[0] != 0 ? container : NULL;
}

void
check_container(struct finding *ret)
{
	char text[64];
	const char *kind = container_kind(text, sizeof(text));
	if (kind == NULL) {
		finding_set(ret, STATE_OK, "not inside a container");
		return;
	}
	/* Not a fault by itself: what it takes away shows in the rows above. */
	finding_set(ret, STATE_OK, "inside a container (%.60s): its own limits come first", kind);
}

void
check_yama(struct finding *ret)
{
	char scope[16];
	doctor_read("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope));
	if (scope[0] == 0) {
		finding_set(
		    ret, STATE_OK, "absent; sandboxes refuse ptrace of their own init anyway");
		return;
	}
	finding_set(ret, STATE_OK,
	    "ptrace_scope %.8s; sandboxes refuse ptrace of their own init anyway", scope);
}

/* The nearest directory at or above PATH that exists, in PATH. */
static void
nearest_existing(char *path)
{
	while (access(path, F_OK) < 0) {
		char *slash = strrchr(path, '/');
		if (slash == NULL || slash == path)
			break;
		*slash = 0;
	}
}

void
check_disk(struct finding *ret)
{
	char path[PATHS_MAX];
	struct error err = {0};
	struct statvfs fs;
	if (paths_state_dir(path, &err) < 0) {
		finding_set(ret, STATE_MISSING, "%.250s", err.message);
		finding_fix(ret, "%.300s", err.remedy);
		return;
	}
	nearest_existing(path);
	if (statvfs(path, &fs) < 0) {
		finding_set(ret, STATE_MISSING, "%.200s: %s", path, strerror(errno));
		return;
	}
	long long free_mib = (long long)fs.f_bavail * (long long)fs.f_frsize / MIB;
	bool writable = faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
	enum state state = !writable || free_mib < 16 ? STATE_MISSING
	    : free_mib < 512                          ? STATE_WEAKER
						      : STATE_OK;
	finding_set(ret, state, "%lld MiB free for the ledger at %.150s%s", free_mib, path,
	    writable ? "" : ", which is not writable");
	if (!writable)
		finding_fix(ret, "set RINGFENCE_STATE to a directory that you can write");
	else if (state != STATE_OK)
		finding_fix(ret,
		    "free space, or set RINGFENCE_STATE to another disk: a ledger that cannot be "
		    "written stops every run");
}

void
check_programs(struct finding *ret)
{
	static const char *const names[] = {"rf-supervisor", "rf-init", "rf-arbiter", "rf-ledger",
	    "rf-policy", "rf-audit", "rf-workspace"};
	char path[PATHS_MAX], missing[120] = "";
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (paths_program(names[i], path, NULL) < 0)
			(void)snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
			    " %s", names[i]);
	if (missing[0] == 0) {
		finding_set(ret, STATE_OK, "all of them found");
		return;
	}
	finding_set(ret, STATE_MISSING, "not found:%s", missing);
	finding_fix(ret, "install Ringfence again, or run it from its build/bin");
}
