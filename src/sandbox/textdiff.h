/* Unified differences of two texts, for people who decide whether a change goes out.
 *
 * Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), greedy form, bounded: past
 * TEXTDIFF_EDITS_MAX edits the part between the common beginning and end is shown as replaced whole,
 * which is still a true difference. Pure; reads and writes memory only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/macros.h"

#define TEXTDIFF_BYTES_MAX (1024 * 1024) /* a side */
#define TEXTDIFF_EDITS_MAX 600

struct textdiff_side {
	const char *text; /* borrowed */
	size_t len;       /* at most TEXTDIFF_BYTES_MAX */
	const char *name; /* as shown after --- and +++; borrowed; NULL: /dev/null */
};

/* Whether TEXT is no text: it holds a NUL. */
bool textdiff_is_binary(const char *text, size_t len);

/* Appends "--- OLD\n+++ NEW\n" and the hunks with CONTEXT lines around them; nothing if both are equal.
 * ESCAPE: control bytes and what hides or reorders text are escaped (tabs stay), names too.
 * 0, -EFBIG if a side is too large, -ENOMEM, or -EMSGSIZE when OUT is full. */
int textdiff_unified(const struct textdiff_side *old, const struct textdiff_side *now,
    size_t context, bool escape, struct buf *out) MUST_CHECK;
