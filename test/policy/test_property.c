/* Properties of deciding, over random policies and actions from a small vocabulary, so that rules and
 * actions meet often: the order of rules does not matter, deny wins, adding a deny rule or risk never
 * loosens, no match denies, an error while deciding denies, and the index finds what a walk over all
 * rules would. The seed is fixed: a failure is the same on every machine. */
#include "helper.h"

#include <stdio.h>

#include "policy/index.h"

#define ROUNDS 1500
#define RULES 8

static uint64_t seed;

static unsigned
pick(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 11) % n);
}

#define ONE_OF(array) (array)[pick(ARRAY_LEN(array))]

static const char *const programs[] = {
    "/usr/bin/git", "/usr/bin/cat", "/bin/cat", "/usr/bin/python3"};
static const char *const words[] = {"log", "push", "status", "--force", "-f", "-v", "a.txt",
    "d/b.txt", "--", "../x", "-vf", "--out=d/b.txt"};
static const char *const hosts[] = {"a.example", "b.a.example", "c.b.a.example", "10.0.0.1",
    "A.EXAMPLE", "a.example.", "b.example"};
static const char *const paths[] = {"/a", "/a/b", "/a/../b", "/a//b", "/%61", "/b/c/d"};
static const char *const tables[] = {"t", "u", "public.t", "s.u", "T"};
static const char *const verbs[] = {"select", "update", "delete", "insert", "drop"};

/* ---- random rules ---- */

/* `, FIELD: …` sometimes: a word, or up to two ITEMS. */
static void
maybe_list(
    struct buf *b, const char *field, const char *const *items, unsigned n, const char *or_words)
{
	unsigned how = pick(4);
	if (how == 0)
		return;
	if (how == 1 && or_words != NULL) {
		(void)buf_addf(b, ", %s: %s", field, or_words);
		return;
	}
	(void)buf_addf(b, ", %s: [\"%s\"", field, items[pick(n)]);
	if (how == 3)
		(void)buf_addf(b, ", \"%s\"", items[pick(n)]);
	(void)buf_add_str(b, "]");
}

#define MAYBE(b, field, array, words_) maybe_list(b, field, array, ARRAY_LEN(array), words_)

static void
add_exec_fields(struct buf *b)
{
	static const char *const options[] = {"--force", "-f", "-v", "--out=*", "-n *"};
	static const char *const operands[] = {"*.txt", "d/**", "**"};
	static const char *const subcommands[] = {"log", "push"};
	static const char *const env[] = {"A", "B*"};
	(void)(pick(3) == 0 ? buf_add_str(b, ", program: any")
			    : buf_addf(b, ", program: %s", ONE_OF(programs)));
	MAYBE(b, "subcommands", subcommands, "any");
	MAYBE(b, "options", options, "any");
	MAYBE(b, "operands", operands, "any");
	MAYBE(b, "env", env, "any");
	if (pick(4) == 0)
		MAYBE(b, "with_options", options, NULL);
}

static void
add_http_fields(struct buf *b)
{
	static const char *const patterns[] = {"/a", "/a/*", "/**", "/b/**"};
	static const char *const names[] = {"a.example", "*.a.example", "**.example", "10.0.0.1"};
	(void)(pick(3) == 0 ? buf_add_str(b, ", hosts: any")
			    : buf_addf(b, ", hosts: [\"%s\"]", ONE_OF(names)));
	(void)(pick(2) == 0 ? buf_add_str(b, ", methods: any")
			    : buf_add_str(b, ", methods: [GET]"));
	MAYBE(b, "paths", patterns, "any");
	if (pick(5) == 0)
		(void)buf_add_str(b, ", addresses: [10.0.0.0/8]");
}

static void
add_sql_fields(struct buf *b, bool deny)
{
	static const char *const patterns[] = {"t", "*", "s.*", "u"};
	static const char *const functions[] = {"f", "g"};
	(void)(pick(2) == 0 ? buf_add_str(b, ", database: any") : buf_add_str(b, ", database: db"));
	(void)(pick(3) == 0 ? buf_add_str(b, ", statements: any")
			    : buf_addf(b, ", statements: [%s]", ONE_OF(verbs)));
	(void)(pick(3) == 0 ? buf_add_str(b, ", tables: any")
			    : buf_addf(b, ", tables: [\"%s\"]", ONE_OF(patterns)));
	MAYBE(b, "functions", functions, "any");
	if (pick(4) == 0)
		(void)buf_addf(b, ", where: %s", deny ? "missing" : "required");
	if (!deny && pick(3) == 0)
		(void)buf_addf(b, ", undo: %s", pick(2) == 0 ? "none" : "before-images");
}

