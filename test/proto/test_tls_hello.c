/* ClientHellos: cut into records in any way, with what they name, and what is refused of them. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "failalloc.h"
#include "proto/tls_hello.h"

#define NAME_EXT                   \
	"\0\0\0\x10\0\x0e\0\0\x0b" \
	"example.com"
#define ALPN_EXT "\0\x10\0\x0e\0\x0c\2h2\x08http/1.1"
#define VERSIONS_EXT "\0\x2b\0\7\6\x7a\x7a\3\4\3\3"

/* ---- making them ---- */

struct hello {
	uint8_t bytes[2 * TLS_HELLO_MAX];
	size_t len;
};

static void
add(struct hello *h, const void *bytes, size_t len)
{
	assert_true(h->len + len <= sizeof(h->bytes));
	memcpy(h->bytes + h->len, bytes, len);
	h->len += len;
}

static void
add_number(struct hello *h, size_t value, unsigned bytes)
{
	for (; bytes > 0; bytes--)
		h->bytes[h->len++] = (uint8_t)(value >> (8 * (bytes - 1)));
}

/* The handshake message with these extensions; EXTENSIONS NULL: none, as before there were any. */
static void
make_message(struct hello *h, const char *extensions, size_t len)
{
	static const uint8_t random[32] = "0123456789abcdef0123456789abcde";
	h->len = 0;
	size_t body = 2 + 32 + 1 + 32 + 2 + 4 + 2 + (extensions != NULL ? 2 + len : 0);
	add_number(h, 1, 1);
	add_number(h, body, 3);
	add_number(h, 0x0303, 2);
	add(h, random, 32);
	add_number(h, 32, 1);
	add(h, random, 32);
	add(h, "\0\4\x13\1\x13\2", 6);
	add(h, "\1", 2);
	if (extensions != NULL) {
		add_number(h, len, 2);
		add(h, extensions, len);
	}
}

/* MESSAGE in records of at most PIECE bytes. */
static void
cut(const struct hello *message, size_t piece, struct hello *ret)
{
	ret->len = 0;
	for (size_t at = 0; at < message->len; at += piece) {
		size_t n = MIN(piece, message->len - at);
		add(ret, "\x16\3\1", 3);
		add_number(ret, n, 2);
		add(ret, message->bytes + at, n);
	}
}

static struct hello message, records;

static int
read_extensions(const char *extensions, size_t len, struct tls_hello *ret)
{
	make_message(&message, extensions, len);
	cut(&message, 16384, &records);
	return tls_hello_read(records.bytes, records.len, ret);
}
#define READ(extensions, ret) read_extensions(extensions, sizeof(extensions) - 1, ret)

#define assert_refused(extensions, why)                                \
	do {                                                           \
		struct tls_hello hello_;                               \
		assert_int_equal(READ(extensions, &hello_), -EBADMSG); \
		assert_string_equal(hello_.refused, why);              \
		assert_string_equal(hello_.host, "");                  \
	} while (0)

/* ---- reading them ---- */

static void
a_hello_says_whom_it_is_for(void **state)
{
	struct tls_hello hello;
	int used = READ("\x0a\x0a\0\0" NAME_EXT ALPN_EXT VERSIONS_EXT, &hello);
	assert_int_equal(used, (int)records.len);
	assert_string_equal(hello.host, "example.com");
	assert_int_equal(hello.n_alpn, 2);
	assert_string_equal(hello.alpn[0], "h2");
	assert_true(tls_hello_offers(&hello, "http/1.1"));
	assert_false(tls_hello_offers(&hello, "h3"));
	assert_int_equal(hello.version, 0x0304);
	assert_false(hello.ech);
	assert_false(hello.early_data);
	assert_null(hello.refused);
}

static void
a_hello_without_a_name_has_none(void **state)
{
	struct tls_hello hello;
	assert_true(READ("", &hello) > 0);
	assert_string_equal(hello.host, "");
	assert_false(hello.alpn_offered);
	assert_int_equal(hello.version, 0x0303);
	assert_true(read_extensions(NULL, 0, &hello) > 0);
	assert_string_equal(hello.host, "");
}

static void
case_is_folded(void **state)
{
	struct tls_hello hello;
	assert_true(READ("\0\0\0\x10\0\x0e\0\0\x0b"
			 "ExAmPlE.cOm",
			&hello) > 0);
	assert_string_equal(hello.host, "example.com");
}

static void
ech_and_early_data_are_told(void **state)
{
	struct tls_hello hello;
	assert_true(READ(NAME_EXT "\xfe\x0d\0\1\0"
				  "\0\x2a\0\0",
			&hello) > 0);
	assert_true(hello.ech);
	assert_true(hello.early_data);
	assert_true(READ(NAME_EXT "\xff\xce\0\1\0", &hello) > 0);
	assert_true(hello.ech);
}

