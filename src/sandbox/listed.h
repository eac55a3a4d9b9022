/* `executables: listed`: a root that holds only the programs that exec rules name, the libraries that
 * they load and the data that they need. What is not there cannot be started, whoever asks for it.
 *
 * Programs and libraries are copied into a tree of ours, once, and kept below the state directory. Big
 * directories of data (an interpreter's modules, time zones) are the host's, bound: without execution
 * where nothing in them is mapped as code; where something is, each program found in them is covered by an
 * empty file. That matters because the dynamic loader can run whatever it can read and map as code, and the
 * loader itself must be executable. doc/sandbox.md, "Listed executables", has the whole argument. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* The view (as host_view, with "rules" and "noexec") of a root that holds only PROGRAMS, an array of
 * absolute host paths; owned by the caller. UID and GID are the sandbox's user inside. What it is made from
 * is cached below STATE_FD, whose path is STATE, in "run/listed-…", and made anew when a source changed.
 *
 * RET_SOURCES (may be NULL) is what the view depends on, for listed_fresh; owned by the caller.
 *
 * A program that the host does not have is left out: starting it says "not found". A program that cannot
 * be shown (a script whose interpreter no rule names, a place that the sandbox needs for itself) is an
 * error that says what to do. 0 or -errno with ERR. */
int listed_view(int state_fd, const char *state, const struct json *programs, uid_t uid, gid_t gid,
    struct json **ret_view, struct json **ret_sources, struct error *err) MUST_CHECK;

/* Whether everything that SOURCES names is as it was. If not, call listed_view again. Looks (one lstat(2) each,
 * hundreds for an interpreter) at most once a second, and remembers in SOURCES when it did. */
bool listed_fresh(struct json *sources);
#define LISTED_LOOK_NS 1000000000LL

/* Removes cached trees that no fresh view uses. For times at which no sandbox lives. */
void listed_sweep(int state_fd);
