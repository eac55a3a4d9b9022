/* Tokens for secrets that are never handed out: asked of rf-issuer, on the arbiter's word, and kept in memory until
 * shortly before they expire. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "ipc/dispatch.h"
#include "vault/secrets.h"

struct vault;
struct token;
struct exchange;

struct exchanges {
	struct token *tokens;     /* owned: one for each secret, or why there is none */
	struct exchange *running; /* owned: one for each secret */
};

/* What SECRET was exchanged for, borrowed, in *RET; NULL: an exchange is under way for grant ID, which grants_exchanged
 * ends. 0, or -errno with ERR: it cannot be, or failed a moment ago. */
int exchange_token(struct vault *vault, const struct secret *secret, const char *id,
    const char **ret, struct error *err) MUST_CHECK;
/* Whether SECRET's issuer is one that the configuration pins: 0, or -EACCES ("issuer_not_pinned"). */
int exchange_check_pin(const struct vault *vault, const struct json *parameters, struct error *err)
    MUST_CHECK;
/* Forgets NAME's token (NULL: all), and any exchange for it. Whoever waits for that is the caller's to tell. */
void exchange_forget(struct vault *vault, const char *name);
/* rf-issuer is there (or gone). */
void exchange_issuer_joined(struct vault *vault);
void exchange_issuer_gone(struct vault *vault);

/* From the arbiter; from the supervisor; from rf-issuer. */
route_fn exchange_on_ticket, exchange_on_no_ticket, exchange_on_no_issuer, exchange_on_done,
    exchange_on_failed;
