/* AWS Signature Version 4 ("Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference; "Signing AWS API
 * requests", IAM User Guide): a request that an agent signed with nothing of value, or not at all, is signed anew. Pure.
 *
 * The secret access key stays in the vault. A grant brings the key that is derived from it for one day, region and
 * service; that is what signs here.
 *
 * How the gateway uses it, for a credential whose `as` is CREDENTIAL_AWS:
 *   - leave out the request's headers for which credential_replaces is true (Authorization, X-Amz-Date,
 *     X-Amz-Content-Sha256, X-Amz-Security-Token), as for every credential;
 *   - call sigv4_sign once the head is understood; -EPERM: answer 403 with ERR's code and message;
 *   - write QUERY, if it is not empty, in place of the request's query: what is signed is what is sent;
 *   - write HEADERS (whole lines) in place of what credential_header gives;
 *   - send Host exactly as REQUEST's host, and every other signed header with the value that it had.
 *
 * What is refused, because it would go round what rules can say or cannot be signed without the secret:
 *   presigned URLs, query parameters x-amz-*, and those of Signature Version 2;
 *   payloads signed chunk by chunk (STREAMING-AWS4-…); one whose chunks are unsigned passes over TLS;
 *   x-amz-copy-source (reads where the path does not say);
 *   of S3, query parameters that are not of reading, listing and uploading objects (acl, policy, delete, …);
 *   a payload without a hash, except of S3 over TLS (UNSIGNED-PAYLOAD). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"
#include "proto/credential.h"

#define SIGV4_SCOPE_MAX 160 /* "20150830/us-east-1/s3", with the NUL */

struct sigv4_request {
	const struct http_head *head; /* method and headers; its target is not looked at */
	const char *host; /* as the Host header is sent, with the port if that is sent */
	struct http_text path, query; /* as sent by the agent: percent-encoded, without '?' */
	bool tls;
	const uint8_t *body_hash; /* SHA-256 of the body, where it is known beforehand; else NULL */
	int64_t now_ms;           /* wall clock */
};

/* Appends to HEADERS the lines that sign it, to QUERY its query in the canonical form. 0; -EPERM with ERR (aws_presigned,
 * aws_streaming, aws_payload, aws_copy, aws_operation, aws_path, aws_expired); -ENOMEM or -EMSGSIZE. */
int sigv4_sign(const struct credential *credential, const struct sigv4_request *request,
    struct buf *headers, struct buf *query, struct error *err) MUST_CHECK;

/* The key for SCOPE ("20150830/us-east-1/iam") of the secret access key. 0 or -EINVAL (SCOPE is not one). For the vault. */
int sigv4_derive(const char *secret, const char *scope, uint8_t ret[SHA256_BYTES]) MUST_CHECK;
/* Whether TEXT is DATE/REGION/SERVICE, each of letters, digits and '-'. */
bool sigv4_is_scope(const char *text);
/* The UTC date of WALL_MS, "20150830". */
void sigv4_date(int64_t wall_ms, char ret[9]);

/* The parts, for tests: the canonical request of the headers that are signed (their names, joined by ';', to NAMES). */
int sigv4_canonical(const struct sigv4_request *request, const char *service, const char *time,
    const char *payload, struct buf *names, struct buf *query, struct buf *out) MUST_CHECK;
