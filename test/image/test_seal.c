/* image/seal.h, prepare.h and remove.h: trees that somebody hostile may have left. */
#include "image_fixture.h"

#include "image/prepare.h"
#include "image/seal.h"

static void
the_hash_is_of_names_types_and_contents(void **state)
{
	struct fixture *f = *state;
	struct seal first, again;
	put(f->root, "a", "1");
	assert_int_equal(symlinkat("a", f->root, "l"), 0);
	assert_int_equal(mkdirat(f->root, "d", 0700), 0);
	assert_int_equal(seal_tree(f->root, SEAL_MEND, &test_limits, &first, &f->err), 0);
	assert_int_equal(first.entries, 3);
	assert_int_equal(first.bytes, 1);
	static const char *const changes[] = {"contents", "mode", "name", "target", "move"};
	char last[SHA256_HEX];
	(void)snprintf(last, sizeof(last), "%s", first.hash);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		if (i == 0)
			put(f->root, "a", "2");
		else if (i == 1)
			assert_int_equal(fchmodat(f->root, "a", 0755, 0), 0);
		else if (i == 2)
			assert_int_equal(renameat(f->root, "a", f->root, "b"), 0);
		else if (i == 3)
			assert_int_equal(
			    unlinkat(f->root, "l", 0) | symlinkat("b", f->root, "l"), 0);
		else
			assert_int_equal(renameat(f->root, "b", f->root, "d/b"), 0);
		assert_int_equal(seal_tree(f->root, SEAL_CHECK, &test_limits, &again, &f->err), 0);
		assert_string_not_equal(again.hash, last);
		(void)snprintf(last, sizeof(last), "%s", again.hash);
	}
}

static void
modes_become_plain(void **state)
{
	struct fixture *f = *state;
	struct seal seal;
	struct stat st;
	assert_int_equal(mkdirat(f->root, "d", 0755), 0);
	put(f->root, "d/f", "x");
	put(f->root, "suid", "x");
	assert_int_equal(fchmodat(f->root, "suid", 06755, 0), 0);
	assert_int_equal(fchmodat(f->root, "d/f", 0, 0), 0);
	assert_int_equal(fchmodat(f->root, "d", 0, 0), 0);
	assert_int_equal(seal_tree(f->root, SEAL_MEND, &test_limits, &seal, &f->err), 0);
	assert_int_equal(fstatat(f->root, "suid", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fstatat(f->root, "d/f", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void
what_is_no_file_and_what_is_too_much_is_refused(void **state)
{
	struct fixture *f = *state;
	struct seal seal;
	struct image_limits tight = {.bytes = 3, .entries = 2};
	put(f->root, "a", "123");
	assert_int_equal(linkat(f->root, "a", f->root, "b", 0), 0);
	assert_int_equal(seal_tree(f->root, SEAL_MEND, &tight, &seal, &f->err), -EBADMSG);
	tight.bytes = 6; /* a file with two names counts for each */
	assert_int_equal(seal_tree(f->root, SEAL_MEND, &tight, &seal, &f->err), 0);
	tight.entries = 1;
	assert_int_equal(seal_tree(f->root, SEAL_MEND, &tight, &seal, &f->err), -EBADMSG);
	assert_int_equal(mkfifoat(f->root, "p", 0644), 0);
	assert_int_equal(seal_tree(f->root, SEAL_MEND, &test_limits, &seal, &f->err), -EBADMSG);
	assert_non_null(strstr(f->err.message, "neither directory"));
}

static void
a_very_deep_tree_is_refused_and_can_be_removed(void **state)
{
	struct fixture *f = *state;
	struct seal seal;
	int fd = fcntl(f->root, F_DUPFD_CLOEXEC, 0);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		put(fd, "file", "x");
		(void)close(fd);
		fd = next;
		assert_true(fd >= 0);
	}
	(void)close(fd);
	assert_int_equal(seal_tree(f->root, SEAL_MEND, &test_limits, &seal, &f->err), -EBADMSG);
	assert_int_equal(wsfs_remove_tree(f->at, "root"), -E2BIG); /* the control */
	assert_int_equal(remove_deep(f->at, "root"), 0);
	struct wsfs_names names = {0};
	assert_int_equal(wsfs_names(f->at, 10, &names), 0);
	assert_int_equal(names.n, 0);
	wsfs_names_done(&names);
}

static void
a_root_is_prepared(void **state)
{
	struct fixture *f = *state;
	static const char *const directories[] = {
	    "etc", "home", "home/agent", "var", "var/tmp", "dev", "tmp", "usr"};
	for (size_t i = 0; i < ARRAY_LEN(directories); i++)
		assert_int_equal(mkdirat(f->root, directories[i], 0755), 0);
	put(f->root, "etc/passwd",
	    "root:x:0:0::/:/bin/sh\nagent:x:5:5::/:/evil\nweb:x:33:33::/:/x");
	assert_int_equal(symlinkat("../../../../etc/shadow", f->root, "etc/group"), 0);
	put(f->root, "home/agent/x", "x");
	put(f->root, "dev/x", "x");
	put(f->root, "program", "x");
	assert_int_equal(symlinkat("usr/bin", f->root, "bin"), 0);
	assert_int_equal(symlinkat("/etc", f->root, "workspace"), 0);
	_cleanup_json_ struct json *content = json_new_object();
	assert_int_equal(prepare_root(f->root, content, &f->err), 0);
	assert_string_equal(
	    json_get_str(content, "passwd", ""), "root:x:0:0::/:/bin/sh\nweb:x:33:33::/:/x\n");
	assert_null(json_get(content, "group"));
	assert_string_equal(get(f->root, "etc/passwd"), "-> /.ringfence/passwd");
	assert_string_equal(get(f->root, "etc/group"), "-> /.ringfence/group");
	assert_string_equal(get(f->root, "var/tmp"), "-> ../tmp");
	assert_null(get(f->root, "home/agent/x"));
	assert_null(get(f->root, "dev"));
	assert_null(get(f->root, "workspace"));
	const struct json *top = json_get(content, "top");
	assert_int_equal(json_len(top), 6); /* bin etc home program usr var */
	assert_string_equal(json_get_str(json_at(top, 0), "target", ""), "usr/bin");
	assert_string_equal(json_get_str(json_at(top, 3), "type", ""), "file");
}

#define seal_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    seal_test(the_hash_is_of_names_types_and_contents),
	    seal_test(modes_become_plain),
	    seal_test(what_is_no_file_and_what_is_too_much_is_refused),
	    seal_test(a_very_deep_tree_is_refused_and_can_be_removed),
	    seal_test(a_root_is_prepared),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
