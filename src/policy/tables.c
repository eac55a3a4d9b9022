/* The field table: every field of a policy, once. Loader, JSON Schema and documentation follow it. */
#include <string.h>

#include "policy/model.h"
#include "policy/patterns.h"

/* Laid out by hand: a field is a line or two, so that the table reads as one. */
/* clang-format off */

#define AT(type, member) .offset = offsetof(struct type, member)
#define DAY_MS 86400000LL
#define TIB (1LL << 40)

const char *const verdict_words[] = {"deny", "review", "allow", NULL};
const char *const class_names[] = {"public", "customer", "financial", "secret", NULL};
const char *const undo_names[] = {"none", "before-images", "snapshot", "compensate", NULL};
const char *const argument_types[] = {"string", "integer", "boolean", "any", NULL};
const char *const tier_names[] = {"namespaces", "gvisor", "vm", "wasm", NULL};
const char *const executables_names[] = {"any", "listed", NULL};
const char *const workspace_names[] = {"none", "staged", "direct", NULL};
const char *const gate_names[] = {"submit", "kernel", NULL};
const char *const kind_names[] = {"exec", "net", "http", "sql", "tool", "model", "git", "file", NULL};
static const char *const effect_names[] = {"read", "write", "privileged", NULL};
static const char *const where_names[] = {"required", "missing", NULL};
static const char *const scheme_names[] = {"https", "http", NULL};
static const char *const upgrade_names[] = {"websocket", NULL};
static const char *const day_names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun", NULL};
static const char *const statement_names[] = {"select", "insert", "update", "delete", "merge", "copy",
    "call", "do", "create", "alter", "drop", "truncate", "grant", "revoke", "begin", "commit",
    "rollback", "savepoint", "release", "set", "reset", "show", "explain", "prepare", "execute",
    "deallocate", "declare", "fetch", "close", "listen", "notify", "unlisten", "lock", "analyze",
    "vacuum", "refresh", "comment", "reindex", NULL};
static const char *const git_operations[] = {"fetch", "push", "force-push", "delete", NULL};
static const char *const file_operations[] = {"read", "write", "delete", "commit", NULL};

/* ---- rules ---- */

#define LIMITS(member) AT(limits, member)
#define LIMIT_TIME \
	{"time", FIELD_MS, LIMITS(time_ms), .min = 1, .max = 30 * DAY_MS, \
	 .doc = "longest time that one action may take"}
#define LIMIT_RATE \
	{"rate", FIELD_RATE, LIMITS(bytes_per_s), .min = 1, .max = TIB, \
	 .doc = "most bytes per second, both directions together"}
#define LIMIT_BYTES \
	{"bytes", FIELD_BYTES, LIMITS(bytes), .min = 0, .max = TIB, .doc = "most bytes of one action"}

#define LIMIT_COUNTS \
	{"per_minute", FIELD_INT, LIMITS(per_minute), .min = 1, .max = 1000000000, \
	 .doc = "most actions of one sandbox in a minute"}, \
	{"at_once", FIELD_INT, LIMITS(at_once), .min = 1, .max = 1024, \
	 .doc = "most actions of one sandbox under way at one time"}

#define LIMITS_FIELD(shape_) \
	{"limits", FIELD_MAP, FIELD_NOT_DENY, AT(rule, limits), .sub = &(shape_), \
	 .doc = "what one action may use at most"}
#define LIMITS_SHAPE(id, what_, ...) \
	static const struct field id##_fields[] = {__VA_ARGS__, {NULL}}; \
	static const struct shape id##_shape = {what_, id##_fields, .size = sizeof(struct limits)}

LIMITS_SHAPE(net_limits, "the limits of a net rule", LIMIT_BYTES, LIMIT_TIME, LIMIT_RATE, LIMIT_COUNTS);
LIMITS_SHAPE(http_limits, "the limits of an http rule",
    {"body", FIELD_BYTES, LIMITS(body_bytes), .min = 0, .max = TIB, .doc = "largest request body"},
    {"response", FIELD_BYTES, LIMITS(response_bytes), .min = 0, .max = TIB,
     .doc = "largest response body; what is beyond is cut"}, LIMIT_TIME, LIMIT_RATE, LIMIT_COUNTS);
