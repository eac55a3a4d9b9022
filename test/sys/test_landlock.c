/* Landlock by attack: what a rule grants works, everything else is refused; the same attempt works
 * before the lock is on (the positive control). */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sys/landlock.h"

static char root[64], inside[96], outside[96];

static int
write_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, "x", 1);
	(void)close(fd);
	return n == 1 ? 0 : -EIO;
}

static int
make_tree(void **state)
{
	(void)snprintf(root, sizeof(root), "/tmp/test-landlock-XXXXXX");
	if (mkdtemp(root) == NULL)
		return -1;
	(void)snprintf(inside, sizeof(inside), "%s/inside", root);
	(void)snprintf(outside, sizeof(outside), "%s/outside", root);
	return write_file(inside) < 0 || write_file(outside) < 0 ? -1 : 0;
}

static int
remove_tree(void **state)
{
	(void)unlink(inside);
	(void)unlink(outside);
	return rmdir(root);
}

static int
open_errno(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

static int
restrict_to(const struct landlock_path *paths, size_t n, uint64_t net, uint64_t scope)
{
	struct error err = {0};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return landlock_restrict(paths, n, net, scope, NULL, &err);
}

static int
attack_files(void *data)
{
	const struct landlock_path paths[] = {
	    {.fd = -1, .path = inside, .access = LL_READ},
	    {.fd = -1, .path = "/nonexistent/at/all", .access = LL_READ},
	};
	if (open_errno(outside, O_RDONLY) != 0 || open_errno(inside, O_WRONLY) != 0)
		return 1; /* the control */
	if (restrict_to(paths, 2, 0, 0) < 0)
		return 2;
	if (open_errno(inside, O_RDONLY) != 0)
		return 3;
	if (open_errno(outside, O_RDONLY) != EACCES || open_errno(inside, O_WRONLY) != EACCES)
		return 4;
	return 0;
}

static void
grants_what_is_listed_and_refuses_the_rest(void **state)
{
	assert_exited(in_child(attack_files, NULL), 0);
}

static int
attack_by_descriptor(void *data)
{
	struct landlock_path path = {
	    .fd = open(root, O_PATH | O_CLOEXEC), .access = LL_READ | LL_WRITE};
	if (restrict_to(&path, 1, 0, 0) < 0)
		return 2;
	if (open_errno(outside, O_RDWR) != 0)
		return 3;
	return open_errno("/etc/passwd", O_RDONLY) == EACCES ? 0 : 4;
}

static void
grants_a_hierarchy_by_descriptor(void **state)
{
	assert_exited(in_child(attack_by_descriptor, NULL), 0);
}

/* A TCP bind to port 0 on loopback. */
static int
bind_errno(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr address = {.sa_family = AF_INET};
	uint8_t loopback[6] = {0, 0, 127, 0, 0, 1};
	memcpy(address.sa_data, loopback, sizeof(loopback));
	int r = bind(fd, &address, 16) < 0 ? errno : 0;
	(void)close(fd);
	return r;
}

static int
attack_tcp(void *data)
{
	if (bind_errno() != 0)
		return 1;
	if (restrict_to(NULL, 0, LL_NET_BIND | LL_NET_CONNECT, 0) < 0)
		return 2;
	return bind_errno() == EACCES ? 0 : 3;
}

static void
refuses_tcp_when_asked(void **state)
{
	if (landlock_abi() < 4)
		skip();
	assert_exited(in_child(attack_tcp, NULL), 0);
}

static int
attack_signal(void *data)
{
	pid_t victim = *(pid_t *)data;
	if (kill(victim, 0) < 0)
		return 1;
	if (restrict_to(NULL, 0, 0, LL_SCOPE_SIGNAL) < 0)
		return 2;
	return kill(victim, 0) < 0 && errno == EPERM ? 0 : 3;
}

static void
refuses_signals_out_of_the_domain_when_asked(void **state)
{
	if (landlock_abi() < 6)
		skip();
	pid_t self = getpid();
	assert_exited(in_child(attack_signal, &self), 0);
}

static int
attack_abstract(void *data)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	(void)snprintf(address.sun_path + 1, 64, "ringfence-test-%d", (int)getppid());
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return 1;
	if (restrict_to(NULL, 0, 0, LL_SCOPE_ABSTRACT) < 0)
		return 2;
	if (connect(other, (struct sockaddr *)&address, sizeof(address)) == 0)
		return 3;
	return errno == EPERM ? 0 : 4;
}

static void
refuses_abstract_sockets_out_of_the_domain_when_asked(void **state)
{
	if (landlock_abi() < 6)
		skip();
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	(void)snprintf(address.sun_path + 1, 64, "ringfence-test-%d", (int)getpid());
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_exited(in_child(attack_abstract, NULL), 0);
	(void)close(fd);
}

static int
restrict_without_no_new_privs(void *data)
{
	if (geteuid() == 0 &&
	    (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
		return 1;
	struct error err = {0};
	int r = landlock_restrict(NULL, 0, 0, 0, NULL, &err);
	return r == -EPERM && err.message[0] != 0 ? 0 : 2;
}

static void
fails_closed_when_the_kernel_refuses(void **state)
{
	assert_exited(in_child(restrict_without_no_new_privs, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(grants_what_is_listed_and_refuses_the_rest),
	    cmocka_unit_test(grants_a_hierarchy_by_descriptor),
	    cmocka_unit_test(refuses_tcp_when_asked),
	    cmocka_unit_test(refuses_signals_out_of_the_domain_when_asked),
	    cmocka_unit_test(refuses_abstract_sockets_out_of_the_domain_when_asked),
	    cmocka_unit_test(fails_closed_when_the_kernel_refuses),
	};
	if (landlock_abi() == 0)
		return 77; /* meson: skipped */
	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
