/* A kill is durable before it is told: the epoch on disk first, then what waits here is revoked, then
 * the ledger, then the supervisor destroys what runs. A claim that crosses it on the way is refused
 * by the epoch. The answer waits for the supervisor, at most KILL_WAIT_MS. */
#include "arbiter/kill.h"

#include <errno.h>
#include <string.h>

#include "arbiter/evidence.h"
#include "arbiter/net.h"
#include "arbiter/verdict.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

#define KILL_WAIT_MS 1000
#define TASKS_LISTED_MAX 500

struct kill_wait {
	struct arbiter *arbiter;
	uint32_t serial;       /* of our MSG_KILL_TASK */
	struct client *client; /* borrowed; NULL once it left */
	uint32_t client_serial;
	struct json *tasks; /* owned */
	uint64_t epoch;
	struct timer *timer;
	struct kill_wait *next;
};

/* ---- the answer ---- */

static void
wait_free(struct kill_wait *wait)
{
	struct kill_wait **at = &wait->arbiter->kills;
	while (*at != wait)
		at = &(*at)->next;
	*at = wait->next;
	timer_cancel(wait->timer);
	json_free(wait->tasks);
	free(wait);
}

static void
kill_answer(struct kill_wait *wait, int64_t count, bool confirmed)
{
	if (wait->client != NULL) {
		struct json *body = json_new_object();
		(void)json_set_int(body, "epoch", (int64_t)wait->epoch);
		(void)json_set(body, "tasks", TAKE_PTR(wait->tasks));
		(void)json_set_int(body, "count", count);
		if (!confirmed)
			(void)json_set_bool(body, "unconfirmed", true);
		(void)conn_send_take(wait->client->conn, MSG_KILL_DONE, wait->client_serial, body);
	}
	wait_free(wait);
}

static void
on_kill_timeout(struct timer *timer, void *data)
{
	struct kill_wait *wait = data;
	wait->timer = NULL;
	log_event(LOG_WARNING, "kill-unconfirmed", NULL);
	kill_answer(wait, 0, /* confirmed= */ false);
}

int
on_killed(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	for (struct kill_wait *wait = arbiter->kills; wait != NULL; wait = wait->next) {
		if (wait->serial == m->serial) {
			kill_answer(wait, json_get_int(m->body, "count", 0), /* confirmed= */ true);
			break;
		}
	}
	return 0; /* one that nobody waits for any more is fine */
}

void
kill_forget_client(struct arbiter *arbiter, const struct client *client)
{
	for (struct kill_wait *wait = arbiter->kills; wait != NULL; wait = wait->next)
		if (wait->client == client)
			wait->client = NULL;
}

void
kill_done(struct arbiter *arbiter)
{
	while (arbiter->kills != NULL)
		wait_free(arbiter->kills);
}

/* ---- the kill ---- */

static int
kill_allowed(struct arbiter *arbiter, uid_t uid, const struct task *task, struct error *err)
{
	if (uid == 0 || uid == arbiter->own_uid || (task != NULL && task->owner == uid))
		return 0;
	if (arbiter_people(arbiter, err) == NULL)
		return -EINVAL;
	if (people_has_role(arbiter->people, uid, "operator"))
		return 0;
	return error_set(err, EACCES, "kill_not_yours",
	    "you (uid %u) may kill your own tasks; others need role operator", (unsigned)uid);
}

/* Revokes what waits, and lists the tasks that are hit. */
static void
revoke_waiting(struct arbiter *arbiter, const struct task *task, struct json *tasks)
{
	struct action *next;
	for (struct task *t = arbiter->actions.first_task; t != NULL; t = t->next)
		if (t->live > 0 && (task == NULL || t == task))
			(void)json_push(tasks, json_new_string(t->id));
	for (struct action *action = arbiter->actions.first; action != NULL; action = next) {
		next = action->next;
		if ((task == NULL || action->task == task) && action->state != STATE_PERFORMING)
			(void)action_end(arbiter, action, STATE_REVOKED, "revoked",
			    "it was killed before it was performed", /* by= */ NULL);
	}
}

static void
note_killed(struct arbiter *arbiter, const struct client *client, const char *task,
    const struct json *tasks)
{
	struct json *data = json_new_object();
	(void)json_set_int(data, "epoch", (int64_t)arbiter->epoch.now);
	(void)json_set_int(data, "uid", client->uid);
	if (task == NULL)
		(void)json_set_bool(data, "all", true);
	(void)json_set_int(data, "tasks", (int64_t)json_len(tasks));
	evidence_note(arbiter, "killed", task, /* action_id= */ NULL, data);
}

