/* What the signer needs of the past: the ledger's name, its tree, and its file of checkpoints. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"
#include "ledgerfmt/merkle.h"
#include "ledgerfmt/note.h"

/* The last record that was written, and where it ends. */
struct history_end {
	uint64_t size; /* records */
	uint8_t head[SHA256_BYTES];
	uint32_t segment;
	int64_t offset;
};

/* The origin line for checkpoints, from the genesis record. 0, -EUCLEAN if there is none, -errno. */
int history_origin(int dir_fd, char ret[NOTE_NAME_MAX], struct error *err) MUST_CHECK;
/* The tree up to END: from the frontier file where a checkpoint signed by KEY vouches for it, and the
 * records after it; else from all records. If the last checkpoint covers them all, its note is
 * appended to RET_NOTE. -EUCLEAN if the records do not match the chain, END, or the last checkpoint. */
int history_load(int dir_fd, const struct note_key *key, const struct history_end *end,
    struct merkle *ret, struct buf *ret_note, struct error *err) MUST_CHECK;
/* Appends NOTE to the file of all checkpoints; first cuts a note that a crash left unfinished. */
int history_append_note(int dir_fd, const char *note, size_t len) MUST_CHECK;
