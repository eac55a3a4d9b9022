/* A commit that is killed before any of its system calls, or in which any of them fails, ends as the old
 * workspace or the new one, never as something between; so does a killed recovery. Every seventh call in the
 * ordinary run; with the argument "all", each one. */
#include "workspace_scenario.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

enum fault { FAULT_KILL, FAULT_ERROR };

/* The two ways to know what is committed: from an upper layer, or from two whole trees. */
static const struct way {
	const char *name;
	void (*fill)(const struct fixture *f);
	int (*scan)(const struct fixture *f, struct changes *ret, struct error *err);
} * way;

static int stride = 7;

static int
scan_layer(const struct fixture *f, struct changes *ret, struct error *err)
{
	return workspace_scan(f->upper, f->lower, 0, ret, err);
}

static int
scan_trees(const struct fixture *f, struct changes *ret, struct error *err)
{
	return workspace_compare(f->lower, f->upper, NULL, 0, 0, ret, err);
}

static const struct way ways[] = {
    {"a layer", scenario_fill, scan_layer},
    {"two trees", scenario_fill_whole, scan_trees},
};

static int
with_layer(void **state)
{
	way = &ways[0];
	return 0;
}

static int
with_trees(void **state)
{
	way = &ways[1];
	return 0;
}

static int
commit_here(const struct fixture *f)
{
	struct changes changes;
	struct commit_options options = {test_key, sizeof(test_key), NULL, false};
	struct commit_result result;
	struct error err;
	int r = way->scan(f, &changes, &err);
	if (r < 0)
		return r;
	r = workspace_commit(f->upper, f->lower, &changes, &options, &result, &err);
	changes_done(&changes);
	return r;
}

static int
recover_here(const struct fixture *f)
{
	enum recover_outcome outcome;
	struct error err;
	return workspace_recover(f->lower, test_key, sizeof(test_key), &outcome, &err);
}

/* Makes the system call at which PID stands fail with EIO. False where this machine cannot. */
static bool
fail_call(pid_t pid)
{
#ifdef __x86_64__
	struct user_regs_struct regs;
	int status;
	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		return false;
	/* Memory and the end are not what is tested: libc aborts without them. */
	switch (regs.orig_rax) {
	case SYS_exit_group:
	case SYS_mmap:
	case SYS_munmap:
	case SYS_brk:
	case SYS_close:
	case SYS_sigaltstack:
		return true;
	default:
		break;
	}
	regs.orig_rax = (unsigned long long)-1;
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0 ||
	    ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0 || waitpid(pid, &status, 0) != pid ||
	    ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0)
		return false;
	regs.rax = (unsigned long long)-EIO;
	return ptrace(PTRACE_SETREGS, pid, NULL, &regs) == 0;
#else
	return false;
#endif
}

/* Runs WORK in a child with FAULT before its system call number AT (from 1). Returns whether it came so
 * far; *RET is the work's result when it ended by itself. */
static bool
run_with_fault(int (*work)(const struct fixture *), const struct fixture *f, enum fault fault,
    int at, int *ret)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(99);
		(void)raise(SIGSTOP);
		_exit(work(f) < 0 ? 1 : 0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		skip(); /* no ptrace here */
	assert_int_equal(
	    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD), 0);
	bool reached = false;
	for (int stops = 0;;) {
		assert_int_equal(
		    ptrace(reached ? PTRACE_CONT : PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80) || stops++ % 2 != 0 || stops / 2 + 1 != at)
			continue; /* a system call stops twice: at its entry and at its end */
		reached = true;
		if (fault == FAULT_ERROR) {
			assert_true(fail_call(pid));
			continue;
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		break;
	}
	*ret = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return reached;
}

/* 0: the old workspace, 1: the new one; anything else fails the test. */
static int
which(const struct fixture *f, int at)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	describe(f->lower, "", &out);
	int is_new = strcmp(buf_str(&out), scenario_new) == 0;
	if (!is_new && strcmp(buf_str(&out), scenario_old) != 0)
		fail_msg("at system call %d neither old nor new:\n%s", at, buf_str(&out));
	buf_done(&out);
	return is_new;
}

static void
killed_at_every_system_call_it_is_old_or_new(void **state)
{
	bool reached = true;
	int previous = 0, counts[2] = {0, 0};
	for (int at = 1; reached; at += stride) {
		struct fixture f;
		int result;
		fixture_open(&f);
		way->fill(&f);
		reached = run_with_fault(commit_here, &f, FAULT_KILL, at, &result);
		assert_int_equal(recover_here(&f), 0);
		int now = which(&f, at);
		assert_true(
		    now >= previous); /* once the journal is whole it is always the new one */
		counts[now]++;
		previous = now;
		fixture_close(&f);
	}
	print_message(
	    "killed at %d calls: %d old, %d new\n", counts[0] + counts[1], counts[0], counts[1]);
	assert_true(counts[0] > 10 && counts[1] > 10);
}

static void
with_every_system_call_failing_it_is_old_or_new(void **state)
{
#ifndef __x86_64__
	skip();
#endif
	bool reached = true;
	int counts[2] = {0, 0};
	for (int at = 1; reached; at += stride) {
		struct fixture f;
		int result;
		fixture_open(&f);
		way->fill(&f);
		reached = run_with_fault(commit_here, &f, FAULT_ERROR, at, &result);
		assert_true(result == 0 || result == 1);
		assert_int_equal(recover_here(&f), 0);
		int now = which(&f, at);
		if (result == 0)
			assert_int_equal(now, 1); /* success is never claimed for the old state */
		counts[now]++;
		fixture_close(&f);
	}
	print_message(
	    "failed at %d calls: %d old, %d new\n", counts[0] + counts[1], counts[0], counts[1]);
	assert_true(counts[0] > 10 && counts[1] > 5);
}

static void
a_killed_recovery_can_be_recovered(void **state)
{
	/* Killed late enough, the commit leaves a whole journal; find the first such call. */
	for (int at = 1, found = 0; found < 3; at += 7) {
		bool reached = true;
		for (int again = 1; reached; again += stride) {
			struct fixture f;
			int result;
			fixture_open(&f);
			way->fill(&f);
			bool killed = run_with_fault(commit_here, &f, FAULT_KILL, at, &result);
			struct wsfs_names names;
			assert_int_equal(wsfs_names(f.lower, 1000, &names), 0);
			char path[300];
			(void)snprintf(
			    path, sizeof(path), "%s/journal", names.n > 0 ? names.items[0] : "");
			bool journalled = killed && exists(f.lower, path);
			wsfs_names_done(&names);
			reached = journalled &&
			    run_with_fault(recover_here, &f, FAULT_KILL, again, &result);
			assert_int_equal(recover_here(&f), 0);
			int now = which(&f, at);
			if (journalled)
				assert_int_equal(now, 1);
			found += journalled && !reached;
			fixture_close(&f);
			if (!killed)
				return;
		}
	}
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "all") == 0)
		stride = 1;
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(killed_at_every_system_call_it_is_old_or_new),
	    cmocka_unit_test(with_every_system_call_failing_it_is_old_or_new),
	    cmocka_unit_test(a_killed_recovery_can_be_recovered),
	};
	return cmocka_run_group_tests_name("from a layer", tests, with_layer, NULL) +
	    cmocka_run_group_tests_name("from two trees", tests, with_trees, NULL);
}
