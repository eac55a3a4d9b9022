/* Sandboxes made ahead of whoever asks for them; each is used once.
 *
 *   spare     begun: rf-init in its namespaces with the part of its root that needs no policy. For any run
 *             in the host's root.
 *   prepared  for one policy generation. Without a workspace: control group, limits, root, every lock, and a
 *             process that waits for what to execute; nothing is left to do but to say it. With one (as root): all
 *             but the workspace, which comes in as a detached mount, and the locks, which would forbid that.
 *
 * They belong to nobody, hold nothing of anybody's, and end with us. What was prepared for a generation that is
 * not active any more is dropped. Refilled off the path of whatever runs, within a memory budget. */
#pragma once

#include "supervisor/supervisor.h"

#define POOL_KEY 96

struct prepared {
	struct prepared *next;
	struct pool *pool;
	char key[POOL_KEY];
	struct sandbox *sandbox;    /* owned */
	struct json *config;        /* owned */
	const char *workspace_mode; /* NULL: ready to execute; else it waits for a workspace */
	struct json *receipt;       /* owned: without ids; of one that is ready to execute */
	struct json *timing;
	struct watch *control;
	bool ready;
};

struct pool;

/* LARGE: a daemon that many call, not one run's helper. NULL without memory. */
struct pool *pool_new(struct supervisor *s);
/* Ends what waits and waits for it. Accepts NULL; returns NULL. */
struct pool *pool_free(struct pool *pool);

/* KEY of what CONFIG of the policy HASH needs, with a workspace of MODE (NULL: without). "" if nothing is
 * prepared for that here. */
void pool_key(const struct pool *pool, const char *hash, const struct json *config,
    const char *mode, char ret[POOL_KEY]);
/* Whether one waits for KEY. */
bool pool_has(const struct pool *pool, const char *key);
/* One that waits for KEY, or NULL. Whoever takes it owns it (pool_release ends what is left of it). */
struct prepared *pool_take(struct pool *pool, const char *key);
void pool_release(struct prepared *prepared);
/* Somebody needs sandboxes like this one: KEY, CONFIG (copied) and MODE. They are made later. */
void pool_want(struct pool *pool, const char *key, const struct json *config, const char *mode);
/* Drops what was prepared for the policy HASH; NULL: for all. */
void pool_drop(struct pool *pool, const char *hash);

/* A sandbox called ID that shows VIEW (NULL: the host's): begun ahead if there is one. 0 or -errno with ERR. */
int pool_spawn(struct pool *pool, const struct json *view, const char *id, struct sandbox **ret,
    struct error *err) MUST_CHECK;
/* What was begun ahead is not good any more. */
void pool_drop_spare(struct pool *pool);
/* Makes what is missing soon. */
void pool_refill_later(struct pool *pool);
/* Ends SANDBOX (taken) and frees it when the kernel is done; nobody waits for that. */
void pool_bury(struct pool *pool, struct sandbox *sandbox);
