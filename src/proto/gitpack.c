/* The pack reader.
 *
 *   HEADER ──▶ ENTRY ──▶ (BASE ──▶) DATA ──▶ ENTRY … ──▶ TRAILER ──▶ DONE
 *
 * Each step takes what it can of the bytes at hand and says how many; `entry` is what the steps between know of one
 * object. BASE reads an offset or a name, for the two kinds of delta. */
#include "proto/gitpack.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "proto/gitdelta.h"

#define PACK_HEADER_BYTES 12
/* More than this inflated is not a push but an attack on our time. */
#define INFLATED_FREE (UINT64_C(1) << 30)
#define INFLATED_RATIO 256
#define DELTA_WORK_MAX (UINT64_C(256) << 20) /* bytes made by deltas, of all commits */

enum pack_state {
	PACK_HEADER,
	PACK_ENTRY,
	PACK_BASE,
	PACK_DATA,
	PACK_TRAILER,
	PACK_DONE,
	PACK_STATES
};
enum object_type {
	OBJECT_COMMIT = 1,
	OBJECT_TREE,
	OBJECT_BLOB,
	OBJECT_TAG,
	OBJECT_OFS_DELTA = 6,
	OBJECT_REF_DELTA
};

struct entry {
	uint64_t offset; /* where in the pack it begins */
	unsigned head_bytes, base_bytes;
	enum object_type type;
	uint64_t size, inflated; /* as it says, and so far */
	uint64_t distance;       /* OFS_DELTA */
	struct gitcommit_bytes base;
	bool keep; /* a commit, or what may become one: its bytes go to `object` */
};

struct gitpack {
	enum pack_state state;
	int failed;      /* 0 or the error that all ended with */
	uint64_t offset; /* bytes taken */
	uint32_t left;   /* entries */
	struct sha1 checksum;
	uint8_t small[SHA1_BYTES]; /* header, a base's name, trailer: gathered here */
	size_t n_small;
	struct entry entry;
	z_stream z;
	uint64_t inflated, delta_work;
	struct buf object, made; /* the entry's bytes; what its delta makes */
	struct gitcommits *commits;
	uint8_t scratch[32768];
};

static int
malformed(struct error *err, const char *what)
{
	return error_set(err, EBADMSG, "git_pack_malformed", "the pack of this push: %s", what);
}

struct gitpack *
gitpack_new(void)
{
	struct gitpack *pack = calloc(1, sizeof(*pack));
	if (pack == NULL)
		return NULL;
	sha1_init(&pack->checksum);
	buf_init(&pack->object, GITCOMMIT_BYTES_MAX);
	buf_init(&pack->made, GITCOMMIT_BYTES_MAX);
	pack->commits = gitcommits_new();
	if (pack->commits == NULL || inflateInit(&pack->z) != Z_OK) {
		gitcommits_free(pack->commits);
		free(pack);
		return NULL;
	}
	return pack;
}

struct gitpack *
gitpack_free(struct gitpack *pack)
{
	if (pack == NULL)
		return NULL;
	(void)inflateEnd(&pack->z);
	buf_done(&pack->object);
	buf_done(&pack->made);
	gitcommits_free(pack->commits);
	free(pack);
	return NULL;
}

bool
gitpack_is_done(const struct gitpack *pack)
{
	return pack->state == PACK_DONE && pack->failed == 0;
}

struct gitcommits *
gitpack_commits(struct gitpack *pack)
{
	return pack->commits;
}

/* Gathers up to WANT bytes in `small`; true when they are all there. */
static bool
gather(struct gitpack *pack, size_t want, const uint8_t *bytes, size_t len, size_t *used)
{
	*used = MIN(len, want - pack->n_small);
	memcpy(pack->small + pack->n_small, bytes, *used);
	pack->n_small += *used;
	if (pack->n_small < want)
		return false;
	pack->n_small = 0;
	return true;
}

static uint32_t
load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void
next_entry(struct gitpack *pack)
{
	pack->state = pack->left == 0 ? PACK_TRAILER : PACK_ENTRY;
	if (pack->left > 0)
		pack->left--;
}

