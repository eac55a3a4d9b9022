/* What rf-doctor knows of one thing that this host should be able to enforce, and how it finds out.
 *
 * A check is either direct (it reads) or a probe: the program executes itself as `rf-doctor --probe
 * NAME`, and that process really does what a sandbox would do. What kills a probe is a finding. */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

enum state { STATE_OK, STATE_WEAKER, STATE_MISSING };

struct finding {
	enum state state;
	char detail[300]; /* what is there, or why not */
	char fix[500];    /* "" when there is nothing to mend */
};

typedef void check_fn(struct finding *ret);
/* Runs in the probe's process: prints one line for people, returns an enum state. */
typedef int probe_fn(void);

struct check {
	const char *name;
	const char *terms; /* floor terms that depend on it, separated by spaces; may be "" */
	check_fn *direct;  /* NULL: run the probe of this name */
	check_fn *mend;    /* given a finding that is not ok, fills in fix; may be NULL */
};

void finding_set(struct finding *f, enum state state, const char *fmt, ...) PRINTF_LIKE(3, 4);
void finding_fix(struct finding *f, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Executes ourselves with `--probe NAME` and reads its finding. */
void probe_run(const char *name, struct finding *ret);
/* The probe NAME, in the process that is it. */
int probe_main(const char *name);

/* checks.c: what is read; mend.c: what to do about it. */
check_fn check_kernel, check_cgroup, check_container, check_yama, check_disk, check_programs;
check_fn mend_namespaces, mend_landlock, mend_seccomp, mend_proc, mend_overlay, mend_idmap,
    mend_run;

/* Reads the start of a small file, without the newline; "" if it cannot be read. */
void doctor_read(const char *path, char *ret, size_t size);
