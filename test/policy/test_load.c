/* The loader: what it refuses, and how it says so. */
#include "helper.h"

#include <errno.h>

struct bad {
	const char *text;
	const char *message; /* the whole of it */
};

static void
assert_refused(const struct bad *bad)
{
	struct policy *policy = NULL;
	struct error err = {0};
	int r = policy_load(bad->text, strlen(bad->text), "p.yaml", &policy, &err);
	if (r >= 0)
		fail_msg("loaded: %s", bad->text);
	assert_null(policy);
	if (strcmp(err.message, bad->message) != 0)
		fail_msg("\n%s\nexpected %s\n     got %s", bad->text, bad->message, err.message);
}

static void
assert_all_refused(const struct bad *bads, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_refused(&bads[i]);
}

#define RULE HEAD "rules:\n  - "

static void
an_error_names_place_field_and_nearest_name(void **state)
{
	static const struct bad bads[] = {
	    {RULE "{name: a, allow: http, hosts: [x.org], metods: [GET]}\n",
		"p.yaml:4:44: rules[0].metods: unknown field in an http rule; did you mean "
		"\"methods\"?"},
	    {HEAD "sandbx: {}\n",
		"p.yaml:3:1: sandbx: unknown field in a policy; did you mean \"sandbox\"?"},
	    {HEAD "zzz: 1\n", "p.yaml:3:1: zzz: unknown field in a policy"},
	    {HEAD "sandbox: {tier: gvisr}\n",
		"p.yaml:3:17: sandbox.tier: \"gvisr\": expected one of "
		"namespaces, gvisor, vm, wasm; did you mean \"gvisor\"?"},
	    {RULE "{name: a, alow: exec, program: any}\n",
		"p.yaml:4:15: rules[0].alow: unknown field in a rule; did you mean \"allow\"?"},
	    {RULE "{name: a, allow: exce, program: any}\n",
		"p.yaml:4:22: rules[0].allow: \"exce\": expected "
		"one of exec, net, http, sql, tool, model, git, file; did you mean \"exec\"?"},
	    {HEAD "sandbox:\n  floor: [seccmp]\n",
		"p.yaml:4:11: sandbox.floor[0]: \"seccmp\": not a floor term; did you mean "
		"\"seccomp\"?"},
	    {HEAD "sandbox:\n  floor: [{memory-limit: cgrup}]\n",
		"p.yaml:4:26: sandbox.floor[0]: \"cgrup\": "
		"expected one of cgroup, per-process, watched; did you mean \"cgroup\"?"},
	    {HEAD "sandbox:\n  floor: [{seccomp: strong}]\n",
		"p.yaml:4:21: sandbox.floor[0]: seccomp has no strengths to choose from"},
	};
	assert_all_refused(bads, ARRAY_LEN(bads));
}

static void
a_wrong_unit_is_an_error_with_the_right_one(void **state)
{
	static const struct bad bads[] = {
	    {HEAD "sandbox: {limits: {memory: 512MB}}\n",
		"p.yaml:3:28: sandbox.limits.memory: \"512MB\": expected a size such as 512MiB "
		"(units B, KiB, MiB, GiB, TiB); did you mean \"512MiB\"?"},
	    {HEAD "sandbox: {limits: {memory: 512}}\n",
		"p.yaml:3:28: sandbox.limits.memory: \"512\": expected a size such as 512MiB "
		"(units B, KiB, MiB, GiB, TiB); did you mean \"512MiB\"?"},
	    {HEAD "sandbox: {limits: {wall: 60}}\n",
		"p.yaml:3:26: sandbox.limits.wall: \"60\": expected a "
		"duration such as 90s (units ms, s, m, h, d)"},
	    {HEAD "sandbox: {limits: {network: 10MiB}}\n",
		"p.yaml:3:29: sandbox.limits.network: \"10MiB\": "
		"expected a rate such as 10MiB/s (units B/s, KiB/s, MiB/s, GiB/s)"},
	    {HEAD "sandbox: {limits: {cpu: 0.0001}}\n",
		"p.yaml:3:25: sandbox.limits.cpu: \"0.0001\": expected "
		"a number of CPUs such as 1 or 0.5 (at most three decimals)"},
	    {HEAD "sandbox: {limits: {memory: 99999999TiB}}\n",
		"p.yaml:3:28: sandbox.limits.memory: \"99999999TiB\" is too large"},
	    {HEAD "sandbox: {limits: {memory: 1KiB}}\n",
		"p.yaml:3:28: sandbox.limits.memory: 1KiB is out of bounds: 4194304 to "
		"70368744177664 bytes"},
	    {HEAD "sandbox: {limits: {processes: -1}}\n",
		"p.yaml:3:31: sandbox.limits.processes: -1 is out of bounds: 1 to 4194304"},
	    {HEAD "sandbox: {limits: {memory: -1MiB}}\n",
		"p.yaml:3:28: sandbox.limits.memory: \"-1MiB\": expected a size such as 512MiB "
		"(units B, KiB, MiB, GiB, TiB)"},
	};
	assert_all_refused(bads, ARRAY_LEN(bads));
}

