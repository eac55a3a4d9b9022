/* Where a proof happens: two directories of its own, found again and removed if nobody could. */
#pragma once

#include "prove/prove.h"

/* Makes p->base and p->tmp, held by a lock until the last process that had it is gone, and removes those that
 * dead proofs of the same user left. 0 or -errno with ERR. */
int place_make(struct prove *p, struct error *err) MUST_CHECK;
void place_remove(const struct prove *p);
