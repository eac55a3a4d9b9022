/* What a gateway proposes, as a record. The gateway reads hostile bytes: what it says beside the request itself
 * (who, how bad, how familiar) is not taken from it. */
#include "arbiter/net_record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *
net_scheme(enum action_kind kind, const struct json *request)
{
	return kind == ACTION_NET ? "" : json_get_str(request, "scheme", "https");
}

int
net_port(enum action_kind kind, const struct json *request)
{
	bool plain = strcmp(net_scheme(kind, request), "http") == 0;
	return (int)json_get_int(request, "port", kind == ACTION_NET ? 0 : plain ? 80 : 443);
}

/* ---- headers ---- */

bool
net_header_is_secret(const char *name)
{
	/* Too many rather than too few: what is hidden is still told apart. */
	static const char *const parts[] = {"auth", "cookie", "token", "api-key", "apikey",
	    "secret", "passw", "session", "signature", "credential", "jwt"};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (strstr(name, parts[i]) != NULL)
			return true;
	return false;
}

/* What stands for VALUE: the same for the same value, and no way back without the key. */
static struct json *
hidden(const struct json *value, const uint8_t *key, size_t key_len)
{
	uint8_t mac[SHA256_BYTES];
	char hex[SHA256_HEX], text[64];
	hmac_sha256(key, key_len, json_str(value, ""), json_str_len(value), mac);
	hex_encode(mac, sizeof(mac), hex);
	(void)snprintf(text, sizeof(text), "[hidden %.16s]", hex);
	return json_new_string(text);
}

/* A name that is not in lower case is refused: "Cookie" must not pass as something else than "cookie". */
static int
hide_headers(struct json *request, const uint8_t *key, size_t key_len, struct error *err)
{
	const struct json *headers = json_get(request, "headers");
	_cleanup_json_ struct json *kept = NULL;
	for (size_t i = 0; i < json_len(headers); i++) {
		const char *name = json_name_at(headers, i);
		if (strpbrk(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL)
			return error_set(err, EINVAL, "action_invalid",
			    "request.headers: names must be in lower case");
		if (!net_header_is_secret(name))
			continue;
		if (kept == NULL && (kept = json_copy(headers)) == NULL)
			return error_set(err, ENOMEM, "out_of_memory", "out of memory");
		if (json_set(kept, name, hidden(json_at(headers, i), key, key_len)) < 0)
			return error_set(err, ENOMEM, "out_of_memory", "out of memory");
	}
	if (kept != NULL && json_set(request, "headers", TAKE_PTR(kept)) < 0)
		return error_set(err, ENOMEM, "out_of_memory", "out of memory");
	return 0;
}

/* ---- target and effect ---- */

/* By what it is seen and seen again: where it goes, not each path. */
static void
target_of(enum action_kind kind, const struct json *request, char *ret, size_t size)
{
	const char *host = json_get_str(request, "host", "");
	const char *scheme = net_scheme(kind, request);
	int port = net_port(kind, request);
	bool usual = port == (strcmp(scheme, "http") == 0 ? 80 : 443);
	char suffix[16] = "";
	if (kind == ACTION_NET || !usual)
		(void)snprintf(suffix, sizeof(suffix), ":%d", port);
	const char *open = strchr(host, ':') != NULL ? "[" : "";
	const char *close = open[0] != 0 ? "]" : "";
	if (kind == ACTION_NET)
		(void)snprintf(ret, size, "%s%s%s%s", open, host, close, suffix);
	else if (kind == ACTION_HTTP)
		(void)snprintf(ret, size, "%s://%s%s%s%s", scheme, open, host, close, suffix);
	else
		(void)snprintf(ret, size, "%s%s%s%s/%.1024s", open, host, close, suffix,
		    json_get_str(request, "repository", ""));
}

static const char *
effect_of(enum action_kind kind, const struct json *request)
{
	static const char *const safe[] = {"GET", "HEAD", "OPTIONS"};
	if (kind == ACTION_GIT)
		return strcmp(json_get_str(request, "operation", ""), "fetch") == 0 ? "read"
										    : "write";
	/* A connection can carry anything, and so can what follows a change of protocol. */
	if (kind == ACTION_NET || json_get(json_get(request, "headers"), "upgrade") != NULL)
		return "write";
	for (size_t i = 0; i < ARRAY_LEN(safe); i++)
		if (strcmp(json_get_str(request, "method", ""), safe[i]) == 0)
			return "read";
	return "write";
}

int
net_record_make(
    struct json *action, const uint8_t *key, size_t key_len, struct json **ret, struct error *err)
{
	char target[1400] = "";
	int kind = action_kind_parse(json_get_str(action, "kind", ""));
	if (kind != ACTION_NET && kind != ACTION_HTTP && kind != ACTION_GIT)
		return error_set(err, EINVAL, "action_invalid",
		    "action.kind: a gateway proposes net, http and git actions only");
	_cleanup_json_ struct json *record = json_new_object();
	struct json *request = json_detach(action, "request");
	(void)json_set_str(record, "kind", action_kind_name((enum action_kind)kind));
	(void)json_set_bool(record, "opaque", json_get_bool(action, "opaque", false));
	(void)json_set_bool(record, "reversible", false);
	(void)json_set(record, "request", request != NULL ? request : json_new_object());
	target_of((enum action_kind)kind, request, target, sizeof(target));
	(void)json_set_str(record, "target", target);
	(void)json_set_str(record, "effect", effect_of((enum action_kind)kind, request));
	int r = action_validate(record, err);
	if (r == 0 && kind == ACTION_HTTP)
		r = hide_headers(request, key, key_len, err);
	if (r == 0)
		*ret = TAKE_PTR(record);
	return r;
}
