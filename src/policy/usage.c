/* What recorded decisions needed of a policy.
 *
 * For each rule we keep the set of list members that the decisions so far needed: an action that the
 * rule meets with these members alone adds nothing; otherwise members are added until it does, as few
 * as halving finds. So with the members kept, and nothing else, every action counted would have met its
 * rule as it did: that is what makes "unused" safe to say. Where two members permit the same, one of
 * them counts as unused.
 *
 * An allow rule that a review rule tightened is not named in the decision, but without it there would
 * have been a denial: it is counted as supporting. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/match.h"

#define SEEN_MAX 32 /* programs that are remembered of a rule that permits any */

struct member {
	const struct field *field;
	size_t index; /* in its list */
	bool used, kept;
};

struct rule_usage {
	const struct rule *rule;
	struct member *members;
	size_t n_members;
	struct rule reduced; /* its lists have room for all members, and hold those kept */
	int64_t decided, supported, unclear, last_ms;
	struct json *seen; /* owned: {program: times}, where the rule permits any program */
	bool seen_more;    /* than are remembered */
};

struct policy_usage {
	const struct policy *policy;
	struct rule_usage *rules;
};

/* ---- the reduced rule ---- */

static bool
is_counted(const struct field *f)
{
	/* Who approves and where a host may resolve to decide nothing here. */
	return (f->type == FIELD_LIST || f->type == FIELD_PORTS) &&
	    strcmp(f->name, "approvals") != 0 && strcmp(f->name, "addresses") != 0;
}

static const void *
field_at(const struct rule *rule, const struct field *f)
{
	return (const char *)rule + f->offset;
}

static void *
field_in(struct rule *rule, const struct field *f)
{
	return (char *)rule + f->offset;
}

/* How many members field F of RULE names. */
static size_t
field_members(const struct rule *rule, const struct field *f)
{
	if (f->type == FIELD_PORTS) {
		const struct ports *ports = field_at(rule, f);
		return ports->mode == LIST_ITEMS ? ports->n : 0;
	}
	const struct list *list = field_at(rule, f);
	return list->mode == LIST_ITEMS ? list->n : 0;
}

/* Fills the lists of the reduced rule with the members that are kept. */
static void
reduce(struct rule_usage *u)
{
	for (size_t i = 0; i < u->n_members; i++) {
		const struct member *m = &u->members[i];
		if (m->field->type == FIELD_PORTS) {
			struct ports *to = field_in(&u->reduced, m->field);
			if (m->index == 0)
				to->n = 0;
			if (m->kept)
				to->items[to->n++] =
				    ((const struct ports *)field_at(u->rule, m->field))
					->items[m->index];
			continue;
		}
		struct list *to = field_in(&u->reduced, m->field);
		if (m->index == 0)
			to->n = 0;
		if (m->kept)
			to->items[to->n++] =
			    ((const struct list *)field_at(u->rule, m->field))->items[m->index];
	}
}

/* How an action meets a rule; less than that is not the same decision. */
enum meeting { MEETS_NOT, MEETS_TOUCHED, MEETS_PERMITTED };

static enum meeting
meeting_of(const struct rule *rule, const struct subject *s)
{
	if (rule->effect != VERDICT_DENY && rule_permits(rule, s))
		return MEETS_PERMITTED;
	return rule->effect != VERDICT_ALLOW && rule_touches(rule, s) ? MEETS_TOUCHED : MEETS_NOT;
}

static bool
meets_reduced(struct rule_usage *u, const struct subject *s, enum meeting wanted)
{
	reduce(u);
	return meeting_of(&u->reduced, s) == wanted;
}

/* ---- counting ---- */

static void
keep_unused(struct rule_usage *u, size_t from, size_t to, bool kept)
{
	for (size_t i = from; i < to; i++)
		if (!u->members[i].used)
			u->members[i].kept = kept;
}

/* Lets go of what S does not need among the members FROM … TO, where all are kept. */
static void
drop_unneeded(
    struct rule_usage *u, const struct subject *s, enum meeting wanted, size_t from, size_t to)
{
	keep_unused(u, from, to, false);
	if (meets_reduced(u, s, wanted))
		return;
	keep_unused(u, from, to, true);
	if (to - from < 2)
		return;
	size_t middle = from + (to - from) / 2;
	drop_unneeded(u, s, wanted, from, middle);
	drop_unneeded(u, s, wanted, middle, to);
}

