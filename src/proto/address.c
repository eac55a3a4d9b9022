#include "proto/address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IPV4_BITS 96 /* that IPv4 has before it in sixteen bytes */

/* ---- what an address is for ---- */

struct range {
	uint8_t network[16];
	unsigned bits;
	enum address_class class;
};

#define HIGH(word) (uint8_t)((word) >> 8), (uint8_t)(word)
#define V6(a, b, c, d, e, f, g, h)                                                     \
	{                                                                              \
		HIGH(a), HIGH(b), HIGH(c), HIGH(d), HIGH(e), HIGH(f), HIGH(g), HIGH(h) \
	}
#define V4(a, b, c, d)                                               \
	{                                                            \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d \
	}

/* The first that contains an address says its class; so the narrow ones stand before the wide ones. */
static const struct range ipv4_ranges[] = {
    /* AWS, Azure, Google, Oracle, OpenStack, DigitalOcean, Hetzner and others; beside it: name and time service, ECS
     * and EKS credentials, Linode, Tencent, Scaleway (whose links are 169.254/16 as a whole) */
    {V4(169, 254, 169, 0), IPV4_BITS + 24, ADDRESS_METADATA},
    {V4(169, 254, 170, 0), IPV4_BITS + 24, ADDRESS_METADATA},
    {V4(169, 254, 0, 23), 128, ADDRESS_METADATA},
    {V4(169, 254, 42, 42), 128, ADDRESS_METADATA},
    {V4(100, 100, 100, 200), 128, ADDRESS_METADATA}, /* Alibaba */
    {V4(100, 96, 0, 96), 128, ADDRESS_METADATA},     /* Volcano Engine */
    {V4(168, 63, 129, 16), 128, ADDRESS_METADATA},   /* Azure's platform, a public address */
    {V4(192, 0, 0, 192), 128, ADDRESS_METADATA},     /* Oracle, the older one */
    {V4(192, 80, 8, 124), 128, ADDRESS_METADATA},    /* Equinix Metal, a public address */
    {V4(0, 0, 0, 0), IPV4_BITS + 8, ADDRESS_UNSPECIFIED},
    {V4(10, 0, 0, 0), IPV4_BITS + 8, ADDRESS_PRIVATE},
    {V4(100, 64, 0, 0), IPV4_BITS + 10, ADDRESS_SHARED},
    {V4(127, 0, 0, 0), IPV4_BITS + 8, ADDRESS_LOOPBACK},
    {V4(169, 254, 0, 0), IPV4_BITS + 16, ADDRESS_LINK_LOCAL},
    {V4(172, 16, 0, 0), IPV4_BITS + 12, ADDRESS_PRIVATE},
    {V4(192, 0, 0, 0), IPV4_BITS + 24, ADDRESS_PROTOCOL},
    {V4(192, 0, 2, 0), IPV4_BITS + 24, ADDRESS_DOCUMENTATION},
    {V4(192, 31, 196, 0), IPV4_BITS + 24, ADDRESS_RELAY}, /* AS112, RFC 7535 */
    {V4(192, 52, 193, 0), IPV4_BITS + 24, ADDRESS_RELAY}, /* AMT, RFC 7450 */
    {V4(192, 88, 99, 0), IPV4_BITS + 24, ADDRESS_6TO4},
    {V4(192, 168, 0, 0), IPV4_BITS + 16, ADDRESS_PRIVATE},
    {V4(192, 175, 48, 0), IPV4_BITS + 24, ADDRESS_RELAY}, /* AS112, RFC 7534 */
    {V4(198, 18, 0, 0), IPV4_BITS + 15, ADDRESS_BENCHMARK},
    {V4(198, 51, 100, 0), IPV4_BITS + 24, ADDRESS_DOCUMENTATION},
    {V4(203, 0, 113, 0), IPV4_BITS + 24, ADDRESS_DOCUMENTATION},
    {V4(224, 0, 0, 0), IPV4_BITS + 4, ADDRESS_MULTICAST},
    {V4(255, 255, 255, 255), 128, ADDRESS_BROADCAST},
    {V4(240, 0, 0, 0), IPV4_BITS + 4, ADDRESS_RESERVED},
    {V4(0, 0, 0, 0), IPV4_BITS, ADDRESS_PUBLIC},
};

