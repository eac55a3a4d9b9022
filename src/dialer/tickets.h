/* Which tickets have been used, and how often: what makes a ticket good for no more connections than it says.
 *
 * A ticket is remembered until it expires, then ticket_check refuses it. The table is bounded; while it is full of
 * tickets that have not expired, a new one is refused. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "ipc/ticket.h"

#define TICKETS_MAX (128 * 1024) /* remembered at a time: 8 MiB */

struct tickets;

/* At most MAX are remembered. NULL: out of memory. */
struct tickets *tickets_new(size_t max);
struct tickets *tickets_free(struct tickets *tickets);
/* The wall clock, but never earlier than it once was: a clock that is set back must not make a ticket valid again that
 * was forgotten after it expired. */
int64_t tickets_now_ms(struct tickets *tickets, int64_t wall_ms);
/* Whether the clock was set back so far that no ticket would be good for long. Then only a new life helps, with a new key
 * and nothing to remember. */
bool tickets_clock_is_lost(const struct tickets *tickets, int64_t wall_ms);
/* Takes one use of TICKET (checked at NOW_MS). 0; -EACCES ("ticket_refused": it has none left, or the table is
 * full) or -ENOMEM. */
int tickets_use(struct tickets *tickets, const struct ticket *ticket, int64_t now_ms,
    struct error *err) MUST_CHECK;
size_t tickets_count(const struct tickets *tickets);
