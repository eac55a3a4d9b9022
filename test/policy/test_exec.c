/* Exec rules: what arguments may say, in allow rules and in deny rules. */
#include "helper.h"

struct command {
	const char *argv; /* blank-separated; argv[0] names the program in /usr/bin */
	const char *verdict;
};

static struct decision
decide_command(const struct policy *policy, const char *argv, const char *extra)
{
	struct buf action;
	buf_init(&action, 4096);
	(void)buf_addf(&action,
	    "{\"kind\":\"exec\",\"effect\":\"read\",\"request\":{\"program\":\"/usr/bin/%.*s\""
	    "%s,\"argv\":[\"",
	    (int)strcspn(argv, " "), argv, extra);
	for (; *argv != 0; argv++)
		(void)(*argv == ' ' ? buf_add_str(&action, "\",\"") : buf_add_char(&action, *argv));
	(void)buf_add_str(&action, "\"]}}");
	struct decision d = decide(policy, buf_str(&action));
	buf_done(&action);
	return d;
}

static void
check_commands(const char *rules, const struct command *commands, size_t n)
{
	struct policy *policy = load_rules(rules);
	for (size_t i = 0; i < n; i++) {
		struct decision d = decide_command(policy, commands[i].argv, "");
		if (strcmp(verdict_name(d.verdict), commands[i].verdict) != 0)
			fail_msg("%s: expected %s, got %s: %s", commands[i].argv,
			    commands[i].verdict, verdict_name(d.verdict), d.reason);
	}
	policy_free(policy);
}

static void
only_listed_subcommands_options_and_operands_pass(void **state)
{
	static const struct command commands[] = {
	    {"git status", "allow"},
	    {"git log --oneline", "allow"},
	    {"git --stat log", "allow"},
	    {"git log --", "allow"},
	    {"git push", "deny"},
	    {"git", "deny"},
	    {"git --oneline", "deny"},
	    {"git -c core.pager=id log", "deny"},
	    {"git log -c core.pager=id", "deny"},
	    {"git log --output=x", "deny"},
	    {"git log --oneline=x", "deny"},
	    {"git log --onel", "deny"},
	    {"git log HEAD", "deny"},
	    {"git -- log", "deny"},
	    {"git log -- --oneline", "deny"},
	    {"git log -", "deny"},
	    {"git LOG", "deny"},
	    {"svn log", "deny"},
	};
	check_commands(
	    "  - {name: g, allow: exec, program: /usr/bin/git, subcommands: [status, log],"
	    " options: [--stat, --oneline], operands: none}\n",
	    commands, ARRAY_LEN(commands));
}

static void
what_an_argument_rule_leaves_out_is_none(void **state)
{
	static const struct command commands[] = {
	    {"git status", "allow"},
	    {"git status -s", "deny"},
	    {"git status x", "deny"},
	};
	check_commands("  - {name: g, allow: exec, program: /usr/bin/git, subcommands: [status]}\n",
	    commands, ARRAY_LEN(commands));
	static const struct command all[] = {{"git push --force", "allow"}, {"git", "allow"}};
	check_commands("  - {name: g, allow: exec, program: /usr/bin/git}\n", all, ARRAY_LEN(all));
}

static void
options_with_values_take_them_from_the_next_argument(void **state)
{
	static const struct command commands[] = {
	    {"head -n 5 a.txt", "allow"},
	    {"head -n", "deny"},
	    {"head -n x a.txt", "allow"},
	    {"head -c 5 a.txt", "allow"},
	    {"head -c 51 a.txt", "deny"},
	    {"head --lines=5 a.txt", "allow"},
	    {"head --lines 5 a.txt", "deny"},
	    {"head -n5 a.txt", "deny"},
	    {"head -n 5 d/a.txt", "deny"},
	    {"head -n ../x a.txt", "deny"},
	};
	check_commands(
	    "  - {name: h, allow: exec, program: /usr/bin/head, options: [\"-n *\", \"-c 5\","
	    " \"--lines=*\"], operands: [\"*.txt\"]}\n",
	    commands, ARRAY_LEN(commands));
}

static void
short_options_may_stand_together_if_each_is_listed(void **state)
{
	static const struct command commands[] = {
	    {"ls -l", "allow"},
	    {"ls -la", "allow"},
	    {"ls -alF", "deny"},
	    {"ls --l", "deny"},
	    {"ls -ll", "allow"},
	};
	check_commands("  - {name: l, allow: exec, program: /usr/bin/ls, options: [-l, -a]}\n",
	    commands, ARRAY_LEN(commands));
}

