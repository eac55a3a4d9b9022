/* Keeps secrets out of a stream of bytes: every occurrence of every spelling that a secret is known to appear in becomes
 * asterisks, wherever the stream is divided.
 *
 * Search: Wu and Manber's algorithm. `window` is the length of the shortest spelling (bounded); a table says for each
 * (hashed) pair of bytes at the window's end how far the window can move without missing a spelling's beginning, so bytes
 * without secrets are looked at once per several bytes.
 *
 * Division: after each feed the bytes from `hold` on are kept back, the longest end that is a proper beginning of a
 * spelling. An occurrence is counted in the feed in which its first byte goes out; what it covers beyond that is
 * remembered in `carry`. The result is the union of all occurrences in the whole stream, so no division changes it.
 *
 * Base64 has no alignment of its own: a secret may begin at any of three places in a group. The digits that only the
 * secret decides are the `core` of a spelling; the digit before and the one after, which it shares with a neighbour, are
 * known only as sets (`lead`, `trail`) and are covered too where they fit. */
#include "proto/credential.h"

#include <errno.h>
#include <string.h>

#include "proto/encode.h"

#define TABLE_SIZE 4096U
#define WINDOW_MAX 64U
#define WORD_MIN CREDENTIAL_VALUE_MIN

struct byte_set {
	uint64_t bits[4];
};

struct spelling {
	uint8_t *core; /* owned */
	size_t len;
	struct byte_set lead, trail; /* base64: what may stand before and after; else empty */
	bool has_lead, has_trail;
};

struct scrub {
	struct spelling *spellings;
	size_t n;
	size_t window, longest; /* longest: with lead and trail */
	uint8_t *table;         /* TABLE_SIZE shifts */
	struct byte_set begins; /* first bytes of any spelling, leads included */
	uint8_t *held;          /* room for `longest` bytes */
	size_t n_held;
	size_t carry; /* so many of the next bytes are of an occurrence that is counted */
	uint64_t count;
};

static void
set_add(struct byte_set *set, uint8_t c)
{
	set->bits[c >> 6] |= UINT64_C(1) << (c & 63);
}

static bool
set_has(const struct byte_set *set, uint8_t c)
{
	return (set->bits[c >> 6] >> (c & 63) & 1) != 0;
}

struct scrub *
scrub_new(void)
{
	return calloc(1, sizeof(struct scrub));
}

static void
wipe_free(void *bytes, size_t len)
{
	if (bytes != NULL)
		explicit_bzero(bytes, len);
	free(bytes);
}

struct scrub *
scrub_free(struct scrub *scrub)
{
	if (scrub == NULL)
		return NULL;
	for (size_t i = 0; i < scrub->n; i++)
		wipe_free(scrub->spellings[i].core, scrub->spellings[i].len);
	free(scrub->spellings);
	wipe_free(scrub->table, TABLE_SIZE);
	wipe_free(scrub->held, scrub->longest);
	free(scrub);
	return NULL;
}

bool
scrub_is_empty(const struct scrub *scrub)
{
	return scrub->n == 0;
}

uint64_t
scrub_count(const struct scrub *scrub)
{
	return scrub->count;
}

/* ---- the spellings of a secret ---- */

static uint32_t
table_at(const uint8_t *pair)
{
	return ((uint32_t)pair[0] << 4 ^ pair[1]) & (TABLE_SIZE - 1);
}

static void
index_spelling(struct scrub *scrub, const struct spelling *s)
{
	for (size_t i = 0; i + 2 <= scrub->window; i++) {
		uint8_t *shift = &scrub->table[table_at(s->core + i)];
		*shift = (uint8_t)MIN((size_t)*shift, scrub->window - 2 - i);
	}
	set_add(&scrub->begins, s->core[0]);
	for (size_t i = 0; i < 4; i++)
		scrub->begins.bits[i] |= s->lead.bits[i];
}

static size_t
whole_len(const struct spelling *s)
{
	return s->len + (s->has_lead ? 1 : 0) + (s->has_trail ? 1 : 0);
}

static bool
same_spelling(const struct spelling *a, const struct spelling *b)
{
	return a->len == b->len && memcmp(a->core, b->core, a->len) == 0 &&
	    memcmp(&a->lead, &b->lead, sizeof(a->lead)) == 0 &&
	    memcmp(&a->trail, &b->trail, sizeof(a->trail)) == 0;
}

