/* The action record: one effect that an agent asks for, from proposal to outcome.
 *
 * A record is one JSON object; it travels, is hashed and is recorded as the same canonical bytes.
 * Members (doc/action.md has the whole table):
 *
 *   id task sandbox tenant principal plan step   who and where; ids are UUIDv7
 *   kind target request                          what; request is the kind's canonical form
 *   digest                                       keyed hash of {kind, target, request}
 *   effect reversible impact opaque facts        what is known of it before it happens
 *   decision rule reasons risk policy            what was decided, by what
 *   approvals grant idempotency_key epoch        what it needs to go on
 *   state times outcome                          where it is
 *
 * Request forms:
 *   exec   {"program","resolved","argv":[],"cwd","env":[names]}
 *   net    {"host","port","protocol":"tcp"}
 *   http   {"scheme","host","port","method","path","query","headers":{},"body_bytes",
 *          "body_sha256"?}  headers: names in lower case; with "upgrade" what follows the answer is not
 *          HTTP, and not read; body_bytes -1: not known before (chunked)
 *   sql    {"database","text","statements":[{"verb","tables":[],"columns":[],"functions":[],"where":bool}]}
 *   tool   {"tool","arguments":{}}
 *   model  {"provider","model","tokens"}
 *   git    {"scheme"?,"host","port"?,"repository","operation":"fetch|push","refs":[{"name","force":bool,
 *          "delete":bool,"create"?,"old"?,"new"?}]}  scheme: https unless given; port: the scheme's
 *   file   {"operation":"read|write|delete|commit","paths":[],"bytes","content"?}
 *          content: SHA-256 of what is written, so that an approval is for these bytes
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "base/sha256.h"

enum action_kind {
	ACTION_EXEC,
	ACTION_NET,
	ACTION_HTTP,
	ACTION_SQL,
	ACTION_TOOL,
	ACTION_MODEL,
	ACTION_GIT,
	ACTION_FILE,
	ACTION_KINDS
};

enum action_effect { EFFECT_READ, EFFECT_WRITE, EFFECT_PRIVILEGED, EFFECTS };

enum action_state {
	STATE_PROPOSED,
	STATE_REVIEWING,
	STATE_APPROVED,
	STATE_CLAIMED,
	STATE_PERFORMING,
	STATE_SUCCEEDED,
	STATE_FAILED,
	STATE_UNKNOWN,
	STATE_COMPENSATING,
	STATE_COMPENSATED,
	STATE_DENIED,
	STATE_REJECTED,
	STATE_EXPIRED,
	STATE_REVOKED,
	STATE_INVALIDATED,
	ACTION_STATES
};

/* Names as they stand in records and policies; NULL for a value out of range. */
const char *action_kind_name(enum action_kind kind);
const char *action_effect_name(enum action_effect effect);
const char *action_state_name(enum action_state state);
/* The value of a name, or -EINVAL. */
int action_kind_parse(const char *name);
int action_effect_parse(const char *name);
int action_state_parse(const char *name);

/* Whether the design's state machine has the transition FROM → TO. */
bool action_can_go(enum action_state from, enum action_state to);
/* Whether no transition leaves STATE. */
bool action_is_final(enum action_state state);

/* Checks the shape of a proposal: kind, target, and the request's members, types and bounds.
 * 0, or -EINVAL with the field and the reason. */
int action_validate(const struct json *action, struct error *err) MUST_CHECK;

/* The keyed hash (HMAC-SHA-256) of the canonical {"kind","request","target"}, in hexadecimal.
 * 0, -EINVAL if one of them is missing, or -ENOMEM. */
int action_digest(
    const struct json *action, const uint8_t *key, size_t key_len, char ret[SHA256_HEX]) MUST_CHECK;
