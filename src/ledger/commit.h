/* Group commit: what arrives together is written, synced and answered together.
 *
 * At the end of each round of the loop the batch is written, and those who wanted no more are answered.
 * If somebody wants a sync, it comes after the first round that brought nothing new (a conversation
 * gives only some of its messages in one round), at the latest after SETTLE_ROUNDS; then they are
 * answered, and last those who want a checkpoint. */
#pragma once

#include <stddef.h>

#include "io/loop.h"
#include "ipc/dispatch.h"
#include "ledger/journal.h"
#include "ledger/signer.h"

enum commit_want { WANT_WRITTEN, WANT_DURABLE, WANT_SYNC, WANT_CHECKPOINT };

/* Somebody who waits. */
struct waiter {
	struct conn *conn; /* NULL: nobody any more */
	uint32_t serial;
	enum commit_want want;
	struct journal_at at;
};

struct commit {
	struct loop *loop;
	struct journal *journal;
	struct signer *signer;
	struct deferred work;
	struct waiter *waiters; /* owned */
	size_t n, room;
	bool unanswered_durable; /* somebody who does not wait wants a sync */
	struct timer *settle;    /* fires in the next round: sync, or wait for one more */
	unsigned rounds;         /* that the sync has been put off */
};

void commit_init(
    struct commit *c, struct loop *loop, struct journal *journal, struct signer *signer);
void commit_done(struct commit *c);
/* CONN's request SERIAL is answered when WANT is true of the batch (AT: for appends). SERIAL 0 wants
 * no answer. 0 or -ENOMEM. */
int commit_wait(struct commit *c, struct conn *conn, uint32_t serial, enum commit_want want,
    const struct journal_at *at);
/* Writes the batch now; syncs follow in the next round. */
void commit_run(struct commit *c);
/* Writes, syncs and answers everything now. */
void commit_flush(struct commit *c);
/* CONN is gone. */
void commit_forget(struct commit *c, const struct conn *conn);
