/* See redact.h. Two levels: walk() follows the JSON structure (member names, arrays, nesting), and
 * string_scan() looks for secrets inside one string. Both work on the escaped text: of the escapes,
 * only \" and \n matter, as what ends a word or a line.
 *
 * What is copied to the output is either a run of the input or a replacement, in ASCII without quotes
 * and backslashes, so the result stays canonical JSON. */
#include "ledger/redact.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "base/sha256.h"
#include "ledger/redact_rules.h"

#define NAME_MAX_LOOKBACK 48

struct redact {
	const char *text, *copied; /* all before COPIED is in OUT or was replaced */
	redact_key_fn *key;
	void *key_data;
	bool have_key;
	uint8_t key_bytes[REDACT_KEY_BYTES];
	struct buf *out;
	int count, error;
};

/* ---- replacing ---- */

/* Replaces FROM..TO. Spans come in order; one that reaches back before the last is cut there. */
static void
replace(struct redact *r, const char *from, const char *to, const char *kind)
{
	uint8_t mac[SHA256_BYTES];
	char hex[9];
	from = MAX(from, r->copied);
	if (from >= to || r->error < 0)
		return;
	if (!r->have_key) {
		r->error = r->key(r->key_data, r->key_bytes);
		if (r->error < 0)
			return;
		r->have_key = true;
	}
	hmac_sha256(r->key_bytes, sizeof(r->key_bytes), from, (size_t)(to - from), mac);
	hex_encode(mac, 4, hex);
	(void)buf_add(r->out, r->copied, (size_t)(from - r->copied));
	(void)buf_addf(r->out, "[redacted:%s:%s]", kind, hex);
	r->copied = to;
	r->count++;
}

/* ---- inside one string ---- */

static bool
starts(const char *p, const char *end, const char *prefix)
{
	size_t n = strlen(prefix);
	return (size_t)(end - p) >= n && memcmp(p, prefix, n) == 0;
}

static const char *
skip_chars(const char *p, const char *end, unsigned chars)
{
	while (p < end && redact_is((unsigned char)*p, chars))
		p++;
	return p;
}

static bool
after_word(const char *start, const char *p)
{
	return p > start && redact_is((unsigned char)p[-1], CHARS_ALNUM);
}

/* A token of a known issuer at P; returns where it ends, or P. */
static const char *
match_token(struct redact *r, const char *start, const char *p, const char *end)
{
	size_t n;
	const struct token_rule *rule = redact_rules_for((unsigned char)*p, &n);
	for (; n > 0; n--, rule++) {
		if (!starts(p, end, rule->prefix))
			continue;
		const char *body = p + strlen(rule->prefix);
		const char *stop = skip_chars(body, end, rule->chars);
		/* "task-…" is no key: short prefixes must begin a word. */
		if ((size_t)(stop - body) < rule->min || (body - p < 4 && after_word(start, p)))
			continue;
		replace(r, p, stop, rule->kind);
		return stop;
	}
	return p;
}

/* A JSON web token (RFC 7519): three base64url parts, the first an object. */
static const char *
match_jwt(struct redact *r, const char *start, const char *p, const char *end)
{
	if (!starts(p, end, "eyJ") || after_word(start, p))
		return p;
	const char *first = skip_chars(p, end, CHARS_DASH);
	if (first - p < 12 || first >= end || *first != '.')
		return p;
	const char *second = skip_chars(first + 1, end, CHARS_DASH);
	if (second - first < 8 || second >= end || *second != '.')
		return p;
	const char *third = skip_chars(second + 1, end, CHARS_DASH);
	replace(r, p, third, "jwt");
	return third;
}

/* "Bearer x", "Basic x" (RFC 9110, 11.4). */
static const char *
match_scheme(struct redact *r, const char *p, const char *end)
{
	static const char *const schemes[] = {"bearer ", "basic "};
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i]);
		if ((size_t)(end - p) < n || strncasecmp(p, schemes[i], n) != 0)
			continue;
		const char *stop = skip_chars(p + n, end, CHARS_TOKEN68);
		if (stop - (p + n) < 8)
			return p;
		replace(r, p + n, stop, i == 0 ? "bearer" : "basic");
		return stop;
	}
	return p;
}

/* A PEM block of a private key (RFC 7468), to its end or the string's. */
static const char *
match_pem(struct redact *r, const char *p, const char *end)
{
	static const char begin[] = "-----BEGIN ", label[] = "PRIVATE KEY-----",
			  finish[] = "-----END ";
	if (!starts(p, end, begin))
		return p;
	const char *line = p + strlen(begin);
	const char *hit = memmem(line, MIN((size_t)(end - line), (size_t)64), label, strlen(label));
	if (hit == NULL)
		return p;
	const char *stop = memmem(hit, (size_t)(end - hit), finish, strlen(finish));
	if (stop != NULL)
		stop = memmem(stop, (size_t)(end - stop), label, strlen(label));
	stop = stop == NULL ? end : stop + strlen(label);
	replace(r, p, stop, "private-key");
	return stop;
}

