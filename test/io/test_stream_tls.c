/* TLS under a stream. Both ends are in one process; the wire between them is the test's, so that it may deliver single
 * bytes, cut, and lie. */
#include "unit.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "failalloc.h"
#include "wire.h"

static struct loop *loop;
static struct tls_authority *authority;
static struct tls_trust *trust;
static struct end client, server;
static int client_wire = -1, server_wire = -1; /* the wire's two ends */

static struct tls_trust *
trust_in(const char *pem)
{
	struct error err = {0};
	struct tls_trust *in = tls_trust_new(pem, strlen(pem), &err);
	assert_string_equal(err.message, "");
	assert_non_null(in);
	return in;
}

static int
set_up(void **state)
{
	struct error err = {0};
	int fds[2];
	assert_int_equal(loop_new(&loop), 0);
	authority = tls_authority_new("Ringfence sandbox test", &err);
	assert_non_null(authority);
	trust = trust_in(tls_authority_pem(authority));
	socket_pair(fds);
	end_open(&client, loop, fds[0]);
	client_wire = fds[1];
	socket_pair(fds);
	end_open(&server, loop, fds[0]);
	server_wire = fds[1];
	return 0;
}

static int
tear_down(void **state)
{
	end_close(&client);
	end_close(&server);
	close_fd(&client_wire);
	close_fd(&server_wire);
	settle(loop);
	loop = loop_free(loop);
	trust = tls_trust_free(trust);
	authority = tls_authority_free(authority);
	return 0;
}

/* Carries at most LEN bytes from FROM to TO; an end is carried as well. How many. */
static size_t
carry(int *from, int *to, size_t len)
{
	char bytes[65536];
	if (*from < 0 || *to < 0)
		return 0;
	ssize_t n = recv(*from, bytes, MIN(len, sizeof(bytes)), MSG_PEEK);
	if (n == 0)
		(void)shutdown(*to, SHUT_WR);
	if (n > 0)
		n = send(*to, bytes, (size_t)n, MSG_NOSIGNAL);
	if (n > 0)
		assert_int_equal(recv(*from, bytes, (size_t)n, 0), n);
	return n > 0 ? (size_t)n : 0;
}

/* The wire works until nothing moves any more. */
static void
carry_all(size_t at_once)
{
	for (int idle = 0; idle < 4;) {
		size_t n = carry(&client_wire, &server_wire, at_once);
		n += carry(&server_wire, &client_wire, at_once);
		idle = n == 0 ? idle + 1 : 0;
		turn(loop);
		turn(loop);
	}
}

static void
secure(const char *host, const char *asked)
{
	assert_int_equal(stream_secure_client(client.stream, trust, asked), 0);
	assert_int_equal(stream_secure_server(server.stream, authority, host), 0);
}

static void
both_sides_speak_and_end(void **state)
{
	secure("example.com", "example.com");
	assert_int_equal(stream_write(client.stream, "early", 5), 0); /* goes when it is secure */
	carry_all(65536);
	assert_int_equal(client.secured, 1);
	assert_int_equal(server.secured, 1);
	assert_string_equal(buf_str(&server.got), "early");
	assert_int_equal(stream_write(server.stream, "answer", 6), 0);
	stream_end(server.stream);
	carry_all(65536);
	assert_true(client.ended);
	assert_string_equal(buf_str(&client.got), "answer");
	/* One half is over, the other is not. */
	assert_int_equal(stream_write(client.stream, " and late", 9), 0);
	stream_end(client.stream);
	carry_all(65536);
	assert_string_equal(buf_str(&server.got), "early and late");
	assert_true(server.ended);
	assert_int_equal(client.failed + server.failed, 0);
	assert_true(stream_bytes_out(client.stream) > 14);
	assert_int_equal(stream_bytes_out(client.stream), stream_bytes_in(server.stream));
}

static void
bytes_that_come_one_by_one_are_enough(void **state)
{
	secure("example.com", "example.com");
	carry_all(1);
	assert_int_equal(client.secured + server.secured, 2);
	assert_int_equal(stream_write(client.stream, "ping", 4), 0);
	assert_int_equal(stream_write(server.stream, "pong", 4), 0);
	carry_all(1);
	assert_string_equal(buf_str(&server.got), "ping");
	assert_string_equal(buf_str(&client.got), "pong");
}

