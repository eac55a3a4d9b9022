/* Dialing, securing and keeping connections. The dialer decides by the ticket alone where a connection may go; here
 * nothing can connect.
 *
 *     dialing ─MSG_DIALED→ connected ─(tls) SECURED→ handed out ─upstream_keep→ idle ─taken again, or closed */
#include "gateway/upstream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/messages.h"

#define IDLE_MS 15000
#define IDLE_MAX 64 /* of one guest */
#define SECURE_MS 15000
#define DIAL_MS 20000
#define VERIFIED_NS 300000000000LL
#define VERIFIED_MAX 64
#define KEY_MAX 480
#define DIALS_MAX 1024 /* under way: they share a conversation */
#define ADDRESS_MAX 64

struct upstream_dial {
	struct upstream_dial *next;
	struct guest *guest;
	uint32_t serial;
	bool tls;
	char host[256], address[ADDRESS_MAX];
	struct stream *stream; /* owned, while it is being secured */
	struct timer *timer;
	upstream_fn *fn;
	void *data;
	struct upstream_dial **place;
};

/* Kept for the next request. */
struct upstream {
	struct upstream *next;
	struct guest *guest;
	struct stream *stream;
	struct timer *timer;
	char key[KEY_MAX], address[ADDRESS_MAX];
};

static struct upstream_dial *dials;
static unsigned n_dials;

/* Which connections are alike: place, and the rule that let them be made. */
static void
key_of(const struct json *verdict, const struct upstream_target *target, char ret[KEY_MAX])
{
	const char *rule = json_get_str(json_get(verdict, "decision"), "rule", "");
	(void)snprintf(
	    ret, KEY_MAX, "%s:%d:%d:%.128s", target->host, target->port, target->tls, rule);
}

/* ---- kept ---- */

static void
idle_free(struct upstream *idle)
{
	struct upstream **at = &idle->guest->idle;
	while (*at != idle)
		at = &(*at)->next;
	*at = idle->next;
	idle->guest->n_idle--;
	idle->timer = timer_cancel(idle->timer);
	idle->stream = stream_free(idle->stream);
	free(idle);
}

/* Whatever an idle upstream says, it is of no use any more. */
static void
on_idle_event(struct stream *stream, enum stream_event event, void *data)
{
	(void)stream;
	if (event == STREAM_READABLE || event == STREAM_FAILED)
		idle_free(data);
}

static void
on_idle_late(struct timer *timer, void *data)
{
	struct upstream *idle = data;
	(void)timer;
	idle->timer = NULL;
	idle_free(idle);
}

void
upstream_keep(struct guest *guest, const struct json *verdict, const struct upstream_target *target,
    struct stream *stream, const char *address)
{
	size_t waiting;
	(void)stream_peek(stream, &waiting);
	struct upstream *idle = NULL;
	if (waiting == 0 && !stream_ended(stream) && stream_queued(stream) == 0 &&
	    stream_error(stream)[0] == 0 && guest->n_idle < IDLE_MAX)
		idle = calloc(1, sizeof(*idle));
	if (idle != NULL &&
	    loop_timer(guest->gateway->loop, IDLE_MS, on_idle_late, idle, &idle->timer) < 0) {
		free(idle);
		idle = NULL;
	}
	if (idle == NULL) {
		(void)stream_free(stream);
		return;
	}
	idle->guest = guest;
	idle->stream = stream;
	key_of(verdict, target, idle->key);
	(void)snprintf(idle->address, sizeof(idle->address), "%s", address);
	idle->next = guest->idle;
	guest->idle = idle;
	guest->n_idle++;
	stream_set_meter(stream, NULL);
	stream_set_owner(stream, on_idle_event, idle);
}

static bool
take_kept(struct guest *guest, const char *key, upstream_fn *fn, void *data)
{
	for (struct upstream *idle = guest->idle; idle != NULL; idle = idle->next) {
		char address[ADDRESS_MAX];
		if (strcmp(idle->key, key) != 0)
			continue;
		struct stream *stream = TAKE_PTR(idle->stream);
		memcpy(address, idle->address, sizeof(address));
		idle_free(idle);
		fn(stream, /* reused= */ true, address, NULL, data);
		return true;
	}
	return false;
}

