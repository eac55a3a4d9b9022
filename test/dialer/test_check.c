/* The decision table of addresses, from the outside: what a rule must say for each kind of address. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "dialer/check.h"

static struct pins
pins_of(const char *json)
{
	struct pins pins = {.given = false};
	struct json *v = NULL;
	struct error err;
	if (json == NULL)
		return pins;
	assert_int_equal(json_parse(json, strlen(json), &v, &err), 0);
	assert_int_equal(pins_read(v, &pins), 0);
	json_free(v);
	return pins;
}

static const char *
check(const char *address, const char *json, bool own)
{
	uint8_t bytes[16];
	assert_int_equal(address_parse_any(address, bytes), 0);
	struct pins pins = pins_of(json);
	const char *why = check_address(bytes, &pins, own);
	pins_done(&pins);
	return why;
}

static void
assert_permitted(const char *address, const char *pins)
{
	const char *why = check(address, pins, false);
	if (why != NULL)
		fail_msg("%s with %s: %s", address, pins != NULL ? pins : "no pins", why);
}

static void
assert_refused(const char *address, const char *pins)
{
	if (check(address, pins, false) == NULL)
		fail_msg("%s with %s is permitted", address, pins != NULL ? pins : "no pins");
}

static void
without_pins_only_the_public_internet_is_permitted(void **state)
{
	static const char *const public[] = {"93.184.216.34", "8.8.8.8", "1.1.1.1",
	    "2606:2800:220:1:248:1893:25c8:1946", "2001:4860:4860::8888"};
	static const char *const refused[] = {"0.0.0.0", "0.1.2.3", "::", "127.0.0.1",
	    "127.255.255.254", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
	    "fc00::1", "fd00::1", "fec0::1", "169.254.1.1", "169.254.169.254", "fe80::1",
	    "100.64.0.1", "100.100.100.200", "224.0.0.1", "239.255.255.250", "ff02::1",
	    "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1",
	    "198.18.0.1", "198.19.255.255", "192.0.0.8", "192.88.99.1", "168.63.129.16",
	    "fd00:ec2::254", "fd52:6600::1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::1",
	    "2001:0:1::1", "::10.0.0.1", "::ffff:0:a00:1", "2001:db8::1", "100::1", "5f00::1",
	    "4000::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"};
	for (size_t i = 0; i < ARRAY_LEN(public); i++)
		assert_permitted(public[i], NULL);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_refused(refused[i], NULL);
	/* The control: mapped is not by itself a reason. */
	assert_permitted("::ffff:93.184.216.34", NULL);
}

static void
with_pins_only_what_is_in_them_is_permitted(void **state)
{
	assert_permitted("10.1.2.3", "[\"10.0.0.0/8\"]");
	assert_permitted("::ffff:10.1.2.3", "[\"10.0.0.0/8\"]");
	assert_permitted("10.1.2.3", "[\"192.168.0.0/16\",\"10.1.2.3\"]");
	assert_permitted("fd12::3", "[\"fd00::/8\"]");
	assert_permitted("100.64.0.9", "[\"100.64.0.0/10\"]");
	assert_permitted("93.184.216.34", "[\"93.184.216.0/24\"]");
	assert_permitted("10.200.1.1", "[\"10.1.2.3/8\"]");
	assert_refused("11.0.0.1", "[\"10.1.2.3/8\"]");
	assert_permitted("fd12::3", "[\"fdff:1::1/8\"]");
	assert_refused("127.0.0.1", "[\"127.0.0.1/0\"]");
	assert_refused("11.1.2.3", "[\"10.0.0.0/8\"]");
	assert_refused("93.184.216.34", "[\"10.0.0.0/8\"]");
	assert_refused("93.184.216.34", "[]");
	assert_refused("fd12::3", "[\"10.0.0.0/8\"]");
	assert_refused("10.1.2.3", "[\"::/0\"]");
}

