/* DNS messages: which questions are read, and what answers look like on the wire. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "proto/address.h"
#include "proto/dns.h"

#define HEAD(flags, questions, additional) "\x12\x34" flags "\0" questions "\0\0\0\0\0" additional
#define RD "\x01\0"
#define A_IN "\0\1\0\1"
#define EXAMPLE "\7example\3com\0"
#define OPT "\0\0\x29\x10\0\0\0\0\0\0\0"
#define X31 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X63 X31 "x" X31
#define L63 "\x3f" X63

#define READ(text, query) dns_query_read((const uint8_t *)(text), sizeof(text) - 1, query)

static void
a_question_is_read(void **state)
{
	struct dns_query query;
	assert_int_equal(READ(HEAD(RD, "\1", "\0") EXAMPLE A_IN, &query), 0);
	assert_int_equal(query.id, 0x1234);
	assert_true(query.recursion_desired);
	assert_false(query.edns);
	assert_int_equal(query.type, DNS_A);
	assert_int_equal(query.class, DNS_IN);
	assert_string_equal(query.host, "example.com");
	assert_int_equal(query.n_question, 17);
	assert_int_equal(query.udp_bytes, 512);
	assert_int_equal(READ(HEAD(RD, "\1", "\1") "\7eXaMpLe\3CoM\0\0\x1c\0\1" OPT, &query), 0);
	assert_string_equal(query.host, "example.com");
	assert_memory_equal(query.question, "\7eXaMpLe\3CoM", 12);
	assert_int_equal(query.type, DNS_AAAA);
	assert_true(query.edns);
	assert_int_equal(query.udp_bytes, 4096);
	/* A cookie is an option as any other. */
	assert_int_equal(
	    READ(HEAD(RD, "\1", "\1") EXAMPLE A_IN "\0\0\x29\0\1\0\0\0\0\0\x0c\0\x0a\0\x08"
						   "abcdefgh",
		&query),
	    0);
	assert_int_equal(query.udp_bytes, 512);
}

static void
a_name_that_is_no_host_name_is_read_as_none(void **state)
{
	struct dns_query query;
	static const struct {
		const char *name;
		size_t len;
	} names[] = {
#define NAME(text) {text, sizeof(text)}
	    NAME(""),                            /* the root */
	    NAME("\13example.com"),              /* a dot inside a label */
	    NAME("\7example\4com."),             /* a dot at the end of one */
	    NAME("\7exam\0le\3com"),             /* NUL */
	    NAME("\14example\0.com\4evil\3org"), /* what C's strings would cut */
	    NAME("\10example\x20\3com"),         /* a space */
	    NAME("\11example\\.\3com"),          /* an escape */
	    NAME("\13example\\046\3com"),        /* and another */
	    NAME("\1*\7example\3com"),           /* a pattern is not a name */
	    NAME("\10ex\xc3\xa4mple\3com"),      /* UTF-8 */
	    NAME("\10-example\3com"),
	    NAME("\3"
		 "127\1\60\1\60\1\61"), /* an address */
	    NAME("\4"
		 "0x7f\1\61"),
	    NAME("\6xn--a-\3com"), /* not Punycode */
	    NAME("\x0f"
		 "example.com\xef\xbc\x8e"
		 "x\3org"),
#undef NAME
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		uint8_t message[128] = HEAD(RD, "\1", "\0");
		memcpy(message + 12, names[i].name, names[i].len);
		memcpy(message + 12 + names[i].len, A_IN, 4);
		int r = dns_query_read(message, 16 + names[i].len, &query);
		if (r != 0 || query.host[0] != 0)
			fail_msg("case %zu: %d, %s", i, r, query.host);
	}
}

static void
names_are_as_long_as_names_may_be(void **state)
{
	struct dns_query query;
	/* 255 bytes on the wire are 253 of text. */
	assert_int_equal(
	    READ(HEAD(RD, "\1", "\0") L63 L63 L63 "\x3d" X31 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
						  "\0" A_IN,
		&query),
	    0);
	assert_int_equal(strlen(query.host), 253);
	assert_int_equal(
	    READ(HEAD(RD, "\1", "\0") L63 L63 L63 "\x3e" X31 X31 "\0" A_IN, &query), DNS_FORMERR);
	assert_int_equal(
	    READ(HEAD(RD, "\1", "\0") L63 L63 L63 L63 L63 "\0" A_IN, &query), DNS_FORMERR);
	assert_int_equal(READ(HEAD(RD, "\1", "\0") "\x40" X63 "x\0" A_IN, &query), DNS_FORMERR);
}

