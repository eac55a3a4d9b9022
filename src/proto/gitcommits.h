/* The commits of a pack: their names, which we compute ourselves, and what they descend from.
 *
 * Why that proves a fast-forward: a commit's name is the SHA-1 of its bytes, and these name its parents. So "NEW
 * descends from OLD" holds wherever an object NEW exists, whatever else is in a pack or on a server. A collision would
 * need two commits of one name, of which we see one and the server keeps the other: git refuses objects that carry the
 * marks of the known attacks. Pure; bounded: what does not fit is not known, and proves nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/sha1.h"

#define GITCOMMITS_MAX 100000
#define GITCOMMITS_PARENTS_MAX 1000000          /* of all together */
#define GITCOMMIT_BYTES_MAX (8 * 1024 * 1024)   /* of one */
#define GITCOMMITS_BYTES_MAX (64 * 1024 * 1024) /* kept of all, as bases of deltas */

struct gitcommits;
struct gitcommits *gitcommits_new(void);
/* Accepts NULL; returns NULL. */
struct gitcommits *gitcommits_free(struct gitcommits *commits);
/* Adds the commit of LEN bytes at OFFSET (each greater than the last) of the pack. 0 (also when it is left out: too
 * many, or not a commit that git could read) or -ENOMEM. */
int gitcommits_add(struct gitcommits *commits, uint64_t offset, const uint8_t *bytes, size_t len)
    MUST_CHECK;
size_t gitcommits_count(const struct gitcommits *commits);

/* A commit's bytes, borrowed; at NULL if they are not kept. */
struct gitcommit_bytes {
	const uint8_t *at;
	size_t len;
};
struct gitcommit_bytes gitcommits_at(const struct gitcommits *commits, uint64_t offset);
struct gitcommit_bytes gitcommits_named(
    const struct gitcommits *commits, const uint8_t name[SHA1_BYTES]);

/* Whether it is proved that TIP is, or descends from, ANCESTOR. False also when it took too many steps, counted over all
 * calls. */
bool gitcommits_descends(
    struct gitcommits *commits, const uint8_t tip[SHA1_BYTES], const uint8_t ancestor[SHA1_BYTES]);
