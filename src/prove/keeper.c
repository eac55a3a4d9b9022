/* Nothing is left behind: two processes watch each other.
 *
 *   keeper ── worker ── supervisor, rf-prove-init, fixtures, …
 *
 * The worker does everything. The keeper waits, hands on the signals that ask us to stop, and cleans up behind
 * the worker however it ended, SIGKILL included. If the keeper is killed, the worker is told (SIGTERM), stops
 * and cleans up itself. Both adopt what loses its parent below them, so that no process escapes them.
 *
 * A fork without an exec, unlike everywhere else: an exec would need an argument that tells a program what to
 * remove, and somebody could give it another one. Nothing else runs in either yet. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "prove/place.h"

#define GRACE_MS 1000
#define CHILDREN_MAX 4096

/* ---- strays ---- */

void
keeper_know(struct prove *p, pid_t pid)
{
	for (size_t i = 0; i < KNOWN_MAX; i++)
		if (p->known[i] == 0) {
			p->known[i] = pid;
			return;
		}
}

void
keeper_forget(struct prove *p, pid_t pid)
{
	for (size_t i = 0; i < KNOWN_MAX; i++)
		if (p->known[i] == pid)
			p->known[i] = 0;
}

static bool
is_known(const struct prove *p, pid_t pid)
{
	for (size_t i = 0; i < KNOWN_MAX; i++)
		if (p->known[i] == pid)
			return true;
	return false;
}

static size_t
read_file(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n = f == NULL ? 0 : fread(text, 1, size - 1, f);
	if (f != NULL)
		(void)fclose(f);
	text[n] = 0;
	return n;
}

/* Whether PID carries the mark of trial NUMBER. */
static bool
is_of_trial(pid_t pid, int number)
{
	static char environ_text[65536];
	char path[40], mark[40];
	(void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	(void)snprintf(mark, sizeof(mark), "RINGFENCE_TRIAL=%d", number);
	size_t n = read_file(path, environ_text, sizeof(environ_text));
	for (const char *at = environ_text; at < environ_text + n; at += strlen(at) + 1)
		if (strcmp(at, mark) == 0)
			return true;
	return false;
}

/* Ends those strays of the children there are now, and reaps all that ended by themselves. Whether there was one:
 * its own children come next. (Without the kernel's list of children, strays are left to end by themselves: no
 * attack runs for long.) */
static bool
end_some(const struct prove *p, int number)
{
	static char text[CHILDREN_MAX * 8];
	char path[64], *at = text;
	bool any = false;
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	(void)read_file(path, text, sizeof(text));
	for (;;) {
		char *end;
		pid_t pid = (pid_t)strtol(at, &end, 10);
		if (end == at)
			return any;
		at = end;
		if (is_known(p, pid))
			continue;
		if (waitpid(pid, NULL, WNOHANG) == pid) {
			any = true;
		} else if (number < 0 || is_of_trial(pid, number)) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, NULL, 0);
			any = true;
		}
	}
}

void
keeper_end_strays(const struct prove *p, int number)
{
	while (end_some(p, number))
		;
}

void
keeper_clean(const struct prove *p)
{
	struct cgroup_host *groups = cgroup_host_new();
	if (groups != NULL)
		(void)cgroup_sweep(groups);
	cgroup_host_free(groups);
	place_remove(p);
}

/* ---- the keeper ---- */

static void
block_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGHUP);
	sigaddset(ret, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, ret, NULL);
}

/* Waits for the worker; what asks us to stop, it is told. Its wait status. */
static int
keep(pid_t worker, const sigset_t *signals)
{
	int status = 0;
	for (;;) {
		siginfo_t info;
		if (waitpid(worker, &status, WNOHANG) == worker)
			return status;
		if (sigwaitinfo(signals, &info) > 0 && info.si_signo != SIGCHLD)
			(void)kill(worker, SIGTERM);
	}
}

/* What the worker left: the programs of its Ringfence and the fixtures end by themselves once it is gone. */
static void
wait_for_strays(const sigset_t *signals)
{
	int64_t end_ns = clock_monotonic_ns() + GRACE_MS * 1000000LL;
	for (;;) {
		struct timespec left = {.tv_nsec = 50000000};
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 || (pid == 0 && clock_monotonic_ns() > end_ns))
			return;
		if (pid == 0)
			(void)sigtimedwait(signals, NULL, &left);
	}
}

int
keeper_split(struct prove *p, struct error *err)
{
	sigset_t signals;
	pid_t keeper = getpid();
	block_signals(&signals);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "prove_failed", "cannot adopt strays");
	int r = place_make(p, err);
	if (r < 0)
		return r;
	pid_t worker = fork();
	if (worker < 0) {
		keeper_clean(p);
		return error_set_errno(err, EAGAIN, "prove_failed", "cannot fork");
	}
	if (worker == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 ||
		    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 || getppid() != keeper)
			_exit(125);
		return 0;
	}
	int status = keep(worker, &signals);
	wait_for_strays(&signals);
	keeper_end_strays(p, -1);
	keeper_clean(p);
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	(void)fprintf(stderr, "ringfence: prove: ended by signal %d; nothing was left behind\n",
	    WTERMSIG(status));
	_exit(125);
}
