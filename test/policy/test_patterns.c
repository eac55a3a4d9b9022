/* Patterns: what matches, what is refused as not plain. */
#include "helper.h"

#include "policy/patterns.h"

struct match_case {
	const char *pattern, *text;
	bool matches;
};

static void
check_cases(const struct match_case *cases, size_t n, bool (*match)(const char *, const char *))
{
	for (size_t i = 0; i < n; i++)
		if (match(cases[i].pattern, cases[i].text) != cases[i].matches)
			fail_msg("%s against %s: expected %d", cases[i].pattern, cases[i].text,
			    cases[i].matches);
}

static void
a_star_in_a_host_is_one_label(void **state)
{
	static const struct match_case cases[] = {
	    {"example.com", "example.com", true},
	    {"example.com", "EXAMPLE.com", true},
	    {"example.com", "www.example.com", false},
	    {"example.com", "example.com.evil.org", false},
	    {"*.example.com", "www.example.com", true},
	    {"*.example.com", "example.com", false},
	    {"*.example.com", "evilexample.com", false},
	    {"*.example.com", ".example.com", false},
	    {"*.example.com", "a.b.example.com", false},
	    {"**.example.com", "a.b.example.com", true},
	    {"**.example.com", "a.example.com", true},
	    {"**.example.com", "example.com", false},
	    {"**.example.com", "evilexample.com", false},
	    {"example.com", "example.com.", false},
	};
	check_cases(cases, ARRAY_LEN(cases), host_match);
}

static void
a_deny_rule_sees_hosts_more_broadly(void **state)
{
	static const struct match_case cases[] = {
	    {"*.example.com", "a.b.example.com", true},
	    {"*.example.com", "A.EXAMPLE.COM.", true},
	    {"example.com", "example.com.", true},
	    {"example.com", "xexample.com", false},
	    {"**.example.com", "example.com", false},
	};
	check_cases(cases, ARRAY_LEN(cases), host_touch);
}

static void
hosts_that_others_may_read_differently_are_not_plain(void **state)
{
	static const char *const plain[] = {"example.com", "a", "xn--bcher-kva.example", "10.0.0.1",
	    "::1", "[2001:db8::1]", "_dmarc.example.com", "3com.com", "1.example"};
	static const char *const odd[] = {"", ".", "example.com.", "a..b", ".a",
	    "ex\xc3\xa4mple.com", "a b", "a/b", "127.1", "0x7f.0.0.1", "0x7f000001", "2130706433",
	    "010.0.0.1", "a%2eb", "a@b", "a:80", "[::1", "256.1.1.1"};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (!host_is_plain(plain[i]))
			fail_msg("%s should be plain", plain[i]);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		if (host_is_plain(odd[i]))
			fail_msg("%s should not be plain", odd[i]);
}

static void
a_star_in_a_path_stays_within_its_segment(void **state)
{
	static const struct match_case cases[] = {
	    {"/a/*", "/a/b", true},
	    {"/a/*", "/a/b/c", false},
	    {"/a/*", "/a/", true},
	    {"/a/*", "/a", false},
	    {"/a/**", "/a/b/c", true},
	    {"/a/**", "/a/", true},
	    {"/a/**", "/a", false},
	    {"/a/**", "/ab", false},
	    {"/**/x", "/a/b/x", true},
	    {"/**/x", "/x", false},
	    {"**", "", true},
	    {"**", "/any/thing", true},
	    {"*", "a/b", false},
	    {"/a/*/c/**/e", "/a/b/c/d/d/e", true},
	    {"/a/*/c/**/e", "/a/b/b/c/d/e", false},
	    {"*.py", "x.py", true},
	    {"*.py", "d/x.py", false},
	    {"**.py", "d/x.py", true},
	    {"a*b*c", "aXbYc", true},
	    {"a*b*c", "aXbY", false},
	    {"**a*b", "xx/aaab", true},
	    {"**a*b/c", "a/xb/ayb/c", true},
	    {"A", "a", false},
	};
	check_cases(cases, ARRAY_LEN(cases), path_match);
}

