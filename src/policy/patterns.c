/* The patterns of policies. */
#include "policy/patterns.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/macros.h"

#define PATH_BYTES_MAX 8192
#define HOST_BYTES_MAX 253

/* ---- bytes ---- */

static char
fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (fold(c) >= 'a' && fold(c) <= 'z');
}

static int
hex_value(char c)
{
	c = fold(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
text_equal_fold(const char *a, const char *b)
{
	while (*a != 0 && fold(*a) == fold(*b))
		a++, b++;
	return *a == 0 && *b == 0;
}

static bool
has_control(const char *text)
{
	for (; *text != 0; text++)
		if (is_control(*text))
			return true;
	return false;
}

/* ---- globs ---- */

/* Stars never need more than the last one tried again: what an earlier star could give up, a later
 * one can take. */
static bool
glob_bytes(const char *p, const char *t, bool folded)
{
	const char *star = NULL, *resume = NULL;
	while (*t != 0) {
		if (*p == '*') {
			star = p++;
			resume = t;
		} else if (*p == *t || (folded && fold(*p) == fold(*t))) {
			p++, t++;
		} else if (star != NULL) {
			p = star + 1;
			t = ++resume;
		} else {
			return false;
		}
	}
	while (*p == '*')
		p++;
	return *p == 0;
}

bool
glob_match(const char *pattern, const char *text)
{
	return glob_bytes(pattern, text, /* folded= */ false);
}

bool
glob_match_fold(const char *pattern, const char *text)
{
	return glob_bytes(pattern, text, /* folded= */ true);
}

/* As glob_bytes with two kinds of star: the last `*` is tried first, within its segment, then the
 * last `**`. A star before the last `**` needs no second try: that one can take what it would. */
bool
path_match(const char *p, const char *t)
{
	const char *star = NULL, *star_at = NULL, *deep = NULL, *deep_at = NULL;
	for (;;) {
		if (p[0] == '*' && p[1] == '*') {
			deep = p += 2;
			deep_at = t;
			star = NULL;
		} else if (*p == '*') {
			star = ++p;
			star_at = t;
		} else if (*t != 0 && *p == *t) {
			p++, t++;
		} else if (*t == 0 && *p == 0) {
			return true;
		} else if (star != NULL && *star_at != 0 && *star_at != '/') {
			p = star;
			t = ++star_at;
		} else if (deep != NULL && *deep_at != 0) {
			p = deep;
			t = ++deep_at;
			star = NULL;
		} else {
			return false;
		}
	}
}

/* ---- paths ---- */

bool
path_is_plain(const char *path)
{
	const char *segment = path;
	if (strlen(path) > PATH_BYTES_MAX)
		return false;
	for (const char *p = path;; p++) {
		if (*p != 0 && *p != '/') {
			if (is_control(*p) || *p == '\\')
				return false;
			continue;
		}
		size_t len = (size_t)(p - segment);
		bool dots =
		    (len == 1 && segment[0] == '.') || (len == 2 && memcmp(segment, "..", 2) == 0);
		if (dots || (len == 0 && *p == '/' && p != path))
			return false;
		if (*p == 0)
			return true;
		segment = p + 1;
	}
}

bool
url_path_is_plain(const char *path)
{
	if (path[0] != '/' || !path_is_plain(path))
		return false;
	for (const char *p = path; *p != 0; p++) {
		if (*p == '?' || *p == '#' || *p == ' ')
			return false;
		if (*p != '%')
			continue;
		int high = hex_value(p[1]), low = high < 0 ? -1 : hex_value(p[2]);
		if (low < 0)
			return false;
		char c = (char)(high * 16 + low);
		if (is_alnum(c) || is_control(c) || strchr("-._~/\\%", c) != NULL)
			return false;
	}
	return true;
}

/* ---- hosts ---- */

static bool
parse_address(const char *host, uint8_t ret[16], unsigned *ret_bytes)
{
	char bare[64];
	size_t len = strlen(host);
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']')
		host++, len -= 2;
	if (len >= sizeof(bare))
		return false;
	memcpy(bare, host, len);
	bare[len] = 0;
	if (inet_pton(AF_INET, bare, ret) == 1)
		*ret_bytes = 4;
	else if (inet_pton(AF_INET6, bare, ret) == 1)
		*ret_bytes = 16;
	else
		return false;
	return true;
}

/* Labels of LEN bytes at HOST. The last one must not be a number: 127.1 and 0x7f.1 are addresses to
 * some readers and names to others. */
static bool
labels_are_plain(const char *host, size_t len)
{
	size_t label = 0, digits = 0;
	for (size_t i = 0; i < len; i++) {
		if (host[i] == '.') {
			if (label == 0)
				return false;
			label = digits = 0;
			continue;
		}
		if (!is_alnum(host[i]) && host[i] != '-' && host[i] != '_')
			return false;
		digits += host[i] >= '0' && host[i] <= '9';
		if (++label > 63)
			return false;
	}
	const char *last = host + len - label;
	bool hex = label >= 2 && last[0] == '0' && fold(last[1]) == 'x';
	return label > 0 && digits < label && !hex;
}

bool
host_is_plain(const char *host)
{
	uint8_t address[16];
	unsigned bytes;
	size_t len = strlen(host);
	if (len == 0 || len > HOST_BYTES_MAX)
		return false;
	return parse_address(host, address, &bytes) || labels_are_plain(host, len);
}

/* Whether HOST ends in ".NAME" with something before it; RET_LEN is the length of that. */
static bool
host_below(const char *name, const char *host, size_t len, size_t *ret_len)
{
	size_t n = strlen(name);
	if (len < n + 2 || host[len - n - 1] != '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (fold(host[len - n + i]) != fold(name[i]))
			return false;
	*ret_len = len - n - 1;
	return true;
}

bool
host_match(const char *pattern, const char *host)
{
	size_t before;
	if (strncmp(pattern, "**.", 3) == 0)
		return host_below(pattern + 3, host, strlen(host), &before);
	if (strncmp(pattern, "*.", 2) == 0)
		return host_below(pattern + 2, host, strlen(host), &before) &&
		    memchr(host, '.', before) == NULL;
	return text_equal_fold(pattern, host);
}

bool
host_touch(const char *pattern, const char *host)
{
	size_t len = strlen(host), before;
	if (len > 0 && host[len - 1] == '.')
		len--;
	if (pattern[0] == '*')
		return host_below(strchr(pattern, '.') + 1, host, len, &before);
	size_t n = strlen(pattern);
	if (n != len)
		return false;
	for (size_t i = 0; i < n; i++)
		if (fold(pattern[i]) != fold(host[i]))
			return false;
	return true;
}

static bool
parse_cidr(const char *cidr, uint8_t ret[16], unsigned *ret_bytes, unsigned *ret_bits)
{
	char host[64];
	const char *slash = strchr(cidr, '/');
	size_t len = slash != NULL ? (size_t)(slash - cidr) : strlen(cidr);
	if (len >= sizeof(host))
		return false;
	memcpy(host, cidr, len);
	host[len] = 0;
	if (!parse_address(host, ret, ret_bytes))
		return false;
	unsigned bits = *ret_bytes * 8;
	if (slash != NULL) {
		size_t digits = strspn(slash + 1, "0123456789");
		if (digits == 0 || digits > 3 || slash[1 + digits] != 0)
			return false;
		unsigned value = 0;
		for (size_t i = 1; i <= digits; i++)
			value = value * 10 + (unsigned)(slash[i] - '0');
		if (value > bits)
			return false;
		bits = value;
	}
	*ret_bits = bits;
	return true;
}

bool
cidr_match(const char *cidr, const char *host)
{
	uint8_t network[16], address[16];
	unsigned bytes, bits, host_bytes;
	if (!parse_cidr(cidr, network, &bytes, &bits) ||
	    !parse_address(host, address, &host_bytes) || bytes != host_bytes)
		return false;
	for (unsigned i = 0; i < bits; i++) {
		uint8_t mask = (uint8_t)(0x80 >> (i % 8));
		if ((network[i / 8] & mask) != (address[i / 8] & mask))
			return false;
	}
	return true;
}

/* ---- relations ---- */

static const char *
without_public(const char *name)
{
	return strncmp(name, "public.", 7) == 0 ? name + 7 : name;
}

/* Stars stay within a part: a dot of NAME only matches a dot of PATTERN. */
static bool
parts_match(const char *pattern, const char *name, bool folded)
{
	char part[2][256];
	for (;;) {
		size_t n[2] = {strcspn(pattern, "."), strcspn(name, ".")};
		if (n[0] >= sizeof(part[0]) || n[1] >= sizeof(part[1]))
			return false;
		memcpy(part[0], pattern, n[0]);
		memcpy(part[1], name, n[1]);
		part[0][n[0]] = part[1][n[1]] = 0;
		if (!glob_bytes(part[0], part[1], folded))
			return false;
		pattern += n[0];
		name += n[1];
		if (*pattern == 0 || *name == 0)
			return *pattern == *name;
		pattern++, name++;
	}
}

bool
relation_match(const char *pattern, const char *name)
{
	return parts_match(without_public(pattern), without_public(name), /* folded= */ false);
}

bool
relation_touch(const char *pattern, const char *name)
{
	/* The schema may be left out on either side: a deny rule means the name wherever it is. */
	const char *p = strrchr(pattern, '.'), *n = strrchr(name, '.');
	if (p == NULL || n == NULL)
		return glob_bytes(p != NULL ? p + 1 : pattern, n != NULL ? n + 1 : name, true);
	return parts_match(pattern, name, /* folded= */ true) ||
	    parts_match(without_public(pattern), without_public(name), /* folded= */ true);
}

/* ---- what a file may say ---- */

/* The length of the run of letters, digits and bytes of MORE at TEXT. */
static size_t
word_span(const char *text, const char *more)
{
	size_t n = 0;
	while (text[n] != 0 && (is_alnum(text[n]) || strchr(more, text[n]) != NULL))
		n++;
	return n;
}

const char *
check_name(const char *text)
{
	size_t n = word_span(text, "_.-");
	bool good = n > 0 && n <= 64 && text[n] == 0 && text[0] != '.' && text[0] != '-';
	return good ? NULL : "a name of at most 64 letters, digits, '_', '-' and '.'";
}

const char *
check_word(const char *text)
{
	for (const char *p = text; *p != 0; p++)
		if (is_control(*p) || *p == ' ' || *p == '*')
			return "a word without blanks, control characters or '*'";
	return text[0] == '-' ? "a word that does not begin with '-'" : NULL;
}

const char *
check_root(const char *text)
{
	if (strcmp(text, "host") == 0)
		return NULL;
	size_t n = strncmp(text, "image:", 6) == 0 ? word_span(text + 6, "_./:@-") : 0;
	return n > 0 && n <= 200 && text[6 + n] == 0 ? NULL : "\"host\" or \"image:NAME\"";
}

const char *
check_program(const char *text)
{
	bool good =
	    text[0] == '/' && text[1] != 0 && path_is_plain(text) && text[strlen(text) - 1] != '/';
	return good ? NULL : "an absolute path without \"..\", \".\" and \"//\", or any";
}

const char *
check_option(const char *text)
{
	bool good = text[0] == '-' && text[1] != 0 && strcmp(text, "--") != 0 &&
	    !has_control(text) && text[1] != ' ' && text[1] != '*';
	const char *blank = strchr(text, ' ');
	if (blank != NULL && blank[1] == 0)
		good = false;
	return good ? NULL : "an option such as -a, --all, --format=* or \"-n *\"";
}

/* Whether some segment of TEXT is "..". */
static bool
climbs(const char *text)
{
	for (const char *p = text; p != NULL; p = strchr(p, '/')) {
		p += *p == '/';
		if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == 0))
			return true;
	}
	return false;
}

