/* How much there is: namespaces, memory, processes and descriptors, for one sandbox and for many. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "doctor/doctor.h"

#define MIB (1024LL * 1024)

/* ---- namespaces ---- */

#define FEW_NAMESPACES 64

void
check_namespace_limits(struct finding *ret)
{
	static const char *const kinds[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};
	int64_t least = INT64_MAX;
	const char *least_kind = "";
	char path[64];
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		(void)snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", kinds[i]);
		int64_t value = doctor_read_int(path, -1);
		(void)snprintf(path, sizeof(path), "max_%s_namespaces", kinds[i]);
		if (value >= 0)
			(void)json_set_int(finding_facts(ret), path, value);
		if (value >= 0 && value < least) {
			least = value;
			least_kind = kinds[i];
		}
	}
	int64_t clone = doctor_read_int("/proc/sys/kernel/unprivileged_userns_clone", -1);
	int64_t apparmor =
	    doctor_read_int("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", -1);
	if (clone >= 0)
		(void)json_set_int(finding_facts(ret), "unprivileged_userns_clone", clone);
	if (apparmor >= 0)
		(void)json_set_int(
		    finding_facts(ret), "apparmor_restrict_unprivileged_userns", apparmor);
	char limit[80] = "no limit is shown";
	if (least != INT64_MAX)
		(void)snprintf(limit, sizeof(limit), "at most %lld %s namespaces at once",
		    (long long)least, least_kind);
	finding_set(ret,
	    least == 0                   ? STATE_MISSING
		: least < FEW_NAMESPACES ? STATE_WEAKER
					 : STATE_OK,
	    "%s; unprivileged_userns_clone %s; AppArmor's restriction %s", limit,
	    clone < 0        ? "absent"
		: clone == 0 ? "0"
			     : "1",
	    apparmor < 0        ? "absent"
		: apparmor == 0 ? "off"
				: "on");
	if (least < FEW_NAMESPACES)
		finding_fix(ret,
		    "sysctl -w user.max_%s_namespaces=15000 (as root; and in /etc/sysctl.d to keep "
		    "it): each sandbox takes one of each kind",
		    least_kind);
}

/* ---- memory ---- */

/* The number after NAME ("MemAvailable:") in kB, as bytes; -1 if it is not there. */
static int64_t
meminfo(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	long long kib;
	return at != NULL && sscanf(at + strlen(name), "%lld", &kib) == 1 ? kib * 1024 : -1;
}

/* The least limit of the groups from our own up to the root, -1 if there is none. */
static int64_t
group_limit(const char *dir, const char *file)
{
	char path[PATH_SIZE], at[PATH_SIZE];
	int64_t least = -1;
	(void)snprintf(path, sizeof(path), "%s", dir);
	for (;;) {
		int n = snprintf(at, sizeof(at), "%s/%s", path, file);
		int64_t value = n < 0 || (size_t)n >= sizeof(at) ? -1 : doctor_read_int(at, -1);
		if (value >= 0 && value < (1LL << 60) && (least < 0 || value < least))
			least = value;
		char *slash = strrchr(path, '/');
		if (slash == NULL || strcmp(path, "/sys/fs/cgroup") == 0)
			return least;
		*slash = 0;
	}
}

static int64_t
own_memory_limit(void)
{
	char text[4096], dir[PATH_SIZE], path[PATH_SIZE];
	doctor_read_all("/proc/self/cgroup", text, sizeof(text));
	const char *v1 = strstr(text, ":memory:"), *v2 = strstr(text, "0::");
	const char *own = v1 != NULL ? v1 + 8 : v2 != NULL ? v2 + 3 : NULL;
	if (own == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(own, "\n"), own);
	(void)snprintf(dir, sizeof(dir), "/sys/fs/cgroup%s%.4000s", v1 != NULL ? "/memory" : "",
	    strcmp(path, "/") == 0 ? "" : path);
	return group_limit(dir, v1 != NULL ? "memory.limit_in_bytes" : "memory.max");
}

/* A live sandbox takes some 0.6 MiB besides what its command uses; one that waits, 60 kB. */
void
check_memory(struct finding *ret)
{
	char text[4096];
	doctor_read_all("/proc/meminfo", text, sizeof(text));
	int64_t total = meminfo(text, "MemTotal:"), free_now = meminfo(text, "MemAvailable:");
	int64_t swap = meminfo(text, "SwapTotal:"), limit = own_memory_limit();
	if (free_now < 0) {
		finding_set(ret, STATE_WEAKER, "/proc/meminfo cannot be read");
		return;
	}
	(void)json_set_int(finding_facts(ret), "total_bytes", total);
	(void)json_set_int(finding_facts(ret), "available_bytes", free_now);
	(void)json_set_int(finding_facts(ret), "swap_bytes", swap);
	char of_group[80] = "";
	if (limit >= 0 && limit < total) {
		(void)json_set_int(finding_facts(ret), "group_limit_bytes", limit);
		(void)snprintf(of_group, sizeof(of_group), "; the group that we run in allows %lld",
		    (long long)(limit / MIB));
		free_now = MIN(free_now, limit);
	}
	finding_set(ret, free_now < 256 * MIB ? STATE_WEAKER : STATE_OK,
	    "%lld MiB available of %lld%s; a live sandbox takes some 0.6 MiB and what its command "
	    "uses",
	    (long long)(free_now / MIB), (long long)(total / MIB), of_group);
	if (ret->state != STATE_OK)
		finding_fix(ret,
		    "prepared sandboxes are kept within a budget, and fewer of them where memory "
		    "is short; give limits.memory in policies, or the host more");
}

/* ---- processes and descriptors ---- */

void
check_processes(struct finding *ret)
{
	struct rlimit processes = {0}, files = {0};
	(void)getrlimit(RLIMIT_NPROC, &processes);
	(void)getrlimit(RLIMIT_NOFILE, &files);
	int64_t pid_max = doctor_read_int("/proc/sys/kernel/pid_max", 0);
	bool few_processes =
	    geteuid() != 0 && processes.rlim_cur != RLIM_INFINITY && processes.rlim_cur < 512;
	bool few_files = files.rlim_max < 4096;
	char shown[32] = "no limit";
	if (processes.rlim_cur != RLIM_INFINITY)
		(void)snprintf(
		    shown, sizeof(shown), "%llu", (unsigned long long)processes.rlim_cur);
	finding_set(ret, few_processes || few_files ? STATE_WEAKER : STATE_OK,
	    "descriptors %llu; processes of this user: %s; pid_max %lld",
	    (unsigned long long)files.rlim_max, shown, (long long)pid_max);
	(void)json_set_int(
	    finding_facts(ret), "open_files_hard", (int64_t)MIN(files.rlim_max, 1ULL << 52));
	(void)json_set_int(finding_facts(ret), "pid_max", pid_max);
	if (few_files)
		finding_fix(ret,
		    "a live sandbox takes a few descriptors: raise the hard limit (ulimit -Hn; "
		    "LimitNOFILE= of a unit, nofile in /etc/security/limits.conf)");
	else if (few_processes)
		finding_fix(ret,
		    "raise the limit of processes (ulimit -u, nproc in "
		    "/etc/security/limits.conf): sandboxes of a user count against it");
}
