/* The list of mounts in a receipt: what it keeps of the kernel's lines and what it leaves out. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "sandbox/mountlist.h"

static void
flags_and_limits_are_kept_and_where_it_comes_from_is_not(void **state)
{
	static const char text[] =
	    "171 94 254:0 /var/lib/ringfence/run/root-4d88 / ro,nosuid,nodev,noexec,relatime - "
	    "ext4 "
	    "/dev/vda rw,discard\n"
	    "710 171 0:113 /tmp /tmp rw,nosuid,nodev,relatime shared:3 master:1 - tmpfs none "
	    "rw,size=524288k,nr_inodes=131072,mode=755\n"
	    "714 171 0:114 / /work\\040space rw,nosuid,nodev,idmapped - overlay staged "
	    "rw,lowerdir=/dev\n"
	    "697 171 0:49 / /dev/pts rw,nosuid,noexec - devpts none rw,mode=620\n";
	static const char *const expected[] = {
	    "/ ext4 ro,nosuid,nodev,noexec",
	    "/tmp tmpfs rw,nosuid,nodev size=524288k,nr_inodes=131072",
	    "/work\\040space overlay rw,nosuid,nodev,idmapped",
	    "/dev/pts devpts rw,nosuid,noexec",
	};
	(void)state;
	_cleanup_json_ struct json *list = json_new_array();
	assert_int_equal(mountlist_parse(text, 100, list), ARRAY_LEN(expected));
	assert_int_equal(json_len(list), ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_string_equal(json_str(json_at(list, i), ""), expected[i]);
}

static void
more_than_have_room_are_counted_and_what_is_no_mount_is_not(void **state)
{
	static const char text[] = "1 2 0:1 / /a ro - t s o\nodd\n\n1 2 0:1 / /b ro - t s\n"
				   "1 2 0:1 / /c ro - t s o\n1 2 0:1 / /d rw - t s o";
	(void)state;
	_cleanup_json_ struct json *list = json_new_array();
	assert_int_equal(mountlist_parse(text, 2, list), 3);
	assert_int_equal(json_len(list), 2);
	assert_string_equal(json_str(json_at(list, 1), ""), "/c t ro");
	assert_int_equal(mountlist_parse("", 2, list), 0);
}

static void
the_kernel_s_own_list_is_read_and_a_proc_that_is_gone_is_said(void **state)
{
	(void)state;
	_cleanup_close_ int proc = open("/proc", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	_cleanup_json_ struct json *mounts = mountlist_read(proc);
	assert_string_equal(json_get_str(mounts, "evidence", ""), "kernel");
	assert_true(json_len(json_get(mounts, "list")) > 0);
	assert_null(json_get(mounts, "error"));
	_cleanup_json_ struct json *none = mountlist_read(-1);
	assert_int_equal(json_len(json_get(none, "list")), 0);
	assert_non_null(json_get_str(none, "error", NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(flags_and_limits_are_kept_and_where_it_comes_from_is_not),
	    cmocka_unit_test(more_than_have_room_are_counted_and_what_is_no_mount_is_not),
	    cmocka_unit_test(the_kernel_s_own_list_is_read_and_a_proc_that_is_gone_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
