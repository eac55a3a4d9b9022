/* Verification of a ledger from its files alone: every line, the chain, the tree, the signatures.
 *
 * What is found: any change, removal, insertion or reordering of records that a checkpoint covers;
 * against a checkpoint held elsewhere (SINCE), also cutting the end back and replacing the whole. What
 * is not: anything about records behind the last checkpoint beyond their chain (they are counted). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "ledgerfmt/note.h"

enum verify_status { VERIFY_OK, VERIFY_TAMPERED, VERIFY_UNUSABLE };

struct verify_result {
	enum verify_status status;
	uint64_t records, bytes;
	uint32_t segments;
	uint64_t first;       /* the first record's number: 0 but for a partial export */
	uint64_t checkpoints; /* that hold */
	uint64_t signed_size; /* records that the latest of them covers */
	char origin[NOTE_NAME_MAX];
	struct note_key key;
	bool key_given;  /* false: it came from the ledger's own directory */
	bool unfinished; /* the last line has no end (a crash, or a write in progress) */
	uint8_t root[SHA256_BYTES], head[SHA256_BYTES]; /* of all records */
	/* The first thing that is wrong. */
	char file[32];
	uint64_t line;  /* 1 for the first; 0: not about a line */
	int64_t offset; /* bytes */
	char what[400];
};

struct verify_options {
	const struct note_key *key; /* NULL: the one in the directory */
	const char *since;          /* a note held elsewhere, or NULL */
	size_t since_len;
};

/* Verifies the ledger in DIR_FD. Always fills RET. */
void verify_ledger(int dir_fd, const struct verify_options *options, struct verify_result *ret);
