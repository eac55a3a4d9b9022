/* What the subcommands share: exit codes, and the table that main.c dispatches on. */
#pragma once

#include "base/buf.h"
#include "base/macros.h"

enum cli_exit {
	EXIT_BAD_USAGE = 2,    /* a subcommand other than run was used wrongly */
	EXIT_TIME = 124,       /* wall-clock or CPU time limit */
	EXIT_RINGFENCE = 125,  /* Ringfence failed, or `run` was used wrongly */
	EXIT_DENIED = 126,     /* denied, rejected, or not executable */
	EXIT_NO_PROGRAM = 127, /* there is no such program */
	EXIT_KILLED = 137,     /* memory limit, output limit, or killed */
	EXIT_BROKEN_PIPE = 141,
};

/* ARGV[0] is the subcommand's name. Returns the exit code. */
typedef int command_fn(int argc, char **argv);

command_fn cmd_run, cmd_sandbox, cmd_serve, cmd_review, cmd_kill, cmd_tasks, cmd_status, cmd_start,
    cmd_stop, cmd_secret;

/* The options of a subcommand, as help lines. */
void run_help(struct buf *out);
void sandbox_help(struct buf *out);
void serve_help(struct buf *out);
void review_help(struct buf *out);
void control_help(struct buf *out);
void secret_help(struct buf *out);

/* The whole help of subcommand NAME on standard output; NULL is the overview. Returns an exit code. */
int cli_help(const char *name);
