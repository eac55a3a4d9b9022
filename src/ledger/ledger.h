/* What the parts of rf-ledger share: one journal, one signer, and those who wait for an answer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "io/loop.h"
#include "ipc/dispatch.h"
#include "ledger/commit.h"
#include "ledger/journal.h"
#include "ledger/redact.h"
#include "ledger/signer.h"

#define PEOPLE_MAX 64 /* conversations with people at a time */

enum peer { PEER_SUPERVISOR, PEER_ARBITER, PEER_PERSON };

struct ledger {
	struct loop *loop;
	bool has_arbiter, has_listener; /* descriptors that were given, besides the supervisor's */
	int dir_fd;
	struct journal *journal;
	struct signer *signer;
	struct commit commit;
	bool have_redact_key;
	uint8_t redact_key[REDACT_KEY_BYTES];
	struct buf text, redacted; /* scratch for one record */
	struct conn *supervisor, *arbiter;
	struct timer *leave;
	unsigned people;
};

/* dispatch.c: takes the descriptors that the supervisor gave. 0 or a negative errno. */
int dispatch_start(struct ledger *l) MUST_CHECK;
