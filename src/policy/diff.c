/* What changes from one policy to another, each change with an action that shows it.
 *
 * Rules are compared by deciding, not by reading: the edges of every rule of both policies become
 * actions (witness.c), and both decide them. That finds what differs where it looks and proves nothing
 * about the rest, so a rule that was changed without any difference found is reported as "cannot
 * tell". Settings that are no rules (limits, approvals, weights) are compared as they are written. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/witness.h"

#define WITNESSES_TOTAL 200000
#define WITNESSES_RULE 3000
#define GROUPS_MAX 500

enum section { SECTION_ALLOWED, SECTION_UNREVIEWED, SECTION_REVIEWED, SECTION_DENIED, SECTIONS };

static const char *const section_names[] = {"allowed", "unreviewed", "reviewed", "denied"};

struct diff {
	const struct policy *before, *after;
	struct json *sections[SECTIONS]; /* owned until they are put into the result */
	struct json *keys;               /* groups that have their witness; owned */
	struct json *shown;              /* names of rules that have shown a difference; owned */
	bool differs;                    /* the rule in hand has shown a difference */
};

static struct json *
verdict_json(const struct decision *d)
{
	struct json *v = json_new_object();
	(void)json_set_str(v, "decision", verdict_name(d->verdict));
	(void)json_set_str(v, "rule", d->rule);
	(void)json_set_str(v, "reason", d->reason);
	return v;
}

static enum section
section_of(enum verdict before, enum verdict after)
{
	if (after == VERDICT_DENY)
		return SECTION_DENIED;
	if (before == VERDICT_DENY)
		return SECTION_ALLOWED;
	return after == VERDICT_ALLOW ? SECTION_UNREVIEWED : SECTION_REVIEWED;
}

/* One witness for each pair of deciding rules and kind is enough. Returns whether this is the first. */
static bool
first_of_group(
    struct diff *diff, const char *kind, const struct decision *a, const struct decision *b)
{
	char key[400];
	(void)snprintf(key, sizeof(key), "%s %d %s %d %s", kind, a->verdict,
	    a->rule != NULL ? a->rule : "-", b->verdict, b->rule != NULL ? b->rule : "-");
	if (json_get(diff->keys, key) != NULL || json_len(diff->keys) >= GROUPS_MAX)
		return false;
	return json_set_bool(diff->keys, key, true) == 0;
}

static int
on_witness(const struct json *action, const struct rule *rule, void *data)
{
	struct diff *diff = data;
	struct decision before, after;
	policy_decide(diff->before, action, &before);
	policy_decide(diff->after, action, &after);
	if (before.verdict == after.verdict)
		return 0;
	diff->differs = true;
	if (!first_of_group(diff, kind_names[rule->kind], &before, &after))
		return 0;
	struct json *found = json_new_object();
	(void)json_set(found, "before", verdict_json(&before));
	(void)json_set(found, "after", verdict_json(&after));
	(void)json_set(found, "action", json_copy(action));
	return json_push(diff->sections[section_of(before.verdict, after.verdict)], found);
}

/* ---- rules that changed ---- */

static const struct rule *
rule_named(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n_rules; i++)
		if (strcmp(policy->rules[i].name, name) == 0)
			return &policy->rules[i];
	return NULL;
}

/* A rule as it is written, without what is only for people. */
static struct json *
rule_json(const struct rule *rule)
{
	struct json *v = tree_json(rule->node);
	json_unset(v, "why");
	json_unset(v, "owner");
	return v;
}

static bool
same_rule(const struct rule *a, const struct rule *b)
{
	if (a == NULL || b == NULL)
		return false;
	_cleanup_json_ struct json *x = rule_json(a);
	_cleanup_json_ struct json *y = rule_json(b);
	return x != NULL && json_equal(x, y);
}