/* Room for one more spelling and for what it may hold back. */
static int
make_room(struct scrub *scrub, size_t longest)
{
	if (scrub->table == NULL && (scrub->table = malloc(TABLE_SIZE)) == NULL)
		return -ENOMEM;
	struct spelling *more =
	    reallocarray(scrub->spellings, scrub->n + 1, sizeof(*scrub->spellings));
	if (more == NULL)
		return -ENOMEM;
	scrub->spellings = more;
	if (longest <= scrub->longest)
		return 0;
	uint8_t *held = malloc(longest);
	if (held == NULL)
		return -ENOMEM;
	if (scrub->n_held > 0)
		memcpy(held, scrub->held, scrub->n_held);
	wipe_free(scrub->held, scrub->longest);
	scrub->held = held;
	scrub->longest = longest;
	return 0;
}

/* Takes the bytes of CORE if they are not known yet; wipes and frees them else. */
static int
add_spelling(struct scrub *scrub, struct buf *core, const struct spelling *like)
{
	struct spelling s = *like;
	s.core = core->data;
	s.len = core->len;
	bool known = s.len < 2;
	for (size_t i = 0; !known && i < scrub->n; i++)
		known = same_spelling(&scrub->spellings[i], &s);
	int r = known ? 0 : make_room(scrub, whole_len(&s));
	if (known || r < 0) {
		wipe_free(core->data, core->room);
		*core = (struct buf){0};
		return r;
	}
	s.core = realloc(core->data, s.len);
	if (s.core == NULL)
		s.core = core->data;
	*core = (struct buf){0};
	scrub->spellings[scrub->n++] = s;
	bool shorter = scrub->n == 1 || s.len < scrub->window;
	if (shorter)
		scrub->window = MIN(s.len, (size_t)WINDOW_MAX);
	if (shorter)
		memset(scrub->table, (int)(scrub->window - 1), TABLE_SIZE);
	for (size_t i = shorter ? 0 : scrub->n - 1; i < scrub->n; i++)
		index_spelling(scrub, &scrub->spellings[i]);
	return 0;
}

enum way {
	WAY_RAW,
	WAY_JSON,       /* quotes and backslashes escaped */
	WAY_JSON_SLASH, /* and slashes */
	WAY_JSON_HTML,  /* and < > & as \u00XX */
	WAY_HTML,
	WAY_FORM,          /* application/x-www-form-urlencoded */
	WAY_PERCENT,       /* all that is not unreserved */
	WAY_PERCENT_LOWER, /* the same with lower-case digits */
	WAY_PERCENT_URI,   /* JavaScript's encodeURI */
	WAY_PERCENT_PART,  /* and encodeURIComponent */
	WAY_PERCENT_PATH,  /* slashes kept */
	WAY_PERCENT_ALL,   /* every byte */
	WAY_PERCENT_ALL_LOWER,
	WAY_HEX,
	WAY_HEX_LOWER,
	WAYS
};

static size_t
spell_hex(const char *before, uint8_t c, bool lower, char ret[8])
{
	const char *digits = lower ? "0123456789abcdef" : "0123456789ABCDEF";
	size_t len = strlen(before);
	memcpy(ret, before, len);
	ret[len] = digits[c >> 4];
	ret[len + 1] = digits[c & 15];
	return len + 2;
}

static size_t
spell_as(const char *text, char ret[8])
{
	size_t len = strlen(text);
	memcpy(ret, text, len);
	return len;
}

static size_t
spell_html(uint8_t c, char ret[8])
{
	switch (c) {
	case '&':
		return spell_as("&amp;", ret);
	case '<':
		return spell_as("&lt;", ret);
	case '>':
		return spell_as("&gt;", ret);
	case '"':
		return spell_as("&quot;", ret);
	case '\'':
		return spell_as("&#39;", ret);
	default:
		ret[0] = (char)c;
		return 1;
	}
}

static size_t
spell_json(enum way way, uint8_t c, char ret[8])
{
	if (way == WAY_JSON_HTML && (c == '<' || c == '>' || c == '&'))
		return spell_hex("\\u00", c, /* lower= */ true, ret);
	bool escaped = c == '"' || c == '\\' || (way == WAY_JSON_SLASH && c == '/');
	ret[0] = '\\';
	ret[escaped ? 1 : 0] = (char)c;
	return escaped ? 2 : 1;
}

