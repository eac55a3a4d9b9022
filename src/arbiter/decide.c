/* The decision on one action.
 *
 *     identify   whose task it is; a killed task gets nothing. A gateway is not asked: what its sandbox is bound to
 *                says (net.h)
 *     policy     which generation; one that cannot be enforced here is refused
 *     validate   the record's shape
 *     facts      what only we know; the digest over what is asked
 *     decide     policy_decide, pure
 *     reserve    call budgets, and the store for what must outlive us
 *     record     the decision goes to the ledger; the verdict does not wait for it, the claim does
 *
 * Every error on the way is an answer that allows nothing. */
#include "arbiter/decide.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/budget.h"
#include "arbiter/evidence.h"
#include "arbiter/facts.h"
#include "arbiter/net.h"
#include "arbiter/net_record.h"
#include "arbiter/policies.h"
#include "arbiter/review.h"
#include "arbiter/verdict.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

#define REQUEST_RECORD_MAX (48 * 1024) /* bytes of a request that the ledger gets in full */

/* One proposal on its way. */
struct proposal {
	uint32_t serial;
	uid_t requester;
	struct json *record; /* owned */
	enum action_kind kind;
	struct generation *generation; /* counted reference */
	struct task *task;             /* borrowed */
	struct binding *binding;       /* borrowed; NULL: the supervisor proposes */
	bool claim;                    /* what is allowed at once is claimed with it */
	struct decision decision;
	struct action *action; /* borrowed, once it is in the table */
};

static void
proposal_done(struct proposal *p)
{
	json_free(p->record);
	generation_unref(p->generation);
}

/* ---- identify ---- */

static int
task_identify(struct arbiter *arbiter, struct proposal *p, struct error *err)
{
	char id[UUID_TEXT];
	const char *given = json_get_str(p->record, "task", NULL);
	if (given == NULL) {
		int r = uuid7_new(id);
		if (r < 0)
			return error_set_errno(err, -r, "random_failed", "making a task's id");
		given = id;
	} else if (!uuid_valid(given)) {
		return error_set(err, EINVAL, "task_invalid", "action.task: must be a UUID");
	}
	p->task = tasks_find(&arbiter->actions, given);
	if (p->task == NULL)
		p->task = tasks_add(&arbiter->actions, given, p->requester, clock_wall_ms());
	if (p->task == NULL)
		return error_set(err, EAGAIN, "too_many_tasks", "too many tasks are running");
	if (p->task->owner != p->requester)
		return error_set(
		    err, EACCES, "task_not_yours", "task %s belongs to another user", given);
	return json_set_str(p->record, "task", p->task->id);
}

static int
proposal_read(struct arbiter *arbiter, struct msg *m, struct proposal *p, struct error *err)
{
	int64_t uid = json_get_int(m->body, "requester_uid", -1);
	p->serial = m->serial;
	p->record = json_detach(m->body, "action");
	p->claim = json_get_bool(m->body, "claim", false);
	if (uid < 0 || uid >= UINT32_MAX)
		return error_set(
		    err, EINVAL, "requester_missing", "a proposal names its requester_uid");
	p->requester = (uid_t)uid;
	int r = action_validate(p->record, err);
	if (r < 0)
		return r;
	p->kind = (enum action_kind)action_kind_parse(json_get_str(p->record, "kind", ""));
	r = policies_find(arbiter, m, &p->generation, err);
	if (r == 0)
		r = policies_check(arbiter, p->generation, err);
	if (r == 0)
		r = task_identify(arbiter, p, err);
	return r;
}

/* The same for a gateway. */
static int
bound_read(struct arbiter *arbiter, struct proposal *p, struct json *action, struct error *err)
{
	const uint8_t *key = arbiter_key(arbiter, err);
	if (key == NULL)
		return -EIO;
	if (p->binding->live >= BINDING_ACTIONS_MAX)
		return error_set(err, EAGAIN, "too_many_actions",
		    "too many actions of this sandbox are under way");
	int r = net_record_make(action, key, SHA256_BYTES, &p->record, err);
	if (r < 0)
		return r;
	p->kind = (enum action_kind)action_kind_parse(json_get_str(p->record, "kind", ""));
	(void)json_set_str(p->record, "task", p->task->id);
	(void)json_set_str(p->record, "sandbox", p->binding->sandbox);
	return binding_generation(p->binding, &p->generation, err);
}

