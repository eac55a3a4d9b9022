/* UUID version 7 (RFC 9562, section 5.7): time-ordered identifiers for actions, tasks, sandboxes. */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

#define UUID_TEXT 37 /* with the NUL */

/* A new identifier in its text form. 0, or -errno of getrandom(2). */
int uuid7_new(char ret[UUID_TEXT]) MUST_CHECK;
/* Whether TEXT is 8-4-4-4-12 lower-case hexadecimal digits. */
bool uuid_valid(const char *text);
