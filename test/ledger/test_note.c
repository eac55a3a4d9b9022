/* Signed notes and checkpoints, with the example of the Go checksum database's documentation. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ledgerfmt/base64.h"
#include "ledgerfmt/note.h"

#define VKEY "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define NOTE                                                             \
	"If you think cryptography is the answer to your problem,\n"     \
	"then you don't know what your problem is.\n"                    \
	"\n"                                                             \
	"\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8" \
	"pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"

static struct note_key
parsed(const char *text)
{
	struct note_key key;
	assert_int_equal(note_key_parse(text, strlen(text), &key), 0);
	return key;
}

static void
a_note_signed_by_another_implementation_verifies(void **state)
{
	struct note_key key = parsed(VKEY "\n");
	assert_string_equal(key.name, "PeterNeumann");
	assert_int_equal(note_verify(NOTE, strlen(NOTE), &key), 0);
}

static void
any_changed_byte_of_a_note_is_refused(void **state)
{
	struct note_key key = parsed(VKEY);
	for (size_t i = 0; i < strlen(NOTE); i++) {
		char changed[] = NOTE;
		changed[i] ^= 1;
		assert_true(note_verify(changed, strlen(NOTE), &key) < 0);
	}
}

static void
a_verifier_key_is_written_as_it_was_read(void **state)
{
	struct note_key key = parsed(VKEY);
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1000);
	assert_int_equal(note_key_write(&key, &out), 0);
	assert_string_equal(buf_str(&out), VKEY);
}

static void
malformed_verifier_keys_are_refused(void **state)
{
	static const char *const bad[] = {"", "+", "PeterNeumann", "PeterNeumann+c74f20a3",
	    "PeterNeumann+c74f20a3+",
	    "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWAAAA",
	    "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"};
	struct note_key key;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(note_key_parse(bad[i], strlen(bad[i]), &key), -EINVAL);
}

static void
what_is_signed_verifies_under_its_key_only(void **state)
{
	static const uint8_t seed[NOTE_KEY_BYTES] = {7}, other_seed[NOTE_KEY_BYTES] = {8};
	struct note_key key = {.name = "example.org/log"}, other = key;
	_cleanup_buf_ struct buf note;
	buf_init(&note, NOTE_BYTES_MAX);
	assert_int_equal(note_public_key(seed, key.key), 0);
	note_key_hash(&key);
	assert_int_equal(note_public_key(other_seed, other.key), 0);
	note_key_hash(&other);
	assert_int_equal(note_sign("a\nb\n", 4, &key, seed, &note), 0);
	assert_int_equal(note_verify(buf_str(&note), note.len, &key), 0);
	assert_int_equal(note_verify(buf_str(&note), note.len, &other), -ENOKEY);
	/* The same name and hash, another key: the signature itself must fail. */
	memcpy(other.hash, key.hash, sizeof(key.hash));
	assert_int_equal(note_verify(buf_str(&note), note.len, &other), -EBADMSG);
	assert_int_equal(note_sign("no newline", 10, &key, seed, &note), -EINVAL);
	assert_int_equal(note_sign("a\n\nb\n", 5, &key, seed, &note), -EINVAL);
}

static void
a_checkpoint_is_read_as_it_was_written(void **state)
{
	struct checkpoint c = {.origin = NOTE_ORIGIN_PREFIX "x", .size = 42, .root = {1, 2, 3}},
			  back;
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1000);
	assert_int_equal(checkpoint_write(&c, &out), 0);
	assert_string_equal(
	    buf_str(&out), "ringfence.local/x\n42\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	assert_int_equal(checkpoint_parse(buf_str(&out), out.len, &back), 0);
	assert_string_equal(back.origin, c.origin);
	assert_int_equal(back.size, 42);
	assert_memory_equal(back.root, c.root, sizeof(c.root));
}

static void
malformed_checkpoints_are_refused(void **state)
{
#define ROOT "AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	static const char *const bad[] = {"", "x", "x\n", "x\n1\n", "x\n1\n" ROOT,
	    "x\n\n" ROOT "\n", "x\n01\n" ROOT "\n", "x\n-1\n" ROOT "\n", "x\n1 \n" ROOT "\n",
	    "\n1\n" ROOT "\n", "a b\n1\n" ROOT "\n", "x\n1\nAQID\n",
	    "x\n9999999999999999999\n" ROOT "\n"};
	struct checkpoint c;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(checkpoint_parse(bad[i], strlen(bad[i]), &c), -EINVAL);
	assert_int_equal(checkpoint_parse("x\n1\n" ROOT "\nextension\n", 3 + 2 + 44 + 11, &c), 0);
}

static void
base64_is_strict(void **state)
{
	static const struct {
		const char *plain, *coded;
	} pairs[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
	    {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {
	    "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "=g==", "Zm 9", "Zm9v\n", "Zm9vZm9v!"};
	uint8_t bytes[16];
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		_cleanup_buf_ struct buf out;
		size_t len = strlen(pairs[i].plain);
		buf_init(&out, 100);
		assert_int_equal(base64_encode((const uint8_t *)pairs[i].plain, len, &out), 0);
		assert_string_equal(buf_str(&out), pairs[i].coded);
		assert_int_equal(
		    base64_decode(pairs[i].coded, strlen(pairs[i].coded), bytes, sizeof(bytes)),
		    len);
		assert_memory_equal(bytes, pairs[i].plain, len);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(
		    base64_decode(bad[i], strlen(bad[i]), bytes, sizeof(bytes)), -EINVAL);
	assert_int_equal(base64_decode("Zm9vYmFy", 8, bytes, 5), -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_note_signed_by_another_implementation_verifies),
	    cmocka_unit_test(any_changed_byte_of_a_note_is_refused),
	    cmocka_unit_test(a_verifier_key_is_written_as_it_was_read),
	    cmocka_unit_test(malformed_verifier_keys_are_refused),
	    cmocka_unit_test(what_is_signed_verifies_under_its_key_only),
	    cmocka_unit_test(a_checkpoint_is_read_as_it_was_written),
	    cmocka_unit_test(malformed_checkpoints_are_refused),
	    cmocka_unit_test(base64_is_strict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
