/* A gateway that was taken over, or an arbiter that decides wrongly, against rf-dialer: a real one, which we start, to
 * which we are the supervisor, the arbiter and the gateway. Its locks: it wants a ticket of the arbiter's, and it looks
 * at each address itself. Open means: the ticket is as the arbiter made it; it pins the host's loopback. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "ipc/messages.h"
#include "ipc/ticket.h"
#include "prove/attacks/reach.h"
#include "prove/attacks/talk.h"

#define GATEWAY 1
#define ANOTHER 2
#define LIFE_MS 60000

struct bench {
	const struct fixtures *f;
	struct program dialer;
	int arbiter, gateway;
	uint8_t key[TICKET_KEY_BYTES];
	bool keyed;
};

static void
send_key(struct bench *b)
{
	char text[2 * TICKET_KEY_BYTES + 1];
	_cleanup_json_ struct json *body = json_new_object();
	hex_encode(b->key, sizeof(b->key), text);
	(void)json_set_str(body, "key", text);
	if (msg_send(b->arbiter, MSG_TICKET_KEY, 0, body, NULL, 0) < 0)
		finish(cannot("rf-dialer does not listen"));
}

static struct bench
open_bench(const struct fixtures *f, bool keyed)
{
	struct bench b = {.f = f};
	char config[80];
	(void)snprintf(config, sizeof(config), "network:\n  resolvers: [127.0.0.1:%s]\n",
	    fixture(f, "resolver"));
	memset(b.key, 0x5a, sizeof(b.key));
	b.dialer = start_program(f, "rf-dialer", config, -1, -1);
	b.arbiter = introduce(&b.dialer, "arbiter", -1);
	if (keyed)
		send_key(&b);
	b.gateway = introduce(&b.dialer, "gateway", GATEWAY);
	return b;
}

/* What the arbiter would sign: one connection to HOST, with what the second lock wants if that is open. */
static struct ticket
ticket_for(const struct bench *b, const char *host)
{
	struct ticket t = {.id = "a-ticket",
	    .gateway = GATEWAY,
	    .sandbox = "a-sandbox",
	    .action_id = "an-action",
	    .port = (int)fixture_number(b->f, "tcp"),
	    .expires_ms = clock_wall_ms() + LIFE_MS,
	    .connections = 1};
	(void)snprintf(t.host, sizeof(t.host), "%s", host);
	if (is_open(b->f, "pins")) {
		t.addresses = json_new_array();
		(void)json_push(t.addresses, json_new_string("127.0.0.0/8"));
		(void)json_push(t.addresses, json_new_string("::1/128"));
	}
	return t;
}

/* MSG_DIAL's body; signed with KEY. TICKET is let go. */
static struct json *
sign(struct ticket *ticket, const uint8_t key[TICKET_KEY_BYTES])
{
	struct json *body = json_new_object(), *object = NULL;
	char mac[SHA256_HEX];
	if (ticket_sign(key, ticket, &object, mac) < 0)
		finish(cannot("no ticket can be made"));
	(void)json_set(body, "ticket", object);
	(void)json_set_str(body, "mac", mac);
	ticket_done(ticket);
	return body;
}

/* Dials with BODY, which is let go. Whether the canary answered; what the dialer said else in ERR. */
static bool
dial(const struct bench *b, struct json *body, struct error *err)
{
	struct msg m = MSG_INIT;
	int r = ask_program(b->gateway, MSG_DIAL, body, NULL, 0, &m, err);
	json_free(body);
	_cleanup_close_ int fd = r == 0 && m.type == MSG_DIALED ? msg_take_fd(&m, 0) : -1;
	/* It comes as the dialer has it: not waiting. */
	bool yes = fd >= 0 && fcntl(fd, F_SETFL, 0) == 0 && says_canary(fd);
	msg_done(&m);
	return yes;
}

static enum attack_result
conclude(struct bench *b, bool reached, const struct error *err)
{
	bool lives = end_program(&b->dialer);
	(void)close(b->arbiter);
	(void)close(b->gateway);
	errno = 0;
	if (reached)
		return answer(true, "connected to the host's loopback");
	/* Only its own word counts: not that it died, or could not. */
	if (!lives ||
	    (strcmp(err->code, "ticket_refused") != 0 && strcmp(err->code, "address_refused") != 0))
		return cannot(err->message[0] != 0 ? err->message : "rf-dialer ended");
	return held(err->message);
}

