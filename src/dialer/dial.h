/* One dial: from a ticket that was good to a connected socket for the gateway, or a reason. */
#pragma once

#include "dialer/dialer.h"

#define RESOLVE_LIMIT_MS 5000
#define CONNECT_LIMIT_MS 10000
#define NEXT_ATTEMPT_MS 250 /* RFC 8305, section 5 */
#define ATTEMPTS_MAX 16     /* addresses that are tried */

/* Dials for TICKET (taken, also on failure), and answers the request SERIAL of GATEWAY with MSG_DIALED or MSG_ERROR, at
 * once or later. 0, or -ENOMEM with ERR for the caller to answer. */
int dial_new(struct gateway *gateway, uint32_t serial, struct ticket *ticket, struct error *err)
    MUST_CHECK;
/* Ends all dials of GATEWAY, without an answer. */
void dial_end_all(struct gateway *gateway);
