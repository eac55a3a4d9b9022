/* What a terminal may see of a sandbox's output. */
#include "unit.h"

#include <string.h>

#include "cli/ttyfilter.h"

static const struct {
	const char *what, *in, *out;
} cases[] = {
    {"text passes", "plain text 123 ~", "plain text 123 ~"},
    {"line control passes", "a\tb\r\nc", "a\tb\r\nc"},
    {"other control bytes are dropped",
	"a\a\b\v\f\x01\x7f"
	"b",
	"ab"},
    {"UTF-8 passes", "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
	"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"bytes that are not UTF-8 are marked",
	"a\xff"
	"b\x80"
	"c",
	"a?b?c"},
    {"overlong forms are marked", "\xe0\x80\xaf", "?"},
    {"surrogates are marked", "\xed\xa0\x80", "?"},
    {"what lies above Unicode is marked", "\xf4\x90\x80\x80", "?"},
    {"a cut sequence is marked and what follows kept",
	"\xe2\x82"
	"x",
	"?x"},
    {"C1 controls in UTF-8 are marked",
	"a\xc2\x9b"
	"2Jb",
	"a?2Jb"},
    {"colours pass", "\033[1;31mred\033[0m\033[m", "\033[1;31mred\033[0m\033[m"},
    {"true colour passes", "\033[38;2;1;2;3mx\033[38:5:9my", "\033[38;2;1;2;3mx\033[38:5:9my"},
    {"clearing the screen is dropped", "a\033[2Jb", "ab"},
    {"moving the cursor is dropped", "a\033[10;10Hb\033[5Ac", "abc"},
    {"asking the terminal is dropped", "a\033[6nb\033[cc\033[?1;2c", "abc"},
    {"private modes are dropped", "a\033[?1049hb\033[>4;1mc", "abc"},
    {"an intermediate byte makes it no colour", "a\033[1 mb", "ab"},
    {"the title is dropped", "a\033]0;title\ab\033]2;title\033\\c", "abc"},
    {"links and the clipboard are dropped", "a\033]52;c;aGk=\a\033]8;;http://x\033\\b", "ab"},
    {"device control strings are dropped", "a\033P+q544e\033\\b\033_x\033\\\033^y\033\\c", "abc"},
    {"a string cannot hide what follows a newline", "a\033]0;never ended\nb", "a\nb"},
    {"character sets are dropped", "a\033(0b\033%Gc", "abc"},
    {"single escapes are dropped", "a\033cb\0337c\033Md", "abcd"},
    {"an escape within a sequence starts over", "a\033[3\033[1mb", "a\033[1mb"},
    {"an escape within a string starts over", "a\033]x\033[1mb", "a\033[1mb"},
    {"a newline ends a broken sequence", "a\033[12\nb", "a\nb"},
    {"an endless sequence is dropped",
	"a\033[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1mb", "ab"},
};

/* What an interactive program may do, and what not. */
static const struct {
	const char *what, *in, *out;
} program_cases[] = {
    {"text and colours pass", "\033[1;31mred\033[m\n\xe2\x82\xac",
	"\033[1;31mred\033[m\n\xe2\x82\xac"},
    {"bell, backspace, tabs, feeds and shifts pass", "\a\b\v\f\x0e\x0f", "\a\b\v\f\x0e\x0f"},
    {"other control bytes are dropped", "a\x05\x11\x13\x18\x7f\x01z", "az"},
    {"the cursor moves", "\033[10;10H\033[5A\033[K\033[2J\033[d\033[1G",
	"\033[10;10H\033[5A\033[K\033[2J\033[d\033[1G"},
    {"lines scroll between margins", "\033[1;20r\033[3L\033[2M\033M",
	"\033[1;20r\033[3L\033[2M\033M"},
    {"the alternate screen and the cursor's look pass", "\033[?1049h\033[?25l\033[?12;25h\033[2 q",
	"\033[?1049h\033[?25l\033[?12;25h\033[2 q"},
    {"mouse and paste modes pass", "\033[?1000;1006h\033[?2004h\033[?2004l",
	"\033[?1000;1006h\033[?2004h\033[?2004l"},
    {"modes that are not listed do not", "\033[?3h\033[?2031h\033[?1000;3h\033[2h\033[?h\033[h",
	""},
    {"line drawing passes", "\033(0lqk\033(B\033)0", "\033(0lqk\033(B\033)0"},
    {"another encoding does not", "a\033%@b\033%Gc\033 Gd\033(%5e",
	"abcd"
	"e"},
    {"save, restore and resets pass", "\0337\0338\033[s\033[u\033=\033>\033c\033[!p",
	"\0337\0338\033[s\033[u\033=\033>\033c\033[!p"},
    {"the clipboard, the title and links do not",
	"a\033]52;c;aGk=\ab\033]0;t\033\\c\033]8;;http://x\033\\d", "abcd"},
    {"other strings do not", "a\033P$qm\033\\b\033_G\033\\c\033^x\033\\d\033Xy\033\\e", "abcde"},
    {"asking who the terminal is does not", "a\033[cb\033[>cc\033[=cd\033Ze\033[>qf", "abcdef"},
    {"asking where the cursor is does not", "a\033[6nb\033[?6nc\033[5nd", "abcd"},
    {"asking for modes and colours does not", "a\033[?25$pb\033[?uc\033[xd\033[?4me\033[4$pf",
	"abcdef"},
    {"the window stays as it is", "a\033[21tb\033[8;1;1tc\033[3;0;0td", "abcd"},
    {"printing does not pass", "a\033[5ib\033[?5ic", "abc"},
    {"keyboard protocols do not", "a\033[>4;2mb\033[>1uc\033[=1;1ud", "abcd"},
    {"tracking that waits for an answer does not", "a\033[1;2;3;4;5Tb\033[2T", "ab\033[2T"},
    {"C1 controls in UTF-8 are marked",
	"\xc2\x9b"
	"2J",
	"?2J"},
    {"a control byte within a sequence drops it", "a\033[2\bJb", "aJb"},
    {"a string ends at a newline, and where it is cancelled", "\033]0;x\ny\033]0;z\x18w", "\nyw"},
    {"unknown checksums and the like do not pass", "a\033[1;1;1;1;1;1*yb\033[1$rc\033[1'zd",
	"abcd"},
};