/* ---- the record ---- */

/* Puts the action into the table, with its id, facts and digest. */
static int
action_make(struct arbiter *arbiter, struct proposal *p, struct error *err)
{
	char id[UUID_TEXT];
	const uint8_t *key = arbiter_key(arbiter, err);
	if (key == NULL)
		return -EIO;
	int r = uuid7_new(id);
	if (r < 0)
		return error_set_errno(err, -r, "random_failed", "making an action's id");
	r = facts_complete(arbiter, p->record, p->task, p->generation, p->kind, err);
	if (r < 0)
		return r;
	struct action *action = actions_add(&arbiter->actions, id, p->task);
	if (action == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "out of memory");
	action->kind = p->kind;
	action->serial = p->serial;
	action->requester = p->requester;
	action->record = TAKE_PTR(p->record);
	action->generation = TAKE_PTR(p->generation);
	action->epoch = arbiter->epoch.now;
	action->binding = p->binding;
	if (p->binding != NULL)
		p->binding->live++;
	action->leaves_sandbox = facts_leaves_sandbox(action->record, p->kind, action->generation);
	p->action = action;
	r = action_digest(action->record, key, SHA256_BYTES, action->digest);
	if (r == 0)
		r = json_set_str(action->record, "id", id);
	if (r == 0)
		r = json_set_str(action->record, "digest", action->digest);
	return r < 0 ? error_set_errno(err, -r, "digest_failed", "the action's digest") : 0;
}

/* What the ledger gets: the request in full, or what stands for it if it is very large. */
static struct json *
request_record(const struct json *request)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, MSG_BODY_MAX);
	if (json_write(request, &text) == 0 && text.len <= REQUEST_RECORD_MAX)
		return json_copy(request);
	uint8_t digest[SHA256_BYTES];
	char hash[SHA256_HEX];
	sha256(text.data, text.len, digest);
	hex_encode(digest, sizeof(digest), hash);
	struct json *stand_in = json_new_object();
	(void)json_set_int(stand_in, "omitted_bytes", (int64_t)text.len);
	(void)json_set_str(stand_in, "sha256", hash);
	return stand_in;
}

static struct json *
decision_record(const struct action *action)
{
	static const char *const copied[] = {"kind", "target", "effect", "tenant", "sandbox"};
	struct json *data = json_new_object();
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const struct json *value = json_get(action->record, copied[i]);
		if (value != NULL)
			(void)json_set(data, copied[i], json_copy(value));
	}
	(void)json_set(data, "request", request_record(json_get(action->record, "request")));
	(void)json_set_str(data, "digest", action->digest);
	(void)json_set_int(data, "requester", action->requester);
	(void)json_set_str(data, "state", action_state_name(action->state));
	(void)json_set(data, "decision", json_copy(action->decision));
	(void)json_set_str(data, "policy", action->generation->hash);
	if (action->generation->name[0] != '\0')
		(void)json_set_str(data, "policy_name", action->generation->name);
	(void)json_set_int(data, "epoch", (int64_t)action->epoch);
	if (action->claim_recorded)
		(void)json_set_bool(data, "claimed", true);
	return data;
}

/* ---- deciding ---- */

static void
deny(struct decision *decision, const char *reason)
{
	*decision = (struct decision){.verdict = VERDICT_DENY};
	(void)snprintf(decision->reason, sizeof(decision->reason), "%s", reason);
}

/* An approval is for these bytes: what people are to see must be all there is. */
static bool
body_is_known(const struct action *action)
{
	const struct json *request = json_get(action->record, "request");
	return action->kind != ACTION_HTTP || json_get_int(request, "body_bytes", 0) == 0 ||
	    json_get_str(request, "body_sha256", NULL) != NULL;
}

/* How many of BINDING's actions wait for people. */
static unsigned
reviews_waiting(const struct arbiter *arbiter, const struct binding *binding)
{
	unsigned n = 0;
	for (const struct action *a = arbiter->actions.first; a != NULL; a = a->next)
		n += a->binding == binding && a->state == STATE_REVIEWING;
	return n;
}