/* Tries the edges of all rules of POLICY; OTHER is what it is compared with. */
static int
try_rules(struct diff *diff, const struct policy *policy, const struct policy *other,
    struct json *unknown)
{
	size_t total = MAX(policy->n_rules + other->n_rules, (size_t)1);
	size_t most = MAX(MIN(WITNESSES_TOTAL / total, (size_t)WITNESSES_RULE), (size_t)64);
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];
		const struct rule *counterpart = rule_named(other, rule->name);
		diff->differs = false;
		int r = witness_rule(rule, most, on_witness, diff);
		if (r < 0)
			return r;
		if (diff->differs && json_set_bool(diff->shown, rule->name, true) < 0)
			return -ENOMEM;
		if (json_get(diff->shown, rule->name) != NULL || same_rule(rule, counterpart) ||
		    (counterpart != NULL && policy == diff->before))
			continue;
		char text[200];
		(void)snprintf(text, sizeof(text),
		    "rule %s %s, but no action was found that it makes a difference to", rule->name,
		    counterpart != NULL          ? "changed"
			: policy == diff->before ? "is gone"
						 : "is new");
		if (json_push(unknown, json_new_string(text)) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- settings ---- */

static int
add_setting(
    struct json *settings, const char *path, const struct json *before, const struct json *after)
{
	struct json *v = json_new_object();
	(void)json_set_str(v, "field", path);
	(void)json_set(v, "before", before != NULL ? json_copy(before) : json_new_null());
	(void)json_set(v, "after", after != NULL ? json_copy(after) : json_new_null());
	return json_push(settings, v);
}

/* Adds the leaves that differ between BEFORE and AFTER (either may be NULL). */
static int
diff_settings(
    struct json *settings, const char *path, const struct json *before, const struct json *after)
{
	bool maps = before != NULL && json_type(before) == JSON_OBJECT && after != NULL &&
	    json_type(after) == JSON_OBJECT;
	if (!maps)
		return json_equal(before, after) ? 0 : add_setting(settings, path, before, after);
	const struct json *sides[] = {before, after};
	for (size_t side = 0; side < ARRAY_LEN(sides); side++) {
		for (size_t i = 0; i < json_len(sides[side]); i++) {
			const char *name = json_name_at(sides[side], i);
			const struct json *x = json_get(before, name), *y = json_get(after, name);
			char below[300];
			if ((side == 1 && x != NULL) ||
			    (x != NULL && y != NULL && json_equal(x, y)))
				continue;
			(void)snprintf(
			    below, sizeof(below), "%s%s%s", path, path[0] != 0 ? "." : "", name);
			int r = diff_settings(settings, below, x, y);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* The parts of a policy that deciding witnesses does not show, by name. */
static struct json *
settings_json(const struct policy *policy)
{
	static const char *const parts[] = {"sandbox", "review", "budgets", "risk"};
	struct json *v = json_new_object(), *rules = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const struct node *node = tree_get(policy->tree, parts[i]);
		if (node != NULL)
			(void)json_set(v, parts[i], tree_json(node));
	}
	for (size_t i = 0; i < policy->n_rules; i++)
		(void)json_set(rules, policy->rules[i].name, rule_json(&policy->rules[i]));
	(void)json_set(v, "rules", rules);
	return v;
}

static int
compare_settings(const struct diff *diff, struct json *settings)
{
	_cleanup_json_ struct json *before = settings_json(diff->before);
	_cleanup_json_ struct json *after = settings_json(diff->after);
	return diff_settings(settings, "", before, after);
}

int
policy_diff(const struct policy *before, const struct policy *after, struct json **ret)
{
	struct diff diff = {.before = before,
	    .after = after,
	    .keys = json_new_object(),
	    .shown = json_new_object()};
	_cleanup_json_ struct json *result = json_new_object();
	struct json *unknown = json_new_array(), *settings = json_new_array();
	for (size_t i = 0; i < SECTIONS; i++) {
		diff.sections[i] = json_new_array();
		(void)json_set(result, section_names[i], diff.sections[i]);
	}
	(void)json_set(result, "settings", settings);
	int r = json_set(result, "unknown", unknown);
	if (r >= 0)
		r = try_rules(&diff, before, after, unknown);
	if (r >= 0)
		r = try_rules(&diff, after, before, unknown);
	if (r >= 0)
		r = compare_settings(&diff, settings);
	json_free(diff.keys);
	json_free(diff.shown);
	if (r >= 0)
		*ret = TAKE_PTR(result);
	return r < 0 ? -ENOMEM : 0;
}
