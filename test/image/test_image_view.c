/* sandbox/image_view.h and image/store.h: names, views, programs, holding and removing. */
#include "image_fixture.h"

#include <sys/file.h>

#include "image/store.h"
#include "sandbox/image_view.h"

static void
names_are_settled(void **state)
{
	static const char *const good[][2] = {{"debian", "debian:latest"},
	    {"debian:12", "debian:12"}, {"a/b", "a/b:latest"},
	    {"host:5000/a", "host:5000/a:latest"}, {"_x.y-z:1", "_x.y-z:1"}};
	static const char *const bad[] = {"", ":", "a:", ":a", "a:b:c", "/a", "a/", "a//b",
	    "a/../b", "a/./b", "..", ".a", "a b", "a\nb", "a@b", "sha256", "sha256:", "sha256:abc",
	    "a!b", "a/:b"};
	char settled[IMAGE_NAME_SIZE], encoded[IMAGE_NAME_SIZE];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(image_name_settle(good[i][0], settled), 0);
		assert_string_equal(settled, good[i][1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(image_name_settle(bad[i], settled), -EINVAL);
	image_name_encode("a/b/c:1", encoded);
	assert_string_equal(encoded, "a!b!c:1");
}

struct stored {
	struct image_store store;
	char id[IMAGE_NAME_SIZE];
};

/* Stores an image whose tree is what is in the fixture's root, called NAME. */
static void
store(struct fixture *f, struct stored *s, const char *name, const char *text)
{
	char stage[STORE_STAGE_SIZE], path[STORE_STAGE_SIZE + 16];
	int lock = -1;
	bool is_new;
	_cleanup_json_ struct json *content = json_new_object(), *import = json_new_object();
	struct json *env = json_new_object(), *top = json_new_array(), *usr = json_new_object(),
		    *bin = json_new_object();
	(void)json_set_str(env, "PATH", "relative:/nowhere:/opt:/bin:/tmp");
	(void)json_set(content, "env", env);
	(void)json_set_str(content, "passwd", "web:x:33:33::/:/x\n");
	(void)json_set_str(content, "text", text);
	(void)json_set_str(usr, "name", "usr");
	(void)json_set_str(usr, "type", "dir");
	(void)json_push(top, usr);
	(void)json_set_str(bin, "name", "bin");
	(void)json_set_str(bin, "type", "link");
	(void)json_set_str(bin, "target", "usr/bin");
	(void)json_push(top, bin);
	(void)json_set(content, "top", top);
	assert_int_equal(image_store_open(f->base, &s->store, &f->err), 0);
	assert_int_equal(image_store_stage(&s->store, stage, &lock, &f->err), 0);
	(void)snprintf(path, sizeof(path), "%s/rootfs", stage);
	assert_int_equal(renameat(f->at, "root", s->store.images, path), 0);
	assert_int_equal(image_store_commit(&s->store, stage, lock, content, import, name, s->id,
			     &is_new, &f->err),
	    0);
	assert_true(is_new);
	(void)close(lock);
}

static void
fill_root(struct fixture *f)
{
	static const char *const directories[] = {"usr", "usr/bin", "opt", "etc"};
	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		assert_int_equal(mkdirat(f->root, directories[i], 0755), 0);
	put(f->root, "usr/bin/box", "x");
	assert_int_equal(fchmodat(f->root, "usr/bin/box", 0755, 0), 0);
	put(f->root, "usr/bin/data", "x");
	assert_int_equal(symlinkat("usr/bin", f->root, "bin"), 0);
	assert_int_equal(symlinkat("/bin/box", f->root, "opt/sh"), 0);
	assert_int_equal(symlinkat("../../../../../../bin/sh", f->root, "opt/out"), 0);
	assert_int_equal(symlinkat("/proc/self/exe", f->root, "opt/self"), 0);
	assert_int_equal(symlinkat("loop", f->root, "opt/loop"), 0);
}

static void
a_view_shows_what_the_image_has(void **state)
{
	struct fixture *f = *state;
	struct stored s;
	_cleanup_json_ struct json *view = NULL;
	fill_root(f);
	store(f, &s, "a:1", "");
	assert_int_equal(image_view(s.store.state, "/state", "a:1", 1000, 1001, &view, &f->err), 0);
	const struct json *bind = json_at(json_get(view, "binds"), 0);
	assert_int_equal(json_len(json_get(view, "binds")), 1);
	assert_string_equal(json_get_str(bind, "to", ""), "/usr");
	char from[256];
	(void)snprintf(from, sizeof(from), "/state/images/sha256-%s/rootfs/usr", s.id + 7);
	assert_string_equal(json_get_str(bind, "from", ""), from);
	assert_string_equal(
	    json_get_str(json_at(json_get(view, "links"), 0), "target", ""), "usr/bin");
	assert_string_equal(json_get_str(json_at(json_get(view, "files"), 0), "text", ""),
	    "agent:x:1000:1001:agent:/home/agent:/bin/sh\nweb:x:33:33::/:/x\n");
	assert_int_equal(json_len(json_get(view, "rules")), 2);
	assert_string_equal(json_get_str(view, "image", ""), s.id);
	assert_int_equal(image_view(s.store.state, "/", "a:2", 0, 0, &view, &f->err), -ENOENT);
	assert_string_equal(f->err.code, "no_image");
	assert_true(f->err.remedy[0] != 0);
	image_store_done(&s.store);
}

static void
programs_are_found_inside_only(void **state)
{
	static const struct {
		const char *name, *cwd;
		int r;
		const char *program, *resolved;
	} cases[] = {
	    {"box", "/", 0, "/usr/bin/box", "/usr/bin/box"},
	    {"sh", "/", 0, "/opt/sh", "/usr/bin/box"},
	    {"/bin/box", "/", 0, "/usr/bin/box", "/usr/bin/box"},
	    {"../usr/./bin//box", "/opt", 0, "/usr/bin/box", "/usr/bin/box"},
	    {"/../../../bin/box", "/", 0, "/usr/bin/box", "/usr/bin/box"},
	    {"./x", "/workspace/d", 0, "/workspace/d/x", "/workspace/d/x"},
	    {"/tmp/../tmp/x", "/", 0, "/tmp/x", "/tmp/x"},
	    {"data", "/", -EACCES, NULL, NULL},
	    {"/usr/bin", "/", -EACCES, NULL, NULL},
	    {"/", "/", -EACCES, NULL, NULL},
	    {"", "/", -ENOENT, NULL, NULL},
	    {"out", "/", -ENOENT, NULL, NULL},
	    {"/opt/out", "/", -ENOENT, NULL, NULL},
	    {"/opt/self", "/", -ENOENT, NULL, NULL},
	    {"/opt/loop", "/", -ENOENT, NULL, NULL},
	    {"/etc/../../../../bin/ls", "/", -ENOENT, NULL, NULL},
	};
	struct fixture *f = *state;
	struct stored s;
	char program[RESOLVED_MAX], resolved[RESOLVED_MAX];
	fill_root(f);
	store(f, &s, "a:latest", "");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = image_resolve(
		    s.store.state, "a", cases[i].name, cases[i].cwd, program, resolved);
		assert_int_equal(r, cases[i].r);
		if (r < 0)
			continue;
		assert_string_equal(program, cases[i].program);
		assert_string_equal(resolved, cases[i].resolved);
	}
	assert_int_equal(image_resolve(s.store.state, "b", "box", "/", program, resolved), -ENOENT);
	image_store_done(&s.store);
}

static void
an_image_that_is_held_is_not_removed(void **state)
{
	struct fixture *f = *state;
	struct stored s;
	bool removed;
	struct image_gc gc;
	fill_root(f);
	store(f, &s, "a:latest", "");
	int held = image_hold(s.store.state, "a", &f->err);
	assert_true(held >= 0);
	assert_int_equal(image_store_remove(&s.store, "a", &removed, &f->err), -EBUSY);
	assert_int_equal(unlinkat(s.store.names, "a:latest", 0), 0);
	assert_int_equal(image_store_gc(&s.store, &gc, &f->err), 0);
	assert_int_equal(gc.in_use, 1);
	(void)close(held);
	assert_int_equal(image_store_gc(&s.store, &gc, &f->err), 0);
	assert_int_equal(gc.images, 1);
	assert_int_equal(image_hold(s.store.state, s.id, &f->err), -ENOENT);
	image_store_done(&s.store);
}

static void
a_forged_or_foreign_entry_of_the_store_is_no_image(void **state)
{
	struct fixture *f = *state;
	struct stored s;
	char dir[IMAGE_DIR_SIZE];
	fill_root(f);
	store(f, &s, "a:latest", "");
	assert_int_equal(symlinkat("../../elsewhere", s.store.names, "b:1"), 0);
	assert_int_equal(symlinkat("../sha256-abc", s.store.names, "b:2"), 0);
	put(s.store.names, "b:3", "x");
	for (int i = 1; i <= 3; i++) {
		char name[8];
		(void)snprintf(name, sizeof(name), "b:%d", i);
		assert_int_equal(image_find(s.store.state, name, dir, &f->err), -ENOENT);
	}
	assert_int_equal(image_find(s.store.state, "a", dir, &f->err), 0);
	struct json *image = NULL;
	char path[IMAGE_DIR_SIZE + 16];
	(void)snprintf(path, sizeof(path), "%s/image.json", dir);
	put(s.store.state, path, "{\"content\":");
	assert_int_equal(image_load(s.store.state, dir, &image, &f->err), -EIO);
	image_store_done(&s.store);
}

#define view_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_are_settled),
	    view_test(a_view_shows_what_the_image_has),
	    view_test(programs_are_found_inside_only),
	    view_test(an_image_that_is_held_is_not_removed),
	    view_test(a_forged_or_foreign_entry_of_the_store_is_no_image),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
