/* How long loading a built-in policy and deciding by 200 rules take, in process.
 *
 *     bench_policy [ROUNDS]
 *
 * Three policies of 200 rules: each rule names a program of its own (found by key); every rule is for
 * any program (all must be looked at); a mixture of all kinds. Prints p50 and p99 in microseconds. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "policy/policy.h"

#define RULES 200
#define ROUNDS 100000
#define BATCH 16 /* decisions timed together: one takes little more than reading the clock */

static int
compare_times(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

static void
report(const char *what, int64_t *ns, size_t n, double each)
{
	qsort(ns, n, sizeof(*ns), compare_times);
	(void)printf("%-44s p50 %7.2f us  p99 %7.2f us\n", what, (double)ns[n / 2] / 1000 / each,
	    (double)ns[n - n / 100 - 1] / 1000 / each);
}

static struct policy *
load(const char *text)
{
	struct policy *policy = NULL;
	struct error err = {.code = ""};
	if (policy_load(text, strlen(text), "bench.yaml", &policy, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.message);
		exit(1);
	}
	return policy;
}

static void
add_keyed(struct buf *out, int i)
{
	(void)buf_addf(out,
	    "  - {name: r%d, allow: exec, program: /usr/bin/tool-%d, subcommands: [log, status],"
	    " options: [--stat, --oneline], operands: [\"src/**\"]}\n",
	    i, i);
}

static void
add_any(struct buf *out, int i)
{
	(void)buf_addf(out,
	    "  - {name: r%d, %s: exec, program: any, subcommands: [sub-%d], options: [--stat]}\n",
	    i, i % 4 == 0 ? "deny" : "allow", i);
}

static void
add_mixed(struct buf *out, int i)
{
	(void)buf_addf(out, "  - {name: r%d, ", i);
	switch (i % 5) {
	case 0:
		(void)buf_addf(out,
		    "allow: http, hosts: [\"*.h%d.example\"], methods: [GET], paths: [/a/**]", i);
		break;
	case 1:
		(void)buf_addf(
		    out, "allow: sql, database: db%d, statements: [select], tables: [t]", i);
		break;
	case 2:
		(void)buf_addf(out, "allow: tool, tools: [\"tool-%d-*\"]", i);
		break;
	case 3:
		(void)buf_addf(out, "deny: exec, program: any, operands: [/secret-%d/**]", i);
		break;
	default:
		(void)buf_addf(out,
		    "allow: exec, program: /usr/bin/tool-%d, subcommands: [log], options: "
		    "[--stat], operands: [\"src/**\"]",
		    i);
	}
	(void)buf_add_str(out, "}\n");
}

static void
bench_decide(
    const char *what, void (*add)(struct buf *out, int i), const char *action_text, int rounds)
{
	struct buf text;
	struct error err;
	struct json *action = NULL;
	struct decision decision;
	buf_init(&text, POLICY_BYTES_MAX);
	(void)buf_add_str(&text, "version: 1\nname: bench\nrules:\n");
	for (int i = 0; i < RULES; i++)
		add(&text, i);
	struct policy *policy = load(buf_str(&text));
	int64_t *ns = calloc((size_t)rounds, sizeof(*ns));
	if (ns == NULL || json_parse(action_text, strlen(action_text), &action, &err) < 0)
		exit(1);
	for (int i = 0; i < rounds; i++) {
		int64_t start = clock_monotonic_ns();
		for (int k = 0; k < BATCH; k++)
			policy_decide(policy, action, &decision);
		ns[i] = clock_monotonic_ns() - start;
	}
	if (decision.verdict != VERDICT_ALLOW)
		(void)printf("unexpected: %s\n", decision.reason);
	report(what, ns, (size_t)rounds, BATCH);
	free(ns);
	json_free(action);
	policy_free(policy);
	buf_done(&text);
}

static void
bench_load(const char *name, int rounds)
{
	char what[64];
	int64_t *ns = calloc((size_t)rounds, sizeof(*ns));
	if (ns == NULL)
		exit(1);
	for (int i = 0; i < rounds; i++) {
		int64_t start = clock_monotonic_ns();
		policy_free(load(policy_builtin(name)));
		ns[i] = clock_monotonic_ns() - start;
		if (i == 0)
			(void)printf("load %-39s first %5.2f us\n", name, (double)ns[0] / 1000);
	}
	(void)snprintf(what, sizeof(what), "load %s", name);
	report(what, ns, (size_t)rounds, 1);
	free(ns);
}

int
main(int argc, char **argv)
{
	int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : ROUNDS;
	if (rounds < 100)
		rounds = 100;
	static const char keyed[] =
	    "{\"kind\":\"exec\",\"effect\":\"write\",\"request\":{\"program\":\"/usr/bin/"
	    "tool-199\","
	    "\"resolved\":\"/usr/bin/tool-199\",\"argv\":[\"tool-199\",\"log\",\"--stat\",\"src/a/"
	    "b.c\"],\"env\":[\"LANG\"]}}";
	static const char any[] =
	    "{\"kind\":\"exec\",\"effect\":\"write\",\"request\":{\"program\":\"/usr/bin/git\","
	    "\"resolved\":\"/usr/bin/git\",\"argv\":[\"git\",\"sub-199\",\"--stat\"],\"env\":[]}}";
	bench_load("isolated", rounds / 10);
	bench_load("workspace", rounds / 10);
	bench_decide("decide, 200 rules, a program each", add_keyed, keyed, rounds / BATCH);
	bench_decide("decide, 200 rules, all for any program", add_any, any, rounds / BATCH);
	bench_decide("decide, 200 rules of all kinds", add_mixed, keyed, rounds / BATCH);
	return 0;
}
