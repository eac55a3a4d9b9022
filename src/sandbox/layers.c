#include "sandbox/layers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

#define FREEZE_MAX 40 /* layers below the upper one; with more a checkpoint is a copy */
#define DEPTH_MAX 48  /* and with these there is none: their names must fit one mount's option */
#define IDS_MAX 200   /* more than all states together can name */
#define FIRST 0       /* the layer that rf-init made */

/* Layers have small numbers; a number is free when no state has it. */
struct state {
	char name[LAYERS_NAME_MAX];
	int64_t at_ms;
	int64_t bytes; /* of its own layer; -1: not measured */
	bool is_copy;
	int ids[DEPTH_MAX + 1]; /* the top one, its own, first */
	size_t n;
};

struct layers {
	struct state states[LAYERS_CHECKPOINTS_MAX]; /* in the order in which they were made */
	size_t n;
	unsigned made; /* for names */
	int upper;
	int lowers[DEPTH_MAX + 1]; /* below it */
	size_t n_lowers;
};

/* ---- layers by number ---- */

static const char *
layer_name(int id, char text[16])
{
	if (id == FIRST)
		(void)snprintf(text, 16, "upper");
	else
		(void)snprintf(text, 16, "%d", id);
	return text;
}

/* rf-init calls the first one's working directory "work", rf-layers those of the others "w" and the name. */
static const char *
work_name(int id, char text[16])
{
	if (id == FIRST)
		(void)snprintf(text, 16, "work");
	else
		(void)snprintf(text, 16, "w%d", id);
	return text;
}

static bool
has(const int *ids, size_t n, int id)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Whether one of the first N states, or what is mounted now when LIVE, needs layer ID. */
static bool
is_needed(const struct layers *layers, size_t n, bool live, int id)
{
	for (size_t i = 0; i < n; i++)
		if (has(layers->states[i].ids, layers->states[i].n, id))
			return true;
	return live && (layers->upper == id || has(layers->lowers, layers->n_lowers, id));
}

static int
free_id(const struct layers *layers)
{
	int id = FIRST + 1;
	while (is_needed(layers, layers->n, true, id))
		id++;
	return id;
}

static struct json *
names_of(const int *ids, size_t n)
{
	struct json *list = json_new_array();
	char text[16];
	for (size_t i = 0; i < n; i++)
		(void)json_push(list, json_new_string(layer_name(ids[i], text)));
	return list;
}

static struct json *
new_request(const char *what)
{
	struct json *request = json_new_object();
	(void)json_set_str(request, "do", what);
	return request;
}

/* ---- states ---- */

struct layers *
layers_new(void)
{
	struct layers *layers = calloc(1, sizeof(*layers));
	if (layers != NULL)
		layers->upper = FIRST;
	return layers;
}

struct layers *
layers_free(struct layers *layers)
{
	free(layers);
	return NULL;
}

size_t
layers_count(const struct layers *layers)
{
	return layers->n;
}

static ssize_t
index_of(const struct layers *layers, const char *name)
{
	for (size_t i = 0; i < layers->n; i++)
		if (strcmp(layers->states[i].name, name) == 0)
			return (ssize_t)i;
	return -1;
}

struct json *
layers_list(const struct layers *layers)
{
	struct json *list = json_new_array();
	for (size_t i = 0; i < layers->n; i++) {
		const struct state *state = &layers->states[i];
		struct json *entry = json_new_object();
		(void)json_set_str(entry, "name", state->name);
		(void)json_set_int(entry, "at_ms", state->at_ms);
		if (state->bytes >= 0)
			(void)json_set_int(entry, "bytes", state->bytes);
		(void)json_set_str(entry, "how", state->is_copy ? "copy" : "layer");
		(void)json_push(list, entry);
	}
	return list;
}

static bool
is_good_name(const char *name)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(name);
	return len > 0 && len < LAYERS_NAME_MAX && name[0] != '-' && strspn(name, allowed) == len &&
	    strcmp(name, LAYERS_BASE) != 0 && strcmp(name, LAYERS_NOW) != 0;
}

int
layers_name(
    const struct layers *layers, const char *name, char ret[LAYERS_NAME_MAX], struct error *err)
{
	if (layers->n == LAYERS_CHECKPOINTS_MAX) {
		(void)error_set(err, E2BIG, "too_many_checkpoints",
		    "the sandbox has %d checkpoints, as many as it can have",
		    LAYERS_CHECKPOINTS_MAX);
		error_remedy(err, "drop some, or roll back");
		return -E2BIG;
	}
	if (name != NULL && !is_good_name(name))
		return error_set(err, EINVAL, "bad_name",
		    "a checkpoint's name is 1 to %d letters, digits, dots and dashes, and not "
		    "\"base\" or "
		    "\"now\"",
		    LAYERS_NAME_MAX - 1);
	if (name != NULL && index_of(layers, name) >= 0)
		return error_set(
		    err, EEXIST, "name_taken", "there is a checkpoint called %s already", name);
	unsigned number = layers->made;
	do {
		if (name != NULL)
			(void)snprintf(ret, LAYERS_NAME_MAX, "%s", name);
		else
			(void)snprintf(ret, LAYERS_NAME_MAX, "c%u", ++number);
	} while (index_of(layers, ret) >= 0);
	return 0;
}

