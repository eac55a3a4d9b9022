/* One exchange: dial by the arbiter's ticket, TLS as the pinned host, one request, one answer, one word to the vault.
 *
 *     MSG_EXCHANGE ─▶ dialing ─MSG_DIALED─▶ securing ─▶ asking ─ head, body ─▶ MSG_EXCHANGED | MSG_ERROR
 *
 * The request with its secret is made when TLS has vouched for the issuer, and not before. All of it has EXCHANGE_MS. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "io/stream.h"
#include "ipc/messages.h"
#include "issuer/issuer.h"
#include "issuer/request.h"
#include "proto/http1.h"

#define EXCHANGE_MS 15000
#define HEAD_BYTES_MAX 16384
#define BODY_BYTES_MAX (256 * 1024) /* GitHub describes each repository with some 5 KiB */
#define REQUEST_MAX (128 * 1024)
#define INTERIM_MAX 8

struct exchange {
	struct exchange *next;
	struct issuer *issuer;
	uint32_t serial;      /* of the vault's question */
	uint32_t dial_serial; /* of ours */
	struct json *ask;     /* owned */
	struct issuer_url url;
	struct stream *stream;
	struct timer *timer;
	bool in_body;
	unsigned interim;
	int status;
	enum http_body framing;
	int64_t length;
	struct http_chunks chunks;
	struct buf body;
};

/* ---- ends ---- */

static void
forget(struct exchange *x)
{
	struct exchange **at = &x->issuer->exchanges;
	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	x->issuer->n_exchanges--;
	x->timer = timer_cancel(x->timer);
	x->stream = stream_free(x->stream);
	x->ask = json_free(x->ask);
	buf_done(&x->body);
	free(x);
}

static void
fail(struct exchange *x, const struct error *err)
{
	if (x->issuer->vault != NULL)
		(void)conn_send_error(x->issuer->vault, x->serial, err);
	forget(x);
}

static void
unreachable(struct exchange *x, const char *why)
{
	struct error err;
	(void)error_set(&err, EIO, "issuer_unreachable", "issuer %s: %s", x->url.host, why);
	fail(x, &err);
}

static void
invalid(struct exchange *x, const char *why)
{
	struct error err;
	(void)error_set(&err, EBADMSG, "issuer_invalid", "the issuer's answer %s", why);
	fail(x, &err);
}

static void
on_late(struct timer *timer, void *data)
{
	struct exchange *x = data;
	(void)timer;
	x->timer = NULL;
	unreachable(x, "it does not answer in time");
}

void
exchange_end_all(struct issuer *issuer)
{
	while (issuer->exchanges != NULL)
		forget(issuer->exchanges);
}

void
exchange_dialer_gone(struct issuer *issuer)
{
	for (struct exchange *x = issuer->exchanges, *next; x != NULL; x = next) {
		next = x->next;
		if (x->stream == NULL)
			unreachable(x, "the dialer ended; it is being restarted");
	}
}

/* ---- the answer ---- */

static void
finish(struct exchange *x)
{
	struct error err = {.code = ""};
	char *token = NULL;
	int64_t expires_ms = 0;
	if (answer_read(json_get_str(x->ask, "as", ""), x->status, buf_str(&x->body), x->body.len,
		clock_wall_ms(), &token, &expires_ms, &err) < 0) {
		fail(x, &err);
		return;
	}
	struct json *body = json_new_object();
	(void)json_set_str(body, "token", token);
	(void)json_set_int(body, "expires_ms", expires_ms);
	free(token); /* which wipes it */
	(void)conn_send_take(x->issuer->vault, MSG_EXCHANGED, x->serial, body);
	forget(x);
}