/* Tells the supervisor, and waits for its answer with a timer. Takes TASKS. */
static int
kill_tell(struct client *client, uint32_t client_serial, const char *task, struct json *tasks)
{
	struct arbiter *arbiter = client->arbiter;
	struct kill_wait *wait = calloc(1, sizeof(*wait));
	struct json *body = json_new_object();
	uint32_t serial = conn_next_serial(arbiter->supervisor);
	(void)json_set_int(body, "epoch", (int64_t)arbiter->epoch.now);
	if (task != NULL)
		(void)json_set_str(body, "task", task);
	else
		(void)json_set_bool(body, "all", true);
	(void)conn_send_take(arbiter->supervisor, MSG_KILL_TASK, serial, body);
	if (wait == NULL) {
		json_free(tasks);
		return -ENOMEM; /* the kill stands; the person is not told how it went */
	}
	*wait = (struct kill_wait){
	    .arbiter = arbiter,
	    .serial = serial,
	    .client = client,
	    .client_serial = client_serial,
	    .tasks = tasks,
	    .epoch = arbiter->epoch.now,
	    .next = arbiter->kills,
	};
	arbiter->kills = wait;
	return loop_timer(arbiter->loop, KILL_WAIT_MS, on_kill_timeout, wait, &wait->timer);
}

static int
kill_find(struct arbiter *arbiter, const struct msg *m, struct task **ret, struct error *err)
{
	const char *id = json_get_str(m->body, "task", NULL);
	bool all = json_get_bool(m->body, "all", false);
	if (all == (id != NULL))
		return error_set(err, EINVAL, "kill_unclear", "kill: name one task, or all");
	if (all)
		return 0;
	*ret = tasks_find(&arbiter->actions, id);
	if (*ret == NULL) {
		error_set(err, ENOENT, "task_unknown", "there is no such task");
		error_remedy(err, "ringfence tasks shows those that are under way");
		return -ENOENT;
	}
	return 0;
}

int
on_kill(struct conn *conn, struct msg *m)
{
	struct client *client = conn_data(conn);
	struct arbiter *arbiter = client->arbiter;
	struct error err = {.code = ""};
	struct task *task = NULL;
	int r = kill_find(arbiter, m, &task, &err);
	if (r == 0)
		r = kill_allowed(arbiter, client->uid, task, &err);
	if (r == 0)
		r = epoch_bump(&arbiter->epoch, EPOCH_FILE, task != NULL ? task->id : NULL, &err);
	if (r < 0) {
		(void)conn_send_error(conn, m->serial, &err);
		return 0;
	}
	struct json *tasks = json_new_array();
	revoke_waiting(arbiter, task, tasks);
	net_killed(arbiter, task);
	note_killed(arbiter, client, task != NULL ? task->id : NULL, tasks);
	return kill_tell(client, m->serial, task != NULL ? task->id : NULL, tasks);
}

/* ---- tasks ---- */

/* What stands for a task with several actions: the furthest of them. */
static const char *
task_state(const struct arbiter *arbiter, const struct task *task)
{
	enum action_state state = STATE_PROPOSED;
	for (const struct action *a = arbiter->actions.first; a != NULL; a = a->next)
		if (a->task == task && a->state > state)
			state = a->state;
	return action_state_name(state);
}

static struct json *
task_json(const struct arbiter *arbiter, const struct task *task)
{
	struct json *out = json_new_object();
	const char *name = people_name(arbiter->people, task->owner);
	(void)json_set_str(out, "task", task->id);
	(void)json_set_str(out, "state", task_state(arbiter, task));
	(void)json_set_int(out, "actions", task->live);
	(void)json_set_int(out, "calls", (int64_t)task->calls);
	(void)json_set_int(out, "since", task->since);
	(void)json_set_int(out, "uid", task->owner);
	if (name != NULL)
		(void)json_set_str(out, "requester", name);
	return out;
}

int
on_tasks(struct conn *conn, struct msg *m)
{
	struct client *client = conn_data(conn);
	struct arbiter *arbiter = client->arbiter;
	struct error err = {.code = ""};
	if (arbiter_people(arbiter, &err) == NULL) {
		(void)conn_send_error(conn, m->serial, &err);
		return 0;
	}
	bool all = client->uid == 0 || client->uid == arbiter->own_uid ||
	    people_has_any_role(arbiter->people, client->uid);
	struct json *body = json_new_object(), *tasks = json_new_array();
	for (struct task *task = arbiter->actions.last_task; task != NULL; task = task->prev)
		if (task->live > 0 && (all || task->owner == client->uid) &&
		    json_len(tasks) < TASKS_LISTED_MAX)
			(void)json_push(tasks, task_json(arbiter, task));
	(void)json_set(body, "tasks", tasks);
	(void)json_set_int(body, "epoch", (int64_t)arbiter->epoch.now);
	(void)conn_send_take(conn, MSG_TASKS, m->serial, body);
	return 0;
}
