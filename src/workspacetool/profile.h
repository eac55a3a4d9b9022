/* The locks of rf-workspace. */
#pragma once

#include "base/error.h"
#include "base/macros.h"

/* From here on only the two trees can be reached: UPPER to read (-1: none), LOWER to read and write.
 * 0 or -errno; there is no running without. */
int profile_enter(int upper, int lower, struct error *err) MUST_CHECK;
