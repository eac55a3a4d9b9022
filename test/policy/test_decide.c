/* Deciding: how rules combine, what risk does, what the other kinds match. */
#include "helper.h"

#include <stdio.h>

struct verdict_case {
	const char *action, *verdict;
};

static void
check_actions(const char *rules, const struct verdict_case *cases, size_t n)
{
	struct policy *policy = load_rules(rules);
	for (size_t i = 0; i < n; i++) {
		struct decision d = decide(policy, cases[i].action);
		if (strcmp(verdict_name(d.verdict), cases[i].verdict) != 0)
			fail_msg("%s\nexpected %s, got %s: %s", cases[i].action, cases[i].verdict,
			    verdict_name(d.verdict), d.reason);
	}
	policy_free(policy);
}

#define PUSH EXEC("/usr/bin/git", "[\"git\",\"push\"]")
#define LOG EXEC("/usr/bin/git", "[\"git\",\"log\"]")

static void
deny_wins_then_review_then_allow_then_nothing(void **state)
{
	static const char *const allow = "  - {name: a, allow: exec, program: /usr/bin/git}\n";
	static const char *const review =
	    "  - {name: r, review: exec, program: /usr/bin/git, subcommands: [push]}\n";
	static const char *const deny =
	    "  - {name: d, deny: exec, program: /usr/bin/git, subcommands: [push]}\n";
	char rules[600];
	struct policy *policy = load_rules(allow);
	assert_string_equal(decide(policy, PUSH).rule, "a");
	policy_free(policy);
	(void)snprintf(rules, sizeof(rules), "%s%s", allow, review);
	policy = load_rules(rules);
	assert_verdict(decide(policy, PUSH), "review");
	assert_string_equal(decide(policy, PUSH).rule, "r");
	assert_verdict(decide(policy, LOG), "allow");
	policy_free(policy);
	(void)snprintf(rules, sizeof(rules), "%s%s%s", deny, allow, review);
	policy = load_rules(rules);
	assert_verdict(decide(policy, PUSH), "deny");
	assert_string_equal(decide(policy, PUSH).rule, "d");
	assert_verdict(decide(policy, LOG), "allow");
	policy_free(policy);
}

static void
a_review_rule_also_holds_what_it_only_touches(void **state)
{
	/* `push --force -v` is not wholly within the review rule, but --force is what it is about. */
	struct policy *policy = load_rules("  - {name: a, allow: exec, program: /usr/bin/git}\n"
					   "  - {name: r, review: exec, program: /usr/bin/git, "
					   "subcommands: [push], with_options: [--force]}\n");
	struct decision d =
	    decide(policy, EXEC("/usr/bin/git", "[\"git\",\"push\",\"--force\",\"-v\"]"));
	assert_verdict(d, "review");
	assert_string_equal(d.rule, "r");
	assert_verdict(decide(policy, PUSH), "allow");
	policy_free(policy);
	/* By itself it permits nothing that it does not cover. */
	policy =
	    load_rules("  - {name: r, review: exec, program: /usr/bin/git, options: [--force]}\n");
	assert_verdict(
	    decide(policy, EXEC("/usr/bin/git", "[\"git\",\"--force\",\"-v\"]")), "deny");
	policy_free(policy);
}

static void
paths_that_the_record_leaves_out_may_be_any(void **state)
{
#define COMMIT(changes)                                                            \
	"{\"kind\":\"file\",\"effect\":\"write\",\"facts\":{\"changes\":" #changes \
	"},\"request\":{\"operation\":"                                            \
	"\"commit\",\"paths\":[\"out/a\",\"out/b\"]}}"
	static const struct verdict_case listed[] = {{COMMIT(2), "allow"}, {COMMIT(3), "deny"}};
	check_actions(
	    "  - {name: a, allow: file, operations: [commit], paths: [out/**]}\n", listed, 2);
	check_actions("  - {name: a, allow: file, operations: [commit]}\n"
		      "  - {name: d, deny: file, paths: [.git/**]}\n",
	    listed, 2);
	static const struct verdict_case any[] = {{COMMIT(2), "allow"}, {COMMIT(3), "allow"}};
	check_actions("  - {name: a, allow: file, operations: [commit]}\n", any, ARRAY_LEN(any));
}

