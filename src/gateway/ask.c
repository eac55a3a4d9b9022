/* Proposing actions. The arbiter's word is the only one: no answer, a broken one, or the end of the conversation
 * all mean that the action is not performed.
 *
 * What a sandbox asks at once must not fill the conversation that all share: no more than some bytes of questions are
 * on the way, the others wait their turn. */
#include "gateway/ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ipc/messages.h"

#define BUCKETS 256
#define ASKS_MAX 4096 /* under way; more are refused */
#define SENT_BYTES_MAX \
	(384 * 1024) /* of proposals without an answer (ipc/dispatch.c queues 1 MiB) */
#define BYTES_MAX (32u * 1024 * 1024) /* of proposals that wait their turn */

struct ask {
	struct ask *next; /* in its bucket */
	struct guest *guest;
	uint32_t serial;
	enum ask_state state;
	ask_fn *fn;
	void *data;
	struct json *verdict; /* owned */
	struct json *body;    /* owned: the proposal, until it is sent */
	size_t bytes;         /* about what the proposal has */
	struct ask *later;    /* that waits behind us */
	char reason[256];
};

static struct ask *buckets[BUCKETS];
static unsigned n_asks;
static struct ask *first, **last = &first; /* those that wait their turn */
static size_t sent_bytes, waiting_bytes;

static struct ask **
place_of(uint32_t serial)
{
	struct ask **at = &buckets[serial % BUCKETS];
	while (*at != NULL && (*at)->serial != serial)
		at = &(*at)->next;
	return at;
}

/* ---- one after the other ---- */

/* Sends those whose turn it is. */
static void
send_more(struct conn *arbiter)
{
	while (first != NULL && arbiter != NULL &&
	    (sent_bytes == 0 || sent_bytes + first->bytes <= SENT_BYTES_MAX)) {
		struct ask *ask = first;
		first = ask->later;
		if (first == NULL)
			last = &first;
		waiting_bytes -= ask->bytes;
		sent_bytes += ask->bytes;
		(void)conn_send_take(arbiter, MSG_NET_PROPOSE, ask->serial, TAKE_PTR(ask->body));
	}
}

static void
wait_turn(struct ask *ask)
{
	*last = ask;
	last = &ask->later;
	waiting_bytes += ask->bytes;
}

/* ASK has its answer, or needs none any more. */
static void
turn_is_over(struct ask *ask)
{
	if (ask->body != NULL) {
		struct ask **at = &first;
		while (*at != ask)
			at = &(*at)->later;
		*at = ask->later;
		if (*at == NULL)
			last = at;
		waiting_bytes -= ask->bytes;
		ask->body = json_free(ask->body);
	} else
		sent_bytes -= ask->bytes;
	ask->bytes = 0;
}

struct ask *
ask_new(struct guest *guest, struct json *action, size_t bytes, ask_fn *fn, void *data)
{
	struct conn *arbiter = guest->gateway->arbiter;
	struct ask *ask = NULL;
	if (arbiter != NULL && n_asks < ASKS_MAX && waiting_bytes + bytes <= BYTES_MAX)
		ask = calloc(1, sizeof(*ask));
	if (ask == NULL) {
		json_free(action);
		return NULL;
	}
	ask->guest = guest;
	ask->serial = conn_next_serial(arbiter);
	ask->fn = fn;
	ask->data = data;
	ask->next = buckets[ask->serial % BUCKETS];
	buckets[ask->serial % BUCKETS] = ask;
	n_asks++;
	ask->body = json_new_object();
	ask->bytes = MAX(bytes, 1u);
	if (ask->body == NULL) {
		json_free(action);
		return ask_free(ask);
	}
	(void)json_set_str(ask->body, "sandbox", guest->id);
	(void)json_set(ask->body, "action", action);
	wait_turn(ask);
	send_more(arbiter);
	return ask;
}

static void
ask_done(struct ask *ask)
{
	struct ask **at = place_of(ask->serial);
	struct conn *arbiter = ask->guest->gateway->arbiter;
	*at = ask->next;
	n_asks--;
	if (ask->bytes > 0)
		turn_is_over(ask);
	json_free(ask->verdict);
	free(ask);
	send_more(arbiter);
}

