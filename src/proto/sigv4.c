/* What is signed is what is sent: the query leaves in its canonical form, and the headers that are signed are those
 * that the caller sends. Where AWS and others would read a request in two ways (dot segments, malformed escapes,
 * several payload hashes), it is refused. */
#include "proto/sigv4.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "proto/encode.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define UNSIGNED "UNSIGNED-PAYLOAD"
#define UNSIGNED_CHUNKS "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define PARAMS_MAX 128
#define SIGNED_MAX (HTTP_HEADERS_MAX + 3)
#define TEXT_MAX (256 * 1024)
#define LATE_MS (15 * 60 * 1000) /* the skew that AWS accepts */

static int
refuse(struct error *err, const char *code, const char *what)
{
	return error_set(err, EPERM, code, "%s", what);
}

static bool
is_s3(const char *service)
{
	return strncmp(service, "s3", 2) == 0;
}

/* ---- scope, date and key ---- */

bool
sigv4_is_scope(const char *text)
{
	size_t parts = 0, len = 0, i = 0;
	for (; text[i] != 0; i++) {
		char c = text[i];
		bool digit = c >= '0' && c <= '9';
		if (c == '/') {
			if (len == 0 || (parts == 0 && len != 8))
				return false;
			parts++;
			len = 0;
			continue;
		}
		if (!digit &&
		    (parts == 0 || !(c == '-' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))))
			return false;
		len++;
	}
	return parts == 2 && len > 0 && i < SIGV4_SCOPE_MAX;
}

static void
format_time(int64_t wall_ms, char ret[17])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;
	if (gmtime_r(&seconds, &utc) == NULL || strftime(ret, 17, "%Y%m%dT%H%M%SZ", &utc) != 16)
		memcpy(ret, "00000000T000000Z", 17);
}

void
sigv4_date(int64_t wall_ms, char ret[9])
{
	char text[17];
	format_time(wall_ms, text);
	memcpy(ret, text, 8);
	ret[8] = 0;
}

int
sigv4_derive(const char *secret, const char *scope, uint8_t ret[SHA256_BYTES])
{
	char parts[SIGV4_SCOPE_MAX];
	struct buf first;
	if (!sigv4_is_scope(scope))
		return -EINVAL;
	(void)snprintf(parts, sizeof(parts), "%s", scope);
	char *region = strchr(parts, '/') + 1, *service = strchr(region, '/') + 1;
	region[-1] = service[-1] = 0;
	buf_init(&first, strlen(secret) + 4);
	if (buf_reserve(&first, first.limit) == NULL)
		return -ENOMEM;
	int r = buf_add_str(&first, "AWS4");
	if (r == 0)
		r = buf_add_str(&first, secret);
	const char *steps[] = {parts, region, service, "aws4_request"};
	uint8_t key[SHA256_BYTES];
	hmac_sha256(first.data, first.len, steps[0], strlen(steps[0]), key);
	for (size_t i = 1; i < ARRAY_LEN(steps); i++)
		hmac_sha256(key, sizeof(key), steps[i], strlen(steps[i]), key);
	explicit_bzero(first.data, first.room);
	buf_done(&first);
	if (r == 0)
		memcpy(ret, key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return r;
}

/* When to say that it was signed: now, or the last second of the key's day if that is just over. */
static int
signing_time(const char *scope, int64_t now_ms, char ret[17], struct error *err)
{
	char before[17];
	format_time(now_ms, ret);
	if (strncmp(ret, scope, 8) == 0)
		return 0;
	format_time(now_ms - LATE_MS, before);
	if (strncmp(before, scope, 8) != 0)
		return refuse(err, "aws_expired", "the signing key is of another day");
	(void)snprintf(ret, 17, "%.8sT235959Z", scope);
	return 0;
}

/* ---- path ---- */

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool
escapes_are_whole(struct http_text text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == '%' &&
		    (text.len - i < 3 || !is_hex(text.at[i + 1]) || !is_hex(text.at[i + 2])))
			return false;
	return true;
}

