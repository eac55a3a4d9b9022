/* gzip (RFC 1952), with its checksums. libarchive reads gzip too, but does not look at them: a damaged
 * archive would become a damaged image. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <zlib.h>

#include "base/macros.h"

/* The next compressed bytes, valid until the next call: their number, 0 at the end, or -errno. */
typedef ssize_t gunzip_read_fn(void *data, const void **ret);

struct gunzip {
	z_stream z;
	gunzip_read_fn *read;
	void *data;
	bool between; /* members: the last one is whole */
	bool ended;
};

/* 0 or -ENOMEM. */
int gunzip_init(struct gunzip *g, gunzip_read_fn *read, void *data) MUST_CHECK;
void gunzip_done(struct gunzip *g);
/* Fills OUT: the number of bytes, 0 at the end, -EBADMSG (damaged or cut short), -ENOMEM, or what READ
 * said. Members may follow each other; what comes after them and is none is ignored, as gzip(1) does. */
ssize_t gunzip_read(struct gunzip *g, void *out, size_t len) MUST_CHECK;
