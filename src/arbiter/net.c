/* Bindings: which gateway speaks for which sandbox, and under which policy.
 *
 *     MSG_NET_OPEN ──▶ bound ──▶ MSG_NET_CLOSE ──▶ closing ──▶ gone
 *                        └── its gateway ended ──────────────▶ gone
 *
 * bound:   its gateway proposes; binding->live actions are under way
 * closing: what waited is revoked and every grant taken back; for a moment its gateway may still settle what it
 *          performed, since that comes by another socket than the supervisor's word; nothing new is decided */
#include "arbiter/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/claim.h"
#include "arbiter/evidence.h"
#include "arbiter/policies.h"
#include "arbiter/verdict.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

#define CLOSING_MS 1000
#define WINDOW_NS (10LL * 1000 * 1000 * 1000)
#define NOTES_MAX 50    /* of one sandbox in one window; more are counted */
#define DENIALS_MAX 500 /* as well */
#define NOTE_BYTES_MAX 2048

static struct binding **
bucket_of(struct arbiter *arbiter, const char *sandbox)
{
	uint32_t h = 2166136261u;
	for (; *sandbox != '\0'; sandbox++)
		h = (h ^ (uint8_t)*sandbox) * 16777619u;
	return &arbiter->bindings[h % BINDING_BUCKETS];
}

struct binding *
binding_find(const struct arbiter *arbiter, const char *sandbox)
{
	struct binding *binding = *bucket_of((struct arbiter *)(uintptr_t)arbiter, sandbox);
	while (binding != NULL && strcmp(binding->sandbox, sandbox) != 0)
		binding = binding->chain;
	return binding;
}

/* Records how many W did not let through. */
static void
note_suppressed(struct binding *binding, struct window *w)
{
	if (w->suppressed == 0)
		return;
	struct json *data = json_new_object();
	(void)json_set_str(data, "sandbox", binding->sandbox);
	(void)json_set_int(data, "count", w->suppressed);
	evidence_note(binding->arbiter,
	    w == &binding->notes ? "notes-suppressed" : "denials-suppressed", binding->task->id,
	    /* action_id= */ NULL, data);
	w->suppressed = 0;
}

/* Whether one more fits into W, which takes MOST in its time. */
static bool
window_fits(struct binding *binding, struct window *w, unsigned most)
{
	int64_t now = clock_monotonic_ns();
	if (w->since_ns == 0 || now - w->since_ns > WINDOW_NS) {
		w->since_ns = now;
		w->n = 0;
	}
	if (w->n >= most) {
		w->suppressed++;
		return false;
	}
	if (w->n++ == 0)
		note_suppressed(binding, w);
	return true;
}

bool
binding_records_denial(struct binding *binding)
{
	return window_fits(binding, &binding->denials, DENIALS_MAX);
}

static void
binding_free(struct binding *binding)
{
	net_rates_free(binding);
	struct arbiter *arbiter = binding->arbiter;
	struct binding **at = bucket_of(arbiter, binding->sandbox);
	while (*at != binding)
		at = &(*at)->chain;
	*at = binding->chain;
	arbiter->n_bindings--;
	binding->task->bound--;
	timer_cancel(binding->closing);
	generation_unref(binding->generation);
	free(binding);
}

int
binding_generation(struct binding *binding, struct generation **ret, struct error *err)
{
	if (binding->generation == NULL) {
		int r =
		    generation_named(binding->arbiter, binding->policy, &binding->generation, err);
		if (r < 0)
			return r;
	}
	int r = policies_check(binding->arbiter, binding->generation, err);
	if (r == 0)
		*ret = generation_ref(binding->generation);
	return r;
}

bool
binding_killed(const struct binding *binding)
{
	const struct epoch *epoch = &binding->arbiter->epoch;
	return binding->epoch < epoch->all || epoch_task_killed(epoch, binding->task->id);
}

/* ---- open ---- */

static int
open_task(struct arbiter *arbiter, const struct msg *m, uid_t requester, struct task **ret,
    struct error *err)
{
	const char *id = json_get_str(m->body, "task", "");
	if (!uuid_valid(id))
		return error_set(err, EINVAL, "task_invalid", "task: must be a UUID");
	struct task *task = tasks_find(&arbiter->actions, id);
	if (task == NULL)
		task = tasks_add(&arbiter->actions, id, requester, clock_wall_ms());
	if (task == NULL)
		return error_set(err, EAGAIN, "too_many_tasks", "too many tasks are running");
	if (task->owner != requester)
		return error_set(
		    err, EACCES, "task_not_yours", "task %s belongs to another user", id);
	*ret = task;
	return 0;
}

/* A name follows what is active; a hash stays what it is. */
static int
open_policy(struct arbiter *arbiter, struct msg *m, struct binding *binding, struct error *err)
{
	struct generation *generation = NULL;
	const char *name = json_get_str(json_get(m->body, "policy"), "name", NULL);
	int r = policies_find(arbiter, m, &generation, err);
	if (r == 0)
		r = policies_check(arbiter, generation, err);
	if (r == 0 && name != NULL)
		(void)snprintf(binding->policy, sizeof(binding->policy), "%s", name);
	if (r == 0)
		binding->generation = TAKE_PTR(generation);
	generation_unref(generation);
	return r;
}

