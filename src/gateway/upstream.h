/* Connections to upstreams: dialed by the dialer for a ticket, secured by us, kept for the guest's next request to
 * the same place under the same rule. */
#pragma once

#include "gateway/gateway.h"

/* STREAM (owned by the callee) is connected, and secured if that was asked; NULL: ERR says why not. REUSED: it served
 * another request before, and may have been closed by its peer. ADDRESS is where it goes. */
typedef void upstream_fn(
    struct stream *stream, bool reused, const char *address, const struct error *err, void *data);
struct upstream_dial;

struct upstream_target {
	const char *host; /* as the ticket has it */
	int port;
	bool tls;
	const char *prefer; /* address, or NULL */
	bool fresh;         /* not one that was kept */
};

/* Opens TARGET with the ticket of VERDICT (borrowed during the call). FN may be called at once; else *PLACE is the
 * dial meanwhile. */
void upstream_open(struct guest *guest, const struct json *verdict,
    const struct upstream_target *target, upstream_fn *fn, void *data,
    struct upstream_dial **place);
/* FN will not be called; its place is NULL then. Accepts NULL. */
void upstream_forget(struct upstream_dial *dial);
/* STREAM (taken) can serve another request of GUEST to TARGET under the rule of VERDICT. */
void upstream_keep(struct guest *guest, const struct json *verdict,
    const struct upstream_target *target, struct stream *stream, const char *address);
/* Whether HOST at ADDRESS has shown a certificate that is good, a moment ago; and: it has. */
bool upstream_is_verified(
    const struct guest *guest, const char *host, int port, const char *address);
void upstream_verified(struct guest *guest, const char *host, int port, const char *address);
/* Closes what is kept for GUEST's next requests. */
void upstreams_drop_idle(struct guest *guest);
/* Forgets every dial and connection of GUEST's. */
void upstreams_done(struct guest *guest);

int upstream_on_dialed(struct conn *conn, struct msg *m);
int upstream_on_refused(struct conn *conn, struct msg *m);
void upstream_dialer_lost(struct gateway *gateway);
