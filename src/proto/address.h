/* IP addresses: their one spelling, and what each is for by the registries: which are nobody's business but the host's.
 *
 * An address is 16 bytes in network order; IPv4 is ::ffff:a.b.c.d (RFC 4291, 2.5.5.2). Who dials asks here first:
 * everything but ADDRESS_PUBLIC is refused unless a rule pins that very address. Sources: IANA's special-purpose
 * registries for IPv4 and IPv6 (RFC 6890, as of 2025) and multicast, and what the clouds publish of their metadata. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

#define ADDRESS_TEXT 46 /* with the NUL */

enum address_class {
	ADDRESS_PUBLIC,       /* an ordinary unicast address */
	ADDRESS_METADATA,     /* a cloud's metadata or platform service, wherever it lies */
	ADDRESS_UNSPECIFIED,  /* 0.0.0.0/8, :: */
	ADDRESS_LOOPBACK,     /* 127.0.0.0/8, ::1 */
	ADDRESS_PRIVATE,      /* 10/8, 172.16/12, 192.168/16 (RFC 1918) */
	ADDRESS_UNIQUE_LOCAL, /* fc00::/7 (RFC 4193) */
	ADDRESS_SITE_LOCAL,   /* fec0::/10 (RFC 3879) */
	ADDRESS_LINK_LOCAL,   /* 169.254/16, fe80::/10 */
	ADDRESS_SHARED,       /* 100.64/10: carrier-grade NAT (RFC 6598) */
	ADDRESS_MULTICAST,    /* 224/4, ff00::/8 */
	ADDRESS_BROADCAST,    /* 255.255.255.255 */
	ADDRESS_DOCUMENTATION, /* 192.0.2/24, 198.51.100/24, 203.0.113/24, 2001:db8::/32, 3fff::/20 */
	ADDRESS_BENCHMARK,     /* 198.18/15, 2001:2::/48: also the sandboxes' synthetic ones */
	ADDRESS_PROTOCOL, /* 192.0.0/24, 2001::/23: IETF protocol assignments; ORCHID among them */
	ADDRESS_RESERVED, /* 240/4, and all of IPv6 that nobody has been given (outside 2000::/3) */
	ADDRESS_NAT64,    /* 64:ff9b::/96, 64:ff9b:1::/48: another address, translated */
	ADDRESS_6TO4,     /* 2002::/16, and the relays' 192.88.99/24 */
	ADDRESS_TEREDO,   /* 2001::/32 */
	ADDRESS_COMPATIBLE, /* ::a.b.c.d/96, ::ffff:0:a.b.c.d/96: IPv4 in other clothes */
	ADDRESS_DISCARD,    /* 100::/64, 100:0:0:1::/64 (RFC 6666, RFC 9780) */
	ADDRESS_SEGMENT,    /* 5f00::/16: SRv6 segment identifiers (RFC 9602) */
	ADDRESS_RELAY, /* anycast that leads to a service of the network it is used in: AS112, AMT */
	ADDRESS_CLASSES,
};

/* Of the sixteen bytes at ADDRESS; IPv4-mapped ones as the IPv4 address inside. */
enum address_class address_classify(const uint8_t address[16]);
/* For a person, with its article: "a link-local address". */
const char *address_class_name(enum address_class class);

bool address_is_ipv4(const uint8_t address[16]);
void address_from_ipv4(const uint8_t ipv4[4], uint8_t ret[16]);

/* Reads the canonical spelling only: four decimal numbers without leading zeros, or RFC 5952's (lower case, the longest
 * run of zeros shortened). IPv4-mapped IPv6 is refused: it has a shorter spelling. No brackets, no zone, no port.
 * 0 or -EINVAL. */
int address_parse(const char *text, uint8_t ret[16]) MUST_CHECK;
/* The same with any spelling that RFC 4291, 2.2 permits (for what a person configured); IPv4 is strict here too. */
int address_parse_any(const char *text, uint8_t ret[16]) MUST_CHECK;
/* RFC 5952; IPv4 as four numbers. */
void address_format(const uint8_t address[16], char ret[ADDRESS_TEXT]);

/* A network. IPv4's never contain IPv6 addresses nor the other way round. */
struct cidr {
	uint8_t network[16];
	unsigned bits; /* of the sixteen bytes: IPv4's /8 is 104 */
	bool ipv4;
};
/* "10.0.0.0/8", "fd00::/8", "::1" (that address alone); bits below the mask have to be zero. 0 or -EINVAL. */
int cidr_parse(const char *text, struct cidr *ret) MUST_CHECK;
bool cidr_contains(const struct cidr *cidr, const uint8_t address[16]);
