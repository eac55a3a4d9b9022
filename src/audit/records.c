/* See records.h. */
#include "audit/records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ledgerfmt/files.h"

#define SUMMARY_VALUE_MAX 60 /* bytes of one value */
#define SUMMARY_MAX 220

/* ---- walking ---- */

static int
each_line(struct reader *reader, uint32_t segment, record_fn *fn, void *data)
{
	struct line line;
	struct record record;
	const char *why;
	while (reader_next(reader, &line) == 1) {
		if (record_parse(line.text, line.len, &record, &why) < 0) {
			(void)fprintf(stderr,
			    "ringfence audit: segment %08u, byte %lld: not a record (%s); run "
			    "`ringfence audit verify`\n",
			    segment, (long long)line.offset, why);
			continue;
		}
		int r = fn(data, segment, &line, &record);
		if (r != 0)
			return r;
	}
	return 0;
}

int
records_each(
    int dir_fd, uint32_t first, int64_t offset, record_fn *fn, void *data, struct error *err)
{
	uint32_t lowest, last, count;
	int r = segment_range(dir_fd, &lowest, &last, &count);
	if (r <= 0)
		return r == 0 ? 0
			      : error_set_errno(err, -r, "unreadable", "cannot read the ledger");
	for (uint32_t n = MAX(first, lowest); n <= last; n++) {
		struct reader reader;
		r = reader_open(&reader, dir_fd, n, n == first ? offset : 0);
		if (r == -ENOENT)
			continue; /* verification's matter */
		if (r < 0)
			return error_set_errno(
			    err, -r, "unreadable", "cannot read segment %08u", n);
		r = each_line(&reader, n, fn, data);
		reader_done(&reader);
		if (r != 0)
			return r;
	}
	return 0;
}

int
record_read(
    int dir_fd, uint32_t segment, int64_t offset, size_t len, struct buf *out, struct record *ret)
{
	char name[SEGMENT_NAME_BYTES];
	const char *why;
	segment_name(segment, name);
	buf_clear(out);
	uint8_t *at = len > RECORD_LINE_MAX ? NULL : buf_reserve(out, len);
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (at == NULL || fd < 0)
		return at == NULL ? -EMSGSIZE : -errno;
	int r = files_pread_all(fd, at, len, offset);
	if (r < 0)
		return r;
	buf_grew(out, len);
	return record_parse(buf_str(out), len, ret, &why);
}

/* ---- showing ---- */

void
add_escaped(struct buf *out, const char *text, size_t len)
{
	/* In pieces that do not cut a UTF-8 sequence; log_escape makes at most 12 bytes of one. */
	while (len > 0) {
		char piece[64 * 12 + 16];
		size_t n = MIN(len, (size_t)64);
		while (n < len && n > 60 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
		log_escape(text, n, piece, sizeof(piece));
		(void)buf_add_str(out, piece);
		text += n;
		len -= n;
	}
}

/* As add_escaped, at most MAX bytes of TEXT, with "…" for the rest. */
static void
add_clipped(struct buf *out, const char *text, size_t len, size_t max)
{
	size_t n = MIN(len, max);
	while (n < len && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	add_escaped(out, text, n);
	if (n < len)
		(void)buf_add_str(out, "…");
}

const char *
record_decision(const struct json *data)
{
	const struct json *decision = json_get(data, "decision");
	return json_str(decision, json_get_str(decision, "decision", ""));
}

static void
add_pair(struct buf *out, const char *name, const struct json *value)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 1024 * 1024);
	(void)buf_add_char(out, ' ');
	add_clipped(out, name, strlen(name), SUMMARY_VALUE_MAX);
	(void)buf_add_char(out, '=');
	if (json_type(value) == JSON_STRING) {
		add_clipped(out, json_str(value, ""), json_str_len(value), SUMMARY_VALUE_MAX);
		return;
	}
	if (json_write(value, &text) == 0)
		add_clipped(out, buf_str(&text), text.len, SUMMARY_VALUE_MAX);
}

/* What matters of DATA: the decision and its rule, what it was about, then whatever is short. */
static void
add_data_summary(struct buf *out, const struct json *data)
{
	static const char *const first[] = {"kind", "target", "state", "reason"};
	const struct json *decision = json_get(data, "decision");
	size_t start = out->len;
	if (record_decision(data)[0] != 0) {
		(void)buf_add_char(out, ' ');
		add_escaped(out, record_decision(data), strlen(record_decision(data)));
		const char *rule = json_get_str(decision, "rule", NULL);
		if (rule != NULL) {
			(void)buf_add_str(out, " by ");
			add_clipped(out, rule, strlen(rule), SUMMARY_VALUE_MAX);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(first); i++)
		if (json_get(data, first[i]) != NULL)
			add_pair(out, first[i], json_get(data, first[i]));
	for (size_t i = 0; i < json_len(data) && out->len - start < SUMMARY_MAX; i++) {
		const char *name = json_name_at(data, i);
		bool shown = strcmp(name, "decision") == 0;
		for (size_t k = 0; k < ARRAY_LEN(first); k++)
			shown |= strcmp(name, first[k]) == 0;
		enum json_type type = json_type(json_at(data, i));
		if (!shown && type != JSON_OBJECT && type != JSON_ARRAY)
			add_pair(out, name, json_at(data, i));
	}
}

void
add_summary(struct buf *out, const struct record *record)
{
	char when[32];
	_cleanup_json_ struct json *data = NULL;
	clock_format(record->time_ms, when);
	(void)buf_addf(out, "%6llu %s %-16.*s", (unsigned long long)record->seq, when,
	    (int)record->event_len, record->event);
	if (record->action_id != NULL)
		(void)buf_addf(out, " %.*s", (int)record->action_id_len, record->action_id);
	else if (record->task != NULL)
		(void)buf_addf(out, " task %.*s", (int)record->task_len, record->task);
	if (json_parse(record->data, record->data_len, &data, NULL) == 0)
		add_data_summary(out, data);
	(void)buf_add_char(out, '\n');
}

/* Lines of TEXT, each escaped and indented. */
static void
add_indented(struct buf *out, const char *text, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline == NULL ? len : (size_t)(newline - text);
		(void)buf_add_str(out, "  ");
		add_escaped(out, text, n);
		(void)buf_add_char(out, '\n');
		n += newline != NULL;
		text += n;
		len -= n;
	}
}

void
add_full(struct buf *out, const struct record *record)
{
	char when[32];
	_cleanup_json_ struct json *data = NULL;
	_cleanup_buf_ struct buf pretty;
	buf_init(&pretty, 16 * 1024 * 1024);
	clock_format(record->time_ms, when);
	(void)buf_addf(out, "record %llu  %s  %.*s\n", (unsigned long long)record->seq, when,
	    (int)record->event_len, record->event);
	if (record->action_id != NULL)
		(void)buf_addf(
		    out, "  action  %.*s\n", (int)record->action_id_len, record->action_id);
	if (record->task != NULL)
		(void)buf_addf(out, "  task    %.*s\n", (int)record->task_len, record->task);
	(void)buf_addf(out, "  follows %.64s\n", record->prev);
	if (json_parse(record->data, record->data_len, &data, NULL) == 0 &&
	    json_write_pretty(data, &pretty) == 0)
		add_indented(out, buf_str(&pretty), pretty.len);
}

void
add_raw(struct buf *out, const char *line, size_t len)
{
	(void)buf_add(out, line, len);
	(void)buf_add_char(out, '\n');
}
