/* Whether a rule and an action meet: connections, HTTP requests and git operations, which all name a
 * host. */
#include <string.h>

#include "policy/network.h"
#include "policy/patterns.h"

bool
host_permitted(const struct rule *rule, const struct subject *s)
{
	if (!s->host_plain)
		return false;
	return list_permits(&rule->hosts, s->host, host_match) ||
	    (rule->addresses.n > 0 && list_has(&rule->addresses, s->host, cidr_match));
}

bool
host_touched(const struct rule *rule, const struct subject *s)
{
	if (s->host == NULL || (rule->hosts.mode != LIST_ITEMS && rule->addresses.n == 0))
		return true;
	/* An address in a roundabout spelling may be any host. */
	if (!s->host_plain && !host_is_plain(s->host) && strpbrk(s->host, "%:[]") != NULL)
		return true;
	return (rule->hosts.mode == LIST_ITEMS && list_has(&rule->hosts, s->host, host_touch)) ||
	    (rule->addresses.n > 0 && list_has(&rule->addresses, s->host, cidr_match));
}

bool
net_permits(const struct rule *rule, const struct subject *s)
{
	return host_permitted(rule, s) &&
	    (rule->ports.mode == LIST_ANY || ports_have(&rule->ports, s->port)) &&
	    strcmp(json_get_str(s->request, "protocol", "tcp"), "tcp") == 0;
}

bool
net_touches(const struct rule *rule, const struct subject *s)
{
	return host_touched(rule, s) &&
	    (rule->ports.mode != LIST_ITEMS || s->port < 1 || ports_have(&rule->ports, s->port));
}

/* The value of header NAME (any case), or NULL. */
static const char *
header(const struct json *request, const char *name)
{
	const struct json *headers = json_get(request, "headers");
	for (size_t i = 0; i < json_len(headers); i++)
		if (text_equal_fold(json_name_at(headers, i), name))
			return json_str(json_at(headers, i), "");
	return NULL;
}

static const char *const usual_headers[] = {"accept", "accept-*", "host", "user-agent",
    "connection", "cache-control", "pragma", "content-type", "content-length", "content-encoding",
    "transfer-encoding", "te", "trailer", "expect", "date", "range", "if-*", "origin", "referer",
    "priority", "upgrade-insecure-requests"};
/* What speaks for the agent where the gateway is to speak with its own credential. */
static const char *const credential_headers[] = {
    "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"};

/* What some servers take for the method, path or host of a request instead of those that were decided on. */
static const char *const rerouting_headers[] = {"x-http-method*", "x-method-override",
    "x-original-*", "x-rewrite-*", "x-forwarded-*", "forwarded"};

/* What belongs to a change of protocol, where a rule permits one. */
static const char *const upgrade_headers[] = {"upgrade", "sec-websocket-*"};

static bool
headers_permitted(const struct rule *rule, const struct json *request)
{
	static const struct list usual = CONST_LIST(usual_headers);
	static const struct list speaking = CONST_LIST(credential_headers);
	static const struct list upgrading = CONST_LIST(upgrade_headers);
	static const struct list rerouting = CONST_LIST(rerouting_headers);
	const struct json *headers = json_get(request, "headers");
	for (size_t i = 0; i < json_len(headers); i++) {
		const char *name = json_name_at(headers, i);
		bool listed = rule->headers.mode == LIST_ITEMS &&
		    list_has(&rule->headers, name, glob_match_fold);
		if (rule->credential != NULL && !listed &&
		    list_has(&speaking, name, glob_match_fold))
			return false;
		if (rule->headers.mode == LIST_ABSENT &&
		    list_has(&rerouting, name, glob_match_fold))
			return false;
		if (rule->headers.mode == LIST_ABSENT || rule->headers.mode == LIST_ANY || listed)
			continue;
		if (rule->upgrades.n > 0 && list_has(&upgrading, name, glob_match_fold))
			continue;
		if (!list_has(&usual, name, glob_match_fold))
			return false;
	}
	return true;
}

/* The media type without its parameters, in RET. */
static const char *
media_type(const char *value, char *ret, size_t size)
{
	size_t n = strcspn(value, "; \t");
	if (n >= size)
		return "";
	memcpy(ret, value, n);
	ret[n] = 0;
	return ret;
}

static bool
body_permitted(const struct rule *rule, const struct json *request)
{
	char type[128];
	int64_t bytes = json_get_int(request, "body_bytes", 0);
	/* A body whose size is not known before (-1) is held to the limit while it streams. */
	if (bytes != -1 && !limit_holds(rule->limits.body_bytes, bytes))
		return false;
	const char *value = header(request, "content-type");
	if (rule->content_types.mode != LIST_ITEMS || (value == NULL && bytes == 0))
		return true;
	return value != NULL &&
	    list_has(&rule->content_types, media_type(value, type, sizeof(type)), glob_match_fold);
}

/* What follows a change of protocol is not read: only a rule that names it permits it. */
static bool
upgrade_permitted(const struct rule *rule, const struct json *request)
{
	const char *upgrade = header(request, "upgrade");
	return upgrade == NULL || list_has(&rule->upgrades, upgrade, text_equal_fold) ||
	    (rule->headers.mode == LIST_ITEMS &&
		list_has(&rule->headers, "upgrade", text_equal_fold));
}

