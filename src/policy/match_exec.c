/* Exec rules: programs and their arguments.
 *
 * What an argument means is the program's affair, and a rule can only bound its text. Three habits
 * keep that honest. An option that is not listed is refused, wherever it stands, so that `git -c
 * core.pager=id log` is not a `git log`. Before the subcommand an option must be listed by name,
 * even under `options: any`, since one that takes a value would shift what the subcommand is. A
 * deny rule looks at every argument as every thing that it might be. */
#include <string.h>

#include "policy/match.h"
#include "policy/patterns.h"

/* Variables that only say how to show text; everything else can change what a program does. */
static const char *const harmless_env[] = {
    "LANG", "LANGUAGE", "LC_*", "TERM", "TZ", "COLUMNS", "LINES", "NO_COLOR", "COLORTERM"};

const char *
exec_fold_path(const char *path)
{
	static const char *const merged[] = {"/usr/bin/", "/usr/sbin/", "/usr/lib"};
	for (size_t i = 0; i < ARRAY_LEN(merged); i++)
		if (strncmp(path, merged[i], strlen(merged[i])) == 0)
			return path + 4;
	return path;
}

static bool
same_program(const char *pattern, const char *program)
{
	pattern = exec_fold_path(pattern);
	program = exec_fold_path(program);
	return strchr(pattern, '*') != NULL ? path_match(pattern, program)
					    : strcmp(pattern, program) == 0;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash != NULL ? slash + 1 : path;
}

static bool
operand_match(const char *pattern, const char *operand)
{
	return path_match(pattern, operand);
}

/* An operand that no pattern may vouch for. */
static bool
operand_is_plain(const char *operand)
{
	if (strchr(operand, '/') == NULL && strcmp(operand, "..") != 0) {
		for (const char *p = operand; *p != 0; p++)
			if ((unsigned char)*p < 0x20 || *p == 0x7f)
				return false;
		return true;
	}
	return path_is_plain(operand);
}

/* ---- permit ---- */

/* Whether option ARG is listed. One written "-n *" takes the next argument, NEXT, which must match;
 * *RET_TAKES says that it did. */
static bool
option_listed(const struct list *options, const char *arg, const char *next, bool *ret_takes)
{
	*ret_takes = false;
	for (size_t i = 0; i < options->n; i++) {
		const char *pattern = options->items[i];
		const char *blank = strchr(pattern, ' ');
		if (blank == NULL) {
			if (glob_match(pattern, arg))
				return true;
			continue;
		}
		size_t n = (size_t)(blank - pattern);
		if (strlen(arg) != n || strncmp(arg, pattern, n) != 0 || next == NULL)
			continue;
		if (operand_is_plain(next) && glob_match(blank + 1, next)) {
			*ret_takes = true;
			return true;
		}
	}
	return false;
}

/* Whether ARG is a cluster of listed one-letter flags: -al for -a and -l. */
static bool
cluster_listed(const struct list *options, const char *arg)
{
	if (arg[1] == '-' || arg[2] == 0)
		return false;
	for (const char *letter = arg + 1; *letter != 0; letter++) {
		const char flag[] = {'-', *letter, 0};
		if (!list_has(options, flag, text_same))
			return false;
	}
	return true;
}

struct walk {
	const struct rule *rule;
	bool named;   /* the subcommand has been seen, or the rule has none */
	bool literal; /* after "--": no more options */
	bool with;    /* an option of with_options has been seen, or the rule has none */
};

static bool
option_permitted(struct walk *w, const char *arg, const char *next, bool *ret_takes)
{
	const struct list *options = &w->rule->options;
	if (option_listed(&w->rule->with_options, arg, next, ret_takes))
		return w->with = true;
	if (options->mode == LIST_ANY)
		return w->named;
	if (options->mode != LIST_ITEMS)
		return false;
	return option_listed(options, arg, next, ret_takes) || cluster_listed(options, arg);
}

static bool
operand_permitted(struct walk *w, const char *arg)
{
	const struct rule *rule = w->rule;
	if (!w->named) {
		if (w->literal)
			return false;
		w->named = true;
		return rule->subcommands.mode == LIST_ANY ||
		    list_has(&rule->subcommands, arg, text_same);
	}
	if (rule->operands.mode == LIST_ANY)
		return true;
	return rule->operands.mode == LIST_ITEMS && operand_is_plain(arg) &&
	    list_has(&rule->operands, arg, operand_match);
}

