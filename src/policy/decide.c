/* Deciding: a pure function of an action and a policy.
 *
 *     a deny rule touches it                → deny
 *     a review rule permits it              → review
 *     an allow rule permits it, and a
 *       review rule touches it              → review
 *     an allow rule permits it              → allow
 *     nothing permits it                    → deny
 *
 * Then risk may tighten: from review_at on, or where the action is opaque, an allow becomes a review;
 * from deny_at on, everything becomes a deny. Nothing loosens. The order of rules does not matter:
 * where several of one effect match, the strictest is named, and of equals the first by name. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/index.h"
#include "policy/needed.h"
#include "policy/risk.h"

/* The best rule of each sort so far. */
struct matches {
	const struct rule *deny, *allow;
	const struct rule *review;  /* permits */
	const struct rule *tighten; /* touches, but does not permit */
};

/* Whether A is to be named rather than B, both of one effect. */
static bool
stricter(const struct rule *a, const struct rule *b)
{
	if (a->effect == VERDICT_REVIEW && a->terms.n_approvals != b->terms.n_approvals)
		return a->terms.n_approvals > b->terms.n_approvals;
	bool a_final = a->undo <= UNDO_NONE, b_final = b->undo <= UNDO_NONE;
	if (a_final != b_final)
		return a_final;
	/* Where one rule brings a credential and the other none, the agent's work needs the first. */
	if ((a->credential != NULL) != (b->credential != NULL))
		return a->credential != NULL;
	return strcmp(a->name, b->name) < 0;
}

static void
keep_stricter(const struct rule **best, const struct rule *rule)
{
	if (*best == NULL || stricter(rule, *best))
		*best = rule;
}

static void
match_rules(const struct policy *policy, const struct subject *s, struct matches *m)
{
	const struct rule *rule;
	for (struct index_walk w = index_walk(policy, s); (rule = index_next(&w)) != NULL;) {
		if (rule->effect == VERDICT_DENY) {
			if (rule_touches(rule, s))
				keep_stricter(&m->deny, rule);
		} else if (rule_permits(rule, s)) {
			keep_stricter(rule->effect == VERDICT_ALLOW ? &m->allow : &m->review, rule);
		} else if (rule->effect == VERDICT_REVIEW && rule_touches(rule, s)) {
			keep_stricter(&m->tighten, rule);
		}
	}
}

