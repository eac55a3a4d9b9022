/* Signing and checking tickets. The mac comes first: of a ticket that is not the arbiter's no other field is
 * looked at, so that whoever forges one learns nothing but that. An object with members that we do not know is
 * refused even if it is signed: it may say a limit that we would not hold. */
#include "ipc/ticket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (64 * 1024) /* bytes of a ticket's canonical text */

void
ticket_done(struct ticket *ticket)
{
	json_free(ticket->addresses);
	memset(ticket, 0, sizeof(*ticket));
}

/* ---- the mac ---- */

static int
object_mac(
    const uint8_t key[TICKET_KEY_BYTES], const struct json *object, uint8_t ret[SHA256_BYTES])
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, TEXT_MAX);
	int r = json_write(object, &text);
	if (r < 0)
		return r;
	hmac_sha256(key, TICKET_KEY_BYTES, text.data, text.len, ret);
	return 0;
}

/* Whether the two are equal, in a time that does not tell where they differ. */
static bool
macs_equal(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES])
{
	volatile uint8_t different = 0;
	for (size_t i = 0; i < SHA256_BYTES; i++)
		different |= a[i] ^ b[i];
	return different == 0;
}

/* ---- fields ---- */

static bool
is_word(const char *text, size_t len, size_t room)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return len > 0 && len < room;
}

static bool
addresses_are_valid(const struct json *addresses)
{
	if (json_type(addresses) != JSON_ARRAY || json_len(addresses) > TICKET_ADDRESSES_MAX)
		return false;
	for (size_t i = 0; i < json_len(addresses); i++) {
		const struct json *item = json_at(addresses, i);
		if (!is_word(json_str(item, ""), json_str_len(item), 64))
			return false;
	}
	return true;
}

static bool
is_valid(const struct ticket *t)
{
	return is_word(t->id, strlen(t->id), sizeof(t->id)) &&
	    is_word(t->sandbox, strlen(t->sandbox), sizeof(t->sandbox)) &&
	    is_word(t->action_id, strlen(t->action_id), sizeof(t->action_id)) &&
	    is_word(t->host, strlen(t->host), sizeof(t->host)) && t->port > 0 && t->port <= 65535 &&
	    t->connections > 0 && t->connections <= TICKET_CONNECTIONS_MAX && t->expires_ms > 0 &&
	    (t->addresses == NULL || addresses_are_valid(t->addresses));
}

int
ticket_sign(const uint8_t key[TICKET_KEY_BYTES], const struct ticket *ticket,
    struct json **ret_object, char ret_mac[SHA256_HEX])
{
	if (!is_valid(ticket))
		return -EINVAL;
	_cleanup_json_ struct json *object = json_new_object();
	(void)json_set_str(object, "id", ticket->id);
	(void)json_set_int(object, "gateway", ticket->gateway);
	(void)json_set_str(object, "sandbox", ticket->sandbox);
	(void)json_set_str(object, "action_id", ticket->action_id);
	(void)json_set_str(object, "host", ticket->host);
	(void)json_set_int(object, "port", ticket->port);
	if (ticket->addresses != NULL)
		(void)json_set(object, "addresses", json_copy(ticket->addresses));
	(void)json_set_int(object, "expires_ms", ticket->expires_ms);
	(void)json_set_int(object, "connections", ticket->connections);
	uint8_t mac[SHA256_BYTES];
	int r = object_mac(key, object, mac);
	if (r < 0)
		return r;
	hex_encode(mac, sizeof(mac), ret_mac);
	*ret_object = TAKE_PTR(object);
	return 0;
}

/* ---- checking ---- */

static int
refuse(struct error *err, const char *why)
{
	return error_set(err, EACCES, "ticket_refused", "the dialer refuses the ticket: %s", why);
}

static bool
read_text(const struct json *object, const char *name, char *ret, size_t room)
{
	const struct json *value = json_get(object, name);
	size_t len = json_str_len(value);
	if (!is_word(json_str(value, ""), len, room))
		return false;
	memcpy(ret, json_str(value, ""), len);
	ret[len] = '\0';
	return true;
}

static bool
read_number(const struct json *object, const char *name, int64_t max, int64_t *ret)
{
	*ret = json_get_int(object, name, -1);
	return *ret >= 0 && *ret <= max;
}

static bool
has_unknown_members(const struct json *object)
{
	static const char *const known[] = {"id", "gateway", "sandbox", "action_id", "host", "port",
	    "addresses", "expires_ms", "connections"};
	for (size_t i = 0; i < json_len(object); i++) {
		bool found = false;
		for (size_t k = 0; k < ARRAY_LEN(known); k++)
			found = found || strcmp(json_name_at(object, i), known[k]) == 0;
		if (!found)
			return true;
	}
	return false;
}

/* Everything but the addresses, which are copied last. */
static int
read_fields(const struct json *object, struct ticket *t, struct error *err)
{
	int64_t gateway, port, connections;
	bool good = !has_unknown_members(object) && read_text(object, "id", t->id, sizeof(t->id)) &&
	    read_text(object, "sandbox", t->sandbox, sizeof(t->sandbox)) &&
	    read_text(object, "action_id", t->action_id, sizeof(t->action_id)) &&
	    read_text(object, "host", t->host, sizeof(t->host)) &&
	    read_number(object, "gateway", UINT32_MAX, &gateway) &&
	    read_number(object, "port", 65535, &port) && port > 0 &&
	    read_number(object, "connections", TICKET_CONNECTIONS_MAX, &connections) &&
	    connections > 0 && read_number(object, "expires_ms", JSON_INT_MAX, &t->expires_ms);
	if (!good)
		return refuse(err, "it is malformed");
	t->gateway = (unsigned)gateway;
	t->port = (int)port;
	t->connections = (int)connections;
	return 0;
}

static int
read_ticket(const struct json *object, unsigned gateway, int64_t now_ms, struct ticket *t,
    struct error *err)
{
	const struct json *addresses = json_get(object, "addresses");
	int r = read_fields(object, t, err);
	if (r < 0)
		return r;
	if (addresses != NULL && !addresses_are_valid(addresses))
		return refuse(err, "it is malformed");
	if (t->gateway != gateway)
		return refuse(err, "it is another gateway's");
	if (t->expires_ms <= now_ms)
		return refuse(err, "it has expired");
	if (t->expires_ms - now_ms > TICKET_LIFETIME_MAX_MS)
		return refuse(err, "it would live too long");
	if (addresses == NULL)
		return 0;
	t->addresses = json_copy(addresses);
	return t->addresses == NULL ? error_set(err, ENOMEM, "no_memory", "out of memory") : 0;
}

int
ticket_check(const uint8_t key[TICKET_KEY_BYTES], const struct json *object, const char *mac,
    unsigned gateway, int64_t now_ms, struct ticket *ret, struct error *err)
{
	uint8_t claimed[SHA256_BYTES], ours[SHA256_BYTES];
	if (object == NULL || json_type(object) != JSON_OBJECT || mac == NULL ||
	    strlen(mac) != SHA256_HEX - 1 || hex_decode(mac, SHA256_BYTES, claimed) < 0)
		return refuse(err, "it is malformed");
	int r = object_mac(key, object, ours);
	if (r == -ENOMEM)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	if (r < 0)
		return refuse(err, "it is malformed");
	if (!macs_equal(claimed, ours))
		return refuse(err, "the arbiter did not sign it");
	struct ticket t = {.port = 0};
	r = read_ticket(object, gateway, now_ms, &t, err);
	if (r == 0)
		*ret = t;
	return r;
}