int
layers_find(const struct layers *layers, const char *name, bool base_too, struct error *err)
{
	if (index_of(layers, name) >= 0 || (base_too && strcmp(name, LAYERS_BASE) == 0))
		return 0;
	(void)error_set(
	    err, ENOENT, "no_such_checkpoint", "the sandbox has no checkpoint %.64s", name);
	error_remedy(err, "`ringfence sandbox checkpoint` lists those that it has");
	return -ENOENT;
}

static void
add_state(struct layers *layers, const char *name, int id, bool is_copy, int64_t bytes)
{
	struct state *state = &layers->states[layers->n++];
	*state = (struct state){.at_ms = clock_wall_ms(), .bytes = bytes, .is_copy = is_copy};
	(void)snprintf(state->name, sizeof(state->name), "%s", name);
	state->ids[state->n++] = id;
	for (size_t i = 0; i < layers->n_lowers; i++)
		state->ids[state->n++] = layers->lowers[i];
	layers->made++;
}

/* ---- making ---- */

struct json *
layers_ask_freeze(const struct layers *layers)
{
	char text[16];
	if (layers->n_lowers >= FREEZE_MAX)
		return NULL;
	int ids[DEPTH_MAX + 1] = {layers->upper};
	memcpy(ids + 1, layers->lowers, layers->n_lowers * sizeof(ids[0]));
	struct json *request = new_request("replace"), *remove = json_new_array();
	(void)json_set(request, "lowers", names_of(ids, layers->n_lowers + 1));
	(void)json_set_str(request, "upper", layer_name(free_id(layers), text));
	(void)json_push(remove, json_new_string(work_name(layers->upper, text)));
	(void)json_set(request, "remove", remove);
	return request;
}

void
layers_frozen(struct layers *layers, const char *name)
{
	int upper = free_id(layers);
	add_state(layers, name, layers->upper, false, -1);
	memmove(layers->lowers + 1, layers->lowers, layers->n_lowers * sizeof(layers->lowers[0]));
	layers->lowers[0] = layers->upper;
	layers->n_lowers++;
	layers->upper = upper;
}

struct json *
layers_ask_copy(const struct layers *layers)
{
	char text[16];
	if (layers->n_lowers >= DEPTH_MAX)
		return NULL;
	struct json *request = new_request("copy");
	(void)json_set_str(request, "from", layer_name(layers->upper, text));
	(void)json_set_str(request, "to", layer_name(free_id(layers), text));
	return request;
}

void
layers_copied(struct layers *layers, const char *name, int64_t bytes)
{
	add_state(layers, name, free_id(layers), true, bytes);
}

/* ---- dropping and going back ---- */

struct json *
layers_ask_drop(const struct layers *layers, const char *name)
{
	ssize_t at = index_of(layers, name);
	char text[16];
	if (at < 0)
		return NULL;
	struct layers *left = malloc(sizeof(*left));
	if (left == NULL)
		return NULL;
	*left = *layers;
	layers_dropped(left, name);
	struct json *request = new_request("remove"), *remove = json_new_array();
	const struct state *state = &layers->states[at];
	for (size_t i = 0; i < state->n; i++)
		if (!is_needed(left, left->n, true, state->ids[i]))
			(void)json_push(remove, json_new_string(layer_name(state->ids[i], text)));
	free(left);
	(void)json_set(request, "remove", remove);
	return request;
}

void
layers_dropped(struct layers *layers, const char *name)
{
	ssize_t at = index_of(layers, name);
	if (at < 0)
		return;
	memmove(&layers->states[at], &layers->states[at + 1],
	    (layers->n - (size_t)at - 1) * sizeof(layers->states[0]));
	layers->n--;
}

/* The states that stay when NAME comes back, or -1 if there is no such state. */
static ssize_t
states_kept(const struct layers *layers, const char *name)
{
	ssize_t at = index_of(layers, name);
	if (strcmp(name, LAYERS_BASE) == 0)
		return 0;
	return at < 0 ? -1 : at + 1;
}

