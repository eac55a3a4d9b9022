/* Secrets that are never sent where they are used: a key or a client secret that an issuer exchanges for a token of
 * short life. What `secret set` may say of one, and where its issuer is. Pure.
 *
 *     github-app  {"url":"https://api.github.com","app_id":"12","installation":"34","repositories"?:["acme/app"],
 *                  "permissions"?:{"contents":"write"}}; the secret is the app's private key, PEM
 *     oauth       {"url":"https://login.example.com/token","client_id","scope"?} (RFC 6749, 4.4); the client's secret */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "proto/hostname.h"

#define ISSUER_GITHUB "github-app"
#define ISSUER_OAUTH "oauth"
#define ISSUER_PATH_MAX 512
#define ISSUER_KEY_MAX 16384 /* bytes of a private key */
#define ISSUER_REPOSITORIES_MAX 50
#define ISSUER_PERMISSIONS_MAX 50

struct issuer_url {
	char host[HOSTNAME_TEXT]; /* canonical */
	int port;
	char path[ISSUER_PATH_MAX]; /* "" or begins with "/"; never ends with it */
};

/* Whether AS is one of these ways. */
bool issuer_is(const char *as);
/* Reads https://HOST[:PORT][/PATH]: no user, no query, no fragment, nothing encoded. 0 or -EINVAL. */
int issuer_url(const char *text, struct issuer_url *ret) MUST_CHECK;
/* Whether PARAMETERS say all that AS needs, and nothing else: 0, or -EINVAL ("secret_invalid") saying what is wrong. */
int issuer_check(const char *as, const struct json *parameters, struct error *err) MUST_CHECK;
/* NULL, or why VALUE cannot be the secret of AS. */
const char *issuer_check_secret(const char *as, const char *value, size_t len);