static void
odd_protocols_are_left_out(void **state)
{
	struct tls_hello hello;
	assert_true(READ("\0\x10\0\x2f\0\x2d\2\x0a\x0a\1\0\2h2\x24"
			 "abcdefghijklmnopqrstuvwxyz0123456789"
			 "",
			&hello) > 0);
	assert_int_equal(hello.n_alpn, 1);
	assert_string_equal(hello.alpn[0], "h2");
	assert_true(hello.alpn_offered);
}

static void
records_may_be_cut_in_any_way(void **state)
{
	make_message(
	    &message, NAME_EXT ALPN_EXT VERSIONS_EXT, sizeof(NAME_EXT ALPN_EXT VERSIONS_EXT) - 1);
	for (size_t piece = 1; piece <= message.len + 1; piece++) {
		struct tls_hello hello;
		cut(&message, piece, &records);
		assert_int_equal(
		    tls_hello_read(records.bytes, records.len, &hello), (int)records.len);
		assert_string_equal(hello.host, "example.com");
		/* What follows is not its business. */
		add(&records, "\x14\3\3\0\1\1", 6);
		assert_int_equal(
		    tls_hello_read(records.bytes, records.len, &hello), (int)records.len - 6);
	}
}

static void
every_prefix_needs_more(void **state)
{
	make_message(&message, NAME_EXT ALPN_EXT, sizeof(NAME_EXT ALPN_EXT) - 1);
	for (size_t piece = 1; piece <= 200; piece += 33) {
		cut(&message, piece, &records);
		for (size_t len = 0; len < records.len; len++) {
			struct tls_hello hello;
			uint8_t *bytes = malloc(len > 0 ? len : 1);
			memcpy(bytes, records.bytes, len);
			assert_int_equal(tls_hello_read(bytes, len, &hello), 0);
			free(bytes);
		}
	}
}

static void
other_protocols_are_not_tls(void **state)
{
	static const char *const others[] = {"GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n",
	    "\x80\x2e\x01\x03\x01", "\x16\x02", "\x16\xfe\xff", "\x15\3\1\0\2\2\x28",
	    "\x17\3\3\0\5hello", "P", "\n"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct tls_hello hello;
		assert_int_equal(
		    tls_hello_read((const uint8_t *)others[i], strlen(others[i]), &hello), -ENOMSG);
		assert_null(hello.refused);
	}
}

static void
a_name_that_is_not_one_is_refused(void **state)
{
	static const char why[] = "server_name that is not a plain host name";
	assert_refused("\0\0\0\x11\0\x0f\0\0\x0c"
		       "example.com.",
	    why);
	assert_refused("\0\0\0\x0e\0\x0c\0\0\x09"
		       "127.0.0.1",
	    why);
	assert_refused("\0\0\0\x08\0\x06\0\0\x03"
		       "::1",
	    why);
	assert_refused("\0\0\0\x15\0\x13\0\0\x10"
		       "example.com\0evil",
	    why);
	assert_refused("\0\0\0\x10\0\x0e\0\0\x0b"
		       "example com",
	    why);
	assert_refused("\0\0\0\x12\0\x10\0\0\x0d"
		       "*.example.com",
	    why);
	assert_refused("\0\0\0\x14\0\x12\0\0\x0f"
		       "example.com:443",
	    why);
	assert_refused("\0\0\0\x10\0\x0e\0\0\x0b"
		       "ex\xc3\xa4mple.co",
	    why);
}

static void
two_names_are_refused(void **state)
{
	assert_refused(NAME_EXT NAME_EXT, "an extension that comes twice");
	assert_refused(NAME_EXT "\0\0\0\x0d\0\x0b\0\0\x08"
				"evil.org",
	    "an extension that comes twice");
	assert_refused("\0\0\0\x1b\0\x19\0\0\x0b"
		       "example.com"
		       "\0\0\x08"
		       "evil.org",
	    "server_name with more or other than one host name");
	assert_refused("\0\0\0\x10\0\x0e\1\0\x0b"
		       "example.com",
	    "server_name with more or other than one host name");
}

static void
lengths_that_do_not_add_up_are_refused(void **state)
{
	assert_refused("\0\0\0\0", "malformed server_name");
	assert_refused("\0\0\0\2\0\0", "malformed server_name");
	assert_refused("\0\0\0\5\0\3\0\0\0", "malformed server_name");
	assert_refused("\0\0\0\x10\0\x0f\0\0\x0b"
		       "example.com",
	    "malformed server_name");
	assert_refused("\0\0\0\x10\0\x0e\0\0\x0c"
		       "example.com",
	    "malformed server_name");
	assert_refused("\0\0\0\x11\0\x0e\0\0\x0b"
		       "example.comx",
	    "malformed server_name");
	assert_refused("\0\0\0\x11\0\x0e\0\0\x0b"
		       "example.com",
	    "malformed extensions");
	assert_refused("\0\0\0", "malformed extensions");
	assert_refused("\0\x10\0\2\0\0", "malformed ALPN");
	assert_refused("\0\x10\0\3\0\1\0", "malformed ALPN");
	assert_refused("\0\x10\0\5\0\3\3h2", "malformed ALPN");
	assert_refused("\0\x2b\0\3\2\3\4x", "malformed extensions");
	assert_refused("\0\x2b\0\2\1\3", "malformed supported_versions");
	assert_refused("\0\x2a\0\1x", "malformed early_data");
}

