/* A directory of this machine as a root file system: copied entry by entry through the same door as an
 * archive (image/tree.h). */
#pragma once

#include "base/error.h"
#include "base/macros.h"
#include "image/tree.h"

/* Copies what is below DIR (borrowed) into TREE. Nothing in it is followed, no device or pipe is opened,
 * and a file system that is mounted below it is an error. 0, -EBADMSG, or -errno; always with ERR. */
int copy_directory(int dir, struct tree *tree, struct error *err) MUST_CHECK;
