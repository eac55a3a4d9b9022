/* What a policy asks of the sandbox and of this build. */
#include <string.h>

#include "policy/network.h"

static const char *
name_or(const char *const *names, int64_t value, const char *fallback)
{
	return value == FIELD_UNSET ? fallback : names[value];
}

/* What a policy leaves out is limited all the same, as `isolated` limits it. */
static struct json *
limits_json(const struct sandbox_limits *l)
{
	const struct {
		const char *name;
		int64_t value, otherwise;
	} limits[] = {{"cpu_millis", l->cpu_millis, 2000}, {"cpu_time_ms", l->cpu_time_ms, 0},
	    {"disk_bytes", l->disk_bytes, 512LL << 20},
	    {"memory_bytes", l->memory_bytes, 1LL << 30}, {"network_bytes", l->network_bytes, 0},
	    {"network_bytes_per_s", l->network_bytes_per_s, 0}, {"open_files", l->open_files, 1024},
	    {"output_bytes", l->output_bytes, 16LL << 20}, {"processes", l->processes, 128},
	    {"wall_ms", l->wall_ms, 600000}};
	struct json *v = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		int64_t value =
		    limits[i].value != FIELD_UNSET ? limits[i].value : limits[i].otherwise;
		if (value > 0)
			(void)json_set_int(v, limits[i].name, value);
	}
	return v;
}

/* The floor of a policy that names none: what `isolated` asks for. */
static const char *const floor_otherwise[] = {
    "user-ns", "net-ns", "seccomp", "landlock", "memory-limit", "process-limit"};

static struct json *
floor_json(const struct terms *floor)
{
	struct json *v = json_new_array();
	for (size_t i = 0; i < floor->n; i++) {
		struct json *term = json_new_object();
		(void)json_set_str(term, "term", floor->items[i].name);
		if (floor->items[i].strength != NULL)
			(void)json_set_str(term, "strength", floor->items[i].strength);
		(void)json_push(v, term);
	}
	for (size_t i = 0; floor->n == 0 && i < ARRAY_LEN(floor_otherwise); i++) {
		struct json *term = json_new_object();
		(void)json_set_str(term, "term", floor_otherwise[i]);
		(void)json_push(v, term);
	}
	return v;
}

static bool
lists_executables(const struct sandbox *s)
{
	return s->executables == EXECUTABLES_LISTED;
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The programs that exec rules name, allowed or reviewed: sorted, each once; owned. */
static struct json *
programs_json(const struct policy *policy)
{
	size_t n = 0, at = 0;
	for (size_t i = 0; i < policy->n_rules; i++)
		n += policy->rules[i].programs.n;
	_cleanup_free_ const char **names = calloc(n + 1, sizeof(*names));
	if (names == NULL)
		return NULL;
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = &policy->rules[i];
		if (rule->kind != ACTION_EXEC || rule->effect == VERDICT_DENY)
			continue;
		for (size_t k = 0; k < rule->programs.n; k++)
			names[at++] = rule->programs.items[k];
	}
	qsort(names, at, sizeof(*names), compare_texts);
	struct json *v = json_new_array();
	for (size_t i = 0; i < at; i++)
		if (i == 0 || strcmp(names[i - 1], names[i]) != 0)
			(void)json_push(v, json_new_string(names[i]));
	return v;
}

struct json *
policy_sandbox(const struct policy *policy)
{
	const struct sandbox *s = &policy->sandbox;
	struct json *v = json_new_object();
	(void)json_set_str(v, "tier", name_or(tier_names, s->tier, "namespaces"));
	(void)json_set_str(v, "root", s->root != NULL ? s->root : "host");
	(void)json_set_str(v, "executables", name_or(executables_names, s->executables, "any"));
	(void)json_set_str(v, "workspace", name_or(workspace_names, s->workspace, "none"));
	(void)json_set_str(v, "exec_gate", name_or(gate_names, s->exec_gate, "submit"));
	(void)json_set(v, "limits", limits_json(&s->limits));
	(void)json_set(v, "floor", floor_json(&s->floor));
	if (lists_executables(s) && json_set(v, "programs", programs_json(policy)) < 0) {
		json_free(v);
		return NULL;
	}
	if (network_needed(policy) && json_set(v, "network", network_json(policy)) < 0) {
		json_free(v);
		return NULL;
	}
	return v;
}

