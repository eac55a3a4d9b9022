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

/* Filters IN in pieces of PIECE bytes. */
static size_t
run(const char *in, size_t piece, char *out)
{
	struct ttyfilter f = {0};
	size_t at = 0, len = strlen(in);
	for (size_t i = 0; i < len; i += piece)
		at += ttyfilter_run(&f, (const uint8_t *)in + i, piece < len - i ? piece : len - i,
		    (uint8_t *)out + at);
	out[at] = 0;
	return at;
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
	    cmocka_unit_test(the_output_never_outgrows_its_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
