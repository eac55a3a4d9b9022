/* The arbiter's side of the ledger. */
#include "arbiter/evidence.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/claim.h"
#include "base/log.h"
#include "ipc/messages.h"

struct pending_record {
	uint32_t serial;
	char action_id[UUID_TEXT];
	struct pending_record *next;
};

static void
ledger_lost(struct arbiter *arbiter, const char *reason)
{
	if (arbiter->ledger_lost)
		return;
	arbiter->ledger_lost = true;
	log_event(LOG_ERROR, "ledger-lost", "reason", reason, "effect",
	    "nothing is allowed; leaving", NULL);
	loop_stop(arbiter->loop, 1);
}

static struct json *
record_body(const char *event, const char *task, const char *action_id, struct json *data)
{
	struct json *body = json_new_object();
	(void)json_set(body, "data", data);
	(void)json_set_str(body, "event", event);
	if (task != NULL)
		(void)json_set_str(body, "task", task);
	if (action_id != NULL)
		(void)json_set_str(body, "action_id", action_id);
	return body;
}

static void
record_send(struct arbiter *arbiter, uint32_t serial, struct json *body)
{
	if (arbiter->ledger_lost) {
		json_free(body);
		return;
	}
	int r = conn_send_take(arbiter->ledger, MSG_APPEND, serial, body);
	if (r < 0)
		ledger_lost(arbiter, strerror(-r));
}

void
evidence_await(struct arbiter *arbiter, struct action *action, const char *event, struct json *data)
{
	struct pending_record *record = calloc(1, sizeof(*record));
	if (record == NULL) {
		json_free(data);
		ledger_lost(arbiter, "out of memory");
		return;
	}
	record->serial = conn_next_serial(arbiter->ledger);
	(void)snprintf(record->action_id, sizeof(record->action_id), "%s", action->id);
	*arbiter->records_tail = record;
	arbiter->records_tail = &record->next;
	action->unrecorded++;
	struct json *body = record_body(event, action->task->id, action->id, data);
	if (action->leaves_sandbox)
		(void)json_set_bool(body, "durable", true);
	record_send(arbiter, record->serial, body);
}

void
evidence_note(struct arbiter *arbiter, const char *event, const char *task, const char *action_id,
    struct json *data)
{
	record_send(arbiter, /* serial: no reply */ 0, record_body(event, task, action_id, data));
}

/* ---- acknowledgements ---- */

/* Takes the record of SERIAL out of the list (it is nearly always the first), or NULL. */
static struct pending_record *
record_take(struct arbiter *arbiter, uint32_t serial)
{
	struct pending_record **at = &arbiter->records;
	while (*at != NULL && (*at)->serial != serial)
		at = &(*at)->next;
	struct pending_record *record = *at;
	if (record == NULL)
		return NULL;
	*at = record->next;
	if (record->next == NULL)
		arbiter->records_tail = at;
	return record;
}

int
on_ledger_appended(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	_cleanup_free_ struct pending_record *record = record_take(arbiter, m->serial);
	if (record == NULL)
		return -EPROTO;
	struct action *action = actions_find(&arbiter->actions, record->action_id);
	if (action == NULL)
		return 0; /* it ended meanwhile */
	action->unrecorded--;
	if (action->unrecorded == 0 && action->claim_waiting)
		claim_finish(arbiter, action);
	return 0;
}

int
on_ledger_error(struct conn *conn, struct msg *m)
{
	struct error err;
	msg_error_read(m->body, &err);
	ledger_lost(conn_data(conn), err.message);
	return 0;
}

void
on_ledger_closed(struct conn *conn)
{
	ledger_lost(conn_data(conn), "it closed the conversation");
}

void
evidence_done(struct arbiter *arbiter)
{
	while (arbiter->records != NULL) {
		struct pending_record *record = arbiter->records;
		arbiter->records = record->next;
		free(record);
	}
}
