/* image/gunzip.h: whole, damaged, cut, and in the smallest pieces. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "image/gunzip.h"

static const char text[] = "the quick brown fox jumps over the lazy dog; the quick brown fox again";

struct input {
	uint8_t bytes[512];
	size_t len, at, piece;
};

static ssize_t
on_read(void *data, const void **ret)
{
	struct input *in = data;
	size_t n = MIN(in->piece, in->len - in->at);
	*ret = in->bytes + in->at;
	in->at += n;
	return (ssize_t)n;
}

static void
pack(struct input *in)
{
	z_stream z = {0};
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = sizeof(text) - 1;
	z.next_out = in->bytes + in->len;
	z.avail_out = (uInt)(sizeof(in->bytes) - in->len);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	in->len = sizeof(in->bytes) - z.avail_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
}

/* Everything of IN, STEP bytes at a time, into OUT; the length or -errno. */
static ssize_t
unpack(struct input *in, size_t step, char *out, size_t size)
{
	struct gunzip g;
	size_t len = 0;
	ssize_t n;
	assert_int_equal(gunzip_init(&g, on_read, in), 0);
	while ((n = gunzip_read(&g, out + len, MIN(step, size - len))) > 0)
		len += (size_t)n;
	gunzip_done(&g);
	return n < 0 ? n : (ssize_t)len;
}

static void
whole_members_come_out_in_any_pieces(void **state)
{
	char out[512];
	(void)state;
	for (size_t piece = 1; piece < 80; piece += 13)
		for (size_t step = 1; step < 80; step += 11)
			for (size_t members = 1; members <= 3; members++) {
				struct input in = {.piece = piece};
				for (size_t i = 0; i < members; i++)
					pack(&in);
				size_t whole = members * (sizeof(text) - 1);
				assert_int_equal(unpack(&in, step, out, sizeof(out)), whole);
				assert_memory_equal(
				    out + whole - sizeof(text) + 1, text, sizeof(text) - 1);
			}
}

static void
what_follows_and_is_no_member_is_ignored(void **state)
{
	struct input in = {.piece = 512};
	char out[512];
	(void)state;
	pack(&in);
	in.len += 20;
	assert_int_equal(unpack(&in, 512, out, sizeof(out)), sizeof(text) - 1);
}

static void
every_cut_and_every_flipped_byte_is_found(void **state)
{
	struct input whole = {.piece = 512};
	char out[512];
	(void)state;
	pack(&whole);
	for (size_t cut = 1; cut < whole.len; cut++) {
		struct input in = whole;
		in.len = cut;
		assert_int_equal(unpack(&in, 512, out, sizeof(out)), -EBADMSG);
	}
	/* From the compressed bytes on; before, the header has fields that mean nothing. */
	for (size_t i = 10; i < whole.len; i++) {
		struct input in = whole;
		in.bytes[i] ^= 0x10;
		assert_int_equal(unpack(&in, 512, out, sizeof(out)), -EBADMSG);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whole_members_come_out_in_any_pieces),
	    cmocka_unit_test(what_follows_and_is_no_member_is_ignored),
	    cmocka_unit_test(every_cut_and_every_flipped_byte_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
