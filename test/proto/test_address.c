/* Addresses: their classes against the registries, and which spellings are read. */
#include "unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proto/address.h"

struct classed {
	const char *text; /* any spelling */
	enum address_class class;
};

static const struct classed classed[] = {
    {"1.1.1.1", ADDRESS_PUBLIC},
    {"8.8.8.8", ADDRESS_PUBLIC},
    {"93.184.216.34", ADDRESS_PUBLIC},
    {"223.255.255.255", ADDRESS_PUBLIC},
    {"2606:4700:4700::1111", ADDRESS_PUBLIC},
    {"2a00:1450:4001:82a::200e", ADDRESS_PUBLIC},
    {"2003::1", ADDRESS_PUBLIC},
    /* the clouds */
    {"169.254.169.254", ADDRESS_METADATA},
    {"169.254.169.253", ADDRESS_METADATA},
    {"169.254.170.2", ADDRESS_METADATA},
    {"169.254.170.23", ADDRESS_METADATA},
    {"169.254.0.23", ADDRESS_METADATA},
    {"169.254.42.42", ADDRESS_METADATA},
    {"100.100.100.200", ADDRESS_METADATA},
    {"100.96.0.96", ADDRESS_METADATA},
    {"168.63.129.16", ADDRESS_METADATA},
    {"192.0.0.192", ADDRESS_METADATA},
    {"fd00:ec2::254", ADDRESS_METADATA},
    {"fd00:ec2::23", ADDRESS_METADATA},
    {"fd20:ce::254", ADDRESS_METADATA},
    {"fd00:c1::a9fe:a9fe", ADDRESS_METADATA},
    {"fd00:a9fe:a9fe::1", ADDRESS_METADATA},
    {"fd00:42::42", ADDRESS_METADATA},
    {"fe80::a9fe:a9fe", ADDRESS_METADATA},
    /* both ends of each range, and what lies just outside */
    {"0.0.0.0", ADDRESS_UNSPECIFIED},
    {"0.255.255.255", ADDRESS_UNSPECIFIED},
    {"1.0.0.0", ADDRESS_PUBLIC},
    {"9.255.255.255", ADDRESS_PUBLIC},
    {"10.0.0.0", ADDRESS_PRIVATE},
    {"10.255.255.255", ADDRESS_PRIVATE},
    {"11.0.0.0", ADDRESS_PUBLIC},
    {"100.63.255.255", ADDRESS_PUBLIC},
    {"100.64.0.0", ADDRESS_SHARED},
    {"100.127.255.255", ADDRESS_SHARED},
    {"100.128.0.0", ADDRESS_PUBLIC},
    {"126.255.255.255", ADDRESS_PUBLIC},
    {"127.0.0.1", ADDRESS_LOOPBACK},
    {"127.255.255.255", ADDRESS_LOOPBACK},
    {"128.0.0.0", ADDRESS_PUBLIC},
    {"169.253.255.255", ADDRESS_PUBLIC},
    {"169.254.0.0", ADDRESS_LINK_LOCAL},
    {"169.254.255.255", ADDRESS_LINK_LOCAL},
    {"169.255.0.0", ADDRESS_PUBLIC},
    {"172.15.255.255", ADDRESS_PUBLIC},
    {"172.16.0.0", ADDRESS_PRIVATE},
    {"172.31.255.255", ADDRESS_PRIVATE},
    {"172.32.0.0", ADDRESS_PUBLIC},
    {"192.0.0.0", ADDRESS_PROTOCOL},
    {"192.0.0.170", ADDRESS_PROTOCOL},
    {"192.0.1.0", ADDRESS_PUBLIC},
    {"192.0.2.0", ADDRESS_DOCUMENTATION},
    {"192.0.3.0", ADDRESS_PUBLIC},
    {"192.31.196.1", ADDRESS_RELAY},
    {"192.52.193.1", ADDRESS_RELAY},
    {"192.88.99.1", ADDRESS_6TO4},
    {"192.167.255.255", ADDRESS_PUBLIC},
    {"192.168.0.0", ADDRESS_PRIVATE},
    {"192.168.255.255", ADDRESS_PRIVATE},
    {"192.169.0.0", ADDRESS_PUBLIC},
    {"192.175.48.1", ADDRESS_RELAY},
    {"198.17.255.255", ADDRESS_PUBLIC},
    {"198.18.0.0", ADDRESS_BENCHMARK},
    {"198.19.255.255", ADDRESS_BENCHMARK},
    {"198.20.0.0", ADDRESS_PUBLIC},
    {"198.51.100.7", ADDRESS_DOCUMENTATION},
    {"203.0.113.255", ADDRESS_DOCUMENTATION},
    {"224.0.0.0", ADDRESS_MULTICAST},
    {"239.255.255.255", ADDRESS_MULTICAST},
    {"240.0.0.0", ADDRESS_RESERVED},
    {"255.255.255.254", ADDRESS_RESERVED},
    {"255.255.255.255", ADDRESS_BROADCAST},
    {"::", ADDRESS_UNSPECIFIED},
    {"::1", ADDRESS_LOOPBACK},
    {"::2", ADDRESS_COMPATIBLE},
    {"::127.0.0.1", ADDRESS_COMPATIBLE},
    {"::ffff:0:127.0.0.1", ADDRESS_COMPATIBLE},
    {"::fffe:7f00:1", ADDRESS_RESERVED},
    {"64:ff9b::a00:1", ADDRESS_NAT64},
    {"64:ff9b::169.254.169.254", ADDRESS_NAT64},
    {"64:ff9b:1::7f00:1", ADDRESS_NAT64},
    {"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", ADDRESS_NAT64},
    {"64:ff9b:2::1", ADDRESS_RESERVED},
    {"64:ff9b:0:1::1", ADDRESS_RESERVED},
    {"100::1", ADDRESS_DISCARD},
    {"100:0:0:1::1", ADDRESS_DISCARD},
    {"100:0:0:2::1", ADDRESS_RESERVED},
    {"200::1", ADDRESS_RESERVED},
    {"1fff:ffff::1", ADDRESS_RESERVED},
    {"2001::1", ADDRESS_TEREDO},
    {"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", ADDRESS_TEREDO},
    {"2001:1::1", ADDRESS_PROTOCOL},
    {"2001:2::1", ADDRESS_BENCHMARK},
    {"2001:2:1::1", ADDRESS_PROTOCOL},
    {"2001:3::1", ADDRESS_RELAY},
    {"2001:4:112::1", ADDRESS_RELAY},
    {"2001:10::1", ADDRESS_PROTOCOL}, /* ORCHID */
    {"2001:20::1", ADDRESS_PROTOCOL}, /* ORCHIDv2 */
    {"2001:1ff:ffff::1", ADDRESS_PROTOCOL},
    {"2001:200::1", ADDRESS_PUBLIC},
    {"2001:db8::1", ADDRESS_DOCUMENTATION},
    {"2001:db9::1", ADDRESS_PUBLIC},
    {"2002:7f00:1::", ADDRESS_6TO4},
    {"2002:a9fe:a9fe::1", ADDRESS_6TO4},
    {"2620:4f:8000::1", ADDRESS_RELAY},
    {"3fff:fff:ffff::1", ADDRESS_DOCUMENTATION},
    {"3fff:1000::1", ADDRESS_PUBLIC},
    {"4000::1", ADDRESS_RESERVED},
    {"5f00::1", ADDRESS_SEGMENT},
    {"fbff::1", ADDRESS_RESERVED},
    {"fc00::1", ADDRESS_UNIQUE_LOCAL},
    {"fd52:6600::1", ADDRESS_UNIQUE_LOCAL},
    {"fdff:ffff::1", ADDRESS_UNIQUE_LOCAL},
    {"fe00::1", ADDRESS_RESERVED},
    {"fe80::1", ADDRESS_LINK_LOCAL},
    {"febf::1", ADDRESS_LINK_LOCAL},
    {"fec0::1", ADDRESS_SITE_LOCAL},
    {"feff::1", ADDRESS_SITE_LOCAL},
    {"ff02::1", ADDRESS_MULTICAST},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ADDRESS_MULTICAST},
};

