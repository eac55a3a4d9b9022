#include "sys/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "base/buf.h"

#define CGROUP2_MAGIC 0x63677270
#define KEPT_MAX 32

/* Files of a group that every run reads or writes: opened once, because opening costs more. */
enum group_file {
	FILE_MEMORY_LIMIT,
	FILE_MEMORY_EVENTS,
	FILE_MEMORY_PEAK,
	FILE_PIDS_LIMIT,
	FILE_PIDS_EVENTS,
	FILE_CPU_LIMIT,
	GROUP_FILES
};

static const struct {
	enum cgroup_controller controller;
	const char *v1, *v2;
} group_files[GROUP_FILES] = {
    [FILE_MEMORY_LIMIT] = {CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max"},
    [FILE_MEMORY_EVENTS] = {CGROUP_MEMORY, "memory.oom_control", "memory.events"},
    [FILE_MEMORY_PEAK] = {CGROUP_MEMORY, "memory.max_usage_in_bytes", "memory.peak"},
    [FILE_PIDS_LIMIT] = {CGROUP_PIDS, "pids.max", "pids.max"},
    [FILE_PIDS_EVENTS] = {CGROUP_PIDS, "pids.events", "pids.events"},
    [FILE_CPU_LIMIT] = {CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max"},
};
#define PREFIX "ringfence-"

static const char *const controller_names[CGROUP_CONTROLLERS] = {"memory", "pids", "cpu"};

struct cgroup_host {
	enum cgroup_version version;
	unsigned controllers;
	char reason[200];
	char base[CGROUP_CONTROLLERS][300]; /* v2: only [0] */
	int base_fds[CGROUP_CONTROLLERS];
	unsigned hierarchies;
	unsigned next;
	struct cgroup *kept[KEPT_MAX];
	unsigned n_kept;
};

struct cgroup {
	struct cgroup_host *host;
	char name[48];
	int dirs[CGROUP_CONTROLLERS]; /* one per hierarchy */
	int entries[CGROUP_CONTROLLERS];
	int files[GROUP_FILES];      /* opened at first use; -1 before */
	struct cgroup_limits limits; /* as set now */
	int64_t oom_before,
	    refused_before;       /* what earlier users of the group left in its counters */
	struct cgroup_usage used; /* as last read */
};

/* ---- small files ---- */

static int
read_at(int dir, const char *name, char *text, size_t size)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	return 0;
}

static int
write_at(int dir, const char *name, const char *text)
{
	_cleanup_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

static int
group_dir(const struct cgroup *group, enum cgroup_controller controller)
{
	return group->dirs[group->host->version == CGROUP_V1 ? controller : 0];
}

/* The descriptor of FILE, or -1. */
static int
group_file(struct cgroup *group, enum group_file file)
{
	if (group->files[file] < 0) {
		bool v1 = group->host->version == CGROUP_V1;
		const char *name = v1 ? group_files[file].v1 : group_files[file].v2;
		int dir = group_dir(group, group_files[file].controller);
		group->files[file] = openat(dir, name, O_RDWR | O_CLOEXEC);
		if (group->files[file] < 0)
			group->files[file] = openat(dir, name, O_RDONLY | O_CLOEXEC);
	}
	return group->files[file];
}

static int
group_read(struct cgroup *group, enum group_file file, char *text, size_t size)
{
	ssize_t n = pread(group_file(group, file), text, size - 1, 0);
	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? -errno : 0;
}

static int
group_write(struct cgroup *group, enum group_file file, const char *text)
{
	return pwrite(group_file(group, file), text, strlen(text), 0) < 0 ? -errno : 0;
}

static int
group_write_int(struct cgroup *group, enum group_file file, int64_t value, const char *none)
{
	char text[32];
	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	return group_write(group, file, value == 0 ? none : text);
}

static int64_t
group_read_int(struct cgroup *group, enum group_file file, int64_t fallback)
{
	char text[64];
	return group_read(group, file, text, sizeof(text)) < 0 ? fallback : strtoll(text, NULL, 10);
}

/* The number after KEY in a file of "key value" lines. */
static int64_t
group_read_field(struct cgroup *group, enum group_file file, const char *key, int64_t fallback)
{
	char text[1024];
	if (group_read(group, file, text, sizeof(text)) < 0)
		return fallback;
	size_t len = strlen(key);
	for (char *line = text; line != NULL && *line != 0;) {
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoll(line + len + 1, NULL, 10);
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	return fallback;
}

/* ---- detection ---- */

/* Our own group's path in the hierarchy that /proc/self/cgroup lists for CONTROLLER ("" for v2). */
static int
own_path(const char *listing, const char *controller, char *ret, size_t size)
{
	const char *line = listing;
	size_t want = strlen(controller);
	while (line != NULL && *line != 0) {
		const char *names = strchr(line, ':');
		const char *path = names == NULL ? NULL : strchr(names + 1, ':');
		const char *end = path == NULL ? NULL : strchr(path, '\n');
		if (end == NULL)
			return -ENOENT;
		for (const char *name = names + 1; name <= path;) {
			const char *stop = name;
			while (*stop != ',' && stop < path)
				stop++;
			if ((size_t)(stop - name) == want && strncmp(name, controller, want) == 0) {
				int n =
				    snprintf(ret, size, "%.*s", (int)(end - path - 1), path + 1);
				return n < (int)size ? 0 : -ENAMETOOLONG;
			}
			name = stop + 1;
		}
		line = end + 1;
	}
	return -ENOENT;
}

static void
detect_v1(struct cgroup_host *host, const char *listing)
{
	for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++) {
		char own[200];
		if (own_path(listing, controller_names[c], own, sizeof(own)) < 0)
			continue;
		(void)snprintf(host->base[c], sizeof(host->base[c]), "/sys/fs/cgroup/%s%s",
		    controller_names[c], strcmp(own, "/") == 0 ? "" : own);
		int fd = open(host->base[c], O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && faccessat(fd, ".", W_OK, AT_EACCESS) < 0) {
			(void)close(fd);
			fd = -1;
		}
		host->base_fds[c] = fd;
		if (fd >= 0)
			host->controllers |= 1u << c;
	}
	if (host->controllers != 0) {
		host->version = CGROUP_V1;
		host->hierarchies = CGROUP_CONTROLLERS;
	}
}

/* ---- version 2: where ours are made ---- */

#define UNIT "ringfence.service"
#define LEAF "supervisor" /* as DelegateSubgroup= of the unit may call it */

/* Whether systemd gave the group at PATH away (Delegate=): its subtree is then ours to arrange. */
static bool
is_delegated(const char *path)
{
	char value[8];
	struct stat st;
	if (getxattr(path, "trusted.delegate", value, sizeof(value)) == 1 && value[0] == '1')
		return true;
	if (getxattr(path, "user.delegate", value, sizeof(value)) == 1 && value[0] == '1')
		return true;
	/* Before systemd 251 a user's manager leaves no mark that the user may read. */
	return geteuid() != 0 && stat(path, &st) == 0 && st.st_uid == geteuid();
}

/* Moves every process of the group at FD into its child LEAF: processes may be in leaves only. */
static int
move_to_leaf(int fd)
{
	char pids[4096];
	if (mkdirat(fd, LEAF, 0755) < 0 && errno != EEXIST)
		return -errno;
	for (int tries = 0; tries < 16; tries++) {
		int r = read_at(fd, "cgroup.procs", pids, sizeof(pids));
		if (r < 0 || pids[0] == 0)
			return r;
		for (char *pid = pids, *end; (end = strchr(pid, '\n')) != NULL; pid = end + 1) {
			*end = 0;
			r = write_at(fd, LEAF "/cgroup.procs", pid);
			if (r < 0 && r != -ESRCH)
				return r;
		}
	}
	return -EBUSY;
}

/* In our own unit its group is the base, so that what the unit and its slice are allowed holds for all.
 * PATH is our group's, and becomes the unit's. False: we do not run as that unit. */
static bool
take_unit(char *path)
{
	char *slash = strrchr(path, '/');
	if (slash != NULL && strcmp(slash, "/" LEAF) == 0)
		*slash = 0;
	slash = strrchr(path, '/');
	if (slash == NULL || strcmp(slash, "/" UNIT) != 0 || !is_delegated(path))
		return false;
	char offered[256];
	_cleanup_close_ int fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	/* A unit that was given nothing is no better than what is above it. */
	return fd >= 0 && read_at(fd, "cgroup.controllers", offered, sizeof(offered)) == 0 &&
	    strstr(offered, "memory") != NULL && move_to_leaf(fd) == 0;
}

/* The topmost directory from PATH up that is still this user's, which has no processes of its own: systemd
 * gives user@UID.service its controllers. */
static void
climb_to_ours(const char *mount, char *path)
{
	struct stat st;
	while (strlen(path) > strlen(mount) &&
	    (stat(path, &st) < 0 || st.st_uid != geteuid() || access(path, W_OK) < 0))
		*strrchr(path, '/') = 0;
	for (;;) {
		char parent[300];
		(void)snprintf(parent, sizeof(parent), "%s", path);
		char *slash = strrchr(parent, '/');
		if (slash == NULL || strlen(parent) <= strlen(mount))
			return;
		*slash = 0;
		if (stat(parent, &st) < 0 || st.st_uid != geteuid())
			return;
		(void)snprintf(path, 300, "%s", parent);
	}
}

/* Our unit's group; else, as root, the root group, and as a user what was delegated to them. */
static int
open_v2_base(struct cgroup_host *host, const char *mount, const char *own)
{
	char path[300];
	(void)snprintf(path, sizeof(path), "%s%s", mount, strcmp(own, "/") == 0 ? "" : own);
	if (!take_unit(path)) {
		(void)snprintf(path, sizeof(path), "%s%s", mount,
		    geteuid() == 0 || strcmp(own, "/") == 0 ? "" : own);
		if (geteuid() != 0)
			climb_to_ours(mount, path);
	}
	(void)snprintf(host->base[0], sizeof(host->base[0]), "%s", path);
	int fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void
detect_v2(struct cgroup_host *host, const char *listing, const char *mount)
{
	char own[200], text[256] = "";
	if (own_path(listing, "", own, sizeof(own)) < 0)
		return;
	int fd = open_v2_base(host, mount, own);
	if (fd < 0)
		return;
	for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++) {
		char enable[16];
		(void)snprintf(enable, sizeof(enable), "+%s", controller_names[c]);
		(void)write_at(fd, "cgroup.subtree_control", enable);
	}
	if (read_at(fd, "cgroup.subtree_control", text, sizeof(text)) == 0)
		for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
			if (strstr(text, controller_names[c]) != NULL)
				host->controllers |= 1u << c;
	/* A name with "cpuset" alone is not "cpu". */
	if (strstr(text, "cpu ") == NULL && strstr(text, "cpu\n") == NULL)
		host->controllers &= ~(1u << CGROUP_CPU);
	if (host->controllers == 0 || faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) < 0) {
		host->controllers = 0;
		(void)close(fd);
		return;
	}
	host->version = CGROUP_V2;
	host->hierarchies = 1;
	host->base_fds[0] = fd;
}

struct cgroup_host *
cgroup_host_new(void)
{
	struct cgroup_host *host = calloc(1, sizeof(*host));
	if (host == NULL)
		return NULL;
	for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
		host->base_fds[c] = -1;
	char listing[4096];
	if (read_at(AT_FDCWD, "/proc/self/cgroup", listing, sizeof(listing)) < 0) {
		(void)snprintf(
		    host->reason, sizeof(host->reason), "/proc/self/cgroup is not readable");
		return host;
	}
	struct statfs fs;
	if (statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_MAGIC)
		detect_v2(host, listing, "/sys/fs/cgroup");
	else
		detect_v1(host, listing);
	if (host->version == CGROUP_NONE)
		(void)snprintf(host->reason, sizeof(host->reason),
		    "no cgroup hierarchy with a memory, pids or cpu controller is writable by uid "
		    "%u",
		    (unsigned)geteuid());
	return host;
}

struct cgroup_host *
cgroup_host_free(struct cgroup_host *host)
{
	if (host == NULL)
		return NULL;
	unsigned kept = host->n_kept;
	host->n_kept = KEPT_MAX; /* full: giving back removes */
	for (unsigned i = 0; i < kept; i++)
		cgroup_give_back(host->kept[i]);
	for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++)
		if (host->base_fds[c] >= 0)
			(void)close(host->base_fds[c]);
	free(host);
	return NULL;
}

