/* Probes: each does, in a process of its own, what a sandbox would do, and says what happened. They
 * are the evidence of `doctor`; sysctls and the like only explain them (mend.c). */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "doctor/doctor.h"
#include "ipc/paths.h"
#include "sys/landlock.h"
#include "sys/mounts.h"
#include "sys/seccomp.h"

#define PROBE_TIMEOUT_MS 15000
#define SPOT "/tmp" /* in a mount namespace of the probe's own, a tmpfs covers it */

/* ---- in the probe's process ---- */

/* "WHAT: Operation not permitted", and that it is missing. */
static int
failed(const char *what)
{
	(void)printf("%s: %s\n", what, strerror(errno));
	return STATE_MISSING;
}

static int
write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

/* Into a new user namespace that maps our own id to 0, and the namespaces MORE. */
static int
enter_user_namespace(int more)
{
	char text[64];
	unsigned uid = geteuid(), gid = getegid();
	if (unshare(CLONE_NEWUSER | more) < 0)
		return failed("unshare");
	if (write_text("/proc/self/setgroups", "deny") < 0)
		return failed("/proc/self/setgroups");
	(void)snprintf(text, sizeof(text), "0 %u 1", uid);
	if (write_text("/proc/self/uid_map", text) < 0)
		return failed("/proc/self/uid_map");
	(void)snprintf(text, sizeof(text), "0 %u 1", gid);
	if (write_text("/proc/self/gid_map", text) < 0)
		return failed("/proc/self/gid_map");
	return STATE_OK;
}

/* AppArmor lets a namespace be made and then refuses every use of its capabilities: so use one, with the
 * calls that rf-init makes. */
static int
cover_spot(void)
{
	static const char *const options[] = {"size", "1m", NULL};
	struct error err = {0};
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return failed("making mounts private");
	_cleanup_close_ int fd = mounts_create("tmpfs", options, MNT_NOSUID | MNT_NODEV, &err);
	errno = fd < 0 ? -fd : -mounts_place(fd, AT_FDCWD, SPOT);
	return errno != 0 ? failed("mounting a tmpfs") : STATE_OK;
}

static int
probe_user_ns(void)
{
	int r = enter_user_namespace(CLONE_NEWNS);
	if (r == STATE_OK)
		r = cover_spot();
	if (r == STATE_OK)
		(void)printf("made one, mapped an id and mounted in it\n");
	return r;
}

static int
probe_namespaces(void)
{
	static const struct {
		const char *name;
		int flag;
		bool needed;
	} all[] = {{"pid", CLONE_NEWPID, true}, {"mount", CLONE_NEWNS, true},
	    {"net", CLONE_NEWNET, true}, {"ipc", CLONE_NEWIPC, true}, {"uts", CLONE_NEWUTS, true},
	    {"cgroup", CLONE_NEWCGROUP, true}, {"time", 0x80 /* CLONE_NEWTIME */, false}};
	int r = enter_user_namespace(0);
	if (r != STATE_OK)
		return r;
	char made[100] = "";
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (unshare(all[i].flag) == 0) {
			(void)snprintf(
			    made + strlen(made), sizeof(made) - strlen(made), " %s", all[i].name);
		} else if (all[i].needed) {
			(void)printf("%s namespace: %s\n", all[i].name, strerror(errno));
			return STATE_MISSING;
		}
	}
	(void)printf("made:%s\n", made);
	return STATE_OK;
}

