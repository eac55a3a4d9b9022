#include "supervisor/pool.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "sandbox/plan.h"
#include "sys/process.h"

#define REFILL_MS 2
#define RETRY_MS 1000 /* after one could not be made */
#define KINDS_MAX 4   /* keys that are kept prepared; the one not asked for longest makes room */
#define EACH_OF_A_DAEMON 8     /* prepared sandboxes of a kind */
#define EACH_OF_A_RUN 1        /* in a supervisor that leaves when idle */
#define BUDGET_BYTES (4 << 20) /* of memory for all that wait */
#define BYTES_EACH (60 << 10)

struct kind {
	char key[POOL_KEY];
	struct json *config; /* owned */
	const char *mode;    /* of the workspace; NULL: none */
	int64_t asked_ns;
};

struct grave {
	struct grave *next;
	struct pool *pool;
	struct sandbox *sandbox;
	struct watch *watch;
};

struct pool {
	struct supervisor *s;
	struct sandbox *spare;
	struct prepared *waiting;
	struct kind kinds[KINDS_MAX];
	struct grave *graves;
	struct timer *refill;
};

struct pool *
pool_new(struct supervisor *s)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	if (pool != NULL)
		pool->s = s;
	return pool;
}

/* ---- ends ---- */

static void
grave_close(struct grave *grave)
{
	for (struct grave **at = &grave->pool->graves; *at != NULL; at = &(*at)->next)
		if (*at == grave) {
			*at = grave->next;
			break;
		}
	grave->watch = watch_remove(grave->watch);
	sandbox_free(grave->sandbox);
	free(grave);
}

static void
on_dead(struct watch *watch, uint32_t events, void *data)
{
	struct grave *grave = data;
	(void)watch;
	(void)events;
	if (process_reap(grave->sandbox->pidfd, false, NULL) != -EAGAIN)
		grave_close(grave);
}

void
pool_bury(struct pool *pool, struct sandbox *sandbox)
{
	if (sandbox == NULL)
		return;
	sandbox_kill(sandbox);
	struct grave *grave = calloc(1, sizeof(*grave));
	if (grave != NULL) {
		grave->pool = pool;
		grave->sandbox = sandbox;
		if (loop_watch(pool->s->loop, sandbox->pidfd, EPOLLIN, on_dead, grave,
			&grave->watch) == 0) {
			grave->next = pool->graves;
			pool->graves = grave;
			return;
		}
	}
	free(grave);
	(void)process_reap(sandbox->pidfd, true, NULL);
	sandbox_free(sandbox);
}

void
pool_release(struct prepared *prepared)
{
	if (prepared == NULL)
		return;
	prepared->control = watch_remove(prepared->control);
	pool_bury(prepared->pool, prepared->sandbox);
	json_free(prepared->config);
	json_free(prepared->receipt);
	json_free(prepared->timing);
	free(prepared);
}

static void
unlink_prepared(struct prepared *prepared)
{
	for (struct prepared **at = &prepared->pool->waiting; *at != NULL; at = &(*at)->next)
		if (*at == prepared) {
			*at = prepared->next;
			return;
		}
}

static void
forget_kind(struct kind *kind)
{
	json_free(kind->config);
	*kind = (struct kind){0};
}

void
pool_drop(struct pool *pool, const char *hash)
{
	size_t len = hash == NULL ? 0 : strlen(hash);
	for (struct prepared *at = pool->waiting, *next; at != NULL; at = next) {
		next = at->next;
		if (strncmp(at->key, hash == NULL ? "" : hash, len) != 0)
			continue;
		unlink_prepared(at);
		pool_release(at);
	}
	for (size_t i = 0; i < KINDS_MAX; i++)
		if (strncmp(pool->kinds[i].key, hash == NULL ? "" : hash, len) == 0)
			forget_kind(&pool->kinds[i]);
}

struct pool *
pool_free(struct pool *pool)
{
	if (pool == NULL)
		return NULL;
	pool->refill = timer_cancel(pool->refill);
	pool_drop(pool, NULL);
	pool_bury(pool, TAKE_PTR(pool->spare));
	while (pool->graves != NULL) {
		(void)process_reap(pool->graves->sandbox->pidfd, true, NULL);
		grave_close(pool->graves);
	}
	free(pool);
	return NULL;
}

/* ---- taking ---- */

