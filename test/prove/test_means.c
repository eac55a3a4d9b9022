/* What each lock takes by itself: nothing more than it must, or the report says so. */
#include "unit.h"

#include <sched.h>
#include <string.h>

#include "base/macros.h"
#include "prove/prove.h"

static const struct attack plain = {.name = "plain"};
static const struct attack privileged = {.name = "privileged", .needs = NEEDS_ROOT | NEEDS_NS_ROOT};

static struct means
of(bool root, const struct attack *attack, enum lock lock)
{
	struct prove p = {.root = root, .cgroups = cgroup_host_new()};
	assert_non_null(p.cgroups);
	struct means m = means_of(&p, attack, lock);
	cgroup_host_free(p.cgroups);
	return m;
}

static void
as_root_a_lock_brings_its_own_namespace_and_no_other(void **state)
{
	static const struct {
		enum lock lock;
		uint64_t namespace;
	} namespaces[] = {{LOCK_USER_NS, CLONE_NEWUSER}, {LOCK_PID_NS, CLONE_NEWPID},
	    {LOCK_NET_NS, CLONE_NEWNET}, {LOCK_IPC_NS, CLONE_NEWIPC}, {LOCK_UTS_NS, CLONE_NEWUTS},
	    {LOCK_NESTING, CLONE_NEWUSER}, {LOCK_PID1, CLONE_NEWPID}};
	for (enum lock lock = LOCK_NONE; lock < LOCK_COUNT; lock++) {
		struct means m = of(true, &plain, lock);
		uint64_t expected = m.product ? 0 : CLONE_NEWNS;
		for (size_t i = 0; i < ARRAY_LEN(namespaces); i++)
			if (namespaces[i].lock == lock)
				expected |= namespaces[i].namespace;
		assert_int_equal(m.namespaces, expected);
		assert_false(m.user_ns || m.ns_root);
		assert_true(m.product == (means_note(&m) != NULL));
	}
}

static void
without_a_lock_a_user_has_no_namespace_at_all(void **state)
{
	struct means m = of(false, &plain, LOCK_NONE);
	assert_int_equal(m.namespaces, 0);
	assert_null(means_note(&m));
	assert_null(m.without);
}

static void
what_a_user_gets_with_a_user_namespace_only_is_said(void **state)
{
	for (enum lock lock = LOCK_ROOT; lock < LOCK_COUNT; lock++) {
		struct means m = of(false, &plain, lock);
		bool inside = (m.namespaces & CLONE_NEWUSER) != 0;
		bool itself = lock == LOCK_USER_NS || lock == LOCK_NESTING;
		assert_true(m.user_ns == (inside && !itself));
		assert_true(!m.user_ns || means_note(&m) != NULL);
		/* A file system that only one process sees takes a namespace of mounts. */
		assert_true(!inside || (m.namespaces & CLONE_NEWNS) != 0);
	}
}

static void
a_users_privileged_attack_starts_from_the_root_of_namespaces_but_for_the_user_namespace(
    void **state)
{
	for (enum lock lock = LOCK_NONE; lock < LOCK_COUNT; lock++) {
		struct means m = of(false, &privileged, lock);
		assert_true(m.ns_root == (lock != LOCK_USER_NS));
		assert_false(of(true, &privileged, lock).ns_root);
	}
	assert_null(of(false, &privileged, LOCK_NO_CAPS).without);
	assert_non_null(of(false, &plain, LOCK_NO_CAPS).without);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_root_a_lock_brings_its_own_namespace_and_no_other),
	    cmocka_unit_test(without_a_lock_a_user_has_no_namespace_at_all),
	    cmocka_unit_test(what_a_user_gets_with_a_user_namespace_only_is_said),
	    cmocka_unit_test(
		a_users_privileged_attack_starts_from_the_root_of_namespaces_but_for_the_user_namespace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
