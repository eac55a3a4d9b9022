/* Reviews: opening, approving, denying, expiring.
 *
 *     REVIEWING ── the last needed approval ──▶ APPROVED ── claim ──▶ …
 *         ├── one denial ─────────────▶ REJECTED
 *         ├── the clock, or a restart ─▶ EXPIRED
 *         ├── the policy changed ──────▶ INVALIDATED
 *         └── killed, or the requester left ─▶ REVOKED
 *
 * Approvers are known by the kernel's credentials of their connection, never by what they say. Each
 * fills one role, each role needs another person, and the requester (who owns the task) fills none,
 * unless the policy says self_approve: that is recorded as conventional. root has no role unless
 * `people:` gives it one; but root can do anything on its machine, and no record shows it. */
#include "arbiter/review.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/claim.h"
#include "arbiter/evidence.h"
#include "arbiter/review_view.h"
#include "arbiter/verdict.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/messages.h"

#define COMMENT_MAX 1000 /* bytes */
#define EMBEDDED_ROLE "operator"

/* ---- people and roles ---- */

int
review_needs_two_people(const char *policy, struct error *err)
{
	error_set(err, EOPNOTSUPP, "review_needs_two_people",
	    "policy %s needs an approver who is not the requester, and here one user is everybody",
	    policy);
	error_remedy(err,
	    "run ringfence as root with people: in its configuration, or set "
	    "review: {approvals: [operator], self_approve: true} (recorded as conventional)");
	return -EOPNOTSUPP;
}

/* Whether UID fills ROLE. Embedded, without `people:`, the one user there is is the operator of what
 * may be approved by oneself. */
static bool
person_has_role(const struct arbiter *arbiter, uid_t uid, const char *role, bool self_approve)
{
	if (people_has_role(arbiter->people, uid, role))
		return true;
	return arbiter->rootless && self_approve && uid == arbiter->own_uid &&
	    strcmp(role, EMBEDDED_ROLE) == 0 && !people_knows_role(arbiter->people, role);
}

static const char *
config_name(const struct arbiter *arbiter)
{
	return arbiter->rootless ? "$XDG_CONFIG_HOME/ringfence/config.yaml"
				 : "/etc/ringfence/config.yaml";
}

int
review_possible(struct arbiter *arbiter, const struct action *action,
    const struct decision *decision, struct error *err)
{
	const struct review_terms *terms = &decision->review;
	if (arbiter->rootless && (!terms->self_approve || terms->n_approvals > 1))
		return review_needs_two_people(action->generation->name, err);
	if (terms->n_approvals == 0 || terms->n_approvals > REVIEW_ROLES_MAX)
		return error_set(err, EINVAL, "review_impossible",
		    "rule %s: a review needs 1 to %d approvals",
		    decision->rule != NULL ? decision->rule : "-", REVIEW_ROLES_MAX);
	if (arbiter_people(arbiter, err) == NULL)
		return -EINVAL;
	for (size_t i = 0; i < terms->n_approvals; i++) {
		const char *role = terms->approvals[i];
		if (arbiter->rootless ? person_has_role(arbiter, arbiter->own_uid, role, true)
				      : people_knows_role(arbiter->people, role))
			continue;
		error_set(err, ENOENT, "review_role_unknown",
		    "rule %s needs an approval by role %s, and people: in %s gives it to nobody",
		    decision->rule != NULL ? decision->rule : "-", role, config_name(arbiter));
		error_remedy(err,
		    "add `people: {%s: {users: [NAME]}}` to %s (or $RINGFENCE_CONFIG) and restart",
		    role, config_name(arbiter));
		return -ENOENT;
	}
	return 0;
}

/* ---- opening ---- */

static int
store_text(const struct json *value, struct buf *out, struct error *err)
{
	buf_init(out, 4 * MSG_BODY_MAX);
	int r = value != NULL ? json_write(value, out) : -ENOMEM;
	return r < 0 ? error_set_errno(err, -r, "store_failed", "writing the action") : 0;
}

