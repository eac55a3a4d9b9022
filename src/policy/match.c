/* Whether a rule and an action meet: every kind but exec (match_exec.c). */
#include "policy/match.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/patterns.h"

bool
text_same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool
list_has(const struct list *list, const char *text, text_matcher *match)
{
	for (size_t i = 0; i < list->n; i++)
		if (match(list->items[i], text))
			return true;
	return false;
}

/* One text against a list: absent and `any` do not restrict, `none` matches nothing. */
static bool
one_permitted(const struct list *list, const char *text, text_matcher *match)
{
	if (list->mode == LIST_ABSENT || list->mode == LIST_ANY)
		return true;
	return list->mode == LIST_ITEMS && text != NULL && list_has(list, text, match);
}

static bool
one_touched(const struct list *list, const char *text, text_matcher *match)
{
	return list->mode != LIST_ITEMS || text == NULL || list_has(list, text, match);
}

/* Every text of a JSON array against a list. An array that is missing permits nothing. */
static bool
all_permitted(const struct list *list, const struct json *texts, text_matcher *match)
{
	if (list->mode == LIST_ABSENT || list->mode == LIST_ANY)
		return true;
	if (json_type(texts) != JSON_ARRAY)
		return false;
	for (size_t i = 0; i < json_len(texts); i++)
		if (!one_permitted(list, json_str(json_at(texts, i), NULL), match))
			return false;
	return true;
}

static bool
some_touched(const struct list *list, const struct json *texts, text_matcher *match)
{
	if (list->mode != LIST_ITEMS || json_type(texts) != JSON_ARRAY)
		return true;
	for (size_t i = 0; i < json_len(texts); i++)
		if (one_touched(list, json_str(json_at(texts, i), NULL), match))
			return true;
	return false;
}

/* VALUE within LIMIT; a limit that is set needs a value that is known. */
static bool
within(int64_t limit, int64_t value)
{
	return limit == FIELD_UNSET || (value >= 0 && value <= limit);
}

/* ---- net, http ---- */

static bool
port_listed(const struct ports *ports, int64_t port)
{
	for (size_t i = 0; i < ports->n; i++)
		if (port >= ports->items[i].low && port <= ports->items[i].high)
			return true;
	return false;
}

static bool
host_permitted(const struct rule *rule, const struct subject *s)
{
	if (!s->host_plain)
		return false;
	return one_permitted(&rule->hosts, s->host, host_match) ||
	    (rule->addresses.n > 0 && list_has(&rule->addresses, s->host, cidr_match));
}

static bool
host_touched(const struct rule *rule, const struct subject *s)
{
	if (s->host == NULL || (rule->hosts.mode != LIST_ITEMS && rule->addresses.n == 0))
		return true;
	/* An address in a roundabout spelling may be any host. */
	if (!s->host_plain && !host_is_plain(s->host) && strpbrk(s->host, "%:[]") != NULL)
		return true;
	return (rule->hosts.mode == LIST_ITEMS && list_has(&rule->hosts, s->host, host_touch)) ||
	    (rule->addresses.n > 0 && list_has(&rule->addresses, s->host, cidr_match));
}

static bool
net_permits(const struct rule *rule, const struct subject *s)
{
	return host_permitted(rule, s) &&
	    (rule->ports.mode == LIST_ANY || port_listed(&rule->ports, s->port)) &&
	    strcmp(json_get_str(s->request, "protocol", "tcp"), "tcp") == 0;
}

static bool
net_touches(const struct rule *rule, const struct subject *s)
{
	return host_touched(rule, s) &&
	    (rule->ports.mode != LIST_ITEMS || s->port < 1 || port_listed(&rule->ports, s->port));
}

/* The value of header NAME (any case), or NULL. */
static const char *
header(const struct json *request, const char *name)
{
	const struct json *headers = json_get(request, "headers");
	for (size_t i = 0; i < json_len(headers); i++)
		if (text_equal_fold(json_name_at(headers, i), name))
			return json_str(json_at(headers, i), "");
	return NULL;
}

