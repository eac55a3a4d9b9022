/* Where a request goes: targets and Hosts, and every spelling that could be two hosts. */
#include "http1_rows.h"

struct going {
	const char *line; /* method and target */
	const char *host; /* the Host header's value, or NULL for none (then it is version 1.0) */
	const char *is;   /* "SCHEME HOST PORT PATH QUERY", or NULL: refused */
};

static void
going_check(const struct going *row)
{
	char text[2048], is[1024];
	struct http_head head;
	struct http_where where;
	struct error err;
	if (row->host != NULL)
		snprintf(
		    text, sizeof(text), "%s HTTP/1.1\r\nHost: %s\r\n\r\n", row->line, row->host);
	else
		snprintf(text, sizeof(text), "%s HTTP/1.0\r\n\r\n", row->line);
	int r = http_request_parse((const uint8_t *)text, strlen(text), &head, &err);
	if (r > 0)
		r = http_where(&head, &where, &err);
	if (row->is == NULL) {
		if (r != -EBADMSG || err.message[0] == 0)
			fail_msg("%s, Host: %s: %d (host %s)", row->line, row->host, r, where.host);
		return;
	}
	if (r != 0)
		fail_msg("%s, Host: %s: %s", row->line, row->host, err.message);
	snprintf(is, sizeof(is), "%s %s %d %.*s %.*s", where.scheme, where.host, where.port,
	    (int)where.path.len, where.path.at, (int)where.query.len, where.query.at);
	assert_string_equal(is, row->is);
}

static void
rows_check(const struct going *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		going_check(&rows[i]);
}

static void
test_the_four_forms_of_a_target(void **state)
{
	static const struct going rows[] = {
	    {"GET /", "a.example", " a.example 0 / "},
	    {"GET /b/c?d=e&f", "a.example:8080", " a.example 8080 /b/c d=e&f"},
	    {"GET /?", "a", " a 0 / "},
	    {"GET /?a?b=/c", "a", " a 0 / a?b=/c"},
	    {"GET //b.example/c", "a", " a 0 //b.example/c "},
	    {"GET /http://b.example/", "a", " a 0 /http://b.example/ "},
	    {"GET /a@b", "a", " a 0 /a@b "},
	    {"GET /%2e%2E/x", "a", " a 0 /%2e%2E/x "},
	    {"GET /a|b[c]^?{d}`|", "a", " a 0 /a|b[c]^ {d}`|"},
	    {"OPTIONS *", "a", " a 0  "},
	    {"GET http://a.example", "a.example", "http a.example 0 / "},
	    {"GET http://a.example/", "a.example", "http a.example 0 / "},
	    {"GET http://a.example?q", "a.example", "http a.example 0 / q"},
	    {"GET HTTPS://A.Example:443/B", "a.example", "https a.example 443 /B "},
	    {"GET http://a.example:80/", "A.EXAMPLE", "http a.example 80 / "},
	    {"GET http://a.example/", "a.example:80", "http a.example 0 / "},
	    {"GET http://a.example/", NULL, "http a.example 0 / "},
	    {"CONNECT a.example:443", "a.example:443", " a.example 443  "},
	    {"CONNECT a.example:443", "a.example", " a.example 443  "},
	    {"CONNECT a.example:22", "a.example:22", " a.example 22  "},
	    {"CONNECT a.example:443", NULL, " a.example 443  "},
	    {"CONNECT [::1]:443", "[::1]:443", " ::1 443  "},
	    {"GET *", "a", NULL},
	    {"OPTIONS **", "a", NULL},
	    {"GET a", "a", NULL},
	    {"GET a.example:443", "a.example:443", NULL},
	    {"GET ?a", "a", NULL},
	    {"CONNECT a.example", "a.example", NULL},
	    {"CONNECT /", "a.example", NULL},
	    {"CONNECT http://a.example:80/", "a.example", NULL},
	    {"CONNECT a.example:443/", "a.example:443", NULL},
	    {"CONNECT a.example:443?x", "a.example:443", NULL},
	    {"CONNECT *", "a.example", NULL},
	    {"CONNECT :443", "a.example", NULL},
	    {"connect a.example:443", "a.example:443", NULL},
	};
	rows_check(rows, ARRAY_LEN(rows));
}

