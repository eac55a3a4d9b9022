/* Spellings of bytes on the wire: Base64 (RFC 4648), percent-encoding (RFC 3986, section 2.1), hexadecimal. Pure.
 * All append to OUT: 0, -ENOMEM or -EMSGSIZE. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/macros.h"

/* With padding. URL_SAFE: with '-' and '_' in place of '+' and '/'. */
int encode_base64(const void *bytes, size_t len, bool url_safe, struct buf *out) MUST_CHECK;
/* Each byte but letters, digits, "-._~" and those in KEEP as %XX. */
int encode_percent(const void *bytes, size_t len, const char *keep, struct buf *out) MUST_CHECK;
/* Whether C is a letter, a digit or one of "-._~": what percent-encoding leaves alone. */
bool encode_is_unreserved(uint8_t c);
/* The digit of VALUE (0 to 63). */
char encode_base64_digit(unsigned value, bool url_safe);
/* Strict: -EINVAL for other characters, missing padding, or bits left over. */
int decode_base64(const char *text, size_t len, struct buf *out) MUST_CHECK;
/* %XX decoded; PLUS: '+' is a space, as in a form. A '%' without two digits stays what it is. */
int decode_percent(const char *text, size_t len, bool plus, struct buf *out) MUST_CHECK;