struct json *
layers_ask_rollback(const struct layers *layers, const char *name)
{
	ssize_t kept = states_kept(layers, name);
	char text[16];
	if (kept < 0)
		return NULL;
	struct json *request = new_request("replace"), *remove = json_new_array();
	if (kept == 0)
		(void)json_set(request, "lowers", json_new_array());
	else
		(void)json_set(request, "lowers",
		    names_of(layers->states[kept - 1].ids, layers->states[kept - 1].n));
	(void)json_set_str(request, "upper", layer_name(free_id(layers), text));
	(void)json_set_bool(request, "lazy", true);
	for (int id = FIRST; id < IDS_MAX; id++)
		if (is_needed(layers, layers->n, true, id) &&
		    !is_needed(layers, (size_t)kept, false, id))
			(void)json_push(remove, json_new_string(layer_name(id, text)));
	(void)json_push(remove, json_new_string(work_name(layers->upper, text)));
	(void)json_set(request, "remove", remove);
	return request;
}

void
layers_rolled_back(struct layers *layers, const char *name)
{
	ssize_t kept = states_kept(layers, name);
	if (kept < 0)
		return;
	int upper = free_id(layers);
	layers->n = (size_t)kept;
	layers->upper = upper;
	layers->n_lowers = 0;
	if (kept == 0)
		return;
	const struct state *target = &layers->states[kept - 1];
	layers->n_lowers = target->n;
	memcpy(layers->lowers, target->ids, target->n * sizeof(layers->lowers[0]));
}

/* ---- looking ---- */

/* The layers of the state NAME into IDS. Their number, or -1 if there is no such state. */
static ssize_t
ids_of(const struct layers *layers, const char *name, int ids[DEPTH_MAX + 2])
{
	if (strcmp(name, LAYERS_BASE) == 0)
		return 0;
	if (strcmp(name, LAYERS_NOW) == 0) {
		ids[0] = layers->upper;
		memcpy(ids + 1, layers->lowers, layers->n_lowers * sizeof(ids[0]));
		return (ssize_t)layers->n_lowers + 1;
	}
	ssize_t at = index_of(layers, name);
	if (at < 0)
		return -1;
	memcpy(ids, layers->states[at].ids, layers->states[at].n * sizeof(ids[0]));
	return (ssize_t)layers->states[at].n;
}

static bool
add_view(const struct layers *layers, const char *name, struct json *views)
{
	int ids[DEPTH_MAX + 2];
	ssize_t n = ids_of(layers, name, ids);
	if (n < 0)
		return false;
	struct json *view = json_new_object();
	if (strcmp(name, LAYERS_NOW) != 0)
		(void)json_set(view, "lowers", names_of(ids, (size_t)n));
	return json_push(views, view) == 0;
}

struct json *
layers_ask_view(const struct layers *layers, const char *from, const char *to)
{
	struct json *request = new_request("view"), *views = json_new_array();
	bool known = add_view(layers, from, views) && add_view(layers, to, views);
	(void)json_set(request, "views", views);
	if (known)
		return request;
	json_free(request);
	return NULL;
}

char *
layers_between(const struct layers *layers, const char *from, const char *to)
{
	int a[DEPTH_MAX + 2], b[DEPTH_MAX + 2];
	ssize_t n_a = ids_of(layers, from, a), n_b = ids_of(layers, to, b);
	char text[16];
	struct buf names;
	if (n_a < 0 || n_b < 0)
		return NULL;
	buf_init(&names, 4096);
	for (ssize_t i = 0; i < n_a; i++)
		if (!has(b, (size_t)n_b, a[i]))
			(void)buf_addf(
			    &names, "%s%s", names.len > 0 ? "," : "", layer_name(a[i], text));
	for (ssize_t i = 0; i < n_b; i++)
		if (!has(a, (size_t)n_a, b[i]))
			(void)buf_addf(
			    &names, "%s%s", names.len > 0 ? "," : "", layer_name(b[i], text));
	char *result = buf_failed(&names) ? NULL : strdup(buf_str(&names));
	buf_done(&names);
	return result;
}

struct json *
layers_ask_measure(const struct layers *layers)
{
	struct json *request = new_request("measure"), *names = json_new_array();
	char text[16];
	for (size_t i = 0; i < layers->n; i++)
		if (layers->states[i].bytes < 0)
			(void)json_push(
			    names, json_new_string(layer_name(layers->states[i].ids[0], text)));
	bool any = json_len(names) > 0;
	(void)json_set(request, "names", names);
	if (any)
		return request;
	json_free(request);
	return NULL;
}

void
layers_measured(struct layers *layers, const struct json *bytes)
{
	size_t k = 0;
	for (size_t i = 0; i < layers->n; i++)
		if (layers->states[i].bytes < 0)
			layers->states[i].bytes = json_int(json_at(bytes, k++), 0);
}
