/* Options, units, and the nearest name. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"

enum { OPT_FLAG, OPT_VALUE };
static const struct option_spec table[] = {
    [OPT_FLAG] = {"flag", NULL, "a flag", 'f'},
    [OPT_VALUE] = {"value", "X", "a value", 'v'},
    {0},
};

#define MAX_ARGS 8

/* Parses ARGS (after a name), and writes what comes as "f v=X 'operand' END". */
static void
parse(const char *const *args, bool stop, char *ret, size_t size)
{
	char text[MAX_ARGS][64], *argv[MAX_ARGS + 1];
	char name[] = "cmd";
	int argc = 0;
	argv[argc++] = name;
	for (; args[argc - 1] != NULL; argc++) {
		(void)snprintf(text[argc], sizeof(text[0]), "%s", args[argc - 1]);
		argv[argc] = text[argc];
	}
	struct options o;
	struct error err = {0};
	const char *value;
	options_init(&o, table, argc, argv);
	o.stop_at_operand = stop;
	ret[0] = 0;
	for (;;) {
		size_t at = strlen(ret);
		int option = options_next(&o, &value, &err);
		if (option == OPTIONS_END) {
			(void)snprintf(ret + at, size - at, "END+%d", argc - o.at);
			return;
		}
		if (option == OPTIONS_BAD) {
			(void)snprintf(ret + at, size - at, "BAD %s", err.message);
			return;
		}
		if (option == OPTIONS_OPERAND)
			(void)snprintf(ret + at, size - at, "'%s' ", value);
		else
			(void)snprintf(ret + at, size - at, "%s%s%s ", table[option].name,
			    value != NULL ? "=" : "", value != NULL ? value : "");
	}
}

static void
options_come_in_every_usual_form(void **state)
{
	static const struct {
		const char *args[6];
		bool stop;
		const char *out;
	} rows[] = {
	    {{NULL}, false, "END+0"},
	    {{"--flag", "-f"}, false, "flag flag END+0"},
	    {{"--value", "1", "--value=2", "-v", "3", "-v4"}, false,
		"value=1 value=2 value=3 value=4 END+0"},
	    {{"--value="}, false, "value= END+0"},
	    {{"--value", "--flag"}, false, "value=--flag END+0"},
	    {{"a", "--flag", "b"}, false, "'a' flag 'b' END+0"},
	    {{"--", "--flag"}, false, "'--flag' END+0"},
	    {{"-"}, false, "'-' END+0"},
	    {{"--flag", "a", "--flag"}, true, "flag END+2"},
	    {{"--flag", "--", "--flag"}, true, "flag END+1"},
	    {{"--"}, true, "END+0"},
	    {{"--value"}, false, "BAD --value needs a value: X"},
	    {{"--flag=1"}, false, "BAD --flag takes no value"},
	    {{"-f1"}, false, "flag BAD unknown option -1"},
	    {{"-ff", "a"}, false, "flag flag 'a' END+0"},
	    {{"-fv", "3", "-ffv4"}, true, "flag value=3 flag flag value=4 END+0"},
	    {{"-fv"}, true, "flag BAD --value needs a value: X"},
	    {{"-f--"}, false, "flag BAD unknown option --"},
	    {{"--none"}, false, "BAD unknown option --none"},
	    {{"-x"}, false, "BAD unknown option -x"},
	};
	char out[300];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		parse(rows[i].args, rows[i].stop, out, sizeof(out));
		assert_string_equal(out, rows[i].out);
	}
}

static void
values_have_units_or_are_refused(void **state)
{
	long long n;
	struct error err;
	(void)state;
	assert_int_equal(parse_bytes("4096", "x", &n, &err), 0);
	assert_int_equal(n, 4096);
	assert_int_equal(parse_bytes("3MiB", "x", &n, &err), 0);
	assert_int_equal(n, 3 << 20);
	assert_int_equal(parse_duration("90s", "x", &n, &err), 0);
	assert_int_equal(n, 90000);
	assert_int_equal(parse_duration("5m", "x", &n, &err), 0);
	assert_int_equal(n, 300000);
	assert_int_equal(parse_millis("1.25", "x", &n, &err), 0);
	assert_int_equal(n, 1250);
	assert_int_equal(parse_millis("0.5", "x", &n, &err), 0);
	assert_int_equal(n, 500);
	static const char *const bad_bytes[] = {"", "0", "-1", "+1", "1 MiB", "1MB", "1mib", "MiB",
	    "1.5GiB", "99999999999999999999", "9999999TiB", "0x10"};
	for (size_t i = 0; i < ARRAY_LEN(bad_bytes); i++)
		assert_int_equal(parse_bytes(bad_bytes[i], "x", &n, &err), -EINVAL);
	static const char *const bad_times[] = {
	    "", "60", "0s", "1 s", "1min", "s", "9999999999999999d"};
	for (size_t i = 0; i < ARRAY_LEN(bad_times); i++)
		assert_int_equal(parse_duration(bad_times[i], "x", &n, &err), -EINVAL);
	static const char *const bad_millis[] = {
	    "", "0", "0.0", ".5", "1.", "1.2345", "1,5", "-1", "1e3"};
	for (size_t i = 0; i < ARRAY_LEN(bad_millis); i++)
		assert_int_equal(parse_millis(bad_millis[i], "x", &n, &err), -EINVAL);
}

static void
the_nearest_name_is_near_or_none(void **state)
{
	static const char *const names[] = {"run", "review", "workspace", "status", NULL};
	static const struct {
		const char *text, *near;
	} rows[] = {{"rnu", "run"}, {"reviw", "review"}, {"workspac", "workspace"},
	    {"works", "workspace"}, {"statsu", "status"}, {"zzzzzz", NULL}, {"x", NULL}, {"", NULL},
	    {"a very long text that is nothing like any of the names there are", NULL}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *near = nearest_name(rows[i].text, names, sizeof(names[0]));
		if (rows[i].near == NULL)
			assert_null(near);
		else
			assert_string_equal(near, rows[i].near);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options_come_in_every_usual_form),
	    cmocka_unit_test(values_have_units_or_are_refused),
	    cmocka_unit_test(the_nearest_name_is_near_or_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
