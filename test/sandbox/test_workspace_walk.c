/* What is found in an upper layer, also one that was built to deceive. */
#include "workspace_fixture.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

static void
expect(const struct changes *changes, const char *path, enum change_kind kind, enum entry_type type)
{
	const struct change *c = find_change(changes, path);
	assert_int_equal(c->kind, kind);
	assert_int_equal(c->type, type);
}

static void
whiteout(int dir, const char *path)
{
	if (mknodat(dir, path, S_IFCHR | 0600, makedev(0, 0)) < 0)
		skip();
}

static void
an_empty_upper_layer_is_no_change(void **state)
{
	struct changes changes;
	scan(*state, &changes);
	assert_int_equal(changes.n, 0);
	assert_int_equal(strlen(changes.digest), 64);
	changes_done(&changes);
}

static void
added_modified_and_identical_files_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	put(f->lower, "same", "text");
	put(f->upper, "same", "text");
	put(f->lower, "edited", "before");
	put(f->upper, "edited", "after!");
	put(f->upper, "new", "12345");
	scan(f, &changes);
	assert_int_equal(changes.n, 2);
	expect(&changes, "edited", CHANGE_MODIFIED, ENTRY_FILE);
	expect(&changes, "new", CHANGE_ADDED, ENTRY_FILE);
	assert_int_equal(changes.bytes, 11);
	assert_int_equal(changes.files, 2);
	changes_done(&changes);
}

static void
a_whiteout_deletes_a_file_and_all_of_a_directory(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	put(f->lower, "file", "x");
	make_dir(f->lower, "dir");
	make_dir(f->lower, "dir/sub");
	put(f->lower, "dir/sub/deep", "x");
	whiteout(f->upper, "file");
	whiteout(f->upper, "dir");
	whiteout(f->upper, "never-was");
	scan(f, &changes);
	assert_int_equal(changes.n, 4);
	expect(&changes, "file", CHANGE_DELETED, ENTRY_FILE);
	expect(&changes, "dir", CHANGE_DELETED, ENTRY_DIR);
	expect(&changes, "dir/sub/deep", CHANGE_DELETED, ENTRY_FILE);
	changes_done(&changes);
}

static void
an_empty_file_with_the_whiteout_attribute_deletes(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	put(f->lower, "file", "x");
	put(f->upper, "file", "");
	int fd = openat(f->upper, "file", O_RDONLY);
	if (fsetxattr(fd, "user.overlay.whiteout", "y", 1, 0) < 0)
		skip();
	(void)close(fd);
	scan(f, &changes);
	assert_int_equal(changes.n, 1);
	expect(&changes, "file", CHANGE_DELETED, ENTRY_FILE);
	changes_done(&changes);
}

static void
opaque_directory(struct fixture *f, const char *attribute, const char *value)
{
	struct changes changes;
	make_dir(f->lower, "dir");
	put(f->lower, "dir/hidden", "x");
	put(f->lower, "dir/kept", "x");
	make_dir(f->upper, "dir");
	put(f->upper, "dir/kept", "x");
	int fd = open_dir(f->upper, "dir");
	if (fsetxattr(fd, attribute, value, 1, 0) < 0)
		skip();
	(void)close(fd);
	scan(f, &changes);
	if (value[0] == 'y') {
		assert_int_equal(changes.n, 1);
		expect(&changes, "dir/hidden", CHANGE_DELETED, ENTRY_FILE);
	} else {
		assert_int_equal(changes.n, 0);
	}
	changes_done(&changes);
}

static void
an_opaque_directory_deletes_what_it_hides(void **state)
{
	opaque_directory(*state, "user.overlay.opaque", "y");
}

static void
the_privileged_form_of_opaque_is_understood(void **state)
{
	opaque_directory(*state, "trusted.overlay.opaque", "y");
}

static void
opaque_x_hides_nothing(void **state)
{
	opaque_directory(*state, "user.overlay.opaque", "x");
}

static void
a_redirected_directory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct error err;
	make_dir(f->upper, "dir");
	int fd = open_dir(f->upper, "dir");
	if (fsetxattr(fd, "user.overlay.redirect", "/etc", 4, 0) < 0)
		skip();
	(void)close(fd);
	assert_int_equal(workspace_scan(f->upper, f->lower, 0, &changes, &err), -EOPNOTSUPP);
}

