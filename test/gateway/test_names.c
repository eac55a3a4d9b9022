/* Synthetic addresses: which name has which, and that no other address means anything. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "failalloc.h"
#include "gateway/names.h"
#include "proto/address.h"

static struct in6_addr
mapped(struct in_addr ipv4)
{
	struct in6_addr address;
	address_from_ipv4((const uint8_t *)&ipv4, address.s6_addr);
	return address;
}

static struct in6_addr
address_of(const char *text)
{
	struct in6_addr address;
	assert_int_equal(address_parse_any(text, address.s6_addr), 0);
	return address;
}

static void
a_name_keeps_its_number(void **state)
{
	struct names *names = names_new();
	assert_int_equal(names_add(names, "a.example"), 0);
	assert_int_equal(names_add(names, "b.example"), 1);
	assert_int_equal(names_add(names, "a.example"), 0);
	assert_int_equal(names_add(names, "a.exampl"), 2);
	names_free(names);
	assert_null(names_free(NULL));
}

static void
every_name_has_addresses_of_its_own_that_lead_back(void **state)
{
	struct names *names = names_new();
	for (int i = 0; i < NAMES_MAX; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		assert_int_equal(names_add(names, name), i);
	}
	assert_int_equal(names_add(names, "n7.example"), 7);
	assert_int_equal(names_add(names, "one.more"), -ENOSPC);
	for (int i = 0; i < NAMES_MAX; i++) {
		char name[32];
		struct in_addr ipv4;
		struct in6_addr ipv6;
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		names_ipv4(names, i, &ipv4);
		names_ipv6(names, i, &ipv6);
		struct in6_addr both = mapped(ipv4);
		assert_string_equal(names_find(names, &both), name);
		assert_string_equal(names_find(names, &ipv6), name);
		assert_true(names_is_synthetic(&both) && names_is_synthetic(&ipv6));
		assert_int_equal(address_classify(both.s6_addr), ADDRESS_BENCHMARK);
		assert_int_equal(address_classify(ipv6.s6_addr), ADDRESS_UNIQUE_LOCAL);
		uint8_t last = both.s6_addr[15];
		assert_true(last != 0 && last != 255);
		assert_int_not_equal(ipv4.s_addr, inet_addr(NAMES_RESOLVER));
	}
	names_free(names);
}

static void
no_other_address_has_a_name(void **state)
{
	struct names *names = names_new();
	assert_int_equal(names_add(names, "a.example"), 0);
	int found = 0;
	for (uint32_t i = 0; i < 1u << 17; i++) {
		struct in_addr ipv4 = {.s_addr = htonl(0xc6120000u + i)};
		struct in6_addr address = mapped(ipv4);
		found += names_find(names, &address) != NULL;
		assert_true(names_is_synthetic(&address));
	}
	assert_int_equal(found, 1);
	static const char *const others[] = {"198.17.255.255", "198.20.0.0", "127.0.0.1", "::1",
	    "::", "8.8.8.8", "fd52:6600::", "fd52:6600:0:1::1", "fd52:6601::1", "2606::1",
	    NAMES_RESOLVER};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct in6_addr address = address_of(others[i]);
		assert_null(names_find(names, &address));
	}
	names_free(names);
}

static void
one_before_the_first_and_one_behind_the_last_have_none(void **state)
{
	struct names *names = names_new();
	struct in6_addr address;
	assert_int_equal(names_add(names, "a.example"), 0);
	names_ipv6(names, 0, &address);
	assert_non_null(names_find(names, &address));
	names_ipv6(names, 1, &address);
	assert_null(names_find(names, &address));
	names_ipv6(names, -1, &address);
	assert_null(names_find(names, &address));
	struct in_addr ipv4;
	names_ipv4(names, 1, &ipv4);
	address = mapped(ipv4);
	assert_null(names_find(names, &address));
	names_free(names);
}

static void
two_sandboxes_begin_elsewhere(void **state)
{
	int same_v4 = 0;
	for (int i = 0; i < 64; i++) {
		struct names *a = names_new(), *b = names_new();
		assert_int_equal(names_add(a, "a.example"), 0);
		assert_int_equal(names_add(b, "b.example"), 0);
		struct in6_addr a6, b6;
		struct in_addr a4;
		names_ipv6(a, 0, &a6);
		names_ipv6(b, 0, &b6);
		names_ipv4(a, 0, &a4);
		assert_memory_not_equal(&a6, &b6, sizeof(a6));
		assert_null(names_find(b, &a6)); /* what one was given means nothing to the other */
		struct in6_addr a4_mapped = mapped(a4);
		same_v4 += names_find(b, &a4_mapped) != NULL;
		names_free(a);
		names_free(b);
	}
	assert_true(same_v4 <= 1); /* one of 130047 each time */
}

static void
a_name_that_there_is_no_memory_for_has_no_number(void **state)
{
	fail_allocation(0);
	assert_null(names_new());
	struct names *names = names_new();
	for (int i = 0; i < 200; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "n%d.example", i);
		for (long n = 0;; n++) {
			fail_allocation(n);
			int r = names_add(names, name);
			bool failed = allocation_failed();
			fail_allocation(-1);
			assert_int_equal(r, failed ? -ENOMEM : i);
			if (!failed)
				break;
		}
		assert_int_equal(names_add(names, "n0.example"), 0);
	}
	names_free(names);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_keeps_its_number),
	    cmocka_unit_test(every_name_has_addresses_of_its_own_that_lead_back),
	    cmocka_unit_test(no_other_address_has_a_name),
	    cmocka_unit_test(one_before_the_first_and_one_behind_the_last_have_none),
	    cmocka_unit_test(two_sandboxes_begin_elsewhere),
	    cmocka_unit_test(a_name_that_there_is_no_memory_for_has_no_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