static void
options_any_does_not_reach_before_the_subcommand(void **state)
{
	static const struct command commands[] = {
	    {"git log -p --all", "allow"},
	    {"git -c alias.log=!id log", "deny"},
	    {"git --bare log", "deny"},
	};
	check_commands(
	    "  - {name: g, allow: exec, program: /usr/bin/git, subcommands: [log], options: any}\n",
	    commands, ARRAY_LEN(commands));
}

static void
a_rule_can_be_about_commands_with_an_option_only(void **state)
{
	static const struct command commands[] = {
	    {"git push", "allow"},
	    {"git push --force", "review"},
	    {"git push -v --force", "review"},
	    {"git push --force-if-includes", "allow"},
	    {"git push --for", "review"},
	};
	check_commands(
	    "  - {name: a, allow: exec, program: /usr/bin/git, subcommands: [push], options: any}\n"
	    "  - {name: r, review: exec, program: /usr/bin/git, subcommands: [push], with_options: "
	    "[--force],"
	    " options: any}\n",
	    commands, ARRAY_LEN(commands));
	static const struct command alone[] = {
	    {"git push", "deny"},
	    {"git push --force", "review"},
	    {"git push --force -v", "deny"},
	};
	check_commands("  - {name: r, review: exec, program: /usr/bin/git, subcommands: [push],"
		       " with_options: [--force]}\n",
	    alone, ARRAY_LEN(alone));
}

static void
operands_are_bounded_by_path_patterns(void **state)
{
	static const struct command commands[] = {
	    {"cat data/a.csv", "allow"},
	    {"cat data/x/b.csv", "deny"},
	    {"cat data/../x.csv", "deny"},
	    {"cat data//a.csv", "deny"},
	    {"cat data/./a.csv", "deny"},
	    {"cat /etc/shadow", "deny"},
	    {"cat data/a.csv /etc/shadow", "deny"},
	    {"cat docs/x/y", "allow"},
	    {"cat", "allow"},
	};
	check_commands("  - {name: c, allow: exec, program: /usr/bin/cat, operands: "
		       "[\"data/*.csv\", \"docs/**\"]}\n",
	    commands, ARRAY_LEN(commands));
}

static void
a_deny_rule_sees_options_in_every_disguise(void **state)
{
	static const struct command commands[] = {
	    {"git log", "allow"},
	    {"git push --force", "deny"},
	    {"git push --forc", "deny"},
	    {"git push --force=yes", "deny"},
	    {"git push -f", "deny"},
	    {"git push -vf", "deny"},
	    {"git push -fv", "deny"},
	    {"git push --follow-tags", "allow"},
	    {"git push --verbose", "allow"},
	    {"git push -- --force", "deny"},
	};
	check_commands("  - {name: a, allow: exec, program: any}\n"
		       "  - {name: d, deny: exec, program: /usr/bin/git, options: [--force, -f]}\n",
	    commands, ARRAY_LEN(commands));
	static const struct command words[] = {
	    {"git push", "deny"},
	    {"git -C /x push", "deny"},
	    {"git log", "allow"},
	    {"hg push", "allow"},
	};
	check_commands("  - {name: a, allow: exec, program: any}\n"
		       "  - {name: d, deny: exec, program: /usr/bin/git, subcommands: [push]}\n",
	    words, ARRAY_LEN(words));
	static const struct command paths[] = {
	    {"cat /etc/shadow", "deny"},
	    {"cat --file=/etc/shadow", "deny"},
	    {"cat /etc/../etc/shadow", "deny"},
	    {"cat /tmp/x", "allow"},
	    {"cat a /etc/shadow", "deny"},
	};
	check_commands("  - {name: a, allow: exec, program: any}\n"
		       "  - {name: d, deny: exec, program: any, operands: [/etc/**]}\n",
	    paths, ARRAY_LEN(paths));
}

