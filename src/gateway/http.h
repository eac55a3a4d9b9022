/* One connection that speaks HTTP/1.1 to us, and the exchange that is under way on it, as the files that share it see
 * them: http.c (heads, where to, the next one), http_action.c (what is asked), http_request.c (to the upstream),
 * http_response.c (back), http_refuse.c (our own answers).
 *
 *     HEAD ─whole head→ WHERE ─(proxy: reach)→ COLLECT ─body that must be seen first→ ASKED ─GO→ OPENING
 *       ↑                                                                               └NO→ refused (a push: DRAIN, then)
 *       └──── settled, and both sides go on ──── EXCHANGE ←─connected, request written ─────────┘ */
#pragma once

#include "base/sha256.h"
#include "gateway/ask.h"
#include "gateway/connection.h"
#include "gateway/git_guard.h"
#include "gateway/secrets.h"
#include "gateway/upstream.h"
#include "proto/http1.h"

#define HEAD_BYTES_MAX (32 * 1024)  /* of a request: it must fit into a message to the arbiter */
#define COLLECT_MAX (64 * 1024)     /* bodies up to here are part of what is decided on */
#define PUSH_MAX (64 * 1024 * 1024) /* of a push that must be read before it is decided */
#define RESPONSE_HASH_MAX (1024 * 1024) /* larger ones are not hashed for the record */

enum http_state {
	HTTP_HEAD,
	HTTP_WHERE,
	HTTP_COLLECT,
	HTTP_ASKED,
	HTTP_OPENING,
	HTTP_EXCHANGE,
	HTTP_DRAIN
};

/* A message's body as it is read. */
struct body {
	enum http_body kind;
	int64_t left;
	struct http_chunks chunks;
	int64_t bytes; /* content so far */
	bool done;
};

struct http {
	struct connection *c;
	enum http_state state;
	struct timer *timer; /* of the state */

	/* the request */
	struct buf head_bytes;
	struct http_head head; /* points into head_bytes */
	struct http_where where;
	char host[HOST_MAX]; /* where it goes */
	int port;
	bool tls;
	struct reach reach; /* of there */
	struct reach_question *question;
	struct body request;
	struct buf collected; /* content that was read before the decision */
	bool hashed;
	uint8_t request_hash[SHA256_BYTES];
	enum git_request git;
	char repository[1025];
	struct git_push *push; /* owned */
	char denial[400];      /* in DRAIN: why it was denied */
	bool continued;        /* 100 was sent */
	bool websocket;        /* asks for that protocol, which nobody reads after 101 */

	/* its action */
	struct ask *ask;
	struct secret_wait *secret;
	struct upstream_dial *dial;
	const struct credential *credential;     /* borrowed from the guest; NULL: none */
	struct buf signed_headers, signed_query; /* of one that is signed (AWS) */
	int64_t began_ns;

	/* the upstream */
	struct stream *up;
	char address[64];
	bool reused, sent; /* up served another request before; our request is all written */
	struct stream_meter *meter; /* owned: the rule's */
	struct timer *deadline;     /* the rule's */

	uint64_t moved; /* bytes on both sides, when the clock last looked */
	unsigned still; /* times that it saw the same */

	/* the response */
	struct http_head answer; /* valid while its head is handled; then only its numbers */
	bool answering;          /* its head went to the sandbox */
	bool chunked_out, close_after;
	struct body response;
	struct scrub *scrub; /* owned; NULL: nothing to remove */
	struct sha256 response_hash;
	int64_t response_max;
	struct relay *relay; /* owned: after 101 */
};

/* http.c */
/* The exchange is over and settled: the next one, or the end. */
void http_next(struct http *http);
/* Gives up the connection at once; what was under way is settled as failed with REASON. */
void http_abort(struct http *http, const char *reason);
/* (Re)starts the state's clock. False: no memory, and the connection is gone. */
bool http_clock(struct http *http, int64_t ms);
void http_set_state(struct http *http, enum http_state state);
void http_drop_collected(struct http *http);
/* Reads from BYTES one run of BODY's content. 0, or -EBADMSG. */
int body_read(struct body *body, const uint8_t *bytes, size_t len, bool ended, size_t *ret_used,
    struct http_text *ret_content) MUST_CHECK;
void body_begin(struct body *body, const struct http_head *head);
/* Sends one run of a body's content, as a chunk or as it is. 0 or -errno. */
int body_send(struct stream *to, bool chunked, const void *content, size_t len);
/* "GET https://example.com/path" for people. */
void http_what(const struct http *http, char *ret, size_t size);

/* http_action.c */
/* The request is understood as far as it must be: asks for it. */
void http_ask(struct http *http);
/* Whether a body must be seen before it is decided on: then it is collected. */
bool http_must_collect(const struct http *http);

/* http_request.c */
/* Allowed: credential, connection, request. */
void http_perform(struct http *http);
/* Passes on more of the request's body. */
void http_pump_request(struct http *http);

/* http_response.c */
/* Reads more of the response. */
void http_pump_response(struct http *http);
/* Tells the arbiter how it ended; ERROR NULL: well. */
void http_settle(struct http *http, const char *error);

/* http_refuse.c: our own answers. Each ends the connection once it is sent; none may be sent after http->answering. */
struct http_refusal {
	int status;
	const char *code, *reason, *needed; /* needed: the rule; may be NULL */
	const char *event;                  /* for the ledger; NULL: it has the action already */
};
void http_deny(struct http *http, const struct http_refusal *refusal);
/* Drops more of a denied push, and answers when it is all there: git reads an answer only after it has sent all. */
void http_drain(struct http *http);
/* The same without an exchange: C's stream gets the answer, and is closed gently. C's http must be gone. */
void http_deny_connection(
    struct connection *c, const struct http_refusal *refusal, const char *what);
/* Closes gently after what is queued: the peer's bytes are read and dropped for a moment, so that it gets ours. */
void http_linger(struct connection *c);