static void
add_rule(struct buf *b, unsigned id, const char *effect)
{
	static const char *const kinds[] = {"exec", "http", "sql"};
	unsigned kind = pick(ARRAY_LEN(kinds));
	(void)buf_addf(b, "  - {name: r%u, %s: %s", id, effect, kinds[kind]);
	if (kind == 0)
		add_exec_fields(b);
	else if (kind == 1)
		add_http_fields(b);
	else
		add_sql_fields(b, strcmp(effect, "deny") == 0);
	(void)buf_add_str(b, "}\n");
}

/* ---- random actions ---- */

static struct json *
random_texts(const char *const *items, unsigned n, unsigned most)
{
	struct json *array = json_new_array();
	for (unsigned i = pick(most + 1); i > 0; i--)
		(void)json_push(array, json_new_string(items[pick(n)]));
	return array;
}

static struct json *
random_exec(void)
{
	static const char *const env[] = {"A", "B1", "LANG", "LD_PRELOAD"};
	struct json *request = json_new_object(), *argv = json_new_array();
	const char *program = ONE_OF(programs);
	(void)json_set_str(request, "program", program);
	(void)json_set_str(request, "resolved", ONE_OF(programs));
	(void)json_push(argv, json_new_string(strrchr(program, '/') + 1));
	for (unsigned i = pick(4); i > 0; i--)
		(void)json_push(argv, json_new_string(ONE_OF(words)));
	(void)json_set(request, "argv", argv);
	(void)json_set(request, "env", random_texts(env, ARRAY_LEN(env), pick(2)));
	return request;
}

static struct json *
random_http(void)
{
	static const char *const methods[] = {"GET", "POST", "get"};
	struct json *request = json_new_object();
	(void)json_set_str(request, "scheme", "https");
	(void)json_set_str(request, "host", ONE_OF(hosts));
	(void)json_set_int(request, "port", 443);
	(void)json_set_str(request, "method", ONE_OF(methods));
	(void)json_set_str(request, "path", ONE_OF(paths));
	return request;
}

static struct json *
random_sql(void)
{
	static const char *const functions[] = {"f", "count", "pg_sleep"};
	struct json *request = json_new_object(), *statements = json_new_array();
	(void)json_set_str(request, "database", pick(4) == 0 ? "other" : "db");
	for (unsigned i = 1 + pick(2); i > 0; i--) {
		struct json *statement = json_new_object();
		(void)json_set_str(statement, "verb", ONE_OF(verbs));
		(void)json_set(statement, "tables", random_texts(tables, ARRAY_LEN(tables), 2));
		(void)json_set(
		    statement, "functions", random_texts(functions, ARRAY_LEN(functions), pick(2)));
		(void)json_set_bool(statement, "where", pick(2) == 0);
		(void)json_push(statements, statement);
	}
	(void)json_set(request, "statements", statements);
	return request;
}

static struct json *
random_action(void)
{
	static const char *const kinds[] = {"exec", "http", "sql"};
	static const char *const effects[] = {"read", "write", "privileged"};
	unsigned kind = pick(ARRAY_LEN(kinds));
	struct json *action = json_new_object(), *facts = json_new_object();
	(void)json_set_str(action, "kind", kinds[kind]);
	(void)json_set_str(action, "effect", ONE_OF(effects));
	(void)json_set_bool(action, "opaque", pick(8) == 0);
	(void)json_set_bool(action, "reversible", pick(2) == 0);
	if (pick(3) == 0)
		(void)json_set_int(facts, "rows_estimated", pick(3000));
	if (pick(3) == 0)
		(void)json_set_bool(facts, "first_seen", true);
	(void)json_set(action, "facts", facts);
	(void)json_set(action, "request",
	    kind == 0       ? random_exec()
		: kind == 1 ? random_http()
			    : random_sql());
	return action;
}

/* ---- one round ---- */

struct round {
	struct buf rules[RULES];
	unsigned n;
	const char *risk; /* the risk section, or "" */
	struct json *action;
};

static const char *const risks[] = {"", "risk: {review_at: 30, data: {t: customer}}\n",
    "risk: {review_at: 20, deny_at: 60, data: {\"*\": secret}}\n"};

static void
round_begin(struct round *r)
{
	static const char *const effects[] = {"allow", "allow", "review", "deny"};
	r->n = 1 + pick(RULES);
	for (unsigned i = 0; i < r->n; i++) {
		buf_init(&r->rules[i], 4096);
		add_rule(&r->rules[i], i, ONE_OF(effects));
	}
	r->risk = ONE_OF(risks);
	r->action = random_action();
}

