/* One of the sandbox's locks, alone: applies it to itself and executes a program, so that a test can see
 * what that lock refuses when no other is in the way (and what it does not).
 *
 *     onelock seccomp PROGRAM ARGUMENT...
 *     onelock landlock PROGRAM ARGUMENT...
 *
 * The locks are the very ones of rf-init: src/sandbox/filter.c and src/init/locks.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/json.h"
#include "init/locks.h"
#include "sandbox/filter.h"
#include "sandbox/host.h"
#include "sys/seccomp.h"

static int
apply_seccomp(struct error *err)
{
	struct seccomp_program program = {0};
	int r = filter_command(&program, err);
	if (r == 0)
		r = seccomp_install(program.code, program.len);
	seccomp_program_done(&program);
	return r;
}

/* The rules of a sandbox on the host's own tree, where nothing but the canary is missing. */
static int
apply_landlock(struct error *err)
{
	_cleanup_json_ struct json *view = host_view(getuid(), getgid()),
				   *evidence = json_new_object();
	int r = locks_landlock(view, evidence, err);
	if (r < 0 && strcmp(err->code, "landlock_ineffective") == 0 &&
	    access("/.canary", F_OK) < 0 && errno == ENOENT)
		return 0;
	return r;
}

int
main(int argc, char **argv)
{
	struct error err = {0};
	int r = -EINVAL;
	if (argc < 3 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		(void)fprintf(stderr, "usage: onelock seccomp|landlock PROGRAM ARGUMENT...\n");
		return 2;
	}
	if (strcmp(argv[1], "seccomp") == 0)
		r = apply_seccomp(&err);
	else if (strcmp(argv[1], "landlock") == 0)
		r = apply_landlock(&err);
	if (r < 0) {
		(void)fprintf(stderr, "onelock: %s: %s %s\n", argv[1], strerror(-r), err.message);
		return 2;
	}
	(void)execv(argv[2], argv + 2);
	(void)fprintf(stderr, "onelock: %s: %s\n", argv[2], strerror(errno));
	return 127;
}
