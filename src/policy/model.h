/* A policy in memory: what the field tables fill and what deciding reads. Internal to this layer.
 *
 * Everything lives in the policy's arena and is immutable once policy_load has returned. */
#pragma once

#include "policy/field.h"
#include "policy/policy.h"

#define RULES_MAX 2000
#define TESTS_MAX 1000
#define APPROVALS_MAX 8

enum undo { UNDO_NONE, UNDO_BEFORE_IMAGES, UNDO_SNAPSHOT, UNDO_COMPENSATE };
enum where { WHERE_REQUIRED, WHERE_MISSING };
enum data_class { DATA_PUBLIC, DATA_CUSTOMER, DATA_FINANCIAL, DATA_SECRET };
enum tier { TIER_NAMESPACES, TIER_GVISOR, TIER_VM, TIER_WASM };
enum executables { EXECUTABLES_ANY, EXECUTABLES_LISTED };
enum workspace { WORKSPACE_NONE, WORKSPACE_STAGED, WORKSPACE_DIRECT };
enum exec_gate { GATE_SUBMIT, GATE_KERNEL };

/* What one action may use at most; FIELD_UNSET where the rule says nothing. */
struct limits {
	int64_t rows, bytes, body_bytes, response_bytes, tokens, time_ms, bytes_per_s, per_minute,
	    at_once;
};

/* One argument of a tool. */
struct argument {
	int64_t type; /* index into argument_types */
	struct list values;
	const char *pattern;
	int64_t min, max, max_length, required;
};

struct delete_as {
	const char *column, *value;
};

struct rule {
	const char *name, *why, *owner;
	int64_t allow, review, deny; /* as written: a kind in exactly one of them */
	struct list approvals;
	int64_t timeout_ms;
	int64_t undo;
	const char *credential;
	struct limits limits;
	/* exec */
	struct list programs, subcommands, options, with_options, operands, env;
	/* net, http, git */
	struct list hosts, addresses;
	struct ports ports;
	/* http */
	struct list schemes, methods, paths, headers, content_types, responses, upgrades;
	/* sql */
	struct list databases, statements, tables, columns, functions;
	int64_t where;
	struct delete_as delete_as;
	/* tool */
	struct list tools;
	struct maps arguments;
	/* model */
	struct list providers, models;
	/* git, file (paths above) */
	struct list repositories, operations, branches;

	/* compiled */
	enum action_kind kind;
	enum verdict effect;
	bool bounds_argv; /* exec: some field about arguments is given */
	struct review_terms terms;
	const struct node *node;
};

struct sandbox_limits {
	int64_t cpu_millis, memory_bytes, processes, disk_bytes, wall_ms, cpu_time_ms, output_bytes,
	    open_files, network_bytes_per_s, network_bytes;
};

struct sandbox {
	int64_t tier, executables, workspace, exec_gate;
	const char *root;
	struct sandbox_limits limits;
	struct terms floor;
};

struct review_defaults {
	struct list approvals;
	int64_t timeout_ms, self_approve;
};

struct weights {
	int64_t irreversible, bulk, customer, financial, secret, first_seen, opaque, privileged,
	    outside_hours, burst;
};

struct hours {
	int64_t from, to, utc_offset_minutes;
	struct list days;
};

struct risk_rules {
	struct classes data;
	int64_t review_at, deny_at;
	struct weights weights;
	struct hours hours;
};

struct budgets {
	int64_t calls_per_task, calls_per_day, rows_per_day, bytes_per_day, tokens_per_day,
	    money_per_day;
};

struct facts {
	int64_t rows_estimated, table_rows, first_seen, burst, outside_hours, recursive;
};

/* An example of the file; exactly one kind of action. */
struct example {
	struct list exec;
	const char *net, *http, *sql, *tool, *model, *git, *file;
	const struct node *action;
	const char *database;
	const struct node *arguments;
	int64_t tokens, body_bytes, bytes;
	int64_t effect, opaque;
	struct facts facts;
	int64_t is;
	const char *by;
	int64_t risk;
	const struct node *node;
};

/* One rule under one key (a program, a host, a database, …). */
struct index_entry {
	uint32_t hash;
	uint32_t rule;
};

/* The rules of one kind: those found by key, sorted by hash, and those that every action meets. */
struct rule_index {
	struct index_entry *keyed;
	size_t n_keyed;
	uint32_t *rest;
	size_t n_rest;
};

struct policy {
	struct arena arena;
	char hash[65];
	/* as written */
	int64_t version;
	const char *name;
	struct sandbox sandbox;
	struct review_defaults review;
	struct budgets budgets;
	struct risk_rules risk;
	struct maps rules_read; /* struct rule */
	struct maps tests_read; /* struct example */
	/* compiled */
	struct rule *rules;
	size_t n_rules;
	struct rule_index index[ACTION_KINDS];
	struct review_terms review_terms; /* for what risk or opacity sends to review */
	const struct node *tree;
};

/* The shape of the whole file, and of a rule of KIND. */
extern const struct shape policy_shape;
const struct shape *rule_shape(enum action_kind kind);

/* Names of the enums, as written in files; NULL-terminated. */
extern const char *const verdict_words[];
extern const char *const class_names[];
extern const char *const undo_names[];
extern const char *const argument_types[];
extern const char *const tier_names[];
extern const char *const executables_names[];
extern const char *const workspace_names[];
extern const char *const gate_names[];
extern const char *const kind_names[];

enum argument_type { ARGUMENT_STRING, ARGUMENT_INTEGER, ARGUMENT_BOOLEAN, ARGUMENT_ANY };
