/* A granted credential: how it is written into a request, and where a placeholder stood for it.
 *
 * The agent's request is rewritten with it, so nothing in it may end a header line or begin another: control bytes
 * never pass, field names are tokens, and the headers that frame and route a request cannot be credentials. The same
 * checks are made when a secret is set (rf-vault) and when it is applied (rf-gateway). */
#include "proto/credential.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "proto/encode.h"
#include "proto/sigv4.h"

static const char *const kinds[] = {
    [CREDENTIAL_BEARER] = "bearer",
    [CREDENTIAL_BASIC] = "basic",
    [CREDENTIAL_HEADER] = "header",
    [CREDENTIAL_QUERY] = "query",
    [CREDENTIAL_COOKIE] = "cookie",
    [CREDENTIAL_AWS] = "aws",
};

/* Headers that say where a request goes or how long it is. */
static const char *const framing[] = {"Host", "Content-Length", "Transfer-Encoding", "Connection",
    "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Content-Type", "Content-Encoding", "Range",
    "Cookie", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate"};

/* ---- reading ---- */

static int
kind_of(const char *as)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i], as) == 0)
			return (int)i;
	return -1;
}

static bool
is_token(const char *text)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";
	size_t i = 0;
	for (; text[i] != 0; i++) {
		char c = text[i];
		bool word =
		    (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!word && strchr(marks, c) == NULL)
			return false;
	}
	return i > 0 && i <= 128;
}

static bool
is_framing(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(framing); i++)
		if (strcasecmp(framing[i], name) == 0)
			return true;
	return false;
}

static bool
has_control(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
			return true;
	return false;
}

static const char *
check_aws(const char *scope, const char *access_key)
{
	if (scope == NULL || !sigv4_is_scope(scope))
		return "aws needs a region and a service, of letters, digits and '-'";
	size_t i = 0;
	while (access_key != NULL &&
	    ((access_key[i] >= '0' && access_key[i] <= '9') ||
		(access_key[i] >= 'A' && access_key[i] <= 'Z') ||
		(access_key[i] >= 'a' && access_key[i] <= 'z') ||
		(access_key[i] != 0 && strchr("_-.", access_key[i]) != NULL)))
		i++;
	if (i == 0 || i > 128 || access_key[i] != 0)
		return "aws needs an access key id, of letters and digits";
	return NULL;
}

const char *
credential_check_apply(const struct json *apply)
{
	int as = kind_of(json_get_str(apply, "as", ""));
	const char *field = json_get_str(apply, "name", NULL);
	const char *user = json_get_str(apply, "user", NULL);
	if (as < 0)
		return "it is applied as bearer, basic, header, query, cookie or aws";
	if (as == CREDENTIAL_AWS)
		return check_aws(field, user);
	if ((field != NULL) != (as >= CREDENTIAL_HEADER))
		return as >= CREDENTIAL_HEADER ? "the header, parameter or cookie has no name"
					       : "bearer and basic have no name";
	if (field != NULL && !is_token(field))
		return "the name is not one of letters, digits and -._";
	if (as == CREDENTIAL_HEADER && is_framing(field))
		return "that header frames or routes the request and cannot be a credential";
	if (user != NULL && as != CREDENTIAL_BASIC)
		return "only basic has a user";
	if (as == CREDENTIAL_BASIC && user == NULL)
		return "basic needs a user";
	if (user != NULL &&
	    (has_control(user, json_str_len(json_get(apply, "user"))) ||
		strchr(user, ':') != NULL || strlen(user) > 256))
		return "the user has a colon or control bytes, or is longer than 256 bytes";
	return NULL;
}