void
pool_key(const struct pool *pool, const char *hash, const struct json *config, const char *mode,
    char ret[POOL_KEY])
{
	/* The configuration follows from the policy, but for the limits that a request tightens. */
	_cleanup_buf_ struct buf text;
	uint8_t digest[SHA256_BYTES];
	char hex[SHA256_HEX];
	buf_init(&text, 128 * 1024);
	ret[0] = 0;
	if (mode != NULL && sandbox_host_rootless(pool->s->sandboxes))
		return;
	if (json_get(config, "network") != NULL)
		return; /* the gateway would have to know it before there is anybody whose it is */
	/* And what the root is by now: a name of an image may mean another one, a listed program may be new. */
	const struct json *view;
	struct error ignored;
	if (json_write(json_get(config, "limits"), &text) < 0 ||
	    sandbox_host_view(pool->s->sandboxes, config, &view, &ignored) < 0 ||
	    buf_add_str(&text, json_get_str(view, "skeleton", "")) < 0)
		return;
	sha256(text.data, text.len, digest);
	hex_encode(digest, sizeof(digest), hex);
	(void)snprintf(ret, POOL_KEY, "%.71s/%.12s/%.6s", hash, hex, mode == NULL ? "" : mode);
}

static struct prepared *
find(const struct pool *pool, const char *key)
{
	struct prepared *found = NULL;
	for (struct prepared *at = pool->waiting; at != NULL; at = at->next)
		if (at->ready && strcmp(at->key, key) == 0)
			found = at; /* the oldest: it stands last */
	return found;
}

bool
pool_has(const struct pool *pool, const char *key)
{
	return find(pool, key) != NULL;
}

struct prepared *
pool_take(struct pool *pool, const char *key)
{
	struct prepared *prepared;
	while ((prepared = find(pool, key)) != NULL) {
		unlink_prepared(prepared);
		prepared->control = watch_remove(prepared->control);
		/* One that died while it waited (out of memory, say) is not worth an error. */
		if (process_reap(prepared->sandbox->pidfd, false, NULL) == -EAGAIN)
			break;
		prepared->sandbox = sandbox_free(prepared->sandbox);
		pool_release(prepared);
	}
	pool_refill_later(pool);
	return prepared;
}

int
pool_spawn(struct pool *pool, const struct json *view, const char *id, struct sandbox **ret,
    struct error *err)
{
	if (view != NULL)
		return sandbox_spawn(pool->s->sandboxes, view, id, -1, ret, err);
	if (pool->spare != NULL && process_reap(pool->spare->pidfd, false, NULL) != -EAGAIN)
		pool->spare = sandbox_free(pool->spare);
	if (pool->spare == NULL)
		return sandbox_spawn(pool->s->sandboxes, NULL, id, -1, ret, err);
	*ret = TAKE_PTR(pool->spare);
	(void)snprintf((*ret)->id, sizeof((*ret)->id), "%s", id);
	return 0;
}

void
pool_drop_spare(struct pool *pool)
{
	pool_bury(pool, TAKE_PTR(pool->spare));
}

/* ---- making ---- */

void
pool_want(struct pool *pool, const char *key, const struct json *config, const char *mode)
{
	struct kind *oldest = &pool->kinds[0], *kind = NULL;
	if (key[0] == 0)
		return;
	for (size_t i = 0; i < KINDS_MAX; i++) {
		if (strcmp(pool->kinds[i].key, key) == 0)
			kind = &pool->kinds[i];
		if (pool->kinds[i].asked_ns < oldest->asked_ns)
			oldest = &pool->kinds[i];
	}
	if (kind == NULL) {
		kind = oldest;
		for (struct prepared *at = pool->waiting, *next; at != NULL; at = next) {
			next = at->next;
			if (kind->key[0] != 0 && strcmp(at->key, kind->key) == 0) {
				unlink_prepared(at);
				pool_release(at);
			}
		}
		forget_kind(kind);
		(void)snprintf(kind->key, sizeof(kind->key), "%s", key);
		kind->config = json_copy(config);
		kind->mode = mode == NULL         ? NULL
		    : strcmp(mode, "staged") == 0 ? "staged"
						  : "direct";
	}
	kind->asked_ns = clock_monotonic_ns();
}

static void refill_in(struct pool *pool, int64_t ms);

static void
on_failed(struct prepared *prepared, const char *why)
{
	struct pool *pool = prepared->pool;
	log_event(LOG_WARNING, "not-prepared", "message", why, NULL);
	unlink_prepared(prepared);
	pool_release(prepared);
	pool->refill = timer_cancel(pool->refill);
	refill_in(pool, RETRY_MS);
}

