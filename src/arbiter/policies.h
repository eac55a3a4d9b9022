/* Which policy the supervisor means, and whether its promises can be kept here. */
#pragma once

#include "arbiter/arbiter.h"

/* The generation that M's "policy" names: by name, by hash, or as the file that came along. A new
 * reference, or negative errno with ERR. */
int policies_find(
    struct arbiter *arbiter, struct msg *m, struct generation **ret, struct error *err) MUST_CHECK;
/* Refuses a generation whose promises cannot be kept here: -EOPNOTSUPP with ERR. */
int policies_check(const struct arbiter *arbiter, const struct generation *generation,
    struct error *err) MUST_CHECK;
/* Tells the supervisor that NAME is now generation HASH. */
void policies_tell_changed(struct arbiter *arbiter, const char *name, const char *hash);

int on_policy_view(struct conn *conn, struct msg *m);
