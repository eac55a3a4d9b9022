/* The event loop: epoll for descriptors, a binary heap for timers, a list for deferred work.
 *
 * A round is: wait, call the watches that are ready, call the timers that are due, call what was
 * deferred, free what was removed. Removal only marks: the kernel may already have reported an event
 * for the watch in this round. */
#include "io/loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/clock.h"

#define EVENTS_PER_ROUND 64
#define NS_PER_MS 1000000

struct watch {
	struct loop *loop;
	struct watch *next, **link; /* in loop->watches, or in loop->removed (next only) */
	loop_fd_fn *fn;
	loop_done_fn *done;
	void *data;
	int fd;
	bool removed;
};

struct timer {
	struct loop *loop;
	loop_timer_fn *fn;
	void *data;
	int64_t due_ns;
	uint64_t order; /* equal times fire in the order they were made */
	size_t at;      /* place in the heap */
};

struct loop {
	int epoll;
	bool stopped;
	int code;
	struct watch *watches, *removed;
	struct timer **heap;
	size_t n_timers, room;
	uint64_t next_order;
	struct deferred *first, **last;
};

int
loop_new(struct loop **ret)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return -ENOMEM;
	loop->last = &loop->first;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		int r = -errno;
		free(loop);
		return r;
	}
	*ret = loop;
	return 0;
}

static void
free_removed(struct loop *loop)
{
	while (loop->removed != NULL) {
		struct watch *watch = loop->removed;
		loop->removed = watch->next;
		if (watch->done != NULL)
			watch->done(watch->data);
		free(watch);
	}
}

struct loop *
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return NULL;
	while (loop->watches != NULL)
		watch_remove(loop->watches);
	free_removed(loop);
	for (size_t i = 0; i < loop->n_timers; i++)
		free(loop->heap[i]);
	free(loop->heap);
	(void)close(loop->epoll);
	free(loop);
	return NULL;
}

/* ---- descriptors ---- */

int
loop_watch(
    struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data, struct watch **ret)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return -ENOMEM;
	*watch = (struct watch){.loop = loop, .fn = fn, .data = data, .fd = fd};
	struct epoll_event event = {.events = events, .data.ptr = watch};
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		int r = -errno;
		free(watch);
		return r;
	}
	watch->next = loop->watches;
	watch->link = &loop->watches;
	if (watch->next != NULL)
		watch->next->link = &watch->next;
	loop->watches = watch;
	*ret = watch;
	return 0;
}

int
watch_set_events(struct watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	return epoll_ctl(watch->loop->epoll, EPOLL_CTL_MOD, watch->fd, &event) < 0 ? -errno : 0;
}

int
watch_fd(const struct watch *watch)
{
	return watch->fd;
}

void
watch_on_done(struct watch *watch, loop_done_fn *done)
{
	watch->done = done;
}

