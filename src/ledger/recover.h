/* Finds the end of a ledger when its writer starts, and cuts what a crash left half written. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"

struct recovered {
	bool has_record; /* false: the ledger has no record at all */
	uint64_t seq;    /* of the last record */
	uint8_t hash[SHA256_BYTES];
	int64_t end;       /* bytes of whole records in the newest segment */
	int64_t cut_bytes; /* removed from its end; 0 normally */
	char kept_in[32];  /* the side file that holds them */
	char cut_sha256[SHA256_HEX];
};

/* Reads the end of segment NEWEST in DIR_FD (and of the one before, if it is empty). A line that is
 * not whole, or not a record, at the end is moved to a side file, at most RECOVER_BYTES_MAX of them.
 * 0, -EUCLEAN if more is damaged than a crash explains, or -errno. */
#define RECOVER_BYTES_MAX (4 * 1024 * 1024)
int recover_end(int dir_fd, uint32_t newest, struct recovered *ret, struct error *err) MUST_CHECK;
