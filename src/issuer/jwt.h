/* JSON Web Tokens by which a GitHub App says who it is (RFC 7519, RS256 of RFC 7518). Pure but for OpenSSL. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"

#define JWT_LIFE_S (9 * 60)
#define JWT_SKEW_S 60 /* by which the issuer's clock may be behind ours */

/* Appends the token of ISSUER (the app), signed with the RSA key in PEM, at NOW_S (seconds since 1970). 0, -EINVAL
 * ("credential_unusable": not such a key), -ENOMEM or -EIO; what ERR says names nothing of the key. */
int jwt_make(const char *issuer, const char *pem, size_t len, int64_t now_s, struct buf *out,
    struct error *err) MUST_CHECK;
