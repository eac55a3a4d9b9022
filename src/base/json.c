#include "base/json.h"

#include <errno.h>
#include <string.h>

/* Up to here members are looked at one by one; past it they are sorted. */
#define FEW_MEMBERS 32

struct json {
	enum json_type type;
	bool boolean;
	bool broken; /* something below could not be allocated */
	int64_t integer;
	char *bytes; /* string: owned, NUL-terminated */
	size_t len;  /* string: bytes; container: children */
	size_t room;
	struct json **values; /* owned */
	char **names;         /* object: owned, one per value */
};

/* ---- building ---- */

static struct json *
json_new(enum json_type type)
{
	struct json *v = calloc(1, sizeof(*v));
	if (v != NULL)
		v->type = type;
	return v;
}

struct json *
json_new_null(void)
{
	return json_new(JSON_NULL);
}

struct json *
json_new_bool(bool value)
{
	struct json *v = json_new(JSON_BOOL);
	if (v != NULL)
		v->boolean = value;
	return v;
}

struct json *
json_new_int(int64_t value)
{
	struct json *v = json_new(JSON_INT);
	if (v != NULL)
		v->integer = MAX(MIN(value, (int64_t)JSON_INT_MAX), (int64_t)-JSON_INT_MAX);
	return v;
}

/* Length of the valid UTF-8 sequence at P (LEFT bytes remain), 0 if it is not one.
 * RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t
utf8_sequence(const unsigned char *p, size_t left)
{
	unsigned char c = p[0];
	if (c < 0x80)
		return 1;
	size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || left < need)
		return 0;
	unsigned char low = 0x80, high = 0xbf;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < need; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return need;
}

struct json *
json_new_string_n(const char *bytes, size_t len)
{
	struct json *v = json_new(JSON_STRING);
	if (v == NULL)
		return NULL;
	struct buf clean;
	buf_init(&clean, SIZE_MAX / 2);
	(void)buf_reserve(&clean, len);
	const unsigned char *p = (const unsigned char *)bytes;
	size_t run = 0, i = 0;
	while (i < len && p[i] < 0x80) /* nearly always all */
		i++;
	while (i < len) {
		size_t n = utf8_sequence(p + i, len - i);
		if (n > 0) {
			i += n;
			continue;
		}
		(void)buf_add(&clean, p + run, i - run);
		(void)buf_add(&clean, "\xef\xbf\xbd", 3);
		run = ++i;
	}
	(void)buf_add(&clean, p + run, len - run);
	if (clean.failed) {
		buf_done(&clean);
		return json_free(v);
	}
	v->len = clean.len;
	v->bytes = buf_take(&clean);
	return v;
}

struct json *
json_new_string(const char *text)
{
	return text == NULL ? json_new_null() : json_new_string_n(text, strlen(text));
}

struct json *
json_new_array(void)
{
	return json_new(JSON_ARRAY);
}

struct json *
json_new_object(void)
{
	return json_new(JSON_OBJECT);
}

struct json *
json_free(struct json *v)
{
	if (v == NULL)
		return NULL;
	if (v->type == JSON_ARRAY || v->type == JSON_OBJECT)
		for (size_t i = 0; i < v->len; i++) {
			json_free(v->values[i]);
			if (v->names != NULL)
				free(v->names[i]);
		}
	free(v->values);
	free(v->names);
	free(v->bytes);
	free(v);
	return NULL;
}

static int
json_grow(struct json *container)
{
	if (container->len < container->room)
		return 0;
	size_t room = container->room == 0 ? 8 : container->room * 2;
	struct json **values = realloc(container->values, room * sizeof(*values));
	if (values == NULL)
		return -ENOMEM;
	container->values = values;
	if (container->type == JSON_OBJECT) {
		char **names = realloc(container->names, room * sizeof(*names));
		if (names == NULL)
			return -ENOMEM;
		container->names = names;
	}
	container->room = room;
	return 0;
}