/* What a decision that holds an action for people needs beyond the policy. */
static void
tighten_review(const struct arbiter *arbiter, struct proposal *p)
{
	if (p->decision.verdict != VERDICT_REVIEW)
		return;
	if (!body_is_known(p->action))
		deny(&p->decision,
		    "held for review, but its body is not known beforehand: people approve the "
		    "bytes that are sent, so they must be sent at once and be small enough to "
		    "keep");
	else if (p->binding != NULL && reviews_waiting(arbiter, p->binding) >= BINDING_REVIEWS_MAX)
		deny(&p->decision, "too many actions of this sandbox wait for review already");
}

static void
decide(const struct arbiter *arbiter, struct proposal *p)
{
	if (arbiter->ledger_lost)
		deny(&p->decision, "the ledger is gone: nothing is allowed without evidence");
	else if (epoch_task_killed(&arbiter->epoch, p->task->id) ||
	    (p->binding != NULL && binding_killed(p->binding)))
		deny(&p->decision, "this task was killed");
	else
		policy_decide(p->action->generation->policy, p->action->record, &p->decision);
	tighten_review(arbiter, p);
}

/* Keeps how ACTION is performed: as the rule says that permits it. */
static int
keep_terms(struct action *action, const struct decision *decision)
{
	if (action->binding == NULL || decision->verdict == VERDICT_DENY)
		return 0;
	json_free(action->terms);
	action->terms = policy_rule_terms(action->generation->policy, decision->permits);
	return action->terms != NULL ? 0 : -ENOMEM;
}

/* The rule that permits it may say how often, and how many at a time. */
static void
tighten_rates(struct proposal *p)
{
	char reason[DECISION_REASON_MAX];
	const struct action *action = p->action;
	if (action->binding == NULL || p->decision.verdict == VERDICT_DENY)
		return;
	if (!net_rate_admits(action->binding, p->decision.permits,
		json_get(action->terms, "limits"), reason, sizeof(reason)))
		deny(&p->decision, reason);
}

/* Reserves the calls, and stores what must outlive this process: what waits for people, what holds a
 * reservation, and what leaves the sandbox (after a crash it is `unknown`). A budget that is used up
 * turns the decision into a denial. */
static int
reserve(struct arbiter *arbiter, struct proposal *p, struct error *err)
{
	struct action *action = p->action;
	struct budget budget;
	int64_t now = clock_wall_ms();
	bool limited = budget_of(
	    action->generation, action->record, action->task->id, p->requester, now, &budget);
	if (p->decision.verdict == VERDICT_DENY ||
	    (p->decision.verdict == VERDICT_ALLOW && !limited && !action->leaves_sandbox))
		return 0;
	enum store_budget_hit hit = BUDGET_OK;
	int r = review_store(
	    arbiter, action, &p->decision, limited ? &budget.store : NULL, now, &hit, err);
	if (r == -EDQUOT) {
		char reason[DECISION_REASON_MAX];
		budget_reason(action->generation, hit, reason, sizeof(reason));
		deny(&p->decision, reason);
		return 0;
	}
	return r;
}

static const enum action_state state_after[] = {
    [VERDICT_DENY] = STATE_DENIED,
    [VERDICT_REVIEW] = STATE_REVIEWING,
    [VERDICT_ALLOW] = STATE_APPROVED,
};

/* A read needs no second record to say that it was claimed when its decision was written: there are many. */
static bool
claims_with_record(const struct action *action)
{
	return action->binding != NULL && action->claim_proposed && !action->stored &&
	    !action->leaves_sandbox && json_get(action->terms, "credential") == NULL;
}

/* ACTION is claimed once the ledger has acknowledged the decision (claim_finish). */
static void
claim_begin(struct arbiter *arbiter, struct action *action)
{
	action->claim_waiting = true;
	action->claim_proposed = true;
	action->claim_serial = action->serial;
	action->claim_recorded = claims_with_record(action);
	evidence_await(arbiter, action, "decision", decision_record(action));
}

/* The verdict goes out first: the supervisor builds the sandbox while the ledger writes. That is safe
 * because a claim waits for the acknowledgement. Where the sandbox stands already, the proposal is the
 * claim, and the verdict waits. */
