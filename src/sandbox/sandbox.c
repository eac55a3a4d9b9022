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
#include "sandbox/image_view.h"
#include "sandbox/plan.h"
#include "sandbox/views.h"
#include "sys/mounts.h"
#include "sys/process.h"

#define SCRATCH_DEFAULT (256LL << 20)
#define BYTES_PER_INODE 4096
#define BACKSTOP_PROCESSES 8

struct filter {
	unsigned at, len; /* instructions */
	char hash[SHA256_HEX];
};

/* The two seccomp programs of a sandbox. */
struct filters {
	int fd; /* sealed memfd: the command's, then rf-init's; -1 until they are needed */
	struct filter command, init;
};

struct sandbox_host {
	bool rootless;
	int init_fd;                /* rf-init, O_PATH */
	struct filters any, listed; /* by the policy's `executables` */
	struct cgroup_host *cgroups;
	struct views *views;
	int state_fd; /* borrowed */
};

/* ---- what all share ---- */

static int
write_filter(int fd, int (*compile)(struct seccomp_program *, struct error *), struct filter *ret,
    struct error *err)
{
	struct seccomp_program program = {0};
	int r = compile(&program, err);
	off_t end = lseek(fd, 0, SEEK_END);
	size_t size = program.len * sizeof(program.code[0]);
	if (r == 0 && (end < 0 || write(fd, program.code, size) != (ssize_t)size))
		r = -EIO;
	if (r == 0) {
		ret->at = (unsigned)((size_t)end / sizeof(program.code[0]));
		ret->len = program.len;
		(void)snprintf(ret->hash, sizeof(ret->hash), "%s", program.hash);
	}
	seccomp_program_done(&program);
	return r;
}

