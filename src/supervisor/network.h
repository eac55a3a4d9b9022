/* One sandbox's part in the network boundary: the gateway knows it, the arbiter knows which gateway proposes for it,
 * and its listeners are in the gateway's hands; before its command runs, or it never does.
 *
 *   OPENING ─both answered→ OPEN ─listeners handed over and taken→ OPEN, listening ─network_close→ CLOSING ─→ gone
 *     └ refused, no answer, gateway lost: NETWORK_FAILED, gone */
#pragma once

#include "supervisor/supervisor.h"

struct network;

enum network_event {
	NETWORK_OPENED,  /* network_bundle is there: the sandbox can have its plan */
	NETWORK_LISTENS, /* every listener was taken */
	NETWORK_CLOSED,  /* network_result is there */
	NETWORK_FAILED,  /* ERR says why; nothing more will happen */
};
/* May release NETWORK. */
typedef void network_fn(
    struct network *network, enum network_event event, const struct error *err, void *data);

/* For whom. All borrowed. */
struct network_spec {
	const char *sandbox, *task;
	const struct json *config; /* policy_sandbox(), with its "network" */
	const struct json *policy; /* {"name"} or {"hash"} */
	uid_t requester_uid;
	bool record; /* what came of it goes into the ledger, because nobody is told */
};

/* Starts the programs if they do not run, and asks. FN is called later. 0 with *RET, or -errno with ERR. */
int network_open(struct supervisor *s, const struct network_spec *spec, network_fn *fn, void *data,
    struct network **ret, struct error *err) MUST_CHECK;
/* A sandbox of CONFIG may be opened soon: what it needs is started, as far as it can be. */
void network_expect(struct supervisor *s, const struct json *config);
bool network_is_open(const struct network *network);
/* The authorities that its programs trust; borrowed. */
int network_bundle(const struct network *network);
/* Hands over what INIT_LISTENERS brought. 0 or -errno with ERR: then the sandbox must end. */
int network_listen(struct network *network, struct msg *m, struct error *err) MUST_CHECK;
/* rf-init has sent all of them. True if all were taken already; else NETWORK_LISTENS follows. */
bool network_has_listeners(struct network *network);
/* Adds to RECEIPT's "network" what we can see: the listeners, and who has them. */
void network_describe(const struct network *network, struct json *receipt);
/* Asks the gateway to let go of it: NETWORK_CLOSED follows. Once; doing it again does nothing. */
void network_close(struct network *network);
bool network_is_closing(const struct network *network);
/* {"usage","denials"}; borrowed. */
const struct json *network_result(const struct network *network);
/* FN will not be called any more; it is closed if it was not. Accepts NULL; returns NULL. */
struct network *network_release(struct network *network);

/* The gateway is gone, or cannot work: each one fails with ERR. */
void network_lose_all(struct supervisor *s, const struct error *err);

/* From the gateway. */
int network_on_opened(struct conn *conn, struct msg *m);
int network_on_listening(struct conn *conn, struct msg *m);
int network_on_closed(struct conn *conn, struct msg *m);
int network_on_error(struct conn *conn, struct msg *m);
/* From the arbiter: MSG_NET_OPEN with SERIAL was taken; or refused (whether M is that). */
void network_on_bound(struct supervisor *s, uint32_t serial);
bool network_on_refused(struct supervisor *s, const struct msg *m);
