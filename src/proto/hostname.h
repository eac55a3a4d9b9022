/* Host names in their one canonical form, so that everyone who compares them compares the same bytes.
 *
 * Canonical: lower case ASCII, labels of 1 to 63 letters, digits, '-' and '_', no '-' at either end of a label, no
 * trailing dot, at most 253 bytes (RFC 1123, 2.1; RFC 2181, 11). The last label is not a number in any notation
 * ("127.1", "0x7f"): others read that as an address. A label that begins with "xn--" is an A-label: it decodes as
 * Punycode (RFC 3492) to something that is not ASCII alone and encodes to the same bytes again. Unicode itself is
 * refused, never converted: what a user sees and what is compared would be two things. Matching patterns is the
 * policy's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/macros.h"

#define HOSTNAME_MAX 253
#define HOSTNAME_TEXT (HOSTNAME_MAX + 1) /* with the NUL */

/* The canonical form of the LEN bytes at TEXT: lowered, one trailing dot dropped. 0 or -EINVAL. RET may be TEXT. */
int hostname_canonical(const char *text, size_t len, char ret[HOSTNAME_TEXT]) MUST_CHECK;
/* Whether TEXT is canonical already. */
bool hostname_is_canonical(const char *text);
