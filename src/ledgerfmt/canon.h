/* Checks that bytes are one canonical JSON object (RFC 8785, as json_write writes it), without
 * building values.
 *
 * Verification reads whole histories: parsing each record into a tree and writing it again to compare
 * would cost ten times the hash. This scanner looks at every byte once and allocates nothing. It
 * accepts exactly what json_parse followed by json_write leaves unchanged (a fuzzer holds it to that). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* A member of the outer object, as spans of the scanned text. */
struct canon_member {
	const char *name; /* between the quotes, escapes as written */
	size_t name_len;
	const char *value; /* the value's bytes, quotes included */
	size_t value_len;
};

/* Scans TEXT, an object; its members go to RET_MEMBERS, in order, *RET_N of them.
 * 0; -EINVAL if it is not canonical, with the reason in *RET_WHY (static) and the byte in *RET_AT;
 * -E2BIG if it has more than MAX members. */
int canon_scan(const char *text, size_t len, struct canon_member *ret_members, size_t max,
    size_t *ret_n, const char **ret_why, size_t *ret_at) MUST_CHECK;

/* Length of the string literal that starts at TEXT (at its quote), quotes included, or 0 if it is
 * not a canonical one. */
size_t canon_string(const char *text, size_t len);
