/* See canon.h. A recursive descent over bytes, bounded by JSON_DEPTH_MAX. Each step takes the position
 * and returns the position after what it accepted, or NULL with the reason noted. */
#include "ledgerfmt/canon.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/json.h"

struct scan {
	const unsigned char *end;
	const unsigned char *failed_at;
	const char *why;
	unsigned depth;
	struct canon_member *members; /* of the outer object */
	size_t max, n;
};

static const unsigned char *
refuse(struct scan *s, const unsigned char *at, const char *why)
{
	s->failed_at = at;
	s->why = why;
	return NULL;
}

/* First byte at or after P that a string does not take as it is: a quote, a backslash, a control
 * character, or the start of a multi-byte sequence. */
static const unsigned char *
skip_plain(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'),
		      space = _mm_set1_epi8(0x20);
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* As signed bytes, both controls and bytes from 0x80 up are below 0x20. */
		__m128i odd = _mm_or_si128(_mm_cmplt_epi8(v, space),
		    _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)));
		int mask = _mm_movemask_epi8(odd);
		if (mask != 0)
			return p + __builtin_ctz((unsigned)mask);
		p += 16;
	}
#endif
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* The end of the multi-byte UTF-8 sequence at P (RFC 3629), or NULL. */
static const unsigned char *
skip_utf8(const unsigned char *p, const unsigned char *end)
{
	unsigned char c = p[0];
	ptrdiff_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || end - p < need)
		return NULL;
	unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < low || p[1] > high)
		return NULL;
	for (ptrdiff_t i = 2; i < need; i++)
		if ((p[i] & 0xc0) != 0x80)
			return NULL;
	return p + need;
}

/* The end of the escape at P (a backslash), or NULL if the canonical form would not write it so:
 * only \" \\ \b \t \n \f \r, and \u00xx in lower case for the other control characters. */
static const unsigned char *
skip_escape(const unsigned char *p, const unsigned char *end)
{
	if (end - p < 2)
		return NULL;
	if (p[1] != 0 && strchr("\"\\btnfr", p[1]) != NULL)
		return p + 2;
	if (p[1] != 'u' || end - p < 6 || p[2] != '0' || p[3] != '0' ||
	    (p[4] != '0' && p[4] != '1'))
		return NULL;
	bool hex = (p[5] >= '0' && p[5] <= '9') || (p[5] >= 'a' && p[5] <= 'f');
	bool has_short = p[4] == '0' && p[5] != 0 && strchr("89acd", p[5]) != NULL;
	return hex && !has_short ? p + 6 : NULL;
}

/* P is at the opening quote. */
static const unsigned char *
skip_string(struct scan *s, const unsigned char *p)
{
	p++;
	for (;;) {
		p = skip_plain(p, s->end);
		if (p >= s->end)
			return refuse(s, p, "unfinished string");
		const unsigned char *next;
		if (*p == '"')
			return p + 1;
		if (*p == '\\') {
			next = skip_escape(p, s->end);
			if (next == NULL)
				return refuse(s, p, "an escape that is not canonical");
		} else if (*p < 0x20) {
			return refuse(s, p, "control character in a string");
		} else {
			next = skip_utf8(p, s->end);
			if (next == NULL)
				return refuse(s, p, "invalid UTF-8");
		}
		p = next;
	}
}

static const unsigned char *
skip_number(struct scan *s, const unsigned char *p)
{
	const unsigned char *start = p;
	bool negative = *p == '-';
	if (negative)
		p++;
	const unsigned char *digits = p;
	int64_t value = 0;
	while (p < s->end && *p >= '0' && *p <= '9' && p - digits < 17)
		value = value * 10 + (*p++ - '0');
	if (p == digits || p - digits > 16 || value > JSON_INT_MAX)
		return refuse(s, start, "number out of range");
	if (digits[0] == '0' && (p - digits > 1 || negative))
		return refuse(s, start, "number that is not canonical");
	return p;
}

static const unsigned char *
skip_word(struct scan *s, const unsigned char *p, const char *word)
{
	size_t len = strlen(word);
	if ((size_t)(s->end - p) < len || memcmp(p, word, len) != 0)
		return refuse(s, p, "unknown word");
	return p + len;
}

/* Takes one byte of a name that skip_string has accepted, decoded. */
static unsigned
name_byte(const unsigned char **p)
{
	static const char from[] = "btnfr", to[] = "\b\t\n\f\r";
	const unsigned char *at = *p;
	*p += 1;
	if (at[0] != '\\')
		return at[0];
	*p += 1;
	if (at[1] != 'u') {
		const char *hit = strchr(from, at[1]);
		return hit == NULL ? at[1] : (unsigned char)to[hit - from];
	}
	*p += 4;
	unsigned low = at[5] <= '9' ? at[5] - (unsigned)'0' : at[5] - 'a' + 10u;
	return (unsigned)(at[4] - '0') << 4 | low;
}

