/* The copies that replace musl's: every length and every overlap, against one byte at a time. */
#include "unit.h"

#include <string.h>

#define memcpy copied_memcpy
#define memmove copied_memmove
void *copied_memcpy(void *restrict to, const void *restrict from, size_t n);
void *copied_memmove(void *to, const void *from, size_t n);
#include "arbiter/copy.c"
#undef memcpy
#undef memmove

#define ROOM 512

static void
fill(uint8_t *room)
{
	for (size_t i = 0; i < ROOM; i++)
		room[i] = (uint8_t)(i * 7 + i / 256);
}

/* What copying N bytes from FROM to TO must give, by way of a third place. */
static void
expected(uint8_t *room, size_t to, size_t from, size_t n)
{
	uint8_t aside[ROOM];
	for (size_t i = 0; i < n; i++)
		aside[i] = room[from + i];
	for (size_t i = 0; i < n; i++)
		room[to + i] = aside[i];
}

static void
a_copy_of_any_length_is_exact_and_touches_nothing_else(void **state)
{
	uint8_t got[ROOM], want[ROOM];
	for (size_t n = 0; n <= 200; n++) {
		for (size_t shift = 0; shift < 16; shift++) {
			fill(got);
			fill(want);
			assert_ptr_equal(
			    copied_memcpy(got + 260 + shift, got + 16, n), got + 260 + shift);
			expected(want, 260 + shift, 16, n);
			assert_memory_equal(got, want, ROOM);
		}
	}
}

static void
a_move_is_exact_however_the_two_overlap(void **state)
{
	uint8_t got[ROOM], want[ROOM];
	for (size_t n = 0; n <= 160; n++) {
		for (size_t to = 100; to <= 300; to++) {
			fill(got);
			fill(want);
			assert_ptr_equal(copied_memmove(got + to, got + 200, n), got + to);
			expected(want, to, 200, n);
			assert_memory_equal(got, want, ROOM);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_copy_of_any_length_is_exact_and_touches_nothing_else),
	    cmocka_unit_test(a_move_is_exact_however_the_two_overlap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