static void
a_review_names_its_approvers_and_deadline(void **state)
{
	struct policy *policy = load(HEAD
	    "review: {approvals: [lead], timeout: 5m}\nrules:\n"
	    "  - {name: a, review: exec, program: /a}\n"
	    "  - {name: b, review: exec, program: /b, approvals: [dba, owner], timeout: 1h}\n");
	struct decision d = decide(policy, EXEC("/a", "[\"a\"]"));
	assert_int_equal(d.review.n_approvals, 1);
	assert_string_equal(d.review.approvals[0], "lead");
	assert_int_equal(d.review.timeout_ms, 300000);
	d = decide(policy, EXEC("/b", "[\"b\"]"));
	assert_int_equal(d.review.n_approvals, 2);
	assert_string_equal(d.review.approvals[1], "owner");
	assert_int_equal(d.review.timeout_ms, 3600000);
	assert_false(d.review.self_approve);
	assert_true(policy_needs_two_people(policy));
	policy_free(policy);
}

#define FOUNDING(rows, first_seen)                                                                 \
	"{\"kind\":\"sql\",\"target\":\"crm\",\"effect\":\"write\",\"reversible\":false,"          \
	"\"facts\":{\"rows_estimated\":" #rows ",\"first_seen\":" #first_seen                      \
	"},\"request\":{\"database\":\"crm\","                                                     \
	"\"text\":\"DELETE FROM inactive_users WHERE last_login < "                                \
	"'2025-01-01'\",\"statements\":[{\"verb\":"                                                \
	"\"delete\",\"tables\":[\"inactive_users\"],\"columns\":[\"last_login\"],\"functions\":[]" \
	","                                                                                        \
	"\"where\":true}]}}"

static const char founding_policy[] =
    HEAD "rules:\n"
	 "  - name: customer-bulk-write\n"
	 "    why: bulk changes of customer data are seen by people first\n"
	 "    review: sql\n"
	 "    database: crm\n"
	 "    statements: [update, delete]\n"
	 "    tables: [inactive_users]\n"
	 "    undo: none\n"
	 "risk:\n"
	 "  data: {inactive_users: customer}\n";

static void
the_founding_case_is_risk_87_critical_and_held(void **state)
{
	struct policy *policy = load(founding_policy);
	struct decision d = decide(policy, FOUNDING(12400, true));
	assert_verdict(d, "review");
	assert_string_equal(d.rule, "customer-bulk-write");
	assert_int_equal(d.risk, 87);
	assert_int_equal(d.band, RISK_CRITICAL);
	assert_false(d.reversible);
	static const struct {
		const char *name;
		int points;
	} parts[] = {{"bulk", 30}, {"data", 25}, {"irreversible", 20}, {"first-seen", 12}};
	assert_int_equal(d.n_parts, ARRAY_LEN(parts));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		assert_string_equal(d.parts[i].name, parts[i].name);
		assert_int_equal(d.parts[i].points, parts[i].points);
	}
	struct buf out;
	buf_init(&out, 4096);
	_cleanup_json_ struct json *v = decision_to_json(&d);
	assert_int_equal(json_write(v, &out), 0);
	assert_string_equal(buf_str(&out),
	    "{\"decision\":\"review\",\"needed\":\"\",\"reason\":\"held for review by "
	    "rule customer-bulk-write: bulk changes of customer data are seen by people "
	    "first\",\"reversible\":false,"
	    "\"review\":{\"approvals\":[\"operator\"],\"self_approve\":false,\"timeout_ms\":900000}"
	    ","
	    "\"risk\":{\"band\":\"critical\",\"parts\":[{\"name\":\"bulk\",\"points\":30,"
	    "\"reason\":\"about 12400 rows\"},"
	    "{\"name\":\"data\",\"points\":25,\"reason\":\"customer data: "
	    "inactive_users\"},{\"name\":\"irreversible\","
	    "\"points\":20,\"reason\":\"cannot be taken "
	    "back\"},{\"name\":\"first-seen\",\"points\":12,\"reason\":"
	    "\"nothing like it was done "
	    "before\"}],\"score\":87},\"rule\":\"customer-bulk-write\"}");
	buf_done(&out);
	policy_free(policy);
}

