/* What recorded decisions needed of a policy: rules and members that are used, and those that are not. */
#include "helper.h"

#include "policy/policy.h"

#define ARGV(program, ...)                                                           \
	"{\"kind\":\"exec\",\"effect\":\"read\",\"request\":{\"program\":\"" program \
	"\",\"argv\":[" __VA_ARGS__ "]}}"

/* Decides each of ACTIONS (NULL-terminated) by POLICY and counts it; the usage, owned. */
static struct json *
usage_of(const struct policy *policy, const char *const *actions)
{
	struct policy_usage *usage = policy_usage_new(policy);
	assert_non_null(usage);
	for (int64_t at = 1; *actions != NULL; actions++, at++) {
		_cleanup_json_ struct json *action = parse(*actions);
		struct decision d;
		policy_decide(policy, action, &d);
		assert_int_equal(policy_usage_add(usage, action, d.rule, at), 0);
	}
	struct json *v = policy_usage_json(usage);
	policy_usage_free(usage);
	return v;
}

static const struct json *
rule_of(const struct json *usage, const char *name)
{
	for (size_t i = 0; i < json_len(usage); i++)
		if (strcmp(json_get_str(json_at(usage, i), "rule", ""), name) == 0)
			return json_at(usage, i);
	fail_msg("no rule %s", name);
	return NULL;
}

static void
assert_members(const struct json *usage, const char *rule, const char *expected)
{
	_cleanup_json_ struct json *want = parse(expected);
	const struct json *fields = json_get(rule_of(usage, rule), "fields");
	struct buf text;
	buf_init(&text, 1 << 16);
	assert_int_equal(json_write(fields, &text), 0);
	if (!json_equal(fields, want))
		fail_msg("%s: %s\nexpected %s", rule, buf_str(&text), expected);
	buf_done(&text);
}

static void
rules_and_members_that_nothing_needed_are_told_apart(void **state)
{
	struct policy *policy =
	    load_rules("  - {name: git, allow: exec, program: [/usr/bin/git, /usr/bin/tig], "
		       "subcommands: [log, show, blame],\n"
		       "     options: [--stat, \"-n *\"], operands: [src/**, doc/**]}\n"
		       "  - {name: never, deny: exec, program: /usr/bin/curl}\n");
	static const char *const actions[] = {
	    ARGV("/usr/bin/git", "\"git\",\"log\",\"--stat\",\"src/a\""),
	    ARGV("/usr/bin/git", "\"git\",\"show\",\"src/b/c\""), ARGV("/usr/bin/wc", "\"wc\""),
	    NULL};
	_cleanup_json_ struct json *usage = usage_of(policy, actions);
	assert_members(usage, "git",
	    "[{\"field\":\"program\",\"used\":[\"/usr/bin/git\"],\"unused\":[\"/usr/bin/tig\"]},"
	    "{\"field\":\"subcommands\",\"used\":[\"log\",\"show\"],\"unused\":[\"blame\"]},"
	    "{\"field\":\"options\",\"used\":[\"--stat\"],\"unused\":[\"-n *\"]},"
	    "{\"field\":\"operands\",\"used\":[\"src/**\"],\"unused\":[\"doc/**\"]}]");
	const struct json *git = rule_of(usage, "git"), *never = rule_of(usage, "never");
	assert_int_equal(json_get_int(git, "decided", -1), 2);
	assert_int_equal(json_get_int(git, "last_ms", -1), 2);
	assert_int_equal(json_get_int(never, "decided", -1), 0);
	assert_null(json_get(never, "last_ms"));
	policy_free(policy);
}

static void
of_two_members_that_permit_the_same_one_is_enough(void **state)
{
	struct policy *policy = load_rules(
	    "  - {name: a, allow: exec, program: /bin/cat, operands: [src/**, \"src/*\"]}\n");
	static const char *const actions[] = {ARGV("/bin/cat", "\"cat\",\"src/a\""),
	    ARGV("/bin/cat", "\"cat\",\"src/b\""), ARGV("/bin/cat", "\"cat\",\"src/c/d\""), NULL};
	_cleanup_json_ struct json *usage = usage_of(policy, actions);
	/* Either would do for the first two; the third needs the wider one. */
	const struct json *operands = json_at(json_get(rule_of(usage, "a"), "fields"), 1);
	bool has = false;
	for (size_t i = 0; i < json_len(json_get(operands, "used")); i++)
		has |= strcmp(json_str(json_at(json_get(operands, "used"), i), ""), "src/**") == 0;
	assert_true(has);
	policy_free(policy);
}