static void
round_end(struct round *r)
{
	for (unsigned i = 0; i < r->n; i++)
		buf_done(&r->rules[i]);
	json_free(r->action);
}

/* Loads the rules in the order ORDER (NULL: as they are), with MORE behind them. */
static struct policy *
round_load(const struct round *r, const unsigned *order, const char *more, const char *risk)
{
	struct buf text;
	buf_init(&text, POLICY_BYTES_MAX);
	(void)buf_add_str(&text, HEAD "rules:\n");
	for (unsigned i = 0; i < r->n; i++)
		(void)buf_add_str(&text, buf_str(&r->rules[order != NULL ? order[i] : i]));
	(void)buf_addf(&text, "%s%s", more, risk);
	struct policy *policy = load(buf_str(&text));
	buf_done(&text);
	return policy;
}

/* The decision as text, so that two can be compared whole. */
static void
decision_text(
    const struct policy *policy, const struct json *action, struct decision *d, struct buf *out)
{
	policy_decide(policy, action, d);
	_cleanup_json_ struct json *v = decision_to_json(d);
	buf_clear(out);
	assert_int_equal(json_write(v, out), 0);
}

static void
fail_round(const struct round *r, const char *what)
{
	struct buf out;
	buf_init(&out, 65536);
	for (unsigned i = 0; i < r->n; i++)
		(void)buf_add_str(&out, buf_str(&r->rules[i]));
	(void)buf_add_str(&out, r->risk);
	assert_int_equal(json_write(r->action, &out), 0);
	fail_msg("%s\n%s", what, buf_str(&out));
}

static void
the_order_of_rules_does_not_matter(void **state)
{
	seed = 0x9e3779b97f4a7c15u;
	struct buf texts[2];
	buf_init(&texts[0], 8192);
	buf_init(&texts[1], 8192);
	unsigned verdicts[3] = {0};
	for (int round = 0; round < ROUNDS; round++) {
		struct round r;
		struct decision d;
		round_begin(&r);
		unsigned order[RULES];
		for (unsigned i = 0; i < r.n; i++) {
			unsigned at = pick(i + 1);
			order[i] = order[at];
			order[at] = i;
		}
		struct policy *one = round_load(&r, NULL, "", r.risk),
			      *other = round_load(&r, order, "", r.risk);
		decision_text(one, r.action, &d, &texts[0]);
		decision_text(other, r.action, &d, &texts[1]);
		verdicts[d.verdict]++;
		if (strcmp(buf_str(&texts[0]), buf_str(&texts[1])) != 0)
			fail_round(&r, "another order gives another decision");
		policy_free(one);
		policy_free(other);
		round_end(&r);
	}
	/* The vocabulary is small enough that all three verdicts are common; else this tests nothing. */
	assert_in_range(verdicts[VERDICT_DENY], ROUNDS / 20, ROUNDS);
	assert_in_range(verdicts[VERDICT_REVIEW], ROUNDS / 50, ROUNDS);
	assert_in_range(verdicts[VERDICT_ALLOW], ROUNDS / 50, ROUNDS);
	buf_done(&texts[0]);
	buf_done(&texts[1]);
}

static void
adding_a_deny_rule_never_loosens_and_a_whole_one_denies(void **state)
{
	seed = 0xda942042e4dd58b5u;
	for (int round = 0; round < ROUNDS; round++) {
		struct round r;
		struct decision before, after;
		struct buf more;
		buf_init(&more, 4096);
		round_begin(&r);
		add_rule(&more, 99, "deny");
		struct policy *policy = round_load(&r, NULL, "", r.risk);
		struct policy *tighter = round_load(&r, NULL, buf_str(&more), r.risk);
		struct policy *none = round_load(&r, NULL,
		    "  - {name: x1, deny: exec, program: any}\n"
		    "  - {name: x2, deny: http}\n  - {name: x3, deny: sql}\n",
		    r.risk);
		policy_decide(policy, r.action, &before);
		policy_decide(tighter, r.action, &after);
		if (after.verdict > before.verdict)
			fail_round(&r, buf_str(&more));
		policy_decide(none, r.action, &after);
		if (after.verdict != VERDICT_DENY)
			fail_round(&r, "a rule that denies all of a kind did not");
		policy_free(policy);
		policy_free(tighter);
		policy_free(none);
		buf_done(&more);
		round_end(&r);
	}
}