static size_t
json_find(const struct json *object, const char *name)
{
	for (size_t i = 0; i < object->len; i++)
		if (strcmp(object->names[i], name) == 0)
			return i;
	return SIZE_MAX;
}

/* Adds without looking for a duplicate; takes NAME and VALUE. */
static int
json_add_taken(struct json *object, char *name, struct json *value)
{
	if (name == NULL || value == NULL || json_grow(object) < 0) {
		free(name);
		json_free(value);
		object->broken = true;
		return -ENOMEM;
	}
	object->names[object->len] = name;
	object->values[object->len++] = value;
	return 0;
}

/* As json_add_taken, with a copy of NAME. */
static int
json_add_member(struct json *object, const char *name, struct json *value)
{
	return json_add_taken(object, value == NULL ? NULL : strdup(name), value);
}

int
json_set(struct json *object, const char *name, struct json *value)
{
	if (object == NULL || object->type != JSON_OBJECT) {
		json_free(value);
		return object == NULL ? -ENOMEM : -EINVAL;
	}
	size_t at = json_find(object, name);
	if (at == SIZE_MAX || value == NULL)
		return json_add_member(object, name, value);
	json_free(object->values[at]);
	object->values[at] = value;
	return 0;
}

int
json_push(struct json *array, struct json *value)
{
	if (array == NULL || array->type != JSON_ARRAY) {
		json_free(value);
		return array == NULL ? -ENOMEM : -EINVAL;
	}
	if (value == NULL || json_grow(array) < 0) {
		json_free(value);
		array->broken = true;
		return -ENOMEM;
	}
	array->values[array->len++] = value;
	return 0;
}

struct json *
json_detach(struct json *object, const char *name)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	size_t at = json_find(object, name);
	if (at == SIZE_MAX)
		return NULL;
	struct json *value = object->values[at];
	free(object->names[at]);
	size_t after = object->len - at - 1;
	memmove(object->values + at, object->values + at + 1, after * sizeof(*object->values));
	memmove(object->names + at, object->names + at + 1, after * sizeof(*object->names));
	object->len--;
	return value;
}

void
json_unset(struct json *object, const char *name)
{
	json_free(json_detach(object, name));
}

int
json_set_str(struct json *object, const char *name, const char *text)
{
	return json_set(object, name, json_new_string(text));
}

int
json_set_int(struct json *object, const char *name, int64_t value)
{
	return json_set(object, name, json_new_int(value));
}

int
json_set_bool(struct json *object, const char *name, bool value)
{
	return json_set(object, name, json_new_bool(value));
}

struct json *
json_copy(const struct json *v)
{
	if (json_type(v) == JSON_STRING)
		return json_new_string_n(v->bytes, v->len);
	struct json *copy = v == NULL ? NULL : json_new(v->type);
	if (copy == NULL)
		return NULL;
	copy->boolean = v->boolean;
	copy->broken = v->broken;
	copy->integer = v->integer;
	if (v->type == JSON_ARRAY) {
		for (size_t i = 0; i < v->len; i++)
			(void)json_push(copy, json_copy(v->values[i]));
	} else if (v->type == JSON_OBJECT) {
		for (size_t i = 0; i < v->len; i++)
			(void)json_add_member(copy, v->names[i], json_copy(v->values[i]));
	}
	return copy;
}

/* ---- reading ---- */

enum json_type
json_type(const struct json *v)
{
	return v == NULL ? JSON_NULL : v->type;
}

struct json *
json_get(const struct json *object, const char *name)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	size_t at = json_find(object, name);
	return at == SIZE_MAX ? NULL : object->values[at];
}

const char *
json_str(const struct json *v, const char *fallback)
{
	return v != NULL && v->type == JSON_STRING ? v->bytes : fallback;
}

size_t
json_str_len(const struct json *v)
{
	return v != NULL && v->type == JSON_STRING ? v->len : 0;
}

int64_t
json_int(const struct json *v, int64_t fallback)
{
	return v != NULL && v->type == JSON_INT ? v->integer : fallback;
}