/* Compiled once, sealed, and read by every rf-init. */
static int
seal_filters(struct filters *filters, int (*command)(struct seccomp_program *, struct error *),
    struct error *err)
{
	_cleanup_close_ int fd =
	    (int)syscall(SYS_memfd_create, "filters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : write_filter(fd, command, &filters->command, err);
	if (r == 0)
		r = write_filter(fd, filter_init, &filters->init, err);
	if (r == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		r = -errno;
	if (r < 0)
		return error_set_errno(
		    err, -r, "sandbox_failed", "cannot seal the seccomp filters");
	filters->fd = TAKE_FD(fd);
	return 0;
}

int
sandbox_host_new(const char *init_path, const char *state, int state_fd, struct sandbox_host **ret,
    struct error *err)
{
	struct sandbox_host *host = calloc(1, sizeof(*host));
	if (host == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	host->rootless = geteuid() != 0;
	host->state_fd = state_fd;
	host->any.fd = host->listed.fd = -1;
	host->init_fd = open(init_path, O_PATH | O_CLOEXEC);
	int r = 0;
	if (host->init_fd < 0)
		r = error_set_errno(err, errno, "not_installed", "cannot open %s", init_path);
	if (r == 0)
		r = seal_filters(&host->any, filter_command, err);
	if (r == 0 && (host->cgroups = cgroup_host_new()) == NULL)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	if (r == 0)
		r = views_new(state, state_fd, &host->views, err);
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
	if (host->any.fd >= 0)
		(void)close(host->any.fd);
	if (host->listed.fd >= 0)
		(void)close(host->listed.fd);
	cgroup_host_free(host->cgroups);
	views_free(host->views);
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

static bool
is_listed(const struct json *config)
{
	return strcmp(json_get_str(config, "executables", "any"), "listed") == 0;
}

const char *
sandbox_host_filter_hash(const struct sandbox_host *host, const struct json *config)
{
	return is_listed(config) ? host->listed.command.hash : host->any.command.hash;
}

int
sandbox_host_view(struct sandbox_host *host, const struct json *config, const struct json **ret,
    struct error *err)
{
	return views_get(host->views, config, ret, err);
}

int
sandbox_host_resolve(struct sandbox_host *host, const struct json *config, const char *name,
    const char *cwd, char ret_program[RESOLVED_MAX], char ret_resolved[RESOLVED_MAX])
{
	return views_resolve(host->views, config, name, cwd, ret_program, ret_resolved);
}

/* ---- spawn ---- */

static int
choose_ids(struct sandbox *sandbox, int64_t user, struct error *err)
{
	if (sandbox->host->rootless) {
		sandbox->init_uid = sandbox->command_uid = getuid();
		sandbox->inner_init_uid = sandbox->inner_uid = user < 0 ? getuid() : (uid_t)user;
		sandbox->inner_init_gid = sandbox->inner_gid = user < 0 ? getgid() : (gid_t)user;
		return 0;
	}
	uid_t pair;
	int r = ids_next_pair(&pair, err);
	if (r < 0)
		return r;
	sandbox->command_uid = pair;
	sandbox->init_uid = pair + 1;
	sandbox->inner_uid = sandbox->inner_gid = user < 0 ? PLAN_UID : (uid_t)user;
	sandbox->inner_init_uid = sandbox->inner_init_gid = sandbox->inner_uid + 1;
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
	(void)json_set(sandbox->view, "ids", make_ids(sandbox));
	int r = msg_send(sandbox->control, INIT_VIEW, 0, sandbox->view, NULL, 0);
	/* A thousand sandboxes need not keep what only their first process needed. */
	static const char *const told[] = {"binds", "rules", "ids"};
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		json_unset(sandbox->view, told[i]);
	return r;
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
	/* An rf-init that does not read (its command was stopped before it executed) must not stop us. */
	if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "sandbox_failed", "no socket pair");
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
sandbox_spawn(struct sandbox_host *host, const struct json *view, const char *id, int64_t user,
    struct sandbox **ret, struct error *err)
{
	struct sandbox *sandbox = calloc(1, sizeof(*sandbox));
	if (sandbox == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	sandbox->host = host;
	sandbox->pidfd = sandbox->control = sandbox->proc_fd = sandbox->scratch_fd =
	    sandbox->upper_fd = sandbox->image_fd = -1;
	sandbox->view = json_copy(view != NULL ? view : views_host(host->views));
	(void)snprintf(sandbox->id, sizeof(sandbox->id), "%s", id);
	const char *image = json_get_str(sandbox->view, "image", NULL);
	if (image != NULL)
		sandbox->image_fd = image_hold(host->state_fd, image, err);
	int r = image != NULL && sandbox->image_fd < 0 ? -ENOENT : choose_ids(sandbox, user, err);
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

/* What makes clients that bring authorities of their own, or look elsewhere, trust ours. */
static const char *const authority_variables[] = {"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "NPM_CONFIG_CAFILE",
    "AWS_CA_BUNDLE"};

static bool
is_authority_variable(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(authority_variables); i++)
		if (strcmp(authority_variables[i], name) == 0)
			return true;
	return false;
}

/* The environment of a command: ours, then the image's, then the request's; later ones win. With NETWORK an image does
 * not say which authorities there are. */
static struct json *
make_env(const struct json *image, const struct json *additions, bool network)
{
	static const char *const base[][2] = {
	    {"PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"},
	    {"HOME", PLAN_HOME}, {"USER", "agent"}, {"LOGNAME", "agent"}, {"SHELL", "/bin/sh"},
	    {"TMPDIR", "/tmp"}, {"LANG", "C.UTF-8"}, {"RINGFENCE", "1"}};
	struct json *list = json_new_array();
	for (size_t i = 0; i < ARRAY_LEN(base); i++)
		if (json_get(additions, base[i][0]) == NULL && json_get(image, base[i][0]) == NULL)
			add_env(list, base[i][0], base[i][1]);
	for (size_t i = 0; network && i < ARRAY_LEN(authority_variables); i++)
		if (json_get(additions, authority_variables[i]) == NULL)
			add_env(list, authority_variables[i], PLAN_AUTHORITIES);
	for (size_t i = 0; i < json_len(image); i++)
		if (json_get(additions, json_name_at(image, i)) == NULL &&
		    !(network && is_authority_variable(json_name_at(image, i))))
			add_env(list, json_name_at(image, i), json_str(json_at(image, i), ""));
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
	return r;
}

/* As root the workspace's owner must appear as the sandbox's user: an idmapped mount. A user owns
 * what is theirs already, and rf-init mounts it by path. Returns the mount, -1 for none, or -errno. */
static int
mount_workspace(const struct sandbox *sandbox, const struct sandbox_shape *shape, struct error *err)
{
	struct stat st;
	if (sandbox->host->rootless || shape->workspace_mode == NULL)
		return -1;
	if (fstat(shape->workspace_fd, &st) < 0)
		return error_set_errno(
		    err, errno, "bad_workspace", "workspace %s", shape->workspace_path);
	_cleanup_close_ int userns = ids_mapping_namespace(sandbox->host->init_fd, st.st_uid,
	    st.st_gid, sandbox->command_uid, (gid_t)sandbox->command_uid);
	if (userns < 0)
		return error_set_errno(
		    err, -userns, "sandbox_failed", "no user namespace for the workspace");
	bool staged = strcmp(shape->workspace_mode, "staged") == 0;
	bool noexec = json_get_bool(sandbox->view, "noexec", false);
	uint64_t attrs =
	    MNT_NOSUID | MNT_NODEV | (staged ? MNT_RDONLY : 0) | (noexec ? MNT_NOEXEC : 0);
	int fd = mounts_clone_idmapped(shape->workspace_fd, "", attrs, userns);
	if (fd < 0) {
		(void)error_set_errno(err, -fd, "bad_workspace",
		    "the file system of %s cannot be mounted with translated owners",
		    shape->workspace_path);
		error_remedy(
		    err, "use a workspace on ext4, xfs, btrfs or tmpfs, or run as its owner");
	}
	return fd == -1 ? -EPERM : fd;
}

static struct json *
make_workspace(const struct sandbox_shape *shape)
{
	struct stat st = {0};
	if (shape->workspace_mode == NULL)
		return NULL;
	(void)fstat(shape->workspace_fd, &st);
	struct json *w = json_new_object();
	(void)json_set_str(w, "mode", shape->workspace_mode);
	(void)json_set_str(w, "path", shape->workspace_path);
	(void)json_set_int(w, "dev", (int64_t)st.st_dev);
	(void)json_set_int(w, "ino", (int64_t)st.st_ino);
	return w;
}

static struct json *
where(const struct filter *filter)
{
	struct json *pair = json_new_array();
	(void)json_push(pair, json_new_int(filter->at));
	(void)json_push(pair, json_new_int(filter->len));
	return pair;
}

/* CONFIG's "network" as rf-init needs it. */
static struct json *
make_network(const struct json *config)
{
	struct json *network = json_copy(json_get(config, "network"));
	(void)json_set_str(network, "resolver", PLAN_RESOLVER);
	(void)json_set_bool(network, "bundle", true);
	return network;
}

static struct json *
make_plan(const struct sandbox *sandbox, const struct sandbox_shape *shape, unsigned groups,
    bool workspace_mount)
{
	const struct json *limits = json_get(shape->config, "limits");
	const struct sandbox_host *host = sandbox->host;
	const struct filters *filters = is_listed(shape->config) ? &host->listed : &host->any;
	struct json *plan = json_new_object();
	struct json *scratch = json_new_object(), *fds = json_new_object(),
		    *loaded = json_new_object();
	(void)json_set(loaded, "command", where(&filters->command));
	(void)json_set(loaded, "init", where(&filters->init));
	int64_t bytes = json_get_int(limits, "disk_bytes", SCRATCH_DEFAULT);
	(void)json_set_int(scratch, "bytes", bytes);
	(void)json_set_int(scratch, "inodes", MAX(bytes / BYTES_PER_INODE, 1024));
	(void)json_set_int(fds, "cgroups", groups);
	(void)json_set_bool(fds, "workspace", workspace_mount);
	(void)json_set(plan, "scratch", scratch);
	(void)json_set(plan, "fds", fds);
	(void)json_set(plan, "filters", loaded);
	(void)json_set(plan, "rlimits", make_rlimits(sandbox, limits));
	if (sandbox->network)
		(void)json_set(plan, "network", make_network(shape->config));
	if (shape->later)
		(void)json_set_bool(plan, "later", true);
	else if (shape->workspace_mode != NULL)
		(void)json_set(plan, "workspace", make_workspace(shape));
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
sandbox_send_plan(struct sandbox *sandbox, const struct sandbox_shape *shape, struct error *err)
{
	int r = take_group(sandbox, json_get(shape->config, "limits"), err);
	if (r < 0)
		return r;
	struct filters *filters =
	    is_listed(shape->config) ? &sandbox->host->listed : &sandbox->host->any;
	if (filters->fd < 0) /* only a policy that lists needs the second */
		r = seal_filters(filters, filter_command_listed, err);
	if (r < 0)
		return r;
	int fds[MSG_FDS_MAX] = {filters->fd};
	unsigned n = 1, groups = 0;
	if (sandbox->group != NULL) {
		const int *entries;
		groups = cgroup_entry_fds(sandbox->group, &entries);
		for (unsigned i = 0; i < groups; i++)
			fds[n++] = entries[i];
	}
	sandbox->workspace = shape->workspace_mode != NULL;
	sandbox->staged = sandbox->workspace && strcmp(shape->workspace_mode, "staged") == 0;
	_cleanup_close_ int workspace = shape->later ? -1 : mount_workspace(sandbox, shape, err);
	if (workspace < -1)
		return workspace;
	if (workspace >= 0)
		fds[n++] = workspace;
	sandbox->network = json_get(shape->config, "network") != NULL;
	if (sandbox->network)
		fds[n++] = shape->bundle_fd;
	_cleanup_json_ struct json *plan = make_plan(sandbox, shape, groups, workspace >= 0);
	r = msg_send(sandbox->control, INIT_PLAN, 0, plan, fds, n);
	return r < 0 ? error_set_errno(err, -r, "sandbox_failed", "rf-init does not take its plan")
		     : 0;
}

int
sandbox_send_workspace(
    struct sandbox *sandbox, const struct sandbox_shape *shape, struct error *err)
{
	_cleanup_close_ int workspace = mount_workspace(sandbox, shape, err);
	if (workspace < -1)
		return workspace;
	_cleanup_json_ struct json *body = make_workspace(shape);
	int r = msg_send(sandbox->control, INIT_WORKSPACE, 0, body, &workspace, 1);
	return r < 0 ? error_set_errno(err, -r, "sandbox_failed", "rf-init does not take its plan")
		     : 0;
}

void
sandbox_is_ready(struct sandbox *sandbox, struct msg *ready)
{
	sandbox->proc_fd = msg_take_fd(ready, 0);
	sandbox->scratch_fd = msg_take_fd(ready, 1);
	sandbox->upper_fd = msg_take_fd(ready, 2);
}

/* ---- commands ---- */

static int
order(struct sandbox *sandbox, uint16_t type, const struct sandbox_command *command)
{
	_cleanup_json_ struct json *body = json_new_object();
	const char *home = sandbox->workspace ? PLAN_WORKSPACE : PLAN_HOME;
	(void)json_set_int(body, "command", command->number);
	(void)json_set(body, "argv", json_copy(command->argv));
	(void)json_set(
	    body, "env", make_env(json_get(sandbox->view, "env"), command->env, sandbox->network));
	(void)json_set_str(body, "program", command->program);
	(void)json_set_str(body, "cwd", command->cwd != NULL ? command->cwd : home);
	if (command->cpu_time_ms > 0)
		(void)json_set_int(body, "cpu_s", (command->cpu_time_ms + 999) / 1000);
	if (command->tty != NULL)
		(void)json_set(body, "tty", json_copy(command->tty));
	return msg_send(
	    sandbox->control, type, 0, body, command->stdio, command->tty != NULL ? 0 : 3);
}

int
sandbox_go(struct sandbox *sandbox, const struct sandbox_command *command)
{
	return order(sandbox, INIT_GO, command);
}

int
sandbox_stay(struct sandbox *sandbox)
{
	return msg_send(sandbox->control, INIT_STAY, 0, NULL, NULL, 0);
}

int
sandbox_exec(struct sandbox *sandbox, const struct sandbox_command *command)
{
	return order(sandbox, INIT_EXEC, command);
}

int
sandbox_signal(struct sandbox *sandbox, int64_t number, int signal)
{
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_int(body, "signal", signal);
	if (number >= 0)
		(void)json_set_int(body, "command", number);
	return msg_send(sandbox->control, INIT_SIGNAL, 0, body, NULL, 0);
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
	if (sandbox->scratch_fd >= 0)
		(void)close(sandbox->scratch_fd);
	if (sandbox->upper_fd >= 0)
		(void)close(sandbox->upper_fd);
	if (sandbox->image_fd >= 0)
		(void)close(sandbox->image_fd);
	json_free(sandbox->view);
	sandbox->group = cgroup_give_back(sandbox->group);
	free(sandbox);
	return NULL;
}