static void
a_hello_that_was_looked_at_is_the_beginning_of_the_handshake(void **state)
{
	server.keeps = true;
	assert_int_equal(stream_secure_client(client.stream, trust, "example.com"), 0);
	carry_all(65536);
	size_t len;
	assert_int_equal(stream_peek(server.stream, &len)[0], 22); /* a handshake's record */
	assert_true(len > 100);
	server.keeps = false;
	assert_int_equal(stream_secure_server(server.stream, authority, "example.com"), 0);
	(void)stream_peek(server.stream, &len);
	assert_int_equal(len, 0);
	carry_all(65536);
	assert_int_equal(client.secured + server.secured, 2);
	assert_int_equal(stream_secure_server(server.stream, authority, "example.com"), -EINVAL);
	assert_int_equal(stream_secure_client(server.stream, trust, "example.com"), -EINVAL);
}

static void
an_address_is_as_good_a_host_as_a_name(void **state)
{
	static const char *const hosts[] = {"192.0.2.7", "2001:db8::7"};
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		secure(hosts[i], hosts[i]);
		carry_all(65536);
		assert_int_equal(client.secured + server.secured, 2);
		tear_down(state);
		set_up(state);
	}
}

static void
much_goes_through_a_peer_that_reads_slowly(void **state)
{
	size_t len = 3 << 20, sent = 0;
	uint8_t *bytes = pattern_new(len);
	secure("example.com", "example.com");
	carry_all(65536);
	stream_set_high_water(server.stream, 5000);
	server.keeps = true;
	while (server.got.len < len) {
		if (sent < len && stream_queued(client.stream) <= STREAM_HIGH_WATER) {
			size_t part = MIN(len - sent, (size_t)50001);
			assert_int_equal(stream_write(client.stream, bytes + sent, part), 0);
			sent += part;
		}
		(void)carry(&client_wire, &server_wire, 30000);
		turn(loop);
		size_t waits;
		const uint8_t *at = stream_peek(server.stream, &waits);
		assert_true(waits <= 5000);
		size_t take = waits > 2500 ? waits - 3 : waits;
		assert_int_equal(buf_add(&server.got, at, take), 0);
		stream_consume(server.stream, take);
		turn(loop);
	}
	assert_memory_equal(server.got.data, bytes, len);
	assert_int_equal(stream_queued(client.stream), 0);
	free(bytes);
}

static void
an_end_without_close_notify_is_a_failure(void **state)
{
	secure("example.com", "example.com");
	carry_all(65536);
	assert_int_equal(stream_write(server.stream, "half an ans", 11), 0);
	carry_all(65536);
	assert_int_equal(shutdown(client_wire, SHUT_WR), 0);
	settle(loop);
	assert_string_equal(buf_str(&client.got), "half an ans");
	assert_false(client.ended);
	assert_int_equal(client.failed, 1);
	assert_non_null(strstr(stream_error(client.stream), "close_notify"));
}

static void
a_handshake_that_is_cut_anywhere_fails_once_and_clearly(void **state)
{
	for (size_t at = 0; at < 900; at += 13) {
		secure("example.com", "example.com");
		size_t passed = 0;
		for (int i = 0; i < 40 && passed < at; i++) {
			settle(loop);
			(void)carry(&client_wire, &server_wire, 65536);
			settle(loop);
			passed += carry(&server_wire, &client_wire, at - passed);
		}
		assert_int_equal(shutdown(client_wire, SHUT_WR), 0);
		settle(loop);
		assert_int_equal(client.failed, 1);
		assert_string_equal(client.secured ? buf_str(&client.got) : "", "");
		if (!client.secured)
			assert_string_equal(stream_error(client.stream),
			    "example.com: the connection ended in the TLS handshake");
		tear_down(state);
		set_up(state);
	}
}

static void
a_byte_that_is_changed_on_the_wire_is_a_failure(void **state)
{
	secure("example.com", "example.com");
	carry_all(65536);
	assert_int_equal(stream_write(server.stream, "truth", 5), 0);
	settle(loop);
	uint8_t bytes[200];
	ssize_t n = recv(server_wire, bytes, sizeof(bytes), 0);
	assert_true(n > 10);
	bytes[n - 3] ^= 1;
	assert_int_equal(send(client_wire, bytes, (size_t)n, MSG_NOSIGNAL), n);
	settle(loop);
	assert_int_equal(client.failed, 1);
	assert_int_equal(client.got.len, 0);
}