/* ---- dialing ---- */

void
upstream_forget(struct upstream_dial *dial)
{
	if (dial == NULL)
		return;
	struct upstream_dial **at = &dials;
	while (*at != dial)
		at = &(*at)->next;
	*at = dial->next;
	n_dials--;
	*dial->place = NULL;
	dial->timer = timer_cancel(dial->timer);
	dial->stream = stream_free(dial->stream);
	free(dial);
}

static void
dial_failed(struct upstream_dial *dial, const struct error *err)
{
	upstream_fn *fn = dial->fn;
	void *data = dial->data;
	upstream_forget(dial);
	fn(NULL, false, "", err, data);
}

static void
dial_fail(struct upstream_dial *dial, const char *code, const char *message)
{
	struct error err;
	(void)error_set(&err, EIO, code, "%s", message);
	dial_failed(dial, &err);
}

static void
dial_done(struct upstream_dial *dial)
{
	upstream_fn *fn = dial->fn;
	void *data = dial->data;
	char address[ADDRESS_MAX];
	struct stream *stream = TAKE_PTR(dial->stream);
	memcpy(address, dial->address, sizeof(address));
	upstream_forget(dial);
	fn(stream, false, address, NULL, data);
}

static void
on_late(struct timer *timer, void *data)
{
	struct upstream_dial *dial = data;
	(void)timer;
	dial->timer = NULL;
	dial_fail(dial, "upstream_timeout",
	    dial->stream != NULL ? "the upstream does not answer to TLS in time"
				 : "the upstream cannot be reached in time");
}

static int
start_timer(struct upstream_dial *dial, int64_t ms)
{
	dial->timer = timer_cancel(dial->timer);
	return loop_timer(dial->guest->gateway->loop, ms, on_late, dial, &dial->timer);
}

static struct json *
dial_body(const struct json *verdict, const struct upstream_target *target)
{
	const struct json *ticket = json_get(verdict, "ticket");
	if (ticket == NULL)
		return NULL;
	struct json *body = json_new_object();
	(void)json_set(body, "ticket", json_copy(ticket));
	(void)json_set_str(body, "mac", json_get_str(verdict, "mac", ""));
	if (target->prefer != NULL)
		(void)json_set_str(body, "prefer", target->prefer);
	return body;
}

void
upstream_open(struct guest *guest, const struct json *verdict, const struct upstream_target *target,
    upstream_fn *fn, void *data, struct upstream_dial **place)
{
	struct conn *dialer = guest->gateway->dialer;
	char key[KEY_MAX];
	struct error err;
	key_of(verdict, target, key);
	if (!target->fresh && take_kept(guest, key, fn, data))
		return;
	struct json *body = dial_body(verdict, target);
	struct upstream_dial *dial =
	    dialer != NULL && body != NULL && n_dials < DIALS_MAX ? calloc(1, sizeof(*dial)) : NULL;
	if (dial != NULL) {
		dial->guest = guest;
		dial->place = place;
		*place = dial;
		dial->next = dials;
		dials = dial;
		n_dials++;
		dial->fn = fn;
		dial->data = data;
		dial->tls = target->tls;
		(void)snprintf(dial->host, sizeof(dial->host), "%s", target->host);
		dial->serial = conn_next_serial(dialer);
	}
	if (dial == NULL || start_timer(dial, DIAL_MS) < 0) {
		json_free(body);
		upstream_forget(dial);
		(void)error_set(&err, EIO, "dialer_lost",
		    dialer == NULL ? "the dialer is gone; it is being restarted"
				   : "too many connections are being made, or out of memory");
		fn(NULL, false, "", &err, data);
		return;
	}
	(void)conn_send_take(dialer, MSG_DIAL, dial->serial, body);
}

static struct upstream_dial *
dial_find(uint32_t serial)
{
	struct upstream_dial *dial = dials;
	while (dial != NULL && (dial->serial != serial || dial->stream != NULL))
		dial = dial->next;
	return dial;
}