static const struct range ipv6_ranges[] = {
    {V6(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0), 32, ADDRESS_METADATA},            /* AWS */
    {V6(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0), 32, ADDRESS_METADATA},            /* Google */
    {V6(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128, ADDRESS_METADATA}, /* Oracle */
    {V6(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1), 128, ADDRESS_METADATA},      /* Linode */
    {V6(0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x42), 128, ADDRESS_METADATA},        /* Scaleway */
    {V6(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128, ADDRESS_METADATA},      /* OpenStack */
    {V6(0, 0, 0, 0, 0, 0, 0, 0), 128, ADDRESS_UNSPECIFIED},
    {V6(0, 0, 0, 0, 0, 0, 0, 1), 128, ADDRESS_LOOPBACK},
    {V6(0, 0, 0, 0, 0, 0, 0, 0), 96, ADDRESS_COMPATIBLE},      /* RFC 4291, 2.5.5.1 */
    {V6(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, ADDRESS_COMPATIBLE}, /* translated, RFC 2765 */
    {V6(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, ADDRESS_NAT64},   /* RFC 6052 */
    {V6(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, ADDRESS_NAT64},   /* RFC 8215 */
    {V6(0x100, 0, 0, 0, 0, 0, 0, 0), 64, ADDRESS_DISCARD},
    {V6(0x100, 0, 0, 1, 0, 0, 0, 0), 64, ADDRESS_DISCARD},
    {V6(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, ADDRESS_TEREDO},
    {V6(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, ADDRESS_BENCHMARK},
    {V6(0x2001, 3, 0, 0, 0, 0, 0, 0), 32, ADDRESS_RELAY},     /* AMT */
    {V6(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48, ADDRESS_RELAY}, /* AS112 */
    {V6(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, ADDRESS_PROTOCOL},
    {V6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, ADDRESS_DOCUMENTATION},
    {V6(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, ADDRESS_6TO4},
    {V6(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, ADDRESS_RELAY}, /* AS112 */
    {V6(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, ADDRESS_DOCUMENTATION}, /* RFC 9637 */
    {V6(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, ADDRESS_PUBLIC},
    {V6(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, ADDRESS_SEGMENT},
    {V6(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, ADDRESS_UNIQUE_LOCAL},
    {V6(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, ADDRESS_LINK_LOCAL},
    {V6(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, ADDRESS_SITE_LOCAL},
    {V6(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, ADDRESS_MULTICAST},
};

static bool
prefix_equal(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - bits % 8)) == 0;
}

static enum address_class
classify_in(const struct range *ranges, size_t n, const uint8_t address[16])
{
	for (size_t i = 0; i < n; i++)
		if (prefix_equal(ranges[i].network, address, ranges[i].bits))
			return ranges[i].class;
	return ADDRESS_RESERVED;
}

enum address_class
address_classify(const uint8_t address[16])
{
	return address_is_ipv4(address) ? classify_in(ipv4_ranges, ARRAY_LEN(ipv4_ranges), address)
					: classify_in(ipv6_ranges, ARRAY_LEN(ipv6_ranges), address);
}

const char *address_class_name(enum address_class class)
{
	static const char *const names[ADDRESS_CLASSES] = {
	    [ADDRESS_PUBLIC] = "a public address",
	    [ADDRESS_METADATA] = "a cloud's metadata address",
	    [ADDRESS_UNSPECIFIED] = "an unspecified address",
	    [ADDRESS_LOOPBACK] = "a loopback address",
	    [ADDRESS_PRIVATE] = "a private address",
	    [ADDRESS_UNIQUE_LOCAL] = "a private (unique local) address",
	    [ADDRESS_SITE_LOCAL] = "a private (site-local) address",
	    [ADDRESS_LINK_LOCAL] = "a link-local address",
	    [ADDRESS_SHARED] = "a carrier's shared (100.64.0.0/10) address",
	    [ADDRESS_MULTICAST] = "a multicast address",
	    [ADDRESS_BROADCAST] = "the broadcast address",
	    [ADDRESS_DOCUMENTATION] = "an address for documentation",
	    [ADDRESS_BENCHMARK] = "an address for benchmarks",
	    [ADDRESS_PROTOCOL] = "an address of IETF protocol assignments",
	    [ADDRESS_RESERVED] = "a reserved address",
	    [ADDRESS_NAT64] = "a translated (NAT64) address",
	    [ADDRESS_6TO4] = "a translated (6to4) address",
	    [ADDRESS_TEREDO] = "a translated (Teredo) address",
	    [ADDRESS_COMPATIBLE] = "an IPv4 address inside IPv6",
	    [ADDRESS_DISCARD] = "a discard-only address",
	    [ADDRESS_SEGMENT] = "a segment-routing address",
	    [ADDRESS_RELAY] = "a relay's anycast address",
	};
	return (unsigned)class < ADDRESS_CLASSES ? names[class] : "an unknown address";
}

bool
address_is_ipv4(const uint8_t address[16])
{
	static const uint8_t mapped[16] = V4(0, 0, 0, 0);
	return prefix_equal(address, mapped, IPV4_BITS);
}

void
address_from_ipv4(const uint8_t ipv4[4], uint8_t ret[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	memcpy(ret, mapped, sizeof(mapped));
	memcpy(ret + 12, ipv4, 4);
}

/* ---- reading ---- */

/* Four decimal numbers without leading zeros and nothing more. */
static bool
parse_ipv4(const char *text, uint8_t ret[4])
{
	for (int i = 0; i < 4; i++) {
		unsigned value = 0, digits = 0;
		for (; *text >= '0' && *text <= '9'; text++, digits++) {
			if (digits > 0 && value == 0)
				return false;
			value = value * 10 + (unsigned)(*text - '0');
			if (value > 255)
				return false;
		}
		if (digits == 0 || (i < 3 && *text++ != '.'))
			return false;
		ret[i] = (uint8_t)value;
	}
	return *text == 0;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Up to four hexadecimal digits; where they end, or NULL. */
static const char *
parse_group(const char *text, unsigned *ret)
{
	unsigned value = 0, digits = 0;
	for (; hex_digit(*text) >= 0; text++) {
		if (++digits > 4)
			return NULL;
		value = value << 4 | (unsigned)hex_digit(*text);
	}
	*ret = value;
	return digits > 0 ? text : NULL;
}

/* Groups, "::" once, IPv4 in the place of the last two groups (RFC 4291, 2.2). */
static bool
parse_ipv6(const char *text, uint8_t ret[16])
{
	uint8_t bytes[16] = {0};
	size_t n = 0, gap = SIZE_MAX;
	if (text[0] == ':' && text[1] != ':')
		return false;
	while (*text != 0) {
		if (text[0] == ':' && text[1] == ':') {
			if (gap != SIZE_MAX)
				return false;
			gap = n;
			text += 2;
			if (*text == ':')
				return false;
			continue;
		}
		if (n > 0 && n != gap && *text++ != ':')
			return false;
		if (n <= 12 && parse_ipv4(text, bytes + n)) {
			n += 4;
			break;
		}
		unsigned group;
		text = n <= 14 ? parse_group(text, &group) : NULL;
		if (text == NULL)
			return false;
		bytes[n++] = (uint8_t)(group >> 8);
		bytes[n++] = (uint8_t)group;
	}
	if (gap == SIZE_MAX ? n != 16 : n > 14)
		return false;
	memset(ret, 0, 16);
	size_t before = gap == SIZE_MAX ? n : gap;
	memcpy(ret, bytes, before);
	memcpy(ret + 16 - (n - before), bytes + before, n - before);
	return true;
}

int
address_parse_any(const char *text, uint8_t ret[16])
{
	uint8_t ipv4[4];
	if (parse_ipv4(text, ipv4)) {
		address_from_ipv4(ipv4, ret);
		return 0;
	}
	return parse_ipv6(text, ret) ? 0 : -EINVAL;
}

int
address_parse(const char *text, uint8_t ret[16])
{
	char canonical[ADDRESS_TEXT];
	uint8_t address[16];
	if (address_parse_any(text, address) < 0)
		return -EINVAL;
	address_format(address, canonical);
	if (strcmp(canonical, text) != 0)
		return -EINVAL;
	memcpy(ret, address, sizeof(address));
	return 0;
}

/* ---- writing ---- */

/* The longest run of two or more zero groups, the first of several: where it begins, and its length. */
static int
longest_zeros(const uint8_t address[16], int *ret_len)
{
	int best = -1, best_len = 1;
	for (int i = 0; i < 8;) {
		int len = 0;
		while (
		    i + len < 8 && address[2 * (i + len)] == 0 && address[2 * (i + len) + 1] == 0)
			len++;
		if (len > best_len) {
			best = i;
			best_len = len;
		}
		i += len + 1;
	}
	*ret_len = best_len;
	return best;
}

void
address_format(const uint8_t address[16], char ret[ADDRESS_TEXT])
{
	if (address_is_ipv4(address)) {
		(void)snprintf(ret, ADDRESS_TEXT, "%u.%u.%u.%u", address[12], address[13],
		    address[14], address[15]);
		return;
	}
	int zeros_len, zeros = longest_zeros(address, &zeros_len);
	size_t n = 0;
	for (int i = 0; i < 8; i++) {
		if (i == zeros) {
			n += (size_t)snprintf(ret + n, ADDRESS_TEXT - n, "::");
			i += zeros_len - 1;
			continue;
		}
		const char *colon = i == 0 || i == zeros + zeros_len ? "" : ":";
		if (zeros < 0 && i > 0)
			colon = ":";
		unsigned group = (unsigned)address[2 * i] << 8 | address[2 * i + 1];
		n += (size_t)snprintf(ret + n, ADDRESS_TEXT - n, "%s%x", colon, group);
	}
}

/* ---- networks ---- */

int
cidr_parse(const char *text, struct cidr *ret)
{
	char host[ADDRESS_TEXT];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	struct cidr cidr = {.bits = 128};
	if (len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = 0;
	if (address_parse_any(host, cidr.network) < 0)
		return -EINVAL;
	cidr.ipv4 = address_is_ipv4(cidr.network);
	if (cidr.ipv4 && strchr(host, ':') != NULL)
		return -EINVAL; /* ::ffff:10.0.0.0/104: of which of the two would /8 be? */
	if (slash != NULL) {
		unsigned bits = 0, digits = 0, most = cidr.ipv4 ? 32 : 128;
		for (slash++; *slash >= '0' && *slash <= '9' && digits < 3; slash++, digits++)
			bits = bits * 10 + (unsigned)(*slash - '0');
		if (digits == 0 || *slash != 0 || bits > most ||
		    (digits > 1 && slash[-(int)digits] == '0'))
			return -EINVAL;
		cidr.bits = bits + 128 - most;
	}
	for (unsigned i = cidr.bits; i < 128; i++)
		if ((cidr.network[i / 8] >> (7 - i % 8) & 1) != 0)
			return -EINVAL;
	*ret = cidr;
	return 0;
}

bool
cidr_contains(const struct cidr *cidr, const uint8_t address[16])
{
	return cidr->ipv4 == address_is_ipv4(address) &&
	    prefix_equal(cidr->network, address, cidr->bits);
}
