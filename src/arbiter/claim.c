/* Claim, settle, withdraw.
 *
 * A claim is single use; a proposal may be one (claim_proposed). It is answered when the ledger has acknowledged every record that the action
 * awaits, and then only if, at that moment: nobody killed its task, its policy is the one it was
 * decided by (or allows it too), it has not expired, and what is stored has the digest that was
 * approved. Anything else ends the action and says so. */
#include "arbiter/claim.h"

#include <errno.h>
#include <string.h>

#include "arbiter/decide.h"
#include "arbiter/evidence.h"
#include "arbiter/facts.h"
#include "arbiter/net.h"
#include "arbiter/review.h"
#include "arbiter/verdict.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

static const char killed_comment[] = "it was killed before it was performed";
static const char changed_comment[] = "what is to be done is not what was decided on";

/* ---- the checks ---- */

static bool
is_killed(const struct arbiter *arbiter, const struct action *action)
{
	return action->epoch < arbiter->epoch.all ||
	    epoch_task_killed(&arbiter->epoch, action->task->id);
}

static bool
is_expired(const struct action *action)
{
	return action->expires_at != 0 &&
	    (clock_wall_ms() >= action->expires_at || clock_monotonic_ns() >= action->deadline_ns);
}

/* Whether RECORD is what ACTION's digest was made over. */
static bool
digest_holds(struct arbiter *arbiter, const struct action *action, const struct json *record)
{
	char digest[SHA256_HEX];
	const uint8_t *key = arbiter_key(arbiter, /* err= */ NULL);
	return key != NULL && action_digest(record, key, SHA256_BYTES, digest) == 0 &&
	    strcmp(digest, action->digest) == 0;
}

/* Swaps APPROVED → CLAIMED in the store and checks what it holds. 0, -EBADMSG if that is not what was
 * approved, or the store's error. */
static int
claim_stored(struct arbiter *arbiter, const struct action *action)
{
	_cleanup_buf_ struct buf text;
	_cleanup_json_ struct json *record = NULL;
	char digest[SHA256_HEX];
	buf_init(&text, 4 * MSG_BODY_MAX);
	/* What was only counted (a call budget) need not wait for the disk. */
	bool light = action->review_id[0] == '\0' && !action->leaves_sandbox;
	int r = store_action_claim(arbiter->store, action->id,
	    light ? STORE_KILL_SAFE : STORE_ON_DISK, clock_wall_ms(), &text, digest);
	if (r < 0)
		return r;
	if (json_parse(buf_str(&text), text.len, &record, NULL) < 0 ||
	    strcmp(digest, action->digest) != 0 || !digest_holds(arbiter, action, record))
		return -EBADMSG;
	return 0;
}

static void
end_invalidated(struct arbiter *arbiter, struct action *action, const char *comment)
{
	(void)action_end(
	    arbiter, action, STATE_INVALIDATED, "invalidated", comment, /* by= */ NULL);
}

/* The store refused the claim: what that means for ACTION. */
static void
claim_refused(struct arbiter *arbiter, struct action *action, int r)
{
	if (r == -EBADMSG) {
		/* Stored as claimed, but not performed. */
		int closed =
		    store_action_settle(arbiter->store, action->id, STATE_FAILED, clock_wall_ms());
		if (closed < 0)
			log_event(LOG_ERROR, "store-failed", "reason", strerror(-closed), NULL);
		action->stored = false;
		end_invalidated(arbiter, action, changed_comment);
		return;
	}
	if (r == -ETIME) {
		(void)action_end(
		    arbiter, action, STATE_EXPIRED, "review-expired", "it expired", NULL);
		return;
	}
	log_event(LOG_ERROR, "claim-failed", "action", action->id, "reason", strerror(-r), NULL);
	action->stored = false; /* whatever the store has of it, it is not ours to change */
	end_invalidated(arbiter, action, "the store does not have it as approved");
}

/* ---- claim ---- */

/* 0, or negative errno if it will not be performed. */
static int
claim_answer(struct arbiter *arbiter, struct action *action)
{
	if (action->binding != NULL)
		return net_perform(arbiter, action);
	if (action->claim_proposed) {
		verdict_send_claimed(arbiter, action);
		return 0;
	}
	struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", action->id);
	(void)json_set_int(body, "epoch", (int64_t)arbiter->epoch.now);
	(void)conn_send_take(arbiter->supervisor, MSG_CLAIMED, action->claim_serial, body);
	return 0;
}

static void
note_claimed(struct arbiter *arbiter, const struct action *action)
{
	struct json *data = json_new_object();
	(void)json_set_int(data, "epoch", (int64_t)arbiter->epoch.now);
	if (action->grant[0] != '\0') {
		(void)json_set_str(data, "grant", action->grant);
		(void)json_set_str(
		    data, "credential", json_get_str(action->terms, "credential", ""));
		(void)json_set_int(data, "credential_version", action->grant_version);
	}
	evidence_note(arbiter, "claimed", action->task->id, action->id, data);
}

static void
claim_grant(struct arbiter *arbiter, struct action *action)
{
	int r = facts_remember(arbiter, action);
	if (r < 0)
		log_event(LOG_WARNING, "not-remembered", "reason", strerror(-r), NULL);
	action->claim_waiting = false;
	action_set_state(action, STATE_CLAIMED);
	r = claim_answer(arbiter, action);
	action_set_state(action, STATE_PERFORMING);
	if (!action->claim_recorded)
		note_claimed(arbiter, action);
	if (action->review_id[0] != '\0')
		review_changed(arbiter, action->review_id);
	if (r < 0)
		claim_settle(arbiter, action, STATE_FAILED, /* outcome= */ NULL);
}

