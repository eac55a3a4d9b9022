/* A net action: one connection, whose bytes we pass on without reading them.
 *
 *     proposed ─GO→ dialing → opened ─first bytes of the client's are TLS→ probing → passing → settled
 *                                    └ else, or the server speaks first ──────────→ passing
 *
 * Where the client speaks TLS, the name that was asked for, the one in its ClientHello and the upstream's certificate
 * must be the same. The certificate travels encrypted (TLS 1.3), so we look at it in a handshake of our own with that
 * very address, and remember for some minutes that it was good. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>

#include "base/clock.h"
#include "gateway/ask.h"
#include "gateway/connection.h"
#include "gateway/upstream.h"
#include "proto/tls_hello.h"

#define WATCH_MS 100
#define PROBES_MAX 3
#define ACTION_BYTES 1024 /* at most, as text */

struct raw {
	struct connection *c;
	struct ask *ask;
	struct ask *again; /* the same, because the policy changed */
	struct upstream_dial *dial;
	struct stream *up;   /* owned until it is passed on */
	struct relay *relay; /* owned; owns both streams then */
	struct timer *watch;
	struct stream_meter *meter; /* owned: the rule's */
	raw_opened_fn *opened;
	char address[64];
	bool checked; /* the client's first bytes may go */
	unsigned probes;
	int64_t began_ns, bytes_max, time_ms;
	uint64_t early; /* bytes of the server's that went before the relay */
};

static void on_down(struct stream *stream, enum stream_event event, void *data);
static void on_up(struct stream *stream, enum stream_event event, void *data);

/* ---- the end ---- */

static struct json *
outcome(const struct raw *raw, const char *error)
{
	struct json *out = json_new_object();
	int64_t sent = raw->relay == NULL ? 0 : (int64_t)relay_bytes(raw->relay, true);
	int64_t got = raw->relay == NULL ? 0 : (int64_t)relay_bytes(raw->relay, false);
	(void)json_set_str(out, "address", raw->address);
	(void)json_set_int(out, "bytes_out", sent);
	(void)json_set_int(out, "bytes_in", got + (int64_t)raw->early);
	(void)json_set_int(out, "ms", (clock_monotonic_ns() - raw->began_ns) / 1000000);
	if (error != NULL && error[0] != 0)
		(void)json_set_str(out, "error", error);
	return out;
}

static void
settle(struct raw *raw, const char *error)
{
	if (raw->ask != NULL && ask_state(raw->ask) == ASK_GO)
		ask_settle(TAKE_PTR(raw->ask),
		    raw->relay != NULL || raw->early > 0 ? "succeeded" : "failed",
		    outcome(raw, error));
}

uint64_t
raw_bytes(const struct raw *raw)
{
	if (raw->relay == NULL)
		return raw->early;
	return raw->early + relay_bytes(raw->relay, true) + relay_bytes(raw->relay, false);
}

void
raw_free(struct raw *raw)
{
	if (raw == NULL)
		return;
	struct guest_usage *usage = &raw->c->guest->usage;
	settle(raw, "the sandbox ended it");
	raw->ask = ask_free(raw->ask);
	raw->again = ask_free(raw->again);
	upstream_forget(raw->dial);
	raw->watch = timer_cancel(raw->watch);
	if (raw->relay != NULL) {
		usage->bytes_out += relay_bytes(raw->relay, true);
		usage->bytes_in += relay_bytes(raw->relay, false);
	}
	raw->relay = relay_free(raw->relay);
	raw->up = stream_free(raw->up);
	raw->meter = stream_meter_free(raw->meter);
	free(raw);
}

/* It failed: says so to whoever opened it, or closes. */
static void
fail(struct raw *raw, const char *reason)
{
	struct connection *c = raw->c;
	raw_opened_fn *opened = raw->opened;
	char text[256];
	(void)snprintf(text, sizeof(text), "%s", reason);
	settle(raw, text);
	if (opened == NULL) {
		connection_free(c);
		return;
	}
	raw_free(TAKE_PTR(c->raw));
	opened(c, /* ok= */ false, text);
}

static void
refuse(struct raw *raw, const char *event, const char *reason, const char *needed)
{
	char what[HOST_MAX + 16];
	connection_what(raw->c, what, sizeof(what));
	guest_denied(raw->c->guest, event, what, reason, needed);
	fail(raw, reason);
}

/* ---- passing ---- */

static void
on_relay_done(struct relay *relay, void *data)
{
	struct raw *raw = data;
	settle(raw, relay_error(relay));
	connection_free(raw->c);
}

/* The limits that hold for the whole of it. */
static void
on_watch(struct timer *timer, void *data)
{
	struct raw *raw = data;
	(void)timer;
	raw->watch = NULL;
	uint64_t bytes = raw_bytes(raw);
	int64_t ms = (clock_monotonic_ns() - raw->began_ns) / 1000000;
	if (raw->bytes_max >= 0 && bytes > (uint64_t)raw->bytes_max)
		refuse(raw, NULL, "the rule's limit of bytes is used up", NULL);
	else if (raw->time_ms > 0 && ms > raw->time_ms)
		refuse(raw, NULL, "the rule's limit of time is used up", NULL);
	else if (loop_timer(raw->c->guest->gateway->loop, WATCH_MS, on_watch, raw, &raw->watch) < 0)
		connection_free(raw->c);
}

