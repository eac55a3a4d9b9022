/* Signing: any path, query and headers are either refused or signed, and what is signed is canonical: signing what comes
 * out again gives the same, whatever the order of parameters. The input is four texts, each ended by a NUL: path, query,
 * a header's name and its value; its first byte chooses the rest. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(int ok)
{
	if (!ok)
		abort();
}

static struct http_text
next_text(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size > 0 ? memchr(*data, 0, *size) : NULL;
	size_t len = end != NULL ? (size_t)(end - *data) : *size;
	struct http_text text = {(const char *)*data, len};
	size_t used = MIN(len + 1, *size);
	*data += used;
	*size -= used;
	return text;
}

/* Nothing that would end a line early. */
static void
check_lines(const struct buf *headers)
{
	const char *at = buf_str(headers);
	size_t lines = 0;
	must(strlen(at) == headers->len);
	for (; *at != 0; at = strchr(at, '\n') + 1, lines++) {
		const char *end = strchr(at, '\n');
		must(end != NULL && end > at && end[-1] == '\r' &&
		    memchr(at, '\r', (size_t)(end - at)) == end - 1);
	}
	must(lines == 2 || lines == 3);
}

static void
check_canonical(const struct buf *query)
{
	static const char also[] = "-._~%=&";
	for (size_t i = 0; i < query->len; i++) {
		uint8_t c = query->data[i];
		must((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c != 0 && strchr(also, c) != NULL));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char scopes[2][32] = {"20130524/us-east-1/s3", "20130524/us-east-1/iam"};
	static char user[] = "ID",
		    key[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	static const char method[] = "PUT";
	if (size < 2)
		return 0;
	uint8_t how = *data++;
	size--;
	struct http_head head = {
	    .method = {method, 3}, .body = (how & 2) != 0 ? HTTP_BODY_CHUNKED : HTTP_BODY_NONE};
	struct credential credential = {.as = CREDENTIAL_AWS,
	    .name = user,
	    .user = user,
	    .field = scopes[how & 1],
	    .value = key};
	struct sigv4_request request = {.head = &head,
	    .host = "b.example",
	    .tls = (how & 4) != 0,
	    .now_ms = INT64_C(1369353600000)};
	request.path = next_text(&data, &size);
	request.query = next_text(&data, &size);
	while (size > 0 && head.n_headers < 16) {
		struct http_text name = next_text(&data, &size);
		head.headers[head.n_headers++] =
		    (struct http_header){name, next_text(&data, &size)};
	}
	struct buf headers, query, again_headers, again;
	struct error err = {.code = ""};
	buf_init(&headers, 65536);
	buf_init(&query, 65536);
	buf_init(&again_headers, 65536);
	buf_init(&again, 65536);
	int r = sigv4_sign(&credential, &request, &headers, &query, &err);
	must(r == 0 || r == -EPERM || r == -EMSGSIZE);
	must(r != -EPERM || err.code[0] != 0);
	if (r == 0) {
		check_lines(&headers);
		check_canonical(&query);
		request.query = (struct http_text){buf_str(&query), query.len};
		must(sigv4_sign(&credential, &request, &again_headers, &again, &err) == 0);
		must(again.len == query.len &&
		    memcmp(buf_str(&again), buf_str(&query), query.len) == 0);
		must(strcmp(buf_str(&headers), buf_str(&again_headers)) == 0);
	}
	buf_done(&headers);
	buf_done(&query);
	buf_done(&again_headers);
	buf_done(&again);
	return 0;
}