/* The head, once it is complete. 1: it is read; 0: more is needed, or X is gone. */
static int
read_head(struct exchange *x)
{
	struct error err;
	struct http_head head;
	size_t len;
	const uint8_t *bytes = stream_peek(x->stream, &len);
	int r = http_response_parse(bytes, MIN(len, (size_t)HEAD_BYTES_MAX), "POST", &head, &err);
	if (r == 0 && len < HEAD_BYTES_MAX) {
		if (stream_ended(x->stream))
			unreachable(x, "it ends the connection without an answer");
		return 0;
	}
	if (r <= 0 || head.status == 101 || (head.status < 200 && ++x->interim > INTERIM_MAX)) {
		invalid(x, "is not HTTP/1.1 that we accept");
		return 0;
	}
	if (head.status >= 200) {
		x->in_body = true;
		x->status = head.status;
		x->framing = head.body;
		x->length = head.body == HTTP_BODY_LENGTH ? head.length : 0;
	}
	stream_consume(x->stream, head.len);
	return 1;
}

/* Takes what waits of a body in chunks. 0 or -errno. */
static int
take_chunks(struct exchange *x, const uint8_t *bytes, size_t len)
{
	size_t at = 0;
	int r = 0;
	while (r == 0 && at < len && !x->chunks.done) {
		size_t used = 0;
		struct http_text content = {0};
		r = http_chunks_read(&x->chunks, bytes + at, len - at, &used, &content);
		if (r == 0)
			r = buf_add(&x->body, content.at, content.len);
		at += used;
	}
	return r;
}

/* Whether the body is complete; -errno: it is none. */
static int
read_body(struct exchange *x)
{
	size_t len;
	const uint8_t *bytes = stream_peek(x->stream, &len);
	int r = 0;
	if (x->framing == HTTP_BODY_LENGTH) {
		if (x->length > BODY_BYTES_MAX)
			return -EMSGSIZE;
		len = MIN(len, (size_t)x->length - x->body.len);
	}
	if (x->framing == HTTP_BODY_CHUNKED)
		r = take_chunks(x, bytes, len);
	else if (x->framing != HTTP_BODY_NONE)
		r = buf_add(&x->body, bytes, len);
	stream_consume(x->stream, len);
	if (r < 0)
		return r;
	switch (x->framing) {
	case HTTP_BODY_NONE:
		return 1;
	case HTTP_BODY_LENGTH:
		return (int64_t)x->body.len == x->length;
	case HTTP_BODY_CHUNKED:
		return x->chunks.done;
	case HTTP_BODY_UNTIL_CLOSE:
		break;
	}
	return stream_ended(x->stream);
}

static void
on_readable(struct exchange *x)
{
	while (!x->in_body)
		if (read_head(x) == 0)
			return;
	int r = read_body(x);
	if (r == -EMSGSIZE)
		invalid(x, "is longer than 256 KiB");
	else if (r < 0)
		invalid(x, "is not framed as HTTP/1.1 asks");
	else if (r > 0)
		finish(x);
	else if (stream_ended(x->stream))
		invalid(x, "is cut short");
}

/* ---- asking ---- */

static void
ask(struct exchange *x)
{
	struct error err = {.code = ""};
	_cleanup_buf_ struct buf request;
	buf_init(&request, REQUEST_MAX);
	if (request_make(x->ask, &x->url, clock_wall_ms(), &request, &err) < 0) {
		fail(x, &err);
		return;
	}
	json_unset(x->ask, "secret");
	/* A failure comes as an event. */
	(void)stream_write(x->stream, request.data, request.len);
}

static void
on_event(struct stream *stream, enum stream_event event, void *data)
{
	struct exchange *x = data;
	char reason[256];
	switch (event) {
	case STREAM_SECURED:
		ask(x);
		break;
	case STREAM_READABLE:
		on_readable(x);
		break;
	case STREAM_FAILED:
		(void)snprintf(reason, sizeof(reason), "%s", stream_error(stream));
		unreachable(x, reason);
		break;
	case STREAM_DRAINED:
		break;
	}
}