/* P is at "://": userinfo of a URL (RFC 3986, 3.2.1). The user's name stays, unless it is all there
 * is and the scheme is http(s): then it is a token. */
static const char *
match_userinfo(struct redact *r, const char *start, const char *p, const char *end)
{
	const char *from = p + 3, *at = NULL, *colon = NULL;
	for (const char *q = from; q < end; q++) {
		if (*q == '/' || *q == '?' || *q == '#' || *q == '\\' || *q == ' ')
			break;
		if (*q == '@')
			at = q;
		else if (*q == ':' && colon == NULL)
			colon = q;
	}
	if (at == NULL)
		return p;
	if (colon != NULL && colon < at)
		replace(r, colon + 1, at, "url-password");
	else if (p - start >= 4 && (memcmp(p - 4, "http", 4) == 0 || memcmp(p - 4, "ttps", 4) == 0))
		replace(r, from, at, "url-token");
	return r->copied == at ? at : p;
}

/* Where a value that starts at P ends: at its quote if it has one, else with the word or line. */
static const char *
value_end(const char *p, const char *end, char quote, enum name_reach reach)
{
	for (; p < end; p++) {
		if (*p == '\\') {
			if (p + 1 < end && p[1] == '\\') {
				p++; /* an escaped backslash is part of the value */
				continue;
			}
			if (quote == '"' && p + 1 < end && p[1] != '"' && reach == REACH_WORD) {
				p++;
				continue;
			}
			return p;
		}
		if (quote != 0 ? *p == quote : *p == '\'')
			return p;
		if (quote == 0 && reach == REACH_WORD && strchr(" &;,)}]<>|`", *p) != NULL)
			return p;
	}
	return p;
}

/* Redacts the value at P (after "=", ":" or the space behind an option) and returns its end. */
static const char *
replace_value(
    struct redact *r, const char *p, const char *end, enum name_reach reach, const char *kind)
{
	char quote = 0;
	for (int spaces = 0; spaces < 4 && p < end && *p == ' '; spaces++)
		p++;
	if (starts(p, end, "\\\"")) {
		quote = '"';
		p += 2;
	} else if (p < end && *p == '\'') {
		quote = '\'';
		p++;
	}
	const char *stop = value_end(p, end, quote, reach);
	if (stop > p && !starts(p, end, "[redacted:"))
		replace(r, p, stop, kind);
	return stop;
}

/* P is at "=" or ":"; is the word before it the name of a secret? */
static const char *
match_assignment(struct redact *r, const char *start, const char *p, const char *end)
{
	const char *name_end = p, *kind;
	while (name_end > start && name_end[-1] == ' ')
		name_end--;
	if (name_end - start >= 2 && name_end[-1] == '"' && name_end[-2] == '\\')
		name_end -= 2;
	else if (name_end > start && name_end[-1] == '\'')
		name_end--;
	const char *name = name_end;
	while (name > start && name_end - name < NAME_MAX_LOOKBACK &&
	    (redact_is((unsigned char)name[-1], CHARS_DASH) || name[-1] == '.'))
		name--;
	enum name_reach reach = redact_name(name, (size_t)(name_end - name), &kind);
	if (reach == REACH_NONE || starts(p, end, "://"))
		return p;
	const char *value = p + 1;
	if (*p == ':' && value < end && *value == '=') /* := */
		value++;
	return replace_value(r, value, end, reach, kind);
}

/* P is at "--NAME value" inside a command line. */
static const char *
match_option(struct redact *r, const char *p, const char *end)
{
	const char *name = p + 2, *kind;
	const char *stop = skip_chars(name, end, CHARS_DASH);
	if (stop >= end || *stop != ' ')
		return p;
	enum name_reach reach = redact_name(name, (size_t)(stop - name), &kind);
	if (reach == REACH_NONE)
		return p;
	return replace_value(r, stop, end, REACH_WORD, kind);
}

static const char *
match_dashes(struct redact *r, const char *start, const char *p, const char *end)
{
	if (end - p < 3 || p[1] != '-')
		return p;
	if (p[2] == '-')
		return match_pem(r, p, end);
	return p == start || p[-1] == ' ' ? match_option(r, p, end) : p;
}

static const char *
match_at(struct redact *r, const char *start, const char *p, const char *end)
{
	const char *next;
	switch (*p) {
	case '=':
		return match_assignment(r, start, p, end);
	case ':':
		next = starts(p, end, "://") ? match_userinfo(r, start, p, end) : p;
		return next != p ? next : match_assignment(r, start, p, end);
	case '-':
		return match_dashes(r, start, p, end);
	case 'e':
		return match_jwt(r, start, p, end);
	case 'b':
	case 'B':
		return after_word(start, p) ? p : match_scheme(r, p, end);
	default:
		return match_token(r, start, p, end);
	}
}

/* Bytes at which a secret can begin or be announced, with what the next byte must then be (0: any):
 * most letters of a text fail this test. */
