/* The table of what programs can do by themselves. */
#include "unit.h"

#include <string.h>

#include "base/macros.h"
#include "policy/powers.h"

static void
a_program_is_known_by_its_name_with_any_version(void **state)
{
	static const struct {
		const char *program;
		enum power_kind kind;
	} known[] = {{"/usr/bin/python3.11", POWER_COMPUTES}, {"/bin/sh", POWER_COMPUTES},
	    {"/usr/bin/vim.basic", POWER_COMPUTES}, {"/usr/bin/mawk", POWER_COMPUTES},
	    {"/usr/bin/git", POWER_RUNS}, {"/usr/bin/gcc-12", POWER_RUNS},
	    {"/usr/bin/x86_64-linux-gnu-gcc-12", POWER_RUNS}, {"/usr/bin/find", POWER_RUNS},
	    {"/usr/bin/tar", POWER_RUNS}, {"/usr/bin/xargs", POWER_RUNS},
	    {"/usr/bin/env", POWER_RUNS}, {"/usr/bin/less", POWER_RUNS},
	    {"/usr/bin/man", POWER_RUNS}, {"/usr/bin/ssh", POWER_RUNS},
	    {"/usr/bin/make", POWER_RUNS}, {"/usr/bin/gdb", POWER_LOADS},
	    {"/lib64/ld-linux-x86-64.so.2", POWER_LOADS}, {"/lib/ld-musl-x86_64.so.1", POWER_LOADS},
	    {"/lib/x86_64-linux-gnu/libc.so.6", POWER_LOADS}, {"lua5.4", POWER_COMPUTES}};
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const struct power *power = power_of(known[i].program);
		if (power == NULL || power->kind != known[i].kind)
			fail_msg("%s", known[i].program);
	}
}

static void
a_name_that_only_begins_like_one_is_another_program(void **state)
{
	static const char *const others[] = {"/usr/bin/cat", "/usr/bin/shasum", "/usr/bin/finder",
	    "/usr/bin/environment", "/usr/bin/python3-config", "/usr/bin/git-lfs-x", "/opt/sh/wc",
	    "/", "/usr/bin/pythonic", "/usr/bin/"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (power_of(others[i]) != NULL)
			fail_msg("%s", others[i]);
}

static void
every_kind_has_a_name(void **state)
{
	assert_string_equal(power_kind_name(POWER_COMPUTES), "interpreter");
	assert_string_equal(power_kind_name(POWER_RUNS), "runs");
	assert_string_equal(power_kind_name(POWER_LOADS), "loads");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_program_is_known_by_its_name_with_any_version),
	    cmocka_unit_test(a_name_that_only_begins_like_one_is_another_program),
	    cmocka_unit_test(every_kind_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
