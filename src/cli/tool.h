/* Running rf-workspace: it reads what an agent wrote, so it is a program of its own (workspacetool/main.c) that
 * gets directories as descriptors and nothing else of ours. */
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

#define TOOL_FDS 3
#define TOOL_FIRST_FD 3 /* the first of them in the program */

struct tool {
	int fds[TOOL_FDS]; /* borrowed: become TOOL_FIRST_FD, …; -1 where there are fewer */
	const char *arguments[16]; /* after the verb: which descriptor is what; ends with NULL */
};

/* Runs `rf-workspace VERB ARGUMENTS MORE…` (MORE: NULL, or ends with NULL), its standard output on OUT. It says
 * itself what fails. 0 or -errno with ERR. */
int tool_run(const struct tool *tool, const char *verb, const char *const *more, int out,
    struct error *err) MUST_CHECK;
/* The same with --json: what it prints, owned; or its error in ERR. */
int tool_ask(const struct tool *tool, const char *verb, const char *const *more, struct json **ret,
    struct error *err) MUST_CHECK;
