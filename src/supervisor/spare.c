/* One sandbox begun ahead: rf-init in its namespaces with the policy-free part of its root, waiting for a
 * plan. It belongs to nobody yet, is used once, and dies with us. */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "supervisor/supervisor.h"
#include "sys/process.h"

#define REFILL_MS 2

void
spare_drop(struct supervisor *s)
{
	s->refill = timer_cancel(s->refill);
	if (s->spare == NULL)
		return;
	sandbox_kill(s->spare);
	(void)process_reap(s->spare->pidfd, true, NULL);
	s->spare = sandbox_free(s->spare);
}

int
spare_take(struct supervisor *s, const char *id, struct sandbox **ret, struct error *err)
{
	/* One that died while it waited (out of memory, say) is not worth an error. */
	if (s->spare != NULL && process_reap(s->spare->pidfd, false, NULL) != -EAGAIN)
		s->spare = sandbox_free(s->spare);
	if (s->spare == NULL)
		return sandbox_spawn(s->sandboxes, id, ret, err);
	*ret = TAKE_PTR(s->spare);
	(void)snprintf((*ret)->id, sizeof((*ret)->id), "%s", id);
	return 0;
}

static void
on_refill(struct timer *timer, void *data)
{
	struct supervisor *s = data;
	struct error err;
	(void)timer;
	s->refill = NULL;
	if (s->leaving || s->spare != NULL)
		return;
	if (sandbox_spawn(s->sandboxes, "spare", &s->spare, &err) < 0)
		log_event(LOG_WARNING, "no-spare", "message", err.message, NULL);
}

void
spare_refill_later(struct supervisor *s)
{
	if (s->leaving || s->spare != NULL || s->refill != NULL)
		return;
	if (loop_timer(s->loop, REFILL_MS, on_refill, s, &s->refill) < 0)
		s->refill =
		    NULL; /* without memory for a timer there is no spare; runs still work */
}
