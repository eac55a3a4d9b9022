/* The store of images, STATE/images (sandbox/image_view.h draws it): made, listed, named, removed.
 *
 * Invariants. A directory sha256-HEX is complete and never changes: it came by one rename, and HEX is the
 * hash of its image.json's "content". A name is a link, set by one rename. What is being made, `.new-…`,
 * holds the lock in it (flock) for as long as its maker lives; what is being deleted is called `.old-…`.
 * An image whose lock somebody holds is not removed. All changes happen under the store's own lock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "sandbox/image_view.h"

#define STORE_STAGE_SIZE 64

struct image_store {
	int state; /* owned, as the others */
	int images;
	int names;
	int lock;
};

/* Opens the store below the state directory PATH; both are made if they are missing. */
int image_store_open(const char *path, struct image_store *ret, struct error *err) MUST_CHECK;
void image_store_done(struct image_store *store);

/* A new place to build an image in, below images/: its name, and a descriptor that keeps it from being
 * taken for a leftover (caller closes). Leftovers of imports that died are removed on the way. */
int image_store_stage(struct image_store *store, char ret_name[STORE_STAGE_SIZE], int *ret_lock,
    struct error *err) MUST_CHECK;
/* Removes what was staged, if it is still there. */
void image_store_abandon(struct image_store *store, const char *stage);
/* Makes STAGE, which has rootfs/, an image with CONTENT and what is told of its IMPORT (both borrowed),
 * called NAME. If the store has this image already, STAGE goes. RET_ID: "sha256:…"; RET_NEW whether it
 * was new. LOCK is what image_store_stage gave. */
int image_store_commit(struct image_store *store, const char *stage, int lock,
    const struct json *content, const struct json *import, const char *name,
    char ret_id[IMAGE_NAME_SIZE], bool *ret_new, struct error *err) MUST_CHECK;

/* Every image: [{"id","names":[],"in_use","entries","bytes","source","imported_ms"}], owned. */
int image_store_list(struct image_store *store, struct json **ret, struct error *err) MUST_CHECK;
/* NAME, or an id's beginning of at least six digits ("sha256:" may be left out), as an id that there is. */
int image_store_id(struct image_store *store, const char *name, char ret_id[IMAGE_NAME_SIZE],
    struct error *err) MUST_CHECK;
/* Takes NAME away; with the last of its names, or by id, the image goes. -EBUSY while it is in use.
 * RET_REMOVED whether the image went. */
int image_store_remove(
    struct image_store *store, const char *name, bool *ret_removed, struct error *err) MUST_CHECK;

struct image_gc {
	int64_t images, leftovers, in_use;
};
/* Removes images without a name that nobody uses, and leftovers. */
int image_store_gc(struct image_store *store, struct image_gc *ret, struct error *err) MUST_CHECK;