static enum attack_result
present(struct bench *b, struct json *body)
{
	struct error err = {.code = ""};
	bool reached = dial(b, body, &err);
	return conclude(b, reached, &err);
}

/* ---- tickets ---- */

static enum attack_result
dial_without(const struct fixtures *f)
{
	struct bench b = open_bench(f, true);
	struct ticket t = ticket_for(&b, INSIDE);
	struct json *body = sign(&t, b.key);
	if (!is_open(f, "ticket"))
		json_unset(body, "mac");
	return present(&b, body);
}

static enum attack_result
dial_forged(const struct fixtures *f)
{
	static const uint8_t ours[TICKET_KEY_BYTES] = {1, 2, 3};
	struct bench b = open_bench(f, true);
	struct ticket t = ticket_for(&b, INSIDE);
	return present(&b, sign(&t, is_open(f, "ticket") ? b.key : ours));
}

/* A ticket for what is permitted, which is then written over. */
static enum attack_result
dial_altered(const struct fixtures *f, const char *member, struct json *value)
{
	struct bench b = open_bench(f, true);
	struct ticket t = ticket_for(&b, INSIDE);
	struct json *body;
	if (is_open(f, "ticket")) {
		body = sign(&t, b.key);
		json_free(value);
	} else {
		if (strcmp(member, "host") == 0)
			(void)snprintf(t.host, sizeof(t.host), "%s", RAW);
		if (strcmp(member, "port") == 0)
			t.port = 443;
		if (strcmp(member, "expires_ms") == 0)
			t.expires_ms = clock_wall_ms() - 1000;
		body = sign(&t, b.key);
		struct json *object = json_detach(body, "ticket");
		(void)json_set(object, member, value);
		(void)json_set(body, "ticket", object);
	}
	return present(&b, body);
}

static enum attack_result
dial_other_host(const struct fixtures *f)
{
	return dial_altered(f, "host", json_new_string(INSIDE));
}

static enum attack_result
dial_other_port(const struct fixtures *f)
{
	return dial_altered(f, "port", json_new_int((int64_t)fixture_number(f, "tcp")));
}

static enum attack_result
dial_added_pin(const struct fixtures *f)
{
	struct json *pins = json_new_array();
	(void)json_push(pins, json_new_string("127.0.0.1/32"));
	return dial_altered(f, "addresses", pins);
}

static enum attack_result
dial_prolonged(const struct fixtures *f)
{
	return dial_altered(f, "expires_ms", json_new_int(clock_wall_ms() + LIFE_MS));
}

static enum attack_result
dial_expired(const struct fixtures *f)
{
	struct bench b = open_bench(f, true);
	struct ticket t = ticket_for(&b, INSIDE);
	if (!is_open(f, "ticket"))
		t.expires_ms = clock_wall_ms() - 1000;
	return present(&b, sign(&t, b.key));
}

static enum attack_result
dial_of_another(const struct fixtures *f)
{
	struct bench b = open_bench(f, true);
	struct ticket t = ticket_for(&b, INSIDE);
	if (!is_open(f, "ticket"))
		t.gateway = ANOTHER;
	return present(&b, sign(&t, b.key));
}

static enum attack_result
dial_again(const struct fixtures *f)
{
	struct error err = {.code = ""};
	struct bench b = open_bench(f, true);
	struct ticket t = ticket_for(&b, INSIDE);
	t.connections = is_open(f, "ticket") ? 2 : 1;
	struct json *body = sign(&t, b.key);
	if (!dial(&b, json_copy(body), &err) && is_open(f, "pins")) {
		errno = 0;
		return cannot(err.message);
	}
	return present(&b, body);
}

static enum attack_result
dial_before_key(const struct fixtures *f)
{
	static const uint8_t nothing[TICKET_KEY_BYTES];
	struct bench b = open_bench(f, is_open(f, "ticket"));
	struct ticket t = ticket_for(&b, INSIDE);
	return present(&b, sign(&t, is_open(f, "ticket") ? b.key : nothing));
}