static void
a_peer_that_does_not_speak_tls_is_named(void **state)
{
	assert_int_equal(stream_secure_client(client.stream, trust, "example.com"), 0);
	settle(loop);
	push(client_wire, "HTTP/1.1 400 Bad Request\r\n\r\n");
	settle(loop);
	assert_string_equal(stream_error(client.stream), "example.com does not speak TLS");
	assert_int_equal(stream_secure_server(server.stream, authority, "example.com"), 0);
	push(server_wire, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
	settle(loop);
	assert_string_equal(
	    stream_error(server.stream), "the client of example.com does not speak TLS");
}

static void
a_certificate_for_another_host_is_refused_and_both_hear_why(void **state)
{
	secure("other.example", "example.com");
	carry_all(65536);
	assert_string_equal(stream_error(client.stream),
	    "the certificate of example.com is not valid: it is for other.example");
	assert_int_equal(client.secured, 0);
	assert_int_equal(client.failed, 1);
	assert_int_equal(server.failed, 1);
	assert_string_equal(stream_error(server.stream),
	    "the client does not trust the sandbox's authority for other.example");
}

static void
an_address_that_the_certificate_does_not_have_is_refused(void **state)
{
	secure("192.0.2.7", "192.0.2.8");
	carry_all(65536);
	assert_int_equal(client.failed, 1);
	assert_non_null(strstr(stream_error(client.stream), "192.0.2.8 is not valid"));
}

static void
an_authority_that_is_not_ours_is_refused(void **state)
{
	struct error err = {0};
	struct tls_authority *other = tls_authority_new("Ringfence sandbox test", &err);
	struct tls_trust *trust_other = trust_in(tls_authority_pem(other));
	assert_int_equal(stream_secure_client(client.stream, trust_other, "example.com"), 0);
	assert_int_equal(stream_secure_server(server.stream, authority, "example.com"), 0);
	carry_all(65536);
	assert_int_equal(client.failed, 1);
	assert_int_equal(client.secured, 0);
	assert_non_null(strstr(stream_error(client.stream), "is not valid"));
	tls_trust_free(trust_other);
	tls_authority_free(other);
}

/* ---- a server of OpenSSL's own, for certificates that an authority would not make ---- */

static X509 *
self_signed(EVP_PKEY *key, const char *host, long from, long to)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	char alternative[100];
	(void)snprintf(alternative, sizeof(alternative), "DNS:%s", host);
	assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 7), 1);
	assert_int_equal(X509_NAME_add_entry_by_txt(
			     name, "CN", MBSTRING_UTF8, (const unsigned char *)host, -1, -1, 0),
	    1);
	assert_int_equal(X509_set_issuer_name(cert, name), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), from));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), to));
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	X509_EXTENSION *extension =
	    X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

/* The client against a server that shows a certificate for HOST, valid from FROM to TO seconds from now, and which it
 * trusts if TRUSTED; VERSION is the server's highest. */