static void
an_allow_rule_behind_a_tightening_review_is_not_unused(void **state)
{
	struct policy *policy =
	    load_rules("  - {name: git, allow: exec, program: /usr/bin/git, subcommands: [log, "
		       "push], options: any, "
		       "operands: any}\n"
		       "  - {name: held, review: exec, program: /usr/bin/git, subcommands: [push], "
		       "options: [--force]}\n"
		       "  - {name: other, allow: exec, program: /usr/bin/svn}\n");
	static const char *const actions[] = {
	    ARGV("/usr/bin/git", "\"git\",\"push\",\"--force\",\"origin\""), NULL};
	_cleanup_json_ struct json *usage = usage_of(policy, actions);
	assert_int_equal(json_get_int(rule_of(usage, "held"), "decided", -1), 1);
	assert_int_equal(json_get_int(rule_of(usage, "git"), "decided", -1), 0);
	assert_int_equal(json_get_int(rule_of(usage, "git"), "supported", -1), 1);
	assert_int_equal(json_get_int(rule_of(usage, "other"), "supported", -1), 0);
	assert_members(usage, "git",
	    "[{\"field\":\"program\",\"used\":[\"/usr/bin/git\"],\"unused\":[]},"
	    "{\"field\":\"subcommands\",\"used\":[\"push\"],\"unused\":[\"log\"]}]");
	policy_free(policy);
}

static void
ports_hosts_and_tables_are_members_too(void **state)
{
	struct policy *policy = load_rules(
	    "  - {name: n, allow: net, hosts: [a.example, b.example], ports: [443, 8000-8010]}\n"
	    "  - {name: s, allow: sql, database: crm, statements: [select], tables: [t, u], "
	    "columns: any}\n");
	static const char *const actions[] = {
	    "{\"kind\":\"net\",\"request\":{\"host\":\"b.example\",\"port\":8003}}",
	    "{\"kind\":\"sql\",\"effect\":\"read\",\"request\":{\"database\":\"crm\",\"text\":"
	    "\"select 1 from u\","
	    "\"statements\":[{\"verb\":\"select\",\"tables\":[\"u\"],\"columns\":[],\"functions\":["
	    "]}]}}",
	    NULL};
	_cleanup_json_ struct json *usage = usage_of(policy, actions);
	assert_members(usage, "n",
	    "[{\"field\":\"hosts\",\"used\":[\"b.example\"],\"unused\":[\"a.example\"]},"
	    "{\"field\":\"ports\",\"used\":[\"8000-8010\"],\"unused\":[\"443\"]}]");
	assert_members(usage, "s",
	    "[{\"field\":\"database\",\"used\":[\"crm\"],\"unused\":[]},"
	    "{\"field\":\"statements\",\"used\":[\"select\"],\"unused\":[]},"
	    "{\"field\":\"tables\",\"used\":[\"u\"],\"unused\":[\"t\"]}]");
	policy_free(policy);
}

static void
what_is_not_in_the_record_is_unclear(void **state)
{
	struct policy *policy =
	    load_rules("  - {name: a, allow: exec, program: /bin/cat, operands: [src/**]}\n");
	struct policy_usage *usage = policy_usage_new(policy);
	static const char *const records[] = {
	    "{\"kind\":\"exec\",\"request\":{\"omitted_bytes\":70000,\"sha256\":\"x\"}}",
	    ARGV("/bin/cat", "\"cat\",\"[redacted:token:12345678]\""), "{}"};
	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		_cleanup_json_ struct json *action = parse(records[i]);
		assert_int_equal(policy_usage_add(usage, action, "a", 5), 0);
		assert_int_equal(policy_usage_add(usage, action, "gone", 5), 0);
		assert_int_equal(policy_usage_add(usage, action, NULL, 5), 0);
	}
	_cleanup_json_ struct json *v = policy_usage_json(usage);
	assert_int_equal(json_get_int(rule_of(v, "a"), "decided", -1), 3);
	assert_int_equal(json_get_int(rule_of(v, "a"), "unclear", -1), 3);
	policy_usage_free(usage);
	policy_free(policy);
}

/* ---- a policy of what was used decides the same ---- */

