/* A client's first message of TLS (RFC 8446, 4.1.2), read to know for whom it is meant. Pure; nothing is answered.
 *
 * The whole ClientHello is put together from as many records as it was cut into: one that looked only at the first
 * would be told another name than the server behind is. What could be read in two ways is refused: two names, two
 * server_name extensions, a name that is not canonical but for case, lengths that do not add up. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "proto/hostname.h"

#define TLS_HELLO_MAX 65536 /* bytes of the message and its records' headers together */
#define TLS_HELLO_ALPN_MAX 32
#define TLS_HELLO_ALPN_TEXT 32

struct tls_hello {
	char host[HOSTNAME_TEXT];                           /* server_name, canonical; "": none */
	char alpn[TLS_HELLO_ALPN_MAX][TLS_HELLO_ALPN_TEXT]; /* "h2", "http/1.1", as offered */
	size_t n_alpn; /* those that are short printable text; GREASE and others are left out */
	bool alpn_offered;
	bool ech;            /* encrypted_client_hello is offered, or GREASE of it */
	bool early_data;     /* 0-RTT follows */
	int version;         /* the highest offered: 0x0304 is TLS 1.3 */
	const char *refused; /* with -EBADMSG and -EMSGSIZE: why; static */
};

/* Looks at the first LEN bytes of a connection.
 *  > 0         the ClientHello is whole: this many bytes of records hold it
 *  0           so far it is one; more bytes are needed (never once LEN is TLS_HELLO_MAX or more)
 *  -ENOMSG     it is not TLS: another protocol (RET is zero)
 *  -EBADMSG    TLS that is malformed or ambiguous; RET->refused says what
 *  -EMSGSIZE   it is larger than TLS_HELLO_MAX; RET->refused says so
 *  -ENOMEM */
int tls_hello_read(const uint8_t *bytes, size_t len, struct tls_hello *ret) MUST_CHECK;
/* Whether ALPN offers PROTOCOL. */
bool tls_hello_offers(const struct tls_hello *hello, const char *protocol);
