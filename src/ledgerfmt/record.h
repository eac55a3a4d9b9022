/* One record of the ledger: a line of canonical JSON (doc/ledger.md).
 *
 *   {"action_id"?,"data":{…},"event":…,"prev":…,"seq":N,"task"?,"time":…,"v":1}
 *
 * `prev` is the leaf hash of the record before (64 zeros for the first), so that one hash serves the
 * chain and the Merkle tree. `seq` starts at 0 and is the record's index in the tree. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"

#define RECORD_VERSION 1
/* Longest line, without its newline. A message's body is bounded by MSG_BODY_MAX; redaction can make
 * its data longer, by less than this. */
#define RECORD_LINE_MAX (512 * 1024)
#define RECORD_EVENT_MAX 64 /* bytes of an event name */
#define RECORD_ID_MAX 64    /* bytes of a task or action id */

/* What a line says. Spans are borrowed from the line; not NUL-terminated. */
struct record {
	uint64_t seq;
	int64_t time_ms;
	const char *prev; /* SHA256_HEX - 1 digits */
	const char *event;
	size_t event_len;
	const char *task; /* NULL if absent */
	size_t task_len;
	const char *action_id; /* NULL if absent */
	size_t action_id_len;
	const char *data; /* the object's bytes */
	size_t data_len;
};

/* Event: 1 to RECORD_EVENT_MAX of [a-z0-9._-]. Id: 1 to RECORD_ID_MAX of [A-Za-z0-9._:-]. */
bool record_event_valid(const char *text, size_t len);
bool record_id_valid(const char *text, size_t len);

/* Appends the line of a record, without a newline, to OUT. TASK and ACTION_ID may be NULL; DATA is a
 * canonical object. 0, -EINVAL (a name that is not valid), -EMSGSIZE or -ENOMEM. */
int record_write(struct buf *out, uint64_t seq, const uint8_t prev[SHA256_BYTES], int64_t time_ms,
    const char *event, const char *task, const char *action_id, const char *data, size_t data_len)
    MUST_CHECK;

/* Reads LINE (without a newline), which must be exactly what record_write writes. 0, or -EINVAL with
 * the reason in *RET_WHY (static). */
int record_parse(const char *line, size_t len, struct record *ret, const char **ret_why) MUST_CHECK;
