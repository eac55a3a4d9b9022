/* What the trials of one attack say together. Only an attack that succeeds where nothing holds it counts. */
#include "prove/prove.h"

static const char *const verdict_names[VERDICT_COUNT] = {
    [VERDICT_ENFORCED] = "enforced",
    [VERDICT_CONVENTIONAL] = "conventional",
    [VERDICT_WEAK] = "weak",
    [VERDICT_BREACHED] = "breached",
    [VERDICT_BROKEN] = "broken",
    [VERDICT_NO_CONTROL] = "no control",
    [VERDICT_NOT_TESTED] = "not tested",
};

static const char *const outcome_names[] = {
    [OUTCOME_NONE] = "not tried",
    [OUTCOME_SUCCEEDED] = "succeeded",
    [OUTCOME_HELD] = "held",
    [OUTCOME_CANNOT] = "cannot be tried",
    [OUTCOME_UNAVAILABLE] = "not available here",
    [OUTCOME_BROKEN] = "no answer",
};

const char *
verdict_name(enum verdict verdict)
{
	return verdict_names[verdict];
}

const char *
outcome_name(enum outcome outcome)
{
	return outcome_names[outcome];
}

/* An attack that succeeded without locks and then could not be tried with them proves nothing of them. */
static bool
unanswered(const struct finding *f)
{
	return f->outcome == OUTCOME_BROKEN || f->outcome == OUTCOME_NONE ||
	    f->outcome == OUTCOME_CANNOT;
}

void
verdict_reach(struct row *row)
{
	bool weak = false, complete = true,
	     broken = unanswered(&row->all) || row->all.outcome == OUTCOME_UNAVAILABLE;
	for (size_t i = 0; i < row->n_locks; i++) {
		broken |= unanswered(&row->only[i]);
		weak |= row->only[i].outcome == OUTCOME_SUCCEEDED;
		complete &= row->only[i].outcome != OUTCOME_UNAVAILABLE;
	}
	if (row->control.outcome == OUTCOME_NONE)
		row->verdict = VERDICT_NOT_TESTED;
	else if (row->control.outcome == OUTCOME_BROKEN)
		row->verdict = VERDICT_BROKEN;
	else if (row->control.outcome != OUTCOME_SUCCEEDED)
		row->verdict = VERDICT_NO_CONTROL;
	else if (row->all.outcome == OUTCOME_SUCCEEDED)
		row->verdict = row->attack->conventional != NULL && !complete ? VERDICT_CONVENTIONAL
									      : VERDICT_BREACHED;
	else if (broken)
		row->verdict = VERDICT_BROKEN;
	else
		row->verdict = weak ? VERDICT_WEAK : VERDICT_ENFORCED;
}

void
verdict_sum(struct prove *p)
{
	struct summary *sum = &p->summary;
	for (size_t i = 0; i < p->n_rows; i++) {
		const struct row *row = &p->rows[i];
		sum->attacks++;
		sum->counts[row->verdict]++;
		if (row->control.outcome == OUTCOME_SUCCEEDED)
			sum->controlled++;
	}
}

int
verdict_exit_code(const struct summary *sum)
{
	return sum->counts[VERDICT_BREACHED] + sum->counts[VERDICT_WEAK] +
			sum->counts[VERDICT_BROKEN] ==
		    0 &&
		sum->controlled > 0
	    ? 0
	    : 1;
}
