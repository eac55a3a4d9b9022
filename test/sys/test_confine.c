/* The confinement ritual, read back from /proc by the parent and tried by attack from within. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/macros.h"
#include "sys/confine.h"

#define SOMEBODY 65533

static const int syscalls[] = {SYS_read, SYS_write, SYS_openat, SYS_close, SYS_exit_group, SYS_kill,
    SYS_getppid, SYS_fcntl, SYS_rt_sigreturn, SYS_munmap, SYS_madvise, SYS_brk};
static const struct seccomp_rule rules[] = {
    {.nr = SYS_socket,
	.action = SECCOMP_RET_ERRNO | EAFNOSUPPORT,
	.tests = {{.index = 0, .op = SECCOMP_NE, .value = 1}},
	.n_tests = 1},
};
static const struct landlock_path paths[] = {{.fd = -1, .path = "granted", .access = LL_READ}};

static const struct confine_profile profile = {
    .name = "test",
    .syscalls = syscalls,
    .n_syscalls = ARRAY_LEN(syscalls),
    .rules = rules,
    .n_rules = ARRAY_LEN(rules),
    .paths = paths,
    .n_paths = ARRAY_LEN(paths),
};

static char root[64];

static int
make_tree(void **state)
{
	(void)snprintf(root, sizeof(root), "/tmp/test-confine-XXXXXX");
	if (mkdtemp(root) == NULL || chmod(root, 0755) < 0 || chdir(root) < 0)
		return -1;
	int a = open("granted", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	int b = open("withheld", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	(void)close(a);
	(void)close(b);
	return a < 0 || b < 0 ? -1 : 0;
}

static int
remove_tree(void **state)
{
	(void)unlink("granted");
	(void)unlink("withheld");
	return rmdir(root);
}

/* Enters the profile as this test's user can: as root in a chroot and as SOMEBODY. */
static int
enter(int keep)
{
	struct error err = {0};
	bool is_root = geteuid() == 0;
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = confine_enter(
	    &profile, dir, is_root ? SOMEBODY : 0, is_root ? SOMEBODY : 0, keep, &err);
	if (r < 0)
		(void)dprintf(2, "%s\n", err.message);
	return r;
}

/* The raw calls below need no more than the profile lists. */
static int
open_errno(const char *path)
{
	return syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0) < 0 ? errno : 0;
}

static int
attack_files(void *data)
{
	if (open_errno("withheld") != 0 || open_errno("/etc/passwd") != 0)
		return 1; /* the control */
	if (enter(3) < 0)
		return 2;
	if (open_errno("granted") != 0)
		return 3;
	if (open_errno("withheld") != EACCES || open_errno("..") != EACCES)
		return 4;
	return open_errno("/etc/passwd") == 0 ? 5 : 0;
}

static void
files_that_the_profile_does_not_grant_are_out_of_reach(void **state)
{
	assert_exited(in_child(attack_files, NULL), 0);
}

static int
attack_syscall(void *data)
{
	if (enter(3) < 0)
		return 2;
	if (syscall(SYS_socket, 2, 1, 0) != -1 || errno != EAFNOSUPPORT)
		return 3;
	syscall(SYS_getuid);
	return 4;
}

static void
a_system_call_that_is_not_listed_kills(void **state)
{
	assert_killed_by(in_child(attack_syscall, NULL), SIGSYS);
}

static int
attack_signal(void *data)
{
	if (enter(3) < 0)
		return 2;
	return kill(getppid(), 0) < 0 && errno == EPERM ? 0 : 3;
}

static void
signals_do_not_leave_the_domain(void **state)
{
	assert_exited(in_child(attack_signal, NULL), 0);
}

static int
attack_descriptor(void *data)
{
	int kept = fcntl(0, F_DUPFD, 3), lost = fcntl(0, F_DUPFD, 50);
	if (kept < 0 || kept >= 50 || lost < 50 || enter(50) < 0)
		return 1;
	return fcntl(kept, F_GETFD) >= 0 && fcntl(lost, F_GETFD) < 0 ? 0 : 2;
}

static void
descriptors_from_the_given_number_on_are_closed(void **state)
{
	assert_exited(in_child(attack_descriptor, NULL), 0);
}

static int
enter_as_uid_0(void *data)
{
	struct error err = {0};
	return confine_enter(&profile, -1, 0, 0, 3, &err) < 0 && err.message[0] != 0 ? 0 : 1;
}

static void
root_is_refused_as_the_uid_to_become(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_exited(in_child(enter_as_uid_0, NULL), 0);
}

static int
enter_rootless(void *data)
{
	if (geteuid() == 0 &&
	    (setresgid(SOMEBODY, SOMEBODY, SOMEBODY) < 0 ||
		setresuid(SOMEBODY, SOMEBODY, SOMEBODY) < 0))
		return 1;
	if (enter(3) < 0)
		return 2;
	return open_errno("granted") == 0 && open_errno("withheld") == EACCES ? 0 : 3;
}

static void
an_ordinary_user_is_confined_as_well(void **state)
{
	assert_exited(in_child(enter_rootless, NULL), 0);
}

static bool
status_has(const char *status, const char *line)
{
	return strstr(status, line) != NULL;
}

static void
read_status(pid_t pid, char *ret, size_t size)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, ret, size - 1);
	(void)close(fd);
	ret[n > 0 ? n : 0] = 0;
}

static void
the_kernel_shows_the_locks(void **state)
{
	int ready[2], stay[2];
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(stay), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char c = enter(stay[1] + 1) < 0 ? 'n' : 'y';
		(void)!write(ready[1], &c, 1);
		(void)!read(stay[0], &c, 1);
		_exit(0);
	}
	char c = 'n', status[8192];
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	read_status(pid, status, sizeof(status));
	assert_true(status_has(status, "Seccomp:\t2"));
	assert_true(status_has(status, "NoNewPrivs:\t1"));
	assert_true(status_has(status, "CapEff:\t0000000000000000"));
	assert_true(status_has(status, "CapPrm:\t0000000000000000"));
	if (geteuid() == 0) {
		assert_true(status_has(status, "CapBnd:\t0000000000000000"));
		assert_true(status_has(status, "Uid:\t65533\t65533\t65533\t65533"));
		assert_true(status_has(status, "Gid:\t65533\t65533\t65533\t65533"));
		assert_true(status_has(status, "Groups:\t \n"));
	}
	assert_int_equal(write(stay[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_that_the_profile_does_not_grant_are_out_of_reach),
	    cmocka_unit_test(a_system_call_that_is_not_listed_kills),
	    cmocka_unit_test(signals_do_not_leave_the_domain),
	    cmocka_unit_test(descriptors_from_the_given_number_on_are_closed),
	    cmocka_unit_test(root_is_refused_as_the_uid_to_become),
	    cmocka_unit_test(an_ordinary_user_is_confined_as_well),
	    cmocka_unit_test(the_kernel_shows_the_locks),
	};
	if (landlock_abi() == 0)
		return 77; /* meson: skipped */
	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