static void
risk_only_tightens(void **state)
{
	struct policy *policy =
	    load(HEAD "rules:\n"
		      "  - {name: a, allow: sql, database: crm, statements: any, tables: any, "
		      "undo: before-images}\n"
		      "risk: {review_at: 30, deny_at: 60, data: {inactive_users: secret}}\n");
	struct decision d = decide(policy, FOUNDING(1, false));
	assert_int_equal(d.risk, 40);
	assert_verdict(d, "review");
	assert_string_equal(d.rule, "a");
	assert_true(d.reversible);
	d = decide(policy, FOUNDING(12400, false));
	assert_int_equal(d.risk, 70);
	assert_verdict(d, "deny");
	assert_string_equal(d.reason, "risk 70 (high) reaches deny_at 60");
	policy_free(policy);
	policy =
	    load(HEAD "rules:\n"
		      "  - {name: a, allow: sql, database: crm, statements: any, tables: any}\n"
		      "risk: {review_at: 30, weights: {bulk: 0, irreversible: 29}}\n");
	d = decide(policy, FOUNDING(12400, false));
	assert_int_equal(d.risk, 29);
	assert_verdict(d, "allow");
	policy_free(policy);
}

static void
bulk_is_many_rows_or_a_tenth_of_the_table_or_a_tree(void **state)
{
	static const struct {
		const char *facts;
		int risk;
	} cases[] = {{"{}", 0}, {"{\"rows_estimated\":1000}", 0}, {"{\"rows_estimated\":1001}", 30},
	    {"{\"rows_estimated\":10,\"table_rows\":100}", 0},
	    {"{\"rows_estimated\":11,\"table_rows\":100}", 30}, {"{\"recursive\":true}", 30},
	    {"{\"recursive\":true,\"burst\":true,\"outside_hours\":true}", 45}};
	struct policy *policy = load_rules("  - {name: a, allow: file, operations: any}\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char action[300];
		(void)snprintf(action, sizeof(action),
		    "{\"kind\":\"file\",\"effect\":\"read\",\"facts\":%s,\"request\":"
		    "{\"operation\":\"read\",\"paths\":[]}}",
		    cases[i].facts);
		assert_int_equal(decide(policy, action).risk, cases[i].risk);
	}
	policy_free(policy);
}

static void
working_hours_are_local_and_of_working_days(void **state)
{
	static const struct {
		int64_t wall_ms;
		bool outside;
	} cases[] = {
	    {1767600000000, false}, /* Monday 2026-01-05 08:00 UTC, 09:00 local */
	    {1767596340000, true},  /* 06:59 UTC, 07:59 local */
	    {1767596400000, false}, /* 07:00 UTC, 08:00 local */
	    {1767632400000, true},  /* 17:00 UTC, 18:00 local */
	    {1767513600000, true},  /* Sunday 08:00 UTC */
	    {-43200000, false},     /* Wednesday 1969-12-31 12:00 UTC */
	    {-302400000, true},     /* Sunday 1969-12-28 12:00 UTC */
	};
	struct policy *policy =
	    load(HEAD "risk: {hours: {from: \"08:00\", to: \"18:00\", utc_offset_minutes: 60}}\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(policy_outside_hours(policy, cases[i].wall_ms), cases[i].outside);
	policy_free(policy);
	policy = load(HEAD);
	assert_false(policy_outside_hours(policy, 0));
	policy_free(policy);
}

static void
what_is_opaque_is_never_simply_allowed(void **state)
{
	struct policy *policy = load_rules("  - {name: a, allow: exec, program: any}\n");
	struct decision d = decide(policy,
	    "{\"kind\":\"exec\",\"effect\":\"read\",\"opaque\":true,\"request\":"
	    "{\"program\":\"/a\",\"argv\":[\"a\"]}}");
	assert_verdict(d, "review");
	assert_int_equal(d.risk, 30);
	assert_string_equal(d.review.approvals[0], "operator");
	policy_free(policy);
}

static void
an_error_while_deciding_is_a_deny(void **state)
{
	static const char *const odd[] = {"{}", "null", "[]", "7", "{\"kind\":\"exec\"}",
	    "{\"kind\":\"nothing\",\"request\":{}}", "{\"kind\":\"exec\",\"request\":{}}",
	    "{\"kind\":\"exec\",\"effect\":\"odd\",\"request\":{\"program\":\"/"
	    "a\",\"argv\":[\"a\"]}}",
	    "{\"kind\":\"exec\",\"effect\":7,\"request\":{\"program\":\"/a\",\"argv\":[\"a\"]}}",
	    "{\"kind\":\"exec\",\"opaque\":1,\"request\":{\"program\":\"/a\",\"argv\":[\"a\"]}}",
	    "{\"kind\":\"exec\",\"facts\":[],\"request\":{\"program\":\"/a\",\"argv\":[\"a\"]}}",
	    "{\"kind\":\"exec\",\"facts\":{\"rows_estimated\":\"9\"},\"request\":{\"program\":\"/"
	    "a\",\"argv\":[\"a\"]}}",
	    "{\"kind\":\"http\",\"request\":{\"host\":7}}",
	    "{\"kind\":\"sql\",\"request\":{\"statements\":[]}}",
	    "{\"kind\":\"exec\",\"request\":{\"program\":\"/a\\u0000b\",\"argv\":[\"a\"]}}"};
	struct policy *policy =
	    load_rules("  - {name: a, allow: exec, program: any}\n"
		       "  - {name: b, allow: http, hosts: any, methods: any}\n"
		       "  - {name: c, allow: sql, database: any, statements: any, tables: any}\n");
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		struct decision d = decide(policy, odd[i]);
		if (d.verdict != VERDICT_DENY || d.risk != 100 || d.reason[0] == 0)
			fail_msg("%s: %s %d %s", odd[i], verdict_name(d.verdict), d.risk, d.reason);
	}
	policy_free(policy);
}

