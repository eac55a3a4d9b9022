/* The request to the upstream: its head written anew from what was understood, with the credential; its body passed on
 * as it comes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/http.h"
#include "proto/sigv4.h"

#define TICK_MS 30000
#define STILL_MAX 4
#define REQUEST_MAX (256 * 1024) /* a head with credentials filled in */

static void on_up(struct stream *stream, enum stream_event event, void *data);
static void open_upstream(struct http *http, bool fresh);
static int start_ticking(struct http *http);

static void
refuse(struct http *http, int status, const char *code, const char *reason)
{
	http_deny(http, &(struct http_refusal){status, code, reason, NULL, "request-refused"});
}

/* ---- the head ---- */

static bool
is_signed(const struct http *http)
{
	return http->credential != NULL && http->credential->as == CREDENTIAL_AWS;
}

/* Whether TEXT has a placeholder that what was granted does not fill. */
static bool
is_unfilled(const struct http *http, struct http_text text)
{
	return credential_placeholder(NULL, text) &&
	    (http->credential == NULL || !credential_placeholder(http->credential, text));
}

static bool
has_placeholder(const struct http *http)
{
	const struct http_head *head = &http->head;
	if (http->credential == NULL)
		return false;
	for (size_t i = 0; i < head->n_headers; i++)
		if (credential_placeholder(http->credential, head->headers[i].value))
			return true;
	return credential_placeholder(http->credential, http->where.path) ||
	    credential_placeholder(http->credential, http->where.query);
}

/* A placeholder of a secret that this target is not bound to. */
static bool
has_foreign_placeholder(const struct http *http)
{
	const struct http_head *head = &http->head;
	for (size_t i = 0; i < head->n_headers; i++)
		if (is_unfilled(http, head->headers[i].value) &&
		    !(is_signed(http) &&
			credential_replaces(http->credential, head->headers[i].name)))
			return true;
	return is_unfilled(http, http->where.path) || is_unfilled(http, http->where.query);
}

/* "host", or "host:port" where that is not the scheme's usual one. */
static void
host_of(const struct http *http, char ret[HOST_MAX + 16])
{
	bool v6 = strchr(http->host, ':') != NULL;
	char port[8] = "";
	if (http->port != (http->tls ? 443 : 80))
		(void)snprintf(port, sizeof(port), ":%d", http->port);
	(void)snprintf(
	    ret, HOST_MAX + 16, "%s%s%s%s", v6 ? "[" : "", http->host, v6 ? "]" : "", port);
}

static int
write_target(const struct http *http, bool fill, struct buf *out)
{
	char host[HOST_MAX + 16];
	struct http_text path = http->where.path, query = http->where.query;
	(void)buf_add(out, http->head.method.at, http->head.method.len);
	(void)buf_add_char(out, ' ');
	int r = fill ? credential_fill_encoded(http->credential, path, out)
		     : buf_add(out, path.at, path.len);
	bool added = http->credential != NULL && !fill && http->credential->as == CREDENTIAL_QUERY;
	if (is_signed(http))
		query = (struct http_text){buf_str(&http->signed_query), http->signed_query.len};
	if (r == 0 && (query.len > 0 || added)) {
		(void)buf_add_char(out, '?');
		r = added  ? credential_query(http->credential, query, out)
		    : fill ? credential_fill_encoded(http->credential, query, out)
			   : buf_add(out, query.at, query.len);
	}
	host_of(http, host);
	(void)buf_addf(out, " HTTP/1.1\r\nHost: %s\r\n", host);
	return r;
}