static void
test_a_host_header_agrees_with_the_target(void **state)
{
	static const struct going rows[] = {
	    {"GET http://a.example/", "b.example", NULL},
	    {"GET http://a.example/", "a.example:8080", NULL},
	    {"GET http://a.example:8080/", "a.example", NULL},
	    {"GET https://a.example/", "a.example:80", NULL},
	    {"GET http://a.example/", "a.example.b", NULL},
	    {"GET http://a.example/", "", NULL},
	    {"GET http://a.example./", "a.example", "http a.example 0 / "},
	    {"GET http://[::1]/", "[0:0::1]", "http ::1 0 / "},
	    {"GET http://[::1]/", "[::2]", NULL},
	    {"CONNECT a.example:443", "b.example:443", NULL},
	    {"CONNECT a.example:443", "a.example:80", NULL},
	    {"CONNECT a.example:22", "a.example", NULL},
	    {"CONNECT a.example:443", "", NULL},
	};
	rows_check(rows, ARRAY_LEN(rows));
}

static void
test_userinfo_fragments_and_foreign_schemes_are_refused(void **state)
{
	static const struct going rows[] = {
	    {"GET http://user@a.example/", "a.example", NULL},
	    {"GET http://user:word@a.example/", "a.example", NULL},
	    {"GET http://b.example@a.example/", "a.example", NULL},
	    {"GET http://a.example:80@b.example/", "b.example", NULL},
	    {"GET http://@a.example/", "a.example", NULL},
	    {"GET /", "user@a.example", NULL},
	    {"GET /", "a.example:80@b.example", NULL},
	    {"CONNECT user@a.example:443", "a.example:443", NULL},
	    {"GET /#", "a", NULL},
	    {"GET /a#b", "a", NULL},
	    {"GET /?a#b", "a", NULL},
	    {"GET http://a.example#@b.example/", "a.example", NULL},
	    {"GET http://a.example#b", "a.example", NULL},
	    {"GET http://a.example\\@b.example/", "b.example", NULL},
	    {"GET http://a.example\\b", "a.example", NULL},
	    {"GET \\\\a\\b", "a", NULL},
	    {"GET /a\\b", "a", NULL},
	    {"GET /?\\", "a", NULL},
	    {"GET /\"", "a", NULL},
	    {"GET /<script>", "a", NULL},
	    {"GET /?<", "a", NULL},
	    {"GET /%", "a", NULL},
	    {"GET /%0", "a", NULL},
	    {"GET /%zz", "a", NULL},
	    {"GET /?100%", "a", NULL},
	    {"GET /%u002e", "a", NULL},
	    {"GET ftp://a.example/", "a.example", NULL},
	    {"GET file:///etc/passwd", "a.example", NULL},
	    {"GET ws://a.example/", "a.example", NULL},
	    {"GET javascript:1", "a.example", NULL},
	    {"GET http:/a.example/", "a.example", NULL},
	    {"GET http:a.example", "a.example", NULL},
	    {"GET http:///a.example", "a.example", NULL},
	    {"GET http://", "a.example", NULL},
	    {"GET http://:80/", "a.example", NULL},
	    {"GET httpx://a.example/", "a.example", NULL},
	    {"GET http+unix://a.example/", "a.example", NULL},
	    {"GET ://a.example/", "a.example", NULL},
	    {"GET /x://a.example/", "a", " a 0 /x://a.example/ "},
	};
	rows_check(rows, ARRAY_LEN(rows));
}

