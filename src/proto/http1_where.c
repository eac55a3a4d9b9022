/* Where a request is going (RFC 9112, 3.2; RFC 3986): the target and the Host header, which must say the same.
 *
 * Every spelling that another reader could take for another host is refused rather than translated: userinfo,
 * percent-encoding in a host, addresses that are not written the usual way, ports that are not plain numbers. */
#include <errno.h>
#include <string.h>

#include "proto/address.h"
#include "proto/hostname.h"
#include "proto/http1.h"
#include "proto/http1_impl.h"

struct authority {
	char host[256];
	int port; /* 0: none */
};

static const char *
find_byte(struct http_text text, char c)
{
	return text.len == 0 ? NULL : memchr(text.at, c, text.len);
}

static struct http_text
text_between(const char *begin, const char *end)
{
	return (struct http_text){begin, (size_t)(end - begin)};
}

/* ---- host and port ---- */

static int
port_read(struct http_text text, int *ret, struct error *err)
{
	int port = 0;
	bool plain = text.len >= 1 && text.len <= 5 && text.at[0] != '0';
	for (size_t i = 0; plain && i < text.len; i++) {
		plain = text.at[i] >= '0' && text.at[i] <= '9';
		port = port * 10 + (text.at[i] - '0');
	}
	if (!plain || port > 65535)
		return http_refuse(err, "a port that is not a plain number from 1 to 65535");
	*ret = port;
	return 0;
}

/* What stands between the brackets. IPv4 inside IPv6 has a shorter name, which is the one that rules are for. */
static int
ipv6_read(struct http_text text, char ret[256], struct error *err)
{
	char terminated[ADDRESS_TEXT];
	uint8_t address[16];
	if (text.len >= sizeof(terminated) || find_byte(text, ':') == NULL)
		return http_refuse(err, "not an IPv6 address between brackets");
	memcpy(terminated, text.at, text.len);
	terminated[text.len] = 0;
	if (address_parse_any(terminated, address) < 0)
		return http_refuse(err, "not an IPv6 address between brackets");
	if (address_is_ipv4(address))
		return http_refuse(err, "an IPv4 address written as an IPv6 address");
	address_format(address, ret);
	return 0;
}

/* A name, or an IPv4 address in its usual spelling. */
static int
name_read(struct http_text text, char ret[256], struct error *err)
{
	char terminated[ADDRESS_TEXT];
	uint8_t address[16];
	if (hostname_canonical(text.at, text.len, ret) == 0)
		return 0;
	if (text.len > 0 && text.len < sizeof(terminated) && find_byte(text, ':') == NULL) {
		memcpy(terminated, text.at, text.len);
		terminated[text.len] = 0;
		if (memchr(text.at, 0, text.len) == NULL &&
		    address_parse(terminated, address) == 0) {
			address_format(address, ret);
			return 0;
		}
	}
	return http_refuse(err,
	    text.len == 0
		? "an empty host"
		: "a host that is neither a plain name nor an address in its usual spelling");
}

static int
authority_read(struct http_text text, struct authority *ret, struct error *err)
{
	struct http_text host = text;
	const char *end = text.at + text.len, *colon = NULL;
	int r;
	ret->port = 0;
	if (find_byte(text, '@') != NULL)
		return http_refuse(err, "a user name before the host");
	if (text.len > 0 && text.at[0] == '[') {
		const char *close = find_byte(text, ']');
		if (close == NULL || (close + 1 < end && close[1] != ':'))
			return http_refuse(err, "not an IPv6 address between brackets");
		if (close + 1 < end)
			colon = close + 1;
		r = ipv6_read(text_between(text.at + 1, close), ret->host, err);
	} else {
		colon = find_byte(text, ':');
		if (colon != NULL)
			host.len = (size_t)(colon - text.at);
		r = name_read(host, ret->host, err);
	}
	if (r < 0 || colon == NULL)
		return r;
	return port_read(text_between(colon + 1, end), &ret->port, err);
}

/* ---- path and query ---- */

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Bytes of a URI, and those few more that browsers' URL (WHATWG) leaves unencoded there and nobody splits at. */
static int
uri_check(struct http_text text, const char *more, struct error *err)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			continue;
		if (c == '%') {
			if (text.len - i < 3 || !is_hex(text.at[i + 1]) || !is_hex(text.at[i + 2]))
				return http_refuse(err, "a % in the target that encodes nothing");
			continue;
		}
		if (c == '#')
			return http_refuse(err, "a fragment in the target");
		if (c == 0 || (strchr("-._~!$&'()*+,;=:@/", c) == NULL && strchr(more, c) == NULL))
			return http_refuse(err, "a byte in the target that is not of a URI");
	}
	return 0;
}

