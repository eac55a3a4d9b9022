/* Credentials that the vault handed us, each for one action, and what must not come back from upstreams. */
#pragma once

#include "gateway/gateway.h"
#include "proto/credential.h"

/* CREDENTIAL is that of grant ID, or NULL if it did not come, was revoked, or has expired. */
typedef void secret_fn(const struct credential *credential, void *data);
struct secret_wait;
/* Waits for the credential of GRANT, which the vault sends about when the arbiter sends its verdict; FN may be called
 * at once. *PLACE is the wait meanwhile. Used once: a second time finds nothing. */
void secret_take(
    struct guest *guest, const char *grant, secret_fn *fn, void *data, struct secret_wait **place);
/* FN will not be called; its place is NULL then. Accepts NULL. */
void secret_forget(struct secret_wait *wait);
/* What to remove from everything that GUEST's upstreams answer; NULL if it was granted nothing yet (or without memory,
 * then *RET_FAILED). Owned. */
struct scrub *secret_scrub(struct guest *guest, bool *ret_failed);
bool secret_any(const struct guest *guest);
void secrets_done(struct guest *guest);

int secret_on_credential(struct conn *conn, struct msg *m);
int secret_on_revoked(struct conn *conn, struct msg *m);
