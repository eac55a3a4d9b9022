/* The list of changes as a value: order, totals, digest. Used by the walk that fills it. */
#pragma once

#include "sandbox/workspace.h"

/* Sorts the items (a directory before what is below it, which follows it without a gap) and computes
 * the totals and the digest. */
void changes_finish(struct changes *changes);
/* Whether PATH is below DIRECTORY. */
bool path_is_below(const char *path, const char *directory);