LIMITS_SHAPE(sql_limits, "the limits of an sql rule",
    {"rows", FIELD_INT, LIMITS(rows), .min = 0, .max = 1000000000000LL,
     .doc = "most rows: results are cut there, and a write that is estimated above it is not permitted"},
    LIMIT_BYTES, LIMIT_TIME);
LIMITS_SHAPE(tool_limits, "the limits of a tool rule", LIMIT_TIME, LIMIT_BYTES);
LIMITS_SHAPE(model_limits, "the limits of a model rule",
    {"tokens", FIELD_INT, LIMITS(tokens), .min = 0, .max = 1000000000000LL,
     .doc = "most tokens of one call, prompt and answer together"}, LIMIT_TIME);
LIMITS_SHAPE(git_limits, "the limits of a git rule", LIMIT_BYTES, LIMIT_TIME, LIMIT_COUNTS);
LIMITS_SHAPE(file_limits, "the limits of a file rule", LIMIT_BYTES);

static const struct field common_fields[] = {
	{"name", FIELD_TEXT, FIELD_REQUIRED, AT(rule, name), .check = check_name,
	 .pattern = PATTERN_NAME, .doc = "the rule's name, unique in the file; decisions and records cite it"},
	{"why", FIELD_TEXT, 0, AT(rule, why), .doc = "the reason for the rule, for reviewers"},
	{"owner", FIELD_TEXT, 0, AT(rule, owner), .doc = "who answers for the rule"},
	{"allow", FIELD_ENUM, 0, AT(rule, allow), .names = kind_names,
	 .doc = "permit actions of this kind that match"},
	{"review", FIELD_ENUM, 0, AT(rule, review), .names = kind_names,
	 .doc = "permit actions of this kind that match, after people have approved"},
	{"deny", FIELD_ENUM, 0, AT(rule, deny), .names = kind_names,
	 .doc = "refuse actions of this kind that match in any part"},
	{"approvals", FIELD_LIST, FIELD_ONLY_REVIEW, AT(rule, approvals), .check = check_name,
	 .pattern = PATTERN_NAME, .doc = "roles, one person for each; different people, never the requester"},
	{"timeout", FIELD_MS, FIELD_ONLY_REVIEW, AT(rule, timeout_ms), .min = 1000, .max = 30 * DAY_MS,
	 .doc = "how long a review may wait; then it is denied"},
	{"undo", FIELD_ENUM, FIELD_NOT_DENY, AT(rule, undo), .names = undo_names,
	 .doc = "how the effect can be taken back; decides whether it counts as reversible"},
	{NULL}};
static const struct shape common_shape = {"a rule", common_fields, .size = sizeof(struct rule)};

#define CREDENTIAL \
	{"credential", FIELD_TEXT, FIELD_NOT_DENY, AT(rule, credential), .check = check_name, \
	 .pattern = PATTERN_NAME, \
	 .doc = "the secret that is injected on the way out; the agent never holds it"}
#define HOSTS(flags_) \
	{"hosts", FIELD_LIST, (flags_) | FIELD_OR_ANY, AT(rule, hosts), .check = check_host_pattern, \
	 .doc = "host names; *.example.com is one label below, **.example.com any number of them"}
#define WEB_PORTS \
	{"ports", FIELD_PORTS, FIELD_OR_ANY, AT(rule, ports), \
	 .doc = "TCP ports; 443 (80 for http) unless given"}
#define SCHEMES {"schemes", FIELD_LIST, 0, AT(rule, schemes), .names = scheme_names, .doc = "https unless given"}
#define ADDRESSES \
	{"addresses", FIELD_LIST, 0, AT(rule, addresses), .check = check_cidr, \
	 .doc = "addresses or networks (CIDR) that a host may resolve to, private ones too"}
