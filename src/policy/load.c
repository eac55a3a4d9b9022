/* Loading: text → tree → structs (by the field tables) → checks that need more than one field →
 * indexes → the file's own tests. Any failure frees the whole arena; there is no half-loaded policy. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "policy/example.h"
#include "policy/index.h"

#define ARENA_BYTES_MAX (64u << 20)
#define TIMEOUT_MS_DEFAULT (15 * 60 * 1000)

static const char *const default_approvals[] = {"operator"};

/* ---- rules ---- */

static int
set_effect(const struct field_reader *rd, struct rule *rule)
{
	const struct {
		int64_t kind;
		enum verdict effect;
	} written[] = {{rule->allow, VERDICT_ALLOW}, {rule->review, VERDICT_REVIEW},
	    {rule->deny, VERDICT_DENY}};
	unsigned n = 0;
	for (size_t i = 0; i < ARRAY_LEN(written); i++) {
		if (written[i].kind == FIELD_UNSET)
			continue;
		rule->kind = (enum action_kind)written[i].kind;
		rule->effect = written[i].effect;
		n++;
	}
	if (n == 1)
		return 0;
	return field_error(rd, rule->node,
	    "%s: expected one of \"allow: KIND\", \"review: KIND\" and "
	    "\"deny: KIND\"",
	    n == 0 ? "says nothing" : "says two things");
}

/* What the flags of the table ask, given what the rule does. */
static int
check_flags(struct field_reader *rd, const struct rule *rule)
{
	for (const struct shape *shape = rule_shape(rule->kind); shape != NULL;
	     shape = shape->base) {
		for (const struct field *f = shape->fields; f->name != NULL; f++) {
			const struct node *at = tree_get(rule->node, f->name);
			if (at == NULL && (f->flags & FIELD_IF_PERMIT) != 0 &&
			    rule->effect != VERDICT_DENY)
				return field_error(
				    rd, rule->node, "\"%s\" is missing: %s", f->name, f->doc);
			if (at != NULL && (f->flags & FIELD_NOT_DENY) != 0 &&
			    rule->effect == VERDICT_DENY)
				return field_error(
				    rd, at, "%s: has no meaning in a deny rule", f->name);
			if (at != NULL && (f->flags & FIELD_ONLY_REVIEW) != 0 &&
			    rule->effect != VERDICT_REVIEW)
				return field_error(
				    rd, at, "%s: has a meaning only in a review rule", f->name);
			if (at != NULL && f->type == FIELD_LIST && rule->effect == VERDICT_DENY &&
			    at->type == NODE_SCALAR && strcmp(at->text, "none") == 0)
				return field_error(
				    rd, at, "%s: \"none\" has no meaning in a deny rule", f->name);
		}
	}
	return 0;
}

static int
check_exec(struct field_reader *rd, struct rule *rule)
{
	/* Options of git that take the next argument; listed as a flag, one would shift the subcommand. */
	static const char *const git_values[] = {"-C", "-c", "--git-dir", "--work-tree",
	    "--namespace", "--config-env", "--super-prefix", "--attr-source", "--list-cmds"};
	const struct node *programs = tree_get(rule->node, "program");
	for (size_t i = 0; i < rule->programs.n; i++)
		if (strchr(rule->programs.items[i], '*') != NULL && rule->effect != VERDICT_DENY)
			return field_error(rd, programs,
			    "program: \"%.100s\": a pattern may stand only in a deny "
			    "rule; name the programs",
			    rule->programs.items[i]);
	rule->bounds_argv = rule->subcommands.mode != LIST_ABSENT ||
	    rule->options.mode != LIST_ABSENT || rule->operands.mode != LIST_ABSENT ||
	    rule->with_options.mode != LIST_ABSENT;
	bool git = false;
	for (size_t i = 0; i < rule->programs.n; i++) {
		const char *slash = strrchr(rule->programs.items[i], '/');
		git = git || (slash != NULL && strcmp(slash, "/git") == 0);
	}
	for (size_t i = 0; git && rule->effect != VERDICT_DENY && i < rule->options.n; i++)
		for (size_t k = 0; k < ARRAY_LEN(git_values); k++)
			if (strcmp(rule->options.items[i], git_values[k]) == 0)
				return field_error(rd, tree_get(rule->node, "options"),
				    "options[%zu]: git's %s takes "
				    "a value, so it is written with its pattern: \"%s VALUE\"",
				    i, git_values[k], git_values[k]);
	return 0;
}

