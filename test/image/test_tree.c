/* image/tree.h: what is written where, layer over layer; and what is not. */
#include "image_fixture.h"

static void
parents_are_made_and_files_have_contents(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(add_file(f, "a/b/c", "text"), 0);
	assert_string_equal(get(f->root, "a/b/c"), "text");
	assert_int_equal(f->tree.entries, 3);
	assert_int_equal(f->tree.bytes, 4);
}

static void
nothing_is_written_through_a_link(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(mkdirat(f->at, "outside", 0755), 0);
	assert_int_equal(add(f, TREE_LINK, "out", "../outside"), 0);
	/* The control: the link does lead there. */
	put(f->root, "out/control", "x");
	assert_string_equal(get(f->at, "outside/control"), "x");
	assert_int_equal(add_file(f, "out/x", "x"), -EBADMSG);
	assert_int_equal(add(f, TREE_DIR, "out/d", NULL), -EBADMSG);
	assert_int_equal(add(f, TREE_LINK, "out/l", "x"), -EBADMSG);
	assert_int_equal(add(f, TREE_HARD_LINK, "h", "out/control"), -EBADMSG);
	assert_null(get(f->at, "outside/x"));
	assert_null(get(f->at, "outside/d"));
	assert_null(get(f->at, "outside/l"));
	tree_next_layer(&f->tree);
	f->tree.layered = true;
	assert_int_equal(add_file(f, "out/x", "x"), -EBADMSG);
	assert_int_equal(add_file(f, "out/.wh.control", ""), -EBADMSG);
	assert_int_equal(add_file(f, "out/.wh..wh..opq", ""), -EBADMSG);
	assert_string_equal(get(f->at, "outside/control"), "x");
}

static void
nothing_is_there_twice_but_directories(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(add(f, TREE_DIR, "d", NULL), 0);
	assert_int_equal(add(f, TREE_DIR, "./d/", NULL), 0);
	assert_int_equal(add_file(f, "d", "x"), -EBADMSG);
	assert_int_equal(add_file(f, "f", "1"), 0);
	assert_int_equal(add_file(f, "f", "2"), -EBADMSG);
	assert_int_equal(add(f, TREE_DIR, "f", NULL), -EBADMSG);
	assert_int_equal(add_file(f, "f/x", "2"), -EBADMSG);
	assert_string_equal(get(f->root, "f"), "1");
}

static void
what_is_no_file_is_refused(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(add(f, TREE_OTHER, "d/sda", NULL), -EBADMSG);
	assert_int_equal(add(f, TREE_NULL_DEVICE, "n", NULL), -EBADMSG);
	assert_int_equal(add(f, TREE_LINK, "l", ""), -EBADMSG);
	assert_int_equal(add(f, TREE_LINK, "l", NULL), -EBADMSG);
	assert_int_equal(add(f, TREE_HARD_LINK, "h", NULL), -EBADMSG);
	assert_int_equal(add(f, TREE_HARD_LINK, "h", "."), -EBADMSG);
	assert_int_equal(add_file(f, ".", "x"), -EBADMSG);
	assert_int_equal(add(f, TREE_DIR, ".", NULL), 0);
}

static void
counts_and_sizes_are_bounded(void **state)
{
	struct fixture *f = *state;
	f->tree.limits = (struct image_limits){.bytes = 10, .entries = 4};
	assert_int_equal(add_file(f, "a", "12345"), 0);
	assert_int_equal(add_file(f, "b", "123456"), -EBADMSG);
	assert_int_equal(add_file(f, "c/d/e", "x"), -EBADMSG);
	struct contents c = {.text = "longer than it says"};
	struct tree_entry e = {
	    .path = "lie", .type = TREE_FILE, .size = 3, .read = read_contents, .data = &c};
	f->tree.limits.entries = 100;
	assert_int_equal(tree_add(&f->tree, &e, &f->err), -EBADMSG);
	e = (struct tree_entry){
	    .path = "minus", .type = TREE_FILE, .size = -1, .read = read_contents, .data = &c};
	assert_int_equal(tree_add(&f->tree, &e, &f->err), -EBADMSG);
}

