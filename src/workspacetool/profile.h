/* The locks of rf-workspace. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/macros.h"

/* The trees that it works on; -1: none. */
struct profile_trees {
	int from; /* the user's own directory, or the older state */
	bool writes;
	int to;
	int layers;
};

/* From here on only TREES can be reached: all to read, FROM to write where it says so. 0 or -errno; there is
 * no running without. */
int profile_enter(const struct profile_trees *trees, struct error *err) MUST_CHECK;