static void
on_secure_event(struct stream *stream, enum stream_event event, void *data)
{
	struct upstream_dial *dial = data;
	if (event == STREAM_SECURED)
		dial_done(dial);
	else if (event == STREAM_FAILED) {
		char reason[256];
		(void)snprintf(reason, sizeof(reason), "%s", stream_error(stream));
		dial_fail(dial, "upstream_tls", reason);
	}
}

int
upstream_on_dialed(struct conn *conn, struct msg *m)
{
	struct upstream_dial *dial = dial_find(m->serial);
	(void)conn;
	if (dial == NULL)
		return 0; /* nobody waits any more: the descriptor is closed with the message */
	int fd = msg_take_fd(m, 0);
	if (fd < 0)
		return -EPROTO;
	(void)snprintf(
	    dial->address, sizeof(dial->address), "%s", json_get_str(m->body, "address", ""));
	struct loop *loop = dial->guest->gateway->loop;
	int r = stream_new(loop, fd, on_secure_event, dial, &dial->stream);
	if (r == 0 && !dial->tls) {
		dial_done(dial);
		return 0;
	}
	if (r == 0)
		r = start_timer(dial, SECURE_MS);
	if (r == 0)
		r = stream_secure_client(dial->stream, dial->guest->gateway->trust, dial->host);
	if (r < 0)
		dial_fail(dial, "upstream_tls", "TLS to the upstream cannot be begun");
	return 0;
}

int
upstream_on_refused(struct conn *conn, struct msg *m)
{
	struct upstream_dial *dial = dial_find(m->serial);
	struct error err;
	(void)conn;
	if (dial == NULL)
		return 0;
	msg_error_read(m->body, &err);
	dial_failed(dial, &err);
	return 0;
}

void
upstream_dialer_lost(struct gateway *gateway)
{
	(void)gateway;
	for (struct upstream_dial *dial = dials; dial != NULL;) {
		if (dial->stream != NULL) {
			dial = dial->next;
			continue;
		}
		dial_fail(dial, "dialer_lost", "the dialer ended; it is being restarted");
		dial = dials; /* anything may have changed */
	}
}

/* ---- certificates that were good a moment ago ---- */

struct verified {
	struct verified *next;
	int64_t at_ns;
	char key[KEY_MAX];
};

static void
verified_key(const char *host, int port, const char *address, char ret[KEY_MAX])
{
	(void)snprintf(ret, KEY_MAX, "%s:%d:%s", host, port, address);
}

bool
upstream_is_verified(const struct guest *guest, const char *host, int port, const char *address)
{
	char key[KEY_MAX];
	verified_key(host, port, address, key);
	for (const struct verified *v = guest->verified; v != NULL; v = v->next)
		if (strcmp(v->key, key) == 0)
			return clock_monotonic_ns() - v->at_ns < VERIFIED_NS;
	return false;
}

void
upstream_verified(struct guest *guest, const char *host, int port, const char *address)
{
	char key[KEY_MAX];
	unsigned n = 0;
	verified_key(host, port, address, key);
	struct verified **at = &guest->verified;
	while (*at != NULL && strcmp((*at)->key, key) != 0 && ++n < VERIFIED_MAX)
		at = &(*at)->next;
	struct verified *v = *at; /* the same, or the one at the end, which gives way */
	if (v != NULL)
		*at = v->next;
	else if ((v = calloc(1, sizeof(*v))) == NULL)
		return; /* verified again next time */
	memcpy(v->key, key, sizeof(key));
	v->at_ns = clock_monotonic_ns();
	v->next = guest->verified;
	guest->verified = v;
}

void
upstreams_drop_idle(struct guest *guest)
{
	while (guest->idle != NULL)
		idle_free(guest->idle);
}

void
upstreams_done(struct guest *guest)
{
	upstreams_drop_idle(guest);
	for (struct upstream_dial *dial = dials, *next; dial != NULL; dial = next) {
		next = dial->next;
		if (dial->guest == guest)
			upstream_forget(dial);
	}
	while (guest->verified != NULL) {
		struct verified *v = guest->verified;
		guest->verified = v->next;
		free(v);
	}
}