static void
a_whiteout_hides_what_is_below_and_not_what_comes_with_it(void **state)
{
	struct fixture *f = *state;
	f->tree.layered = true;
	assert_int_equal(add_file(f, "d/low", "1"), 0);
	assert_int_equal(add_file(f, "e/low", "1"), 0);
	assert_int_equal(add_file(f, "gone", "1"), 0);
	assert_int_equal(add_file(f, "null", "1"), 0);
	tree_next_layer(&f->tree);
	assert_int_equal(add_file(f, "d/high", "2"), 0);
	assert_int_equal(add_file(f, "d/.wh..wh..opq", ""), 0); /* after what it is to keep */
	assert_int_equal(add_file(f, ".wh.e", ""), 0);
	assert_int_equal(add_file(f, "e/high", "2"), 0); /* before what it makes room for */
	assert_int_equal(add_file(f, ".wh.gone", ""), 0);
	assert_int_equal(add_file(f, ".wh.never", ""), 0);
	assert_int_equal(add_file(f, "none/.wh.x", ""), 0);
	assert_int_equal(add(f, TREE_NULL_DEVICE, "null", NULL), 0);
	assert_int_equal(add_file(f, "now-file", "2"), 0);
	assert_int_equal(add_file(f, "now-file/.wh.x", ""), 0); /* it was a directory below */
	assert_int_equal(add_file(f, "now-file/y/.wh.z", ""), 0);
	assert_int_equal(add_file(f, "now-file/y", ""), -EBADMSG);
	assert_null(get(f->root, "d/low"));
	assert_string_equal(get(f->root, "d/high"), "2");
	assert_null(get(f->root, "e/low"));
	assert_string_equal(get(f->root, "e/high"), "2");
	assert_null(get(f->root, "gone"));
	assert_null(get(f->root, "null"));
	assert_null(get(f->root, "none"));
}

static void
an_opaque_root_hides_everything_below(void **state)
{
	struct fixture *f = *state;
	f->tree.layered = true;
	assert_int_equal(add_file(f, "a/b", "1"), 0);
	tree_next_layer(&f->tree);
	assert_int_equal(add_file(f, "c", "2"), 0);
	assert_int_equal(add_file(f, ".wh..wh..opq", ""), 0);
	assert_null(get(f->root, "a"));
	assert_string_equal(get(f->root, "c"), "2");
}

static void
a_layer_replaces_whatever_is_below(void **state)
{
	struct fixture *f = *state;
	f->tree.layered = true;
	assert_int_equal(add_file(f, "file", "1"), 0);
	assert_int_equal(add_file(f, "dir/x", "1"), 0);
	assert_int_equal(add(f, TREE_LINK, "link", "dir"), 0);
	assert_int_equal(add_file(f, "shared", "1"), 0);
	assert_int_equal(add(f, TREE_HARD_LINK, "second", "shared"), 0);
	tree_next_layer(&f->tree);
	assert_int_equal(add(f, TREE_DIR, "file", NULL), 0);
	assert_int_equal(add_file(f, "dir", "2"), 0);
	assert_int_equal(add(f, TREE_DIR, "link", NULL), 0);
	assert_int_equal(add_file(f, "link/in", "2"), 0);
	assert_int_equal(add_file(f, "second", "2"), 0);
	assert_string_equal(get(f->root, "file"), "dir");
	assert_string_equal(get(f->root, "dir"), "2");
	assert_string_equal(get(f->root, "link/in"), "2");
	/* The other name of what was replaced keeps its contents. */
	assert_string_equal(get(f->root, "shared"), "1");
}

static void
whiteouts_are_names_where_there_are_no_layers(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(add_file(f, "x", "1"), 0);
	assert_int_equal(add_file(f, ".wh.x", ""), 0);
	assert_string_equal(get(f->root, "x"), "1");
	assert_string_equal(get(f->root, ".wh.x"), "");
}

static void
what_is_left_out_is_counted_and_not_written(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(add(f, TREE_DIR, "dev", NULL), 0);
	assert_int_equal(add(f, TREE_OTHER, "dev/sda", NULL), 0);
	assert_int_equal(add_file(f, "tmp/x", "x"), 0);
	assert_int_equal(f->tree.left_out, 2);
	assert_null(get(f->root, "dev"));
	assert_null(get(f->root, "tmp"));
}

#define tree_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    tree_test(parents_are_made_and_files_have_contents),
	    tree_test(nothing_is_written_through_a_link),
	    tree_test(nothing_is_there_twice_but_directories),
	    tree_test(what_is_no_file_is_refused),
	    tree_test(counts_and_sizes_are_bounded),
	    tree_test(a_whiteout_hides_what_is_below_and_not_what_comes_with_it),
	    tree_test(an_opaque_root_hides_everything_below),
	    tree_test(a_layer_replaces_whatever_is_below),
	    tree_test(whiteouts_are_names_where_there_are_no_layers),
	    tree_test(what_is_left_out_is_counted_and_not_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
