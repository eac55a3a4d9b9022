/* One connection that speaks HTTP/1.1 to us, or the proxy's: reads heads, finds out where each request goes, and does
 * one exchange after the other. Requests that come ahead of their turn wait in the stream. */
#include "gateway/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define IDLE_MS 60000 /* between requests */
#define HEAD_MS 30000 /* for a head, once it has begun */
#define GUEST_COLLECT_MAX (128 * 1024 * 1024)
#define COLLECT_MS 60000 /* for a body that must be seen first, between two runs of it */

static void on_down(struct stream *stream, enum stream_event event, void *data);
static void read_head(struct http *http);

/* ---- bodies ---- */

void
body_begin(struct body *body, const struct http_head *head)
{
	*body = (struct body){.kind = head->body, .left = head->length};
	body->done =
	    head->body == HTTP_BODY_NONE || (head->body == HTTP_BODY_LENGTH && head->length == 0);
}

int
body_read(struct body *body, const uint8_t *bytes, size_t len, bool ended, size_t *ret_used,
    struct http_text *ret_content)
{
	*ret_used = 0;
	*ret_content = (struct http_text){0};
	if (body->done)
		return 0;
	if (body->kind == HTTP_BODY_CHUNKED) {
		int r = http_chunks_read(&body->chunks, bytes, len, ret_used, ret_content);
		if (r < 0)
			return r;
		body->done = body->chunks.done;
	} else {
		size_t n =
		    body->kind == HTTP_BODY_LENGTH ? (size_t)MIN((int64_t)len, body->left) : len;
		*ret_used = n;
		*ret_content = (struct http_text){(const char *)bytes, n};
		body->left -= body->kind == HTTP_BODY_LENGTH ? (int64_t)n : 0;
		body->done = body->kind == HTTP_BODY_LENGTH ? body->left == 0 : ended && n == len;
	}
	body->bytes += (int64_t)ret_content->len;
	if (!body->done && ended && *ret_used == len)
		return -EBADMSG; /* cut off */
	return 0;
}

int
body_send(struct stream *to, bool chunked, const void *content, size_t len)
{
	if (len == 0)
		return 0;
	if (!chunked)
		return stream_write(to, content, len);
	_cleanup_buf_ struct buf chunk;
	buf_init(&chunk, len + 64);
	int r = http_chunk_begin(&chunk, len);
	(void)buf_add(&chunk, content, len);
	(void)buf_add_str(&chunk, "\r\n");
	if (r == 0 && buf_failed(&chunk))
		r = -ENOMEM;
	return r < 0 ? r : stream_write(to, chunk.data, chunk.len);
}

/* ---- life and end ---- */

void
http_what(const struct http *http, char *ret, size_t size)
{
	bool v6 = strchr(http->host, ':') != NULL;
	int usual = http->tls ? 443 : 80;
	char port[16] = "";
	if (http->head.method.len == 0) {
		connection_what(http->c, ret, size);
		return;
	}
	if (http->port != usual)
		(void)snprintf(port, sizeof(port), ":%d", http->port);
	(void)snprintf(ret, size, "%.*s %s://%s%s%s%s%.*s", (int)MIN(http->head.method.len, 32),
	    http->head.method.at, http->tls ? "https" : "http", v6 ? "[" : "", http->host,
	    v6 ? "]" : "", port, (int)MIN(http->where.path.len, 200), http->where.path.at);
}

void
http_set_state(struct http *http, enum http_state state)
{
	http->state = state;
	http->timer = timer_cancel(http->timer);
}

void
http_drop_collected(struct http *http)
{
	http->c->guest->collected -= http->collected.len;
	buf_done(&http->collected);
}

/* Frees what belongs to one exchange. */
static void
exchange_done(struct http *http)
{
	http_settle(http, "it was given up");
	http->ask = ask_free(http->ask);
	reach_forget(http->question);
	secret_forget(http->secret);
	upstream_forget(http->dial);
	http->up = stream_free(http->up);
	http->meter = stream_meter_free(http->meter);
	http->deadline = timer_cancel(http->deadline);
	http->push = git_push_free(http->push);
	http->scrub = scrub_free(http->scrub);
	http_drop_collected(http);
	buf_clear(&http->head_bytes);
	http->head = (struct http_head){0};
	http->where = (struct http_where){0};
	http->credential = NULL;
	buf_done(&http->signed_headers);
	buf_done(&http->signed_query);
	http->git = GIT_NOT;
	http->relay = relay_free(http->relay);
	http->hashed = http->continued = http->reused = http->sent = http->websocket = false;
	http->answering = http->chunked_out = http->close_after = false;
	http->address[0] = 0;
}