/* Whether PLAIN (decoded) has a segment that others would remove, or bytes that are none of a path's. */
static bool
path_is_twofold(const struct buf *plain, bool s3)
{
	const char *path = buf_str(plain);
	if (strlen(path) != plain->len || path[0] != '/')
		return true;
	for (size_t i = 0; i < plain->len; i++)
		if ((uint8_t)path[i] < 0x20 || path[i] == 0x7f)
			return true;
	for (const char *at = path; at != NULL; at = strchr(at + 1, '/')) {
		size_t len = strcspn(at + 1, "/");
		bool dots =
		    (len == 1 && at[1] == '.') || (len == 2 && at[1] == '.' && at[2] == '.');
		if (dots || (len == 0 && at[1] == '/' && !s3))
			return true;
	}
	return false;
}

/* S3 signs the path encoded once, everything else the path as sent encoded once more. */
static int
add_path(struct http_text path, bool s3, struct buf *out)
{
	struct buf plain;
	buf_init(&plain, TEXT_MAX);
	if (path.len == 0)
		path = (struct http_text){"/", 1};
	int r = decode_percent(path.at, path.len, /* plus= */ false, &plain);
	if (r == 0 && (!escapes_are_whole(path) || path_is_twofold(&plain, s3)))
		r = -EPERM;
	if (r == 0)
		r = s3 ? encode_percent(plain.data, plain.len, "/", out)
		       : encode_percent(path.at, path.len, "/", out);
	buf_done(&plain);
	return r;
}

/* ---- query ---- */

struct param {
	size_t name, value; /* where in the text; each ends with a NUL */
};

/* One parameter, decoded and encoded anew, at the end of TEXT. */
static int
add_param(struct http_text pair, struct buf *text, struct param *ret)
{
	const char *equals = memchr(pair.at, '=', pair.len);
	size_t name_len = equals != NULL ? (size_t)(equals - pair.at) : pair.len;
	size_t value_at = equals != NULL ? name_len + 1 : pair.len;
	const struct http_text parts[2] = {
	    {pair.at, name_len}, {pair.at + value_at, pair.len - value_at}};
	size_t at[2];
	int r = 0;
	for (size_t i = 0; r == 0 && i < 2; i++) {
		_cleanup_buf_ struct buf plain;
		buf_init(&plain, pair.len);
		at[i] = text->len;
		r = decode_percent(parts[i].at, parts[i].len, /* plus= */ true, &plain);
		if (r == 0)
			r = encode_percent(buf_str(&plain), plain.len, "", text);
		if (r == 0)
			r = buf_add(text, "", 1);
	}
	*ret = (struct param){at[0], r == 0 ? at[1] : 0};
	return r;
}

static int
compare_params(const struct buf *text, const struct param *a, const struct param *b)
{
	const char *at = buf_str(text);
	int r = strcmp(at + a->name, at + b->name);
	return r != 0 ? r : strcmp(at + a->value, at + b->value);
}

/* The parameters of QUERY in order: how many, or -errno. (No qsort: it asks the kernel for the size of the memory.) */
static int
read_params(struct http_text query, struct buf *text, struct param params[PARAMS_MAX])
{
	int n = 0;
	for (size_t at = 0; at < query.len;) {
		const char *begin = query.at + at;
		const char *end = memchr(begin, '&', query.len - at);
		struct http_text pair = {
		    begin, end != NULL ? (size_t)(end - begin) : query.len - at};
		at += pair.len + 1;
		if (pair.len == 0)
			continue;
		if (n == PARAMS_MAX)
			return -EMSGSIZE;
		struct param one;
		int r = escapes_are_whole(pair) ? add_param(pair, text, &one) : -EPERM;
		if (r < 0)
			return r;
		int place = n++;
		for (; place > 0 && compare_params(text, &params[place - 1], &one) > 0; place--)
			params[place] = params[place - 1];
		params[place] = one;
	}
	return n;
}

static int
add_query(struct http_text query, struct buf *out)
{
	struct param params[PARAMS_MAX];
	_cleanup_buf_ struct buf text;
	buf_init(&text, TEXT_MAX);
	int n = read_params(query, &text, params), r = MIN(n, 0);
	for (int i = 0; r == 0 && i < n; i++)
		r = buf_addf(out, "%s%s=%s", i > 0 ? "&" : "", buf_str(&text) + params[i].name,
		    buf_str(&text) + params[i].value);
	return r;
}

/* ---- headers ---- */

