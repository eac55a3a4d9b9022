/* Actions at the edges of a rule, for comparing policies.
 *
 * Each field of a rule offers a few texts: one for each of its items (stars filled in), and one that
 * is none of them. An action takes one text of each field; two fields at a time are tried against
 * each other. Each action comes also as a risky one (many rows, first of its kind), since risk rules may tell them apart. */
#include "policy/witness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/arena.h"
#include "policy/network.h"

#define CHOICES_MAX 12
#define AXES_MAX 6

/* The texts that one field of an action may be; NULL is "leave it out". */
struct axis {
	const char *texts[CHOICES_MAX];
	size_t n;
};

struct walk {
	const struct rule *rule;
	struct arena arena;
	struct axis axes[AXES_MAX];
	size_t n_axes;
	size_t made;
	witness_fn *fn;
	void *data;
	bool failed;
};

static struct axis *
axis_add(struct axis *axis, const char *text)
{
	if (axis->n < CHOICES_MAX)
		axis->texts[axis->n++] = text;
	return axis;
}

/* PATTERN with its stars filled in. */
static const char *
fill(struct walk *w, const char *pattern)
{
	char *out = arena_alloc(&w->arena, strlen(pattern) * 4 + 1), *at = out;
	if (out == NULL) {
		w->failed = true;
		return "x";
	}
	for (const char *p = pattern; *p != 0; p++) {
		if (*p != '*') {
			*at++ = *p;
			continue;
		}
		bool deep = p[1] == '*';
		*at++ = 'x';
		if (deep) {
			/* Two levels: labels of a host, segments of a path. */
			*at++ = p[2] == '.' ? '.' : '/';
			*at++ = 'y';
			p++;
		}
	}
	return out;
}

/* A new axis: the items of LIST, then OUTSIDE, which is none of them. */
static struct axis *
add_axis(struct walk *w, const struct list *list, const char *outside)
{
	struct axis *axis = &w->axes[w->n_axes++];
	for (size_t i = 0; i < list->n && axis->n < CHOICES_MAX - 2; i++)
		axis_add(axis, fill(w, list->items[i]));
	axis_add(axis, outside);
	return axis;
}

/* ---- requests: one builder per kind; TEXTS has one choice per axis ---- */

static struct json *
one_text(const char *text)
{
	struct json *array = json_new_array();
	if (text != NULL)
		(void)json_push(array, json_new_string(text));
	return array;
}

static struct json *
build_exec(const char *const *texts)
{
	struct json *request = json_new_object(), *argv = json_new_array();
	const char *slash = strrchr(texts[0], '/');
	(void)json_push(argv, json_new_string(slash != NULL ? slash + 1 : texts[0]));
	for (size_t i = 1; i < 5; i++) {
		if (texts[i] == NULL)
			continue;
		/* "-n 5" is two arguments. */
		const char *blank = texts[i][0] == '-' ? strchr(texts[i], ' ') : NULL;
		size_t n = blank != NULL ? (size_t)(blank - texts[i]) : strlen(texts[i]);
		(void)json_push(argv, json_new_string_n(texts[i], n));
		if (blank != NULL)
			(void)json_push(argv, json_new_string(blank + 1));
	}
	(void)json_set_str(request, "program", texts[0]);
	(void)json_set_str(request, "resolved", texts[0]);
	(void)json_set(request, "argv", argv);
	(void)json_set(request, "env", one_text(texts[5]));
	return request;
}

static int64_t
some_port(const struct rule *rule, bool outside)
{
	if (rule->ports.mode != LIST_ITEMS)
		return outside                                               ? 4242
		    : rule->kind == ACTION_NET || rule_speaks(rule, "https") ? 443
									     : 80;
	return outside ? (rule->ports.items[0].low == 4242 ? 4243 : 4242)
		       : rule->ports.items[0].low;
}

static struct json *
build_net(const struct rule *rule, const char *const *texts)
{
	struct json *request = json_new_object();
	(void)json_set_str(request, "host", texts[0]);
	(void)json_set_int(request, "port", some_port(rule, texts[1] == NULL));
	(void)json_set_str(request, "protocol", "tcp");
	return request;
}

