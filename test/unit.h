/* What every unit test includes first: cmocka with what it needs, and a fork for tests that must
 * lose a process (confinement, death). */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs FN in a child, whose result is its exit status; returns the wait status of waitpid(2). */
static inline int
in_child(int (*fn)(void *data), void *data)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* Not _exit: a sanitizer does things of its own there, which a confined child may not. */
		syscall(SYS_exit_group, fn(data));
		abort();
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

#define assert_exited(status, code) assert_int_equal(status, (code) << 8)
#define assert_killed_by(status, sig) assert_int_equal((status)&0x7f, sig)
