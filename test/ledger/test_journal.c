/* The journal in a directory of its own: batches are whole or not there, a torn end is cut, and a write
 * that fails (RLIMIT_FSIZE stands for a full disk) leaves nothing half done. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/log.h"
#include "ledger/history.h"
#include "ledger/journal.h"
#include "ledgerfmt/files.h"
#include "ledgerfmt/record.h"

struct fixture {
	char path[64];
	int dir;
};

static int
set_up(void **state)
{
	static struct fixture f;
	(void)snprintf(f.path, sizeof(f.path), "/tmp/test-journal-XXXXXX");
	if (mkdtemp(f.path) == NULL)
		return -1;
	f.dir = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	log_set_level(LOG_ERROR);
	*state = &f;
	return f.dir < 0 ? -1 : 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"00000000.jsonl", "00000001.jsonl", "00000000.torn-0",
	    "00000000.torn-1", "checkpoints"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlinkat(f->dir, names[i], 0);
	(void)close(f->dir);
	return rmdir(f->path);
}

/* The lock is on the open directory: each journal gets its own. */
static struct journal *
open_journal(struct fixture *f)
{
	struct journal *j;
	struct error err;
	(void)close(f->dir);
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (journal_open(f->dir, &j, &err) < 0)
		fail_msg("%s", err.message);
	return j;
}

static struct journal_at
add(struct journal *j, const char *data)
{
	struct journal_at at;
	struct error err;
	assert_int_equal(journal_add(j, "x", NULL, NULL, data, strlen(data), &at, &err), 0);
	return at;
}

static off_t
segment_size(const struct fixture *f)
{
	struct stat st;
	assert_int_equal(fstatat(f->dir, "00000000.jsonl", &st, 0), 0);
	return st.st_size;
}