static struct json *
build_http(const struct rule *rule, const char *const *texts)
{
	struct json *request = build_net(rule, texts);
	struct json *headers = json_new_object();
	json_unset(request, "protocol");
	(void)json_set_str(request, "scheme", rule_speaks(rule, "https") ? "https" : "http");
	(void)json_set_str(request, "method", texts[2]);
	(void)json_set_str(request, "path", texts[3]);
	if (texts[4] != NULL)
		(void)json_set_str(headers, "content-type", texts[4]);
	if (texts[5] != NULL)
		(void)json_set_str(headers, texts[5], "x");
	(void)json_set(request, "headers", headers);
	(void)json_set_int(request, "body_bytes", texts[4] != NULL ? 100 : 0);
	return request;
}

static struct json *
build_sql(const char *const *texts)
{
	struct json *request = json_new_object(), *statement = json_new_object();
	(void)json_set_str(statement, "verb", texts[1]);
	(void)json_set(statement, "tables", one_text(texts[2]));
	(void)json_set(statement, "columns", one_text(texts[3]));
	(void)json_set(statement, "functions", one_text(texts[4]));
	(void)json_set_bool(statement, "where", texts[5] != NULL);
	struct json *statements = json_new_array();
	(void)json_push(statements, statement);
	(void)json_set_str(request, "database", texts[0]);
	(void)json_set_str(request, "text", "…");
	(void)json_set(request, "statements", statements);
	return request;
}

/* The argument values that RULE names first, or one that it does not. */
static struct json *
some_arguments(const struct rule *rule, bool outside)
{
	struct json *v = json_new_object();
	const struct argument *arguments = rule->arguments.items;
	for (size_t i = 0; i < rule->arguments.n; i++) {
		const struct argument *a = &arguments[i];
		bool number =
		    a->type == ARGUMENT_INTEGER || a->min != FIELD_UNSET || a->max != FIELD_UNSET;
		if (number)
			(void)json_set_int(v, rule->arguments.names[i],
			    a->min != FIELD_UNSET       ? a->min
				: a->max != FIELD_UNSET ? a->max
							: 1);
		else if (a->type == ARGUMENT_BOOLEAN)
			(void)json_set_bool(v, rule->arguments.names[i], true);
		else
			(void)json_set_str(v, rule->arguments.names[i],
			    a->values.n > 0 ? a->values.items[0] : "x");
	}
	if (outside)
		(void)json_set_str(v, "other-argument", "x");
	return v;
}

static struct json *
build_tool(const struct rule *rule, const char *const *texts)
{
	struct json *request = json_new_object();
	(void)json_set_str(request, "tool", texts[0]);
	(void)json_set(request, "arguments", some_arguments(rule, texts[1] == NULL));
	return request;
}

static struct json *
build_model(const struct rule *rule, const char *const *texts)
{
	struct json *request = json_new_object();
	int64_t most = rule->limits.tokens;
	(void)json_set_str(request, "provider", texts[0]);
	(void)json_set_str(request, "model", texts[1]);
	(void)json_set_int(request, "tokens",
	    most == FIELD_UNSET    ? 1000
		: texts[2] != NULL ? most
				   : most + 1);
	return request;
}

/* Axes that are never left out have a text; this says so to the analyzer. */
static const char *
text_or_x(const char *text)
{
	return text != NULL ? text : "x";
}

