/* Options, values with units, and "did you mean". Nothing here prints: the caller says ERR and picks
 * the exit code. */
#include "cli/options.h"

#include <errno.h>
#include <string.h>

#define NAME_MAX_LEN 40

void
options_init(struct options *o, const struct option_spec *table, int argc, char **argv)
{
	*o = (struct options){.table = table, .argc = argc, .argv = argv, .at = 1};
}

/* Edit distance (with swapped neighbours), of strings up to NAME_MAX_LEN; longer ones are far away. */
static size_t
distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	if (la > NAME_MAX_LEN || lb > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	size_t rows[3][NAME_MAX_LEN + 1];
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t change = above[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = MIN(change, MIN(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], two[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

const char *
nearest_name(const char *text, const char *const *names, size_t stride)
{
	const char *best = NULL;
	size_t best_distance = 0;
	for (const char *at = (const char *)names;; at += stride) {
		const char *name;
		memcpy(&name, at, sizeof(name));
		if (name == NULL)
			break;
		size_t d = distance(text, name);
		if (strlen(text) >= 3 && strncmp(text, name, strlen(text)) == 0)
			d = 1;
		if (best == NULL || d < best_distance) {
			best = name;
			best_distance = d;
		}
	}
	size_t near = strlen(text) / 3 + 1;
	return best != NULL && best_distance <= near && best_distance < strlen(text) ? best : NULL;
}

static int
unknown_option(const struct options *o, const char *arg, const char *name, struct error *err)
{
	error_set(err, EINVAL, "unknown_option", "unknown option %.60s", arg);
	const char *near = nearest_name(name, &o->table[0].name, sizeof(o->table[0]));
	if (near != NULL && arg[1] == '-')
		error_remedy(err, "did you mean --%s?", near);
	else
		error_remedy(err, "see ringfence help %s", o->argv[0]);
	return OPTIONS_BAD;
}

/* The option at INDEX, whose value (if it has one) is INLINE_VALUE or the next argument. */
static int
take_value(
    struct options *o, int index, const char *inline_value, const char **ret, struct error *err)
{
	const struct option_spec *spec = &o->table[index];
	*ret = inline_value;
	if (spec->value == NULL && inline_value != NULL) {
		error_set(err, EINVAL, "option_value", "--%s takes no value", spec->name);
		return OPTIONS_BAD;
	}
	if (spec->value == NULL || inline_value != NULL)
		return index;
	if (o->at >= o->argc) {
		error_set(
		    err, EINVAL, "option_value", "--%s needs a value: %s", spec->name, spec->value);
		return OPTIONS_BAD;
	}
	*ret = o->argv[o->at++];
	return index;
}

static int
long_option(struct options *o, const char *arg, const char **ret, struct error *err)
{
	char name[NAME_MAX_LEN + 1];
	const char *equals = strchr(arg, '=');
	size_t len = equals == NULL ? strlen(arg + 2) : (size_t)(equals - arg - 2);
	len = MIN(len, (size_t)NAME_MAX_LEN);
	memcpy(name, arg + 2, len);
	name[len] = 0;
	for (int i = 0; o->table[i].name != NULL; i++)
		if (strcmp(o->table[i].name, name) == 0)
			return take_value(o, i, equals == NULL ? NULL : equals + 1, ret, err);
	return unknown_option(o, arg, name, err);
}

/* The option whose letter LETTERS begins with; what follows is its value, or more flags. */
static int
short_option(struct options *o, const char *letters, const char **ret, struct error *err)
{
	char arg[] = {'-', letters[0], 0};
	o->rest = NULL;
	for (int i = 0; o->table[i].name != NULL; i++) {
		if (o->table[i].letter != letters[0] || letters[0] == 0)
			continue;
		if (o->table[i].value == NULL && letters[1] != 0) {
			o->rest = letters + 1;
			return i;
		}
		return take_value(o, i, letters[1] == 0 ? NULL : letters + 1, ret, err);
	}
	return unknown_option(o, arg, arg + 1, err);
}

int
options_next(struct options *o, const char **ret_value, struct error *err)
{
	*ret_value = NULL;
	if (o->rest != NULL)
		return short_option(o, o->rest, ret_value, err);
	if (o->at >= o->argc)
		return OPTIONS_END;
	const char *arg = o->argv[o->at];
	bool operand = o->operands || arg[0] != '-' || arg[1] == 0;
	if (operand && o->stop_at_operand)
		return OPTIONS_END;
	o->at++;
	if (operand) {
		*ret_value = arg;
		return OPTIONS_OPERAND;
	}
	if (strcmp(arg, "--") == 0) {
		o->operands = true;
		return options_next(o, ret_value, err);
	}
	if (arg[1] == '-')
		return long_option(o, arg, ret_value, err);
	return short_option(o, arg + 1, ret_value, err);
}

void
options_help(const struct option_spec *table, struct buf *out)
{
	for (const struct option_spec *spec = table; spec->name != NULL; spec++) {
		size_t before = out->len;
		if (spec->letter != 0)
			(void)buf_addf(out, "  -%c, --%s", spec->letter, spec->name);
		else
			(void)buf_addf(out, "  --%s", spec->name);
		if (spec->value != NULL)
			(void)buf_addf(out, " %s", spec->value);
		do
			(void)buf_add_char(out, ' ');
		while (!out->failed && out->len < before + 26);
		(void)buf_addf(out, "%s\n", spec->help);
	}
}

/* ---- values ---- */

struct unit {
	const char *name;
	long long factor;
};

/* Digits into RET, the rest of TEXT into RET_REST. False if there are none or they are too many. */
static bool
digits(const char *text, long long *ret, const char **ret_rest)
{
	long long value = 0;
	const char *p = text;
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (*p - '0');
		if (value > 1LL << 52)
			return false;
	}
	*ret = value;
	*ret_rest = p;
	return p != text;
}

static int
parse_unit(const char *text, const char *what, const char *expected, const struct unit *units,
    long long *ret, struct error *err)
{
	long long value;
	const char *rest;
	if (digits(text, &value, &rest) && value > 0)
		for (const struct unit *u = units; u->name != NULL; u++)
			if (strcmp(rest, u->name) == 0 && value <= (1LL << 52) / u->factor) {
				*ret = value * u->factor;
				return 0;
			}
	return error_set(err, EINVAL, "bad_value", "--%s %.40s: expected %s", what, text, expected);
}

int
parse_bytes(const char *text, const char *what, long long *ret, struct error *err)
{
	static const struct unit units[] = {{"", 1}, {"B", 1}, {"KiB", 1LL << 10},
	    {"MiB", 1LL << 20}, {"GiB", 1LL << 30}, {"TiB", 1LL << 40}, {NULL, 0}};
	return parse_unit(text, what, "a size such as 512MiB", units, ret, err);
}

int
parse_duration(const char *text, const char *what, long long *ret, struct error *err)
{
	static const struct unit units[] = {
	    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
	return parse_unit(text, what, "a duration such as 60s or 5m", units, ret, err);
}

int
parse_count(const char *text, const char *what, long long *ret, struct error *err)
{
	static const struct unit units[] = {{"", 1}, {NULL, 0}};
	return parse_unit(text, what, "a whole number above 0", units, ret, err);
}

int
parse_millis(const char *text, const char *what, long long *ret, struct error *err)
{
	long long whole, part = 0;
	const char *rest;
	bool good = digits(text, &whole, &rest) && whole <= 100000;
	if (good && *rest == '.') {
		const char *start = ++rest;
		good = digits(start, &part, &rest) && rest - start <= 3;
		for (long i = rest - start; good && i < 3; i++)
			part *= 10;
	}
	if (!good || *rest != 0 || whole * 1000 + part == 0)
		return error_set(err, EINVAL, "bad_value",
		    "--%s %.40s: expected a number of processors such as 1 or 0.5", what, text);
	*ret = whole * 1000 + part;
	return 0;
}