static void
every_address_has_the_class_that_the_registries_give_it(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(classed); i++) {
		uint8_t address[16];
		assert_int_equal(address_parse_any(classed[i].text, address), 0);
		if (address_classify(address) != classed[i].class)
			fail_msg("%s: %s", classed[i].text,
			    address_class_name(address_classify(address)));
	}
}

static void
a_mapped_address_has_the_class_of_the_one_inside(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(classed); i++) {
		char text[80] = "::ffff:";
		uint8_t inner[16], mapped[16];
		if (strchr(classed[i].text, ':') != NULL)
			continue;
		(void)snprintf(text, sizeof(text), "::ffff:%s", classed[i].text);
		assert_int_equal(address_parse_any(text, mapped), 0);
		assert_int_equal(address_parse_any(classed[i].text, inner), 0);
		assert_memory_equal(mapped, inner, 16);
		assert_int_equal(address_classify(mapped), classed[i].class);
	}
}

static void
every_class_has_a_name(void **state)
{
	for (int class = 0; class < ADDRESS_CLASSES; class ++)
		assert_non_null(address_class_name((enum address_class) class));
	assert_non_null(address_class_name((enum address_class)99));
}

static void
canonical_spellings_are_read_and_written_alike(void **state)
{
	static const char *const texts[] = {"0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1",
	    "1::", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "2001:0:0:1::1", "2001:db8::1:0:0:1",
	    "1:2:3:4:5:6:7:8", "fe80::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "0:1:2:3:4:5:6:7",
	    "1:2:3:4:5:6:7:0", "::1:2:3:4:5:6", "1:2:3:4:5:6::"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		uint8_t address[16];
		char text[ADDRESS_TEXT];
		if (address_parse(texts[i], address) != 0)
			fail_msg("%s is not read", texts[i]);
		address_format(address, text);
		assert_string_equal(text, texts[i]);
	}
}

