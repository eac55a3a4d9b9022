#include "image/stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "image/gunzip.h"
#include "image/image.h"

#define BLOCK 65536

struct stream {
	int fd;                  /* borrowed */
	struct archive *archive; /* or */
	struct gunzip gunzip;
	bool gzip;
	size_t peeked; /* in BLOCK, read already */
	uint8_t input[BLOCK];
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

static int
refuse_damaged(struct stream *s, const char *text)
{
	char shown[200];
	log_escape(text, strlen(text), shown, sizeof(shown));
	return fail(
	    s, error_set(&s->why, EBADMSG, "image_damaged", "cannot be unpacked: %s", shown));
}

/* What libarchive says, as a refusal: the bytes are to blame, unless memory is. */
static int
refuse(struct stream *s, const char *fallback)
{
	const char *text = archive_error_string(s->archive);
	if (archive_errno(s->archive) == ENOMEM)
		return fail(s,
		    error_set(&s->why, ENOMEM, "no_memory",
			"the archive's compression needs too much memory"));
	return refuse_damaged(s, text != NULL ? text : fallback);
}

/* ---- the file ---- */

/* Fills INPUT as far as it goes. */
static ssize_t
read_input(struct stream *s)
{
	size_t len = 0;
	while (len < sizeof(s->input)) {
		ssize_t n = read(s->fd, s->input + len, sizeof(s->input) - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static ssize_t
next_input(void *data, const void **ret)
{
	struct stream *s = data;
	ssize_t n = s->peeked > 0 ? (ssize_t)s->peeked : read_input(s);
	s->peeked = 0;
	*ret = s->input;
	return n;
}

static la_ssize_t
on_read(struct archive *archive, void *data, const void **ret)
{
	ssize_t n = next_input(data, ret);
	if (n < 0)
		archive_set_error(archive, (int)-n, "%s", strerror((int)-n));
	return n < 0 ? -1 : n;
}

/* ---- opening ---- */

static int
open_archive(struct stream *s)
{
	struct archive_entry *entry;
	s->archive = archive_read_new();
	if (s->archive == NULL || archive_read_support_filter_xz(s->archive) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(s->archive) != ARCHIVE_OK ||
	    archive_read_support_format_raw(s->archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(s->archive) != ARCHIVE_OK)
		return fail(s, error_set(&s->why, ENOMEM, "no_memory", "out of memory"));
	if (archive_read_open(s->archive, s, NULL, on_read, NULL) != ARCHIVE_OK)
		return refuse(s, "cannot be read");
	if (archive_filter_count(s->archive) > 2)
		return fail(s, image_refuse(&s->why, "is compressed several times over"));
	int r = archive_read_next_header(s->archive, &entry);
	s->ended = r == ARCHIVE_EOF;
	return r == ARCHIVE_OK || r == ARCHIVE_WARN || s->ended ? 0 : refuse(s, "cannot be read");
}

static int
open_any(struct stream *s)
{
	ssize_t n = read_input(s);
	if (n < 0)
		return fail(s, image_failed(&s->why, (int)n, "read", "it"));
	s->peeked = (size_t)n;
	s->gzip = n > 2 && s->input[0] == 0x1f && s->input[1] == 0x8b;
	if (!s->gzip)
		return open_archive(s);
	if (gunzip_init(&s->gunzip, next_input, s) == 0)
		return 0;
	s->gzip = false;
	return fail(s, error_set(&s->why, ENOMEM, "no_memory", "out of memory"));
}

int
stream_new(int fd, int64_t limit, struct stream **ret, struct error *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	s->limit = limit;
	s->fd = fd;
	sha256_init(&s->hash);
	int r = open_any(s);
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
	if (s->gzip)
		gunzip_done(&s->gunzip);
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

static ssize_t
unpack(struct stream *s)
{
	if (!s->gzip) {
		la_ssize_t n = archive_read_data(s->archive, s->block, sizeof(s->block));
		return n < 0 ? refuse(s, "it is damaged") : n;
	}
	ssize_t n = gunzip_read(&s->gunzip, s->block, sizeof(s->block));
	if (n == -ENOMEM)
		return fail(s, error_set(&s->why, ENOMEM, "no_memory", "out of memory"));
	if (n < 0 && n != -EBADMSG)
		return fail(s, image_failed(&s->why, (int)n, "read", "it"));
	return n < 0 ? refuse_damaged(s, "damaged gzip, or cut short") : n;
}

ssize_t
stream_read(struct stream *s, const void **ret)
{
	if (s->failed < 0 || s->ended)
		return s->failed;
	ssize_t n = unpack(s);
	if (n < 0)
		return n;
	s->ended = n == 0;
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
