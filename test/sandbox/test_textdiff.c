/* Unified differences: exact forms, and that applying one gives the new text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/textdiff.h"

static void
diff(const char *old, const char *now, bool escape, struct buf *out)
{
	struct textdiff_side a = {old, strlen(old), "old"}, b = {now, strlen(now), "new"};
	buf_init(out, 8 << 20);
	assert_int_equal(textdiff_unified(&a, &b, 3, escape, out), 0);
}

static void
expect(const char *old, const char *now, const char *expected)
{
	struct buf out;
	diff(old, now, true, &out);
	assert_string_equal(buf_str(&out), expected);
	buf_done(&out);
}

static void
known_pairs_give_the_known_difference(void **state)
{
	(void)state;
	expect("", "", "");
	expect("a\nb\n", "a\nb\n", "");
	expect("", "a\n", "--- old\n+++ new\n@@ -0,0 +1,1 @@\n+a\n");
	expect("a\n", "", "--- old\n+++ new\n@@ -1,1 +0,0 @@\n-a\n");
	expect("a\nb\nc\n", "a\nx\nc\n", "--- old\n+++ new\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
	expect("a", "a\n",
	    "--- old\n+++ new\n@@ -1,1 +1,1 @@\n-a\n\\ No newline at end of file\n+a\n");
	/* Myers' own example: ABCABBA to CBABAC in five edits. */
	expect("A\nB\nC\nA\nB\nB\nA\n", "C\nB\nA\nB\nA\nC\n",
	    "--- old\n+++ new\n@@ -1,7 +1,6 @@\n-A\n-B\n C\n+B\n A\n B\n-B\n A\n+C\n");
}

static void
distant_changes_are_separate_hunks_and_near_ones_one(void **state)
{
	(void)state;
	expect("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "x\n2\n3\n4\n5\n6\n7\n8\ny\n",
	    "--- old\n+++ new\n@@ -1,4 +1,4 @@\n-1\n+x\n 2\n 3\n 4\n"
	    "@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+y\n");
	expect("1\n2\n3\n4\n5\n6\n7\n8\n", "x\n2\n3\n4\n5\n6\n7\ny\n",
	    "--- old\n+++ new\n@@ -1,8 +1,8 @@\n-1\n+x\n 2\n 3\n 4\n 5\n 6\n 7\n-8\n+y\n");
}

static void
escapes_and_hidden_text_are_shown_as_such(void **state)
{
	(void)state;
	expect("", "a\tb\033[2J\xe2\x80\xae\r\n",
	    "--- old\n+++ new\n@@ -0,0 +1,1 @@\n+a\tb\\x1b[2J\\u{202e}\\x0d\n");
	struct buf out;
	diff("", "\033\n", false, &out);
	assert_non_null(strchr(buf_str(&out), 033));
	buf_done(&out);
}

/* Applies DIFF (one letter a line, without context bounds) to OLD; small and for the test only. */
static void
apply(const char *old, const char *patch, struct buf *out)
{
	size_t line = 1;
	const char *at = old;
	while (*patch != 0) {
		const char *end = strchr(patch, '\n') + 1;
		if (patch[0] == '@') {
			size_t start = strtoul(patch + 4, NULL, 10);
			size_t count = strtoul(strchr(patch, ',') + 1, NULL, 10);
			for (start += count == 0; line < start; line++) {
				const char *next = strchr(at, '\n') + 1;
				(void)buf_add(out, at, (size_t)(next - at));
				at = next;
			}
		} else if (patch[0] == ' ' || patch[0] == '-') {
			const char *next = strchr(at, '\n') + 1;
			assert_memory_equal(at, patch + 1, (size_t)(next - at));
			if (patch[0] == ' ')
				(void)buf_add(out, at, (size_t)(next - at));
			at = next;
			line++;
		} else if (patch[0] == '+' && strncmp(patch, "+++ ", 4) != 0) {
			(void)buf_add(out, patch + 1, (size_t)(end - patch - 1));
		}
		patch = end;
	}
	(void)buf_add_str(out, at);
}

static void
random_text(uint32_t *seed, size_t lines, unsigned alphabet, struct buf *out)
{
	for (size_t i = 0; i < lines; i++) {
		*seed = *seed * 1664525u + 1013904223u;
		(void)buf_addf(out, "%u\n", (*seed >> 16) % alphabet);
	}
}

static void
applying_a_difference_gives_the_new_text(void **state)
{
	(void)state;
	uint32_t seed = 7;
	for (int round = 0; round < 400; round++) {
		struct buf old, now, patched, out;
		buf_init(&old, 1 << 20);
		buf_init(&now, 1 << 20);
		buf_init(&patched, 1 << 20);
		/* The last rounds pass the bound on edits. */
		size_t lines = round < 390 ? (size_t)round % 40 : 2000;
		unsigned alphabet = round < 390 ? 2 + (unsigned)round % 9 : 100000;
		random_text(&seed, lines, alphabet, &old);
		random_text(&seed, lines + (size_t)round % 3, alphabet, &now);
		diff(buf_str(&old), buf_str(&now), false, &out);
		const char *hunks = strstr(buf_str(&out), "\n@@");
		apply(buf_str(&old), hunks != NULL ? hunks + 1 : "", &patched);
		assert_string_equal(buf_str(&patched), buf_str(&now));
		buf_done(&old);
		buf_done(&now);
		buf_done(&patched);
		buf_done(&out);
	}
}

static void
too_large_is_refused_and_a_full_buffer_is_told(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, 8);
	struct textdiff_side huge = {"", TEXTDIFF_BYTES_MAX + 1, "a"}, small = {"x\n", 2, "b"};
	struct textdiff_side empty = {"", 0, NULL};
	assert_int_equal(textdiff_unified(&huge, &small, 3, true, &out), -EFBIG);
	assert_int_equal(textdiff_unified(&empty, &small, 3, true, &out), -EMSGSIZE);
	buf_done(&out);
}

static void
a_nul_makes_a_text_binary(void **state)
{
	(void)state;
	assert_true(textdiff_is_binary("a\0b", 3));
	assert_false(textdiff_is_binary("ab", 2));
	assert_false(textdiff_is_binary("", 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(known_pairs_give_the_known_difference),
	    cmocka_unit_test(distant_changes_are_separate_hunks_and_near_ones_one),
	    cmocka_unit_test(escapes_and_hidden_text_are_shown_as_such),
	    cmocka_unit_test(applying_a_difference_gives_the_new_text),
	    cmocka_unit_test(too_large_is_refused_and_a_full_buffer_is_told),
	    cmocka_unit_test(a_nul_makes_a_text_binary),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