static void
describe(const struct arbiter *arbiter, const struct action *action, const char *record,
    int64_t now, struct store_action *ret)
{
	*ret = (struct store_action){
	    .id = action->id,
	    .task = action->task->id,
	    .kind = action_kind_name(action->kind),
	    .target = json_get_str(action->record, "target", ""),
	    .requester = action->requester,
	    .owner = action->task->owner,
	    .digest = action->digest,
	    .policy_hash = action->generation->hash,
	    .policy_name = action->generation->name,
	    .epoch = (int64_t)action->epoch,
	    .created_at = now,
	    .record = record,
	};
}

static int
store_review(struct arbiter *arbiter, struct action *action, const struct decision *decision,
    const struct store_action *stored, const struct store_budget *budget,
    enum store_budget_hit *ret_hit, struct error *err)
{
	_cleanup_json_ struct json *json = decision_to_json(decision);
	_cleanup_buf_ struct buf text;
	int r = store_text(json, &text, err);
	if (r < 0)
		return r;
	struct store_review review = {
	    .action = *stored,
	    .decision = buf_str(&text),
	    .n_roles = (unsigned)decision->review.n_approvals,
	    .self_approve = decision->review.self_approve,
	};
	for (unsigned i = 0; i < review.n_roles; i++)
		review.roles[i] = decision->review.approvals[i];
	review.action.state = STATE_REVIEWING;
	review.action.expires_at = stored->created_at + decision->review.timeout_ms;
	r = store_review_open(arbiter->store, &review, budget, ret_hit);
	if (r < 0)
		return r;
	(void)snprintf(action->review_id, sizeof(action->review_id), "%s", review.review_id);
	action->expires_at = review.action.expires_at;
	action->deadline_ns = clock_monotonic_ns() + decision->review.timeout_ms * 1000000;
	return 0;
}

int
review_store(struct arbiter *arbiter, struct action *action, const struct decision *decision,
    const struct store_budget *budget, int64_t now, enum store_budget_hit *ret_hit,
    struct error *err)
{
	_cleanup_buf_ struct buf record = {0};
	struct store_action stored;
	if (arbiter_store(arbiter, err) == NULL)
		return -EIO;
	int r = store_text(action->record, &record, err);
	if (r < 0)
		return r;
	describe(arbiter, action, buf_str(&record), now, &stored);
	if (decision->verdict == VERDICT_REVIEW) {
		r = store_review(arbiter, action, decision, &stored, budget, ret_hit, err);
	} else {
		stored.state = STATE_APPROVED;
		r = store_action_put(arbiter->store, &stored, budget, ret_hit);
	}
	action->stored = r == 0;
	if (r < 0 && r != -EDQUOT && err->code[0] == '\0')
		error_set_errno(err, -r, "store_failed", "store: writing the action");
	return r;
}

/* ---- the clock ---- */

static void expiry_arm(struct arbiter *arbiter);

static bool
has_expired(const struct action *action, int64_t now, int64_t now_ns)
{
	return action->review_id[0] != '\0' &&
	    (action->state == STATE_REVIEWING || action->state == STATE_APPROVED) &&
	    !action->claim_waiting && (now >= action->expires_at || now_ns >= action->deadline_ns);
}

static void
on_expiry(struct timer *timer, void *data)
{
	struct arbiter *arbiter = data;
	int64_t now = clock_wall_ms(), now_ns = clock_monotonic_ns();
	arbiter->expiry = NULL;
	struct action *next;
	for (struct action *action = arbiter->actions.first; action != NULL; action = next) {
		next = action->next;
		if (has_expired(action, now, now_ns))
			(void)action_end(arbiter, action, STATE_EXPIRED, "review-expired",
			    "nobody approved it in time", /* by= */ NULL);
	}
	expiry_arm(arbiter);
}

