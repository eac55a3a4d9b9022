/* What people read of an action: one line as its command, and what a line has no room for. Pure. */
#pragma once

#include "base/buf.h"
#include "base/json.h"

/* Appends what REQUEST of KIND does ("POST https://example.com/x", "push to git.example.com/acme/app: agent/x"). Not
 * escaped. */
void review_text_command(
    const char *kind, const char *target, const struct json *request, struct buf *out);
/* Lines, not escaped; owned; may be empty. */
struct json *review_text_details(const char *kind, const struct json *request);