const char *
credential_check_value(const struct json *apply, const char *value, size_t len)
{
	int as = kind_of(json_get_str(apply, "as", ""));
	if (len < CREDENTIAL_VALUE_MIN)
		return "the value is shorter than 8 bytes: it could not be told apart in a "
		       "response";
	if (len > CREDENTIAL_VALUE_MAX)
		return "the value is longer than 65536 bytes";
	if (has_control(value, len))
		return "the value has control bytes or more than one line";
	if (as == CREDENTIAL_HEADER && (value[0] == ' ' || value[len - 1] == ' '))
		return "a header's value cannot begin or end with a space";
	bool spaced = memchr(value, ' ', len) != NULL;
	if ((as == CREDENTIAL_BEARER || as == CREDENTIAL_AWS) && spaced)
		return as == CREDENTIAL_AWS ? "a secret access key has no spaces"
					    : "a bearer token has no spaces";
	if (as == CREDENTIAL_COOKIE &&
	    (spaced || memchr(value, ';', len) != NULL || memchr(value, ',', len) != NULL ||
		memchr(value, '"', len) != NULL || memchr(value, '\\', len) != NULL))
		return "a cookie's value has no spaces, quotes, commas, semicolons and backslashes";
	return NULL;
}

static int
copy_text(const char *text, char **ret)
{
	if (text == NULL)
		return 0;
	*ret = strdup(text);
	return *ret == NULL ? -ENOMEM : 0;
}

int
credential_read(const struct json *body, struct credential *ret, struct error *err)
{
	const struct json *apply = json_get(body, "apply"), *value = json_get(body, "value");
	const char *name = json_get_str(body, "credential", "");
	const char *wrong = credential_check_apply(apply);
	if (wrong == NULL)
		wrong = credential_check_value(apply, json_str(value, ""), json_str_len(value));
	if (wrong == NULL && (name[0] == 0 || strlen(name) > 64))
		wrong = "it has no name";
	uint8_t key[SHA256_BYTES];
	if (wrong == NULL && strcmp(json_get_str(apply, "as", ""), "aws") == 0 &&
	    (json_str_len(value) != 2 * sizeof(key) ||
		hex_decode(json_str(value, ""), sizeof(key), key) < 0))
		wrong = "its value is not a derived key";
	explicit_bzero(key, sizeof(key));
	if (wrong != NULL)
		return error_set(
		    err, EBADMSG, "credential_unusable", "credential %.64s: %s", name, wrong);
	struct credential made = {0};
	made.as = (typeof(made.as))kind_of(json_get_str(apply, "as", ""));
	if (copy_text(name, &made.name) < 0 ||
	    copy_text(json_get_str(apply, "name", NULL), &made.field) < 0 ||
	    copy_text(json_get_str(apply, "user", NULL), &made.user) < 0 ||
	    copy_text(json_str(value, NULL), &made.value) < 0) {
		credential_done(&made);
		return error_set(
		    err, ENOMEM, "out_of_memory", "credential %.64s: out of memory", name);
	}
	*ret = made;
	return 0;
}

void
credential_done(struct credential *credential)
{
	char *texts[] = {credential->name, credential->field, credential->user, credential->value};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i] != NULL)
			explicit_bzero(texts[i], strlen(texts[i]));
		free(texts[i]);
	}
	*credential = (struct credential){0};
}

/* ---- what a request with it looks like ---- */

/* The header that it is, or NULL. */
static const char *
header_of(const struct credential *credential)
{
	switch (credential->as) {
	case CREDENTIAL_BEARER:
	case CREDENTIAL_BASIC:
		return "Authorization";
	case CREDENTIAL_HEADER:
		return credential->field;
	case CREDENTIAL_COOKIE:
		return "Cookie";
	case CREDENTIAL_QUERY:
	case CREDENTIAL_AWS:
		break;
	}
	return NULL;
}

bool
credential_replaces(const struct credential *credential, struct http_text name)
{
	static const char *const aws[] = {
	    "Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token"};
	for (size_t i = 0; credential->as == CREDENTIAL_AWS && i < ARRAY_LEN(aws); i++)
		if (http_text_is_fold(name, aws[i]))
			return true;
	const char *header = header_of(credential);
	return header != NULL && http_text_is_fold(name, header);
}

