/* Tickets: whatever an object says, with a mac that is right for it, it is refused or it is a ticket within every bound
 * whose every field was signed; with any other mac it is refused. Its addresses are networks or refused whole. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dialer/check.h"
#include "ipc/ticket.h"

#define NOW 1000000000000LL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[TICKET_KEY_BYTES] = {1};

static void
check_pins(const struct ticket *t)
{
	struct pins pins;
	uint8_t metadata[16];
	if (pins_read(t->addresses, &pins) < 0)
		return;
	if (pins.given != (t->addresses != NULL) || pins.n != json_len(t->addresses))
		abort();
	/* Only a pin of that very address permits it. */
	address_from_ipv4((const uint8_t[]){169, 254, 169, 254}, metadata);
	bool single = false;
	for (size_t i = 0; i < pins.n; i++)
		single = single ||
		    (pins.items[i].bits == 128 && cidr_contains(&pins.items[i], metadata));
	if ((check_address(metadata, &pins, false) == NULL) != single)
		abort();
	pins_done(&pins);
}

static void
check_signed(const struct json *object, const char *mac, const char *wrong)
{
	struct ticket t;
	struct error err = {.code = ""};
	if (ticket_check(key, object, wrong, 7, NOW, &t, &err) != -EACCES)
		abort();
	if (ticket_check(key, object, mac, 7, NOW, &t, &err) < 0) {
		if (strcmp(err.code, "ticket_refused") != 0)
			abort();
		return;
	}
	struct json *again = NULL;
	char again_mac[SHA256_HEX];
	if (t.gateway != 7 || t.expires_ms <= NOW || t.expires_ms > NOW + TICKET_LIFETIME_MAX_MS ||
	    ticket_sign(key, &t, &again, again_mac) < 0 || !json_equal(object, again) ||
	    strcmp(mac, again_mac) != 0)
		abort();
	check_pins(&t);
	json_free(again);
	ticket_done(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ struct json *object = NULL;
	_cleanup_buf_ struct buf text;
	struct error err;
	uint8_t bytes[SHA256_BYTES];
	char mac[SHA256_HEX], wrong[SHA256_HEX];
	buf_init(&text, 1 << 20);
	if (json_parse((const char *)data, size, &object, &err) < 0 ||
	    json_write(object, &text) < 0)
		return 0;
	hmac_sha256(key, sizeof(key), text.data, text.len, bytes);
	hex_encode(bytes, sizeof(bytes), mac);
	bytes[size % SHA256_BYTES] ^= 1;
	hex_encode(bytes, sizeof(bytes), wrong);
	check_signed(object, mac, wrong);
	return 0;
}
