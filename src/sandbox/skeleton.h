/* The skeleton: the directory tree that is the root of every sandbox with `root: host`, with every place
 * where something will be mounted, every link and every small file that is written for the sandbox.
 *
 * Made once and kept below the state directory under a name that is the hash of what it was made from;
 * each sandbox mounts it read-only. Making it anew each time would cost more than all mounts together. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* mkdir -p of PATH (absolute) below FD; the last component only if WHOLE. 0 or -errno. */
int skeleton_make_path(int fd, const char *path, bool whole) MUST_CHECK;

/* The name of the skeleton for VIEW (host.h) below STATE_FD's run/, made if it is not there yet (by a
 * rename, so it is whole or absent). RET has room for 64 bytes. 0 or -errno with ERR. */
int skeleton_ensure(int state_fd, const struct json *view, char ret[64], struct error *err)
    MUST_CHECK;
