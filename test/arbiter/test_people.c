/* Who has which role: by name, number and group; and what a configuration may not say. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "arbiter/people.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "alice:x:1001:100::/home/alice:/bin/sh\n"
			     "bob:x:1002:200::/:/bin/sh\n"
			     "broken line\n"
			     "1003:x:1004:200::/:/bin/sh\n"
			     "carol:x:1003:200:::";
static const char group[] = "sre:x:100:\nstaff:x:200:\non-call:x:300:carol,bobby,bob\nempty:x:400:";

static int
parse(const char *config, struct people **ret, struct error *err)
{
	struct buf c, p, g;
	buf_init(&c, PEOPLE_FILE_MAX);
	buf_init(&p, PEOPLE_FILE_MAX);
	buf_init(&g, PEOPLE_FILE_MAX);
	assert_int_equal(buf_add_str(&c, config), 0);
	assert_int_equal(buf_add_str(&p, passwd), 0);
	assert_int_equal(buf_add_str(&g, group), 0);
	int r = people_parse(&c, &p, &g, ret, err);
	buf_done(&c);
	buf_done(&p);
	buf_done(&g);
	return r;
}

static struct people *
people_of(const char *config)
{
	struct people *people = NULL;
	struct error err = {.message = ""};
	if (parse(config, &people, &err) < 0)
		fail_msg("%s", err.message);
	return people;
}

static void
a_user_has_a_role_by_name_or_by_number(void **state)
{
	struct people *people = people_of("people:\n  dba: {users: [alice, 1002]}\n");
	assert_true(people_has_role(people, 1001, "dba"));
	assert_true(people_has_role(people, 1002, "dba"));
	assert_false(people_has_role(people, 1003, "dba"));
	assert_false(people_has_role(people, 1001, "operator"));
	assert_true(people_has_any_role(people, 1001));
	assert_false(people_has_any_role(people, 0));
	people_free(people);
}

static void
a_number_is_a_uid_and_never_a_name(void **state)
{
	/* A user whose name is "1003" must not get what uid 1003 was given. */
	struct people *people = people_of("people:\n  dba: {users: [1003]}\n");
	assert_true(people_has_role(people, 1003, "dba"));
	assert_false(people_has_role(people, 1004, "dba"));
	people_free(people);
}

static void
a_group_gives_a_role_to_members_and_to_those_whose_primary_group_it_is(void **state)
{
	struct people *people =
	    people_of("people:\n  a: {groups: [sre]}\n  b: {groups: [on-call]}\n"
		      "  c: {groups: [200]}\n  d: {groups: [empty]}\n");
	assert_true(people_has_role(people, 1001, "a"));
	assert_false(people_has_role(people, 1002, "a"));
	assert_true(people_has_role(people, 1002, "b"));
	assert_true(people_has_role(people, 1003, "b"));
	assert_false(people_has_role(people, 1001, "b"));
	assert_true(people_has_role(people, 1003, "c"));
	assert_false(people_has_role(people, 1001, "d"));
	people_free(people);
}

static void
a_uid_that_passwd_does_not_know_is_matched_by_number_only(void **state)
{
	struct people *people = people_of("people:\n  a: {users: [5000], groups: [sre]}\n");
	assert_true(people_has_role(people, 5000, "a"));
	assert_null(people_name(people, 5000));
	assert_string_equal(people_name(people, 1001), "alice");
	assert_string_equal(people_name(people, 1003), "carol");
	people_free(people);
}

static void
nothing_configured_gives_no_role_to_anybody(void **state)
{
	static const char *const configs[] = {"", "# only a comment\n", "people:\n", "people: {}\n",
	    "other: {operator: {users: [alice]}}\n"};
	for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
		struct people *people = people_of(configs[i]);
		assert_false(people_has_role(people, 1001, "operator"));
		assert_false(people_knows_role(people, "operator"));
		people_free(people);
	}
}

static void
a_role_that_names_nobody_is_not_known(void **state)
{
	struct people *people =
	    people_of("people:\n  a: {}\n  b: {users: []}\n  c: {groups: [nobody]}\n");
	assert_false(people_knows_role(people, "a"));
	assert_false(people_knows_role(people, "b"));
	assert_true(people_knows_role(people, "c"));
	people_free(people);
}

static void
a_wrong_configuration_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *text, *place;
	} cases[] = {
	    {"people: [a]\n", "configuration:1:9"},
	    {"people:\n  a: [alice]\n", "configuration:2:6"},
	    {"people:\n  a: {userz: [alice]}\n", "configuration:2:7"},
	    {"people:\n  a: {users: alice}\n", "configuration:2:14"},
	    {"people:\n  a: {users: [[alice]]}\n", "configuration:2:15"},
	    {"people:\n  a: {users: [\"\"]}\n", "configuration:2:15"},
	    {"people:\n  a: {users: [x], users: [y]}\n", "configuration:2:19"},
	    {"people:\n  a: {users: [x]}\n  a: {users: [y]}\n", "configuration:3:3"},
	    {"people: {}\npeople: {}\n", "configuration:2:1"},
	    {"people: {a\n", "configuration:"},
	    {"- a\n", "configuration:1:1"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct people *people = NULL;
		struct error err = {.message = ""};
		assert_int_equal(parse(cases[i].text, &people, &err), -EINVAL);
		assert_non_null(strstr(err.message, cases[i].place));
		assert_null(people);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_user_has_a_role_by_name_or_by_number),
	    cmocka_unit_test(a_number_is_a_uid_and_never_a_name),
	    cmocka_unit_test(
		a_group_gives_a_role_to_members_and_to_those_whose_primary_group_it_is),
	    cmocka_unit_test(a_uid_that_passwd_does_not_know_is_matched_by_number_only),
	    cmocka_unit_test(nothing_configured_gives_no_role_to_anybody),
	    cmocka_unit_test(a_role_that_names_nobody_is_not_known),
	    cmocka_unit_test(a_wrong_configuration_is_refused_with_its_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
