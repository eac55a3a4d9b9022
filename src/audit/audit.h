/* What the subcommands of rf-audit share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"

#define EXIT_TAMPERED 1
#define EXIT_UNUSABLE 2

/* One option of a subcommand. NAME with its dashes; a flag sets *FLAG, others set *VALUE (borrowed
 * from argv). */
struct option_spec {
	const char *name;
	const char **value;
	bool *flag;
};

/* Reads ARGV against SPECS (ends with a NULL name); what is no option goes to OPERANDS, at most MAX.
 * "--" ends options; --x=y works. 0 and *RET_N, or -EINVAL. */
int options_parse(int argc, char **argv, const struct option_spec *specs, const char **operands,
    size_t max, size_t *ret_n, struct error *err) MUST_CHECK;
/* A number or time of the command line. Times: RFC 3339, or an age: 30s, 5m, 2h, 7d. */
int option_number(const char *text, uint64_t *ret, struct error *err) MUST_CHECK;
int option_time(const char *text, int64_t *ret_ms, struct error *err) MUST_CHECK;

/* Opens the ledger's directory: DIR, or the state directory's. *RET_DEFAULT (may be NULL): whether it
 * was that. fd or -errno. */
int ledger_open(const char *dir, bool *ret_default, struct error *err) MUST_CHECK;
/* Reads a file of at most MAX bytes into OUT (initialised here). 0 or -errno. */
int file_read(const char *path, size_t max, struct buf *out, struct error *err) MUST_CHECK;

/* Says what went wrong, on standard error; returns EXIT_UNUSABLE. */
int complain(const struct error *err);
/* Writes OUT to standard output. 0, or EXIT_UNUSABLE if it cannot be written. */
int print_out(const struct buf *out);

/* Asks the running ledger to sign what it has. 1 with the note appended to OUT, 0 if no ledger runs, or
 * a negative errno with ERR. */
int checkpoint_ask(struct buf *out, struct error *err) MUST_CHECK;
/* The same for its effect only: so that what is read next is signed, if somebody can sign. */
void checkpoint_refresh(void);

int verify_main(int argc, char **argv);
int show_main(int argc, char **argv);
int query_main(int argc, char **argv);
int tail_main(int argc, char **argv);
int checkpoint_main(int argc, char **argv);
int export_main(int argc, char **argv);