static int
open_check(struct arbiter *arbiter, const struct msg *m, const char *sandbox,
    struct gateway_peer **ret, struct error *err)
{
	int64_t uid = json_get_int(m->body, "requester_uid", -1);
	int64_t number = json_get_int(m->body, "gateway", -1);
	if (!uuid_valid(sandbox))
		return error_set(err, EINVAL, "sandbox_invalid", "sandbox: must be a UUID");
	if (binding_find(arbiter, sandbox) != NULL)
		return error_set(
		    err, EEXIST, "sandbox_known", "sandbox %s is bound already", sandbox);
	if (uid < 0 || uid >= UINT32_MAX)
		return error_set(err, EINVAL, "requester_missing", "it names its requester_uid");
	if (arbiter->n_bindings >= BINDINGS_MAX)
		return error_set(err, EAGAIN, "too_many_sandboxes", "too many sandboxes are bound");
	*ret = number >= 0 && number <= UINT32_MAX ? net_gateway(arbiter, (unsigned)number) : NULL;
	if (*ret == NULL)
		return error_set(
		    err, ENOENT, "gateway_unknown", "no such gateway is joined (any more)");
	return 0;
}

static int
net_open(struct arbiter *arbiter, struct msg *m, struct error *err)
{
	const char *sandbox = json_get_str(m->body, "sandbox", "");
	struct gateway_peer *gateway = NULL;
	int r = open_check(arbiter, m, sandbox, &gateway, err);
	if (r < 0)
		return r;
	struct binding *binding = calloc(1, sizeof(*binding));
	if (binding == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "out of memory");
	binding->arbiter = arbiter;
	binding->gateway = gateway;
	binding->epoch = arbiter->epoch.now;
	binding->requester = (uid_t)json_get_int(m->body, "requester_uid", -1);
	(void)snprintf(binding->sandbox, sizeof(binding->sandbox), "%s", sandbox);
	r = open_policy(arbiter, m, binding, err);
	if (r == 0)
		r = open_task(arbiter, m, binding->requester, &binding->task, err);
	if (r < 0) {
		generation_unref(binding->generation);
		free(binding);
		return r;
	}
	binding->task->bound++;
	struct binding **bucket = bucket_of(arbiter, sandbox);
	binding->chain = *bucket;
	*bucket = binding;
	arbiter->n_bindings++;
	return 0;
}

int
on_net_open(struct conn *conn, struct msg *m)
{
	struct error err = {.code = ""};
	int r = net_open(conn_data(conn), m, &err);
	if (r == 0)
		return conn_send(conn, MSG_OK, m->serial, NULL, NULL, 0);
	if (err.code[0] == '\0')
		error_set_errno(&err, -r, "net_open_failed", "binding a sandbox failed");
	(void)conn_send_error(conn, m->serial, &err);
	return 0;
}

/* ---- close ---- */

/* Ends the actions of BINDING that wait; with PERFORMING also those under way, whose end nobody will tell. */
static void
end_actions(struct binding *binding, bool performing, const char *why)
{
	struct arbiter *arbiter = binding->arbiter;
	struct action *next;
	for (struct action *action = arbiter->actions.first; action != NULL; action = next) {
		next = action->next;
		if (action->binding != binding)
			continue;
		if (action->state != STATE_PERFORMING) {
			action_end_surely(arbiter, action, STATE_REVOKED, "revoked", why);
		} else if (performing) {
			struct json *outcome = json_new_object();
			(void)json_set_str(outcome, "reason", why);
			claim_settle(arbiter, action, STATE_UNKNOWN, outcome);
		} else {
			net_grant_revoke(arbiter, action);
		}
	}
}

static void
on_closed(struct timer *timer, void *data)
{
	struct binding *binding = data;
	binding->closing = NULL;
	end_actions(binding, /* performing= */ true, "its sandbox ended");
	binding_free(binding);
}

int
on_net_close(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	struct binding *binding = binding_find(arbiter, json_get_str(m->body, "sandbox", ""));
	if (binding == NULL || binding->closing != NULL)
		return 0; /* it ended with its gateway */
	note_suppressed(binding, &binding->notes);
	note_suppressed(binding, &binding->denials);
	end_actions(binding, /* performing= */ false, "its sandbox ended");
	if (binding->live > 0 &&
	    loop_timer(arbiter->loop, CLOSING_MS, on_closed, binding, &binding->closing) == 0)
		return 0;
	end_actions(binding, /* performing= */ true, "its sandbox ended");
	binding_free(binding);
	return 0;
}

