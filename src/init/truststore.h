/* A store of authorities for Java, which reads no PEM: the "JKS" format (sun.security.provider.JavaKeyStore), which every
 * JVM reads whatever it writes itself. */
#pragma once

#include <stddef.h>

#include "base/buf.h"
#include "base/macros.h"

/* Appends a store with the certificates of the LEN bytes of PEM; its password is the usual "changeit". 0, -EBADMSG (not
 * PEM), -EMSGSIZE or -ENOMEM. */
int truststore_write(const char *pem, size_t len, struct buf *out) MUST_CHECK;
