/* Names in archives, made plain: relative, without "." or empty parts; refused when they are not. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/macros.h"
#include "image/image.h"

/* PATH without "./" and double or trailing slashes, into RET; "" for the root itself. Refused: absolute
 * paths, "..", components longer than 255 bytes, more than IMAGE_DEPTH_MAX of them, more than 4095 bytes.
 * 0 or -EBADMSG. */
int path_clean(const char *path, char ret[IMAGE_PATH_MAX], struct error *err) MUST_CHECK;

/* Whether PATH (clean) is, or lies below, a directory whose contents are never the image's: each sandbox
 * has its own /dev, /proc, /run, /tmp, and no /sys; and the names that the skeleton uses. */
bool path_is_left_out(const char *path);
