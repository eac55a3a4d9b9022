/* A stopwatch for programs that start and end: the benchmark's only timer.
 *
 *     launch [--runs N] [--warmup N] [--gone DIR] COMMAND…      one after the other, interleaved
 *     launch --parallel N --seconds S [--slices N] COMMAND…     as many as possible, N at a time
 *
 * COMMAND is `@name NAME [@pre ARGV…] @cmd ARGV…`. Interleaved, every round runs each command once, so
 * that what else the machine does falls on all alike. `@pre` runs before each timed run and is not
 * timed; with --gone DIR the stopwatch then waits until no process runs a program from DIR, so that a
 * cold start is one. Prints JSON: per command n, failures, microseconds (min, p50, p90, p99, mean), or
 * runs per second. Children's output goes to /dev/null. A program that fails is counted, never timed. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 16

struct command {
	const char *name;
	char **pre; /* borrowed from argv; NULL-terminated; NULL if none */
	char **argv;
	double *micros; /* owned */
	size_t n;
	size_t failures;
	size_t finished; /* with --parallel */
	double seconds;
};

struct options {
	long runs, warmup, parallel, slices;
	double seconds;
	const char *gone;
	struct command commands[COMMANDS_MAX];
	size_t n_commands;
};

extern char **environ;
static posix_spawn_file_actions_t quiet;

static void
die(const char *what)
{
	(void)fprintf(stderr, "launch: %s\n", what);
	exit(2);
}

static double
now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static pid_t
start(char **argv)
{
	pid_t pid;
	int r = posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ);
	if (r != 0) {
		(void)fprintf(stderr, "launch: %s: %s\n", argv[0], strerror(r));
		exit(2);
	}
	return pid;
}

/* Whether ARGV ended with exit code 0. */
static bool
run(char **argv)
{
	int status;
	pid_t pid = start(argv);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid failed");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Whether a process other than us runs a program from DIR. */
static bool
any_running(const char *dir)
{
	DIR *proc = opendir("/proc");
	bool found = false;
	size_t len = strlen(dir);
	if (proc == NULL)
		die("/proc cannot be read");
	for (struct dirent *e; !found && (e = readdir(proc)) != NULL;) {
		char path[300], exe[PATH_MAX];
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    strtol(e->d_name, NULL, 10) == (long)getpid())
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%s/exe", e->d_name);
		ssize_t n = readlink(path, exe, sizeof(exe) - 1);
		if (n > 0) {
			exe[n] = 0;
			found = strncmp(exe, dir, len) == 0 && exe[len] == '/';
		}
	}
	(void)closedir(proc);
	return found;
}

static void
prepare(const struct options *o, struct command *c)
{
	if (c->pre == NULL)
		return;
	if (!run(c->pre))
		die("a preparation failed");
	struct timespec pause = {.tv_nsec = 2000000};
	for (int i = 0; o->gone != NULL && any_running(o->gone); i++) {
		if (i > 5000)
			die("programs still run after the preparation");
		(void)nanosleep(&pause, NULL);
	}
}

static void
interleave(struct options *o)
{
	for (long round = -o->warmup; round < o->runs; round++)
		for (size_t i = 0; i < o->n_commands; i++) {
			struct command *c = &o->commands[i];
			prepare(o, c);
			double from = now_us();
			bool good = run(c->argv);
			double took = now_us() - from;
			if (!good)
				c->failures++;
			else if (round >= 0)
				c->micros[c->n++] = took;
		}
}

