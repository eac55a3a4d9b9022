/* The service manager is told, at a path and at an abstract address; without one nothing happens. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sys/notify.h"

/* A datagram socket at ADDRESS ("@name" or a path), as the manager has one. */
static int
listen_at(const char *address)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t len = strlen(address);
	memcpy(at.sun_path, address, len);
	if (address[0] == '@')
		at.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, size), 0);
	return fd;
}

static void
assert_received(int fd, const char *text)
{
	char got[64] = "";
	assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), strlen(text));
	assert_string_equal(got, text);
}

static void
the_manager_hears_at_a_path(void **state)
{
	char path[64];
	(void)state;
	(void)snprintf(path, sizeof(path), "/tmp/test-notify-%d", (int)getpid());
	int fd = listen_at(path);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	assert_int_equal(notify_manager("READY=1"), 0);
	assert_received(fd, "READY=1");
	(void)unlink(path);
	(void)close(fd);
}

static void
the_manager_hears_at_an_abstract_address_that_children_do_not_see(void **state)
{
	char address[64];
	(void)state;
	(void)snprintf(address, sizeof(address), "@test-notify-%d", (int)getpid());
	int fd = listen_at(address);
	assert_int_equal(setenv("NOTIFY_SOCKET", address, 1), 0);
	notify_keep();
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_int_equal(notify_manager("STOPPING=1"), 0);
	assert_received(fd, "STOPPING=1");
	(void)close(fd);
}

static void
an_address_that_is_none_or_too_long_is_an_error_and_nobody_is_no_error(void **state)
{
	char longer[300];
	(void)state;
	assert_int_equal(setenv("NOTIFY_SOCKET", "vsock:2:1234", 1), 0);
	assert_int_equal(notify_manager("READY=1"), -EAFNOSUPPORT);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(setenv("NOTIFY_SOCKET", longer, 1), 0);
	assert_int_equal(notify_manager("READY=1"), -EAFNOSUPPORT);
	assert_int_equal(setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1), 0);
	assert_int_equal(notify_manager("READY=1"), -ENOENT);
	assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
	assert_int_equal(notify_manager("READY=1"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_manager_hears_at_a_path),
	    cmocka_unit_test(
		an_address_that_is_none_or_too_long_is_an_error_and_nobody_is_no_error),
	    cmocka_unit_test(the_manager_hears_at_an_abstract_address_that_children_do_not_see),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
