/* The one request of an exchange, and what its answer means. No I/O. What an issuer says is hostile: nothing of it is ever
 * repeated in an error, because it has heard a secret and could say it again. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "proto/issuer.h"

#define TOKEN_BYTES_MAX 16384
#define TOKEN_LIFE_MAX_MS (24 * 3600 * 1000LL)
#define TOKEN_LIFE_UNSAID_MS (60 * 1000) /* where the issuer does not say (RFC 6749, 5.1) */

/* Appends the request that exchanges ASK's (MSG_EXCHANGE) secret at URL (which its parameters say). 0 or -errno with ERR. */
int request_make(const struct json *ask, const struct issuer_url *url, int64_t now_ms,
    struct buf *out, struct error *err) MUST_CHECK;

/* Reads an answer of that STATUS to an exchange AS: an owned token, and until when it is good. 0, or -errno with ERR
 * ("issuer_refused", "issuer_invalid"). */
int answer_read(const char *as, int status, const char *body, size_t len, int64_t now_ms,
    char **ret_token, int64_t *ret_expires_ms, struct error *err) MUST_CHECK;
