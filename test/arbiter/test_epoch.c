/* The kill epoch: it only grows, survives a restart, and a damaged file stops everything. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/epoch.h"

#define FILE_NAME "kill-epoch"

static const char *const task_a = "0190f6a1-0000-7000-8000-000000000001";
static const char *const task_b = "0190f6a1-0000-7000-8000-000000000002";

/* Paths are relative to the working directory, as in the program. */
static int
setup(void **state)
{
	static char directory[64];
	(void)snprintf(directory, sizeof(directory), "/tmp/test-epoch-XXXXXX");
	*state = directory;
	return mkdtemp(directory) != NULL && chdir(directory) == 0 ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)unlink(FILE_NAME);
	return chdir("/") == 0 && rmdir(*state) == 0 ? 0 : -1;
}

static void
no_file_is_epoch_zero(void **state)
{
	struct epoch epoch = {.now = 0};
	assert_int_equal(epoch_read(&epoch, FILE_NAME, NULL), 0);
	assert_int_equal(epoch.now, 0);
	assert_false(epoch_task_killed(&epoch, task_a));
	epoch_done(&epoch);
}

static void
a_kill_is_on_disk_when_it_returns(void **state)
{
	struct epoch epoch = {.now = 0}, again = {.now = 0};
	assert_int_equal(epoch_bump(&epoch, FILE_NAME, task_a, NULL), 0);
	assert_int_equal(epoch_bump(&epoch, FILE_NAME, NULL, NULL), 0);
	assert_int_equal(epoch_bump(&epoch, FILE_NAME, task_a, NULL), 0);
	assert_int_equal(epoch_read(&again, FILE_NAME, NULL), 0);
	assert_int_equal(again.now, 3);
	assert_int_equal(again.all, 2);
	assert_int_equal(again.n_tasks, 1);
	assert_true(epoch_task_killed(&again, task_a));
	assert_false(epoch_task_killed(&again, task_b));
	epoch_done(&epoch);
	epoch_done(&again);
}

static void
a_kill_that_cannot_be_written_changes_nothing(void **state)
{
	struct epoch epoch = {.now = 0};
	struct error err;
	assert_int_equal(epoch_bump(&epoch, "no/such/place", task_a, &err), -ENOENT);
	assert_int_equal(epoch.now, 0);
	assert_false(epoch_task_killed(&epoch, task_a));
	epoch_done(&epoch);
}

static void
only_so_many_killed_tasks_are_remembered_and_the_oldest_goes(void **state)
{
	struct epoch epoch = {.now = 0}, again = {.now = 0};
	char id[UUID_TEXT];
	assert_int_equal(epoch_bump(&epoch, FILE_NAME, task_a, NULL), 0);
	for (int i = 0; i < EPOCH_TASKS_MAX; i++) {
		(void)snprintf(id, sizeof(id), "0190f6a1-0000-7000-9000-%012d", i);
		assert_int_equal(epoch_bump(&epoch, FILE_NAME, id, NULL), 0);
	}
	assert_int_equal(epoch_read(&again, FILE_NAME, NULL), 0);
	assert_int_equal(again.n_tasks, EPOCH_TASKS_MAX);
	assert_true(epoch_task_killed(&again, id));
	assert_false(epoch_task_killed(&again, task_a));
	epoch_done(&epoch);
	epoch_done(&again);
}

static void
a_damaged_file_is_an_error(void **state)
{
#define HEAD "ringfence kill epoch 1\n"
	static const char *const bad[] = {"", "x", HEAD, HEAD "now 1\n", HEAD "now 1\nall 2\n",
	    HEAD "now -1\nall 0\n", HEAD "now 1\nall 0", HEAD "now 99999999999999999999\nall 0\n",
	    HEAD "now 1\nall 0\ntask x\n", HEAD "now 1\nall 0\ngarbage\n",
	    HEAD "now 1\nall 0\ntask 0190f6a1-0000-7000-8000-000000000001"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct epoch epoch = {.now = 0};
		struct error err;
		FILE *file = fopen(FILE_NAME, "w");
		assert_non_null(file);
		(void)fputs(bad[i], file);
		(void)fclose(file);
		assert_int_equal(epoch_read(&epoch, FILE_NAME, &err), -EUCLEAN);
		assert_string_equal(err.code, "epoch_damaged");
		epoch_done(&epoch);
	}
}

int
main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(no_file_is_epoch_zero),
	    CASE(a_kill_is_on_disk_when_it_returns),
	    CASE(a_kill_that_cannot_be_written_changes_nothing),
	    CASE(only_so_many_killed_tasks_are_remembered_and_the_oldest_goes),
	    CASE(a_damaged_file_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
