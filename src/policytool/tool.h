/* rf-policy: what its files share. */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "policy/policy.h"

/* Exit codes: 0 yes, 1 no (not valid, a test failed, it differs), 2 it could not be found out. */
enum tool_exit { TOOL_YES = 0, TOOL_NO = 1, TOOL_TROUBLE = 2 };

/* A subcommand's words, sorted out: OPERANDS are borrowed from argv. */
#define TOOL_OPERANDS_MAX 2
struct tool_args {
	const char *operands[TOOL_OPERANDS_MAX];
	unsigned n;
	const char *action; /* --action FILE */
	const char *since;  /* --since AGE or time */
	const char *dir;    /* --dir DIR: the ledger's directory */
	bool json;          /* --json */
};

/* A policy's bytes and where they are from. */
struct source {
	struct buf text;
	const char *name; /* as errors cite it */
	int fd;           /* the open file; -1 for a built-in policy */
};

/* tool.c */
/* Reads a file, "-" (standard input), or a built-in policy by name. 0, or -errno with ERR filled; call
 * source_done in either case. */
int source_read(const char *where, struct source *ret, struct error *err) MUST_CHECK;
void source_done(struct source *s);
/* Reads and loads; `rf-policy: …` on standard error if that fails. NULL then. */
struct policy *tool_load(const char *where);
/* `rf-policy: MESSAGE` on standard error, with the remedy if there is one. Returns TOOL_TROUBLE. */
int tool_fail(const struct error *err);
int tool_failf(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* V (taken) as indented JSON on standard output. */
int tool_print_json(struct json *v);
/* Prints TEXT so that a terminal shows it and nothing more. */
void tool_print_text(const char *text);

/* One function per subcommand; each returns its exit code. */
typedef int tool_fn(const struct tool_args *args);
tool_fn tool_init, tool_check, tool_test, tool_explain, tool_schema, tool_show; /* local.c */
tool_fn tool_diff, tool_capabilities;                                           /* compare.c */
tool_fn tool_activate, tool_rollback, tool_history;                             /* activate.c */
tool_fn tool_unused;                                                            /* unused.c */
/* Prints what tool_unused found (unused_print.c). */
void unused_print(const struct json *report);
/* The commented starter policy (starter.c). */
extern const char starter_policy[];