#define PATHS(flags_, doc_) \
	{"paths", FIELD_LIST, (flags_) | FIELD_OR_ANY, AT(rule, paths), .check = check_path_pattern, \
	 .doc = doc_}

static const struct field exec_fields[] = {
	{"program", FIELD_LIST, FIELD_REQUIRED | FIELD_OR_ANY | FIELD_OR_ONE, AT(rule, programs),
	 .check = check_program, .doc = "absolute path of the program, or any; in deny rules also with *"},
	{"subcommands", FIELD_LIST, FIELD_OR_ANY, AT(rule, subcommands), .check = check_word,
	 .doc = "the first argument that is no option must be one of these"},
	{"options", FIELD_LIST, FIELD_OR_NONE | FIELD_OR_ANY, AT(rule, options), .check = check_option,
	 .doc = "options that may stand anywhere: --stat, --format=*, or \"-n *\" with a value of its own"},
	{"with_options", FIELD_LIST, 0, AT(rule, with_options), .check = check_option,
	 .doc = "the rule is only about commands with one of these; they need not be repeated in options"},
	{"operands", FIELD_LIST, FIELD_OR_NONE | FIELD_OR_ANY, AT(rule, operands),
	 .check = check_operand, .doc = "patterns of the other arguments; * stays within a path segment"},
	{"env", FIELD_LIST, FIELD_OR_NONE | FIELD_OR_ANY, AT(rule, env), .check = check_env,
	 .doc = "names of environment variables that the request may add"},
	{NULL}};

static const struct field net_fields[] = {
	HOSTS(FIELD_IF_PERMIT),
	{"ports", FIELD_PORTS, FIELD_IF_PERMIT | FIELD_OR_ANY, AT(rule, ports), .doc = "TCP ports or ranges"},
	ADDRESSES,
	CREDENTIAL, LIMITS_FIELD(net_limits_shape), {NULL}};

static const struct field http_fields[] = {
	HOSTS(FIELD_IF_PERMIT),
	WEB_PORTS, SCHEMES, ADDRESSES,
	{"methods", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY, AT(rule, methods), .check = check_method,
	 .doc = "request methods, in capitals"},
	PATHS(0, "request paths; * stays within a segment, ** crosses them"),
	{"headers", FIELD_LIST, FIELD_OR_NONE | FIELD_OR_ANY, AT(rule, headers), .check = check_header,
	 .doc = "request headers that the agent may send beyond the usual ones"},
	{"content_types", FIELD_LIST, FIELD_OR_ANY, AT(rule, content_types), .check = check_content_type,
	 .doc = "types of a request body: application/json, text/*"},
	{"responses", FIELD_LIST, FIELD_NOT_DENY | FIELD_OR_ANY, AT(rule, responses), .check = check_content_type,
	 .doc = "types of a response body that may come in; others are refused"},
	{"upgrades", FIELD_LIST, 0, AT(rule, upgrades), .names = upgrade_names,
	 .doc = "protocols that a connection may change to; what follows is not read"},
	CREDENTIAL, LIMITS_FIELD(http_limits_shape), {NULL}};

static const struct field delete_as_fields[] = {
	{"column", FIELD_TEXT, FIELD_REQUIRED, AT(delete_as, column), .check = check_word,
	 .doc = "the column that marks a row as deleted"},
	{"value", FIELD_TEXT, FIELD_REQUIRED, AT(delete_as, value), .doc = "what it is set to: now(), true"},
	{NULL}};
static const struct shape delete_as_shape = {"delete_as", delete_as_fields,
    .size = sizeof(struct delete_as)};