static bool
arguments_permitted(const struct rule *rule, const struct subject *s)
{
	struct walk w = {.rule = rule,
	    .named = rule->subcommands.mode == LIST_ABSENT,
	    .with = rule->with_options.mode == LIST_ABSENT};
	for (size_t i = 1; i < s->n_args; i++) {
		const char *arg = subject_arg(s, i);
		if (!w.literal && strcmp(arg, "--") == 0) {
			w.literal = true;
			continue;
		}
		bool takes = false;
		bool option = !w.literal && arg[0] == '-' && arg[1] != 0;
		const char *next = subject_arg(s, i + 1);
		if (!(option ? option_permitted(&w, arg, next, &takes)
			     : operand_permitted(&w, arg)))
			return false;
		i += takes;
	}
	return w.with && (w.named || rule->subcommands.mode == LIST_ANY);
}

static bool
env_permitted(const struct rule *rule, const struct json *env)
{
	/* A rule that bounds arguments bounds the environment too, or GIT_PAGER would do what -c may not. */
	enum list_mode mode = rule->env.mode;
	if (mode == LIST_ANY || (mode == LIST_ABSENT && !rule->bounds_argv))
		return true;
	static const struct list harmless = CONST_LIST(harmless_env);
	for (size_t i = 0; i < json_len(env); i++) {
		const char *name = json_str(json_at(env, i), NULL);
		if (name == NULL)
			return false;
		if (!list_has(&harmless, name, glob_match) &&
		    (mode != LIST_ITEMS || !list_has(&rule->env, name, glob_match)))
			return false;
	}
	return true;
}

bool
exec_permits(const struct rule *rule, const struct subject *s)
{
	if (rule->programs.mode == LIST_ITEMS) {
		/* argv[0] is what a program of many names goes by (busybox), so it must be the file's. */
		const char *called = subject_arg(s, 0);
		if (!list_has(&rule->programs, s->program, text_same) || called == NULL ||
		    strcmp(base_name(called), base_name(s->program)) != 0)
			return false;
	}
	if (!env_permitted(rule, s->env))
		return false;
	return !rule->bounds_argv || arguments_permitted(rule, s);
}

/* ---- touch ---- */

/* Whether ARG may be what PATTERN means: itself, with a value, as an abbreviation of a long option
 * (getopt_long(3)), or inside a cluster of short ones. */
static bool
option_touched(const char *pattern, const char *arg)
{
	size_t name = strcspn(pattern, " =");
	if (arg[0] != '-' || arg[1] == 0)
		return false;
	if (glob_match(pattern, arg))
		return true;
	if (pattern[1] == '-') {
		size_t given = strcspn(arg, "=");
		return arg[1] == '-' && given > 2 && given <= name &&
		    strncmp(pattern, arg, given) == 0;
	}
	/* -c: -c, -cVALUE, -xc. A single-dash word such as -exec is compared whole, and by prefix. */
	if (name == 2)
		return arg[1] != '-' && strchr(arg + 1, pattern[1]) != NULL;
	return strncmp(pattern, arg, name) == 0 || strncmp(pattern, arg + 1, name) == 0;
}

/* An argument may be an operand, or carry one behind its '='. */
static bool
operand_touched(const char *pattern, const char *arg)
{
	const char *value = strchr(arg, '=');
	if (path_match(pattern, arg) || (value != NULL && path_match(pattern, value + 1)))
		return true;
	/* A path in a roundabout spelling may be any path. */
	return strchr(arg, '/') != NULL && !path_is_plain(arg) && strchr(pattern, '/') != NULL;
}

static bool
some_argument(const struct list *list, const struct subject *s, text_matcher *match)
{
	if (list->mode != LIST_ITEMS)
		return true;
	for (size_t i = 1; i < s->n_args; i++)
		if (list_has(list, subject_arg(s, i), match))
			return true;
	return false;
}

static bool
env_touched(const struct list *list, const struct json *env)
{
	if (list->mode != LIST_ITEMS)
		return true;
	for (size_t i = 0; i < json_len(env); i++)
		if (list_has(list, json_str(json_at(env, i), ""), glob_match))
			return true;
	return false;
}

bool
exec_touches(const struct rule *rule, const struct subject *s)
{
	if (rule->programs.mode == LIST_ITEMS &&
	    !list_has(&rule->programs, s->program, same_program) &&
	    !(s->resolved != NULL && list_has(&rule->programs, s->resolved, same_program)))
		return false;
	return some_argument(&rule->subcommands, s, text_same) &&
	    some_argument(&rule->options, s, option_touched) &&
	    some_argument(&rule->with_options, s, option_touched) &&
	    some_argument(&rule->operands, s, operand_touched) && env_touched(&rule->env, s->env);
}