struct watch *
watch_remove(struct watch *watch)
{
	if (watch == NULL || watch->removed)
		return NULL;
	struct loop *loop = watch->loop;
	(void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	*watch->link = watch->next;
	if (watch->next != NULL)
		watch->next->link = watch->link;
	watch->removed = true;
	watch->next = loop->removed;
	loop->removed = watch;
	return NULL;
}

/* ---- timers: a binary heap, the earliest first ---- */

static bool
timer_before(const struct timer *a, const struct timer *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void
heap_put(struct loop *loop, size_t at, struct timer *timer)
{
	loop->heap[at] = timer;
	timer->at = at;
}

static void
heap_rise(struct loop *loop, struct timer *timer)
{
	size_t at = timer->at;
	for (; at > 0 && timer_before(timer, loop->heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap_put(loop, at, loop->heap[(at - 1) / 2]);
	heap_put(loop, at, timer);
}

static void
heap_sink(struct loop *loop, struct timer *timer)
{
	size_t at = timer->at;
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= loop->n_timers)
			break;
		if (child + 1 < loop->n_timers &&
		    timer_before(loop->heap[child + 1], loop->heap[child]))
			child++;
		if (!timer_before(loop->heap[child], timer))
			break;
		heap_put(loop, at, loop->heap[child]);
		at = child;
	}
	heap_put(loop, at, timer);
}

static void
heap_remove(struct timer *timer)
{
	struct loop *loop = timer->loop;
	struct timer *last = loop->heap[--loop->n_timers];
	if (last == timer)
		return;
	heap_put(loop, timer->at, last);
	heap_rise(loop, last);
	heap_sink(loop, last);
}

int
loop_timer(struct loop *loop, int64_t delay_ms, loop_timer_fn *fn, void *data, struct timer **ret)
{
	if (loop->n_timers == loop->room) {
		size_t room = loop->room == 0 ? 16 : loop->room * 2;
		struct timer **heap = realloc(loop->heap, room * sizeof(struct timer *));
		if (heap == NULL)
			return -ENOMEM;
		loop->heap = heap;
		loop->room = room;
	}
	struct timer *timer = calloc(1, sizeof(*timer));
	if (timer == NULL)
		return -ENOMEM;
	int64_t longest_ms = INT64_MAX / NS_PER_MS / 2;
	int64_t delay_ns = MAX(MIN(delay_ms, longest_ms), (int64_t)0) * NS_PER_MS;
	*timer = (struct timer){.loop = loop,
	    .fn = fn,
	    .data = data,
	    .due_ns = clock_monotonic_ns() + delay_ns,
	    .order = loop->next_order++};
	heap_put(loop, loop->n_timers++, timer);
	heap_rise(loop, timer);
	*ret = timer;
	return 0;
}

struct timer *
timer_cancel(struct timer *timer)
{
	if (timer == NULL)
		return NULL;
	heap_remove(timer);
	free(timer);
	return NULL;
}

/* ---- deferred work ---- */

void
loop_defer(struct loop *loop, struct deferred *work)
{
	if (work->queued)
		return;
	work->queued = true;
	work->next = NULL;
	*loop->last = work;
	loop->last = &work->next;
}

static void
run_deferred(struct loop *loop)
{
	while (loop->first != NULL) {
		struct deferred *work = loop->first;
		loop->first = work->next;
		if (loop->first == NULL)
			loop->last = &loop->first;
		work->queued = false;
		work->fn(work->data); /* may free WORK */
	}
}

/* ---- the round ---- */

static int
wait_ms(const struct loop *loop)
{
	if (loop->first != NULL)
		return 0;
	if (loop->n_timers == 0)
		return -1;
	int64_t left_ns = loop->heap[0]->due_ns - clock_monotonic_ns();
	if (left_ns <= 0)
		return 0;
	int64_t ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
	return (int)MIN(ms, (int64_t)INT_MAX);
}

/* Only timers made before the round's timers began: a timer that renews itself with no delay must
 * not starve the descriptors. */
static void
run_timers(struct loop *loop)
{
	uint64_t end = loop->next_order;
	int64_t now_ns = clock_monotonic_ns();
	while (loop->n_timers > 0) {
		struct timer *timer = loop->heap[0];
		if (timer->due_ns > now_ns || timer->order >= end)
			return;
		heap_remove(timer);
		timer->fn(timer, timer->data);
		free(timer);
	}
}

static int
run_round(struct loop *loop)
{
	struct epoll_event events[EVENTS_PER_ROUND];
	int n = epoll_wait(loop->epoll, events, EVENTS_PER_ROUND, wait_ms(loop));
	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++) {
		struct watch *watch = events[i].data.ptr;
		if (!watch->removed)
			watch->fn(watch, events[i].events, watch->data);
	}
	run_timers(loop);
	run_deferred(loop);
	free_removed(loop);
	return 0;
}

int
loop_run(struct loop *loop)
{
	while (!loop->stopped) {
		int r = run_round(loop);
		if (r < 0)
			return r;
	}
	loop->stopped = false;
	return loop->code;
}

void
loop_stop(struct loop *loop, int code)
{
	loop->stopped = true;
	loop->code = code;
}