/* Appends FIELD of rule V, its used members only, as YAML. */
static void
add_field(struct buf *yaml, const struct json *field)
{
	const struct json *used = json_get(field, "used");
	if (json_len(used) == 0) {
		(void)buf_addf(yaml, ", %s: none", json_get_str(field, "field", ""));
		return;
	}
	(void)buf_addf(yaml, ", %s: [", json_get_str(field, "field", ""));
	for (size_t i = 0; i < json_len(used); i++)
		(void)buf_addf(yaml, "%s\"%s\"", i > 0 ? ", " : "", json_str(json_at(used, i), ""));
	(void)buf_add_str(yaml, "]");
}

static void
add_rule(struct buf *yaml, const struct json *rule)
{
	if (json_get_int(rule, "decided", 0) + json_get_int(rule, "supported", 0) == 0)
		return;
	(void)buf_addf(yaml, "  - {name: %s, %s: exec", json_get_str(rule, "rule", ""),
	    json_get_str(rule, "effect", ""));
	for (size_t i = 0; i < json_len(json_get(rule, "fields")); i++)
		add_field(yaml, json_at(json_get(rule, "fields"), i));
	(void)buf_add_str(yaml, "}\n");
}

static void
a_policy_of_the_used_parts_alone_decides_the_same(void **state)
{
	static const char *const words[] = {
	    "log", "push", "src/a", "src/b/c", "doc/x", "--stat", "-n"};
	static const char *const programs[] = {"/usr/bin/git", "/usr/bin/hg", "/bin/cat"};
	struct policy *policy =
	    load_rules("  - {name: a, allow: exec, program: [/usr/bin/git, /usr/bin/hg], "
		       "subcommands: [log, push, show],\n"
		       "     options: [--stat, -n], operands: [src/**, \"src/*\", doc/x, doc/**]}\n"
		       "  - {name: b, allow: exec, program: [/bin/cat, /usr/bin/hg], options: "
		       "[-n], operands: [doc/**, log]}\n"
		       "  - {name: c, review: exec, program: [/usr/bin/git], subcommands: [push], "
		       "operands: [src/a]}\n"
		       "  - {name: d, deny: exec, program: [/usr/bin/hg, /bin/tac], operands: "
		       "[src/b/*, doc/y]}\n");
	uint32_t seed = 7;
	for (int round = 0; round < 60; round++) {
		struct policy_usage *usage = policy_usage_new(policy);
		struct json *actions[12];
		struct decision before[12], after;
		for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
			struct buf text;
			buf_init(&text, 4096);
			seed = seed * 1664525u + 1013904223u;
			(void)buf_addf(&text,
			    "{\"kind\":\"exec\",\"request\":{\"program\":\"%s\",\"argv\":[\"x\"",
			    programs[(seed >> 8) % ARRAY_LEN(programs)]);
			for (uint32_t n = (seed >> 20) % 4; n > 0; n--) {
				seed = seed * 1664525u + 1013904223u;
				(void)buf_addf(
				    &text, ",\"%s\"", words[(seed >> 8) % ARRAY_LEN(words)]);
			}
			(void)buf_add_str(&text, "]}}");
			actions[i] = parse(buf_str(&text));
			buf_done(&text);
			policy_decide(policy, actions[i], &before[i]);
			assert_int_equal(policy_usage_add(usage, actions[i], before[i].rule, 1), 0);
		}
		_cleanup_json_ struct json *v = policy_usage_json(usage);
		struct buf yaml;
		buf_init(&yaml, 1 << 16);
		(void)buf_add_str(&yaml, HEAD "rules:\n");
		for (size_t i = 0; i < json_len(v); i++)
			add_rule(&yaml, json_at(v, i));
		if (strstr(buf_str(&yaml), "name:  ") != NULL ||
		    strstr(buf_str(&yaml), "{") == NULL)
			(void)buf_add_str(&yaml, "  []\n");
		struct policy *reduced = load(buf_str(&yaml));
		for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
			policy_decide(reduced, actions[i], &after);
			if (after.verdict != before[i].verdict)
				fail_msg("%s", buf_str(&yaml));
			json_free(actions[i]);
		}
		buf_done(&yaml);
		policy_free(reduced);
		policy_usage_free(usage);
	}
	policy_free(policy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rules_and_members_that_nothing_needed_are_told_apart),
	    cmocka_unit_test(of_two_members_that_permit_the_same_one_is_enough),
	    cmocka_unit_test(an_allow_rule_behind_a_tightening_review_is_not_unused),
	    cmocka_unit_test(ports_hosts_and_tables_are_members_too),
	    cmocka_unit_test(what_is_not_in_the_record_is_unclear),
	    cmocka_unit_test(a_policy_of_the_used_parts_alone_decides_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
