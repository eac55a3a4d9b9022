/* One attack, tried once in one place.
 *
 *   PREPARING ─fixtures say "ready"→ ATTACKING ─answer, or silence→ CHECKING? → ENDING ─fixtures gone→ done
 *
 * PREPARING  what the attack aims at starts
 * ATTACKING  rf-attack runs
 * CHECKING   a second rf-attack looks from outside at what the first one left (CHECK_OUTSIDE)
 * ENDING     the finding is known; what was started ends */
#pragma once

#include "prove/launch.h"

struct trial;
typedef void trial_done_fn(struct trial *trial, void *data);

/* Tries ROW's attack in PLACE (with LOCK for PLACE_LOCK) and writes what it finds to *FINDING; then calls DONE,
 * after which the trial *RET is gone. NUMBER is unique. 0 or -errno. */
int trial_start(struct prove *p, const struct row *row, enum place place, enum lock lock,
    unsigned number, struct finding *finding, struct trial **ret, trial_done_fn *done, void *data)
    MUST_CHECK;
/* Ends a trial that has not come to its end: its processes are killed, DONE is not called. */
void trial_abort(struct trial *trial);