static bool
may_start(const char *p, const char *end)
{
	if (end - p < 3)
		return *p == '=' || *p == ':';
	switch (*p) {
	case '=':
	case ':':
		return true;
	case '-':
		return p[1] == '-';
	case 'e':
		return p[1] == 'y' && p[2] == 'J';
	case 'b':
	case 'B':
		return (p[1] | 0x20) == 'e' || (p[1] | 0x20) == 'a';
	case 'A':
		return p[1] == 'K' || p[1] == 'S' || p[1] == 'I';
	case 'd':
		return p[1] == 'c' || p[1] == 'o';
	case 'g':
		return p[1] == 'h' || p[1] == 'i' || p[1] == 'l';
	case 'h':
		return p[1] == 'f' || (p[1] == 't' && p[2] == 't');
	case 'n':
		return p[1] == 'p' && p[2] == 'm';
	case 'p':
		return p[1] == 'y' && p[2] == 'p';
	case 'r':
	case 's':
		return p[1] == 'k' && (p[2] == '-' || p[2] == '_');
	case 'w':
		return p[1] == 'h' && p[2] == 's';
	case 'x':
		return p[1] == 'o' || p[1] == 'a';
	default:
		return false;
	}
}

/* The bytes that may_start knows: most of a text is skipped with one look-up each. */
static const bool begins[256] = {
    ['='] = true,
    [':'] = true,
    ['-'] = true,
    ['e'] = true,
    ['b'] = true,
    ['B'] = true,
    ['A'] = true,
    ['d'] = true,
    ['g'] = true,
    ['h'] = true,
    ['n'] = true,
    ['p'] = true,
    ['r'] = true,
    ['s'] = true,
    ['w'] = true,
    ['x'] = true,
};

/* Looks for secrets in the string's bytes START..END (without quotes). */
static void
string_scan(struct redact *r, const char *start, const char *end)
{
	for (const char *p = start; p < end;) {
		if (!begins[(unsigned char)*p] || !may_start(p, end)) {
			p++;
			continue;
		}
		const char *next = match_at(r, start, p, end);
		p = next > p ? next : p + 1;
	}
}

/* ---- the structure ---- */

/* The closing quote of the string whose first byte is P. */
static const char *
string_end(const char *p, const char *end)
{
	for (;;) {
		const char *quote = memchr(p, '"', (size_t)(end - p));
		if (quote == NULL)
			return end;
		const char *slash = quote;
		while (slash > p && slash[-1] == '\\')
			slash--;
		if ((quote - slash) % 2 == 0)
			return quote;
		p = quote + 1;
	}
}

/* What is known about the container at one depth. */
struct level {
	bool array;
	const char *secret; /* the kind, if all strings inside are secret */
};

struct walk {
	struct level levels[JSON_DEPTH_MAX + 1];
	unsigned depth;
	const char *next; /* the kind, if the next value is secret */
};

static void
walk_string(struct redact *r, struct walk *w, const char *p, const char *close, const char *end)
{
	struct level *level = &w->levels[w->depth];
	const char *kind = w->next != NULL ? w->next : level->secret;
	w->next = NULL;
	if (close + 1 < end && close[1] == ':') {
		if (redact_name(p, (size_t)(close - p), &kind) != REACH_NONE)
			w->next = kind;
		return;
	}
	if (kind != NULL) {
		replace(r, p, close, kind);
		return;
	}
	string_scan(r, p, close);
	/* ["--password", "x"] */
	if (level->array && close - p > 2 && p[0] == '-' &&
	    redact_name(p, (size_t)(close - p), &kind) != REACH_NONE)
		w->next = kind;
}

static void
walk(struct redact *r, const char *p, const char *end)
{
	struct walk w = {.depth = 0};
	while (p < end && r->error == 0) {
		if (*p == '"') {
			const char *close = string_end(p + 1, end);
			walk_string(r, &w, p + 1, close, end);
			p = close;
		} else if ((*p == '{' || *p == '[') && w.depth < JSON_DEPTH_MAX) {
			const char *secret = w.next != NULL ? w.next : w.levels[w.depth].secret;
			w.levels[++w.depth] = (struct level){.array = *p == '[', .secret = secret};
			w.next = NULL;
		} else if ((*p == '}' || *p == ']') && w.depth > 0) {
			w.depth--;
			w.next = NULL;
		} else if (*p != ',' && *p != ':') {
			w.next = NULL; /* a number or a word */
		}
		p++;
	}
}

int
redact_json(const char *text, size_t len, redact_key_fn *key, void *data, struct buf *out)
{
	struct redact r = {.text = text, .copied = text, .key = key, .key_data = data, .out = out};
	walk(&r, text, text + len);
	if (r.count > 0)
		(void)buf_add(out, r.copied, (size_t)(text + len - r.copied));
	explicit_bzero(r.key_bytes, sizeof(r.key_bytes));
	if (r.error < 0)
		return r.error;
	return buf_failed(out) ? -ENOMEM : r.count;
}
