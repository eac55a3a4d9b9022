/* Two whole trees side by side: what differs, where it is looked for, and what of it may go out. */
#include "workspace_scenario.h"

#include <sys/xattr.h>

static void
compare(const struct fixture *f, const int *layers, size_t n, struct changes *ret)
{
	struct error err = {0};
	if (workspace_compare(f->lower, f->upper, layers, n, 0, ret, &err) < 0)
		fail_msg("%s", err.message);
}

static int
make_layer(const struct fixture *f, const char *name)
{
	(void)wsfs_remove_tree(f->dir, name);
	make_dir(f->dir, name);
	return open_dir(f->dir, name);
}

static void
drop_layer(const struct fixture *f, const char *name, int fd)
{
	(void)close(fd);
	assert_int_equal(wsfs_remove_tree(f->dir, name), 0);
}

static void
every_kind_of_difference_is_found(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	scenario_fill_whole(f);
	compare(f, NULL, 0, &changes);
	static const struct {
		const char *path;
		enum change_kind kind;
		enum entry_type type, old_type;
	} expected[] = {
	    {"added", CHANGE_ADDED, ENTRY_DIR, ENTRY_NONE},
	    {"added/link", CHANGE_ADDED, ENTRY_SYMLINK, ENTRY_NONE},
	    {"dir", CHANGE_MODIFIED, ENTRY_DIR, ENTRY_DIR},
	    {"dir/edited", CHANGE_MODIFIED, ENTRY_FILE, ENTRY_FILE},
	    {"dir-to-file", CHANGE_MODIFIED, ENTRY_FILE, ENTRY_DIR},
	    {"dir-to-file/inside", CHANGE_DELETED, ENTRY_FILE, ENTRY_FILE},
	    {"edited", CHANGE_MODIFIED, ENTRY_FILE, ENTRY_FILE},
	    {"file-to-dir", CHANGE_MODIFIED, ENTRY_DIR, ENTRY_FILE},
	    {"file-to-dir/inside", CHANGE_ADDED, ENTRY_FILE, ENTRY_NONE},
	    {"gone", CHANGE_DELETED, ENTRY_FILE, ENTRY_FILE},
	    {"mode", CHANGE_MODIFIED, ENTRY_FILE, ENTRY_FILE},
	    {"tree/sub/leaf", CHANGE_DELETED, ENTRY_FILE, ENTRY_FILE},
	};
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		const struct change *c = find_change(&changes, expected[i].path);
		assert_int_equal(c->kind, expected[i].kind);
		assert_int_equal(c->type, expected[i].type);
		assert_int_equal(c->old_type, expected[i].old_type);
	}
	assert_int_equal(changes.n, 19);
	changes_done(&changes);
}

static void
a_tree_differs_from_itself_in_nothing(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct error err;
	scenario_fill_whole(f);
	assert_int_equal(workspace_compare(f->upper, f->upper, NULL, 0, 0, &changes, &err), 0);
	assert_int_equal(changes.n, 0);
	changes_done(&changes);
}

static void
it_is_looked_only_where_a_layer_has_something(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	int one = make_layer(f, "one"), two = make_layer(f, "two");
	make_dir(f->lower, "d");
	make_dir(f->upper, "d");
	make_dir(one, "d");
	put(f->upper, "d/in-one", "x");
	put(one, "d/in-one", "whatever");
	put(f->upper, "in-two", "x");
	put(two, "in-two", "whatever");
	put(one, "in-two", "twice");
	put(f->upper, "d/in-none",
	    "x"); /* it cannot be, says who made the layers: it is not looked for */
	put(one, "in-neither", "x");
	const int layers[] = {one, two};
	compare(f, layers, 2, &changes);
	assert_int_equal(changes.n, 2);
	assert_int_equal(find_change(&changes, "d/in-one")->kind, CHANGE_ADDED);
	assert_int_equal(find_change(&changes, "in-two")->kind, CHANGE_ADDED);
	changes_done(&changes);
	drop_layer(f, "one", one);
	drop_layer(f, "two", two);
}

static void
below_what_a_layer_replaced_everything_is_compared(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	int one = make_layer(f, "one");
	static const char *const names[] = {"opaque", "whiteout", "file"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[64];
		make_dir(f->lower, names[i]);
		make_dir(f->upper, names[i]);
		(void)snprintf(path, sizeof(path), "%s/hidden", names[i]);
		put(f->lower, path, "x");
	}
	make_dir(one, "opaque");
	int opaque = open_dir(one, "opaque");
	bool attributes = fsetxattr(opaque, "user.overlay.opaque", "y", 1, 0) == 0;
	(void)close(opaque);
	put(one, "file", "x");
	if (!attributes || mknodat(one, "whiteout", S_IFCHR | 0600, makedev(0, 0)) < 0) {
		drop_layer(f, "one", one);
		skip();
	}
	compare(f, &one, 1, &changes);
	assert_int_equal(changes.n, 3);
	for (size_t i = 0; i < changes.n; i++)
		assert_int_equal(changes.items[i].kind, CHANGE_DELETED);
	changes_done(&changes);
	drop_layer(f, "one", one);
}