static const char *const usual_headers[] = {"accept", "accept-*", "host", "user-agent",
    "connection", "cache-control", "pragma", "content-type", "content-length", "content-encoding",
    "transfer-encoding", "te", "trailer", "expect", "date", "range", "if-*", "origin", "referer",
    "priority", "upgrade-insecure-requests"};
/* What speaks for the agent where the gateway is to speak with its own credential. */
static const char *const credential_headers[] = {
    "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token"};

#define CONST_LIST(array)                                  \
	{                                                  \
		.mode = LIST_ITEMS, .n = ARRAY_LEN(array), \
		.items = (const char **)(uintptr_t)(array) \
	}

static bool
headers_permitted(const struct rule *rule, const struct json *request)
{
	static const struct list usual = CONST_LIST(usual_headers);
	static const struct list speaking = CONST_LIST(credential_headers);
	const struct json *headers = json_get(request, "headers");
	for (size_t i = 0; i < json_len(headers); i++) {
		const char *name = json_name_at(headers, i);
		bool listed = rule->headers.mode == LIST_ITEMS &&
		    list_has(&rule->headers, name, glob_match_fold);
		if (rule->credential != NULL && !listed &&
		    list_has(&speaking, name, glob_match_fold))
			return false;
		if (rule->headers.mode == LIST_ABSENT || rule->headers.mode == LIST_ANY || listed)
			continue;
		if (!list_has(&usual, name, glob_match_fold))
			return false;
	}
	return true;
}

/* The media type without its parameters, in RET. */
static const char *
media_type(const char *value, char *ret, size_t size)
{
	size_t n = strcspn(value, "; \t");
	if (n >= size)
		return "";
	memcpy(ret, value, n);
	ret[n] = 0;
	return ret;
}

static bool
body_permitted(const struct rule *rule, const struct json *request)
{
	char type[128];
	int64_t bytes = json_get_int(request, "body_bytes", 0);
	if (!within(rule->limits.body_bytes, bytes))
		return false;
	const char *value = header(request, "content-type");
	if (rule->content_types.mode != LIST_ITEMS || (value == NULL && bytes == 0))
		return true;
	return value != NULL &&
	    list_has(&rule->content_types, media_type(value, type, sizeof(type)), glob_match_fold);
}

static bool
scheme_permitted(const struct rule *rule, const char *scheme)
{
	if (rule->schemes.mode == LIST_ABSENT)
		return strcmp(scheme, "https") == 0;
	return list_has(&rule->schemes, scheme, text_same);
}

static bool
http_permits(const struct rule *rule, const struct subject *s)
{
	const char *scheme = json_get_str(s->request, "scheme", "");
	const char *path = json_get_str(s->request, "path", "");
	bool port = rule->ports.mode == LIST_ANY || port_listed(&rule->ports, s->port) ||
	    (rule->ports.mode == LIST_ABSENT &&
		s->port == (strcmp(scheme, "http") == 0 ? 80 : 443));
	if (!host_permitted(rule, s) || !port || !scheme_permitted(rule, scheme))
		return false;
	if (!one_permitted(&rule->methods, json_get_str(s->request, "method", NULL), text_same))
		return false;
	if (rule->paths.mode == LIST_ITEMS &&
	    (!url_path_is_plain(path) || !list_has(&rule->paths, path, path_match)))
		return false;
	return headers_permitted(rule, s->request) && body_permitted(rule, s->request);
}

static bool
path_touched(const struct list *paths, const char *path, bool plain)
{
	return paths->mode != LIST_ITEMS || path == NULL || !plain ||
	    list_has(paths, path, path_match);
}

