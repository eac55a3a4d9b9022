/* The decision table of addresses.
 *
 * Without pins: public addresses, and of these none of this host's own. With pins: what lies in one of them, except that
 * a wide one does not mean everything in it. Where an address leads to the host itself, to a cloud's metadata, or to
 * another address in disguise, the pin must say so: */
#include "dialer/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_BITS 128
#define IPV4_8 (96 + 8)

enum pin_needed {
	PIN_NEVER,    /* nothing to connect to, whatever a rule says */
	PIN_SINGLE,   /* that very address */
	PIN_LOOPBACK, /* a network within 127.0.0.0/8, or ::1 */
	PIN_ANY,      /* any network that has it */
	PIN_NONE,     /* permitted without one */
};

static const enum pin_needed needed[ADDRESS_CLASSES] = {
    [ADDRESS_PUBLIC] = PIN_NONE,
    [ADDRESS_METADATA] = PIN_SINGLE,
    [ADDRESS_UNSPECIFIED] = PIN_NEVER, /* the kernel takes it for loopback */
    [ADDRESS_LOOPBACK] = PIN_LOOPBACK,
    [ADDRESS_PRIVATE] = PIN_ANY,
    [ADDRESS_UNIQUE_LOCAL] = PIN_ANY,
    [ADDRESS_SITE_LOCAL] = PIN_ANY,
    [ADDRESS_LINK_LOCAL] = PIN_ANY,
    [ADDRESS_SHARED] = PIN_ANY,
    [ADDRESS_MULTICAST] = PIN_NEVER,
    [ADDRESS_BROADCAST] = PIN_NEVER,
    [ADDRESS_DOCUMENTATION] = PIN_ANY,
    [ADDRESS_BENCHMARK] = PIN_ANY,
    [ADDRESS_PROTOCOL] = PIN_ANY,
    [ADDRESS_RESERVED] = PIN_ANY,
    [ADDRESS_NAT64] = PIN_SINGLE,
    [ADDRESS_6TO4] = PIN_SINGLE,
    [ADDRESS_TEREDO] = PIN_SINGLE,
    [ADDRESS_COMPATIBLE] = PIN_SINGLE,
    [ADDRESS_DISCARD] = PIN_NEVER,
    [ADDRESS_SEGMENT] = PIN_SINGLE,
    [ADDRESS_RELAY] = PIN_ANY,
};

/* TEXT with the bits below its mask cleared: a policy may be written so, and means the network. */
static int
pin_read(const char *text, struct cidr *ret)
{
	char plain[ADDRESS_TEXT + 8], address_text[ADDRESS_TEXT];
	uint8_t address[16];
	const char *slash = strchr(text, '/');
	if (cidr_parse(text, ret) == 0)
		return 0;
	if (slash == NULL || slash - text >= ADDRESS_TEXT)
		return -EINVAL;
	(void)snprintf(plain, sizeof(plain), "%.*s", (int)(slash - text), text);
	if (address_parse_any(plain, address) < 0)
		return -EINVAL;
	size_t most = address_is_ipv4(address) ? 32 : ALL_BITS, bits = 0;
	if (strspn(slash + 1, "0123456789") != strlen(slash + 1) || strlen(slash + 1) > 3)
		return -EINVAL;
	bits = strtoul(slash + 1, NULL, 10);
	for (size_t i = bits + ALL_BITS - most; i < ALL_BITS; i++)
		address[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	address_format(address, address_text);
	(void)snprintf(plain, sizeof(plain), "%s/%s", address_text, slash + 1);
	return cidr_parse(plain, ret);
}

int
pins_read(const struct json *addresses, struct pins *ret)
{
	struct pins pins = {.given = addresses != NULL, .n = json_len(addresses)};
	if (!pins.given || pins.n == 0) {
		*ret = pins;
		return 0;
	}
	pins.items = calloc(pins.n, sizeof(*pins.items));
	if (pins.items == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < pins.n; i++) {
		if (pin_read(json_str(json_at(addresses, i), ""), &pins.items[i]) == 0)
			continue;
		pins_done(&pins);
		return -EINVAL;
	}
	*ret = pins;
	return 0;
}

void
pins_done(struct pins *pins)
{
	free(pins->items);
	*pins = (struct pins){.given = false};
}

/* Whether PIN, which contains an address that needs NEED, says enough. */
static bool
pin_suffices(const struct cidr *pin, enum pin_needed need)
{
	if (need == PIN_SINGLE)
		return pin->bits == ALL_BITS;
	if (need == PIN_LOOPBACK)
		return pin->bits == ALL_BITS || (pin->ipv4 && pin->bits >= IPV4_8);
	return need != PIN_NEVER;
}

static const char *
check_pinned(
    const uint8_t address[16], const struct pins *pins, enum pin_needed need, const char *otherwise)
{
	bool inside = false;
	for (size_t i = 0; i < pins->n; i++) {
		if (!cidr_contains(&pins->items[i], address))
			continue;
		if (pin_suffices(&pins->items[i], need))
			return NULL;
		inside = true;
	}
	return inside ? otherwise : "none of the addresses that the rule names";
}

const char *
check_address(const uint8_t address[16], const struct pins *pins, bool own)
{
	enum address_class class = address_classify(address);
	enum pin_needed need = (unsigned)class < ADDRESS_CLASSES ? needed[class] : PIN_NEVER;
	const char *what = address_class_name(class);
	if (own && need >= PIN_ANY) {
		need = PIN_SINGLE;
		what = "an address of this host itself";
	}
	if (pins->given)
		return check_pinned(address, pins, need, what);
	return need == PIN_NONE ? NULL : what;
}
