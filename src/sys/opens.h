/* openat2(2), which glibc and musl do not have yet. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/macros.h"

/* Opens PATH below DIR with FLAGS (open(2); O_CLOEXEC is added), MODE where one is made, and RESOLVE (RESOLVE_*,
 * linux/openat2.h). With RESOLVE_BENEATH or RESOLVE_IN_ROOT the kernel gives up (EAGAIN) where anything on the machine is
 * renamed or mounted while it follows a ".."; then it is tried again, some hundred times. fd or -errno. */
int opens_below(int dir, const char *path, int flags, mode_t mode, uint64_t resolve) MUST_CHECK;