void
net_gateway_gone(struct arbiter *arbiter, struct gateway_peer *gateway)
{
	for (size_t i = 0; i < BINDING_BUCKETS; i++) {
		struct binding *next;
		for (struct binding *b = arbiter->bindings[i]; b != NULL; b = next) {
			next = b->chain;
			if (b->gateway != gateway)
				continue;
			note_suppressed(b, &b->notes);
			note_suppressed(b, &b->denials);
			end_actions(b, /* performing= */ true, "its gateway ended");
			binding_free(b);
		}
	}
}

void
net_killed(struct arbiter *arbiter, const struct task *task)
{
	for (struct action *action = arbiter->actions.first; action != NULL; action = action->next)
		if (action->binding != NULL && (task == NULL || action->task == task))
			net_grant_revoke(arbiter, action);
}

void
net_done(struct arbiter *arbiter)
{
	for (size_t i = 0; i < BINDING_BUCKETS; i++)
		while (arbiter->bindings[i] != NULL)
			binding_free(arbiter->bindings[i]);
}

/* ---- reach ---- */

/* Who may speak of SANDBOX: -EPROTO ends the conversation of a gateway that speaks of another one's; *RET is NULL
 * for one that is not bound (any more), which is no fault. */
static int
own_binding(struct conn *conn, const char *sandbox, struct binding **ret)
{
	struct gateway_peer *gateway = conn_data(conn);
	*ret = binding_find(gateway->arbiter, sandbox);
	return *ret != NULL && (*ret)->gateway != gateway ? -EPROTO : 0;
}

static struct policy_reach
binding_reach(struct binding *binding, const char *host, int64_t port)
{
	struct policy_reach reach = {.raw = false};
	struct generation *generation = NULL;
	struct error err;
	if (port < 0 || port > 65535 || binding->arbiter->ledger_lost || binding->closing != NULL ||
	    binding_killed(binding) || binding_generation(binding, &generation, &err) < 0)
		return reach;
	reach = policy_reach(generation->policy, host, (int)port);
	generation_unref(generation);
	return reach;
}

int
on_net_reach(struct conn *conn, struct msg *m)
{
	struct binding *binding;
	const struct json *port = json_get(m->body, "port");
	struct policy_reach reach = {.raw = false};
	int r = own_binding(conn, json_get_str(m->body, "sandbox", ""), &binding);
	if (r < 0)
		return r;
	if (binding != NULL)
		reach = binding_reach(binding, json_get_str(m->body, "host", ""),
		    port == NULL ? 0 : json_int(port, -1));
	struct json *body = json_new_object();
	(void)json_set_bool(body, "reach", reach.raw || reach.plain || reach.intercept);
	if (port != NULL) {
		(void)json_set_bool(body, "raw", reach.raw);
		(void)json_set_bool(body, "plain", reach.plain);
		(void)json_set_bool(body, "intercept", reach.intercept);
		(void)json_set_bool(body, "git", reach.git);
	}
	(void)conn_send_take(conn, MSG_NET_REACHED, m->serial, body);
	return 0;
}

void
net_policy_changed(struct arbiter *arbiter, const char *name)
{
	for (size_t i = 0; i < BINDING_BUCKETS; i++) {
		for (struct binding *b = arbiter->bindings[i]; b != NULL; b = b->chain) {
			if (strcmp(b->policy, name) != 0)
				continue;
			b->generation = generation_unref(b->generation);
			if (b->gateway->conn == NULL)
				continue;
			struct json *body = json_new_object();
			(void)json_set_str(body, "sandbox", b->sandbox);
			(void)conn_send_take(
			    b->gateway->conn, MSG_NET_CHANGED, /* serial: no reply */ 0, body);
		}
	}
}

/* ---- notes ---- */

/* What is noted: the gateway's data, unless there is too much of it. */
static struct json *
note_data(const struct binding *binding, struct msg *m)
{
	_cleanup_buf_ struct buf text;
	struct json *data = json_get(m->body, "data");
	buf_init(&text, MSG_BODY_MAX);
	bool fits = json_type(data) == JSON_OBJECT && json_write(data, &text) == 0 &&
	    text.len <= NOTE_BYTES_MAX;
	struct json *ret = fits ? json_detach(m->body, "data") : json_new_object();
	if (!fits)
		(void)json_set_int(ret, "omitted_bytes", (int64_t)text.len);
	(void)json_set_str(ret, "sandbox", binding->sandbox);
	return ret;
}

int
on_net_note(struct conn *conn, struct msg *m)
{
	static const char *const events[] = {
	    "name-denied", "connection-refused", "request-refused", "dial-refused"};
	struct binding *binding;
	const char *event = json_get_str(m->body, "event", "");
	int r = own_binding(conn, json_get_str(m->body, "sandbox", ""), &binding);
	if (r < 0 || binding == NULL)
		return r;
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(events) && !known; i++)
		known = strcmp(event, events[i]) == 0;
	if (!known)
		return -EPROTO;
	if (window_fits(binding, &binding->notes, NOTES_MAX))
		evidence_note(binding->arbiter, event, binding->task->id, /* action_id= */ NULL,
		    note_data(binding, m));
	return 0;
}
