/* Our own answers: a short body for programs, the same members as every error of ours (DESIGN, "Errors"), and then a
 * gentle end. A connection that is closed with bytes unread would take our answer back (RST). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http.h"

#define LINGER_MS 2000
#define LINGER_BYTES (1024 * 1024)
#define DRAIN_MS 60000               /* between two runs of a denied push's body */
#define DRAIN_MAX (INT64_C(1) << 30) /* bytes of one */

static const char *
status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {{400, "Bad Request"}, {403, "Forbidden"}, {405, "Method Not Allowed"},
	    {408, "Request Timeout"}, {413, "Content Too Large"}, {415, "Unsupported Media Type"},
	    {421, "Misdirected Request"}, {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
	    {503, "Service Unavailable"}, {504, "Gateway Timeout"},
	    {505, "HTTP Version Not Supported"}};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Error";
}

static const char *
message_of(int status)
{
	return status == 403 || status == 421 ? "Ringfence denied this request"
	    : status < 500                    ? "Ringfence refused this request"
					      : "Ringfence could not perform this request";
}

/* Appends {"error":{…}}. */
static int
write_error(const struct http_refusal *refusal, const char *action_id, struct buf *out)
{
	_cleanup_json_ struct json *body = json_new_object();
	struct json *error = json_new_object();
	(void)json_set_str(error, "code", refusal->code);
	(void)json_set_str(error, "message", message_of(refusal->status));
	(void)json_set_str(error, "reason", refusal->reason);
	if (refusal->needed != NULL && refusal->needed[0] != 0)
		(void)json_set_str(error, "remedy", refusal->needed);
	if (action_id != NULL && action_id[0] != 0)
		(void)json_set_str(error, "action_id", action_id);
	(void)json_set(body, "error", error);
	return json_write(body, out);
}

static int
write_answer(struct stream *down, const struct http_refusal *refusal, const char *action_id)
{
	_cleanup_buf_ struct buf body, all;
	buf_init(&body, 8192);
	buf_init(&all, 16384);
	int r = write_error(refusal, action_id, &body);
	if (r < 0)
		return r;
	(void)buf_addf(&all,
	    "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
	    "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
	    refusal->status, status_text(refusal->status), body.len);
	(void)buf_add(&all, body.data, body.len);
	return buf_failed(&all) ? -ENOMEM : stream_write(down, all.data, all.len);
}

/* ---- a gentle end ---- */

static void
on_linger_event(struct stream *stream, enum stream_event event, void *data)
{
	struct connection *c = data;
	size_t len;
	(void)stream_peek(stream, &len);
	stream_consume(stream, len);
	c->lingered += len;
	bool over = stream_ended(stream) && stream_queued(stream) == 0;
	if (event == STREAM_FAILED || over || c->lingered > LINGER_BYTES)
		connection_free(c);
}

static void
on_linger_late(struct timer *timer, void *data)
{
	struct connection *c = data;
	(void)timer;
	c->timer = NULL;
	connection_free(c);
}

void
http_linger(struct connection *c)
{
	stream_end(c->down);
	c->timer = timer_cancel(c->timer);
	if (loop_timer(c->guest->gateway->loop, LINGER_MS, on_linger_late, c, &c->timer) < 0) {
		connection_free(c);
		return;
	}
	stream_set_owner(c->down, on_linger_event, c);
	on_linger_event(c->down, STREAM_READABLE, c);
}

void
http_deny_connection(struct connection *c, const struct http_refusal *refusal, const char *what)
{
	guest_denied(c->guest, refusal->event, what, refusal->reason, refusal->needed);
	if (write_answer(c->down, refusal, NULL) < 0)
		connection_free(c);
	else
		http_linger(c);
}

/* git shows its user what the server said about each ref: a denied push is an answer, not an error. */
static int
write_push_denial(struct http *http, const char *reason)
{
	_cleanup_buf_ struct buf body, all;
	char why[400];
	buf_init(&body, 256 * 1024);
	buf_init(&all, 300 * 1024);
	(void)snprintf(why, sizeof(why), "ringfence: %s", reason);
	int r = git_push_denial(http->push, why, &body);
	if (r < 0)
		return r;
	(void)buf_addf(&all,
	    "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-receive-pack-result\r\n"
	    "Content-Length: %zu\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\n",
	    body.len);
	(void)buf_add(&all, body.data, body.len);
	return buf_failed(&all) ? -ENOMEM : stream_write(http->c->down, all.data, all.len);
}

static void
finish(struct http *http, int r)
{
	struct connection *c = http->c;
	http_free(TAKE_PTR(c->http));
	if (r < 0)
		connection_free(c);
	else
		http_linger(c);
}

void
http_drain(struct http *http)
{
	struct stream *down = http->c->down;
	while (!http->request.done) {
		size_t len, used;
		struct http_text content;
		const uint8_t *bytes = stream_peek(down, &len);
		if (len == 0 && !stream_ended(down))
			return;
		if (body_read(&http->request, bytes, len, stream_ended(down), &used, &content) <
			0 ||
		    http->request.bytes > DRAIN_MAX) {
			connection_free(http->c);
			return;
		}
		stream_consume(down, used);
		if (used == 0 && !http->request.done)
			return;
	}
	finish(http, write_push_denial(http, http->denial));
}

static void
deny_push(struct http *http, const struct http_refusal *refusal)
{
	bool needed = refusal->needed != NULL && refusal->needed[0] != 0;
	(void)snprintf(http->denial, sizeof(http->denial), "%s%s%s", refusal->reason,
	    needed ? "; it would need " : "", needed ? refusal->needed : "");
	http_drop_collected(http);
	http_set_state(http, HTTP_DRAIN);
	if (http_clock(http, DRAIN_MS))
		http_drain(http);
}

void
http_deny(struct http *http, const struct http_refusal *refusal)
{
	char what[600], id[UUID_TEXT] = "";
	http_what(http, what, sizeof(what));
	if (http->ask != NULL)
		(void)snprintf(id, sizeof(id), "%s", ask_action_id(http->ask));
	guest_denied(http->c->guest, refusal->event, what, refusal->reason, refusal->needed);
	http_settle(http, refusal->reason);
	if (refusal->status == 403 && http->push != NULL && git_push_has_updates(http->push))
		deny_push(http, refusal);
	else
		finish(http, write_answer(http->c->down, refusal, id));
}