static void
meet(const char *host, long from, long to, bool trusted, int version)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = self_signed(key, host, from, to);
	struct tls_trust *in = trust;
	if (trusted) {
		BIO *bio = BIO_new(BIO_s_mem());
		char *pem;
		assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
		long len = BIO_get_mem_data(bio, &pem);
		struct error err = {0};
		in = tls_trust_new(pem, (size_t)len, &err);
		assert_non_null(in);
		BIO_free(bio);
	}
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_security_level(context, 0);
	assert_int_equal(SSL_CTX_set_max_proto_version(context, version), 1);
	assert_int_equal(SSL_CTX_use_certificate(context, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	SSL *ssl = SSL_new(context);
	assert_int_equal(SSL_set_fd(ssl, client_wire), 1);
	assert_int_equal(stream_secure_client(client.stream, in, "example.com"), 0);
	for (int i = 0; i < 20; i++) {
		settle(loop);
		if (client.failed == 0)
			(void)SSL_accept(ssl);
	}
	SSL_free(ssl);
	SSL_CTX_free(context);
	X509_free(cert);
	EVP_PKEY_free(key);
	if (in != trust)
		tls_trust_free(in);
}

#define HOUR 3600L

static void
a_certificate_that_is_trusted_and_valid_is_accepted(void **state)
{
	meet("example.com", -HOUR, HOUR, true, TLS1_3_VERSION);
	assert_string_equal(stream_error(client.stream), "");
	assert_int_equal(client.secured, 1);
}

static void
tls_1_2_is_spoken_and_nothing_older(void **state)
{
	meet("example.com", -HOUR, HOUR, true, TLS1_2_VERSION);
	assert_int_equal(client.secured, 1);
	tear_down(state);
	set_up(state);
	meet("example.com", -HOUR, HOUR, true, TLS1_1_VERSION);
	assert_int_equal(client.secured, 0);
	assert_int_equal(client.failed, 1);
}

static void
a_wildcard_is_for_one_label_only(void **state)
{
	meet("*.com", -HOUR, HOUR, true, TLS1_3_VERSION);
	assert_int_equal(client.secured, 0); /* and not for a top-level domain */
	tear_down(state);
	set_up(state);
	meet("ex*.com", -HOUR, HOUR, true, TLS1_3_VERSION);
	assert_int_equal(client.secured, 0);
}

static void
a_self_signed_certificate_is_refused(void **state)
{
	meet("example.com", -HOUR, HOUR, false, TLS1_3_VERSION);
	assert_int_equal(client.secured, 0);
	assert_string_equal(stream_error(client.stream),
	    "the certificate of example.com is not valid: self-signed certificate");
}

static void
an_expired_certificate_is_refused(void **state)
{
	meet("example.com", -2 * HOUR, -HOUR, true, TLS1_3_VERSION);
	assert_int_equal(client.secured, 0);
	assert_string_equal(
	    stream_error(client.stream), "the certificate of example.com is not valid: expired");
}

static void
a_certificate_of_the_future_is_refused(void **state)
{
	meet("example.com", HOUR, 2 * HOUR, true, TLS1_3_VERSION);
	assert_int_equal(client.secured, 0);
	assert_non_null(strstr(stream_error(client.stream), "not yet valid"));
}

/* ---- a client of OpenSSL's own, for what ours would not ask ---- */

/* The result of its handshake with the server's stream. */
static int
visit(SSL *ssl)
{
	int r = 0;
	for (int i = 0; i < 20 && r != 1; i++) {
		r = SSL_connect(ssl);
		settle(loop);
	}
	return r;
}

static SSL *
visitor(SSL_CTX *context, const char *protocols, size_t protocols_len)
{
	SSL *ssl = SSL_new(context);
	assert_int_equal(SSL_set_fd(ssl, server_wire), 1);
	if (protocols_len > 0)
		assert_int_equal(SSL_set_alpn_protos(ssl, (const unsigned char *)protocols,
				     (unsigned)protocols_len),
		    0);
	assert_int_equal(stream_secure_server(server.stream, authority, "example.com"), 0);
	return ssl;
}

static void
http_1_1_is_selected_and_h2_alone_is_refused(void **state)
{
	static const struct {
		const char *offered;
		int done;
		const char *selected;
	} cases[] = {
	    {"", 1, ""},
	    {"\x02h2\x08http/1.1", 1, "http/1.1"},
	    {"\x08http/1.1", 1, "http/1.1"},
	    {"\x02h2", -1, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		SSL_CTX *context = SSL_CTX_new(TLS_client_method());
		SSL *ssl = visitor(context, cases[i].offered, strlen(cases[i].offered));
		const unsigned char *selected;
		unsigned len = 0;
		assert_int_equal(visit(ssl), cases[i].done);
		SSL_get0_alpn_selected(ssl, &selected, &len);
		assert_int_equal(len, strlen(cases[i].selected));
		assert_memory_equal(selected, cases[i].selected, len);
		assert_int_equal(server.failed, cases[i].done == 1 ? 0 : 1);
		SSL_free(ssl);
		SSL_CTX_free(context);
		tear_down(state);
		set_up(state);
	}
}

static void
a_ticket_resumes_and_only_with_its_own_host(void **state)
{
	static const char *const hosts[] = {"example.com", "example.com", "other.example"};
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL_SESSION *session = NULL;
	struct end others[3];
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		int fds[2];
		char byte;
		socket_pair(fds);
		end_open(&others[i], loop, fds[0]);
		assert_int_equal(stream_secure_server(others[i].stream, authority, hosts[i]), 0);
		SSL *ssl = SSL_new(context);
		assert_int_equal(SSL_set_fd(ssl, fds[1]), 1);
		if (session != NULL)
			assert_int_equal(SSL_set_session(ssl, session), 1);
		assert_int_equal(visit(ssl), 1);
		assert_int_equal(SSL_session_reused(ssl), i == 1);
		(void)SSL_read(ssl, &byte, 1); /* the ticket */
		SSL_SESSION_free(session);
		session = SSL_get1_session(ssl);
		(void)SSL_shutdown(ssl);
		SSL_free(ssl);
		end_close(&others[i]);
		close_fd(&fds[1]);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(context);
}

/* ---- a relay between TLS and a plain socket ---- */

static unsigned n_relays_done;

static void
on_relay_done(struct relay *relay, void *data)
{
	n_relays_done++;
}

/* The client's end is joined to a socket whose other side is *RET_FAR. */
static struct relay *
join(int *ret_far)
{
	int fds[2];
	struct stream *plain;
	struct relay *relay;
	n_relays_done = 0;
	secure("example.com", "example.com");
	carry_all(65536);
	socket_pair(fds);
	*ret_far = fds[1];
	assert_int_equal(stream_new(loop, fds[0], on_end, NULL, &plain), 0);
	assert_int_equal(stream_write(server.stream, "waited ", 7), 0);
	client.keeps = true;
	carry_all(65536);
	assert_int_equal(relay_new(client.stream, plain, on_relay_done, NULL, &relay), 0);
	client.stream = NULL;
	return relay;
}

static void
tls_is_relayed_with_the_ends_of_both_halves(void **state)
{
	_cleanup_close_ int far = -1;
	_cleanup_buf_ struct buf got;
	struct relay *relay = join(&far);
	buf_init(&got, 1 << 20);
	assert_int_equal(stream_write(server.stream, "for you", 7), 0);
	stream_end(server.stream);
	carry_all(65536);
	assert_true(drain(far, &got));
	assert_string_equal(buf_str(&got), "waited for you");
	push(far, "and back");
	carry_all(65536);
	assert_string_equal(buf_str(&server.got), "and back");
	assert_int_equal(n_relays_done, 0);
	assert_int_equal(shutdown(far, SHUT_WR), 0);
	carry_all(65536);
	assert_true(server.ended);
	assert_int_equal(n_relays_done, 1);
	assert_string_equal(relay_error(relay), "");
	relay_free(relay);
}

static void
tls_that_is_cut_ends_its_relay_as_a_failure(void **state)
{
	_cleanup_close_ int far = -1;
	_cleanup_buf_ struct buf got;
	struct relay *relay = join(&far);
	buf_init(&got, 1 << 20);
	carry_all(65536);
	assert_int_equal(shutdown(client_wire, SHUT_WR), 0);
	settle(loop);
	assert_int_equal(n_relays_done, 1);
	assert_non_null(strstr(relay_error(relay), "close_notify"));
	(void)drain(far, &got);
	assert_string_equal(buf_str(&got), "waited ");
	relay_free(relay);
}

/* ---- callbacks and memory ---- */

static void
a_stream_may_be_freed_in_any_callback_of_tls(void **state)
{
	for (int event = STREAM_READABLE; event <= STREAM_FAILED; event++) {
		client.free_at = server.free_at = event;
		secure("example.com", event == STREAM_FAILED ? "other.example" : "example.com");
		assert_int_equal(stream_write(client.stream, "hello", 5), 0);
		carry_all(65536);
		if (event == STREAM_READABLE || event == STREAM_FAILED)
			assert_null(server.stream);
		if (event != STREAM_READABLE)
			assert_null(client.stream);
		tear_down(state);
		set_up(state);
	}
}

static void
what_is_no_host_is_refused_at_once(void **state)
{
	char long_host[300];
	memset(long_host, 'a', sizeof(long_host));
	long_host[sizeof(long_host) - 1] = 0;
	assert_true(stream_secure_server(server.stream, authority, "") < 0);
	assert_true(stream_secure_server(server.stream, authority, long_host) < 0);
	assert_true(stream_secure_client(client.stream, trust, "") < 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(both_sides_speak_and_end),
	    TEST(bytes_that_come_one_by_one_are_enough),
	    TEST(a_hello_that_was_looked_at_is_the_beginning_of_the_handshake),
	    TEST(an_address_is_as_good_a_host_as_a_name),
	    TEST(much_goes_through_a_peer_that_reads_slowly),
	    TEST(an_end_without_close_notify_is_a_failure),
	    TEST(a_handshake_that_is_cut_anywhere_fails_once_and_clearly),
	    TEST(a_byte_that_is_changed_on_the_wire_is_a_failure),
	    TEST(a_peer_that_does_not_speak_tls_is_named),
	    TEST(a_certificate_for_another_host_is_refused_and_both_hear_why),
	    TEST(an_address_that_the_certificate_does_not_have_is_refused),
	    TEST(an_authority_that_is_not_ours_is_refused),
	    TEST(a_certificate_that_is_trusted_and_valid_is_accepted),
	    TEST(tls_1_2_is_spoken_and_nothing_older),
	    TEST(a_wildcard_is_for_one_label_only),
	    TEST(a_self_signed_certificate_is_refused),
	    TEST(an_expired_certificate_is_refused),
	    TEST(a_certificate_of_the_future_is_refused),
	    TEST(http_1_1_is_selected_and_h2_alone_is_refused),
	    TEST(a_ticket_resumes_and_only_with_its_own_host),
	    TEST(tls_is_relayed_with_the_ends_of_both_halves),
	    TEST(tls_that_is_cut_ends_its_relay_as_a_failure),
	    TEST(a_stream_may_be_freed_in_any_callback_of_tls),
	    TEST(what_is_no_host_is_refused_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
