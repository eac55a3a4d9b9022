/* What the parts of rf-dialer share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "dialer/resolve.h"
#include "dialer/settings.h"
#include "dialer/tickets.h"
#include "io/loop.h"
#include "ipc/dispatch.h"
#include "ipc/ticket.h"

#define GATEWAYS_MAX 64
#define DIALS_MAX 4096             /* at a time, of all gateways */
#define DIALS_PER_GATEWAY_MAX 1024 /* so that one tenant leaves places to the others */

enum peer { PEER_SUPERVISOR, PEER_ARBITER, PEER_GATEWAY };

struct dial;

struct gateway {
	struct dialer *dialer;
	struct gateway *next;
	struct conn *conn;
	unsigned number; /* tickets name it */
	struct dial *dials;
	unsigned n_dials;
};

struct dialer {
	struct loop *loop;
	struct settings settings;
	int netlink; /* own.h */
	struct resolver *resolver;
	struct tickets *tickets;
	bool has_key; /* without one, no ticket is good */
	uint8_t key[TICKET_KEY_BYTES];
	struct conn *supervisor, *arbiter;
	struct gateway *gateways;
	unsigned n_gateways, n_dials;
};

/* dispatch.c: serves the supervisor's descriptor. 0 or -errno. */
int dispatch_start(struct dialer *d) MUST_CHECK;