/* How C is written WAY: its length in RET. */
static size_t
spell_byte(enum way way, uint8_t c, char ret[8])
{
	static const char *const kept[WAYS] = {[WAY_FORM] = "*",
	    [WAY_PERCENT_URI] = ";,/?:@&=+$!*'()#",
	    [WAY_PERCENT_PART] = "!*'()",
	    [WAY_PERCENT_PATH] = "/"};
	bool lower =
	    way == WAY_PERCENT_LOWER || way == WAY_PERCENT_ALL_LOWER || way == WAY_HEX_LOWER;
	switch (way) {
	case WAY_JSON:
	case WAY_JSON_SLASH:
	case WAY_JSON_HTML:
		return spell_json(way, c, ret);
	case WAY_HTML:
		return spell_html(c, ret);
	case WAY_HEX:
	case WAY_HEX_LOWER:
		return spell_hex("", c, lower, ret);
	case WAY_PERCENT_ALL:
	case WAY_PERCENT_ALL_LOWER:
		return spell_hex("%", c, lower, ret);
	case WAY_FORM:
	case WAY_PERCENT:
	case WAY_PERCENT_LOWER:
	case WAY_PERCENT_URI:
	case WAY_PERCENT_PART:
	case WAY_PERCENT_PATH:
		if (way == WAY_FORM && c == ' ')
			return spell_as("+", ret);
		if (!encode_is_unreserved(c) && (kept[way] == NULL || strchr(kept[way], c) == NULL))
			return spell_hex("%", c, lower, ret);
		break;
	case WAY_RAW:
	case WAYS:
		break;
	}
	ret[0] = (char)c;
	return 1;
}

static int
add_way(struct scrub *scrub, enum way way, const uint8_t *value, size_t len)
{
	char one[8];
	size_t need = 0;
	for (size_t i = 0; i < len; i++)
		need += spell_byte(way, value[i], one);
	struct buf core;
	buf_init(&core, need);
	if (buf_reserve(&core, need) == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		size_t n = spell_byte(way, value[i], one);
		memcpy(core.data + core.len, one, n);
		core.len += n;
	}
	return add_spelling(scrub, &core, &(struct spelling){0});
}

/* The six bits of digit I of the Base64 of SKIP bytes of zero and VALUE. */
static unsigned
six_bits(const uint8_t *value, size_t len, size_t skip, size_t i)
{
	unsigned six = 0;
	for (size_t bit = i * 6; bit < i * 6 + 6; bit++) {
		size_t byte = bit / 8;
		bool known = byte >= skip && byte - skip < len;
		six = six << 1 | (known ? (unsigned)value[byte - skip] >> (7 - bit % 8) & 1 : 0);
	}
	return six;
}

/* Every digit, of both alphabets, that has KNOWN's bits. */
static struct byte_set
digits_like(unsigned six, unsigned known)
{
	struct byte_set set = {0};
	for (unsigned v = 0; v < 64; v++) {
		if ((v & known) != (six & known))
			continue;
		set_add(&set, (uint8_t)encode_base64_digit(v, false));
		set_add(&set, (uint8_t)encode_base64_digit(v, true));
	}
	return set;
}

/* Value's Base64 where SKIP (0 to 2) bytes of something else are before it in its group of three. */
static int
add_base64(struct scrub *scrub, const uint8_t *value, size_t len, size_t skip, bool url_safe)
{
	static const unsigned lead_known[3] = {0, 0x0f, 0x03};
	size_t bits = (skip + len) * 8;
	size_t first = (skip * 8 + 5) / 6, end = bits / 6;
	struct spelling s = {.has_lead = skip > 0, .has_trail = bits % 6 != 0};
	if (s.has_lead)
		s.lead = digits_like(six_bits(value, len, skip, first - 1), lead_known[skip]);
	if (s.has_trail)
		s.trail = digits_like(
		    six_bits(value, len, skip, end), 0x3fU & ~((1U << (6 - bits % 6)) - 1));
	struct buf core;
	buf_init(&core, end - first);
	if (buf_reserve(&core, end - first) == NULL)
		return -ENOMEM;
	for (size_t i = first; i < end; i++)
		core.data[core.len++] =
		    (uint8_t)encode_base64_digit(six_bits(value, len, skip, i), url_safe);
	return add_spelling(scrub, &core, &s);
}

static int
add_value(struct scrub *scrub, const uint8_t *value, size_t len)
{
	int r = 0;
	for (int way = WAY_RAW; r == 0 && way < WAYS; way++)
		r = add_way(scrub, (enum way)way, value, len);
	for (size_t skip = 0; r == 0 && skip < 3; skip++) {
		r = add_base64(scrub, value, len, skip, /* url_safe= */ false);
		if (r == 0)
			r = add_base64(scrub, value, len, skip, /* url_safe= */ true);
	}
	return r;
}

int
scrub_add(struct scrub *scrub, const struct credential *credential)
{
	const char *value = credential->value;
	size_t len = strlen(value);
	if (len < 2)
		return -EINVAL;
	int r = add_value(scrub, (const uint8_t *)value, len);
	/* "token abc…": the word alone is the secret. */
	const char *space = memrchr(value, ' ', len);
	if (r == 0 && space != NULL && strlen(space + 1) >= WORD_MIN)
		r = add_value(scrub, (const uint8_t *)space + 1, strlen(space + 1));
	return r;
}

/* ---- the stream ---- */