static int
step_header(struct gitpack *pack, const uint8_t *bytes, size_t len, size_t *used, struct error *err)
{
	if (!gather(pack, PACK_HEADER_BYTES, bytes, len, used))
		return 0;
	if (memcmp(pack->small, "PACK", 4) != 0 || load_be32(pack->small + 4) != 2)
		return malformed(err, "it does not begin as one of version 2");
	pack->left = load_be32(pack->small + 8);
	next_entry(pack);
	return 0;
}

/* What comes after type and size. */
static int
begin_entry(struct gitpack *pack, struct error *err)
{
	struct entry *entry = &pack->entry;
	switch (entry->type) {
	case OBJECT_COMMIT:
	case OBJECT_TREE:
	case OBJECT_BLOB:
	case OBJECT_TAG:
		entry->keep = entry->type == OBJECT_COMMIT && entry->size <= GITCOMMIT_BYTES_MAX;
		pack->state = PACK_DATA;
		return 0;
	case OBJECT_OFS_DELTA:
	case OBJECT_REF_DELTA:
		pack->state = PACK_BASE;
		return 0;
	}
	return malformed(err, "an object of no known type");
}

static int
step_entry(struct gitpack *pack, const uint8_t *bytes, size_t len, size_t *used, struct error *err)
{
	struct entry *entry = &pack->entry;
	uint8_t c = bytes[0];
	(void)len;
	*used = 1;
	if (entry->head_bytes++ == 0) {
		*entry = (struct entry){.offset = pack->offset,
		    .head_bytes = 1,
		    .type = (enum object_type)(c >> 4 & 7),
		    .size = c & 15};
	} else if (entry->head_bytes > 9) {
		return malformed(err, "an object's size is out of range");
	} else {
		entry->size |= (uint64_t)(c & 0x7f) << (4 + 7 * (entry->head_bytes - 2));
	}
	return (c & 0x80) != 0 ? 0 : begin_entry(pack, err);
}

static void
begin_delta(struct gitpack *pack, struct gitcommit_bytes base)
{
	struct entry *entry = &pack->entry;
	entry->base = base;
	entry->keep = base.at != NULL && entry->size <= GITCOMMIT_BYTES_MAX;
	pack->state = PACK_DATA;
}

/* The distance is in base 128, each further byte of which counts from one (gitformat-pack(5)). */
static int
step_base_offset(struct gitpack *pack, uint8_t c, struct error *err)
{
	struct entry *entry = &pack->entry;
	if (entry->base_bytes++ > 0)
		entry->distance += 1;
	if (entry->base_bytes > 8)
		return malformed(err, "a delta's base is out of range");
	entry->distance = entry->distance << 7 | (c & 0x7f);
	if ((c & 0x80) != 0)
		return 0;
	if (entry->distance == 0 || entry->distance > entry->offset)
		return malformed(err, "a delta's base is out of range");
	begin_delta(pack, gitcommits_at(pack->commits, entry->offset - entry->distance));
	return 0;
}

static int
step_base(struct gitpack *pack, const uint8_t *bytes, size_t len, size_t *used, struct error *err)
{
	if (pack->entry.type == OBJECT_OFS_DELTA) {
		*used = 1;
		return step_base_offset(pack, bytes[0], err);
	}
	if (gather(pack, SHA1_BYTES, bytes, len, used))
		begin_delta(pack, gitcommits_named(pack->commits, pack->small));
	return 0;
}

/* The delta in `object`, of a commit. What cannot be made is left out: nothing is proved by it. */
static int
make_commit(struct gitpack *pack)
{
	const struct entry *entry = &pack->entry;
	uint64_t size;
	if (gitdelta_size(pack->object.data, pack->object.len, entry->base.len, &size) < 0 ||
	    size > GITCOMMIT_BYTES_MAX || size > DELTA_WORK_MAX - pack->delta_work)
		return 0;
	pack->delta_work += size;
	buf_clear(&pack->made);
	int r = gitdelta_apply(
	    entry->base.at, entry->base.len, pack->object.data, pack->object.len, &pack->made);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return gitcommits_add(pack->commits, entry->offset, pack->made.data, pack->made.len);
}