static void
the_same_file_in_both_is_not_read(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	put(f->lower, "one", "x");
	assert_int_equal(linkat(f->lower, "one", f->upper, "one", 0), 0);
	assert_int_equal(fchmodat(f->lower, "one", 0, 0), 0); /* nor could it be */
	compare(f, NULL, 0, &changes);
	assert_int_equal(changes.n, 0);
	changes_done(&changes);
	assert_int_equal(fchmodat(f->lower, "one", 0644, 0), 0);
}

static void
links_that_may_lead_out_stay_behind(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *path, *target;
		bool stays_inside;
	} links[] = {
	    {"a", "b", true},
	    {"b", "./d/../a", false}, /* what "d" is then, a link perhaps, nobody knows */
	    {"c", "..", false},
	    {"d/a", "../a", true},
	    {"d/b", "./../a", true},
	    {"d/c", "../..", false},
	    {"d/e/f", "../../a", true},
	    {"d/e/g", "..//../..", false},
	    {"e", "/", false},
	    {"g", "/workspace/a", false},
	    {"h", "...", true},
	    {"i", "d/e/f", true},
	    {"j", ".", true},
	    {"k", "j/..", false},
	};
	struct changes changes;
	make_dir(f->upper, "d");
	make_dir(f->upper, "d/e");
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		assert_int_equal(symlinkat(links[i].target, f->upper, links[i].path), 0);
	compare(f, NULL, 0, &changes);
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		const struct change *c = find_change(&changes, links[i].path);
		if (change_is_withheld(c) == links[i].stays_inside)
			fail_msg("%s -> %s", links[i].path, links[i].target);
	}
	struct commit_options options = {test_key, sizeof(test_key), NULL, false};
	struct commit_result result;
	struct error err = {0};
	assert_int_equal(
	    workspace_commit(f->upper, f->lower, &changes, &options, &result, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		assert_int_equal(exists(f->lower, links[i].path), links[i].stays_inside);
	assert_int_equal(result.withheld, 7);
	changes_done(&changes);
}

static void
a_link_that_led_out_before_can_be_deleted(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct commit_options options = {test_key, sizeof(test_key), NULL, false};
	struct commit_result result;
	struct error err = {0};
	assert_int_equal(symlinkat("/etc", f->lower, "out"), 0);
	assert_int_equal(symlinkat("/etc", f->lower, "kept"), 0);
	assert_int_equal(symlinkat("/etc", f->upper, "kept"), 0);
	compare(f, NULL, 0, &changes);
	assert_int_equal(changes.n, 1);
	assert_int_equal(
	    workspace_commit(f->upper, f->lower, &changes, &options, &result, &err), 0);
	assert_false(exists(f->lower, "out"));
	assert_true(exists(f->lower, "kept"));
	changes_done(&changes);
}

static void
what_changed_since_is_a_conflict(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct error err;
	put(f->lower, "a", "user");
	put(f->upper, "a", "agent");
	assert_int_equal(workspace_compare(f->lower, f->upper, NULL, 0, 1, &changes, &err), 0);
	assert_true(find_change(&changes, "a")->flags & CHANGE_CONFLICT);
	changes_done(&changes);
	assert_int_equal(
	    workspace_compare(f->lower, f->upper, NULL, 0, 4102444800000, &changes, &err), 0);
	assert_false(find_change(&changes, "a")->flags & CHANGE_CONFLICT);
	changes_done(&changes);
}

static void
a_tree_without_bottom_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct error err;
	int at = dup(f->upper);
	for (int i = 0; i < WORKSPACE_DEPTH_MAX + 2; i++) {
		make_dir(at, "d");
		int next = open_dir(at, "d");
		(void)close(at);
		at = next;
	}
	(void)close(at);
	assert_true(workspace_compare(f->lower, f->upper, NULL, 0, 0, &changes, &err) < 0);
	assert_true(workspace_compare(f->upper, f->lower, NULL, 0, 0, &changes, &err) < 0);
	int layers[WORKSPACE_LAYERS_MAX + 1] = {0};
	assert_int_equal(
	    workspace_compare(f->lower, f->upper, layers, ARRAY_LEN(layers), 0, &changes, &err),
	    -E2BIG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_kind_of_difference_is_found),
	    TEST(a_tree_differs_from_itself_in_nothing),
	    TEST(it_is_looked_only_where_a_layer_has_something),
	    TEST(below_what_a_layer_replaced_everything_is_compared),
	    TEST(the_same_file_in_both_is_not_read),
	    TEST(links_that_may_lead_out_stay_behind),
	    TEST(a_link_that_led_out_before_can_be_deleted),
	    TEST(what_changed_since_is_a_conflict),
	    TEST(a_tree_without_bottom_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