static void
a_wide_pin_does_not_mean_loopback_metadata_or_a_disguise(void **state)
{
	static const struct {
		const char *address, *wide, *narrow;
	} cases[] = {
	    {"127.0.0.1", "[\"0.0.0.0/0\"]", "[\"127.0.0.0/8\"]"},
	    {"127.0.0.1", "[\"126.0.0.0/7\"]", "[\"127.0.0.1\"]"},
	    {"::1", "[\"::/0\"]", "[\"::1\"]"},
	    {"::1", "[\"::/64\"]", "[\"::1/128\"]"},
	    {"169.254.169.254", "[\"169.254.0.0/16\"]", "[\"169.254.169.254\"]"},
	    {"169.254.169.254", "[\"169.254.169.254/31\"]", "[\"169.254.169.254/32\"]"},
	    {"100.100.100.200", "[\"100.64.0.0/10\"]", "[\"100.100.100.200\"]"},
	    {"168.63.129.16", "[\"168.0.0.0/8\"]", "[\"168.63.129.16\"]"},
	    {"fd00:ec2::254", "[\"fd00::/8\"]", "[\"fd00:ec2::254\"]"},
	    {"64:ff9b::a9fe:a9fe", "[\"64:ff9b::/96\"]", "[\"64:ff9b::a9fe:a9fe\"]"},
	    {"2002:7f00:1::1", "[\"2002::/16\"]", "[\"2002:7f00:1::1\"]"},
	    {"2001:0:1::1", "[\"2001::/32\"]", "[\"2001:0:1::1\"]"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_refused(cases[i].address, cases[i].wide);
		assert_permitted(cases[i].address, cases[i].narrow);
	}
	/* A pin for something else beside the wide one changes nothing. */
	assert_refused("127.0.0.1", "[\"0.0.0.0/0\",\"127.0.0.2\"]");
	assert_permitted("127.0.0.1", "[\"0.0.0.0/0\",\"127.0.0.1\"]");
}

static void
some_addresses_are_never_permitted(void **state)
{
	assert_refused("0.0.0.0", "[\"0.0.0.0\"]");
	assert_refused("::", "[\"::\"]");
	assert_refused("224.0.0.1", "[\"224.0.0.1\"]");
	assert_refused("ff02::1", "[\"ff02::1\"]");
	assert_refused("255.255.255.255", "[\"255.255.255.255\"]");
	assert_refused("100::1", "[\"100::1\"]");
}

static void
an_address_of_this_host_needs_a_pin_of_that_very_address(void **state)
{
	assert_non_null(check("93.184.216.34", NULL, true));
	assert_non_null(check("93.184.216.34", "[\"93.184.216.0/24\"]", true));
	assert_null(check("93.184.216.34", "[\"93.184.216.34\"]", true));
	assert_non_null(check("10.1.2.3", "[\"10.0.0.0/8\"]", true));
	assert_null(check("10.1.2.3", "[\"10.1.2.3/32\"]", true));
	/* Loopback is always its own; the rule for it stays. */
	assert_null(check("127.0.0.1", "[\"127.0.0.0/8\"]", true));
	assert_non_null(check("0.0.0.0", "[\"0.0.0.0\"]", true));
}

static void
what_is_no_network_is_refused_whole(void **state)
{
	static const char *const bad[] = {"[\"10.0.0.0/8\",\"x\"]", "[\"10.0.0.1/\"]",
	    "[\"10.0.0.1/8x\"]", "[\"10.0.0.1/-8\"]", "[\"/8\"]", "[\"::ffff:10.0.0.1/104\"]",
	    "[\"10.0.0.1/0008\"]", "[\"10.0.0.0/33\"]", "[\"010.0.0.1\"]", "[\"fe80::1%1\"]",
	    "[\"\"]", "[1]"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct json *v = NULL;
		struct error err;
		struct pins pins;
		assert_int_equal(json_parse(bad[i], strlen(bad[i]), &v, &err), 0);
		assert_int_equal(pins_read(v, &pins), -EINVAL);
		json_free(v);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_pins_only_the_public_internet_is_permitted),
	    cmocka_unit_test(with_pins_only_what_is_in_them_is_permitted),
	    cmocka_unit_test(a_wide_pin_does_not_mean_loopback_metadata_or_a_disguise),
	    cmocka_unit_test(some_addresses_are_never_permitted),
	    cmocka_unit_test(an_address_of_this_host_needs_a_pin_of_that_very_address),
	    cmocka_unit_test(what_is_no_network_is_refused_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
