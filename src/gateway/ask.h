/* One action of a guest's: proposed to the arbiter, decided, performed by us, settled. */
#pragma once

#include "gateway/gateway.h"

enum ask_state {
	ASK_PROPOSED, /* no answer yet */
	ASK_HELD,     /* people review it; another answer comes */
	ASK_GO,       /* allowed and claimed: to be performed now, then ask_settle */
	ASK_NO,       /* denied, or ended in another way */
	ASK_LOST,     /* the arbiter is gone: nothing is allowed */
};

struct ask;
/* At each answer; ask_state says which. May free ASK. */
typedef void ask_fn(struct ask *ask, void *data);

/* Proposes ACTION (taken), about BYTES long as text, for GUEST. NULL if it cannot be asked (then it must not be done).
 * FN is never called before this returns. */
struct ask *ask_new(struct guest *guest, struct json *action, size_t bytes, ask_fn *fn, void *data);
/* Ends it: a performed one as unknown, one that waits is withdrawn. Accepts NULL; returns NULL. */
struct ask *ask_free(struct ask *ask);
/* It was performed: STATE is "succeeded" or "failed", OUTCOME (taken) may be NULL. Frees ASK. */
void ask_settle(struct ask *ask, const char *state, struct json *outcome);

enum ask_state ask_state(const struct ask *ask);
const char *ask_action_id(const struct ask *ask);
/* The last verdict's body (MSG_NET_VERDICT); NULL before one. Borrowed. */
const struct json *ask_verdict(const struct ask *ask);
/* One line: why not. And the rule that would be needed; "" if nothing is known. */
const char *ask_reason(const struct ask *ask);
const char *ask_needed(const struct ask *ask);

int ask_on_verdict(struct conn *conn, struct msg *m);
/* Whether M answered a proposal of ours. */
bool ask_on_error(struct conn *conn, struct msg *m);
void ask_all_lost(struct gateway *gateway);
