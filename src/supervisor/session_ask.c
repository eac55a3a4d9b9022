/* What can be asked about sessions, and the plain orders: kill, pause, resume. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"
#include "supervisor/run.h"

#define ENDED_KEPT 64
#define PAUSE_LOOK_MS 1
#define STAND_MS 25 /* within which processes that can be stopped are */
#define STEP_MS 3   /* enough for a child in vfork to execute */
#define GIVE_UP_MS 3000
#define LIVE_FILE "run/sandboxes" /* ids of those that live, for whoever comes after us */

/* ---- showing ---- */

static struct json *
commands_of(const struct session *session)
{
	struct json *list = json_new_array();
	for (const struct run *run = session->s->runs; run != NULL; run = run->next) {
		if (run->session != session)
			continue;
		struct json *entry = json_new_object();
		(void)json_set_int(entry, "command", run->number);
		(void)json_set_str(entry, "program", run->program);
		(void)json_set_int(entry, "since_ms",
		    clock_wall_ms() -
			(run->started_ns == 0
				? 0
				: (clock_monotonic_ns() - run->started_ns) / 1000000));
		(void)json_push(list, entry);
	}
	return list;
}

static struct json *
usage_of(const struct session *session)
{
	struct json *usage = json_new_object();
	struct sandbox_sample now = {0};
	struct cgroup_usage used = {.memory_peak_bytes = -1};
	struct statfs scratch;
	if (sandbox_sample(session->sandbox, &now) == 0) {
		(void)json_set_int(usage, "cpu_ms", now.cpu_ms);
		(void)json_set_int(usage, "memory_bytes", now.resident_bytes);
		(void)json_set_int(usage, "processes", now.processes);
	}
	if (session->sandbox->group != NULL)
		cgroup_read_usage(session->sandbox->group, &used);
	if (used.memory_peak_bytes >= 0) {
		(void)json_set_int(usage, "memory_peak_bytes", used.memory_peak_bytes);
		(void)json_set_int(usage, "oom_kills", used.oom_kills);
		(void)json_set_int(usage, "forks_refused", used.pids_refused);
	}
	if (fstatfs(session->sandbox->scratch_fd, &scratch) == 0)
		(void)json_set_int(usage, "scratch_bytes",
		    (int64_t)(scratch.f_blocks - scratch.f_bfree) * (int64_t)scratch.f_bsize);
	(void)json_set_int(usage, "commands", session->commands_total);
	return usage;
}

static struct json *
receipt_of(const struct session *session)
{
	struct json *receipt = NULL;
	if (session->receipt != NULL)
		return json_copy(session->receipt);
	if (session->receipt_text == NULL ||
	    json_parse(session->receipt_text, strlen(session->receipt_text), &receipt, NULL) < 0)
		return json_new_null();
	return receipt;
}

struct json *
session_body(const struct session *session, bool usage, bool receipt)
{
	struct json *body = json_new_object();
	(void)json_set_str(body, "sandbox", session->id);
	if (session->name[0] != 0)
		(void)json_set_str(body, "name", session->name);
	(void)json_set_str(body, "task", session->task);
	const char *policy = json_get_str(session->policy, "name", session->policy_hash);
	(void)json_set_str(body, "policy", policy);
	(void)json_set_str(body, "state",
	    session->state != SESSION_READY ? "ending"
		: session->paused           ? "paused"
					    : "ready");
	(void)json_set_int(body, "created_ms", session->created_ms);
	(void)json_set_int(body, "last_used_ms", session->last_used_ms);
	if (session->idle_ms > 0)
		(void)json_set_int(body, "idle_ms", session->idle_ms);
	if (session->lifetime_ms > 0)
		(void)json_set_int(body, "lifetime_ms", session->lifetime_ms);
	(void)json_set(body, "limits", json_copy(json_get(session->config, "limits")));
	if (session->workspace_mode != NULL) {
		struct json *workspace = json_new_object();
		(void)json_set_str(workspace, "mode", session->workspace_mode);
		(void)json_set_str(workspace, "path", session->workspace_path);
		(void)json_set(body, "workspace", workspace);
	}
	(void)json_set(body, "commands", commands_of(session));
	(void)json_set_int(body, "checkpoints", (int64_t)checkpoint_count(session));
	if (usage && session->state == SESSION_READY)
		(void)json_set(body, "usage", usage_of(session));
	if (receipt)
		(void)json_set(body, "receipt", receipt_of(session));
	return body;
}

/* ---- those that ended ---- */

