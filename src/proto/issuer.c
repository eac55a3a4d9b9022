/* What an exchange may be told. Everything here ends in a request that a program with network access writes, beside a
 * key: texts are restricted to what cannot mean something else in a path, in JSON or in a form. */
#include "proto/issuer.h"

#include <errno.h>
#include <string.h>

#define SCOPE_MAX 1024
#define CLIENT_ID_MAX 256
#define HTTPS "https://"

bool
issuer_is(const char *as)
{
	return strcmp(as, ISSUER_GITHUB) == 0 || strcmp(as, ISSUER_OAUTH) == 0;
}

static bool
is_word_byte(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether all of TEXT's 1 to MAX bytes are letters, digits or in MORE. */
static bool
is_of(const char *text, size_t len, const char *more, size_t max)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == 0 || (!is_word_byte(text[i]) && strchr(more, text[i]) == NULL))
			return false;
	return len > 0 && len <= max;
}

/* ---- where ---- */

/* The digits of a port up to END. -1: it is none. */
static int
read_port(const char *text, const char *end)
{
	int port = 0;
	if (text == end || end - text > 5 || *text == '0')
		return -1;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		port = port * 10 + (*text - '0');
	}
	return port <= 65535 ? port : -1;
}

static bool
is_path(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] == '/' && (text[i + 1] == '/' || text[i + 1] == '.'))
			return false;
	return len == 0 || is_of(text, len, "/-._~", ISSUER_PATH_MAX - 1);
}

int
issuer_url(const char *text, struct issuer_url *ret)
{
	if (strncmp(text, HTTPS, strlen(HTTPS)) != 0)
		return -EINVAL;
	const char *host = text + strlen(HTTPS);
	const char *path = host + strcspn(host, "/");
	const char *colon = memchr(host, ':', (size_t)(path - host));
	const char *end = colon != NULL ? colon : path;
	size_t len = strlen(path);
	*ret = (struct issuer_url){.port = colon != NULL ? read_port(colon + 1, path) : 443};
	if (len > 0 && path[len - 1] == '/')
		len--;
	if (ret->port < 0 || !is_path(path, len) ||
	    hostname_canonical(host, (size_t)(end - host), ret->host) < 0)
		return -EINVAL;
	memcpy(ret->path, path, len);
	return 0;
}

/* ---- what ---- */

static int
invalid(struct error *err, const char *what)
{
	return error_set(err, EINVAL, "secret_invalid", "%s", what);
}

/* Member NAME, if it is a text without NULs inside; else NULL. */
static const char *
text_of(const struct json *object, const char *name)
{
	const struct json *v = json_get(object, name);
	const char *text = json_str(v, NULL);
	return text != NULL && strlen(text) == json_str_len(v) ? text : NULL;
}

/* Whether each member of PARAMETERS is in KNOWN. */
static bool
only(const struct json *parameters, const char *const *known)
{
	for (size_t i = 0; i < json_len(parameters); i++) {
		const char *const *at = known;
		while (*at != NULL && strcmp(*at, json_name_at(parameters, i)) != 0)
			at++;
		if (*at == NULL)
			return false;
	}
	return true;
}

/* OWNER/NAME or NAME; one owner for all, whose installation it is. */
static bool
is_repository(const char *text, const char **owner, size_t *owner_len)
{
	const char *slash = strchr(text, '/');
	const char *name = slash != NULL ? slash + 1 : text;
	if (!is_of(name, strlen(name), "-._", 100) || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return false;
	if (slash == NULL)
		return true;
	size_t len = (size_t)(slash - text);
	if (!is_of(text, len, "-._", 100) ||
	    (*owner != NULL && (*owner_len != len || memcmp(*owner, text, len) != 0)))
		return false;
	*owner = text;
	*owner_len = len;
	return true;
}

static bool
are_repositories(const struct json *list)
{
	const char *owner = NULL;
	size_t owner_len = 0;
	if (list == NULL)
		return true;
	if (json_type(list) != JSON_ARRAY || json_len(list) == 0 ||
	    json_len(list) > ISSUER_REPOSITORIES_MAX)
		return false;
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *item = json_at(list, i);
		const char *text = json_str(item, "");
		if (strlen(text) != json_str_len(item) || !is_repository(text, &owner, &owner_len))
			return false;
	}
	return true;
}