bool
json_bool(const struct json *v, bool fallback)
{
	return v != NULL && v->type == JSON_BOOL ? v->boolean : fallback;
}

const char *
json_get_str(const struct json *object, const char *name, const char *fallback)
{
	return json_str(json_get(object, name), fallback);
}

int64_t
json_get_int(const struct json *object, const char *name, int64_t fallback)
{
	return json_int(json_get(object, name), fallback);
}

bool
json_get_bool(const struct json *object, const char *name, bool fallback)
{
	return json_bool(json_get(object, name), fallback);
}

size_t
json_len(const struct json *v)
{
	return v != NULL && (v->type == JSON_ARRAY || v->type == JSON_OBJECT) ? v->len : 0;
}

struct json *
json_at(const struct json *v, size_t i)
{
	return i < json_len(v) ? v->values[i] : NULL;
}

const char *
json_name_at(const struct json *v, size_t i)
{
	return json_type(v) == JSON_OBJECT && i < v->len ? v->names[i] : NULL;
}

static bool
json_equal_members(const struct json *a, const struct json *b)
{
	for (size_t i = 0; i < a->len; i++) {
		size_t at = json_find(b, a->names[i]);
		if (at == SIZE_MAX || !json_equal(a->values[i], b->values[at]))
			return false;
	}
	return true;
}

bool
json_equal(const struct json *a, const struct json *b)
{
	if (json_type(a) != json_type(b))
		return false;
	switch (json_type(a)) {
	case JSON_NULL:
		return true;
	case JSON_BOOL:
		return a->boolean == b->boolean;
	case JSON_INT:
		return a->integer == b->integer;
	case JSON_STRING:
		return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
	case JSON_ARRAY:
		if (a->len != b->len)
			return false;
		for (size_t i = 0; i < a->len; i++)
			if (!json_equal(a->values[i], b->values[i]))
				return false;
		return true;
	case JSON_OBJECT:
		return a->len == b->len && json_equal_members(a, b);
	}
	return false;
}

/* ---- order of members ---- */

/* RFC 8785 sorts by UTF-16 code units. That is the order of UTF-8 bytes, except that a lead byte
 * of 0xee and up (U+E000 and up in the BMP) and supplementary characters (lead 0xf0 and up, which
 * UTF-16 writes with surrogates 0xd800..0xdfff) change places. */
static int
compare_names(const char *a, const char *b)
{
	const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
	while (*x != 0 && *x == *y)
		x++, y++;
	if (*x >= 0xee && *y >= 0xee && (*x >= 0xf0) != (*y >= 0xf0))
		return *x >= 0xf0 ? -1 : 1;
	return (int)*x - (int)*y;
}

static int
compare_slots(const void *a, const void *b)
{
	return compare_names(**(char *const *const *)a, **(char *const *const *)b);
}

/* Fills SLOTS with the places of the members of OBJECT, in canonical order. */
static void
sort_slots(const struct json *object, char ***slots)
{
	for (size_t i = 0; i < object->len; i++)
		slots[i] = &object->names[i];
	if (object->len > FEW_MEMBERS)
		qsort(slots, object->len, sizeof(*slots), compare_slots);
	for (size_t i = 1; i < object->len && object->len <= FEW_MEMBERS; i++)
		for (size_t at = i; at > 0 && compare_slots(&slots[at - 1], &slots[at]) > 0; at--) {
			char **slot = slots[at];
			slots[at] = slots[at - 1];
			slots[at - 1] = slot;
		}
}

/* ---- parsing ---- */

struct parser {
	const unsigned char *text;
	size_t len, at;
	unsigned depth;
	struct error *err;
};

static int
parse_fail(struct parser *p, const char *what)
{
	return error_set(p->err, EINVAL, "json_invalid", "JSON: %s at byte %zu", what, p->at);
}

