/* Sealing: one secret and what is known about it, as the bytes of a file.
 *
 *     0   8  "RFSEAL1\n"
 *     8   4  length of the head, little-endian
 *     12  …  the head: canonical JSON, in the clear (name, version, bind, …; "key": the id of the sealing key)
 *     …  12  nonce, random
 *     …  16  tag
 *     …   …  the value, AES-256-GCM (NIST SP 800-38D)
 *
 * Everything before the nonce is the additional data, so a value opens only with the head that it was sealed with. The
 * sealing key is derived from the master key, which itself encrypts nothing. 2^32 random nonces per key is GCM's limit;
 * a vault seals once per `secret set`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

#define SEAL_KEY_BYTES 32
#define SEAL_ID_HEX 17 /* with the NUL */
#define SEAL_VALUE_MAX 65536
#define SEAL_HEAD_MAX (48 * 1024)
#define SEAL_FILE_MAX (SEAL_HEAD_MAX + SEAL_VALUE_MAX + 64)

struct seal_key {
	bool is_set;
	uint8_t bytes[SEAL_KEY_BYTES];
	char id[SEAL_ID_HEX]; /* says which key, and nothing about it */
};

/* Makes libcrypto ready; before the program's locks, while its modules and random numbers can be had. 0 or -EIO. */
int seal_prepare(struct error *err) MUST_CHECK;
/* The sealing key of MASTER (SEAL_KEY_BYTES). */
void seal_key_derive(const uint8_t *master, struct seal_key *ret);
void seal_key_done(struct seal_key *key);

/* Appends to OUT the file of VALUE under HEAD; "key" is set in HEAD. 0, -EMSGSIZE, -ENOMEM or -EIO. */
int seal_write(const struct seal_key *key, struct json *head, const uint8_t *value, size_t len,
    struct buf *out) MUST_CHECK;
/* The head of a file, not yet authenticated: owned. 0, -EBADMSG or -ENOMEM. */
int seal_head(const uint8_t *file, size_t len, struct json **ret) MUST_CHECK;
/* The value of a file into RET (room for SEAL_VALUE_MAX): its length; -ENOKEY (sealed with another key), -EBADMSG (not
 * what was sealed) or -EIO. */
int seal_open(const struct seal_key *key, const uint8_t *file, size_t len, uint8_t *ret) MUST_CHECK;
