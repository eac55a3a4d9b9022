/* rf-init, as the files that share it see it: main.c (from nothing to ready), command.c (executing what is
 * ordered), serve.c (reaping, obeying). One thread, one sandbox. */
#pragma once

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "init/root.h"
#include "ipc/msg.h"

/* A command under way, by the number that the supervisor gave it. */
struct command {
	int64_t number;
	pid_t pid;
};

struct init {
	int control, child_events;
	struct msg view_msg, plan_msg;
	const struct json *view, *plan; /* borrowed from them */
	struct root root;
	uid_t init_uid, command_uid;
	gid_t init_gid, command_gid;
	bool change_ids;
	int filter_fd, workspace_fd, bundle_fd, proc_fd, scratch_fd, upper_fd;
	int rules_fd; /* of the Landlock domain that each command enters; -1: we are in it */
	bool noexec;  /* what is writable */
	struct json *evidence, *timing;
	struct error err;
	struct command *commands; /* owned */
	size_t n_commands, room;
	bool session; /* INIT_STAY came: any number of commands */
	/* Where ours ends, and that of a process of ours begins. */
	const void *our_stack, *their_stack;
	/* written by a command's process, which shares our memory until it executes */
	struct msg *volatile order;
	char **volatile argv, **volatile envp; /* owned arrays of borrowed strings */
	volatile int exec_errno;
	volatile bool ordered, stay;
};

/* command.c */

/* Starts the process that waits, with every lock applied, for INIT_GO or INIT_STAY, and returns when it has
 * executed or ended: then init->ordered or init->stay says which. 0 or -errno with init->err. */
int command_prepare(struct init *init) MUST_CHECK;
/* Executes what M orders, under the locks that we have ourselves; answers INIT_RUNNING. 0, or -errno if we cannot go
 * on (a command that cannot be executed is an answer). */
int command_execute(struct init *init, struct msg *m) MUST_CHECK;
/* Opens the file that M names, as a command would, and answers INIT_OPENED. 0 or -errno. */
int command_open(struct init *init, struct msg *m) MUST_CHECK;

/* serve.c */

/* Reaps and obeys until the command has ended, or with a session, until the supervisor has. The exit code. */
int serve(struct init *init);