static bool
http_touches(const struct rule *rule, const struct subject *s)
{
	const char *path = json_get_str(s->request, "path", NULL);
	if (!net_touches(rule, s) ||
	    !one_touched(
		&rule->schemes, json_get_str(s->request, "scheme", NULL), text_equal_fold) ||
	    !one_touched(
		&rule->methods, json_get_str(s->request, "method", NULL), text_equal_fold) ||
	    !path_touched(&rule->paths, path, path != NULL && url_path_is_plain(path)))
		return false;
	if (rule->headers.mode == LIST_ITEMS) {
		const struct json *headers = json_get(s->request, "headers");
		bool some = false;
		for (size_t i = 0; i < json_len(headers) && !some; i++)
			some = list_has(&rule->headers, json_name_at(headers, i), glob_match_fold);
		if (!some)
			return false;
	}
	char type[128];
	const char *value = header(s->request, "content-type");
	return rule->content_types.mode != LIST_ITEMS ||
	    (value == NULL ? json_get_int(s->request, "body_bytes", 1) != 0
			   : list_has(&rule->content_types, media_type(value, type, sizeof(type)),
				 glob_match_fold));
}

/* ---- sql ---- */

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
	if (!one_permitted(&rule->statements, verb, text_same) ||
	    !all_permitted(&rule->tables, json_get(statement, "tables"), relation_match) ||
	    !functions_permitted(rule, json_get(statement, "functions")))
		return false;
	if (rule->columns.mode == LIST_ITEMS &&
	    !all_permitted(&rule->columns, json_get(statement, "columns"), column_match))
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