/* Filters IN in pieces of PIECE bytes. */
static size_t
run_as(enum ttyfilter_mode mode, const char *in, size_t piece, char *out)
{
	struct ttyfilter f = {.mode = (uint8_t)mode};
	size_t at = 0, len = strlen(in);
	for (size_t i = 0; i < len; i += piece)
		at += ttyfilter_run(&f, (const uint8_t *)in + i, piece < len - i ? piece : len - i,
		    (uint8_t *)out + at);
	out[at] = 0;
	return at;
}

static size_t
run(const char *in, size_t piece, char *out)
{
	return run_as(TTYFILTER_TEXT, in, piece, out);
}

static void
each_case_of_a_program_holds_however_it_is_cut(void **state)
{
	char out[400];
	(void)state;
	for (size_t i = 0; i < sizeof(program_cases) / sizeof(program_cases[0]); i++)
		for (size_t piece = 1; piece < 90; piece++) {
			(void)run_as(TTYFILTER_PROGRAM, program_cases[i].in, piece, out);
			if (strcmp(out, program_cases[i].out) != 0)
				fail_msg(
				    "%s, in pieces of %zu: %s", program_cases[i].what, piece, out);
		}
}

static void
what_a_program_left_is_undone(void **state)
{
	static const struct {
		const char *in;
		bool alternate, margins;
	} table[] = {{"x", false, false}, {"\033[?1049h", true, false},
	    {"\033[?1049h\033[?1049l", false, false}, {"\033[?47;25h", true, false},
	    {"\033[2;10r", false, true}, {"\033[?1049h\033[r\033c", false, false},
	    {"\033[?104h\033[?10490h", false, false}};
	uint8_t out[400], reset[TTYFILTER_RESET_MAX + 1];
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ttyfilter f = {.mode = TTYFILTER_PROGRAM};
		(void)ttyfilter_run(&f, (const uint8_t *)table[i].in, strlen(table[i].in), out);
		size_t n = ttyfilter_reset(&f, reset);
		assert_true(n <= TTYFILTER_RESET_MAX);
		reset[n] = 0;
		assert_int_equal(strstr((char *)reset, "\033[?1049l") != NULL, table[i].alternate);
		assert_int_equal(strstr((char *)reset, "\033[r") != NULL, table[i].margins);
		assert_non_null(strstr((char *)reset, "\033[?25h"));
		assert_non_null(strstr((char *)reset, "\033[m"));
	}
}

static void
each_case_holds_however_it_is_cut(void **state)
{
	char out[400];
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t piece = 1; piece < 90; piece++) {
			(void)run(cases[i].in, piece, out);
			if (strcmp(out, cases[i].out) != 0)
				fail_msg("%s, in pieces of %zu", cases[i].what, piece);
		}
}

static void
the_output_never_outgrows_its_room(void **state)
{
	struct ttyfilter f = {0};
	uint8_t in[4], out[sizeof(in) + sizeof(f.held)];
	uint32_t seed = 1;
	(void)state;
	for (int i = 0; i < 200000; i++) {
		for (size_t k = 0; k < sizeof(in); k++) {
			static const uint8_t likely[] = {
			    0x1b, '[', ']', '1', ';', 'm', 0xe2, 0x82, 0xac, '\n'};
			seed = seed * 1664525 + 1013904223;
			in[k] = (seed >> 8) % 4 == 0 ? (uint8_t)(seed >> 24)
						     : likely[(seed >> 16) % sizeof(likely)];
		}
		assert_true(ttyfilter_run(&f, in, sizeof(in), out) <= sizeof(out));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_case_holds_however_it_is_cut),
	    cmocka_unit_test(each_case_of_a_program_holds_however_it_is_cut),
	    cmocka_unit_test(what_a_program_left_is_undone),
	    cmocka_unit_test(the_output_never_outgrows_its_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
