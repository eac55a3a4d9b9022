/* Whether a rule and an action meet: what all kinds share, and the small kinds (tool, model, file). */
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
bool
list_permits(const struct list *list, const char *text, text_matcher *match)
{
	if (list->mode == LIST_ABSENT || list->mode == LIST_ANY)
		return true;
	return list->mode == LIST_ITEMS && text != NULL && list_has(list, text, match);
}

bool
list_touches(const struct list *list, const char *text, text_matcher *match)
{
	return list->mode != LIST_ITEMS || text == NULL || list_has(list, text, match);
}

/* Every text of a JSON array against a list. An array that is missing permits nothing. */
bool
list_permits_all(const struct list *list, const struct json *texts, text_matcher *match)
{
	if (list->mode == LIST_ABSENT || list->mode == LIST_ANY)
		return true;
	if (json_type(texts) != JSON_ARRAY)
		return false;
	for (size_t i = 0; i < json_len(texts); i++)
		if (!list_permits(list, json_str(json_at(texts, i), NULL), match))
			return false;
	return true;
}

bool
list_touches_some(const struct list *list, const struct json *texts, text_matcher *match)
{
	if (list->mode != LIST_ITEMS || json_type(texts) != JSON_ARRAY)
		return true;
	for (size_t i = 0; i < json_len(texts); i++)
		if (list_touches(list, json_str(json_at(texts, i), NULL), match))
			return true;
	return false;
}

/* VALUE within LIMIT; a limit that is set needs a value that is known. */
bool
limit_holds(int64_t limit, int64_t value)
{
	return limit == FIELD_UNSET || (value >= 0 && value <= limit);
}

bool
path_touched(const struct list *paths, const char *path, bool plain)
{
	return paths->mode != LIST_ITEMS || path == NULL || !plain ||
	    list_has(paths, path, path_match);
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
	if (!list_permits(&rule->tools, json_get_str(s->request, "tool", NULL), glob_match))
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
	if (!list_touches(&rule->tools, json_get_str(s->request, "tool", NULL), glob_match_fold))
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
	return list_permits(
		   &rule->providers, json_get_str(s->request, "provider", NULL), text_same) &&
	    list_permits(&rule->models, json_get_str(s->request, "model", NULL), glob_match) &&
	    limit_holds(rule->limits.tokens, json_get_int(s->request, "tokens", -1));
}

static bool
model_touches(const struct rule *rule, const struct subject *s)
{
	return list_touches(
		   &rule->providers, json_get_str(s->request, "provider", NULL), text_equal_fold) &&
	    list_touches(&rule->models, json_get_str(s->request, "model", NULL), glob_match_fold);
}

/* ---- file ---- */

static bool
file_permits(const struct rule *rule, const struct subject *s)
{
	const struct json *paths = json_get(s->request, "paths");
	if (!list_permits(
		&rule->operations, json_get_str(s->request, "operation", NULL), text_same) ||
	    !limit_holds(rule->limits.bytes,
		json_get_int(s->request, "bytes", rule->limits.bytes == FIELD_UNSET ? 0 : -1)))
		return false;
	if (!s->paths_known && rule->paths.mode == LIST_ITEMS)
		return false;
	for (size_t i = 0; i < json_len(paths); i++) {
		const char *path = json_str(json_at(paths, i), NULL);
		if (path == NULL || !path_is_plain(path) ||
		    !list_permits(&rule->paths, path, path_match))
			return false;
	}
	return true;
}

static bool
file_touches(const struct rule *rule, const struct subject *s)
{
	const struct json *paths = json_get(s->request, "paths");
	if (!list_touches(
		&rule->operations, json_get_str(s->request, "operation", NULL), text_equal_fold))
		return false;
	for (size_t i = 0; i < json_len(paths); i++) {
		const char *path = json_str(json_at(paths, i), NULL);
		if (path_touched(&rule->paths, path, path != NULL && path_is_plain(path)))
			return true;
	}
	return json_len(paths) == 0 || !s->paths_known;
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
