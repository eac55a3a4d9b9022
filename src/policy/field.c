/* Reading a tree by a field table. */
#include "policy/field.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/suggest.h"
#include "policy/units.h"

/* ---- errors ---- */

static int
error_at(const struct field_reader *rd, unsigned line, unsigned column, const char *what)
{
	bool path = rd->path[0] != 0;
	return error_set(rd->err, EINVAL, "policy_invalid", "%s:%u:%u: %s%s%s", rd->file, line,
	    column, rd->path, path ? ": " : "", what);
}

int
field_error(const struct field_reader *rd, const struct node *node, const char *fmt, ...)
{
	char what[400];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return error_at(rd, node->line, node->column, what);
}

static int
no_memory(const struct field_reader *rd)
{
	return error_set(rd->err, ENOMEM, "out_of_memory", "%s: out of memory", rd->file);
}

/* Appends a step to the reader's path; returns the length to go back to. */
static size_t path_push(struct field_reader *rd, const char *fmt, ...) PRINTF_LIKE(2, 3);

static size_t
path_push(struct field_reader *rd, const char *fmt, ...)
{
	size_t used = strlen(rd->path);
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(rd->path + used, sizeof(rd->path) - used, fmt, args);
	va_end(args);
	return used;
}

static size_t
path_push_name(struct field_reader *rd, const char *name)
{
	return path_push(rd, "%s%.40s", rd->path[0] != 0 ? "." : "", name);
}

static void
path_pop(struct field_reader *rd, size_t used)
{
	rd->path[used] = 0;
}

/* "; did you mean "x"?" or "". */
static const char *
did_you_mean(const char *nearest, char *ret, size_t size)
{
	if (nearest == NULL)
		return "";
	(void)snprintf(ret, size, "; did you mean \"%.50s\"?", nearest);
	return ret;
}

const char *
field_nearest(const char *text, const char *const *names)
{
	struct suggestion s = suggest_begin(text);
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		suggest_offer(&s, names[i]);
	return s.best;
}

