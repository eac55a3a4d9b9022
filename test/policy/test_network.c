/* The network's side of policies: reach, listeners, terms, and what net, http and git rules permit. */
#include "helper.h"

#include <stdio.h>

static void
assert_reach(const struct policy *policy, const char *host, int port, const char *expected)
{
	struct policy_reach reach = policy_reach(policy, host, port);
	char got[8];
	(void)snprintf(got, sizeof(got), "%s%s%s%s", reach.raw ? "r" : "", reach.plain ? "p" : "",
	    reach.intercept ? "i" : "", reach.git ? "g" : "");
	if (strcmp(got, expected) != 0)
		fail_msg("%s:%d: got \"%s\", expected \"%s\"", host, port, got, expected);
}

static void
reach_is_what_some_rule_could_permit(void **state)
{
	struct policy *policy = load_rules(
	    "  - {name: a, allow: http, hosts: [\"*.example.com\"], methods: [GET]}\n"
	    "  - {name: b, allow: http, hosts: [plain.example], methods: [GET], schemes: [http]}\n"
	    "  - {name: c, review: net, hosts: [db.example], ports: [5432, 6000-6002]}\n"
	    "  - {name: d, allow: git, hosts: [git.example], repositories: any, operations: any, "
	    "ports: [443, 8443]}\n"
	    "  - {name: e, allow: net, hosts: [\"10.1.2.3\"], ports: any}\n"
	    "  - {name: f, deny: http, hosts: [bad.example.com]}\n"
	    "  - {name: g, deny: http, hosts: [half.example.com], methods: [GET]}\n"
	    "  - {name: h, deny: net, hosts: [db.example], ports: [6001]}\n");
	static const struct {
		const char *host;
		int port;
		const char *reach;
	} cases[] = {
	    {"www.example.com", 0, "i"},
	    {"www.example.com", 443, "i"},
	    {"www.example.com", 80, ""},
	    {"example.com", 443, ""},
	    {"a.b.example.com", 443, ""},
	    {"bad.example.com", 443, ""},
	    {"bad.example.com", 0, ""},
	    {"half.example.com", 443, "i"},
	    {"plain.example", 0, "p"},
	    {"plain.example", 80, "p"},
	    {"plain.example", 443, ""},
	    {"db.example", 0, "r"},
	    {"db.example", 6000, "r"},
	    {"db.example", 6001, ""},
	    {"db.example", 443, ""},
	    {"git.example", 8443, "ig"},
	    {"git.example", 80, ""},
	    {"10.1.2.3", 1, "r"},
	    {"10.1.2.4", 1, ""},
	    {"www.example.com.", 443, ""},
	    {"", 443, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_reach(policy, cases[i].host, cases[i].port, cases[i].reach);
	policy_free(policy);
}

static void
assert_network(const char *rules, const char *expected, const char *notes)
{
	struct policy *policy = load_rules(rules);
	_cleanup_json_ struct json *sandbox = policy_sandbox(policy);
	struct buf out;
	buf_init(&out, 1 << 20);
	if (json_get(sandbox, "network") != NULL)
		assert_int_equal(json_write(json_get(sandbox, "network"), &out), 0);
	assert_string_equal(buf_str(&out), expected);
	buf_clear(&out);
	policy_notes(policy, &out);
	assert_string_equal(buf_str(&out), notes);
	buf_clear(&out);
	assert_true(policy_enforceable(policy, &out));
	buf_done(&out);
	policy_free(policy);
}

#define ONLY_PROXY(rule)                                                                    \
	"rule " rule ": some of its ports are reached only through the proxy (HTTPS_PROXY)" \
	": a sandbox listens on 64 ports at most, and on 53 there is its resolver\n"

static void
a_sandbox_listens_on_the_ports_that_rules_name(void **state)
{
	assert_network("  - {name: a, allow: exec, program: any}\n"
		       "  - {name: d, deny: net, hosts: any, ports: [9]}\n",
	    "", "");
	assert_network("  - {name: a, allow: http, hosts: any, methods: any}\n",
	    "{\"ports\":[443],\"proxy_port\":3128}", "");
	assert_network(
	    "  - {name: a, allow: http, hosts: any, methods: any, schemes: [http, https]}\n"
	    "  - {name: b, review: git, hosts: any, repositories: any, operations: any}\n"
	    "  - {name: n, allow: net, hosts: any, ports: [22, 6000-6002, 80]}\n"
	    "  - {name: d, deny: net, hosts: any, ports: [9]}\n",
	    "{\"ports\":[22,80,443,6000,6001,6002],\"proxy_port\":3128}", "");
}

static void
ports_that_are_too_many_are_left_to_the_proxy_and_said(void **state)
{
	assert_network("  - {name: a, allow: net, hosts: any, ports: any}\n",
	    "{\"ports\":[],\"proxy_port\":3128}", ONLY_PROXY("a"));
	assert_network("  - {name: b, allow: net, hosts: any, ports: [1000-1100, 22]}\n"
		       "  - {name: c, allow: http, hosts: any, methods: any, ports: any}\n",
	    "{\"ports\":[22,443],\"proxy_port\":3128}", ONLY_PROXY("b") ONLY_PROXY("c"));
	assert_network("  - {name: d, allow: net, hosts: any, ports: [52-54]}\n"
		       "  - {name: p, allow: net, hosts: any, ports: [3128]}\n",
	    "{\"ports\":[52,54,3128],\"proxy_port\":3129}", ONLY_PROXY("d"));
}

static void
terms_are_what_a_rule_says_of_performing(void **state)
{
	struct policy *policy = load_rules(
	    "  - {name: a, allow: http, hosts: [x.example], methods: [GET], credential: c, "
	    "addresses: [10.0.0.0/8], limits: {body: 1KiB, response: 2KiB, time: 3s, "
	    "rate: 4KiB/s}}\n"
	    "  - {name: b, allow: net, hosts: any, ports: any, limits: {bytes: 9B}}\n"
	    "  - {name: c, allow: exec, program: any}\n");
	static const struct {
		const char *rule, *terms;
	} cases[] = {
	    {"a",
		"{\"addresses\":[\"10.0.0.0/"
		"8\"],\"credential\":\"c\",\"limits\":{\"body_bytes\":1024,"
		"\"bytes_per_s\":4096,\"response_bytes\":2048,\"time_ms\":3000}}"},
	    {"b", "{\"limits\":{\"bytes\":9}}"},
	    {"c", "{\"limits\":{}}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out;
		_cleanup_json_ struct json *terms = policy_rule_terms(policy, cases[i].rule);
		buf_init(&out, 4096);
		assert_int_equal(json_write(terms, &out), 0);
		assert_string_equal(buf_str(&out), cases[i].terms);
		buf_done(&out);
	}
	assert_null(policy_rule_terms(policy, "d"));
	assert_null(policy_rule_terms(policy, NULL));
	policy_free(policy);
}

#define HTTP(method, host, more)                                                                \
	"{\"kind\":\"http\",\"effect\":\"write\",\"request\":{\"scheme\":\"https\",\"method\":" \
	"\"" method "\",\"host\":\"" host "\",\"path\":\"/p\"" more "}}"

static void
what_is_performed_follows_the_rule_that_permits(void **state)
{
	struct policy *policy =
	    load_rules("  - {name: permits, allow: http, hosts: any, methods: any, credential: c}\n"
		       "  - {name: another, allow: http, hosts: any, methods: any}\n"
		       "  - {name: posts, review: http, hosts: any, methods: [POST]}\n"
		       "  - {name: big, review: http, hosts: [big.example], methods: any, paths: "
		       "[/p], headers: "
		       "[x-big]}\n");
	struct decision d = decide(policy, HTTP("GET", "x.example", ""));
	assert_verdict(d, "allow");
	/* The rule with the credential is taken before one without. */
	assert_string_equal(d.rule, "permits");
	assert_string_equal(d.permits, "permits");
	d = decide(policy, HTTP("GET", "x.example", ",\"headers\":{\"authorization\":\"mine\"}"));
	assert_string_equal(d.permits, "another");
	d = decide(policy, HTTP("POST", "x.example", ""));
	assert_verdict(d, "review");
	assert_string_equal(d.permits, "posts");
	/* A review rule that only touches tightens; what it permits is not meant. */
	d = decide(
	    policy, HTTP("GET", "big.example", ",\"headers\":{\"x-big\":\"1\",\"x-other\":\"1\"}"));
	assert_verdict(d, "review");
	assert_string_equal(d.rule, "big");
	assert_string_equal(d.permits, "permits");
	policy_free(policy);
}

static void
a_body_of_unknown_size_is_permitted_where_its_type_is(void **state)
{
	struct policy *policy = load_rules(
	    "  - {name: a, allow: http, hosts: [small.example], methods: any, limits: {body: "
	    "10B}}\n"
	    "  - {name: b, allow: http, hosts: [json.example], methods: any, content_types: "
	    "[application/json]}\n");
	static const struct {
		const char *action, *verdict;
	} cases[] = {
	    {HTTP("POST", "small.example", ",\"body_bytes\":10"), "allow"},
	    {HTTP("POST", "small.example", ",\"body_bytes\":11"), "deny"},
	    {HTTP("POST", "small.example", ",\"body_bytes\":-1"), "allow"},
	    {HTTP("POST", "small.example", ",\"body_bytes\":-2"), "deny"},
	    {HTTP("POST", "json.example", ",\"body_bytes\":-1"), "deny"},
	    {HTTP("POST", "json.example",
		 ",\"body_bytes\":-1,\"headers\":{\"content-type\":\"application/json\"}"),
		"allow"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_verdict(decide(policy, cases[i].action), cases[i].verdict);
	policy_free(policy);
}

static void
headers_that_some_servers_take_for_method_path_or_host_must_be_listed(void **state)
{
	static const char *const names[] = {"x-http-method-override", "x-http-method",
	    "x-method-override", "x-original-url", "x-rewrite-url", "x-forwarded-host",
	    "forwarded"};
	struct policy *policy = load_rules(
	    "  - {name: a, allow: http, hosts: [absent.example], methods: [GET, POST]}\n"
	    "  - {name: l, allow: http, hosts: [listed.example], methods: [POST], headers: [x-*, "
	    "forwarded]}\n"
	    "  - {name: y, allow: http, hosts: [any.example], methods: [POST], headers: any}\n");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		static const char *const verdicts[][2] = {{"absent.example", "deny"},
		    {"listed.example", "allow"}, {"any.example", "allow"}};
		for (size_t k = 0; k < ARRAY_LEN(verdicts); k++) {
			char action[400];
			(void)snprintf(action, sizeof(action),
			    "{\"kind\":\"http\",\"target\":\"x\",\"request\":{\"scheme\":\"https\","
			    "\"host\":\"%s\",\"port\":443,\"method\":\"POST\",\"path\":\"/\","
			    "\"headers\":{\"%s\":\"x\"},\"body_bytes\":0}}",
			    verdicts[k][0], names[i]);
			assert_verdict(decide(policy, action), verdicts[k][1]);
		}
	}
	policy_free(policy);
}

static void
a_change_of_protocol_needs_a_rule_that_says_so(void **state)
{
	struct policy *policy = load_rules(
	    "  - {name: a, allow: http, hosts: [any.example], methods: any, headers: any}\n"
	    "  - {name: c, allow: http, hosts: [ws.example, no.example], methods: any, upgrades: "
	    "[websocket]}\n"
	    "  - {name: u, allow: http, hosts: [usual.example], methods: any, headers: none, "
	    "upgrades: "
	    "[websocket]}\n"
	    "  - {name: l, allow: http, hosts: [listed.example], methods: any, headers: [upgrade, "
	    "sec-websocket-*]}\n"
	    "  - {name: n, allow: http, hosts: [absent.example], methods: any}\n"
	    "  - {name: d, deny: http, hosts: [no.example], upgrades: [websocket]}\n");
#define UPGRADE_TO(what) ",\"headers\":{\"upgrade\":\"" what "\",\"sec-websocket-key\":\"x\"}"
#define UPGRADE UPGRADE_TO("websocket")
	assert_verdict(decide(policy, HTTP("GET", "any.example", UPGRADE)), "deny");
	assert_verdict(decide(policy, HTTP("GET", "ws.example", UPGRADE)), "allow");
	assert_verdict(decide(policy, HTTP("GET", "ws.example", UPGRADE_TO("other"))), "deny");
	assert_verdict(decide(policy, HTTP("GET", "ws.example", UPGRADE_TO("WebSocket"))), "allow");
	assert_verdict(decide(policy, HTTP("GET", "usual.example", UPGRADE)), "allow");
	assert_verdict(decide(policy, HTTP("GET", "listed.example", UPGRADE)), "allow");
	assert_verdict(decide(policy, HTTP("GET", "absent.example", UPGRADE)), "deny");
	assert_verdict(decide(policy, HTTP("GET", "ws.example", "")), "allow");
	assert_verdict(decide(policy, HTTP("GET", "no.example", UPGRADE)), "deny");
	assert_verdict(decide(policy, HTTP("GET", "no.example", "")), "allow");
	assert_reach(policy, "no.example", 443, "i");
	policy_free(policy);
}

#define GIT(where)                                                                        \
	"{\"kind\":\"git\",\"effect\":\"read\",\"request\":{\"repository\":\"acme/app\"," \
	"\"operation\":\"fetch\",\"refs\":[]," where "}}"

static void
git_rules_bound_port_and_scheme_as_http_rules_do(void **state)
{
	struct policy *policy = load_rules(
	    "  - {name: a, allow: git, hosts: [git.example], repositories: any, operations: any}\n"
	    "  - {name: b, allow: git, hosts: [lan.example], repositories: any, operations: any, "
	    "schemes: [http], ports: [80, 3000]}\n"
	    "  - {name: d, deny: git, hosts: [lan.example], ports: [80]}\n");
	static const struct {
		const char *action, *verdict;
	} cases[] = {
	    {GIT("\"host\":\"git.example\""), "allow"},
	    {GIT("\"host\":\"git.example\",\"scheme\":\"https\",\"port\":443"), "allow"},
	    {GIT("\"host\":\"git.example\",\"scheme\":\"http\""), "deny"},
	    {GIT("\"host\":\"git.example\",\"port\":8443"), "deny"},
	    {GIT("\"host\":\"lan.example\",\"scheme\":\"http\",\"port\":3000"), "allow"},
	    {GIT("\"host\":\"lan.example\",\"scheme\":\"http\""), "deny"},
	    {GIT("\"host\":\"lan.example\",\"port\":3000"), "deny"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_verdict(decide(policy, cases[i].action), cases[i].verdict);
	policy_free(policy);
}

static void
examples_of_the_network_are_decided(void **state)
{
	struct policy *policy =
	    load(HEAD "rules:\n"
		      "  - {name: g, allow: git, hosts: [git.example], repositories: [a/*], "
		      "operations: [fetch, "
		      "push], branches: [agent/**], ports: [443, 8443], schemes: [https, http]}\n"
		      "  - {name: h, allow: http, hosts: [h.example], methods: [GET, OPTIONS]}\n"
		      "  - {name: n, allow: net, hosts: [n.example], ports: [22]}\n"
		      "tests:\n"
		      "  - {git: fetch git.example/a/b, is: allow, by: g}\n"
		      "  - {git: \"fetch git.example:8443/a/b\", is: allow}\n"
		      "  - {git: \"fetch http://git.example:8443/a/b\", is: allow}\n"
		      "  - {git: \"fetch http://git.example/a/b\", is: deny}\n"
		      "  - {git: push https://git.example/a/b agent/x, is: allow, by: g}\n"
		      "  - {git: push git.example/a/b main, is: deny}\n"
		      "  - {git: delete git.example/a/b agent/x, is: deny}\n"
		      "  - {http: GET https://h.example/, is: allow, risk: 0}\n"
		      "  - {http: OPTIONS https://h.example/, is: allow, risk: 0}\n"
		      "  - {http: \"GET https://h.example:8443/\", is: deny}\n"
		      "  - {net: \"n.example:22\", is: allow}\n"
		      "  - {net: \"n.example:23\", is: deny}\n");
	policy_free(policy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reach_is_what_some_rule_could_permit),
	    cmocka_unit_test(a_sandbox_listens_on_the_ports_that_rules_name),
	    cmocka_unit_test(ports_that_are_too_many_are_left_to_the_proxy_and_said),
	    cmocka_unit_test(terms_are_what_a_rule_says_of_performing),
	    cmocka_unit_test(what_is_performed_follows_the_rule_that_permits),
	    cmocka_unit_test(a_body_of_unknown_size_is_permitted_where_its_type_is),
	    cmocka_unit_test(headers_that_some_servers_take_for_method_path_or_host_must_be_listed),
	    cmocka_unit_test(a_change_of_protocol_needs_a_rule_that_says_so),
	    cmocka_unit_test(git_rules_bound_port_and_scheme_as_http_rules_do),
	    cmocka_unit_test(examples_of_the_network_are_decided),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
