/* A receipt claims a lock only on evidence, and the floor refuses to start without each of its terms: what
 * rf-init reports is taken away piece by piece. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "supervisor/supervisor.h"

/* ---- what the receipt asks of the host, made up ---- */

const char *
sandbox_host_filter_hash(const struct sandbox_host *host, const struct json *config)
{
	(void)host, (void)config;
	return "00ff";
}

bool
sandbox_host_rootless(const struct sandbox_host *host)
{
	(void)host;
	return false;
}

/* ---- a sandbox in which everything engaged ---- */

struct scene {
	struct sandbox sandbox;
	struct cgroup_host *cgroups;
	struct json *config, *evidence;
};

static const char *const all_terms[] = {"user-ns", "pid-ns", "mount-ns", "net-ns", "ipc-ns",
    "uts-ns", "cgroup-ns", "seccomp", "landlock", "no-new-privs", "no-caps", "memory-limit",
    "process-limit", "cpu-limit", "disk-limit"};

static struct json *
parse(const char *text)
{
	struct json *v = NULL;
	struct error err = {0};
	assert_int_equal(json_parse(text, strlen(text), &v, &err), 0);
	return v;
}

static int64_t
size_of_scratch(int fd)
{
	struct statfs fs;
	assert_int_equal(fstatfs(fd, &fs), 0);
	return (int64_t)fs.f_blocks * (int64_t)fs.f_bsize;
}

static int
set_scene(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	struct error err = {0};
	s->cgroups = cgroup_host_new();
	s->sandbox.proc_fd = -1;
	s->sandbox.view = json_new_object();
	/* Whatever file system: its size is what the policy then asks for. */
	s->sandbox.scratch_fd = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	s->config = parse("{\"limits\":{\"memory_bytes\":67108864,\"processes\":16,\"cpu_millis\":"
			  "500},\"floor\":[]}");
	(void)json_set_int(
	    json_get(s->config, "limits"), "disk_bytes", size_of_scratch(s->sandbox.scratch_fd));
	s->evidence = parse(
	    "{\"namespaces\":{\"user\":\"user:[1]\",\"pid\":\"pid:[1]\",\"mnt\":\"mnt:[1]\","
	    "\"net\":\"net:[1]\",\"ipc\":\"ipc:[1]\",\"uts\":\"uts:[1]\",\"cgroup\":\"cgroup:[1]\"}"
	    ",\"seccomp_mode\":2,\"seccomp_filters\":2,\"landlock_abi\":6,\"landlock_canary\":"
	    "\"refused\",\"landlock_rules\":9,\"landlock_rights\":{\"handled_fs\":\"0xffff\","
	    "\"scoped\":\"0x3\"},\"no_new_privs\":1,\"capabilities\":\"none\",\"capability_sets\":{"
	    "\"effective\":\"0\"},\"uid\":1000,\"gid\":1000,\"groups\":0,\"nesting\":"
	    "\"refused by the kernel's count\",\"proc\":\"masked\"}");
	if (cgroup_host_version(s->cgroups) != CGROUP_NONE) {
		const struct cgroup_limits limits = {
		    .memory_bytes = 64 << 20, .processes = 17, .cpu_millis = 500};
		assert_int_equal(cgroup_take(s->cgroups, &s->sandbox.group), 0);
		assert_int_equal(cgroup_limit(s->sandbox.group, &limits, &err), 0);
	}
	*state = s;
	return 0;
}

static int
strike_scene(void **state)
{
	struct scene *s = *state;
	cgroup_give_back(s->sandbox.group);
	cgroup_host_free(s->cgroups);
	if (s->sandbox.scratch_fd >= 0)
		(void)close(s->sandbox.scratch_fd);
	json_free(s->sandbox.view);
	json_free(s->config);
	json_free(s->evidence);
	free(s);
	return 0;
}

/* Whether a floor of TERM (with STRENGTH, or NULL) holds in the scene as it is; if not, the reason names it. */
static bool
floor_holds(struct scene *s, const char *term, const char *strength)
{
	struct json *floor = json_new_array(), *one = json_new_object();
	struct error err = {0};
	(void)json_set_str(one, "term", term);
	if (strength != NULL)
		(void)json_set_str(one, "strength", strength);
	(void)json_push(floor, one);
	(void)json_set(s->config, "floor", floor);
	_cleanup_json_ struct json *receipt =
	    receipt_make(&s->sandbox, s->config, s->evidence, "task");
	assert_non_null(receipt);
	int r = receipt_check_floor(receipt, s->config, s->cgroups, &err);
	if (r == 0)
		return true;
	assert_int_equal(r, -EPERM);
	assert_string_equal(err.code, "below_floor");
	assert_non_null(strstr(err.message, term));
	assert_true(err.remedy[0] != 0);
	return false;
}

/* ---- tests ---- */

static void
every_term_holds_where_everything_engaged(void **state)
{
	struct scene *s = *state;
	for (size_t i = 0; i < ARRAY_LEN(all_terms); i++)
		if (s->sandbox.group != NULL || strcmp(all_terms[i], "cpu-limit") != 0)
			assert_true(floor_holds(s, all_terms[i], NULL));
}

static void
a_namespace_that_is_ours_or_unknown_is_none_of_its_own(void **state)
{
	static const char *const kinds[][2] = {{"user", "user-ns"}, {"pid", "pid-ns"},
	    {"mnt", "mount-ns"}, {"net", "net-ns"}, {"ipc", "ipc-ns"}, {"uts", "uts-ns"},
	    {"cgroup", "cgroup-ns"}};
	struct scene *s = *state;
	struct json *ids = json_get(s->evidence, "namespaces");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char path[40], own[64];
		assert_true(floor_holds(s, kinds[i][1], NULL));
		(void)snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i][0]);
		ssize_t n = readlink(path, own, sizeof(own) - 1);
		assert_true(n > 0);
		own[n] = 0;
		(void)json_set_str(ids, kinds[i][0], own);
		assert_false(floor_holds(s, kinds[i][1], NULL));
		json_unset(ids, kinds[i][0]);
		assert_false(floor_holds(s, kinds[i][1], NULL));
	}
}