static bool
sql_permits(const struct rule *rule, const struct subject *s)
{
	const struct json *statements = json_get(s->request, "statements");
	if (!one_permitted(
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
	if (!one_touched(&rule->statements, verb, text_equal_fold) ||
	    !some_touched(&rule->tables, json_get(statement, "tables"), relation_touch))
		return false;
	if (rule->columns.mode == LIST_ITEMS) {
		const struct json *columns = json_get(statement, "columns");
		if (json_len(columns) > 0 && !some_touched(&rule->columns, columns, relation_touch))
			return false;
	}
	if (rule->functions.mode == LIST_ITEMS &&
	    !some_touched(&rule->functions, json_get(statement, "functions"), relation_touch))
		return false;
	return rule->where != WHERE_MISSING ||
	    (verb != NULL && changes_rows(verb) && !json_get_bool(statement, "where", false));
}

static bool
sql_touches(const struct rule *rule, const struct subject *s)
{
	const struct json *statements = json_get(s->request, "statements");
	if (!one_touched(
		&rule->databases, json_get_str(s->request, "database", NULL), text_equal_fold))
		return false;
	for (size_t i = 0; i < json_len(statements); i++)
		if (statement_touched(rule, json_at(statements, i)))
			return true;
	return json_len(statements) == 0;
}

/* ---- tool ---- */

static bool
value_listed(const struct argument *a, const struct json *value)
{
	if (a->values.mode != LIST_ITEMS)
		return true;
	char digits[24];
	const char *text = json_str(value, NULL);
	if (json_type(value) == JSON_INT) {
		(void)snprintf(digits, sizeof(digits), "%lld", (long long)json_int(value, 0));
		text = digits;
	} else if (json_type(value) == JSON_BOOL) {
		text = json_bool(value, false) ? "true" : "false";
	}
	return text != NULL && list_has(&a->values, text, text_same);
}

static bool
argument_fits(const struct argument *a, const struct json *value)
{
	enum json_type type = json_type(value);
	if ((a->type == ARGUMENT_STRING && type != JSON_STRING) ||
	    (a->type == ARGUMENT_INTEGER && type != JSON_INT) ||
	    (a->type == ARGUMENT_BOOLEAN && type != JSON_BOOL) || !value_listed(a, value))
		return false;
	bool number = a->min != FIELD_UNSET || a->max != FIELD_UNSET;
	if (number &&
	    (type != JSON_INT || (a->min != FIELD_UNSET && json_int(value, -1) < a->min) ||
		(a->max != FIELD_UNSET && json_int(value, 0) > a->max)))
		return false;
	if (a->max_length != FIELD_UNSET &&
	    (type != JSON_STRING || (int64_t)json_str_len(value) > a->max_length))
		return false;
	return a->pattern == NULL ||
	    (type == JSON_STRING && strlen(json_str(value, "")) == json_str_len(value) &&
		glob_match(a->pattern, json_str(value, "")));
}

static const struct argument *
rule_argument(const struct rule *rule, const char *name)
{
	const struct argument *arguments = rule->arguments.items;
	for (size_t i = 0; i < rule->arguments.n; i++)
		if (strcmp(rule->arguments.names[i], name) == 0)
			return &arguments[i];
	return NULL;
}

static bool
tool_permits(const struct rule *rule, const struct subject *s)
{
	const struct json *given = json_get(s->request, "arguments");
	if (!one_permitted(&rule->tools, json_get_str(s->request, "tool", NULL), glob_match))
		return false;
	if (rule->arguments.items == NULL)
		return true;
	for (size_t i = 0; i < json_len(given); i++) {
		const struct argument *a = rule_argument(rule, json_name_at(given, i));
		if (a == NULL || !argument_fits(a, json_at(given, i)))
			return false;
	}
	const struct argument *arguments = rule->arguments.items;
	for (size_t i = 0; i < rule->arguments.n; i++)
		if (arguments[i].required == 1 && json_get(given, rule->arguments.names[i]) == NULL)
			return false;
	return true;
}

/* An argument of another type than the rule expects may mean what the rule means. */
static bool
argument_touched(const struct argument *a, const struct json *value)
{
	static const enum json_type types[] = {JSON_STRING, JSON_INT, JSON_BOOL};
	bool expected =
	    a->type == FIELD_UNSET || a->type == ARGUMENT_ANY || json_type(value) == types[a->type];
	bool number = a->min != FIELD_UNSET || a->max != FIELD_UNSET;
	return !expected || (number && json_type(value) != JSON_INT) || argument_fits(a, value);
}

static bool
tool_touches(const struct rule *rule, const struct subject *s)
{
	const struct json *given = json_get(s->request, "arguments");
	if (!one_touched(&rule->tools, json_get_str(s->request, "tool", NULL), glob_match_fold))
		return false;
	const struct argument *arguments = rule->arguments.items;
	for (size_t i = 0; i < rule->arguments.n; i++) {
		const struct json *value = json_get(given, rule->arguments.names[i]);
		if (value == NULL || !argument_touched(&arguments[i], value))
			return false;
	}
	return true;
}

/* ---- model ---- */

static bool
model_permits(const struct rule *rule, const struct subject *s)
{
	return one_permitted(
		   &rule->providers, json_get_str(s->request, "provider", NULL), text_same) &&
	    one_permitted(&rule->models, json_get_str(s->request, "model", NULL), glob_match) &&
	    within(rule->limits.tokens, json_get_int(s->request, "tokens", -1));
}

static bool
model_touches(const struct rule *rule, const struct subject *s)
{
	return one_touched(
		   &rule->providers, json_get_str(s->request, "provider", NULL), text_equal_fold) &&
	    one_touched(&rule->models, json_get_str(s->request, "model", NULL), glob_match_fold);
}

/* ---- git ---- */

/* "main" means refs/heads/main; a pattern that begins with refs/ means itself. */
static bool
branch_match(const char *pattern, const char *ref)
{
	if (strncmp(pattern, "refs/", 5) != 0 && strncmp(ref, "refs/heads/", 11) == 0)
		ref += 11;
	return path_is_plain(ref) && path_match(pattern, ref);
}

static bool
branch_touch(const char *pattern, const char *ref)
{
	return !path_is_plain(ref) || branch_match(pattern, ref);
}

/* The operation that changing REF needs beside push, or NULL. */
static const char *
ref_operation(const struct json *ref)
{
	return json_get_bool(ref, "delete", false) ? "delete"
	    : json_get_bool(ref, "force", false)   ? "force-push"
						   : NULL;
}

static bool
git_permits(const struct rule *rule, const struct subject *s)
{
	const struct json *refs = json_get(s->request, "refs");
	const char *repository = json_get_str(s->request, "repository", NULL);
	const char *operation = json_get_str(s->request, "operation", NULL);
	if (!host_permitted(rule, s) || repository == NULL || operation == NULL ||
	    !one_permitted(&rule->operations, operation, text_same))
		return false;
	if (rule->repositories.mode == LIST_ITEMS &&
	    (!path_is_plain(repository) || !list_has(&rule->repositories, repository, path_match)))
		return false;
	bool push = strcmp(operation, "fetch") != 0;
	if (push && rule->branches.mode == LIST_ITEMS && json_len(refs) == 0)
		return false;
	for (size_t i = 0; push && i < json_len(refs); i++) {
		const struct json *ref = json_at(refs, i);
		const char *more = ref_operation(ref);
		if ((more != NULL && !one_permitted(&rule->operations, more, text_same)) ||
		    !one_permitted(&rule->branches, json_get_str(ref, "name", NULL), branch_match))
			return false;
	}
	return true;
}

static bool
ref_touched(const struct rule *rule, const struct json *ref, const char *operation)
{
	const char *more = ref_operation(ref);
	return (one_touched(&rule->operations, operation, text_same) ||
		   (more != NULL && one_touched(&rule->operations, more, text_same))) &&
	    one_touched(&rule->branches, json_get_str(ref, "name", NULL), branch_touch);
}

static bool
git_touches(const struct rule *rule, const struct subject *s)
{
	const struct json *refs = json_get(s->request, "refs");
	const char *repository = json_get_str(s->request, "repository", NULL);
	const char *operation = json_get_str(s->request, "operation", NULL);
	if (!host_touched(rule, s) ||
	    !path_touched(
		&rule->repositories, repository, repository != NULL && path_is_plain(repository)))
		return false;
	for (size_t i = 0; i < json_len(refs); i++)
		if (ref_touched(rule, json_at(refs, i), operation))
			return true;
	return json_len(refs) == 0 && one_touched(&rule->operations, operation, text_same);
}

/* ---- file ---- */

static bool
file_permits(const struct rule *rule, const struct subject *s)
{
	const struct json *paths = json_get(s->request, "paths");
	if (!one_permitted(
		&rule->operations, json_get_str(s->request, "operation", NULL), text_same) ||
	    !within(rule->limits.bytes,
		json_get_int(s->request, "bytes", rule->limits.bytes == FIELD_UNSET ? 0 : -1)))
		return false;
	for (size_t i = 0; i < json_len(paths); i++) {
		const char *path = json_str(json_at(paths, i), NULL);
		if (path == NULL || !path_is_plain(path) ||
		    !one_permitted(&rule->paths, path, path_match))
			return false;
	}
	return true;
}

static bool
file_touches(const struct rule *rule, const struct subject *s)
{
	const struct json *paths = json_get(s->request, "paths");
	if (!one_touched(
		&rule->operations, json_get_str(s->request, "operation", NULL), text_equal_fold))
		return false;
	for (size_t i = 0; i < json_len(paths); i++) {
		const char *path = json_str(json_at(paths, i), NULL);
		if (path_touched(&rule->paths, path, path != NULL && path_is_plain(path)))
			return true;
	}
	return json_len(paths) == 0;
}

/* ---- all kinds ---- */

struct matcher {
	bool (*permits)(const struct rule *rule, const struct subject *s);
	bool (*touches)(const struct rule *rule, const struct subject *s);
};

static const struct matcher matchers[ACTION_KINDS] = {
    [ACTION_EXEC] = {exec_permits, exec_touches},
    [ACTION_NET] = {net_permits, net_touches},
    [ACTION_HTTP] = {http_permits, http_touches},
    [ACTION_SQL] = {sql_permits, sql_touches},
    [ACTION_TOOL] = {tool_permits, tool_touches},
    [ACTION_MODEL] = {model_permits, model_touches},
    [ACTION_GIT] = {git_permits, git_touches},
    [ACTION_FILE] = {file_permits, file_touches},
};

bool
rule_permits(const struct rule *rule, const struct subject *s)
{
	return rule->kind == s->kind && matchers[rule->kind].permits(rule, s);
}

bool
rule_touches(const struct rule *rule, const struct subject *s)
{
	return rule->kind == s->kind && matchers[rule->kind].touches(rule, s);
}
