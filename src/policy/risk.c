/* Risk, part by part. Each part is a rule of its own: when it applies and what it says. */
#include "policy/risk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/patterns.h"

#define BULK_ROWS 1000
#define BULK_SHARE 10 /* a tenth of the table */

static int64_t
weight(int64_t chosen, int64_t usual)
{
	return chosen == FIELD_UNSET ? usual : chosen;
}

static void add_part(struct decision *d, const char *name, int64_t points, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

static void
add_part(struct decision *d, const char *name, int64_t points, const char *fmt, ...)
{
	if (points <= 0 || d->n_parts == RISK_PARTS_MAX)
		return;
	struct risk_part *part = &d->parts[d->n_parts++];
	part->name = name;
	part->points = (int)points;
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(part->reason, sizeof(part->reason), fmt, args);
	va_end(args);
	d->risk += (int)points;
}

static void
add_bulk(struct decision *d, const struct subject *s, int64_t points)
{
	if (s->rows_estimated > BULK_ROWS)
		add_part(d, "bulk", points, "about %lld rows", (long long)s->rows_estimated);
	else if (s->table_rows > 0 && s->rows_estimated > 0 &&
	    s->rows_estimated > s->table_rows / BULK_SHARE)
		add_part(d, "bulk", points, "%lld of the table's %lld rows",
		    (long long)s->rows_estimated, (long long)s->table_rows);
	else if (s->recursive)
		add_part(d, "bulk", points, "acts on a whole tree");
}

/* Raises *CLASS to that of NAME (a table or a path), and remembers whose it was. */
static void
raise_class(
    const struct risk_rules *risk, const char *name, bool path, int64_t *class, const char **whose)
{
	for (size_t i = 0; i < risk->data.n; i++) {
		const char *pattern = risk->data.names[i];
		if (risk->data.values[i] <= *class || (pattern[0] == '/') != path)
			continue;
		if (path ? path_match(pattern, name) : relation_touch(pattern, name)) {
			*class = risk->data.values[i];
			*whose = name;
		}
	}
}

static void
add_data(struct decision *d, const struct policy *policy, const struct subject *s)
{
	int64_t class = DATA_PUBLIC;
	const char *whose = NULL;
	const struct risk_rules *risk = &policy->risk;
	if (risk->data.n == 0)
		return;
	const struct json *statements = json_get(s->request, "statements");
	for (size_t i = 0; s->kind == ACTION_SQL && i < json_len(statements); i++) {
		const struct json *tables = json_get(json_at(statements, i), "tables");
		for (size_t t = 0; t < json_len(tables); t++)
			raise_class(risk, json_str(json_at(tables, t), ""), /* path= */ false,
			    &class, &whose);
	}
	const struct json *paths = json_get(s->request, "paths");
	for (size_t i = 0; s->kind == ACTION_FILE && i < json_len(paths); i++)
		raise_class(
		    risk, json_str(json_at(paths, i), ""), /* path= */ true, &class, &whose);
	const struct weights *w = &risk->weights;
	const int64_t points[] = {
	    0, weight(w->customer, 25), weight(w->financial, 30), weight(w->secret, 40)};
	if (whose != NULL)
		add_part(d, "data", points[class], "%s data: %.60s", class_names[class], whose);
}

static enum risk_band
band(int risk)
{
	return risk < 25 ? RISK_LOW
	    : risk < 50  ? RISK_MEDIUM
	    : risk < 80  ? RISK_HIGH
			 : RISK_CRITICAL;
}

void
risk_assess(
    const struct policy *policy, const struct subject *s, bool reversible, struct decision *ret)
{
	const struct weights *w = &policy->risk.weights;
	ret->risk = 0;
	ret->n_parts = 0;
	add_bulk(ret, s, weight(w->bulk, 30));
	add_data(ret, policy, s);
	if (s->effect != EFFECT_READ && !reversible)
		add_part(ret, "irreversible", weight(w->irreversible, 20), "cannot be taken back");
	if (s->first_seen)
		add_part(ret, "first-seen", weight(w->first_seen, 12),
		    "nothing like it was done before");
	if (s->opaque)
		add_part(ret, "opaque", weight(w->opaque, 30), "could not be fully understood");
	if (s->effect == EFFECT_PRIVILEGED)
		add_part(
		    ret, "privileged", weight(w->privileged, 25), "changes structure or rights");
	if (s->outside_hours)
		add_part(
		    ret, "outside-hours", weight(w->outside_hours, 5), "outside working hours");
	if (s->burst)
		add_part(ret, "burst", weight(w->burst, 10), "one of many at once");
	ret->risk = MIN(ret->risk, 100);
	ret->band = band(ret->risk);
}

/* ---- working hours ---- */

#define MINUTES_DAY (24 * 60)

bool
policy_outside_hours(const struct policy *policy, int64_t wall_ms)
{
	static const char *const days[] = {"thu", "fri", "sat", "sun", "mon", "tue", "wed"};
	const struct hours *hours = &policy->risk.hours;
	if (hours->from == FIELD_UNSET)
		return false;
	int64_t offset = hours->utc_offset_minutes == FIELD_UNSET ? 0 : hours->utc_offset_minutes;
	int64_t minutes = wall_ms / 60000 + offset;
	int64_t day = minutes / MINUTES_DAY, minute = minutes % MINUTES_DAY;
	if (minute < 0)
		minute += MINUTES_DAY, day--;
	/* 1970-01-01 was a Thursday. */
	const char *name = days[((day % 7) + 7) % 7];
	bool working = hours->days.mode == LIST_ITEMS ? list_has(&hours->days, name, text_same)
						      : name[0] != 's';
	return !working || minute < hours->from || minute >= hours->to;
}