static const struct field sql_fields[] = {
	{"database", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY | FIELD_OR_ONE, AT(rule, databases),
	 .check = check_word, .doc = "the database, by its configured name"},
	{"statements", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY, AT(rule, statements),
	 .names = statement_names, .doc = "statement kinds; each one in the text must be listed"},
	{"tables", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY | FIELD_OR_NONE, AT(rule, tables),
	 .check = check_relation, .doc = "tables and views read or written: name, schema.name, log_*"},
	{"columns", FIELD_LIST, FIELD_OR_ANY, AT(rule, columns), .check = check_relation,
	 .doc = "columns read or written: name or table.name"},
	{"functions", FIELD_LIST, FIELD_OR_ANY | FIELD_OR_NONE, AT(rule, functions),
	 .check = check_relation, .doc = "functions that may be called beyond the harmless built-in ones"},
	{"where", FIELD_ENUM, 0, AT(rule, where), .names = where_names,
	 .doc = "required: update and delete need a WHERE; missing (review, deny): those that have none"},
	{"delete_as", FIELD_MAP, FIELD_NOT_DENY, AT(rule, delete_as), .sub = &delete_as_shape,
	 .doc = "turn a DELETE into an UPDATE that marks the rows"},
	CREDENTIAL, LIMITS_FIELD(sql_limits_shape), {NULL}};

static const struct field argument_fields[] = {
	{"type", FIELD_ENUM, 0, AT(argument, type), .names = argument_types, .doc = "any unless given"},
	{"values", FIELD_LIST, 0, AT(argument, values), .doc = "the texts (or numbers) that it may be"},
	{"pattern", FIELD_TEXT, 0, AT(argument, pattern), .doc = "the text must match; * is any run of characters"},
	{"min", FIELD_INT, 0, AT(argument, min), .min = 0, .max = JSON_INT_MAX, .doc = "smallest number"},
	{"max", FIELD_INT, 0, AT(argument, max), .min = 0, .max = JSON_INT_MAX, .doc = "largest number"},
	{"max_length", FIELD_INT, 0, AT(argument, max_length), .min = 0, .max = 1048576,
	 .doc = "longest text, in bytes"},
	{"required", FIELD_BOOL, 0, AT(argument, required), .doc = "the argument must be given"},
	{NULL}};
static const struct shape argument_shape = {"an argument", argument_fields,
    .size = sizeof(struct argument)};

static const struct field tool_fields[] = {
	{"tools", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY, AT(rule, tools), .check = check_glob,
	 .doc = "names of tools; * is any run of characters"},
	{"arguments", FIELD_NAMED, 0, AT(rule, arguments), .sub = &argument_shape,
	 .doc = "what each argument may be; when given, no other argument is permitted"},
	CREDENTIAL, LIMITS_FIELD(tool_limits_shape), {NULL}};

static const struct field model_fields[] = {
	{"providers", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY, AT(rule, providers), .check = check_word,
	 .doc = "model providers, by their configured names"},
	{"models", FIELD_LIST, FIELD_OR_ANY, AT(rule, models), .check = check_glob,
	 .doc = "model names; * is any run of characters"},
	CREDENTIAL, LIMITS_FIELD(model_limits_shape), {NULL}};

static const struct field git_fields[] = {
	HOSTS(FIELD_IF_PERMIT), WEB_PORTS, SCHEMES, ADDRESSES,
	{"repositories", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY, AT(rule, repositories),
	 .check = check_path_pattern, .doc = "repository paths: acme/app, acme/*"},
	{"operations", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY, AT(rule, operations),
	 .names = git_operations, .doc = "fetch, push; force-push and delete (of a ref) beside push"},
	{"branches", FIELD_LIST, FIELD_OR_ANY, AT(rule, branches), .check = check_path_pattern,
	 .doc = "branches that a push may change: agent/**, or a whole ref name"},
	CREDENTIAL, LIMITS_FIELD(git_limits_shape), {NULL}};

static const struct field file_fields[] = {
	{"operations", FIELD_LIST, FIELD_IF_PERMIT | FIELD_OR_ANY, AT(rule, operations),
	 .names = file_operations, .doc = "commit lets staged changes out of the sandbox"},
	PATHS(0, "paths, as the action names them; * stays within a segment, ** crosses them"),
	LIMITS_FIELD(file_limits_shape), {NULL}};

