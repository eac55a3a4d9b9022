/* Every allocation of loading, deciding and comparing fails once: nothing crashes, nothing leaks (under
 * the address sanitizer), and nothing is allowed because of it. */
#include "helper.h"

#include <errno.h>
#include <stdio.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static long fail_at = -1; /* counts down to the allocation that fails; negative: none */

static bool
fails_now(void)
{
	return fail_at >= 0 && fail_at-- == 0;
}

void *
__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return fails_now() ? NULL : __real_realloc(p, size);
}

static const char text[] =
    HEAD "sandbox: {limits: {cpu: 1}, floor: [seccomp, memory-limit: cgroup]}\n"
	 "rules:\n"
	 "  - {name: a, allow: exec, program: /usr/bin/git, subcommands: [log], options: [-n *]}\n"
	 "  - {name: b, review: sql, database: crm, statements: [delete], tables: [t], approvals: "
	 "[x, y]}\n"
	 "  - {name: c, allow: tool, tools: [x], arguments: {n: {type: integer, max: 5}}}\n"
	 "  - {name: n, allow: git, hosts: any, repositories: any, operations: any, ports: "
	 "[22, 8000-8002]}\n"
	 "  - {name: d, deny: net, hosts: [\"*.evil.example\"], ports: [80, 90-99]}\n"
	 "risk: {data: {t: customer}, review_at: 50}\n"
	 "tests:\n"
	 "  - {exec: [git, log], is: allow, by: a}\n"
	 "  - {sql: DELETE FROM t, database: crm, facts: {first_seen: true}, is: review}\n"
	 "  - {tool: x, arguments: {n: 5}, is: allow}\n"
	 "  - {net: \"a.evil.example:80\", is: deny}\n";

static void
loading_without_memory_is_an_error_and_never_half_done(void **state)
{
	int r = -1;
	long n = 0;
	for (; r < 0; n++) {
		struct policy *policy = NULL;
		struct error err = {0};
		fail_at = n;
		r = policy_load(text, strlen(text), "p.yaml", &policy, &err);
		fail_at = -1;
		if (r < 0) {
			assert_null(policy);
			assert_true(err.message[0] != 0);
			/* Out of memory may also show as an example that could not be built, never as success. */
			assert_true(r == -ENOMEM || r == -EINVAL);
		}
		policy_free(policy);
	}
	assert_in_range(n, 10, 100000);
}

static void
comparing_without_memory_is_an_error(void **state)
{
	struct policy *policy = load(text), *other = load(policy_builtin("workspace"));
	int r = -1;
	for (long n = 0; r < 0; n = n < 400 ? n + 1 : n * 2) {
		struct json *diff = NULL;
		fail_at = n;
		r = policy_diff(policy, other, &diff);
		fail_at = -1;
		if (r < 0)
			assert_null(diff);
		json_free(diff);
	}
	policy_free(policy);
	policy_free(other);
}

static void
describing_without_memory_shows_when_it_is_written(void **state)
{
	struct policy *policy = load(text);
	struct buf out;
	for (long n = 0; n < 300; n++) {
		fail_at = n;
		struct json *made[] = {
		    policy_sandbox(policy), policy_capabilities(policy), policy_budgets(policy)};
		fail_at = -1;
		for (size_t i = 0; i < ARRAY_LEN(made); i++) {
			buf_init(&out, 1 << 20);
			int r = json_write(made[i], &out);
			assert_true(r == 0 || r == -ENOMEM);
			buf_done(&out);
			json_free(made[i]);
		}
	}
	policy_free(policy);
}

static void
terms_without_memory_are_none_rather_than_half(void **state)
{
	struct policy *policy = load(HEAD
	    "rules:\n  - {name: a, allow: http, hosts: any, methods: any, credential: c, "
	    "addresses: [10.0.0.0/8, 192.168.0.0/16], limits: {body: 1KiB, response: 2KiB, time: "
	    "3s, rate: 4KiB/s}}\n");
	struct json *whole = policy_rule_terms(policy, "a"), *got = NULL;
	long n = 0;
	for (; got == NULL; n++) {
		fail_at = n;
		got = policy_rule_terms(policy, "a");
		fail_at = -1;
		if (got != NULL)
			assert_true(json_equal(got, whole));
	}
	assert_in_range(n, 10, 1000);
	json_free(got);
	json_free(whole);
	policy_free(policy);
}

/* What is told of USAGE, if there is any: whole, or not written at all. */
static void
check_usage(struct policy_usage *usage, long n)
{
	struct buf out;
	fail_at = n;
	struct json *v = usage != NULL ? policy_usage_json(usage) : NULL;
	fail_at = -1;
	buf_init(&out, 1 << 20);
	int r = json_write(v, &out);
	assert_true(r == 0 || r == -ENOMEM);
	buf_done(&out);
	json_free(v);
}

static void
counting_without_memory_is_an_error(void **state)
{
	struct policy *policy = load(
	    HEAD "rules:\n  - {name: a, allow: exec, program: [/bin/a, /bin/b], operands: [x, y]}\n"
		 "  - {name: b, allow: exec, program: any}\n  - {name: c, deny: net, hosts: [h], "
		 "ports: [1-2]}\n");
	_cleanup_json_ struct json *action = parse(EXEC("/bin/b", "[\"b\",\"y\"]"));
	bool counted = false;
	for (long n = 0; n < 60; n++) {
		fail_at = n;
		struct policy_usage *usage = policy_usage_new(policy);
		int r = usage != NULL ? policy_usage_add(usage, action, "a", 1) : -ENOMEM;
		if (r == 0)
			r = policy_usage_add(usage, action, "b", 1);
		fail_at = -1;
		assert_true(r == 0 || r == -ENOMEM);
		counted |= r == 0;
		check_usage(usage, n);
		policy_usage_free(usage);
	}
	assert_true(counted);
	policy_free(policy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(loading_without_memory_is_an_error_and_never_half_done),
	    cmocka_unit_test(comparing_without_memory_is_an_error),
	    cmocka_unit_test(counting_without_memory_is_an_error),
	    cmocka_unit_test(terms_without_memory_are_none_rather_than_half),
	    cmocka_unit_test(describing_without_memory_shows_when_it_is_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
