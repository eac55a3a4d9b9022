/* What stream_tls.c, tls.c and authority.c share; the only header that includes OpenSSL's. */
#pragma once

#include <openssl/ssl.h>

#include "io/tls.h"

/* A context with what both sides have in common: versions, ciphers, modes. NULL: out of memory. */
SSL_CTX *tls_context_new(const SSL_METHOD *method);
/* A handshake's object, ready but for its BIO. NULL: out of memory, or HOST cannot be asked for. */
SSL *tls_trust_connect(struct tls_trust *trust, const char *host);
SSL *tls_authority_accept(struct tls_authority *authority, const char *host);
/* HOST as the certificate has it: the bytes of an IPv4 or IPv6 address (4, 16), or 0: a name. */
size_t tls_host_address(const char *host, unsigned char ret[16]);
