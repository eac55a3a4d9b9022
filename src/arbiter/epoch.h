/* The kill epoch: a number that only grows, and what each step killed.
 *
 * It lives in one small file beside the store, replaced atomically and synced before anything is
 * told of the kill. A file, because it is read at every start, where opening a database costs more
 * than the whole decision. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/uuid.h"

#define EPOCH_TASKS_MAX 1024 /* killed tasks that are remembered; the oldest are forgotten */

struct epoch {
	uint64_t now;
	uint64_t all;             /* the epoch of the last kill of everything */
	char (*tasks)[UUID_TEXT]; /* owned: killed tasks, oldest first */
	unsigned n_tasks;
};

/* Reads PATH, relative to the working directory; a file that is not there is epoch 0, one that is
 * damaged an error. */
int epoch_read(struct epoch *epoch, const char *path, struct error *err) MUST_CHECK;
/* One step further: kills TASK, or everything if it is NULL; on disk when it returns 0. On
 * error EPOCH is as it was (the file may already be further: then the next start kills it). */
int epoch_bump(struct epoch *epoch, const char *path, const char *task, struct error *err)
    MUST_CHECK;
bool epoch_task_killed(const struct epoch *epoch, const char *task);
void epoch_done(struct epoch *epoch);
