/* TLS under a stream: OpenSSL over a BIO of ours, whose bytes are those that waited already (a ClientHello that was
 * looked at) and then the socket's, counted and metered. OpenSSL never sees the descriptor.
 *
 * An end without close_notify is a failure: whoever cuts a connection must not be able to make half an answer look whole. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/stream_priv.h"
#include "io/tls_priv.h"

#define RECORD (16 * 1024)

struct tls_session {
	SSL *ssl;
	struct fifo early; /* what waited in the stream when TLS began */
	X509 *refused;     /* the peer's certificate, if it was */
	bool is_client;
	bool at_end; /* of the socket */
	char host[256];
};

/* ---- the BIO ---- */

static int
bio_read(BIO *bio, char *bytes, size_t len, size_t *ret_len)
{
	struct stream *stream = BIO_get_data(bio);
	struct fifo *early = &stream->tls->early;
	BIO_clear_retry_flags(bio);
	size_t waits = MIN(fifo_len(early), len);
	if (waits > 0) {
		memcpy(bytes, fifo_data(early), waits);
		fifo_drop(early, waits);
		fifo_trim(early);
		*ret_len = waits;
		return 1;
	}
	ssize_t n = stream_receive(stream, bytes, len);
	if (n == -EAGAIN)
		BIO_set_retry_read(bio);
	stream->tls->at_end = n == 0;
	*ret_len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* Sending that fails is no failure to OpenSSL, which would then refuse to read on: the stream says so when what the peer
 * sent before is read. */
static int
bio_write(BIO *bio, const char *bytes, size_t len, size_t *ret_len)
{
	struct stream *stream = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	ssize_t n = stream_send(stream, bytes, len);
	if (n == -EAGAIN) {
		BIO_set_retry_write(bio);
		return 0;
	}
	*ret_len = n < 0 ? len : (size_t)n;
	return 1;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
	const struct stream *stream = BIO_get_data(bio);
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return stream->tls->at_end;
	default:
		return 0;
	}
}

static BIO *
bio_new(struct stream *stream)
{
	static BIO_METHOD *method; /* one for the life of the process */
	if (method == NULL) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
		if (method == NULL)
			return NULL;
		(void)BIO_meth_set_read_ex(method, bio_read);
		(void)BIO_meth_set_write_ex(method, bio_write);
		(void)BIO_meth_set_ctrl(method, bio_control);
	}
	BIO *bio = BIO_new(method);
	if (bio == NULL)
		return NULL;
	BIO_set_data(bio, stream);
	BIO_set_init(bio, 1);
	return bio;
}

/* ---- beginning ---- */

struct tls_session *
tls_session_free(struct tls_session *session)
{
	if (session == NULL)
		return NULL;
	SSL_free(session->ssl);
	X509_free(session->refused);
	fifo_done(&session->early);
	free(session);
	return NULL;
}

/* Changes nothing of the verdict: notes what certificate it was about. */
static int
on_verified(int ok, X509_STORE_CTX *context)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_session *session = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get0_cert(context);
	if (!ok && session->refused == NULL && cert != NULL && X509_up_ref(cert) == 1)
		session->refused = cert;
	return ok;
}

static int
start(struct stream *stream, SSL *ssl, const char *host, bool is_client)
{
	struct tls_session *session = ssl == NULL ? NULL : calloc(1, sizeof(*session));
	BIO *bio = session == NULL ? NULL : bio_new(stream);
	if (bio == NULL) {
		free(session);
		SSL_free(ssl);
		return -ENOMEM;
	}
	SSL_set_bio(ssl, bio, bio);
	*session = (struct tls_session){.ssl = ssl, .early = stream->in, .is_client = is_client};
	log_escape(host, strlen(host), session->host, sizeof(session->host));
	if (is_client)
		SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verified);
	SSL_set_app_data(ssl, session);
	stream->in = (struct fifo){0};
	stream->tls = session;
	stream->handshaking = true;
	loop_defer(stream->loop, &stream->work);
	return 0;
}

int
stream_secure_server(struct stream *stream, struct tls_authority *authority, const char *host)
{
	if (stream->tls != NULL || stream->failed)
		return -EINVAL;
	return start(stream, tls_authority_accept(authority, host), host, false);
}

int
stream_secure_client(struct stream *stream, struct tls_trust *trust, const char *host)
{
	if (stream->tls != NULL || stream->failed)
		return -EINVAL;
	return start(stream, tls_trust_connect(trust, host), host, true);
}

/* ---- what went wrong, for people ---- */