static void
pass(struct raw *raw)
{
	struct connection *c = raw->c;
	struct gateway *gateway = c->guest->gateway;
	int r = 0;
	if (raw->bytes_max >= 0 || raw->time_ms > 0)
		r = loop_timer(gateway->loop, WATCH_MS, on_watch, raw, &raw->watch);
	if (raw->meter != NULL)
		stream_set_meter(raw->up, raw->meter);
	if (r == 0)
		r = relay_new(c->down, raw->up, on_relay_done, raw, &raw->relay);
	if (r < 0) {
		fail(raw, "out of memory");
		return;
	}
	c->down = NULL;
	raw->up = NULL;
}

/* ---- the client speaks TLS: names and certificate ---- */

static bool
is_address(const char *host)
{
	uint8_t ignored[16];
	return inet_pton(AF_INET, host, ignored) == 1 || inet_pton(AF_INET6, host, ignored) == 1;
}

static const char *
hello_trouble(const struct connection *c, const struct tls_hello *hello)
{
	if (is_address(c->host))
		return hello->host[0] == 0
		    ? NULL
		    : "the ClientHello names a host, and the connection an address";
	if (hello->host[0] == 0)
		return "the ClientHello names no host";
	if (strcmp(hello->host, c->host) != 0)
		return "the name in the ClientHello is not the one that was asked for";
	return hello->ech ? "the ClientHello hides a name (encrypted_client_hello)" : NULL;
}

static void probe(struct raw *raw);

/* The certificate at RAW->address is good, or it need not be looked at: on with it. */
static void
on_probed_connection(
    struct stream *stream, bool reused, const char *address, const struct error *err, void *data)
{
	struct raw *raw = data;
	struct connection *c = raw->c;
	(void)reused;
	if (stream == NULL) {
		fail(raw, err->message);
		return;
	}
	(void)snprintf(raw->address, sizeof(raw->address), "%s", address);
	raw->up = stream;
	stream_set_owner(stream, on_up, raw);
	if (upstream_is_verified(c->guest, c->host, c->port, address))
		pass(raw);
	else
		probe(raw);
}

static void
on_probe_event(struct stream *stream, enum stream_event event, void *data)
{
	struct raw *raw = data;
	struct connection *c = raw->c;
	char reason[256];
	if (event == STREAM_FAILED) {
		(void)snprintf(reason, sizeof(reason), "%s", stream_error(stream));
		refuse(raw, "dial-refused", reason, NULL);
	} else if (event == STREAM_SECURED) {
		struct upstream_target again = {
		    .host = c->host, .port = c->port, .prefer = raw->address, .fresh = true};
		upstream_verified(c->guest, c->host, c->port, raw->address);
		raw->up = stream_free(raw->up);
		upstream_open(
		    c->guest, ask_verdict(raw->ask), &again, on_probed_connection, raw, &raw->dial);
	}
}

/* Uses the connection that there is to see the certificate of that address; then another is made. */
static void
probe(struct raw *raw)
{
	struct connection *c = raw->c;
	if (++raw->probes > PROBES_MAX) {
		fail(raw, "the host's addresses change too fast to be checked");
		return;
	}
	stream_set_owner(raw->up, on_probe_event, raw);
	if (stream_secure_client(raw->up, c->guest->gateway->trust, c->host) < 0)
		fail(raw, "TLS to the upstream cannot be begun");
}

/* The client's first bytes wait: whether they may go. */
static void
check_first(struct raw *raw)
{
	struct connection *c = raw->c;
	struct tls_hello hello;
	size_t len;
	const uint8_t *bytes = stream_peek(c->down, &len);
	if (len == 0 || raw->checked || raw->up == NULL)
		return;
	int r = tls_hello_read(bytes, len, &hello);
	if (r == 0 && !stream_ended(c->down))
		return; /* the rest of it comes */
	raw->checked = true;
	if (r == -ENOMSG || r == 0) {
		pass(raw);
		return;
	}
	const char *trouble = r > 0 ? hello_trouble(c, &hello)
	    : hello.refused != NULL ? hello.refused
				    : "out of memory";
	if (trouble != NULL)
		refuse(raw, "connection-refused", trouble, NULL);
	else if (is_address(c->host) ||
	    upstream_is_verified(c->guest, c->host, c->port, raw->address))
		pass(raw);
	else if (raw->early > 0)
		refuse(raw, "connection-refused", "the server spoke before TLS began", NULL);
	else
		probe(raw);
}

