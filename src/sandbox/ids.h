/* The host ids that sandboxes run under.
 *
 * As root: a fresh pair per sandbox (rf-init and the command) from a range that no account uses; host
 * uid 0 is never mapped. As an ordinary user: that user's own id, which is all the kernel lets one map. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/macros.h"

/* 1879048192: "unused" in systemd's table of uid ranges (uids-gids documentation). */
#define IDS_BASE 0x70000000u
#define IDS_LEDGER (IDS_BASE + 1)
#define IDS_ARBITER (IDS_BASE + 2)
#define IDS_IMAGE (IDS_BASE + 3) /* rf-image while it reads an archive */
#define IDS_DIALER (IDS_BASE + 4)
#define IDS_VAULT (IDS_BASE + 5)
#define IDS_ISSUER (IDS_BASE + 6)
#define IDS_GATEWAY \
	(IDS_BASE + 16) /* and the next IDS_GATEWAYS - 1: one for each gateway process */
#define IDS_GATEWAYS 64u

/* The first id of a pair that no other live sandbox of this supervisor has. In a user namespace that
 * does not map the usual range, ids from the top of its largest extent. 0, or -ERANGE with ERR where
 * there are too few ids. */
int ids_next_pair(uid_t *ret, struct error *err) MUST_CHECK;

/* A descriptor of a user namespace that maps the on-disk owner UID:GID to OUTER_UID:OUTER_GID, for an
 * idmapped mount. fd or -errno. HELPER is a program that waits for ever on its descriptor 0 (borrowed
 * O_PATH descriptor); it is ended before this returns. */
int ids_mapping_namespace(int helper, uid_t uid, gid_t gid, uid_t outer_uid, gid_t outer_gid)
    MUST_CHECK;
