/* What rf-vault's parts share. */
#pragma once

#include "io/loop.h"
#include "ipc/dispatch.h"
#include "policy/config.h"
#include "vault/exchange.h"
#include "vault/grants.h"
#include "vault/key.h"
#include "vault/secrets.h"

#define GATEWAYS_MAX 64
#define PEOPLE_MAX 16   /* who may ask for something */
#define STRANGERS_MAX 4 /* who is told that they may not: they take nobody's place */

enum vault_peer { PEER_SUPERVISOR, PEER_ARBITER, PEER_GATEWAY, PEER_ISSUER, PEER_PERSON };

struct vault_gateway {
	struct vault *vault;
	int64_t number;
	struct conn *conn; /* NULL: the place is free */
};

struct vault {
	struct loop *loop;
	struct conn *supervisor, *arbiter, *issuer; /* NULL while there is none */
	struct vault_gateway gateways[GATEWAYS_MAX];
	struct watch
	    *listener; /* NULL before the arbiter joined: what people do has to be recorded */
	unsigned people, strangers;
	uid_t owner; /* whose installation this is; beside root the one who may ask for something */
	struct config *config; /* which issuers are pinned; NULL: it could not be read */
	struct vault_key key;
	struct secrets secrets;
	struct grants grants;
	struct exchanges exchanges;
};

/* The only place where values are in the clear: locked in memory where that is possible, not in dumps, wiped after each
 * use. SEAL_VALUE_MAX bytes. */
uint8_t *vault_room(void);
void vault_room_wipe(void);

/* Whether UID may see and change what secrets there are. */
bool vault_permits(const struct vault *vault, uid_t uid);
/* The gateway of that number, or NULL. */
struct vault_gateway *vault_gateway(struct vault *vault, int64_t number);
/* Starts serving. 0 or -errno. */
int dispatch_start(struct vault *vault) MUST_CHECK;

/* people.c: the handlers of MSG_SECRET_*. */
route_fn people_on_set, people_on_list, people_on_remove;
