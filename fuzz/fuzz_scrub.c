/* The scrubber: no division of a stream changes what comes out, lengths hold, only whole bytes become asterisks, and no
 * spelling of the secret survives. The input's first bytes make the secret, the rest is a program that writes a stream:
 * bytes as they are, the secret or a part of it, in one of its spellings. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "proto/credential.h"
#include "proto/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STREAM_MAX 65536

static void
must(int ok)
{
	if (!ok)
		abort();
}

/* Appends VALUE in spelling WAY after SKIP bytes that only Base64 shows. */
static void
spell(unsigned way, unsigned skip, const char *value, size_t len, struct buf *out)
{
	uint8_t before[128] = {'a', 'b'};
	char hex[257];
	skip %= 3;
	must(len <= 120);
	memcpy(before + skip, value, len);
	memcpy(before + skip + len, "zz", 2);
	switch (way % 6) {
	case 0:
		must(buf_add(out, value, len) == 0);
		break;
	case 1:
		must(encode_percent(value, len, "", out) == 0);
		break;
	case 2:
		must(encode_percent(value, len, "/", out) == 0);
		break;
	case 3:
		hex_encode((const uint8_t *)value, len, hex);
		must(buf_add_str(out, hex) == 0);
		break;
	case 4:
		must(encode_base64(before, skip + len, false, out) == 0);
		break;
	default:
		must(encode_base64(before, skip + len + 2, true, out) == 0);
		break;
	}
}

static void
write_stream(const uint8_t *data, size_t size, const char *value, struct buf *out)
{
	size_t len = strlen(value);
	for (size_t i = 0; i + 2 < size && out->len < STREAM_MAX / 2; i++) {
		if ((data[i] & 0xc0) != 0xc0) {
			must(buf_add_char(out, (char)data[i]) == 0);
			continue;
		}
		size_t from = data[i + 1] % len,
		       part = data[i] & 8 ? data[i + 2] % (len - from) : len - from;
		if ((data[i] & 16) == 0)
			from = 0, part = len;
		spell(data[i], data[i + 1], value + from, part, out);
		i += 2;
	}
}

static uint64_t
scrub_whole(const struct credential *credential, const struct buf *stream, const uint8_t *cuts,
    size_t n_cuts, struct buf *out)
{
	struct scrub *scrub = scrub_new();
	must(scrub != NULL && scrub_add(scrub, credential) == 0 && !scrub_is_empty(scrub));
	size_t at = 0;
	for (size_t i = 0; n_cuts > 0 && at < stream->len; i++) {
		size_t part = MIN((size_t)cuts[i % n_cuts] + 1, stream->len - at);
		must(scrub_feed(scrub, stream->data + at, part, false, out) == 0);
		must(out->len <= at + part);
		at += part;
	}
	must(scrub_feed(scrub, stream->data + at, stream->len - at, true, out) == 0);
	uint64_t count = scrub_count(scrub);
	scrub_free(scrub);
	return count;
}

static void
check_clean(const char *value, const struct buf *in, const struct buf *out)
{
	must(in->len == out->len);
	for (size_t i = 0; i < in->len; i++)
		must(in->data[i] == out->data[i] || out->data[i] == '*');
	for (unsigned way = 0; way < 18; way++) { /* three alignments of each */
		struct buf spelled;
		buf_init(&spelled, 4096);
		spell(way, way / 6, value, strlen(value), &spelled);
		/* Of Base64 the digits that only the secret decides. */
		bool base64 = way % 6 >= 4;
		size_t skip = base64 ? (way / 6 * 8 + 5) / 6 : 0;
		size_t len = base64 ? (way / 6 + strlen(value)) * 8 / 6 - skip : spelled.len;
		must(memmem(buf_str(out), out->len, spelled.data + skip, len) == NULL);
		buf_done(&spelled);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 16)
		return 0;
	char value[64] = {0}, word[] = "fuzzed";
	size_t len = 8 + data[0] % 40;
	for (size_t i = 0; i < len; i++)
		value[i] = (char)(0x21 + (data[1 + i % 9] ^ (i / 9 * (data[0] >> 6))) % 93);
	for (size_t i = 0; i < len; i++)
		value[i] = value[i] == '*' ? '+' : value[i];
	struct credential credential = {.as = CREDENTIAL_BEARER, .name = word, .value = value};
	struct buf in, whole, bytes, parts;
	buf_init(&in, STREAM_MAX);
	buf_init(&whole, STREAM_MAX);
	buf_init(&bytes, STREAM_MAX);
	buf_init(&parts, STREAM_MAX);
	write_stream(data + 10, size - 10, value, &in);
	if (in.len > 0) {
		static const uint8_t one = 0;
		uint64_t n = scrub_whole(&credential, &in, NULL, 0, &whole);
		must(scrub_whole(&credential, &in, &one, 1, &bytes) == n);
		must(scrub_whole(&credential, &in, data, size, &parts) == n);
		must(whole.len == bytes.len &&
		    memcmp(buf_str(&whole), buf_str(&bytes), whole.len) == 0);
		must(whole.len == parts.len &&
		    memcmp(buf_str(&whole), buf_str(&parts), whole.len) == 0);
		check_clean(value, &in, &whole);
	}
	buf_done(&in);
	buf_done(&whole);
	buf_done(&bytes);
	buf_done(&parts);
	return 0;
}