enum cgroup_version
cgroup_host_version(const struct cgroup_host *host)
{
	return host->version;
}

unsigned
cgroup_host_controllers(const struct cgroup_host *host)
{
	return host->controllers;
}

const char *
cgroup_host_reason(const struct cgroup_host *host)
{
	return host->reason;
}

const char *
cgroup_host_base(const struct cgroup_host *host)
{
	return host->base[0];
}

/* ---- sweeping ---- */

/* Whether PID is a supervisor, or a proof, that runs. One that was killed stays a zombie for as long as its
 * parent likes, and its number may be another program's by now. */
static bool
is_owner(long pid)
{
	char path[40], text[256];
	(void)snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	if (read_at(AT_FDCWD, path, text, sizeof(text)) < 0)
		return kill((pid_t)pid, 0) == 0; /* unless /proc is not there to ask */
	const char *name = strchr(text, '('), *end = strrchr(text, ')');
	if (name == NULL || end == NULL || end[1] != ' ')
		return true;
	bool ours =
	    strncmp(name, "(rf-supervisor)", 15) == 0 || strncmp(name, "(rf-prove)", 10) == 0;
	return ours && end[2] != 'Z' && end[2] != 'X';
}

/* "ringfence-PID-N": left behind if PID runs no more. */
/* The owner that was asked for last: a daemon has hundreds of groups, and they lie together. */
struct asked {
	long pid;
	bool owner;
};

