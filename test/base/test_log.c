/* What a terminal must never be told by untrusted text, and the shape of a line. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"

struct escape {
	const char *raw, *shown;
};

static const struct escape escapes[] = {
    {"plain text, gr\xc3\xbc\xc3\x9f", "plain text, gr\xc3\xbc\xc3\x9f"},
    {"\x1b[31mred", "\\x1b[31mred"},
    {"two\nlines\r\t", "two\\x0alines\\x0d\\x09"},
    {"del\x7f", "del\\x7f"},
    {"bidi \xe2\x80\xae"
     "cod",
	"bidi \\u{202e}cod"},
    {"isolate \xe2\x81\xa6", "isolate \\u{2066}"},
    {"mark \xd8\x9c", "mark \\u{61c}"},
    {"csi \xc2\x9b", "csi \\u{9b}"},
    {"bom \xef\xbb\xbf", "bom \\u{feff}"},
    {"separator \xe2\x80\xa8", "separator \\u{2028}"},
    {"tag \xf3\xa0\x81\x81", "tag \\u{e0041}"},
    {"broken \xff\x80 \xe2\x80", "broken \\xff\\x80 \\xe2\\x80"},
};

static void
control_and_hidden_characters_are_shown_as_text(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
		char shown[200];
		log_escape(escapes[i].raw, strlen(escapes[i].raw), shown, sizeof(shown));
		assert_string_equal(shown, escapes[i].shown);
	}
}

static void
the_escaped_text_always_fits_and_ends(void **state)
{
	char raw[100], shown[64];
	memset(raw, 0x1b, sizeof(raw));
	for (size_t room = 0; room <= sizeof(shown); room++) {
		memset(shown, 'x', sizeof(shown));
		log_escape(raw, sizeof(raw), shown, room);
		if (room > 0)
			assert_true(memchr(shown, 0, room) != NULL);
		for (size_t i = room; i < sizeof(shown); i++)
			assert_int_equal(shown[i], 'x');
	}
}

/* Sends standard error through a pipe while FN runs, and returns what was written. */
static void
capture(void (*fn)(void), char *ret, size_t size)
{
	int p[2], saved = dup(2);
	assert_int_equal(pipe(p), 0);
	assert_true(dup2(p[1], 2) >= 0);
	fn();
	(void)dup2(saved, 2);
	(void)close(p[1]);
	ssize_t n = read(p[0], ret, size - 1);
	ret[n > 0 ? n : 0] = 0;
	(void)close(p[0]);
	(void)close(saved);
}

static void
say_things(void)
{
	log_program("tester");
	log_event(LOG_DEBUG, "not-shown", NULL);
	log_event(LOG_ERROR, "happened", "who", "me", "what", "a \x1b thing", "empty", "", NULL);
}

static void
a_line_has_program_level_event_and_pairs(void **state)
{
	char line[500];
	capture(say_things, line, sizeof(line));
	assert_string_equal(
	    line, "tester error happened who=me what=\"a \\x1b thing\" empty=\"\"\n");
}

static void
say_a_lot(void)
{
	for (int i = 0; i < 1000; i++)
		log_event(LOG_ERROR, "x", NULL);
}

static void
a_flood_of_lines_is_cut(void **state)
{
	static char lines[65536];
	capture(say_a_lot, lines, sizeof(lines));
	size_t n = 0;
	for (const char *p = lines; *p != 0; p++)
		n += *p == '\n';
	assert_true(n > 0 && n <= 402); /* the second may change once meanwhile */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(control_and_hidden_characters_are_shown_as_text),
	    cmocka_unit_test(the_escaped_text_always_fits_and_ends),
	    cmocka_unit_test(a_line_has_program_level_event_and_pairs),
	    cmocka_unit_test(a_flood_of_lines_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
