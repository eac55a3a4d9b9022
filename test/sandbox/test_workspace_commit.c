/* Committing a staged workspace: what goes out, what never does, what is refused. */
#include "workspace_scenario.h"

static int
try_commit(const struct fixture *f, const char *digest, bool force, struct commit_result *result,
    struct error *err)
{
	struct changes changes;
	struct commit_options options = {test_key, sizeof(test_key), digest, force};
	scan(f, &changes);
	int r = workspace_commit(f->upper, f->lower, &changes, &options, result, err);
	changes_done(&changes);
	return r;
}

static void
commit(const struct fixture *f)
{
	struct commit_result result;
	struct error err = {0};
	if (try_commit(f, NULL, false, &result, &err) < 0)
		fail_msg("%s", err.message);
}

static void
assert_tree(int dir, const char *expected)
{
	struct buf out;
	buf_init(&out, 1 << 20);
	describe(dir, "", &out);
	assert_string_equal(buf_str(&out), expected);
	buf_done(&out);
}

static void
every_kind_of_change_is_applied_and_nothing_is_left_over(void **state)
{
	struct fixture *f = *state;
	scenario_fill(f);
	assert_tree(f->lower, scenario_old);
	commit(f);
	assert_tree(f->lower, scenario_new);
	assert_int_equal(fchmodat(f->lower, "added/sub", 0755, 0), 0);
}

static void
committing_twice_changes_nothing_more(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	put(f->upper, "a", "1");
	make_dir(f->upper, "d");
	put(f->upper, "d/b", "2");
	commit(f);
	scan(f, &changes);
	assert_int_equal(changes.n, 0);
	changes_done(&changes);
	commit(f);
	assert_string_equal(get(f->lower, "d/b"), "2");
}

static void
special_files_and_reserved_names_stay_behind(void **state)
{
	struct fixture *f = *state;
	struct commit_result result;
	struct error err;
	put(f->upper, "good", "x");
	assert_int_equal(mkfifoat(f->upper, "fifo", 0644), 0);
	make_dir(f->upper, "d");
	assert_int_equal(mkfifoat(f->upper, "d/fifo", 0644), 0);
	make_dir(f->upper, ".ringfence-commit-1");
	put(f->upper, ".ringfence-commit-1/journal", "{}");
	put(f->lower, "was-file", "kept");
	assert_int_equal(mkfifoat(f->upper, "was-file", 0644), 0);
	assert_int_equal(try_commit(f, NULL, false, &result, &err), 0);
	assert_tree(f->lower, "/d 40755\n/good 100644 [x] 1\n/was-file 100644 [kept] 1\n");
	assert_int_equal(result.applied, 2);
	assert_int_equal(result.withheld, 5);
}

static void
set_id_bits_never_leave(void **state)
{
	struct fixture *f = *state;
	put(f->upper, "suid", "x");
	assert_int_equal(fchmodat(f->upper, "suid", 06755, 0), 0);
	make_dir(f->upper, "d");
	assert_int_equal(fchmodat(f->upper, "d", 03777, 0), 0);
	put(f->lower, "mode", "x");
	put(f->upper, "mode", "x");
	assert_int_equal(fchmodat(f->upper, "mode", 04755, 0), 0);
	commit(f);
	assert_int_equal(mode_of(f->lower, "suid"), 0755);
	assert_int_equal(mode_of(f->lower, "d"), 0777);
	assert_int_equal(mode_of(f->lower, "mode"), 0755);
}

static void
a_replaced_file_keeps_its_owner(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	put(f->lower, "theirs", "old");
	if (fchownat(f->lower, "theirs", 1234, 1235, 0) < 0)
		skip();
	put(f->upper, "theirs", "new");
	put(f->upper, "mine", "new");
	commit(f);
	assert_int_equal(fstatat(f->lower, "theirs", &st, 0), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 1235);
	assert_int_equal(fstatat(f->lower, "mine", &st, 0), 0);
	assert_int_equal(st.st_uid, geteuid());
}

static void
another_digest_is_refused(void **state)
{
	struct fixture *f = *state;
	struct commit_result result;
	struct error err;
	char digest[SHA256_HEX];
	memset(digest, '0', sizeof(digest) - 1);
	digest[sizeof(digest) - 1] = 0;
	put(f->upper, "a", "x");
	assert_int_equal(try_commit(f, digest, true, &result, &err), -ESTALE);
	assert_tree(f->lower, "");
}

static void
a_conflict_is_refused_unless_forced(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct commit_options options = {test_key, sizeof(test_key), NULL, false};
	struct commit_result result;
	struct error err;
	put(f->lower, "a", "theirs");
	put(f->upper, "a", "agent's");
	assert_int_equal(workspace_scan(f->upper, f->lower, 1, &changes, &err), 0);
	assert_int_equal(
	    workspace_commit(f->upper, f->lower, &changes, &options, &result, &err), -EBUSY);
	assert_string_equal(get(f->lower, "a"), "theirs");
	options.force = true;
	assert_int_equal(
	    workspace_commit(f->upper, f->lower, &changes, &options, &result, &err), 0);
	assert_string_equal(get(f->lower, "a"), "agent's");
	changes_done(&changes);
}

