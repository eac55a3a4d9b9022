/* See commit.h. */
#include "ledger/commit.h"

#include <errno.h>
#include <string.h>

#include "ipc/messages.h"

#define SETTLE_ROUNDS 64

static void
on_round_end(void *data)
{
	commit_run(data);
}

void
commit_init(struct commit *c, struct loop *loop, struct journal *journal, struct signer *signer)
{
	*c = (struct commit){.loop = loop, .journal = journal, .signer = signer};
	c->work = (struct deferred){.fn = on_round_end, .data = c};
}

void
commit_done(struct commit *c)
{
	free(c->waiters);
	c->waiters = NULL;
	c->n = c->room = 0;
}

int
commit_wait(struct commit *c, struct conn *conn, uint32_t serial, enum commit_want want,
    const struct journal_at *at)
{
	loop_defer(c->loop, &c->work);
	if (serial == 0) {
		c->unanswered_durable |= want != WANT_WRITTEN;
		return 0;
	}
	if (c->n == c->room) {
		size_t room = c->room == 0 ? 64 : c->room * 2;
		struct waiter *waiters = realloc(c->waiters, room * sizeof(*waiters));
		if (waiters == NULL)
			return -ENOMEM;
		c->waiters = waiters;
		c->room = room;
	}
	c->waiters[c->n++] = (struct waiter){.conn = conn, .serial = serial, .want = want};
	if (at != NULL)
		c->waiters[c->n - 1].at = *at;
	return 0;
}

static void
answer_appended(const struct waiter *w)
{
	char hex[SHA256_HEX];
	struct json *body = json_new_object();
	hex_encode(w->at.hash, SHA256_BYTES, hex);
	(void)json_set_int(body, "index", (int64_t)w->at.seq);
	(void)json_set_str(body, "hash", hex);
	(void)conn_send_take(w->conn, MSG_APPENDED, w->serial, body);
}

static void
answer_checkpoint(struct commit *c, const struct waiter *w)
{
	_cleanup_buf_ struct buf note;
	struct error err;
	buf_init(&note, MSG_BODY_MAX / 4);
	if (signer_checkpoint(c->signer, &note, &err) < 0) {
		(void)conn_send_error(w->conn, w->serial, &err);
		return;
	}
	struct json *body = json_new_object();
	(void)json_set_str(body, "note", buf_str(&note));
	(void)conn_send_take(w->conn, MSG_CHECKPOINTED, w->serial, body);
}

/* Answers all who want WANT: with ERR if it could not be done. */
static void
answer(struct commit *c, enum commit_want want, const struct error *err)
{
	size_t kept = 0;
	for (size_t i = 0; i < c->n; i++) {
		struct waiter *w = &c->waiters[i];
		if (w->want != want) {
			c->waiters[kept++] = *w;
			continue;
		}
		if (w->conn == NULL)
			continue;
		if (err != NULL)
			(void)conn_send_error(w->conn, w->serial, err);
		else if (want == WANT_SYNC)
			(void)conn_send(w->conn, MSG_OK, w->serial, NULL, NULL, 0);
		else if (want == WANT_CHECKPOINT)
			answer_checkpoint(c, w);
		else
			answer_appended(w);
	}
	c->n = kept;
}

static void
sync_and_answer(struct commit *c)
{
	struct error err;
	const struct error *failure = journal_write(c->journal, &err) < 0 ? &err : NULL;
	answer(c, WANT_WRITTEN, failure);
	if (failure == NULL && journal_sync(c->journal, &err) < 0)
		failure = &err;
	answer(c, WANT_DURABLE, failure);
	answer(c, WANT_SYNC, failure);
	answer(c, WANT_CHECKPOINT, failure);
	c->unanswered_durable = false;
}

static void
on_settle(struct timer *timer, void *data)
{
	struct commit *c = data;
	c->settle = NULL;
	bool more = journal_batched(c->journal) > 0 && ++c->rounds < SETTLE_ROUNDS;
	if (more && loop_timer(c->loop, 0, on_settle, c, &c->settle) == 0)
		return;
	sync_and_answer(c);
	signer_after_write(c->signer);
}

void
commit_run(struct commit *c)
{
	struct error err;
	const struct error *failure = journal_write(c->journal, &err) < 0 ? &err : NULL;
	answer(c, WANT_WRITTEN, failure);
	if (failure == NULL && (c->n > 0 || c->unanswered_durable)) {
		c->rounds = c->settle == NULL ? 0 : c->rounds;
		if (c->settle != NULL || loop_timer(c->loop, 0, on_settle, c, &c->settle) == 0)
			return;
	}
	commit_flush(c);
}

void
commit_flush(struct commit *c)
{
	c->settle = timer_cancel(c->settle);
	if (c->n > 0 || c->unanswered_durable || journal_batched(c->journal) > 0)
		sync_and_answer(c);
	if (journal_failed(c->journal, NULL) == 0)
		signer_after_write(c->signer);
}

void
commit_forget(struct commit *c, const struct conn *conn)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->waiters[i].conn == conn)
			c->waiters[i].conn = NULL;
}