static bool
are_permissions(const struct json *map)
{
	if (map == NULL)
		return true;
	if (json_type(map) != JSON_OBJECT || json_len(map) == 0 ||
	    json_len(map) > ISSUER_PERMISSIONS_MAX)
		return false;
	for (size_t i = 0; i < json_len(map); i++) {
		const char *name = json_name_at(map, i), *level = json_str(json_at(map, i), "");
		if (!is_of(name, strlen(name), "_", 64) ||
		    (strcmp(level, "read") != 0 && strcmp(level, "write") != 0 &&
			strcmp(level, "admin") != 0))
			return false;
	}
	return true;
}

static int
check_github(const struct json *parameters, struct error *err)
{
	static const char *const known[] = {
	    "url", "app_id", "installation", "repositories", "permissions", NULL};
	const char *app = text_of(parameters, "app_id");
	const char *installation = text_of(parameters, "installation");
	if (!only(parameters, known))
		return invalid(err,
		    "a github-app has --app-id, --installation, --repository, "
		    "--permission and --issuer");
	if (app == NULL || !is_of(app, strlen(app), "-._", 64))
		return invalid(err, "--app-id: the app's number or client id");
	if (installation == NULL || strspn(installation, "0123456789") != strlen(installation) ||
	    strlen(installation) < 1 || strlen(installation) > 20)
		return invalid(err, "--installation: the installation's number");
	if (!are_repositories(json_get(parameters, "repositories")))
		return invalid(err, "--repository: OWNER/NAME, of one owner, 50 at most");
	if (!are_permissions(json_get(parameters, "permissions")))
		return invalid(err, "--permission: NAME=read, write or admin, as contents=write");
	return 0;
}

static int
check_oauth(const struct json *parameters, struct error *err)
{
	static const char *const known[] = {"url", "client_id", "scope", NULL};
	const char *client = text_of(parameters, "client_id");
	const char *scope = text_of(parameters, "scope");
	if (!only(parameters, known))
		return invalid(err, "oauth has --token-url, --client-id and --scope");
	size_t i = 0;
	while (client != NULL && client[i] > 0x20 && client[i] < 0x7f)
		i++;
	if (i == 0 || client[i] != 0 || i > CLIENT_ID_MAX)
		return invalid(err, "--client-id: printable ASCII without spaces, 256 at most");
	if (json_get(parameters, "scope") == NULL)
		return 0;
	/* RFC 6749, 3.3 */
	for (i = 0; scope != NULL && scope[i] >= 0x20 && scope[i] < 0x7f && scope[i] != '"' &&
	     scope[i] != '\\';)
		i++;
	if (i == 0 || scope[i] != 0 || i > SCOPE_MAX)
		return invalid(err, "--scope: words of printable ASCII, without quotes");
	return 0;
}

int
issuer_check(const char *as, const struct json *parameters, struct error *err)
{
	struct issuer_url url;
	const char *text = text_of(parameters, "url");
	bool github = strcmp(as, ISSUER_GITHUB) == 0;
	if (json_type(parameters) != JSON_OBJECT || text == NULL || issuer_url(text, &url) < 0)
		return invalid(err,
		    github ? "--issuer: https://HOST[:PORT][/PATH] and nothing else"
			   : "--token-url: https://HOST[:PORT][/PATH] and nothing else");
	return github ? check_github(parameters, err) : check_oauth(parameters, err);
}

const char *
issuer_check_secret(const char *as, const char *value, size_t len)
{
	static const char begin[] = "-----BEGIN ", end[] = "PRIVATE KEY-----";
	bool github = strcmp(as, ISSUER_GITHUB) == 0;
	for (size_t i = 0; i < len; i++) {
		bool line = value[i] == '\n' || value[i] == '\r';
		if ((value[i] < 0x20 && !(github && line)) || value[i] == 0x7f)
			return github ? "the key is not PEM: it has bytes that are not text"
				      : "the value is not one line of ASCII";
	}
	if (!github)
		return len < 8   ? "the value is shorter than 8 bytes"
		    : len > 4096 ? "the value is longer than 4096 bytes"
				 : NULL;
	if (len > ISSUER_KEY_MAX)
		return "the key is longer than 16384 bytes";
	if (len < sizeof(begin) || memcmp(value, begin, sizeof(begin) - 1) != 0 ||
	    memmem(value, len, end, sizeof(end) - 1) == NULL)
		return "a github-app's secret is its private key, in PEM as GitHub gives it";
	if (memmem(value, len, "ENCRYPTED", 9) != NULL)
		return "the key is encrypted with a passphrase, which nobody could give";
	return NULL;
}
