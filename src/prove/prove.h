/* rf-prove, as its files share it.
 *
 *   main.c      options, the order of things
 *   keeper.c    two processes that watch each other, so that nothing is left behind
 *   place.c     the directories in which all of it happens
 *   internet.c  what there is to be reached for sandboxes that have a network, and their policies
 *   stage.c     what all trials share: directories, policies, a Ringfence of its own
 *   means.c     what each lock takes by itself, and what of it this caller cannot have
 *   trials.c    all of them, a few at a time
 *   trial.c     one attack, once: fixtures, the attack, what is checked afterwards
 *   actor.c     one process of a trial: started, listened to, ended
 *   launch.c    how it is started: bare, with one lock, in the product's sandbox
 *   verdict.c   what the trials of an attack say together
 *   unused.c    what the ledger says that policies could do without
 *   report_*.c  for a terminal, for programs, for printing */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "io/loop.h"
#include "prove/attack.h"
#include "sys/cgroup.h"

/* ---- what is found out ---- */

enum outcome {
	OUTCOME_NONE,        /* not tried */
	OUTCOME_SUCCEEDED,   /* the attack did what it wanted */
	OUTCOME_HELD,        /* it was kept from it */
	OUTCOME_CANNOT,      /* it could not be tried: the attack says why */
	OUTCOME_UNAVAILABLE, /* this host or user cannot have the lock */
	OUTCOME_BROKEN,      /* no answer: the proof itself failed */
};

struct finding {
	enum outcome outcome;
	char detail[240];
	struct json
	    *engaged; /* owned: what the kernel said of the process before it attacked, or NULL */
};

enum verdict {
	VERDICT_ENFORCED, /* the control succeeds; held by all, and by each lock that was named */
	VERDICT_CONVENTIONAL, /* not held here, as the attack says: no lock of this host's or user's holds it */
	VERDICT_WEAK,     /* held by all, but a lock that should hold it alone does not */
	VERDICT_BREACHED, /* not held */
	VERDICT_BROKEN,   /* a trial gave no answer */
	VERDICT_NO_CONTROL, /* the attack does not even succeed where nothing holds it: proves nothing */
	VERDICT_NOT_TESTED, /* no safe control exists, or none for an ordinary user */
	VERDICT_COUNT
};

struct row {
	const struct attack *attack;
	const char *not_tested; /* why nothing is tried; NULL if it is */
	const enum lock *locks; /* the attack's, for who runs us */
	size_t n_locks;
	struct finding control, only[ATTACK_LOCKS_MAX], all;
	enum verdict verdict;
	int64_t took_ms;
};

struct summary {
	unsigned counts[VERDICT_COUNT];
	unsigned attacks, controlled; /* those whose control succeeded */
	unsigned trials;
	int64_t took_ms;
};

/* ---- what the trials share ---- */

struct options {
	bool json, quiet, list;
	const char *html;  /* file, or NULL */
	int html_fd;       /* it, open before anything is tried, so that no proof is lost */
	const char *since; /* what no action needed since then; or NULL */
	const char **only;
	size_t n_only;
	unsigned jobs;
};

#define JOBS_MAX 16
#define KNOWN_MAX (4 * (JOBS_MAX + 1) + 2)

struct prove {
	struct options options;
	bool root;
	char base[64];  /* state, policies, workspaces, what attacks aim at */
	char tmp[64];   /* below /tmp, where a sandbox may write: the attacks' own directories */
	char state[80]; /* of the Ringfence that all trials "in the sandbox" go through */
	int init_fd, attack_fd, cli_fd, leak_fd;
	char attack_path[4096];   /* rf-attack's, for lists of programs */
	int filter_fd, listed_fd; /* the command's filters */
	unsigned filter_length, listed_length;
	struct json *view; /* of root: host, with its skeleton */
	struct cgroup_host *cgroups;
	int supervisor; /* pidfd, or -1 */
	pid_t supervisor_pid;
	int internet; /* pidfd, or -1 */
	pid_t internet_pid;
	struct json *
	    internet_keys; /* owned; NULL where no sandbox has a network: internet_missing says why */
	char internet_missing[200];
	pid_t known[KNOWN_MAX]; /* see keeper_know; 0 is free */
	struct loop *loop;
	bool stopping; /* no trial goes on */
	struct row *rows;
	size_t n_rows;
	struct summary summary;
	char *unused; /* owned: what rf-policy says of options.since, as text or as JSON; or NULL */
};

/* ---- keeper.c ---- */

/* Splits in two: returns in the child, which does the work; the parent waits, cleans up behind the child
 * however it ended, and exits with its code. Makes p->base and p->tmp. 0 or -errno. */
int keeper_split(struct prove *p, struct error *err) MUST_CHECK;
/* Processes that somebody here waits for; all other children are strays, left to us by a parent that ended. */
void keeper_know(struct prove *p, pid_t pid);
void keeper_forget(struct prove *p, pid_t pid);
/* Ends and reaps the strays of trial NUMBER, or with -1 all of them. */
void keeper_end_strays(const struct prove *p, int number);
/* Removes what is left behind on disk and in control groups. */
void keeper_clean(const struct prove *p);

/* ---- stage.c ---- */

int stage_set(struct prove *p, struct error *err) MUST_CHECK;
/* Stops what stage_set started. */
void stage_strike(struct prove *p);

/* ---- internet.c ---- */

/* Starts it and writes policies that lead there, and the configuration that names its resolver. What fails is in
 * p->internet_missing: there are attacks that need none. */
void internet_start(struct prove *p);
void internet_stop(struct prove *p);
/* Which policy an attack with NEEDS_INTERNET has: "network", or where LOCK is tried alone "network-policy" or
 * "network-addresses". */
const char *internet_policy(enum lock lock);

/* ---- means.c ---- */

/* What a lock takes where it is the only one. */
struct means {
	enum lock lock;
	uint64_t namespaces;
	/* Starts as the root of namespaces of its own, with all capabilities over them. */
	bool ns_root;
	/* A user namespace is among them because the kernel wants it, not as a lock. */
	bool user_ns;
	/* A lock of the supervisor or the CLI: tried in a sandbox of the product, every other limit far away. */
	bool product;
	/* Why it cannot be had here; NULL if it can. */
	const char *without;
};

/* LOCK_NONE: of the control. */
struct means means_of(const struct prove *p, const struct attack *attack, enum lock lock);
/* What comes with the lock, for the reports; NULL if it is quite alone. */
const char *means_note(const struct means *means);

/* ---- verdict.c ---- */

/* Fills row->verdict from its findings. Pure. */
void verdict_reach(struct row *row);
/* Adds up p->rows into p->summary. */
void verdict_sum(struct prove *p);
/* 0: every controlled attack is held by all and by each lock named for it; else 1. */
int verdict_exit_code(const struct summary *summary);
const char *verdict_name(enum verdict verdict);
const char *outcome_name(enum outcome outcome);

/* ---- unused.c ---- */

/* What `ringfence policy unused --since SINCE` says; *RET is owned by the caller. 0 or -errno with ERR. */
int unused_read(const char *since, bool json, char **ret, struct error *err) MUST_CHECK;

/* ---- trials.c: the queue ---- */

/* Runs every trial of p->rows. 0, or -errno with ERR if the loop itself failed; -EINTR when told to stop. */
int trials_run(struct prove *p, struct error *err) MUST_CHECK;

/* ---- reports ---- */

void report_text(const struct prove *p);
void report_list(const struct prove *p);
int report_json(const struct prove *p) MUST_CHECK;
int report_html(const struct prove *p, struct error *err) MUST_CHECK;