static void
yaml_that_means_more_than_it_looks_is_refused(void **state)
{
	static const struct bad bads[] = {
	    {"version: 1\nname: t\nname: u\n",
		"p.yaml:3:1: duplicate key \"name\": first at line 2"},
	    {"version: 1\nname: &a t\n",
		"p.yaml:2:7: anchors (&name) are not allowed; write the value out"},
	    {"version: 1\nname: *a\n",
		"p.yaml:2:7: aliases (*name) are not allowed; write the value out"},
	    {"version: 1\nname: !!str t\n",
		"p.yaml:2:7: tags (!name) are not allowed; quote the text if it begins with \"!\""},
	    {"version: 1\nname: t\n---\nversion: 1\n",
		"p.yaml:3:1: one document only; remove the second \"---\""},
	    {"%YAML 1.1\n---\nversion: 1\n", "p.yaml:1:1: directives (%) are not allowed"},
	    {"? [a]\n: 1\n", "p.yaml:1:3: a key must be plain text"},
	    {"<<: {version: 1}\n", "p.yaml:1:1: <<: unknown field in a policy"},
	    {"version: 1\nname: \"a\\0b\"\n", "p.yaml:2:7: text must not contain a NUL"},
	    {"version: [1\n",
		"p.yaml:2:1: not YAML: did not find expected ',' or ']', while parsing a flow "
		"sequence"},
	    {"version: 1\n\tname: t\n",
		"p.yaml:2:1: not YAML: found a tab character that violates indentation, while "
		"scanning a plain "
		"scalar"},
	    {"\xff\xfe"
	     "a",
		"p.yaml:1:1: not YAML: invalid leading UTF-8 octet"},
	    {"", "p.yaml:1:1: the file is empty"},
	    {"# nothing\n", "p.yaml:1:1: the file is empty"},
	    {"\x7f"
	     "ELF\x02",
		"p.yaml:1:1: not text: control byte 0x7f"},
	    {"just text\n", "p.yaml:1:1: expected a mapping (a policy), found text"},
	    {"- a\n", "p.yaml:1:1: expected a mapping (a policy), found a list"},
	};
	assert_all_refused(bads, ARRAY_LEN(bads));
}