static struct json *
build_git(const struct rule *rule, const char *const *texts)
{
	const char *operation = text_or_x(texts[2]), *branch = text_or_x(texts[3]);
	struct json *request = json_new_object(), *refs = json_new_array(),
		    *ref = json_new_object();
	bool fetch = strcmp(operation, "fetch") == 0;
	char name[4200];
	(void)snprintf(name, sizeof(name), "%s%s",
	    strncmp(branch, "refs/", 5) == 0 ? "" : "refs/heads/", branch);
	(void)json_set_str(ref, "name", name);
	(void)json_set_bool(ref, "force", strcmp(operation, "force-push") == 0);
	(void)json_set_bool(ref, "delete", strcmp(operation, "delete") == 0);
	if (fetch)
		json_free(ref);
	else
		(void)json_push(refs, ref);
	(void)json_set_str(request, "host", texts[0]);
	(void)json_set_str(request, "repository", texts[1]);
	(void)json_set_str(request, "operation", fetch ? "fetch" : "push");
	(void)json_set_str(request, "scheme", rule_speaks(rule, "https") ? "https" : "http");
	(void)json_set_int(request, "port", some_port(rule, texts[4] == NULL));
	(void)json_set(request, "refs", refs);
	return request;
}

static struct json *
build_file(const struct rule *rule, const char *const *texts)
{
	struct json *request = json_new_object();
	int64_t most = rule->limits.bytes;
	(void)json_set_str(request, "operation", texts[0]);
	(void)json_set(request, "paths", one_text(texts[1]));
	(void)json_set_int(request, "bytes",
	    most == FIELD_UNSET    ? 1000
		: texts[2] != NULL ? most
				   : most + 1);
	return request;
}

static struct json *
build_request(const struct rule *rule, const char *const *texts)
{
	switch (rule->kind) {
	case ACTION_EXEC:
		return build_exec(texts);
	case ACTION_NET:
		return build_net(rule, texts);
	case ACTION_HTTP:
		return build_http(rule, texts);
	case ACTION_SQL:
		return build_sql(texts);
	case ACTION_TOOL:
		return build_tool(rule, texts);
	case ACTION_MODEL:
		return build_model(rule, texts);
	case ACTION_GIT:
		return build_git(rule, texts);
	case ACTION_FILE:
		return build_file(rule, texts);
	case ACTION_KINDS:
		break;
	}
	return NULL;
}

/* ---- axes ---- */

/* An axis of two: inside and outside. */
static void
add_switch(struct walk *w)
{
	struct axis *axis = &w->axes[w->n_axes++];
	axis_add(axis, "inside");
	axis_add(axis, NULL);
}

static void
add_axes(struct walk *w)
{
	static const struct list nothing = {.mode = LIST_ABSENT};
	const struct rule *r = w->rule;
	switch (r->kind) {
	case ACTION_EXEC:
		add_axis(w, &r->programs, "/usr/bin/other-program");
		axis_add(add_axis(w, &r->subcommands, NULL), "other-subcommand");
		axis_add(add_axis(w, &r->options, NULL), "--other-option");
		add_axis(w, &r->with_options, NULL);
		axis_add(add_axis(w, &r->operands, NULL), "other-operand");
		axis_add(add_axis(w, &r->env, NULL), "OTHER_VARIABLE");
		break;
	case ACTION_NET:
	case ACTION_HTTP:
		add_axis(w, &r->hosts, "other-host.example");
		add_switch(w);
		if (r->kind == ACTION_NET)
			break;
		add_axis(w, &r->methods, "OTHER");
		add_axis(w, &r->paths, "/other/path");
		axis_add(add_axis(w, &r->content_types, NULL), "application/other");
		axis_add(add_axis(w, &r->headers, NULL), "x-other-header");
		break;
	case ACTION_SQL:
		add_axis(w, &r->databases, "other-database");
		axis_add(add_axis(w, &r->statements, "select"), "delete");
		axis_add(add_axis(w, &r->tables, NULL), "other_table");
		axis_add(add_axis(w, &r->columns, NULL), "other_column");
		axis_add(add_axis(w, &r->functions, NULL), "other_function");
		add_switch(w);
		break;
	case ACTION_TOOL:
		add_axis(w, &r->tools, "other-tool");
		add_switch(w);
		break;
	case ACTION_MODEL:
		add_axis(w, &r->providers, "other-provider");
		add_axis(w, &r->models, "other-model");
		add_switch(w);
		break;
	case ACTION_GIT:
		add_axis(w, &r->hosts, "other-host.example");
		add_axis(w, &r->repositories, "other/repository");
		axis_add(axis_add(add_axis(w, &r->operations, "fetch"), "push"), "force-push");
		add_axis(w, &r->branches, "other-branch");
		add_switch(w);
		break;
	case ACTION_FILE:
		axis_add(add_axis(w, &r->operations, "commit"), "delete");
		add_axis(w, &r->paths, "other-path");
		add_switch(w);
		break;
	case ACTION_KINDS:
		break;
	}
	if (w->n_axes == 0)
		add_axis(w, &nothing, "x");
}