struct signed_header {
	char name[64];
	struct http_text value; /* of the first of that name */
};

static bool
starts_fold(struct http_text text, const char *prefix)
{
	size_t len = strlen(prefix);
	return text.len >= len && strncasecmp(text.at, prefix, len) == 0;
}

/* Those that the gateway writes itself. */
static bool
is_replaced(struct http_text name)
{
	static const char *const ours[] = {
	    "authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"};
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (http_text_is_fold(name, ours[i]))
			return true;
	return false;
}

static bool
is_signed(struct http_text name)
{
	static const char *const others[] = {"content-type", "content-md5", "date", "range"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (http_text_is_fold(name, others[i]))
			return true;
	return starts_fold(name, "x-amz-") && !is_replaced(name);
}

/* Puts it in its place unless it is there already; the number of them, or -EPERM (a name that is too long, or could be
 * taken for several). */
static int
insert_header(struct signed_header *list, int n, struct http_text name, struct http_text value)
{
	struct signed_header one = {.value = value};
	if (name.len >= sizeof(one.name))
		return -EPERM;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];
		if (c <= 0x20 || c == 0x7f || c == ';' || c == ':' || c == ',')
			return -EPERM;
		one.name[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	int place = n;
	while (place > 0 && strcmp(list[place - 1].name, one.name) > 0)
		place--;
	if (place > 0 && strcmp(list[place - 1].name, one.name) == 0)
		return n;
	memmove(&list[place + 1], &list[place], (size_t)(n - place) * sizeof(*list));
	list[place] = one;
	return n + 1;
}

/* A value without the spaces around it, with one for several inside. */
static int
add_trimmed(struct http_text value, struct buf *out)
{
	bool space = false, some = false;
	int r = 0;
	for (size_t i = 0; r == 0 && i < value.len; i++) {
		char c = value.at[i];
		if (c == ' ' || c == '\t') {
			space = true;
			continue;
		}
		if (space && some)
			r = buf_add_char(out, ' ');
		if (r == 0)
			r = buf_add_char(out, c);
		space = false;
		some = true;
	}
	return r;
}

/* "name:value,value\n" of every header of that name. */
static int
add_header(const struct http_head *head, const struct signed_header *header, struct buf *out)
{
	bool several = false;
	int r = buf_addf(out, "%s:", header->name);
	for (size_t i = 0; r == 0 && i < head->n_headers; i++) {
		const struct http_header *h = &head->headers[i];
		if (!is_signed(h->name) || !http_text_is_fold(h->name, header->name))
			continue;
		if (several)
			r = buf_add_char(out, ',');
		if (r == 0)
			r = add_trimmed(h->value, out);
		several = true;
	}
	if (r == 0 && !several)
		r = add_trimmed(header->value, out);
	return r < 0 ? r : buf_add_char(out, '\n');
}

static struct http_text
text_of(const char *text)
{
	return (struct http_text){text, strlen(text)};
}

static int
add_headers(const struct sigv4_request *request, const char *service, const char *time,
    const char *payload, struct buf *names, struct buf *out)
{
	struct signed_header list[SIGNED_MAX];
	const struct http_head *head = request->head;
	int n = insert_header(list, 0, text_of("host"), text_of(request->host));
	n = insert_header(list, n, text_of("x-amz-date"), text_of(time));
	if (is_s3(service))
		n = insert_header(list, n, text_of("x-amz-content-sha256"), text_of(payload));
	for (size_t i = 0; n > 0 && i < head->n_headers; i++)
		if (is_signed(head->headers[i].name))
			n = insert_header(list, n, head->headers[i].name, head->headers[i].value);
	int r = MIN(n, 0);
	for (int i = 0; r == 0 && i < n; i++) {
		r = add_header(head, &list[i], out);
		if (r == 0)
			r = buf_addf(names, "%s%s", i > 0 ? ";" : "", list[i].name);
	}
	return r;
}

int
sigv4_canonical(const struct sigv4_request *request, const char *service, const char *time,
    const char *payload, struct buf *names, struct buf *query, struct buf *out)
{
	size_t before = query->len;
	int r = buf_add(out, request->head->method.at, request->head->method.len);
	if (r == 0)
		r = buf_add_char(out, '\n');
	if (r == 0)
		r = add_path(request->path, is_s3(service), out);
	if (r == 0)
		r = add_query(request->query, query);
	if (r == 0)
		r = buf_addf(out, "\n%s\n", buf_str(query) + before);
	if (r == 0)
		r = add_headers(request, service, time, payload, names, out);
	return r < 0 ? r : buf_addf(out, "\n%s\n%s", buf_str(names), payload);
}

/* ---- what is refused ---- */

/* Of S3: what reads, lists and uploads objects. */
static bool
is_object_parameter(const char *name)
{
	static const char *const names[] = {"attributes", "continuation-token", "delimiter",
	    "encoding-type", "fetch-owner", "key-marker", "list-type", "location", "marker",
	    "max-keys", "max-parts", "max-uploads", "partNumber", "part-number-marker", "prefix",
	    "response-cache-control", "response-content-disposition", "response-content-encoding",
	    "response-content-language", "response-content-type", "response-expires", "start-after",
	    "upload-id-marker", "uploadId", "uploads", "version-id-marker", "versionId", "versions",
	    "x-id"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static int
check_query(struct http_text query, bool s3, struct error *err)
{
	struct param params[PARAMS_MAX];
	_cleanup_buf_ struct buf text;
	buf_init(&text, TEXT_MAX);
	int n = read_params(query, &text, params);
	if (n == -EPERM)
		return refuse(err, "aws_path", "the query has malformed escapes");
	for (int i = 0; i < n; i++) {
		const char *name = buf_str(&text) + params[i].name;
		if (strncasecmp(name, "x-amz-", 6) == 0 || strcasecmp(name, "AWSAccessKeyId") == 0)
			return refuse(
			    err, "aws_presigned", "presigned requests are not signed anew");
		if (s3 && !is_object_parameter(name))
			return error_set(err, EPERM, "aws_operation",
			    "the S3 operation ?%.40s is more than reading, listing and uploading "
			    "objects",
			    name);
	}
	return MIN(n, 0);
}

static int
check_headers(const struct http_head *head, bool s3, struct error *err)
{
	for (size_t i = 0; i < head->n_headers; i++) {
		struct http_text name = head->headers[i].name, value = head->headers[i].value;
		if (starts_fold(name, "x-amz-copy-source") ||
		    starts_fold(name, "x-amz-rename-source"))
			return refuse(
			    err, "aws_copy", "a copy reads what no path of this request names");
		bool acl = s3 && http_text_is_fold(name, "x-amz-acl") &&
		    !http_text_is(value, "private") &&
		    !http_text_is(value, "bucket-owner-full-control");
		if (acl ||
		    (s3 &&
			(starts_fold(name, "x-amz-grant-") ||
			    starts_fold(name, "x-amz-bypass-governance-retention"))))
			return refuse(err, "aws_operation",
			    "access is not given to others by a request header");
		/* Sent on by nobody, so it cannot be signed. */
		if (starts_fold(name, "x-amz-") && http_is_hop_by_hop(head, name))
			return refuse(err, "aws_operation", "Connection names an x-amz- header");
	}
	return 0;
}

static bool
is_hash(struct http_text text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!((text.at[i] >= '0' && text.at[i] <= '9') ||
			(text.at[i] >= 'a' && text.at[i] <= 'f')))
			return false;
	return text.len == 2 * SHA256_BYTES;
}

/* What the agent said of its payload: the only such header, or one without text. */
static int
payload_header(const struct http_head *head, struct http_text *ret, struct error *err)
{
	*ret = (struct http_text){"", 0};
	for (size_t i = 0; i < head->n_headers; i++) {
		if (!http_text_is_fold(head->headers[i].name, "x-amz-content-sha256"))
			continue;
		if (ret->len > 0)
			return refuse(err, "aws_payload", "several x-amz-content-sha256");
		*ret = head->headers[i].value;
	}
	return 0;
}

/* What stands for the payload in what is signed. */
static int
choose_payload(
    const struct sigv4_request *request, bool s3, char ret[SHA256_HEX], struct error *err)
{
	struct http_text said;
	int r = payload_header(request->head, &said, err);
	if (r < 0)
		return r;
	if (is_hash(said)) { /* the receiver checks it */
		(void)snprintf(ret, SHA256_HEX, "%.*s", (int)said.len, said.at);
		return 0;
	}
	bool chunks = http_text_is(said, UNSIGNED_CHUNKS);
	if (starts_fold(said, "STREAMING-") && !chunks)
		return refuse(err, "aws_streaming",
		    "chunks that are signed one by one cannot be signed anew; have the client send "
		    "them unsigned");
	if (said.len > 0 && !chunks && !http_text_is(said, UNSIGNED))
		return refuse(err, "aws_payload", "x-amz-content-sha256 is not a hash");
	if (chunks && s3 && request->tls)
		return (void)snprintf(ret, SHA256_HEX, "%s", UNSIGNED_CHUNKS), 0;
	if (!chunks && request->head->body == HTTP_BODY_NONE)
		return (void)snprintf(ret, SHA256_HEX, "%s", EMPTY_HASH), 0;
	if (!chunks && request->body_hash != NULL) {
		hex_encode(request->body_hash, SHA256_BYTES, ret);
		return 0;
	}
	if (!chunks && s3 && request->tls)
		return (void)snprintf(ret, SHA256_HEX, "%s", UNSIGNED), 0;
	return refuse(err, "aws_payload",
	    "the payload's hash is not known; only S3 over TLS takes one that is not signed");
}

/* ---- signing ---- */

static int
sign_text(const struct credential *credential, const char *time, const struct buf *canonical,
    char ret[SHA256_HEX])
{
	uint8_t key[SHA256_BYTES], digest[SHA256_BYTES];
	char hash[SHA256_HEX];
	_cleanup_buf_ struct buf text;
	buf_init(&text, 512);
	sha256(canonical->data, canonical->len, digest);
	hex_encode(digest, sizeof(digest), hash);
	if (strlen(credential->value) != 2 * sizeof(key) ||
	    hex_decode(credential->value, sizeof(key), key) < 0)
		return -EINVAL;
	int r =
	    buf_addf(&text, ALGORITHM "\n%s\n%s/aws4_request\n%s", time, credential->field, hash);
	if (r == 0) {
		hmac_sha256(key, sizeof(key), text.data, text.len, digest);
		hex_encode(digest, sizeof(digest), ret);
	}
	explicit_bzero(key, sizeof(key));
	return r;
}

int
sigv4_sign(const struct credential *credential, const struct sigv4_request *request,
    struct buf *headers, struct buf *query, struct error *err)
{
	char time[17], payload[SHA256_HEX], signature[SHA256_HEX];
	_cleanup_buf_ struct buf names = {0}, canonical = {0};
	if (credential->as != CREDENTIAL_AWS || !sigv4_is_scope(credential->field))
		return error_set(err, EPERM, "aws_payload", "the credential is not one of AWS");
	const char *service = strrchr(credential->field, '/') + 1;
	bool s3 = is_s3(service);
	buf_init(&names, TEXT_MAX);
	buf_init(&canonical, 4 * TEXT_MAX);
	int r = signing_time(credential->field, request->now_ms, time, err);
	if (r == 0)
		r = check_query(request->query, s3, err);
	if (r == 0)
		r = check_headers(request->head, s3, err);
	if (r == 0)
		r = choose_payload(request, s3, payload, err);
	if (r < 0)
		return r;
	r = sigv4_canonical(request, service, time, payload, &names, query, &canonical);
	if (r == -EPERM)
		return refuse(
		    err, "aws_path", "the path or a header's name can be read in two ways");
	if (r == 0)
		r = sign_text(credential, time, &canonical, signature);
	if (r == 0)
		r = buf_addf(headers, "X-Amz-Date: %s\r\n", time);
	if (r == 0 && s3)
		r = buf_addf(headers, "X-Amz-Content-Sha256: %s\r\n", payload);
	if (r == 0)
		r = buf_addf(headers,
		    "Authorization: " ALGORITHM
		    " Credential=%s/%s/aws4_request, SignedHeaders=%s, Signature=%s\r\n",
		    credential->user, credential->field, buf_str(&names), signature);
	return r < 0 && r != -EPERM
	    ? error_set_errno(err, -r, "aws_failed", "the request cannot be signed")
	    : r;
}
