/* Whether a rule and an action meet. Internal to this layer.
 *
 * There are two questions. *Permit* (allow and review rules): is every part of the action within the
 * rule? *Touch* (deny rules, and review rules when they tighten an allow): is any part of the action
 * what the rule means? Doubt answers no to the first and yes to the second. */
#pragma once

#include "policy/model.h"

#define SUBJECT_KEYS 2
#define SUBJECT_ARGS 64 /* arguments that are looked up once; those behind them each time */

/* An action, read once. Everything is borrowed from it. */
struct subject {
	const struct json *action, *request;
	enum action_kind kind;
	enum action_effect effect;
	bool opaque, reversible;
	/* risk */
	int64_t rows_estimated, table_rows; /* -1: not known */
	bool first_seen, burst, outside_hours, recursive;
	/* file: a record may name only the first of many changes */
	bool paths_known;
	/* exec */
	const char *program, *resolved;
	const struct json *argv, *env;
	const char *args[SUBJECT_ARGS];
	size_t n_args; /* all of argv, also beyond SUBJECT_ARGS */
	/* net, http, git */
	const char *host;
	bool host_plain;
	int64_t port;
	/* where the index looks; none: everywhere */
	uint32_t keys[SUBJECT_KEYS];
	size_t n_keys;
};

/* Reads ACTION. 0, or -EINVAL with a reason in WHY if it is not an action that can be decided. */
int subject_read(struct subject *s, const struct json *action, char *why, size_t why_size)
    MUST_CHECK;

bool rule_permits(const struct rule *rule, const struct subject *s);
bool rule_touches(const struct rule *rule, const struct subject *s);

/* One pair per kind that has a file of its own. */
bool exec_permits(const struct rule *rule, const struct subject *s);
bool exec_touches(const struct rule *rule, const struct subject *s);
/* Whether the host of S is one of RULE's, for sure or in some reading (net, http and git rules). */
bool host_permitted(const struct rule *rule, const struct subject *s);
bool host_touched(const struct rule *rule, const struct subject *s);
bool net_permits(const struct rule *rule, const struct subject *s);
bool net_touches(const struct rule *rule, const struct subject *s);
bool http_permits(const struct rule *rule, const struct subject *s);
bool http_touches(const struct rule *rule, const struct subject *s);
bool git_permits(const struct rule *rule, const struct subject *s);
bool git_touches(const struct rule *rule, const struct subject *s);
bool sql_permits(const struct rule *rule, const struct subject *s);
bool sql_touches(const struct rule *rule, const struct subject *s);

/* PATH without the part that a merged /usr makes ambiguous: /usr/bin/x is /bin/x. */
const char *exec_fold_path(const char *path);

/* Argument I (argv[0] included), or NULL past the end. */
static inline const char *
subject_arg(const struct subject *s, size_t i)
{
	if (i >= s->n_args)
		return NULL;
	return i < SUBJECT_ARGS ? s->args[i] : json_str(json_at(s->argv, i), NULL);
}

/* Helpers for all kinds. A matcher is one of policy/patterns.h. */
typedef bool text_matcher(const char *pattern, const char *text);
bool list_has(const struct list *list, const char *text, text_matcher *match);
bool text_same(const char *a, const char *b);
/* TEXT (NULL: missing) against LIST: absent and `any` do not restrict; `none` permits nothing. */
bool list_permits(const struct list *list, const char *text, text_matcher *match);
bool list_touches(const struct list *list, const char *text, text_matcher *match);
/* Every, or some, text of a JSON array against LIST. A missing array permits nothing and may be all. */
bool list_permits_all(const struct list *list, const struct json *texts, text_matcher *match);
bool list_touches_some(const struct list *list, const struct json *texts, text_matcher *match);
/* VALUE within LIMIT; a limit that is set needs a value that is known (not negative). */
bool limit_holds(int64_t limit, int64_t value);
/* PATH (NULL: missing) against PATHS; one that is not plain may be any path. */
bool path_touched(const struct list *paths, const char *path, bool plain);

/* A struct list over a constant array of texts. */
#define CONST_LIST(array)                                  \
	{                                                  \
		.mode = LIST_ITEMS, .n = ARRAY_LEN(array), \
		.items = (const char **)(uintptr_t)(array) \
	}
