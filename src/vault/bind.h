/* What a secret is bound to: where the gateway may send it. Pure.
 *
 *     {"hosts":["api.github.com","*.example.com"],"ports":[443],"methods":["GET"],"paths":["/repos/acme/x*"],
 *      "plain":false}
 *
 * Hosts and paths match as in policies (policy/patterns.h). Without ports: 443 (and 80 if plain). Without methods or
 * paths: any. Only over TLS, unless plain. This is the second lock on a credential: it holds whatever a policy allows. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* 0, or -EINVAL ("secret_invalid") saying what is wrong; a secret without hosts is. */
int bind_check(const struct json *bind, struct error *err) MUST_CHECK;
/* Whether TARGET ({"kind","scheme"?,"host","port","method"?,"path"?}) is within BIND: 0, or -EACCES ("credential_not_bound")
 * saying in which respect it is not. What TARGET does not say, and BIND asks for, is not within. */
int bind_allows(const struct json *bind, const struct json *target, const char *name,
    struct error *err) MUST_CHECK;
