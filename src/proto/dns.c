#include "proto/dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/address.h"

#define LABEL_MAX 63
#define NAME_MAX_BYTES 255
#define OPT_BYTES 11
#define QUESTION_AT DNS_HEADER

enum {
	FLAG_ANSWER = 0x8000,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RECURSION_DESIRED = 0x0100,
	FLAG_RECURSION_AVAILABLE = 0x0080,
	FLAG_CHECKING_DISABLED = 0x0010,
};

static uint16_t
number_at(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* ---- the question ---- */

/* The name at *AT of the LEN bytes; *AT then is behind it. Its text, with dots, in TEXT; *RET_PLAIN: no label contains a
 * dot or NUL, so that the text says what the labels say. False: it does not end, is too long or is compressed. */
static bool
read_name(const uint8_t *bytes, size_t len, size_t *at, char text[NAME_MAX_BYTES + 1],
    size_t *ret_len, bool *ret_plain)
{
	size_t n = 0, wire = 0;
	*ret_plain = true;
	for (;;) {
		if (*at >= len)
			return false;
		size_t label = bytes[(*at)++];
		wire += label + 1;
		if (label > LABEL_MAX || wire > NAME_MAX_BYTES || label > len - *at)
			return false;
		if (label == 0)
			break;
		if (n > 0)
			text[n++] = '.';
		memcpy(text + n, bytes + *at, label);
		if (memchr(text + n, '.', label) != NULL || memchr(text + n, 0, label) != NULL)
			*ret_plain = false;
		n += label;
		*at += label;
	}
	*ret_len = n;
	return true;
}

static bool
read_question(const uint8_t *bytes, size_t len, size_t *at, struct dns_query *query)
{
	char text[NAME_MAX_BYTES + 1];
	size_t n, start = *at;
	bool plain;
	if (!read_name(bytes, len, at, text, &n, &plain) || len - *at < 4)
		return false;
	query->type = number_at(bytes + *at);
	query->class = number_at(bytes + *at + 2);
	*at += 4;
	query->n_question = *at - start;
	memcpy(query->question, bytes + start, query->n_question);
	/* A dot at the end of the text is a label's own: no trailing dot that may be dropped. */
	if (!plain || hostname_canonical(text, n, query->host) < 0)
		query->host[0] = 0;
	return true;
}

/* ---- EDNS: RFC 6891, 6.1 ---- */

static bool
options_valid(const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		if (len < 4 || number_at(bytes + 2) > len - 4)
			return false;
		size_t option = 4 + (size_t)number_at(bytes + 2);
		bytes += option;
		len -= option;
	}
	return true;
}

/* The one record that may follow a question. */
static int
read_opt(const uint8_t *bytes, size_t len, struct dns_query *query)
{
	if (len < OPT_BYTES || bytes[0] != 0 || number_at(bytes + 1) != DNS_OPT)
		return DNS_FORMERR;
	uint8_t version = bytes[6];
	size_t options = number_at(bytes + 9);
	if (options != len - OPT_BYTES)
		return DNS_FORMERR;
	query->edns = true;
	query->udp_bytes = MAX(number_at(bytes + 3), (uint16_t)DNS_UDP_MAX);
	if (version != 0)
		return DNS_BADVERS;
	return options_valid(bytes + OPT_BYTES, options) ? 0 : DNS_FORMERR;
}

int
dns_query_read(const uint8_t *bytes, size_t len, struct dns_query *ret)
{
	*ret = (struct dns_query){.udp_bytes = DNS_UDP_MAX};
	if (len < DNS_HEADER)
		return -EBADMSG;
	uint16_t flags = number_at(bytes + 2);
	if (flags & FLAG_ANSWER)
		return -EBADMSG;
	ret->id = number_at(bytes);
	ret->opcode = flags >> 11 & 15;
	ret->recursion_desired = (flags & FLAG_RECURSION_DESIRED) != 0;
	ret->checking_disabled = (flags & FLAG_CHECKING_DISABLED) != 0;
	if (ret->opcode != 0)
		return DNS_NOTIMP;
	unsigned additional = number_at(bytes + 10);
	if (number_at(bytes + 4) != 1 || number_at(bytes + 6) != 0 || number_at(bytes + 8) != 0 ||
	    additional > 1 || (flags & FLAG_TRUNCATED) != 0)
		return DNS_FORMERR;
	size_t at = QUESTION_AT;
	if (!read_question(bytes, len, &at, ret))
		return DNS_FORMERR;
	if (additional == 1)
		return read_opt(bytes + at, len - at, ret);
	return at == len ? 0 : DNS_FORMERR;
}

/* ---- the answer ---- */

static void
add_number(struct buf *out, unsigned value, unsigned bytes)
{
	for (; bytes > 0; bytes--)
		(void)buf_add_char(out, (char)(value >> (8 * (bytes - 1))));
}