/* One timer for the review that expires first. */
static void
expiry_arm(struct arbiter *arbiter)
{
	int64_t now = clock_wall_ms(), now_ns = clock_monotonic_ns(), wait_ms = -1;
	for (struct action *action = arbiter->actions.first; action != NULL;
	     action = action->next) {
		if (action->review_id[0] == '\0' || action->state == STATE_PERFORMING ||
		    action->claim_waiting)
			continue;
		int64_t left =
		    MIN(action->expires_at - now, (action->deadline_ns - now_ns) / 1000000 + 1);
		if (wait_ms < 0 || left < wait_ms)
			wait_ms = MAX(left, 1);
	}
	arbiter->expiry = timer_cancel(arbiter->expiry);
	if (wait_ms < 0)
		return;
	/* Look at the wall clock at least once a minute: it may be set forward. */
	int r = loop_timer(
	    arbiter->loop, MIN(wait_ms, (int64_t)60000), on_expiry, arbiter, &arbiter->expiry);
	if (r < 0)
		log_event(LOG_ERROR, "no-timer", "effect", "reviews expire when they are looked at",
		    NULL);
}

void
review_opened(struct arbiter *arbiter, struct action *action)
{
	struct json *data = json_new_object();
	(void)json_set_str(data, "review_id", action->review_id);
	(void)json_set(data, "approvals",
	    json_copy(json_get(json_get(action->decision, "review"), "approvals")));
	(void)json_set_int(data, "expires_at", action->expires_at);
	(void)json_set_str(data, "digest", action->digest);
	evidence_await(arbiter, action, "review-opened", data);
	expiry_arm(arbiter);
	review_changed(arbiter, action->review_id);
}

void
review_changed(struct arbiter *arbiter, const char *review_id)
{
	review_view_watchers(arbiter, review_id);
}

/* ---- what a person decides ---- */

/* A review as it stood when a person's message came. */
struct seen {
	char review_id[REVIEW_ID];
	char action_id[UUID_TEXT];
	enum action_state state;
	uid_t requester, owner;
	char digest[SHA256_HEX];
	char roles[REVIEW_ROLES_MAX][ROLE_NAME_MAX + 1];
	bool filled[REVIEW_ROLES_MAX];
	unsigned n_roles;
	bool self_approve;
};

static void
on_seen(const struct store_review *review, const struct store_approval *approvals, unsigned n,
    void *data)
{
	struct seen *seen = data;
	(void)snprintf(seen->review_id, sizeof(seen->review_id), "%s", review->review_id);
	(void)snprintf(seen->action_id, sizeof(seen->action_id), "%s", review->action.id);
	(void)snprintf(seen->digest, sizeof(seen->digest), "%s", review->action.digest);
	seen->state = review->action.state;
	seen->requester = review->action.requester;
	seen->owner = review->action.owner;
	seen->self_approve = review->self_approve;
	for (; seen->n_roles < review->n_roles; seen->n_roles++)
		(void)snprintf(seen->roles[seen->n_roles], sizeof(seen->roles[0]), "%s",
		    review->roles[seen->n_roles]);
	for (unsigned a = 0; a < n; a++) {
		for (unsigned i = 0; i < seen->n_roles; i++) {
			if (!seen->filled[i] && strcmp(seen->roles[i], approvals[a].role) == 0) {
				seen->filled[i] = true;
				break;
			}
		}
	}
}

static int
review_closed(const struct seen *seen, struct error *err)
{
	return error_set(err, ESTALE, "review_closed", "review %s is no longer open: it is %s",
	    seen->review_id, action_state_name(seen->state));
}

/* Finds the open review that M names, and its action here. */
static int
review_find(struct arbiter *arbiter, const struct msg *m, struct seen *ret,
    struct action **ret_action, struct error *err)
{
	const char *id = json_get_str(m->body, "review_id", "");
	struct store *store = arbiter_store(arbiter, err);
	if (store == NULL || arbiter_people(arbiter, err) == NULL)
		return -EIO;
	int r = store_review_get(store, id, on_seen, ret);
	if (r == -ENOENT) {
		error_set(err, ENOENT, "review_unknown", "there is no such review");
		error_remedy(err, "ringfence review list shows those that are open");
		return -ENOENT;
	}
	if (r < 0)
		return error_set_errno(err, -r, "store_failed", "store: reading a review");
	*ret_action = actions_find(&arbiter->actions, ret->action_id);
	if (ret->state != STATE_REVIEWING || *ret_action == NULL)
		return review_closed(ret, err);
	if (has_expired(*ret_action, clock_wall_ms(), clock_monotonic_ns()))
		return error_set(
		    err, ETIME, "review_expired", "review %s has expired", ret->review_id);
	return 0;
}

