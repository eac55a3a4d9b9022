/* src/sandbox/listed*.c: what programs need, how it is kept, and that nobody else's copies are taken for ours. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "failalloc.h"
#include "sandbox/listed.h"
#include "sandbox/listed_need.h"
#include "sandbox/listed_tree.h"

#define PROGRAM "/usr/bin/env" /* a dynamic program that every host has */

struct fixture {
	char state[64]; /* the state directory */
	int fd;
	char dir
	    [64]; /* for programs of our own; below /opt, since they cannot lie in /tmp. "" if not root */
};

/* Has a shell do COMMAND, in which $1 is ARGUMENT. */
static void
run(const char *command, const char *argument)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", command, "sh", argument, NULL);
		_exit(127);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[80];
	assert_non_null(f);
	(void)snprintf(f->state, sizeof(f->state), "/tmp/rf-listed-XXXXXX");
	assert_non_null(mkdtemp(f->state));
	(void)snprintf(path, sizeof(path), "%s/run", f->state);
	assert_int_equal(mkdir(path, 0755), 0);
	f->fd = open(f->state, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_true(f->fd >= 0);
	(void)snprintf(f->dir, sizeof(f->dir), "/opt/rf-listed-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		f->dir[0] = 0;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	run("chmod -R u+w $1; rm -rf $1", f->state);
	if (f->dir[0] != 0)
		run("rm -rf $1", f->dir);
	(void)close(f->fd);
	free(f);
	return 0;
}

static struct json *
programs_of(const char *a, const char *b)
{
	struct json *programs = json_new_array();
	(void)json_push(programs, json_new_string(a));
	if (b != NULL)
		(void)json_push(programs, json_new_string(b));
	return programs;
}

static struct json *
view_of(struct fixture *f, const char *a, const char *b, struct json **sources)
{
	_cleanup_json_ struct json *programs = programs_of(a, b);
	struct json *view = NULL;
	struct error err = {0};
	int r = listed_view(f->fd, f->state, programs, 1000, 1000, &view, sources, &err);
	if (r < 0)
		print_error("%s\n", err.message);
	assert_int_equal(r, 0);
	return view;
}

/* The member of LIST whose NAME is VALUE, or NULL. */
static const struct json *
find(const struct json *list, const char *name, const char *value)
{
	for (size_t i = 0; i < json_len(list); i++)
		if (strcmp(json_get_str(json_at(list, i), name, ""), value) == 0)
			return json_at(list, i);
	return NULL;
}

static const struct json *
bind_of(const struct json *view, const char *to)
{
	return find(json_get(view, "binds"), "to", to);
}

static const char *
tree_of(const struct json *view)
{
	return json_get_str(bind_of(view, "/usr"), "from", "");
}

/* ---- walking ---- */

static void
every_link_of_a_path_is_shown(void **state)
{
	struct fixture *f = *state;
	struct listed_set set;
	struct stat st;
	char path[LISTED_PATH_MAX], found[LISTED_PATH_MAX], wanted[200];
	run("cd $1 && mkdir -p real/below && echo x >real/below/file && ln -s real way && "
	    "ln -s ../real/./below/../below/file real/link && ln -s $1/way/link start",
	    f->state);
	assert_int_equal(listed_set_init(&set), 0);
	(void)snprintf(path, sizeof(path), "%s//start", f->state);
	assert_int_equal(listed_walk(&set, path, found, &st), 0);
	(void)snprintf(wanted, sizeof(wanted), "%s/real/below/file", f->state);
	assert_string_equal(found, wanted);
	assert_true(S_ISREG(st.st_mode));
	static const char *const links[] = {"start", "way", "real/link"};
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		(void)snprintf(wanted, sizeof(wanted), "%s/%s", f->state, links[i]);
		assert_true(listed_find(&set, LISTED_LINK, wanted) != SIZE_MAX);
		assert_non_null(json_get(set.sources, wanted));
	}
	listed_set_done(&set);
}

static void
what_is_not_there_is_remembered_as_absent(void **state)
{
	struct fixture *f = *state;
	struct listed_set set;
	struct stat st;
	char path[LISTED_PATH_MAX], found[LISTED_PATH_MAX];
	assert_int_equal(listed_set_init(&set), 0);
	(void)snprintf(path, sizeof(path), "%s/absent", f->state);
	assert_int_equal(listed_walk(&set, path, found, &st), -ENOENT);
	assert_string_equal(json_get_str(set.sources, path, ""), "-");
	run("ln -s loop $1/loop", f->state);
	(void)snprintf(path, sizeof(path), "%s/loop", f->state);
	assert_int_equal(listed_walk(&set, path, found, &st), -ELOOP);
	assert_int_equal(listed_walk(&set, "relative", found, &st), -EINVAL);
	assert_int_equal(listed_walk(&set, "/", found, &st), -EINVAL);
	assert_int_equal(set.n, 0);
	listed_set_done(&set);
}

