/* resolv.conf and hosts: what is in them is found, what is odd in them is passed over. */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "dialer/settings.h"
#include "proto/address.h"

static void
assert_resolvers(const char *text, const char *expected)
{
	struct buf out;
	buf_init(&out, 1024);
	assert_int_equal(settings_resolv_conf(text, &out), 0);
	assert_string_equal(buf_str(&out), expected);
	buf_done(&out);
}

static void
name_servers_are_read_from_resolv_conf(void **state)
{
	assert_resolvers("", "");
	assert_resolvers("# nothing\nsearch example.org\noptions ndots:5\n", "");
	assert_resolvers("nameserver 10.0.0.53\n", "10.0.0.53:53");
	assert_resolvers(
	    "search x\nnameserver\t10.0.0.53 # first\n  nameserver 2001:DB8::53\nnameserver ::1",
	    "10.0.0.53:53,[2001:db8::53]:53,[::1]:53");
	assert_resolvers("nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver "
			 "1.1.1.4\n",
	    "1.1.1.1:53,1.1.1.2:53,1.1.1.3:53");
	assert_resolvers("nameserver\nnameserver x\nnameservers 1.1.1.1\n#nameserver 1.1.1.1\n"
			 ";nameserver 1.1.1.2\nnameserver 010.0.0.1\r\nnameserver 9.9.9.9\r\n",
	    "9.9.9.9:53");
}

static size_t
find(const struct settings *s, const char *name, const char *expected_first)
{
	uint8_t found[4][16];
	char text[ADDRESS_TEXT];
	size_t n = settings_find(s, name, found, 4);
	if (n > 0) {
		address_format(found[0], text);
		assert_string_equal(text, expected_first);
	}
	return n;
}

static void
hosts_are_found_by_every_name_in_any_case(void **state)
{
	struct settings s = {.hosts = NULL};
	assert_int_equal(settings_hosts("127.0.0.1\tlocalhost\n"
					"10.1.2.3 Db.Example.ORG db # the database\n"
					"fd12::3 db\n"
					"x.y nobody\n10.0.0.9\n\n# 10.0.0.8 comment\n"
					"10.0.0.7 bad!name good. a_b\n10.0.0.6 last",
			     &s),
	    0);
	assert_int_equal(find(&s, "localhost", "127.0.0.1"), 1);
	assert_int_equal(find(&s, "db.example.org", "10.1.2.3"), 1);
	assert_int_equal(find(&s, "db", "10.1.2.3"), 2);
	assert_int_equal(find(&s, "good", "10.0.0.7"), 1);
	assert_int_equal(find(&s, "a_b", "10.0.0.7"), 1);
	assert_int_equal(find(&s, "last", "10.0.0.6"), 1);
	assert_int_equal(find(&s, "nobody", ""), 0);
	assert_int_equal(find(&s, "comment", ""), 0);
	assert_int_equal(find(&s, "", ""), 0);
	settings_done(&s);
}

static void
a_configuration_comes_before_the_systems(void **state)
{
	static const char text[] =
	    "people: {}\nnetwork: {resolvers: [\"[::1]:5353\", 10.0.0.53]}\n";
	int p[2];
	struct settings s;
	struct error err = {.message = ""};
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], text, strlen(text)), strlen(text));
	(void)close(p[1]);
	if (settings_read(p[0], &s, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(buf_str(&s.resolvers), "[::1]:5353,10.0.0.53:53");
	settings_done(&s);
	(void)close(p[0]);
}

static void
a_configuration_that_is_wrong_stops_the_program(void **state)
{
	int p[2];
	struct settings s;
	struct error err = {.message = ""};
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "network: {resolvers: [a]}\n", 26), 26);
	(void)close(p[1]);
	assert_true(settings_read(p[0], &s, &err) < 0);
	assert_string_equal(err.code, "config_invalid");
	assert_non_null(strstr(err.message, "config.yaml:1:"));
	(void)close(p[0]);
}

static void
without_anything_this_host_resolves(void **state)
{
	struct settings s;
	struct error err;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(settings_read(null, &s, &err), 0);
	assert_true(s.resolvers.len > 0);
	settings_done(&s);
	(void)close(null);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(name_servers_are_read_from_resolv_conf),
	    cmocka_unit_test(hosts_are_found_by_every_name_in_any_case),
	    cmocka_unit_test(a_configuration_comes_before_the_systems),
	    cmocka_unit_test(a_configuration_that_is_wrong_stops_the_program),
	    cmocka_unit_test(without_anything_this_host_resolves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