const char *
check_operand(const char *text)
{
	return has_control(text) || climbs(text)
	    ? "a pattern without control characters and \"..\" segments"
	    : NULL;
}

const char *
check_env(const char *text)
{
	size_t n = word_span(text, "_*");
	bool good = n > 0 && text[n] == 0 && (text[0] < '0' || text[0] > '9');
	return good ? NULL : "the name of an environment variable; * is any run of characters";
}

const char *
check_host_pattern(const char *text)
{
	const char *name = text;
	if (strncmp(text, "**.", 3) == 0)
		name += 3;
	else if (strncmp(text, "*.", 2) == 0)
		name += 2;
	uint8_t address[16];
	unsigned bytes;
	bool good = host_is_plain(name) && (name == text || !parse_address(name, address, &bytes));
	return good ? NULL : "a host name, *.NAME, **.NAME or an IP address";
}

const char *
check_path_pattern(const char *text)
{
	return path_is_plain(text) && text[0] != 0
	    ? NULL
	    : "a path pattern without \"..\", \".\", \"//\", '\\' and control characters";
}

const char *
check_header(const char *text)
{
	size_t n = word_span(text, "-_*");
	return n > 0 && text[n] == 0 ? NULL : "the name of a header; * is any run of characters";
}

const char *
check_method(const char *text)
{
	for (const char *p = text; *p != 0; p++)
		if ((*p < 'A' || *p > 'Z') && *p != '-')
			return "a method in capitals, such as GET";
	return NULL;
}

