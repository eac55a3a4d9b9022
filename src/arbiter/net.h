/* The network boundary as the arbiter sees it: which gateway speaks for which sandbox, what could be reached,
 * and the actions that gateways propose.
 *
 * A gateway reads hostile bytes, so nothing is believed of it but what it asks for. Whose task that is, who asked
 * for the task, which policy decides: all this is bound to the sandbox by the supervisor (MSG_NET_OPEN), and the
 * sandbox to one gateway. A gateway that names a sandbox of another one has lost the conversation.
 *
 *   net.c          bindings: opened, closed, changed; reach; notes
 *   net_peers.c    gateways, dialer and vault, joined by the supervisor
 *   net_rates.c    how often, and how many at a time
 *   net_record.c   the record of what a gateway proposes; pure
 *   net_perform.c  verdicts to gateways: tickets, grants, the end of an action
 *   net_issuer.c   the way to issuers, for a grant whose secret is exchanged for a token */
#pragma once

#include "arbiter/arbiter.h"

#define BINDINGS_MAX 4096
#define GATEWAYS_MAX 64
#define BINDING_ACTIONS_MAX 1024 /* under way at one time */
#define BINDING_REVIEWS_MAX 32   /* waiting for people at one time */

struct net_rate;

/* One gateway process. */
struct gateway_peer {
	struct arbiter *arbiter; /* borrowed */
	struct conn *conn;       /* NULL once it ended */
	unsigned number;
	struct gateway_peer *next;
};

/* One sandbox, and who speaks for it. */
struct binding {
	struct arbiter *arbiter;
	char sandbox[UUID_TEXT];
	struct gateway_peer *gateway; /* borrowed */
	struct task *task;            /* borrowed; counted in task->bound */
	uid_t requester;
	char policy[POLICY_NAME_MAX +
	    1]; /* the active generation of this name decides; "": GENERATION does */
	struct generation
	    *generation; /* counted reference; with a name: what is active, or NULL: look it up */
	uint64_t epoch;  /* kill epoch at its start */
	unsigned live;   /* actions that refer to it */
	struct timer *closing; /* it ended; waits for what is being settled */
	/* what has no effect is recorded within a rate: notes, and denials */
	struct window {
		int64_t since_ns;
		unsigned n, suppressed;
	} notes, denials;
	struct net_rate *rates; /* owned by net_rates.c */
	struct binding *chain;
};

/* net.c */
struct binding *binding_find(const struct arbiter *arbiter, const char *sandbox);
/* A new reference to what decides for BINDING now; negative errno with ERR. */
int binding_generation(struct binding *binding, struct generation **ret, struct error *err)
    MUST_CHECK;
bool binding_killed(const struct binding *binding);
/* Whether one more denial of BINDING's is to be recorded by itself; else it is counted. */
bool binding_records_denial(struct binding *binding);
/* GATEWAY ended: what it was doing is over, and what it spoke for has nobody. */
void net_gateway_gone(struct arbiter *arbiter, struct gateway_peer *gateway);
/* Another generation of NAME is active: gateways ask again. */
void net_policy_changed(struct arbiter *arbiter, const char *name);
/* TASK (NULL: all) was killed: no credential stays granted. */
void net_killed(struct arbiter *arbiter, const struct task *task);
void net_done(struct arbiter *arbiter);
int on_net_open(struct conn *conn, struct msg *m);
int on_net_close(struct conn *conn, struct msg *m);
int on_net_reach(struct conn *conn, struct msg *m);
int on_net_note(struct conn *conn, struct msg *m);

/* net_rates.c */
/* Whether the limits ("per_minute", "at_once") of RULE, which permits another action of BINDING's, have room for it,
 * which is then counted. If not, RET_REASON says so in one line. */
bool net_rate_admits(struct binding *binding, const char *rule, const struct json *limits,
    char *ret_reason, size_t size);
void net_rates_free(struct binding *binding);

/* net_peers.c */
int on_peer_join(struct conn *conn, struct msg *m);
int on_secret_changed(struct conn *conn, struct msg *m);
struct gateway_peer *net_gateway(const struct arbiter *arbiter, unsigned number);
/* The key that tickets are signed with; NULL with ERR. */
const uint8_t *net_ticket_key(struct arbiter *arbiter, struct error *err);
/* Ends every conversation. */
void net_peers_done(struct arbiter *arbiter);

/* net_perform.c */
int on_net_propose(struct conn *conn, struct msg *m);
int on_net_settle(struct conn *conn, struct msg *m);
int on_net_withdraw(struct conn *conn, struct msg *m);
/* MSG_NET_VERDICT about a bound ACTION that is not performed, or not yet. COMMENT may be NULL. */
void net_verdict_send(struct arbiter *arbiter, struct action *action, const char *comment);
/* ACTION is claimed: its gateway is told to perform it. Negative errno if it cannot, and then it is told that. */
int net_perform(struct arbiter *arbiter, struct action *action);
/* Whether ACTION has what its rule's credential needs; if not, the vault was asked, and claim_finish is called
 * again, or the action has ended (and is freed) where no vault can grant it. */
bool net_grant_ready(struct arbiter *arbiter, struct action *action);
/* Takes back what the vault granted for ACTION, if anything. */
void net_grant_revoke(struct arbiter *arbiter, struct action *action);
int on_granted(struct conn *conn, struct msg *m);
int on_grant_refused(struct conn *conn, struct msg *m);
/* The vault is gone: nothing that waits for it can be granted. */
void net_vault_gone(struct arbiter *arbiter);
/* The action whose grant of that id the vault was asked for and has not answered; NULL: there is none (any more). */
struct action *net_granting(struct arbiter *arbiter, const char *grant);

/* net_issuer.c */
int on_issuer_ticket(struct conn *conn, struct msg *m);
void net_issuers_done(struct arbiter *arbiter);