/* Appends each cookie of VALUE but those named FIELD; SOME: whether one was written before. */
static int
keep_cookies(struct http_text value, const char *field, bool *some, struct buf *out)
{
	int r = 0;
	for (size_t at = 0; r == 0 && at < value.len;) {
		const char *begin = value.at + at;
		const char *end = memchr(begin, ';', value.len - at);
		size_t len = end != NULL ? (size_t)(end - begin) : value.len - at;
		at += len + 1;
		while (len > 0 && (*begin == ' ' || *begin == '\t'))
			begin++, len--;
		const char *equals = memchr(begin, '=', len);
		size_t name_len = equals != NULL ? (size_t)(equals - begin) : len;
		while (name_len > 0 && (begin[name_len - 1] == ' ' || begin[name_len - 1] == '\t'))
			name_len--;
		if (len == 0 ||
		    (name_len == strlen(field) && strncasecmp(begin, field, name_len) == 0))
			continue;
		r = *some ? buf_add_str(out, "; ") : 0;
		if (r == 0)
			r = buf_add(out, begin, len);
		*some = true;
	}
	return r;
}

static int
add_cookies(const struct credential *credential, const struct http_head *head, struct buf *out)
{
	bool some = false;
	int r = 0;
	for (size_t i = 0; r == 0 && i < head->n_headers; i++)
		if (http_text_is_fold(head->headers[i].name, "Cookie"))
			r = keep_cookies(head->headers[i].value, credential->field, &some, out);
	if (r == 0 && some)
		r = buf_add_str(out, "; ");
	if (r == 0)
		r = buf_add_str(out, credential->field);
	if (r == 0)
		r = buf_add_char(out, '=');
	return r < 0 ? r : buf_add_str(out, credential->value);
}

static int
add_basic(const char *user, const char *value, struct buf *out)
{
	struct buf both;
	buf_init(&both, strlen(user) + 1 + strlen(value));
	int r = buf_reserve(&both, both.limit) == NULL ? -ENOMEM : 0;
	if (r == 0)
		r = buf_add_str(&both, user);
	if (r == 0)
		r = buf_add_char(&both, ':');
	if (r == 0)
		r = buf_add_str(&both, value);
	if (r == 0)
		r = encode_base64(both.data, both.len, /* url_safe= */ false, out);
	if (both.data != NULL)
		explicit_bzero(both.data, both.room);
	buf_done(&both);
	return r;
}

int
credential_header(
    const struct credential *credential, const struct http_head *head, struct buf *out)
{
	const char *header = header_of(credential);
	if (header == NULL)
		return 0;
	int r = buf_add_str(out, header);
	if (r == 0)
		r = buf_add_str(out, ": ");
	if (r == 0 && credential->as == CREDENTIAL_COOKIE) {
		r = add_cookies(credential, head, out);
	} else if (r == 0 && credential->as == CREDENTIAL_BASIC) {
		r = buf_add_str(out, "Basic ");
		if (r == 0)
			r = add_basic(credential->user, credential->value, out);
	} else if (r == 0) {
		if (credential->as == CREDENTIAL_BEARER)
			r = buf_add_str(out, "Bearer ");
		if (r == 0)
			r = buf_add_str(out, credential->value);
	}
	return r < 0 ? r : buf_add_str(out, "\r\n");
}

/* Whether the parameter PAIR ("name=value") is named FIELD however it is encoded: 1, 0 or -errno. */
static int
is_parameter(struct http_text pair, const char *field)
{
	const char *equals = memchr(pair.at, '=', pair.len);
	size_t len = equals != NULL ? (size_t)(equals - pair.at) : pair.len;
	_cleanup_buf_ struct buf name;
	buf_init(&name, len);
	int r = decode_percent(pair.at, len, /* plus= */ true, &name);
	if (r < 0)
		return r;
	return name.len == strlen(field) && memcmp(buf_str(&name), field, name.len) == 0;
}

int
credential_query(const struct credential *credential, struct http_text query, struct buf *out)
{
	if (credential->as != CREDENTIAL_QUERY)
		return buf_add(out, query.at, query.len);
	int r = 0;
	for (size_t at = 0; r >= 0 && at < query.len;) {
		const char *begin = query.at + at;
		const char *end = memchr(begin, '&', query.len - at);
		struct http_text pair = {
		    begin, end != NULL ? (size_t)(end - begin) : query.len - at};
		at += pair.len + 1;
		r = pair.len == 0 ? 1 : is_parameter(pair, credential->field);
		if (r == 0)
			r = buf_add(out, pair.at, pair.len);
		else
			continue;
		if (r == 0)
			r = buf_add_char(out, '&');
	}
	if (r >= 0)
		r = encode_percent(credential->field, strlen(credential->field), "", out);
	if (r == 0)
		r = buf_add_char(out, '=');
	return r < 0 ? r : encode_percent(credential->value, strlen(credential->value), "", out);
}