static const struct shape rule_shapes[ACTION_KINDS] = {
	[ACTION_EXEC] = {"an exec rule", exec_fields, &common_shape, sizeof(struct rule)},
	[ACTION_NET] = {"a net rule", net_fields, &common_shape, sizeof(struct rule)},
	[ACTION_HTTP] = {"an http rule", http_fields, &common_shape, sizeof(struct rule)},
	[ACTION_SQL] = {"an sql rule", sql_fields, &common_shape, sizeof(struct rule)},
	[ACTION_TOOL] = {"a tool rule", tool_fields, &common_shape, sizeof(struct rule)},
	[ACTION_MODEL] = {"a model rule", model_fields, &common_shape, sizeof(struct rule)},
	[ACTION_GIT] = {"a git rule", git_fields, &common_shape, sizeof(struct rule)},
	[ACTION_FILE] = {"a file rule", file_fields, &common_shape, sizeof(struct rule)},
};
static const struct shape *const rule_picks[] = {&rule_shapes[0], &rule_shapes[1], &rule_shapes[2],
    &rule_shapes[3], &rule_shapes[4], &rule_shapes[5], &rule_shapes[6], &rule_shapes[7], NULL};

const struct shape *
rule_shape(enum action_kind kind)
{
	return &rule_shapes[kind];
}

/* A rule's shape is that of the kind that its allow, review or deny names; a rule without one is
 * read as a plain rule and refused afterwards, so that the error says what is missing. */
static const struct shape *
pick_rule_shape(const struct node *node)
{
	static const char *const effects[] = {"allow", "review", "deny"};
	for (size_t i = 0; i < ARRAY_LEN(effects); i++) {
		const struct node *kind = tree_get(node, effects[i]);
		for (size_t k = 0; kind != NULL && kind->type == NODE_SCALAR && k < ACTION_KINDS; k++)
			if (strcmp(kind->text, kind_names[k]) == 0)
				return &rule_shapes[k];
		if (kind != NULL)
			return &common_shape;
	}
	return &common_shape;
}

static const struct shape rules_shape = {"a rule", common_fields, .size = sizeof(struct rule),
    .pick = pick_rule_shape, .picks = rule_picks};

/* ---- sandbox ---- */

#define SLIMITS(member) AT(sandbox_limits, member)
static const struct field sandbox_limit_fields[] = {
	{"cpu", FIELD_MILLIS, SLIMITS(cpu_millis), .min = 10, .max = 4096000,
	 .doc = "CPUs: 1, 0.5"},
	{"memory", FIELD_BYTES, SLIMITS(memory_bytes), .min = 4 << 20, .max = 64 * TIB,
	 .doc = "memory of all processes together"},
	{"processes", FIELD_INT, SLIMITS(processes), .min = 1, .max = 4194304,
	 .doc = "processes and threads at one time"},
	{"disk", FIELD_BYTES, SLIMITS(disk_bytes), .min = 4096, .max = 64 * TIB,
	 .doc = "scratch space, and what a staged workspace may grow by"},
	{"wall", FIELD_MS, SLIMITS(wall_ms), .min = 10, .max = 30 * DAY_MS, .doc = "time from start to end"},
	{"cpu_time", FIELD_MS, SLIMITS(cpu_time_ms), .min = 1000, .max = 30 * DAY_MS,
	 .doc = "time on the CPU, of one process"},
	{"output", FIELD_BYTES, SLIMITS(output_bytes), .min = 0, .max = TIB,
	 .doc = "bytes on standard output and error together"},
	{"open_files", FIELD_INT, SLIMITS(open_files), .min = 8, .max = 1048576,
	 .doc = "open descriptors of one process"},
	{"network", FIELD_RATE, SLIMITS(network_bytes_per_s), .min = 1, .max = TIB,
	 .doc = "traffic of the sandbox, both directions together"},
	{"traffic", FIELD_BYTES, SLIMITS(network_bytes), .min = 1, .max = TIB,
	 .doc = "bytes that the sandbox may send and receive in its whole life"},
	{NULL}};
static const struct shape sandbox_limits_shape = {"the sandbox's limits", sandbox_limit_fields,
    .size = sizeof(struct sandbox_limits)};

