/* What a gateway proposes, as rf-arbiter takes it: whatever the JSON says, it becomes a record or is refused; the record
 * is valid, has nothing of the proposal but its request, and no value of a header that carries a credential; what
 * the policy then permits could also be reached (else nobody could ever ask for it). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/net_record.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "version: 1\nname: t\nrules:\n"
    "  - {name: a, allow: http, hosts: [a.example, \"*.b.example\"], methods: any, headers: [x-*], "
    "limits: {body: 1KiB}}\n"
    "  - {name: b, review: http, hosts: any, methods: [GET, PUT], schemes: [http, https], ports: "
    "[80, 8000-8010], "
    "paths: [/x/**], upgrades: [websocket]}\n"
    "  - {name: c, allow: net, hosts: [d.example], ports: [22, 5432], addresses: [10.0.0.0/8, "
    "\"fd00::/8\"]}\n"
    "  - {name: d, allow: git, hosts: [g.example], repositories: [a/*], operations: any, branches: "
    "[agent/**]}\n"
    "  - {name: e, allow: http, hosts: [c.example], methods: [GET], credential: k}\n"
    "  - {name: f, deny: http, hosts: [\"*.bad.example\"]}\n"
    "  - {name: g, deny: net, hosts: any, ports: [25]}\n";

static const uint8_t key[32] = {1};

static struct policy *
the_policy(void)
{
	static struct policy *policy;
	struct error err;
	if (policy == NULL && policy_load(text, sizeof(text) - 1, "p", &policy, &err) < 0)
		abort();
	return policy;
}

/* No value of REQUEST's headers that was secret in BEFORE is in it any more. */
static void
check_hidden(const struct json *before, const struct json *request)
{
	const struct json *headers = json_get(request, "headers");
	if (json_len(headers) != json_len(before))
		abort();
	for (size_t i = 0; i < json_len(headers); i++) {
		const char *name = json_name_at(headers, i);
		const char *value = json_str(json_at(headers, i), "");
		bool secret = net_header_is_secret(name);
		if (secret != (strncmp(value, "[hidden ", 8) == 0) &&
		    strncmp(json_get_str(before, name, ""), "[hidden ", 8) != 0)
			abort();
		if (!secret && strcmp(value, json_get_str(before, name, "")) != 0)
			abort();
	}
}

static void
check_reach(const struct json *record)
{
	struct decision decision;
	enum action_kind kind =
	    (enum action_kind)action_kind_parse(json_get_str(record, "kind", ""));
	const struct json *request = json_get(record, "request");
	policy_decide(the_policy(), record, &decision);
	if (decision.verdict == VERDICT_DENY)
		return;
	const char *host = json_get_str(request, "host", "");
	struct policy_reach reach = policy_reach(the_policy(), host, net_port(kind, request));
	bool plain = strcmp(net_scheme(kind, request), "http") == 0;
	bool reached = kind == ACTION_NET ? reach.raw : plain ? reach.plain : reach.intercept;
	if (!reached || (kind == ACTION_GIT && !reach.git))
		abort();
	_cleanup_json_ struct json *terms = policy_rule_terms(the_policy(), decision.permits);
	if (terms == NULL)
		abort();
}

static void
check_record(const struct json *record)
{
	struct error err;
	char digest[SHA256_HEX];
	const char *effect = json_get_str(record, "effect", "");
	if (action_validate(record, &err) < 0 || json_len(record) != 6 ||
	    json_get_str(record, "target", "")[0] == 0 ||
	    (strcmp(effect, "read") != 0 && strcmp(effect, "write") != 0) ||
	    action_digest(record, key, sizeof(key), digest) < 0)
		abort();
	check_reach(record);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ struct json *action = NULL, *before = NULL, *record = NULL;
	struct error err = {.message = ""};
	if (json_parse((const char *)data, size, &action, &err) < 0)
		return 0;
	const struct json *headers = json_get(json_get(action, "request"), "headers");
	before = headers != NULL ? json_copy(headers) : json_new_object();
	if (net_record_make(action, key, sizeof(key), &record, &err) < 0) {
		if (record != NULL || err.message[0] == '\0')
			abort();
		return 0;
	}
	if (strcmp(json_get_str(record, "kind", ""), "http") == 0)
		check_hidden(before, json_get(record, "request"));
	check_record(record);
	return 0;
}
