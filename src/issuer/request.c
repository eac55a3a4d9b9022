#include "issuer/request.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "issuer/jwt.h"
#include "proto/credential.h"
#include "proto/encode.h"

#define BODY_MAX 32768
#define AUTHORIZATION_MAX 32768

/* ---- GitHub: POST /app/installations/N/access_tokens ---- */

static struct json *
repository_names(const struct json *list)
{
	struct json *names = json_new_array();
	for (size_t i = 0; i < json_len(list); i++) {
		const char *text = json_str(json_at(list, i), ""), *slash = strchr(text, '/');
		(void)json_push(names, json_new_string(slash != NULL ? slash + 1 : text));
	}
	return names;
}

static int
github_body(const struct json *parameters, struct buf *out)
{
	const struct json *repositories = json_get(parameters, "repositories");
	const struct json *permissions = json_get(parameters, "permissions");
	_cleanup_json_ struct json *body = json_new_object();
	if (repositories != NULL)
		(void)json_set(body, "repositories", repository_names(repositories));
	if (permissions != NULL)
		(void)json_set(body, "permissions", json_copy(permissions));
	return json_write(body, out);
}

static int
github_authorization(const struct json *ask, int64_t now_ms, struct buf *out, struct error *err)
{
	const struct json *secret = json_get(ask, "secret");
	const char *app = json_get_str(json_get(ask, "parameters"), "app_id", "");
	int r = buf_add_str(out, "Bearer ");
	return r < 0
	    ? error_set(err, ENOMEM, "no_memory", "out of memory")
	    : jwt_make(app, json_str(secret, ""), json_str_len(secret), now_ms / 1000, out, err);
}

/* ---- OAuth: the client's own credentials, by basic authentication ---- */

static int
oauth_body(const struct json *parameters, struct buf *out)
{
	const char *scope = json_get_str(parameters, "scope", NULL);
	int r = buf_add_str(out, "grant_type=client_credentials");
	if (r == 0 && scope != NULL)
		r = buf_add_str(out, "&scope=");
	return r < 0 || scope == NULL ? r : encode_percent(scope, strlen(scope), "", out);
}

/* Both halves are encoded as in a form first (RFC 6749, 2.3.1). */
static int
oauth_authorization(const struct json *ask, struct buf *out)
{
	const char *client = json_get_str(json_get(ask, "parameters"), "client_id", "");
	const struct json *secret = json_get(ask, "secret");
	_cleanup_buf_ struct buf both;
	buf_init(&both, AUTHORIZATION_MAX);
	int r = encode_percent(client, strlen(client), "", &both);
	if (r == 0)
		r = buf_add_char(&both, ':');
	if (r == 0)
		r = encode_percent(json_str(secret, ""), json_str_len(secret), "", &both);
	if (r == 0)
		r = buf_add_str(out, "Basic ");
	return r < 0 ? r : encode_base64(both.data, both.len, /* url_safe= */ false, out);
}

/* ---- the request ---- */

static int
write_request(const struct issuer_url *url, const char *path_end, const char *type,
    const struct buf *authorization, const struct buf *body, struct buf *out)
{
	bool all = url->port == 443;
	(void)buf_addf(out, "POST %s%s HTTP/1.1\r\nHost: %s", url->path,
	    url->path[0] == 0 && path_end[0] == 0 ? "/" : path_end, url->host);
	if (!all)
		(void)buf_addf(out, ":%d", url->port);
	(void)buf_addf(out,
	    "\r\nUser-Agent: ringfence/" RINGFENCE_VERSION "\r\nAccept: %s\r\nContent-Type: %s\r\n"
	    "Content-Length: %zu\r\nConnection: close\r\nAuthorization: ",
	    path_end[0] != 0 ? "application/vnd.github+json\r\nX-GitHub-Api-Version: 2022-11-28"
			     : "application/json",
	    type, body->len);
	(void)buf_add(out, authorization->data, authorization->len);
	(void)buf_add_str(out, "\r\n\r\n");
	(void)buf_add(out, body->data, body->len);
	return buf_failed(out) ? -EMSGSIZE : 0;
}

