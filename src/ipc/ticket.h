/* Tickets: what the arbiter signs so that the dialer connects once, for one action of one gateway.
 *
 * A ticket is a JSON object (MSG_DIAL); its mac is HMAC-SHA-256 over its canonical text (RFC 8785), with a key
 * that only the arbiter and the dialer have (MSG_TICKET_KEY). A gateway carries it and can change nothing in it.
 * That it is used no more often than it says is the dialer's to remember (dialer/tickets.h). */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "base/sha256.h"

#define TICKET_KEY_BYTES 32
#define TICKET_ISSUER 0 /* rf-issuer's number where gateways have theirs, which begin at 1 */
#define TICKET_ADDRESSES_MAX 512 /* pins of one ticket */
#define TICKET_CONNECTIONS_MAX 1024
/* Longest time between now and expiry: what the dialer must remember is bounded by it. */
#define TICKET_LIFETIME_MAX_MS (10 * 60 * 1000)

struct ticket {
	char id[64];      /* unique; printable ASCII without space, as are the next two */
	unsigned gateway; /* the only one that may use it */
	char sandbox[64];
	char action_id[64];
	char host[256]; /* a name, or a literal address without brackets */
	int port;
	/* Owned array of texts ("10.0.0.0/8", "::1"): only addresses in these, private ones too. NULL: any
	 * address of the public internet. An empty array permits none. */
	struct json *addresses;
	int64_t expires_ms; /* wall clock */
	int connections;    /* how often it may be used */
};

/* Frees what TICKET owns; it is empty then. */
void ticket_done(struct ticket *ticket);
/* Signs TICKET (borrowed): the owned object for "ticket" and its mac in hexadecimal for "mac". 0, -EINVAL (a field out
 * of the bounds above) or -ENOMEM. */
int ticket_sign(const uint8_t key[TICKET_KEY_BYTES], const struct ticket *ticket,
    struct json **ret_object, char ret_mac[SHA256_HEX]) MUST_CHECK;
/* Checks OBJECT and MAC (borrowed; NULL is refused) for the gateway of that number at NOW_MS (wall clock): the mac first,
 * in constant time, then every field. 0 and RET (ticket_done), -EACCES with ERR ("ticket_refused"), or -ENOMEM. */
int ticket_check(const uint8_t key[TICKET_KEY_BYTES], const struct json *object, const char *mac,
    unsigned gateway, int64_t now_ms, struct ticket *ret, struct error *err) MUST_CHECK;
