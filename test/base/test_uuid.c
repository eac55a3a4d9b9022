/* Identifiers: version, variant, order, and what is not one. */
#include "unit.h"

#include <string.h>

#include "base/macros.h"
#include "base/uuid.h"

static void
new_identifiers_are_version_7_and_differ(void **state)
{
	char a[UUID_TEXT], b[UUID_TEXT];
	assert_int_equal(uuid7_new(a), 0);
	assert_int_equal(uuid7_new(b), 0);
	assert_true(uuid_valid(a));
	assert_int_equal(a[14], '7');
	assert_non_null(strchr("89ab", a[19]));
	assert_string_not_equal(a, b);
	assert_true(strncmp(a, b, 13) <= 0); /* the time comes first */
}

static void
other_texts_are_not_identifiers(void **state)
{
	static const char *const bad[] = {"", "0190f6a1", "0190f6a1-0000-7000-8000-00000000000",
	    "0190f6a1-0000-7000-8000-0000000000000", "0190F6A1-0000-7000-8000-000000000000",
	    "0190f6a1x0000-7000-8000-000000000000", "0190f6a1-0000-7000-8000-00000000000g",
	    "0190f6a1-0000-7000-80000-0000000000-", "../../../../../../../etc/passwd00000"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(uuid_valid(bad[i]));
	assert_true(uuid_valid("0190f6a1-0000-7000-8000-000000000000"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(new_identifiers_are_version_7_and_differ),
	    cmocka_unit_test(other_texts_are_not_identifiers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