/* HOST as labels. */
static void
add_name(struct buf *out, const char *host)
{
	while (*host != 0) {
		size_t label = strcspn(host, ".");
		add_number(out, (unsigned)label, 1);
		(void)buf_add(out, host, label);
		host += label + (host[label] == '.');
	}
	add_number(out, 0, 1);
}

static void
add_record(struct buf *out, const struct dns_query *query, const struct dns_answer *answer)
{
	add_number(out, 0xc000 | QUESTION_AT, 2);
	add_number(out, query->type, 2);
	add_number(out, query->class, 2);
	add_number(out, answer->ttl_s, 4);
	if (answer->pointer != NULL) {
		add_number(out, (unsigned)strlen(answer->pointer) + 2, 2);
		add_name(out, answer->pointer);
	} else {
		add_number(out, (unsigned)answer->n_address, 2);
		(void)buf_add(out, answer->address, answer->n_address);
	}
}

static size_t
record_bytes(const struct dns_answer *answer)
{
	if (answer->pointer != NULL)
		return 12 + strlen(answer->pointer) + 2;
	return answer->n_address > 0 ? 12 + answer->n_address : 0;
}

int
dns_answer_write(
    const struct dns_query *query, const struct dns_answer *answer, size_t room, struct buf *out)
{
	size_t fixed = DNS_HEADER + query->n_question + (query->edns ? OPT_BYTES : 0);
	if (fixed > room)
		return -EMSGSIZE;
	size_t record = answer->rcode == DNS_NOERROR ? record_bytes(answer) : 0;
	bool truncated = record > room - fixed;
	if (truncated)
		record = 0;
	add_number(out, query->id, 2);
	add_number(out,
	    FLAG_ANSWER | (unsigned)query->opcode << 11 | (truncated ? FLAG_TRUNCATED : 0) |
		(query->recursion_desired ? FLAG_RECURSION_DESIRED : 0) | FLAG_RECURSION_AVAILABLE |
		(query->checking_disabled ? FLAG_CHECKING_DISABLED : 0) | (answer->rcode & 15),
	    2);
	add_number(out, query->n_question > 0, 2);
	add_number(out, record > 0, 2);
	add_number(out, 0, 2);
	add_number(out, query->edns, 2);
	(void)buf_add(out, query->question, query->n_question);
	if (record > 0)
		add_record(out, query, answer);
	if (query->edns) {
		add_number(out, 0, 1);
		add_number(out, DNS_OPT, 2);
		add_number(out, DNS_EDNS_UDP, 2);
		add_number(out, (unsigned)answer->rcode >> 4 << 24, 4);
		add_number(out, 0, 2);
	}
	return buf_failed(out) ? -ENOMEM : 0;
}

/* ---- reverse names ---- */

static bool
ends_with(const char *host, const char *end)
{
	size_t len = strlen(host), n = strlen(end);
	return len >= n && strcmp(host + len - n, end) == 0;
}

bool
dns_is_reverse(const char *host)
{
	return ends_with(host, ".in-addr.arpa") || ends_with(host, ".ip6.arpa") ||
	    strcmp(host, "in-addr.arpa") == 0 || strcmp(host, "ip6.arpa") == 0;
}

/* Thirty-two digits, the last of the address first. */
static int
reverse_ipv6(const char *host, uint8_t ret[16])
{
	uint8_t address[16] = {0};
	for (int i = 31; i >= 0; i--, host += 2) {
		unsigned value;
		if (host[0] >= '0' && host[0] <= '9')
			value = (unsigned)(host[0] - '0');
		else if (host[0] >= 'a' && host[0] <= 'f')
			value = (unsigned)(host[0] - 'a') + 10;
		else
			return -EINVAL;
		if (host[1] != '.')
			return -EINVAL;
		address[i / 2] |= (uint8_t)(value << (i % 2 == 0 ? 4 : 0));
	}
	memcpy(ret, address, sizeof(address));
	return 0;
}

int
dns_reverse_address(const char *host, uint8_t ret[16])
{
	size_t len = strlen(host);
	if (ends_with(host, ".ip6.arpa"))
		return len == 64 + strlen("ip6.arpa") ? reverse_ipv6(host, ret) : -EINVAL;
	if (!ends_with(host, ".in-addr.arpa"))
		return -EINVAL;
	len -= strlen(".in-addr.arpa");
	char text[ADDRESS_TEXT] = "";
	size_t n = 0;
	while (len > 0) {
		size_t start = len;
		while (start > 0 && host[start - 1] != '.')
			start--;
		if (n + len - start + 2 > 17)
			return -EINVAL;
		if (n > 0)
			text[n++] = '.';
		memcpy(text + n, host + start, len - start);
		n += len - start;
		text[n] = 0;
		len = start > 0 ? start - 1 : 0;
	}
	return address_parse(text, ret);
}