/* Whether name A sorts before name B by UTF-16 code units (RFC 8785, 3.2.3). Both without quotes. */
static bool
name_before(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
	const unsigned char *a_end = a + a_len, *b_end = b + b_len;
	while (a < a_end && b < b_end) {
		unsigned x = name_byte(&a), y = name_byte(&b);
		if (x == y)
			continue;
		/* UTF-16 writes U+10000 and up with surrogates, which sort below U+E000. */
		if (x >= 0xee && y >= 0xee && (x >= 0xf0) != (y >= 0xf0))
			return x >= 0xf0;
		return x < y;
	}
	return a >= a_end && b < b_end;
}

static bool
name_has_nul(const unsigned char *name, size_t len)
{
	const unsigned char *end = name + len;
	if (len == 0 || memchr(name, '\\', len) == NULL)
		return false;
	while (name < end)
		if (name_byte(&name) == 0)
			return true;
	return false;
}

static const unsigned char *skip_value(struct scan *s, const unsigned char *p);

static const unsigned char *
skip_array(struct scan *s, const unsigned char *p)
{
	p++;
	if (p < s->end && *p == ']')
		return p + 1;
	for (;;) {
		p = skip_value(s, p);
		if (p == NULL)
			return NULL;
		if (p < s->end && *p == ']')
			return p + 1;
		if (p >= s->end || *p != ',')
			return refuse(s, p, "expected ',' or ']'");
		p++;
	}
}

static void
note_member(struct scan *s, const unsigned char *name, size_t name_len, const unsigned char *value,
    size_t value_len)
{
	if (s->n < s->max)
		s->members[s->n] = (struct canon_member){
		    (const char *)name, name_len, (const char *)value, value_len};
	s->n++;
}

static const unsigned char *
skip_object(struct scan *s, const unsigned char *p)
{
	const unsigned char *previous = NULL;
	size_t previous_len = 0;
	p++;
	if (p < s->end && *p == '}')
		return p + 1;
	for (;;) {
		if (p >= s->end || *p != '"')
			return refuse(s, p, "expected a member name");
		const unsigned char *name = p + 1;
		p = skip_string(s, p);
		if (p == NULL)
			return NULL;
		size_t name_len = (size_t)(p - 1 - name);
		if (name_has_nul(name, name_len))
			return refuse(s, name, "NUL in a member name");
		if (previous != NULL && !name_before(previous, previous_len, name, name_len))
			return refuse(s, name, "members out of order or twice");
		if (p >= s->end || *p != ':')
			return refuse(s, p, "expected ':'");
		const unsigned char *value = ++p;
		p = skip_value(s, p);
		if (p == NULL)
			return NULL;
		if (s->depth == 1)
			note_member(s, name, name_len, value, (size_t)(p - value));
		if (p < s->end && *p == '}')
			return p + 1;
		if (p >= s->end || *p != ',')
			return refuse(s, p, "expected ',' or '}'");
		previous = name;
		previous_len = name_len;
		p++;
	}
}

static const unsigned char *
skip_container(struct scan *s, const unsigned char *p)
{
	if (s->depth >= JSON_DEPTH_MAX)
		return refuse(s, p, "nested too deep");
	s->depth++;
	p = *p == '{' ? skip_object(s, p) : skip_array(s, p);
	s->depth--;
	return p;
}

static const unsigned char *
skip_value(struct scan *s, const unsigned char *p)
{
	if (p >= s->end)
		return refuse(s, p, "unexpected end");
	switch (*p) {
	case '{':
	case '[':
		return skip_container(s, p);
	case '"':
		return skip_string(s, p);
	case 't':
		return skip_word(s, p, "true");
	case 'f':
		return skip_word(s, p, "false");
	case 'n':
		return skip_word(s, p, "null");
	case '-':
	case '0' ... '9':
		return skip_number(s, p);
	default:
		return refuse(s, p, "unexpected byte");
	}
}

int
canon_scan(const char *text, size_t len, struct canon_member *ret_members, size_t max,
    size_t *ret_n, const char **ret_why, size_t *ret_at)
{
	const unsigned char *start = (const unsigned char *)text;
	struct scan s = {.end = start + len, .members = ret_members, .max = max};
	const unsigned char *p = start;
	if (len == 0 || *start != '{')
		p = refuse(&s, start, "not a JSON object");
	else
		p = skip_value(&s, start);
	if (p != NULL && p != s.end)
		p = refuse(&s, p, "bytes after the object");
	if (p == NULL) {
		*ret_why = s.why;
		*ret_at = (size_t)(s.failed_at - start);
		return -EINVAL;
	}
	if (s.n > max)
		return -E2BIG;
	*ret_n = s.n;
	return 0;
}

size_t
canon_string(const char *text, size_t len)
{
	const unsigned char *start = (const unsigned char *)text;
	struct scan s = {.end = start + len};
	if (len == 0 || *text != '"')
		return 0;
	const unsigned char *p = skip_string(&s, start);
	return p == NULL ? 0 : (size_t)(p - start);
}