static int
check_kind(struct field_reader *rd, struct rule *rule)
{
	if (rule->kind == ACTION_EXEC)
		return check_exec(rd, rule);
	if (rule->kind == ACTION_SQL && rule->where == WHERE_REQUIRED &&
	    rule->effect == VERDICT_DENY)
		return field_error(rd, tree_get(rule->node, "where"),
		    "where: in a deny rule expected \"missing\"");
	if (rule->kind == ACTION_SQL && rule->where == WHERE_MISSING &&
	    rule->effect == VERDICT_ALLOW)
		return field_error(rd, tree_get(rule->node, "where"),
		    "where: in an allow rule expected \"required\"");
	if (rule->kind == ACTION_TOOL && rule->arguments.n > 0) {
		const struct argument *arguments = rule->arguments.items;
		for (size_t i = 0; i < rule->arguments.n; i++)
			if (arguments[i].max != FIELD_UNSET && arguments[i].min > arguments[i].max)
				return field_error(rd, tree_get(rule->node, "arguments"),
				    "arguments.%.40s: min is "
				    "above max",
				    rule->arguments.names[i]);
	}
	return 0;
}

static int
check_approvals(
    const struct field_reader *rd, const struct node *node, const struct list *approvals)
{
	if (approvals->n > APPROVALS_MAX)
		return field_error(
		    rd, node, "approvals: too many roles (%d at most)", APPROVALS_MAX);
	for (size_t i = 0; i < approvals->n; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(approvals->items[i], approvals->items[k]) == 0)
				return field_error(rd, node, "approvals: \"%s\" stands twice",
				    approvals->items[i]);
	return 0;
}

static void
set_terms(const struct policy *policy, struct rule *rule)
{
	rule->terms = policy->review_terms;
	if (rule->approvals.mode == LIST_ITEMS) {
		rule->terms.approvals = rule->approvals.items;
		rule->terms.n_approvals = rule->approvals.n;
	}
	if (rule->timeout_ms != FIELD_UNSET)
		rule->terms.timeout_ms = rule->timeout_ms;
}

static int
compile_rule(struct field_reader *rd, struct policy *policy, struct rule *rule)
{
	int r = set_effect(rd, rule);
	if (r == 0)
		r = check_flags(rd, rule);
	if (r == 0)
		r = check_kind(rd, rule);
	if (r == 0)
		r = check_approvals(rd, tree_get(rule->node, "approvals"), &rule->approvals);
	if (r == 0)
		set_terms(policy, rule);
	return r;
}

