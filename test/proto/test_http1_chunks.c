/* The chunked coding, in every division of its bytes. */
#include "http1_rows.h"

struct chunked {
	const char *what, *bytes;
	size_t len;
	const char *content; /* NULL: refused */
	size_t rest;         /* bytes after the end */
};

/* Feeds BYTES in pieces of PIECE; the content in CONTENT. What is left after the end, -EAGAIN if there is no end, or
 * -EBADMSG. */
static long
chunks_feed(const char *bytes, size_t len, size_t piece, struct buf *content)
{
	struct http_chunks chunks = {0};
	size_t at = 0;
	while (at < len && !chunks.done) {
		size_t end = MIN(at + piece, len);
		while (at < end && !chunks.done) {
			struct http_text got;
			size_t used = 0;
			int r = http_chunks_read(
			    &chunks, (const uint8_t *)bytes + at, end - at, &used, &got);
			if (r < 0) {
				assert_int_equal(
				    http_chunks_read(&chunks, (const uint8_t *)"0", 1, &used, &got),
				    r);
				return r;
			}
			assert_true(used > 0 && used <= end - at);
			assert_true(got.len > 0 || at + used == end || chunks.done);
			(void)buf_add(content, got.at, got.len);
			at += used;
		}
	}
	return chunks.done ? (long)(len - at) : -EAGAIN;
}

static void
chunked_check(const struct chunked *row)
{
	for (size_t piece = 1; piece <= row->len; piece++) {
		_cleanup_buf_ struct buf content;
		buf_init(&content, 1 << 20);
		long r = chunks_feed(row->bytes, row->len, piece, &content);
		if (row->content == NULL) {
			if (r != -EBADMSG)
				fail_msg("%s: %ld in pieces of %zu", row->what, r, piece);
			continue;
		}
		if (r != (long)row->rest || strcmp(buf_str(&content), row->content) != 0)
			fail_msg("%s: %ld, \"%s\" in pieces of %zu", row->what, r,
			    buf_str(&content), piece);
	}
}

