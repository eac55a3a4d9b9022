/* ELF files as far as their loader cares: who loads them, what they need, where that is searched.
 *
 * Reads files of the host's packages: not hostile, but checked as if they were, since a mistake here would
 * be made with the supervisor's power. See elf(5), ld.so(8). Only this machine's own 64-bit format. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define ELF_NEEDED_MAX 256

/* All strings are owned. */
struct elf_file {
	char *interpreter;            /* NULL: none */
	char *needed[ELF_NEEDED_MAX]; /* file names, or paths if they hold a slash */
	size_t n_needed;
	char *rpath, *runpath; /* as written, with $ORIGIN; NULL: none */
	bool runnable;         /* a program, not (only) a library */
};

/* Reads the file FD. 0, -ENOEXEC if it is no ELF file, -ENOTSUP if it is one for another machine (RET says
 * "runnable" then), -EBADMSG if it contradicts itself, -ENOMEM, or -errno. elf_done in any case. */
int elf_read(int fd, struct elf_file *ret) MUST_CHECK;
void elf_done(struct elf_file *elf);

/* The cache that ldconfig(8) makes. */
struct ld_cache {
	uint8_t *data; /* owned; NULL: no cache */
	size_t len;
	size_t base; /* where the header of the current format starts */
};

/* Reads the cache PATH. What cannot be read or is not understood is an empty cache. 0 or -ENOMEM. */
int ld_cache_open(const char *path, struct ld_cache *ret) MUST_CHECK;
void ld_cache_done(struct ld_cache *cache);
/* The next path of the library NAME; *AT starts at 0. NULL when there is no more. Borrowed. */
const char *ld_cache_next(const struct ld_cache *cache, const char *name, size_t *at);
