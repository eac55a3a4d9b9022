/* The segments, as their one writer sees them: find the end, add records in batches, make them
 * durable.
 *
 *     ready ── journal_write fails, journal_fail ──▶ failed (for good: a new process may recover)
 *
 * ready: the newest segment ends in a whole record, and that record is `head`.
 * failed: nothing is written any more and every call that would returns the first failure.
 *
 * A batch is all or nothing: if its write fails, the segment is cut back to where the batch began,
 * so a record that was not acknowledged is not there, and one that was is whole. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"
#include "ledgerfmt/merkle.h"

struct journal;

/* Where a record stands. */
struct journal_at {
	uint64_t seq;
	uint8_t hash[SHA256_BYTES]; /* its leaf hash */
};

/* Opens the ledger in DIR_FD (borrowed), recovers a torn end, or begins a new ledger. Reads only the
 * end of the newest segment. Its own records (genesis, recovered) are batched, not yet written.
 * -EBUSY if another process writes there, -EUCLEAN if the end is damaged beyond recovery, -errno. */
int journal_open(int dir_fd, struct journal **ret, struct error *err) MUST_CHECK;
/* Gives reserved room back and closes. Accepts NULL; returns NULL. Writes nothing. */
struct journal *journal_free(struct journal *j);

/* Adds a record to the batch. DATA is canonical JSON, an object, redacted by the caller.
 * 0 and where it will stand, or a negative errno with ERR. */
int journal_add(struct journal *j, const char *event, const char *task, const char *action_id,
    const char *data, size_t data_len, struct journal_at *ret, struct error *err) MUST_CHECK;
/* Bytes in the batch. */
size_t journal_batched(const struct journal *j);
/* Writes the batch (safe against the death of the process). 0, or a negative errno: failed. */
int journal_write(struct journal *j, struct error *err) MUST_CHECK;
/* Makes what was written durable (safe against the death of the machine). 0, or failed. */
int journal_sync(struct journal *j, struct error *err) MUST_CHECK;
/* Reserves room on the disk ahead of need, so that running full is noticed before a record is torn
 * and a last record still fits. Not on the path of a request. */
void journal_reserve(struct journal *j);

/* Puts the journal into its failed state for WHY. */
void journal_fail(struct journal *j, int errnum, const struct error *why);
/* 0, or the failure's negative errno with ERR filled. */
int journal_failed(const struct journal *j, struct error *err);

/* Records written, and the hash of the last one (zeros if none). */
uint64_t journal_size(const struct journal *j);
const uint8_t *journal_head(const struct journal *j);
int journal_dir(const struct journal *j);
/* The newest segment and the offset of its end, batch excluded. */
void journal_end(const struct journal *j, uint32_t *ret_segment, int64_t *ret_offset);

/* Called with each record that was written, in order. */
typedef void journal_written_fn(void *data, uint64_t seq, const uint8_t hash[SHA256_BYTES]);
void journal_on_written(struct journal *j, journal_written_fn *fn, void *data);
