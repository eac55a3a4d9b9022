/* The result for a terminal: a table for each boundary, what needs attention, and the sum. */
#include <stdio.h>
#include <string.h>

#include "prove/prove.h"

struct style {
	const char *good, *bad, *dim, *bold, *off;
};

static struct style
choose_style(void)
{
	const char *none = getenv("NO_COLOR");
	bool colour = isatty(STDOUT_FILENO) == 1 && (none == NULL || none[0] == 0);
	return colour ? (struct style){"\033[32m", "\033[31m", "\033[2m", "\033[1m", "\033[0m"}
		      : (struct style){"", "", "", "", ""};
}

/* ---- one row ---- */

static const char *
verdict_colour(const struct style *s, enum verdict verdict)
{
	if (verdict == VERDICT_ENFORCED)
		return s->good;
	if (verdict == VERDICT_CONVENTIONAL)
		return s->bold;
	return verdict == VERDICT_NOT_TESTED || verdict == VERDICT_NO_CONTROL ? s->dim : s->bad;
}

static const char *
verdict_text(const struct row *row)
{
	return row->verdict == VERDICT_BREACHED ? "NOT HELD" : verdict_name(row->verdict);
}

/* "seccomp ✓", "user-ns ✗", "watch –": held alone, did not, could not be had here. */
static void
print_lock(const struct style *s, const struct row *row, size_t i)
{
	const struct finding *f = &row->only[i];
	const char *mark = f->outcome == OUTCOME_HELD ? "✓"
	    : f->outcome == OUTCOME_SUCCEEDED         ? "✗"
	    : f->outcome == OUTCOME_UNAVAILABLE       ? "–"
						      : "?";
	const char *colour = f->outcome == OUTCOME_HELD ? s->good
	    : f->outcome == OUTCOME_UNAVAILABLE         ? s->dim
							: s->bad;
	(void)printf("  %s%s%s %s", colour, mark, s->off, lock_name(row->locks[i]));
}

static void
print_row(const struct style *s, const struct row *row)
{
	bool tried = row->verdict != VERDICT_NOT_TESTED && row->verdict != VERDICT_NO_CONTROL;
	(void)printf("  %s%-12s%s  %-26s  %s%s%s\n", verdict_colour(s, row->verdict),
	    verdict_text(row), s->off, row->attack->name, tried ? "" : s->dim, row->attack->title,
	    tried ? "" : s->off);
	if (!tried || row->n_locks == 0)
		return;
	(void)printf("  %-12s  %-26s", "", "");
	for (size_t i = 0; i < row->n_locks; i++)
		print_lock(s, row, i);
	(void)printf("\n");
}

/* ---- what needs attention ---- */

static void
print_finding(const struct row *row, const char *where, const struct finding *f)
{
	(void)printf("  %-26s  %-28s  %s%s%s\n", row->attack->name, where, outcome_name(f->outcome),
	    f->detail[0] != 0 ? ": " : "", f->detail);
}

static bool
needs_attention(const struct finding *f)
{
	return f->outcome == OUTCOME_SUCCEEDED || f->outcome == OUTCOME_BROKEN ||
	    f->outcome == OUTCOME_CANNOT;
}

static void
print_attention(const struct row *row)
{
	char where[64];
	if (row->verdict == VERDICT_NOT_TESTED) {
		(void)printf(
		    "  %-26s  %-28s  %s\n", row->attack->name, "not tested here", row->not_tested);
		return;
	}
	if (row->control.outcome != OUTCOME_SUCCEEDED) {
		print_finding(row, "without locks", &row->control);
		return;
	}
	for (size_t i = 0; i < row->n_locks; i++) {
		(void)snprintf(where, sizeof(where), "with %s alone", lock_name(row->locks[i]));
		if (needs_attention(&row->only[i]) || row->only[i].outcome == OUTCOME_UNAVAILABLE)
			print_finding(row, where, &row->only[i]);
	}
	if (row->all.outcome != OUTCOME_HELD)
		print_finding(row, "in the sandbox", &row->all);
	if (row->verdict == VERDICT_CONVENTIONAL)
		(void)printf("  %-26s  %-28s  %s\n", row->attack->name, "conventional",
		    row->attack->conventional);
}

static void
print_summary(const struct prove *p, const struct style *s)
{
	const struct summary *sum = &p->summary;
	bool good = verdict_exit_code(sum) == 0;
	(void)printf("\n%s%s%u of %u controlled attacks held%s by the sandbox and by each lock "
		     "named for them, as %s.\n",
	    s->bold, good ? s->good : s->bad, sum->counts[VERDICT_ENFORCED], sum->controlled,
	    s->off, p->root ? "root" : "an ordinary user");
	(void)printf("%u attacks, %u trials, %lld.%lld s.", sum->attacks, sum->trials,
	    (long long)(sum->took_ms / 1000), (long long)(sum->took_ms % 1000 / 100));
	for (enum verdict v = VERDICT_CONVENTIONAL; v < VERDICT_COUNT; v++)
		if (sum->counts[v] > 0)
			(void)printf(" %u %s.", sum->counts[v], verdict_name(v));
	(void)printf("%s\n",
	    p->root || sum->counts[VERDICT_NOT_TESTED] == 0
		? ""
		: " Most of what is not tested only the host's root could do.");
	if (p->unused != NULL)
		(void)printf("\n%sWhat no action has needed%s\n%s", s->bold, s->off, p->unused);
}

/* Nothing to say of it but what the table says. */
static bool
is_plain(const struct prove *p, const struct row *row)
{
	if (row->verdict == VERDICT_NOT_TESTED)
		return !p->root && (row->attack->needs & NEEDS_ROOT) != 0;
	for (size_t i = 0; i < row->n_locks; i++)
		if (row->only[i].outcome != OUTCOME_HELD)
			return false;
	return row->verdict == VERDICT_ENFORCED;
}

void
report_text(const struct prove *p)
{
	struct style s = choose_style();
	int boundary = -1;
	bool attention = false;
	for (size_t i = 0; i < p->n_rows; i++) {
		const struct row *row = &p->rows[i];
		if ((int)row->attack->boundary != boundary) {
			boundary = (int)row->attack->boundary;
			(void)printf("%s%s%s%s\n", i == 0 ? "" : "\n", s.bold,
			    boundary_name(row->attack->boundary), s.off);
		}
		print_row(&s, row);
	}
	(void)printf("\n✓ holds it alone   ✗ does not   – not available here\n");
	for (size_t i = 0; i < p->n_rows; i++) {
		const struct row *row = &p->rows[i];
		if (is_plain(p, row))
			continue;
		if (!attention)
			(void)printf("\n%sTo look at%s\n", s.bold, s.off);
		attention = true;
		print_attention(row);
	}
	print_summary(p, &s);
}

void
report_list(const struct prove *p)
{
	for (size_t i = 0; i < p->n_rows; i++) {
		const struct row *row = &p->rows[i];
		(void)printf("%-16s %-26s %s", boundary_name(row->attack->boundary),
		    row->attack->name, row->attack->title);
		for (size_t k = 0; k < row->n_locks; k++)
			(void)printf("%s%s", k == 0 ? "  [" : " ", lock_name(row->locks[k]));
		(void)printf("%s\n", row->n_locks > 0 ? "]" : "");
	}
}
