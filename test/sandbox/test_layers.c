/* The lists of layers: whatever is done in whatever order, each state keeps the layers that it is made of, and what
 * none needs goes. A disk of numbers stands for the layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/layers.h"

#define KEYS 4
#define LAYERS 256
#define NOTHING (-1)

/* A layer is a few numbers, each there or not; a state is what is seen through its layers. */
struct disk {
	bool exists[LAYERS];
	int value[LAYERS][KEYS];
	int chain[LAYERS]; /* what is mounted, the upper one first */
	size_t n;
};

struct model {
	struct layers *layers;
	struct disk disk;
	char names[LAYERS_CHECKPOINTS_MAX][LAYERS_NAME_MAX];
	int seen[LAYERS_CHECKPOINTS_MAX][KEYS];
	size_t n;
};

/* ---- the disk ---- */

static int
number_of(const char *name)
{
	return strcmp(name, "upper") == 0 ? 0 : (int)strtol(name, NULL, 10);
}

static void
see(const struct disk *disk, int ret[KEYS])
{
	for (int k = 0; k < KEYS; k++) {
		ret[k] = NOTHING;
		for (size_t i = 0; i < disk->n && ret[k] == NOTHING; i++)
			ret[k] = disk->value[disk->chain[i]][k];
	}
}

static void
make_layer(struct disk *disk, int id)
{
	assert_true(id > 0 && id < LAYERS);
	assert_false(disk->exists[id]);
	disk->exists[id] = true;
	for (int k = 0; k < KEYS; k++)
		disk->value[id][k] = NOTHING;
}

static void
remove_layers(struct disk *disk, const struct json *names)
{
	for (size_t i = 0; i < json_len(names); i++) {
		const char *name = json_str(json_at(names, i), "");
		if (name[0] == 'w')
			continue; /* a working directory */
		int id = number_of(name);
		assert_true(disk->exists[id]);
		disk->exists[id] = false;
		for (size_t c = 0; c < disk->n; c++)
			assert_int_not_equal(disk->chain[c], id);
	}
}

/* What rf-layers does. */
static void
perform(struct disk *disk, struct json *request)
{
	const char *what = json_get_str(request, "do", "");
	const struct json *lowers = json_get(request, "lowers");
	if (strcmp(what, "replace") == 0) {
		int upper = number_of(json_get_str(request, "upper", ""));
		make_layer(disk, upper);
		disk->n = 0;
		disk->chain[disk->n++] = upper;
		size_t length = 12;
		for (size_t i = 0; i < json_len(lowers); i++) {
			const char *name = json_str(json_at(lowers, i), "");
			length += strlen(name) + 1;
			disk->chain[disk->n++] = number_of(name);
			assert_true(disk->exists[number_of(name)]);
		}
		assert_true(length < 256); /* what one mount option can hold */
	} else if (strcmp(what, "copy") == 0) {
		int from = number_of(json_get_str(request, "from", "")),
		    to = number_of(json_get_str(request, "to", ""));
		assert_int_equal(from, disk->chain[0]);
		make_layer(disk, to);
		memcpy(disk->value[to], disk->value[from], sizeof(disk->value[to]));
	}
	remove_layers(disk, json_get(request, "remove"));
	json_free(request);
}

/* ---- the model ---- */

static void
model_init(struct model *m)
{
	*m = (struct model){.layers = layers_new()};
	assert_non_null(m->layers);
	m->disk.exists[0] = true;
	m->disk.n = 1;
	for (int k = 0; k < KEYS; k++)
		m->disk.value[0][k] = NOTHING;
}

static bool
make(struct model *m, bool copy)
{
	struct error err;
	char name[LAYERS_NAME_MAX];
	if (layers_name(m->layers, NULL, name, &err) < 0)
		return false;
	struct json *request = copy ? layers_ask_copy(m->layers) : layers_ask_freeze(m->layers);
	if (request == NULL)
		return false;
	see(&m->disk, m->seen[m->n]);
	perform(&m->disk, request);
	if (copy)
		layers_copied(m->layers, name, 1);
	else
		layers_frozen(m->layers, name);
	(void)snprintf(m->names[m->n++], LAYERS_NAME_MAX, "%s", name);
	return true;
}

static void
expect_seen(const struct model *m, const int expected[KEYS])
{
	int now[KEYS];
	see(&m->disk, now);
	assert_memory_equal(now, expected, sizeof(now));
}

static void
go_back(struct model *m, size_t i)
{
	int before[KEYS];
	memcpy(before, m->seen[i], sizeof(before));
	perform(&m->disk, layers_ask_rollback(m->layers, m->names[i]));
	layers_rolled_back(m->layers, m->names[i]);
	m->n = i + 1;
	expect_seen(m, before);
}

static void
drop(struct model *m, size_t i)
{
	int before[KEYS];
	see(&m->disk, before);
	perform(&m->disk, layers_ask_drop(m->layers, m->names[i]));
	layers_dropped(m->layers, m->names[i]);
	for (size_t k = i; k + 1 < m->n; k++) {
		memcpy(m->names[k], m->names[k + 1], LAYERS_NAME_MAX);
		memcpy(m->seen[k], m->seen[k + 1], sizeof(m->seen[k]));
	}
	m->n--;
	expect_seen(m, before);
}

