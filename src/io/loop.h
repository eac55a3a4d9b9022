/* A small event loop on epoll: descriptors, timers, and work that is deferred to after a callback.
 *
 * No threads. A callback may add and remove anything, also itself; what it removes is freed only
 * after the round, so that no callback ever sees a freed watch. Timers are one-shot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/macros.h"

struct loop;
struct watch;
struct timer;

typedef void loop_fd_fn(struct watch *watch, uint32_t events, void *data);
typedef void loop_timer_fn(struct timer *timer, void *data);

/* 0 or -errno. */
int loop_new(struct loop **ret) MUST_CHECK;
/* Frees the loop with its watches and timers; descriptors stay open. Accepts NULL; returns NULL. */
struct loop *loop_free(struct loop *loop);

/* Calls FN when FD has one of EVENTS (EPOLLIN, EPOLLOUT; EPOLLHUP and EPOLLERR always).
 * Borrows FD: remove the watch before closing it. 0 or -errno. */
int loop_watch(struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data,
    struct watch **ret) MUST_CHECK;
int watch_set_events(struct watch *watch, uint32_t events);
int watch_fd(const struct watch *watch);
/* Accepts NULL; returns NULL. */
struct watch *watch_remove(struct watch *watch);

/* Calls DONE with the watch's data when the loop frees the watch: for data that lives as long. */
typedef void loop_done_fn(void *data);
void watch_on_done(struct watch *watch, loop_done_fn *done);

/* Calls FN once, DELAY_MS from now. 0 or -ENOMEM. */
int loop_timer(struct loop *loop, int64_t delay_ms, loop_timer_fn *fn, void *data,
    struct timer **ret) MUST_CHECK;
/* Cancels; accepts NULL; returns NULL. A timer that fired is freed by the loop after its callback:
 * forget the pointer in the callback. */
struct timer *timer_cancel(struct timer *timer);

/* Work for the end of this round, after all callbacks: where an object may free itself. The caller owns
 * the structure (usually a member of the object) until FN runs; it allocates nothing, so it cannot
 * fail. Deferring what is already deferred does nothing. */
struct deferred {
	void (*fn)(void *data);
	void *data;
	struct deferred *next; /* the loop's */
	bool queued;           /* the loop's */
};
void loop_defer(struct loop *loop, struct deferred *work);

/* Runs until loop_stop. Returns the code given to loop_stop, or -errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int code);