static void
a_denial_says_which_rule_would_be_needed(void **state)
{
	struct policy *policy = load_rules("  - {name: d, deny: exec, program: /a}\n");
	assert_string_equal(decide(policy, EXEC("/a", "[\"a\"]")).needed,
	    "rule d would have to go or be narrowed: a deny wins over every other rule");
	assert_string_equal(decide(policy, PUSH).needed,
	    "a rule `allow: exec` with program: /usr/bin/git that "
	    "permits its arguments (push …)");
	assert_string_equal(
	    decide(policy, "{\"kind\":\"net\",\"request\":{\"host\":\"a.example\",\"port\":22}}")
		.needed,
	    "a rule `allow: net` with hosts: [a.example] and ports: [22]");
	policy_free(policy);
}

#define HTTP(method, scheme, host, port, path, more)                                             \
	"{\"kind\":\"http\",\"effect\":\"read\",\"request\":{\"scheme\":\"" scheme               \
	"\",\"host\":\"" host "\",\"port\":" #port ",\"method\":\"" method "\",\"path\":\"" path \
	"\"" more "}}"

static void
http_rules_bound_every_part_of_a_request(void **state)
{
	static const struct verdict_case cases[] = {
	    {HTTP("GET", "https", "api.example.com", 443, "/repos/acme/x", ""), "allow"},
	    {HTTP("GET", "https", "API.example.com", 443, "/repos/acme/x/y", ""), "allow"},
	    {HTTP("POST", "https", "api.example.com", 443, "/repos/acme/x", ""), "deny"},
	    {HTTP("get", "https", "api.example.com", 443, "/repos/acme/x", ""), "deny"},
	    {HTTP("GET", "http", "api.example.com", 443, "/repos/acme/x", ""), "deny"},
	    {HTTP("GET", "https", "api.example.com", 8443, "/repos/acme/x", ""), "deny"},
	    {HTTP("GET", "https", "api.example.com.", 443, "/repos/acme/x", ""), "deny"},
	    {HTTP("GET", "https", "x.api.example.com", 443, "/repos/acme/x", ""), "deny"},
	    {HTTP("GET", "https", "api.example.com", 443, "/repos/other/x", ""), "deny"},
	    {HTTP("GET", "https", "api.example.com", 443, "/repos/acme/../other", ""), "deny"},
	    {HTTP("GET", "https", "api.example.com", 443, "/repos/acme/%2e%2e/other", ""), "deny"},
	    {HTTP("GET", "https", "api.example.com", 443, "/repos//acme/x", ""), "deny"},
	    {HTTP("GET", "https", "api.example.com", 443, "/repos/acme/x",
		 ",\"headers\":{\"Accept\":\"*/*\"}"),
		"allow"},
	    {HTTP("GET", "https", "api.example.com", 443, "/repos/acme/x",
		 ",\"headers\":{\"Authorization\":\"Bearer x\"}"),
		"deny"},
	    {HTTP("GET", "https", "api.example.com", 443, "/repos/acme/x",
		 ",\"headers\":{\"cookie\":\"x\"}"),
		"deny"},
	    {HTTP("PUT", "https", "up.example.com", 443, "/x",
		 ",\"body_bytes\":10,\"headers\":{\"content-type\":\"application/json; "
		 "charset=utf-8\"}"),
		"allow"},
	    {HTTP("PUT", "https", "up.example.com", 443, "/x",
		 ",\"body_bytes\":10,\"headers\":{\"content-type\":\"text/html\"}"),
		"deny"},
	    {HTTP("PUT", "https", "up.example.com", 443, "/x", ",\"body_bytes\":10"), "deny"},
	    {HTTP("PUT", "https", "up.example.com", 443, "/x",
		 ",\"body_bytes\":1025,\"headers\":{\"content-type\":\"application/json\"}"),
		"deny"},
	    {HTTP("PUT", "https", "up.example.com", 443, "/x",
		 ",\"body_bytes\":1,\"headers\":{\"content-type\":\"application/"
		 "json\",\"X-Odd\":\"1\"}"),
		"deny"},
	    {HTTP("PUT", "https", "up.example.com", 443, "/x",
		 ",\"body_bytes\":1,\"headers\":{\"content-type\":\"application/"
		 "json\",\"x-trace-id\":\"1\"}"),
		"allow"},
	};
	check_actions("  - {name: a, allow: http, hosts: [api.example.com], methods: [GET],"
		      " paths: [/repos/acme/**], credential: c}\n"
		      "  - {name: b, allow: http, hosts: [up.example.com], methods: [PUT], "
		      "content_types: [application/json],"
		      " headers: [x-trace-*], limits: {body: 1KiB}}\n",
	    cases, ARRAY_LEN(cases));
}