static struct exchange *
find_dial(struct issuer *issuer, uint32_t serial)
{
	struct exchange *x = issuer->exchanges;
	while (x != NULL && (x->dial_serial != serial || x->stream != NULL))
		x = x->next;
	return x;
}

int
exchange_on_dialed(struct conn *conn, struct msg *m)
{
	struct issuer *issuer = conn_data(conn);
	struct exchange *x = find_dial(issuer, m->serial);
	if (x == NULL)
		return 0; /* nobody waits any more: the descriptor is closed with the message */
	int fd = msg_take_fd(m, 0);
	if (fd < 0)
		return -EPROTO;
	int r = stream_new(issuer->loop, fd, on_event, x, &x->stream);
	if (r == 0)
		r = stream_secure_client(x->stream, issuer->trust, x->url.host);
	if (r < 0)
		unreachable(x, "TLS cannot be begun");
	return 0;
}

int
exchange_on_refused(struct conn *conn, struct msg *m)
{
	struct exchange *x = find_dial(conn_data(conn), m->serial);
	struct error err;
	if (x == NULL)
		return 0;
	msg_error_read(m->body, &err);
	unreachable(x, err.message);
	return 0;
}

/* ---- from the vault ---- */

static int
check(
    const struct issuer *issuer, const struct json *body, struct issuer_url *ret, struct error *err)
{
	const struct json *parameters = json_get(body, "parameters");
	const char *as = json_get_str(body, "as", "");
	if (!issuer_is(as))
		return error_set(err, EINVAL, "secret_invalid", "no way to exchange it is known");
	int r = issuer_check(as, parameters, err);
	if (r < 0)
		return r;
	if (issuer_url(json_get_str(parameters, "url", ""), ret) < 0 ||
	    !config_pins_issuer(issuer->config, ret->host, ret->port) || issuer->trust == NULL)
		return error_set(err, EACCES, "issuer_not_pinned",
		    "the configuration does not name this issuer in network.issuers");
	if (issuer->dialer == NULL)
		return error_set(
		    err, EIO, "issuer_unreachable", "there is no dialer at this moment");
	if (issuer->n_exchanges >= EXCHANGES_MAX)
		return error_set(
		    err, EBUSY, "issuer_unreachable", "too many exchanges are under way");
	return 0;
}

/* Keeps of BODY what is needed later, and dials. */
static int
begin(struct issuer *issuer, const struct msg *m, const struct issuer_url *url, struct error *err)
{
	struct exchange *x = calloc(1, sizeof(*x));
	if (x == NULL || loop_timer(issuer->loop, EXCHANGE_MS, on_late, x, &x->timer) < 0) {
		free(x);
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	}
	struct json *dial = json_new_object();
	(void)json_set(dial, "ticket", json_copy(json_get(m->body, "ticket")));
	(void)json_set_str(dial, "mac", json_get_str(m->body, "mac", ""));
	x->issuer = issuer;
	x->serial = m->serial;
	x->ask = json_copy(m->body);
	x->url = *url;
	buf_init(&x->body, BODY_BYTES_MAX);
	x->dial_serial = conn_next_serial(issuer->dialer);
	x->next = issuer->exchanges;
	issuer->exchanges = x;
	issuer->n_exchanges++;
	(void)conn_send_take(issuer->dialer, MSG_DIAL, x->dial_serial, dial);
	return 0;
}

int
exchange_on_ask(struct conn *conn, struct msg *m)
{
	struct issuer *issuer = conn_data(conn);
	struct issuer_url url;
	struct error err = {.code = ""};
	/* Whom the supervisor introduced before the vault asked is there, whichever the loop told us of first. */
	(void)conn_receive(issuer->supervisor);
	if (issuer->vault != conn)
		return 0; /* another took its place */
	int r = check(issuer, m->body, &url, &err);
	if (r == 0)
		r = begin(issuer, m, &url, &err);
	return r < 0 ? conn_send_error(conn, m->serial, &err) : 0;
}
