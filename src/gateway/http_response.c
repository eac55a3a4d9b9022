/* The response: read strictly, written anew, without what must not come in: secrets, connections' own headers, offers
 * of other protocols. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "gateway/http.h"

#define ANSWER_MAX (192 * 1024) /* a head as it is written */

static void
refuse(struct http *http, const char *code, const char *reason)
{
	http->up = stream_free(http->up);
	http_deny(http, &(struct http_refusal){502, code, reason, NULL, "request-refused"});
}

/* The sandbox's side takes nothing more. Its own event would come only after everything that waits there was read, and
 * requests that came ahead of their turn are not read before this one is over. */
static void
nobody_listens(struct http *http)
{
	http_abort(http, "the sandbox closed the connection");
}

/* ---- the end ---- */

static struct json *
outcome(struct http *http, const char *error)
{
	struct json *out = json_new_object();
	(void)json_set_str(out, "address", http->address);
	(void)json_set_int(out, "ms", (clock_monotonic_ns() - http->began_ns) / 1000000);
	(void)json_set_int(out, "bytes_out", http->request.bytes);
	if (http->answering) {
		(void)json_set_int(out, "status", http->answer.status);
		(void)json_set_int(out, "bytes_in", http->response.bytes);
	}
	if (http->answering && error == NULL && http->response.bytes <= RESPONSE_HASH_MAX) {
		uint8_t digest[SHA256_BYTES];
		char hash[SHA256_HEX];
		sha256_final(&http->response_hash, digest);
		hex_encode(digest, sizeof(digest), hash);
		(void)json_set_str(out, "response_sha256", hash);
	}
	if (http->scrub != NULL && scrub_count(http->scrub) > 0)
		(void)json_set_int(out, "redacted", (int64_t)scrub_count(http->scrub));
	if (error != NULL)
		(void)json_set_str(out, "error", error);
	return out;
}

void
http_settle(struct http *http, const char *error)
{
	if (http->ask == NULL || ask_state(http->ask) != ASK_GO)
		return;
	/* Written, and then no answer: whether it had its effect is not known. */
	bool unknown = error != NULL && http->sent && !http->answering;
	const char *state = error == NULL ? "succeeded" : unknown ? "unknown" : "failed";
	ask_settle(TAKE_PTR(http->ask), state, outcome(http, error));
}

static void
response_is_done(struct http *http)
{
	static const char last[] = "0\r\n\r\n";
	struct upstream_target target = {.host = http->host, .port = http->port, .tls = http->tls};
	if (http->chunked_out)
		(void)stream_write(http->c->down, last, sizeof(last) - 1);
	bool again =
	    http->answer.keep_alive && http->sent && http->response.kind != HTTP_BODY_UNTIL_CLOSE;
	if (again)
		upstream_keep(http->c->guest, ask_verdict(http->ask), &target, TAKE_PTR(http->up),
		    http->address);
	else
		http->up = stream_free(http->up);
	/* What of the request is still to come nobody reads any more. */
	http->close_after |= !http->head.keep_alive || !http->request.done;
	http_settle(http, NULL);
	http_next(http);
}

/* ---- the head ---- */

