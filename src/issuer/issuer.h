/* What the parts of rf-issuer share. */
#pragma once

#include "io/loop.h"
#include "io/tls.h"
#include "ipc/dispatch.h"
#include "policy/config.h"

#define EXCHANGES_MAX 32 /* at a time */

enum issuer_peer { PEER_SUPERVISOR, PEER_VAULT, PEER_DIALER };

struct exchange;

struct issuer {
	struct loop *loop;
	struct config *config;                    /* which issuers are pinned */
	struct tls_trust *trust;                  /* NULL: no issuer is */
	struct conn *supervisor, *vault, *dialer; /* NULL while there is none */
	struct exchange *exchanges;
	unsigned n_exchanges;
};

/* dispatch.c: serves the supervisor's descriptor. 0 or -errno. */
int dispatch_start(struct issuer *issuer) MUST_CHECK;

/* exchange.c: from the vault, and from the dialer. */
route_fn exchange_on_ask, exchange_on_dialed, exchange_on_refused;
/* The vault is gone: nobody waits for any. */
void exchange_end_all(struct issuer *issuer);
/* The dialer is gone: those that wait for it have failed. */
void exchange_dialer_gone(struct issuer *issuer);
