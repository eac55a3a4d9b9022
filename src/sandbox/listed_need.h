/* What programs need: the files of a listed root, found out by reading programs as their loader would. */
#pragma once

#include "base/sha256.h"
#include "sandbox/listed_elf.h"
#include "sandbox/listed_set.h"

/* The directory name under which Debian keeps this machine's libraries. */
#if defined(__x86_64__)
#define LISTED_TRIPLET "x86_64-linux-gnu"
#else
#define LISTED_TRIPLET "aarch64-linux-gnu"
#endif

/* Puts into SET all that the PROGRAMS (absolute paths) need. 0 or -errno with ERR. */
int listed_collect(struct listed_set *set, const struct json *programs, struct error *err)
    MUST_CHECK;

/* ---- its parts: libraries (listed_load.c) ---- */

struct listed_loader {
	struct listed_set *set; /* borrowed */
	struct ld_cache cache;
};

/* Puts the libraries that ELF (of the item OF) needs into the set, and the loader it names. PATH is how the
 * file was found, for $ORIGIN. A library that is not found is left out: the loader inside will say so. */
int listed_load(struct listed_loader *loader, const struct elf_file *elf, size_t of,
    const char *path) MUST_CHECK;

/* ---- and data (listed_data.c) ---- */

/* Puts into the set what the file of the item OF is known to need beside libraries. */
int listed_add_data(struct listed_loader *loader, size_t of) MUST_CHECK;
/* Adds to HASH what the table says, so that what was made by another table is known to be. */
void listed_hash_data(struct sha256 *hash);
/* Looks through the directory of the CODE item OF: libraries make it "mapped" and bring theirs; programs that
 * are not in the set are covered. */
int listed_scan(struct listed_loader *loader, size_t of, struct error *err) MUST_CHECK;
