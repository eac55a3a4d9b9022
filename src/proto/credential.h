/* Putting a granted credential into a request, and keeping it out of what comes back. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "proto/http1.h"

#define CREDENTIAL_VALUE_MIN 8     /* less could not be kept out of responses */
#define CREDENTIAL_VALUE_MAX 65536 /* bytes */
#define CREDENTIAL_PLACEHOLDER "RINGFENCE_SECRET_"

/* A credential as MSG_CREDENTIAL brings it. All owned; credential_done wipes them. */
struct credential {
	enum {
		CREDENTIAL_BEARER,
		CREDENTIAL_BASIC,
		CREDENTIAL_HEADER,
		CREDENTIAL_QUERY,
		CREDENTIAL_COOKIE,
		CREDENTIAL_AWS /* proto/sigv4.h: signs, instead of being sent */
	} as;
	char *name; /* its own, as rules name it */
	/* Header, parameter or cookie; basic's user. AWS: date/region/service, access key id, and the key derived for that
	 * scope in hexadecimal. */
	char *field, *user, *value;
};

/* From the body of MSG_CREDENTIAL. 0, -EBADMSG (a value that would break the head: control bytes) or -ENOMEM. */
int credential_read(const struct json *body, struct credential *ret, struct error *err) MUST_CHECK;
/* The same for APPLY ({"as","name"?,"user"?}) alone: NULL, or what is wrong with it. For whoever keeps secrets. */
const char *credential_check_apply(const struct json *apply);
/* NULL, or why VALUE cannot be applied as APPLY says. */
const char *credential_check_value(const struct json *apply, const char *value, size_t len);
void credential_done(struct credential *credential);

/* What a request with it looks like. Headers of HEAD that it replaces (the same header; Cookie is joined) are those for
 * which credential_replaces says true; the caller leaves them out. */
bool credential_replaces(const struct credential *credential, struct http_text name);
/* Appends the header line (with CRLF) that it is, if it is one. (AWS: sigv4_sign does.) */
int credential_header(
    const struct credential *credential, const struct http_head *head, struct buf *out) MUST_CHECK;
/* Appends QUERY with it, if it is a parameter (replacing one of that name), percent-encoded. */
int credential_query(const struct credential *credential, struct http_text query, struct buf *out)
    MUST_CHECK;
/* Whether TEXT contains the placeholder RINGFENCE_SECRET_<name> of CREDENTIAL (NULL: of any). A placeholder ends where
 * its name ends: RINGFENCE_SECRET_git is not found in RINGFENCE_SECRET_github. In "Basic …" of an Authorization header
 * it is looked for in what the Base64 stands for, and filled in there. */
bool credential_placeholder(const struct credential *credential, struct http_text text);
/* Appends TEXT with each placeholder of CREDENTIAL replaced by its value. */
int credential_fill(const struct credential *credential, struct http_text text, struct buf *out)
    MUST_CHECK;
/* The same with the value percent-encoded: for a path or a query. */
int credential_fill_encoded(
    const struct credential *credential, struct http_text text, struct buf *out) MUST_CHECK;

/* Removes secrets from bytes that pass, in any division: each occurrence (also in base64 at any alignment, so also
 * within basic's user:value; in hexadecimal; in the percent-encodings and JSON escapes that are in use) becomes
 * asterisks of the same length, so that lengths hold. Holds back only what could still become a secret, at most the
 * longest spelling less one byte. It cannot see what is compressed, encrypted, or spelled in some other way. */
struct scrub;
struct scrub *scrub_new(void);
struct scrub *scrub_free(struct scrub *scrub);
/* Adds what CREDENTIAL could look like (copied). Values under 8 bytes are refused by `secret set`. 0 or -ENOMEM. */
int scrub_add(struct scrub *scrub, const struct credential *credential) MUST_CHECK;
bool scrub_is_empty(const struct scrub *scrub);
/* Appends to OUT what of the stream so far is certain; END: nothing more comes. 0 or -ENOMEM, -EMSGSIZE. */
int scrub_feed(struct scrub *scrub, const uint8_t *bytes, size_t len, bool end, struct buf *out)
    MUST_CHECK;
uint64_t scrub_count(const struct scrub *scrub); /* occurrences removed */
