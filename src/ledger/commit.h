/* Group commit: what arrives in one round of the loop is written, synced and answered together.
 *
 * Order within a round: write the batch; answer those who wanted it written; sync, if anyone wants
 * that; answer them; sign, if anyone wants that; answer them. So an append that need not be durable
 * never waits for the sync of its own round. */
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
};

void commit_init(struct commit *c, struct loop *loop, struct journal *journal, struct signer *signer);
void commit_done(struct commit *c);
/* CONN's request SERIAL is answered when WANT is true of the batch (AT: for appends). SERIAL 0 wants
 * no answer. 0 or -ENOMEM. */
int commit_wait(struct commit *c, struct conn *conn, uint32_t serial, enum commit_want want,
    const struct journal_at *at);
/* Runs the round's work now. */
void commit_run(struct commit *c);
/* CONN is gone. */
void commit_forget(struct commit *c, const struct conn *conn);
