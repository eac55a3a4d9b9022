/* Bandwidth: a bucket of tokens for each way, shared by the streams of a sandbox. Whoever finds it empty waits in
 * its line and is woken in turn. */
#include <stdlib.h>

#include "base/clock.h"
#include "io/stream_priv.h"

#define NS_PER_SECOND 1000000000
#define SMALLEST_BURST (64 * 1024)
#define WAKE_MS 10
#define TURN (16 * 1024) /* at most so much at a time while others wait */

struct stream_meter {
	struct loop *loop;
	struct timer *timer;
	struct stream *first[2], **last[2]; /* the lines, of each stream_way */
	int64_t per_second, burst;
	int64_t tokens[2]; /* of each stream_way */
	int64_t filled_ns;
	unsigned refs;
};

struct stream_meter *
stream_meter_new(struct loop *loop, int64_t per_second)
{
	struct stream_meter *meter = calloc(1, sizeof(*meter));
	if (meter == NULL)
		return NULL;
	per_second = MIN(MAX(per_second, (int64_t)1), (int64_t)1 << 40);
	int64_t burst = MAX(per_second / 10, (int64_t)SMALLEST_BURST);
	*meter = (struct stream_meter){.loop = loop,
	    .last = {&meter->first[WAY_IN], &meter->first[WAY_OUT]},
	    .per_second = per_second,
	    .burst = burst,
	    .tokens = {burst, burst},
	    .filled_ns = clock_monotonic_ns(),
	    .refs = 1};
	return meter;
}

static void
unref(struct stream_meter *meter)
{
	if (--meter->refs > 0)
		return;
	timer_cancel(meter->timer);
	free(meter);
}

struct stream_meter *
stream_meter_free(struct stream_meter *meter)
{
	if (meter != NULL)
		unref(meter);
	return NULL;
}

static void
refill(struct stream_meter *meter)
{
	int64_t now_ns = clock_monotonic_ns();
	int64_t passed_ns = MIN(now_ns - meter->filled_ns, (int64_t)NS_PER_SECOND);
	/* In microseconds, so that the product fits; what is less than one token stays for the next time. */
	int64_t grown = meter->per_second * (passed_ns / 1000) / (NS_PER_SECOND / 1000);
	if (grown == 0)
		return;
	meter->filled_ns = now_ns;
	for (int way = 0; way < 2; way++)
		meter->tokens[way] = MIN(meter->tokens[way] + grown, meter->burst);
}

static void
leave_line(struct stream *stream, enum stream_way way)
{
	if (stream->meter_link[way] == NULL)
		return;
	struct stream *next = stream->meter_next[way];
	*stream->meter_link[way] = next;
	if (next != NULL)
		next->meter_link[way] = stream->meter_link[way];
	else
		stream->meter->last[way] = stream->meter_link[way];
	stream->meter_link[way] = NULL;
}

static void on_time(struct timer *timer, void *data);

static bool
set_timer(struct stream_meter *meter)
{
	return meter->timer != NULL ||
	    loop_timer(meter->loop, WAKE_MS, on_time, meter, &meter->timer) == 0;
}

/* As long as there are tokens; who finds none keeps its place. */
static void
wake_line(struct stream_meter *meter, enum stream_way way)
{
	unsigned n = 0;
	for (const struct stream *s = meter->first[way]; s != NULL; s = s->meter_next[way])
		n++;
	for (; n > 0 && meter->first[way] != NULL && meter->tokens[way] > 0; n--) {
		struct stream *stream = meter->first[way];
		leave_line(stream, way);
		stream_wake(stream); /* may stand in the line again, at its end */
	}
	if (meter->first[way] != NULL)
		(void)set_timer(meter);
}

static void
on_time(struct timer *timer, void *data)
{
	struct stream_meter *meter = data;
	meter->timer = NULL;
	meter->refs++;
	refill(meter);
	wake_line(meter, WAY_IN);
	wake_line(meter, WAY_OUT);
	unref(meter);
}

/* Whether STREAM will be woken. */
static bool
stand_in_line(struct stream *stream, enum stream_way way)
{
	struct stream_meter *meter = stream->meter;
	if (!set_timer(meter))
		return false;
	if (stream->meter_link[way] != NULL)
		return true;
	stream->meter_next[way] = NULL;
	stream->meter_link[way] = meter->last[way];
	*meter->last[way] = stream;
	meter->last[way] = &stream->meter_next[way];
	return true;
}

size_t
meter_take(struct stream *stream, enum stream_way way, size_t want)
{
	struct stream_meter *meter = stream->meter;
	if (meter == NULL)
		return want;
	refill(meter);
	int64_t *tokens = &meter->tokens[way];
	if (*tokens <= 0 && stand_in_line(stream, way))
		return 0;
	/* Without a timer (no memory) a debt is made rather than a stream that nobody wakes. */
	size_t may = *tokens <= 0 ? 1 : MIN(want, (size_t)*tokens);
	if (meter->first[way] != NULL)
		may = MIN(may, (size_t)TURN);
	*tokens -= (int64_t)may;
	return may;
}

void
meter_give_back(struct stream *stream, enum stream_way way, size_t len)
{
	if (stream->meter != NULL)
		stream->meter->tokens[way] += (int64_t)len;
}

void
meter_leave(struct stream *stream)
{
	if (stream->meter == NULL)
		return;
	leave_line(stream, WAY_IN);
	leave_line(stream, WAY_OUT);
	unref(TAKE_PTR(stream->meter));
}

void
stream_set_meter(struct stream *stream, struct stream_meter *meter)
{
	if (meter != NULL)
		meter->refs++;
	bool waited = stream->meter_link[WAY_IN] != NULL || stream->meter_link[WAY_OUT] != NULL;
	meter_leave(stream);
	stream->meter = meter;
	if (waited)
		loop_defer(stream->loop, &stream->work);
}
