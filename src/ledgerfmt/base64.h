/* Base64 with padding (RFC 4648, section 4), decoded strictly. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

int base64_encode(const uint8_t *bytes, size_t len, struct buf *out);
/* Decodes TEXT into RET (room for MAX bytes). The number of bytes, or -EINVAL (other characters,
 * wrong padding, bits left over, too long). */
int base64_decode(const char *text, size_t len, uint8_t *ret, size_t max);