static int
spawn_self(const char *probe, int in, int out, pid_t *ret)
{
	char self[] = "/proc/self/exe", option[] = "--probe", name[32];
	(void)snprintf(name, sizeof(name), "%s", probe);
	char *argv[] = {self, option, name, NULL};
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	if (in >= 0)
		(void)posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	if (out >= 0) {
		(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
		(void)posix_spawn_file_actions_addopen(
		    &actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	}
	r = posix_spawn(ret, self, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int
wait_state(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return STATE_MISSING;
	if (WIFSIGNALED(status))
		(void)printf("the probe was killed by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) <= STATE_MISSING ? WEXITSTATUS(status)
									 : STATE_MISSING;
}

/* A /proc of the new pid namespace needs a process in that namespace to mount it. */
static int
probe_proc(void)
{
	pid_t pid = 0;
	int r = enter_user_namespace(CLONE_NEWNS | CLONE_NEWPID);
	if (r == STATE_OK)
		r = cover_spot();
	if (r != STATE_OK)
		return r;
	errno = -spawn_self("proc inside", -1, -1, &pid);
	return errno != 0 ? failed("starting a process in it") : wait_state(pid);
}

static int
probe_proc_inside(void)
{
	if (mount("proc", SPOT, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
		(void)printf("a /proc of its own cannot be mounted (%s): sandboxes have none\n",
		    strerror(errno));
		return STATE_WEAKER;
	}
	(void)printf("a /proc that shows only the sandbox can be mounted\n");
	return STATE_OK;
}

/* Removes a directory that lies in the lower layer with a file in it, and makes it again: that it is another
 * now is noted in an attribute, which not every file system keeps. */
static int
replace_directory(void)
{
	return unlink(SPOT "/both/directory/file") < 0 || rmdir(SPOT "/both/directory") < 0 ||
		mkdir(SPOT "/both/directory", 0700) < 0
	    ? -1
	    : 0;
}

static int
probe_overlay(void)
{
	int r = enter_user_namespace(CLONE_NEWNS);
	if (r == STATE_OK)
		r = cover_spot();
	if (r != STATE_OK)
		return r;
	if (mkdir(SPOT "/lower", 0700) < 0 || mkdir(SPOT "/upper", 0700) < 0 ||
	    mkdir(SPOT "/work", 0700) < 0 || mkdir(SPOT "/both", 0700) < 0 ||
	    mkdir(SPOT "/lower/directory", 0700) < 0 ||
	    mknod(SPOT "/lower/directory/file", S_IFREG | 0600, 0) < 0)
		return failed("making directories");
	if (mount("overlay", SPOT "/both", "overlay", MS_NOSUID | MS_NODEV,
		"userxattr,lowerdir=" SPOT "/lower,upperdir=" SPOT "/upper,workdir=" SPOT
		"/work") < 0)
		return failed("mounting an overlay in a user namespace");
	_cleanup_close_ int fd = open(SPOT "/both/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed("writing into the overlay");
	if (replace_directory() < 0) {
		(void)printf(
		    "mounted in a user namespace: staged workspaces work, but a directory of "
		    "yours cannot be removed in them (%s)\n",
		    strerror(errno));
		return STATE_WEAKER;
	}
	(void)printf("mounted in a user namespace: staged workspaces work\n");
	return STATE_OK;
}

/* Lays an overlay over the working directory, as for a staged workspace. */
static int
probe_here(void)
{
	static const char *const options[] = {"lowerdir", SPOT "/lower", "upperdir", SPOT "/upper",
	    "workdir", SPOT "/work", "userxattr", NULL, NULL};
	struct error err = {0};
	int r = enter_user_namespace(CLONE_NEWNS);
	if (r != STATE_OK)
		return r;
	_cleanup_close_ int here = mounts_clone(AT_FDCWD, ".", MNT_RDONLY | MNT_NOSUID | MNT_NODEV);
	if (here < 0) {
		errno = -here;
		return failed("this directory cannot be mounted in a sandbox");
	}
	r = cover_spot();
	if (r != STATE_OK)
		return r;
	if (mkdir(SPOT "/lower", 0700) < 0 || mkdir(SPOT "/upper", 0700) < 0 ||
	    mkdir(SPOT "/work", 0700) < 0)
		return failed("making directories");
	errno = -mounts_place(here, AT_FDCWD, SPOT "/lower");
	if (errno != 0)
		return failed("mounting this directory");
	_cleanup_close_ int both = mounts_create("overlay", options, 0, &err);
	if (both < 0) {
		(void)printf("this directory cannot be staged: %s\n",
		    both == -EINVAL
			? "a file system is mounted below it, or its own does not allow it"
			: strerror(-both));
		return STATE_WEAKER;
	}
	(void)printf("it can be a staged workspace\n");
	return STATE_OK;
}

/* A user namespace with ids of its own, held by another process: its descriptor, or -1; that process ends
 * with PIPE_IN. */
static int
hold_namespace(int pipe_in[2], pid_t *ret_pid)
{
	int pipe_out[2];
	char byte, path[64];
	if (pipe2(pipe_in, O_CLOEXEC) < 0 || pipe2(pipe_out, O_CLOEXEC) < 0)
		return -1;
	errno = -spawn_self("hold", pipe_in[0], pipe_out[1], ret_pid);
	if (errno != 0)
		return -1;
	(void)close(pipe_out[1]);
	bool ready = read(pipe_out[0], &byte, 1) == 1;
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)*ret_pid);
	ready = ready && write_text(path, "0 100000 65536") == 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)*ret_pid);
	ready = ready && write_text(path, "0 100000 65536") == 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)*ret_pid);
	return ready ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

/* Maps a user namespace held by another process onto copies of mounts: where workspaces usually lie. */
static int
probe_idmap(void)
{
	static const char *const places[] = {".", "/", "/home"};
	char fail[200] = "", done[80] = "";
	int pipe_in[2];
	pid_t pid = -1;
	if (geteuid() != 0) {
		(void)printf(
		    "only root can make them; an ordinary user's sandbox has that user's own id\n");
		return STATE_OK;
	}
	_cleanup_close_ int ns = hold_namespace(pipe_in, &pid);
	if (ns < 0)
		return failed("a user namespace to map");
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int fd = mounts_clone_idmapped(AT_FDCWD, places[i], 0, ns);
		const char *name = places[i][0] == '.' ? "this directory" : places[i];
		if (fd < 0)
			text_add(fail, sizeof(fail), "%s%s (%s)", fail[0] ? ", " : "", name,
			    strerror(-fd));
		else
			text_add(done, sizeof(done), "%s%s", done[0] ? ", " : "", name);
		if (fd >= 0)
			(void)close(fd);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	if (fail[0] != 0)
		(void)printf("not with other ids: %s%s%s\n", fail, done[0] ? "; but: " : "", done);
	else
		(void)printf("%s can be mounted with other ids\n", done);
	return fail[0] != 0 ? STATE_WEAKER : STATE_OK;
}

static int
probe_hold(void)
{
	char byte;
	if (unshare(CLONE_NEWUSER) < 0)
		return STATE_MISSING;
	if (write(STDOUT_FILENO, "x", 1) != 1)
		return STATE_MISSING;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
	return STATE_OK;
}

static int
probe_seccomp(void)
{
	static const struct seccomp_rule rules[] = {
	    {.nr = SYS_getppid, .action = SECCOMP_RET_ERRNO | ENOTTY}};
	struct seccomp_program program;
	struct error err = {0};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed("no_new_privs");
	if (syscall(SYS_getppid) < 0)
		return failed("getppid before the filter");
	errno = -seccomp_compile(rules, ARRAY_LEN(rules), SECCOMP_RET_ALLOW, &program, &err);
	if (errno != 0)
		return failed("compiling a filter");
	errno = -seccomp_install(program.code, program.len);
	if (errno != 0)
		return failed("installing a filter");
	if (syscall(SYS_getppid) != -1 || errno != ENOTTY) {
		(void)printf("a filter was installed but does not filter\n");
		return STATE_MISSING;
	}
	(void)printf("a filter refused a call that worked before it\n");
	return STATE_OK;
}

static int
probe_landlock(void)
{
	struct error err = {0};
	int abi = landlock_abi();
	if (abi <= 0) {
		(void)printf("the kernel has no Landlock, or it is not enabled\n");
		return STATE_MISSING;
	}
	_cleanup_close_ int before = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	if (before < 0)
		return failed("/proc/self/status before the lock");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    landlock_restrict(NULL, 0, 0, 0, NULL, &err) < 0) {
		(void)printf("ABI %d, but it cannot be entered: %s\n", abi, err.message);
		return STATE_MISSING;
	}
	_cleanup_close_ int after = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	if (after >= 0) {
		(void)printf("ABI %d, but a file outside the rules could be opened\n", abi);
		return STATE_MISSING;
	}
	(void)printf("ABI %d; a file that could be read before could not be after\n", abi);
	return abi >= 3 ? STATE_OK : STATE_WEAKER;
}

static int
probe_keyring(void)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) >= 0) {
		(void)printf("a new session key ring can be joined\n");
		return STATE_OK;
	}
	if (errno == ENOSYS) {
		(void)printf("the kernel has no key rings: nothing to keep from the sandbox\n");
		return STATE_OK;
	}
	(void)printf("a new session key ring cannot be joined (%s)\n", strerror(errno));
	return STATE_WEAKER;
}