void
http_free(struct http *http)
{
	if (http == NULL)
		return;
	exchange_done(http);
	http->timer = timer_cancel(http->timer);
	buf_done(&http->head_bytes);
	free(http);
}

void
http_abort(struct http *http, const char *reason)
{
	http_settle(http, reason);
	http->c->cut = http->answering;
	connection_free(http->c);
}

static void
on_late(struct timer *timer, void *data)
{
	struct http *http = data;
	(void)timer;
	http->timer = NULL;
	bool idle = http->state == HTTP_HEAD && http->head_bytes.len == 0;
	size_t len;
	(void)stream_peek(http->c->down, &len);
	if (idle && len == 0)
		connection_free(http->c);
	else
		http_deny(http,
		    &(struct http_refusal){408, "request_timeout",
			"the request did not come to its end in time", NULL, "request-refused"});
}

bool
http_clock(struct http *http, int64_t ms)
{
	http->timer = timer_cancel(http->timer);
	if (loop_timer(http->c->guest->gateway->loop, ms, on_late, http, &http->timer) == 0)
		return true;
	connection_free(http->c);
	return false;
}

void
http_next(struct http *http)
{
	struct connection *c = http->c;
	bool close = http->close_after;
	exchange_done(http);
	if (close) {
		http_free(TAKE_PTR(c->http));
		http_linger(c);
		return;
	}
	http_set_state(http, HTTP_HEAD);
	if (http_clock(http, IDLE_MS))
		read_head(http);
}

/* ---- what was asked for belongs together ---- */

static void
refuse(struct http *http, int status, const char *code, const char *reason)
{
	http_deny(http, &(struct http_refusal){status, code, reason, NULL, "request-refused"});
}

static void
refuse_unreachable(struct http *http, const struct reach *reach)
{
	if (reach == NULL)
		refuse(http, 503, "arbiter_lost", "nobody decides: the arbiter is gone");
	else
		http_deny(http,
		    &(struct http_refusal){403, "denied", "no rule permits anything there",
			"a rule `allow: http` with this host and port", "connection-refused"});
}

/* Goes on with a request whose place is known. */
static void
begin_request(struct http *http)
{
	body_begin(&http->request, &http->head);
	http->began_ns = clock_monotonic_ns();
	http->c->guest->usage.requests++;
	/* Other protocols that are offered are not taken up, which the one who offers must expect. */
	http->websocket = http->head.upgrade && http_has_token(&http->head, "upgrade", "websocket");
	if (http->websocket && (!http->request.done || !http_text_is(http->head.method, "GET"))) {
		refuse(
		    http, 400, "upgrade_malformed", "a WebSocket begins with a GET without a body");
		return;
	}
	if (http->where.form == HTTP_ASTERISK || http_text_is(http->head.method, "TRACE")) {
		refuse(http, 405, "method_refused", "this method or target is never passed on");
		return;
	}
	if (http->reach.git) {
		int git = git_request_of(
		    http->head.method, http->where.path, http->where.query, http->repository);
		if (git < 0) {
			refuse(http, 400, "git_malformed",
			    "it looks like git, and is not as git asks");
			return;
		}
		http->git = (enum git_request)git;
	}
	if (http->git == GIT_PUSH && http_find(&http->head, "content-encoding") != NULL) {
		refuse(http, 415, "push_encoded",
		    "a push that is compressed as a whole cannot be read");
		return;
	}
	if (http->git == GIT_PUSH && (http->push = git_push_new()) == NULL) {
		refuse(http, 503, "no_memory", "out of memory");
		return;
	}
	if (!http_must_collect(http)) {
		http_ask(http);
		return;
	}
	http_set_state(http, HTTP_COLLECT);
	if (http->head.expect_continue && !http->continued) {
		static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
		http->continued = true;
		(void)stream_write(http->c->down, go_on, sizeof(go_on) - 1);
	}
	if (http_clock(http, COLLECT_MS))
		on_down(http->c->down, STREAM_READABLE, http);
}

/* ---- the proxy's port ---- */