static void
what_is_missing_or_misplaced_is_said(void **state)
{
	static const struct bad bads[] = {
	    {"name: t\n", "p.yaml:1:1: \"version\" is missing: the version of this format: 1"},
	    {"version: 2\nname: t\n", "p.yaml:1:10: version: 2 is out of bounds: 1 to 1"},
	    {"version: 1\nname:\n", "p.yaml:2:6: name: expected text, found nothing"},
	    {RULE "{name: a, program: any}\n",
		"p.yaml:4:15: rules[0].program: unknown field in a rule"},
	    {RULE "{name: a}\n",
		"p.yaml:4:5: rules[0]: says nothing: expected one of \"allow: KIND\", "
		"\"review: KIND\" and \"deny: KIND\""},
	    {RULE "{name: a, allow: exec, deny: exec, program: any}\n",
		"p.yaml:4:5: rules[0]: says two things: "
		"expected one of \"allow: KIND\", \"review: KIND\" and \"deny: KIND\""},
	    {RULE "{name: a, allow: exec}\n",
		"p.yaml:4:5: rules[0]: \"program\" is missing: absolute path of "
		"the program, or any; in deny rules also with *"},
	    {RULE "{name: a, allow: net, hosts: any}\n",
		"p.yaml:4:5: rules[0]: \"ports\" is missing: TCP ports or ranges"},
	    {RULE "{name: a, allow: exec, program: git}\n",
		"p.yaml:4:37: rules[0].program: \"git\": expected an "
		"absolute path without \"..\", \".\" and \"//\", or any"},
	    {RULE "{name: a, allow: exec, program: /usr/bin/*}\n",
		"p.yaml:4:37: rules[0]: program: "
		"\"/usr/bin/*\": a pattern may stand only in a deny rule; name the programs"},
	    {RULE "{name: a, allow: exec, program: any, approvals: [x]}\n",
		"p.yaml:4:53: rules[0]: approvals: has a meaning only in a review rule"},
	    {RULE "{name: a, deny: exec, program: any, undo: none}\n",
		"p.yaml:4:47: rules[0]: undo: has no meaning in a deny rule"},
	    {RULE "{name: a, deny: exec, program: any, options: none}\n",
		"p.yaml:4:50: rules[0]: options: \"none\" has no meaning in a deny rule"},
	    {RULE "{name: a, allow: exec, program: /usr/bin/git, subcommands: [log], options: "
		  "[-c]}\n",
		"p.yaml:4:80: rules[0]: options[0]: git's -c takes a value, so it is written with "
		"its pattern: "
		"\"-c VALUE\""},
	    {RULE "{name: a, allow: exec, program: any}\n  - {name: a, deny: exec, program: any}\n",
		"p.yaml:5:5: rules: the name \"a\" stands twice"},
	    {RULE "{name: a, allow: exec, program: []}\n",
		"p.yaml:4:37: rules[0].program: the list is empty: "
		"expected a list or \"any\" with at least one item"},
	    {RULE "{name: a, allow: exec, program: [any]}\n",
		"p.yaml:4:38: rules[0].program[0]: \"any\" stands alone, without a list"},
	    {RULE "{name: a, allow: net, hosts: [\"*.*.com\"], ports: any}\n",
		"p.yaml:4:35: rules[0].hosts[0]: "
		"\"*.*.com\": expected a host name, *.NAME, **.NAME or an IP address"},
	    {RULE "{name: a, allow: net, hosts: [a.com], ports: [0]}\n",
		"p.yaml:4:51: rules[0].ports[0]: \"0\": "
		"expected a port (1 to 65535) or a range such as 8000-8010"},
	    {RULE "{name: a, review: exec, program: any, approvals: [x, x]}\n",
		"p.yaml:4:54: rules[0]: approvals: \"x\" stands twice"},
	    {HEAD "risk: {review_at: 50, deny_at: 40}\n",
		"p.yaml:3:19: risk.review_at: 50 is above deny_at 40"},
	    {HEAD "review: {self_approve: yes}\n",
		"p.yaml:3:24: review.self_approve: expected true or false"},
	    {HEAD "rules: {}\n", "p.yaml:3:8: rules: expected a list of mappings, found a mapping"},
	};
	assert_all_refused(bads, ARRAY_LEN(bads));
}

static void
an_example_that_fails_keeps_the_policy_from_loading(void **state)
{
#define GIT RULE "{name: g, allow: exec, program: /usr/bin/git, subcommands: [log]}\ntests:\n  - "
	static const struct bad bads[] = {
	    {GIT "{exec: [git, push], is: allow}\n",
		"p.yaml:6:5: tests[0]: expected allow, but it is deny (no rule permits it)"},
	    {GIT "{exec: [git, log], is: allow, by: other}\n",
		"p.yaml:6:5: tests[0]: expected rule other to decide, but it is g"},
	    {GIT "{exec: [git, log], is: allow, risk: 7}\n",
		"p.yaml:6:5: tests[0]: expected risk 7, but it is 0"},
	    {GIT "{exec: [git, log], net: \"a:1\", is: allow}\n",
		"p.yaml:6:5: tests[0]: expected exactly one "
		"of exec, net, http, sql, tool, model, git, file and action"},
	    {GIT "{net: a, is: deny}\n", "p.yaml:6:5: tests[0]: net: expected host:port"},
	    {GIT "{sql: \"select 1\", is: deny}\n",
		"p.yaml:6:5: tests[0]: sql: \"database\" is missing"},
	    {GIT "{sql: \"select \\\"x\\\"\", database: d, is: deny}\n",
		"p.yaml:6:5: tests[0]: sql: comments, "
		"quoted names and escapes cannot be read here; write a whole `action:`"},
	    {GIT "{action: {kind: exec}, is: deny}\n",
		"p.yaml:6:14: tests[0]: action: action: target: is missing"},
	};
	assert_all_refused(bads, ARRAY_LEN(bads));
}

