/* DNS messages (RFC 1035, RFC 6891) as a server needs them: a question in, an answer out. Pure.
 *
 * Strict: exactly one question, whose name is written out (no compression pointer can be there for a reason), nothing
 * else but one OPT, nothing behind it. The question goes back byte for byte, so that clients that play with its case
 * (0x20) find it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/macros.h"
#include "proto/hostname.h"

#define DNS_HEADER 12
#define DNS_UDP_MAX 512      /* without EDNS (RFC 1035, 4.2.1) */
#define DNS_EDNS_UDP 1232    /* what we say that we take (DNS flag day 2020) */
#define DNS_QUESTION_MAX 259 /* a name of 255 bytes, type and class */

enum dns_type {
	DNS_A = 1,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_AAAA = 28,
	DNS_OPT = 41,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_ANY = 255,
};
#define DNS_IN 1

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16, /* needs EDNS */
};

struct dns_query {
	uint16_t id;
	uint8_t opcode;
	bool recursion_desired, checking_disabled;
	uint16_t type, class;
	/* The name, canonical; "" if it is not a host name (then it can be none that a rule permits; also the root). */
	char host[HOSTNAME_TEXT];
	uint8_t question
	    [DNS_QUESTION_MAX]; /* as it was asked; n_question 0: there was none that we could read */
	size_t n_question;
	bool edns;
	uint16_t udp_bytes; /* what the asker takes in a datagram: at least DNS_UDP_MAX */
};

/* Reads a whole message. RET is set as far as it was read, in any case.
 *  0          RET is a question to answer
 *  > 0        answer it with this rcode: DNS_FORMERR, DNS_NOTIMP (another opcode), DNS_BADVERS
 *  -EBADMSG   do not answer: no header, or itself an answer */
int dns_query_read(const uint8_t *bytes, size_t len, struct dns_query *ret) MUST_CHECK;

struct dns_answer {
	enum dns_rcode rcode;
	/* One record, or none. Borrowed. Type and name are the question's. */
	const uint8_t *address; /* of A or AAAA: 4 or 16 bytes */
	size_t n_address;
	const char *pointer; /* of PTR: a canonical host name */
	uint32_t ttl_s;
};

/* Appends the answer to QUERY, at most ROOM bytes (of UDP: query->udp_bytes): what does not fit is left out and TC is
 * set. 0, -EMSGSIZE (ROOM is less than header, question and OPT) or -ENOMEM. */
int dns_answer_write(const struct dns_query *query, const struct dns_answer *answer, size_t room,
    struct buf *out) MUST_CHECK;

/* The address that HOST, a name under in-addr.arpa or ip6.arpa with all its labels, stands for (IPv4 mapped).
 * 0 or -EINVAL. RFC 1035, 3.5; RFC 3596, 2.5. */
int dns_reverse_address(const char *host, uint8_t ret[16]) MUST_CHECK;
/* Whether HOST is under in-addr.arpa or ip6.arpa, or one of these. */
bool dns_is_reverse(const char *host);
