#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "ipc/msg.h"
#include "sandbox/filter.h"
#include "sandbox/host.h"
#include "sandbox/ids.h"
#include "sandbox/plan.h"
#include "sandbox/skeleton.h"
#include "sys/mounts.h"
#include "sys/process.h"

#define SCRATCH_DEFAULT (256LL << 20)
#define BYTES_PER_INODE 4096
#define BACKSTOP_PROCESSES 8

struct sandbox_host {
	bool rootless;
	int init_fd;   /* rf-init, O_PATH */
	int filter_fd; /* sealed memfd: the command's seccomp program, then rf-init's */
	unsigned short command_filter, init_filter; /* instructions of each */
	char filter_hash[SHA256_HEX];               /* of the command's */
	struct cgroup_host *cgroups;
	struct json *view; /* binds, links, files */
};

/* ---- what all share ---- */

static int
write_filter(int fd, const struct seccomp_program *program)
{
	size_t size = program->len * sizeof(program->code[0]);
	return write(fd, program->code, size) == (ssize_t)size ? 0 : -EIO;
}

/* Compiled once, sealed, and read by every rf-init. */
static int
seal_filters(struct sandbox_host *host, struct error *err)
{
	struct seccomp_program command = {0}, init = {0};
	int r = filter_command(&command, err);
	if (r == 0)
		r = filter_init(&init, err);
	if (r == 0) {
		int fd = (int)syscall(SYS_memfd_create, "filters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0 || write_filter(fd, &command) < 0 || write_filter(fd, &init) < 0 ||
		    fcntl(fd, F_ADD_SEALS,
			F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
			r = error_set_errno(
			    err, errno, "sandbox_failed", "cannot seal the seccomp filters");
		host->filter_fd = fd;
	}
	host->command_filter = command.len;
	host->init_filter = init.len;
	(void)snprintf(host->filter_hash, sizeof(host->filter_hash), "%s", command.hash);
	seccomp_program_done(&command);
	seccomp_program_done(&init);
	return r;
}

/* What of the host is seen, and the skeleton for it. What the skeleton holds already (links and files)
 * need not be told to each rf-init. */
static int
make_view(struct sandbox_host *host, const char *state, int state_fd, struct error *err)
{
	char name[64], path[4200];
	uid_t uid = host->rootless ? getuid() : PLAN_UID;
	gid_t gid = host->rootless ? getgid() : PLAN_UID;
	host->view = host_view(uid, gid);
	int r = host->view == NULL ? error_set(err, ENOMEM, "no_memory", "out of memory")
				   : skeleton_ensure(state_fd, host->view, name, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/%s", state, name);
	json_unset(host->view, "links");
	json_unset(host->view, "files");
	(void)json_set_str(host->view, "hostname", "sandbox");
	return json_set_str(host->view, "skeleton", path);
}

int
sandbox_host_new(const char *init_path, const char *state, int state_fd, struct sandbox_host **ret,
    struct error *err)
{
	struct sandbox_host *host = calloc(1, sizeof(*host));
	if (host == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	host->rootless = geteuid() != 0;
	host->filter_fd = -1;
	host->init_fd = open(init_path, O_PATH | O_CLOEXEC);
	int r = 0;
	if (host->init_fd < 0)
		r = error_set_errno(err, errno, "not_installed", "cannot open %s", init_path);
	if (r == 0)
		r = seal_filters(host, err);
	if (r == 0 && (host->cgroups = cgroup_host_new()) == NULL)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	if (r == 0)
		r = make_view(host, state, state_fd, err);
	if (r < 0) {
		sandbox_host_free(host);
		return r;
	}
	*ret = host;
	return 0;
}

struct sandbox_host *
sandbox_host_free(struct sandbox_host *host)
{
	if (host == NULL)
		return NULL;
	if (host->init_fd >= 0)
		(void)close(host->init_fd);
	if (host->filter_fd >= 0)
		(void)close(host->filter_fd);
	cgroup_host_free(host->cgroups);
	json_free(host->view);
	free(host);
	return NULL;
}

struct cgroup_host *
sandbox_host_cgroups(struct sandbox_host *host)
{
	return host->cgroups;
}

bool
sandbox_host_rootless(const struct sandbox_host *host)
{
	return host->rootless;
}

const char *
sandbox_host_filter_hash(const struct sandbox_host *host)
{
	return host->filter_hash;
}

/* ---- spawn ---- */

static int
choose_ids(struct sandbox *sandbox, struct error *err)
{
	if (sandbox->host->rootless) {
		sandbox->init_uid = sandbox->command_uid = sandbox->inner_init_uid =
		    sandbox->inner_uid = getuid();
		sandbox->inner_init_gid = sandbox->inner_gid = getgid();
		return 0;
	}
	uid_t pair;
	int r = ids_next_pair(&pair, err);
	if (r < 0)
		return r;
	sandbox->command_uid = pair;
	sandbox->init_uid = pair + 1;
	sandbox->inner_uid = sandbox->inner_gid = PLAN_UID;
	sandbox->inner_init_uid = sandbox->inner_init_gid = PLAN_INIT_UID;
	return 0;
}

static struct json *
make_ids(const struct sandbox *sandbox)
{
	struct json *ids = json_new_object();
	(void)json_set_int(ids, "init", sandbox->inner_init_uid);
	(void)json_set_int(ids, "command", sandbox->inner_uid);
	(void)json_set_int(ids, "init_group", sandbox->inner_init_gid);
	(void)json_set_int(ids, "command_group", sandbox->inner_gid);
	(void)json_set_bool(ids, "groups", !sandbox->host->rootless);
	return ids;
}

static int
send_view(struct sandbox *sandbox)
{
	_cleanup_json_ struct json *view = json_copy(sandbox->host->view);
	(void)json_set(view, "ids", make_ids(sandbox));
	return msg_send(sandbox->control, INIT_VIEW, 0, view, NULL, 0);
}

static int
explain_spawn(int negative, struct error *err)
{
	(void)error_set_errno(err, -negative, "no_namespaces",
	    "this host does not let us make the sandbox's namespaces");
	if (negative == -EPERM || negative == -EACCES || negative == -ENOSPC)
		error_remedy(err,
		    "`ringfence doctor` says which setting denies user namespaces and how to "
		    "allow them for Ringfence alone");
	return negative;
}

static int
start_init(struct sandbox *sandbox, struct error *err)
{
	static const char *const argv[] = {"rf-init", NULL};
	int pair[2];
	int r = msg_pair(pair);
	if (r < 0)
		return error_set_errno(err, -r, "sandbox_failed", "no socket pair");
	_cleanup_close_ int theirs = pair[1];
	sandbox->control = pair[0];
	int fds[] = {-1, -1, -1, theirs};
	struct process_spec spec = {.program_fd = sandbox->host->init_fd,
	    .argv = argv,
	    .envp = argv + 1,
	    .fds = fds,
	    .n_fds = 4,
	    .keep_caps = true,
	    .namespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
		CLONE_NEWUTS};
	r = process_start(&spec, &sandbox->pid, &sandbox->pidfd);
	if (r < 0)
		return explain_spawn(r, err);
	r = process_map_ids(sandbox->pid, sandbox->inner_uid, sandbox->command_uid,
	    sandbox->inner_gid, sandbox->host->rootless ? getgid() : sandbox->command_uid,
	    sandbox->host->rootless ? 1 : 2, sandbox->host->rootless);
	if (r < 0)
		return explain_spawn(r, err);
	r = send_view(sandbox);
	return r < 0 ? error_set_errno(err, -r, "sandbox_failed", "rf-init does not listen") : 0;
}

int
sandbox_spawn(struct sandbox_host *host, const char *id, struct sandbox **ret, struct error *err)
{
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
	if (sandbox == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	sandbox->host = host;
	sandbox->pidfd = sandbox->control = sandbox->proc_fd = -1;
	(void)snprintf(sandbox->id, sizeof(sandbox->id), "%s", id);
	int r = choose_ids(sandbox, err);
	if (r == 0)
		r = start_init(sandbox, err);
	if (r < 0) {
		sandbox_kill(sandbox);
		if (sandbox->pidfd >= 0)
			(void)process_reap(sandbox->pidfd, true, NULL);
		sandbox_free(sandbox);
		return r;
	}
	*ret = sandbox;
	return 0;
}

/* ---- the plan ---- */

static void
add_env(struct json *list, const char *name, const char *value)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 128 * 1024);
	(void)buf_addf(&text, "%s=%s", name, value);
	(void)json_push(list, json_new_string(buf_str(&text)));
}

static struct json *
make_env(const struct json *additions)
{
	static const char *const base[][2] = {
	    {"PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"},
	    {"HOME", PLAN_HOME}, {"USER", "agent"}, {"LOGNAME", "agent"}, {"SHELL", "/bin/sh"},
	    {"TMPDIR", "/tmp"}, {"LANG", "C.UTF-8"}, {"RINGFENCE", "1"}};
	struct json *list = json_new_array();
	for (size_t i = 0; i < ARRAY_LEN(base); i++)
		if (json_get(additions, base[i][0]) == NULL)
			add_env(list, base[i][0], base[i][1]);
	for (size_t i = 0; i < json_len(additions); i++)
		add_env(list, json_name_at(additions, i), json_str(json_at(additions, i), ""));
	return list;
}

static struct json *
make_rlimits(const struct sandbox *sandbox, const struct json *limits)
{
	struct json *r = json_new_object();
	unsigned have = cgroup_host_controllers(sandbox->host->cgroups);
	int64_t processes = json_get_int(limits, "processes", 0);
	(void)json_set_int(r, "open_files", json_get_int(limits, "open_files", 1024));
	/* rf-init counts too where it shares the command's uid. Behind a control group, which counts what it
	 * refuses, the rlimit is the second lock and a little wider. */
	if (processes > 0)
		(void)json_set_int(r, "processes",
		    processes + (sandbox->host->rootless ? 1 : 0) +
			(have & 1u << CGROUP_PIDS ? BACKSTOP_PROCESSES : 0));
	/* One page more than scratch holds: there the answer is "no space", not a signal. */
	(void)json_set_int(
	    r, "file_bytes", json_get_int(limits, "disk_bytes", SCRATCH_DEFAULT) + 4096);
	if (!(have & 1u << CGROUP_MEMORY))
		(void)json_set_int(r, "data_bytes", json_get_int(limits, "memory_bytes", 0));
	(void)json_set_int(r, "cpu_s", (json_get_int(limits, "cpu_time_ms", 0) + 999) / 1000);
	return r;
}

/* As root the workspace's owner must appear as the sandbox's user: an idmapped mount. A user owns
 * what is theirs already, and rf-init mounts it by path. Returns the mount, -1 for none, or -errno. */
static int
mount_workspace(const struct sandbox *sandbox, const struct sandbox_order *order, struct error *err)
{
	struct stat st;
	if (sandbox->host->rootless || order->workspace_mode == NULL)
		return -1;
	if (fstat(order->workspace_fd, &st) < 0)
		return error_set_errno(
		    err, errno, "bad_workspace", "workspace %s", order->workspace_path);
	_cleanup_close_ int userns = ids_mapping_namespace(sandbox->host->init_fd, st.st_uid,
	    st.st_gid, sandbox->command_uid, (gid_t)sandbox->command_uid);
	if (userns < 0)
		return error_set_errno(
		    err, -userns, "sandbox_failed", "no user namespace for the workspace");
	bool staged = strcmp(order->workspace_mode, "staged") == 0;
	uint64_t attrs = MNT_NOSUID | MNT_NODEV | (staged ? MNT_RDONLY : 0);
	int fd = mounts_clone_idmapped(order->workspace_fd, "", attrs, userns);
	if (fd < 0) {
		(void)error_set_errno(err, -fd, "bad_workspace",
		    "the file system of %s cannot be mounted with translated owners",
		    order->workspace_path);
		error_remedy(
		    err, "use a workspace on ext4, xfs, btrfs or tmpfs, or run as its owner");
	}
	return fd == -1 ? -EPERM : fd;
}

static struct json *
make_workspace(const struct sandbox_order *order)
{
	struct stat st = {0};
	if (order->workspace_mode == NULL)
		return NULL;
	(void)fstat(order->workspace_fd, &st);
	struct json *w = json_new_object();
	(void)json_set_str(w, "mode", order->workspace_mode);
	(void)json_set_str(w, "path", order->workspace_path);
	(void)json_set_int(w, "dev", (int64_t)st.st_dev);
	(void)json_set_int(w, "ino", (int64_t)st.st_ino);
	return w;
}

static struct json *
make_plan(const struct sandbox *sandbox, const struct sandbox_order *order, unsigned groups,
    bool workspace_mount)
{
	const struct json *limits = json_get(order->config, "limits");
	struct json *plan = json_new_object();
	struct json *scratch = json_new_object(), *fds = json_new_object(),
		    *filters = json_new_object();
	(void)json_set_int(filters, "command", sandbox->host->command_filter);
	(void)json_set_int(filters, "init", sandbox->host->init_filter);
	int64_t bytes = json_get_int(limits, "disk_bytes", SCRATCH_DEFAULT);
	(void)json_set_int(scratch, "bytes", bytes);
	(void)json_set_int(scratch, "inodes", MAX(bytes / BYTES_PER_INODE, 1024));
	(void)json_set_int(fds, "cgroups", groups);
	(void)json_set_bool(fds, "workspace", workspace_mount);
	(void)json_set(plan, "scratch", scratch);
	(void)json_set(plan, "fds", fds);
	(void)json_set(plan, "filters", filters);
	(void)json_set(plan, "rlimits", make_rlimits(sandbox, limits));
	(void)json_set(plan, "argv", json_copy(order->argv));
	(void)json_set(plan, "env", make_env(order->env));
	(void)json_set_str(plan, "program", order->program);
	const char *home = order->workspace_mode != NULL ? PLAN_WORKSPACE : PLAN_HOME;
	(void)json_set_str(plan, "cwd", order->cwd != NULL ? order->cwd : home);
	if (order->workspace_mode != NULL)
		(void)json_set(plan, "workspace", make_workspace(order));
	return plan;
}

static int
take_group(struct sandbox *sandbox, const struct json *limits, struct error *err)
{
	struct cgroup_host *cgroups = sandbox->host->cgroups;
	if (cgroup_host_version(cgroups) == CGROUP_NONE)
		return 0;
	int64_t processes = json_get_int(limits, "processes", 0);
	struct cgroup_limits set = {.memory_bytes = json_get_int(limits, "memory_bytes", 0),
	    .processes = processes > 0 ? processes + 1 : 0, /* and rf-init */
	    .cpu_millis = json_get_int(limits, "cpu_millis", 0)};
	int r = cgroup_take(cgroups, &sandbox->group);
	if (r < 0)
		return error_set_errno(err, -r, "cgroup_failed",
		    "cannot make a control group below %s", cgroup_host_base(cgroups));
	return cgroup_limit(sandbox->group, &set, err);
}

int
sandbox_send_plan(struct sandbox *sandbox, const struct sandbox_order *order, struct error *err)
{
	int r = take_group(sandbox, json_get(order->config, "limits"), err);
	if (r < 0)
		return r;
	int fds[MSG_FDS_MAX] = {
	    sandbox->host->filter_fd, order->stdio[0], order->stdio[1], order->stdio[2]};
	unsigned n = 4, groups = 0;
	if (sandbox->group != NULL) {
		const int *entries;
		groups = cgroup_entry_fds(sandbox->group, &entries);
		for (unsigned i = 0; i < groups; i++)
			fds[n++] = entries[i];
	}
	sandbox->staged =
	    order->workspace_mode != NULL && strcmp(order->workspace_mode, "staged") == 0;
	_cleanup_close_ int workspace = mount_workspace(sandbox, order, err);
	if (workspace < -1)
		return workspace;
	if (workspace >= 0)
		fds[n++] = workspace;
	_cleanup_json_ struct json *plan = make_plan(sandbox, order, groups, workspace >= 0);
	r = msg_send(sandbox->control, INIT_PLAN, 0, plan, fds, n);
	return r < 0 ? error_set_errno(err, -r, "sandbox_failed", "rf-init does not take its plan")
		     : 0;
}

int
sandbox_go(struct sandbox *sandbox)
{
	return msg_send(sandbox->control, INIT_GO, 0, NULL, NULL, 0);
}

void
sandbox_kill(struct sandbox *sandbox)
{
	if (sandbox->pidfd >= 0)
		(void)process_signal(sandbox->pidfd, SIGKILL);
}

struct sandbox *
sandbox_free(struct sandbox *sandbox)
{
	if (sandbox == NULL)
		return NULL;
	if (sandbox->control >= 0)
		(void)close(sandbox->control);
	if (sandbox->pidfd >= 0)
		(void)close(sandbox->pidfd);
	if (sandbox->proc_fd >= 0)
		(void)close(sandbox->proc_fd);
	sandbox->group = cgroup_give_back(sandbox->group);
	free(sandbox);
	return NULL;
}