static void
a_change_of_type_and_of_mode_is_seen(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	put(f->lower, "a", "x");
	make_dir(f->upper, "a");
	put(f->upper, "a/inside", "x");
	make_dir(f->lower, "b");
	put(f->lower, "b/old", "x");
	put(f->upper, "b", "now a file");
	put(f->lower, "c", "x");
	put(f->upper, "c", "x");
	assert_int_equal(fchmodat(f->upper, "c", 0755, 0), 0);
	scan(f, &changes);
	expect(&changes, "a", CHANGE_MODIFIED, ENTRY_DIR);
	assert_int_equal(find_change(&changes, "a")->old_type, ENTRY_FILE);
	expect(&changes, "a/inside", CHANGE_ADDED, ENTRY_FILE);
	expect(&changes, "b", CHANGE_MODIFIED, ENTRY_FILE);
	expect(&changes, "b/old", CHANGE_DELETED, ENTRY_FILE);
	assert_int_equal(find_change(&changes, "c")->flags, CHANGE_MODE);
	assert_int_equal(changes.n, 5);
	changes_done(&changes);
}

static void
set_id_bits_special_files_and_outside_links_are_flagged(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	put(f->upper, "suid", "x");
	assert_int_equal(fchmodat(f->upper, "suid", 04755, 0), 0);
	assert_int_equal(mkfifoat(f->upper, "fifo", 0644), 0);
	assert_int_equal(mknodat(f->upper, "socket", S_IFSOCK | 0644, 0), 0);
	make_dir(f->upper, "d");
	assert_int_equal(symlinkat("/etc/passwd", f->upper, "absolute"), 0);
	assert_int_equal(symlinkat("../../x", f->upper, "d/up"), 0);
	assert_int_equal(symlinkat("../suid", f->upper, "d/inside"), 0);
	make_dir(f->upper, ".ringfence-commit-planted");
	scan(f, &changes);
	assert_int_equal(find_change(&changes, "suid")->flags, CHANGE_SETID);
	assert_int_equal(find_change(&changes, "suid")->mode, 0755);
	assert_int_equal(find_change(&changes, "fifo")->flags, CHANGE_SPECIAL);
	assert_int_equal(find_change(&changes, "socket")->flags, CHANGE_SPECIAL);
	assert_int_equal(find_change(&changes, "absolute")->flags, CHANGE_OUTSIDE);
	assert_int_equal(find_change(&changes, "d/up")->flags, CHANGE_OUTSIDE);
	assert_int_equal(find_change(&changes, "d/inside")->flags, 0);
	assert_int_equal(find_change(&changes, ".ringfence-commit-planted")->flags, CHANGE_PRIVATE);
	changes_done(&changes);
}

static void
a_link_in_place_of_a_lower_directory_is_not_followed(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	make_dir(f->upper, "d");
	put(f->upper, "d/file", "x");
	assert_int_equal(symlinkat("/etc", f->lower, "d"), 0);
	scan(f, &changes);
	expect(&changes, "d", CHANGE_MODIFIED, ENTRY_DIR);
	expect(&changes, "d/file", CHANGE_ADDED, ENTRY_FILE);
	assert_int_equal(changes.n, 2);
	changes_done(&changes);
}

static void
a_tree_that_is_too_deep_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct error err;
	int at = dup(f->upper);
	for (int i = 0; i < WORKSPACE_DEPTH_MAX + 2; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		int next = open_dir(at, "d");
		(void)close(at);
		at = next;
	}
	(void)close(at);
	assert_int_equal(workspace_scan(f->upper, f->lower, 0, &changes, &err), -E2BIG);
	assert_non_null(strstr(err.message, "deeper"));
}

static void
a_sparse_file_past_the_bound_is_not_read(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	put(f->upper, "huge", "");
	int fd = openat(f->upper, "huge", O_WRONLY);
	if (ftruncate(fd, WORKSPACE_BYTES_MAX + 1) < 0)
		skip();
	(void)close(fd);
	scan(f, &changes);
	assert_int_equal(find_change(&changes, "huge")->flags, CHANGE_UNREAD);
	changes_done(&changes);
}

static void
a_lower_file_that_changed_after_the_start_is_a_conflict(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct error err;
	struct stat st;
	put(f->lower, "file", "theirs");
	put(f->upper, "file", "agent's");
	assert_int_equal(fstatat(f->lower, "file", &st, 0), 0);
	int64_t ms = (int64_t)st.st_ctim.tv_sec * 1000 + st.st_ctim.tv_nsec / 1000000;
	assert_int_equal(workspace_scan(f->upper, f->lower, ms - 1, &changes, &err), 0);
	assert_true(changes.flags & CHANGE_CONFLICT);
	changes_done(&changes);
	assert_int_equal(workspace_scan(f->upper, f->lower, ms + 1, &changes, &err), 0);
	assert_false(changes.flags & CHANGE_CONFLICT);
	changes_done(&changes);
}