static void
tell(struct ask *ask, uint16_t type, struct json *body)
{
	(void)json_set_str(body, "action_id", ask_action_id(ask));
	if (ask->guest->gateway->arbiter == NULL)
		json_free(body); /* it settles what was under way as unknown */
	else
		(void)conn_send_take(ask->guest->gateway->arbiter, type, 0, body);
}

void
ask_settle(struct ask *ask, const char *state, struct json *outcome)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "state", state);
	if (outcome != NULL)
		(void)json_set(body, "outcome", outcome);
	tell(ask, MSG_NET_SETTLE, body);
	ask_done(ask);
}

struct ask *
ask_free(struct ask *ask)
{
	if (ask == NULL)
		return NULL;
	if (ask->state == ASK_GO) {
		ask_settle(ask, "unknown", NULL);
		return NULL;
	}
	if (ask->state == ASK_HELD)
		tell(ask, MSG_NET_WITHDRAW, json_new_object());
	/* The answer to one that has none yet finds nobody; then it is withdrawn (ask_on_verdict). */
	ask_done(ask);
	return NULL;
}

enum ask_state
ask_state(const struct ask *ask)
{
	return ask->state;
}

const struct json *
ask_verdict(const struct ask *ask)
{
	return ask->verdict;
}

const char *
ask_action_id(const struct ask *ask)
{
	return json_get_str(ask->verdict, "action_id", "");
}

const char *
ask_reason(const struct ask *ask)
{
	if (ask->reason[0] != 0)
		return ask->reason;
	const char *comment = json_get_str(ask->verdict, "comment", NULL);
	const struct json *decision = json_get(ask->verdict, "decision");
	return comment != NULL ? comment : json_get_str(decision, "reason", "it is not allowed");
}

const char *
ask_needed(const struct ask *ask)
{
	return json_get_str(json_get(ask->verdict, "decision"), "needed", "");
}

/* ---- answers ---- */

/* Somebody who left was answered: what was claimed for them will not be performed. */
static void
give_back(struct conn *conn, const struct json *verdict)
{
	const char *state = json_get_str(verdict, "state", "");
	bool claimed = strcmp(state, "performing") == 0;
	if (!claimed && strcmp(state, "reviewing") != 0)
		return;
	struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", json_get_str(verdict, "action_id", ""));
	if (claimed)
		(void)json_set_str(body, "state", "failed");
	(void)conn_send_take(conn, claimed ? MSG_NET_SETTLE : MSG_NET_WITHDRAW, 0, body);
}

int
ask_on_verdict(struct conn *conn, struct msg *m)
{
	struct ask *ask = *place_of(m->serial);
	if (ask == NULL) {
		give_back(conn, m->body);
		return 0;
	}
	if (ask->state != ASK_PROPOSED && ask->state != ASK_HELD)
		return ask->state == ASK_GO ? 0
					    : -EPROTO; /* an end by a kill: its place ends too */
	const char *state = json_get_str(m->body, "state", "");
	if (ask->bytes > 0)
		turn_is_over(ask);
	json_free(ask->verdict);
	ask->verdict = TAKE_PTR(m->body);
	m->body = json_new_object();
	ask->state = strcmp(state, "performing") == 0 ? ASK_GO
	    : strcmp(state, "reviewing") == 0         ? ASK_HELD
						      : ASK_NO;
	ask->fn(ask, ask->data);
	send_more(conn);
	return 0;
}

bool
ask_on_error(struct conn *conn, struct msg *m)
{
	struct ask *ask = *place_of(m->serial);
	if (ask == NULL)
		return false;
	struct error err;
	if (ask->bytes > 0)
		turn_is_over(ask);
	msg_error_read(m->body, &err);
	(void)snprintf(ask->reason, sizeof(ask->reason), "%s", err.message);
	ask->state = ASK_NO;
	ask->fn(ask, ask->data);
	send_more(conn);
	return true;
}

void
ask_all_lost(struct gateway *gateway)
{
	(void)gateway;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct ask *ask = buckets[i]; ask != NULL;) {
			if (ask->state == ASK_GO || ask->state == ASK_LOST) {
				ask = ask->next; /* performed to its end, or told already */
				continue;
			}
			ask->state = ASK_LOST;
			(void)snprintf(ask->reason, sizeof(ask->reason),
			    "nobody decides: the arbiter is gone");
			ask->fn(ask, ask->data);
			ask = buckets[i]; /* anything may have changed */
		}
}