static void
what_is_malformed_is_a_format_error(void **state)
{
	struct dns_query query;
#define MALFORMED(text) assert_int_equal(READ(text, &query), DNS_FORMERR)
	MALFORMED(HEAD(RD, "\0", "\0"));                           /* no question */
	MALFORMED(HEAD(RD, "\2", "\0") EXAMPLE A_IN EXAMPLE A_IN); /* two */
	MALFORMED(HEAD(RD, "\1", "\0"));                           /* promised only */
	MALFORMED(HEAD(RD, "\1", "\0") "\7example\3com");          /* does not end */
	MALFORMED(HEAD(RD, "\1", "\0") "\7example\7com\0" A_IN);
	MALFORMED(HEAD(RD, "\1", "\0") EXAMPLE);                  /* no type */
	MALFORMED(HEAD(RD, "\1", "\0") EXAMPLE "\0\1\0");         /* half a class */
	MALFORMED(HEAD(RD, "\1", "\0") EXAMPLE A_IN "x");         /* something behind */
	MALFORMED(HEAD(RD, "\1", "\0") EXAMPLE A_IN OPT);         /* uncounted */
	MALFORMED(HEAD(RD, "\1", "\0") "\xc0\x0c" A_IN);          /* a pointer to itself */
	MALFORMED(HEAD(RD, "\1", "\0") "\7example\xc0\x0c" A_IN); /* a loop */
	MALFORMED(HEAD(RD, "\1", "\0") "\7example\xc0\0" A_IN);   /* into the header */
	MALFORMED(HEAD(RD, "\1", "\0") "\x80" A_IN);              /* reserved label types */
	MALFORMED(HEAD(RD, "\1", "\0") "\x41\1" A_IN);
	MALFORMED(HEAD(RD, "\1", "\2") EXAMPLE A_IN OPT OPT); /* two OPTs */
	MALFORMED(HEAD(RD, "\1", "\1") EXAMPLE A_IN);         /* counted, not there */
	MALFORMED(HEAD(RD, "\1", "\1") EXAMPLE A_IN "\0\0\x29\x10\0\0");
	MALFORMED(HEAD(RD, "\1", "\1") EXAMPLE A_IN "\0\0\x01\x10\0\0\0\0\0\0\0"); /* not OPT */
	MALFORMED(
	    HEAD(RD, "\1", "\1") EXAMPLE A_IN "\1x\0\0\x29\x10\0\0\0\0\0\0\0"); /* not the root's */
	MALFORMED(HEAD(RD, "\1", "\1") EXAMPLE A_IN
	    "\0\0\x29\x10\0\0\0\0\0\0\4\0\1\0\1"); /* option too long */
	MALFORMED(HEAD(RD, "\1", "\1") EXAMPLE A_IN "\0\0\x29\x10\0\0\0\0\0\0\3\0\1\0");
	MALFORMED(HEAD(RD, "\1", "\1") EXAMPLE A_IN OPT "x");
	MALFORMED(HEAD("\3\0", "\1", "\0") EXAMPLE A_IN); /* truncated, says itself */
	MALFORMED("\x12\x34" RD "\0\1\0\1\0\0\0\0" EXAMPLE A_IN
		  "\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\1\1\1"); /* with an answer */
	MALFORMED(
	    "\x12\x34" RD "\0\1\0\0\0\1\0\0" EXAMPLE A_IN "\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\1\1\1");
#undef MALFORMED
}

static void
what_is_not_a_question_gets_no_answer_or_another(void **state)
{
	struct dns_query query;
	assert_int_equal(dns_query_read((const uint8_t *)"", 0, &query), -EBADMSG);
	assert_int_equal(READ("\x12\x34\1\0\0\1\0\0\0\0\0", &query), -EBADMSG);
	assert_int_equal(READ(HEAD("\x81\x80", "\1", "\0") EXAMPLE A_IN, &query), -EBADMSG);
	assert_int_equal(
	    READ(HEAD("\x28\0", "\1", "\0") EXAMPLE A_IN, &query), DNS_NOTIMP); /* UPDATE */
	assert_int_equal(query.opcode, 5);
	assert_int_equal(READ(HEAD("\x10\0", "\0", "\0"), &query), DNS_NOTIMP); /* STATUS */
	assert_int_equal(
	    READ(HEAD(RD, "\1", "\1") EXAMPLE A_IN "\0\0\x29\x10\0\0\1\0\0\0\0", &query),
	    DNS_BADVERS);
	assert_true(query.edns);
}

