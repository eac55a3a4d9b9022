/* vault/seal.h: what was sealed opens with its key and its head, and nothing else does. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "vault/seal.h"

static int
prepare(void **state)
{
	return seal_prepare(NULL);
}

static void
key_of(uint8_t byte, struct seal_key *ret)
{
	uint8_t master[SEAL_KEY_BYTES];
	memset(master, byte, sizeof(master));
	seal_key_derive(master, ret);
}

/* A file of VALUE, named NAME. */
static void
seal(const struct seal_key *key, const char *name, const char *value, struct buf *out)
{
	struct json *head = json_new_object();
	assert_int_equal(json_set_str(head, "name", name), 0);
	buf_init(out, SEAL_FILE_MAX);
	assert_int_equal(seal_write(key, head, (const uint8_t *)value, strlen(value), out), 0);
	json_free(head);
}

static void
what_is_sealed_opens_again(void **state)
{
	static uint8_t room[SEAL_VALUE_MAX];
	struct seal_key key;
	struct buf file;
	struct json *head = NULL;
	key_of(1, &key);
	seal(&key, "tok", "the value", &file);
	assert_null(memmem(file.data, file.len, "the value", 9));
	assert_int_equal(seal_open(&key, file.data, file.len, room), 9);
	assert_memory_equal(room, "the value", 9);
	assert_int_equal(seal_head(file.data, file.len, &head), 0);
	assert_string_equal(json_get_str(head, "name", ""), "tok");
	assert_string_equal(json_get_str(head, "key", ""), key.id);
	json_free(head);
	buf_done(&file);
	seal_key_done(&key);
	assert_false(key.is_set);
}

static void
two_seals_of_one_value_share_nothing_but_the_head(void **state)
{
	struct seal_key key;
	struct buf a, b;
	key_of(1, &key);
	seal(&key, "tok", "0123456789abcdef", &a);
	seal(&key, "tok", "0123456789abcdef", &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len - 44);
	assert_memory_not_equal(a.data + a.len - 44, b.data + b.len - 44, 12);
	assert_memory_not_equal(a.data + a.len - 16, b.data + b.len - 16, 16);
	buf_done(&a);
	buf_done(&b);
}

static void
every_bit_and_every_length_counts(void **state)
{
	static uint8_t room[SEAL_VALUE_MAX];
	struct seal_key key;
	struct buf file;
	key_of(1, &key);
	seal(&key, "tok", "the value", &file);
	for (size_t at = 0; at < file.len * 8; at++) {
		file.data[at / 8] ^= (uint8_t)(1 << at % 8);
		int r = seal_open(&key, file.data, file.len, room);
		if (r != -EBADMSG && r != -ENOKEY)
			fail_msg("bit %zu: %d", at, r);
		file.data[at / 8] ^= (uint8_t)(1 << at % 8);
	}
	for (size_t len = 0; len < file.len; len++)
		assert_int_equal(seal_open(&key, file.data, len, room), -EBADMSG);
	assert_int_equal(seal_open(&key, file.data, file.len, room), 9);
	buf_done(&file);
}

static void
another_key_and_no_key_are_told_apart_from_damage(void **state)
{
	static uint8_t room[SEAL_VALUE_MAX];
	struct seal_key key, other, none = {.is_set = false};
	struct buf file;
	key_of(1, &key);
	key_of(2, &other);
	assert_string_not_equal(key.id, other.id);
	assert_memory_not_equal(key.bytes, other.bytes, SEAL_KEY_BYTES);
	seal(&key, "tok", "the value", &file);
	assert_int_equal(seal_open(&other, file.data, file.len, room), -ENOKEY);
	assert_int_equal(seal_open(&none, file.data, file.len, room), -ENOKEY);
	memcpy(other.id, key.id, sizeof(key.id)); /* as if it were the same */
	memset(room, 'x', 16);
	assert_int_equal(seal_open(&other, file.data, file.len, room), -EBADMSG);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(room[i], 0);
	buf_done(&file);
}

static void
what_is_not_a_file_of_ours_is_refused(void **state)
{
	static const char *const bad[] = {"", "RFSEAL1\n", "RFSEAL1\n\xff\xff\xff\xff",
	    "RFSEAL2\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "RFSEAL1\n\x02\x01\x01\x01{}"};
	static uint8_t room[SEAL_VALUE_MAX];
	struct seal_key key;
	struct json *head = NULL;
	key_of(1, &key);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(
		    seal_open(&key, (const uint8_t *)bad[i], strlen(bad[i]), room), -EBADMSG);
		assert_int_equal(
		    seal_head((const uint8_t *)bad[i], strlen(bad[i]), &head), -EBADMSG);
	}
	assert_null(head);
}

static void
values_and_heads_are_bounded(void **state)
{
	static uint8_t value[SEAL_VALUE_MAX + 1];
	struct seal_key key;
	struct buf file;
	struct json *head = json_new_object();
	key_of(1, &key);
	buf_init(&file, SEAL_FILE_MAX);
	assert_int_equal(seal_write(&key, head, value, SEAL_VALUE_MAX + 1, &file), -EMSGSIZE);
	assert_int_equal(seal_write(&key, head, value, SEAL_VALUE_MAX, &file), 0);
	assert_int_equal(seal_open(&key, file.data, file.len, value), SEAL_VALUE_MAX);
	buf_done(&file);
	static char text[SEAL_HEAD_MAX];
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(json_set_str(head, "name", text), 0);
	assert_int_equal(seal_write(&key, head, value, 1, &file), -EMSGSIZE);
	json_free(head);
	buf_done(&file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_sealed_opens_again),
	    cmocka_unit_test(two_seals_of_one_value_share_nothing_but_the_head),
	    cmocka_unit_test(every_bit_and_every_length_counts),
	    cmocka_unit_test(another_key_and_no_key_are_told_apart_from_damage),
	    cmocka_unit_test(what_is_not_a_file_of_ours_is_refused),
	    cmocka_unit_test(values_and_heads_are_bounded),
	};
	return cmocka_run_group_tests(tests, prepare, NULL);
}