/* Keeps PARALLEL copies of C going for SECONDS; those that end in that time count. */
static void
saturate(const struct options *o, struct command *c, double seconds)
{
	double from = now_us(), until = from + seconds * 1e6;
	long alive = 0;
	for (; alive < o->parallel; alive++)
		(void)start(c->argv);
	while (alive > 0) {
		int status;
		if (wait(&status) < 0)
			die("wait failed");
		alive--;
		bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
		if (!good)
			c->failures++;
		if (now_us() >= until)
			continue;
		c->finished += good;
		if (c->failures > 1000)
			return;
		(void)start(c->argv);
		alive++;
	}
	c->seconds += seconds;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double
quantile(const struct command *c, double q)
{
	if (c->n == 0)
		return 0;
	size_t i = (size_t)(q * (double)(c->n - 1) + 0.5);
	return c->micros[i];
}

static void
print(struct options *o)
{
	(void)printf("{");
	for (size_t i = 0; i < o->n_commands; i++) {
		struct command *c = &o->commands[i];
		(void)printf(
		    "%s\n \"%s\": {\"failures\": %zu, ", i > 0 ? "," : "", c->name, c->failures);
		if (o->parallel > 0) {
			(void)printf("\"per_second\": %.1f}",
			    c->seconds > 0 ? (double)c->finished / c->seconds : 0);
			continue;
		}
		double sum = 0;
		qsort(c->micros, c->n, sizeof(*c->micros), compare_doubles);
		for (size_t k = 0; k < c->n; k++)
			sum += c->micros[k];
		(void)printf("\"n\": %zu, \"min_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, "
			     "\"p99_us\": %.1f, \"mean_us\": %.1f}",
		    c->n, quantile(c, 0), quantile(c, 0.5), quantile(c, 0.9), quantile(c, 0.99),
		    c->n > 0 ? sum / (double)c->n : 0);
	}
	(void)printf("\n}\n");
}

static long
number(const char *text)
{
	char *end;
	long n = text == NULL ? -1 : strtol(text, &end, 10);
	if (text == NULL || *end != 0 || n < 0)
		die("expected a number");
	return n;
}

/* Cuts argv into commands by replacing the @words with NULL. */
static void
parse_commands(struct options *o, int argc, char **argv, int at)
{
	struct command *c = NULL;
	for (; at < argc; at++) {
		char *word = argv[at];
		if (strcmp(word, "@name") == 0 && at + 1 < argc) {
			if (o->n_commands == COMMANDS_MAX)
				die("too many commands");
			argv[at] = NULL;
			c = &o->commands[o->n_commands++];
			c->name = argv[++at];
		} else if (c != NULL && strcmp(word, "@pre") == 0) {
			argv[at] = NULL;
			c->pre = argv + at + 1;
		} else if (c != NULL && strcmp(word, "@cmd") == 0) {
			argv[at] = NULL;
			c->argv = argv + at + 1;
		} else if (c == NULL) {
			die("expected @name NAME [@pre ARGV...] @cmd ARGV...");
		}
	}
}

static void
parse(struct options *o, int argc, char **argv)
{
	int at = 1;
	*o = (struct options){.runs = 100, .warmup = 5, .slices = 3, .seconds = 3};
	for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
		if (strcmp(argv[at], "--gone") == 0)
			o->gone = argv[at + 1];
		else if (strcmp(argv[at], "--runs") == 0)
			o->runs = number(argv[at + 1]);
		else if (strcmp(argv[at], "--warmup") == 0)
			o->warmup = number(argv[at + 1]);
		else if (strcmp(argv[at], "--parallel") == 0)
			o->parallel = number(argv[at + 1]);
		else if (strcmp(argv[at], "--slices") == 0)
			o->slices = number(argv[at + 1]);
		else if (strcmp(argv[at], "--seconds") == 0)
			o->seconds = (double)number(argv[at + 1]);
		else
			die("unknown option");
	}
	parse_commands(o, argc, argv, at);
	if (o->n_commands == 0)
		die("no commands");
	for (size_t i = 0; i < o->n_commands; i++) {
		struct command *c = &o->commands[i];
		c->micros = calloc((size_t)o->runs + 1, sizeof(*c->micros));
		if (c->argv == NULL || c->argv[0] == NULL || c->micros == NULL)
			die("a command has no program");
	}
}

int
main(int argc, char **argv)
{
	struct options o;
	parse(&o, argc, argv);
	if (posix_spawn_file_actions_init(&quiet) != 0 ||
	    posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0) != 0 ||
	    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0) != 0 ||
	    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0) != 0)
		die("cannot prepare");
	if (o.parallel == 0)
		interleave(&o);
	for (long slice = 0; o.parallel > 0 && slice < o.slices; slice++)
		for (size_t i = 0; i < o.n_commands; i++)
			saturate(&o, &o.commands[i], o.seconds / (double)o.slices);
	print(&o);
	for (size_t i = 0; i < o.n_commands; i++)
		free(o.commands[i].micros);
	return 0;
}