static void
roundabout_spellings_are_not_addresses(void **state)
{
	static const char *const texts[] = {"", " 1.1.1.1", "1.1.1.1 ", "127.1", "127.0.1",
	    "2130706433", "0x7f.0.0.1", "0x7f000001", "017700000001", "0177.0.0.1", "127.0.0.01",
	    "127.000.0.1", "00.0.0.0", "256.0.0.1", "1.2.3.4.", ".1.2.3.4", "1..2.3", "1.2.3",
	    "1.2.3.4.5", "+1.2.3.4", "-1.2.3.4", "1.2.3.4%25", "1.2.3.4:80", "1.2.3.4/32",
	    "１.1.1.1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:0:0:1", "::0001", "::01",
	    "0::1", "::1%lo", "[::1]", "fe80::1%eth0", "2001:DB8::1", "2001:db8:0::1",
	    "2001:db8::0:1", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8",
	    ":1", "1:", ":::", "::1:", "12345::", "g::1", "::127.0.0.1", "64:ff9b::169.254.169.254",
	    "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "::1.2.3.4:5", "2001:db8:0:0:1::1"};
	uint8_t address[16];
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (address_parse(texts[i], address) == 0)
			fail_msg("%s is read", texts[i]);
}

/* Our reader and writer, beside the C library's. */
static void
the_c_library_reads_and_writes_the_same(void **state)
{
	unsigned seed = 1;
	for (int i = 0; i < 20000; i++) {
		uint8_t address[16], again[16];
		for (int j = 0; j < 16; j += 2) {
			seed = seed * 1103515245 + 12345;
			bool zero = seed >> 16 & 1;
			address[j] = zero ? 0 : (uint8_t)(seed >> 20);
			address[j + 1] = zero ? 0 : (uint8_t)(seed >> 12);
		}
		char ours[ADDRESS_TEXT], theirs[INET6_ADDRSTRLEN];
		address_format(address, ours);
		assert_int_equal(address_parse(ours, again), 0);
		assert_memory_equal(address, again, 16);
		assert_int_equal(inet_pton(AF_INET6, ours, again), 1);
		assert_memory_equal(address, again, 16);
		assert_non_null(inet_ntop(AF_INET6, address, theirs, sizeof(theirs)));
		assert_int_equal(address_parse_any(theirs, again), 0);
		assert_memory_equal(address, again, 16);
	}
}

static void
a_network_contains_its_own_and_no_other(void **state)
{
	static const struct {
		const char *cidr, *address;
		bool contains;
	} cases[] = {
	    {"10.0.0.0/8", "10.255.1.2", true},
	    {"10.0.0.0/8", "11.0.0.0", false},
	    {"10.1.2.3", "10.1.2.3", true},
	    {"10.1.2.3", "10.1.2.4", false},
	    {"10.1.2.0/23", "10.1.3.255", true},
	    {"10.1.2.0/23", "10.1.4.0", false},
	    {"0.0.0.0/0", "8.8.8.8", true},
	    {"0.0.0.0/0", "::1", false},
	    {"::/0", "2606::1", true},
	    {"::/0", "8.8.8.8", false},
	    {"::/0", "::ffff:8.8.8.8", false},
	    {"fd00::/8", "fd52:6600::1", true},
	    {"fd00::/8", "fc00::1", false},
	    {"::1/128", "::1", true},
	    {"2001:db8::/33", "2001:db8:7fff::1", true},
	    {"2001:db8::/33", "2001:db8:8000::1", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cidr cidr;
		uint8_t address[16];
		assert_int_equal(cidr_parse(cases[i].cidr, &cidr), 0);
		assert_int_equal(address_parse_any(cases[i].address, address), 0);
		if (cidr_contains(&cidr, address) != cases[i].contains)
			fail_msg("%s in %s", cases[i].address, cases[i].cidr);
	}
}

static void
a_network_that_is_not_one_is_refused(void **state)
{
	static const char *const texts[] = {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
	    "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8 ", "10.0.0.1/8", "10/8", "::/129", "::1/64",
	    "10.0.0.0/8/8", "::ffff:10.0.0.0/104", "::ffff:0:0/96", "fd00::/0008", "localhost/8"};
	struct cidr cidr;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (cidr_parse(texts[i], &cidr) == 0)
			fail_msg("%s is read", texts[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_address_has_the_class_that_the_registries_give_it),
	    cmocka_unit_test(a_mapped_address_has_the_class_of_the_one_inside),
	    cmocka_unit_test(every_class_has_a_name),
	    cmocka_unit_test(canonical_spellings_are_read_and_written_alike),
	    cmocka_unit_test(roundabout_spellings_are_not_addresses),
	    cmocka_unit_test(the_c_library_reads_and_writes_the_same),
	    cmocka_unit_test(a_network_contains_its_own_and_no_other),
	    cmocka_unit_test(a_network_that_is_not_one_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