static void
too_much_is_refused_with_one_line(void **state)
{
	struct error err;
	struct policy *policy = NULL;
	struct buf b;
	buf_init(&b, 4 * POLICY_BYTES_MAX);
	for (int i = 0; i <= POLICY_BYTES_MAX; i++)
		(void)buf_add_char(&b, '#');
	assert_int_equal(policy_load(buf_str(&b), b.len, "p.yaml", &policy, &err), -EMSGSIZE);
	assert_string_equal(
	    err.message, "p.yaml: 1048577 bytes are too many for a policy (1 MiB at most)");

	buf_clear(&b);
	(void)buf_add_str(&b, HEAD "rules:\n");
	for (int i = 0; i < 2001; i++)
		(void)buf_addf(&b, "  - {name: r%d, deny: net}\n", i);
	assert_int_equal(policy_load(buf_str(&b), b.len, "p.yaml", &policy, &err), -EINVAL);
	assert_string_equal(err.message, "p.yaml:4:3: rules: too many (2000 at most)");

	buf_clear(&b);
	for (int i = 0; i < 50000; i++)
		(void)buf_add_char(&b, '[');
	assert_int_equal(policy_load(buf_str(&b), b.len, "p.yaml", &policy, &err), -EINVAL);
	assert_string_equal(err.message, "p.yaml:1:17: nested too deep (16 levels at most)");

	buf_clear(&b);
	for (int i = 0; i < 100000; i++)
		(void)buf_addf(&b, "k%d:\n", i);
	assert_int_equal(policy_load(buf_str(&b), b.len, "p.yaml", &policy, &err), -EINVAL);
	assert_string_equal(
	    err.message, "p.yaml:513:1: too many keys in one mapping (512 at most)");
	buf_done(&b);
}

static void
the_built_in_policies_load_and_can_be_enforced(void **state)
{
	static const char *const names[] = {"isolated", "workspace"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct policy *policy = load(policy_builtin(names[i]));
		struct buf missing;
		buf_init(&missing, 4096);
		assert_string_equal(policy_name(policy), names[i]);
		assert_int_equal(strlen(policy_hash(policy)), 64);
		assert_true(policy_enforceable(policy, &missing));
		assert_false(policy_needs_two_people(policy));
		buf_done(&missing);
		policy_free(policy);
	}
	assert_null(policy_builtin("nothing"));
}

static void
the_sandbox_comes_out_in_units(void **state)
{
	struct policy *policy = load(
	    HEAD "sandbox:\n"
		 "  workspace: staged\n"
		 "  limits: {cpu: 0.5, memory: 512MiB, wall: 2m, output: 1KiB, network: 1MiB/s}\n"
		 "  floor: [seccomp, memory-limit: cgroup]\n"
		 "budgets: {calls_per_task: 5}\n");
	struct buf out;
	buf_init(&out, 4096);
	_cleanup_json_ struct json *sandbox = policy_sandbox(policy);
	_cleanup_json_ struct json *budgets = policy_budgets(policy);
	assert_int_equal(json_write(sandbox, &out), 0);
	assert_int_equal(json_write(budgets, &out), 0);
	assert_string_equal(buf_str(&out),
	    "{\"exec_gate\":\"submit\",\"executables\":\"any\",\"floor\":[{\"term\":\"seccomp\"},"
	    "{\"strength\":\"cgroup\",\"term\":\"memory-limit\"}],\"limits\":{\"cpu_millis\":500,"
	    "\"disk_bytes\":536870912,\"memory_bytes\":536870912,\"network_bytes_per_s\":1048576,"
	    "\"open_files\":1024,\"output_bytes\":1024,\"processes\":128,"
	    "\"wall_ms\":120000},\"root\":\"host\",\"tier\":\"namespaces\",\"workspace\":"
	    "\"staged\"}"
	    "{\"calls_per_task\":5}");
	buf_done(&out);
	policy_free(policy);
}

static void
what_is_left_out_is_limited_and_has_the_floor_of_isolated(void **state)
{
	struct policy *bare = load(HEAD "rules: []\n");
	struct error err = {0};
	const char *text = policy_builtin("isolated");
	struct policy *isolated = NULL;
	assert_int_equal(policy_load(text, strlen(text), "isolated", &isolated, &err), 0);
	_cleanup_json_ struct json *a = policy_sandbox(bare), *b = policy_sandbox(isolated);
	assert_true(json_equal(json_get(a, "limits"), json_get(b, "limits")));
	assert_true(json_equal(json_get(a, "floor"), json_get(b, "floor")));
	policy_free(bare);
	policy_free(isolated);
}