/* Marks the members of U's rule that S needs. */
static void
count_members(struct rule_usage *u, const struct subject *s)
{
	enum meeting wanted = meeting_of(u->rule, s);
	if (wanted == MEETS_NOT) {
		u->unclear++;
		return;
	}
	keep_unused(u, 0, u->n_members, false);
	if (u->n_members == 0 || meets_reduced(u, s, wanted))
		return;
	keep_unused(u, 0, u->n_members, true);
	drop_unneeded(u, s, wanted, 0, u->n_members);
	for (size_t i = 0; i < u->n_members; i++)
		u->members[i].used = u->members[i].kept;
}

/* Remembers what a rule that permits any program permitted. */
static int
note_seen(struct rule_usage *u, const struct subject *s)
{
	if (s->kind != ACTION_EXEC || u->rule->effect == VERDICT_DENY ||
	    u->rule->programs.mode == LIST_ITEMS)
		return 0;
	if (u->seen == NULL)
		u->seen = json_new_object();
	if (json_get(u->seen, s->program) == NULL && json_len(u->seen) >= SEEN_MAX) {
		u->seen_more = true;
		return 0;
	}
	return json_set_int(u->seen, s->program, json_get_int(u->seen, s->program, 0) + 1);
}

static struct rule_usage *
find_rule(struct policy_usage *usage, const char *name)
{
	for (size_t i = 0; name != NULL && i < usage->policy->n_rules; i++)
		if (strcmp(usage->rules[i].rule->name, name) == 0)
			return &usage->rules[i];
	return NULL;
}

static bool
was_counted(const struct rule_usage *u)
{
	return u->decided + u->supported > 0;
}

/* The rule that permits what TIGHTENING only touched: one that is counted already, else the first. */
static void
count_support(struct policy_usage *usage, const struct rule_usage *tightening,
    const struct subject *s, int64_t wall_ms)
{
	struct rule_usage *best = NULL;
	for (size_t i = 0; i < usage->policy->n_rules; i++) {
		struct rule_usage *u = &usage->rules[i];
		if (u == tightening || meeting_of(u->rule, s) != MEETS_PERMITTED)
			continue;
		if (best == NULL || (was_counted(u) && !was_counted(best)))
			best = u;
	}
	if (best == NULL)
		return;
	best->supported++;
	best->last_ms = MAX(best->last_ms, wall_ms);
	count_members(best, s);
}

int
policy_usage_add(
    struct policy_usage *usage, const struct json *action, const char *rule, int64_t wall_ms)
{
	char why[160];
	struct subject s;
	struct rule_usage *u = find_rule(usage, rule);
	if (u == NULL)
		return 0;
	u->decided++;
	u->last_ms = MAX(u->last_ms, wall_ms);
	if (subject_read(&s, action, why, sizeof(why)) < 0) {
		u->unclear++;
		return 0;
	}
	int r = note_seen(u, &s);
	if (r < 0)
		return r;
	count_members(u, &s);
	if (u->rule->effect == VERDICT_REVIEW && meeting_of(u->rule, &s) == MEETS_TOUCHED)
		count_support(usage, u, &s, wall_ms);
	return 0;
}

/* ---- life ---- */

/* Gives the reduced rule a list of its own for field F, and a member for each item. */
static int
add_members(struct rule_usage *u, const struct field *f, size_t n)
{
	void *items =
	    calloc(n, f->type == FIELD_PORTS ? sizeof(struct port_range) : sizeof(const char *));
	if (items == NULL)
		return -ENOMEM;
	if (f->type == FIELD_PORTS)
		((struct ports *)field_in(&u->reduced, f))->items = items;
	else
		((struct list *)field_in(&u->reduced, f))->items = items;
	for (size_t i = 0; i < n; i++)
		u->members[u->n_members++] = (struct member){.field = f, .index = i};
	return 0;
}

/* How many members all lists of RULE name. */
static size_t
count_fields(const struct rule *rule)
{
	size_t n = 0;
	for (const struct shape *shape = rule_shape(rule->kind); shape != NULL; shape = shape->base)
		for (const struct field *f = shape->fields; f->name != NULL; f++)
			if (is_counted(f))
				n += field_members(rule, f);
	return n;
}