static int
path_read(struct http_text text, struct http_where *ret, struct error *err)
{
	const char *mark = find_byte(text, '?'), *end = text.at + text.len;
	ret->path = text_between(text.at, mark == NULL ? end : mark);
	ret->query = mark == NULL ? (struct http_text){"", 0} : text_between(mark + 1, end);
	int r = uri_check(ret->path, "[]|^", err);
	if (r == 0)
		r = uri_check(ret->query, "?[]|^{}`", err);
	if (ret->path.len == 0)
		ret->path = (struct http_text){"/", 1};
	return r;
}

/* ---- the four forms ---- */

/* http://HOST[:PORT][/PATH][?QUERY] */
static int
absolute_read(
    struct http_text target, struct http_where *ret, struct authority *named, struct error *err)
{
	static const char *const schemes[] = {"http", "https"};
	const char *colon = find_byte(target, ':'), *end = target.at + target.len;
	if (colon == NULL || end - colon < 3 || memcmp(colon, "://", 3) != 0)
		return http_refuse(err, "a target that is neither a path nor a URL");
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (http_text_is_fold(text_between(target.at, colon), schemes[i]))
			memcpy(ret->scheme, schemes[i], strlen(schemes[i]) + 1);
	if (ret->scheme[0] == 0)
		return http_refuse(err, "a URL that is neither http nor https");
	const char *begin = colon + 3, *p = begin;
	while (p < end && *p != '/' && *p != '?' && *p != '#')
		p++;
	int r = authority_read(text_between(begin, p), named, err);
	return r < 0 ? r : path_read(text_between(p, end), ret, err);
}

static int
target_read(const struct http_head *head, struct http_where *ret, struct authority *named,
    struct error *err)
{
	bool connect = http_text_is(head->method, "CONNECT");
	if (connect) {
		ret->form = HTTP_AUTHORITY;
		int r = authority_read(head->target, named, err);
		if (r == 0 && named->port == 0)
			r = http_refuse(err, "CONNECT without a port");
		return r;
	}
	if (head->target.len > 0 && head->target.at[0] == '/') {
		ret->form = HTTP_ORIGIN;
		return path_read(head->target, ret, err);
	}
	if (http_text_is(head->target, "*")) {
		ret->form = HTTP_ASTERISK;
		if (!http_text_is(head->method, "OPTIONS"))
			return http_refuse(err, "a target * with a method that is not OPTIONS");
		return 0;
	}
	ret->form = HTTP_ABSOLUTE;
	return absolute_read(head->target, ret, named, err);
}

static int
default_port(const struct http_where *where)
{
	return strcmp(where->scheme, "http") == 0 ? 80 : 443;
}

/* The target names a host; a Host header, if there is one, has to name the same, and the same port. In a CONNECT, which
 * has no scheme, a Host without a port is the usual port of either. */
static bool
agree(const struct http_where *where, const struct authority *target, const struct authority *host)
{
	int port = target->port, other = host->port;
	if (strcmp(target->host, host->host) != 0)
		return false;
	if (where->form == HTTP_AUTHORITY)
		return other == port || (other == 0 && (port == 443 || port == 80));
	return (port == 0 ? default_port(where) : port) ==
	    (other == 0 ? default_port(where) : other);
}

int
http_where(const struct http_head *head, struct http_where *ret, struct error *err)
{
	struct authority target = {.host = ""}, host = {.host = ""};
	const struct http_header *header = http_find(head, "host");
	*ret = (struct http_where){.path = {"", 0}, .query = {"", 0}};
	int r = target_read(head, ret, &target, err);
	if (r == 0 && header != NULL)
		r = authority_read(header->value, &host, err);
	if (r < 0)
		return r;
	bool named = ret->form == HTTP_ABSOLUTE || ret->form == HTTP_AUTHORITY;
	if (!named && header == NULL)
		return http_refuse(err, "no Host header");
	if (named && header != NULL && !agree(ret, &target, &host))
		return http_refuse(err, "a Host header that differs from the target's host");
	const struct authority *to = named ? &target : &host;
	memcpy(ret->host, to->host, sizeof(ret->host));
	ret->port = to->port;
	return 0;
}