static bool
is_left_behind(const char *name, struct asked *last)
{
	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	char *end;
	long pid = strtol(name + strlen(PREFIX), &end, 10);
	if (pid <= 0 || *end != '-' || pid == getpid())
		return false;
	if (pid != last->pid)
		*last = (struct asked){pid, is_owner(pid)};
	return !last->owner;
}

int
cgroup_sweep(struct cgroup_host *host)
{
	int swept = 0;
	for (unsigned h = 0; h < host->hierarchies; h++) {
		int fd = host->base_fds[h] < 0
		    ? -1
		    : openat(host->base_fds[h], ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		DIR *dir = fd < 0 ? NULL : fdopendir(fd);
		if (dir == NULL)
			continue;
		struct dirent *entry;
		struct asked last = {0};
		while ((entry = readdir(dir)) != NULL)
			if (is_left_behind(entry->d_name, &last) &&
			    unlinkat(host->base_fds[h], entry->d_name, AT_REMOVEDIR) == 0)
				swept++;
		(void)closedir(dir);
	}
	return swept;
}

/* ---- one group ---- */

static struct cgroup *
cgroup_remove(struct cgroup *group)
{
	struct cgroup_host *host = group->host;
	for (unsigned f = 0; f < GROUP_FILES; f++)
		if (group->files[f] >= 0)
			(void)close(group->files[f]);
	for (unsigned h = 0; h < CGROUP_CONTROLLERS; h++) {
		if (group->entries[h] >= 0)
			(void)close(group->entries[h]);
		if (group->dirs[h] < 0)
			continue;
		(void)close(group->dirs[h]);
		(void)unlinkat(host->base_fds[h], group->name, AT_REMOVEDIR);
	}
	free(group);
	return NULL;
}

static int
cgroup_create(struct cgroup_host *host, struct cgroup **ret)
{
	struct cgroup *group = calloc(1, sizeof(*group));
	if (group == NULL)
		return -ENOMEM;
	group->host = host;
	(void)snprintf(
	    group->name, sizeof(group->name), PREFIX "%d-%u", (int)getpid(), host->next++);
	memset(group->dirs, -1, sizeof(group->dirs));
	memset(group->entries, -1, sizeof(group->entries));
	memset(group->files, -1, sizeof(group->files));
	const char *entry = host->version == CGROUP_V1 ? "tasks" : "cgroup.procs";
	for (unsigned h = 0; h < host->hierarchies; h++) {
		int base = host->base_fds[h];
		if (base < 0)
			continue;
		if (mkdirat(base, group->name, 0755) == 0)
			group->dirs[h] =
			    openat(base, group->name, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		if (group->dirs[h] >= 0)
			group->entries[h] = openat(group->dirs[h], entry, O_WRONLY | O_CLOEXEC);
		if (group->entries[h] < 0) {
			int failed = errno;
			cgroup_remove(group);
			return -failed;
		}
	}
	*ret = group;
	return 0;
}

int
cgroup_take(struct cgroup_host *host, struct cgroup **ret)
{
	if (host->version == CGROUP_NONE)
		return -EOPNOTSUPP;
	struct cgroup *group = NULL;
	if (host->n_kept > 0) {
		group = host->kept[--host->n_kept];
		group->oom_before += group->used.oom_kills;
		group->refused_before += group->used.pids_refused;
		group->used = (struct cgroup_usage){0};
		if (host->version == CGROUP_V1)
			(void)group_write(group, FILE_MEMORY_PEAK, "0");
		*ret = group;
		return 0;
	}
	return cgroup_create(host, ret);
}

static int
limit_memory(struct cgroup *group, int64_t bytes)
{
	char text[32];
	int dir = group_dir(group, CGROUP_MEMORY);
	if (group->host->version == CGROUP_V2) {
		(void)write_at(dir, "memory.oom.group", "1");
		(void)write_at(dir, "memory.swap.max", "0");
		return group_write_int(group, FILE_MEMORY_LIMIT, bytes, "max");
	}
	/* memsw may never be below the limit: lift it, set the limit, lower it. It is absent without
	 * swap accounting. */
	(void)write_at(dir, "memory.memsw.limit_in_bytes", "-1");
	int r = group_write_int(group, FILE_MEMORY_LIMIT, bytes, "-1");
	(void)snprintf(text, sizeof(text), "%lld", (long long)(bytes == 0 ? -1 : bytes));
	if (r == 0)
		(void)write_at(dir, "memory.memsw.limit_in_bytes", text);
	return r;
}

static int
limit_cpu(struct cgroup *group, int64_t millis)
{
	char text[64];
	if (group->host->version == CGROUP_V1)
		return group_write_int(group, FILE_CPU_LIMIT, millis * 100, "-1");
	(void)snprintf(text, sizeof(text), "%lld 100000", (long long)millis * 100);
	return group_write(group, FILE_CPU_LIMIT, millis == 0 ? "max 100000" : text);
}

int
cgroup_limit(struct cgroup *group, const struct cgroup_limits *limits, struct error *err)
{
	unsigned have = group->host->controllers;
	int r = 0;
	if ((have & 1u << CGROUP_MEMORY) && limits->memory_bytes != group->limits.memory_bytes)
		r = limit_memory(group, limits->memory_bytes);
	if (r == 0 && (have & 1u << CGROUP_PIDS) && limits->processes != group->limits.processes)
		r = group_write_int(group, FILE_PIDS_LIMIT, limits->processes, "max");
	if (r == 0 && (have & 1u << CGROUP_CPU) && limits->cpu_millis != group->limits.cpu_millis)
		r = limit_cpu(group, limits->cpu_millis);
	if (r < 0)
		return error_set_errno(
		    err, -r, "cgroup_failed", "cannot set the limits of group %s", group->name);
	group->limits = *limits;
	return 0;
}

unsigned
cgroup_entry_fds(const struct cgroup *group, const int **ret_fds)
{
	static int fds[CGROUP_CONTROLLERS];
	unsigned n = 0;
	for (unsigned h = 0; h < CGROUP_CONTROLLERS; h++)
		if (group->entries[h] >= 0)
			fds[n++] = group->entries[h];
	*ret_fds = fds;
	return n;
}

void
cgroup_read_usage(struct cgroup *group, struct cgroup_usage *ret)
{
	unsigned have = group->host->controllers;
	*ret = (struct cgroup_usage){.memory_peak_bytes = -1};
	if (have & 1u << CGROUP_MEMORY) {
		ret->memory_peak_bytes = group_read_int(group, FILE_MEMORY_PEAK, -1);
		ret->oom_kills =
		    group_read_field(group, FILE_MEMORY_EVENTS, "oom_kill", 0) - group->oom_before;
	}
	if (have & 1u << CGROUP_PIDS)
		ret->pids_refused =
		    group_read_field(group, FILE_PIDS_EVENTS, "max", 0) - group->refused_before;
	group->used = *ret;
}

bool
cgroup_is_empty(const struct cgroup *group)
{
	char text[32];
	for (unsigned h = 0; h < CGROUP_CONTROLLERS; h++)
		if (group->dirs[h] >= 0 &&
		    (read_at(group->dirs[h], "cgroup.procs", text, sizeof(text)) < 0 ||
			text[0] != 0))
			return false;
	return true;
}

struct json *
cgroup_evidence(struct cgroup *group)
{
	const struct cgroup_host *host = group->host;
	bool v1 = host->version == CGROUP_V1;
	struct json *e = json_new_object();
	(void)json_set_str(e, "version", v1 ? "v1" : "v2");
	(void)json_set_str(e, "group", group->name);
	(void)json_set_str(e, "below", host->base[0]);
	struct json *paths = json_new_object();
	for (unsigned c = 0; c < CGROUP_CONTROLLERS; c++) {
		char path[400];
		if ((host->controllers & 1u << c) == 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", host->base[v1 ? c : 0], group->name);
		(void)json_set_str(paths, controller_names[c], path);
	}
	(void)json_set(e, "paths", paths);
	if (host->controllers & 1u << CGROUP_MEMORY)
		(void)json_set_int(e, "memory_bytes", group_read_int(group, FILE_MEMORY_LIMIT, 0));
	if (host->controllers & 1u << CGROUP_PIDS)
		(void)json_set_int(e, "processes", group_read_int(group, FILE_PIDS_LIMIT, 0));
	if (host->controllers & 1u << CGROUP_CPU)
		(void)json_set_int(
		    e, "cpu_millis", MAX(group_read_int(group, FILE_CPU_LIMIT, 0), 0) / 100);
	return e;
}

struct cgroup *
cgroup_give_back(struct cgroup *group)
{
	if (group == NULL)
		return NULL;
	struct cgroup_host *host = group->host;
	if (host->n_kept >= KEPT_MAX || !cgroup_is_empty(group))
		return cgroup_remove(group);
	struct cgroup_usage last;
	cgroup_read_usage(group, &last); /* so that the next user's counters start at nothing */
	host->kept[host->n_kept++] = group;
	return NULL;
}
