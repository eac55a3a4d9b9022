/* DNS: whatever is asked, the question is either refused or says what its labels say; and every answer to it is a
 * message that fits, echoes the question and reads as what was meant. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/address.h"
#include "proto/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)        \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* The name of the question once more, written down the other way round: HOST must be its labels, lowered. */
static void
check_name(const struct dns_query *query)
{
	size_t at = 0, n = 0;
	REQUIRE(hostname_is_canonical(query->host));
	while (query->question[at] != 0) {
		size_t label = query->question[at++];
		REQUIRE(label <= 63);
		if (n > 0)
			REQUIRE(query->host[n++] == '.');
		for (; label > 0; label--, at++, n++) {
			uint8_t c = query->question[at];
			if (c >= 'A' && c <= 'Z')
				c |= 0x20;
			REQUIRE(c != '.' && c != 0 && (uint8_t)query->host[n] == c);
		}
	}
	REQUIRE(query->host[n] == 0 && at + 5 == query->n_question);
}

static void
check_answer(const struct dns_query *query, const struct dns_answer *answer, size_t room)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 65535);
	int r = dns_answer_write(query, answer, room, &out);
	if (r < 0)
		return;
	REQUIRE(out.len <= room && out.len >= DNS_HEADER + query->n_question);
	REQUIRE((out.data[0] << 8 | out.data[1]) == query->id && (out.data[2] & 0x80) != 0);
	REQUIRE(memcmp(out.data + DNS_HEADER, query->question, query->n_question) == 0);
	bool truncated = (out.data[2] & 2) != 0, record = out.data[7] == 1;
	REQUIRE(!(truncated && record));
	size_t at = DNS_HEADER + query->n_question;
	if (record) {
		REQUIRE(memcmp(out.data + at, "\xc0\x0c", 2) == 0);
		at += 12 + (size_t)(out.data[at + 10] << 8 | out.data[at + 11]);
	}
	REQUIRE(at + (query->edns ? 11 : 0) == out.len);
	/* An answer is never taken for a question. */
	struct dns_query again;
	REQUIRE(dns_query_read(out.data, out.len, &again) < 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_query query;
	uint8_t address[16];
	int r = dns_query_read(data, size, &query);
	if (r < 0)
		return 0;
	REQUIRE(query.n_question <= sizeof(query.question) && query.udp_bytes >= DNS_UDP_MAX);
	if (query.host[0] != 0) {
		check_name(&query);
		char text[ADDRESS_TEXT];
		if (dns_reverse_address(query.host, address) == 0) {
			REQUIRE(dns_is_reverse(query.host));
			address_format(address, text);
			REQUIRE(address_parse(text, address) == 0);
		}
	}
	struct dns_answer answers[] = {
	    {.rcode = r != 0 ? (enum dns_rcode)r : DNS_NXDOMAIN},
	    {.address = address, .n_address = 4, .ttl_s = 5},
	    {.address = address, .n_address = 16, .ttl_s = UINT32_MAX},
	    {.pointer = query.host[0] != 0 ? query.host : "localhost", .ttl_s = 5},
	};
	memset(address, 0xff, sizeof(address));
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		check_answer(&query, &answers[i], query.udp_bytes);
		check_answer(&query, &answers[i], size);
		check_answer(&query, &answers[i], 65535);
	}
	return 0;
}