static bool
is_dropped(const struct http_head *head, struct http_text name)
{
	/* alt-svc: there is no other service to go to from here. */
	static const char *const names[] = {"content-length", "alt-svc", "public-key-pins"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (http_text_is_fold(name, names[i]))
			return true;
	return http_is_hop_by_hop(head, name);
}

static void
write_framing(struct http *http, struct buf *out)
{
	const struct http_head *answer = &http->answer;
	if (answer->body == HTTP_BODY_LENGTH)
		(void)buf_addf(out, "Content-Length: %lld\r\n", (long long)answer->length);
	else if (answer->body == HTTP_BODY_NONE) {
		/* Of HEAD, or 304: what it would be. */
		const struct http_header *length = http_find(answer, "content-length");
		if (length != NULL && answer->status != 204)
			(void)buf_addf(out, "Content-Length: %.*s\r\n",
			    (int)MIN(length->value.len, 20), length->value.at);
	} else if (http->head.minor == 1) {
		http->chunked_out = true;
		(void)buf_add_str(out, "Transfer-Encoding: chunked\r\n");
	} else
		http->close_after = true;
	if (!http->head.keep_alive || http->close_after)
		(void)buf_add_str(out, "Connection: close\r\n");
	else if (http->head.minor == 0)
		(void)buf_add_str(out, "Connection: keep-alive\r\n");
	(void)buf_add_str(out, "\r\n");
}

/* The head as the sandbox gets it: without secrets, then our framing. */
static int
write_answer_head(struct http *http, struct buf *out, bool changed)
{
	const struct http_head *answer = &http->answer;
	bool failed;
	_cleanup_buf_ struct buf text;
	buf_init(&text, ANSWER_MAX);
	(void)buf_addf(&text, "HTTP/1.1 %d %.*s\r\n", answer->status, (int)answer->reason.len,
	    answer->reason.at != NULL ? answer->reason.at : "");
	for (size_t i = 0; i < answer->n_headers; i++) {
		const struct http_header *h = &answer->headers[i];
		if (is_dropped(answer, h->name))
			continue;
		(void)buf_add(&text, h->name.at, h->name.len);
		(void)buf_add_str(&text, ": ");
		(void)buf_add(&text, h->value.at, h->value.len);
		(void)buf_add_str(&text, "\r\n");
	}
	struct scrub *scrub = secret_scrub(http->c->guest, &failed);
	int r = failed ? -ENOMEM : 0;
	if (r == 0 && scrub != NULL)
		r = scrub_feed(scrub, text.data, text.len, /* end= */ true, out);
	else if (r == 0)
		r = buf_add(out, text.data, text.len);
	(void)scrub_free(scrub);
	if (changed)
		(void)buf_add_str(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	else
		write_framing(http, out);
	return r < 0 ? r : buf_failed(&text) || buf_failed(out) ? -EMSGSIZE : 0;
}

/* What cannot be searched for secrets is not let in. */
static bool
is_encoded(const struct http_head *answer)
{
	const struct http_header *encoding = http_find(answer, "content-encoding");
	return encoding != NULL && !http_text_is_fold(encoding->value, "identity") &&
	    answer->body != HTTP_BODY_NONE;
}

/* Whether PATTERN (a media type, or all of one with a star, any case) is what VALUE begins with. */
static bool
is_of_type(const char *pattern, struct http_text value)
{
	size_t len = 0, wanted = strlen(pattern);
	while (len < value.len && strchr("; \t", value.at[len]) == NULL)
		len++;
	if (wanted >= 2 && strcmp(pattern + wanted - 2, "/*") == 0)
		return len >= wanted && strncasecmp(pattern, value.at, wanted - 1) == 0;
	return len == wanted && strncasecmp(pattern, value.at, len) == 0;
}

/* The rule may say what types of bodies come in. */
static bool
type_may_come_in(const struct http *http)
{
	const struct json *types =
	    json_get(json_get(ask_verdict(http->ask), "limits"), "response_types");
	const struct http_header *type = http_find(&http->answer, "content-type");
	if (types == NULL || http->response.done)
		return true;
	for (size_t i = 0; type != NULL && i < json_len(types); i++)
		if (is_of_type(json_str(json_at(types, i), ""), type->value))
			return true;
	return false;
}

/* Writes the head, of HEAD_LEN bytes as it came, to the sandbox; CHANGED: of a 101. False: that is the end of it. */
static bool
pass_answer_head(struct http *http, size_t head_len, bool changed)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, ANSWER_MAX + 1024);
	int r = write_answer_head(http, &out, changed);
	stream_consume(http->up, head_len);
	if (r < 0) {
		refuse(http, "response_too_large", "the response's head is too large");
		return false;
	}
	http->answering = true;
	if (stream_write(http->c->down, out.data, out.len) < 0) {
		nobody_listens(http);
		return false;
	}
	return true;
}

static void
send_answer_head(struct http *http, size_t head_len)
{
	struct http_head *answer = &http->answer;
	body_begin(&http->response, answer);
	if (http->scrub != NULL && is_encoded(answer)) {
		refuse(http, "response_encoded",
		    "the response is compressed though that was not offered: it cannot be searched "
		    "for secrets");
		return;
	}
	if (!type_may_come_in(http)) {
		refuse(http, "response_type", "the rule does not let responses of this type in");
		return;
	}
	if (http->response_max >= 0 && answer->body == HTTP_BODY_LENGTH &&
	    answer->length > http->response_max) {
		refuse(http, "response_too_large", "the response is larger than the rule's limit");
		return;
	}
	if (!pass_answer_head(http, head_len, /* changed= */ false))
		return;
	if (http->response.done)
		response_is_done(http);
	else
		http_pump_response(http);
}