static const char *
effect_of(const struct rule *rule, const char *const *texts)
{
	if (rule->kind == ACTION_SQL)
		return strcmp(text_or_x(texts[1]), "select") == 0 ? "read" : "write";
	const char *what = text_or_x(texts[2]); /* method, operation */
	if (rule->kind == ACTION_HTTP || rule->kind == ACTION_GIT) {
		static const char *const reads[] = {"GET", "HEAD", "OPTIONS", "fetch"};
		for (size_t i = 0; i < ARRAY_LEN(reads); i++)
			if (strcmp(what, reads[i]) == 0)
				return "read";
		return "write";
	}
	return rule->kind == ACTION_MODEL ? "read" : "write";
}

static int
offer(struct walk *w, const char *const *texts, bool risky)
{
	_cleanup_json_ struct json *action = json_new_object();
	struct json *facts = json_new_object();
	if (risky) {
		(void)json_set_int(facts, "rows_estimated", 5000);
		(void)json_set_bool(facts, "first_seen", true);
	}
	(void)json_set_str(action, "kind", kind_names[w->rule->kind]);
	(void)json_set_str(action, "target", kind_names[w->rule->kind]);
	(void)json_set_str(action, "effect", effect_of(w->rule, texts));
	(void)json_set_bool(action, "reversible", w->rule->kind == ACTION_EXEC);
	(void)json_set(action, "facts", facts);
	if (json_set(action, "request", build_request(w->rule, texts)) < 0 || w->failed)
		return -ENOMEM;
	w->made++;
	return w->fn(action, w->rule, w->data);
}

/* Offers all actions that differ from the one at BASE in at most two axes. */
static int
offer_around(struct walk *w, const size_t *base, size_t most)
{
	for (size_t i = 0; i < w->n_axes; i++) {
		for (size_t j = i + 1; j < MAX(w->n_axes, i + 2); j++) {
			size_t others = j < w->n_axes ? w->axes[j].n : 1;
			for (size_t k = 0; k < w->axes[i].n * others; k++) {
				const char *texts[AXES_MAX] = {NULL};
				for (size_t axis = 0; axis < w->n_axes; axis++)
					texts[axis] = w->axes[axis].texts[base[axis]];
				texts[i] = w->axes[i].texts[k / others];
				if (j < w->n_axes)
					texts[j] = w->axes[j].texts[k % others];
				for (int risky = 0; risky < 2; risky++) {
					int r = w->made < most ? offer(w, texts, risky == 1) : 0;
					if (r < 0)
						return r;
				}
			}
		}
	}
	return 0;
}

/* Two bases: as little as can be (the witness that is easiest to read), and the first item of every
 * field. */
int
witness_rule(const struct rule *rule, size_t most, witness_fn *fn, void *data)
{
	struct walk w = {.rule = rule, .fn = fn, .data = data};
	arena_init(&w.arena, 1 << 20);
	add_axes(&w);
	size_t first[AXES_MAX] = {0}, least[AXES_MAX] = {0};
	for (size_t axis = 0; axis < w.n_axes; axis++)
		for (size_t i = 0; i < w.axes[axis].n; i++)
			if (w.axes[axis].texts[i] == NULL)
				least[axis] = i;
	int r = offer_around(&w, least, most / 2);
	if (r >= 0)
		r = offer_around(&w, first, most);
	arena_done(&w.arena);
	return r;
}
