/* A git pack (gitformat-pack(5)) as it streams past: its commits are kept (proto/gitcommits.h), all else is inflated only
 * to find where it ends.
 *
 * A commit that is stored as a delta is known if its base is a commit of the pack that is known and comes before it, as
 * git writes them; else it is left out. Pure; bounded memory: at most what gitcommits.h keeps, one object of
 * GITCOMMIT_BYTES_MAX and its delta. SHA-1 only: a pack does not say, but the names in it and its checksum would not
 * fit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "proto/gitcommits.h"

struct gitpack;
/* NULL: no memory. */
struct gitpack *gitpack_new(void);
/* Accepts NULL; returns NULL. */
struct gitpack *gitpack_free(struct gitpack *pack);
/* Takes the next LEN bytes; *RET_USED is less only if the pack ended within. 0, -EBADMSG with ERR (malformed, a wrong
 * checksum, more inflated bytes than any honest push has), or -ENOMEM; after an error it stays so. */
int gitpack_feed(struct gitpack *pack, const uint8_t *bytes, size_t len, size_t *ret_used,
    struct error *err) MUST_CHECK;
/* All of it is read, and its checksum holds. */
bool gitpack_is_done(const struct gitpack *pack);
/* Borrowed. */
struct gitcommits *gitpack_commits(struct gitpack *pack);