static void
test_hosts_are_names_of_letters_digits_hyphens_and_underscores(void **state)
{
	static const struct going rows[] = {
	    {"GET /", "A.ExAmPlE", " a.example 0 / "},
	    {"GET /", "a.example.", " a.example 0 / "},
	    {"GET /", "_dmarc.a_b.example:1", " _dmarc.a_b.example 1 / "},
	    {"GET /", "xn--bcher-kva.example", " xn--bcher-kva.example 0 / "},
	    {"GET /", "localhost", " localhost 0 / "},
	    {"GET /", "1.example", " 1.example 0 / "},
	    {"GET /", "", NULL},
	    {"GET /", ".", NULL},
	    {"GET /", "a.example..", NULL},
	    {"GET /", "a..example", NULL},
	    {"GET /", ".a.example", NULL},
	    {"GET /", "a.example/b", NULL},
	    {"GET /", "a.example?b", NULL},
	    {"GET /", "http://a.example", NULL},
	    {"GET /", "a.example, b.example", NULL},
	    {"GET /", "a.example b.example", NULL},
	    {"GET /", "a.example;b", NULL},
	    {"GET /", "a.example%00.b", NULL},
	    {"GET /", "%61.example", NULL},
	    {"GET /", "a%2eexample", NULL},
	    {"GET /", "a.example%", NULL},
	    {"GET /", "*.example", NULL},
	    {"GET /", "\"a.example\"", NULL},
	    {"GET /", "a\\b", NULL},
	    {"GET /",
		"b\xc3\xbc"
		"cher.example",
		NULL},
	    {"GET /",
		"a\xe3\x80\x82"
		"example",
		NULL},
	    {"GET /", "-a.example", NULL},
	    {"GET /", "a-.example", NULL},
	    {"GET http://%61.example/", "a.example", NULL},
	    {"GET http://a.example%2f@b/", "a.example", NULL},
	};
	rows_check(rows, ARRAY_LEN(rows));
}

static void
test_ports_are_plain_numbers(void **state)
{
	static const struct going rows[] = {
	    {"GET /", "a:1", " a 1 / "},
	    {"GET /", "a:65535", " a 65535 / "},
	    {"GET /", "a:", NULL},
	    {"GET /", "a:0", NULL},
	    {"GET /", "a:080", NULL},
	    {"GET /", "a:65536", NULL},
	    {"GET /", "a:4294967376", NULL},
	    {"GET /", "a:-80", NULL},
	    {"GET /", "a:+80", NULL},
	    {"GET /", "a:0x50", NULL},
	    {"GET /", "a:80x", NULL},
	    {"GET /", "a: 80", NULL},
	    {"GET /", "a :80", NULL},
	    {"GET /", "a:80:80", NULL},
	    {"GET /", "a::80", NULL},
	    {"GET /", "a:http", NULL},
	    {"GET /", "[::1]:", NULL},
	    {"GET /", "[::1]80", NULL},
	    {"GET http://a:/", "a", NULL},
	    {"GET http://a:0/", "a", NULL},
	    {"CONNECT a:", "a", NULL},
	    {"CONNECT a:99999", "a:99999", NULL},
	};
	rows_check(rows, ARRAY_LEN(rows));
}