static bool
is_requester(const struct seen *seen, uid_t uid)
{
	return uid == seen->requester || uid == seen->owner;
}

/* The role that CLIENT fills, wanted by name or the first open one that it has; NULL with ERR. */
static const char *
role_choose(
    const struct client *client, const struct seen *seen, const char *wanted, struct error *err)
{
	bool has_filled = false;
	_cleanup_buf_ struct buf needed;
	buf_init(&needed, REVIEW_ROLES_MAX * (ROLE_NAME_MAX + 2));
	for (unsigned i = 0; i < seen->n_roles; i++) {
		(void)buf_addf(&needed, "%s%s", i > 0 ? ", " : "", seen->roles[i]);
		if (wanted != NULL && strcmp(wanted, seen->roles[i]) != 0)
			continue;
		if (!person_has_role(
			client->arbiter, client->uid, seen->roles[i], seen->self_approve))
			continue;
		if (!seen->filled[i])
			return seen->roles[i];
		has_filled = true;
	}
	if (has_filled) {
		error_set(err, EEXIST, "review_role_filled",
		    "review %s: that role has approved already", seen->review_id);
		return NULL;
	}
	error_set(err, EACCES, "review_not_yours",
	    "review %s needs %s, and you (uid %u) have no such role", seen->review_id,
	    buf_str(&needed), (unsigned)client->uid);
	error_remedy(err, "people: in %s says who has which role", config_name(client->arbiter));
	return NULL;
}

static int
approve_allowed(const struct client *client, const struct seen *seen, const struct msg *m,
    const char **ret_role, struct error *err)
{
	const char *digest = json_get_str(m->body, "digest", seen->digest);
	if (strcmp(digest, seen->digest) != 0)
		return error_set(err, ESTALE, "review_changed",
		    "review %s is not the action that you looked at", seen->review_id);
	if (is_requester(seen, client->uid) && !seen->self_approve)
		return error_set(
		    err, EACCES, "review_own_request", "nobody approves their own request");
	*ret_role = role_choose(client, seen, json_get_str(m->body, "role", NULL), err);
	return *ret_role != NULL ? 0 : -EACCES;
}

static int
approve_error(const struct seen *seen, int r, struct error *err)
{
	if (r == -ESTALE)
		return error_set(err, ESTALE, "review_closed", "review %s was closed meanwhile",
		    seen->review_id);
	if (r == -ETIME)
		return error_set(
		    err, ETIME, "review_expired", "review %s has expired", seen->review_id);
	if (r == -EEXIST)
		return error_set(err, EEXIST, "review_same_person",
		    "you approved review %s before; each role needs another person",
		    seen->review_id);
	if (r == -EADDRINUSE)
		return error_set(err, EEXIST, "review_role_filled",
		    "review %s: that role has approved already", seen->review_id);
	return error_set_errno(err, -r, "store_failed", "store: writing an approval");
}

/* A person's comment, shortened and safe to show. */
static const char *
comment_of(const struct msg *m, char *room, size_t size)
{
	const char *comment = json_get_str(m->body, "comment", NULL);
	if (comment == NULL)
		return NULL;
	log_escape(comment, strlen(comment), room, size);
	return room;
}

static const char *
person_name(const struct client *client, char *room, size_t size)
{
	const char *name = people_name(client->arbiter->people, client->uid);
	(void)snprintf(room, size, "%s", name != NULL ? name : "");
	if (name == NULL)
		(void)snprintf(room, size, "uid %u", (unsigned)client->uid);
	return room;
}

