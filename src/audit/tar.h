/* Writes a tar file (POSIX ustar, pax(1)): regular files, one after the other. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

/* Each writes to FD. The bytes of a file follow its header, SIZE of them, then tar_pad.
 * 0 or -errno. */
int tar_header(int fd, const char *name, uint64_t size, int64_t mtime_s) MUST_CHECK;
int tar_pad(int fd, uint64_t size) MUST_CHECK;
int tar_end(int fd) MUST_CHECK;
