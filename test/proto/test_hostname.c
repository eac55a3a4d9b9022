/* Host names: one canonical form, and nothing that somebody else would read in another way. */
#include "unit.h"

#include <string.h>

#include "proto/hostname.h"

#define X10 "xxxxxxxxxx"
#define X63 X10 X10 X10 X10 X10 X10 "xxx"

static void
a_name_has_one_canonical_form(void **state)
{
	static const struct {
		const char *text, *canonical;
	} cases[] = {
	    {"example.com", "example.com"},
	    {"Example.COM", "example.com"},
	    {"EXAMPLE.com.", "example.com"},
	    {"a", "a"},
	    {"a.", "a"},
	    {"_sip._tcp.example.com", "_sip._tcp.example.com"},
	    {"r3---sn-4g5e6nl7.googlevideo.com", "r3---sn-4g5e6nl7.googlevideo.com"},
	    {"0.example", "0.example"},
	    {"127.0.0.1.example", "127.0.0.1.example"},
	    {"1.0.18.198.in-addr.arpa", "1.0.18.198.in-addr.arpa"},
	    {"0xyz", "0xyz"},
	    {"xn--bcher-kva.example", "xn--bcher-kva.example"},
	    {"XN--BCHER-KVA.Example", "xn--bcher-kva.example"},
	    {"xn--maana-pta.com", "xn--maana-pta.com"},
	    {"xn--fiqs8s", "xn--fiqs8s"},
	    {"xn--80ak6aa92e.com",
		"xn--80ak6aa92e.com"}, /* looks like apple.com; is another name */
	    {"xn--ls8h.la", "xn--ls8h.la"},
	    {"xn--dn32g.com", "xn--dn32g.com"}, /* the last character there is */

	    {X63 ".example", X63 ".example"},
	    {X63 "." X63 "." X63 "." X10 X10 X10 X10 X10 X10 "x",
		X63 "." X63 "." X63 "." X10 X10 X10 X10 X10 X10 "x"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char name[HOSTNAME_TEXT];
		int r = hostname_canonical(cases[i].text, strlen(cases[i].text), name);
		if (r != 0)
			fail_msg("%s is refused", cases[i].text);
		assert_string_equal(name, cases[i].canonical);
		assert_true(hostname_is_canonical(name));
		assert_int_equal(hostname_is_canonical(cases[i].text),
		    strcmp(cases[i].text, cases[i].canonical) == 0);
	}
}

static void
what_is_not_a_plain_name_is_refused(void **state)
{
	static const char *const texts[] = {"", ".", "..", ".example.com", "example..com",
	    "example.com..", " example.com", "example.com ", "example.com\t", "exa mple.com",
	    "example.com\n", "example.com\r\n", "example.com:443", "example.com/",
	    "user@example.com", "example.com#", "example.com?", "example.com%00", "example.com%2e",
	    "example\\.com", "[example.com]", "[::1]", "::1", "*", "*.com", "**.com",
	    "-example.com", "example-.com", "example.-com", "-", "a.-.b",
	    /* addresses in any spelling */
	    "127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0x",
	    "1.2.3.4.5", "example.1", "example.0x1f", "0177.0.0.1", "1.",
	    /* Unicode: whole, fullwidth, dots of other scripts, invisible, bidirectional */
	    "b\xc3\xbc"
	    "cher.example",
	    "\xef\xbd\x85xample.com",
	    "example\xe3\x80\x82"
	    "com",
	    "example\xef\xbc\x8e"
	    "com",
	    "exam\xc2\xadple.com", "exam\xe2\x80\x8bple.com",
	    "\xe2\x80\xae"
	    "example.com",
	    "ex\xd0\xb0mple.com", "example.com\x80", "\xff\xfe",
	    /* A-labels that decode to nothing, to ASCII, or not at all */
	    "xn--", "xn--.com", "xn--a-.com", "xn---a.com", "xn--example-.com", "xn--ASCII-.com",
	    "xn--99999999.com", "xn--a-b_c.com", "xn--zzzzzzzzzzzz.com", "xn--0.com",
	    /* a surrogate, and one beyond the last character */
	    "xn--ib9b.com", "xn--en32g.com", X63 "x.example", X63 "." X63 "." X63 "." X63,
	    X63 "." X63 "." X63 "." X10 X10 X10 X10 X10 X10 "xx"};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char name[HOSTNAME_TEXT] = "untouched";
		if (hostname_canonical(texts[i], strlen(texts[i]), name) == 0)
			fail_msg("%s is read", texts[i]);
		assert_string_equal(name, "untouched");
		assert_false(hostname_is_canonical(texts[i]));
	}
}

static void
a_nul_inside_does_not_end_a_name(void **state)
{
	static const char text[] = "example.com\0.evil.org";
	char name[HOSTNAME_TEXT];
	assert_int_not_equal(hostname_canonical(text, sizeof(text) - 1, name), 0);
	assert_int_equal(hostname_canonical(text, strlen(text), name), 0);
}

static void
no_single_byte_but_of_names_is_accepted(void **state)
{
	for (int c = 0; c < 256; c++) {
		char text[] = "axb.example", name[HOSTNAME_TEXT];
		text[1] = (char)c;
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
		assert_int_equal(hostname_canonical(text, sizeof(text) - 1, name) == 0, good);
	}
}

static void
a_name_may_be_made_canonical_in_place(void **state)
{
	char name[HOSTNAME_TEXT] = "WWW.Example.Com.";
	assert_int_equal(hostname_canonical(name, strlen(name), name), 0);
	assert_string_equal(name, "www.example.com");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_has_one_canonical_form),
	    cmocka_unit_test(what_is_not_a_plain_name_is_refused),
	    cmocka_unit_test(a_nul_inside_does_not_end_a_name),
	    cmocka_unit_test(no_single_byte_but_of_names_is_accepted),
	    cmocka_unit_test(a_name_may_be_made_canonical_in_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
