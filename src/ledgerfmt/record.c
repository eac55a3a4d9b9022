/* See record.h. The members are few and their order is fixed, so writing is concatenation and reading
 * is the canonical scan followed by a walk over its spans. */
#include "ledgerfmt/record.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "ledgerfmt/canon.h"

static bool
chars_valid(const char *text, size_t len, size_t max, bool upper)
{
	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
		    c == '_' || c == '-' || (upper && ((c >= 'A' && c <= 'Z') || c == ':'));
		if (!ok)
			return false;
	}
	return true;
}

bool
record_event_valid(const char *text, size_t len)
{
	return chars_valid(text, len, RECORD_EVENT_MAX, /* upper= */ false);
}

bool
record_id_valid(const char *text, size_t len)
{
	return chars_valid(text, len, RECORD_ID_MAX, /* upper= */ true);
}

static void
add_number(struct buf *out, uint64_t value)
{
	char digits[24];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	(void)buf_add(out, digits + at, sizeof(digits) - at);
}

int
record_write(struct buf *out, uint64_t seq, const uint8_t prev[SHA256_BYTES], int64_t time_ms,
    const char *event, const char *task, const char *action_id, const char *data, size_t data_len)
{
	char hex[SHA256_HEX], when[32];
	if (!record_event_valid(event, strlen(event)) ||
	    (task != NULL && !record_id_valid(task, strlen(task))) ||
	    (action_id != NULL && !record_id_valid(action_id, strlen(action_id))))
		return -EINVAL;
	hex_encode(prev, SHA256_BYTES, hex);
	clock_format(time_ms, when);
	(void)buf_add_char(out, '{');
	if (action_id != NULL) {
		(void)buf_add_str(out, "\"action_id\":\"");
		(void)buf_add_str(out, action_id);
		(void)buf_add_str(out, "\",");
	}
	(void)buf_add_str(out, "\"data\":");
	(void)buf_add(out, data, data_len);
	(void)buf_add_str(out, ",\"event\":\"");
	(void)buf_add_str(out, event);
	(void)buf_add_str(out, "\",\"prev\":\"");
	(void)buf_add(out, hex, SHA256_HEX - 1);
	(void)buf_add_str(out, "\",\"seq\":");
	add_number(out, seq);
	if (task != NULL) {
		(void)buf_add_str(out, ",\"task\":\"");
		(void)buf_add_str(out, task);
		(void)buf_add_char(out, '"');
	}
	(void)buf_add_str(out, ",\"time\":\"");
	(void)buf_add_str(out, when);
	(void)buf_add_str(out, "\",\"v\":1}");
	return buf_failed(out) ? -EMSGSIZE : 0;
}

/* Takes the next member if it is NAME; NULL otherwise. */
static const struct canon_member *
take(const struct canon_member **at, const struct canon_member *end, const char *name)
{
	const struct canon_member *m = *at;
	if (m >= end || m->name_len != strlen(name) || memcmp(m->name, name, m->name_len) != 0)
		return NULL;
	*at = m + 1;
	return m;
}

/* The text between the quotes of M; false if M is not a string. */
static bool
text_of(const struct canon_member *m, const char **ret, size_t *ret_len)
{
	if (m == NULL || m->value_len < 2 || m->value[0] != '"')
		return false;
	*ret = m->value + 1;
	*ret_len = m->value_len - 2;
	return true;
}

/* The digits of M, which the scan has bounded; false if M is not a natural number. */
static bool
number_of(const struct canon_member *m, uint64_t *ret)
{
	if (m == NULL || m->value[0] < '0' || m->value[0] > '9')
		return false;
	uint64_t value = 0;
	for (size_t i = 0; i < m->value_len; i++)
		value = value * 10 + (uint64_t)(m->value[i] - '0');
	*ret = value;
	return true;
}