static void
a_deny_rule_for_http_sees_through_spellings(void **state)
{
	static const struct verdict_case cases[] = {
	    {HTTP("GET", "https", "a.example.com", 443, "/x", ""), "allow"},
	    {HTTP("GET", "https", "a.example.com", 443, "/admin/x", ""), "deny"},
	    {HTTP("GET", "https", "a.example.com", 443, "/x/../admin/x", ""), "deny"},
	    {HTTP("GET", "https", "a.example.com", 443, "/%61dmin/x", ""), "deny"},
	    {HTTP("GET", "https", "a.example.com", 443, "//admin/x", ""), "deny"},
	    {HTTP("GET", "https", "evil.org", 443, "/", ""), "deny"},
	    {HTTP("GET", "https", "EVIL.org", 443, "/", ""), "deny"},
	    {HTTP("GET", "https", "a.b.evil.org", 443, "/", ""), "deny"},
	};
	check_actions("  - {name: a, allow: http, hosts: any, methods: any}\n"
		      "  - {name: d, deny: http, paths: [/admin/**]}\n"
		      "  - {name: e, deny: http, hosts: [evil.org, \"*.evil.org\"]}\n",
	    cases, ARRAY_LEN(cases));
}

#define NET(host, port)                                                        \
	"{\"kind\":\"net\",\"effect\":\"write\",\"request\":{\"host\":\"" host \
	"\",\"port\":" #port "}}"

static void
net_rules_bound_host_port_and_address(void **state)
{
	static const struct verdict_case cases[] = {
	    {NET("db.example.com", 5432), "allow"},
	    {NET("db.example.com", 5433), "deny"},
	    {NET("other.example.com", 5432), "deny"},
	    {NET("10.1.2.3", 5432), "allow"},
	    {NET("11.1.2.3", 5432), "deny"},
	    {NET("0x0a.1.2.3", 5432), "deny"},
	    {NET("a.example.org", 8005), "allow"},
	    {NET("a.example.org", 8011), "deny"},
	    {NET("169.254.169.254", 80), "deny"},
	};
	check_actions("  - {name: a, allow: net, hosts: [db.example.com], ports: [5432], "
		      "addresses: [10.0.0.0/8]}\n"
		      "  - {name: b, allow: net, hosts: any, ports: [80, 8000-8010]}\n"
		      "  - {name: d, deny: net, addresses: [169.254.0.0/16]}\n",
	    cases, ARRAY_LEN(cases));
}

#define SQL(statements)                                                                            \
	"{\"kind\":\"sql\",\"effect\":\"write\",\"request\":{\"database\":\"crm\",\"text\":\"x\"," \
	"\"statements\":[" statements "]}}"
#define STATEMENT(verb, tables, more) "{\"verb\":\"" verb "\",\"tables\":" tables more "}"