static bool
is_beginning(const struct spelling *s, const uint8_t *tail, size_t len)
{
	return (len < s->len || (len == s->len && s->has_trail)) && memcmp(tail, s->core, len) == 0;
}

/* Whether more bytes could make of TAIL an occurrence, or a longer one. */
static bool
could_become(const struct scrub *scrub, const uint8_t *tail, size_t len)
{
	for (size_t i = 0; i < scrub->n; i++) {
		const struct spelling *s = &scrub->spellings[i];
		if (is_beginning(s, tail, len))
			return true;
		if (s->has_lead && set_has(&s->lead, tail[0]) && is_beginning(s, tail + 1, len - 1))
			return true;
	}
	return false;
}

/* Where the bytes begin that must wait for more. */
static size_t
find_hold(const struct scrub *scrub, const uint8_t *work, size_t len)
{
	size_t at = len >= scrub->longest ? len - scrub->longest + 1 : 0;
	for (; at < len; at++)
		if (set_has(&scrub->begins, work[at]) && could_become(scrub, work + at, len - at))
			break;
	return at;
}

/* Bytes of WORK that end at LEN, of which those before HOLD go to OUT now. */
struct pass {
	const uint8_t *work;
	size_t len, hold;
	uint8_t *out;
};

/* An occurrence's core begins at AT: covers it and its neighbours. */
static void
cover(struct scrub *scrub, const struct pass *pass, const struct spelling *s, size_t at)
{
	size_t from = at, end = at + s->len;
	if (s->has_lead && at > 0 && set_has(&s->lead, pass->work[at - 1]))
		from--;
	if (s->has_trail && end < pass->len && set_has(&s->trail, pass->work[end]))
		end++;
	if (from < pass->hold)
		memset(pass->out + from, '*', MIN(end, pass->hold) - from);
	if (at < pass->hold && end > pass->hold)
		scrub->carry = MAX(scrub->carry, end - pass->hold);
}

static void
check_window(struct scrub *scrub, const struct pass *pass, size_t at)
{
	bool found = false;
	for (size_t i = 0; i < scrub->n; i++) {
		const struct spelling *s = &scrub->spellings[i];
		if (s->len > pass->len - at || s->core[0] != pass->work[at] ||
		    memcmp(s->core, pass->work + at, s->len) != 0)
			continue;
		cover(scrub, pass, s, at);
		found = true;
	}
	if (found && at < pass->hold)
		scrub->count++;
}

/* Copies what is certain to OUT and covers occurrences in it. */
static void
pass_over(struct scrub *scrub, const struct pass *pass)
{
	size_t window = scrub->window;
	if (pass->hold > 0)
		memcpy(pass->out, pass->work, pass->hold);
	size_t carried = MIN(scrub->carry, pass->hold);
	if (carried > 0)
		memset(pass->out, '*', carried);
	scrub->carry -= carried;
	const uint8_t *work = pass->work, *table = scrub->table;
	/* An occurrence at HOLD itself may cover the byte before it. */
	size_t stop = MIN(pass->len, pass->hold + window);
	for (size_t end = window - 1; end < stop;) {
		size_t shift = table[table_at(work + end - 1)];
		if (shift == 0) {
			check_window(scrub, pass, end + 1 - window);
			shift = 1;
		}
		end += shift;
	}
}

static int
feed_joined(struct scrub *scrub, const uint8_t *bytes, size_t len, bool end, struct buf *out)
{
	struct pass pass = {.work = bytes, .len = len};
	pass.hold = end ? len : find_hold(scrub, bytes, len);
	pass.out = buf_reserve(out, pass.hold);
	if (pass.out == NULL)
		return pass.hold > out->limit - out->len ? -EMSGSIZE : -ENOMEM;
	pass_over(scrub, &pass);
	buf_grew(out, pass.hold);
	scrub->n_held = len - pass.hold;
	if (scrub->n_held > 0)
		memcpy(scrub->held, bytes + pass.hold, scrub->n_held);
	return 0;
}

int
scrub_feed(struct scrub *scrub, const uint8_t *bytes, size_t len, bool end, struct buf *out)
{
	if (scrub->n == 0)
		return buf_add(out, bytes, len);
	if (scrub->n_held == 0)
		return feed_joined(scrub, bytes, len, end, out);
	size_t room = scrub->n_held + len;
	uint8_t *joined = room > len ? malloc(room) : NULL;
	if (joined == NULL)
		return -ENOMEM;
	memcpy(joined, scrub->held, scrub->n_held);
	if (len > 0)
		memcpy(joined + scrub->n_held, bytes, len);
	int r = feed_joined(scrub, joined, room, end, out);
	wipe_free(joined, room);
	return r;
}