static void
paths_that_others_may_normalise_are_not_plain(void **state)
{
	static const char *const plain[] = {
	    "/", "/a", "/a/", "/a/b.c", "/.hidden", "/a..b", "/...", "/a%20b", "/%C3%A4"};
	static const char *const odd[] = {"", "a", "/..", "/a/../b", "/a/.", "/./a", "//a", "/a//b",
	    "/a\\b", "/a%2eb", "/%2E%2e/x", "/a%2Fb", "/a%5cb", "/a%00", "/a%0a", "/%61", "/a%",
	    "/a%2", "/a%zz", "/a%25", "/a\x01", "/a\nb", "/a?b", "/a#b", "/a b", "/a\x7f"};
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (!url_path_is_plain(plain[i]))
			fail_msg("%s should be plain", plain[i]);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++)
		if (url_path_is_plain(odd[i]))
			fail_msg("%s should not be plain", odd[i]);
}

static void
networks_hold_their_addresses_only(void **state)
{
	static const struct match_case cases[] = {
	    {"10.0.0.0/8", "10.255.0.1", true},
	    {"10.0.0.0/8", "11.0.0.1", false},
	    {"192.0.2.7", "192.0.2.7", true},
	    {"192.0.2.7", "192.0.2.8", false},
	    {"192.0.2.4/30", "192.0.2.7", true},
	    {"192.0.2.4/30", "192.0.2.8", false},
	    {"fd00::/8", "fd12::1", true},
	    {"fd00::/8", "[fd12::1]", true},
	    {"fd00::/8", "fe80::1", false},
	    {"0.0.0.0/0", "::1", false},
	    {"0.0.0.0/0", "1.2.3.4", true},
	    {"10.0.0.0/8", "ten.example", false},
	};
	check_cases(cases, ARRAY_LEN(cases), cidr_match);
	assert_non_null(check_cidr("10.0.0.0/33"));
	assert_non_null(check_cidr("10.0.0/8"));
	assert_non_null(check_cidr("10.0.0.0/"));
	assert_null(check_cidr("::/0"));
}

static void
a_table_is_found_with_and_without_public(void **state)
{
	static const struct match_case permit[] = {
	    {"customers", "customers", true},
	    {"customers", "public.customers", true},
	    {"public.customers", "customers", true},
	    {"customers", "crm.customers", false},
	    {"crm.*", "crm.x", true},
	    {"crm.*", "crm.x.y", false},
	    {"log_*", "log_2024", true},
	    {"*", "crm.x", false},
	    {"customers", "Customers", false},
	};
	static const struct match_case touch[] = {
	    {"customers", "crm.customers", true},
	    {"customers", "CUSTOMERS", true},
	    {"crm.customers", "customers", true},
	    {"crm.customers", "other.customers", false},
	    {"secret_*", "x.secret_y", true},
	    {"public.a", "a", true},
	};
	check_cases(permit, ARRAY_LEN(permit), relation_match);
	check_cases(touch, ARRAY_LEN(touch), relation_touch);
}

static void
a_glob_takes_no_exponential_time(void **state)
{
	char pattern[201], text[5001];
	for (size_t i = 0; i < 200; i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[199] = 'b';
	pattern[200] = 0;
	memset(text, 'a', 5000);
	text[5000] = 0;
	assert_false(glob_match(pattern, text));
	assert_false(path_match(pattern, text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_star_in_a_host_is_one_label),
	    cmocka_unit_test(a_deny_rule_sees_hosts_more_broadly),
	    cmocka_unit_test(hosts_that_others_may_read_differently_are_not_plain),
	    cmocka_unit_test(a_star_in_a_path_stays_within_its_segment),
	    cmocka_unit_test(paths_that_others_may_normalise_are_not_plain),
	    cmocka_unit_test(networks_hold_their_addresses_only),
	    cmocka_unit_test(a_table_is_found_with_and_without_public),
	    cmocka_unit_test(a_glob_takes_no_exponential_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
