/* Git's pkt-lines (gitprotocol-common(5)): four hexadecimal digits of length, these four included, and
 * the payload. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/macros.h"

#define PKTLINE_MAX 65520 /* bytes of one line, its length included */
#define PKTLINE_PAYLOAD_MAX (PKTLINE_MAX - 4)

enum pktline_kind { PKTLINE_DATA, PKTLINE_FLUSH, PKTLINE_DELIM, PKTLINE_END };

struct pktline {
	enum pktline_kind kind;
	const uint8_t *payload; /* in the caller's bytes; may be empty with PKTLINE_DATA */
	size_t len;
};

/* Reads the line at the front of BYTES. Its length, 0 if more bytes are needed, or -EBADMSG (digits that are not of
 * lower-case hexadecimal, a length of 3 or above PKTLINE_MAX). */
int pktline_read(const uint8_t *bytes, size_t len, struct pktline *ret) MUST_CHECK;
/* Appends a line with LEN bytes of PAYLOAD. 0, -EMSGSIZE or -ENOMEM. */
int pktline_add(struct buf *out, const void *payload, size_t len) MUST_CHECK;
int pktline_add_flush(struct buf *out) MUST_CHECK;
