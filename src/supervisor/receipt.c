/* The receipt: which locks really engaged for one sandbox, each with its evidence.
 *
 *   kernel   the kernel said so when asked afterwards (/proc of the command's process, cgroup files, statfs)
 *   probe    an attempt that had to fail did fail
 *   applied  the call succeeded; there is nothing to ask
 *
 * doc/sandbox.md, "The receipt", names its fields. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "sandbox/mountlist.h"
#include "supervisor/supervisor.h"

/* The lock is LOCKS'; borrowed, for what else is known of it. */
static struct json *
add_lock(struct json *locks, const char *name, const char *value, const char *strength,
    const char *evidence)
{
	struct json *lock = json_new_object();
	(void)json_set_str(lock, "name", name);
	if (value != NULL)
		(void)json_set_str(lock, "value", value);
	if (strength != NULL)
		(void)json_set_str(lock, "strength", strength);
	(void)json_set_str(lock, "evidence", evidence);
	return json_push(locks, lock) == 0 ? lock : NULL;
}

#define NAMESPACES 7
static const char *const namespaces[NAMESPACES][2] = {{"user", "user-ns"}, {"pid", "pid-ns"},
    {"mnt", "mount-ns"}, {"net", "net-ns"}, {"ipc", "ipc-ns"}, {"uts", "uts-ns"},
    {"cgroup", "cgroup-ns"}};

/* Our own, which do not change: read once. */
static const char *
own_namespace(size_t i)
{
	static char own[NAMESPACES][64];
	char path[40];
	if (own[i][0] == 0) {
		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", namespaces[i][0]);
		ssize_t n = readlink(path, own[i], sizeof(own[i]) - 1);
		own[i][n < 0 ? 0 : n] = 0;
	}
	return own[i];
}

static void
add_namespaces(struct json *locks, const struct json *evidence)
{
	const struct json *ids = json_get(evidence, "namespaces");
	for (size_t i = 0; i < NAMESPACES; i++) {
		const char *id = json_get_str(ids, namespaces[i][0], NULL), *own = own_namespace(i);
		/* A namespace of its own only if it is another than ours. */
		if (id != NULL && own[0] != 0 && strcmp(id, own) != 0)
			add_lock(locks, namespaces[i][1], id, NULL, "kernel");
	}
}

static void
add_limit(
    struct json *limits, const char *name, int64_t value, const char *by, const char *evidence)
{
	if (value <= 0)
		return;
	struct json *limit = json_new_object();
	(void)json_set_str(limit, "name", name);
	(void)json_set_int(limit, "value", value);
	(void)json_set_str(limit, "by", by);
	(void)json_set_str(limit, "evidence", evidence);
	(void)json_push(limits, limit);
}

/* Limits that a control group holds, or what stands in for it, as lock terms and as values. */
static void
add_group_limits(
    struct json *locks, struct json *limits, const struct json *group, const struct json *config)
{
	const struct json *set = json_get(config, "limits");
	const char *version = json_get_str(group, "version", "");
	const char *by = strcmp(version, "v1") == 0 ? "cgroup v1" : "cgroup v2";
	int64_t memory = json_get_int(group, "memory_bytes", 0);
	int64_t processes = json_get_int(group, "processes", 0);
	int64_t cpu = json_get_int(group, "cpu_millis", 0);
	int64_t memory_set = json_get_int(set, "memory_bytes", 0);
	if (memory_set > 0 && memory > 0 && memory <= memory_set) {
		add_lock(locks, "memory-limit", NULL, "cgroup", "kernel");
		add_limit(limits, "memory_bytes", memory, by, "kernel");
	} else if (memory_set > 0) {
		add_lock(locks, "memory-limit", NULL, "watched", "applied");
		add_limit(limits, "memory_bytes", memory_set, "rlimit per process, watched in all",
		    "applied");
	}
	int64_t processes_set = json_get_int(set, "processes", 0);
	bool by_group = processes > 0 && processes <= processes_set + 1;
	if (processes_set > 0) {
		add_lock(locks, "process-limit", NULL, by_group ? "cgroup" : "rlimit",
		    by_group ? "kernel" : "applied");
		add_limit(limits, "processes", processes_set,
		    by_group ? by : "rlimit of its user namespace",
		    by_group ? "kernel" : "applied");
	}
	if (cpu > 0 && json_get_int(set, "cpu_millis", 0) > 0) {
		add_lock(locks, "cpu-limit", NULL, "cgroup", "kernel");
		add_limit(limits, "cpu_millis", cpu, by, "kernel");
	}
	if (json_get_int(set, "cpu_time_ms", 0) > 0)
		add_limit(limits, "cpu_time_ms", json_get_int(set, "cpu_time_ms", 0),
		    "rlimit per process, watched in all", "applied");
	add_limit(limits, "open_files", json_get_int(set, "open_files", 0), "rlimit", "applied");
	add_limit(
	    limits, "wall_ms", json_get_int(set, "wall_ms", 0), "supervisor's clock", "applied");
	add_limit(limits, "output_bytes", json_get_int(set, "output_bytes", 0), "relay", "applied");
}

