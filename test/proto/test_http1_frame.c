/* How bodies are framed: every way of public lists to have two readers find two ends (request smuggling). */
#include "http1_rows.h"

#define BAD -EBADMSG
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define TE "Transfer-Encoding: "
#define CL "Content-Length: "

static void
test_content_length_and_transfer_encoding_never_come_together(void **state)
{
	static const struct row rows[] = {
	    {"length alone", BYTES(POST CL "5\r\n\r\n"), 0},
	    {"chunked alone", BYTES(POST TE "chunked\r\n\r\n"), 0},
	    {"CL.TE", BYTES(POST CL "5\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"TE.CL", BYTES(POST TE "chunked\r\n" CL "5\r\n\r\n"), BAD},
	    {"CL.TE with a length of 0", BYTES(POST CL "0\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"TE of nothing", BYTES(POST CL "5\r\n" TE "\r\n\r\n"), BAD},
	    {"TE identity with a length", BYTES(POST CL "5\r\n" TE "identity\r\n\r\n"), BAD},
	    {"chunked in version 1.0", BYTES("POST / HTTP/1.0\r\nHost: a\r\n" TE "chunked\r\n\r\n"),
		BAD},
	    {"both in version 1.0",
		BYTES("POST / HTTP/1.0\r\nHost: a\r\n" CL "5\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"a GET may have a body", BYTES("GET / HTTP/1.1\r\nHost: a\r\n" CL "5\r\n\r\n"), 0},
	};
	rows_check_requests(rows, ARRAY_LEN(rows));
}

static void
test_a_transfer_encoding_is_chunked_and_nothing_else(void **state)
{
	static const struct row rows[] = {
	    {"any case", BYTES(POST "tRANSFER-eNCODING: ChUnKeD\r\n\r\n"), 0},
	    {"no space", BYTES(POST "Transfer-Encoding:chunked\r\n\r\n"), 0},
	    {"spaces around", BYTES(POST TE " chunked  \r\n\r\n"), 0},
	    {"xchunked", BYTES(POST TE "xchunked\r\n\r\n"), BAD},
	    {"chunkedx", BYTES(POST TE "chunkedx\r\n\r\n"), BAD},
	    {"chunk", BYTES(POST TE "chunk\r\n\r\n"), BAD},
	    {"identity", BYTES(POST TE "identity\r\n\r\n"), BAD},
	    {"chunked, identity", BYTES(POST TE "chunked, identity\r\n\r\n"), BAD},
	    {"identity, chunked", BYTES(POST TE "identity, chunked\r\n\r\n"), BAD},
	    {"gzip, chunked", BYTES(POST TE "gzip, chunked\r\n\r\n"), BAD},
	    {"gzip", BYTES(POST TE "gzip\r\n\r\n"), BAD},
	    {"chunked, chunked", BYTES(POST TE "chunked, chunked\r\n\r\n"), BAD},
	    {"an empty element", BYTES(POST TE ", chunked\r\n\r\n"), BAD},
	    {"an empty element at the end", BYTES(POST TE "chunked,\r\n\r\n"), BAD},
	    {"a parameter", BYTES(POST TE "chunked;q=1\r\n\r\n"), BAD},
	    {"quotes", BYTES(POST TE "\"chunked\"\r\n\r\n"), BAD},
	    {"single quotes", BYTES(POST TE "'chunked'\r\n\r\n"), BAD},
	    {"a colon", BYTES(POST TE ": chunked\r\n\r\n"), BAD},
	    {"two headers", BYTES(POST TE "chunked\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"two headers, one of nonsense", BYTES(POST TE "chunked\r\n" TE "cow\r\n\r\n"), BAD},
	    {"two headers, nonsense first", BYTES(POST TE "cow\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"two headers in other cases",
		BYTES(POST TE "chunked\r\ntransfer-encoding: identity\r\n\r\n"), BAD},
	    {"a tab before", BYTES(POST "Transfer-Encoding:\tchunked\r\n\r\n"), BAD},
	    {"a tab after", BYTES(POST TE "chunked\t\r\n\r\n"), BAD},
	    {"a space and a tab after", BYTES(POST TE "chunked \t\r\n\r\n"), BAD},
	    {"a vertical tab before", BYTES(POST TE "\vchunked\r\n\r\n"), BAD},
	    {"a form feed after", BYTES(POST TE "chunked\f\r\n\r\n"), BAD},
	    {"a no-break space before",
		BYTES(POST TE "\xa0"
			      "chunked\r\n\r\n"),
		BAD},
	    {"a NUL after", BYTES(POST TE "chunked\0\r\n\r\n"), BAD},
	    {"a bare CR before", BYTES(POST TE "\rchunked\r\n\r\n"), BAD},
	    {"folded", BYTES(POST TE "\r\n chunked\r\n\r\n"), BAD},
	    {"a high byte",
		BYTES(POST TE "chun\xc4\xb1"
			      "ked\r\n\r\n"),
		BAD},
	    {"an underscore", BYTES(POST "Transfer_Encoding: chunked\r\n\r\n"), BAD},
	    {"an underscore, lower case", BYTES(POST "transfer_encoding: chunked\r\n\r\n"), BAD},
	    {"another name that only begins so", BYTES(POST "Transfer-Encoding-X: chunked\r\n\r\n"),
		0},
	    {"behind another header's bare LF", BYTES(POST "X: y\n" TE "chunked\r\n\r\n"), BAD},
	};
	rows_check_requests(rows, ARRAY_LEN(rows));
}

static void
test_a_content_length_is_one_plain_number(void **state)
{
	static const struct row rows[] = {
	    {"zero", BYTES(POST CL "0\r\n\r\n"), 0},
	    {"eighteen digits", BYTES(POST CL "999999999999999999\r\n\r\n"), 0},
	    {"two, unequal", BYTES(POST CL "5\r\n" CL "6\r\n\r\n"), BAD},
	    {"two, equal", BYTES(POST CL "5\r\n" CL "5\r\n\r\n"), BAD},
	    {"two, other case", BYTES(POST CL "5\r\ncontent-length: 0\r\n\r\n"), BAD},
	    {"a list of equals", BYTES(POST CL "5, 5\r\n\r\n"), BAD},
	    {"a list of unequals", BYTES(POST CL "5,6\r\n\r\n"), BAD},
	    {"an empty element", BYTES(POST CL "5,\r\n\r\n"), BAD},
	    {"nothing", BYTES(POST CL "\r\n\r\n"), BAD},
	    {"plus", BYTES(POST CL "+5\r\n\r\n"), BAD},
	    {"minus", BYTES(POST CL "-5\r\n\r\n"), BAD},
	    {"minus zero", BYTES(POST CL "-0\r\n\r\n"), BAD},
	    {"hexadecimal", BYTES(POST CL "0x5\r\n\r\n"), BAD},
	    {"hexadecimal digits", BYTES(POST CL "a\r\n\r\n"), BAD},
	    {"octal, or leading zeros", BYTES(POST CL "010\r\n\r\n"), BAD},
	    {"zeros", BYTES(POST CL "00\r\n\r\n"), BAD},
	    {"exponent", BYTES(POST CL "1e1\r\n\r\n"), BAD},
	    {"fraction", BYTES(POST CL "5.0\r\n\r\n"), BAD},
	    {"underscore", BYTES(POST CL "1_0\r\n\r\n"), BAD},
	    {"space between digits", BYTES(POST CL "1 0\r\n\r\n"), BAD},
	    {"nonsense after", BYTES(POST CL "5x\r\n\r\n"), BAD},
	    {"a parameter", BYTES(POST CL "5;x=y\r\n\r\n"), BAD},
	    {"quotes", BYTES(POST CL "\"5\"\r\n\r\n"), BAD},
	    {"2^63", BYTES(POST CL "9223372036854775808\r\n\r\n"), BAD},
	    {"2^64", BYTES(POST CL "18446744073709551616\r\n\r\n"), BAD},
	    {"2^64 + 5", BYTES(POST CL "18446744073709551621\r\n\r\n"), BAD},
	    {"2^32 + 5 is only large", BYTES(POST CL "4294967301\r\n\r\n"), 0},
	    {"digits without end", BYTES(POST CL "11111111111111111111111111111111111111\r\n\r\n"),
		BAD},
	    {"digits of another script", BYTES(POST CL "\xd9\xa5\r\n\r\n"), BAD},
	    {"superscript of Latin-1", BYTES(POST CL "\xb2\r\n\r\n"), BAD},
	    {"a tab before", BYTES(POST "Content-Length:\t5\r\n\r\n"), BAD},
	    {"a tab after", BYTES(POST CL "5\t\r\n\r\n"), BAD},
	    {"a vertical tab", BYTES(POST CL "\v5\r\n\r\n"), BAD},
	    {"a NUL after", BYTES(POST CL "5\0\r\n\r\n"), BAD},
	    {"an underscore in the name", BYTES(POST "Content_Length: 5\r\n\r\n"), BAD},
	};
	rows_check_requests(rows, ARRAY_LEN(rows));
}

static void
test_expect_connection_and_connect_cannot_unframe_a_request(void **state)
{
	static const struct row rows[] = {
	    {"Expect", BYTES(POST CL "5\r\nExpect: 100-continue\r\n\r\n"), 0},
	    {"Expect, any case", BYTES(POST TE "chunked\r\nexpect: 100-Continue\r\n\r\n"), 0},
	    {"Expect something else", BYTES(POST CL "5\r\nExpect: 200-ok\r\n\r\n"), BAD},
	    {"Expect obfuscated", BYTES(POST CL "5\r\nExpect: y 100-continue\r\n\r\n"), BAD},
	    {"Expect a list", BYTES(POST CL "5\r\nExpect: 100-continue, x\r\n\r\n"), BAD},
	    {"Expect of nothing", BYTES(POST CL "5\r\nExpect:\r\n\r\n"), BAD},
	    {"two Expects",
		BYTES(POST CL "5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n"), BAD},
	    {"Expect without a body", BYTES(POST "Expect: 100-continue\r\n\r\n"), BAD},
	    {"Expect in version 1.0",
		BYTES("POST / HTTP/1.0\r\nHost: a\r\n" CL "5\r\nExpect: 100-continue\r\n\r\n"),
		BAD},
	    {"Connection names a header", BYTES(POST "Connection: X-One, close\r\n\r\n"), 0},
	    {"Connection names nothing", BYTES(POST "Connection: , ,\r\n\r\n"), 0},
	    {"Connection names Content-Length",
		BYTES(POST CL "5\r\nConnection: content-length\r\n\r\n"), BAD},
	    {"Connection names Host", BYTES(POST "Connection: close, Host\r\n\r\n"), BAD},
	    {"Connection of no list of names", BYTES(POST "Connection: close; x\r\n\r\n"), BAD},
	    {"Connection with white space inside", BYTES(POST "Connection: keep alive\r\n\r\n"),
		BAD},
	    {"CONNECT", BYTES("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), 0},
	    {"CONNECT of version 1.0 without Host", BYTES("CONNECT a:443 HTTP/1.0\r\n\r\n"), 0},
	    {"CONNECT with a length of 0",
		BYTES("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n" CL "0\r\n\r\n"), 0},
	    {"CONNECT with a body",
		BYTES("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n" CL "5\r\n\r\n"), BAD},
	    {"CONNECT with chunks",
		BYTES("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"no Host", BYTES("GET / HTTP/1.1\r\n\r\n"), BAD},
	    {"no Host beside a URL", BYTES("GET http://a/ HTTP/1.1\r\n\r\n"), BAD},
	    {"no Host in version 1.0", BYTES("GET / HTTP/1.0\r\n\r\n"), BAD},
	    {"a URL in version 1.0", BYTES("GET http://a/ HTTP/1.0\r\n\r\n"), 0},
	    {"two Hosts", BYTES("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), BAD},
	    {"two equal Hosts", BYTES("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"), BAD},
	    {"a tab before Host's value", BYTES("GET / HTTP/1.1\r\nHost:\ta\r\n\r\n"), BAD},
	};
	rows_check_requests(rows, ARRAY_LEN(rows));
}

static void
test_a_connection_header_of_any_size_costs_little(void **state)
{
	struct http_head head;
	struct error err;
	_cleanup_buf_ struct buf text;
	buf_init(&text, 200000);
	(void)buf_add_str(&text, POST);
	for (int i = 0; i < 100; i++)
		(void)buf_add_str(&text, "Connection: aaaaaaaaaaaaaaaaaaaaa,\r\n");
	(void)buf_add_str(&text, "\r\n");
	assert_int_equal(http_request_parse(text.data, text.len, &head, &err), -EBADMSG);
}

static void
test_responses_that_contradict_themselves_are_refused(void **state)
{
	static const struct row rows[] = {
	    {"length", BYTES("HTTP/1.1 200 OK\r\n" CL "5\r\n\r\n"), 0},
	    {"chunked", BYTES("HTTP/1.1 200 OK\r\n" TE "chunked\r\n\r\n"), 0},
	    {"neither", BYTES("HTTP/1.1 200 OK\r\n\r\n"), 0},
	    {"both", BYTES("HTTP/1.1 200 OK\r\n" CL "5\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"two lengths", BYTES("HTTP/1.1 200 OK\r\n" CL "5\r\n" CL "6\r\n\r\n"), BAD},
	    {"two equal lengths", BYTES("HTTP/1.1 200 OK\r\n" CL "5\r\n" CL "5\r\n\r\n"), BAD},
	    {"a list of lengths", BYTES("HTTP/1.1 200 OK\r\n" CL "5, 5\r\n\r\n"), BAD},
	    {"a signed length", BYTES("HTTP/1.1 200 OK\r\n" CL "+5\r\n\r\n"), BAD},
	    {"a length that overflows",
		BYTES("HTTP/1.1 200 OK\r\n" CL "18446744073709551621\r\n\r\n"), BAD},
	    {"gzip, chunked", BYTES("HTTP/1.1 200 OK\r\n" TE "gzip, chunked\r\n\r\n"), BAD},
	    {"identity", BYTES("HTTP/1.1 200 OK\r\n" TE "identity\r\n\r\n"), BAD},
	    {"chunked in version 1.0", BYTES("HTTP/1.0 200 OK\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"204 with a length", BYTES("HTTP/1.1 204 No\r\n" CL "5\r\n\r\n"), BAD},
	    {"204 with a length of 0", BYTES("HTTP/1.1 204 No\r\n" CL "0\r\n\r\n"), 0},
	    {"204 with chunks", BYTES("HTTP/1.1 204 No\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"304 with the length of what is not sent",
		BYTES("HTTP/1.1 304 Same\r\n" CL "5\r\n\r\n"), 0},
	    {"304 with a length of nonsense", BYTES("HTTP/1.1 304 Same\r\n" CL "x\r\n\r\n"), BAD},
	    {"100 with a length", BYTES("HTTP/1.1 100 Continue\r\n" CL "5\r\n\r\n"), BAD},
	    {"103 with chunks", BYTES("HTTP/1.1 103 Early\r\n" TE "chunked\r\n\r\n"), BAD},
	    {"HEAD with a length", BYTES("HTTP/1.1 200 OK\r\n" CL "5\r\n\r\n"), 0, "HEAD"},
	    {"HEAD with both", BYTES("HTTP/1.1 200 OK\r\n" CL "5\r\n" TE "chunked\r\n\r\n"), BAD,
		"HEAD"},
	};
	rows_check_responses(rows, ARRAY_LEN(rows));
}

struct framed {
	const char *method, *text; /* method: NULL for a request */
	enum http_body body;
	int64_t length;
	bool keep_alive, upgrade, expect;
};

static void
framed_check(const struct framed *f)
{
	struct http_head head;
	struct error err;
	const uint8_t *bytes = (const uint8_t *)f->text;
	int r = f->method == NULL
	    ? http_request_parse(bytes, strlen(f->text), &head, &err)
	    : http_response_parse(bytes, strlen(f->text), f->method, &head, &err);
	if (r != (int)strlen(f->text))
		fail_msg("%s: %d", f->text, r);
	if (head.body != f->body || head.length != f->length || head.keep_alive != f->keep_alive ||
	    head.upgrade != f->upgrade || head.expect_continue != f->expect)
		fail_msg("%s: body %d of %lld, keep-alive %d, upgrade %d, expect %d", f->text,
		    head.body, (long long)head.length, head.keep_alive, head.upgrade,
		    head.expect_continue);
}

#define V0 "GET / HTTP/1.0\r\nHost: a\r\n"
#define UP "Upgrade: websocket\r\n"

static void
test_what_a_request_says_of_its_body_and_connection(void **state)
{
	static const struct framed rows[] = {
	    {NULL, POST "\r\n", HTTP_BODY_NONE, 0, true},
	    {NULL, POST CL "0\r\n\r\n", HTTP_BODY_LENGTH, 0, true},
	    {NULL, POST CL "70000000000\r\n\r\n", HTTP_BODY_LENGTH, 70000000000, true},
	    {NULL, POST TE "chunked\r\n\r\n", HTTP_BODY_CHUNKED, 0, true},
	    {NULL, POST "Connection: close\r\n\r\n", HTTP_BODY_NONE, 0, false},
	    {NULL, POST "Connection: x, CLOSE\r\n\r\n", HTTP_BODY_NONE, 0, false},
	    {NULL, POST "Connection: x\r\nConnection: close\r\n\r\n", HTTP_BODY_NONE, 0, false},
	    {NULL, POST "Connection: keep-alive, close\r\n\r\n", HTTP_BODY_NONE, 0, false},
	    {NULL, POST "Connection: closed\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {NULL, V0 "\r\n", HTTP_BODY_NONE, 0, false},
	    {NULL, V0 "Connection: Keep-Alive\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {NULL, V0 "Connection: Keep-Alive, close\r\n\r\n", HTTP_BODY_NONE, 0, false},
	    {NULL, POST "Connection: Upgrade\r\n" UP "\r\n", HTTP_BODY_NONE, 0, true, true},
	    {NULL, POST UP "\r\n", HTTP_BODY_NONE, 0, true, false},
	    {NULL, POST "Connection: upgrade\r\n\r\n", HTTP_BODY_NONE, 0, true, false},
	    {NULL, V0 "Connection: upgrade\r\n" UP "\r\n", HTTP_BODY_NONE, 0, false, false},
	    {NULL, POST CL "5\r\nExpect: 100-continue\r\n\r\n", HTTP_BODY_LENGTH, 5, true, false,
		true},
	    {NULL, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n" CL "0\r\n\r\n", HTTP_BODY_NONE, 0, true},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		framed_check(&rows[i]);
}

static void
test_what_a_response_says_of_its_body_and_connection(void **state)
{
	static const struct framed rows[] = {
	    {"GET", "HTTP/1.1 200 OK\r\n\r\n", HTTP_BODY_UNTIL_CLOSE, 0, false},
	    {"GET", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", HTTP_BODY_UNTIL_CLOSE, 0,
		false},
	    {"GET", "HTTP/1.1 200 OK\r\n" CL "5\r\n\r\n", HTTP_BODY_LENGTH, 5, true},
	    {"GET", "HTTP/1.1 200 OK\r\n" CL "5\r\nConnection: close\r\n\r\n", HTTP_BODY_LENGTH, 5,
		false},
	    {"GET", "HTTP/1.0 200 OK\r\n" CL "5\r\n\r\n", HTTP_BODY_LENGTH, 5, false},
	    {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" CL "5\r\n\r\n",
		HTTP_BODY_LENGTH, 5, true},
	    {"GET", "HTTP/1.1 200 OK\r\n" TE "chunked\r\n\r\n", HTTP_BODY_CHUNKED, 0, true},
	    {"HEAD", "HTTP/1.1 200 OK\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {"HEAD", "HTTP/1.1 200 OK\r\n" CL "5\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {"HEAD", "HTTP/1.1 200 OK\r\n" TE "chunked\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {"GET", "HTTP/1.1 204 No\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {"GET", "HTTP/1.1 304 Same\r\n" CL "5\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {"GET", "HTTP/1.1 304 Same\r\n" TE "chunked\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {"GET", "HTTP/1.1 100 Continue\r\n\r\n", HTTP_BODY_NONE, 0, true},
	    {"GET", "HTTP/1.1 101 Over\r\nConnection: upgrade\r\n" UP "\r\n", HTTP_BODY_NONE, 0,
		false, true},
	    {"CONNECT", "HTTP/1.1 200 OK\r\n\r\n", HTTP_BODY_NONE, 0, false},
	    {"CONNECT", "HTTP/1.1 200 OK\r\n" CL "5\r\n\r\n", HTTP_BODY_NONE, 0, false},
	    {"CONNECT", "HTTP/1.1 407 No\r\n" CL "5\r\n\r\n", HTTP_BODY_LENGTH, 5, true},
	    {"GET", "HTTP/1.1 205 Reset\r\n" CL "0\r\n\r\n", HTTP_BODY_LENGTH, 0, true},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		framed_check(&rows[i]);
}

static bool
is_hop(const struct http_head *head, const char *name)
{
	return http_is_hop_by_hop(head, (struct http_text){name, strlen(name)});
}

static void
test_headers_of_one_connection_are_known_and_named(void **state)
{
	static const char text[] =
	    POST "Connection: X-One,, \tx-two \t, close\r\nX-One: 1\r\n"
		 "Accept: a, b;q=1 ,c\r\naccept: D\r\nconnection: three\r\n\r\n";
	struct http_head head;
	struct error err;
	assert_int_equal(http_request_parse((const uint8_t *)text, sizeof(text) - 1, &head, &err),
	    sizeof(text) - 1);
	assert_true(is_hop(&head, "x-one") && is_hop(&head, "X-Two") && is_hop(&head, "Three"));
	assert_true(
	    is_hop(&head, "Connection") && is_hop(&head, "TE") && is_hop(&head, "Keep-Alive"));
	assert_true(is_hop(&head, "proxy-authorization") && is_hop(&head, "Transfer-Encoding"));
	assert_true(is_hop(&head, "Upgrade") && is_hop(&head, "Trailer"));
	assert_true(is_hop(&head, "HTTP2-Settings") && is_hop(&head, "Proxy-Connection"));
	assert_false(is_hop(&head, "Host") || is_hop(&head, "X-On") || is_hop(&head, "x-three"));
	assert_false(is_hop(&head, "Authorization"));
	assert_true(http_has_token(&head, "accept", "a") && http_has_token(&head, "Accept", "C"));
	assert_true(
	    http_has_token(&head, "accept", "d") && http_has_token(&head, "accept", "b;q=1"));
	assert_false(http_has_token(&head, "accept", "b") || http_has_token(&head, "accep", "a"));
}

static void
test_texts_compare_with_their_length(void **state)
{
	struct http_text text = {"Abc\0d", 5}, empty = {"", 0};
	assert_false(http_text_is(text, "Abc") || http_text_is_fold(text, "abc"));
	text.len = 3;
	assert_true(http_text_is(text, "Abc") && http_text_is_fold(text, "aBC"));
	assert_false(
	    http_text_is(text, "abc") || http_text_is(text, "Abcd") || http_text_is(text, "Ab"));
	assert_false(http_text_is_fold(text, "abcd") || http_text_is_fold(text, "ab"));
	assert_true(http_text_is(empty, "") && http_text_is_fold(empty, ""));
	/* '[' and '{' are apart by the bit that cases are apart by. */
	assert_false(http_text_is_fold((struct http_text){"[", 1}, "{"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_content_length_and_transfer_encoding_never_come_together),
	    cmocka_unit_test(test_a_transfer_encoding_is_chunked_and_nothing_else),
	    cmocka_unit_test(test_a_content_length_is_one_plain_number),
	    cmocka_unit_test(test_expect_connection_and_connect_cannot_unframe_a_request),
	    cmocka_unit_test(test_a_connection_header_of_any_size_costs_little),
	    cmocka_unit_test(test_responses_that_contradict_themselves_are_refused),
	    cmocka_unit_test(test_what_a_request_says_of_its_body_and_connection),
	    cmocka_unit_test(test_what_a_response_says_of_its_body_and_connection),
	    cmocka_unit_test(test_headers_of_one_connection_are_known_and_named),
	    cmocka_unit_test(test_texts_compare_with_their_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