static void
the_digest_follows_contents_names_and_modes_but_not_conflicts(void **state)
{
	struct fixture *f = *state;
	struct changes first, again, other;
	struct error err;
	put(f->lower, "a", "0");
	put(f->upper, "a", "1");
	scan(f, &first);
	assert_int_equal(workspace_scan(f->upper, f->lower, 1, &again, &err), 0);
	assert_true(again.flags & CHANGE_CONFLICT);
	assert_string_equal(first.digest, again.digest);
	put(f->upper, "a", "2");
	scan(f, &other);
	assert_string_not_equal(first.digest, other.digest);
	changes_done(&first);
	changes_done(&again);
	changes_done(&other);
}

static void
the_list_is_valid_json_and_its_text_is_escaped(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct buf out;
	struct json *parsed;
	buf_init(&out, 1 << 20);
	put(f->upper, "evil\033[2J\n\xff", "x");
	assert_int_equal(symlinkat("\033]0;x", f->upper, "l"), 0);
	scan(f, &changes);
	assert_int_equal(changes_to_text(&changes, &out), 0);
	assert_null(strchr(buf_str(&out), 033));
	buf_clear(&out);
	struct json *v = changes_to_json(&changes);
	assert_int_equal(json_write(v, &out), 0);
	assert_int_equal(json_parse(buf_str(&out), out.len, &parsed, NULL), 0);
	assert_int_equal(json_len(json_get(parsed, "changes")), 2);
	assert_string_equal(json_get_str(json_at(json_get(parsed, "changes"), 0), "path_hex", ""),
	    "6576696c1b5b324a0aff");
	json_free(parsed);
	json_free(v);
	v = changes_summary(&changes, 1, 4096);
	assert_int_equal(json_len(json_get(v, "paths")), 1);
	assert_int_equal(json_get_int(v, "omitted", 0), 1);
	json_free(v);
	buf_done(&out);
	changes_done(&changes);
}

static void
the_diff_shows_text_and_names_the_rest(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct error err;
	struct buf out;
	buf_init(&out, 1 << 20);
	put(f->lower, "text", "one\ntwo\nthree\n");
	put(f->upper, "text", "one\n2\nthree\n");
	put(f->upper, "new", "hello\n");
	put(f->upper, "binary", "x");
	int fd = openat(f->upper, "binary", O_WRONLY);
	assert_int_equal(write(fd, "\0\1\2", 3), 3);
	(void)close(fd);
	assert_int_equal(symlinkat("text", f->upper, "link"), 0);
	scan(f, &changes);
	assert_int_equal(changes_diff(&changes, f->upper, f->lower, true, &out, &err), 0);
	assert_string_equal(buf_str(&out),
	    "added binary: binary\n"
	    "added link: symbolic link to text\n"
	    "--- /dev/null\n+++ b/new\n@@ -0,0 +1,1 @@\n+hello\n"
	    "--- a/text\n+++ b/text\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n");
	buf_done(&out);
	changes_done(&changes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_empty_upper_layer_is_no_change),
	    TEST(added_modified_and_identical_files_are_told_apart),
	    TEST(a_whiteout_deletes_a_file_and_all_of_a_directory),
	    TEST(an_empty_file_with_the_whiteout_attribute_deletes),
	    TEST(an_opaque_directory_deletes_what_it_hides),
	    TEST(the_privileged_form_of_opaque_is_understood),
	    TEST(opaque_x_hides_nothing),
	    TEST(a_redirected_directory_is_refused),
	    TEST(a_change_of_type_and_of_mode_is_seen),
	    TEST(set_id_bits_special_files_and_outside_links_are_flagged),
	    TEST(a_link_in_place_of_a_lower_directory_is_not_followed),
	    TEST(a_tree_that_is_too_deep_is_an_error),
	    TEST(a_sparse_file_past_the_bound_is_not_read),
	    TEST(a_lower_file_that_changed_after_the_start_is_a_conflict),
	    TEST(the_digest_follows_contents_names_and_modes_but_not_conflicts),
	    TEST(the_list_is_valid_json_and_its_text_is_escaped),
	    TEST(the_diff_shows_text_and_names_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
