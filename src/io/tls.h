/* What TLS needs beside a stream (io/stream.h): whom we trust upstream, and the authority by which we are a host to a
 * sandbox. The only files that include OpenSSL's ssl.h and x509.h are in this folder. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"

/* Once, before the program locks itself up: later nothing here opens a file or a socket. (The others call it as well.)
 * 0 or -errno with ERR. */
int tls_init(struct error *err) MUST_CHECK;

/* The authorities that upstream certificates must come from, with a context for connections to them. */
struct tls_trust;
/* PEM is a bundle of LEN bytes. Read before the program locks itself up. NULL with ERR. */
struct tls_trust *tls_trust_new(const char *pem, size_t len, struct error *err);
struct tls_trust *tls_trust_free(struct tls_trust *trust);

/* A sandbox's own certificate authority: keys in memory only, valid for 30 days, named by NAME ("Ringfence
 * sandbox 0197…"). Certificates for hosts are made on first need and kept (the 256 used last). */
struct tls_authority;
struct tls_authority *tls_authority_new(const char *name, struct error *err);
struct tls_authority *tls_authority_free(struct tls_authority *authority);
/* Its certificate as PEM; borrowed. */
const char *tls_authority_pem(const struct tls_authority *authority);