static void
a_path_lies_below_a_directory_by_whole_names(void **state)
{
	(void)state;
	assert_true(listed_below("/usr/lib", "/usr/lib"));
	assert_true(listed_below("/usr/lib/x", "/usr/lib"));
	assert_false(listed_below("/usr/lib64/x", "/usr/lib"));
	assert_false(listed_below("/usr", "/usr/lib"));
	assert_true(listed_is_whole("/usr/x"));
	assert_false(listed_is_whole("/usr"));
	assert_false(listed_is_whole("/var/usr/x"));
}

/* ---- reading programs ---- */

static void
a_program_says_its_loader_and_its_libraries(void **state)
{
	(void)state;
	struct elf_file elf;
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(elf_read(fd, &elf), 0);
	assert_true(elf.runnable);
	assert_true(elf.interpreter != NULL && strstr(elf.interpreter, "/ld-") != NULL);
	bool libc = false;
	for (size_t i = 0; i < elf.n_needed; i++)
		libc = libc || strncmp(elf.needed[i], "libc.so", 7) == 0;
	assert_true(libc);
	elf_done(&elf);
}

static void
the_loader_s_cache_tells_where_a_library_is(void **state)
{
	(void)state;
	struct ld_cache cache;
	size_t at = 0;
	assert_int_equal(ld_cache_open("/etc/ld.so.cache", &cache), 0);
	if (cache.data == NULL)
		skip();
	const char *path = ld_cache_next(&cache, "libc.so.6", &at);
	assert_true(path != NULL && path[0] == '/');
	at = 0;
	assert_null(ld_cache_next(&cache, "libno-such.so.1", &at));
	ld_cache_done(&cache);
	assert_int_equal(ld_cache_open("/etc/passwd", &cache), 0);
	assert_null(cache.data);
	at = 0;
	assert_null(ld_cache_next(&cache, "libc.so.6", &at));
}

/* ---- views ---- */

static void
a_view_executes_the_program_and_its_loader_alone(void **state)
{
	struct fixture *f = *state;
	char real[PATH_MAX];
	assert_non_null(realpath(PROGRAM, real));
	_cleanup_json_ struct json *view = view_of(f, PROGRAM, NULL, NULL);
	const struct json *rules = json_get(view, "rules");
	size_t executable = 0;
	for (size_t i = 0; i < json_len(rules); i++)
		executable += json_get_bool(json_at(rules, i), "execute", false);
	assert_int_equal(executable, 2);
	assert_true(json_get_bool(find(rules, "path", real), "execute", false));
	assert_true(json_get_bool(view, "noexec", false));
	/* Nothing of the host is bound but data, without execution. */
	const struct json *binds = json_get(view, "binds");
	for (size_t i = 0; i < json_len(binds); i++) {
		const struct json *bind = json_at(binds, i);
		bool ours = listed_below(json_get_str(bind, "from", ""), f->state);
		assert_true(ours || json_get_bool(bind, "noexec", false));
	}
	assert_non_null(find(json_get(view, "files"), "path", "/etc/passwd"));
}

static void
copies_lose_their_special_bits_and_cannot_be_written(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];
	struct stat st;
	const char *program = "/usr/bin/passwd"; /* set-user-ID where it exists */
	if (stat(program, &st) < 0 || access(program, R_OK) < 0)
		skip();
	_cleanup_json_ struct json *view = view_of(f, program, NULL, NULL);
	(void)snprintf(path, sizeof(path), "%s/bin/passwd", tree_of(view));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
}

static void
a_second_view_takes_what_is_kept(void **state)
{
	struct fixture *f = *state;
	struct json *sources = NULL;
	_cleanup_json_ struct json *first = view_of(f, PROGRAM, NULL, NULL);
	_cleanup_json_ struct json *second = view_of(f, PROGRAM, NULL, &sources);
	assert_true(json_equal(first, second));
	assert_true(listed_fresh(sources));
	json_free(sources);
	assert_false(listed_fresh(NULL));
}

