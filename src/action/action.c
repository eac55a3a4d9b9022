/* The action record: names, state machine, shape and digest. Pure.
 *
 *     proposed ──▶ reviewing ──▶ approved ──▶ claimed ──▶ performing ──▶ succeeded | failed | unknown
 *         │            │             │            │            │               │
 *         ▼            ▼             ▼            ▼            ▼               ▼
 *      denied      rejected …     expired …    revoked …    revoked      compensating ──▶ compensated
 *
 * The table below is the whole machine; nobody writes a state that it does not allow. */
#include "action/action.h"

#include <errno.h>
#include <string.h>

#define TO(state) (1U << (state))

static const char *const kind_names[ACTION_KINDS] = {
    [ACTION_EXEC] = "exec",
    [ACTION_NET] = "net",
    [ACTION_HTTP] = "http",
    [ACTION_SQL] = "sql",
    [ACTION_TOOL] = "tool",
    [ACTION_MODEL] = "model",
    [ACTION_GIT] = "git",
    [ACTION_FILE] = "file",
};

static const char *const effect_names[EFFECTS] = {
    [EFFECT_READ] = "read",
    [EFFECT_WRITE] = "write",
    [EFFECT_PRIVILEGED] = "privileged",
};

static const char *const state_names[ACTION_STATES] = {
    [STATE_PROPOSED] = "proposed",
    [STATE_REVIEWING] = "reviewing",
    [STATE_APPROVED] = "approved",
    [STATE_CLAIMED] = "claimed",
    [STATE_PERFORMING] = "performing",
    [STATE_SUCCEEDED] = "succeeded",
    [STATE_FAILED] = "failed",
    [STATE_UNKNOWN] = "unknown",
    [STATE_COMPENSATING] = "compensating",
    [STATE_COMPENSATED] = "compensated",
    [STATE_DENIED] = "denied",
    [STATE_REJECTED] = "rejected",
    [STATE_EXPIRED] = "expired",
    [STATE_REVOKED] = "revoked",
    [STATE_INVALIDATED] = "invalidated",
};

static const unsigned next_states[ACTION_STATES] = {
    [STATE_PROPOSED] =
	TO(STATE_REVIEWING) | TO(STATE_APPROVED) | TO(STATE_DENIED) | TO(STATE_REVOKED),
    [STATE_REVIEWING] = TO(STATE_APPROVED) | TO(STATE_REJECTED) | TO(STATE_EXPIRED) |
	TO(STATE_REVOKED) | TO(STATE_INVALIDATED) | TO(STATE_DENIED),
    [STATE_APPROVED] = TO(STATE_CLAIMED) | TO(STATE_EXPIRED) | TO(STATE_REVOKED) |
	TO(STATE_INVALIDATED) |
	TO(STATE_DENIED), /* what it needs cannot be had: a credential that is not granted */
    [STATE_CLAIMED] = TO(STATE_PERFORMING) | TO(STATE_REVOKED) | TO(STATE_UNKNOWN),
    [STATE_PERFORMING] =
	TO(STATE_SUCCEEDED) | TO(STATE_FAILED) | TO(STATE_UNKNOWN) | TO(STATE_REVOKED),
    [STATE_SUCCEEDED] = TO(STATE_COMPENSATING),
    [STATE_FAILED] = TO(STATE_COMPENSATING),
    [STATE_UNKNOWN] = TO(STATE_COMPENSATING),
    [STATE_COMPENSATING] = TO(STATE_COMPENSATED) | TO(STATE_FAILED) | TO(STATE_UNKNOWN),
};

/* ---- names and states ---- */

static int
name_index(const char *const *names, int n, const char *name)
{
	for (int i = 0; name != NULL && i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -EINVAL;
}

const char *
action_kind_name(enum action_kind kind)
{
	return (unsigned)kind < ACTION_KINDS ? kind_names[kind] : NULL;
}

const char *
action_effect_name(enum action_effect effect)
{
	return (unsigned)effect < EFFECTS ? effect_names[effect] : NULL;
}

const char *
action_state_name(enum action_state state)
{
	return (unsigned)state < ACTION_STATES ? state_names[state] : NULL;
}

int
action_kind_parse(const char *name)
{
	return name_index(kind_names, ACTION_KINDS, name);
}

int
action_effect_parse(const char *name)
{
	return name_index(effect_names, EFFECTS, name);
}

int
action_state_parse(const char *name)
{
	return name_index(state_names, ACTION_STATES, name);
}

bool
action_can_go(enum action_state from, enum action_state to)
{
	return (unsigned)from < ACTION_STATES && (unsigned)to < ACTION_STATES &&
	    (next_states[from] & TO(to)) != 0;
}

bool
action_is_final(enum action_state state)
{
	return (unsigned)state < ACTION_STATES && next_states[state] == 0;
}

/* ---- digest ---- */

int
action_digest(const struct json *action, const uint8_t *key, size_t key_len, char ret[SHA256_HEX])
{
	static const char *const names[] = {"kind", "request", "target"}; /* canonical order */
	_cleanup_buf_ struct buf text;
	buf_init(&text, SIZE_MAX / 2);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct json *value = json_get(action, names[i]);
		if (value == NULL)
			return -EINVAL;
		(void)buf_addf(&text, "%s\"%s\":", i == 0 ? "{" : ",", names[i]);
		int r = json_write(value, &text);
		if (r < 0)
			return -ENOMEM;
	}
	(void)buf_add_char(&text, '}');
	if (buf_failed(&text))
		return -ENOMEM;
	uint8_t digest[SHA256_BYTES];
	hmac_sha256(key, key_len, text.data, text.len, digest);
	hex_encode(digest, sizeof(digest), ret);
	return 0;
}