static void
a_lock_of_the_process_without_its_evidence_is_refused(void **state)
{
	static const struct {
		const char *term, *evidence;
	} locks[] = {{"seccomp", "seccomp_mode"}, {"landlock", "landlock_abi"},
	    {"landlock", "landlock_canary"}, {"no-new-privs", "no_new_privs"},
	    {"no-caps", "capabilities"}};
	struct scene *s = *state;
	for (size_t i = 0; i < ARRAY_LEN(locks); i++) {
		assert_true(floor_holds(s, locks[i].term, NULL));
		struct json *kept = json_detach(s->evidence, locks[i].evidence);
		assert_false(floor_holds(s, locks[i].term, NULL));
		/* Nor is a wrong value one: strict mode, no ABI, what is not "none". */
		(void)json_set_int(s->evidence, locks[i].evidence, 0);
		assert_false(floor_holds(s, locks[i].term, NULL));
		(void)json_set(s->evidence, locks[i].evidence, kept);
		assert_true(floor_holds(s, locks[i].term, NULL));
	}
}

static void
limits_without_a_group_are_weaker_and_the_floor_can_tell(void **state)
{
	struct scene *s = *state;
	bool have = s->sandbox.group != NULL;
	assert_int_equal(floor_holds(s, "memory-limit", "cgroup"), have);
	assert_int_equal(floor_holds(s, "process-limit", "cgroup"), have);
	assert_int_equal(floor_holds(s, "cpu-limit", NULL), have);
	s->sandbox.group = cgroup_give_back(s->sandbox.group);
	assert_false(floor_holds(s, "memory-limit", "cgroup"));
	assert_true(floor_holds(s, "memory-limit", "watched"));
	assert_true(floor_holds(s, "memory-limit", "per-process"));
	assert_false(floor_holds(s, "process-limit", "cgroup"));
	assert_true(floor_holds(s, "process-limit", "rlimit"));
	assert_false(floor_holds(s, "cpu-limit", NULL));
}

static void
a_group_whose_limit_is_above_the_policy_s_is_no_limit(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	if (s->sandbox.group == NULL)
		skip();
	const struct cgroup_limits loose = {.memory_bytes = 128 << 20, .processes = 999};
	assert_int_equal(cgroup_limit(s->sandbox.group, &loose, &err), 0);
	assert_false(floor_holds(s, "memory-limit", "cgroup"));
	assert_false(floor_holds(s, "process-limit", "cgroup"));
	assert_false(floor_holds(s, "cpu-limit", NULL));
}

static void
a_scratch_that_is_larger_than_the_limit_or_unknown_is_none(void **state)
{
	struct scene *s = *state;
	struct json *limits = json_get(s->config, "limits");
	assert_true(floor_holds(s, "disk-limit", NULL));
	(void)json_set_int(limits, "disk_bytes", 4096);
	assert_false(floor_holds(s, "disk-limit", NULL));
	(void)json_set_int(limits, "disk_bytes", size_of_scratch(s->sandbox.scratch_fd));
	(void)close(s->sandbox.scratch_fd);
	s->sandbox.scratch_fd = -1;
	assert_false(floor_holds(s, "disk-limit", NULL));
}

static void
a_term_that_nobody_knows_is_refused(void **state)
{
	assert_false(floor_holds(*state, "wishful-thinking", NULL));
}

/* Every object that claims something says on what evidence. */
static void
check_evidence(const struct json *list)
{
	for (size_t i = 0; i < json_len(list); i++) {
		const char *evidence = json_get_str(json_at(list, i), "evidence", "");
		assert_true(strcmp(evidence, "kernel") == 0 || strcmp(evidence, "probe") == 0 ||
		    strcmp(evidence, "applied") == 0);
	}
}

static void
each_field_names_its_evidence(void **state)
{
	struct scene *s = *state;
	static const char *const objects[] = {"ids", "root", "capabilities", "mounts"};
	_cleanup_json_ struct json *receipt =
	    receipt_make(&s->sandbox, s->config, s->evidence, "task");
	s->sandbox.proc_fd = open("/proc", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	receipt_add_mounts(receipt, &s->sandbox);
	(void)close(s->sandbox.proc_fd);
	receipt_name(receipt, "name", "other");
	assert_string_equal(json_get_str(receipt, "task", ""), "other");
	check_evidence(json_get(receipt, "locks"));
	check_evidence(json_get(receipt, "limits"));
	_cleanup_json_ struct json *rest = json_new_array();
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		assert_non_null(json_get(receipt, objects[i]));
		(void)json_push(rest, json_copy(json_get(receipt, objects[i])));
	}
	check_evidence(rest);
	assert_true(json_len(json_get(json_get(receipt, "mounts"), "list")) > 0);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_scene, strike_scene)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SCENE(every_term_holds_where_everything_engaged),
	    SCENE(a_namespace_that_is_ours_or_unknown_is_none_of_its_own),
	    SCENE(a_lock_of_the_process_without_its_evidence_is_refused),
	    SCENE(limits_without_a_group_are_weaker_and_the_floor_can_tell),
	    SCENE(a_group_whose_limit_is_above_the_policy_s_is_no_limit),
	    SCENE(a_scratch_that_is_larger_than_the_limit_or_unknown_is_none),
	    SCENE(a_term_that_nobody_knows_is_refused),
	    SCENE(each_field_names_its_evidence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