static const char *const memory_strengths[] = {"cgroup", "per-process", "watched", NULL};
static const char *const process_strengths[] = {"cgroup", "rlimit", NULL};
static const struct term_kind floor_terms[] = {
	{"user-ns", NULL, "a user namespace of its own"},
	{"pid-ns", NULL, "a process namespace of its own"},
	{"mount-ns", NULL, "a mount namespace and a root of its own"},
	{"net-ns", NULL, "a network namespace without a route out"},
	{"ipc-ns", NULL, "a namespace for System V IPC and message queues"},
	{"uts-ns", NULL, "a host name of its own"},
	{"cgroup-ns", NULL, "a cgroup namespace of its own"},
	{"seccomp", NULL, "a filter of system calls"},
	{"landlock", NULL, "Landlock as the second lock on files"},
	{"no-new-privs", NULL, "no privilege from set-user-ID programs"},
	{"no-caps", NULL, "no capabilities"},
	{"memory-limit", memory_strengths, "a memory limit is enforced"},
	{"process-limit", process_strengths, "a process limit is enforced"},
	{"cpu-limit", NULL, "a CPU limit is enforced"},
	{"disk-limit", NULL, "a limit of scratch space is enforced"},
	{NULL}};

static const struct field sandbox_fields[] = {
	{"tier", FIELD_ENUM, 0, AT(sandbox, tier), .names = tier_names, .doc = "namespaces unless given"},
	{"root", FIELD_TEXT, 0, AT(sandbox, root), .check = check_root, .pattern = PATTERN_ROOT,
	 .doc = "host (unless given), or image:NAME"},
	{"executables", FIELD_ENUM, 0, AT(sandbox, executables), .names = executables_names,
	 .doc = "any (unless given), or listed: only what exec rules name exists inside"},
	{"workspace", FIELD_ENUM, 0, AT(sandbox, workspace), .names = workspace_names,
	 .doc = "none (unless given), staged: changes wait to be committed, or direct"},
	{"exec_gate", FIELD_ENUM, 0, AT(sandbox, exec_gate), .names = gate_names,
	 .doc = "submit (unless given): exec rules decide submitted commands; kernel: every exec inside too"},
	{"limits", FIELD_MAP, 0, AT(sandbox, limits), .sub = &sandbox_limits_shape,
	 .doc = "what the sandbox may use at most"},
	{"floor", FIELD_TERMS, 0, AT(sandbox, floor), .terms = floor_terms,
	 .doc = "what must be enforced here, or nothing starts"},
	{NULL}};
static const struct shape sandbox_shape = {"the sandbox", sandbox_fields,
    .size = sizeof(struct sandbox)};

/* ---- review, budgets, risk ---- */

static const struct field review_fields[] = {
	{"approvals", FIELD_LIST, 0, AT(review_defaults, approvals), .check = check_name,
	 .pattern = PATTERN_NAME, .doc = "roles, one person for each; operator unless given"},
	{"timeout", FIELD_MS, 0, AT(review_defaults, timeout_ms), .min = 1000, .max = 30 * DAY_MS,
	 .doc = "how long a review may wait, 15m unless given; then it is denied"},
	{"self_approve", FIELD_BOOL, 0, AT(review_defaults, self_approve),
	 .doc = "the requester may approve; recorded as conventional"},
	{NULL}};
static const struct shape review_shape = {"review", review_fields,
    .size = sizeof(struct review_defaults)};

#define BUDGET(name_, member, doc_) \
	{name_, FIELD_INT, AT(budgets, member), .min = 0, .max = 1000000000000LL, .doc = doc_}
static const struct field budget_fields[] = {
	BUDGET("calls_per_task", calls_per_task, "actions of one task"),
	BUDGET("calls_per_day", calls_per_day, "actions of one requester in a day (UTC)"),
	BUDGET("rows_per_day", rows_per_day, "rows read and written in a day"),
	BUDGET("bytes_per_day", bytes_per_day, "bytes sent and received in a day"),
	BUDGET("tokens_per_day", tokens_per_day, "model tokens in a day"),
	BUDGET("money_per_day", money_per_day, "money in a day, in the smallest unit of its currency"),
	{NULL}};
