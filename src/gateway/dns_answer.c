/* Which answer a question of a sandbox gets.
 *
 *   localhost                     its own loopback (RFC 6761, 6.3)
 *   names of our own addresses    what they were given for (PTR); every other reverse name: NXDOMAIN
 *   a name that a rule may reach  A, AAAA (where there is IPv6): its synthetic addresses; any other type: nothing
 *                                 (NOERROR). So no HTTPS or SVCB record brings ECH keys or leads to HTTP/3
 *   everything else               NXDOMAIN
 *
 * The arbiter says what a rule may reach; until it did, and if it cannot, nothing is given out (SERVFAIL). */
#include "gateway/dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/address.h"

/* An address stays a name's for the sandbox's life; what may change is the policy. And asking again costs nobody
 * anything: the answer comes from memory. */
#define TTL_S 5

static void
finish(struct dns_question *question, const struct dns_answer *answer)
{
	question->done(question, answer);
}

static void
finish_rcode(struct dns_question *question, enum dns_rcode rcode)
{
	finish(question, &(struct dns_answer){.rcode = rcode});
}

static void
finish_address(struct dns_question *question, const void *address, size_t len)
{
	finish(
	    question, &(struct dns_answer){.address = address, .n_address = len, .ttl_s = TTL_S});
}

/* ---- names that are not the network's ---- */

static bool
is_or_ends(const char *host, const char *name)
{
	size_t len = strlen(host), n = strlen(name);
	return len >= n && strcmp(host + len - n, name) == 0 &&
	    (len == n || host[len - n - 1] == '.');
}

static void
answer_localhost(struct dns_question *question)
{
	static const uint8_t ipv4[4] = {127, 0, 0, 1};
	if (question->query.type == DNS_A)
		finish_address(question, ipv4, sizeof(ipv4));
	else if (question->query.type == DNS_AAAA)
		finish_address(question, &in6addr_loopback, sizeof(in6addr_loopback));
	else
		finish_rcode(question, DNS_NOERROR);
}

static void
answer_reverse(struct dns_question *question)
{
	struct in6_addr address;
	const char *name = NULL;
	if (dns_reverse_address(question->query.host, address.s6_addr) == 0) {
		name = names_find(question->guest->names, &address);
		if (address_classify(address.s6_addr) == ADDRESS_LOOPBACK)
			name = "localhost";
	}
	if (name == NULL)
		finish_rcode(question, DNS_NXDOMAIN);
	else if (question->query.type != DNS_PTR)
		finish_rcode(question, DNS_NOERROR);
	else
		finish(question, &(struct dns_answer){.pointer = name, .ttl_s = TTL_S});
}

/* ---- names of the network ---- */

static void
deny(struct dns_question *question, const char *name, const char *reason)
{
	char needed[HOSTNAME_TEXT + 64] = "";
	if (question->query.host[0] != 0)
		(void)snprintf(needed, sizeof(needed),
		    "a rule `allow: http`, `git` or `net` with hosts: [%s]", name);
	guest_denied(question->guest, "name-denied", name, reason, needed);
	finish_rcode(question, DNS_NXDOMAIN);
}

static void
give_address(struct dns_question *question)
{
	struct names *names = question->guest->names;
	const struct dns_query *query = &question->query;
	if (query->type != DNS_A && (query->type != DNS_AAAA || question->no_ipv6)) {
		finish_rcode(question, DNS_NOERROR);
		return;
	}
	int number = names_add(names, query->host);
	if (number < 0) {
		guest_denied(question->guest, "name-denied", query->host,
		    number == -ENOSPC ? "this sandbox has asked for too many names"
				      : "the gateway is out of memory",
		    NULL);
		finish_rcode(question, DNS_SERVFAIL);
	} else if (query->type == DNS_A) {
		struct in_addr ipv4;
		names_ipv4(names, number, &ipv4);
		finish_address(question, &ipv4, sizeof(ipv4));
	} else {
		struct in6_addr ipv6;
		names_ipv6(names, number, &ipv6);
		finish_address(question, &ipv6, sizeof(ipv6));
	}
}

static void
on_reach(const struct reach *reach, void *data)
{
	struct dns_question *question = data;
	if (reach == NULL)
		finish_rcode(question, DNS_SERVFAIL);
	else if (reach->reach)
		give_address(question);
	else
		deny(question, question->query.host, "no rule may reach this name");
}

/* ---- the question ---- */

/* Types that ask for many records or for none that are stored: ANY, transfers, signatures of messages. */
static bool
is_meta_type(unsigned type)
{
	return type == 0 || type == DNS_OPT || (type >= 128 && type <= 255);
}

void
dns_question_answer(struct dns_question *question, int read)
{
	const struct dns_query *query = &question->query;
	if (read != 0)
		finish_rcode(question, (enum dns_rcode)read);
	else if (query->class != DNS_IN || is_meta_type(query->type))
		finish_rcode(question, DNS_REFUSED);
	else if (query->n_question == 5)
		finish_rcode(question, DNS_NOERROR); /* the root: it exists, and has nothing */
	else if (query->host[0] == 0)
		deny(question, "(what is not a host name)", "no rule may reach such a name");
	else if (is_or_ends(query->host, "localhost"))
		answer_localhost(question);
	else if (dns_is_reverse(query->host))
		answer_reverse(question);
	else if (is_or_ends(query->host, "ipv4only.arpa"))
		finish_rcode(question, DNS_NXDOMAIN); /* there is no NAT64 here (RFC 8880) */
	else
		reach_ask(question->guest, query->host, 0, on_reach, question, &question->asked);
}

void
dns_question_forget(struct dns_question *question)
{
	reach_forget(question->asked);
}
