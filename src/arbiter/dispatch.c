/* Which message from which peer goes where. What is not in this table ends the conversation. */
#include "arbiter/dispatch.h"

#include <errno.h>
#include <string.h>

#include "arbiter/activation.h"
#include "arbiter/claim.h"
#include "arbiter/decide.h"
#include "arbiter/evidence.h"
#include "arbiter/kill.h"
#include "arbiter/net.h"
#include "arbiter/policies.h"
#include "arbiter/review.h"
#include "arbiter/review_view.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/spawn.h"

#define CLIENTS_MAX 128
#define CLIENTS_PER_UID 32

#define SUPERVISOR (1U << PEER_SUPERVISOR)
#define LEDGER (1U << PEER_LEDGER)
#define PEOPLE (1U << PEER_PEOPLE)
#define GATEWAY (1U << PEER_GATEWAY)
#define VAULT (1U << PEER_VAULT)
#define SMALL (16 * 1024)

static const struct route routes[] = {
    {MSG_PROPOSE, SUPERVISOR, 0, MSG_BODY_MAX, 1, on_propose},
    {MSG_CLAIM, SUPERVISOR, 0, MSG_BODY_MAX, 0, on_claim},
    {MSG_SETTLE, SUPERVISOR, 0, MSG_BODY_MAX, 0, on_settle},
    {MSG_WITHDRAW, SUPERVISOR, 0, SMALL, 0, on_withdraw},
    {MSG_POLICY_VIEW, SUPERVISOR, 0, SMALL, 1, on_policy_view},
    {MSG_KILLED, SUPERVISOR, 0, SMALL, 0, on_killed},
    {MSG_PEER_JOIN, SUPERVISOR, 0, SMALL, 1, on_peer_join},
    {MSG_NET_OPEN, SUPERVISOR, 0, SMALL, 0, on_net_open},
    {MSG_NET_CLOSE, SUPERVISOR, 0, SMALL, 0, on_net_close},
    {MSG_NET_PROPOSE, GATEWAY, 0, MSG_BODY_MAX, 0, on_net_propose},
    {MSG_NET_SETTLE, GATEWAY, 0, SMALL, 0, on_net_settle},
    {MSG_NET_WITHDRAW, GATEWAY, 0, SMALL, 0, on_net_withdraw},
    {MSG_NET_REACH, GATEWAY, 0, SMALL, 0, on_net_reach},
    {MSG_NET_NOTE, GATEWAY, 0, SMALL, 0, on_net_note},
    {MSG_GRANTED, VAULT, 0, SMALL, 0, on_granted},
    {MSG_ERROR, VAULT, 0, SMALL, 0, on_grant_refused},
    {MSG_ISSUER_TICKET, VAULT, 0, SMALL, 0, on_issuer_ticket},
    {MSG_SECRET_CHANGED, VAULT, 0, SMALL, 0, on_secret_changed},
    {MSG_APPENDED, LEDGER, 0, SMALL, 0, on_ledger_appended},
    {MSG_ERROR, LEDGER, 0, SMALL, 0, on_ledger_error},
    {MSG_REVIEW_LIST, PEOPLE, 0, SMALL, 0, on_review_list},
    {MSG_REVIEW_SHOW, PEOPLE, 0, SMALL, 0, on_review_show},
    {MSG_REVIEW_APPROVE, PEOPLE, 0, SMALL, 0, on_review_approve},
    {MSG_REVIEW_DENY, PEOPLE, 0, SMALL, 0, on_review_deny},
    {MSG_REVIEW_WATCH, PEOPLE, 0, SMALL, 0, on_review_watch},
    {MSG_KILL, PEOPLE, 0, SMALL, 0, on_kill},
    {MSG_TASKS, PEOPLE, 0, SMALL, 0, on_tasks},
    {MSG_POLICY_ACTIVATE, PEOPLE, 0, SMALL, 1, on_policy_activate},
    {MSG_POLICY_ROLLBACK, PEOPLE, 0, SMALL, 0, on_policy_rollback},
    {MSG_POLICY_HISTORY, PEOPLE, 0, SMALL, 0, on_policy_history},
    {.handle = NULL},
};

const struct route *
dispatch_routes(void)
{
	return routes;
}

static void
on_supervisor_closed(struct conn *conn)
{
	struct arbiter *arbiter = conn_data(conn);
	arbiter->supervisor = NULL;
	loop_stop(arbiter->loop, arbiter->ledger_lost ? 1 : 0);
}

/* ---- people ---- */

static void
on_client_closed(struct conn *conn)
{
	struct client *client = conn_data(conn);
	struct arbiter *arbiter = client->arbiter;
	kill_forget_client(arbiter, client);
	*(client->prev != NULL ? &client->prev->next : &arbiter->clients) = client->next;
	if (client->next != NULL)
		client->next->prev = client->prev;
	arbiter->n_clients--;
	free(client);
}

/* One user may not take every place. */
static bool
has_room(const struct arbiter *arbiter, uid_t uid)
{
	unsigned of_this_user = 0;
	for (const struct client *client = arbiter->clients; client != NULL; client = client->next)
		of_this_user += client->uid == uid;
	return arbiter->n_clients < CLIENTS_MAX && of_this_user < CLIENTS_PER_UID;
}

static void
on_person(int fd, void *data)
{
	struct arbiter *arbiter = data;
	uid_t uid = 0;
	gid_t gid = 0;
	pid_t pid = 0;
	if (msg_peer(fd, &uid, &gid, &pid) < 0 || !has_room(arbiter, uid)) {
		log_event(LOG_WARNING, "connection-refused", NULL);
		(void)close(fd);
		return;
	}
	struct client *client = calloc(1, sizeof(*client));
	if (client == NULL) {
		(void)close(fd);
		return;
	}
	client->arbiter = arbiter;
	client->uid = uid;
	if (conn_new(arbiter->loop, fd, PEER_PEOPLE, routes, on_client_closed, client,
		&client->conn) < 0) {
		free(client);
		return;
	}
	client->next = arbiter->clients;
	if (client->next != NULL)
		client->next->prev = client;
	arbiter->clients = client;
	arbiter->n_clients++;
}

int
dispatch_start(struct arbiter *arbiter, struct error *err)
{
	int r = conn_new(arbiter->loop, SPAWN_SUPERVISOR, PEER_SUPERVISOR, routes,
	    on_supervisor_closed, arbiter, &arbiter->supervisor);
	if (r == 0)
		r = conn_new(arbiter->loop, SPAWN_PEER, PEER_LEDGER, routes, on_ledger_closed,
		    arbiter, &arbiter->ledger);
	if (r == 0)
		r = conn_accept(
		    arbiter->loop, SPAWN_LISTENER, on_person, arbiter, &arbiter->listener);
	if (r < 0)
		return error_set_errno(
		    err, -r, "start_failed", "serving the supervisor's descriptors");
	return 0;
}
