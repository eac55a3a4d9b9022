/* Signs the ledger: keeps the Merkle tree's edge, the key, and the checkpoints.
 *
 * Everything is lazy, because a ledger starts on the path of a run: the key is made or read and the
 * tree is brought up to date at the first checkpoint. One is signed when nothing was appended for
 * 200 ms, every 4,096 records, every 60 s, on request, and at the end.
 *
 * Before a signature the records are synced: a checkpoint never claims what a crash could lose. And
 * the tree is checked against the last checkpoint: a history that was altered is not signed; the
 * ledger fails instead. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "io/loop.h"
#include "ledger/journal.h"

struct signer;

/* LOOP and JOURNAL are borrowed. 0 or -ENOMEM. */
int signer_new(struct loop *loop, struct journal *journal, struct signer **ret) MUST_CHECK;
/* To be called after records were written: signs, or sees to it that it is done in time. */
void signer_after_write(struct signer *s);
/* Signs what is written (nothing new: the same note again) and appends the note to NOTE. 0, or a
 * negative errno with ERR. */
int signer_checkpoint(struct signer *s, struct buf *note, struct error *err) MUST_CHECK;
/* The last checkpoint, unless there is nothing new. */
int signer_finish(struct signer *s, struct error *err) MUST_CHECK;