static void
test_addresses_have_one_spelling(void **state)
{
	static const struct going rows[] = {
	    {"GET /", "93.184.216.34", " 93.184.216.34 0 / "},
	    {"GET /", "127.0.0.1:80", " 127.0.0.1 80 / "},
	    {"GET /", "[::1]", " ::1 0 / "},
	    {"GET /", "[2001:DB8:0:0:0:0:0:1]:443", " 2001:db8::1 443 / "},
	    {"GET /", "[64:ff9b::1.2.3.4]", " 64:ff9b::102:304 0 / "},
	    {"GET /", "0177.0.0.1", NULL},
	    {"GET /", "127.0.0.01", NULL},
	    {"GET /", "0x7f.0.0.1", NULL},
	    {"GET /", "0x7f000001", NULL},
	    {"GET /", "0x7f.1", NULL},
	    {"GET /", "2130706433", NULL},
	    {"GET /", "017700000001", NULL},
	    {"GET /", "127.1", NULL},
	    {"GET /", "127.0.1", NULL},
	    {"GET /", "0", NULL},
	    {"GET /", "127.0.0.1.", NULL},
	    {"GET /", "127.0.0.0x1", NULL},
	    {"GET /", "256.0.0.1", NULL},
	    {"GET /", "127.0.0.1.1", NULL},
	    {"GET /", "127.0.0.%31", NULL},
	    {"GET /", "1.2.3.4.5", NULL},
	    {"GET /", "a.1", NULL},
	    {"GET /", "a.0x1", NULL},
	    {"GET /",
		"\xef\xbc\x91"
		"27.0.0.1",
		NULL},
	    {"GET /", "[127.0.0.1]", NULL},
	    {"GET /", "::1", NULL},
	    {"GET /", "2001:db8::1", NULL},
	    {"GET /", "[::1", NULL},
	    {"GET /", "::1]", NULL},
	    {"GET /", "[]", NULL},
	    {"GET /", "[a.example]", NULL},
	    {"GET /", "[[::1]]", NULL},
	    {"GET /", "[::1]]", NULL},
	    {"GET /", "[::1%25lo]", NULL},
	    {"GET /", "[fe80::1%eth0]", NULL},
	    {"GET /", "[v1.x]", NULL},
	    {"GET /", "[::ffff:127.0.0.1]", NULL},
	    {"GET /", "[::ffff:7f00:1]", NULL},
	    {"GET /", "[0:0:0:0:0:FFFF:7F00:1]", NULL},
	    {"GET /", "[::ffff:0177.0.0.1]", NULL},
	    {"GET /", "[1::2::3]", NULL},
	    {"GET /", "[12345::]", NULL},
	    {"GET /", "[::1 ]", NULL},
	    {"GET http://0x7f.1/", "0x7f.1", NULL},
	    {"GET http://[::ffff:127.0.0.1]/", "[::ffff:127.0.0.1]", NULL},
	    {"CONNECT 2130706433:80", "2130706433:80", NULL},
	    {"CONNECT 127.1:80", NULL, NULL},
	};
	rows_check(rows, ARRAY_LEN(rows));
}

static void
test_long_hosts_are_refused_whole(void **state)
{
	char label[65], host[300];
	struct going row = {"GET /", host, NULL};
	memset(label, 'a', 64);
	label[64] = 0;
	snprintf(host, sizeof(host), "%s.example", label);
	going_check(&row);
	label[63] = 0;
	char is[320];
	snprintf(host, sizeof(host), "%s.%s.%s.%.61s", label, label, label, label);
	assert_int_equal(strlen(host), 253);
	snprintf(is, sizeof(is), " %s 0 / ", host);
	row.is = is;
	going_check(&row);
	snprintf(host, sizeof(host), "%s.%s.%s.%.62s", label, label, label, label);
	row.is = NULL;
	going_check(&row);
	snprintf(host, sizeof(host), "[%0200d::1]", 0);
	going_check(&row);
}

static void
test_a_refusal_says_what_was_refused(void **state)
{
	static const char text[] = "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n";
	struct http_head head;
	struct http_where where;
	struct error err;
	assert_true(http_request_parse((const uint8_t *)text, sizeof(text) - 1, &head, &err) > 0);
	assert_int_equal(http_where(&head, &where, &err), -EBADMSG);
	assert_string_equal(err.code, "http_malformed");
	assert_string_equal(err.message, "a user name before the host");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_four_forms_of_a_target),
	    cmocka_unit_test(test_a_host_header_agrees_with_the_target),
	    cmocka_unit_test(test_userinfo_fragments_and_foreign_schemes_are_refused),
	    cmocka_unit_test(test_hosts_are_names_of_letters_digits_hyphens_and_underscores),
	    cmocka_unit_test(test_ports_are_plain_numbers),
	    cmocka_unit_test(test_addresses_have_one_spelling),
	    cmocka_unit_test(test_long_hosts_are_refused_whole),
	    cmocka_unit_test(test_a_refusal_says_what_was_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