static void
a_message_that_disagrees_with_itself_is_refused(void **state)
{
	struct tls_hello hello;
	make_message(&message, NAME_EXT, sizeof(NAME_EXT) - 1);
	struct hello *changed = malloc(sizeof(*changed));
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {{4, 2}, {5, 9}, {38, 33}, {38, 0}, {72, 5}, {72, 3}, {72, 0}, {77, 0},
	    {77, 200}, {80, 0}, {80, 255}};
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		*changed = message;
		changed->bytes[changes[i].at] = changes[i].value;
		cut(changed, 16384, &records);
		int r = tls_hello_read(records.bytes, records.len, &hello);
		if (r != -EBADMSG)
			fail_msg("case %zu: %d", i, r);
	}
	free(changed);
}

static void
records_that_are_not_a_hello_are_refused(void **state)
{
	struct tls_hello hello;
#define REFUSED(text)     \
	assert_int_equal( \
	    tls_hello_read((const uint8_t *)(text), sizeof(text) - 1, &hello), -EBADMSG)
	REFUSED("\x16\3\1\0\0");                 /* an empty record */
	REFUSED("\x16\3\1\x40\1");               /* a record too large */
	REFUSED("\x16\3\5\0\4\1\0\0\1");         /* a version that is none */
	REFUSED("\x16\3\1\0\4\2\0\0\1");         /* a ServerHello */
	REFUSED("\x16\3\1\0\1\1\x17\3\1\0\1\0"); /* data between its pieces */
	REFUSED("\x16\3\1\0\1\1\x16\2\1\0\1\0");
#undef REFUSED
	/* Another message in the record that ends it. */
	make_message(&message, NAME_EXT, sizeof(NAME_EXT) - 1);
	add(&message, "\0", 1);
	cut(&message, 16384, &records);
	assert_int_equal(tls_hello_read(records.bytes, records.len, &hello), -EBADMSG);
}

static void
what_is_too_large_is_refused_at_once(void **state)
{
	struct tls_hello hello;
	static const char head[] = "\x16\3\1\x40\0\1\1\0\0";
	assert_int_equal(
	    tls_hello_read((const uint8_t *)head, sizeof(head) - 1, &hello), -EMSGSIZE);
	assert_non_null(hello.refused);
	/* Many small records come to too much as well. */
	static char big[20000] = "\xab\xcd\x4e\x1c";
	make_message(&message, big, sizeof(big));
	cut(&message, 1, &records);
	assert_int_equal(tls_hello_read(records.bytes, records.len, &hello), -EMSGSIZE);
	assert_int_equal(tls_hello_read(records.bytes, TLS_HELLO_MAX, &hello), -EMSGSIZE);
	cut(&message, 16384, &records);
	assert_int_equal(tls_hello_read(records.bytes, records.len, &hello), (int)records.len);
	/* And too many extensions. */
	static char many[4 * 200];
	for (size_t i = 0; i < 200; i++)
		many[4 * i] = (char)0xaa, many[4 * i + 1] = (char)i;
	make_message(&message, many, sizeof(many));
	cut(&message, 16384, &records);
	assert_int_equal(tls_hello_read(records.bytes, records.len, &hello), -EBADMSG);
	assert_string_equal(hello.refused, "too many extensions");
}

static void
a_hello_that_there_is_no_memory_for_is_refused(void **state)
{
	struct tls_hello hello;
	make_message(&message, NAME_EXT, sizeof(NAME_EXT) - 1);
	cut(&message, 10, &records);
	fail_allocation(0);
	assert_int_equal(tls_hello_read(records.bytes, records.len, &hello), -ENOMEM);
	assert_true(allocation_failed());
	assert_string_equal(hello.host, "");
	assert_int_equal(tls_hello_read(records.bytes, records.len, &hello), (int)records.len);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_hello_says_whom_it_is_for),
	    cmocka_unit_test(a_hello_without_a_name_has_none),
	    cmocka_unit_test(case_is_folded),
	    cmocka_unit_test(ech_and_early_data_are_told),
	    cmocka_unit_test(odd_protocols_are_left_out),
	    cmocka_unit_test(records_may_be_cut_in_any_way),
	    cmocka_unit_test(every_prefix_needs_more),
	    cmocka_unit_test(other_protocols_are_not_tls),
	    cmocka_unit_test(a_name_that_is_not_one_is_refused),
	    cmocka_unit_test(two_names_are_refused),
	    cmocka_unit_test(lengths_that_do_not_add_up_are_refused),
	    cmocka_unit_test(a_message_that_disagrees_with_itself_is_refused),
	    cmocka_unit_test(records_that_are_not_a_hello_are_refused),
	    cmocka_unit_test(what_is_too_large_is_refused_at_once),
	    cmocka_unit_test(a_hello_that_there_is_no_memory_for_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