static void
every_prefix_of_a_question_is_malformed(void **state)
{
	static const char message[] = HEAD(RD, "\1", "\1") EXAMPLE A_IN OPT;
	for (size_t len = 0; len < sizeof(message) - 1; len++) {
		struct dns_query query;
		uint8_t *bytes = malloc(len + 1); /* as long as it is, for the sanitizer */
		memcpy(bytes, message, len);
		bytes = realloc(bytes, len > 0 ? len : 1);
		int r = dns_query_read(bytes, len, &query);
		assert_int_equal(r, len < 12 ? -EBADMSG : DNS_FORMERR);
		free(bytes);
	}
}

/* ---- answers ---- */

static struct dns_query
question_of(const char *bytes, size_t len)
{
	struct dns_query query;
	assert_int_equal(dns_query_read((const uint8_t *)bytes, len, &query), 0);
	return query;
}
#define QUESTION(text) question_of(text, sizeof(text) - 1)

#define assert_answer(query, answer, room, expected)                                     \
	do {                                                                             \
		_cleanup_buf_ struct buf out_;                                           \
		buf_init(&out_, 4096);                                                   \
		assert_int_equal(dns_answer_write(&(query), &(answer), room, &out_), 0); \
		assert_int_equal(out_.len, sizeof(expected) - 1);                        \
		assert_memory_equal(out_.data, expected, out_.len);                      \
	} while (0)

static void
an_address_is_answered(void **state)
{
	struct dns_query query = QUESTION(HEAD(RD, "\1", "\0") "\7eXample\3com\0" A_IN);
	struct dns_answer answer = {
	    .address = (const uint8_t *)"\xc6\x12\1\2", .n_address = 4, .ttl_s = 5};
	assert_answer(query, answer, 512,
	    "\x12\x34\x81\x80\0\1\0\1\0\0\0\0"
	    "\7eXample\3com\0" A_IN "\xc0\x0c" A_IN "\0\0\0\5\0\4\xc6\x12\1\2");
	query = QUESTION(HEAD("\0\x10", "\1", "\1") EXAMPLE "\0\x1c\0\1" OPT);
	answer = (struct dns_answer){
	    .address = (const uint8_t *)"\xfd\x52\x66\0\0\0\0\0\0\0\0\0\0\0\0\7",
	    .n_address = 16,
	    .ttl_s = 70000};
	assert_answer(query, answer, 512,
	    "\x12\x34\x80\x90\0\1\0\1\0\0\0\1" EXAMPLE "\0\x1c\0\1"
	    "\xc0\x0c\0\x1c\0\1\0\1\x11\x70\0\x10"
	    "\xfd\x52\x66\0\0\0\0\0\0\0\0\0\0\0\0\7"
	    "\0\0\x29\4\xd0\0\0\0\0\0\0");
}

static void
a_name_is_answered(void **state)
{
	struct dns_query query = QUESTION(HEAD(RD, "\1", "\0") "\1\61\4arpa\0\0\x0c\0\1");
	struct dns_answer answer = {.pointer = "a.example.com", .ttl_s = 1};
	assert_answer(query, answer, 512,
	    "\x12\x34\x81\x80\0\1\0\1\0\0\0\0\1\61\4arpa\0\0\x0c\0\1\xc0\x0c\0\x0c\0\1\0\0\0\1\0"
	    "\x0f\1a\7example\3com\0");
}

