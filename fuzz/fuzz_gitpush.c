/* The push guard on arbitrary bodies: never crashes, and says the same of a body however it is divided.
 *
 * The first byte says how: even, the rest is a body as it is; odd, the rest describes one, with a pack whose compression
 * and checksum are right, so that deltas and proofs are reached: objects of a type byte, a length byte and that many
 * bytes, deltas against the last commit. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/sha1.h"
#include "base/sha256.h"
#include "gateway/git_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX (1 << 20)
#define OLD "1111111111111111111111111111111111111111"

struct maker {
	const uint8_t *at, *end;
	struct buf pack;
	uint8_t last[SHA1_BYTES]; /* of the last commit */
	unsigned n;
};

static void
add_object(struct maker *maker, unsigned type, const uint8_t *extra, size_t extra_len,
    const uint8_t *content, size_t len)
{
	uint8_t head[2] = {(uint8_t)(type << 4 | (len & 15) | 0x80), (uint8_t)(len >> 4)};
	(void)buf_add(&maker->pack, head, 2);
	(void)buf_add(&maker->pack, extra, extra_len);
	uint8_t packed[2048];
	uLongf n = sizeof(packed);
	if (compress2(packed, &n, content, len, 1) == Z_OK)
		(void)buf_add(&maker->pack, packed, n);
	maker->n++;
}

static void
make_commit(struct maker *maker, unsigned parents, const uint8_t *text, size_t len)
{
	char hex[SHA1_HEX];
	_cleanup_buf_ struct buf commit;
	buf_init(&commit, 1900);
	hex_encode(maker->last, SHA1_BYTES, hex);
	(void)buf_addf(&commit, "tree %s\n", OLD);
	if ((parents & 1) != 0)
		(void)buf_addf(&commit, "parent %s\n", hex);
	if ((parents & 2) != 0)
		(void)buf_addf(&commit, "parent %s\n", OLD);
	(void)buf_add(&commit, text, len);
	add_object(maker, 1, NULL, 0, commit.data, commit.len);
	char head[32];
	int n = snprintf(head, sizeof(head), "commit %zu", commit.len);
	struct sha1 h;
	sha1_init(&h);
	sha1_update(&h, head, (size_t)n + 1);
	sha1_update(&h, commit.data, commit.len);
	sha1_final(&h, maker->last);
}

static void
make_object(struct maker *maker)
{
	uint8_t type = *maker->at++;
	size_t len = maker->at < maker->end ? *maker->at++ : 0;
	len = MIN(len, (size_t)(maker->end - maker->at));
	const uint8_t *content = maker->at;
	maker->at += len;
	if ((type & 7) == 1)
		make_commit(maker, type >> 3, content, len);
	else if ((type & 7) == 7)
		add_object(maker, 7, maker->last, SHA1_BYTES, content, len);
	else if ((type & 7) == 6)
		add_object(maker, 6, content, MIN(len, 1), content, len);
	else
		add_object(maker, type & 7, NULL, 0, content, len);
}

/* A whole body from a description. */
static void
make_body(const uint8_t *data, size_t size, struct buf *body)
{
	struct maker maker = {.at = data, .end = data + size};
	buf_init(&maker.pack, BODY_MAX / 2);
	(void)buf_add(&maker.pack, "PACK\0\0\0\2\0\0\0\0", 12);
	while (maker.at < maker.end && maker.n < 200)
		make_object(&maker);
	maker.pack.data[11] = (uint8_t)maker.n;
	uint8_t sum[SHA1_BYTES];
	struct sha1 h;
	sha1_init(&h);
	sha1_update(&h, maker.pack.data, maker.pack.len);
	sha1_final(&h, sum);
	char hex[SHA1_HEX];
	hex_encode(maker.last, SHA1_BYTES, hex);
	(void)buf_addf(body, "0066%s %s refs/heads/ab/cd0000", OLD, hex);
	(void)buf_add(body, maker.pack.data, maker.pack.len);
	(void)buf_add(body, sum, SHA1_BYTES);
	buf_done(&maker.pack);
}

struct said {
	int result;
	bool known;
	struct buf refs;
};

static void
read_body(const uint8_t *bytes, size_t len, size_t piece, struct said *said)
{
	struct git_push *push = git_push_new();
	struct error err;
	int r = 0;
	for (size_t at = 0; at < len && r == 0; at += MIN(piece, len - at))
		r = git_push_feed(push, bytes + at, MIN(piece, len - at), &err);
	if (r == 0)
		r = git_push_finish(push, &err);
	said->result = r;
	said->known = git_push_is_known(push);
	buf_init(&said->refs, 1 << 22);
	_cleanup_json_ struct json *refs = git_push_refs(push);
	assert(json_write(refs, &said->refs) == 0);
	_cleanup_buf_ struct buf denial;
	buf_init(&denial, 1 << 22);
	assert(git_push_denial(push, "no", &denial) == 0);
	git_push_free(push);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	_cleanup_buf_ struct buf body;
	buf_init(&body, BODY_MAX);
	if ((data[0] & 1) != 0)
		make_body(data + 1, size - 1, &body);
	else
		(void)buf_add(&body, data + 1, size - 1);
	struct said whole, pieces;
	read_body(body.data, body.len, body.len, &whole);
	read_body(body.data, body.len, 1 + data[0] / 2, &pieces);
	assert(whole.result == pieces.result);
	if (whole.result == 0) {
		assert(whole.known && pieces.known);
		assert(whole.refs.len == pieces.refs.len &&
		    memcmp(whole.refs.data, pieces.refs.data, whole.refs.len) == 0);
	}
	buf_done(&whole.refs);
	buf_done(&pieces.refs);
	return 0;
}
