/* Policies: a YAML file becomes an immutable generation, and a generation decides actions.
 *
 * Loading and deciding are pure: they read memory and return values. A generation is named by the
 * SHA-256 of the file's bytes ("hash", 64 hexadecimal digits). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "action/action.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

#define POLICY_BYTES_MAX (1024 * 1024)
#define RISK_PARTS_MAX 16
#define DECISION_REASON_MAX 256

struct policy;

enum verdict { VERDICT_DENY, VERDICT_REVIEW, VERDICT_ALLOW };
enum risk_band { RISK_LOW, RISK_MEDIUM, RISK_HIGH, RISK_CRITICAL };

struct risk_part {
	const char *name; /* "irreversible", "bulk", "data", "first-seen", … ; borrowed */
	int points;
	char reason[96];
};

/* What is needed before a reviewed action may go on. Strings are borrowed from the policy. */
struct review_terms {
	const char *const *approvals; /* roles, one person for each; different people */
	size_t n_approvals;
	int64_t timeout_ms;
	bool self_approve;
};

/* A decision is data. It borrows from the policy that made it. */
struct decision {
	enum verdict verdict;
	const char *rule; /* the deciding rule, or NULL when none matched */
	const char *
	    permits; /* the rule that permits it, whose terms it is performed on (policy_rule_terms); it
	                        differs from RULE where a review rule only tightens. NULL if none does */
	char reason[DECISION_REASON_MAX]; /* one line for people */
	char needed[DECISION_REASON_MAX]; /* for a denial: which rule would be needed; may be "" */
	int risk;                         /* 0..100 */
	enum risk_band band;
	struct risk_part parts[RISK_PARTS_MAX];
	size_t n_parts;
	bool reversible;
	struct review_terms review; /* meaningful when verdict is VERDICT_REVIEW */
};

/* Reads a policy of LEN bytes. NAME stands in errors ("p.yaml"), which say
 * `p.yaml:12:5: rules[0].metods: unknown field; did you mean "methods"?`.
 * Examples under `tests:` are run: a policy whose examples fail does not load.
 * 0 and an owned *RET, or -EINVAL/-EMSGSIZE/-ENOMEM with ERR filled. */
int policy_load(const char *text, size_t len, const char *name, struct policy **ret,
    struct error *err) MUST_CHECK;
/* Accepts NULL; returns NULL. */
struct policy *policy_free(struct policy *policy);

/* A built-in policy's YAML by name ("isolated", "workspace"), or NULL. */
const char *policy_builtin(const char *name);

const char *policy_hash(const struct policy *policy);
const char *policy_name(const struct policy *policy);

/* Decides ACTION (a record as in action/action.h, validated by the caller; its "facts" member holds
 * what inspection found). Never fails: an error while deciding is a deny that says so. */
void policy_decide(const struct policy *policy, const struct json *action, struct decision *ret);

const char *verdict_name(enum verdict verdict);  /* "deny", "review", "allow" */
const char *risk_band_name(enum risk_band band); /* "low" … "critical" */
/* {"decision","rule","reason","needed","risk":{"score","band","parts":[{"name","points","reason"}]},
 *  "reversible","review":{"approvals":[],"timeout_ms","self_approve"}} ; owned. */
struct json *decision_to_json(const struct decision *decision);

/* What the sandbox must be; owned. All limits are integers in the unit of their name. What the policy
 * leaves out is what the built-in `isolated` says, also the floor; cpu_time and network have no default:
 * {"tier","root","executables","workspace","exec_gate",
 *  "limits":{"cpu_millis","memory_bytes","processes","disk_bytes","wall_ms","cpu_time_ms",
 *            "output_bytes","open_files","network_bytes_per_s","network_bytes"},
 *  "floor":[{"term":"memory-limit","strength":"cgroup"},…]  (strength absent: any),
 *  "network":{"ports":[n],"proxy_port":n}  (only with rules that allow or review net, http or git: the ports
 *              that they name, sorted, each once, 53 never; those of ranges above NETWORK_PORTS_MAX are reached by
 *              the proxy alone)
 *  "programs":["/usr/bin/git",…]}  (only with executables: listed: the absolute paths that exec rules
 * allow or send to review, as written, sorted, each once) */
