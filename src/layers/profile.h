/* The lock of rf-layers. */
#pragma once

#include "base/error.h"
#include "base/macros.h"

/* From here on: files, mounts and namespaces, and the socket that it has. 0 or -errno. */
int profile_enter(struct error *err) MUST_CHECK;
