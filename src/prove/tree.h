/* Small file work: copying a program, removing what trials leave. */
#pragma once

#include "prove/prove.h"

/* A copy of the file FROM_FD (borrowed) at PATH, mode MODE. 0 or -errno. */
int tree_copy_file(int from_fd, const char *path, mode_t mode) MUST_CHECK;
/* A workspace at PATH: a copy of rf-attack, and the file "original". 0 or -errno. */
int tree_copy_workspace(const struct prove *p, const char *path) MUST_CHECK;
/* Writes TEXT to PATH, anew. 0 or -errno. */
int tree_write(const char *path, const char *text) MUST_CHECK;
/* Removes PATH with everything in it; never follows a link. What cannot be removed stays. */
void tree_remove(const char *path);
