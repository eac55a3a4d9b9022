/* What every part of the image importer agrees on: the bounds, and how a refusal reads.
 *
 * Everything in an archive is hostile: names, links, sizes, counts, and the bytes that the decompressors
 * read. What does not fit these bounds is refused whole; nothing of it is left behind. */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define IMAGE_BYTES_MAX (16LL << 30) /* contents, of all layers together, sparse files in full */
#define IMAGE_ENTRIES_MAX 1000000    /* files, directories and links, of all layers together */
#define IMAGE_DEPTH_MAX 100          /* directories */
#define IMAGE_PATH_MAX 4096          /* with the NUL */
#define IMAGE_NAME_LEN_MAX 255       /* one component */
#define IMAGE_LAYERS_MAX 256
#define IMAGE_TOP_MAX 64             /* entries of the root directory: each is a mount or a link */
#define IMAGE_DOCUMENT_MAX (4 << 20) /* a manifest, an index, a configuration */
#define IMAGE_ENV_MAX 128            /* variables */

/* What one import may take; callers only ever lower them. */
struct image_limits {
	int64_t bytes;
	int64_t entries;
};

/* "image_refused", -EBADMSG; and with the entry PATH, escaped: "lib/x: WHY". */
int image_refuse(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
int image_refuse_path(struct error *err, const char *path, const char *why);
/* What the system said no to, at PATH. Returns NEGATIVE. */
int image_failed(struct error *err, int negative, const char *what, const char *path);

#ifdef __clang_analyzer__
#include <errno.h>
#define image_refuse(err, ...) \
	error_negative_(error_set, err, EBADMSG, "image_refused", __VA_ARGS__)
#endif
