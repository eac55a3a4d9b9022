/* What the tests of the policy layer share: loading text, deciding actions written as JSON. */
#pragma once

#include "unit.h"

#include <string.h>

#include "policy/policy.h"

#define HEAD "version: 1\nname: t\n"

static inline struct policy *
load(const char *text)
{
	struct policy *policy = NULL;
	struct error err = {0};
	int r = policy_load(text, strlen(text), "p.yaml", &policy, &err);
	if (r < 0)
		fail_msg("%s\n%s", err.message, text);
	return policy;
}

/* A policy with RULES, a YAML list indented by two. */
static inline struct policy *
load_rules(const char *rules)
{
	struct buf text;
	buf_init(&text, POLICY_BYTES_MAX);
	(void)buf_addf(&text, HEAD "rules:\n%s", rules);
	struct policy *policy = load(buf_str(&text));
	buf_done(&text);
	return policy;
}

static inline struct json *
parse(const char *text)
{
	struct json *v = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &v, &err) < 0)
		fail_msg("%s: %s", err.message, text);
	return v;
}

static inline struct decision
decide(const struct policy *policy, const char *action)
{
	struct decision d;
	_cleanup_json_ struct json *v = parse(action);
	policy_decide(policy, v, &d);
	return d;
}

#define assert_verdict(d, expected) assert_string_equal(verdict_name((d).verdict), expected)

#define EXEC(program, argv)                                                          \
	"{\"kind\":\"exec\",\"effect\":\"read\",\"request\":{\"program\":\"" program \
	"\",\"argv\":" argv "}}"