static void
on_down(struct stream *stream, enum stream_event event, void *data)
{
	struct raw *raw = data;
	size_t len;
	(void)stream_peek(stream, &len);
	if (event == STREAM_FAILED)
		connection_free(raw->c);
	else if (event == STREAM_READABLE && len == 0 && stream_ended(stream) && raw->up != NULL &&
	    !raw->checked) {
		raw->checked = true;
		pass(raw);
	} else if (event == STREAM_READABLE)
		check_first(raw);
}

/* The server speaks first. */
static void
on_up(struct stream *stream, enum stream_event event, void *data)
{
	struct raw *raw = data;
	size_t len;
	const uint8_t *bytes = stream_peek(stream, &len);
	if (event == STREAM_FAILED) {
		fail(raw, stream_error(stream));
		return;
	}
	if (event != STREAM_READABLE)
		return;
	if (len == 0 && stream_ended(stream)) {
		raw->checked = true; /* whatever the client says, nobody hears it */
		pass(raw);
		return;
	}
	if (len == 0 || stream_queued(raw->c->down) > STREAM_HIGH_WATER)
		return;
	raw->early += len;
	if (stream_write(raw->c->down, bytes, len) == 0)
		stream_consume(stream, len);
}

/* ---- the action ---- */

static void
on_connected(
    struct stream *stream, bool reused, const char *address, const struct error *err, void *data)
{
	struct raw *raw = data;
	struct connection *c = raw->c;
	(void)reused;
	if (stream == NULL) {
		refuse(raw, "dial-refused", err->message, NULL);
		return;
	}
	raw->up = stream;
	(void)snprintf(raw->address, sizeof(raw->address), "%s", address);
	stream_set_owner(stream, on_up, raw);
	if (raw->opened != NULL) {
		raw_opened_fn *opened = raw->opened;
		raw->opened = NULL;
		opened(c, /* ok= */ true, "");
	}
	on_down(c->down, STREAM_READABLE, raw);
}

static void
go(struct raw *raw)
{
	struct connection *c = raw->c;
	const struct json *limits = json_get(ask_verdict(raw->ask), "limits");
	int64_t per_second = json_get_int(limits, "bytes_per_s", 0);
	raw->bytes_max = json_get_int(limits, "bytes", -1);
	raw->time_ms = json_get_int(limits, "time_ms", 0);
	if (per_second > 0 &&
	    (raw->meter = stream_meter_new(c->guest->gateway->loop, per_second)) == NULL) {
		fail(raw, "out of memory");
		return;
	}
	struct upstream_target target = {.host = c->host, .port = c->port, .fresh = true};
	upstream_open(c->guest, ask_verdict(raw->ask), &target, on_connected, raw, &raw->dial);
}

static void
on_answer(struct ask *ask, void *data)
{
	struct raw *raw = data;
	if (ask_state(ask) == ASK_GO)
		go(raw);
	else if (ask_state(ask) != ASK_HELD)
		refuse(raw, NULL, ask_reason(ask), ask_needed(ask));
}

static struct json *
action_of(const struct connection *c)
{
	char target[HOST_MAX + 16];
	struct json *request = json_new_object(), *action = json_new_object();
	connection_what(c, target, sizeof(target));
	(void)json_set_str(request, "host", c->host);
	(void)json_set_int(request, "port", c->port);
	(void)json_set_str(request, "protocol", "tcp");
	(void)json_set_str(action, "kind", "net");
	(void)json_set_str(action, "target", target);
	(void)json_set(action, "request", request);
	return action;
}

void
raw_begin(struct connection *c, raw_opened_fn *opened)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	if (raw == NULL) {
		connection_free(c);
		return;
	}
	raw->c = c;
	raw->opened = opened;
	raw->bytes_max = -1;
	raw->began_ns = clock_monotonic_ns();
	c->raw = raw;
	stream_set_owner(c->down, on_down, raw);
	c->guest->usage.requests++;
	raw->ask = ask_new(c->guest, action_of(c), ACTION_BYTES, on_answer, raw);
	if (raw->ask == NULL)
		refuse(
		    raw, NULL, "nobody decides: the arbiter is gone, or too much is asked", NULL);
}

/* ---- the policy changed ---- */

static void
on_answer_again(struct ask *ask, void *data)
{
	struct raw *raw = data;
	if (ask_state(ask) == ASK_HELD)
		return; /* it goes on until people say no, or their time is over */
	if (ask_state(ask) != ASK_GO) {
		refuse(raw, NULL, ask_reason(ask), ask_needed(ask));
		return;
	}
	settle(raw, NULL);
	raw->ask = TAKE_PTR(raw->again);
}

void
raw_ask_again(struct connection *c)
{
	struct raw *raw = c->raw;
	raw->again = ask_free(raw->again);
	if (raw->ask == NULL || ask_state(raw->ask) != ASK_GO)
		return; /* what is not decided yet is decided by what is active then */
	raw->again = ask_new(c->guest, action_of(c), ACTION_BYTES, on_answer_again, raw);
	if (raw->again == NULL)
		refuse(raw, NULL, "the policy changed, and nobody decides", NULL);
}