static const struct shape budgets_shape = {"budgets", budget_fields, .size = sizeof(struct budgets)};

#define WEIGHT(name_, doc_) \
	{#name_, FIELD_INT, AT(weights, name_), .min = 0, .max = 100, .doc = doc_}
static const struct field weight_fields[] = {
	WEIGHT(irreversible, "a write that cannot be taken back; 20"),
	WEIGHT(bulk, "over 1,000 rows, over 10 % of a table, or recursive; 30"),
	WEIGHT(customer, "customer data; 25"),
	WEIGHT(financial, "financial data; 30"),
	WEIGHT(secret, "secret data; 40"),
	WEIGHT(first_seen, "the first action of its kind; 12"),
	WEIGHT(opaque, "not fully understood; 30"),
	WEIGHT(privileged, "changes structure or rights; 25"),
	WEIGHT(outside_hours, "outside working hours; 5"),
	WEIGHT(burst, "many at once; 10"),
	{NULL}};
static const struct shape weights_shape = {"the weights of risk", weight_fields,
    .size = sizeof(struct weights)};

static const struct field hours_fields[] = {
	{"from", FIELD_CLOCK, FIELD_REQUIRED, AT(hours, from), .doc = "start of the working day: 08:00"},
	{"to", FIELD_CLOCK, FIELD_REQUIRED, AT(hours, to), .doc = "end of the working day: 18:00"},
	{"days", FIELD_LIST, 0, AT(hours, days), .names = day_names, .doc = "mon to fri unless given"},
	{"utc_offset_minutes", FIELD_INT, 0, AT(hours, utc_offset_minutes), .min = -840, .max = 840,
	 .doc = "local time minus UTC; 0 unless given"},
	{NULL}};
static const struct shape hours_shape = {"working hours", hours_fields, .size = sizeof(struct hours)};

static const struct field risk_fields[] = {
	{"data", FIELD_CLASSES, 0, AT(risk_rules, data), .names = class_names, .check = check_data_name,
	 .doc = "classes of data: table (schema.table, log_*), or file path pattern beginning with /"},
	{"review_at", FIELD_INT, 0, AT(risk_rules, review_at), .min = 1, .max = 100,
	 .doc = "from this risk on, what a rule allows waits for people"},
	{"deny_at", FIELD_INT, 0, AT(risk_rules, deny_at), .min = 1, .max = 100,
	 .doc = "from this risk on, everything is denied"},
	{"weights", FIELD_MAP, 0, AT(risk_rules, weights), .sub = &weights_shape,
	 .doc = "points of each part, instead of the usual ones"},
	{"hours", FIELD_MAP, 0, AT(risk_rules, hours), .sub = &hours_shape, .doc = "working hours"},
	{NULL}};
static const struct shape risk_shape = {"risk", risk_fields, .size = sizeof(struct risk_rules)};

/* ---- tests ---- */

static const struct field facts_fields[] = {
	{"rows_estimated", FIELD_INT, AT(facts, rows_estimated), .min = 0, .max = JSON_INT_MAX,
	 .doc = "rows that it would touch"},
	{"table_rows", FIELD_INT, AT(facts, table_rows), .min = 0, .max = JSON_INT_MAX,
	 .doc = "rows of the table"},
	{"first_seen", FIELD_BOOL, AT(facts, first_seen), .doc = "the first of its kind"},
	{"burst", FIELD_BOOL, AT(facts, burst), .doc = "one of many at once"},
	{"outside_hours", FIELD_BOOL, AT(facts, outside_hours), .doc = "outside working hours"},
	{"recursive", FIELD_BOOL, AT(facts, recursive), .doc = "acts on a whole tree"},
	{NULL}};
static const struct shape facts_shape = {"facts", facts_fields, .size = sizeof(struct facts)};

static const struct field example_fields[] = {
	{"exec", FIELD_LIST, 0, AT(example, exec), .doc = "a command: program and arguments"},
	{"net", FIELD_TEXT, 0, AT(example, net), .doc = "host:port"},
	{"http", FIELD_TEXT, 0, AT(example, http), .doc = "METHOD https://host/path"},
	{"sql", FIELD_TEXT, 0, AT(example, sql), .doc = "a simple statement; with database"},
	{"tool", FIELD_TEXT, 0, AT(example, tool), .doc = "a tool's name; with arguments"},
	{"model", FIELD_TEXT, 0, AT(example, model), .doc = "provider/model; with tokens"},
	{"git", FIELD_TEXT, 0, AT(example, git), .doc = "fetch|push|force-push|delete host[:port]/repository [branch]"},
	{"file", FIELD_TEXT, 0, AT(example, file), .doc = "read|write|delete|commit path"},
	{"action", FIELD_VALUE, 0, AT(example, action), .doc = "a whole action record, as in doc/action.md"},
	{"database", FIELD_TEXT, 0, AT(example, database), .check = check_word, .doc = "for sql"},
	{"arguments", FIELD_VALUE, 0, AT(example, arguments), .doc = "for tool"},
	{"tokens", FIELD_INT, 0, AT(example, tokens), .min = 0, .max = JSON_INT_MAX, .doc = "for model"},
	{"body", FIELD_BYTES, 0, AT(example, body_bytes), .min = 0, .max = TIB, .doc = "for http"},
	{"bytes", FIELD_BYTES, 0, AT(example, bytes), .min = 0, .max = TIB, .doc = "for file"},
	{"effect", FIELD_ENUM, 0, AT(example, effect), .names = effect_names,
	 .doc = "read, write or privileged; guessed from the action unless given"},
	{"opaque", FIELD_BOOL, 0, AT(example, opaque), .doc = "not fully understood"},
	{"facts", FIELD_MAP, 0, AT(example, facts), .sub = &facts_shape, .doc = "what inspection found"},
	{"is", FIELD_ENUM, FIELD_REQUIRED, AT(example, is), .names = verdict_words,
	 .doc = "the decision that must come out"},
	{"by", FIELD_TEXT, 0, AT(example, by), .check = check_name, .pattern = PATTERN_NAME,
	 .doc = "the rule that must decide"},
	{"risk", FIELD_INT, 0, AT(example, risk), .min = 0, .max = 100, .doc = "the risk that must come out"},
	{NULL}};
static const struct shape example_shape = {"a test", example_fields, .size = sizeof(struct example)};

/* ---- the file ---- */

static const struct field policy_fields[] = {
	{"version", FIELD_INT, FIELD_REQUIRED, AT(policy, version), .min = 1, .max = 1,
	 .doc = "the version of this format: 1"},
	{"name", FIELD_TEXT, FIELD_REQUIRED, AT(policy, name), .check = check_name,
	 .pattern = PATTERN_NAME, .doc = "the policy's name"},
	{"sandbox", FIELD_MAP, 0, AT(policy, sandbox), .sub = &sandbox_shape,
	 .doc = "where the agent's code runs"},
	{"review", FIELD_MAP, 0, AT(policy, review), .sub = &review_shape,
	 .doc = "defaults of reviews, and what risk sends to review"},
	{"budgets", FIELD_MAP, 0, AT(policy, budgets), .sub = &budgets_shape,
	 .doc = "what a task or a day may use"},
	{"rules", FIELD_MAPS, 0, AT(policy, rules_read), .max = RULES_MAX, .sub = &rules_shape,
	 .doc = "what is permitted; nothing else is. Their order does not matter"},
	{"risk", FIELD_MAP, 0, AT(policy, risk), .sub = &risk_shape,
	 .doc = "how risky an action is; can only tighten a decision"},
	{"tests", FIELD_MAPS, 0, AT(policy, tests_read), .max = TESTS_MAX, .sub = &example_shape,
	 .doc = "examples; a policy whose examples fail does not load"},
	{NULL}};
const struct shape policy_shape = {"a policy", policy_fields, .size = sizeof(struct policy)};
