/* Pkt-lines: lengths at their edges, what is no length, and what was written read again. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "proto/pktline.h"

static int
read_text(const char *text, struct pktline *ret)
{
	return pktline_read((const uint8_t *)text, strlen(text), ret);
}

static void
lines_and_marks_are_read(void **state)
{
	struct pktline line;
	assert_int_equal(read_text("0006a\nrest", &line), 6);
	assert_int_equal(line.kind, PKTLINE_DATA);
	assert_int_equal(line.len, 2);
	assert_memory_equal(line.payload, "a\n", 2);
	assert_int_equal(read_text("0004", &line), 4);
	assert_int_equal(line.len, 0);
	static const enum pktline_kind kinds[] = {PKTLINE_FLUSH, PKTLINE_DELIM, PKTLINE_END};
	static const char *const marks[] = {"0000x", "0001x", "0002x"};
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		assert_int_equal(read_text(marks[i], &line), 4);
		assert_int_equal(line.kind, kinds[i]);
	}
}

static void
a_part_of_a_line_waits_for_more(void **state)
{
	struct pktline line;
	static const char *const parts[] = {"", "0", "00", "000", "0005", "000bhello", "ffefx"};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		assert_int_equal(read_text(parts[i], &line), 0);
}

static void
what_is_no_length_is_refused_at_once(void **state)
{
	struct pktline line;
	static const char *const bad[] = {"0003", "fff1", "ffff", "g", "00 1", "-001", "0x10",
	    "000A", "+005", " 005", "PACK", "\n"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(read_text(bad[i], &line), -EBADMSG);
}

static void
what_is_written_reads_as_it_was(void **state)
{
	static uint8_t payload[PKTLINE_PAYLOAD_MAX + 1];
	memset(payload, 'x', sizeof(payload));
	static const size_t sizes[] = {0, 1, 11, 12, 251, 252, 4095, PKTLINE_PAYLOAD_MAX};
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		_cleanup_buf_ struct buf out;
		buf_init(&out, PKTLINE_MAX + 4);
		assert_int_equal(pktline_add(&out, payload, sizes[i]), 0);
		assert_int_equal(pktline_add_flush(&out), 0);
		struct pktline line;
		assert_int_equal(pktline_read(out.data, out.len, &line), sizes[i] + 4);
		assert_int_equal(line.kind, PKTLINE_DATA);
		assert_int_equal(line.len, sizes[i]);
	}
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1 << 20);
	assert_int_equal(pktline_add(&out, payload, sizeof(payload)), -EMSGSIZE);
	assert_int_equal(out.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_and_marks_are_read),
	    cmocka_unit_test(a_part_of_a_line_waits_for_more),
	    cmocka_unit_test(what_is_no_length_is_refused_at_once),
	    cmocka_unit_test(what_is_written_reads_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
