/* HTTP/1.1 messages (RFC 9112, RFC 9110), read strictly: a message that two parsers could frame or route
 * differently is refused, never guessed at. Pure: bytes in, structure out; nothing is copied, all texts
 * point into the caller's bytes.
 *
 * Refused: bare CR or LF, obs-fold, white space before a colon, NUL and control bytes, Content-Length
 * beside Transfer-Encoding, several Content-Lengths, a transfer coding other than one final "chunked",
 * anything in a request with version 1.0 and Transfer-Encoding, several Hosts or none, chunk sizes with
 * signs, white space or more than 15 digits, bytes ≥ 0x80 in names, methods and targets. Also, where the RFCs would
 * permit it: an empty line before a message, leading zeros and tabs around Content-Length, Content_Length, any Expect
 * but 100-continue on a request with a body, Host or Content-Length named by Connection. None of Host is accepted of a
 * request with version 1.0 whose target names the host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"

#define HTTP_HEADERS_MAX 128
#define HTTP_HEAD_MAX 65536 /* bytes of start line and headers together */

struct http_text {
	const char *at; /* not terminated */
	size_t len;
};

struct http_header {
	struct http_text name, value; /* value without the white space around it */
};

enum http_body { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_CLOSE };

struct http_head {
	struct http_text method, target; /* of a request */
	int status;                      /* of a response */
	struct http_text reason;
	int minor; /* version 1.minor: 0 or 1 */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t n_headers;
	size_t len; /* bytes of the whole head */
	enum http_body body;
	int64_t length;  /* with HTTP_BODY_LENGTH */
	bool keep_alive; /* the connection may be used again after this message */
	bool expect_continue;
	bool upgrade; /* asks for, or (101) grants another protocol */
};

/* Reads the head at the front of BYTES into RET (undefined unless it is complete). Its length, 0 if more bytes are needed, -EMSGSIZE (too large or too many
 * headers: 431), -EPROTONOSUPPORT (another version: 505), or -EBADMSG with ERR saying what was refused (400). */
int http_request_parse(const uint8_t *bytes, size_t len, struct http_head *ret, struct error *err)
    MUST_CHECK;
/* The same for a response to METHOD (HEAD and CONNECT change what follows). Interim (1xx) heads are returned too. */
int http_response_parse(const uint8_t *bytes, size_t len, const char *method, struct http_head *ret,
    struct error *err) MUST_CHECK;

/* The first header NAME (any case), or NULL. */
const struct http_header *http_find(const struct http_head *head, const char *name);
/* Whether the comma-separated values of every NAME header contain TOKEN (any case). */
bool http_has_token(const struct http_head *head, const char *name, const char *token);
bool http_text_is(struct http_text text, const char *expected);      /* exact */
bool http_text_is_fold(struct http_text text, const char *expected); /* any ASCII case */
/* Whether header NAME is one of a single connection (Connection, what it names, Keep-Alive, TE, …), not to be
 * forwarded. HEAD is needed for what Connection names. */
bool http_is_hop_by_hop(const struct http_head *head, struct http_text name);

/* Where a request is going: the target and the Host header read together. */
struct http_where {
	enum { HTTP_ORIGIN, HTTP_ABSOLUTE, HTTP_AUTHORITY, HTTP_ASTERISK } form;
	char scheme[8]; /* of the absolute form: "http" or "https"; else "" */
	char host
	    [256]; /* lower case, without brackets and trailing dot; of the target, else of Host */
	int port;  /* 0: none was given */
	struct http_text path;  /* as sent, begins with "/"; "" for authority and asterisk */
	struct http_text query; /* without "?" */
};

/* 0, or -EBADMSG with ERR: userinfo, fragments, bytes that are not of a URI, a Host that differs from the target's
 * authority, a port out of range, an address in a roundabout spelling (octal, hex, short, one number). */
int http_where(const struct http_head *head, struct http_where *ret, struct error *err) MUST_CHECK;

/* The chunked coding, as it arrives; trailers are read and dropped. Zero to begin. */
struct http_chunks {
	int state;
	uint64_t left;
	uint32_t trailer_bytes;
	bool done; /* the last chunk and its trailers are read */
};

/* Reads of BYTES as much as gives one run of content: how many bytes were used in *RET_USED, and where the content is
 * (may be empty). Fewer than LEN are used only if there is content or the end was met: call again with the rest until
 * all are used or DONE; what follows the end is not touched. 0, or -EBADMSG, then and ever after. Chunk extensions are refused (they carry nothing we forward). */
int http_chunks_read(struct http_chunks *chunks, const uint8_t *bytes, size_t len, size_t *ret_used,
    struct http_text *ret_content) MUST_CHECK;
/* Appends the header of a chunk of LEN bytes ("1f\r\n"); LEN 0: the last one. The CRLF after the content is the
 * caller's, also after the none of the last one: "0\r\n" + "\r\n" ends the body. */
int http_chunk_begin(struct buf *out, size_t len);
