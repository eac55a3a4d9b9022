/* Git's deltas (gitformat-pack(5), "Deltified representation"): an object as copies of another's bytes and new ones.
 * Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/macros.h"

/* How large the result of DELTA says it is. 0, or -EBADMSG. */
int gitdelta_size(const uint8_t *delta, size_t len, size_t base_len, uint64_t *ret) MUST_CHECK;
/* Appends to OUT (bounded by its limit) what DELTA makes of BASE. 0, -EBADMSG (it reads outside BASE, or the result is
 * not of the size that it says), -EMSGSIZE or -ENOMEM. */
int gitdelta_apply(const uint8_t *base, size_t base_len, const uint8_t *delta, size_t len,
    struct buf *out) MUST_CHECK;
