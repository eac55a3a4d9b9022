/* Sizes, durations, rates and shares of a CPU, as policies write them.
 *
 * Each parser returns 0 and a number in the unit of its name, or -EINVAL (not of that form) or
 * -ERANGE (does not fit in 2^53-1). A unit is always written: "512" is not a size. */
#pragma once

#include <stdint.h>

#include "base/macros.h"

/* "512MiB": B, KiB, MiB, GiB, TiB; whole numbers. */
int units_bytes(const char *text, int64_t *ret_bytes) MUST_CHECK;
/* "90s": ms, s, m, h, d; whole numbers. */
int units_ms(const char *text, int64_t *ret_ms) MUST_CHECK;
/* "10MiB/s". */
int units_bytes_per_s(const char *text, int64_t *ret) MUST_CHECK;
/* "1", "0.5", "2.25": thousandths of a CPU, at most three decimals. */
int units_millis(const char *text, int64_t *ret_millis) MUST_CHECK;
/* "08:30": minutes since midnight, up to "24:00". */
int units_clock(const char *text, int64_t *ret_minutes) MUST_CHECK;
/* A whole number without a sign other than "-", no leading zeros. */
int units_int(const char *text, int64_t *ret) MUST_CHECK;
/* The spelling that TEXT with a wrong size unit ("512MB", "1g") probably meant, or NULL. */
const char *units_size_hint(const char *text);