static void
test_chunks_are_read_alike_in_every_division(void **state)
{
	static const struct chunked rows[] = {
	    {"nothing", BYTES("0\r\n\r\n"), "", 0},
	    {"one", BYTES("5\r\nhello\r\n0\r\n\r\n"), "hello", 0},
	    {"three", BYTES("5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"), "hello world", 0},
	    {"hexadecimal, any case", BYTES("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
		"01234567890123456789", 0},
	    {"leading zeros", BYTES("000000000000005\r\nhello\r\n000000000000000\r\n\r\n"), "hello",
		0},
	    {"content of line ends", BYTES("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "\r\n\r\n", 0},
	    {"content that looks like the end", BYTES("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), "0\r\n\r\n",
		0},
	    {"the next request is not touched", BYTES("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n"), "a",
		16},
	    {"trailers are dropped", BYTES("1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\nrest"), "a", 4},
	    {"trailers that would frame are dropped",
		BYTES("0\r\nContent-Length: 5\r\nHost: b\r\n\r\n"), "", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		chunked_check(&rows[i]);
}

static void
test_chunks_that_are_nearly_right_are_refused(void **state)
{
	static const struct chunked rows[] = {
	    {"an extension", BYTES("5;x=y\r\nhello\r\n0\r\n\r\n")},
	    {"an empty extension", BYTES("5;\r\nhello\r\n0\r\n\r\n")},
	    {"an extension of the last chunk", BYTES("0;x\r\n\r\n")},
	    {"an extension with a line end", BYTES("5;\nxx\r\nhello\r\n0\r\n\r\n")},
	    {"white space after the size", BYTES("5 \r\nhello\r\n0\r\n\r\n")},
	    {"white space before the size", BYTES(" 5\r\nhello\r\n0\r\n\r\n")},
	    {"a tab after the size", BYTES("5\t\r\nhello\r\n0\r\n\r\n")},
	    {"plus", BYTES("+5\r\nhello\r\n0\r\n\r\n")},
	    {"minus", BYTES("-5\r\nhello\r\n0\r\n\r\n")},
	    {"0x", BYTES("0x5\r\nhello\r\n0\r\n\r\n")},
	    {"an underscore", BYTES("0_5\r\nhello\r\n0\r\n\r\n")},
	    {"no size", BYTES("\r\nhello\r\n0\r\n\r\n")},
	    {"not hexadecimal", BYTES("g\r\nhello\r\n0\r\n\r\n")},
	    {"not hexadecimal, by a bit", BYTES("\x15\r\nhello\r\n0\r\n\r\n")},
	    {"high byte", BYTES("\xb5\r\nhello\r\n0\r\n\r\n")},
	    {"a quotation", BYTES("\"5\"\r\nhello\r\n0\r\n\r\n")},
	    {"2^64", BYTES("10000000000000000\r\nhello\r\n0\r\n\r\n")},
	    {"2^64 + 5", BYTES("10000000000000005\r\nhello\r\n0\r\n\r\n")},
	    {"-1", BYTES("ffffffffffffffff\r\nhello\r\n0\r\n\r\n")},
	    {"sixteen digits", BYTES("0000000000000005\r\nhello\r\n0\r\n\r\n")},
	    {"LF alone after the size", BYTES("5\nhello\r\n0\r\n\r\n")},
	    {"CR alone after the size", BYTES("5\rhello\r\n0\r\n\r\n")},
	    {"CR CR LF after the size", BYTES("5\r\r\nhello\r\n0\r\n\r\n")},
	    {"a NUL after the size", BYTES("5\0\r\nhello\r\n0\r\n\r\n")},
	    {"nothing after the content", BYTES("5\r\nhello0\r\n\r\n")},
	    {"LF alone after the content", BYTES("5\r\nhello\n0\r\n\r\n")},
	    {"CR alone after the content", BYTES("5\r\nhello\r0\r\n\r\n")},
	    {"content longer than said", BYTES("4\r\nhello\r\n0\r\n\r\n")},
	    {"content shorter than said", BYTES("6\r\nhello\r\n0\r\n\r\n")},
	    {"LF alone at the end", BYTES("0\r\n\n")},
	    {"LF alone after the last size", BYTES("0\n\r\n")},
	    {"CR alone at the end", BYTES("0\r\n\rGET")},
	    {"a trailer without a colon", BYTES("0\r\nGET / HTTP/1.1\r\n\r\n")},
	    {"a trailer without a name", BYTES("0\r\n: x\r\n\r\n")},
	    {"a trailer with a space before the colon", BYTES("0\r\nX : y\r\n\r\n")},
	    {"a folded trailer", BYTES("0\r\nX: y\r\n z\r\n\r\n")},
	    {"a trailer that ends in LF alone", BYTES("0\r\nX: y\n\r\n")},
	    {"a trailer with a bare CR", BYTES("0\r\nX: y\rz\r\n\r\n")},
	    {"a trailer with a NUL", BYTES("0\r\nX: \0\r\n\r\n")},
	    {"a trailer that begins with white space", BYTES("0\r\n X: y\r\n\r\n")},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		chunked_check(&rows[i]);
}

static void
test_chunks_without_their_end_are_not_done(void **state)
{
	static const char text[] = "5\r\nhello\r\n0\r\nX: y\r\n\r\n";
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		_cleanup_buf_ struct buf content;
		buf_init(&content, 100);
		assert_int_equal(chunks_feed(text, n, n + 1, &content), -EAGAIN);
	}
}

static void
test_trailers_without_end_are_refused(void **state)
{
	_cleanup_buf_ struct buf text, content;
	buf_init(&text, 100000);
	buf_init(&content, 100);
	(void)buf_add_str(&text, "0\r\n");
	while (text.len < 9000)
		(void)buf_add_str(&text, "X: y\r\n");
	assert_int_equal(chunks_feed(buf_str(&text), text.len, text.len, &content), -EBADMSG);
}

static void
test_what_is_written_is_read_back(void **state)
{
	static const size_t sizes[] = {1, 15, 16, 255, 256, 4095, 65536};
	_cleanup_buf_ struct buf text, content;
	buf_init(&text, 1 << 20);
	buf_init(&content, 1 << 20);
	size_t total = 0;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(http_chunk_begin(&text, sizes[i]), 0);
		memset(buf_reserve(&text, sizes[i]), 'x', sizes[i]);
		buf_grew(&text, sizes[i]);
		(void)buf_add_str(&text, "\r\n");
		total += sizes[i];
	}
	assert_int_equal(http_chunk_begin(&text, 0), 0);
	(void)buf_add_str(&text, "\r\n");
	assert_int_equal(chunks_feed(buf_str(&text), text.len, 1000, &content), 0);
	assert_int_equal(content.len, total);

	buf_clear(&text);
	(void)http_chunk_begin(&text, SIZE_MAX);
	assert_string_equal(buf_str(&text), "ffffffffffffffff\r\n");
	buf_clear(&text);
	(void)http_chunk_begin(&text, 0);
	assert_string_equal(buf_str(&text), "0\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_chunks_are_read_alike_in_every_division),
	    cmocka_unit_test(test_chunks_that_are_nearly_right_are_refused),
	    cmocka_unit_test(test_chunks_without_their_end_are_not_done),
	    cmocka_unit_test(test_trailers_without_end_are_refused),
	    cmocka_unit_test(test_what_is_written_is_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