struct json *policy_sandbox(const struct policy *policy);
#define NETWORK_PORTS_MAX 64
#define NETWORK_PROXY_PORT 3128

/* What rules could permit for connections to HOST (a name in lower case, or an address as text) at PORT (0: at any).
 * For routing only: no decision. */
struct policy_reach {
	bool raw;       /* net rules */
	bool plain;     /* http (or git) rules of scheme http */
	bool intercept; /* http or git rules over TLS: ours to read */
	bool git;       /* git rules */
};
struct policy_reach policy_reach(const struct policy *policy, const char *host, int port);
/* The rule NAME's terms for whoever performs: {"credential"?,"addresses"?:[CIDR],"limits":{"body_bytes"?,
 * "response_bytes"?,"bytes"?,"time_ms"?,"bytes_per_s"?,"per_minute"?,"at_once"?,"response_types"?:[]}}; owned. NULL if there is no such rule, or
 * no memory. */
struct json *policy_rule_terms(const struct policy *policy, const char *name);
/* Budgets: {"calls_per_task":N,…} as the policy sets them; owned. */
struct json *policy_budgets(const struct policy *policy);

/* Whether this build can enforce POLICY (which names what is missing, one line each, in MISSING).
 * `check` prints these as notes; `run` refuses. */
bool policy_enforceable(const struct policy *policy, struct buf *missing);
/* What is enforceable but good to know, one line each (ports that are reached by the proxy alone). */
void policy_notes(const struct policy *policy, struct buf *notes);
/* Whether POLICY needs two people who can be told apart (several approvals, or an approver who is
 * not the requester). */
bool policy_needs_two_people(const struct policy *policy);

/* ---- for `rf-policy` ---- */

/* As policy_load, but a failing example does not keep the policy from loading: each goes to *RET_TESTS,
 * [{"line","expected","got","rule","ok","message"}]; owned. */
int policy_load_testing(const char *text, size_t len, const char *name, struct policy **ret,
    struct json **ret_tests, struct error *err) MUST_CHECK;
/* The JSON Schema of policy files; owned. */
struct json *policy_schema(void);
/* What changes from BEFORE to AFTER; *RET is owned:
 * {"allowed":[…],"unreviewed":[…],"reviewed":[…],"denied":[…],    each {"before","after","action"}
 *  "settings":[{"field","before","after"}],"unknown":["rule x changed, but …"]}. 0 or -ENOMEM. */
int policy_diff(const struct policy *before, const struct policy *after, struct json **ret)
    MUST_CHECK;
/* What each rule permits and what it does not bound; owned:
 * [{"rule","effect","kind","what","notes":[],"powers":[{"program","power","how"}]}]: powers are what the
 * named programs can do by themselves ("interpreter", "runs" other programs, "loads" code). */
struct json *policy_capabilities(const struct policy *policy);
/* Whether WALL_MS (milliseconds since the epoch) lies outside the working hours that the policy names;
 * false if it names none. For the fact "outside_hours". */
bool policy_outside_hours(const struct policy *policy, int64_t wall_ms);

/* What recorded decisions needed of a policy: which rules, and which members of their lists. Rules and
 * members that none of them needed could go, and every one of those decisions would have been the same. */
struct policy_usage;
/* POLICY is borrowed. NULL: out of memory. */
struct policy_usage *policy_usage_new(const struct policy *policy);
/* Accepts NULL; returns NULL. */
struct policy_usage *policy_usage_free(struct policy_usage *usage);
/* Counts ACTION (as the ledger has it: its request may be left out or redacted), which RULE (NULL: none)
 * decided at WALL_MS. 0, or -ENOMEM. */
int policy_usage_add(struct policy_usage *usage, const struct json *action, const char *rule,
    int64_t wall_ms) MUST_CHECK;
/* One entry for each rule, in the policy's order; owned:
 * [{"rule","effect","kind","decided":n,"supported":n,"unclear":n,"last_ms"?,
 *   "fields":[{"field","used":[],"unused":[]}],
 *   "programs"?:{program: times},"more_programs"?}]
 * decided: it was named; supported: it permitted what a review rule tightened; unclear: the request, as
 * recorded, does not meet the rule as it is now, so that its members say nothing; programs: what a rule
 * of `program: any` was used for, the first 32. */
struct json *policy_usage_json(const struct policy_usage *usage);
