/* The table of live actions and tasks: two hash tables and two lists in order of age. */
#include "arbiter/actions.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/net.h"
#include "base/log.h"

/* FNV-1a. The ids are ours or checked to be UUIDs, and the tables are bounded: a chosen collision
 * costs a walk over at most TASKS_MAX entries. */
static size_t
bucket_of(const char *id)
{
	uint32_t h = 2166136261u;
	for (; *id != '\0'; id++)
		h = (h ^ (uint8_t)*id) * 16777619u;
	return h % ACTION_BUCKETS;
}

/* ---- tasks ---- */

struct task *
tasks_find(const struct actions *actions, const char *id)
{
	struct task *task = actions->task_buckets[bucket_of(id)];
	while (task != NULL && strcmp(task->id, id) != 0)
		task = task->chain;
	return task;
}

static void
task_free(struct actions *actions, struct task *task)
{
	struct task **at = &actions->task_buckets[bucket_of(task->id)];
	while (*at != task)
		at = &(*at)->chain;
	*at = task->chain;
	*(task->prev != NULL ? &task->prev->next : &actions->first_task) = task->next;
	*(task->next != NULL ? &task->next->prev : &actions->last_task) = task->prev;
	actions->n_tasks--;
	free(task);
}

/* Makes room for one; false if every task is live. */
static bool
tasks_make_room(struct actions *actions)
{
	if (actions->n_tasks < TASKS_MAX)
		return true;
	for (struct task *task = actions->first_task; task != NULL; task = task->next) {
		if (task->live == 0 && task->bound == 0) {
			task_free(actions, task);
			return true;
		}
	}
	return false;
}

struct task *
tasks_add(struct actions *actions, const char *id, uid_t owner, int64_t now)
{
	if (!tasks_make_room(actions))
		return NULL;
	struct task *task = calloc(1, sizeof(*task));
	if (task == NULL)
		return NULL;
	(void)snprintf(task->id, sizeof(task->id), "%s", id);
	task->owner = owner;
	task->since = now;
	struct task **bucket = &actions->task_buckets[bucket_of(id)];
	task->chain = *bucket;
	*bucket = task;
	task->prev = actions->last_task;
	*(task->prev != NULL ? &task->prev->next : &actions->first_task) = task;
	actions->last_task = task;
	actions->n_tasks++;
	return task;
}

/* ---- actions ---- */

struct action *
actions_find(const struct actions *actions, const char *id)
{
	struct action *action = actions->buckets[bucket_of(id)];
	while (action != NULL && strcmp(action->id, id) != 0)
		action = action->chain;
	return action;
}

struct action *
actions_add(struct actions *actions, const char *id, struct task *task)
{
	struct action *action = calloc(1, sizeof(*action));
	if (action == NULL)
		return NULL;
	(void)snprintf(action->id, sizeof(action->id), "%s", id);
	action->state = STATE_PROPOSED;
	action->task = task;
	task->live++;
	task->calls++;
	struct action **bucket = &actions->buckets[bucket_of(id)];
	action->chain = *bucket;
	*bucket = action;
	action->prev = actions->last;
	*(action->prev != NULL ? &action->prev->next : &actions->first) = action;
	actions->last = action;
	actions->n_actions++;
	return action;
}

void
actions_remove(struct actions *actions, struct action *action)
{
	struct action **at = &actions->buckets[bucket_of(action->id)];
	while (*at != action)
		at = &(*at)->chain;
	*at = action->chain;
	*(action->prev != NULL ? &action->prev->next : &actions->first) = action->next;
	*(action->next != NULL ? &action->next->prev : &actions->last) = action->prev;
	actions->n_actions--;
	action->task->live--;
	if (action->binding != NULL)
		action->binding->live--;
	json_free(action->terms);
	generation_unref(action->generation);
	json_free(action->record);
	json_free(action->decision);
	free(action);
}

void
action_set_state(struct action *action, enum action_state to)
{
	assert(action_can_go(action->state, to));
	log_event(LOG_DEBUG, "action", "id", action->id, "from", action_state_name(action->state),
	    "to", action_state_name(to), NULL);
	action->state = to;
}

void
actions_remove_all(struct actions *actions)
{
	while (actions->first != NULL)
		actions_remove(actions, actions->first);
}

void
actions_done(struct actions *actions)
{
	actions_remove_all(actions);
	while (actions->first_task != NULL)
		task_free(actions, actions->first_task);
}