static void say(struct decision *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void
say(struct decision *d, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(d->reason, sizeof(d->reason), fmt, args);
	va_end(args);
}

/* The verdict that the rules give by themselves, and the rule that decides. */
static const struct rule *
rules_decide(const struct matches *m, struct decision *d)
{
	const struct rule *rule = m->deny;
	d->verdict = VERDICT_DENY;
	if (rule == NULL && (m->review != NULL || (m->allow != NULL && m->tighten != NULL))) {
		rule = m->review != NULL ? m->review : m->tighten;
		if (m->review != NULL && m->tighten != NULL && stricter(m->tighten, m->review))
			rule = m->tighten;
		d->verdict = VERDICT_REVIEW;
	} else if (rule == NULL && m->allow != NULL) {
		rule = m->allow;
		d->verdict = VERDICT_ALLOW;
	}
	if (rule == NULL) {
		say(d, "no rule permits it");
		return NULL;
	}
	static const char *const verbs[] = {"denied", "held for review", "allowed"};
	say(d, "%s by rule %s%s%.120s", verbs[d->verdict], rule->name,
	    rule->why != NULL ? ": " : "", rule->why != NULL ? rule->why : "");
	return rule;
}

/* How an effect under RULE can be taken back: as the rule says, else as the action's adapter knows. */
static bool
is_reversible(const struct rule *rule, const struct subject *s)
{
	if (rule == NULL || rule->undo == FIELD_UNSET)
		return s->reversible;
	return rule->undo != UNDO_NONE;
}

static void
tighten_by_risk(const struct policy *policy, const struct subject *s, struct decision *d)
{
	const struct risk_rules *risk = &policy->risk;
	if (d->verdict == VERDICT_DENY)
		return;
	if (risk->deny_at != FIELD_UNSET && d->risk >= risk->deny_at) {
		d->verdict = VERDICT_DENY;
		say(d, "risk %d (%s) reaches deny_at %lld", d->risk, risk_band_name(d->band),
		    (long long)risk->deny_at);
		return;
	}
	if (d->verdict != VERDICT_ALLOW)
		return;
	if (s->opaque) {
		d->verdict = VERDICT_REVIEW;
		say(d, "held for review: the action could not be fully understood");
	} else if (risk->review_at != FIELD_UNSET && d->risk >= risk->review_at) {
		d->verdict = VERDICT_REVIEW;
		say(d, "held for review: risk %d (%s) reaches review_at %lld", d->risk,
		    risk_band_name(d->band), (long long)risk->review_at);
	}
}

void
policy_decide(const struct policy *policy, const struct json *action, struct decision *ret)
{
	struct subject s;
	memset(ret, 0, sizeof(*ret));
	ret->verdict = VERDICT_DENY;
	if (subject_read(&s, action, ret->reason, sizeof(ret->reason)) < 0) {
		ret->risk = 100;
		ret->band = RISK_CRITICAL;
		return;
	}
	struct matches m = {NULL};
	match_rules(policy, &s, &m);
	const struct rule *rule = rules_decide(&m, ret);
	ret->rule = rule != NULL ? rule->name : NULL;
	const struct rule *permits = m.review != NULL ? m.review : m.allow;
	ret->permits = permits != NULL ? permits->name : NULL;
	ret->reversible = is_reversible(rule, &s);
	risk_assess(policy, &s, ret->reversible, ret);
	tighten_by_risk(policy, &s, ret);
	if (ret->verdict == VERDICT_REVIEW)
		ret->review = rule != NULL && rule->effect == VERDICT_REVIEW ? rule->terms
									     : policy->review_terms;
	if (ret->verdict == VERDICT_DENY)
		needed_for(policy, &s, m.deny, ret);
}

const char *
verdict_name(enum verdict verdict)
{
	return (unsigned)verdict <= VERDICT_ALLOW ? verdict_words[verdict] : "deny";
}

const char *
risk_band_name(enum risk_band band)
{
	static const char *const names[] = {"low", "medium", "high", "critical"};
	return (unsigned)band < ARRAY_LEN(names) ? names[band] : "critical";
}

static struct json *
risk_json(const struct decision *d)
{
	struct json *risk = json_new_object(), *parts = json_new_array();
	for (size_t i = 0; i < d->n_parts; i++) {
		struct json *part = json_new_object();
		(void)json_set_str(part, "name", d->parts[i].name);
		(void)json_set_int(part, "points", d->parts[i].points);
		(void)json_set_str(part, "reason", d->parts[i].reason);
		(void)json_push(parts, part);
	}
	(void)json_set_int(risk, "score", d->risk);
	(void)json_set_str(risk, "band", risk_band_name(d->band));
	(void)json_set(risk, "parts", parts);
	return risk;
}

static struct json *
review_json(const struct review_terms *terms)
{
	struct json *review = json_new_object(), *approvals = json_new_array();
	for (size_t i = 0; i < terms->n_approvals; i++)
		(void)json_push(approvals, json_new_string(terms->approvals[i]));
	(void)json_set(review, "approvals", approvals);
	(void)json_set_int(review, "timeout_ms", terms->timeout_ms);
	(void)json_set_bool(review, "self_approve", terms->self_approve);
	return review;
}

struct json *
decision_to_json(const struct decision *d)
{
	struct json *v = json_new_object();
	(void)json_set_str(v, "decision", verdict_name(d->verdict));
	(void)json_set_str(v, "rule", d->rule);
	(void)json_set_str(v, "reason", d->reason);
	(void)json_set_str(v, "needed", d->needed);
	(void)json_set(v, "risk", risk_json(d));
	(void)json_set_bool(v, "reversible", d->reversible);
	if (d->verdict == VERDICT_REVIEW)
		(void)json_set(v, "review", review_json(&d->review));
	return v;
}