static void
note_ended(struct supervisor *s, const char *id, const char *name, const char *why)
{
	struct json *entry = json_new_object();
	(void)json_set_str(entry, "sandbox", id);
	if (name != NULL && name[0] != 0)
		(void)json_set_str(entry, "name", name);
	(void)json_set_str(entry, "why", why);
	(void)json_set_int(entry, "at_ms", clock_wall_ms());
	if (s->ended == NULL)
		s->ended = json_new_array();
	(void)json_push(s->ended, entry);
	if (json_len(s->ended) <= 2 * ENDED_KEPT)
		return;
	struct json *kept = json_new_array();
	for (size_t i = json_len(s->ended) - ENDED_KEPT; i < json_len(s->ended); i++)
		(void)json_push(kept, json_copy(json_at(s->ended, i)));
	json_free(s->ended);
	s->ended = kept;
}

void
session_note_ended(struct session *session)
{
	note_ended(session->s, session->id, session->name, session->why.message);
	char path[128];
	(void)snprintf(path, sizeof(path), LIVE_FILE "/%s", session->id);
	(void)unlinkat(session->s->state_fd, path, 0);
}

void
session_note_lives(struct session *session)
{
	char path[128];
	if (mkdirat(session->s->state_fd, LIVE_FILE, 0700) < 0 && errno != EEXIST)
		return; /* a restart then cannot say what it destroyed; nothing else is lost */
	(void)snprintf(path, sizeof(path), LIVE_FILE "/%s", session->id);
	int fd = openat(
	    session->s->state_fd, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0) {
		ssize_t n = write(fd, session->name, strlen(session->name));
		(void)n;
		(void)close(fd);
	}
}

