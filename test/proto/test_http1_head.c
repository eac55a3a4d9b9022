/* Heads, byte by byte: what may stand where. */
#include "http1_rows.h"

#define HOST "Host: a.example\r\n"
#define BAD -EBADMSG

static void
test_a_request_line_is_three_parts_with_one_space_between(void **state)
{
	static const struct row rows[] = {
	    {"plain", BYTES("GET / HTTP/1.1\r\n" HOST "\r\n"), 0},
	    {"odd but legal method", BYTES("M!#$%&'*+-.^_`|~ / HTTP/1.1\r\n" HOST "\r\n"), 0},
	    {"version 1.0", BYTES("GET / HTTP/1.0\r\n" HOST "\r\n"), 0},
	    {"asterisk", BYTES("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 0},
	    {"two spaces", BYTES("GET  / HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"two spaces before the version", BYTES("GET /  HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"tab for a space", BYTES("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"tab after the target", BYTES("GET /\tHTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"vertical tab", BYTES("GET\v/ HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"space in the target", BYTES("GET /a b HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"a whole request line as target", BYTES("GET / HTTP/1.1 HTTP/1.1\r\n" HOST "\r\n"),
		BAD},
	    {"space at the end", BYTES("GET / HTTP/1.1 \r\n" HOST "\r\n"), BAD},
	    {"space at the front", BYTES(" GET / HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"no method", BYTES("/ HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"no target", BYTES("GET HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"colon in the method", BYTES("GET: / HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"NUL in the method", BYTES("GE\0T / HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"high byte in the method", BYTES("G\xc3\x8bT / HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"high byte in the target", BYTES("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"NUL in the target", BYTES("GET /a\0b HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"DEL in the target", BYTES("GET /\x7f HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"CR in the target", BYTES("GET /\r HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"LF in the target", BYTES("GET /\n HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"no-break space", BYTES("GET\xa0/ HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"TLS where HTTP is expected", BYTES("\x16\x03\x01\x02\x00\x01"), BAD},
	};
	rows_check_requests(rows, ARRAY_LEN(rows));
}

static void
test_only_versions_1_0_and_1_1_are_spoken(void **state)
{
	static const struct row rows[] = {
	    {"HTTP/0.9", BYTES("GET /\r\n"), BAD},
	    {"HTTP/0.9 with a number", BYTES("GET / HTTP/0.9\r\n\r\n"), -EPROTONOSUPPORT},
	    {"the HTTP/2 preface", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), -EPROTONOSUPPORT},
	    {"HTTP/1.2", BYTES("GET / HTTP/1.2\r\n" HOST "\r\n"), -EPROTONOSUPPORT},
	    {"HTTP/3.0", BYTES("GET / HTTP/3.0\r\n" HOST "\r\n"), -EPROTONOSUPPORT},
	    {"lower case", BYTES("GET / http/1.1\r\n" HOST "\r\n"), BAD},
	    {"mixed case", BYTES("GET / Http/1.1\r\n" HOST "\r\n"), BAD},
	    {"no minor", BYTES("GET / HTTP/1\r\n" HOST "\r\n"), BAD},
	    {"two digits", BYTES("GET / HTTP/1.10\r\n" HOST "\r\n"), BAD},
	    {"leading zero", BYTES("GET / HTTP/01.1\r\n" HOST "\r\n"), BAD},
	    {"comma", BYTES("GET / HTTP/1,1\r\n" HOST "\r\n"), BAD},
	    {"another protocol", BYTES("GET / ICAP/1.1\r\n" HOST "\r\n"), BAD},
	    {"RTSP", BYTES("DESCRIBE rtsp://a/ RTSP/1.0\r\n\r\n"), BAD},
	    {"sign", BYTES("GET / HTTP/+1.1\r\n" HOST "\r\n"), BAD},
	};
	rows_check_requests(rows, ARRAY_LEN(rows));
}

static void
test_lines_end_in_cr_and_lf_and_nothing_else(void **state)
{
	static const struct row rows[] = {
	    {"bare LF everywhere", BYTES("GET / HTTP/1.1\nHost: a\n\n"), BAD},
	    {"bare LF after the request line", BYTES("GET / HTTP/1.1\n" HOST "\r\n"), BAD},
	    {"bare LF after a header", BYTES("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"), BAD},
	    {"bare LF as the empty line", BYTES("GET / HTTP/1.1\r\n" HOST "\n"), BAD},
	    {"bare CR after the request line", BYTES("GET / HTTP/1.1\r" HOST "\r\n"), BAD},
	    {"bare CR in a value",
		BYTES("GET / HTTP/1.1\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n"), BAD},
	    {"bare CR as the empty line", BYTES("GET / HTTP/1.1\r\n" HOST "\rX"), BAD},
	    {"CR CR LF", BYTES("GET / HTTP/1.1\r\r\n" HOST "\r\n"), BAD},
	    {"CR CR LF after a header", BYTES("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"), BAD},
	    {"LF CR", BYTES("GET / HTTP/1.1\r\nHost: a\n\r\n"), BAD},
	    {"an empty line first", BYTES("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"LF first", BYTES("\nGET / HTTP/1.1\r\n" HOST "\r\n"), BAD},
	    {"form feed as a line end", BYTES("GET / HTTP/1.1\r\nX: a\fY: b\r\n\r\n"), BAD},
	    {"next line (NEL) in a value is only a byte",
		BYTES("GET / HTTP/1.1\r\n" HOST "X: a\x85Y: b\r\n\r\n"), 0},
	};
	rows_check_requests(rows, ARRAY_LEN(rows));
}

static void
test_a_header_is_a_name_a_colon_and_a_value_on_one_line(void **state)
{
	static const struct row rows[] = {
	    {"empty value", BYTES("GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n"), 0},
	    {"value of white space", BYTES("GET / HTTP/1.1\r\n" HOST "X: \t \r\n\r\n"), 0},
	    {"bytes above 0x7f in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: \xc3\xa9\r\n\r\n"),
		0},
	    {"colons in the value", BYTES("GET / HTTP/1.1\r\n" HOST "X: a:b::c\r\n\r\n"), 0},
	    {"space before the colon", BYTES("GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n"), BAD},
	    {"tab before the colon",
		BYTES("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding\t: chunked\r\n\r\n"), BAD},
	    {"space before the colon of Content-Length",
		BYTES("POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n"), BAD},
	    {"NUL before the colon",
		BYTES("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding\0: chunked\r\n\r\n"), BAD},
	    {"space at the front of a name", BYTES("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), BAD},
	    {"space within a name",
		BYTES("GET / HTTP/1.1\r\n" HOST "Transfer Encoding: chunked\r\n\r\n"), BAD},
	    {"obs-fold with a space", BYTES("GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"), BAD},
	    {"obs-fold with a tab",
		BYTES("GET / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\tchunked\r\n\r\n"), BAD},
	    {"obs-fold after the request line", BYTES("GET / HTTP/1.1\r\n\tX: a\r\n\r\n"), BAD},
	    {"a line of a space alone", BYTES("GET / HTTP/1.1\r\n" HOST " \r\n\r\n"), BAD},
	    {"no colon", BYTES("GET / HTTP/1.1\r\n" HOST "Nonsense\r\n\r\n"), BAD},
	    {"no name", BYTES("GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n"), BAD},
	    {"HTTP/2's pseudo header", BYTES("GET / HTTP/1.1\r\n" HOST ":path: /x\r\n\r\n"), BAD},
	    {"NUL in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"), BAD},
	    {"backspace in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: a\bb\r\n\r\n"), BAD},
	    {"escape in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: \x1b[2J\r\n\r\n"), BAD},
	    {"DEL in a value", BYTES("GET / HTTP/1.1\r\n" HOST "X: \x7f\r\n\r\n"), BAD},
	    {"high byte in a name", BYTES("GET / HTTP/1.1\r\n" HOST "X\xa0: y\r\n\r\n"), BAD},
	    {"quoted name", BYTES("GET / HTTP/1.1\r\n" HOST "\"Content-Length\": 5\r\n\r\n"), BAD},
	    {"bracket in a name", BYTES("GET / HTTP/1.1\r\n" HOST "X[0]: y\r\n\r\n"), BAD},
	    {"a request line among the headers",
		BYTES("GET / HTTP/1.1\r\n" HOST "GET /b HTTP/1.1\r\n\r\n"), BAD},
	};
	rows_check_requests(rows, ARRAY_LEN(rows));
}

static void
test_a_status_line_is_a_version_a_status_and_perhaps_a_reason(void **state)
{
	static const struct row rows[] = {
	    {"plain", BYTES("HTTP/1.1 200 OK\r\n\r\n"), 0},
	    {"no reason", BYTES("HTTP/1.1 200 \r\n\r\n"), 0},
	    {"no reason and no space", BYTES("HTTP/1.1 200\r\n\r\n"), 0},
	    {"a reason of words", BYTES("HTTP/1.1 404 Not\tFound \xc3\xa9\r\n\r\n"), 0},
	    {"a status outside the classes", BYTES("HTTP/1.1 999 Go away\r\n\r\n"), 0},
	    {"two digits", BYTES("HTTP/1.1 20 OK\r\n\r\n"), BAD},
	    {"four digits", BYTES("HTTP/1.1 2000 OK\r\n\r\n"), BAD},
	    {"leading zero", BYTES("HTTP/1.1 020 OK\r\n\r\n"), BAD},
	    {"sign", BYTES("HTTP/1.1 +20 OK\r\n\r\n"), BAD},
	    {"tab after the status", BYTES("HTTP/1.1 200\tOK\r\n\r\n"), BAD},
	    {"two spaces", BYTES("HTTP/1.1  200 OK\r\n\r\n"), BAD},
	    {"version 2", BYTES("HTTP/2 200 OK\r\n\r\n"), BAD},
	    {"version 2.0", BYTES("HTTP/2.0 200 OK\r\n\r\n"), -EPROTONOSUPPORT},
	    {"shoutcast", BYTES("ICY 200 OK\r\n\r\n"), BAD},
	    {"HTTP/0.9", BYTES("<html>"), BAD},
	    {"bare LF", BYTES("HTTP/1.1 200 OK\n\n"), BAD},
	    {"bare CR in the reason", BYTES("HTTP/1.1 200 OK\rX: y\r\n\r\n"), BAD},
	    {"splitting by a bare LF in a value",
		BYTES("HTTP/1.1 200 OK\r\nLocation: /\nSet-Cookie: a=b\r\n\r\n"), BAD},
	    {"splitting by a bare CR in a value",
		BYTES("HTTP/1.1 200 OK\r\nLocation: /\rSet-Cookie: a=b\r\n\r\n"), BAD},
	    {"obs-fold", BYTES("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"), BAD},
	    {"space before the colon", BYTES("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n"), BAD},
	    {"NUL in a value", BYTES("HTTP/1.1 200 OK\r\nX: \0\r\n\r\n"), BAD},
	    {"an empty line first", BYTES("\r\nHTTP/1.1 200 OK\r\n\r\n"), BAD},
	};
	rows_check_responses(rows, ARRAY_LEN(rows));
}

static void
test_the_parts_are_where_they_stand(void **state)
{
	static const char text[] =
	    "PUT /x?y=z HTTP/1.1\r\nHost:a.example\r\nX-One: \t two words \t\r\n"
	    "Content-Length: 12\r\n\r\n";
	struct http_head head;
	struct error err;
	int r = http_request_parse((const uint8_t *)text, sizeof(text) - 1, &head, &err);
	assert_int_equal(r, sizeof(text) - 1);
	assert_int_equal(head.len, sizeof(text) - 1);
	assert_true(http_text_is(head.method, "PUT"));
	assert_true(http_text_is(head.target, "/x?y=z"));
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.n_headers, 3);
	assert_true(http_text_is(head.headers[0].name, "Host"));
	assert_true(http_text_is(head.headers[0].value, "a.example"));
	assert_true(http_text_is(head.headers[1].value, "two words"));
	assert_ptr_equal(http_find(&head, "x-oNE"), &head.headers[1]);
	assert_null(http_find(&head, "X-On"));
	assert_null(http_find(&head, "X-One:"));
	assert_int_equal(head.body, HTTP_BODY_LENGTH);
	assert_int_equal(head.length, 12);

	static const char response[] = "HTTP/1.0 404  Not  here \r\nA:\r\n\r\n";
	r = http_response_parse(
	    (const uint8_t *)response, sizeof(response) - 1, "GET", &head, &err);
	assert_int_equal(r, sizeof(response) - 1);
	assert_int_equal(head.status, 404);
	assert_int_equal(head.minor, 0);
	assert_true(http_text_is(head.reason, "Not  here"));
	assert_int_equal(head.headers[0].value.len, 0);
}

static void
test_too_many_headers_and_too_large_a_head_are_told_apart_from_nonsense(void **state)
{
	struct http_head head;
	struct error err;
	_cleanup_buf_ struct buf text;
	buf_init(&text, 200000);
	(void)buf_add_str(&text, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (int i = 1; i < HTTP_HEADERS_MAX; i++)
		(void)buf_addf(&text, "X%d: y\r\n", i);
	size_t full = text.len;
	(void)buf_add_str(&text, "\r\n");
	assert_int_equal(http_request_parse(text.data, text.len, &head, &err), text.len);
	text.len = full;
	(void)buf_add_str(&text, "Y: z\r\n\r\n");
	assert_int_equal(http_request_parse(text.data, text.len, &head, &err), -EMSGSIZE);

	buf_clear(&text);
	(void)buf_add_str(&text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	while (text.len < HTTP_HEAD_MAX - 4)
		(void)buf_add_char(&text, 'x');
	(void)buf_add_str(&text, "\r\n\r\n");
	assert_int_equal(text.len, HTTP_HEAD_MAX);
	assert_int_equal(http_request_parse(text.data, text.len - 1, &head, &err), 0);
	assert_int_equal(http_request_parse(text.data, text.len, &head, &err), HTTP_HEAD_MAX);
	text.len -= 4;
	(void)buf_add_char(&text, 'x');
	(void)buf_add_str(&text, "\r\n\r\n");
	assert_int_equal(http_request_parse(text.data, HTTP_HEAD_MAX - 1, &head, &err), 0);
	assert_int_equal(http_request_parse(text.data, HTTP_HEAD_MAX, &head, &err), -EMSGSIZE);
	assert_int_equal(http_request_parse(text.data, text.len, &head, &err), -EMSGSIZE);
	assert_string_equal(err.code, "http_too_large");
}

static void
test_a_refusal_says_what_was_refused(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost : a\r\n\r\n";
	struct http_head head;
	struct error err;
	assert_int_equal(
	    http_request_parse((const uint8_t *)text, sizeof(text) - 1, &head, &err), -EBADMSG);
	assert_string_equal(err.code, "http_malformed");
	assert_string_equal(err.message, "a header name with a byte that is not of a name");
	assert_int_equal(
	    http_request_parse((const uint8_t *)text, sizeof(text) - 1, &head, NULL), -EBADMSG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_request_line_is_three_parts_with_one_space_between),
	    cmocka_unit_test(test_only_versions_1_0_and_1_1_are_spoken),
	    cmocka_unit_test(test_lines_end_in_cr_and_lf_and_nothing_else),
	    cmocka_unit_test(test_a_header_is_a_name_a_colon_and_a_value_on_one_line),
	    cmocka_unit_test(test_a_status_line_is_a_version_a_status_and_perhaps_a_reason),
	    cmocka_unit_test(test_the_parts_are_where_they_stand),
	    cmocka_unit_test(
		test_too_many_headers_and_too_large_a_head_are_told_apart_from_nonsense),
	    cmocka_unit_test(test_a_refusal_says_what_was_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