static void
a_kept_tree_that_others_could_write_is_made_anew(void **state)
{
	struct fixture *f = *state;
	char tree[PATH_MAX], path[PATH_MAX + 64];
	struct stat st;
	_cleanup_json_ struct json *first = view_of(f, PROGRAM, NULL, NULL);
	(void)snprintf(tree, sizeof(tree), "%s", tree_of(first));
	*strrchr(tree, '/') = 0;
	assert_int_equal(chmod(tree, 0777), 0);
	(void)snprintf(path, sizeof(path), "%s/evil", tree);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0755)), 0);
	_cleanup_json_ struct json *second = view_of(f, PROGRAM, NULL, NULL);
	assert_int_equal(stat(tree, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(access(path, F_OK), -1);
}

static void
a_torn_copy_is_made_anew(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];
	struct stat before, after;
	_cleanup_json_ struct json *first = view_of(f, PROGRAM, NULL, NULL);
	(void)snprintf(path, sizeof(path), "%s/bin/env", tree_of(first));
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(truncate(path, 10), 0);
	_cleanup_json_ struct json *second = view_of(f, PROGRAM, NULL, NULL);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(after.st_mode & 07777, 0555);
}

static void
a_manifest_that_is_not_ours_is_not_read(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ struct json *first = view_of(f, PROGRAM, NULL, NULL);
	/* Writable by others, a link, rubbish: each time the view is made anew, and is the same. */
	static const char *const spoil[] = {
	    "sed -i 's#/usr/bin/env#/usr/bin/evil#g' $1/run/listed-*.json; chmod 666 "
	    "$1/run/listed-*.json",
	    "cd $1/run; m=$(echo listed-*.json); sed 's#/usr/bin/env#/usr/bin/evil#g' $m >x; "
	    "ln -sf x $m",
	    "cd $1/run; echo '{' >listed-*.json",
	    "cd $1/run; : >listed-*.json",
	};
	for (size_t i = 0; i < ARRAY_LEN(spoil); i++) {
		run(spoil[i], f->state);
		_cleanup_json_ struct json *again = view_of(f, PROGRAM, NULL, NULL);
		assert_true(json_equal(first, again));
	}
}

static void
policies_share_their_copies_and_a_sweep_takes_what_none_holds(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];
	struct stat st;
	json_free(view_of(f, "/usr/bin/cat", PROGRAM, NULL));
	_cleanup_json_ struct json *view = view_of(f, PROGRAM, NULL, NULL);
	(void)snprintf(path, sizeof(path), "%s/bin/env", tree_of(view));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_nlink, 3); /* the store's, and one for each tree */
	run("cd $1/run; for m in listed-*.json; do grep -q /usr/bin/cat $m && rm $m; done; true",
	    f->state);
	listed_sweep(f->fd);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_nlink, 2);
	run("cd $1/run; test $(ls -d listed-tree-* | wc -l) = 1; rm listed-*.json", f->state);
	listed_sweep(f->fd);
	run("cd $1/run; test -z \"$(find . -type f)\"", f->state);
}

/* ---- programs that cannot be shown ---- */

static void
refused(struct fixture *f, const char *a, const char *b, const char *code, const char *says)
{
	_cleanup_json_ struct json *programs = programs_of(a, b);
	struct json *view = NULL;
	struct error err = {0};
	assert_true(listed_view(f->fd, f->state, programs, 1000, 1000, &view, NULL, &err) < 0);
	assert_null(view);
	assert_string_equal(err.code, code);
	if (strstr(err.message, says) == NULL)
		fail_msg("%s", err.message);
}

static void
programs_where_the_sandbox_has_its_own_are_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const places[] = {"/tmp/x", "/workspace/x", "/home/agent/bin/x",
	    "/etc/init.d/x", "/proc/self/exe", "/dev/x", "/run/x", "/var/tmp/x"};
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		refused(f, places[i], NULL, "listed_place", places[i]);
	refused(f, "env", NULL, "listed_program", "not an absolute path");
	refused(f, "/usr/bin", NULL, "listed_program", "is not a program");
}

static void
a_program_that_is_absent_is_left_out_until_it_comes(void **state)
{
	struct fixture *f = *state;
	struct json *sources = NULL;
	char path[100];
	if (f->dir[0] == 0)
		skip();
	(void)snprintf(path, sizeof(path), "%s/late", f->dir);
	_cleanup_json_ struct json *before = view_of(f, PROGRAM, path, &sources);
	assert_null(find(json_get(before, "rules"), "path", path));
	run("cp /usr/bin/env $1/late", f->dir);
	(void)json_set_int(sources, "looked_ns", 0);
	assert_false(listed_fresh(sources));
	json_free(sources);
	_cleanup_json_ struct json *after = view_of(f, PROGRAM, path, NULL);
	assert_true(json_get_bool(find(json_get(after, "rules"), "path", path), "execute", false));
}

