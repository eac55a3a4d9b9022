/* rf-supervisor — starts, limits and destroys sandboxes; starts the programs that decide and record.
 *
 *   uid           root, or the ordinary user whose sandboxes these are
 *   capabilities  root's (mounts with translated owners, id maps, control groups); a user's: none
 *   system calls  its filter refuses what no part of Ringfence needs (profile.c)
 *   paths         the state directory; control groups; /proc of its sandboxes
 *   peers         the same user's (or root's) `ringfence`; over socket pairs rf-arbiter, rf-ledger, rf-init, and
 *                 rf-gateway, rf-dialer, rf-vault, which it only starts and introduces to each other
 *   secrets       none
 *   reads         requests of its own user, verdicts, and what rf-init reports. No byte of the agent's.
 *   if compromised, an attacker can do what its user can. That is why it parses nothing hostile.
 *
 * rf-supervisor --state DIR [--idle-ms N]; descriptor 3 may be the first client. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/paths.h"
#include "ipc/spawn.h"
#include "supervisor/profile.h"
#include "supervisor/pool.h"
#include "supervisor/supervisor.h"
#include "sys/notify.h"

#define IDLE_MS_DEFAULT 30000
#define SWEEP_MS 1000
#define SWEEPS_MAX 5

static const char *const socket_names[LISTENERS] = {"supervisor", "arbiter", "ledger", "vault"};

static int
parse_arguments(struct supervisor *s, int argc, char **argv, struct error *err)
{
	s->idle_ms = IDLE_MS_DEFAULT;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--state") == 0)
			(void)snprintf(s->state, sizeof(s->state), "%s", argv[i + 1]);
		else if (strcmp(argv[i], "--idle-ms") == 0)
			s->idle_ms = strtoll(argv[i + 1], NULL, 10);
		else
			return error_set(err, EINVAL, "usage", "unknown option %s", argv[i]);
	}
	if (s->state[0] != '/' || argc % 2 == 0)
		return error_set(err, EINVAL, "usage",
		    "rf-supervisor is started by ringfence: rf-supervisor --state DIR [--idle-ms "
		    "N]");
	return 0;
}

static int
make_directory(int at, const char *name, struct supervisor *s, struct error *err)
{
	if (mkdirat(at, name, geteuid() == 0 ? 0755 : 0700) < 0 && errno != EEXIST)
		return error_set_errno(
		    err, errno, "state_dir", "cannot make %s/%s", s->state, name);
	return 0;
}

/* One supervisor per state directory, held by a lock that ends with the process. */
static int
take_state(struct supervisor *s, struct error *err)
{
	s->state_fd = open(s->state, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (s->state_fd < 0)
		return error_set_errno(err, errno, "state_dir", "cannot open %s", s->state);
	int r = make_directory(s->state_fd, "run", s, err);
	if (r < 0)
		return r;
	s->lock_fd =
	    openat(s->state_fd, "run/lock", O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return error_set_errno(
		    err, errno, "state_dir", "cannot open %s/run/lock", s->state);
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(
		    err, EBUSY, "already_running", "another rf-supervisor serves %s", s->state);
	return 0;
}

static int
listen_all(struct supervisor *s, struct error *err)
{
	bool root = geteuid() == 0;
	for (size_t i = 0; i < LISTENERS; i++) {
		char path[PATHS_MAX + 32];
		(void)snprintf(path, sizeof(path), "%s/run/%s.sock", s->state, socket_names[i]);
		/* As root anybody may talk to arbiter and vault: who they are comes from the kernel. */
		bool open = root && (i == LISTENER_ARBITER || i == LISTENER_VAULT);
		mode_t mode = open ? 0666 : 0600;
		s->listeners[i] = msg_listen(path, mode);
		if (s->listeners[i] < 0)
			return error_set_errno(
			    err, -s->listeners[i], "state_dir", "cannot listen on %s", path);
	}
	return 0;
}

static void
on_accept(int fd, void *data)
{
	clients_add(data, fd);
}

static void
on_signal(struct watch *watch, uint32_t events, void *data)
{
	struct supervisor *s = data;
	struct signalfd_siginfo info;
	(void)events;
	if (read(watch_fd(watch), &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	s->leaving = true;
	run_end_all(s, "leaving", "rf-supervisor was told to leave");
	session_end_all(s, "leaving", "rf-supervisor was told to leave");
	clients_consider_idle(s);
}

/* Every signal at its default, also those that a C library keeps for itself and will not touch: what a
 * caller ignores would otherwise be ignored in every sandbox. */
static void
reset_signals(void)
{
	static const uint64_t by_default[4]; /* the kernel's struct sigaction, all zero */
	for (int number = 1; number <= 64; number++)
		(void)syscall(SYS_rt_sigaction, number, by_default, NULL, sizeof(uint64_t));
}

static int
watch_signals(struct supervisor *s)
{
	sigset_t mask;
	struct watch *watch;
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : loop_watch(s->loop, fd, EPOLLIN, on_signal, s, &watch);
}

static int
set_up(struct supervisor *s, struct error *err)
{
	char init_path[PATHS_MAX];
	int r = take_state(s, err);
	if (r == 0)
		r = profile_enter(err);
	if (r == 0)
		r = listen_all(s, err);
	if (r < 0)
		return r;
	if (loop_new(&s->loop) < 0 || watch_signals(s) < 0)
		return error_set(err, ENOMEM, "no_memory", "cannot make the event loop");
	/* The programs first: they start on another processor while we prepare the rest. */
	r = programs_start(s, err);
	if (r == 0)
		r = gateways_new(s, err);
	if (r == 0)
		r = paths_program("rf-init", init_path, err);
	if (r == 0)
		r = sandbox_host_new(init_path, s->state, s->state_fd, &s->sandboxes, err);
	if (r == 0 && (s->pool = pool_new(s)) == NULL)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	if (r == 0)
		session_find_lost(s);
	if (r == 0 &&
	    conn_accept(s->loop, s->listeners[LISTENER_SUPERVISOR], on_accept, s, &s->accepting) <
		0)
		r = error_set(err, ENOMEM, "no_memory", "cannot accept");
	return r;
}

/* Groups that a killed supervisor left; off the path of the first run. More than once, because its
 * sandboxes may still be dying. */
static void
on_sweep(struct timer *timer, void *data)
{
	struct supervisor *s = data;
	(void)timer;
	int swept = cgroup_sweep(sandbox_host_cgroups(s->sandboxes));
	if (swept > 0)
		log_event(LOG_WARNING, "swept-cgroups", NULL);
	if (s->sweeps++ < SWEEPS_MAX && loop_timer(s->loop, SWEEP_MS, on_sweep, s, &s->sweep) < 0)
		log_event(LOG_WARNING, "no-more-sweeps", NULL);
}

static void
leave(struct supervisor *s)
{
	for (size_t i = 0; i < LISTENERS; i++) {
		char name[64];
		(void)snprintf(name, sizeof(name), "run/%s.sock", socket_names[i]);
		(void)unlinkat(s->state_fd, name, 0);
	}
	s->pool = pool_free(s->pool);
	gateways_stop(s);
	programs_stop(s);
	s->sandboxes = sandbox_host_free(s->sandboxes);
	/* Free for the next before we say that we are gone. */
	(void)close(s->lock_fd);
	if (s->shutdown_by != NULL)
		(void)conn_send(s->shutdown_by, MSG_OK, s->shutdown_serial, NULL, NULL, 0);
}

/* The first client still gets its one line. */
static int
refuse_start(int first, const struct error *err)
{
	log_event(LOG_ERROR, "cannot-start", "code", err->code, "message", err->message, NULL);
	if (first >= 0) {
		_cleanup_json_ struct json *body = msg_error_body(err);
		int r = msg_send(first, MSG_ERROR, 0, body, NULL, 0);
		(void)r;
	}
	return 125;
}

/* Started by a person or a service manager, not by a first client: somebody reads what we log. */
static void
say_listens(const struct supervisor *s)
{
	char pid[16];
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	log_set_level(LOG_INFO);
	log_event(LOG_INFO, "listens", "state", s->state, "pid", pid, NULL);
}

int
main(int argc, char **argv)
{
	static struct supervisor s = {.state_fd = -1, .lock_fd = -1, .listeners = {-1, -1, -1, -1}};
	struct error err = {0};
	struct stat st;
	log_program("rf-supervisor");
	umask(022);
	reset_signals();
	notify_keep();
	int first =
	    fstat(SPAWN_SUPERVISOR, &st) == 0 && S_ISSOCK(st.st_mode) ? SPAWN_SUPERVISOR : -1;
	if (first >= 0)
		(void)fcntl(first, F_SETFD, FD_CLOEXEC);
	if (parse_arguments(&s, argc, argv, &err) < 0) {
		(void)fprintf(stderr, "rf-supervisor: %s\n", err.message);
		return 125;
	}
	if (set_up(&s, &err) < 0)
		return refuse_start(first, &err);
	if (first >= 0)
		clients_add(&s, first);
	if (loop_timer(s.loop, SWEEP_MS / 20, on_sweep, &s, &s.sweep) < 0)
		return refuse_start(-1, &err);
	clients_consider_idle(&s);
	if (first < 0)
		say_listens(&s);
	(void)notify_manager("READY=1");
	int code = loop_run(s.loop);
	(void)notify_manager("STOPPING=1");
	log_event(LOG_INFO, "leaves", NULL);
	leave(&s);
	return code < 0 ? 1 : code;
}