/* The names of the peer's certificate, the first three. */
static void
certificate_names(const X509 *cert, char *ret, size_t ret_size)
{
	GENERAL_NAMES *names =
	    cert == NULL ? NULL : X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t len = 0;
	ret[0] = 0;
	int n = names == NULL ? 0 : sk_GENERAL_NAME_num(names), shown = 0;
	for (int i = 0; i < n && shown < 3; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS)
			continue;
		char text[128];
		log_escape((const char *)ASN1_STRING_get0_data(name->d.dNSName),
		    (size_t)ASN1_STRING_length(name->d.dNSName), text, sizeof(text));
		len += (size_t)snprintf(
		    ret + len, ret_size - len, "%s%s", shown > 0 ? ", " : "", text);
		len = MIN(len, ret_size - 1);
		shown++;
	}
	GENERAL_NAMES_free(names);
	if (shown == 0)
		(void)snprintf(ret, ret_size, "no name at all");
}

static int
bad_certificate(struct stream *stream, long why)
{
	const struct tls_session *session = stream->tls;
	char names[200];
	switch (why) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		certificate_names(session->refused, names, sizeof(names));
		return stream_fail(stream, EPROTO,
		    "the certificate of %s is not valid: it is for %s", session->host, names);
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return stream_fail(
		    stream, EPROTO, "the certificate of %s is not valid: expired", session->host);
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		return stream_fail(stream, EPROTO,
		    "the certificate of %s is not valid: self-signed certificate%s", session->host,
		    why == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ? " in its chain" : "");
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return stream_fail(stream, EPROTO,
		    "the certificate of %s is not valid: its authority is not known",
		    session->host);
	default:
		return stream_fail(stream, EPROTO, "the certificate of %s is not valid: %s",
		    session->host, X509_verify_cert_error_string(why));
	}
}

static int
bad_protocol(struct stream *stream)
{
	const struct tls_session *session = stream->tls;
	unsigned long error = ERR_peek_error();
	int reason = ERR_GET_REASON(error);
	long verified = SSL_get_verify_result(session->ssl);
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
		return bad_certificate(stream, verified);
	if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST)
		return stream_fail(stream, EPROTO,
		    session->is_client ? "%s does not speak TLS"
				       : "the client of %s does not speak TLS",
		    session->host);
	if (!session->is_client &&
	    (reason == SSL_R_TLSV1_ALERT_UNKNOWN_CA ||
		reason == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE ||
		reason == SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN))
		return stream_fail(stream, EPROTO,
		    "the client does not trust the sandbox's authority for %s", session->host);
	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return stream_fail(stream, ECONNRESET,
		    stream->handshaking ? "%s: the connection ended in the TLS handshake"
					: "%s: the connection was cut (without TLS's close_notify)",
		    session->host);
	const char *text = ERR_reason_error_string(error);
	return stream_fail(stream, EPROTO, "%s: TLS failed: %s", session->host,
	    text != NULL ? text : "unknown reason");
}

/* What OpenSSL's result means: 0 an orderly end, -EAGAIN, or -errno (the stream has failed). */
static int
result(struct stream *stream, int r)
{
	int error = SSL_get_error(stream->tls->ssl, r);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		r = -EAGAIN;
	else if (error == SSL_ERROR_ZERO_RETURN)
		r = 0;
	else if (stream->failed)
		r = -EPIPE; /* the socket's failure says more */
	else
		r = bad_protocol(stream);
	ERR_clear_error();
	return r;
}

/* ---- handshake, bytes, end ---- */

int
stream_tls_handshake(struct stream *stream)
{
	ERR_clear_error();
	int r = SSL_do_handshake(stream->tls->ssl);
	if (r == 1)
		return 1;
	r = result(stream, r);
	if (r == 0)
		return stream_fail(stream, ECONNRESET,
		    "%s: the connection ended in the TLS handshake", stream->tls->host);
	return r == -EAGAIN ? 0 : r;
}

ssize_t
stream_tls_read(struct stream *stream, void *bytes, size_t len)
{
	size_t n = 0;
	ERR_clear_error();
	int r = SSL_read_ex(stream->tls->ssl, bytes, len, &n);
	return r == 1 ? (ssize_t)n : result(stream, r);
}

/* At most one record: what it leaves must be offered again, and is, since it stays at the head of the queue. */
ssize_t
stream_tls_write(struct stream *stream, const void *bytes, size_t len)
{
	size_t n = 0;
	ERR_clear_error();
	int r = SSL_write_ex(stream->tls->ssl, bytes, MIN(len, (size_t)RECORD), &n);
	if (stream->broken != 0)
		return -stream->broken;
	if (r == 1)
		return (ssize_t)n;
	r = result(stream, r);
	return r == 0 ? stream_fail(stream, EPIPE, "%s ended TLS", stream->tls->host) : r;
}

int
stream_tls_end(struct stream *stream)
{
	ERR_clear_error();
	int r = SSL_shutdown(stream->tls->ssl);
	if (r >= 0 || stream->broken != 0)
		return 0;
	return result(stream, r);
}

bool
stream_tls_pending(const struct stream *stream)
{
	return fifo_len(&stream->tls->early) > 0 || SSL_has_pending(stream->tls->ssl) == 1;
}