static void
allow_takes_the_program_as_asked_and_deny_also_what_it_is(void **state)
{
	struct policy *policy =
	    load_rules("  - {name: a, allow: exec, program: [/usr/bin/python3, /usr/bin/vi]}\n"
		       "  - {name: d, deny: exec, program: [/usr/bin/vim.*, /usr/bin/nc]}\n");
	assert_verdict(
	    decide_command(policy, "python3", ",\"resolved\":\"/usr/bin/python3.11\""), "allow");
	assert_verdict(
	    decide_command(policy, "python3.11", ",\"resolved\":\"/usr/bin/python3.11\""), "deny");
	assert_verdict(decide_command(policy, "vi", ",\"resolved\":\"/usr/bin/vim.tiny\""), "deny");
	policy_free(policy);
	policy = load_rules("  - {name: a, allow: exec, program: any}\n  - {name: d, deny: exec, "
			    "program: /bin/nc}\n");
	assert_verdict(decide_command(policy, "nc", ""), "deny");
	policy_free(policy);
}

static void
a_program_goes_by_its_own_name_only(void **state)
{
	struct policy *policy = load_rules("  - {name: a, allow: exec, program: /bin/busybox}\n");
	assert_verdict(decide(policy, EXEC("/bin/busybox", "[\"busybox\",\"ls\"]")), "allow");
	assert_verdict(decide(policy, EXEC("/bin/busybox", "[\"/bin/busybox\"]")), "allow");
	assert_verdict(decide(policy, EXEC("/bin/busybox", "[\"sh\"]")), "deny");
	assert_verdict(decide(policy, EXEC("/bin/busybox", "[]")), "deny");
	policy_free(policy);
}

static void
a_rule_for_arguments_bounds_the_environment_too(void **state)
{
	struct policy *policy =
	    load_rules("  - {name: a, allow: exec, program: /usr/bin/git, subcommands: [log]}\n"
		       "  - {name: b, allow: exec, program: /usr/bin/make, operands: any, env: "
		       "[CC, \"MY_*\"]}\n"
		       "  - {name: c, allow: exec, program: /usr/bin/env}\n");
	assert_verdict(
	    decide_command(policy, "git log", ",\"env\":[\"LANG\",\"LC_ALL\"]"), "allow");
	assert_verdict(decide_command(policy, "git log", ",\"env\":[\"GIT_PAGER\"]"), "deny");
	assert_verdict(
	    decide_command(policy, "make", ",\"env\":[\"CC\",\"MY_X\",\"TERM\"]"), "allow");
	assert_verdict(decide_command(policy, "make", ",\"env\":[\"LD_PRELOAD\"]"), "deny");
	assert_verdict(decide_command(policy, "env", ",\"env\":[\"ANYTHING\"]"), "allow");
	policy_free(policy);
}

static void
odd_arguments_never_pass_a_list(void **state)
{
	struct policy *policy =
	    load_rules("  - {name: a, allow: exec, program: /usr/bin/cat, operands: [\"**\"]}\n");
	assert_verdict(decide(policy, EXEC("/usr/bin/cat", "[\"cat\",\"a\"]")), "allow");
	assert_verdict(decide(policy, EXEC("/usr/bin/cat", "[\"cat\",\"a\\nb\"]")), "deny");
	assert_verdict(decide(policy, EXEC("/usr/bin/cat", "[\"cat\",\"a\\u0000b\"]")), "deny");
	assert_verdict(decide(policy, EXEC("/usr/bin/cat", "[\"cat\",7]")), "deny");
	assert_verdict(decide(policy, EXEC("/usr/bin/cat", "\"cat\"")), "deny");
	assert_verdict(decide(policy, EXEC("/usr/bin/cat", "[\"cat\",\"..\"]")), "deny");
	policy_free(policy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_listed_subcommands_options_and_operands_pass),
	    cmocka_unit_test(what_an_argument_rule_leaves_out_is_none),
	    cmocka_unit_test(options_with_values_take_them_from_the_next_argument),
	    cmocka_unit_test(short_options_may_stand_together_if_each_is_listed),
	    cmocka_unit_test(options_any_does_not_reach_before_the_subcommand),
	    cmocka_unit_test(a_rule_can_be_about_commands_with_an_option_only),
	    cmocka_unit_test(operands_are_bounded_by_path_patterns),
	    cmocka_unit_test(a_deny_rule_sees_options_in_every_disguise),
	    cmocka_unit_test(allow_takes_the_program_as_asked_and_deny_also_what_it_is),
	    cmocka_unit_test(a_program_goes_by_its_own_name_only),
	    cmocka_unit_test(a_rule_for_arguments_bounds_the_environment_too),
	    cmocka_unit_test(odd_arguments_never_pass_a_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
