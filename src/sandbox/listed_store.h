/* The copies of files, each kept once: the trees of all policies hold hard links to them.
 *
 * A copy is named by what it was made from (path, identity, mode) and never changed after it has its name. */
#pragma once

#include "sandbox/listed_set.h"

#define LISTED_STORE "run/listed-files"

/* Links a copy of the FILE ITEM to PATH below TREE_FD (whose directory exists), having made the copy if it is
 * not there. 0, -ESTALE if the source is another than when it was looked at, or -errno. */
int listed_store_link(int state_fd, const struct listed_item *item, int tree_fd, const char *path)
    MUST_CHECK;
/* Removes the copies that no tree holds. */
void listed_store_sweep(int state_fd);
