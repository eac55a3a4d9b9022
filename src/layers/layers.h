/* The parts of rf-layers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* A sandbox's layers, as seen in a copy of its mount namespace that is ours alone. */
struct stack {
	int pidfd;      /* of the sandbox's first process; borrowed, as is the next */
	int control;    /* to the supervisor, who is told when mounts begin to be exchanged */
	int scratch;    /* the root of its scratch file system; owned, as the next */
	int now;        /* its /workspace, a detached copy of the mount */
	int shown;      /* the same, through which nothing can be changed */
	uint64_t attrs; /* of that mount */
	bool given_up;  /* nothing is mounted at /workspace any more */
};
#define STACK_INIT                                                 \
	{                                                          \
		.pidfd = -1, .scratch = -1, .now = -1, .shown = -1 \
	}

/* stack.c */

/* Enters the user namespace of the sandbox, and a copy of its mount namespace in which layers and base can be
 * named: the working directory is scratch, STACK_BASE the directory below all layers. 0 or -errno. */
int stack_enter(struct stack *stack, const struct json *ids, struct error *err) MUST_CHECK;
#define STACK_BASE "/workspace"
void stack_done(struct stack *stack);

/* Mounts a new overlay at the sandbox's /workspace in place of the one that is there: LOWERS (names of
 * directories of scratch, the top one first) over the base, changes in the new directory UPPER, which belongs to
 * UID and GID. 0; -EBUSY if something holds the present one open and LAZY is false: then nothing has changed; or
 * -errno. Afterwards we are in the sandbox's own mount namespace. */
int stack_replace(struct stack *stack, const struct json *lowers, const char *upper, uid_t uid,
    gid_t gid, bool lazy, struct error *err) MUST_CHECK;

/* Gives up what /workspace shows: unmounts it for good, so that the room of its upper layer can be had. What cannot
 * be done after that is "workspace_lost". 0 or -errno. */
int stack_give_up(struct stack *stack, struct error *err) MUST_CHECK;

/* A directory that shows LOWERS over the base, or with NULL what /workspace shows now. Nothing can be changed
 * through it. Descriptor or -errno. */
int stack_view(const struct stack *stack, const struct json *lowers, struct error *err) MUST_CHECK;
/* The same of scratch itself. */
int stack_view_scratch(const struct stack *stack, struct error *err) MUST_CHECK;

/* tree.c: of trees that the agent made. */

/* Copies directory FROM of DIR to the new directory TO, everything of it: whiteouts, attributes, times, links.
 * 0 or -errno; what was made so far is left. *RET_BYTES: the contents copied. */
int tree_copy(int dir, const char *from, const char *to, int64_t *ret_bytes, struct error *err)
    MUST_CHECK;
/* Gives directory TO of DIR the user's attributes and the times of FROM. 0 or -errno. */
int tree_alike(int dir, const char *from, const char *to) MUST_CHECK;
/* Removes NAME of DIR and all below, however deep. A missing one is no error. 0 or -errno. */
int tree_remove(int dir, const char *name);
/* The bytes that NAME of DIR and all below occupy. 0 or -errno. */
int tree_measure(int dir, const char *name, int64_t *ret_bytes) MUST_CHECK;
