/* policy_load on arbitrary bytes: never crashes; an error is one line that names the file; and what
 * loads decides, prints and compares without contradicting itself. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const actions[] = {
    "{\"kind\":\"exec\",\"effect\":\"write\",\"request\":{\"program\":\"/usr/bin/"
    "git\",\"resolved\":\"/usr/bin/git\","
    "\"argv\":[\"git\",\"-c\",\"x=y\",\"log\",\"--\",\"a/../b\"],\"env\":[\"A\"]}}",
    "{\"kind\":\"http\",\"effect\":\"read\",\"request\":{\"scheme\":\"https\",\"host\":\"a.b."
    "example\",\"port\":443,"
    "\"method\":\"GET\",\"path\":\"/a/%2e%2e/b\",\"headers\":{\"X\":\"y\"},\"body_bytes\":3}}",
    "{\"kind\":\"net\",\"effect\":\"write\",\"request\":{\"host\":\"10.0.0.1\",\"port\":22}}",
    "{\"kind\":\"sql\",\"effect\":\"write\",\"facts\":{\"rows_estimated\":5000},\"request\":{"
    "\"database\":\"crm\",\"text\":"
    "\"x\",\"statements\":[{\"verb\":\"delete\",\"tables\":[\"s.t\"],\"functions\":[\"f\"],"
    "\"where\":false}]}}",
    "{\"kind\":\"tool\",\"effect\":\"write\",\"request\":{\"tool\":\"pay\",\"arguments\":{\"n\":5,"
    "\"s\":\"x\"}}}",
    "{\"kind\":\"model\",\"effect\":\"read\",\"request\":{\"provider\":\"p\",\"model\":\"m\","
    "\"tokens\":5}}",
    "{\"kind\":\"git\",\"effect\":\"write\",\"request\":{\"host\":\"g.example\",\"repository\":\"a/"
    "b\",\"operation\":\"push\","
    "\"refs\":[{\"name\":\"refs/heads/main\",\"force\":true}]}}",
    "{\"kind\":\"file\",\"effect\":\"write\",\"request\":{\"operation\":\"commit\",\"paths\":[\"a/"
    "b\"],\"bytes\":5}}"};

static void
check_decisions(const struct policy *policy)
{
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		struct error err;
		struct decision d;
		struct json *action = NULL;
		if (json_parse(actions[i], strlen(actions[i]), &action, &err) < 0)
			abort();
		policy_decide(policy, action, &d);
		assert(d.risk >= 0 && d.risk <= 100 && d.reason[0] != 0);
		assert(d.verdict == VERDICT_DENY || d.rule != NULL);
		assert(d.verdict != VERDICT_REVIEW || d.review.n_approvals > 0);
		struct json *out = decision_to_json(&d);
		json_free(out);
		json_free(action);
	}
}

static void
check_prints(const struct policy *policy)
{
	struct json *made[] = {
	    policy_sandbox(policy), policy_budgets(policy), policy_capabilities(policy)};
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		_cleanup_buf_ struct buf out;
		buf_init(&out, 64u << 20);
		assert(json_write(made[i], &out) == 0);
		json_free(made[i]);
	}
	struct json *diff = NULL;
	if (policy_diff(policy, policy, &diff) < 0)
		return;
	assert(json_len(json_get(diff, "allowed")) == 0 && json_len(json_get(diff, "denied")) == 0);
	assert(
	    json_len(json_get(diff, "settings")) == 0 && json_len(json_get(diff, "unknown")) == 0);
	json_free(diff);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy *policy = NULL;
	struct error err = {.code = ""};
	if (policy_load((const char *)data, size, "p.yaml", &policy, &err) < 0) {
		assert(policy == NULL && strncmp(err.message, "p.yaml:", 7) == 0);
		assert(strlen(err.message) < sizeof(err.message));
		return 0;
	}
	assert(strlen(policy_hash(policy)) == 64 && policy_name(policy) != NULL);
	check_decisions(policy);
	check_prints(policy);
	policy_free(policy);
	return 0;
}
