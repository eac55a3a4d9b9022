/* Whether a rule and an action meet: SQL, statement by statement. */
#include <string.h>

#include "policy/match.h"
#include "policy/patterns.h"

/* Built-in functions that neither read files, settings or other sessions nor have an effect. */
static const char *const harmless_functions[] = {"abs", "age", "array_agg", "array_length", "avg",
    "bool_and", "bool_or", "btrim", "ceil", "ceiling", "char_length", "coalesce", "concat",
    "concat_ws", "count", "cume_dist", "current_date", "current_timestamp", "date_part",
    "date_trunc", "dense_rank", "extract", "first_value", "floor", "format", "generate_series",
    "greatest", "initcap", "json_agg", "json_build_object", "jsonb_agg", "jsonb_build_object",
    "lag", "last_value", "lead", "least", "left", "length", "lower", "lpad", "ltrim", "make_date",
    "max", "md5", "min", "mod", "now", "ntile", "nullif", "octet_length", "percent_rank",
    "percentile_cont", "percentile_disc", "position", "power", "rank", "regexp_replace", "repeat",
    "replace", "reverse", "right", "round", "row_number", "rpad", "rtrim", "sign", "split_part",
    "sqrt", "stddev", "strpos", "string_agg", "substr", "substring", "sum", "to_char", "to_date",
    "to_number", "to_timestamp", "trim", "trunc", "unnest", "upper", "variance"};

static bool
function_permitted(const struct rule *rule, const char *name)
{
	if (rule->functions.mode == LIST_ITEMS && list_has(&rule->functions, name, relation_match))
		return true;
	static const struct list harmless = CONST_LIST(harmless_functions);
	const char *bare = strncmp(name, "pg_catalog.", 11) == 0 ? name + 11 : name;
	return rule->functions.mode != LIST_NONE && list_has(&harmless, bare, text_same);
}

static bool
functions_permitted(const struct rule *rule, const struct json *functions)
{
	if (rule->functions.mode == LIST_ANY)
		return true;
	for (size_t i = 0; i < json_len(functions); i++) {
		const char *name = json_str(json_at(functions, i), NULL);
		if (name == NULL || !function_permitted(rule, name))
			return false;
	}
	return true;
}

static bool
column_match(const char *pattern, const char *column)
{
	const char *bare = strrchr(column, '.');
	if (strchr(pattern, '.') == NULL && bare != NULL)
		return glob_match(pattern, bare + 1);
	return relation_match(pattern, column);
}

static bool
changes_rows(const char *verb)
{
	return strcmp(verb, "update") == 0 || strcmp(verb, "delete") == 0;
}

static bool
statement_permitted(const struct rule *rule, const struct json *statement)
{
	const char *verb = json_get_str(statement, "verb", "");
	if (!list_permits(&rule->statements, verb, text_same) ||
	    !list_permits_all(&rule->tables, json_get(statement, "tables"), relation_match) ||
	    !functions_permitted(rule, json_get(statement, "functions")))
		return false;
	if (rule->columns.mode == LIST_ITEMS &&
	    !list_permits_all(&rule->columns, json_get(statement, "columns"), column_match))
		return false;
	bool where = json_get_bool(statement, "where", false);
	if (!changes_rows(verb))
		return rule->where != WHERE_MISSING;
	return rule->where == FIELD_UNSET || where == (rule->where == WHERE_REQUIRED);
}

static bool
rows_permitted(const struct rule *rule, const struct subject *s)
{
	/* A read is cut at the limit; a write is not performed at all. */
	return s->effect == EFFECT_READ || rule->limits.rows == FIELD_UNSET ||
	    s->rows_estimated < 0 || s->rows_estimated <= rule->limits.rows;
}

bool
sql_permits(const struct rule *rule, const struct subject *s)
{
	const struct json *statements = json_get(s->request, "statements");
	if (!list_permits(
		&rule->databases, json_get_str(s->request, "database", NULL), text_same) ||
	    json_len(statements) == 0 || !rows_permitted(rule, s))
		return false;
	for (size_t i = 0; i < json_len(statements); i++)
		if (!statement_permitted(rule, json_at(statements, i)))
			return false;
	return true;
}

static bool
statement_touched(const struct rule *rule, const struct json *statement)
{
	const char *verb = json_get_str(statement, "verb", NULL);
	if (!list_touches(&rule->statements, verb, text_equal_fold) ||
	    !list_touches_some(&rule->tables, json_get(statement, "tables"), relation_touch))
		return false;
	if (rule->columns.mode == LIST_ITEMS) {
		const struct json *columns = json_get(statement, "columns");
		if (json_len(columns) > 0 &&
		    !list_touches_some(&rule->columns, columns, relation_touch))
			return false;
	}
	if (rule->functions.mode == LIST_ITEMS &&
	    !list_touches_some(&rule->functions, json_get(statement, "functions"), relation_touch))
		return false;
	return rule->where != WHERE_MISSING ||
	    (verb != NULL && changes_rows(verb) && !json_get_bool(statement, "where", false));
}

bool
sql_touches(const struct rule *rule, const struct subject *s)
{
	const struct json *statements = json_get(s->request, "statements");
	if (!list_touches(
		&rule->databases, json_get_str(s->request, "database", NULL), text_equal_fold))
		return false;
	for (size_t i = 0; i < json_len(statements); i++)
		if (statement_touched(rule, json_at(statements, i)))
			return true;
	return json_len(statements) == 0;
}
