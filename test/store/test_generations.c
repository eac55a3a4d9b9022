/* Policy generations: one is active, a rollback is one step. */
#include "store_fixture.h"

#include <errno.h>

static char previous[SHA256_HEX], hash[SHA256_HEX];

/* A hash of 64 equal digits. */
static const char *
h(char digit)
{
	static char rooms[4][SHA256_HEX];
	static unsigned next;
	char *room = rooms[next++ % 4];
	memset(room, digit, SHA256_HEX - 1);
	room[SHA256_HEX - 1] = '\0';
	return room;
}

static void
activate(struct store *store, const char *name, char digit, const char *text)
{
	assert_int_equal(store_policy_activate(
			     store, name, h(digit), text, strlen(text), "alice", 100, previous),
	    0);
}

static void
assert_active(struct store *store, const char *name, char digit, const char *text)
{
	_cleanup_buf_ struct buf found;
	buf_init(&found, 4096);
	assert_int_equal(store_policy_active(store, name, &found, hash), 0);
	assert_string_equal(hash, h(digit));
	assert_string_equal(buf_str(&found), text);
}

static void
the_last_activation_is_active_and_names_the_one_before(void **state)
{
	struct fixture *f = *state;
	activate(f->a, "p", '1', "one");
	assert_string_equal(previous, "");
	activate(f->b, "p", '2', "two");
	assert_string_equal(previous, h('1'));
	activate(f->a, "q", '3', "three");
	assert_active(f->b, "p", '2', "two");
	assert_active(f->a, "q", '3', "three");
}

static void
a_rollback_goes_back_one_step_each_time(void **state)
{
	struct fixture *f = *state;
	activate(f->a, "p", '1', "one");
	activate(f->a, "p", '2', "two");
	activate(f->a, "p", '3', "three");
	assert_int_equal(store_policy_rollback(f->b, "p", "bob", 200, hash, previous), 0);
	assert_string_equal(hash, h('2'));
	assert_string_equal(previous, h('3'));
	assert_int_equal(store_policy_rollback(f->a, "p", "bob", 200, hash, previous), 0);
	assert_active(f->b, "p", '1', "one");
	assert_int_equal(store_policy_rollback(f->a, "p", "bob", 200, hash, previous), -ENODATA);
	assert_active(f->b, "p", '1', "one");
	activate(f->a, "p", '4', "four");
	assert_int_equal(store_policy_rollback(f->a, "p", "bob", 200, hash, previous), 0);
	assert_active(f->b, "p", '1', "one");
}

static void
activating_what_is_active_changes_nothing(void **state)
{
	struct fixture *f = *state;
	activate(f->a, "p", '1', "one");
	activate(f->a, "p", '1', "one");
	assert_int_equal(store_policy_rollback(f->a, "p", "bob", 200, hash, previous), -ENODATA);
}

static void
a_name_that_was_never_activated_is_not_found(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf found;
	buf_init(&found, 4096);
	assert_int_equal(store_policy_active(f->a, "p", &found, hash), -ENOENT);
	assert_int_equal(store_policy_rollback(f->a, "p", "bob", 200, hash, previous), -ENOENT);
}

static void
on_one(const struct store_generation *generation, void *data)
{
	struct buf *out = data;
	(void)buf_addf(out, "%s%c%s%s ", generation->name, generation->hash[0],
	    generation->active ? "*" : "", generation->rolled_back ? "-" : "");
}

static void
the_history_is_newest_first_and_says_what_is_active(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf out;
	buf_init(&out, 4096);
	activate(f->a, "p", '1', "one");
	activate(f->a, "q", '2', "two");
	activate(f->a, "p", '3', "three");
	assert_int_equal(store_policy_rollback(f->a, "p", "bob", 200, hash, previous), 0);
	assert_int_equal(store_policy_history(f->b, NULL, on_one, &out), 0);
	assert_string_equal(buf_str(&out), "p3- q2* p1* ");
	buf_clear(&out);
	assert_int_equal(store_policy_history(f->b, "q", on_one, &out), 0);
	assert_string_equal(buf_str(&out), "q2* ");
}

static void
what_was_activated_once_is_found_by_its_hash(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf found;
	buf_init(&found, 4096);
	activate(f->a, "p", '1', "one");
	activate(f->a, "p", '2', "two");
	assert_int_equal(store_policy_text(f->b, h('1'), &found), 0);
	assert_string_equal(buf_str(&found), "one");
	assert_int_equal(store_policy_text(f->b, h('3'), &found), -ENOENT);
}

static void
a_tool_reads_beside_who_writes_and_cannot_write(void **state)
{
	struct fixture *f = *state;
	struct store *reader = NULL;
	struct error err;
	activate(f->a, "p", '1', "one");
	assert_int_equal(store_open_to_read(f->path, &reader, &err), 0);
	assert_active(reader, "p", '1', "one");
	activate(f->a, "p", '2', "two");
	assert_active(reader, "p", '2', "two");
	assert_true(store_policy_rollback(reader, "p", "bob", 200, hash, previous) < 0);
	assert_active(f->b, "p", '2', "two");
	store_close(reader);
	assert_true(store_open_to_read("/no/such/store.db", &reader, &err) < 0);
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    CASE(the_last_activation_is_active_and_names_the_one_before),
	    CASE(a_rollback_goes_back_one_step_each_time),
	    CASE(activating_what_is_active_changes_nothing),
	    CASE(a_name_that_was_never_activated_is_not_found),
	    CASE(what_was_activated_once_is_found_by_its_hash),
	    CASE(a_tool_reads_beside_who_writes_and_cannot_write),
	    CASE(the_history_is_newest_first_and_says_what_is_active),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