static unsigned
two(const char *p)
{
	unsigned tens = (unsigned char)p[0] - '0', ones = (unsigned char)p[1] - '0';
	return tens > 9 || ones > 9 ? 1000 : tens * 10 + ones;
}

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar. */
static int64_t
days_from_civil(int64_t year, unsigned month, unsigned day)
{
	static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int64_t y = year - 1;
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400 - 719162;
	return days + before[month - 1] + (is_leap(year) && month > 2) + (int64_t)day - 1;
}

static unsigned
days_in_month(int64_t year, unsigned month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	return days[month - 1] + (unsigned)(month == 2 && is_leap(year));
}

/* Exactly what clock_format writes from 1970 on: "2026-01-31T09:30:00.125Z". By hand, since it is read
 * once for each record of a history. */
static bool
time_of(const struct canon_member *m, int64_t *ret_ms)
{
	const char *t;
	size_t len;
	if (!text_of(m, &t, &len) || len != 24 || t[4] != '-' || t[7] != '-' || t[10] != 'T' ||
	    t[13] != ':' || t[16] != ':' || t[19] != '.' || t[23] != 'Z')
		return false;
	unsigned century = two(t), year = two(t + 2), month = two(t + 5), day = two(t + 8);
	unsigned hour = two(t + 11), minute = two(t + 14), second = two(t + 17), ms = two(t + 20);
	unsigned last = (unsigned char)t[22] - '0';
	if (century > 99 || year > 99 || month < 1 || month > 12 || hour > 23 || minute > 59 ||
	    second > 59 || ms > 99 || last > 9)
		return false;
	int64_t full = (int64_t)century * 100 + year;
	if (full < 1970 || day < 1 || day > days_in_month(full, month))
		return false;
	int64_t days = days_from_civil(full, month, day);
	*ret_ms = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms * 10 + last;
	return true;
}

static bool
prev_of(const struct canon_member *m, const char **ret)
{
	const char *text;
	size_t len;
	if (!text_of(m, &text, &len) || len != SHA256_HEX - 1)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	*ret = text;
	return true;
}

/* An optional id: absent is fine, malformed is not. */
static bool
id_of(const struct canon_member *m, const char **ret, size_t *ret_len)
{
	if (m == NULL)
		return true;
	return text_of(m, ret, ret_len) && record_id_valid(*ret, *ret_len);
}

int
record_parse(const char *line, size_t len, struct record *ret, const char **ret_why)
{
	struct canon_member members[8];
	const struct canon_member *at = members, *end;
	struct record r = {0};
	size_t n = 0, where;
	uint64_t version;
	int error = canon_scan(line, len, members, ARRAY_LEN(members), &n, ret_why, &where);
	if (error == -E2BIG)
		*ret_why = "unknown members";
	if (error < 0)
		return -EINVAL;
	end = members + n;
	*ret_why = NULL;
	if (!id_of(take(&at, end, "action_id"), &r.action_id, &r.action_id_len))
		*ret_why = "malformed action_id";
	const struct canon_member *data = take(&at, end, "data");
	if (data == NULL || data->value[0] != '{')
		*ret_why = "data is missing or not an object";
	if (!text_of(take(&at, end, "event"), &r.event, &r.event_len) ||
	    !record_event_valid(r.event, r.event_len))
		*ret_why = "event is missing or malformed";
	if (!prev_of(take(&at, end, "prev"), &r.prev))
		*ret_why = "prev is missing or malformed";
	if (!number_of(take(&at, end, "seq"), &r.seq))
		*ret_why = "seq is missing or malformed";
	if (!id_of(take(&at, end, "task"), &r.task, &r.task_len))
		*ret_why = "malformed task";
	if (!time_of(take(&at, end, "time"), &r.time_ms))
		*ret_why = "time is missing or malformed";
	if (!number_of(take(&at, end, "v"), &version) || version != RECORD_VERSION)
		*ret_why = "a version that this program does not know";
	if (*ret_why == NULL && at != end)
		*ret_why = "unknown members";
	if (*ret_why != NULL)
		return -EINVAL;
	r.data = data->value;
	r.data_len = data->value_len;
	*ret = r;
	return 0;
}
