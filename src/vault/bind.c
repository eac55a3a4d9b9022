#include "vault/bind.h"

#include <errno.h>
#include <string.h>

#include "policy/patterns.h"

#define HOSTS_MAX 32
#define LIST_MAX 32
#define TEXT_MAX 512

/* ---- what may be written ---- */

static const char *
check_bound_host(const char *text)
{
	const char *wrong = check_host_pattern(text);
	const char *name = strncmp(text, "**.", 3) == 0 ? text + 3 : text + 2;
	if (wrong == NULL && text[0] == '*' && strchr(name, '.') == NULL)
		wrong = "a host; a wildcard needs a domain of two labels at least";
	return wrong;
}

static const char *
check_bound_path(const char *text)
{
	if (text[0] != '/')
		return "a path glob that begins with /";
	return check_path_pattern(text);
}

static const char *
check_bound_method(const char *text)
{
	return text[0] == 0 ? "a method" : check_method(text);
}

static int
check_list(const struct json *bind, const char *member, size_t max,
    const char *(*check)(const char *text), struct error *err)
{
	const struct json *list = json_get(bind, member);
	if (list == NULL)
		return 0;
	if (json_type(list) != JSON_ARRAY || json_len(list) == 0 || json_len(list) > max)
		return error_set(
		    err, EINVAL, "secret_invalid", "%s: one to %zu are possible", member, max);
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *item = json_at(list, i);
		const char *text = json_str(item, "");
		if (json_type(item) != JSON_STRING || json_str_len(item) != strlen(text) ||
		    strlen(text) > TEXT_MAX)
			return error_set(err, EINVAL, "secret_invalid",
			    "%s: not a text of at most %d bytes", member, TEXT_MAX);
		const char *wrong = check(text);
		if (wrong != NULL)
			return error_set(err, EINVAL, "secret_invalid", "%s: \"%.120s\" is not %s",
			    member, text, wrong);
	}
	return 0;
}

static int
check_ports(const struct json *bind, struct error *err)
{
	const struct json *ports = json_get(bind, "ports");
	if (ports == NULL)
		return 0;
	bool good =
	    json_type(ports) == JSON_ARRAY && json_len(ports) > 0 && json_len(ports) <= LIST_MAX;
	for (size_t i = 0; good && i < json_len(ports); i++) {
		int64_t port = json_int(json_at(ports, i), 0);
		good = port > 0 && port < 65536;
	}
	return good ? 0
		    : error_set(err, EINVAL, "secret_invalid",
			  "ports: one to %d numbers between 1 and 65535", LIST_MAX);
}

int
bind_check(const struct json *bind, struct error *err)
{
	static const char *const members[] = {"hosts", "ports", "methods", "paths", "plain"};
	if (json_type(bind) != JSON_OBJECT || json_len(json_get(bind, "hosts")) == 0) {
		error_set(
		    err, EINVAL, "secret_invalid", "a secret needs a host that it may be sent to");
		error_remedy(err, "give --host NAME");
		return -EINVAL;
	}
	for (size_t i = 0; i < json_len(bind); i++) {
		size_t k = 0;
		while (k < ARRAY_LEN(members) && strcmp(members[k], json_name_at(bind, i)) != 0)
			k++;
		if (k == ARRAY_LEN(members))
			return error_set(err, EINVAL, "secret_invalid", "bind: %.60s is not known",
			    json_name_at(bind, i));
	}
	int r = check_list(bind, "hosts", HOSTS_MAX, check_bound_host, err);
	if (r == 0)
		r = check_ports(bind, err);
	if (r == 0)
		r = check_list(bind, "methods", LIST_MAX, check_bound_method, err);
	if (r == 0)
		r = check_list(bind, "paths", LIST_MAX, check_bound_path, err);
	if (r == 0 && json_get(bind, "plain") != NULL &&
	    json_type(json_get(bind, "plain")) != JSON_BOOL)
		r = error_set(err, EINVAL, "secret_invalid", "plain: true or false");
	return r;
}

/* ---- what is within ---- */

static bool
text_equal(const char *pattern, const char *text)
{
	return strcmp(pattern, text) == 0;
}

static bool
any_matches(
    const struct json *list, bool (*match)(const char *pattern, const char *text), const char *text)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (match(json_str(json_at(list, i), ""), text))
			return true;
	return false;
}

static bool
port_within(const struct json *bind, int64_t port)
{
	const struct json *ports = json_get(bind, "ports");
	for (size_t i = 0; i < json_len(ports); i++)
		if (json_int(json_at(ports, i), 0) == port)
			return true;
	return ports == NULL &&
	    (port == 443 || (port == 80 && json_get_bool(bind, "plain", false)));
}

/* A text of TARGET without NULs inside, else "". */
static const char *
target_text(const struct json *target, const char *member)
{
	const struct json *v = json_get(target, member);
	const char *text = json_str(v, "");
	return strlen(text) == json_str_len(v) ? text : "";
}

/* In which respect TARGET is not within BIND; NULL if it is. */
static const char *
outside(const struct json *bind, const struct json *target)
{
	const char *kind = target_text(target, "kind"), *scheme = target_text(target, "scheme");
	const char *host = target_text(target, "host"), *path = target_text(target, "path");
	const struct json *methods = json_get(bind, "methods"), *paths = json_get(bind, "paths");
	if (strcmp(kind, "http") != 0 && strcmp(kind, "git") != 0)
		return "kind";
	if (strcmp(scheme, "https") != 0 &&
	    !(strcmp(scheme, "http") == 0 && json_get_bool(bind, "plain", false)))
		return "scheme";
	if (!host_is_plain(host) || !any_matches(json_get(bind, "hosts"), host_match, host))
		return "host";
	if (!port_within(bind, json_get_int(target, "port", 0)))
		return "port";
	if (methods != NULL && !any_matches(methods, text_equal, target_text(target, "method")))
		return "method";
	if (paths != NULL && (!url_path_is_plain(path) || !any_matches(paths, path_match, path)))
		return "path";
	return NULL;
}

int
bind_allows(const struct json *bind, const struct json *target, const char *name, struct error *err)
{
	const char *which = outside(bind, target);
	if (which == NULL)
		return 0;
	error_set(err, EACCES, "credential_not_bound",
	    "credential %.64s is not bound to this %s: %.20s://%.120s:%lld %.20s %.120s", name,
	    which, target_text(target, "scheme"), target_text(target, "host"),
	    (long long)json_get_int(target, "port", 0), target_text(target, "method"),
	    target_text(target, "path"));
	error_remedy(
	    err, "ringfence secret list shows what it is bound to; set it again to change that");
	return -EACCES;
}