static void
on_control(struct watch *watch, uint32_t events, void *data)
{
	struct prepared *prepared = data;
	struct msg m = MSG_INIT;
	struct error err = {0};
	(void)watch;
	(void)events;
	int r = msg_recv(prepared->sandbox->control, MSG_DONTWAIT, &m);
	if (r == -EAGAIN)
		return;
	if (r == 1 && m.type == INIT_READY && !prepared->ready) {
		sandbox_is_ready(prepared->sandbox, &m);
		prepared->receipt = receipt_make(
		    prepared->sandbox, prepared->config, json_get(m.body, "evidence"), "");
		receipt_add_mounts(prepared->receipt, prepared->sandbox);
		prepared->timing = json_detach(m.body, "timing");
		prepared->ready = prepared->receipt != NULL &&
		    receipt_check_floor(prepared->receipt, prepared->config,
			sandbox_host_cgroups(prepared->pool->s->sandboxes), &err) == 0;
		if (prepared->ready)
			pool_refill_later(prepared->pool);
	} else if (r == 1 && m.type == INIT_WAITING && prepared->workspace_mode != NULL) {
		prepared->ready = true;
		pool_refill_later(prepared->pool);
	} else if (r == 1 && m.type == INIT_FAILED) {
		msg_error_read(m.body, &err);
	}
	msg_done(&m);
	if (!prepared->ready || r != 1)
		on_failed(prepared, err.code[0] != 0 ? err.message : "rf-init ended");
}

static int
prepare(struct pool *pool, const struct kind *kind, struct error *err)
{
	struct prepared *prepared = calloc(1, sizeof(*prepared));
	const struct json *view = NULL;
	if (prepared == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	prepared->pool = pool;
	(void)snprintf(prepared->key, sizeof(prepared->key), "%s", kind->key);
	prepared->config = json_copy(kind->config);
	int r = sandbox_host_view(pool->s->sandboxes, kind->config, &view, err);
	if (r == 0)
		r = sandbox_spawn(
		    pool->s->sandboxes, view, "prepared", -1, &prepared->sandbox, err);
	prepared->workspace_mode = kind->mode;
	struct sandbox_shape shape = {.config = prepared->config,
	    .workspace_mode = kind->mode,
	    .workspace_fd = -1,
	    .later = kind->mode != NULL};
	if (r == 0)
		r = sandbox_send_plan(prepared->sandbox, &shape, err);
	if (r == 0)
		r = loop_watch(pool->s->loop, prepared->sandbox->control, EPOLLIN, on_control,
		    prepared, &prepared->control);
	if (r < 0) {
		pool_release(prepared);
		return r;
	}
	prepared->next = pool->waiting;
	pool->waiting = prepared;
	return 0;
}

/* The kind with the fewest that wait, among those that may have more. NULL: all is full, or one is being made. */
static const struct kind *
neediest(const struct pool *pool)
{
	unsigned all = 0, least = pool->s->idle_ms > 0 ? EACH_OF_A_RUN : EACH_OF_A_DAEMON;
	const struct kind *found = NULL;
	for (const struct prepared *at = pool->waiting; at != NULL; at = at->next) {
		if (!at->ready)
			return NULL;
		all++;
	}
	if (all >= BUDGET_BYTES / BYTES_EACH)
		return NULL;
	for (size_t i = 0; i < KINDS_MAX; i++) {
		unsigned n = 0;
		if (pool->kinds[i].key[0] == 0)
			continue;
		for (const struct prepared *at = pool->waiting; at != NULL; at = at->next)
			n += strcmp(at->key, pool->kinds[i].key) == 0;
		if (n < least) {
			least = n;
			found = &pool->kinds[i];
		}
	}
	return found;
}

static void
on_refill(struct timer *timer, void *data)
{
	struct pool *pool = data;
	struct error err = {0};
	(void)timer;
	pool->refill = NULL;
	if (pool->s->leaving)
		return;
	const struct kind *kind = neediest(pool);
	int r = 0;
	if (kind != NULL)
		r = prepare(pool, kind, &err); /* the next one when this is ready */
	else if (pool->spare == NULL)
		r = sandbox_spawn(pool->s->sandboxes, NULL, "spare", -1, &pool->spare, &err);
	if (r < 0) {
		log_event(LOG_WARNING, "not-prepared", "message", err.message, NULL);
		refill_in(pool, RETRY_MS);
	}
}

static void
refill_in(struct pool *pool, int64_t ms)
{
	if (pool->s->leaving || pool->refill != NULL)
		return;
	if (loop_timer(pool->s->loop, ms, on_refill, pool, &pool->refill) < 0)
		pool->refill = NULL; /* without memory nothing is made ahead; runs still work */
}

void
pool_refill_later(struct pool *pool)
{
	if (pool->refill == NULL && (pool->spare == NULL || neediest(pool) != NULL))
		refill_in(pool, REFILL_MS);
}