static size_t
layers_on(const struct disk *disk)
{
	size_t n = 0;
	for (int id = 0; id < LAYERS; id++)
		n += disk->exists[id];
	return n;
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

static void
every_state_stays_what_it_was_whatever_is_done(void **state)
{
	for (uint32_t round = 1; round <= 200; round++) {
		struct model m;
		uint32_t seed = round;
		model_init(&m);
		for (int step = 0; step < 300; step++) {
			uint32_t what = next_random(&seed) % 16, which = next_random(&seed);
			if (what < 8)
				m.disk.value[m.disk.chain[0]][which % KEYS] = step;
			else if (what < 13)
				(void)make(&m, which % 3 == 0);
			else if (m.n > 0 && what == 13 && which % 2 == 0)
				go_back(&m, which / 2 % m.n);
			else if (m.n > 0 && what > 13)
				drop(&m, which % m.n);
			assert_int_equal(layers_count(m.layers), m.n);
		}
		/* With every checkpoint gone only what is mounted is left. */
		while (m.n > 0)
			drop(&m, m.n - 1);
		assert_int_equal(layers_on(&m.disk), m.disk.n);
		struct json *request = layers_ask_rollback(m.layers, LAYERS_BASE);
		perform(&m.disk, request);
		layers_rolled_back(m.layers, LAYERS_BASE);
		assert_int_equal(layers_on(&m.disk), 1);
		layers_free(m.layers);
	}
}

static void
when_one_mount_has_too_many_layers_copies_are_made_and_then_none(void **state)
{
	struct model m;
	struct error err;
	char name[LAYERS_NAME_MAX];
	size_t frozen = 0;
	model_init(&m);
	while (make(&m, false))
		frozen++;
	assert_true(frozen > 20 && frozen < LAYERS_CHECKPOINTS_MAX);
	while (make(&m, true))
		;
	assert_int_equal(m.n, LAYERS_CHECKPOINTS_MAX);
	assert_int_equal(layers_name(m.layers, NULL, name, &err), -E2BIG);
	assert_string_equal(err.code, "too_many_checkpoints");
	/* Copy and go back, again and again: each adds a layer. */
	while (m.n > 1)
		drop(&m, 0);
	go_back(&m, 0);
	while (make(&m, true))
		go_back(&m, m.n - 1);
	assert_null(layers_ask_copy(m.layers));
	assert_null(layers_ask_freeze(m.layers));
	layers_free(m.layers);
}

static void
the_first_freeze_puts_a_layer_over_the_one_that_was_there(void **state)
{
	struct layers *layers = layers_new();
	_cleanup_json_ struct json *request = layers_ask_freeze(layers);
	_cleanup_buf_ struct buf text;
	buf_init(&text, 4096);
	assert_int_equal(json_write(request, &text), 0);
	assert_string_equal(buf_str(&text),
	    "{\"do\":\"replace\",\"lowers\":[\"upper\"],\"remove\":[\"work\"],\"upper\":\"1\"}");
	layers_free(layers);
}

static void
names_that_mean_something_else_are_refused(void **state)
{
	static const char *const bad[] = {
	    "", "base", "now", "-x", "a/b", "a b", "a,b", "\xc3\xa4", "a:b"};
	struct layers *layers = layers_new();
	struct error err;
	char name[LAYERS_NAME_MAX];
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(layers_name(layers, bad[i], name, &err), -EINVAL);
	assert_int_equal(layers_name(layers, "good.name-1_x", name, &err), 0);
	layers_frozen(layers, name);
	assert_int_equal(layers_name(layers, "good.name-1_x", name, &err), -EEXIST);
	assert_int_equal(layers_find(layers, "good.name-1_x", false, &err), 0);
	assert_int_equal(layers_find(layers, "base", true, &err), 0);
	assert_int_equal(layers_find(layers, "base", false, &err), -ENOENT);
	assert_int_equal(layers_find(layers, "other", true, &err), -ENOENT);
	assert_null(layers_ask_drop(layers, "other"));
	assert_null(layers_ask_rollback(layers, "other"));
	assert_null(layers_ask_view(layers, "base", "other"));
	assert_null(layers_between(layers, "other", "now"));
	layers_free(layers);
}

static void
states_differ_only_in_the_layers_that_one_has_and_the_other_has_not(void **state)
{
	static const struct {
		const char *from, *to, *between;
	} cases[] = {
	    {"base", "base", ""},
	    {"base", "a", "upper"},
	    {"a", "base", "upper"},
	    {"a", "copy", "2"},
	    {"copy", "now", "2,3,1"},
	    {"copy", "b", "2,1"},
	    {"base", "now", "3,1,upper"},
	    {"now", "now", ""},
	};
	struct layers *layers = layers_new();
	layers_frozen(layers, "a");         /* upper; 1 is written */
	layers_copied(layers, "copy", 100); /* 2 */
	layers_frozen(layers, "b");         /* 1; 3 is written */
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_free_ char *between = layers_between(layers, cases[i].from, cases[i].to);
		assert_string_equal(between, cases[i].between);
	}
	_cleanup_json_ struct json *measure = layers_ask_measure(layers);
	assert_int_equal(json_len(json_get(measure, "names")), 2);
	struct json *bytes = json_new_array();
	(void)json_push(bytes, json_new_int(7));
	(void)json_push(bytes, json_new_int(8));
	layers_measured(layers, bytes);
	json_free(bytes);
	assert_null(layers_ask_measure(layers));
	_cleanup_json_ struct json *list = layers_list(layers);
	assert_int_equal(json_get_int(json_at(list, 1), "bytes", 0), 100);
	assert_int_equal(json_get_int(json_at(list, 2), "bytes", 0), 8);
	layers_free(layers);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_state_stays_what_it_was_whatever_is_done),
	    cmocka_unit_test(when_one_mount_has_too_many_layers_copies_are_made_and_then_none),
	    cmocka_unit_test(the_first_freeze_puts_a_layer_over_the_one_that_was_there),
	    cmocka_unit_test(names_that_mean_something_else_are_refused),
	    cmocka_unit_test(states_differ_only_in_the_layers_that_one_has_and_the_other_has_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
