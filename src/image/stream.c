#include "image/stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "image/image.h"

#define BLOCK 65536

struct stream {
	struct archive *archive;
	struct sha256 hash;
	int64_t total, limit;
	int64_t zeros; /* at the end of what came so far */
	bool ended;
	int failed; /* -errno, with why */
	struct error why;
	uint8_t block[BLOCK];
};

static int
fail(struct stream *s, int r)
{
	s->failed = r;
	return r;
}

/* What libarchive says, as a refusal: the bytes are to blame, unless memory is. */
static int
refuse(struct stream *s, const char *fallback)
{
	const char *text = archive_error_string(s->archive);
	char shown[200];
	if (text == NULL)
		text = fallback;
	log_escape(text, strlen(text), shown, sizeof(shown));
	if (archive_errno(s->archive) == ENOMEM)
		return fail(s,
		    error_set(&s->why, ENOMEM, "no_memory",
			"the archive's compression needs too much memory"));
	return fail(s, image_refuse(&s->why, "cannot be unpacked: %s", shown));
}

static int
open_archive(struct stream *s, int fd)
{
	struct archive_entry *entry;
	s->archive = archive_read_new();
	if (s->archive == NULL || archive_read_support_filter_gzip(s->archive) != ARCHIVE_OK ||
	    archive_read_support_filter_xz(s->archive) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(s->archive) != ARCHIVE_OK ||
	    archive_read_support_format_raw(s->archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(s->archive) != ARCHIVE_OK)
		return fail(s, error_set(&s->why, ENOMEM, "no_memory", "out of memory"));
	if (archive_read_open_fd(s->archive, fd, BLOCK) != ARCHIVE_OK)
		return refuse(s, "cannot be read");
	if (archive_filter_count(s->archive) > 2)
		return fail(s, image_refuse(&s->why, "is compressed several times over"));
	int r = archive_read_next_header(s->archive, &entry);
	s->ended = r == ARCHIVE_EOF;
	return r == ARCHIVE_OK || r == ARCHIVE_WARN || s->ended ? 0 : refuse(s, "cannot be read");
}

int
stream_new(int fd, int64_t limit, struct stream **ret, struct error *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	s->limit = limit;
	sha256_init(&s->hash);
	int r = open_archive(s, fd);
	if (r < 0) {
		*err = s->why;
		stream_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct stream *
stream_free(struct stream *s)
{
	if (s == NULL)
		return NULL;
	if (s->archive != NULL)
		(void)archive_read_free(s->archive);
	free(s);
	return NULL;
}

static void
count_zeros(struct stream *s, size_t len)
{
	size_t n = 0;
	while (n < len && s->block[len - 1 - n] == 0)
		n++;
	s->zeros = n == len ? s->zeros + (int64_t)n : (int64_t)n;
}

ssize_t
stream_read(struct stream *s, const void **ret)
{
	if (s->failed < 0 || s->ended)
		return s->failed;
	la_ssize_t n = archive_read_data(s->archive, s->block, sizeof(s->block));
	if (n == 0)
		s->ended = true;
	if (n < 0)
		return refuse(s, "it is damaged");
	s->total += n;
	if (s->total > s->limit)
		return fail(s,
		    image_refuse(
			&s->why, "more than %lld MiB once unpacked", (long long)(s->limit >> 20)));
	count_zeros(s, (size_t)n);
	sha256_update(&s->hash, s->block, (size_t)n);
	*ret = s->block;
	return n;
}

const struct error *
stream_error(const struct stream *s)
{
	return s->failed < 0 ? &s->why : NULL;
}

int
stream_finish(
    struct stream *s, uint8_t ret_hash[SHA256_BYTES], int64_t *ret_zeros, struct error *err)
{
	const void *bytes;
	ssize_t n;
	while ((n = stream_read(s, &bytes)) > 0)
		;
	if (n < 0) {
		*err = s->why;
		return (int)n;
	}
	*ret_zeros = s->zeros;
	sha256_final(&s->hash, ret_hash);
	return 0;
}