/* ---- placeholders ---- */

static bool
is_name_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    c == '_' || c == '-' || c == '.';
}

/* The next placeholder in TEXT from FROM on: its length, and where it begins in *RET_AT; 0: none. A sentence's stop or
 * dash after the name is not of the name. */
static size_t
next_placeholder(
    const struct credential *credential, struct http_text text, size_t from, size_t *ret_at)
{
	static const size_t prefix = sizeof(CREDENTIAL_PLACEHOLDER) - 1;
	while (from < text.len) {
		const char *found =
		    memmem(text.at + from, text.len - from, CREDENTIAL_PLACEHOLDER, prefix);
		if (found == NULL)
			return 0;
		size_t at = (size_t)(found - text.at), len = 0;
		const char *name = found + prefix;
		while (at + prefix + len < text.len && is_name_byte(name[len]))
			len++;
		*ret_at = at;
		if (credential == NULL)
			return prefix + len;
		size_t wanted = strlen(credential->name), rest = len;
		while (rest > wanted && (name[rest - 1] == '.' || name[rest - 1] == '-'))
			rest--;
		if (rest == wanted && memcmp(name, credential->name, wanted) == 0)
			return prefix + wanted;
		from = at + prefix;
	}
	return 0;
}

/* What "Basic …" stands for, in OUT: whether TEXT is one. */
static bool
read_basic(struct http_text text, struct buf *out)
{
	if (text.len < 6 || strncasecmp(text.at, "Basic ", 6) != 0)
		return false;
	buf_init(out, text.len);
	return decode_base64(text.at + 6, text.len - 6, out) == 0 && out->len > 0;
}

bool
credential_placeholder(const struct credential *credential, struct http_text text)
{
	_cleanup_buf_ struct buf plain = {0};
	size_t at;
	/* What only signs stands nowhere in a request. */
	if (credential != NULL && credential->as == CREDENTIAL_AWS)
		return false;
	if (next_placeholder(credential, text, 0, &at) > 0)
		return true;
	if (!read_basic(text, &plain))
		return false;
	struct http_text inner = {buf_str(&plain), plain.len};
	return next_placeholder(credential, inner, 0, &at) > 0;
}

static int
fill(const struct credential *credential, struct http_text text, bool encoded, struct buf *out)
{
	size_t from = 0, at = 0, len, value_len = strlen(credential->value);
	int r = 0;
	while (r == 0 && (len = next_placeholder(credential, text, from, &at)) > 0) {
		r = buf_add(out, text.at + from, at - from);
		if (r == 0 && encoded)
			r = encode_percent(credential->value, value_len, "", out);
		else if (r == 0)
			r = buf_add(out, credential->value, value_len);
		from = at + len;
	}
	return r < 0 ? r : buf_add(out, text.at + from, text.len - from);
}

int
credential_fill(const struct credential *credential, struct http_text text, struct buf *out)
{
	_cleanup_buf_ struct buf plain = {0};
	struct buf filled;
	if (!read_basic(text, &plain))
		return fill(credential, text, /* encoded= */ false, out);
	/* As much room as it can need, at once: a buffer that grows leaves copies behind. */
	size_t fits = plain.len / sizeof(CREDENTIAL_PLACEHOLDER) + 1;
	buf_init(&filled, plain.len + fits * strlen(credential->value));
	int r = buf_reserve(&filled, filled.limit) == NULL ? -ENOMEM : 0;
	if (r == 0)
		r = fill(
		    credential, (struct http_text){buf_str(&plain), plain.len}, false, &filled);
	if (r == 0)
		r = buf_add_str(out, "Basic ");
	if (r == 0)
		r = encode_base64(buf_str(&filled), filled.len, /* url_safe= */ false, out);
	if (filled.data != NULL)
		explicit_bzero(filled.data, filled.room);
	buf_done(&filled);
	return r;
}

int
credential_fill_encoded(const struct credential *credential, struct http_text text, struct buf *out)
{
	return fill(credential, text, /* encoded= */ true, out);
}