/* "expected one of a, b, c" for a value that is none of NAMES. */
static int
error_not_in(const struct field_reader *rd, const struct node *node, const char *const *names)
{
	char list[260] = "", hint[80];
	for (size_t i = 0, used = 0; names[i] != NULL && used < sizeof(list) - 40; i++)
		used += (size_t)snprintf(
		    list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", names[i]);
	return field_error(rd, node, "\"%.60s\": expected one of %s%s", node->text, list,
	    did_you_mean(field_nearest(node->text, names), hint, sizeof(hint)));
}

/* ---- scalars ---- */

static int
need_text(const struct field_reader *rd, const struct node *node, const char *expected)
{
	if (node->type != NODE_SCALAR || (node->text[0] == 0 && node->plain))
		return field_error(rd, node, "expected %s, found %s", expected, tree_what(node));
	return 0;
}

static int
read_enum(
    const struct field_reader *rd, const struct node *node, const char *const *names, int64_t *ret)
{
	int r = need_text(rd, node, "a word");
	if (r < 0)
		return r;
	for (int64_t i = 0; names[i] != NULL; i++) {
		if (strcmp(names[i], node->text) == 0) {
			*ret = i;
			return 0;
		}
	}
	return error_not_in(rd, node, names);
}

static int
read_bool(const struct field_reader *rd, const struct node *node, int64_t *ret)
{
	bool yes = node->type == NODE_SCALAR && node->plain && strcmp(node->text, "true") == 0;
	bool no = node->type == NODE_SCALAR && node->plain && strcmp(node->text, "false") == 0;
	if (!yes && !no)
		return field_error(rd, node, "expected true or false");
	*ret = yes;
	return 0;
}

struct number_form {
	int (*parse)(const char *text, int64_t *ret);
	const char *expected;
};

static const struct number_form number_forms[] = {
    [FIELD_INT] = {units_int, "a whole number"},
    [FIELD_BYTES] = {units_bytes, "a size such as 512MiB (units B, KiB, MiB, GiB, TiB)"},
    [FIELD_MS] = {units_ms, "a duration such as 90s (units ms, s, m, h, d)"},
    [FIELD_RATE] = {units_bytes_per_s, "a rate such as 10MiB/s (units B/s, KiB/s, MiB/s, GiB/s)"},
    [FIELD_MILLIS] = {units_millis, "a number of CPUs such as 1 or 0.5 (at most three decimals)"},
    [FIELD_CLOCK] = {units_clock, "a time of day such as 08:30"},
};

static int
read_number(
    const struct field_reader *rd, const struct node *node, const struct field *f, int64_t *ret)
{
	const struct number_form *form = &number_forms[f->type];
	int r = need_text(rd, node, form->expected);
	if (r < 0)
		return r;
	int64_t value;
	r = form->parse(node->text, &value);
	if (r == -ERANGE)
		return field_error(rd, node, "\"%.40s\" is too large", node->text);
	if (r < 0) {
		char hint[80] = "", right[64];
		const char *unit = f->type == FIELD_BYTES ? units_size_hint(node->text) : NULL;
		if (unit != NULL) {
			(void)snprintf(right, sizeof(right), "%.*s%s",
			    (int)strspn(node->text, "0123456789"), node->text, unit);
			(void)did_you_mean(right, hint, sizeof(hint));
		}
		return field_error(
		    rd, node, "\"%.40s\": expected %s%s", node->text, form->expected, hint);
	}
	if (f->max > 0 && (value < f->min || value > f->max))
		return field_error(rd, node, "%.40s is out of bounds: %lld to %lld%s", node->text,
		    (long long)f->min, (long long)f->max,
		    f->type == FIELD_BYTES        ? " bytes"
			: f->type == FIELD_MS     ? " ms"
			: f->type == FIELD_MILLIS ? " thousandths"
			: f->type == FIELD_RATE   ? " bytes/s"
						  : "");
	*ret = value;
	return 0;
}

/* One text of a text field or list. */
static int
check_text(const struct field_reader *rd, const struct node *node, const struct field *f)
{
	int r = need_text(rd, node, "text");
	if (r < 0)
		return r;
	if (strlen(node->text) > 4096)
		return field_error(rd, node, "too long (4096 bytes at most)");
	if (f->names != NULL) {
		int64_t ignored;
		return read_enum(rd, node, f->names, &ignored);
	}
	const char *expected = f->check != NULL ? f->check(node->text) : NULL;
	if (expected != NULL)
		return field_error(rd, node, "\"%.100s\": expected %s", node->text, expected);
	return 0;
}

static int
read_text(
    const struct field_reader *rd, const struct node *node, const struct field *f, const char **ret)
{
	int r = check_text(rd, node, f);
	if (r == 0)
		*ret = node->text;
	return r;
}

/* ---- lists ---- */

/* Whether NODE is one of the words that stand for a list; sets RET. */
static bool
list_word(const struct node *node, const struct field *f, enum list_mode *ret)
{
	if (node->type != NODE_SCALAR)
		return false;
	if ((f->flags & FIELD_OR_ANY) != 0 && strcmp(node->text, "any") == 0)
		*ret = LIST_ANY;
	else if ((f->flags & FIELD_OR_NONE) != 0 && strcmp(node->text, "none") == 0)
		*ret = LIST_NONE;
	else
		return false;
	return true;
}

static const char *
list_expected(const struct field *f)
{
	bool any = (f->flags & FIELD_OR_ANY) != 0, none = (f->flags & FIELD_OR_NONE) != 0;
	return any && none ? "a list, \"any\" or \"none\""
	    : any          ? "a list or \"any\""
	    : none         ? "a list or \"none\""
			   : "a list";
}

static int
need_list(struct field_reader *rd, const struct node *node, const struct field *f)
{
	if (node->type != NODE_LIST)
		return field_error(
		    rd, node, "expected %s, found %s", list_expected(f), tree_what(node));
	if (node->n == 0)
		return field_error(rd, node,
		    "the list is empty: expected %s with at least one item", list_expected(f));
	if (node->n > LIST_ITEMS_MAX)
		return field_error(rd, node, "too many items (%d at most)", LIST_ITEMS_MAX);
	return 0;
}

static int
read_list(struct field_reader *rd, const struct node *node, const struct field *f, struct list *ret)
{
	if (list_word(node, f, &ret->mode))
		return 0;
	bool one = node->type == NODE_SCALAR && (f->flags & FIELD_OR_ONE) != 0;
	int r = one ? 0 : need_list(rd, node, f);
	if (r < 0)
		return r;
	size_t n = one ? 1 : node->n;
	ret->items = arena_array(rd->arena, n, sizeof(*ret->items));
	if (ret->items == NULL)
		return no_memory(rd);
	for (const struct node *item = one ? node : node->first; item != NULL && ret->n < n;
	     item = item->next) {
		size_t used = one ? strlen(rd->path) : path_push(rd, "[%zu]", ret->n);
		enum list_mode word;
		if (list_word(item, f, &word))
			return field_error(
			    rd, item, "\"%s\" stands alone, without a list", item->text);
		r = read_text(rd, item, f, &ret->items[ret->n]);
		if (r < 0)
			return r;
		ret->n++;
		path_pop(rd, used);
	}
	ret->mode = LIST_ITEMS;
	return 0;
}

static int
read_port(const struct field_reader *rd, const struct node *node, struct port_range *ret)
{
	static const char expected[] = "a port (1 to 65535) or a range such as 8000-8010";
	int r = need_text(rd, node, expected);
	if (r < 0)
		return r;
	char low[8] = "";
	const char *dash = strchr(node->text, '-');
	size_t len = dash != NULL ? (size_t)(dash - node->text) : strlen(node->text);
	(void)snprintf(low, sizeof(low), "%.*s", (int)MIN(len, sizeof(low) - 1), node->text);
	int64_t from, to;
	if (len >= sizeof(low) || units_int(low, &from) < 0)
		return field_error(rd, node, "\"%.40s\": expected %s", node->text, expected);
	to = from;
	if ((dash != NULL && units_int(dash + 1, &to) < 0) || from < 1 || to > 65535 || from > to)
		return field_error(rd, node, "\"%.40s\": expected %s", node->text, expected);
	*ret = (struct port_range){(uint16_t)from, (uint16_t)to};
	return 0;
}

static int
read_ports(
    struct field_reader *rd, const struct node *node, const struct field *f, struct ports *ret)
{
	if (list_word(node, f, &ret->mode))
		return 0;
	int r = need_list(rd, node, f);
	if (r < 0)
		return r;
	ret->items = arena_array(rd->arena, node->n, sizeof(*ret->items));
	if (ret->items == NULL)
		return no_memory(rd);
	for (const struct node *item = node->first; item != NULL; item = item->next) {
		size_t used = path_push(rd, "[%zu]", ret->n);
		r = read_port(rd, item, &ret->items[ret->n]);
		if (r < 0)
			return r;
		ret->n++;
		path_pop(rd, used);
	}
	ret->mode = LIST_ITEMS;
	return 0;
}

/* ---- mappings ---- */

static int
read_maps(struct field_reader *rd, const struct node *node, const struct field *f, struct maps *ret)
{
	bool named = f->type == FIELD_NAMED;
	if (node->type != (named ? NODE_MAP : NODE_LIST))
		return field_error(rd, node, "expected %s, found %s",
		    named ? "a mapping" : "a list of mappings", tree_what(node));
	if (f->max > 0 && node->n > (size_t)f->max)
		return field_error(rd, node, "too many (%lld at most)", (long long)f->max);
	unsigned char *items = arena_array(rd->arena, node->n, f->sub->size);
	ret->items = items;
	if (named)
		ret->names = arena_array(rd->arena, node->n, sizeof(*ret->names));
	if (items == NULL || (named && ret->names == NULL))
		return no_memory(rd);
	for (const struct node *item = node->first; item != NULL; item = item->next) {
		size_t used =
		    named ? path_push_name(rd, item->key) : path_push(rd, "[%zu]", ret->n);
		const struct shape *shape = f->sub->pick != NULL ? f->sub->pick(item) : f->sub;
		int r = field_read(rd, item, shape, items + ret->n * f->sub->size);
		if (r < 0)
			return r;
		if (named)
			ret->names[ret->n] = item->key;
		ret->n++;
		path_pop(rd, used);
	}
	return 0;
}

static int
read_classes(
    struct field_reader *rd, const struct node *node, const struct field *f, struct classes *ret)
{
	if (node->type != NODE_MAP)
		return field_error(
		    rd, node, "expected a mapping of names, found %s", tree_what(node));
	ret->names = arena_array(rd->arena, node->n, sizeof(*ret->names));
	ret->values = arena_array(rd->arena, node->n, sizeof(*ret->values));
	if (ret->names == NULL || ret->values == NULL)
		return no_memory(rd);
	for (const struct node *item = node->first; item != NULL; item = item->next) {
		size_t used = path_push_name(rd, item->key);
		const char *expected = f->check != NULL ? f->check(item->key) : NULL;
		if (expected != NULL)
			return error_at(rd, item->key_line, item->key_column, expected);
		int r = read_enum(rd, item, f->names, &ret->values[ret->n]);
		if (r < 0)
			return r;
		ret->names[ret->n++] = item->key;
		path_pop(rd, used);
	}
	return 0;
}

/* One floor term: `seccomp` or `memory-limit: cgroup`. */
static int
read_term(const struct field_reader *rd, const struct node *item, const struct term_kind *kinds,
    struct term *ret)
{
	const struct node *value = item->type == NODE_MAP && item->n == 1 ? item->first : NULL;
	if (value == NULL && item->type != NODE_SCALAR)
		return field_error(rd, item, "expected a term, or one term with its strength");
	const char *name = value != NULL ? value->key : item->text;
	struct suggestion s = suggest_begin(name);
	for (; kinds->name != NULL; kinds++) {
		suggest_offer(&s, kinds->name);
		if (strcmp(kinds->name, name) != 0)
			continue;
		ret->name = kinds->name;
		if (value == NULL)
			return 0;
		if (kinds->strengths == NULL)
			return field_error(rd, value, "%s has no strengths to choose from", name);
		int64_t which;
		int r = read_enum(rd, value, kinds->strengths, &which);
		if (r == 0)
			ret->strength = kinds->strengths[which];
		return r;
	}
	char hint[80];
	return field_error(rd, item, "\"%.40s\": not a floor term%s", name,
	    did_you_mean(s.best, hint, sizeof(hint)));
}

static int
read_terms(
    struct field_reader *rd, const struct node *node, const struct field *f, struct terms *ret)
{
	if (node->type != NODE_LIST)
		return field_error(rd, node, "expected a list, found %s", tree_what(node));
	ret->items = arena_array(rd->arena, node->n, sizeof(*ret->items));
	if (ret->items == NULL)
		return no_memory(rd);
	for (const struct node *item = node->first; item != NULL; item = item->next) {
		size_t used = path_push(rd, "[%zu]", ret->n);
		int r = read_term(rd, item, f->terms, &ret->items[ret->n]);
		if (r < 0)
			return r;
		for (size_t i = 0; i < ret->n; i++)
			if (strcmp(ret->items[i].name, ret->items[ret->n].name) == 0)
				return field_error(rd, item, "%s stands twice", ret->items[i].name);
		ret->n++;
		path_pop(rd, used);
	}
	return 0;
}

static int
read_value(struct field_reader *rd, const struct node *node, const struct field *f, void *at)
{
	switch (f->type) {
	case FIELD_TEXT:
		return read_text(rd, node, f, at);
	case FIELD_ENUM:
		return read_enum(rd, node, f->names, at);
	case FIELD_BOOL:
		return read_bool(rd, node, at);
	case FIELD_INT:
	case FIELD_BYTES:
	case FIELD_MS:
	case FIELD_RATE:
	case FIELD_MILLIS:
	case FIELD_CLOCK:
		return read_number(rd, node, f, at);
	case FIELD_LIST:
		return read_list(rd, node, f, at);
	case FIELD_PORTS:
		return read_ports(rd, node, f, at);
	case FIELD_MAP:
		return field_read(rd, node, f->sub, at);
	case FIELD_MAPS:
	case FIELD_NAMED:
		return read_maps(rd, node, f, at);
	case FIELD_CLASSES:
		return read_classes(rd, node, f, at);
	case FIELD_TERMS:
		return read_terms(rd, node, f, at);
	case FIELD_VALUE:
		*(const struct node **)at = node;
		return 0;
	}
	return field_error(rd, node, "internal error: no such field type");
}

const struct field *
shape_field(const struct shape *shape, const char *name)
{
	for (; shape != NULL; shape = shape->base)
		for (const struct field *f = shape->fields; f->name != NULL; f++)
			if (strcmp(f->name, name) == 0)
				return f;
	return NULL;
}

static int
error_unknown(struct field_reader *rd, const struct node *member, const struct shape *shape)
{
	struct suggestion s = suggest_begin(member->key);
	for (const struct shape *at = shape; at != NULL; at = at->base)
		for (const struct field *f = at->fields; f->name != NULL; f++)
			suggest_offer(&s, f->name);
	char what[300], hint[80];
	(void)snprintf(what, sizeof(what), "unknown field in %s%s", shape->what,
	    did_you_mean(s.best, hint, sizeof(hint)));
	(void)path_push_name(rd, member->key);
	return error_at(rd, member->key_line, member->key_column, what);
}

static void
field_default(const struct field *f, void *at)
{
	if (f->type == FIELD_MAP)
		field_defaults(f->sub, at);
	else if (f->type >= FIELD_ENUM && f->type <= FIELD_CLOCK)
		*(int64_t *)at = FIELD_UNSET;
}

void
field_defaults(const struct shape *shape, void *base)
{
	for (; shape != NULL; shape = shape->base)
		for (const struct field *f = shape->fields; f->name != NULL; f++)
			field_default(f, (unsigned char *)base + f->offset);
}

static int
check_required(struct field_reader *rd, const struct node *node, const struct shape *shape)
{
	for (; shape != NULL; shape = shape->base)
		for (const struct field *f = shape->fields; f->name != NULL; f++)
			if ((f->flags & FIELD_REQUIRED) != 0 && tree_get(node, f->name) == NULL)
				return field_error(
				    rd, node, "\"%s\" is missing: %s", f->name, f->doc);
	return 0;
}

int
field_read(struct field_reader *rd, const struct node *node, const struct shape *shape, void *base)
{
	assert(shape != NULL);
	if (node->type != NODE_MAP)
		return field_error(
		    rd, node, "expected a mapping (%s), found %s", shape->what, tree_what(node));
	field_defaults(shape, base);
	for (const struct node *member = node->first; member != NULL; member = member->next) {
		const struct field *f = shape_field(shape, member->key);
		if (f == NULL)
			return error_unknown(rd, member, shape);
		size_t used = path_push_name(rd, f->name);
		int r = read_value(rd, member, f, (unsigned char *)base + f->offset);
		if (r < 0)
			return r;
		path_pop(rd, used);
	}
	return check_required(rd, node, shape);
}
