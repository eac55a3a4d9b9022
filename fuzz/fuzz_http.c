/* HTTP/1.1 on arbitrary bytes, as a request, as a response and as chunks: a head is complete at one length only, what was
 * read means the same when it is written anew, and chunks hold the same content in every division. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy without room behind it, so that a sanitizer sees a byte read too far. METHOD: of a response, or NULL. */
static int
parse(const uint8_t *data, size_t size, const char *method, struct http_head *head, uint8_t **copy)
{
	free(*copy);
	*copy = malloc(size + (size == 0));
	assert(*copy != NULL);
	memcpy(*copy, data, size);
	struct error err = {.message = ""};
	int r = method == NULL ? http_request_parse(*copy, size, head, &err)
			       : http_response_parse(*copy, size, method, head, &err);
	assert(r >= 0 || (err.message[0] != 0 && err.code[0] != 0));
	assert(r <= 0 || ((size_t)r <= size && head->len == (size_t)r));
	return r;
}

static bool
text_same(struct http_text a, struct http_text b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool
is_one_line(struct http_text text)
{
	return memchr(text.at, '\r', text.len) == NULL && memchr(text.at, '\n', text.len) == NULL &&
	    memchr(text.at, 0, text.len) == NULL;
}

/* No prefix is complete, and a prefix is refused only for what the whole is refused for. */
static void
check_prefixes(const uint8_t *data, size_t size, const char *method, int whole)
{
	uint8_t *copy = NULL;
	struct http_head head;
	size_t stop = whole > 0 ? (size_t)whole : size;
	size_t step = 1 + stop / 64;
	for (size_t n = 0; n < stop; n += step) {
		int r = parse(data, n, method, &head, &copy);
		assert(r == 0 || (r < 0 && r == whole));
	}
	if (whole > 0) {
		assert(parse(data, stop - 1, method, &head, &copy) == 0);
		assert(parse(data, stop, method, &head, &copy) == whole);
	}
	free(copy);
}

static void
write_anew(const struct http_head *head, struct buf *out)
{
	if (head->status == 0) {
		(void)buf_addf(out, "%.*s %.*s HTTP/1.%d\r\n", (int)head->method.len,
		    head->method.at, (int)head->target.len, head->target.at, head->minor);
	} else {
		(void)buf_addf(out, "HTTP/1.%d %d ", head->minor, head->status);
		(void)buf_add(out, head->reason.at, head->reason.len);
		(void)buf_add_str(out, "\r\n");
	}
	for (size_t i = 0; i < head->n_headers; i++) {
		const struct http_header *h = &head->headers[i];
		assert(h->name.len > 0 && is_one_line(h->name) && is_one_line(h->value));
		(void)buf_add(out, h->name.at, h->name.len);
		(void)buf_add_str(out, ": ");
		(void)buf_add(out, h->value.at, h->value.len);
		(void)buf_add_str(out, "\r\n");
	}
	(void)buf_add_str(out, "\r\n");
	assert(!buf_failed(out));
}

static size_t
count(const struct http_head *head, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < head->n_headers; i++)
		n += http_text_is_fold(head->headers[i].name, name);
	return n;
}

static void
check_meaning(const struct http_head *head)
{
	size_t lengths = count(head, "content-length"), codings = count(head, "transfer-encoding");
	assert(lengths + codings <= 1 && count(head, "host") <= 1);
	assert(head->body != HTTP_BODY_CHUNKED || (codings == 1 && head->minor == 1));
	assert(head->body != HTTP_BODY_LENGTH || lengths == 1);
	assert(head->body == HTTP_BODY_LENGTH ? head->length >= 0 : head->length == 0);
	assert(head->body != HTTP_BODY_UNTIL_CLOSE || (head->status != 0 && !head->keep_alive));
	assert(head->minor == 1 || !head->expect_continue);
	for (size_t i = 0; i < head->n_headers; i++)
		(void)http_is_hop_by_hop(head, head->headers[i].name);
}

