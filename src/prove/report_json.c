/* The result for programs: doc/prove.md describes it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "prove/prove.h"

static struct json *
write_finding(const struct prove *p, const struct row *row, const struct finding *f, enum lock lock)
{
	struct json *o = json_new_object();
	struct means means = means_of(p, row->attack, lock);
	if (lock != LOCK_NONE) {
		(void)json_set_str(o, "lock", lock_name(lock));
		(void)json_set_str(o, "title", lock_title(lock));
	}
	if (means_note(&means) != NULL)
		(void)json_set_str(o, "with", means_note(&means));
	(void)json_set_str(o, "outcome", outcome_name(f->outcome));
	(void)json_set_str(o, "detail", f->detail);
	if (f->engaged != NULL)
		(void)json_set(o, "engaged", json_copy(f->engaged));
	return o;
}

static struct json *
write_row(const struct prove *p, const struct row *row)
{
	const struct attack *attack = row->attack;
	struct json *o = json_new_object(), *locks = json_new_array();
	(void)json_set_str(o, "name", attack->name);
	(void)json_set_str(o, "boundary", boundary_name(attack->boundary));
	(void)json_set_str(o, "title", attack->title);
	(void)json_set_str(o, "verdict", verdict_name(row->verdict));

	if (attack->conventional != NULL)
		(void)json_set_str(o, "conventional", attack->conventional);
	if (row->verdict == VERDICT_NOT_TESTED) {
		(void)json_set_str(o, "not_tested", row->not_tested);
	} else {
		(void)json_set(o, "control", write_finding(p, row, &row->control, LOCK_NONE));
		(void)json_set(o, "all", write_finding(p, row, &row->all, LOCK_NONE));
		json_unset(json_get(o, "all"), "with");
	}
	for (size_t i = 0; i < row->n_locks; i++)
		(void)json_push(locks, write_finding(p, row, &row->only[i], row->locks[i]));
	(void)json_set(o, "locks", locks);
	return o;
}

static struct json *
write_summary(const struct prove *p)
{
	const struct summary *sum = &p->summary;
	struct json *o = json_new_object();
	(void)json_set_int(o, "attacks", sum->attacks);
	(void)json_set_int(o, "controlled", sum->controlled);
	(void)json_set_int(o, "trials", sum->trials);
	(void)json_set_int(o, "took_ms", sum->took_ms);
	for (enum verdict v = 0; v < VERDICT_COUNT; v++)
		(void)json_set_int(o, verdict_name(v), sum->counts[v]);
	(void)json_set_bool(o, "proved", verdict_exit_code(sum) == 0);
	return o;
}

int
report_json(const struct prove *p)
{
	_cleanup_json_ struct json *root = json_new_object();
	_cleanup_buf_ struct buf out = {0};
	struct json *rows = json_new_array();
	struct utsname host;
	char now[32];
	clock_format(clock_wall_ms(), now);
	(void)uname(&host);
	(void)json_set_str(root, "ringfence", RINGFENCE_VERSION);
	(void)json_set_str(root, "at", now);
	(void)json_set_str(root, "kernel", host.release);
	(void)json_set_str(root, "as", p->root ? "root" : "user");
	for (size_t i = 0; i < p->n_rows; i++)
		(void)json_push(rows, write_row(p, &p->rows[i]));
	(void)json_set(root, "rows", rows);
	(void)json_set(root, "summary", write_summary(p));
	if (p->unused != NULL) {
		struct json *unused = NULL;
		if (json_parse(p->unused, strlen(p->unused), &unused, NULL) < 0)
			return -EBADMSG;
		(void)json_set(root, "unused", unused);
	}
	buf_init(&out, 8 << 20);
	if (json_write_pretty(root, &out) < 0)
		return -ENOMEM;
	(void)printf("%s\n", buf_str(&out));
	return 0;
}