static void
note_approval(struct arbiter *arbiter, struct action *action, const struct store_approval *approval,
    bool complete)
{
	struct json *data = json_new_object();
	(void)json_set_str(data, "review_id", action->review_id);
	(void)json_set_str(data, "role", approval->role);
	(void)json_set_int(data, "uid", approval->uid);
	(void)json_set_str(data, "by", approval->name);
	(void)json_set_str(data, "digest", action->digest);
	if (approval->comment != NULL)
		(void)json_set_str(data, "comment", approval->comment);
	if (approval->conventional)
		(void)json_set_bool(data, "conventional", true);
	(void)json_set_bool(data, "complete", complete);
	evidence_await(arbiter, action, "review-approved", data);
}

static int
approve(struct client *client, const struct msg *m, struct seen *seen, struct error *err)
{
	struct arbiter *arbiter = client->arbiter;
	struct action *action = NULL;
	char comment[COMMENT_MAX], name[ROLE_NAME_MAX + 1];
	const char *role = NULL;
	int r = review_find(arbiter, m, seen, &action, err);
	if (r == 0)
		r = approve_allowed(client, seen, m, &role, err);
	if (r != 0)
		return r;
	struct store_approval approval = {
	    .role = role,
	    .uid = client->uid,
	    .name = person_name(client, name, sizeof(name)),
	    .at = clock_wall_ms(),
	    .comment = comment_of(m, comment, sizeof(comment)),
	    .conventional = is_requester(seen, client->uid),
	};
	bool complete = false;
	r = store_review_approve(
	    arbiter->store, seen->review_id, &approval, approval.at, &complete);
	if (r < 0)
		return approve_error(seen, r, err);
	if (complete)
		action_set_state(action, STATE_APPROVED);
	note_approval(arbiter, action, &approval, complete);
	if (complete)
		claim_approved(arbiter, action, approval.comment);
	review_changed(arbiter, seen->review_id);
	return 0;
}

int
on_review_approve(struct conn *conn, struct msg *m)
{
	struct client *client = conn_data(conn);
	struct seen seen = {.n_roles = 0};
	struct error err = {.code = ""};
	if (approve(client, m, &seen, &err) < 0)
		(void)conn_send_error(conn, m->serial, &err);
	else
		review_view_send(client, m->serial, seen.review_id);
	return 0;
}

/* ---- denying ---- */

/* Who has one of its roles may deny, and whoever asked may take it back. */
static bool
may_deny(const struct client *client, const struct seen *seen)
{
	if (is_requester(seen, client->uid) || client->uid == 0)
		return true;
	for (unsigned i = 0; i < seen->n_roles; i++)
		if (person_has_role(
			client->arbiter, client->uid, seen->roles[i], seen->self_approve))
			return true;
	return false;
}

static int
reject(struct client *client, const struct msg *m, struct seen *seen, struct error *err)
{
	struct action *action = NULL;
	char comment[COMMENT_MAX], name[ROLE_NAME_MAX + 1];
	int r = review_find(client->arbiter, m, seen, &action, err);
	if (r < 0)
		return r;
	if (!may_deny(client, seen))
		return error_set(err, EACCES, "review_not_yours",
		    "review %s: you (uid %u) have none of the roles that decide it",
		    seen->review_id, (unsigned)client->uid);
	r = action_end(client->arbiter, action, STATE_REJECTED, "review-denied",
	    comment_of(m, comment, sizeof(comment)), person_name(client, name, sizeof(name)));
	return r < 0 ? approve_error(seen, r, err) : 0;
}

int
on_review_deny(struct conn *conn, struct msg *m)
{
	struct client *client = conn_data(conn);
	struct seen seen = {.n_roles = 0};
	struct error err = {.code = ""};
	if (reject(client, m, &seen, &err) < 0)
		(void)conn_send_error(conn, m->serial, &err);
	else
		review_view_send(client, m->serial, seen.review_id);
	return 0;
}
