/* The checkpoints of one session's staged workspace: which states there are, and of which layers each is made.
 *
 * A layer is a directory of the sandbox's scratch file system. What the commands see is an overlay: the newest
 * layer (the upper one, which takes the changes) over older ones over the base, the user's directory. A state is
 * a list of layers. Two ways make a checkpoint:
 *
 *   layer   the upper layer is never written again and a fresh one is put over it: the cost does not depend on
 *           how much changed. Only while nothing in the sandbox holds the workspace open.
 *   copy    the upper layer is copied while every process stands still; it goes on as it is.
 *
 * This module keeps the lists and says what has to be done; rf-layers (src/layers) does it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"

/* Between the supervisor and rf-layers; src/layers/main.c says which requests there are. */
enum layers_msg { LAYERS_DO = 240, LAYERS_DONE, LAYERS_EXCHANGES };

#define LAYERS_CHECKPOINTS_MAX 64
#define LAYERS_NAME_MAX 64 /* bytes of a checkpoint's name, with its end */
#define LAYERS_BASE "base" /* the states that always exist */
#define LAYERS_NOW "now"

struct layers;

/* The layers of a workspace without checkpoints; NULL without memory. */
struct layers *layers_new(void);
/* Accepts NULL; returns NULL. */
struct layers *layers_free(struct layers *layers);

size_t layers_count(const struct layers *layers);
/* [{"name","at_ms","bytes"?,"how"}]; owned. Oldest first. */
struct json *layers_list(const struct layers *layers);

/* Checks NAME for a new checkpoint, or makes one up where it is NULL ("c1", …), into RET. 0, -EEXIST, -EINVAL,
 * or -E2BIG when there are as many as there can be; with ERR. */
int layers_name(const struct layers *layers, const char *name, char ret[LAYERS_NAME_MAX],
    struct error *err) MUST_CHECK;
/* 0 if there is a checkpoint NAME (or BASE_TOO: "base"), else -ENOENT with ERR. */
int layers_find(const struct layers *layers, const char *name, bool base_too, struct error *err)
    MUST_CHECK;

/* The request for rf-layers that …; owned, NULL where it cannot be. None changes LAYERS: its counterpart below
 * does, once it was carried out. */
/* … makes a checkpoint as a layer; NULL when there are too many for one mount: then a copy can be made. */
struct json *layers_ask_freeze(const struct layers *layers);
/* … makes one as a copy; NULL when there are too many even for that. */
struct json *layers_ask_copy(const struct layers *layers);
struct json *layers_ask_drop(const struct layers *layers, const char *name);
/* … brings NAME back ("base": what it began with). Later checkpoints go. */
struct json *layers_ask_rollback(const struct layers *layers, const char *name);
/* FROM and TO as directories; NULL also where there is no such state. */
struct json *layers_ask_view(const struct layers *layers, const char *from, const char *to);
struct json *layers_ask_measure(const struct layers *layers); /* NULL: nothing is unmeasured */

void layers_frozen(struct layers *layers, const char *name);
void layers_copied(struct layers *layers, const char *name, int64_t bytes);
void layers_dropped(struct layers *layers, const char *name);
void layers_rolled_back(struct layers *layers, const char *name);
void layers_measured(struct layers *layers, const struct json *bytes);

/* The layers in which the states FROM and TO can differ, with commas between; "" if they are the same. Owned;
 * NULL without memory or such states. */
char *layers_between(const struct layers *layers, const char *from, const char *to);