/* The proof: the whole of it, once. */
static int
probe_isolated(void)
{
	char program[PATHS_MAX];
	struct error err = {0};
	if (paths_program("ringfence", program, &err) < 0) {
		(void)printf("%s\n", err.message);
		return STATE_MISSING;
	}
	(void)fflush(stdout);
	(void)dup2(STDOUT_FILENO, STDERR_FILENO); /* its one line is our detail */
	char name[] = "ringfence", run[] = "run", quiet[] = "--quiet", dashes[] = "--",
	     what[] = "/bin/true";
	char *argv[] = {name, run, quiet, dashes, what, NULL};
	pid_t pid = 0;
	int64_t began = clock_monotonic_ns();
	int status = 0, r = posix_spawn(&pid, program, NULL, NULL, argv, environ);
	if (r != 0) {
		errno = r;
		return failed(program);
	}
	(void)waitpid(pid, &status, 0);
	double ms = (double)(clock_monotonic_ns() - began) / 1e6;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		(void)printf("`ringfence run -- /bin/true` succeeded in %.1f ms\n", ms);
		return STATE_OK;
	}
	return STATE_MISSING;
}

static const struct {
	const char *name;
	probe_fn *run;
} probes[] = {
    {"user namespaces", probe_user_ns},
    {"namespaces", probe_namespaces},
    {"private /proc", probe_proc},
    {"proc inside", probe_proc_inside},
    {"overlay", probe_overlay},
    {"this directory", probe_here},
    {"idmapped mounts", probe_idmap},
    {"hold", probe_hold},
    {"seccomp", probe_seccomp},
    {"landlock", probe_landlock},
    {"keyrings", probe_keyring},
    {"isolated runs", probe_isolated},
};

