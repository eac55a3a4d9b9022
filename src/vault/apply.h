/* How what a gateway is given goes into a request: MSG_CREDENTIAL's "apply". */
#pragma once

#include <stdbool.h>

#include "base/json.h"
#include "base/macros.h"
#include "proto/sigv4.h"

/* Of an AWS secret the gateway gets the key derived from it for today, region and service: in place of the LEN bytes of
 * the secret in the vault's room, its scope in SCOPE. The length of what is there now, or -errno. */
int apply_derive(const struct json *head, int len, char scope[SIGV4_SCOPE_MAX]) MUST_CHECK;
/* How HEAD's secret is applied, owned. SCOPE: of an AWS key, else NULL. */
struct json *apply_of_secret(const struct json *head, const char *scope);
/* How a token is applied that AS exchanged a secret for, owned. GitHub takes its tokens from git as a password. */
struct json *apply_of_token(const char *as, bool git);
