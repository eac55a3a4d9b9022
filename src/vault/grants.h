/* Grants: one credential handed to one gateway for one action, revocable until it expires. In memory only. */
#pragma once

#include <stdint.h>

#include "base/macros.h"
#include "base/uuid.h"
#include "io/loop.h"
#include "ipc/dispatch.h"

#define GRANTS_BUCKETS 1024

struct vault;
struct grant;

struct grants {
	struct grant *buckets[GRANTS_BUCKETS];
	struct grant *oldest, *newest;
	unsigned n;
	struct timer *sweep;
};

/* From the arbiter. */
route_fn grants_on_grant, grants_on_revoke;
/* Ends every grant of credential NAME (NULL: all): the gateways hear it at once. */
void grants_revoke(struct vault *vault, const char *name);
/* Forgets the grants of a gateway that is gone. */
void grants_forget_gateway(struct vault *vault, int64_t gateway);