/* What its scratch really holds at most. */
static void
add_disk_limit(struct json *locks, struct json *limits, const struct sandbox *sandbox,
    const struct json *config)
{
	int64_t set = json_get_int(json_get(config, "limits"), "disk_bytes", 0);
	struct statfs fs;
	if (set <= 0 || sandbox->scratch_fd < 0 || fstatfs(sandbox->scratch_fd, &fs) < 0)
		return;
	int64_t size = (int64_t)fs.f_blocks * (int64_t)fs.f_bsize;
	/* In whole pages; a tmpfs without a limit shows none. */
	if (size <= 0 || size > set + (int64_t)fs.f_bsize)
		return;
	add_limit(limits, "disk_bytes", size, "size of the scratch tmpfs", "kernel");
	(void)add_lock(locks, "disk-limit", NULL, NULL, "kernel");
}

/* What rf-init read back of the command's process. */
static void
add_process_locks(struct json *locks, const struct sandbox *sandbox, const struct json *config,
    const struct json *evidence)
{
	char text[32];
	int64_t mode = json_get_int(evidence, "seccomp_mode", 0);
	if (mode == 2) {
		struct json *lock = add_lock(locks, "seccomp",
		    sandbox_host_filter_hash(sandbox->host, config), NULL, "kernel");
		(void)json_set_str(lock, "mode", "filter");
		/* Which program the mode runs is not to be asked: its loading succeeded. */
		(void)json_set_str(lock, "value_evidence", "applied");
		if (json_get(evidence, "seccomp_filters") != NULL)
			(void)json_set_int(
			    lock, "filters", json_get_int(evidence, "seccomp_filters", 0));
	}
	int64_t abi = json_get_int(evidence, "landlock_abi", 0);
	if (abi > 0 && strcmp(json_get_str(evidence, "landlock_canary", ""), "refused") == 0) {
		(void)snprintf(text, sizeof(text), "ABI %lld", (long long)abi);
		struct json *lock = add_lock(locks, "landlock", text, NULL, "probe");
		(void)json_set_int(lock, "rules", json_get_int(evidence, "landlock_rules", 0));
		static const char *const rights[] = {"handled_fs", "scoped"};
		const struct json *handled = json_get(evidence, "landlock_rights");
		for (size_t i = 0; i < ARRAY_LEN(rights); i++)
			if (json_get(handled, rights[i]) != NULL)
				(void)json_set(
				    lock, rights[i], json_copy(json_get(handled, rights[i])));
	}
	if (json_get_int(evidence, "no_new_privs", 0) == 1)
		(void)add_lock(locks, "no-new-privs", NULL, NULL, "kernel");
	if (strcmp(json_get_str(evidence, "capabilities", ""), "none") == 0)
		(void)add_lock(locks, "no-caps", NULL, NULL, "kernel");
	const char *nesting = json_get_str(evidence, "nesting", NULL);
	if (nesting != NULL)
		(void)add_lock(locks, "no-nested-user-ns", nesting, NULL,
		    strcmp(nesting, "by seccomp only") == 0 ? "applied" : "kernel");
}

/* Who the command is, what it may, and what its root is. */
static void
add_shape(struct json *receipt, const struct sandbox *sandbox, const struct json *config,
    const struct json *evidence)
{
	struct json *root = json_new_object(), *ids = json_new_object();
	(void)json_set_str(root, "kind", json_get_str(config, "root", "host"));
	(void)json_set_str(root, "executables", json_get_str(config, "executables", "any"));
	(void)json_set_bool(root, "noexec", json_get_bool(sandbox->view, "noexec", false));
	(void)json_set_str(root, "proc", json_get_str(evidence, "proc", "absent"));
	(void)json_set_str(root, "evidence", "applied");
	(void)json_set(receipt, "root", root);
	(void)json_set_str(receipt, "proc", json_get_str(evidence, "proc", "absent"));
	(void)json_set_int(ids, "uid", json_get_int(evidence, "uid", -1));
	(void)json_set_int(ids, "gid", json_get_int(evidence, "gid", sandbox->inner_gid));
	(void)json_set_int(ids, "host_uid", sandbox->command_uid);
	(void)json_set_int(ids, "groups", json_get_int(evidence, "groups", 0));
	(void)json_set_str(ids, "evidence", "kernel");
	(void)json_set(receipt, "ids", ids);
	const struct json *sets = json_get(evidence, "capability_sets");
	if (sets != NULL) {
		struct json *copy = json_copy(sets);
		(void)json_set_str(copy, "evidence", "kernel");
		(void)json_set(receipt, "capabilities", copy);
	}
}

