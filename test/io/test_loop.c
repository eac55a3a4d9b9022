/* The event loop: what is removed is never called, timers fire in order, deferred work runs last. */
#include "unit.h"

#include <string.h>
#include <sys/epoll.h>

#include "base/macros.h"
#include "io/loop.h"

static char order[64];
static char a[] = "a", b[] = "b", c[] = "c", x[] = "x"; /* timer names */

static void
note(const char *what)
{
	size_t used = strlen(order);
	assert_true(used + strlen(what) < sizeof(order));
	memcpy(order + used, what, strlen(what) + 1);
}

static void
on_named_timer(struct timer *timer, void *data)
{
	note(data);
}

static void
on_stop_timer(struct timer *timer, void *data)
{
	loop_stop(data, 7);
}

static struct loop *
new_loop(void)
{
	struct loop *loop;
	assert_int_equal(loop_new(&loop), 0);
	order[0] = 0;
	return loop;
}

static void
timers_fire_in_the_order_of_their_times(void **state)
{
	struct loop *loop = new_loop();
	struct timer *t;
	assert_int_equal(loop_timer(loop, 3, on_named_timer, c, &t), 0);
	assert_int_equal(loop_timer(loop, 0, on_named_timer, a, &t), 0);
	assert_int_equal(loop_timer(loop, 2, on_named_timer, b, &t), 0);
	assert_int_equal(loop_timer(loop, 4, on_stop_timer, loop, &t), 0);
	assert_int_equal(loop_run(loop), 7);
	assert_string_equal(order, "abc");
	loop_free(loop);
}

static void
cancelled_timers_do_not_fire(void **state)
{
	struct loop *loop = new_loop();
	struct timer *timers[32], *stop;
	for (size_t i = 0; i < ARRAY_LEN(timers); i++)
		assert_int_equal(
		    loop_timer(loop, (int64_t)(i * 7 % 5), on_named_timer, x, &timers[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(timers); i++)
		if (i != 9)
			assert_null(timer_cancel(timers[i]));
	assert_int_equal(loop_timer(loop, 6, on_stop_timer, loop, &stop), 0);
	assert_int_equal(loop_run(loop), 7);
	assert_string_equal(order, "x");
	assert_null(timer_cancel(NULL));
	loop_free(loop);
}

/* Two pipes that are both readable: whichever callback runs first removes the other's watch. */
struct rivals {
	struct loop *loop;
	struct watch *watches[2];
	int calls;
};

static void
on_rival(struct watch *watch, uint32_t events, void *data)
{
	struct rivals *r = data;
	r->calls++;
	r->watches[0] = watch_remove(r->watches[0]);
	r->watches[1] = watch_remove(r->watches[1]);
	loop_stop(r->loop, 0);
}

static void
a_watch_removed_by_another_callback_of_the_same_round_is_not_called(void **state)
{
	struct rivals r = {.loop = new_loop()};
	int pipes[2][2];
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		assert_int_equal(write(pipes[i][1], "x", 1), 1);
		assert_int_equal(
		    loop_watch(r.loop, pipes[i][0], EPOLLIN, on_rival, &r, &r.watches[i]), 0);
	}
	assert_int_equal(loop_run(r.loop), 0);
	assert_int_equal(r.calls, 1);
	loop_free(r.loop);
	for (int i = 0; i < 4; i++)
		(void)close(pipes[i / 2][i % 2]);
}

static void
on_done(void *data)
{
	note("done");
}

static void
on_deferred(void *data)
{
	note("deferred ");
}

static void
on_first(struct watch *watch, uint32_t events, void *data)
{
	static struct deferred work = {.fn = on_deferred};
	loop_defer(data, &work);
	loop_defer(data, &work); /* once only */
	note("callback ");
	watch_remove(watch);
	loop_stop(data, 0);
}

static void
deferred_work_runs_after_the_callbacks_and_before_the_freeing(void **state)
{
	struct loop *loop = new_loop();
	struct watch *watch;
	int p[2];
	assert_int_equal(pipe(p), 0);
	assert_int_equal(loop_watch(loop, p[0], EPOLLIN, on_first, loop, &watch), 0);
	assert_int_equal(watch_fd(watch), p[0]);
	watch_on_done(watch, on_done);
	(void)close(p[1]); /* EPOLLHUP is always reported */
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "callback deferred done");
	loop_free(loop);
	(void)close(p[0]);
}

static void
on_again(struct timer *timer, void *data)
{
	struct timer *next;
	if (strlen(order) < 20)
		note(".");
	assert_int_equal(loop_timer(data, 0, on_again, data, &next), 0);
}

static void
on_stop_watch(struct watch *watch, uint32_t events, void *data)
{
	loop_stop(data, 3);
}

static void
a_timer_that_renews_itself_does_not_starve_descriptors(void **state)
{
	struct loop *loop = new_loop();
	struct timer *t;
	struct watch *watch;
	int p[2];
	assert_int_equal(pipe(p), 0);
	(void)close(p[1]);
	assert_int_equal(loop_timer(loop, 0, on_again, loop, &t), 0);
	assert_int_equal(loop_watch(loop, p[0], EPOLLIN, on_stop_watch, loop, &watch), 0);
	assert_int_equal(loop_run(loop), 3);
	loop_free(loop);
	(void)close(p[0]);
}

static void
a_stop_before_the_run_is_not_lost(void **state)
{
	struct loop *loop = new_loop();
	loop_stop(loop, 5);
	assert_int_equal(loop_run(loop), 5);
	assert_null(loop_free(loop));
	assert_null(loop_free(NULL));
}

static void
a_descriptor_that_cannot_be_watched_is_an_error(void **state)
{
	struct loop *loop = new_loop();
	struct watch *watch = NULL;
	assert_true(loop_watch(loop, 9999, EPOLLIN, on_stop_watch, loop, &watch) < 0);
	assert_null(watch);
	assert_null(watch_remove(NULL));
	loop_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(timers_fire_in_the_order_of_their_times),
	    cmocka_unit_test(cancelled_timers_do_not_fire),
	    cmocka_unit_test(a_watch_removed_by_another_callback_of_the_same_round_is_not_called),
	    cmocka_unit_test(deferred_work_runs_after_the_callbacks_and_before_the_freeing),
	    cmocka_unit_test(a_timer_that_renews_itself_does_not_starve_descriptors),
	    cmocka_unit_test(a_stop_before_the_run_is_not_lost),
	    cmocka_unit_test(a_descriptor_that_cannot_be_watched_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
