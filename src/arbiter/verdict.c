/* Verdicts, and the common end of everything that is not performed. */
#include "arbiter/verdict.h"

#include <errno.h>
#include <string.h>

#include "arbiter/evidence.h"
#include "arbiter/net.h"
#include "arbiter/review.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

/* Lends *VALUE to BODY: copying it would cost more than the rest of the message. If there is no memory
 * for that, it is gone, and the broken body ends the conversation when it is sent. */
static void
lend(struct json *body, const char *name, struct json **value)
{
	if (json_set(body, name, *value) < 0)
		*value = NULL;
}

/* The verdict on ACTION as STATE; what it borrows from ACTION is given back by verdict_post. */
static struct json *
verdict_body(struct action *action, enum action_state state, const char *comment)
{
	bool goes_on = state == STATE_APPROVED || state == STATE_REVIEWING;
	struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", action->id);
	(void)json_set_str(body, "task", action->task->id);
	(void)json_set_str(body, "state", action_state_name(state));
	(void)json_set_str(body, "policy", action->generation->hash);
	if (action->review_id[0] != '\0')
		(void)json_set_str(body, "review_id", action->review_id);
	if (action->expires_at != 0)
		(void)json_set_int(body, "expires_at", action->expires_at);
	if (comment != NULL)
		(void)json_set_str(body, "comment", comment);
	lend(body, "decision", &action->decision);
	if (goes_on)
		lend(body, "sandbox", &action->generation->sandbox);
	return body;
}

/* A send that fails ends the conversation with the supervisor, and with it us. */
static void
verdict_post(struct arbiter *arbiter, uint32_t serial, struct json *body)
{
	if (body == NULL)
		conn_close(arbiter->supervisor);
	else
		(void)conn_send(arbiter->supervisor, MSG_VERDICT, serial, body, NULL, 0);
	(void)json_detach(body, "decision");
	(void)json_detach(body, "sandbox");
	json_free(body);
}

void
verdict_send(struct arbiter *arbiter, struct action *action, uint32_t serial, const char *comment)
{
	if (action->binding != NULL) {
		net_verdict_send(arbiter, action, comment);
		return;
	}
	verdict_post(arbiter, serial, verdict_body(action, action->state, comment));
}

void
verdict_send_claimed(struct arbiter *arbiter, struct action *action)
{
	struct json *body = verdict_body(action, STATE_APPROVED, /* comment= */ NULL);
	(void)json_set_bool(body, "claimed", true);
	(void)json_set_int(body, "epoch", (int64_t)arbiter->epoch.now);
	verdict_post(arbiter, action->serial, body);
}

static void
note_end(struct arbiter *arbiter, const struct action *action, const char *event,
    const char *comment, const char *by)
{
	struct json *data = json_new_object();
	(void)json_set_str(data, "state", action_state_name(action->state));
	if (action->review_id[0] != '\0')
		(void)json_set_str(data, "review_id", action->review_id);
	if (comment != NULL)
		(void)json_set_str(data, "comment", comment);
	if (by != NULL)
		(void)json_set_str(data, "by", by);
	evidence_note(arbiter, event, action->task->id, action->id, data);
}

int
action_end(struct arbiter *arbiter, struct action *action, enum action_state to, const char *event,
    const char *comment, const char *by)
{
	if (action->stored) {
		int r = store_action_move(
		    arbiter->store, action->id, action->state, to, clock_wall_ms(), comment, by);
		if (r == -ESTALE)
			return r;
		/* A store that cannot be written must not keep an action alive: it ends here, and after
		 * a restart the sweep ends it there. */
		if (r < 0)
			log_event(LOG_ERROR, "store-failed", "action", action->id, "reason",
			    strerror(-r), NULL);
	}
	bool reviewed = action->review_id[0] != '\0';
	net_grant_revoke(arbiter, action);
	action_set_state(action, to);
	note_end(arbiter, action, event, comment, by);
	verdict_send(arbiter, action, action->claim_waiting ? action->claim_serial : action->serial,
	    comment);
	if (reviewed)
		review_changed(arbiter, action->review_id);
	actions_remove(&arbiter->actions, action);
	return 0;
}

void
action_end_surely(struct arbiter *arbiter, struct action *action, enum action_state to,
    const char *event, const char *comment)
{
	if (action_end(arbiter, action, to, event, comment, /* by= */ NULL) == 0)
		return;
	log_event(LOG_ERROR, "not-ended", "action", action->id, NULL);
	action->stored = false;
	(void)action_end(arbiter, action, to, event, comment, /* by= */ NULL);
}
