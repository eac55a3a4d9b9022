/* Keeps secrets out of the ledger: what looks like one is replaced before a record is written.
 *
 * Works on the canonical JSON text of a record's `data`, in one pass and without building values.
 * Replaced are, in string values: tokens of known issuers, private keys, bearer and basic
 * credentials, passwords in URLs, `password=…` and its kin; and whole string values whose member
 * name says what they are ("password", "DB_TOKEN", "Authorization"), or which follow such an option
 * in an array (["--password", "x"]). The replacement is
 *
 *     [redacted:KIND:first 8 hexadecimal digits of HMAC-SHA-256(key, secret)]
 *
 * so that two uses of one secret can be recognised as the same, by nobody without the ledger's key.
 * This is a net, not a boundary: a secret in no known form passes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/macros.h"

#define REDACT_KEY_BYTES 32

/* Fetches the key when the first secret is met. 0 or -errno. */
typedef int redact_key_fn(void *data, uint8_t ret[REDACT_KEY_BYTES]);

/* TEXT is canonical JSON. If it holds nothing to replace, returns 0 and leaves OUT alone; else appends
 * the redacted text (canonical too) to OUT and returns the number of replacements.
 * -ENOMEM, or what KEY returned: then nothing may be written. */
int redact_json(const char *text, size_t len, redact_key_fn *key, void *data, struct buf *out)
    MUST_CHECK;