void
session_find_lost(struct supervisor *s)
{
	_cleanup_close_ int fd =
	    openat(s->state_fd, LIVE_FILE, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	DIR *directory = fd < 0 ? NULL : fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	if (directory == NULL)
		return;
	for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
		char name[SESSION_NAME] = "";
		if (!uuid_valid(entry->d_name))
			continue;
		_cleanup_close_ int file =
		    openat(fd, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		ssize_t n = file < 0 ? -1 : read(file, name, sizeof(name) - 1);
		name[MAX(n, (ssize_t)0)] = 0;
		(void)unlinkat(fd, entry->d_name, 0);
		note_ended(s, entry->d_name, name,
		    "destroyed: the rf-supervisor that held it ended, and nothing outlives that");
		log_event(LOG_WARNING, "sandbox-lost", "sandbox", entry->d_name, NULL);
		if (s->ledger.conn == NULL)
			continue;
		struct json *record = json_new_object(), *lost = json_new_object();
		(void)json_set_str(record, "event", "sandbox-ended");
		(void)json_set_str(lost, "sandbox", entry->d_name);
		(void)json_set_str(lost, "code", "restart");
		(void)json_set_str(lost, "why", "the rf-supervisor that held it ended");
		(void)json_set(record, "data", lost);
		(void)json_set_bool(record, "durable", false);
		(void)conn_send_take(s->ledger.conn, MSG_APPEND, 0, record);
	}
	(void)closedir(directory);
}

/* ---- lists ---- */

/* Where a list goes on that one message had no room for: after the session AFTER, or, if that is gone, the
 * first that is older (ids are in the order of time, the newest is first). */
static const struct session *
list_from(const struct supervisor *s, const char *after)
{
	for (const struct session *at = s->sessions; after != NULL && at != NULL; at = at->next)
		if (strcmp(at->id, after) == 0)
			return at->next;
	const struct session *at = s->sessions;
	while (after != NULL && at != NULL && strcmp(at->id, after) > 0)
		at = at->next;
	return at;
}

int
session_on_list(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct json *body = json_new_object(), *list = json_new_array();
	bool usage = json_get_bool(m->body, "usage", false);
	const char *after = json_get_str(m->body, "after", NULL);
	size_t bytes = 0;
	for (const struct session *at = list_from(s, after); at != NULL; at = at->next) {
		if (at->state != SESSION_READY)
			continue;
		/* One message has room for so many; the rest is counted. */
		bytes += 1024 + (size_t)at->n_commands * 128;
		if (bytes > MSG_BODY_MAX / 2)
			(void)json_set_int(body, "omitted", json_get_int(body, "omitted", 0) + 1);
		else
			(void)json_push(list, session_body(at, usage, /* receipt= */ false));
	}
	(void)json_set(body, "sandboxes", list);
	(void)json_set(body, "ended", s->ended == NULL ? json_new_array() : json_copy(s->ended));
	return conn_send_take(conn, MSG_SESSIONS, m->serial, body);
}

int
session_on_inspect(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	struct session *session = session_find(s, json_get_str(m->body, "sandbox", ""), &err);
	if (session == NULL)
		return conn_send_error(conn, m->serial, &err);
	return conn_send_take(conn, MSG_SESSION, m->serial, session_body(session, true, true));
}

/* ---- orders ---- */

static int64_t
ms_from_now(int64_t ms)
{
	return clock_monotonic_ns() + ms * 1000000;
}

int
session_stand_begin(struct session *session, struct session_stand *stand)
{
	*stand = (struct session_stand){
	    .began_ns = clock_monotonic_ns(), .turn_ns = ms_from_now(STAND_MS)};
	return session_signal_all(session, SIGSTOP) ? 0 : -EIO;
}

/* Where a child in vfork was stopped before it executed, its parent waits for it in a way that nothing can stop
 * (shells start every program so). Both get on if all may run for a moment. */
int
session_stands(struct session *session, struct session_stand *stand, struct error *err)
{
	int64_t now = clock_monotonic_ns();
	bool late = now - stand->began_ns > GIVE_UP_MS * 1000000LL;
	if (now >= stand->turn_ns && (stand->steps || !late)) {
		stand->steps = !stand->steps;
		stand->turn_ns = ms_from_now(stand->steps ? STEP_MS : STAND_MS);
		(void)session_signal_all(session, stand->steps ? SIGCONT : SIGSTOP);
	}
	if (stand->steps)
		return 0;
	if (sandbox_is_stopped(session->sandbox))
		return 1;
	return late && now >= stand->turn_ns
	    ? error_set(err, EAGAIN, "does_not_stop",
		  "a process in the sandbox does not stop: it waits for the kernel")
	    : 0;
}

/* Answers whoever waits for the pause once every process has stopped: a signal takes its time. */
static void
on_pausing(struct timer *timer, void *data)
{
	struct session *session = data;
	struct error err;
	(void)timer;
	session->pausing = NULL;
	int r = session_stands(session, &session->stand, &err);
	if (r == 0 &&
	    loop_timer(session->s->loop, PAUSE_LOOK_MS, on_pausing, session, &session->pausing) ==
		0)
		return;
	for (struct session_waiter *at = session->waiters; at != NULL; at = at->next) {
		if (at->serial != WAITS_FOR_PAUSE)
			continue;
		if (r < 0)
			(void)conn_send_error(at->client, at->client_serial, &err);
		else
			(void)conn_send(at->client, MSG_OK, at->client_serial, NULL, NULL, 0);
		at->serial = WAITS_FOR_NOTHING;
	}
}

static int
pause_or_resume(struct session *session, bool pause, struct error *err)
{
	int r = pause                              ? session_stand_begin(session, &session->stand)
	    : session_signal_all(session, SIGCONT) ? 0
						   : -EIO;
	if (r < 0)
		return error_set(err, EIO, "sandbox_failed", "rf-init cannot be told");
	session->paused = pause;
	session->pausing = timer_cancel(session->pausing);
	session_record(session, pause ? "sandbox-paused" : "sandbox-resumed", json_new_object());
	return 0;
}

int
session_on_control(struct conn *conn, struct msg *m)
{
	struct supervisor *s = conn_data(conn);
	struct error err = {0};
	const char *what = json_get_str(m->body, "do", "");
	struct session *session = session_find(s, json_get_str(m->body, "sandbox", ""), &err);
	if (session == NULL)
		return conn_send_error(conn, m->serial, &err);
	if (strcmp(what, "kill") == 0) {
		if (session_wait(session, conn, m->serial, WAITS_FOR_END) == NULL)
			return -ENOMEM;
		session_end(session, "killed", "killed by its owner");
		return 0; /* answered when it is gone */
	}
	if (session->state != SESSION_READY)
		(void)error_set(&err, EAGAIN, "not_ready", "the sandbox is not ready");
	else if (checkpoint_under_way(session))
		(void)error_set(&err, EAGAIN, "checkpoint_busy",
		    "a checkpoint of the workspace is under way; try again");
	else if (strcmp(what, "pause") == 0 || strcmp(what, "resume") == 0)
		(void)pause_or_resume(session, what[0] == 'p', &err);
	else
		(void)error_set(&err, EINVAL, "bad_request", "kill, pause or resume");
	if (err.code[0] != 0)
		return conn_send_error(conn, m->serial, &err);
	if (!session->paused)
		return conn_send(conn, MSG_OK, m->serial, NULL, NULL, 0);
	if (session_wait(session, conn, m->serial, WAITS_FOR_PAUSE) == NULL ||
	    loop_timer(session->s->loop, 0, on_pausing, session, &session->pausing) < 0)
		return -ENOMEM;
	return 0;
}