const char *
check_content_type(const char *text)
{
	size_t type = word_span(text, "*+.-");
	size_t sub = text[type] == '/' ? word_span(text + type + 1, "*+.-") : 0;
	bool good = type > 0 && sub > 0 && text[type + 1 + sub] == 0;
	return good ? NULL : "a media type such as application/json or text/*";
}

const char *
check_relation(const char *text)
{
	unsigned dots = 0;
	for (const char *p = text; *p != 0; p++) {
		if (is_control(*p) || *p == ' ')
			return "a name such as customers, crm.customers or log_*";
		dots += *p == '.';
	}
	return dots > 2 ? "at most schema.table.column" : NULL;
}

const char *
check_glob(const char *text)
{
	return has_control(text) ? "a name without control characters; * is any run of characters"
				 : NULL;
}

const char *
check_cidr(const char *text)
{
	uint8_t address[16];
	unsigned bytes, bits;
	return parse_cidr(text, address, &bytes, &bits)
	    ? NULL
	    : "an address or a network such as 10.0.0.0/8 or fd00::/8";
}

const char *
check_data_name(const char *text)
{
	if (text[0] == '/')
		return check_path_pattern(text) == NULL ? NULL : "expected a file path pattern";
	return check_relation(text) == NULL && text[0] != 0
	    ? NULL
	    : "expected a table, or a path that begins with /";
}