static void
on_connect_opened(struct connection *c, bool ok, const char *reason)
{
	static const char opened[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	char what[HOST_MAX + 32];
	if (ok) {
		(void)stream_write(c->down, opened, sizeof(opened) - 1);
		return;
	}
	connection_what(c, what, sizeof(what));
	http_deny_connection(c, &(struct http_refusal){403, "denied", reason, NULL, NULL}, what);
}

static void
on_connect_reach(const struct reach *reach, void *data)
{
	struct http *http = data;
	struct connection *c = http->c;
	if (reach == NULL || (!reach->raw && !reach->plain && !reach->intercept)) {
		refuse_unreachable(http, reach);
		return;
	}
	(void)snprintf(c->host, sizeof(c->host), "%s", http->host);
	c->port = http->port;
	c->reach = *reach;
	c->proxy = false;
	c->tunnel = true;
	http_free(TAKE_PTR(c->http));
	if (!reach->plain && !reach->intercept) {
		raw_begin(c, on_connect_opened);
		return;
	}
	on_connect_opened(c, true, "");
	connection_classify(c);
}

static void
on_proxy_reach(const struct reach *reach, void *data)
{
	struct http *http = data;
	if (reach == NULL || !reach->plain) {
		refuse_unreachable(http, reach);
		return;
	}
	http->reach = *reach;
	begin_request(http);
}

static void
proxy_request(struct http *http)
{
	const struct http_where *where = &http->where;
	bool connect = http_text_is(http->head.method, "CONNECT");
	bool plain = !connect && where->form == HTTP_ABSOLUTE && strcmp(where->scheme, "http") == 0;
	if (!plain && (!connect || where->form != HTTP_AUTHORITY || where->port == 0)) {
		refuse(http, 400, "proxy_form",
		    "this is a proxy: CONNECT host:port, or GET http://host/path");
		return;
	}
	(void)snprintf(http->host, sizeof(http->host), "%s", where->host);
	http->port = where->port != 0 ? where->port : 80;
	http->tls = false;
	http_set_state(http, HTTP_WHERE);
	reach_ask(http->c->guest, http->host, http->port,
	    connect ? on_connect_reach : on_proxy_reach, http, &http->question);
}

/* ---- requests to where the connection goes ---- */

static void
place_request(struct http *http)
{
	const struct connection *c = http->c;
	const struct http_where *where = &http->where;
	int port = where->port != 0 ? where->port : c->secured ? 443 : 80;
	const char *scheme = c->secured ? "https" : "http";
	if (where->form == HTTP_AUTHORITY) {
		refuse(http, 405, "method_refused", "CONNECT is for the proxy's port");
		return;
	}
	(void)snprintf(http->host, sizeof(http->host), "%s", c->host);
	http->port = c->port;
	http->tls = c->secured;
	http->reach = c->reach;
	if (strcmp(where->host, c->host) != 0 || port != c->port) {
		refuse(http, 421, "host_mismatch",
		    "the host of the request is not the one that the connection was made to");
		return;
	}
	if (where->form == HTTP_ABSOLUTE && strcmp(where->scheme, scheme) != 0) {
		refuse(http, 400, "scheme_mismatch",
		    "the scheme of the request is not the connection's");
		return;
	}
	begin_request(http);
}

static void
on_head(struct http *http)
{
	struct error err = {.code = ""};
	if (http_where(&http->head, &http->where, &err) < 0)
		refuse(http, 400, "request_malformed", err.message);
	else if (http->c->proxy)
		proxy_request(http);
	else
		place_request(http);
}

static void
refuse_head(struct http *http, int r, const struct error *err)
{
	if (r == -EMSGSIZE)
		refuse(http, 431, "head_too_large",
		    "the request's head is larger than 32 KiB, or has too many headers");
	else if (r == -EPROTONOSUPPORT)
		refuse(http, 505, "version_refused", "only HTTP/1.1 and HTTP/1.0 are spoken here");
	else
		refuse(http, 400, "request_malformed", err->message);
}

/* The sandbox sends nothing more. The last answer may still be queued. */
static void
end_of_requests(struct http *http)
{
	struct connection *c = http->c;
	http_free(TAKE_PTR(c->http));
	http_linger(c);
}

/* Reads a head, if it is whole. */
static void
read_head(struct http *http)
{
	struct stream *down = http->c->down;
	struct error err = {.code = ""};
	size_t len;
	const uint8_t *bytes = stream_peek(down, &len);
	int r = len == 0 ? 0 : http_request_parse(bytes, len, &http->head, &err);
	if (r == 0 && len >= HEAD_BYTES_MAX)
		r = -EMSGSIZE;
	if (r == 0 && stream_ended(down)) {
		if (len == 0)
			end_of_requests(http);
		else
			refuse(http, 400, "request_malformed", "the request ends within its head");
		return;
	}
	if (r == 0) {
		if (len > 0 && http->head_bytes.limit == HEAD_BYTES_MAX) {
			http->head_bytes.limit = HEAD_BYTES_MAX + 1; /* its clock runs once */
			(void)http_clock(http, HEAD_MS);
		}
		return;
	}
	if (r > HEAD_BYTES_MAX)
		r = -EMSGSIZE;
	if (r > 0 && buf_add(&http->head_bytes, bytes, (size_t)r) < 0)
		r = -EMSGSIZE;
	if (r > 0) {
		stream_consume(down, (size_t)r);
		r = http_request_parse(
		    http->head_bytes.data, http->head_bytes.len, &http->head, &err);
	}
	http->timer = timer_cancel(http->timer);
	http->head_bytes.limit = HEAD_BYTES_MAX;
	if (r <= 0) {
		http->head = (struct http_head){0};
		refuse_head(http, r, &err);
	} else
		on_head(http);
}

/* ---- a body that must be seen first ---- */

/* Takes one run of content; false: refused. */
static bool
collect_content(struct http *http, struct http_text content)
{
	struct error err = {.code = ""};
	if (buf_add(&http->collected, content.at, content.len) < 0) {
		refuse(http, 413, "body_too_large",
		    "a push that changes branches may have 64 MiB at most");
		return false;
	}
	if (http->push != NULL &&
	    git_push_feed(http->push, (const uint8_t *)content.at, content.len, &err) < 0) {
		refuse(http, 400, "push_malformed", err.message);
		return false;
	}
	return true;
}

static bool
enough_collected(struct http *http)
{
	if (http->request.done)
		return true;
	return http->push != NULL && git_push_has_updates(http->push) &&
	    git_push_is_known(http->push);
}

static void
collect(struct http *http)
{
	struct stream *down = http->c->down;
	struct error err = {.code = ""};
	while (!enough_collected(http)) {
		size_t len, used;
		struct http_text content;
		const uint8_t *bytes = stream_peek(down, &len);
		if (len == 0 && !stream_ended(down))
			return;
		if (body_read(&http->request, bytes, len, stream_ended(down), &used, &content) <
		    0) {
			refuse(http, 400, "body_malformed",
			    "the request's body is malformed or cut off");
			return;
		}
		if (!collect_content(http, content))
			return;
		stream_consume(down, used);
		if (used == 0 && !http->request.done)
			return;
	}
	if (http->push != NULL && http->request.done && git_push_finish(http->push, &err) < 0) {
		refuse(http, 400, "push_malformed", err.message);
		return;
	}
	if (http->push == NULL) {
		sha256(http->collected.data, http->collected.len, http->request_hash);
		http->hashed = true;
	}
	http_ask(http);
}

/* ---- events of the sandbox's side ---- */

static void
on_down(struct stream *stream, enum stream_event event, void *data)
{
	struct http *http = data;
	(void)stream;
	if (event == STREAM_FAILED) {
		http_abort(http, "the sandbox closed the connection");
		return;
	}
	if (event == STREAM_DRAINED) {
		if (http->state == HTTP_EXCHANGE)
			http_pump_response(http);
		return;
	}
	if (event != STREAM_READABLE)
		return;
	if (http->state == HTTP_HEAD)
		read_head(http);
	else if (http->state == HTTP_COLLECT) {
		http->timer = timer_cancel(http->timer);
		if (http_clock(http, COLLECT_MS))
			collect(http);
	} else if (http->state == HTTP_DRAIN) {
		if (http_clock(http, COLLECT_MS))
			http_drain(http);
	} else if (http->state == HTTP_EXCHANGE)
		http_pump_request(http);
}

void
http_begin(struct connection *c)
{
	struct http *http = calloc(1, sizeof(*http));
	if (http == NULL) {
		connection_free(c);
		return;
	}
	http->c = c;
	c->http = http;
	buf_init(&http->head_bytes, HEAD_BYTES_MAX);
	buf_init(&http->collected, PUSH_MAX);
	buf_init(&http->signed_headers, HEAD_BYTES_MAX);
	buf_init(&http->signed_query, HEAD_BYTES_MAX);
	stream_set_owner(c->down, on_down, http);
	http_set_state(http, HTTP_HEAD);
	if (http_clock(http, IDLE_MS))
		read_head(http);
}