static void
sql_rules_bound_every_statement(void **state)
{
	static const struct verdict_case cases[] = {
	    {SQL(STATEMENT("select", "[\"customers\"]", "")), "allow"},
	    {SQL(STATEMENT("select", "[\"public.customers\",\"invoices\"]", "")), "allow"},
	    {SQL(STATEMENT("select", "[\"customers\",\"secrets\"]", "")), "deny"},
	    {SQL(STATEMENT("select", "[]", "")), "allow"},
	    {SQL("{\"verb\":\"select\"}"), "deny"},
	    {SQL(""), "deny"},
	    {SQL(STATEMENT("select", "[\"customers\"]", "") "," STATEMENT(
		 "drop", "[\"customers\"]", "")),
		"deny"},
	    {SQL(STATEMENT(
		 "select", "[\"customers\"]", ",\"functions\":[\"count\",\"pg_catalog.sum\"]")),
		"allow"},
	    {SQL(STATEMENT("select", "[\"customers\"]", ",\"functions\":[\"pg_read_file\"]")),
		"deny"},
	    {SQL(STATEMENT("select", "[\"customers\"]", ",\"functions\":[\"evil.count\"]")),
		"deny"},
	    {SQL(STATEMENT("update", "[\"customers\"]", ",\"where\":true,\"columns\":[\"phone\"]")),
		"allow"},
	    {SQL(STATEMENT(
		 "update", "[\"customers\"]", ",\"where\":false,\"columns\":[\"phone\"]")),
		"deny"},
	    {SQL(STATEMENT(
		 "update", "[\"customers\"]", ",\"where\":true,\"columns\":[\"customers.rank\"]")),
		"deny"},
	    {SQL(STATEMENT("update", "[\"customers\"]", ",\"where\":true")), "deny"},
	    {SQL(STATEMENT("select", "[\"audit\"]", "")), "deny"},
	};
	check_actions(
	    "  - {name: a, allow: sql, database: crm, statements: [select], tables: [customers, "
	    "invoices, audit]}\n"
	    "  - {name: b, allow: sql, database: crm, statements: [update], tables: [customers],"
	    " columns: [phone, customers.mail], where: required}\n"
	    "  - {name: d, deny: sql, tables: [audit]}\n",
	    cases, ARRAY_LEN(cases));
}

#define TOOL(tool, arguments)                                                   \
	"{\"kind\":\"tool\",\"effect\":\"write\",\"request\":{\"tool\":\"" tool \
	"\",\"arguments\":" arguments "}}"

static void
tool_rules_bound_each_argument(void **state)
{
	static const struct verdict_case cases[] = {
	    {TOOL("pay", "{\"to\":\"acme\",\"amount\":5}"), "allow"},
	    {TOOL("pay", "{\"to\":\"acme\"}"), "allow"},
	    {TOOL("pay", "{\"amount\":5}"), "deny"},
	    {TOOL("pay", "{\"to\":\"acme\",\"amount\":101}"), "deny"},
	    {TOOL("pay", "{\"to\":\"acme\",\"amount\":\"5\"}"), "deny"},
	    {TOOL("pay", "{\"to\":\"evil\",\"amount\":5}"), "deny"},
	    {TOOL("pay", "{\"to\":\"acme\",\"amount\":5,\"memo\":\"x\"}"), "deny"},
	    {TOOL("search_web", "{}"), "allow"},
	    {TOOL("send", "{\"amount\":\"2000\"}"), "deny"},
	    {TOOL("send", "{\"amount\":10}"), "allow"},
	    {TOOL("send", "{\"amount\":1000}"), "deny"},
	};
	check_actions("  - name: a\n    allow: tool\n    tools: [pay]\n    arguments:\n"
		      "      to: {type: string, values: [acme, beta], required: true}\n"
		      "      amount: {type: integer, min: 1, max: 100}\n"
		      "  - {name: b, allow: tool, tools: [\"search_*\", send]}\n"
		      "  - {name: d, deny: tool, tools: any, arguments: {amount: {min: 1000}}}\n",
	    cases, ARRAY_LEN(cases));
}

#define MODEL(provider, model, tokens)                                                  \
	"{\"kind\":\"model\",\"effect\":\"read\",\"request\":{\"provider\":\"" provider \
	"\",\"model\":\"" model "\"" tokens "}}"