static void
add_bytes(const struct fixture *f, const void *bytes, size_t len)
{
	int fd = openat(f->dir, "00000000.jsonl", O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_int_equal(files_write_all(fd, bytes, len), 0);
	(void)close(fd);
}

static void
a_batch_is_not_there_before_it_is_written_and_whole_after(void **state)
{
	struct error err;
	struct journal *j = open_journal(*state);
	assert_int_equal(segment_size(*state), 0);
	assert_int_equal(add(j, "{}").seq, 1); /* behind the genesis record */
	assert_int_equal(journal_size(j), 0);
	assert_int_equal(journal_write(j, &err), 0);
	assert_int_equal(journal_size(j), 2);
	assert_true(segment_size(*state) > 300);
	journal_free(j);
}

static void
the_next_journal_goes_on_at_the_end(void **state)
{
	struct error err;
	struct journal *j = open_journal(*state);
	struct journal_at last = add(j, "{}");
	assert_int_equal(journal_write(j, &err), 0);
	journal_free(j);
	j = open_journal(*state);
	assert_int_equal(journal_size(j), last.seq + 1);
	assert_memory_equal(journal_head(j), last.hash, SHA256_BYTES);
	assert_int_equal(journal_batched(j), 0);
	journal_free(j);
}

static void
what_was_not_written_is_not_found_again(void **state)
{
	struct error err;
	struct journal *j = open_journal(*state);
	assert_int_equal(journal_write(j, &err), 0);
	(void)add(j, "{\"n\":1}");
	journal_free(j);
	j = open_journal(*state);
	assert_int_equal(journal_size(j), 1);
	journal_free(j);
}

static void
a_torn_end_of_any_length_is_cut(void **state)
{
	static const char line[] = "{\"data\":{},\"event\":\"x\",\"prev\":\"";
	struct error err;
	struct journal *j = open_journal(*state);
	assert_int_equal(journal_write(j, &err), 0);
	off_t whole = segment_size(*state);
	journal_free(j);
	for (size_t len = 1; len < sizeof(line); len++) {
		add_bytes(*state, line, len);
		j = open_journal(*state);
		assert_int_equal(segment_size(*state), whole);
		assert_int_equal(journal_size(j), 1);
		assert_true(journal_batched(j) > 0); /* it will say so */
		journal_free(j);
		(void)unlinkat(((struct fixture *)*state)->dir, "00000000.torn-0", 0);
	}
}

static void
an_end_longer_than_any_crash_leaves_is_not_cut(void **state)
{
	static char zeros[5 * 1024 * 1024];
	struct fixture *f = *state;
	struct error err;
	struct journal *j = open_journal(f);
	assert_int_equal(journal_write(j, &err), 0);
	journal_free(j);
	add_bytes(f, zeros, sizeof(zeros));
	off_t size = segment_size(f);
	(void)close(f->dir);
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(journal_open(f->dir, &j, &err), -EUCLEAN);
	assert_int_equal(segment_size(f), size);
}

static void
a_failed_write_leaves_no_part_of_the_batch_and_ends_the_journal(void **state)
{
	struct error err;
	struct rlimit old, small;
	struct journal *j = open_journal(*state);
	struct journal_at at;
	char data[2000];
	assert_int_equal(journal_write(j, &err), 0);
	off_t before = segment_size(*state);
	(void)snprintf(data, sizeof(data), "{\"x\":\"%01900d\"}", 1);
	for (int i = 0; i < 10; i++)
		(void)add(j, data);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){.rlim_cur = (rlim_t)before + 5000, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(journal_write(j, &err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_string_equal(err.code, "ledger_failed");
	assert_int_equal(journal_size(j), 1);
	/* Room again or not: it stays failed. */
	assert_int_equal(journal_add(j, "x", NULL, NULL, "{}", 2, &at, &err), -EFBIG);
	assert_int_equal(journal_write(j, &err), -EFBIG);
	assert_int_equal(journal_sync(j, &err), -EFBIG);
	journal_free(j);
	/* One record more: the one that says why. None of the batch. */
	j = open_journal(*state);
	assert_int_equal(journal_size(j), 2);
	assert_true(segment_size(*state) < before + 1000);
	journal_free(j);
}

static void
a_ledger_that_could_not_name_itself_stays_empty(void **state)
{
	struct error err;
	struct rlimit old, small;
	struct journal *j = open_journal(*state);
	char data[2000], first[400] = "";
	(void)snprintf(data, sizeof(data), "{\"x\":\"%01900d\"}", 1);
	(void)add(j, data); /* in one batch with the first record, and too much with it */
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){.rlim_cur = 1000, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(journal_write(j, &err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	journal_free(j);
	/* There was room for the record that says why, but it may not be the first. */
	assert_int_equal(segment_size(*state), 0);
	j = open_journal(*state);
	assert_int_equal(journal_write(j, &err), 0);
	journal_free(j);
	const struct fixture *f = *state;
	int fd = openat(f->dir, "00000000.jsonl", O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, first, sizeof(first) - 1) > 0);
	(void)close(fd);
	assert_non_null(strstr(first, "\"event\":\"genesis\""));
}

static void
names_that_are_refused_leave_the_batch_as_it_was(void **state)
{
	struct error err;
	struct journal_at at;
	struct journal *j = open_journal(*state);
	size_t before = journal_batched(j);
	assert_int_equal(journal_add(j, "Bad Event", NULL, NULL, "{}", 2, &at, &err), -EINVAL);
	assert_int_equal(journal_add(j, "x", "bad/task", NULL, "{}", 2, &at, &err), -EINVAL);
	assert_int_equal(journal_batched(j), before);
	assert_int_equal(add(j, "{}").seq, 1);
	journal_free(j);
}

static void
a_note_that_was_left_unfinished_is_cut_before_the_next(void **state)
{
	static const char note[] = "o\n1\nAA==\n\n\xe2\x80\x94 o AAAA\n";
	struct fixture *f = *state;
	char text[1000] = "";
	for (size_t cut = 0; cut < strlen(note); cut++) {
		(void)unlinkat(f->dir, FILES_CHECKPOINTS, 0);
		assert_int_equal(history_append_note(f->dir, note, strlen(note)), 0);
		int fd = openat(f->dir, FILES_CHECKPOINTS, O_RDWR | O_APPEND | O_CLOEXEC);
		assert_int_equal(files_write_all(fd, note, cut), 0);
		assert_int_equal(history_append_note(f->dir, note, strlen(note)), 0);
		ssize_t n = pread(fd, text, sizeof(text), 0);
		(void)close(fd);
		assert_int_equal(n, 2 * (strlen(note) + 1));
		assert_memory_equal(text + strlen(note) + 1, note, strlen(note));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_batch_is_not_there_before_it_is_written_and_whole_after),
	    TEST(the_next_journal_goes_on_at_the_end),
	    TEST(what_was_not_written_is_not_found_again),
	    TEST(a_torn_end_of_any_length_is_cut),
	    TEST(an_end_longer_than_any_crash_leaves_is_not_cut),
	    TEST(a_failed_write_leaves_no_part_of_the_batch_and_ends_the_journal),
	    TEST(a_ledger_that_could_not_name_itself_stays_empty),
	    TEST(names_that_are_refused_leave_the_batch_as_it_was),
	    TEST(a_note_that_was_left_unfinished_is_cut_before_the_next),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
