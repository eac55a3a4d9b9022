/* Signed notes and checkpoints, as C2SP specifies them: signed-note (Ed25519) and tlog-checkpoint.
 *
 * A note is text that ends in a newline, an empty line, and signature lines:
 *
 *     ringfence.local/<ledger id>
 *     42
 *     <base64 of the root hash>
 *
 *     — ringfence.local/<ledger id> <base64 of key hash (4 bytes) and signature (64)>
 *
 * The text above is a checkpoint: origin, tree size, root hash. Key names are the origin.
 * https://c2sp.org/signed-note  https://c2sp.org/tlog-checkpoint */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"

#define NOTE_ORIGIN_PREFIX "ringfence.local/"
#define NOTE_NAME_MAX 128 /* bytes of a key's name, with the NUL */
#define NOTE_BYTES_MAX 16384
#define NOTE_KEY_BYTES 32 /* Ed25519: public key, and seed of the private one */
#define NOTE_SIGNATURE_BYTES 64

/* A verifier key: name+hash+base64(0x01 || key). */
struct note_key {
	char name[NOTE_NAME_MAX];
	uint8_t hash[4];
	uint8_t key[NOTE_KEY_BYTES];
};

struct checkpoint {
	char origin[NOTE_NAME_MAX];
	uint64_t size;
	uint8_t root[SHA256_BYTES];
};

/* Fills the hash of KEY from its name and key. */
void note_key_hash(struct note_key *key);
/* Appends the verifier key's one-line form, without a newline. */
int note_key_write(const struct note_key *key, struct buf *out);
/* Reads it; white space at the end is ignored. 0 or -EINVAL. */
int note_key_parse(const char *text, size_t len, struct note_key *ret) MUST_CHECK;

/* Where the note that starts at TEXT ends (behind its last signature line), or 0 if it is not whole.
 * The text that is signed is its first *RET_BODY bytes. */
size_t note_extent(const char *text, size_t len, size_t *ret_body);
/* Whether NOTE (LEN bytes, exactly one note) carries a good signature by KEY.
 * 0, -EINVAL (not a note), -ENOKEY (no signature of that key), -EBADMSG (a wrong signature). */
int note_verify(const char *note, size_t len, const struct note_key *key) MUST_CHECK;
/* Appends BODY (ends in a newline) signed as KEY with the private key SEED. 0 or -errno. */
int note_sign(const char *body, size_t len, const struct note_key *key,
    const uint8_t seed[NOTE_KEY_BYTES], struct buf *out) MUST_CHECK;
/* The public key of SEED. 0 or -EIO. */
int note_public_key(const uint8_t seed[NOTE_KEY_BYTES], uint8_t ret[NOTE_KEY_BYTES]) MUST_CHECK;

/* Appends the text of a checkpoint. */
int checkpoint_write(const struct checkpoint *c, struct buf *out);
/* Reads the text of a checkpoint (a note's body; extension lines are ignored). 0 or -EINVAL. */
int checkpoint_parse(const char *body, size_t len, struct checkpoint *ret) MUST_CHECK;