#define GIT(host, repository, operation, refs)                                 \
	"{\"kind\":\"git\",\"effect\":\"write\",\"request\":{\"host\":\"" host \
	"\",\"repository\":\"" repository "\",\"operation\":\"" operation "\",\"refs\":" refs "}}"
#define FILE_(operation, path, bytes)                                                     \
	"{\"kind\":\"file\",\"effect\":\"write\",\"request\":{\"operation\":\"" operation \
	"\",\"paths\":[\"" path "\"],\"bytes\":" #bytes "}}"

static void
model_git_and_file_rules_bound_what_they_name(void **state)
{
	static const struct verdict_case cases[] = {
	    {MODEL("acme", "small-1", ",\"tokens\":100"), "allow"},
	    {MODEL("acme", "small-1", ",\"tokens\":101"), "deny"},
	    {MODEL("acme", "small-1", ""), "deny"},
	    {MODEL("acme", "large", ",\"tokens\":1"), "deny"},
	    {MODEL("other", "small-1", ",\"tokens\":1"), "deny"},
	    {GIT("git.example", "acme/app", "fetch", "[]"), "allow"},
	    {GIT("git.example", "acme/app", "push", "[{\"name\":\"refs/heads/agent/x\"}]"),
		"allow"},
	    {GIT("git.example", "acme/app", "push", "[{\"name\":\"refs/heads/main\"}]"), "deny"},
	    {GIT("git.example", "acme/app", "push", "[{\"name\":\"refs/tags/agent/x\"}]"), "deny"},
	    {GIT("git.example", "acme/app", "push",
		 "[{\"name\":\"refs/heads/agent/x\",\"force\":true}]"),
		"deny"},
	    {GIT("git.example", "acme/app", "push",
		 "[{\"name\":\"refs/heads/agent/x\",\"delete\":true}]"),
		"deny"},
	    {GIT("git.example", "acme/app", "push", "[{\"name\":\"refs/heads/agent/../main\"}]"),
		"deny"},
	    {GIT("git.example", "acme/app", "push", "[]"), "deny"},
	    {GIT("git.example", "other/app", "fetch", "[]"), "deny"},
	    {FILE_("commit", "out/a.csv", 10), "allow"},
	    {FILE_("commit", "out/a.csv", 2000), "deny"},
	    {FILE_("commit", "src/a.c", 10), "deny"},
	    {FILE_("commit", "out/../src/a.c", 10), "deny"},
	    {FILE_("delete", "out/a.csv", 10), "deny"},
	    {FILE_("commit", "out/.git/config", 10), "deny"},
	};
	check_actions("  - {name: m, allow: model, providers: [acme], models: [\"small-*\"], "
		      "limits: {tokens: 100}}\n"
		      "  - {name: g, allow: git, hosts: [git.example], repositories: [acme/*], "
		      "operations: [fetch, push],"
		      " branches: [agent/**]}\n"
		      "  - {name: f, allow: file, operations: [commit], paths: [out/**], limits: "
		      "{bytes: 1KiB}}\n"
		      "  - {name: d, deny: file, paths: [\"**/.git/**\"]}\n",
	    cases, ARRAY_LEN(cases));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(deny_wins_then_review_then_allow_then_nothing),
	    cmocka_unit_test(a_review_rule_also_holds_what_it_only_touches),
	    cmocka_unit_test(paths_that_the_record_leaves_out_may_be_any),
	    cmocka_unit_test(a_review_names_its_approvers_and_deadline),
	    cmocka_unit_test(the_founding_case_is_risk_87_critical_and_held),
	    cmocka_unit_test(risk_only_tightens),
	    cmocka_unit_test(bulk_is_many_rows_or_a_tenth_of_the_table_or_a_tree),
	    cmocka_unit_test(working_hours_are_local_and_of_working_days),
	    cmocka_unit_test(what_is_opaque_is_never_simply_allowed),
	    cmocka_unit_test(an_error_while_deciding_is_a_deny),
	    cmocka_unit_test(a_denial_says_which_rule_would_be_needed),
	    cmocka_unit_test(http_rules_bound_every_part_of_a_request),
	    cmocka_unit_test(a_deny_rule_for_http_sees_through_spellings),
	    cmocka_unit_test(net_rules_bound_host_port_and_address),
	    cmocka_unit_test(sql_rules_bound_every_statement),
	    cmocka_unit_test(tool_rules_bound_each_argument),
	    cmocka_unit_test(model_git_and_file_rules_bound_what_they_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
