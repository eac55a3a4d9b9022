/* The copies of a listed root on disk: a tree below the state directory, made once, named by the hash of what
 * it was made from, and never changed after it has its name. */
#pragma once

#include "sandbox/listed_set.h"

#define LISTED_NAME_SIZE 64
#define LISTED_EMPTY "/.empty" /* in the tree: what covers programs */

/* Whether the item is a file that is copied: everything but what a bound directory maps already. */
bool listed_is_copied(const struct listed_set *set, const struct listed_item *item);
/* Whether PATH lies in one of the directories (/usr and the like) that the tree replaces as a whole. */
bool listed_is_whole(const char *path);
/* The I-th of those, "/usr"; NULL past the last. */
const char *listed_whole_at(size_t i);

/* The name of SET's tree below STATE_FD, made if it is not there (by a rename: whole or absent).
 * 0, -ESTALE if a source changed meanwhile, or -errno with ERR. */
int listed_tree_ensure(int state_fd, const struct listed_set *set, char ret[LISTED_NAME_SIZE],
    struct error *err) MUST_CHECK;
/* Whether NAME is a tree of ours in which each of FILES ({path: bytes}) has its size. */
bool listed_tree_intact(int state_fd, const char *name, const struct json *files);
/* {path: bytes} of the files that are copied; owned. NULL without memory. */
struct json *listed_tree_files(const struct listed_set *set);
/* Removes NAME with all that it holds; what cannot be removed stays. */
void listed_tree_remove(int state_fd, const char *name);