/* ---- addresses: everybody else says yes ---- */

static enum attack_result
dial_host(const struct fixtures *f, const char *host)
{
	struct bench b = open_bench(f, true);
	struct ticket t = ticket_for(&b, host);
	return present(&b, sign(&t, b.key));
}

static enum attack_result
dial_name(const struct fixtures *f)
{
	return dial_host(f, INSIDE);
}

static enum attack_result
dial_literal(const struct fixtures *f)
{
	return dial_host(f, "127.0.0.1");
}

static enum attack_result
dial_literal6(const struct fixtures *f)
{
	return dial_host(f, "::1");
}

static enum attack_result
dial_wide_pin(const struct fixtures *f)
{
	struct bench b = open_bench(f, true);
	struct ticket t = ticket_for(&b, INSIDE);
	if (!is_open(f, "pins")) {
		t.addresses = json_new_array();
		(void)json_push(t.addresses, json_new_string("0.0.0.0/0"));
		(void)json_push(t.addresses, json_new_string("::/0"));
	}
	return present(&b, sign(&t, b.key));
}

#define NEEDS (ITS_OWN_LOCKS | NEEDS_INTERNET | NEEDS_PROGRAMS)
#define BOTH                           \
	{                              \
		LOCK_TICKET, LOCK_PINS \
	}
#define TICKET              \
	{                   \
		LOCK_TICKET \
	}
#define PINS              \
	{                 \
		LOCK_PINS \
	}

const struct attack dialer_attacks[] = {
    {"dial_without", BOUNDARY_TAKEOVER, "a gateway dials without the arbiter's mac", BOTH,
	.needs = NEEDS, .run = RUN(dial_without)},
    {"dial_forged", BOUNDARY_TAKEOVER, "a gateway dials with a ticket that it signed itself", BOTH,
	.needs = NEEDS, .run = RUN(dial_forged)},
    {"dial_other_host", BOUNDARY_TAKEOVER, "a gateway writes another host on a ticket", BOTH,
	.needs = NEEDS, .run = RUN(dial_other_host)},
    {"dial_other_port", BOUNDARY_TAKEOVER, "a gateway writes another port on a ticket", BOTH,
	.needs = NEEDS, .run = RUN(dial_other_port)},
    {"dial_added_pin", BOUNDARY_TAKEOVER, "a gateway writes a private address on a ticket", BOTH,
	.needs = NEEDS, .run = RUN(dial_added_pin)},
    {"dial_prolonged", BOUNDARY_TAKEOVER, "a gateway writes a later end on a ticket", BOTH,
	.needs = NEEDS, .run = RUN(dial_prolonged)},
    {"dial_expired", BOUNDARY_TAKEOVER, "a gateway dials with a ticket that has expired", BOTH,
	.needs = NEEDS, .run = RUN(dial_expired)},
    {"dial_of_another", BOUNDARY_TAKEOVER, "a gateway dials with another gateway's ticket", BOTH,
	.needs = NEEDS, .run = RUN(dial_of_another)},
    {"dial_again", BOUNDARY_TAKEOVER, "a gateway dials twice with a ticket for once", BOTH,
	.needs = NEEDS, .run = RUN(dial_again)},
    {"dial_before_key", BOUNDARY_TAKEOVER, "a gateway dials before there is a key", BOTH,
	.needs = NEEDS, .run = RUN(dial_before_key)},
    {"dial_name", BOUNDARY_TAKEOVER, "a wrong yes reaches loopback, by name", PINS, .needs = NEEDS,
	.run = RUN(dial_name)},
    {"dial_literal", BOUNDARY_TAKEOVER, "a wrong yes reaches loopback, by address", PINS,
	.needs = NEEDS, .run = RUN(dial_literal)},
    {"dial_literal6", BOUNDARY_TAKEOVER, "a wrong yes reaches loopback, by address (IPv6)", PINS,
	.needs = NEEDS, .run = RUN(dial_literal6)},
    {"dial_wide_pin", BOUNDARY_TAKEOVER, "a pin for everything reaches loopback", PINS,
	.needs = NEEDS, .run = RUN(dial_wide_pin)},
    {0}};