int
request_make(const struct json *ask, const struct issuer_url *url, int64_t now_ms, struct buf *out,
    struct error *err)
{
	const struct json *parameters = json_get(ask, "parameters");
	bool github = strcmp(json_get_str(ask, "as", ""), ISSUER_GITHUB) == 0;
	_cleanup_buf_ struct buf authorization, body, path;
	buf_init(&authorization, AUTHORIZATION_MAX);
	buf_init(&body, BODY_MAX);
	buf_init(&path, 128);
	int r = 0;
	if (github)
		r = github_authorization(ask, now_ms, &authorization, err);
	if (r < 0)
		return r;
	if (github) {
		r = buf_addf(&path, "/app/installations/%s/access_tokens",
		    json_get_str(parameters, "installation", ""));
		if (r == 0)
			r = github_body(parameters, &body);
	} else {
		r = oauth_authorization(ask, &authorization);
		if (r == 0)
			r = oauth_body(parameters, &body);
	}
	if (r == 0)
		r = write_request(url, buf_str(&path),
		    github ? "application/json" : "application/x-www-form-urlencoded",
		    &authorization, &body, out);
	return r < 0 ? error_set_errno(err, -r, "internal", "the request cannot be written") : 0;
}

/* ---- the answer ---- */

static int
refused(const char *as, int status, const struct json *said, struct error *err)
{
	/* RFC 6749, 5.2: words that we know, and no others. */
	static const char *const words[] = {"invalid_request", "invalid_client", "invalid_grant",
	    "unauthorized_client", "unsupported_grant_type", "invalid_scope"};
	const char *word = json_get_str(said, "error", ""), *known = NULL;
	bool github = strcmp(as, ISSUER_GITHUB) == 0;
	for (size_t i = 0; !github && i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], word) == 0)
			known = words[i];
	if (github)
		known = status == 401 ? "it does not know this app by this key"
		    : status == 403   ? "it forbids that to this app"
		    : status == 404   ? "there is no such installation of this app"
		    : status == 422   ? "the installation has not these repositories or permissions"
				      : NULL;
	return error_set(err, EACCES, "issuer_refused", "the issuer refuses (status %d)%s%s",
	    status, known != NULL ? ": " : "", known != NULL ? known : "");
}

static int
invalid(struct error *err, const char *what)
{
	return error_set(err, EBADMSG, "issuer_invalid", "the issuer's answer %s", what);
}

static bool
same_word(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

static int
expiry_of(bool github, const struct json *said, int64_t now_ms, int64_t *ret)
{
	const struct json *in = json_get(said, "expires_in");
	if (github)
		return clock_parse(json_get_str(said, "expires_at", ""), ret);
	if (in == NULL) {
		*ret = now_ms + TOKEN_LIFE_UNSAID_MS;
		return 0;
	}
	int64_t seconds = json_type(in) == JSON_INT ? json_int(in, 0) : 0;
	*ret = now_ms + MIN(seconds, TOKEN_LIFE_MAX_MS / 1000) * 1000;
	return seconds > 0 ? 0 : -EINVAL;
}

int
answer_read(const char *as, int status, const char *body, size_t len, int64_t now_ms,
    char **ret_token, int64_t *ret_expires_ms, struct error *err)
{
	struct error ignored;
	_cleanup_json_ struct json *said = NULL;
	bool github = strcmp(as, ISSUER_GITHUB) == 0;
	int r = json_parse(body, len, &said, &ignored);
	if (status != (github ? 201 : 200))
		return refused(as, status, said, err);
	if (r < 0 || json_type(said) != JSON_OBJECT)
		return invalid(err, "is not a JSON object");
	if (!github && !same_word(json_get_str(said, "token_type", ""), "bearer"))
		return invalid(err, "is not about a bearer token");
	const struct json *token = json_get(said, github ? "token" : "access_token");
	_cleanup_json_ struct json *apply = json_new_object();
	(void)json_set_str(apply, "as", "bearer");
	if (json_type(token) != JSON_STRING || json_str_len(token) > TOKEN_BYTES_MAX ||
	    credential_check_value(apply, json_str(token, ""), json_str_len(token)) != NULL)
		return invalid(err, "has no token that could be sent");
	if (expiry_of(github, said, now_ms, ret_expires_ms) < 0)
		return invalid(err, "does not say until when its token is good");
	if (*ret_expires_ms <= now_ms)
		return invalid(err, "has a token that has expired");
	*ret_expires_ms = MIN(*ret_expires_ms, now_ms + TOKEN_LIFE_MAX_MS);
	*ret_token = strdup(json_str(token, ""));
	return *ret_token != NULL ? 0 : error_set(err, ENOMEM, "no_memory", "out of memory");
}
