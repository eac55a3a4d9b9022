/* All trials of all rows, a few at a time. Each is independent of the others and of their order. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "prove/trial.h"

struct pending {
	struct row *row;
	enum place place;
	enum lock lock;
	struct finding *finding;
	bool again; /* the second time */
};

struct queue {
	struct prove *p;
	struct pending *items; /* owned */
	struct trial *live[JOBS_MAX];
	struct pending *of[JOBS_MAX]; /* what each of them tries */
	size_t n, next, done, running;
	int error;
};

static void fill(struct queue *q);

static void
show_progress(const struct queue *q)
{
	const struct options *o = &q->p->options;
	if (o->quiet || isatty(STDERR_FILENO) != 1)
		return;
	(void)fprintf(
	    stderr, "\r%zu of %zu trials%s", q->done, q->n, q->done == q->n ? "\r\033[K" : "");
	(void)fflush(stderr);
}

/* No answer says nothing about a lock, but something about a machine that is too busy: once more. */
static void
try_again(struct queue *q, const struct pending *item)
{
	if (item->finding->outcome != OUTCOME_BROKEN || item->again)
		return;
	q->items[q->n] = *item;
	q->items[q->n++].again = true;
}

static void
on_done(struct trial *trial, void *data)
{
	struct queue *q = data;
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (q->live[i] == trial) {
			q->live[i] = NULL;
			try_again(q, q->of[i]);
		}
	q->running--;
	q->done++;
	show_progress(q);
	fill(q);
}

/* An attack that measures the machine waits until it is alone, and lets nothing in beside it. */
static bool
may_start(const struct queue *q, const struct pending *item)
{
	bool quiet = (item->row->attack->needs & NEEDS_QUIET) != 0;
	for (size_t i = 0; i < JOBS_MAX && !quiet; i++)
		quiet = q->live[i] != NULL && (q->of[i]->row->attack->needs & NEEDS_QUIET) != 0;
	return !quiet || q->running == 0;
}

static void
fill(struct queue *q)
{
	while (q->error == 0 && q->running < q->p->options.jobs && q->next < q->n) {
		struct pending *item = &q->items[q->next];
		size_t slot = 0;
		if (!may_start(q, item))
			break;
		q->next++;
		while (q->live[slot] != NULL)
			slot++;
		q->of[slot] = item;
		q->running++;
		int r = trial_start(q->p, item->row, item->place, item->lock, (unsigned)q->next,
		    item->finding, &q->live[slot], on_done, q);
		if (r < 0)
			q->error = r;
	}
	if (q->running == 0 || q->error != 0)
		loop_stop(q->p->loop, q->error);
}

static void
on_signal(struct watch *watch, uint32_t events, void *data)
{
	struct queue *q = data;
	(void)watch;
	(void)events;
	q->error = -EINTR;
	loop_stop(q->p->loop, -EINTR);
}

/* ---- what there is to try ---- */

static void
add(struct queue *q, struct row *row, enum place place, enum lock lock, struct finding *finding)
{
	q->items[q->n++] =
	    (struct pending){.row = row, .place = place, .lock = lock, .finding = finding};
}

static void
add_row(struct queue *q, struct row *row)
{
	if (row->not_tested != NULL)
		return;
	add(q, row, PLACE_CONTROL, LOCK_NONE, &row->control);
	for (size_t i = 0; i < row->n_locks; i++)
		add(q, row, PLACE_LOCK, row->locks[i], &row->only[i]);
	add(q, row, PLACE_SANDBOX, LOCK_NONE, &row->all);
}

/* Those that wait for clocks first, so that the others run beside them; those that must be alone last. */
static void
add_all(struct queue *q)
{
	for (int turn = 0; turn < 3; turn++)
		for (size_t i = 0; i < q->p->n_rows; i++) {
			unsigned needs = q->p->rows[i].attack->needs;
			int its = (needs & NEEDS_QUIET) != 0 ? 2
			    : (needs & NEEDS_BOUNDS) != 0    ? 0
							     : 1;
			if (its == turn)
				add_row(q, &q->p->rows[i]);
		}
}

static int
watch_signals(struct queue *q)
{
	sigset_t mask;
	struct watch *watch;
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : loop_watch(q->p->loop, fd, EPOLLIN, on_signal, q, &watch);
}

int
trials_run(struct prove *p, struct error *err)
{
	struct queue q = {.p = p};
	int64_t begin = clock_monotonic_ns();
	_cleanup_free_ struct pending *items =
	    calloc(2 * p->n_rows * (ATTACK_LOCKS_MAX + 2) + 1, sizeof(*items));
	q.items = items;
	if (items == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	int r = watch_signals(&q);
	if (r < 0)
		return error_set_errno(err, -r, "prove_failed", "cannot watch for signals");
	add_all(&q);
	fill(&q);
	r = q.n == 0 ? 0 : loop_run(p->loop);
	p->stopping = true;
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (q.live[i] != NULL)
			trial_abort(q.live[i]);
	p->summary.trials = (unsigned)q.n;
	p->summary.took_ms = (clock_monotonic_ns() - begin) / 1000000;
	if (r == -EINTR)
		return error_set(err, EINTR, "interrupted", "interrupted");
	if (r < 0)
		return error_set_errno(err, -r, "prove_failed", "the trials failed");
	for (size_t i = 0; i < p->n_rows; i++)
		verdict_reach(&p->rows[i]);
	verdict_sum(p);
	return 0;
}
