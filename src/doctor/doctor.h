/* What rf-doctor knows of one thing that this host should be able to enforce, and how it finds out.
 *
 * A check is either direct (it reads) or a probe: the program executes itself as `rf-doctor --probe
 * NAME`, and that process really does what a sandbox would do. What kills a probe is a finding. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

#define PATH_SIZE 4096

enum state { STATE_OK, STATE_WEAKER, STATE_MISSING };

struct finding {
	enum state state;
	char detail[400];   /* what is there, or why not */
	char fix[600];      /* "" when there is nothing to mend */
	struct json *facts; /* what was read, for programs; owned, may be NULL */
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
/* The object of facts, made when first asked for; borrowed. */
struct json *finding_facts(struct finding *f);
void finding_done(struct finding *f);
/* Appends to TEXT of SIZE bytes; what does not fit is cut. */
void text_add(char *text, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Executes ourselves with `--probe NAME` and reads its finding. */
void probe_run(const char *name, struct finding *ret);
/* The probe NAME, in the process that is it. */
int probe_main(const char *name);

/* kernel.c: what the kernel knows */
check_fn check_kernel, check_system_calls, check_landlock_rights, check_modules, check_yama;
/* limits.c: how much of it there is */
check_fn check_namespace_limits, check_memory, check_processes;
/* groups.c: control groups */
check_fn check_cgroup, check_cgroup_layout, mend_cgroup;
/* checks.c: the place */
check_fn check_container, check_disk, check_programs;
/* network.c: what policies with a network need */
check_fn check_network;
/* mend.c: what to do about what a probe found */
check_fn mend_namespaces, mend_landlock, mend_seccomp, mend_proc, mend_overlay, mend_idmap,
    mend_here, mend_run;

/* Which container we are in, or NULL; TEXT is room for its name. */
const char *container_kind(char *text, size_t size);

/* read.c. All paths are below the root: "" unless a unit test has moved it. */
void doctor_set_root(const char *path);
/* The start of a small file, "" if it cannot be read; its first line. */
void doctor_read_all(const char *path, char *ret, size_t size);
void doctor_read(const char *path, char *ret, size_t size);
int64_t doctor_read_int(const char *path, int64_t otherwise);
bool doctor_exists(const char *path);
bool doctor_can_write(const char *path);
/* Whether WORD is one of WORDS, which spaces, commas or line ends separate. */
bool doctor_has_word(const char *words, const char *word);