int
probe_main(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		if (strcmp(probes[i].name, name) == 0) {
			int r = probes[i].run();
			(void)fflush(stdout);
			return r;
		}
	(void)fprintf(stderr, "ringfence: doctor: no probe %.40s\n", name);
	return STATE_MISSING;
}

/* ---- in the doctor's process ---- */

/* The first line of what FD says until its end, at most PROBE_TIMEOUT_MS; -ETIME after that. */
static int
read_finding(int fd, char *text, size_t size)
{
	size_t len = 0;
	int64_t end = clock_monotonic_ns() + PROBE_TIMEOUT_MS * 1000000LL;
	for (;;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		int64_t left = (end - clock_monotonic_ns()) / 1000000;
		if (left <= 0 || poll(&wait, 1, (int)left) == 0)
			return -ETIME;
		char bytes[512];
		ssize_t n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		size_t take = MIN((size_t)n, size - 1 - len);
		memcpy(text + len, bytes, take);
		len += take;
	}
	text[len] = 0;
	text[strcspn(text, "\n")] = 0;
	return 0;
}

void
probe_run(const char *name, struct finding *ret)
{
	int pipe_fds[2];
	pid_t pid = 0;
	char text[600] = "";
	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		finding_set(ret, STATE_MISSING, "pipe: %s", strerror(errno));
		return;
	}
	int r = spawn_self(name, -1, pipe_fds[1], &pid);
	(void)close(pipe_fds[1]);
	if (r < 0) {
		finding_set(ret, STATE_MISSING, "cannot start the probe: %s", strerror(-r));
		(void)close(pipe_fds[0]);
		return;
	}
	if (read_finding(pipe_fds[0], text, sizeof(text)) < 0) {
		(void)kill(pid, SIGKILL);
		(void)snprintf(
		    text, sizeof(text), "no answer within %d s", PROBE_TIMEOUT_MS / 1000);
	}
	(void)close(pipe_fds[0]);
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	enum state state = WIFEXITED(status) && WEXITSTATUS(status) <= STATE_MISSING
	    ? (enum state)WEXITSTATUS(status)
	    : STATE_MISSING;
	if (WIFSIGNALED(status) && text[0] == 0)
		(void)snprintf(
		    text, sizeof(text), "the probe was killed by signal %d", WTERMSIG(status));
	char shown[300];
	log_escape(text, strlen(text), shown, sizeof(shown));
	finding_set(ret, state, "%s", shown);
}
