/* A gateway that was taken over, against rf-arbiter: a real one, which we start, to which we are the supervisor, the ledger
 * and two gateways. Its locks: it decides by itself, and it knows whose sandbox and whose action each is. Open means: the
 * policy permits what is wanted; the sandbox is this gateway's. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/uuid.h"
#include "ipc/messages.h"
#include "prove/attacks/reach.h"
#include "prove/attacks/talk.h"

#define OURS 1
#define ANOTHER 2

static const char rules[] =
    "version: 1\n"
    "name: prove-arbiter\n"
    "rules:\n"
    "  - {name: web, why: what is permitted must work, allow: http, hosts: [" OPEN "],\n"
    "     methods: [GET], paths: [/public/**]}\n";
static const char more_rules[] =
    "  - {name: more, why: the decision is not the lock here, allow: http, hosts: [" OPEN "],\n"
    "     methods: [GET], paths: [/private/**]}\n";

struct bench {
	const struct fixtures *f;
	struct program arbiter;
	int ledger, gateway, another;
	int64_t records;
	bool settled;                                        /* the ledger heard of it */
	char policy[72], ours[UUID_TEXT], theirs[UUID_TEXT]; /* two sandboxes */
};

/* ---- the ledger ---- */

static void
hear_ledger(struct bench *b)
{
	struct msg m = MSG_INIT;
	if (msg_recv(b->ledger, 0, &m) != 1)
		finish(cannot("rf-arbiter ended"));
	b->settled |= strcmp(json_get_str(m.body, "event", ""), "settled") == 0;
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_int(body, "index", ++b->records);
	(void)json_set_str(
	    body, "hash", "0000000000000000000000000000000000000000000000000000000000000000");
	if (m.serial != 0 && msg_send(b->ledger, MSG_APPENDED, m.serial, body, NULL, 0) < 0)
		finish(cannot("rf-arbiter ended"));
	msg_done(&m);
}

/* What FD says next into RET, while the ledger acknowledges. False at its end, and once an action was settled. */
static bool
hear(struct bench *b, int fd, struct msg *ret)
{
	struct pollfd ready[] = {{.fd = fd, .events = POLLIN}, {.fd = b->ledger, .events = POLLIN}};
	for (;;) {
		if (poll(ready, 2, TALK_PATIENCE_MS) < 1)
			finish(cannot("rf-arbiter says nothing"));
		if (ready[1].revents != 0)
			hear_ledger(b);
		if (b->settled)
			return false;
		if (ready[0].revents != 0)
			return msg_recv(fd, 0, ret) == 1;
	}
}

/* Asks over FD; BODY is let go. The answer's type, or 0 at the end of the conversation; TYPE's bodies in RET. */
static unsigned
ask(struct bench *b, int fd, uint16_t type, struct json *body, int file, struct msg *ret)
{
	static uint32_t serial;
	bool sent = msg_send(fd, type, ++serial, body, &file, file >= 0) == 0;
	json_free(body);
	*ret = (struct msg)MSG_INIT;
	while (sent && hear(b, fd, ret)) {
		if (ret->serial == serial)
			return ret->type;
		msg_done(ret);
		*ret = (struct msg)MSG_INIT;
	}
	return 0;
}

/* The same, of what must be answered with WANTED. */
static void
demand(
    struct bench *b, uint16_t type, struct json *body, int file, unsigned wanted, struct msg *ret)
{
	struct error err = {.code = ""};
	unsigned got = ask(b, b->arbiter.supervisor, type, body, file, ret);
	if (got == wanted)
		return;
	if (got == MSG_ERROR)
		msg_error_read(ret->body, &err);
	errno = 0;
	finish(cannot(err.message[0] != 0 ? err.message : "rf-arbiter does not answer"));
}

/* ---- the bench ---- */

static void
show_policy(struct bench *b)
{
	struct msg m;
	struct json *body = json_new_object(), *policy = json_new_object();
	_cleanup_close_ int file = (int)syscall(SYS_memfd_create, "policy", MFD_CLOEXEC);
	bool good = file >= 0 && write(file, rules, strlen(rules)) > 0 &&
	    (!is_open(b->f, "decision") || write(file, more_rules, strlen(more_rules)) > 0);
	if (!good || lseek(file, 0, SEEK_SET) < 0)
		finish(cannot("no policy can be made"));
	(void)json_set_str(policy, "file", "prove.yaml");
	(void)json_set(body, "policy", policy);
	demand(b, MSG_POLICY_VIEW, body, file, MSG_POLICY_VIEWED, &m);
	(void)snprintf(b->policy, sizeof(b->policy), "%s", json_get_str(m.body, "policy", ""));
	msg_done(&m);
}

static void
open_sandbox(struct bench *b, char ret[UUID_TEXT], int gateway)
{
	struct msg m;
	char task[UUID_TEXT];
	struct json *body = json_new_object(), *policy = json_new_object();
	if (uuid7_new(ret) < 0 || uuid7_new(task) < 0)
		finish(cannot("no identifiers"));
	(void)json_set_str(policy, "hash", b->policy);
	(void)json_set(body, "policy", policy);
	(void)json_set_str(body, "sandbox", ret);
	(void)json_set_str(body, "task", task);
	(void)json_set_int(body, "requester_uid", (int64_t)getuid());
	(void)json_set_int(body, "gateway", gateway);
	demand(b, MSG_NET_OPEN, body, -1, MSG_OK, &m);
	msg_done(&m);
}