static void
skip_space(struct parser *p)
{
	while (p->at < p->len &&
	    (p->text[p->at] == ' ' || p->text[p->at] == '\t' || p->text[p->at] == '\n' ||
		p->text[p->at] == '\r'))
		p->at++;
}

static int
parse_hex4(struct parser *p, unsigned *ret)
{
	unsigned value = 0;
	if (p->len - p->at < 4)
		return parse_fail(p, "short \\u escape");
	for (int i = 0; i < 4; i++) {
		unsigned char c = p->text[p->at + (size_t)i];
		unsigned digit;
		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (c | 0x20) - 'a' + 10u;
		else
			return parse_fail(p, "bad \\u escape");
		value = value << 4 | digit;
	}
	p->at += 4;
	*ret = value;
	return 0;
}

static void
add_utf8(struct buf *out, unsigned c)
{
	char bytes[4];
	size_t n;
	if (c < 0x80) {
		bytes[0] = (char)c;
		n = 1;
	} else if (c < 0x800) {
		bytes[0] = (char)(0xc0 | c >> 6);
		bytes[1] = (char)(0x80 | (c & 0x3f));
		n = 2;
	} else if (c < 0x10000) {
		bytes[0] = (char)(0xe0 | c >> 12);
		bytes[1] = (char)(0x80 | (c >> 6 & 0x3f));
		bytes[2] = (char)(0x80 | (c & 0x3f));
		n = 3;
	} else {
		bytes[0] = (char)(0xf0 | c >> 18);
		bytes[1] = (char)(0x80 | (c >> 12 & 0x3f));
		bytes[2] = (char)(0x80 | (c >> 6 & 0x3f));
		bytes[3] = (char)(0x80 | (c & 0x3f));
		n = 4;
	}
	(void)buf_add(out, bytes, n);
}

