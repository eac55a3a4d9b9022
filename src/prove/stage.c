/* What all trials share: a place, the programs, the locks as data, and a Ringfence of our own.
 *
 * That Ringfence has a state directory that did not exist before, made by us below a random name: nobody's
 * service can run in it, and none that runs elsewhere is spoken to. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "ipc/msg.h"
#include "ipc/paths.h"
#include "prove/prove.h"
#include "prove/tree.h"
#include "sandbox/filter.h"
#include "sandbox/host.h"
#include "sandbox/plan.h"
#include "sandbox/skeleton.h"
#include "sys/process.h"

#define START_MS 20000

/* Far limits: what an attack is about is tightened for it (launch.c). */
#define LIMITS                                                                                \
	"  workspace: staged\n"                                                               \
	"  limits: {cpu: 2, memory: 512MiB, processes: 512, disk: 128MiB, wall: 5m, output: " \
	"64MiB, "                                                                             \
	"open_files: 1024}\n"

static const char policy_text[] =
    "version: 1\n"
    "name: prove\n"
    "sandbox:\n" LIMITS "rules:\n"
    "  - {name: attacks, why: what is proved is the sandbox, allow: exec, program: any}\n";
static const char listed_text[] =
    "version: 1\n"
    "name: prove-listed\n"
    "sandbox:\n"
    "  executables: listed\n" LIMITS "rules:\n"
    "  - {name: attacks, why: what is proved is the sandbox, allow: exec, program: \"%s\"}\n";

static int
open_program(const char *name, int *ret, struct error *err)
{
	char path[PATHS_MAX];
	int r = paths_program(name, path, err);
	if (r < 0)
		return r;
	*ret = open(path, O_PATH | O_CLOEXEC);
	return *ret < 0 ? error_set_errno(err, errno, "not_installed", "cannot open %s", path) : 0;
}

