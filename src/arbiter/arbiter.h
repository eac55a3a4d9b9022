/* What the parts of rf-arbiter share: one process, one loop, one struct.
 *
 * The parts, in the order in which an action meets them:
 *   dispatch.c     which message from which peer goes where
 *   net*.c         what gateways ask (net.h)
 *   decide.c       MSG_PROPOSE → verdict            generations.c  policies by hash and by name
 *   policies.c     which policy a message means, and whether it can be kept here
 *   facts.c        what only the arbiter knows       budget.c       calls reserved before
 *   review.c       the queue, approvals, expiry      review_view.c  what people see of it (review_text.c: in words)
 *   people.c       uid → roles                       claim.c        claim, settle, withdraw
 *   kill.c         kill switches                     epoch.c        the file behind them
 *   evidence.c     records to the ledger             actions.c      actions and tasks in memory */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "arbiter/actions.h"
#include "arbiter/epoch.h"
#include "arbiter/generations.h"
#include "arbiter/people.h"
#include "base/error.h"
#include "base/sha256.h"
#include "io/loop.h"
#include "ipc/dispatch.h"
#include "store/store.h"

enum peer { PEER_SUPERVISOR, PEER_LEDGER, PEER_PEOPLE, PEER_GATEWAY, PEER_DIALER, PEER_VAULT };

struct arbiter;

/* One person's conversation. */
struct client {
	struct arbiter *arbiter; /* borrowed */
	struct conn *conn;       /* owned by the loop */
	uid_t uid;
	bool watching;
	uint32_t watch_serial;
	struct client *next, *prev;
};

struct pending_record; /* evidence.c */
struct kill_wait;      /* kill.c */
struct gateway_peer;   /* net.h */
struct binding;        /* net.h */
struct pending_grant;  /* net_perform.c */

#define BINDING_BUCKETS 256
#define SEEN_BUCKETS 1024

struct arbiter {
	struct loop *loop;
	struct conn *supervisor, *ledger;
	struct watch *listener;
	struct client *clients;
	unsigned n_clients;
	bool rootless;    /* everyone who can reach us is one person (or root) */
	bool ledger_lost; /* nothing is allowed any more; we are about to leave */
	uid_t own_uid;    /* who started this: root, or the rootless user */
	struct actions actions;
	struct generations generations;
	struct epoch epoch;
	struct people *people; /* NULL until first needed */
	struct store *store;   /* NULL until first needed */
	bool have_key;
	uint8_t key[SHA256_BYTES];                      /* of the action digests */
	struct pending_record *records, **records_tail; /* sent to the ledger, not acknowledged */
	struct kill_wait *kills;
	struct timer *expiry; /* the next review to expire */
	/* the network boundary */
	struct gateway_peer *gateways; /* owned */
	unsigned n_gateways;
	struct conn *dialer, *vault; /* NULL while there is none */
	struct binding *bindings[BINDING_BUCKETS];
	unsigned n_bindings;
	struct pending_grant *grants; /* asked for, not answered */
	struct config *config;        /* NULL until first needed (net_issuer.c) */
	bool have_ticket_key;
	uint8_t ticket_key[32];
	uint8_t seen[SEEN_BUCKETS]
		    [SHA256_BYTES]; /* keys that the store is known to have (facts.c) */
};

/* The store, opened (and swept) at first need; NULL with ERR. */
struct store *arbiter_store(struct arbiter *arbiter, struct error *err);
/* Who is who, read at first need; NULL with ERR. */
struct people *arbiter_people(struct arbiter *arbiter, struct error *err);
/* The digest key, read or made at first need; NULL with ERR. */
const uint8_t *arbiter_key(struct arbiter *arbiter, struct error *err);