struct json *
policy_budgets(const struct policy *policy)
{
	const struct budgets *b = &policy->budgets;
	const struct {
		const char *name;
		int64_t value;
	} budgets[] = {{"bytes_per_day", b->bytes_per_day}, {"calls_per_day", b->calls_per_day},
	    {"calls_per_task", b->calls_per_task}, {"money_per_day", b->money_per_day},
	    {"rows_per_day", b->rows_per_day}, {"tokens_per_day", b->tokens_per_day}};
	struct json *v = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(budgets); i++)
		if (budgets[i].value != FIELD_UNSET)
			(void)json_set_int(v, budgets[i].name, budgets[i].value);
	return v;
}

/* ---- what this build enforces ---- */

static void
missing_sandbox(const struct sandbox *s, struct buf *missing)
{
	if (s->tier > TIER_NAMESPACES)
		(void)buf_addf(
		    missing, "sandbox.tier: %s is not in this build\n", tier_names[s->tier]);
	if (s->root != NULL && strcmp(s->root, "host") != 0 && lists_executables(s))
		(void)buf_addf(missing,
		    "sandbox.executables: listed in an image (root: %s) is not in this build\n",
		    s->root);
	if (s->exec_gate == GATE_KERNEL)
		(void)buf_addf(missing, "sandbox.exec_gate: kernel is not in this build\n");
}

static void
missing_budgets(const struct budgets *b, struct buf *missing)
{
	if (b->rows_per_day != FIELD_UNSET || b->bytes_per_day != FIELD_UNSET ||
	    b->tokens_per_day != FIELD_UNSET || b->money_per_day != FIELD_UNSET)
		(void)buf_addf(
		    missing, "budgets: only calls_per_task and calls_per_day are in this build\n");
}

static void
missing_rule(const struct sandbox *s, const struct rule *rule, struct buf *missing)
{
	if (rule->kind == ACTION_EXEC && rule->effect != VERDICT_DENY && lists_executables(s) &&
	    rule->programs.mode != LIST_ITEMS)
		(void)buf_addf(missing,
		    "rule %s: program: any; executables: listed needs rules that name programs\n",
		    rule->name);
	if (rule->kind == ACTION_SQL || rule->kind == ACTION_TOOL || rule->kind == ACTION_MODEL)
		(void)buf_addf(missing, "rule %s: %s actions are not in this build\n", rule->name,
		    kind_names[rule->kind]);
	if (rule->credential != NULL && rule->kind != ACTION_HTTP && rule->kind != ACTION_GIT)
		(void)buf_addf(missing, "rule %s: credentials of %s rules are not in this build\n",
		    rule->name, kind_names[rule->kind]);
	if (rule->undo > UNDO_NONE)
		(void)buf_addf(missing, "rule %s: undo %s is not in this build\n", rule->name,
		    undo_names[rule->undo]);
}

bool
policy_enforceable(const struct policy *policy, struct buf *missing)
{
	size_t before = missing->len;
	missing_sandbox(&policy->sandbox, missing);
	missing_budgets(&policy->budgets, missing);
	for (size_t i = 0; i < policy->n_rules; i++)
		missing_rule(&policy->sandbox, &policy->rules[i], missing);
	return missing->len == before && !missing->failed;
}

bool
policy_needs_two_people(const struct policy *policy)
{
	if (policy->review_terms.self_approve) {
		for (size_t i = 0; i < policy->n_rules; i++)
			if (policy->rules[i].effect == VERDICT_REVIEW &&
			    policy->rules[i].terms.n_approvals > 1)
				return true;
		return policy->risk.review_at != FIELD_UNSET &&
		    policy->review_terms.n_approvals > 1;
	}
	for (size_t i = 0; i < policy->n_rules; i++)
		if (policy->rules[i].effect == VERDICT_REVIEW)
			return true;
	return policy->risk.review_at != FIELD_UNSET;
}
