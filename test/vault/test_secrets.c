/* vault/secrets.h: the files of a directory, in memory and back. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vault/secrets.h"

static char directory[] = "/tmp/rf-secrets-XXXXXX";
static struct seal_key key;

static int
prepare(void **state)
{
	uint8_t master[SEAL_KEY_BYTES] = {7};
	if (mkdtemp(directory) == NULL || chdir(directory) < 0)
		return -1;
	seal_key_derive(master, &key);
	return seal_prepare(NULL);
}

static int
clean(void **state)
{
	static const char *const names[] = {
	    "a.sealed", "b.sealed", "c.sealed", ".x.sealed", "z.sealed.new", "junk.sealed"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(names[i]);
	return 0;
}

static int
finish(void **state)
{
	(void)clean(state);
	return rmdir(directory);
}

static int
set(struct secrets *secrets, const char *name, const char *value, struct error *err)
{
	struct json *head = json_new_object();
	assert_int_equal(json_set_str(head, "name", name), 0);
	return secrets_set(secrets, &key, head, (const uint8_t *)value, strlen(value), err);
}

static struct secrets *
load(void)
{
	static struct secrets secrets;
	struct error err;
	for (size_t i = 0; i < secrets.n; i++)
		json_free(secrets.list[i].head);
	secrets = (struct secrets){.n = 0};
	if (secrets_load(&secrets, &err) < 0)
		fail_msg("%s", err.message);
	return &secrets;
}

static void
assert_value(struct secrets *secrets, const char *name, const char *value)
{
	static uint8_t room[SEAL_VALUE_MAX];
	struct error err = {.message = ""};
	const struct secret *secret = secrets_find(secrets, name);
	assert_non_null(secret);
	int len = secrets_open(secret, &key, room, &err);
	if (len < 0)
		fail_msg("%s", err.message);
	assert_int_equal(len, strlen(value));
	assert_memory_equal(room, value, (size_t)len);
}

static void
secrets_are_kept_in_order_and_over_a_restart(void **state)
{
	struct secrets *secrets = load();
	assert_int_equal(secrets->n, 0);
	assert_int_equal(set(secrets, "b", "value of b", NULL), 0);
	assert_int_equal(set(secrets, "c", "value of c", NULL), 0);
	assert_int_equal(set(secrets, "a", "value of a", NULL), 0);
	assert_int_equal(set(secrets, "b", "second of b", NULL), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(secrets->n, 3);
		assert_string_equal(secrets->list[0].name, "a");
		assert_string_equal(secrets->list[2].name, "c");
		assert_int_equal(secret_version(secrets_find(secrets, "b")), 2);
		assert_value(secrets, "a", "value of a");
		assert_value(secrets, "b", "second of b");
		secrets = load();
	}
	assert_null(secrets_find(secrets, "d"));
	assert_null(secrets_find(
	    secrets, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
	assert_int_equal(secrets_remove(secrets, secrets_find(secrets, "b"), NULL), 0);
	assert_null(secrets_find(secrets, "b"));
	assert_int_equal(secrets->n, 2);
	assert_int_equal(load()->n, 2);
}

static void
write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static void
what_is_not_ours_is_kept_as_unreadable_or_left_alone(void **state)
{
	static uint8_t room[SEAL_VALUE_MAX];
	struct error err = {.code = ""};
	struct secrets *secrets = load();
	assert_int_equal(set(secrets, "a", "value of a", NULL), 0);
	write_file("junk.sealed", "junk");
	write_file(".x.sealed", "hidden");
	write_file("z.sealed.new", "left over");
	assert_int_equal(rename("a.sealed", "c.sealed"), 0); /* says that it is a */
	secrets = load();
	assert_int_equal(secrets->n, 2);
	assert_string_equal(secrets->list[0].name, "c");
	assert_string_equal(secrets->list[1].name, "junk");
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(secrets_open(&secrets->list[i], &key, room, &err), -EBADMSG);
		assert_string_equal(err.code, "credential_damaged");
	}
	assert_null(secrets_foreign(secrets, &key));
	assert_int_equal(secrets_remove(secrets, secrets_find(secrets, "junk"), NULL), 0);
	assert_int_equal(set(secrets, "c", "a new value", NULL), 0);
	assert_value(secrets, "c", "a new value");
}

static void
one_sealed_with_another_key_is_found(void **state)
{
	static uint8_t room[SEAL_VALUE_MAX];
	struct error err = {.code = ""};
	struct seal_key other;
	uint8_t master[SEAL_KEY_BYTES] = {9};
	struct secrets *secrets = load();
	seal_key_derive(master, &other);
	assert_int_equal(set(secrets, "a", "value of a", NULL), 0);
	assert_null(secrets_foreign(secrets, &key));
	assert_string_equal(secrets_foreign(secrets, &other)->name, "a");
	assert_int_equal(secrets_open(secrets_find(secrets, "a"), &other, room, &err), -ENOKEY);
	assert_string_equal(err.code, "vault_key");
}

static void
there_is_an_end_to_how_many(void **state)
{
	struct secrets *secrets = load();
	struct error err = {.code = ""};
	char name[32];
	for (size_t i = 0; i < SECRETS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%03zu", i);
		assert_int_equal(set(secrets, name, "a value", NULL), 0);
	}
	assert_int_equal(set(secrets, "a", "a value", &err), -E2BIG);
	assert_int_equal(set(secrets, "s000", "another", NULL), 0);
	assert_int_equal(load()->n, SECRETS_MAX);
	for (size_t i = 0; i < SECRETS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%03zu.sealed", i);
		assert_int_equal(unlink(name), 0);
	}
}

static void
a_directory_that_cannot_be_written_loses_nothing(void **state)
{
	struct secrets *secrets = load();
	struct error err = {.code = ""};
	assert_int_equal(set(secrets, "a", "value of a", NULL), 0);
	/* The place of the file that is written first is taken by a directory. */
	assert_int_equal(mkdir("a.sealed.new", 0700), 0);
	assert_int_equal(set(secrets, "a", "second of a", &err), -EISDIR);
	assert_string_equal(err.code, "vault_failed");
	assert_value(secrets, "a", "value of a");
	assert_int_equal(secret_version(secrets_find(secrets, "a")), 1);
	assert_int_equal(rmdir("a.sealed.new"), 0);
	assert_int_equal(set(secrets, "a", "second of a", &err), 0);
	assert_value(load(), "a", "second of a");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(secrets_are_kept_in_order_and_over_a_restart, clean),
	    cmocka_unit_test_teardown(what_is_not_ours_is_kept_as_unreadable_or_left_alone, clean),
	    cmocka_unit_test_teardown(one_sealed_with_another_key_is_found, clean),
	    cmocka_unit_test_teardown(there_is_an_end_to_how_many, clean),
	    cmocka_unit_test_teardown(a_directory_that_cannot_be_written_loses_nothing, clean),
	};
	return cmocka_run_group_tests(tests, prepare, finish);
}
