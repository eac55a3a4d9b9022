/* What the tests of http1.h share: a head as a row of a table, read whole and in every prefix. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/http1.h"
#include "unit.h"

/* With strings that hold NULs. */
#define BYTES(s) (s), sizeof(s) - 1

struct row {
	const char *what;
	const char *bytes;
	size_t len;
	int is;             /* 0: complete, all of it; or the negative errno */
	const char *method; /* of a response: what was asked for; NULL: GET */
};

static inline int
row_parse(const char *bytes, size_t len, const char *method, struct http_head *head)
{
	struct error err;
	/* Exactly as large as its content, so that a sanitizer sees a byte read too far. */
	uint8_t *copy = malloc(len + (len == 0));
	assert_non_null(copy);
	memcpy(copy, bytes, len);
	int r = method == NULL ? http_request_parse(copy, len, head, &err)
			       : http_response_parse(copy, len, method, head, &err);
	free(copy);
	return r;
}

/* Whole, every prefix (never complete, and once refused, refused for good), and with more behind it. */
static inline void
row_check(const struct row *row, const char *method)
{
	struct http_head head;
	int r = row_parse(row->bytes, row->len, method, &head);
	int expected = row->is == 0 ? (int)row->len : row->is;
	if (r != expected)
		fail_msg("%s: %d instead of %d", row->what, r, expected);
	bool refused = false;
	for (size_t n = 0; n < row->len; n++) {
		r = row_parse(row->bytes, n, method, &head);
		if (r > 0 || (row->is == 0 && r != 0) || (refused && r == 0))
			fail_msg("%s: %d after %zu bytes", row->what, r, n);
		refused = r < 0;
	}
	char more[2048];
	if (row->is == 0 && row->len + 9 < sizeof(more)) {
		memcpy(more, row->bytes, row->len);
		memcpy(more + row->len, "\0\nGET / \r", 9);
		assert_int_equal(row_parse(more, row->len + 9, method, &head), expected);
	}
}

static inline void
rows_check_requests(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		row_check(&rows[i], NULL);
}

static inline void
rows_check_responses(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		row_check(&rows[i], rows[i].method == NULL ? "GET" : rows[i].method);
}