/* Headers that are written anew, or not at all. */
static bool
is_dropped(const struct http *http, struct http_text name)
{
	static const char *const names[] = {"host", "content-length", "expect"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (http_text_is_fold(name, names[i]))
			return true;
	/* What is compressed cannot be searched for secrets. */
	if (secret_any(http->c->guest) && http_text_is_fold(name, "accept-encoding"))
		return true;
	return http_is_hop_by_hop(&http->head, name);
}

static int
write_headers(const struct http *http, bool fill, struct buf *out)
{
	const struct http_head *head = &http->head;
	int r = 0;
	for (size_t i = 0; r == 0 && i < head->n_headers; i++) {
		const struct http_header *h = &head->headers[i];
		if (is_dropped(http, h->name))
			continue;
		bool replaced = http->credential != NULL && !fill &&
		    credential_replaces(http->credential, h->name);
		if (replaced)
			continue;
		(void)buf_add(out, h->name.at, h->name.len);
		(void)buf_add_str(out, ": ");
		r = fill ? credential_fill(http->credential, h->value, out)
			 : buf_add(out, h->value.at, h->value.len);
		(void)buf_add_str(out, "\r\n");
	}
	if (r == 0 && is_signed(http))
		r = buf_add(out, http->signed_headers.data, http->signed_headers.len);
	else if (r == 0 && http->credential != NULL && !fill)
		r = credential_header(http->credential, head, out);
	if (secret_any(http->c->guest))
		(void)buf_add_str(out, "Accept-Encoding: identity\r\n");
	if (http->websocket)
		(void)buf_add_str(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
	return r;
}

static int
write_head(const struct http *http, struct buf *out)
{
	bool fill = !is_signed(http) && has_placeholder(http);
	int r = write_target(http, fill, out);
	if (r == 0)
		r = write_headers(http, fill, out);
	if (http->head.body == HTTP_BODY_CHUNKED)
		(void)buf_add_str(out, "Transfer-Encoding: chunked\r\n");
	else if (http->head.body == HTTP_BODY_LENGTH)
		(void)buf_addf(out, "Content-Length: %lld\r\n", (long long)http->head.length);
	(void)buf_add_str(out, "\r\n");
	return r < 0 ? r : buf_failed(out) ? -ENOMEM : 0;
}

/* ---- the body ---- */

/* Sends one run of content as the request's framing has it. */
static int
send_content(struct http *http, const void *content, size_t len)
{
	return body_send(http->up, http->head.body == HTTP_BODY_CHUNKED, content, len);
}

/* The request's body breaks off, or is more than may be: the upstream must not take it for whole. */
static void
break_off(struct http *http, int status, const char *code, const char *reason)
{
	http->up = stream_free(http->up);
	if (http->answering)
		http_abort(http, reason);
	else
		refuse(http, status, code, reason);
}

static void
request_is_sent(struct http *http)
{
	static const char last[] = "0\r\n\r\n";
	http->sent = true;
	if (http->head.body == HTTP_BODY_CHUNKED)
		(void)stream_write(http->up, last, sizeof(last) - 1);
}

void
http_pump_request(struct http *http)
{
	const struct json *limits = json_get(ask_verdict(http->ask), "limits");
	int64_t max = json_get_int(limits, http->git == GIT_NOT ? "body_bytes" : "bytes", -1);
	struct stream *down = http->c->down;
	while (!http->sent && http->up != NULL) {
		size_t len, used;
		struct http_text content;
		if (http->request.done) {
			request_is_sent(http);
			break;
		}
		const uint8_t *bytes = stream_peek(down, &len);
		if (stream_queued(http->up) > STREAM_HIGH_WATER ||
		    (len == 0 && !stream_ended(down)))
			return;
		if (body_read(&http->request, bytes, len, stream_ended(down), &used, &content) <
		    0) {
			break_off(http, 400, "body_malformed",
			    "the request's body is malformed or cut off");
			return;
		}
		if (max >= 0 && http->request.bytes > max) {
			break_off(http, 413, "body_too_large",
			    "the request's body is larger than the rule's limit");
			return;
		}
		int r = send_content(http, content.at, content.len);
		stream_consume(down, used);
		if (r < 0 || (used == 0 && !http->request.done))
			return; /* on_up hears why */
	}
}

/* ---- the upstream ---- */

static bool
may_try_again(const struct http *http)
{
	bool harmless = http_text_is(http->head.method, "GET") ||
	    http_text_is(http->head.method, "HEAD") || http_text_is(http->head.method, "OPTIONS");
	return http->reused && harmless && http->head.body == HTTP_BODY_NONE && !http->answering;
}

/* The upstream ended before it said anything. */
static void
upstream_failed(struct http *http, const char *reason)
{
	char text[256];
	(void)snprintf(text, sizeof(text), "%s",
	    reason[0] != 0 ? reason : "the upstream closed the connection");
	if (may_try_again(http)) {
		http->up = stream_free(http->up);
		open_upstream(http, /* fresh= */ true);
	} else if (http->answering)
		http_abort(http, text);
	else
		refuse(http, 502, "upstream_failed", text);
}

static void
on_up(struct stream *stream, enum stream_event event, void *data)
{
	struct http *http = data;
	size_t len;
	(void)stream_peek(stream, &len);
	if (event == STREAM_FAILED && len == 0)
		upstream_failed(http, stream_error(stream));
	else if (event == STREAM_READABLE && len == 0 && stream_ended(stream) && !http->answering)
		upstream_failed(http, "the upstream closed the connection without an answer");
	else if (event == STREAM_DRAINED)
		http_pump_request(http);
	else
		http_pump_response(http);
}

/* An exchange in which nothing moves any more ends. */
static void
on_tick(struct timer *timer, void *data)
{
	struct http *http = data;
	(void)timer;
	http->timer = NULL;
	if (http->up == NULL || http->c->down == NULL)
		return; /* a relay has both */
	uint64_t moved = stream_bytes_in(http->up) + stream_bytes_out(http->up) +
	    stream_bytes_in(http->c->down) + stream_bytes_out(http->c->down);
	http->still = moved == http->moved ? http->still + 1 : 0;
	http->moved = moved;
	if (http->still < STILL_MAX && start_ticking(http) == 0)
		return;
	if (http->answering)
		http_abort(http, "nothing moved for two minutes");
	else
		refuse(http, 504, "upstream_timeout", "the upstream did not answer in time");
}

static int
start_ticking(struct http *http)
{
	return loop_timer(http->c->guest->gateway->loop, TICK_MS, on_tick, http, &http->timer);
}

static int
begin_response(struct http *http)
{
	bool failed;
	const struct json *limits = json_get(ask_verdict(http->ask), "limits");
	const char *limit = http->git == GIT_NOT ? "response_bytes" : "bytes";
	http->scrub = scrub_free(http->scrub);
	http->scrub = secret_scrub(http->c->guest, &failed);
	http->response_max = json_get_int(limits, limit, -1);
	sha256_init(&http->response_hash);
	return failed ? -ENOMEM : 0;
}

static void
on_opened(
    struct stream *stream, bool reused, const char *address, const struct error *err, void *data)
{
	struct http *http = data;
	_cleanup_buf_ struct buf head;
	buf_init(&head, REQUEST_MAX);
	if (stream == NULL) {
		bool refused = strcmp(err->code, "address_refused") == 0;
		http_deny(http,
		    &(struct http_refusal){
			refused ? 403 : 502, err->code, err->message, NULL, "dial-refused"});
		return;
	}
	http->up = stream;
	http->reused = reused;
	(void)snprintf(http->address, sizeof(http->address), "%s", address);
	http_set_state(http, HTTP_EXCHANGE);
	http->still = 0;
	int r = begin_response(http);
	if (r == 0)
		r = write_head(http, &head);
	if (r == 0)
		r = start_ticking(http);
	if (r < 0) {
		refuse(http, 503, "no_memory", "the request cannot be written");
		return;
	}
	if (http->meter != NULL)
		stream_set_meter(stream, http->meter);
	stream_set_owner(stream, on_up, http);
	http->sent = false;
	/* Head and body together, where that is one packet or two. */
	bool joined = http->head.body == HTTP_BODY_LENGTH &&
	    head.len + http->collected.len < REQUEST_MAX &&
	    buf_add(&head, http->collected.data, http->collected.len) == 0;
	r = stream_write(stream, head.data, head.len);
	explicit_bzero(head.data, head.len);
	if (r == 0 && !joined)
		r = send_content(http, http->collected.data, http->collected.len);
	http_drop_collected(http);
	if (r == 0)
		http_pump_request(http);
}

static void
open_upstream(struct http *http, bool fresh)
{
	struct upstream_target target = {.host = http->host,
	    .port = http->port,
	    .tls = http->tls,
	    .fresh = fresh || http->websocket};
	http_set_state(http, HTTP_OPENING);
	upstream_open(
	    http->c->guest, ask_verdict(http->ask), &target, on_opened, http, &http->dial);
}

/* ---- allowed ---- */

/* A request that is signed rather than shown a secret (proto/sigv4.h). False: refused. */
static bool
sign(struct http *http)
{
	char host[HOST_MAX + 16];
	uint8_t nothing[SHA256_BYTES];
	struct error err = {.code = ""};
	host_of(http, host);
	sha256("", 0, nothing);
	struct sigv4_request request = {.head = &http->head,
	    .host = host,
	    .path = http->where.path,
	    .query = http->where.query,
	    .tls = http->tls,
	    .body_hash = http->hashed               ? http->request_hash
		: http->head.body == HTTP_BODY_NONE ? nothing
						    : NULL,
	    .now_ms = clock_wall_ms()};
	buf_clear(&http->signed_headers);
	buf_clear(&http->signed_query);
	int r = sigv4_sign(
	    http->credential, &request, &http->signed_headers, &http->signed_query, &err);
	if (r == -EPERM)
		refuse(http, 403, err.code, err.message);
	else if (r < 0)
		refuse(http, 503, "no_memory", "the request cannot be signed");
	return r == 0;
}

static void
on_credential(const struct credential *credential, void *data)
{
	struct http *http = data;
	if (credential == NULL) {
		refuse(
		    http, 503, "credential_missing", "the credential did not come, or was revoked");
		return;
	}
	http->credential = credential;
	if (has_foreign_placeholder(http))
		refuse(http, 403, "placeholder_not_bound",
		    "a placeholder stands for a secret that is not bound to this target");
	else if (!is_signed(http) || sign(http))
		open_upstream(http, /* fresh= */ false);
}

static void
on_deadline(struct timer *timer, void *data)
{
	struct http *http = data;
	(void)timer;
	http->deadline = NULL;
	if (http->answering)
		http_abort(http, "the rule's limit of time is used up");
	else
		refuse(http, 504, "time_limit", "the rule's limit of time is used up");
}

/* The rule's limits begin. False: without memory, and refused. */
static bool
begin_limits(struct http *http)
{
	struct loop *loop = http->c->guest->gateway->loop;
	const struct json *limits = json_get(ask_verdict(http->ask), "limits");
	int64_t per_second = json_get_int(limits, "bytes_per_s", 0);
	int64_t time_ms = json_get_int(limits, "time_ms", 0);
	int r = 0;
	if (per_second > 0 && (http->meter = stream_meter_new(loop, per_second)) == NULL)
		r = -ENOMEM;
	if (r == 0 && time_ms > 0)
		r = loop_timer(loop, time_ms, on_deadline, http, &http->deadline);
	if (r < 0)
		refuse(http, 503, "no_memory", "out of memory");
	return r == 0;
}

void
http_perform(struct http *http)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	const char *grant = json_get_str(ask_verdict(http->ask), "grant", NULL);
	if (!begin_limits(http))
		return;
	if (http->head.expect_continue && !http->continued && !http->request.done) {
		http->continued = true;
		(void)stream_write(http->c->down, go_on, sizeof(go_on) - 1);
	}
	if (grant != NULL) {
		secret_take(http->c->guest, grant, on_credential, http, &http->secret);
		return;
	}
	if (has_foreign_placeholder(http))
		refuse(http, 403, "placeholder_not_bound",
		    "a placeholder stands for a secret that is not bound to this target");
	else
		open_upstream(http, /* fresh= */ false);
}
