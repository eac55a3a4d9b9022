/* Joins or starts the supervisor. Nobody waits for a daemon to come up: the program that starts it
 * speaks to it at once over a socket pair, while it makes its sockets for those who come later.
 *
 * run/lock-start decides who starts it: the winner holds the lock until the supervisor has answered
 * (it listens before it answers), so a loser that gets the lock finds the socket. */
#include "cli/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ipc/messages.h"
#include "ipc/msg.h"
#include "ipc/paths.h"
#include "ipc/spawn.h"

#define LEAVE_MS 5000
#define CLOSE_RANGE_CLOEXEC_FLAG 4u

/* A state directory that others can write to is no place for evidence or sockets. */
static int
check_owned(const char *path, struct error *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return error_set_errno(err, errno, "state_dir", "state directory %s", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(
		    err, ENOTDIR, "state_dir", "state directory %s: not a directory", path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return error_set(err, EPERM, "state_dir",
		    "state directory %s belongs to another user (uid %u)", path,
		    (unsigned)st.st_uid);
	if ((st.st_mode & S_IWOTH) != 0) {
		error_set(
		    err, EPERM, "state_dir", "state directory %s is writable by everyone", path);
		error_remedy(err, "chmod o-w it");
		return -EPERM;
	}
	return 0;
}

/* mkdir -p; the last component gets MODE, those above it 0755. */
static int
make_directories(char *path, mode_t mode, struct error *err)
{
	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno == ENOENT) {
		char *slash = strrchr(path, '/');
		if (slash != NULL && slash != path) {
			*slash = 0;
			int r = make_directories(path, 0755, err);
			*slash = '/';
			if (r < 0)
				return r;
			if (mkdir(path, mode) == 0 || errno == EEXIST)
				return 0;
		}
	}
	int saved = errno;
	error_set_errno(err, saved, "state_dir", "cannot make the state directory %s", path);
	error_remedy(err, "set RINGFENCE_STATE to a directory that you can write");
	return -saved;
}

/* Opens run/NAME for writing, having made what is missing. fd or -errno. */
static int
open_in_run(const char *state, const char *name, int flags, struct error *err)
{
	char path[PATHS_MAX + 32];
	(void)snprintf(path, sizeof(path), "%s/run/%s", state, name);
	int fd = open(path, flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	if (fd >= 0)
		return fd;
	int saved = errno;
	error_set_errno(err, saved, "state_dir", "%s", path);
	error_remedy(err, "set RINGFENCE_STATE to a directory that you can write");
	return -saved;
}

static int
prepare_state(char *state, struct error *err)
{
	mode_t mode = geteuid() == 0 ? 0755 : 0700;
	char run[PATHS_MAX + 8];
	int r = make_directories(state, mode, err);
	if (r < 0 || (r = check_owned(state, err)) < 0)
		return r;
	(void)snprintf(run, sizeof(run), "%s/run", state);
	r = make_directories(run, mode, err);
	return r < 0 ? r : check_owned(run, err);
}

#define KEPT_MAX 8

/* What the programs may know of the first caller's environment: where things are, nothing else. With
 * SERVICE also where the service manager listens. */
static void
keep_environment(bool service, char *ret[KEPT_MAX])
{
	static const char *const kept[] = {"PATH=", "HOME=", "XDG_CONFIG_HOME=", "XDG_STATE_HOME=",
	    "RINGFENCE_CONFIG=", "LANG=", "NOTIFY_SOCKET="};
	size_t n = 0, known = ARRAY_LEN(kept) - (service ? 0 : 1);
	for (char **e = environ; *e != NULL; e++)
		for (size_t i = 0; i < known && n + 1 < KEPT_MAX; i++)
			if (strncmp(*e, kept[i], strlen(kept[i])) == 0)
				ret[n++] = *e;
	ret[n] = NULL;
}

static int
file_actions(posix_spawn_file_actions_t *actions, int client, int log)
{
	int r = posix_spawn_file_actions_init(actions);
	if (r != 0)
		return r;
	if ((r = posix_spawn_file_actions_adddup2(actions, log, STDERR_FILENO)) != 0 ||
	    (r = posix_spawn_file_actions_addopen(
		 actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) != 0 ||
	    (r = posix_spawn_file_actions_addopen(
		 actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)) != 0 ||
	    (r = posix_spawn_file_actions_adddup2(actions, client, SPAWN_SUPERVISOR)) != 0)
		posix_spawn_file_actions_destroy(actions);
	return r;
}

/* Starts rf-supervisor in a session of its own. LOG and CLIENT are borrowed. 0 or -errno. */
static int
spawn_supervisor(const char *state, bool stay, int client, int log, struct error *err)
{
	char program[PATHS_MAX];
	int r = paths_program("rf-supervisor", program, err);
	if (r < 0)
		return r;
	char name[] = "rf-supervisor", opt_state[] = "--state", opt_idle[] = "--idle-ms",
	     never[] = "0";
	char dir[PATHS_MAX];
	(void)snprintf(dir, sizeof(dir), "%s", state);
	char *argv[] = {name, opt_state, dir, stay ? opt_idle : NULL, never, NULL};
	char *env[KEPT_MAX];
	keep_environment(/* service= */ false, env);
	/* What the caller left open is not for a daemon that outlives it. */
	(void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC_FLAG);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	(void)posix_spawnattr_setflags(
	    &attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = file_actions(&actions, client, log);
	if (r == 0) {
		pid_t pid;
		r = posix_spawn(&pid, program, &actions, &attr, argv, env);
		posix_spawn_file_actions_destroy(&actions);
	}
	posix_spawnattr_destroy(&attr);
	return r == 0 ? 0 : error_set_errno(err, r, "spawn_failed", "cannot start %s", program);
}

/* A supervisor that is leaving has taken its sockets away but still holds run/lock: a new one could
 * not start yet. Waits until it is gone, or until somebody listens again: then RET is a descriptor to
 * talk to. 0, or -errno. */
static int
wait_for_leaver(const char *state, const char *socket, int *ret, struct error *err)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	char path[PATHS_MAX + 16];
	(void)snprintf(path, sizeof(path), "%s/run/lock", state);
	_cleanup_close_ int lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (lock < 0)
		return 0; /* none was ever here */
	for (int i = 0; i < LEAVE_MS; i++) {
		if (flock(lock, LOCK_EX | LOCK_NB) == 0)
			return 0;
		*ret = msg_connect(socket);
		if (*ret >= 0)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	error_set(err, EBUSY, "already_running",
	    "another rf-supervisor holds %s but does not listen", path);
	error_remedy(err, "end it, and try again");
	return -EBUSY;
}

static int
start(char *state, const char *socket, bool stay, struct connection *ret, struct error *err)
{
	int r = prepare_state(state, err);
	if (r < 0)
		return r;
	_cleanup_close_ int lock = open_in_run(state, "lock-start", O_RDWR, err);
	if (lock < 0)
		return lock;
	while (flock(lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return error_set_errno(err, errno, "state_dir", "%s/run/lock-start", state);
	int fd = msg_connect(socket);
	if (fd < 0) {
		r = wait_for_leaver(state, socket, &fd, err);
		if (r < 0)
			return r;
	}
	if (fd >= 0) {
		ret->fd = fd;
		return 0;
	}
	_cleanup_close_ int log = open_in_run(state, "log", O_WRONLY | O_APPEND, err);
	if (log < 0)
		return log;
	int pair[2];
	r = msg_pair(pair);
	if (r < 0)
		return error_set_errno(err, -r, "spawn_failed", "cannot make a socket pair");
	r = spawn_supervisor(state, stay, pair[1], log, err);
	(void)close(pair[1]);
	if (r < 0) {
		(void)close(pair[0]);
		return r;
	}
	*ret = (struct connection){.fd = pair[0], .lock_fd = TAKE_FD(lock), .started = true};
	return 0;
}

static bool
nobody_listens(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR;
}

/* Nobody listens. Kept out of the usual path, whose stack stays within a page that way. */
static __attribute__((noinline)) int
start_or_fail(enum connect_mode mode, const char *socket, struct connection *ret, struct error *err)
{
	char state[PATHS_MAX];
	int r = paths_state_dir(state, err);
	if (r < 0)
		return r;
	if (mode == CONNECT_JOIN)
		return error_set(
		    err, ENOTCONN, "not_running", "not running (state directory %s)", state);
	return start(state, socket, mode == CONNECT_STAY, ret, err);
}

int
connect_supervisor(enum connect_mode mode, struct connection *ret, struct error *err)
{
	char socket[PATHS_MAX];
	uid_t uid = 0;
	int r = paths_run_socket("supervisor", socket, err);
	if (r < 0)
		return r;
	*ret = (struct connection)CONNECTION_INIT;
	_cleanup_close_ int fd = msg_connect(socket);
	if (fd < 0 && nobody_listens(fd))
		return start_or_fail(mode, socket, ret, err);
	if (fd < 0)
		return error_set_errno(err, -fd, "no_supervisor", "%s", socket);
	/* It gets our streams and our workspace: only to ourselves, or to root. */
	if (msg_peer(fd, &uid, NULL, NULL) < 0 || (uid != geteuid() && uid != 0))
		return error_set(
		    err, EPERM, "state_dir", "%s is served by another user (uid %u)", socket, uid);
	ret->fd = TAKE_FD(fd);
	return 0;
}

void
connect_settled(struct connection *c)
{
	cleanup_close(&c->lock_fd);
	c->lock_fd = -1;
}

void
connect_done(struct connection *c)
{
	connect_settled(c);
	cleanup_close(&c->fd);
	c->fd = -1;
}

/* Starts the programs of our own state directory, and then connects to NAME's socket. */
static int
start_and_connect(const char *socket, enum connect_mode mode, struct error *err)
{
	struct connection c = CONNECTION_INIT;
	struct msg reply = MSG_INIT;
	int r = connect_supervisor(mode, &c, err);
	if (r < 0)
		return r;
	/* Its sockets exist once it has answered. */
	r = msg_call(c.fd, MSG_STATUS, NULL, NULL, 0, 10000, &reply, err);
	msg_done(&reply);
	connect_done(&c);
	if (r < 0)
		return r;
	r = msg_connect(socket);
	return r >= 0 ? r : error_set_errno(err, -r, "no_program", "%s", socket);
}

int
connect_program(const char *name, enum connect_mode mode, struct error *err)
{
	char socket[PATHS_MAX], shared[PATHS_MAX];
	const char *chosen = getenv("RINGFENCE_STATE");
	int r = paths_run_socket(name, socket, err);
	if (r < 0)
		return r;
	r = msg_connect(socket);
	if (nobody_listens(r) && geteuid() != 0 && (chosen == NULL || chosen[0] == 0)) {
		/* A user without programs of their own is one of the people of the machine's. */
		(void)snprintf(shared, sizeof(shared), "/var/lib/ringfence/run/%s.sock", name);
		int fd = msg_connect(shared);
		r = fd >= 0 ? fd : r;
	}
	if (r >= 0)
		return r;
	return nobody_listens(r) ? start_and_connect(socket, mode, err)
				 : error_set_errno(err, -r, "no_program", "%s", socket);
}

int
connect_serve(struct error *err)
{
	char state[PATHS_MAX], program[PATHS_MAX], *env[KEPT_MAX];
	char name[] = "rf-supervisor", opt_state[] = "--state", opt_idle[] = "--idle-ms",
	     never[] = "0";
	int r = paths_state_dir(state, err);
	if (r == 0)
		r = prepare_state(state, err);
	if (r == 0)
		r = paths_program("rf-supervisor", program, err);
	if (r < 0)
		return r;
	char *argv[] = {name, opt_state, state, opt_idle, never, NULL};
	keep_environment(/* service= */ true, env);
	/* Above all descriptor 3: it would be taken for a first client. */
	(void)syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC_FLAG);
	(void)execve(program, argv, env);
	return error_set_errno(err, errno, "spawn_failed", "cannot start %s", program);
}