static int
rule_usage_init(struct rule_usage *u, const struct rule *rule)
{
	u->rule = rule;
	u->reduced = *rule;
	u->members = calloc(count_fields(rule) + 1, sizeof(*u->members));
	if (u->members == NULL)
		return -ENOMEM;
	for (const struct shape *shape = rule_shape(rule->kind); shape != NULL; shape = shape->base)
		for (const struct field *f = shape->fields; f->name != NULL; f++) {
			size_t n = is_counted(f) ? field_members(rule, f) : 0;
			if (n > 0 && add_members(u, f, n) < 0)
				return -ENOMEM;
		}
	return 0;
}

static void
rule_usage_done(struct rule_usage *u)
{
	for (size_t i = 0; i < u->n_members; i++) {
		const struct field *f = u->members[i].field;
		if (u->members[i].index > 0)
			continue;
		if (f->type == FIELD_PORTS)
			free(((struct ports *)field_in(&u->reduced, f))->items);
		else
			free(((struct list *)field_in(&u->reduced, f))->items);
	}
	free(u->members);
	json_free(u->seen);
}

struct policy_usage *
policy_usage_new(const struct policy *policy)
{
	struct policy_usage *usage = calloc(1, sizeof(*usage));
	if (usage == NULL)
		return NULL;
	usage->policy = policy;
	usage->rules = calloc(policy->n_rules + 1, sizeof(*usage->rules));
	if (usage->rules == NULL) {
		free(usage);
		return NULL;
	}
	for (size_t i = 0; i < policy->n_rules; i++)
		if (rule_usage_init(&usage->rules[i], &policy->rules[i]) < 0)
			return policy_usage_free(usage);
	return usage;
}

struct policy_usage *
policy_usage_free(struct policy_usage *usage)
{
	if (usage == NULL)
		return NULL;
	for (size_t i = 0; i < usage->policy->n_rules; i++)
		rule_usage_done(&usage->rules[i]);
	free(usage->rules);
	free(usage);
	return NULL;
}

/* ---- telling ---- */

static struct json *
member_json(const struct rule *rule, const struct member *m)
{
	if (m->field->type != FIELD_PORTS)
		return json_new_string(
		    ((const struct list *)field_at(rule, m->field))->items[m->index]);
	const struct port_range *range =
	    &((const struct ports *)field_at(rule, m->field))->items[m->index];
	char text[24];
	(void)snprintf(text, sizeof(text), range->low == range->high ? "%u" : "%u-%u", range->low,
	    range->high);
	return json_new_string(text);
}

/* The members FROM on that are of one field; *RET_NEXT is behind the last of them. */
static struct json *
field_json(const struct rule_usage *u, size_t from, size_t *ret_next)
{
	struct json *one = json_new_object(), *used = json_new_array(), *unused = json_new_array();
	size_t i = from;
	do {
		const struct member *m = &u->members[i];
		(void)json_push(m->used ? used : unused, member_json(u->rule, m));
	} while (++i < u->n_members && u->members[i].index > 0);
	(void)json_set_str(one, "field", u->members[from].field->name);
	(void)json_set(one, "used", used);
	(void)json_set(one, "unused", unused);
	*ret_next = i;
	return one;
}

static struct json *
fields_json(const struct rule_usage *u)
{
	struct json *fields = json_new_array();
	for (size_t i = 0; i < u->n_members;)
		(void)json_push(fields, field_json(u, i, &i));
	return fields;
}

struct json *
policy_usage_json(const struct policy_usage *usage)
{
	struct json *list = json_new_array();
	for (size_t i = 0; i < usage->policy->n_rules; i++) {
		const struct rule_usage *u = &usage->rules[i];
		struct json *one = json_new_object();
		(void)json_set_str(one, "rule", u->rule->name);
		(void)json_set_str(one, "effect", verdict_name(u->rule->effect));
		(void)json_set_str(one, "kind", kind_names[u->rule->kind]);
		(void)json_set_int(one, "decided", u->decided);
		(void)json_set_int(one, "supported", u->supported);
		(void)json_set_int(one, "unclear", u->unclear);
		if (u->last_ms != 0)
			(void)json_set_int(one, "last_ms", u->last_ms);
		(void)json_set(one, "fields", fields_json(u));
		if (u->seen != NULL) {
			(void)json_set(one, "programs", json_copy(u->seen));
			(void)json_set_bool(one, "more_programs", u->seen_more);
		}
		(void)json_push(list, one);
	}
	return list;
}
