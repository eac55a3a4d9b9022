/* OpenSSL set up once, and the client's side: which authorities upstream certificates must come from.
 *
 * Nothing here opens a file or a socket: the bundle comes as bytes, OpenSSL's configuration is not read, and what the
 * libraries would load on first use (the time zone for one) is used once by tls_init, before the program locks itself up. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "io/tls_priv.h"

#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_1_2                                                  \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"
#define SECURITY_LEVEL 2
#define READ_BUFFER (32 * 1024) /* two records with one receive */

struct tls_trust {
	SSL_CTX *context;
};

int
tls_init(struct error *err)
{
	uint64_t how = OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT |
	    OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS;
	unsigned char byte;
	struct tm tm;
	time_t now = time(NULL);
	tzset();
	(void)gmtime_r(&now, &tm); /* reads the time zone the first time */
	if (OPENSSL_init_ssl(how, NULL) != 1 || RAND_bytes(&byte, 1) != 1)
		return error_set(err, EIO, "tls_failed", "OpenSSL cannot be set up: %s",
		    ERR_reason_error_string(ERR_peek_error()));
	return 0;
}

SSL_CTX *
tls_context_new(const SSL_METHOD *method)
{
	char groups[] = GROUPS; /* the macro that takes it casts const away */
	SSL_CTX *context = SSL_CTX_new(method);
	if (context == NULL)
		return NULL;
	SSL_CTX_set_security_level(context, SECURITY_LEVEL);
	(void)SSL_CTX_set_options(context,
	    SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	(void)SSL_CTX_set_mode(context,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, READ_BUFFER);
	if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(context, CIPHERS_1_3) != 1 ||
	    SSL_CTX_set_cipher_list(context, CIPHERS_1_2) != 1 ||
	    SSL_CTX_set1_groups_list(context, groups) != 1) {
		SSL_CTX_free(context);
		return NULL;
	}
	return context;
}

size_t
tls_host_address(const char *host, unsigned char ret[16])
{
	if (inet_pton(AF_INET, host, ret) == 1)
		return 4;
	return inet_pton(AF_INET6, host, ret) == 1 ? 16 : 0;
}

/* ---- whom we trust ---- */

/* How many certificates the bundle has, or -errno. */
static int
add_authorities(X509_STORE *store, BIO *bundle, struct error *err)
{
	int n = 0;
	for (;; n++) {
		X509 *cert = PEM_read_bio_X509(bundle, NULL, NULL, NULL);
		if (cert == NULL)
			break;
		int added = X509_STORE_add_cert(store, cert);
		X509_free(cert);
		if (added != 1)
			return error_set(err, ENOMEM, "tls_failed", "out of memory");
	}
	bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	if (!at_end)
		return error_set(err, EINVAL, "authorities_invalid",
		    "certificate number %d of the bundle of authorities cannot be read", n + 1);
	if (n == 0)
		return error_set(err, EINVAL, "authorities_invalid",
		    "the bundle of authorities has no certificate");
	return n;
}

struct tls_trust *
tls_trust_new(const char *pem, size_t len, struct error *err)
{
	static const unsigned char protocols[] = "\x08http/1.1";
	if (tls_init(err) < 0)
		return NULL;
	struct tls_trust *trust = calloc(1, sizeof(*trust));
	BIO *bundle = len > INT32_MAX ? NULL : BIO_new_mem_buf(pem, (int)len);
	SSL_CTX *context = tls_context_new(TLS_client_method());
	if (trust == NULL || bundle == NULL || context == NULL ||
	    SSL_CTX_set_alpn_protos(context, protocols, sizeof(protocols) - 1) != 0) {
		(void)error_set(err, ENOMEM, "tls_failed", "out of memory");
		goto fail;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (add_authorities(SSL_CTX_get_cert_store(context), bundle, err) < 0)
		goto fail;
	BIO_free(bundle);
	trust->context = context;
	return trust;
fail:
	SSL_CTX_free(context);
	BIO_free(bundle);
	free(trust);
	return NULL;
}

struct tls_trust *
tls_trust_free(struct tls_trust *trust)
{
	if (trust == NULL)
		return NULL;
	SSL_CTX_free(trust->context);
	free(trust);
	return NULL;
}

SSL *
tls_trust_connect(struct tls_trust *trust, const char *host)
{
	_cleanup_free_ char *name = strdup(host);
	SSL *ssl = name == NULL ? NULL : SSL_new(trust->context);
	if (ssl == NULL)
		return NULL;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	unsigned char address[16];
	size_t address_len = tls_host_address(host, address);
	bool set = address_len > 0 ? X509_VERIFY_PARAM_set1_ip(param, address, address_len) == 1
				   : X509_VERIFY_PARAM_set1_host(param, host, strlen(host)) == 1 &&
		SSL_set_tlsext_host_name(ssl, name) == 1;
	if (host[0] == 0 || !set) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}
