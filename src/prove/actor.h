/* One process of a trial: what attacks, what it aims at, what checks afterwards. Its standard output is lines
 * of JSON (prove/attack.h); what else it prints is passed over. */
#pragma once

#include "base/buf.h"
#include "prove/prove.h"

struct trial;
struct actor;

typedef void actor_fn(struct actor *actor);

struct actor {
	struct prove *p;
	struct trial *trial;
	actor_fn *on_change; /* called after each of the changes below */
	pid_t pid;
	int pidfd, in, out, err, control; /* owned; -1 without */
	struct watch *watch_pid, *watch_out, *watch_err, *watch_control;
	struct cgroup *group; /* owned, or NULL */
	struct buf line;
	bool passing_over; /* the rest of a line that is too long to be ours */
	/* what is known of it */
	bool started, ready, exited, closed; /* closed: nobody holds its standard output any more */
	bool failed;                         /* the lock could not be had; error says why */
	int status;                          /* wait status, once exited */
	struct json *result;   /* owned: the last line with a result that is an answer */
	struct json *fixtures; /* owned: of the line "ready" */
	struct json *engaged;  /* owned */
	struct error error;
	char complaint[200]; /* the first line of its standard error */
};

void actor_init(struct actor *a, struct prove *p, struct trial *trial, actor_fn *on_change);
/* Begins to listen, once launch_start has filled in the descriptors. 0 or -errno. */
int actor_listen(struct actor *a) MUST_CHECK;
/* SIGKILL to the process that was started, alone. */
void actor_kill(struct actor *a);
/* Closes its standard input: how fixtures are told to end. */
void actor_hang_up(struct actor *a);
/* Ends and reaps what was started, if it still runs: what has an open standard input may leave by itself first,
 * and take with it what it made outside of our directories. */
void actor_end(struct actor *a);
/* Lets go of everything, after actor_end. */
void actor_done(struct actor *a);
