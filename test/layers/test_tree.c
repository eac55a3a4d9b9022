/* Trees that an agent made are copied as they are and removed however they are. */
#include "../sandbox/workspace_fixture.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "layers/layers.h"

static void
copy(const struct fixture *f)
{
	int64_t bytes = -1;
	struct error err = {0};
	if (tree_copy(f->dir, "upper", "copy", &bytes, &err) < 0)
		fail_msg("%s", err.message);
	assert_true(bytes >= 0);
}

static void
drop_copy(const struct fixture *f)
{
	assert_int_equal(tree_remove(f->dir, "copy"), 0);
	assert_false(exists(f->dir, "copy"));
}

/* Type, mode, links, size, room, times. */
static void
expect_alike(const struct fixture *f, const char *name)
{
	char from[64], to[64];
	struct stat a, b;
	(void)snprintf(from, sizeof(from), "upper/%s", name);
	(void)snprintf(to, sizeof(to), "copy/%s", name);
	assert_int_equal(fstatat(f->dir, from, &a, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(fstatat(f->dir, to, &b, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(a.st_uid, b.st_uid);
	assert_int_equal(a.st_rdev, b.st_rdev);
	assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
	assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
	if (S_ISDIR(a.st_mode))
		return;
	assert_int_equal(a.st_nlink, b.st_nlink);
	assert_int_equal(a.st_size, b.st_size);
	assert_int_equal(a.st_blocks, b.st_blocks);
}

static void
every_kind_of_entry_is_copied(void **state)
{
	struct fixture *f = *state;
	char target[16] = {0};
	put(f->upper, "file", "text");
	assert_int_equal(fchmodat(f->upper, "file", 04751, 0), 0);
	make_dir(f->upper, "d");
	make_dir(f->upper, "d/e");
	put(f->upper, "d/e/f", "deep");
	assert_int_equal(linkat(f->upper, "d/e/f", f->upper, "twin", 0), 0);
	assert_int_equal(linkat(f->upper, "d/e/f", f->upper, "d/twin", 0), 0);
	assert_int_equal(symlinkat("/nowhere", f->upper, "link"), 0);
	assert_int_equal(mkfifoat(f->upper, "fifo", 0620), 0);
	assert_int_equal(mknodat(f->upper, "socket", S_IFSOCK | 0600, 0), 0);
	assert_int_equal(fchmodat(f->upper, "d", 01711, 0), 0);
	copy(f);
	static const char *const names[] = {
	    "file", "d", "d/e", "d/e/f", "twin", "d/twin", "link", "fifo", "socket", ""};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		expect_alike(f, names[i]);
	assert_string_equal(get(f->dir, "copy/d/e/f"), "deep");
	assert_int_equal(readlinkat(f->dir, "copy/link", target, sizeof(target)), 8);
	assert_string_equal(target, "/nowhere");
	drop_copy(f);
}

static void
what_an_overlay_writes_down_is_copied(void **state)
{
	struct fixture *f = *state;
	char value[8] = {0};
	make_dir(f->upper, "opaque");
	int fd = open_dir(f->upper, "opaque");
	bool attributes = fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) == 0 &&
	    fsetxattr(fd, "user.mine", "value", 5, 0) == 0;
	(void)close(fd);
	if (!attributes || mknodat(f->upper, "whiteout", S_IFCHR | 0600, makedev(0, 0)) < 0)
		skip();
	copy(f);
	expect_alike(f, "whiteout");
	fd = open_dir(f->dir, "copy/opaque");
	assert_int_equal(fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)), 1);
	assert_int_equal(fgetxattr(fd, "user.mine", value, sizeof(value)), 5);
	(void)close(fd);
	/* A new upper layer is like the one below, but no part of an overlay yet. */
	make_dir(f->dir, "new");
	assert_int_equal(tree_alike(f->upper, "opaque", "opaque"), 0);
	assert_int_equal(renameat(f->upper, "opaque", f->dir, "opaque"), 0);
	assert_int_equal(tree_alike(f->dir, "opaque", "new"), 0);
	fd = open_dir(f->dir, "new");
	assert_int_equal(fgetxattr(fd, "user.overlay.opaque", value, sizeof(value)), -1);
	assert_int_equal(fgetxattr(fd, "user.mine", value, sizeof(value)), 5);
	(void)close(fd);
	assert_int_equal(tree_remove(f->dir, "new"), 0);
	assert_int_equal(tree_remove(f->dir, "opaque"), 0);
	drop_copy(f);
}

static void
holes_stay_holes(void **state)
{
	struct fixture *f = *state;
	int64_t bytes = 0;
	struct error err;
	int fd = openat(f->upper, "sparse", O_CREAT | O_RDWR, 0600);
	assert_int_equal(pwrite(fd, "x", 1, 1 << 20), 1);
	assert_int_equal(pwrite(fd, "y", 1, 5 << 20), 1);
	assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	(void)close(fd);
	assert_int_equal(tree_copy(f->dir, "upper", "copy", &bytes, &err), 0);
	expect_alike(f, "sparse");
	assert_true(bytes < 1 << 20);
	fd = openat(f->dir, "copy/sparse", O_RDONLY);
	char c = 0;
	assert_int_equal(pread(fd, &c, 1, 5 << 20), 1);
	assert_int_equal(c, 'y');
	(void)close(fd);
	drop_copy(f);
}

static void
a_copy_is_bounded_in_depth_and_its_removal_is_not(void **state)
{
	struct fixture *f = *state;
	int64_t bytes;
	struct error err;
	int at = dup(f->upper);
	for (int i = 0; i < 2000; i++) {
		make_dir(at, "d");
		put(at, "0", "a name that a removal would like to use");
		int next = open_dir(at, "d");
		(void)close(at);
		at = next;
	}
	(void)close(at);
	assert_true(tree_copy(f->dir, "upper", "copy", &bytes, &err) < 0);
	drop_copy(f);
	assert_int_equal(tree_remove(f->upper, "d"), 0);
	assert_false(exists(f->upper, "d"));
	assert_int_equal(tree_remove(f->upper, "never was"), 0);
}

static void
a_link_is_removed_and_not_what_it_leads_to(void **state)
{
	struct fixture *f = *state;
	make_dir(f->lower, "kept");
	put(f->lower, "kept/file", "x");
	make_dir(f->upper, "d");
	assert_int_equal(symlinkat("../../lower/kept", f->upper, "d/link"), 0);
	assert_int_equal(symlinkat("../lower/kept", f->upper, "link"), 0);
	assert_int_equal(tree_remove(f->upper, "d"), 0);
	assert_int_equal(tree_remove(f->upper, "link"), 0);
	assert_true(exists(f->lower, "kept/file"));
}

static void
a_measure_counts_a_file_with_two_names_once(void **state)
{
	struct fixture *f = *state;
	int64_t one = 0, both = 0;
	make_dir(f->upper, "d");
	put(f->upper, "d/a", "text");
	assert_int_equal(tree_measure(f->upper, "d", &one), 0);
	assert_true(one > 0);
	assert_int_equal(linkat(f->upper, "d/a", f->upper, "d/b", 0), 0);
	assert_int_equal(tree_measure(f->upper, "d", &both), 0);
	assert_int_equal(one, both);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_kind_of_entry_is_copied),
	    TEST(what_an_overlay_writes_down_is_copied),
	    TEST(holes_stay_holes),
	    TEST(a_copy_is_bounded_in_depth_and_its_removal_is_not),
	    TEST(a_link_is_removed_and_not_what_it_leads_to),
	    TEST(a_measure_counts_a_file_with_two_names_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
