/* What a caller of the daemon waits for: request to exit, beside a bare vfork+exec of the same program.
 *
 *     bench_daemon SOCKET latency ROUNDS     one client; all cases interleaved, each round once
 *     bench_daemon SOCKET clients ROUNDS     8 clients at once
 *     bench_daemon SOCKET sessions N         N live sessions: how long, and the machine's memory
 *
 * Prints "what   p50 1.23 us   p99 4.56 us" lines, which bench/run reads. Speaks to rf-supervisor's own socket, so it
 * measures the daemon and not the start of a command line. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "ipc/msg.h"

#define CLIENTS 8
#define PAUSE_NS \
	4000000 /* between rounds of one client: a caller thinks; the pool is filled again */

extern char **environ;
static int null_fd;
static posix_spawn_file_actions_t quiet;

static void
die(const char *what)
{
	(void)fprintf(stderr, "bench_daemon: %s\n", what);
	exit(2);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void
report(const char *what, double *us, size_t n)
{
	qsort(us, n, sizeof(*us), compare);
	(void)printf(
	    "%-44s p50 %.1f us   p99 %.1f us\n", what, us[n / 2], us[(size_t)((double)n * 0.99)]);
}

/* ---- the two ways ---- */

static void
bare(const char *const *argv)
{
	pid_t pid;
	int status;
	if (posix_spawn(&pid, argv[0], &quiet, NULL, (char *const *)(uintptr_t)argv, environ) !=
		0 ||
	    waitpid(pid, &status, 0) < 0 || status != 0)
		die("a bare run failed");
}

static struct json *
request(const char *const *argv, const char *sandbox)
{
	struct json *body = json_new_object(), *list = json_new_array();
	for (size_t i = 0; argv[i] != NULL; i++)
		(void)json_push(list, json_new_string(argv[i]));
	(void)json_set(body, "argv", list);
	(void)json_set(body, "env", json_new_object());
	if (sandbox != NULL) {
		(void)json_set_str(body, "sandbox", sandbox);
		return body;
	}
	struct json *policy = json_new_object();
	(void)json_set_str(policy, "name", "isolated");
	(void)json_set(body, "policy", policy);
	return body;
}

/* One command by way of the daemon: in a sandbox of its own, or in the session SANDBOX. */
static void
by_daemon(int fd, const char *const *argv, const char *sandbox)
{
	_cleanup_json_ struct json *body = request(argv, sandbox);
	const int fds[] = {null_fd, null_fd, null_fd};
	if (msg_send(fd, sandbox == NULL ? MSG_RUN : MSG_SESSION_EXEC, 1, body, fds, 3) < 0)
		die("the daemon does not listen");
	for (;;) {
		struct msg m = MSG_INIT;
		if (msg_recv(fd, 0, &m) != 1)
			die("the daemon ended the conversation");
		bool done = m.type == MSG_DONE;
		if (m.type == MSG_ERROR ||
		    (done && json_get_int(json_get(m.body, "exit"), "code", 1) != 0))
			die("a run by the daemon failed");
		msg_done(&m);
		if (done)
			return;
	}
}

static void
create(int fd, char ret[64])
{
	struct msg m = MSG_INIT;
	struct error err = {0};
	const char *const none[] = {NULL};
	_cleanup_json_ struct json *body = request(none, NULL);
	json_unset(body, "argv");
	if (msg_call(fd, MSG_SESSION_CREATE, body, NULL, 0, 30000, &m, &err) < 0)
		die(err.message);
	(void)snprintf(ret, 64, "%s", json_get_str(m.body, "sandbox", ""));
	msg_done(&m);
}

/* ---- latency ---- */

static void
measure_latency(const char *path, size_t rounds)
{
	static const char *const true_argv[] = {"/bin/true", NULL};
	static const char *const python_argv[] = {"/usr/bin/python3", "-c", "pass", NULL};
	static const struct {
		const char *what;
		const char *const *argv;
		int way; /* 0 bare, 1 a sandbox of its own, 2 a session */
	} cases[] = {{"true, bare", true_argv, 0}, {"true, by the daemon", true_argv, 1},
	    {"true, in a session", true_argv, 2}, {"python3 -c pass, bare", python_argv, 0},
	    {"python3 -c pass, by the daemon", python_argv, 1},
	    {"python3 -c pass, in a session", python_argv, 2}};
	double *us[6];
	char sandbox[64];
	int fd = msg_connect(path);
	if (fd < 0)
		die("cannot connect");
	create(fd, sandbox);
	for (size_t i = 0; i < 6; i++)
		us[i] = calloc(rounds, sizeof(double));
	for (size_t round = 0; round < rounds + 10; round++)
		for (size_t i = 0; i < 6; i++) {
			struct timespec pause = {.tv_nsec = PAUSE_NS};
			(void)nanosleep(&pause, NULL);
			int64_t from = clock_monotonic_ns();
			if (cases[i].way == 0)
				bare(cases[i].argv);
			else
				by_daemon(fd, cases[i].argv, cases[i].way == 2 ? sandbox : NULL);
			if (round >= 10)
				us[i][round - 10] = (double)(clock_monotonic_ns() - from) / 1000;
		}
	for (size_t i = 0; i < 6; i++)
		report(cases[i].what, us[i], rounds);
}

/* ---- many clients ---- */

static void
measure_clients(const char *path, size_t rounds)
{
	static const char *const argv[] = {"/bin/true", NULL};
	double *us = mmap(NULL, CLIENTS * rounds * sizeof(double), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (us == MAP_FAILED)
		die("no memory");
	int64_t from = clock_monotonic_ns();
	for (size_t c = 0; c < CLIENTS; c++)
		if (fork() == 0) {
			int fd = msg_connect(path);
			for (size_t i = 0; i < rounds; i++) {
				int64_t begun = clock_monotonic_ns();
				by_daemon(fd, argv, NULL);
				us[c * rounds + i] = (double)(clock_monotonic_ns() - begun) / 1000;
			}
			_exit(0);
		}
	for (int status; wait(&status) > 0;)
		if (status != 0)
			die("a client failed");
	double seconds = (double)(clock_monotonic_ns() - from) / 1e9;
	report("true, by the daemon, 8 clients", us, CLIENTS * rounds);
	(void)printf("8 clients: %.0f runs per second\n", (double)(CLIENTS * rounds) / seconds);
}

/* ---- many sessions ---- */

static long
available_kib(void)
{
	char line[128];
	long kib = -1;
	FILE *f = fopen("/proc/meminfo", "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "MemAvailable: %ld", &kib) == 1)
			break;
	if (f != NULL)
		(void)fclose(f);
	return kib;
}

static void
measure_sessions(const char *path, size_t n)
{
	static const char *const argv[] = {"/bin/true", NULL};
	char(*names)[64] = calloc(n, sizeof(*names));
	int fd = msg_connect(path);
	if (fd < 0 || names == NULL)
		die("cannot connect");
	by_daemon(fd, argv, NULL);
	long before = available_kib();
	int64_t from = clock_monotonic_ns();
	for (size_t i = 0; i < n; i++)
		create(fd, names[i]);
	double seconds = (double)(clock_monotonic_ns() - from) / 1e9;
	for (size_t i = 0; i < n; i += 97)
		by_daemon(fd, argv, names[i]);
	struct timespec pause = {.tv_sec = 1};
	(void)nanosleep(&pause, NULL);
	long after = available_kib();
	(void)printf("%zu live sessions: %.1f MiB, made in %.1f s\n", n,
	    (double)(before - after) / 1024, seconds);
	for (size_t i = 0; i < n; i++) {
		struct msg m = MSG_INIT;
		struct error err = {0};
		_cleanup_json_ struct json *body = json_new_object();
		(void)json_set_str(body, "sandbox", names[i]);
		(void)json_set_str(body, "do", "kill");
		if (msg_call(fd, MSG_SESSION_CONTROL, body, NULL, 0, 30000, &m, &err) < 0)
			die(err.message);
		msg_done(&m);
	}
	free(names);
}

int
main(int argc, char **argv)
{
	long n = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (n <= 0 || null_fd < 0 || posix_spawn_file_actions_init(&quiet) != 0)
		die("usage: bench_daemon SOCKET latency|clients|sessions N");
	for (int i = 0; i < 3; i++)
		if (posix_spawn_file_actions_adddup2(&quiet, null_fd, i) != 0)
			die("cannot prepare");
	if (strcmp(argv[2], "latency") == 0)
		measure_latency(argv[1], (size_t)n);
	else if (strcmp(argv[2], "clients") == 0)
		measure_clients(argv[1], (size_t)n);
	else if (strcmp(argv[2], "sessions") == 0)
		measure_sessions(argv[1], (size_t)n);
	else
		die("latency, clients or sessions");
	return 0;
}