static struct bench
open_bench(const struct fixtures *f)
{
	struct bench b = {.f = f};
	int pair[2];
	_cleanup_close_ int listener = msg_listen(in_dir(f, "arbiter.sock"), 0600);
	if (listener < 0 || msg_pair(pair) < 0)
		finish(cannot("no sockets"));
	b.ledger = pair[0];
	b.arbiter = start_program(f, "rf-arbiter", "", listener, pair[1]);
	(void)close(pair[1]);
	b.gateway = introduce(&b.arbiter, "gateway", OURS);
	b.another = introduce(&b.arbiter, "gateway", ANOTHER);
	show_policy(&b);
	open_sandbox(&b, b.ours, OURS);
	open_sandbox(&b, b.theirs, ANOTHER);
	return b;
}

/* Proposes, as the gateway behind FD, one request of SANDBOX. What became of it: the id of an action that may be
 * performed now, in RET. */
static bool
propose(struct bench *b, int fd, const char *sandbox, const char *path, char ret[UUID_TEXT])
{
	struct msg m;
	struct json *body = json_new_object(), *action = json_new_object(),
		    *request = json_new_object();
	(void)json_set_str(request, "scheme", "https");
	(void)json_set_str(request, "host", OPEN);
	(void)json_set_int(request, "port", 443);
	(void)json_set_str(request, "method", "GET");
	(void)json_set_str(request, "path", path);
	(void)json_set_int(request, "body_bytes", 0);
	(void)json_set(request, "headers", json_new_object());
	(void)json_set_str(action, "kind", "http");
	(void)json_set_str(action, "target", "https://" OPEN);
	(void)json_set(action, "request", request);
	(void)json_set(body, "action", action);
	(void)json_set_str(body, "sandbox", sandbox);
	bool yes = ask(b, fd, MSG_NET_PROPOSE, body, -1, &m) == MSG_NET_VERDICT &&
	    strcmp(json_get_str(m.body, "state", ""), "performing") == 0;
	(void)snprintf(ret, UUID_TEXT, "%s", json_get_str(m.body, "action_id", ""));
	msg_done(&m);
	return yes;
}

static enum attack_result
conclude(struct bench *b, bool yes, const char *what, const char *why)
{
	bool lives = end_program(&b->arbiter);
	(void)close(b->ledger);
	(void)close(b->gateway);
	(void)close(b->another);
	errno = 0;
	if (yes)
		return answer(true, what);
	return lives ? held(why) : cannot("rf-arbiter ended");
}

/* ---- the attacks ---- */

static enum attack_result
propose_denied(const struct fixtures *f)
{
	char id[UUID_TEXT];
	struct bench b = open_bench(f);
	bool permitted = propose(&b, b.gateway, b.ours, "/public/x", id);
	if (!permitted)
		return cannot("what is permitted does not work either");
	return conclude(&b, propose(&b, b.gateway, b.ours, "/private/x", id),
	    "the arbiter said yes to what no rule permits", "denied");
}

static enum attack_result
propose_for_another(const struct fixtures *f)
{
	char id[UUID_TEXT];
	struct bench b = open_bench(f);
	const char *sandbox = is_open(f, "owner") ? b.ours : b.theirs;
	return conclude(&b, propose(&b, b.gateway, sandbox, "/public/x", id),
	    "an action in the name of another's sandbox", "refused");
}

static enum attack_result
settle_for_another(const struct fixtures *f)
{
	char id[UUID_TEXT];
	struct msg m = MSG_INIT;
	struct bench b = open_bench(f);
	bool own = is_open(f, "owner");
	if (!propose(&b, own ? b.gateway : b.another, own ? b.ours : b.theirs, "/public/x", id))
		return cannot("what is permitted does not work either");
	_cleanup_json_ struct json *body = json_new_object();
	(void)json_set_str(body, "action_id", id);
	(void)json_set_str(body, "state", "succeeded");
	(void)json_set(body, "outcome", json_new_object());
	if (msg_send(b.gateway, MSG_NET_SETTLE, 0, body, NULL, 0) == 0)
		(void)hear(&b, b.gateway, &m);
	msg_done(&m);
	return conclude(
	    &b, b.settled, "it wrote how another's action ended", "its conversation is ended");
}

#define NEEDS (ITS_OWN_LOCKS | NEEDS_PROGRAMS)

const struct attack arbiter_attacks[] = {
    {"propose_denied", BOUNDARY_TAKEOVER, "a gateway does what the policy denies", {LOCK_DECISION},
	.needs = NEEDS, .run = RUN(propose_denied)},
    {"propose_for_another", BOUNDARY_TAKEOVER, "a gateway acts for another's sandbox", {LOCK_BOUND},
	.needs = NEEDS, .run = RUN(propose_for_another)},
    {"settle_for_another", BOUNDARY_TAKEOVER, "a gateway says how another's action ended",
	{LOCK_BOUND}, .needs = NEEDS, .run = RUN(settle_for_another)},
    {0}};