/* What http_where says of HEAD; a Host header that says it anew leads to the same place. */
static void
check_where(const struct http_head *head)
{
	struct http_where where, again;
	struct error err;
	if (http_where(head, &where, &err) < 0)
		return;
	size_t len = strlen(where.host);
	assert(len > 0 && len < sizeof(where.host) && where.port >= 0 && where.port <= 65535);
	assert(where.host[strspn(where.host, "abcdefghijklmnopqrstuvwxyz0123456789-_.:")] == 0);
	assert(
	    where.form == HTTP_AUTHORITY || where.form == HTTP_ASTERISK || where.path.at[0] == '/');

	_cleanup_buf_ struct buf text;
	buf_init(&text, 1 << 20);
	bool ipv6 = strchr(where.host, ':') != NULL;
	(void)buf_addf(&text, "GET %.*s?%.*s HTTP/1.1\r\nHost: %s%s%s",
	    where.path.len == 0 ? 1 : (int)where.path.len,
	    where.path.len == 0 ? "/" : where.path.at, (int)where.query.len, where.query.at,
	    ipv6 ? "[" : "", where.host, ipv6 ? "]" : "");
	(void)buf_addf(&text, where.port == 0 ? "\r\n\r\n" : ":%d\r\n\r\n", where.port);
	struct http_head anew;
	if (text.len > HTTP_HEAD_MAX)
		return;
	assert(http_request_parse(text.data, text.len, &anew, &err) == (int)text.len);
	assert(http_where(&anew, &again, &err) == 0);
	assert(strcmp(where.host, again.host) == 0 && where.port == again.port);
	assert(text_same(where.query, again.query));
	assert(where.path.len == 0 || text_same(where.path, again.path));
}

static void
check_message(const uint8_t *data, size_t size, const char *method)
{
	struct http_head head, again;
	uint8_t *copy = NULL, *copy_again = NULL;
	int r = parse(data, size, method, &head, &copy);
	check_prefixes(data, size, method, r);
	_cleanup_buf_ struct buf anew;
	buf_init(&anew, 1 << 20);
	if (r > 0) {
		assert(memcmp(copy + r - 4, "\r\n\r\n", 4) == 0);
		check_meaning(&head);
		write_anew(&head, &anew);
	}
	if (r > 0 && anew.len <= HTTP_HEAD_MAX) {
		assert(parse(anew.data, anew.len, method, &again, &copy_again) == (int)anew.len);
		assert(again.body == head.body && again.length == head.length &&
		    again.status == head.status);
		assert(again.keep_alive == head.keep_alive && again.upgrade == head.upgrade);
		assert(again.expect_continue == head.expect_continue &&
		    again.n_headers == head.n_headers);
		assert(
		    text_same(again.method, head.method) && text_same(again.target, head.target));
		assert(text_same(again.reason, head.reason));
		for (size_t i = 0; i < head.n_headers; i++)
			assert(text_same(head.headers[i].value, again.headers[i].value));
	}
	if (r > 0 && method == NULL)
		check_where(&head);
	free(copy);
	free(copy_again);
}

/* The content of DATA in pieces of PIECE bytes, in RET. How many bytes it took to the end, 0 if there is none, or
 * -EBADMSG. */
static long
decode(const uint8_t *data, size_t size, size_t piece, struct buf *ret)
{
	struct http_chunks chunks = {0};
	size_t at = 0;
	while (at < size && !chunks.done) {
		size_t end = at + (size - at < piece ? size - at : piece);
		while (at < end && !chunks.done) {
			struct http_text content;
			size_t used = 0;
			int r = http_chunks_read(&chunks, data + at, end - at, &used, &content);
			if (r < 0)
				return r;
			assert(used > 0 && used <= end - at && content.len <= used);
			(void)buf_add(ret, content.at, content.len);
			at += used;
		}
	}
	return chunks.done ? (long)at : 0;
}

static void
check_chunks(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf whole, bytes, pieces, anew, again;
	buf_init(&whole, SIZE_MAX / 2);
	buf_init(&bytes, SIZE_MAX / 2);
	buf_init(&pieces, SIZE_MAX / 2);
	buf_init(&anew, SIZE_MAX / 2);
	buf_init(&again, SIZE_MAX / 2);
	long r = decode(data, size, SIZE_MAX, &whole);
	assert(decode(data, size, 1, &bytes) == r);
	assert(decode(data, size, size == 0 ? 1 : 1 + data[0] % 37, &pieces) == r);
	assert(whole.len == bytes.len && whole.len == pieces.len);
	assert(whole.len == 0 || memcmp(whole.data, bytes.data, whole.len) == 0);
	assert(whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0);
	if (whole.len > 0) {
		(void)http_chunk_begin(&anew, whole.len);
		(void)buf_add(&anew, whole.data, whole.len);
		(void)buf_add_str(&anew, "\r\n");
	}
	(void)http_chunk_begin(&anew, 0);
	(void)buf_add_str(&anew, "\r\n");
	assert(decode(anew.data, anew.len, 7, &again) == (long)anew.len);
	assert(again.len == whole.len &&
	    (whole.len == 0 || memcmp(again.data, whole.data, whole.len) == 0));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_message(data, size, NULL);
	check_message(data, size, "GET");
	check_message(data, size, "HEAD");
	check_message(data, size, "CONNECT");
	check_chunks(data, size);
	return 0;
}