static void
an_rcode_alone_is_answered(void **state)
{
	struct dns_query query = QUESTION(HEAD(RD, "\1", "\0") EXAMPLE A_IN);
	struct dns_answer answer = {.rcode = DNS_NXDOMAIN};
	assert_answer(query, answer, 512, "\x12\x34\x81\x83\0\1\0\0\0\0\0\0" EXAMPLE A_IN);
	answer.rcode = DNS_NOERROR;
	assert_answer(query, answer, 512, "\x12\x34\x81\x80\0\1\0\0\0\0\0\0" EXAMPLE A_IN);
	/* An address beside an error is not given out. */
	answer = (struct dns_answer){
	    .rcode = DNS_REFUSED, .address = (const uint8_t *)"\1\1\1\1", .n_address = 4};
	assert_answer(query, answer, 512, "\x12\x34\x81\x85\0\1\0\0\0\0\0\0" EXAMPLE A_IN);
	/* An rcode beyond four bits needs OPT. */
	assert_int_equal(
	    READ(HEAD(RD, "\1", "\1") EXAMPLE A_IN "\0\0\x29\x10\0\0\1\0\0\0\0", &query),
	    DNS_BADVERS);
	answer = (struct dns_answer){.rcode = DNS_BADVERS};
	assert_answer(query, answer, 512,
	    "\x12\x34\x81\x80\0\1\0\0\0\0\0\1" EXAMPLE A_IN "\0\0\x29\4\xd0\1\0\0\0\0\0");
	/* A message without a question that could be read is answered without one. */
	assert_int_equal(READ(HEAD("\x28\0", "\1", "\0") "\xc0\x0c" A_IN, &query), DNS_NOTIMP);
	answer.rcode = DNS_NOTIMP;
	assert_answer(query, answer, 512, "\x12\x34\xa8\x84\0\0\0\0\0\0\0\0");
}

static void
what_does_not_fit_is_left_out_and_says_so(void **state)
{
	struct dns_query query = QUESTION(HEAD(RD, "\1", "\0") EXAMPLE A_IN);
	struct dns_answer answer = {.address = (const uint8_t *)"\1\1\1\1", .n_address = 4};
	assert_answer(query, answer, 44, "\x12\x34\x83\x80\0\1\0\0\0\0\0\0" EXAMPLE A_IN);
	assert_answer(query, answer, 45,
	    "\x12\x34\x81\x80\0\1\0\1\0\0\0\0" EXAMPLE A_IN "\xc0\x0c" A_IN "\0\0\0\0\0\4\1\1\1\1");
	_cleanup_buf_ struct buf out;
	buf_init(&out, 4096);
	assert_int_equal(dns_answer_write(&query, &answer, 28, &out), -EMSGSIZE);
	buf_init(&out, 10);
	assert_int_equal(dns_answer_write(&query, &answer, 512, &out), -ENOMEM);
}

static void
reverse_names_are_addresses(void **state)
{
	static const struct {
		const char *host, *address;
	} cases[] = {
	    {"4.3.2.1.in-addr.arpa", "1.2.3.4"},
	    {"255.0.18.198.in-addr.arpa", "198.18.0.255"},
	    {"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa", "::1"},
	    {"7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.0.0.0.0.0.0.0.0.0.6.6.2.5.d.f.ip6.arpa",
		"fd52:6600::a000:0:0:7"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t address[16];
		char text[ADDRESS_TEXT];
		assert_true(dns_is_reverse(cases[i].host));
		assert_int_equal(dns_reverse_address(cases[i].host, address), 0);
		address_format(address, text);
		assert_string_equal(text, cases[i].address);
	}
	static const char *const wrong[] = {"in-addr.arpa", "ip6.arpa", "1.in-addr.arpa",
	    "3.2.1.in-addr.arpa", "5.4.3.2.1.in-addr.arpa", "256.3.2.1.in-addr.arpa",
	    "04.3.2.1.in-addr.arpa", "a.3.2.1.in-addr.arpa", "1.0.0.0.ip6.arpa", "example.com",
	    "4.3.2.1.in-addr.arpa.example.com",
	    "10.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
	    "g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
	    "123456789.123456789.123456789.123456789.in-addr.arpa"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		uint8_t address[16];
		assert_int_equal(dns_reverse_address(wrong[i], address), -EINVAL);
	}
	assert_false(dns_is_reverse("notin-addr.arpa"));
	assert_false(dns_is_reverse("in-addr.arpa.example.com"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_question_is_read),
	    cmocka_unit_test(a_name_that_is_no_host_name_is_read_as_none),
	    cmocka_unit_test(names_are_as_long_as_names_may_be),
	    cmocka_unit_test(what_is_malformed_is_a_format_error),
	    cmocka_unit_test(what_is_not_a_question_gets_no_answer_or_another),
	    cmocka_unit_test(every_prefix_of_a_question_is_malformed),
	    cmocka_unit_test(an_address_is_answered),
	    cmocka_unit_test(a_name_is_answered),
	    cmocka_unit_test(an_rcode_alone_is_answered),
	    cmocka_unit_test(what_does_not_fit_is_left_out_and_says_so),
	    cmocka_unit_test(reverse_names_are_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