static void
assert_missing(const char *text, const char *expected)
{
	struct policy *policy = load(text);
	struct buf missing;
	buf_init(&missing, 4096);
	assert_int_equal(policy_enforceable(policy, &missing), expected[0] == 0);
	assert_string_equal(buf_str(&missing), expected);
	buf_done(&missing);
	policy_free(policy);
}

static void
what_this_build_lacks_is_named_line_by_line(void **state)
{
	assert_missing(HEAD "sandbox: {executables: listed, root: \"image:x\", exec_gate: kernel}\n"
			    "rules:\n"
			    "  - {name: h, allow: http, hosts: any, methods: any, credential: c}\n"
			    "  - {name: s, allow: sql, database: d, statements: any, tables: any, "
			    "credential: c}\n"
			    "  - {name: n, allow: net, hosts: any, ports: [22], credential: c}\n"
			    "  - {name: g, review: git, hosts: any, repositories: any, operations: "
			    "any, credential: c}\n"
			    "  - {name: t, deny: tool}\n"
			    "  - {name: m, review: model, providers: any}\n",
	    "sandbox.executables: listed in an image (root: image:x) is not in this build\n"
	    "sandbox.exec_gate: kernel is not in this build\n"
	    "rule s: sql actions are not in this build\n"
	    "rule s: credentials of sql rules are not in this build\n"
	    "rule n: credentials of net rules are not in this build\n"
	    "rule t: tool actions are not in this build\n"
	    "rule m: model actions are not in this build\n");
	assert_missing(HEAD "sandbox: {root: \"image:x\"}\nrules: []\n", "");
	assert_missing(HEAD "sandbox: {executables: listed}\nrules: []\n", "");
}

static void
listed_executables_need_rules_that_name_programs(void **state)
{
	assert_missing(HEAD "sandbox: {executables: listed}\nrules:\n"
			    "  - {name: no, deny: exec, program: any, options: [-c]}\n"
			    "  - {name: sh, review: exec, program: /bin/sh}\n",
	    "");
	assert_missing(HEAD "sandbox: {executables: listed}\nrules:\n"
			    "  - {name: all, allow: exec, program: any}\n"
			    "  - {name: some, review: exec, program: any}\n",
	    "rule all: program: any; executables: listed needs rules that name programs\n"
	    "rule some: program: any; executables: listed needs rules that name programs\n");
	assert_missing(HEAD "rules:\n  - {name: all, allow: exec, program: any}\n", "");
}

static void
a_sandbox_of_listed_executables_names_each_program_once(void **state)
{
	struct policy *policy =
	    load(HEAD "sandbox: {executables: listed}\nrules:\n"
		      "  - {name: a, allow: exec, program: [/usr/bin/git, /usr/bin/cat]}\n"
		      "  - {name: b, review: exec, program: [/opt/tool, /usr/bin/git]}\n"
		      "  - {name: c, deny: exec, program: [/usr/bin/curl, /usr/local/*]}\n");
	_cleanup_json_ struct json *sandbox = policy_sandbox(policy);
	_cleanup_json_ struct json *expected =
	    parse("[\"/opt/tool\",\"/usr/bin/cat\",\"/usr/bin/git\"]");
	assert_true(json_equal(json_get(sandbox, "programs"), expected));
	policy_free(policy);
	policy = load(HEAD "rules:\n  - {name: a, allow: exec, program: /usr/bin/git}\n");
	_cleanup_json_ struct json *any = policy_sandbox(policy);
	assert_null(json_get(any, "programs"));
	policy_free(policy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_error_names_place_field_and_nearest_name),
	    cmocka_unit_test(a_wrong_unit_is_an_error_with_the_right_one),
	    cmocka_unit_test(yaml_that_means_more_than_it_looks_is_refused),
	    cmocka_unit_test(what_is_missing_or_misplaced_is_said),
	    cmocka_unit_test(an_example_that_fails_keeps_the_policy_from_loading),
	    cmocka_unit_test(too_much_is_refused_with_one_line),
	    cmocka_unit_test(the_built_in_policies_load_and_can_be_enforced),
	    cmocka_unit_test(the_sandbox_comes_out_in_units),
	    cmocka_unit_test(what_is_left_out_is_limited_and_has_the_floor_of_isolated),
	    cmocka_unit_test(what_this_build_lacks_is_named_line_by_line),
	    cmocka_unit_test(listed_executables_need_rules_that_name_programs),
	    cmocka_unit_test(a_sandbox_of_listed_executables_names_each_program_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
