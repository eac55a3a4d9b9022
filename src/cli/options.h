/* Command-line options from a table, the same way for every subcommand: `--name VALUE`,
 * `--name=VALUE`, `-n VALUE`, flags (also `-ab`), `--`. The table is also the help text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"

struct option_spec {
	const char *name;  /* without the dashes; NULL ends the table */
	const char *value; /* the value's name in the help; NULL: a flag */
	const char *help;  /* one line */
	char letter;       /* short form, or 0 */
};

struct options {
	const struct option_spec *table;
	int argc;
	char **argv; /* borrowed */
	int at;
	const char *rest;     /* the letters that follow a flag's in the same argument, or NULL */
	bool operands;        /* only operands follow */
	bool stop_at_operand; /* `run`: the first operand ends the options */
};

enum { OPTIONS_END = -1, OPTIONS_OPERAND = -2, OPTIONS_BAD = -3 };

/* Begins after argv[0]. */
void options_init(struct options *o, const struct option_spec *table, int argc, char **argv);
/* The next option: its index in the table, with its value (borrowed) in RET_VALUE; or OPTIONS_OPERAND
 * with the operand; or OPTIONS_END (with stop_at_operand, o->at is the first operand); or OPTIONS_BAD
 * with one line in ERR. */
int options_next(struct options *o, const char **ret_value, struct error *err);
/* Appends the table as help lines. */
void options_help(const struct option_spec *table, struct buf *out);

/* Of the strings NAMES (ends with NULL; STRIDE bytes apart), the nearest to TEXT by edit distance, if
 * it is near enough to be meant; else NULL. */
const char *nearest_name(const char *text, const char *const *names, size_t stride);

/* "512MiB", "1GiB", "4096" → bytes; "60s", "500ms", "2m", "1h" → milliseconds; whole numbers; CPUs with
 * up to three decimals → thousandths. WHAT names the option in ERR. 0 or -EINVAL. */
int parse_bytes(const char *text, const char *what, long long *ret, struct error *err) MUST_CHECK;
int parse_duration(const char *text, const char *what, long long *ret, struct error *err)
    MUST_CHECK;
int parse_count(const char *text, const char *what, long long *ret, struct error *err) MUST_CHECK;
int parse_millis(const char *text, const char *what, long long *ret, struct error *err) MUST_CHECK;
