/* Which requests are git's: by method, path and query alone, as gitprotocol-http(5) has them.
 *
 *   GET  /acme/app.git/info/refs?service=git-upload-pack      GET  …?service=git-receive-pack
 *   POST /acme/app.git/git-upload-pack                        POST /acme/app.git/git-receive-pack
 *
 * A server may decode, fold case or tidy a path before it looks; so what would be one of these after that, and is not
 * one as it stands, is refused: else a push could go as some other request. */
#include "gateway/git_guard.h"

#include <errno.h>
#include <string.h>

#define REPOSITORY_MAX 1024
#define DECODE_ROUNDS 3

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One round of percent-decoding in place, and ASCII letters to lower case. */
static size_t
decode_fold(char *text, size_t len)
{
	size_t to = 0;
	for (size_t i = 0; i < len; i++, to++) {
		char c = text[i];
		if (c == '%' && i + 2 < len && hex_value(text[i + 1]) >= 0 &&
		    hex_value(text[i + 2]) >= 0) {
			c = (char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
			i += 2;
		}
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		text[to] = c;
	}
	return to;
}

/* TEXT as a lenient server could read it; owned, NUL-terminated (a NUL in it becomes a space). */
static char *
loosely(struct http_text text)
{
	char *copy = malloc(text.len + 1);
	if (copy == NULL)
		return NULL;
	size_t len = text.len;
	if (len > 0)
		memcpy(copy, text.at, len);
	for (int i = 0; i < DECODE_ROUNDS; i++)
		len = decode_fold(copy, len);
	for (size_t i = 0; i < len; i++)
		if (copy[i] == 0)
			copy[i] = ' ';
		else if (copy[i] == '\\')
			copy[i] = '/';
	copy[len] = 0;
	return copy;
}

static bool
names_service(const char *text)
{
	return strstr(text, "git-upload-pack") != NULL ||
	    strstr(text, "git-receive-pack") != NULL || strstr(text, "git-upload-archive") != NULL;
}

static bool
ends_with(struct http_text text, const char *end)
{
	size_t n = strlen(end);
	return text.len >= n && memcmp(text.at + text.len - n, end, n) == 0;
}

static bool
is_plain_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c != 0 && strchr("-._~+@", c) != NULL);
}

/* Whether every segment of "a/b/c" is one that no server reads otherwise. */
static bool
is_plain_path(const char *path, size_t len)
{
	size_t begin = 0;
	for (size_t i = 0; i <= len; i++) {
		if (i < len && path[i] != '/') {
			if (!is_plain_byte(path[i]))
				return false;
			continue;
		}
		size_t n = i - begin;
		if (n == 0 || (n == 1 && path[begin] == '.') ||
		    (n == 2 && path[begin] == '.' && path[begin + 1] == '.'))
			return false;
		begin = i + 1;
	}
	return true;
}

/* The repository of PATH, which ends with SUFFIX. */
static int
repository_of(struct http_text path, const char *suffix, char ret[REPOSITORY_MAX + 1])
{
	size_t len = path.len - strlen(suffix);
	if (len < 2 || len > REPOSITORY_MAX || path.at[0] != '/' ||
	    !is_plain_path(path.at + 1, len - 1))
		return -EBADMSG;
	struct http_text name = {path.at + 1, len - 1};
	if (ends_with(name, ".git"))
		name.len -= 4;
	if (name.len == 0 || name.at[name.len - 1] == '/')
		return -EBADMSG;
	memcpy(ret, name.at, name.len);
	ret[name.len] = 0;
	return 0;
}

struct form {
	const char *method, *suffix, *query;
	enum git_request request;
};

static const struct form forms[] = {
    {"GET", "/info/refs", "service=git-upload-pack", GIT_DISCOVER_FETCH},
    {"GET", "/info/refs", "service=git-receive-pack", GIT_DISCOVER_PUSH},
    {"POST", "/git-upload-pack", "", GIT_FETCH},
    {"POST", "/git-receive-pack", "", GIT_PUSH},
};

/* Whether the last segment of PATH, read loosely, names a service, or it is info/refs with a QUERY that may. */
static bool
looks_like_git(const char *method, const char *path, const char *query)
{
	size_t len = strlen(path);
	while (len > 0 && strchr("/. ", path[len - 1]) != NULL)
		len--;
	const char *last = path + len;
	while (last > path && last[-1] != '/')
		last--;
	/* GET of such a path is a page about it: no server gives a service that way. */
	if (names_service(last) && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return true;
	return strncmp(last, "refs", 4) == 0 && query[0] != 0 &&
	    (names_service(query) || strstr(query, "service") != NULL);
}

int
git_request_of(struct http_text method, struct http_text path, struct http_text query,
    char ret_repository[REPOSITORY_MAX + 1])
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct form *form = &forms[i];
		if (!http_text_is(method, form->method) || !ends_with(path, form->suffix) ||
		    !http_text_is(query, form->query))
			continue;
		int r = repository_of(path, form->suffix, ret_repository);
		return r < 0 ? r : (int)form->request;
	}
	_cleanup_free_ char *verb = loosely(method), *where = loosely(path), *what = loosely(query);
	if (verb == NULL || where == NULL || what == NULL)
		return -ENOMEM;
	for (char *c = verb; *c != 0; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c & ~0x20) : *c;
	return looks_like_git(verb, where, what) ? -EBADMSG : GIT_NOT;
}
