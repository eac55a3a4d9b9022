/* The conversations of the arbiter, and its one message table. */
#pragma once

#include "arbiter/arbiter.h"

/* The table, for conversations that begin later. */
const struct route *dispatch_routes(void);
/* Serves the descriptors of ipc/spawn.h. 0, or negative errno with ERR. */
int dispatch_start(struct arbiter *arbiter, struct error *err) MUST_CHECK;