static int
compare_names(const void *a, const void *b)
{
	const struct rule *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

/* Names are how decisions are told apart. */
static int
check_names(struct field_reader *rd, struct policy *policy)
{
	const struct rule **sorted = arena_array(&policy->arena, policy->n_rules, sizeof(*sorted));
	if (sorted == NULL)
		return error_set(rd->err, ENOMEM, "out_of_memory", "%s: out of memory", rd->file);
	for (size_t i = 0; i < policy->n_rules; i++)
		sorted[i] = &policy->rules[i];
	if (policy->n_rules > 1)
		qsort(sorted, policy->n_rules, sizeof(*sorted), compare_names);
	for (size_t i = 1; i < policy->n_rules; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			return field_error(rd, MAX(sorted[i - 1], sorted[i])->node,
			    "rules: the name \"%s\" stands twice", sorted[i]->name);
	return 0;
}

static int
compile_rules(struct field_reader *rd, struct policy *policy)
{
	const struct node *list = tree_get(policy->tree, "rules");
	const struct node *node = list != NULL ? list->first : NULL;
	policy->rules = policy->rules_read.items;
	policy->n_rules = policy->rules_read.n;
	for (size_t i = 0; i < policy->n_rules; i++, node = node->next) {
		struct rule *rule = &policy->rules[i];
		assert(node != NULL); /* one node per rule, by field_read */
		rule->node = node;
		(void)snprintf(rd->path, sizeof(rd->path), "rules[%zu]", i);
		int r = compile_rule(rd, policy, rule);
		if (r < 0)
			return r;
	}
	rd->path[0] = 0;
	return check_names(rd, policy);
}

/* ---- the rest ---- */

static int
compile_review(struct field_reader *rd, struct policy *policy)
{
	const struct review_defaults *d = &policy->review;
	policy->review_terms = (struct review_terms){
	    .approvals = d->approvals.mode == LIST_ITEMS ? d->approvals.items : default_approvals,
	    .n_approvals = d->approvals.mode == LIST_ITEMS ? d->approvals.n : 1,
	    .timeout_ms = d->timeout_ms != FIELD_UNSET ? d->timeout_ms : TIMEOUT_MS_DEFAULT,
	    .self_approve = d->self_approve == 1,
	};
	const struct node *review = tree_get(policy->tree, "review");
	return check_approvals(rd, review, &d->approvals);
}

static int
check_risk(struct field_reader *rd, const struct policy *policy)
{
	const struct risk_rules *risk = &policy->risk;
	const struct node *node = tree_get(policy->tree, "risk");
	if (risk->review_at != FIELD_UNSET && risk->deny_at != FIELD_UNSET &&
	    risk->review_at > risk->deny_at)
		return field_error(rd, tree_get(node, "review_at"),
		    "risk.review_at: %lld is above deny_at %lld", (long long)risk->review_at,
		    (long long)risk->deny_at);
	if (risk->hours.from != FIELD_UNSET && risk->hours.from >= risk->hours.to)
		return field_error(
		    rd, tree_get(node, "hours"), "risk.hours: \"from\" must be before \"to\"");
	const struct node *offset = tree_get(tree_get(node, "hours"), "utc_offset_minutes");
	if (offset != NULL && risk->hours.utc_offset_minutes % 15 != 0)
		return field_error(
		    rd, offset, "risk.hours.utc_offset_minutes: expected a multiple of 15");
	return 0;
}

static int
compile(struct field_reader *rd, struct policy *policy, struct json *tests)
{
	int r = compile_review(rd, policy);
	if (r == 0)
		r = compile_rules(rd, policy);
	if (r == 0)
		r = check_risk(rd, policy);
	if (r < 0)
		return r;
	if (index_build(policy) < 0)
		return error_set(rd->err, ENOMEM, "out_of_memory", "%s: out of memory", rd->file);
	return examples_run(rd, policy, tests);
}

static int
load_into(struct policy *policy, const char *text, size_t len, const char *name, struct json *tests,
    struct error *err)
{
	struct node *tree;
	int r = tree_parse(text, len, name, &policy->arena, &tree, err);
	if (r < 0)
		return r;
	policy->tree = tree;
	struct field_reader rd = {.file = name, .arena = &policy->arena, .err = err};
	r = field_read(&rd, tree, &policy_shape, policy);
	if (r == 0)
		r = compile(&rd, policy, tests);
	return r;
}

/* A NUL or another control byte means that this is no text at all; say so before YAML does. */
static int
check_text(const char *text, size_t len, const char *name, struct error *err)
{
	if (len > POLICY_BYTES_MAX)
		return error_set(err, EMSGSIZE, "policy_too_large",
		    "%s: %zu bytes are too many for a policy (1 MiB at most)", name, len);
	unsigned line = 1, column = 1;
	for (size_t i = 0; i < len; i++, column++) {
		unsigned char c = (unsigned char)text[i];
		if (c == '\n')
			line++, column = 0;
		else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
			return error_set(err, EINVAL, "policy_invalid",
			    "%s:%u:%u: not text: control byte 0x%02x", name, line, column, c);
	}
	return 0;
}

static int
load(const char *text, size_t len, const char *name, struct policy **ret, struct json *tests,
    struct error *err)
{
	int r = check_text(text, len, name, err);
	if (r < 0)
		return r;
	struct policy *policy = calloc(1, sizeof(*policy));
	if (policy == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "%s: out of memory", name);
	arena_init(&policy->arena, ARENA_BYTES_MAX);
	uint8_t digest[SHA256_BYTES];
	sha256(text, len, digest);
	hex_encode(digest, sizeof(digest), policy->hash);
	r = load_into(policy, text, len, name, tests, err);
	if (r < 0)
		policy_free(policy);
	else
		*ret = policy;
	return r;
}

int
policy_load(const char *text, size_t len, const char *name, struct policy **ret, struct error *err)
{
	return load(text, len, name, ret, /* tests= */ NULL, err);
}

int
policy_load_testing(const char *text, size_t len, const char *name, struct policy **ret,
    struct json **ret_tests, struct error *err)
{
	struct json *tests = json_new_array();
	if (tests == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "%s: out of memory", name);
	int r = load(text, len, name, ret, tests, err);
	if (r < 0)
		json_free(tests);
	else
		*ret_tests = tests;
	return r;
}

struct policy *
policy_free(struct policy *policy)
{
	if (policy != NULL)
		arena_done(&policy->arena);
	free(policy);
	return NULL;
}

const char *
policy_hash(const struct policy *policy)
{
	return policy->hash;
}

const char *
policy_name(const struct policy *policy)
{
	return policy->name;
}