/* Interfaces and routes, as rf-init had them from the kernel; network_describe adds who stands behind them. */
static void
add_network(struct json *receipt, const struct json *evidence)
{
	struct json *network = json_copy(json_get(evidence, "network"));
	if (network == NULL)
		return;
	(void)json_set_str(network, "evidence", "kernel");
	(void)json_set(receipt, "network", network);
}

struct json *
receipt_make(const struct sandbox *sandbox, const struct json *config, const struct json *evidence,
    const char *task)
{
	struct json *receipt = json_new_object(), *locks = json_new_array(),
		    *limits = json_new_array();
	(void)json_set_int(receipt, "version", 1);
	(void)json_set_str(receipt, "sandbox", sandbox->id);
	(void)json_set_str(receipt, "task", task);
	(void)json_set_str(receipt, "tier", "namespaces");
	(void)json_set_str(
	    receipt, "mode", sandbox_host_rootless(sandbox->host) ? "rootless" : "root");
	(void)json_set_int(receipt, "host_uid", sandbox->command_uid);
	add_namespaces(locks, evidence);
	add_process_locks(locks, sandbox, config, evidence);
	add_shape(receipt, sandbox, config, evidence);
	add_network(receipt, evidence);
	struct json *group = sandbox->group == NULL ? NULL : cgroup_evidence(sandbox->group);
	add_group_limits(locks, limits, group, config);
	add_disk_limit(locks, limits, sandbox, config);
	(void)json_set(receipt, "locks", locks);
	(void)json_set(receipt, "limits", limits);
	if (group != NULL)
		(void)json_set(receipt, "cgroup", group);
	return receipt;
}

struct json *
receipt_mounts(const struct sandbox *sandbox)
{
	return mountlist_read(sandbox->proc_fd);
}

void
receipt_add_mounts(struct json *receipt, const struct sandbox *sandbox)
{
	(void)json_set(receipt, "mounts", receipt_mounts(sandbox));
}

void
receipt_name(struct json *receipt, const char *sandbox, const char *task)
{
	(void)json_set_str(receipt, "sandbox", sandbox);
	(void)json_set_str(receipt, "task", task);
}

/* Stronger is larger. */
static int
rank(const char *strength)
{
	static const char *const order[] = {"per-process", "rlimit", "watched", "cgroup"};
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (strength != NULL && strcmp(strength, order[i]) == 0)
			return (int)i + 1;
	return 0;
}

static const struct json *
find_lock(const struct json *receipt, const char *name)
{
	const struct json *locks = json_get(receipt, "locks");
	for (size_t i = 0; i < json_len(locks); i++)
		if (strcmp(json_get_str(json_at(locks, i), "name", ""), name) == 0)
			return json_at(locks, i);
	return NULL;
}

int
receipt_check_floor(const struct json *receipt, const struct json *config,
    const struct cgroup_host *cgroups, struct error *err)
{
	const struct json *floor = json_get(config, "floor");
	for (size_t i = 0; i < json_len(floor); i++) {
		const char *term = json_get_str(json_at(floor, i), "term", "");
		const char *least = json_get_str(json_at(floor, i), "strength", NULL);
		const struct json *lock = find_lock(receipt, term);
		const char *have = json_get_str(lock, "strength", NULL);
		if (lock != NULL && (least == NULL || rank(have) >= rank(least)))
			continue;
		const char *reason = cgroup_host_reason(cgroups);
		(void)error_set(err, EPERM, "below_floor",
		    "the policy's floor asks for %s%s%s, this host gives %s%s%s%s", term,
		    least == NULL ? "" : ": ", least == NULL ? "" : least,
		    lock == NULL       ? "none"
			: have == NULL ? "less"
				       : have,
		    reason[0] ? " (" : "", reason, reason[0] ? ")" : "");
		error_remedy(err, "`ringfence doctor` says how this host can enforce it");
		return -EPERM;
	}
	return 0;
}
