/* The push guard when memory ends at any allocation: it says so, and what it then knows is never more than it was told.
 * (What real pushes look like is test_git_push.py's.) */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/sha256.h"
#include "failalloc.h"
#include "gateway/git_guard.h"
#include "proto/gitpack.h"
#include "proto/pktline.h"

#define OLD "1111111111111111111111111111111111111111"

static void
sha1_of(const void *head, size_t head_len, const void *bytes, size_t len, uint8_t ret[SHA1_BYTES])
{
	struct sha1 h;
	sha1_init(&h);
	sha1_update(&h, head, head_len);
	sha1_update(&h, bytes, len);
	sha1_final(&h, ret);
}

/* A push of one commit on top of OLD, as a body. */
static void
make_push(struct buf *body)
{
	char commit[256], head[32], name[SHA1_HEX], line[256];
	uint8_t sum[SHA1_BYTES], packed[512];
	int n = snprintf(commit, sizeof(commit), "tree " OLD "\nparent " OLD "\n\nmessage\n");
	int n_head = snprintf(head, sizeof(head), "commit %d", n);
	sha1_of(head, (size_t)n_head + 1, commit, (size_t)n, sum);
	hex_encode(sum, SHA1_BYTES, name);
	int n_line =
	    snprintf(line, sizeof(line), OLD " %s refs/heads/main%c report-status", name, 0);
	assert_int_equal(pktline_add(body, line, (size_t)n_line), 0);
	assert_int_equal(pktline_add_flush(body), 0);
	size_t begin = body->len;
	uint8_t object[2] = {(uint8_t)(0x90 | (n & 15)), (uint8_t)(n >> 4)};
	uLongf n_packed = sizeof(packed);
	assert_int_equal(compress(packed, &n_packed, (const uint8_t *)commit, (uLong)n), Z_OK);
	(void)buf_add(body, "PACK\0\0\0\2\0\0\0\1", 12);
	(void)buf_add(body, object, 2);
	(void)buf_add(body, packed, n_packed);
	sha1_of("", 0, body->data + begin, body->len - begin, sum);
	assert_int_equal(buf_add(body, sum, SHA1_BYTES), 0);
}

static void
a_push_with_memory_is_a_fast_forward(void **state)
{
	_cleanup_buf_ struct buf body;
	buf_init(&body, 4096);
	make_push(&body);
	struct git_push *push = git_push_new();
	assert_non_null(push);
	assert_int_equal(git_push_feed(push, body.data, body.len, NULL), 0);
	assert_true(git_push_is_known(push));
	assert_int_equal(git_push_finish(push, NULL), 0);
	_cleanup_json_ struct json *refs = git_push_refs(push);
	assert_int_equal(json_len(refs), 1);
	assert_false(json_get_bool(json_at(refs, 0), "force", true));
	assert_null(git_push_free(push));
}

static void
a_push_without_memory_is_never_more_than_it_was(void **state)
{
	_cleanup_buf_ struct buf body;
	buf_init(&body, 4096);
	make_push(&body);
	bool failed = true;
	for (long i = 0; failed; i++) {
		assert_true(i < 1000);
		fail_allocation(i);
		struct git_push *push = git_push_new();
		int r = push == NULL ? -ENOMEM : git_push_feed(push, body.data, body.len, NULL);
		int end = r < 0 ? r : git_push_finish(push, NULL);
		failed = allocation_failed();
		fail_allocation(-1);
		if (!failed) {
			assert_int_equal(end, 0);
		} else if (end == 0) {
			/* Only a proof that could not be made ends well: then it is forced. */
			_cleanup_json_ struct json *refs = git_push_refs(push);
			assert_true(json_get_bool(json_at(refs, 0), "force", false));
		} else {
			assert_true(end == -ENOMEM || end == -EBADMSG);
			assert_false(push != NULL && git_push_is_known(push));
			if (push != NULL)
				assert_true(git_push_feed(push, body.data, 1, NULL) < 0);
		}
		git_push_free(push);
	}
}

static void
an_answer_without_memory_is_no_answer(void **state)
{
	_cleanup_buf_ struct buf body;
	buf_init(&body, 4096);
	make_push(&body);
	struct git_push *push = git_push_new();
	assert_int_equal(git_push_feed(push, body.data, body.len, NULL), 0);
	bool failed = true;
	for (long i = 0; failed; i++) {
		_cleanup_buf_ struct buf out;
		buf_init(&out, 4096);
		fail_allocation(i);
		int r = git_push_denial(push, "no", &out);
		failed = allocation_failed();
		fail_allocation(-1);
		assert_int_equal(r < 0, failed);
	}
	_cleanup_buf_ struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(git_push_denial(push, "not\nthis\x1b[2J", &out), 0);
	static const char expected[] = "000eunpack ok\n"
				       "002fng refs/heads/main ringfence: not this [2J\n0000";
	assert_int_equal(out.len, strlen(expected));
	assert_memory_equal(out.data, expected, out.len);
	git_push_free(push);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_push_with_memory_is_a_fast_forward),
	    cmocka_unit_test(a_push_without_memory_is_never_more_than_it_was),
	    cmocka_unit_test(an_answer_without_memory_is_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