bool
http_permits(const struct rule *rule, const struct subject *s)
{
	const char *scheme = json_get_str(s->request, "scheme", "");
	const char *path = json_get_str(s->request, "path", "");
	if (!host_permitted(rule, s) || !rule_has_port(rule, scheme, s->port) ||
	    !rule_speaks(rule, scheme))
		return false;
	if (!list_permits(&rule->methods, json_get_str(s->request, "method", NULL), text_same))
		return false;
	if (rule->paths.mode == LIST_ITEMS &&
	    (!url_path_is_plain(path) || !list_has(&rule->paths, path, path_match)))
		return false;
	return upgrade_permitted(rule, s->request) && headers_permitted(rule, s->request) &&
	    body_permitted(rule, s->request);
}

bool
http_touches(const struct rule *rule, const struct subject *s)
{
	const char *path = json_get_str(s->request, "path", NULL);
	if (!net_touches(rule, s) ||
	    !list_touches(
		&rule->schemes, json_get_str(s->request, "scheme", NULL), text_equal_fold) ||
	    !list_touches(
		&rule->methods, json_get_str(s->request, "method", NULL), text_equal_fold) ||
	    !path_touched(&rule->paths, path, path != NULL && url_path_is_plain(path)))
		return false;
	const char *upgrade = header(s->request, "upgrade");
	if (rule->upgrades.mode == LIST_ITEMS &&
	    (upgrade == NULL || !list_has(&rule->upgrades, upgrade, text_equal_fold)))
		return false;
	if (rule->headers.mode == LIST_ITEMS) {
		const struct json *headers = json_get(s->request, "headers");
		bool some = false;
		for (size_t i = 0; i < json_len(headers) && !some; i++)
			some = list_has(&rule->headers, json_name_at(headers, i), glob_match_fold);
		if (!some)
			return false;
	}
	char type[128];
	const char *value = header(s->request, "content-type");
	return rule->content_types.mode != LIST_ITEMS ||
	    (value == NULL ? json_get_int(s->request, "body_bytes", 1) != 0
			   : list_has(&rule->content_types, media_type(value, type, sizeof(type)),
				 glob_match_fold));
}

/* ---- git ---- */

/* "main" means refs/heads/main; a pattern that begins with refs/ means itself. */
static bool
branch_match(const char *pattern, const char *ref)
{
	if (strncmp(pattern, "refs/", 5) != 0 && strncmp(ref, "refs/heads/", 11) == 0)
		ref += 11;
	return path_is_plain(ref) && path_match(pattern, ref);
}

static bool
branch_touch(const char *pattern, const char *ref)
{
	return !path_is_plain(ref) || branch_match(pattern, ref);
}

/* The operation that changing REF needs beside push, or NULL. */
static const char *
ref_operation(const struct json *ref)
{
	return json_get_bool(ref, "delete", false) ? "delete"
	    : json_get_bool(ref, "force", false)   ? "force-push"
						   : NULL;
}

bool
git_permits(const struct rule *rule, const struct subject *s)
{
	const struct json *refs = json_get(s->request, "refs");
	const char *repository = json_get_str(s->request, "repository", NULL);
	const char *operation = json_get_str(s->request, "operation", NULL);
	const char *scheme = json_get_str(s->request, "scheme", "https");
	if (!host_permitted(rule, s) || !rule_has_port(rule, scheme, s->port) ||
	    !rule_speaks(rule, scheme) || repository == NULL || operation == NULL ||
	    !list_permits(&rule->operations, operation, text_same))
		return false;
	if (rule->repositories.mode == LIST_ITEMS &&
	    (!path_is_plain(repository) || !list_has(&rule->repositories, repository, path_match)))
		return false;
	bool push = strcmp(operation, "fetch") != 0;
	if (push && rule->branches.mode == LIST_ITEMS && json_len(refs) == 0)
		return false;
	for (size_t i = 0; push && i < json_len(refs); i++) {
		const struct json *ref = json_at(refs, i);
		const char *more = ref_operation(ref);
		if ((more != NULL && !list_permits(&rule->operations, more, text_same)) ||
		    !list_permits(&rule->branches, json_get_str(ref, "name", NULL), branch_match))
			return false;
	}
	return true;
}

static bool
ref_touched(const struct rule *rule, const struct json *ref, const char *operation)
{
	const char *more = ref_operation(ref);
	return (list_touches(&rule->operations, operation, text_same) ||
		   (more != NULL && list_touches(&rule->operations, more, text_same))) &&
	    list_touches(&rule->branches, json_get_str(ref, "name", NULL), branch_touch);
}

bool
git_touches(const struct rule *rule, const struct subject *s)
{
	const struct json *refs = json_get(s->request, "refs");
	const char *repository = json_get_str(s->request, "repository", NULL);
	const char *operation = json_get_str(s->request, "operation", NULL);
	if (!net_touches(rule, s) ||
	    !list_touches(
		&rule->schemes, json_get_str(s->request, "scheme", "https"), text_equal_fold) ||
	    !path_touched(
		&rule->repositories, repository, repository != NULL && path_is_plain(repository)))
		return false;
	for (size_t i = 0; i < json_len(refs); i++)
		if (ref_touched(rule, json_at(refs, i), operation))
			return true;
	return json_len(refs) == 0 && list_touches(&rule->operations, operation, text_same);
}