void
claim_finish(struct arbiter *arbiter, struct action *action)
{
	if (arbiter->ledger_lost)
		return; /* we are leaving; silence allows nothing */
	if (is_killed(arbiter, action)) {
		(void)action_end(arbiter, action, STATE_REVOKED, "revoked", killed_comment, NULL);
		return;
	}
	if (is_expired(action)) {
		(void)action_end(
		    arbiter, action, STATE_EXPIRED, "review-expired", "it expired", NULL);
		return;
	}
	if (action->stale) {
		if (!decide_again(arbiter, action))
			end_invalidated(arbiter, action,
			    "its policy changed, and no longer allows it as it is");
		return; /* or the claim waits for the record of the new decision */
	}
	/* What was claimed with its proposal has been nowhere else meanwhile. */
	if (!action->claim_proposed && !digest_holds(arbiter, action, action->record)) {
		end_invalidated(arbiter, action, changed_comment);
		return;
	}
	if (action->binding != NULL && !net_grant_ready(arbiter, action))
		return; /* again when the vault has answered; or it is over */
	int r = action->stored ? claim_stored(arbiter, action) : 0;
	if (r < 0)
		claim_refused(arbiter, action, r);
	else
		claim_grant(arbiter, action);
}

static int
claim_refuse(struct conn *conn, uint32_t serial, const char *code, const char *message)
{
	struct error err;
	error_set(&err, EINVAL, code, "%s", message);
	(void)conn_send_error(conn, serial, &err);
	return 0;
}

int
on_claim(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	struct action *action =
	    actions_find(&arbiter->actions, json_get_str(m->body, "action_id", ""));
	if (action == NULL || action->binding != NULL)
		return claim_refuse(conn, m->serial, "action_unknown",
		    "no such action waits here; it ended, or the arbiter was restarted");
	if (action->claim_waiting || action->state == STATE_PERFORMING)
		return claim_refuse(
		    conn, m->serial, "action_claimed", "this action was claimed before");
	if (action->state != STATE_APPROVED) {
		verdict_send(arbiter, action, m->serial, "it is not approved");
		return 0;
	}
	action->claim_waiting = true;
	action->claim_serial = m->serial;
	const struct json *about_to_do = json_get(m->body, "action");
	if (about_to_do != NULL && !digest_holds(arbiter, action, about_to_do))
		end_invalidated(arbiter, action, changed_comment);
	else if (action->unrecorded == 0)
		claim_finish(arbiter, action);
	return 0;
}

void
claim_approved(struct arbiter *arbiter, struct action *action, const char *comment)
{
	if (action->binding == NULL) {
		verdict_send(arbiter, action, action->serial, comment);
		return;
	}
	action->claim_waiting = true;
	action->claim_serial = action->serial;
	if (action->unrecorded == 0)
		claim_finish(arbiter, action);
}

/* ---- settle and withdraw ---- */

void
claim_withdraw(struct arbiter *arbiter, struct action *action)
{
	if (action != NULL && action->state != STATE_PERFORMING)
		(void)action_end(
		    arbiter, action, STATE_REVOKED, "revoked", "its requester left", NULL);
}

/* The action that the supervisor names in M; gateways' are none of its business. */
static struct action *
supervisors_action(struct arbiter *arbiter, const struct msg *m)
{
	struct action *action =
	    actions_find(&arbiter->actions, json_get_str(m->body, "action_id", ""));
	return action != NULL && action->binding == NULL ? action : NULL;
}

int
on_withdraw(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	claim_withdraw(arbiter, supervisors_action(arbiter, m));
	return 0;
}

static void
note_settled(struct arbiter *arbiter, const struct action *action, struct json *outcome)
{
	struct json *data = json_new_object();
	(void)json_set_str(data, "state", action_state_name(action->state));
	if (outcome != NULL)
		(void)json_set(data, "outcome", outcome);
	evidence_note(arbiter, "settled", action->task->id, action->id, data);
}

void
claim_settle(
    struct arbiter *arbiter, struct action *action, enum action_state to, struct json *outcome)
{
	if (action->stored) {
		int r = store_action_settle(arbiter->store, action->id, to, clock_wall_ms());
		if (r < 0)
			log_event(LOG_ERROR, "store-failed", "action", action->id, "reason",
			    strerror(-r), NULL);
	}
	net_grant_revoke(arbiter, action);
	action_set_state(action, to);
	note_settled(arbiter, action, outcome);
	if (action->review_id[0] != '\0')
		review_changed(arbiter, action->review_id);
	actions_remove(&arbiter->actions, action);
}

int
claim_settle_by(struct arbiter *arbiter, struct action *action, struct msg *m)
{
	int to = action_state_parse(json_get_str(m->body, "state", ""));
	if (to != STATE_SUCCEEDED && to != STATE_FAILED && to != STATE_UNKNOWN)
		return -EPROTO;
	if (action == NULL)
		return 0; /* it ended before: revoked, or of an earlier arbiter */
	if (action->state == STATE_PERFORMING)
		claim_settle(
		    arbiter, action, (enum action_state)to, json_detach(m->body, "outcome"));
	else /* Never claimed, so nothing was performed. */
		(void)action_end(
		    arbiter, action, STATE_REVOKED, "revoked", "its requester gave it up", NULL);
	return 0;
}

int
on_settle(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	return claim_settle_by(arbiter, supervisors_action(arbiter, m), m);
}