static void
announce(struct arbiter *arbiter, struct action *action, bool claim)
{
	if (claim && action->state == STATE_APPROVED) {
		claim_begin(arbiter, action);
		return;
	}
	verdict_send(arbiter, action, action->serial, /* comment= */ NULL);
	if (action->state != STATE_DENIED) {
		evidence_await(arbiter, action, "decision", decision_record(action));
		if (action->state == STATE_REVIEWING)
			review_opened(arbiter, action);
		return;
	}
	/* A denial has no effect; one sandbox may not fill the ledger with them. */
	if (action->binding == NULL || binding_records_denial(action->binding))
		evidence_note(
		    arbiter, "decision", action->task->id, action->id, decision_record(action));
	actions_remove(&arbiter->actions, action);
}

/* From the record on, the path is one for all. */
static int
propose(struct arbiter *arbiter, struct proposal *p, struct error *err)
{
	if (arbiter->actions.n_actions >= ACTIONS_MAX)
		return error_set(err, EAGAIN, "too_many_actions", "too many actions are under way");
	int r = action_make(arbiter, p, err);
	if (r < 0)
		return r;
	decide(arbiter, p);
	if (p->decision.verdict == VERDICT_REVIEW) {
		r = review_possible(arbiter, p->action, &p->decision, err);
		if (r < 0)
			return r;
	}
	if (keep_terms(p->action, &p->decision) < 0)
		return error_set(err, ENOMEM, "out_of_memory", "out of memory");
	tighten_rates(p);
	r = reserve(arbiter, p, err);
	if (r < 0)
		return r;
	p->action->decision = decision_to_json(&p->decision);
	if (p->action->decision == NULL)
		return error_set(err, ENOMEM, "out_of_memory", "out of memory");
	action_set_state(p->action, state_after[p->decision.verdict]);
	announce(arbiter, TAKE_PTR(p->action), p->claim);
	return 0;
}

/* Ends P, whose proposal CONN made: R is what became of it. */
static void
proposal_end(
    struct arbiter *arbiter, struct conn *conn, struct proposal *p, int r, struct error *err)
{
	if (r < 0) {
		if (err->code[0] == '\0')
			error_set_errno(err, -r, "decision_failed", "deciding failed");
		if (p->action != NULL)
			actions_remove(&arbiter->actions, p->action);
		(void)conn_send_error(conn, p->serial, err);
	}
	proposal_done(p);
}

int
on_propose(struct conn *conn, struct msg *m)
{
	struct arbiter *arbiter = conn_data(conn);
	struct proposal p = {.serial = m->serial};
	struct error err = {.code = ""};
	int r = proposal_read(arbiter, m, &p, &err);
	if (r == 0)
		r = propose(arbiter, &p, &err);
	proposal_end(arbiter, conn, &p, r, &err);
	return 0;
}

void
decide_bound(struct binding *binding, uint32_t serial, struct json *action)
{
	struct arbiter *arbiter = binding->arbiter;
	struct error err = {.code = ""};
	struct proposal p = {
	    .serial = serial,
	    .requester = binding->requester,
	    .task = binding->task,
	    .binding = binding,
	    .claim = true,
	};
	int r = bound_read(arbiter, &p, action, &err);
	if (r == 0)
		r = propose(arbiter, &p, &err);
	proposal_end(arbiter, binding->gateway->conn, &p, r, &err);
}

/* ---- again, when the policy changed before the claim ---- */

bool
decide_again(struct arbiter *arbiter, struct action *action)
{
	struct generation *now_active = NULL;
	struct decision decision;
	struct error err;
	char name[POLICY_NAME_MAX + 1];
	(void)snprintf(name, sizeof(name), "%s", action->generation->name);
	if (generation_named(arbiter, name, &now_active, &err) < 0)
		return false;
	struct json *decided = NULL;
	if (policies_check(arbiter, now_active, &err) == 0) {
		policy_decide(now_active->policy, action->record, &decision);
		if (decision.verdict == VERDICT_ALLOW)
			decided = decision_to_json(&decision);
	}
	if (decided == NULL) {
		generation_unref(now_active);
		return false;
	}
	json_free(action->decision);
	action->decision = decided;
	generation_unref(action->generation);
	action->generation = now_active;
	action->stale = false;
	/* Another rule may bring another credential. */
	net_grant_revoke(arbiter, action);
	if (keep_terms(action, &decision) < 0)
		return false;
	action->leaves_sandbox |= facts_leaves_sandbox(action->record, action->kind, now_active);
	action->claim_recorded = claims_with_record(action);
	evidence_await(arbiter, action, "decision", decision_record(action));
	return true;
}
