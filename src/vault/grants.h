/* Grants: one credential handed to one gateway for one action, revocable until it expires. In memory only. */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/uuid.h"
#include "io/loop.h"
#include "ipc/dispatch.h"

#define GRANTS_BUCKETS 1024

struct vault;
struct grant;
struct grant_wait;

struct grants {
	struct grant *buckets[GRANTS_BUCKETS];
	struct grant *oldest, *newest;
	unsigned n;
	struct timer *sweep;
	struct grant_wait *waiting; /* owned: those whose secret is being exchanged, in order */
};

/* From the arbiter. */
route_fn grants_on_grant, grants_on_revoke;
/* Ends every grant of credential NAME (NULL: all): the gateways hear it at once. */
void grants_revoke(struct vault *vault, const char *name);
/* Forgets the grants of a gateway that is gone. */
void grants_forget_gateway(struct vault *vault, int64_t gateway);

/* NAME was exchanged for TOKEN, or (NULL) could not be, says ERR: those that wait for it are answered. */
void grants_exchanged(
    struct vault *vault, const char *name, const char *token, const struct error *err);
/* The id of a grant that waits for NAME's token, or NULL. */
const char *grants_waiting(const struct vault *vault, const char *name);
/* Grant ID, if it waits, is refused. */
void grants_refuse_waiting(struct vault *vault, const char *id, const struct error *err);
