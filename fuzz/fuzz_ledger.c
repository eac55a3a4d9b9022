/* What rf-audit reads and rf-ledger writes, on arbitrary bytes: the canonical scanner must agree with
 * parsing and writing, redaction must keep canonical JSON canonical and be finished in one go, and the
 * parsers of records, notes, keys, checkpoints and frontiers must survive and give back what they
 * read. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "ledger/redact.h"
#include "ledgerfmt/canon.h"
#include "ledgerfmt/frontier.h"
#include "ledgerfmt/note.h"
#include "ledgerfmt/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
fixed_key(void *data, uint8_t ret[REDACT_KEY_BYTES])
{
	memset(ret, 1, REDACT_KEY_BYTES);
	return 0;
}

static bool
scanner_accepts(const char *text, size_t len)
{
	struct canon_member members[256];
	size_t n, at;
	const char *why;
	int r = canon_scan(text, len, members, ARRAY_LEN(members), &n, &why, &at);
	return r == 0 || r == -E2BIG;
}

static void
check_redaction(const char *text, size_t len)
{
	_cleanup_buf_ struct buf out, again;
	buf_init(&out, 64 * 1024 * 1024);
	buf_init(&again, 64 * 1024 * 1024);
	int n = redact_json(text, len, fixed_key, NULL, &out);
	assert(n >= 0 && (n > 0) == (out.len > 0));
	if (n > 0)
		assert(scanner_accepts(buf_str(&out), out.len));
}

static void
check_canonical(const char *text, size_t len)
{
	_cleanup_json_ struct json *v = NULL;
	_cleanup_buf_ struct buf out;
	buf_init(&out, 64 * 1024 * 1024);
	int r = json_parse(text, len, &v, NULL);
	bool expected = r == 0 && json_type(v) == JSON_OBJECT && json_write(v, &out) == 0 &&
	    out.len == len && memcmp(out.data, text, len) == 0;
	assert(scanner_accepts(text, len) == expected);
	if (expected)
		check_redaction(text, len);
	/* What arrives is written canonically first; redact that too. */
	else if (r == 0 && json_type(v) == JSON_OBJECT && out.len > 0)
		check_redaction(buf_str(&out), out.len);
}

static void
check_record(const char *text, size_t len)
{
	struct record r;
	const char *why;
	uint8_t prev[SHA256_BYTES];
	char event[RECORD_EVENT_MAX + 1] = "", task[RECORD_ID_MAX + 1] = "",
				      action[RECORD_ID_MAX + 1] = "";
	char hex[SHA256_HEX] = "";
	if (record_parse(text, len, &r, &why) < 0)
		return;
	memcpy(event, r.event, r.event_len);
	memcpy(hex, r.prev, SHA256_HEX - 1);
	assert(hex_decode(hex, sizeof(prev), prev) == 0);
	if (r.task != NULL)
		memcpy(task, r.task, r.task_len);
	if (r.action_id != NULL)
		memcpy(action, r.action_id, r.action_id_len);
	_cleanup_buf_ struct buf out;
	buf_init(&out, 64 * 1024 * 1024);
	assert(record_write(&out, r.seq, prev, r.time_ms, event, r.task != NULL ? task : NULL,
		   r.action_id != NULL ? action : NULL, r.data, r.data_len) == 0);
	assert(out.len == len && memcmp(out.data, text, len) == 0);
}

static void
check_note(const char *text, size_t len)
{
	struct note_key key = {.name = "k"}, parsed;
	struct checkpoint c;
	size_t body;
	size_t n = note_extent(text, len, &body);
	assert(n <= len && (n == 0 || body < n));
	assert(note_verify(text, len, &key) != 0); /* nobody has that key */
	if (n > 0)
		(void)!checkpoint_parse(text, body, &c);
	if (note_key_parse(text, len, &parsed) == 0) {
		_cleanup_buf_ struct buf out;
		buf_init(&out, 4096);
		assert(note_key_write(&parsed, &out) == 0);
		assert(memcmp(out.data, text, out.len) == 0);
	}
}

static void
check_frontier(const char *text, size_t len)
{
	struct frontier f, again;
	_cleanup_buf_ struct buf out;
	buf_init(&out, FRONTIER_BYTES_MAX);
	if (frontier_parse(text, len, &f) < 0)
		return;
	assert(frontier_write(&f, &out) == 0);
	assert(frontier_parse(buf_str(&out), out.len, &again) == 0);
	assert(again.tree.size == f.tree.size && again.offset == f.offset);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	check_canonical(text, size);
	check_record(text, size);
	check_note(text, size);
	check_frontier(text, size);
	return 0;
}
