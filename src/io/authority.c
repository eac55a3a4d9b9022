/* A sandbox's own certificate authority. Its key and the one key of all its hosts' certificates are made here and never
 * leave this process; whoever trusts it is that sandbox alone. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/sha256.h"
#include "io/tls_priv.h"

#define HOSTS 256
#define HOST_SIZE 256
#define HOUR 3600
#define DAY (24 * HOUR)
#define AUTHORITY_LIFE (30 * DAY) /* a session may last; the keys go with it */
#define LEAF_LIFE (2 * DAY)
#define LEAF_RENEWED (1 * DAY) /* before its end */
#define COMMON_NAME 64         /* RFC 5280, ub-common-name */
#define SERIAL_BYTES 16
#define TICKETS 1

struct leaf {
	char host[HOST_SIZE];
	X509 *cert;
	uint64_t used;  /* the authority's clock */
	time_t renewed; /* when another is made */
};

struct tls_authority {
	EVP_PKEY *key, *leaf_key;
	X509 *cert;
	char *pem;
	SSL_CTX *context;
	struct leaf *leaves; /* n_leaves of at most HOSTS */
	size_t n_leaves;
	uint64_t clock;
};

/* ---- certificates ---- */

static int
set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -1;
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and never short */
	BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ASN1_INTEGER *serial = number == NULL ? NULL : BN_to_ASN1_INTEGER(number, NULL);
	int r = serial != NULL && X509_set_serialNumber(cert, serial) == 1 ? 0 : -1;
	ASN1_INTEGER_free(serial);
	BN_free(number);
	return r;
}

static int
set_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	int r = extension != NULL && X509_add_ext(cert, extension, -1) == 1 ? 0 : -1;
	X509_EXTENSION_free(extension);
	return r;
}

static int
set_common_name(X509_NAME *name, const char *text)
{
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text,
		   (int)strnlen(text, COMMON_NAME), -1, 0) == 1
	    ? 0
	    : -1;
}

/* A certificate for KEY without extensions, from an hour ago to LIFE seconds from now. */
static X509 *
certificate_new(EVP_PKEY *key, const char *common_name, const X509_NAME *issuer, long life)
{
	X509 *cert = X509_new();
	if (cert == NULL)
		return NULL;
	X509_NAME *name = X509_get_subject_name(cert);
	if (X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) == 0 &&
	    set_common_name(name, common_name) == 0 &&
	    X509_set_issuer_name(cert, issuer != NULL ? issuer : name) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), -HOUR) != NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), life) != NULL &&
	    X509_set_pubkey(cert, key) == 1)
		return cert;
	X509_free(cert);
	return NULL;
}