static int
open_programs(struct prove *p, struct error *err)
{
	int r = open_program("rf-prove-init", &p->init_fd, err);
	if (r == 0)
		r = open_program("rf-attack", &p->attack_fd, err);

	if (r == 0)
		r = open_program("ringfence", &p->cli_fd, err);
	if (r == 0) {
		p->leak_fd = open("/", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		r = p->leak_fd < 0 ? error_set_errno(err, errno, "prove_failed", "cannot open /")
				   : 0;
	}
	return r;
}

/* A filter, as the supervisor compiles it, in a file of its own. */
static int
keep_filter(int (*compile)(struct seccomp_program *, struct error *), int *ret_fd,
    unsigned *ret_length, struct error *err)
{
	struct seccomp_program program = {0};
	int r = compile(&program, err);
	if (r < 0)
		return r;
	size_t size = program.len * sizeof(program.code[0]);
	*ret_length = program.len;
	*ret_fd = (int)syscall(SYS_memfd_create, "filter", MFD_CLOEXEC);
	if (*ret_fd < 0 || write(*ret_fd, program.code, size) != (ssize_t)size)
		r = error_set_errno(err, errno, "prove_failed", "cannot keep the filter");
	seccomp_program_done(&program);
	return r;
}

static int
make_view(struct prove *p, struct error *err)
{
	char name[64], path[200];
	uid_t uid = p->root ? PLAN_UID : getuid();
	gid_t gid = p->root ? PLAN_UID : getgid();
	_cleanup_close_ int base = open(p->base, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (base < 0 || mkdirat(base, "run", 0755) < 0)
		return error_set_errno(err, errno, "prove_failed", "cannot prepare %s", p->base);
	p->view = host_view(uid, gid);
	int r = p->view == NULL ? error_set(err, ENOMEM, "no_memory", "out of memory")
				: skeleton_ensure(base, p->view, name, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/%s", p->base, name);
	json_unset(p->view, "links");
	json_unset(p->view, "files");
	return json_set_str(p->view, "skeleton", path);
}

static int
make_files(struct prove *p, struct error *err)
{
	char path[160], text[PATHS_MAX + 600];
	(void)snprintf(p->state, sizeof(p->state), "%s/state", p->base);
	(void)snprintf(path, sizeof(path), "%s/prove.yaml", p->base);
	int r = mkdir(p->state, p->root ? 0755 : 0700) < 0 ? -errno : tree_write(path, policy_text);
	(void)snprintf(path, sizeof(path), "%s/listed.yaml", p->base);
	(void)snprintf(text, sizeof(text), listed_text, p->attack_path);
	if (r == 0)
		r = tree_write(path, text);
	(void)snprintf(path, sizeof(path), "%s/rf-attack", p->tmp);
	if (r == 0)
		r = tree_copy_file(p->attack_fd, path, 0755);
	(void)snprintf(path, sizeof(path), "%s/workspace", p->base);
	if (r == 0)
		r = tree_copy_workspace(p, path);
	return r < 0 ? error_set_errno(err, -r, "prove_failed", "cannot prepare %s", p->base) : 0;
}

/* ---- a Ringfence of our own ---- */

static int
start_supervisor(struct prove *p, struct error *err)
{
	int program;
	char config[120];
	/* It does not leave between two trials. */
	const char *const argv[] = {
	    "rf-supervisor", "--state", p->state, "--idle-ms", "3600000", NULL};
	const char *const env[] = {config, "PATH=/usr/bin:/bin", NULL};
	(void)snprintf(config, sizeof(config), "RINGFENCE_CONFIG=%s/config.yaml", p->base);
	int r = open_program("rf-supervisor", &program, err);
	if (r < 0)
		return r;
	char log[120];
	(void)snprintf(log, sizeof(log), "%s/supervisor.log", p->base);
	_cleanup_close_ int log_fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int fds[] = {-1, -1, log_fd};
	struct process_spec spec = {.program_fd = program,
	    .argv = argv,
	    .envp = env,
	    .fds = fds,
	    .n_fds = 3,
	    .die_with_parent = true,
	    .unblock_signals = true};
	r = process_start(&spec, &p->supervisor_pid, &p->supervisor);
	(void)close(program);
	if (r < 0)
		return error_set_errno(err, -r, "prove_failed", "cannot start rf-supervisor");
	keeper_know(p, p->supervisor_pid);
	return 0;
}

/* The first line of the file LOG, as the reason. */
static int
explain(const struct prove *p, const char *log, struct error *err)
{
	char path[120], text[400];
	(void)snprintf(path, sizeof(path), "%s/%s", p->base, log);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = 0;
	(void)error_set(err, EIO, "prove_failed", "there is no sandbox to be proved here: %.*s",
	    (int)strcspn(text, "\n"), text);
	error_remedy(err, "`ringfence doctor` says what this host lacks");
	return -EIO;
}

/* Until it listens, or has ended. */
static int
await_supervisor(struct prove *p, struct error *err)
{
	char path[160];
	struct pollfd ended = {.fd = p->supervisor, .events = POLLIN};
	(void)snprintf(path, sizeof(path), "%s/run/supervisor.sock", p->state);
	for (int waited = 0; waited < START_MS; waited += 5) {
		int fd = msg_connect(path);
		if (fd >= 0) {
			(void)close(fd);
			return 0;
		}
		if (poll(&ended, 1, 5) != 0)
			break;
	}
	return explain(p, "supervisor.log", err);
}

/* One run that does nothing: if there is no sandbox, that is said once, and not of every attack. */
static int
try_sandbox(struct prove *p, struct error *err)
{
	char policy[120], state[120], config[120], log[120];
	const char *const argv[] = {
	    "ringfence", "run", "--policy", policy, "--", "/bin/true", NULL};
	const char *const env[] = {state, config, "PATH=/usr/bin:/bin", NULL};
	(void)snprintf(policy, sizeof(policy), "%s/prove.yaml", p->base);
	(void)snprintf(state, sizeof(state), "RINGFENCE_STATE=%s", p->state);
	(void)snprintf(config, sizeof(config), "RINGFENCE_CONFIG=%s/config.yaml", p->base);
	(void)snprintf(log, sizeof(log), "%s/run.log", p->base);
	_cleanup_close_ int log_fd = open(log, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int fds[] = {-1, log_fd, log_fd}, pidfd, status = 0;
	pid_t pid;
	struct process_spec spec = {.program_fd = p->cli_fd,
	    .argv = argv,
	    .envp = env,
	    .fds = fds,
	    .n_fds = 3,
	    .die_with_parent = true,
	    .unblock_signals = true};
	int r = process_start(&spec, &pid, &pidfd);
	if (r < 0)
		return error_set_errno(err, -r, "prove_failed", "cannot start ringfence");
	(void)process_reap(pidfd, true, &status);
	(void)close(pidfd);
	return status == 0 ? 0 : explain(p, "run.log", err);
}

static bool
wants_internet(const struct prove *p)
{
	for (size_t i = 0; i < p->n_rows; i++)
		if (p->rows[i].not_tested == NULL &&
		    (p->rows[i].attack->needs & NEEDS_INTERNET) != 0)
			return true;
	return false;
}

int
stage_set(struct prove *p, struct error *err)
{
	/* For the keys of fixtures, and for attacks on what is inherited; it ends with us. */
	(void)syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
	p->cgroups = cgroup_host_new();
	if (p->cgroups == NULL || loop_new(&p->loop) < 0)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	int r = open_programs(p, err);
	if (r == 0)
		r = keep_filter(filter_command, &p->filter_fd, &p->filter_length, err);
	if (r == 0)
		r = keep_filter(filter_command_listed, &p->listed_fd, &p->listed_length, err);
	if (r == 0)
		r = make_files(p, err);
	if (r == 0)
		r = make_view(p, err);
	if (r == 0 && wants_internet(p))
		internet_start(p);
	if (r == 0)
		r = start_supervisor(p, err);
	if (r == 0)
		r = await_supervisor(p, err);
	return r < 0 ? r : try_sandbox(p, err);
}

void
stage_strike(struct prove *p)
{
	if (p->supervisor >= 0) {
		(void)process_signal(p->supervisor, SIGTERM);
		(void)process_reap(p->supervisor, true, NULL);
		keeper_forget(p, p->supervisor_pid);
	}
	internet_stop(p);
	p->loop = loop_free(p->loop);
	p->cgroups = cgroup_host_free(p->cgroups);
	p->view = json_free(p->view);
}