static void
a_program_that_changed_is_copied_anew(void **state)
{
	struct fixture *f = *state;
	struct json *sources = NULL;
	char path[100];
	if (f->dir[0] == 0)
		skip();
	run("cp /usr/bin/env $1/tool", f->dir);
	(void)snprintf(path, sizeof(path), "%s/tool", f->dir);
	_cleanup_json_ struct json *before = view_of(f, path, NULL, &sources);
	assert_true(listed_fresh(sources));
	run("cp /usr/bin/cat $1/new && mv $1/new $1/tool", f->dir);
	assert_true(listed_fresh(sources)); /* looked at a moment ago */
	(void)json_set_int(sources, "looked_ns", 0);
	assert_false(listed_fresh(sources));
	json_free(sources);
	_cleanup_json_ struct json *after = view_of(f, path, NULL, NULL);
	assert_string_not_equal(json_get_str(bind_of(before, "/opt"), "from", ""),
	    json_get_str(bind_of(after, "/opt"), "from", ""));
}

static void
a_program_that_everybody_can_write_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[100];
	if (f->dir[0] == 0)
		skip();
	run("cp /usr/bin/env $1/tool; chmod 777 $1/tool", f->dir);
	(void)snprintf(path, sizeof(path), "%s/tool", f->dir);
	refused(f, path, NULL, "listed_program", "can be written by everybody");
}

static void
a_script_needs_a_rule_for_its_interpreter(void **state)
{
	struct fixture *f = *state;
	static const char *const lines[] = {
	    "#!/usr/bin/env cat", "#! /usr/bin/cat -x", "#!/usr/bin/env -S cat -x"};
	char path[100], command[200];
	if (f->dir[0] == 0)
		skip();
	(void)snprintf(path, sizeof(path), "%s/tool", f->dir);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		(void)snprintf(command, sizeof(command), "echo '%s' >$1/tool", lines[i]);
		run(command, f->dir);
		refused(f, path, i == 1 ? NULL : PROGRAM, "listed_interpreter",
		    "is a script for /usr/bin/cat, which no rule names");
	}
	run("echo '#!/usr/bin/cat' >$1/tool", f->dir);
	json_free(view_of(f, path, "/usr/bin/cat", NULL));
	run("echo '#!/no/such' >$1/tool", f->dir);
	refused(f, path, NULL, "listed_interpreter", "does not exist");
	run("echo '#!/usr/bin/env -i cat' >$1/tool", f->dir);
	refused(f, path, PROGRAM, "listed_interpreter", "cannot tell");
}

/* ---- directories with libraries ---- */

static void
make_interpreter(struct fixture *f)
{
	run("cd $1 && mkdir -p bin lib/python3.77/tools && cp /usr/bin/env bin/python3.77 && "
	    "echo x >lib/python3.77/a.py && cp /usr/bin/env lib/python3.77/tools/program && "
	    "cp /usr/bin/env lib/python3.77/tools/data.py && "
	    "printf '\\177ELF\\002\\001\\001%060d' 0 >lib/python3.77/tools/broken",
	    f->dir);
}

static void
data_without_libraries_is_bound_without_execution(void **state)
{
	struct fixture *f = *state;
	char program[100], data[100];
	if (f->dir[0] == 0)
		skip();
	make_interpreter(f);
	(void)snprintf(program, sizeof(program), "%s/bin/python3.77", f->dir);
	(void)snprintf(data, sizeof(data), "%s/lib/python3.77", f->dir);
	_cleanup_json_ struct json *view = view_of(f, program, NULL, NULL);
	assert_true(json_get_bool(bind_of(view, data), "noexec", false));
}

static void
programs_among_libraries_are_covered_unless_they_are_listed(void **state)
{
	struct fixture *f = *state;
	static const char *const covered[] = {"tools/program", "tools/data.py", "tools/broken"};
	char program[100], data[100], path[200];
	if (f->dir[0] == 0)
		skip();
	make_interpreter(f);
	run("cp $(ls /lib/*-linux-gnu/libm.so.6 /usr/lib/libm.so.6 2>/dev/null | head -1) "
	    "$1/lib/python3.77/extension.so",
	    f->dir);
	(void)snprintf(program, sizeof(program), "%s/bin/python3.77", f->dir);
	(void)snprintf(data, sizeof(data), "%s/lib/python3.77", f->dir);
	struct json *view = view_of(f, program, NULL, NULL);
	assert_non_null(bind_of(view, data));
	assert_false(json_get_bool(bind_of(view, data), "noexec", false));
	for (size_t i = 0; i < ARRAY_LEN(covered); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", data, covered[i]);
		const struct json *bind = bind_of(view, path);
		assert_non_null(bind);
		const char *from = json_get_str(bind, "from", "");
		struct stat st;
		assert_true(listed_below(from, f->state));
		assert_int_equal(stat(from, &st), 0);
		assert_int_equal(st.st_size, 0);
	}
	(void)snprintf(path, sizeof(path), "%s/extension.so", data);
	assert_null(bind_of(view, path));
	json_free(view);
	/* A rule that names one of them. */
	(void)snprintf(path, sizeof(path), "%s/%s", data, covered[0]);
	view = view_of(f, program, path, NULL);
	assert_null(bind_of(view, path));
	assert_true(json_get_bool(find(json_get(view, "rules"), "path", path), "execute", false));
	json_free(view);
}

