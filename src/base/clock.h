/* Time: wall-clock milliseconds for records, monotonic nanoseconds for durations and deadlines. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* Milliseconds since the Unix epoch (CLOCK_REALTIME). */
int64_t clock_wall_ms(void);
/* The same of the clock that file systems take their times from: some milliseconds behind. */
int64_t clock_files_ms(void);
/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t clock_monotonic_ns(void);
/* RFC 3339 in UTC with milliseconds, "2026-01-31T09:30:00.125Z"; RET has room for 32 bytes. */
void clock_format(int64_t wall_ms, char ret[32]);
/* Parses what clock_format writes (milliseconds optional, zone must be Z). 0 or -EINVAL. */
int clock_parse(const char *text, int64_t *ret_wall_ms) MUST_CHECK;