static X509 *
authority_certificate(EVP_PKEY *key, const char *name)
{
	X509 *cert = certificate_new(key, name, NULL, AUTHORITY_LIFE);
	if (cert != NULL &&
	    set_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") == 0 &&
	    set_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") == 0 &&
	    set_extension(cert, cert, NID_subject_key_identifier, "hash") == 0 &&
	    X509_sign(cert, key, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

/* The host's name or address goes in as bytes, never through the text form of extensions, whose commas and colons
 * would have a meaning. */
static int
set_alternative_name(X509 *cert, const char *host)
{
	unsigned char address[16];
	size_t address_len = tls_host_address(host, address);
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *value =
	    ASN1_STRING_type_new(address_len > 0 ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
	int r = -1;
	if (names != NULL && name != NULL && value != NULL &&
	    ASN1_STRING_set(value, address_len > 0 ? (const void *)address : host,
		address_len > 0 ? (int)address_len : (int)strlen(host)) == 1) {
		GENERAL_NAME_set0_value(
		    name, address_len > 0 ? GEN_IPADD : GEN_DNS, TAKE_PTR(value));
		if (sk_GENERAL_NAME_push(names, name) > 0) {
			(void)TAKE_PTR(name);
			r = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1 ? 0
											    : -1;
		}
	}
	ASN1_STRING_free(value);
	GENERAL_NAME_free(name);
	GENERAL_NAMES_free(names);
	return r;
}

static X509 *
leaf_certificate(struct tls_authority *authority, const char *host)
{
	X509 *cert = certificate_new(
	    authority->leaf_key, host, X509_get_subject_name(authority->cert), LEAF_LIFE);
	if (cert != NULL && set_alternative_name(cert, host) == 0 &&
	    set_extension(cert, authority->cert, NID_basic_constraints, "critical,CA:FALSE") == 0 &&
	    set_extension(cert, authority->cert, NID_key_usage, "critical,digitalSignature") == 0 &&
	    set_extension(cert, authority->cert, NID_ext_key_usage, "serverAuth") == 0 &&
	    set_extension(cert, authority->cert, NID_authority_key_identifier, "keyid") == 0 &&
	    X509_sign(cert, authority->key, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

/* ---- the authority ---- */

static int
select_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
    const unsigned char *offered, unsigned offered_len, void *data)
{
	static const unsigned char ours[] = "\x08http/1.1\x08http/1.0";
	unsigned char *selected;
	if (SSL_select_next_proto(&selected, ret_len, ours, sizeof(ours) - 1, offered,
		offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret = selected;
	return SSL_TLSEXT_ERR_OK;
}

static char *
to_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *pem = NULL;
	if (bio != NULL && PEM_write_bio_X509(bio, cert) == 1) {
		long len = BIO_get_mem_data(bio, &text);
		pem = strndup(text, (size_t)len);
	}
	BIO_free(bio);
	return pem;
}

struct tls_authority *
tls_authority_new(const char *name, struct error *err)
{
	if (tls_init(err) < 0)
		return NULL;
	struct tls_authority *authority = calloc(1, sizeof(*authority));
	if (authority == NULL) {
		(void)error_set(err, ENOMEM, "tls_failed", "out of memory");
		return NULL;
	}
	authority->key = EVP_EC_gen("P-256");
	authority->leaf_key = EVP_EC_gen("P-256");
	authority->context = tls_context_new(TLS_server_method());
	if (authority->key != NULL)
		authority->cert = authority_certificate(authority->key, name);
	if (authority->cert != NULL)
		authority->pem = to_pem(authority->cert);
	if (authority->pem == NULL || authority->leaf_key == NULL || authority->context == NULL) {
		ERR_clear_error();
		(void)error_set(
		    err, ENOMEM, "tls_failed", "a certificate authority cannot be made");
		return tls_authority_free(authority);
	}
	SSL_CTX_set_alpn_select_cb(authority->context, select_protocol, NULL);
	(void)SSL_CTX_set_session_cache_mode(authority->context, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(authority->context, TICKETS);
	return authority;
}

struct tls_authority *
tls_authority_free(struct tls_authority *authority)
{
	if (authority == NULL)
		return NULL;
	for (size_t i = 0; i < authority->n_leaves; i++)
		X509_free(authority->leaves[i].cert);
	free(authority->leaves);
	SSL_CTX_free(authority->context);
	X509_free(authority->cert);
	EVP_PKEY_free(authority->leaf_key);
	EVP_PKEY_free(authority->key);
	free(authority->pem);
	free(authority);
	return NULL;
}

const char *
tls_authority_pem(const struct tls_authority *authority)
{
	return authority->pem;
}

/* ---- certificates for hosts, kept ---- */

/* The leaf of HOST, or a place for it: a new one, or that of the leaf that was used longest ago. */
static struct leaf *
find_leaf(struct tls_authority *authority, const char *host)
{
	struct leaf *oldest = NULL;
	for (size_t i = 0; i < authority->n_leaves; i++) {
		struct leaf *leaf = &authority->leaves[i];
		if (strcmp(leaf->host, host) == 0)
			return leaf;
		if (oldest == NULL || leaf->used < oldest->used)
			oldest = leaf;
	}
	if (authority->n_leaves == HOSTS)
		return oldest;
	struct leaf *leaves =
	    realloc(authority->leaves, (authority->n_leaves + 1) * sizeof(struct leaf));
	if (leaves == NULL)
		return NULL;
	authority->leaves = leaves;
	leaves[authority->n_leaves] = (struct leaf){0};
	return &leaves[authority->n_leaves++];
}

static X509 *
certificate_for(struct tls_authority *authority, const char *host)
{
	if (host[0] == 0 || strlen(host) >= HOST_SIZE)
		return NULL;
	struct leaf *leaf = find_leaf(authority, host);
	if (leaf == NULL)
		return NULL;
	time_t now = time(NULL);
	if (leaf->cert == NULL || strcmp(leaf->host, host) != 0 || now >= leaf->renewed) {
		X509 *cert = leaf_certificate(authority, host);
		if (cert == NULL)
			return NULL;
		X509_free(leaf->cert);
		*leaf = (struct leaf){.cert = cert, .renewed = now + LEAF_LIFE - LEAF_RENEWED};
		(void)snprintf(leaf->host, sizeof(leaf->host), "%s", host);
	}
	leaf->used = ++authority->clock;
	return leaf->cert;
}

SSL *
tls_authority_accept(struct tls_authority *authority, const char *host)
{
	X509 *cert = certificate_for(authority, host);
	SSL *ssl = cert == NULL ? NULL : SSL_new(authority->context);
	if (ssl == NULL) {
		ERR_clear_error();
		return NULL;
	}
	/* A ticket for one host is none for another. */
	uint8_t id[SHA256_BYTES];
	sha256(host, strlen(host), id);
	if (SSL_use_certificate(ssl, cert) != 1 ||
	    SSL_use_PrivateKey(ssl, authority->leaf_key) != 1 ||
	    SSL_set_session_id_context(ssl, id, sizeof(id)) != 1) {
		ERR_clear_error();
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}