static void
a_program_that_comes_among_libraries_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct json *sources = NULL;
	char program[100];
	if (f->dir[0] == 0)
		skip();
	make_interpreter(f);
	(void)snprintf(program, sizeof(program), "%s/bin/python3.77", f->dir);
	json_free(view_of(f, program, NULL, &sources));
	run("cp /usr/bin/cat $1/lib/python3.77/tools/late", f->dir);
	(void)json_set_int(sources, "looked_ns", 0);
	assert_false(listed_fresh(sources));
	json_free(sources);
}

static void
a_directory_that_only_looks_like_the_program_s_is_not_shown(void **state)
{
	struct fixture *f = *state;
	char program[100], path[100];
	if (f->dir[0] == 0)
		skip();
	run("cd $1 && mkdir bin lib conf && cp /usr/bin/env bin/java && echo x >lib/secret",
	    f->dir);
	(void)snprintf(program, sizeof(program), "%s/bin/java", f->dir);
	(void)snprintf(path, sizeof(path), "%s/lib", f->dir);
	_cleanup_json_ struct json *before = view_of(f, program, NULL, NULL);
	assert_null(bind_of(before, path));
	run("cd $1 && echo x >lib/jvm.cfg; touch bin/java", f->dir);
	_cleanup_json_ struct json *after = view_of(f, program, NULL, NULL);
	assert_non_null(bind_of(after, path));
}

/* ---- without memory ---- */

static void
without_memory_there_is_an_error_or_the_whole_view(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ struct json *good = view_of(f, PROGRAM, NULL, NULL);
	_cleanup_json_ struct json *programs = programs_of(PROGRAM, NULL);
	bool failed = true;
	for (long n = 0; failed; n += 1 + n / 40) {
		struct json *view = NULL, *sources = NULL;
		struct error err = {0};
		if (n % 2 == 0) {
			fail_allocation(-1);
			run("rm -f $1/run/listed-*.json", f->state);
		}
		fail_allocation(n);
		int r = listed_view(f->fd, f->state, programs, 1000, 1000, &view, &sources, &err);
		failed = allocation_failed();
		fail_allocation(-1);
		assert_true(r == 0 || err.code[0] != 0);
		if (r == 0)
			assert_true(json_equal(json_get(view, "rules"), json_get(good, "rules")));
		json_free(view);
		json_free(sources);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_link_of_a_path_is_shown),
	    TEST(what_is_not_there_is_remembered_as_absent),
	    TEST(a_path_lies_below_a_directory_by_whole_names),
	    TEST(a_program_says_its_loader_and_its_libraries),
	    TEST(the_loader_s_cache_tells_where_a_library_is),
	    TEST(a_view_executes_the_program_and_its_loader_alone),
	    TEST(copies_lose_their_special_bits_and_cannot_be_written),
	    TEST(a_second_view_takes_what_is_kept),
	    TEST(a_kept_tree_that_others_could_write_is_made_anew),
	    TEST(a_torn_copy_is_made_anew),
	    TEST(a_manifest_that_is_not_ours_is_not_read),
	    TEST(policies_share_their_copies_and_a_sweep_takes_what_none_holds),
	    TEST(programs_where_the_sandbox_has_its_own_are_refused),
	    TEST(a_program_that_is_absent_is_left_out_until_it_comes),
	    TEST(a_program_that_changed_is_copied_anew),
	    TEST(a_program_that_everybody_can_write_is_refused),
	    TEST(a_script_needs_a_rule_for_its_interpreter),
	    TEST(data_without_libraries_is_bound_without_execution),
	    TEST(programs_among_libraries_are_covered_unless_they_are_listed),
	    TEST(a_program_that_comes_among_libraries_is_noticed),
	    TEST(a_directory_that_only_looks_like_the_program_s_is_not_shown),
	    TEST(without_memory_there_is_an_error_or_the_whole_view),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