static int
end_entry(struct gitpack *pack, struct error *err)
{
	struct entry *entry = &pack->entry;
	if (entry->inflated != entry->size)
		return malformed(err, "an object is not as long as it says");
	int r = 0;
	if (pack->object.len == 0)
		entry->keep = false;
	if (entry->keep && entry->type == OBJECT_COMMIT)
		r = gitcommits_add(
		    pack->commits, entry->offset, pack->object.data, pack->object.len);
	else if (entry->keep)
		r = make_commit(pack);
	buf_clear(&pack->object);
	*entry = (struct entry){0};
	(void)inflateReset(&pack->z);
	next_entry(pack);
	return r;
}

/* Inflates once into the scratch. 1: there is more to do with the input at hand; 0: not; negative: refused. */
static int
inflate_some(struct gitpack *pack, struct error *err)
{
	struct entry *entry = &pack->entry;
	pack->z.next_out = pack->scratch;
	pack->z.avail_out = sizeof(pack->scratch);
	int z = inflate(&pack->z, Z_NO_FLUSH);
	size_t n = sizeof(pack->scratch) - pack->z.avail_out;
	if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
		return z == Z_MEM_ERROR ? -ENOMEM : malformed(err, "its compression is broken");
	entry->inflated += n;
	pack->inflated += n;
	if (entry->inflated > entry->size)
		return malformed(err, "an object is longer than it says");
	if (pack->inflated > INFLATED_FREE && pack->inflated / INFLATED_RATIO > pack->offset)
		return malformed(err, "it would inflate without bound");
	if (entry->keep && buf_add(&pack->object, pack->scratch, n) < 0)
		return -ENOMEM;
	if (z == Z_STREAM_END)
		return end_entry(pack, err);
	return z == Z_OK && (pack->z.avail_in > 0 || pack->z.avail_out == 0);
}

static int
step_data(struct gitpack *pack, const uint8_t *bytes, size_t len, size_t *used, struct error *err)
{
	/* zlib does not write to its input, whatever the type says. */
	pack->z.next_in = (z_const Bytef *)(uintptr_t)bytes;
	pack->z.avail_in = (uInt)MIN(len, 1U << 20);
	size_t given = pack->z.avail_in;
	int r;
	do
		r = inflate_some(pack, err);
	while (r > 0);
	*used = given - pack->z.avail_in;
	return r;
}

static int
step_trailer(
    struct gitpack *pack, const uint8_t *bytes, size_t len, size_t *used, struct error *err)
{
	if (!gather(pack, SHA1_BYTES, bytes, len, used))
		return 0;
	uint8_t sum[SHA1_BYTES];
	sha1_final(&pack->checksum, sum);
	if (memcmp(sum, pack->small, SHA1_BYTES) != 0)
		return malformed(err, "its checksum does not hold");
	pack->state = PACK_DONE;
	return 0;
}

typedef int step_fn(
    struct gitpack *pack, const uint8_t *bytes, size_t len, size_t *used, struct error *err);
static step_fn *const steps[PACK_STATES] = {
    [PACK_HEADER] = step_header,
    [PACK_ENTRY] = step_entry,
    [PACK_BASE] = step_base,
    [PACK_DATA] = step_data,
    [PACK_TRAILER] = step_trailer,
};

int
gitpack_feed(
    struct gitpack *pack, const uint8_t *bytes, size_t len, size_t *ret_used, struct error *err)
{
	size_t at = 0;
	if (pack->failed < 0)
		return error_set(
		    err, -pack->failed, "git_pack_malformed", "the pack was refused before");
	while (at < len && pack->state != PACK_DONE) {
		size_t used = 0;
		bool sums = pack->state != PACK_TRAILER;
		pack->failed = steps[pack->state](pack, bytes + at, len - at, &used, err);
		if (pack->failed == -ENOMEM)
			return error_set(err, ENOMEM, "out_of_memory", "no memory for a pack");
		if (pack->failed < 0)
			return pack->failed;
		if (sums)
			sha1_update(&pack->checksum, bytes + at, used);
		at += used;
		pack->offset += used;
	}
	*ret_used = at;
	return 0;
}