static int
parse_unicode_escape(struct parser *p, struct buf *out)
{
	unsigned c, low;
	int r = parse_hex4(p, &c);
	if (r < 0)
		return r;
	if (c >= 0xdc00 && c <= 0xdfff)
		return parse_fail(p, "unpaired surrogate");
	if (c >= 0xd800 && c <= 0xdbff) {
		if (p->len - p->at < 2 || p->text[p->at] != '\\' || p->text[p->at + 1] != 'u')
			return parse_fail(p, "unpaired surrogate");
		p->at += 2;
		r = parse_hex4(p, &low);
		if (r < 0)
			return r;
		if (low < 0xdc00 || low > 0xdfff)
			return parse_fail(p, "unpaired surrogate");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	add_utf8(out, c);
	return 0;
}

static int
parse_escape(struct parser *p, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	if (p->at >= p->len)
		return parse_fail(p, "unfinished string");
	unsigned char c = p->text[p->at++];
	if (c == 'u')
		return parse_unicode_escape(p, out);
	const char *hit = c == 0 ? NULL : strchr(from, c);
	if (hit == NULL)
		return parse_fail(p, "unknown escape");
	(void)buf_add_char(out, to[hit - from]);
	return 0;
}

/* Parses the string at the opening quote into OUT. */
static int
parse_string_bytes(struct parser *p, struct buf *out)
{
	p->at++;
	while (p->at < p->len) {
		size_t start = p->at;
		while (p->at < p->len) {
			unsigned char c = p->text[p->at];
			if (c == '"' || c == '\\' || c < 0x20)
				break;
			size_t n = utf8_sequence(p->text + p->at, p->len - p->at);
			if (n == 0)
				return parse_fail(p, "invalid UTF-8");
			p->at += n;
		}
		(void)buf_add(out, p->text + start, p->at - start);
		if (p->at >= p->len)
			break;
		unsigned char c = p->text[p->at];
		if (c < 0x20)
			return parse_fail(p, "control character in a string");
		p->at++;
		if (c == '"')
			return out->failed ? -ENOMEM : 0;
		int r = parse_escape(p, out);
		if (r < 0)
			return r;
	}
	return parse_fail(p, "unfinished string");
}

/* The length of the string at P's opening quote if nothing in it needs translation, else SIZE_MAX. */
static size_t
plain_length(const struct parser *p)
{
	for (size_t i = p->at + 1; i < p->len; i++) {
		unsigned char c = p->text[i];
		if (c == '"')
			return i - p->at - 1;
		if (c == '\\' || c < 0x20 || c >= 0x80)
			break;
	}
	return SIZE_MAX;
}

/* The string at the opening quote as an owned, NUL-terminated copy. Most are plain and copied at once. */
static int
parse_text(struct parser *p, char **ret, size_t *ret_len)
{
	size_t len = plain_length(p);
	if (len != SIZE_MAX) {
		char *copy = malloc(len + 1);
		if (copy == NULL)
			return -ENOMEM;
		memcpy(copy, p->text + p->at + 1, len);
		copy[len] = 0;
		p->at += len + 2;
		*ret = copy;
		*ret_len = len;
		return 0;
	}
	_cleanup_buf_ struct buf text;
	buf_init(&text, p->len + 1);
	if (buf_reserve(&text, 0) == NULL) /* "" has bytes too: the NUL */
		return -ENOMEM;
	int r = parse_string_bytes(p, &text);
	if (r < 0)
		return r;
	text.data[text.len] = 0;
	*ret_len = text.len;
	*ret = buf_take(&text);
	return 0;
}

static int
parse_string(struct parser *p, struct json **ret)
{
	char *text;
	size_t len;
	int r = parse_text(p, &text, &len);
	if (r < 0)
		return r;
	struct json *v = json_new(JSON_STRING);
	if (v == NULL) {
		free(text);
		return -ENOMEM;
	}
	v->len = len;
	v->bytes = text;
	*ret = v;
	return 0;
}

static int
parse_number(struct parser *p, struct json **ret)
{
	bool negative = p->text[p->at] == '-';
	if (negative)
		p->at++;
	size_t digits = 0;
	int64_t value = 0;
	size_t start = p->at;
	while (p->at < p->len && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
		value = value * 10 + (p->text[p->at++] - '0');
		if (++digits > 16)
			return parse_fail(p, "number out of range");
	}
	if (digits == 0 || (digits > 1 && p->text[start] == '0'))
		return parse_fail(p, "malformed number");
	if (p->at < p->len && (p->text[p->at] == '.' || (p->text[p->at] | 0x20) == 'e'))
		return parse_fail(p, "only integers are accepted");
	if (value > JSON_INT_MAX)
		return parse_fail(p, "number out of range");
	*ret = json_new_int(negative ? -value : value);
	return *ret == NULL ? -ENOMEM : 0;
}

static int parse_value(struct parser *p, struct json **ret);

static int
parse_array(struct parser *p, struct json *array)
{
	p->at++;
	skip_space(p);
	if (p->at < p->len && p->text[p->at] == ']') {
		p->at++;
		return 0;
	}
	for (;;) {
		struct json *value = NULL;
		int r = parse_value(p, &value);
		if (r < 0)
			return r;
		r = json_push(array, value);
		if (r < 0)
			return r;
		skip_space(p);
		if (p->at >= p->len)
			return parse_fail(p, "unfinished array");
		unsigned char c = p->text[p->at++];
		if (c == ']')
			return 0;
		if (c != ',')
			return parse_fail(p, "expected ',' or ']'");
	}
}

static int
parse_member(struct parser *p, struct json *object)
{
	_cleanup_free_ char *name = NULL;
	size_t len;
	skip_space(p);
	if (p->at >= p->len || p->text[p->at] != '"')
		return parse_fail(p, "expected a member name");
	int r = parse_text(p, &name, &len);
	if (r < 0)
		return r;
	if (strlen(name) != len)
		return parse_fail(p, "NUL in a member name");
	if (object->len < FEW_MEMBERS && json_find(object, name) != SIZE_MAX)
		return parse_fail(p, "duplicate member");
	skip_space(p);
	if (p->at >= p->len || p->text[p->at] != ':')
		return parse_fail(p, "expected ':'");
	p->at++;
	struct json *value = NULL;
	r = parse_value(p, &value);
	return r < 0 ? r : json_add_taken(object, TAKE_PTR(name), value);
}

/* Where members are many, comparing each with each would let a peer keep us busy: sort them. */
static int
check_duplicates(struct parser *p, const struct json *object)
{
	if (object->len <= FEW_MEMBERS)
		return 0;
	_cleanup_free_ char ***slots = calloc(object->len, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	sort_slots(object, slots);
	for (size_t i = 1; i < object->len; i++)
		if (strcmp(*slots[i - 1], *slots[i]) == 0)
			return parse_fail(p, "duplicate member");
	return 0;
}

static int
parse_object(struct parser *p, struct json *object)
{
	p->at++;
	skip_space(p);
	if (p->at < p->len && p->text[p->at] == '}') {
		p->at++;
		return 0;
	}
	for (;;) {
		int r = parse_member(p, object);
		if (r < 0)
			return r;
		skip_space(p);
		if (p->at >= p->len)
			return parse_fail(p, "unfinished object");
		unsigned char c = p->text[p->at++];
		if (c == '}')
			return check_duplicates(p, object);
		if (c != ',')
			return parse_fail(p, "expected ',' or '}'");
	}
}

static int
parse_container(struct parser *p, enum json_type type, struct json **ret)
{
	if (p->depth >= JSON_DEPTH_MAX)
		return error_set(p->err, EMSGSIZE, "json_invalid",
		    "JSON: deeper than %d levels at byte %zu", JSON_DEPTH_MAX, p->at);
	struct json *v = json_new(type);
	if (v == NULL)
		return -ENOMEM;
	p->depth++;
	int r = type == JSON_ARRAY ? parse_array(p, v) : parse_object(p, v);
	p->depth--;
	if (r < 0) {
		json_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

static int
parse_word(struct parser *p, const char *word, struct json *value, struct json **ret)
{
	size_t len = strlen(word);
	if (p->len - p->at < len || memcmp(p->text + p->at, word, len) != 0) {
		json_free(value);
		return parse_fail(p, "unknown word");
	}
	p->at += len;
	*ret = value;
	return value == NULL ? -ENOMEM : 0;
}

static int
parse_value(struct parser *p, struct json **ret)
{
	skip_space(p);
	if (p->at >= p->len)
		return parse_fail(p, "unexpected end");
	switch (p->text[p->at]) {
	case '{':
		return parse_container(p, JSON_OBJECT, ret);
	case '[':
		return parse_container(p, JSON_ARRAY, ret);
	case '"':
		return parse_string(p, ret);
	case 't':
		return parse_word(p, "true", json_new_bool(true), ret);
	case 'f':
		return parse_word(p, "false", json_new_bool(false), ret);
	case 'n':
		return parse_word(p, "null", json_new_null(), ret);
	case '-':
	case '0' ... '9':
		return parse_number(p, ret);
	default:
		return parse_fail(p, "unexpected byte");
	}
}

int
json_parse(const char *text, size_t len, struct json **ret, struct error *err)
{
	struct parser p = {.text = (const unsigned char *)text, .len = len, .err = err};
	struct json *v = NULL;
	int r = parse_value(&p, &v);
	if (r == -ENOMEM)
		return error_set(err, ENOMEM, "no_memory", "JSON: out of memory");
	if (r < 0)
		return r;
	skip_space(&p);
	if (p.at != len) {
		json_free(v);
		return parse_fail(&p, "bytes after the document");
	}
	*ret = v;
	return 0;
}

/* ---- writing ---- */

int
json_write_string(const char *text, size_t len, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	static const char shorts[] = "btn\0fr"; /* for 0x08..0x0d; 0x0b has none */
	(void)buf_add_char(out, '"');
	size_t run = 0;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		(void)buf_add(out, text + run, i - run);
		run = i + 1;
		char escape[6] = {'\\', (char)c};
		size_t n = 2;
		if (c >= 0x08 && c <= 0x0d && c != 0x0b) {
			escape[1] = shorts[c - 0x08];
		} else if (c < 0x20) {
			memcpy(escape, "\\u00", 4);
			escape[4] = hex[c >> 4];
			escape[5] = hex[c & 15];
			n = 6;
		}
		(void)buf_add(out, escape, n);
	}
	(void)buf_add(out, text + run, len - run);
	(void)buf_add_char(out, '"');
	return out->failed ? -EMSGSIZE : 0;
}

static void
add_int(struct buf *out, int64_t value)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t rest = value < 0 ? (uint64_t)-value : (uint64_t)value;
	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	if (value < 0)
		digits[--at] = '-';
	(void)buf_add(out, digits + at, sizeof(digits) - at);
}

static int
write_object(const struct json *v, struct buf *out)
{
	char **few[FEW_MEMBERS], ***slots = few;
	_cleanup_free_ char ***many = NULL;
	if (v->len > ARRAY_LEN(few)) {
		slots = many = calloc(v->len, sizeof(*many));
		if (many == NULL)
			return -ENOMEM;
	}
	sort_slots(v, slots);
	(void)buf_add_char(out, '{');
	for (size_t i = 0; i < v->len; i++) {
		if (i > 0)
			(void)buf_add_char(out, ',');
		(void)json_write_string(*slots[i], strlen(*slots[i]), out);
		(void)buf_add_char(out, ':');
		int r = json_write(v->values[slots[i] - v->names], out);
		if (r < 0)
			return r;
	}
	(void)buf_add_char(out, '}');
	return 0;
}

int
json_write(const struct json *v, struct buf *out)
{
	int r = 0;
	if (v == NULL || v->broken)
		return -ENOMEM;
	switch (v->type) {
	case JSON_NULL:
		(void)buf_add_str(out, "null");
		break;
	case JSON_BOOL:
		(void)buf_add_str(out, v->boolean ? "true" : "false");
		break;
	case JSON_INT:
		add_int(out, v->integer);
		break;
	case JSON_STRING:
		(void)json_write_string(v->bytes, v->len, out);
		break;
	case JSON_ARRAY:
		(void)buf_add_char(out, '[');
		for (size_t i = 0; i < v->len && r == 0; i++) {
			if (i > 0)
				(void)buf_add_char(out, ',');
			r = json_write(v->values[i], out);
		}
		(void)buf_add_char(out, ']');
		break;
	case JSON_OBJECT:
		r = write_object(v, out);
		break;
	}
	return r < 0 ? r : out->failed ? -EMSGSIZE : 0;
}

static void
add_indent(struct buf *out, unsigned depth)
{
	(void)buf_add_char(out, '\n');
	for (unsigned i = 0; i < depth; i++)
		(void)buf_add_str(out, "  ");
}

static int
write_pretty(const struct json *v, struct buf *out, unsigned depth)
{
	if (json_len(v) == 0)
		return json_write(v, out);
	if (v->broken)
		return -ENOMEM;
	bool object = v->type == JSON_OBJECT;
	(void)buf_add_char(out, object ? '{' : '[');
	for (size_t i = 0; i < v->len; i++) {
		if (i > 0)
			(void)buf_add_char(out, ',');
		add_indent(out, depth + 1);
		if (object) {
			(void)json_write_string(v->names[i], strlen(v->names[i]), out);
			(void)buf_add_str(out, ": ");
		}
		int r = write_pretty(v->values[i], out, depth + 1);
		if (r < 0)
			return r;
	}
	add_indent(out, depth);
	(void)buf_add_char(out, object ? '}' : ']');
	return out->failed ? -EMSGSIZE : 0;
}

int
json_write_pretty(const struct json *v, struct buf *out)
{
	return write_pretty(v, out, 0);
}