/* Makes ACTION riskier in one way, and otherwise leaves it as it is. */
static void
add_risk(struct json *action)
{
	static const char *const flags[] = {"first_seen", "burst", "outside_hours", "recursive"};
	struct json *facts = json_get(action, "facts");
	switch (pick(5)) {
	case 0:
		(void)json_set_bool(action, "opaque", true);
		break;
	case 1:
		(void)json_set_bool(action, "reversible", false);
		break;
	case 2:
		(void)json_set_str(action, "effect", "privileged");
		break;
	case 3:
		(void)json_set_int(
		    facts, "rows_estimated", json_get_int(facts, "rows_estimated", 0) + 5000);
		break;
	default:
		(void)json_set_bool(facts, ONE_OF(flags), true);
	}
}

static void
adding_risk_never_loosens(void **state)
{
	seed = 0xc2b2ae3d27d4eb4fu;
	for (int round = 0; round < ROUNDS; round++) {
		struct round r;
		struct decision before, after;
		round_begin(&r);
		struct policy *policy = round_load(&r, NULL, "", r.risk);
		struct policy *without = round_load(&r, NULL, "", "");
		policy_decide(without, r.action, &before);
		policy_decide(policy, r.action, &after);
		if (after.verdict > before.verdict)
			fail_round(&r, "a risk section loosened");
		before = after;
		add_risk(r.action);
		policy_decide(policy, r.action, &after);
		if (after.verdict > before.verdict || after.risk < before.risk)
			fail_round(&r, "a riskier action was treated better");
		policy_free(policy);
		policy_free(without);
		round_end(&r);
	}
}

static void
without_a_rule_that_permits_everything_is_denied(void **state)
{
	seed = 0x165667b19e3779f9u;
	for (int round = 0; round < ROUNDS; round++) {
		struct round r;
		struct decision d;
		round_begin(&r);
		for (unsigned i = 0; i < r.n; i++) {
			buf_clear(&r.rules[i]);
			add_rule(&r.rules[i], i, "deny");
		}
		struct policy *policy = round_load(&r, NULL, "", r.risk);
		policy_decide(policy, r.action, &d);
		if (d.verdict != VERDICT_DENY || d.needed[0] == 0)
			fail_round(&r, "allowed by nothing");
		policy_free(policy);
		round_end(&r);
	}
}

static void
an_action_that_cannot_be_read_is_denied(void **state)
{
	static const char *const needed[] = {"kind", "request"};
	static const char *const typed[] = {
	    "effect", "opaque", "reversible", "facts", "kind", "request"};
	seed = 0x27d4eb2f165667c5u;
	struct policy *policy =
	    load_rules("  - {name: a, allow: exec, program: any}\n"
		       "  - {name: b, allow: http, hosts: any, methods: any}\n"
		       "  - {name: c, allow: sql, database: any, statements: any, tables: any}\n");
	for (int round = 0; round < ROUNDS; round++) {
		struct decision d;
		_cleanup_json_ struct json *action = random_action();
		if (pick(2) == 0)
			json_unset(action, ONE_OF(needed));
		else
			(void)json_set_int(action, ONE_OF(typed), 7);
		policy_decide(policy, action, &d);
		assert_int_equal(d.verdict, VERDICT_DENY);
		assert_int_equal(d.risk, 100);
	}
	policy_free(policy);
}

static void
the_index_finds_every_rule_that_meets_an_action(void **state)
{
	seed = 0x85ebca77c2b2ae63u;
	unsigned met = 0;
	for (int round = 0; round < ROUNDS; round++) {
		struct round r;
		struct subject s;
		char why[200];
		round_begin(&r);
		struct policy *policy = round_load(&r, NULL, "", "");
		assert_int_equal(subject_read(&s, r.action, why, sizeof(why)), 0);
		for (size_t i = 0; i < policy->n_rules; i++) {
			const struct rule *rule = &policy->rules[i], *found;
			if (!rule_permits(rule, &s) && !rule_touches(rule, &s))
				continue;
			met++;
			struct index_walk w = index_walk(policy, &s);
			while ((found = index_next(&w)) != NULL && found != rule)
				;
			if (found == NULL)
				fail_round(&r, rule->name);
		}
		policy_free(policy);
		round_end(&r);
	}
	assert_in_range(met, ROUNDS / 4, ROUNDS * RULES);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_order_of_rules_does_not_matter),
	    cmocka_unit_test(adding_a_deny_rule_never_loosens_and_a_whole_one_denies),
	    cmocka_unit_test(adding_risk_never_loosens),
	    cmocka_unit_test(without_a_rule_that_permits_everything_is_denied),
	    cmocka_unit_test(an_action_that_cannot_be_read_is_denied),
	    cmocka_unit_test(the_index_finds_every_rule_that_meets_an_action),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