static void
contents_that_change_after_the_comparison_are_refused(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct commit_options options = {test_key, sizeof(test_key), NULL, false};
	struct commit_result result;
	struct error err;
	put(f->upper, "a", "approved");
	scan(f, &changes);
	put(f->upper, "a", "replaced");
	assert_int_equal(
	    workspace_commit(f->upper, f->lower, &changes, &options, &result, &err), -ESTALE);
	assert_tree(f->lower, "");
	changes_done(&changes);
}

static void
a_name_that_appears_meanwhile_undoes_everything(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct commit_options options = {test_key, sizeof(test_key), NULL, false};
	struct commit_result result;
	struct error err;
	scenario_fill(f);
	scan(f, &changes);
	put(f->lower, "zwei", "the user's");
	assert_int_equal(
	    workspace_commit(f->upper, f->lower, &changes, &options, &result, &err), -EEXIST);
	assert_string_equal(get(f->lower, "zwei"), "the user's");
	assert_int_equal(unlinkat(f->lower, "zwei", 0), 0);
	assert_tree(f->lower, scenario_old);
	changes_done(&changes);
}

static void
a_planted_journal_is_refused_and_left_alone(void **state)
{
	struct fixture *f = *state;
	enum recover_outcome outcome;
	struct error err;
	make_dir(f->lower, ".ringfence-commit-0");
	make_dir(f->lower, ".ringfence-commit-0/new");
	make_dir(f->lower, ".ringfence-commit-0/old");
	put(f->lower, ".ringfence-commit-0/journal",
	    "{\"directory\":\".ringfence-commit-0\",\"steps\":[],\"version\":1}\n"
	    "0000000000000000000000000000000000000000000000000000000000000000\n");
	assert_int_equal(
	    workspace_recover(f->lower, test_key, sizeof(test_key), &outcome, &err), -EBADMSG);
	assert_true(exists(f->lower, ".ringfence-commit-0/journal"));
}

static void
what_an_interrupted_commit_left_is_removed(void **state)
{
	struct fixture *f = *state;
	enum recover_outcome outcome;
	struct error err;
	make_dir(f->lower, ".ringfence-commit-a");
	make_dir(f->lower, ".ringfence-commit-a/new");
	put(f->lower, ".ringfence-commit-a/new/0", "x");
	put(f->lower, ".ringfence-commit-b", "x");
	assert_int_equal(symlinkat("/etc", f->lower, ".ringfence-commit-c"), 0);
	assert_int_equal(
	    workspace_recover(f->lower, test_key, sizeof(test_key), &outcome, &err), 0);
	assert_int_equal(outcome, RECOVER_OLD);
	assert_tree(f->lower, "");
	assert_int_equal(
	    workspace_recover(f->lower, test_key, sizeof(test_key), &outcome, &err), 0);
	assert_int_equal(outcome, RECOVER_NOTHING);
}

static void
a_link_in_the_lower_directory_is_never_written_through(void **state)
{
	struct fixture *f = *state;
	struct changes changes;
	struct commit_options options = {test_key, sizeof(test_key), NULL, false};
	struct commit_result result;
	struct error err;
	make_dir(f->dir, "outside");
	make_dir(f->lower, "d");
	make_dir(f->upper, "d");
	put(f->upper, "d/file", "x");
	scan(f, &changes);
	assert_int_equal(unlinkat(f->lower, "d", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("../outside", f->lower, "d"), 0);
	assert_true(workspace_commit(f->upper, f->lower, &changes, &options, &result, &err) < 0);
	assert_false(exists(f->dir, "outside/file"));
	assert_int_equal(unlinkat(f->dir, "outside", AT_REMOVEDIR), 0);
	changes_done(&changes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_kind_of_change_is_applied_and_nothing_is_left_over),
	    TEST(committing_twice_changes_nothing_more),
	    TEST(special_files_and_reserved_names_stay_behind),
	    TEST(set_id_bits_never_leave),
	    TEST(a_replaced_file_keeps_its_owner),
	    TEST(another_digest_is_refused),
	    TEST(a_conflict_is_refused_unless_forced),
	    TEST(contents_that_change_after_the_comparison_are_refused),
	    TEST(a_name_that_appears_meanwhile_undoes_everything),
	    TEST(a_planted_journal_is_refused_and_left_alone),
	    TEST(what_an_interrupted_commit_left_is_removed),
	    TEST(a_link_in_the_lower_directory_is_never_written_through),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
