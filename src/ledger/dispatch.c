/* rf-ledger's message table, and what each message does. People may ask for a checkpoint, a sync and
 * the state; only the supervisor and the arbiter may append. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "ipc/messages.h"
#include "ipc/spawn.h"
#include "ledger/ledger.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/record.h"

#define BATCH_HIGH (1024 * 1024) /* bytes: write before the round ends */
#define LEAVE_MS 1000            /* how long the arbiter may still tell us its last records */

static int on_append(struct conn *conn, struct msg *m);
static int on_sync(struct conn *conn, struct msg *m);
static int on_checkpoint(struct conn *conn, struct msg *m);
static int on_status(struct conn *conn, struct msg *m);

#define WRITERS (1U << PEER_SUPERVISOR | 1U << PEER_ARBITER)
#define ALL (WRITERS | 1U << PEER_PERSON)

static const struct route routes[] = {
    {MSG_APPEND, WRITERS, 0, MSG_BODY_MAX, 0, on_append},
    {MSG_SYNC, ALL, 0, 64, 0, on_sync},
    {MSG_CHECKPOINT, ALL, 0, 64, 0, on_checkpoint},
    {MSG_STATUS, ALL, 0, 64, 0, on_status},
    {0},
};

/* ---- appending ---- */

static int
redact_key(void *data, uint8_t ret[REDACT_KEY_BYTES])
{
	struct ledger *l = data;
	if (!l->have_redact_key) {
		int fd = openat(l->dir_fd, FILES_REDACT_KEY, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		int r = fd < 0 ? -errno : files_pread_all(fd, l->redact_key, REDACT_KEY_BYTES, 0);
		if (fd >= 0)
			(void)close(fd);
		if (r == -ENOENT) {
			if (getentropy(l->redact_key, REDACT_KEY_BYTES) < 0)
				return -errno;
			r = files_replace(l->dir_fd, FILES_REDACT_KEY, l->redact_key,
			    REDACT_KEY_BYTES, 0600, FILES_SYNCED);
		}
		if (r < 0)
			return r;
		l->have_redact_key = true;
	}
	memcpy(ret, l->redact_key, REDACT_KEY_BYTES);
	return 0;
}

/* The canonical, redacted text of DATA, in one of L's scratch buffers. */
static int
record_data(struct ledger *l, const struct json *data, const struct buf **ret, struct error *err)
{
	buf_clear(&l->text);
	buf_clear(&l->redacted);
	if (data == NULL)
		(void)buf_add_str(&l->text, "{}");
	else if (json_type(data) != JSON_OBJECT)
		return error_set(
		    err, EINVAL, "record_invalid", "the record's data is not an object");
	else if (json_write(data, &l->text) < 0)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	int r = redact_json((const char *)l->text.data, l->text.len, redact_key, l, &l->redacted);
	if (r < 0)
		return error_set_errno(
		    err, -r, "ledger_failed", "the ledger cannot redact a record");
	*ret = r > 0 ? &l->redacted : &l->text;
	return 0;
}

/* What the ledger itself writes about itself cannot be written by others. */
static bool
reserved_event(const char *event)
{
	static const char *const own[] = {"genesis", "key", "recovered", "ledger-failed"};
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (strcmp(event, own[i]) == 0)
			return true;
	return false;
}

static int
append(struct ledger *l, const struct json *body, struct journal_at *ret, struct error *err)
{
	const struct buf *data = &l->text;
	const char *event = json_get_str(body, "event", "");
	if (reserved_event(event))
		return error_set(
		    err, EINVAL, "record_invalid", "the event name %s is the ledger's own", event);
	int r = journal_failed(l->journal, err);
	if (r == 0)
		r = record_data(l, json_get(body, "data"), &data, err);
	if (r == 0)
		r = journal_add(l->journal, event, json_get_str(body, "task", NULL),
		    json_get_str(body, "action_id", NULL), (const char *)data->data, data->len, ret,
		    err);
	return r;
}

static int
on_append(struct conn *conn, struct msg *m)
{
	struct ledger *l = conn_data(conn);
	struct error err;
	struct journal_at at;
	if (append(l, m->body, &at, &err) < 0) {
		log_event(LOG_WARNING, "append-refused", "reason", err.message, NULL);
		return m->serial == 0 ? 0 : conn_send_error(conn, m->serial, &err);
	}
	bool durable = json_get_bool(m->body, "durable", false);
	int r =
	    commit_wait(&l->commit, conn, m->serial, durable ? WANT_DURABLE : WANT_WRITTEN, &at);
	if (r == 0 && journal_batched(l->journal) > BATCH_HIGH)
		commit_run(&l->commit);
	return r;
}

/* ---- what people may ask, too ---- */

static int
on_sync(struct conn *conn, struct msg *m)
{
	struct ledger *l = conn_data(conn);
	return commit_wait(&l->commit, conn, m->serial, WANT_SYNC, NULL);
}

static int
on_checkpoint(struct conn *conn, struct msg *m)
{
	struct ledger *l = conn_data(conn);
	return commit_wait(&l->commit, conn, m->serial, WANT_CHECKPOINT, NULL);
}

static int
on_status(struct conn *conn, struct msg *m)
{
	struct ledger *l = conn_data(conn);
	struct error err = {.message = ""};
	char hex[SHA256_HEX];
	struct json *body = json_new_object();
	hex_encode(journal_head(l->journal), SHA256_BYTES, hex);
	(void)json_set_str(body, "version", RINGFENCE_VERSION);
	(void)json_set_int(body, "pid", getpid());
	(void)json_set_int(body, "size", (int64_t)journal_size(l->journal));
	(void)json_set_str(body, "head", hex);
	if (journal_failed(l->journal, &err) < 0)
		(void)json_set_str(body, "failed", err.message);
	return conn_send_take(conn, MSG_STATUS, m->serial, body);
}

/* ---- coming and going ---- */

static void
on_leave(struct timer *timer, void *data)
{
	struct ledger *l = data;
	l->leave = NULL;
	loop_stop(l->loop, 0);
}

static void
on_closed(struct conn *conn)
{
	struct ledger *l = conn_data(conn);
	commit_forget(&l->commit, conn);
	if (conn == l->supervisor)
		l->supervisor = NULL;
	else if (conn == l->arbiter)
		l->arbiter = NULL;
	else
		l->people--;
	if (l->supervisor != NULL)
		return;
	/* The supervisor is gone. The arbiter leaves too, and may have a last record for us. */
	if (l->arbiter == NULL)
		loop_stop(l->loop, 0);
	else if (l->leave == NULL && loop_timer(l->loop, LEAVE_MS, on_leave, l, &l->leave) < 0)
		loop_stop(l->loop, 0);
}

static void
on_person(int fd, void *data)
{
	struct ledger *l = data;
	struct conn *conn;
	if (l->people >= PEOPLE_MAX) {
		(void)close(fd);
		return;
	}
	if (conn_new(l->loop, fd, PEER_PERSON, routes, on_closed, l, &conn) == 0)
		l->people++;
}

int
dispatch_start(struct ledger *l)
{
	struct watch *listener;
	int r = conn_new(
	    l->loop, SPAWN_SUPERVISOR, PEER_SUPERVISOR, routes, on_closed, l, &l->supervisor);
	if (r == 0 && l->has_arbiter)
		r = conn_new(l->loop, SPAWN_PEER, PEER_ARBITER, routes, on_closed, l, &l->arbiter);
	if (r == 0 && l->has_listener)
		r = conn_accept(l->loop, SPAWN_LISTENER, on_person, l, &listener);
	return r;
}