/* ---- after 101 ---- */

static void
on_relay_done(struct relay *relay, void *data)
{
	struct http *http = data;
	http->request.bytes += (int64_t)relay_bytes(relay, true);
	http->response.bytes += (int64_t)relay_bytes(relay, false);
	/* However it ended: who ends a protocol of their own need not say goodbye to TLS. */
	http_settle(http, NULL);
	connection_free(http->c);
}

/* A rule lets the protocol change: from here on nobody reads what passes. */
static void
change_protocol(struct http *http, size_t head_len)
{
	http->answer.body = HTTP_BODY_UNTIL_CLOSE;
	if (!pass_answer_head(http, head_len, /* changed= */ true))
		return;
	if (relay_new(http->c->down, http->up, on_relay_done, http, &http->relay) < 0) {
		http_abort(http, "out of memory");
		return;
	}
	http->c->down = NULL;
	http->up = NULL;
}

static void
read_answer_head(struct http *http)
{
	struct error err = {.code = ""};
	char method[33];
	size_t len;
	bool ended = stream_ended(http->up) || stream_error(http->up)[0] != 0;
	(void)snprintf(
	    method, sizeof(method), "%.*s", (int)http->head.method.len, http->head.method.at);
	for (;;) {
		const uint8_t *bytes = stream_peek(http->up, &len);
		int r = len == 0 ? 0 : http_response_parse(bytes, len, method, &http->answer, &err);
		if (r == 0 && ended) {
			refuse(
			    http, "upstream_failed", "the upstream ended within its answer's head");
			return;
		}
		if (r == 0)
			return;
		if (r < 0) {
			refuse(http, "response_malformed",
			    r == -EBADMSG ? err.message
					  : "the upstream's answer has too large a head");
			return;
		}
		if (http->answer.status == 101 && http->websocket) {
			change_protocol(http, (size_t)r);
			return;
		}
		if (http->answer.status == 101) {
			refuse(http, "upgrade_refused",
			    "the upstream changes to a protocol that was not asked for");
			return;
		}
		if (http->answer.status >= 200) {
			send_answer_head(http, (size_t)r);
			return;
		}
		stream_consume(http->up, (size_t)r); /* interim: we gave our own */
	}
}

uint64_t
http_relay_bytes(const struct http *http)
{
	return http->relay == NULL
	    ? 0
	    : relay_bytes(http->relay, true) + relay_bytes(http->relay, false);
}

void
http_policy_changed(struct connection *c)
{
	if (c->http->relay != NULL)
		http_abort(c->http, "the policy changed");
}

/* ---- the body ---- */

static int
send_content(struct http *http, struct http_text content, bool end)
{
	if (http->response.bytes <= RESPONSE_HASH_MAX)
		sha256_update(&http->response_hash, content.at, content.len);
	if (http->scrub == NULL)
		return body_send(http->c->down, http->chunked_out, content.at, content.len);
	_cleanup_buf_ struct buf clean;
	buf_init(&clean, content.len + 4 * CREDENTIAL_VALUE_MAX);
	int r = scrub_feed(http->scrub, (const uint8_t *)content.at, content.len, end, &clean);
	return r < 0 ? r : body_send(http->c->down, http->chunked_out, clean.data, clean.len);
}

void
http_pump_response(struct http *http)
{
	if (http->up == NULL)
		return;
	if (!http->answering) {
		read_answer_head(http);
		return;
	}
	while (!http->response.done) {
		size_t len, used;
		struct http_text content;
		const uint8_t *bytes = stream_peek(http->up, &len);
		bool failed = stream_error(http->up)[0] != 0, ended = stream_ended(http->up);
		if (stream_queued(http->c->down) > STREAM_HIGH_WATER ||
		    (len == 0 && !ended && !failed))
			return;
		if ((len == 0 && failed) ||
		    body_read(&http->response, bytes, len, ended, &used, &content) < 0) {
			http_abort(http, "the upstream's answer is malformed or cut off");
			return;
		}
		if (http->response_max >= 0 && http->response.bytes > http->response_max) {
			http_abort(
			    http, "the response is larger than the rule's limit: it was cut");
			return;
		}
		if (send_content(http, content, http->response.done) < 0) {
			nobody_listens(http);
			return;
		}
		stream_consume(http->up, used);
		if (used == 0 && !http->response.done)
			return;
	}
	response_is_done(http);
}
