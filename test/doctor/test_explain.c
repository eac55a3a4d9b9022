/* What the doctor says of hosts that are not at hand: each is a few files below a root of its own. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "doctor/doctor.h"
#include "sys/landlock.h"

static char root[64];

static int
make_root(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/test-doctor-XXXXXX");
	if (mkdtemp(root) == NULL || chmod(root, 0755) < 0)
		return -1;
	doctor_set_root(root);
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int
remove_root(void **state)
{
	(void)state;
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* PATH below the root holds TEXT; NULL: it is a directory. */
static void
put(const char *path, const char *text)
{
	char full[400];
	(void)snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *slash = strchr(full + strlen(root) + 1, '/'); slash != NULL;
	     slash = strchr(slash + 1, '/')) {
		*slash = 0;
		(void)mkdir(full, 0755);
		*slash = '/';
	}
	if (text == NULL) {
		(void)mkdir(full, 0755);
		return;
	}
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static struct finding
examine(check_fn *check, check_fn *mend)
{
	struct finding f = {0};
	check(&f);
	if (f.state != STATE_OK && mend != NULL)
		mend(&f);
	return f;
}

static void
assert_says(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* As an ordinary user, in a child: BODY's assertions end it with a signal if they fail. */
static void
as_user(int (*body)(void *data))
{
	assert_exited(in_child(body, NULL), 0);
}

static void
become_user(void)
{
	if (geteuid() == 0 && (setresgid(4001, 4001, 4001) < 0 || setresuid(4001, 4001, 4001) < 0))
		_exit(77);
}

/* ---- the kernel ---- */

static void
an_old_kernel_is_missing_with_the_version_that_is_needed(void **state)
{
	static const struct {
		const char *release;
		enum state expected;
	} kernels[] = {{"4.18.0-553.el8", STATE_MISSING}, {"5.12.19", STATE_MISSING},
	    {"5.13.0", STATE_OK}, {"6.1.0-18-amd64", STATE_OK}, {"odd", STATE_MISSING}};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kernels); i++) {
		put("/proc/sys/kernel/osrelease", kernels[i].release);
		struct finding f = examine(check_kernel, NULL);
		assert_int_equal(f.state, kernels[i].expected);
		if (f.state == STATE_MISSING && kernels[i].release[0] != 'o')
			assert_says(f.fix, "5.13");
		finding_done(&f);
	}
}

static void
what_each_landlock_version_adds_agrees_with_the_kernel(void **state)
{
	(void)state;
	struct finding f = examine(check_landlock_rights, NULL);
	int abi = landlock_abi();
	const struct json *versions = json_get(f.facts, "versions");
	assert_int_equal(json_get_int(f.facts, "abi", -1), abi);
	for (size_t i = 0; i < json_len(versions); i++) {
		const struct json *v = json_at(versions, i);
		assert_int_equal(json_get_bool(v, "here", false), json_get_int(v, "abi", 0) <= abi);
	}
	assert_int_equal(f.state, abi <= 0 ? STATE_MISSING : abi < 6 ? STATE_WEAKER : STATE_OK);
	finding_done(&f);
}

static void
every_system_call_that_we_need_is_asked_for(void **state)
{
	(void)state;
	struct finding f = examine(check_system_calls, NULL);
	assert_true(json_len(json_get(f.facts, "system_calls")) >= 9);
	finding_done(&f);
}

/* ---- namespaces ---- */

static void
namespaces_that_are_forbidden_are_explained_by_what_forbids_them(void **state)
{
	static const struct {
		const char *path, *text, *says;
	} reasons[] = {
	    {"/proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces"},
	    {"/proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone=1"},
	    {"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "apparmor_parser"},
	};
	(void)state;
	struct finding f = {.state = STATE_MISSING};
	mend_namespaces(&f);
	assert_says(f.fix, "CONFIG_USER_NS");
	put("/.dockerenv", "");
	mend_namespaces(&f);
	assert_says(f.fix, "docker run");
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		put(reasons[i].path, reasons[i].text); /* the later ones are more specific */
		mend_namespaces(&f);
		assert_says(f.fix, reasons[i].says);
	}
}

static void
few_namespaces_are_weaker_and_none_are_missing(void **state)
{
	(void)state;
	put("/proc/sys/user/max_user_namespaces", "15000\n");
	put("/proc/sys/user/max_net_namespaces", "20\n");
	struct finding f = examine(check_namespace_limits, NULL);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.detail, "at most 20 net");
	assert_says(f.fix, "user.max_net_namespaces");
	finding_done(&f);
	put("/proc/sys/user/max_net_namespaces", "0\n");
	f = examine(check_namespace_limits, NULL);
	assert_int_equal(f.state, STATE_MISSING);
	finding_done(&f);
	put("/proc/sys/user/max_net_namespaces", "9999\n");
	put("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
	f = examine(check_namespace_limits, NULL);
	assert_int_equal(f.state, STATE_OK);
	assert_says(f.detail, "AppArmor's restriction on");
	finding_done(&f);
}

static void
landlock_that_is_not_in_the_list_of_modules_is_explained_by_the_command_line(void **state)
{
	(void)state;
	struct finding f = {.state = STATE_MISSING};
	put("/sys/kernel/security/lsm", "lockdown,capability,yama,apparmor\n");
	mend_landlock(&f);
	assert_says(f.fix, "lsm=landlock,lockdown");
	put("/sys/kernel/security/lsm", "capability,landlock\n");
	mend_landlock(&f);
	assert_says(f.fix, "CONFIG_SECURITY_LANDLOCK");
	put("/proc/self/attr/current", "ringfence (unconfined)\n");
	put("/sys/fs/selinux/enforce", "1\n");
	f = examine(check_modules, NULL);
	assert_says(f.detail, "we run as ringfence (unconfined); SELinux enforces");
	finding_done(&f);
}

/* ---- control groups ---- */

#define V2 "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n"

static int
user_in_a_login_session(void *data)
{
	(void)data;
	become_user();
	struct finding f = examine(check_cgroup_layout, mend_cgroup);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.detail, "version 2");
	assert_says(f.detail, "is not ours");
	assert_says(f.fix, "systemctl --user enable --now ringfence");
	return 0;
}

static void
version_2_that_is_not_delegated_names_the_user_unit(void **state)
{
	(void)state;
	put("/proc/self/mounts", "proc /proc proc rw 0 0\n" V2);
	put("/proc/self/cgroup", "0::/user.slice/user-4001.slice/session-1.scope\n");
	put("/sys/fs/cgroup/user.slice/user-4001.slice/session-1.scope/cgroup.controllers",
	    "memory pids\n");
	put("/sys/fs/cgroup/user.slice/user-4001.slice/session-1.scope/cgroup.procs", "1\n");
	as_user(user_in_a_login_session);
}

static int
user_with_a_part_of_it(void *data)
{
	(void)data;
	become_user();
	struct finding f = examine(check_cgroup_layout, mend_cgroup);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.detail, "is ours");
	assert_says(f.detail, "memory pids");
	assert_says(f.fix, "Delegate=cpu memory pids");
	return 0;
}

static void
version_2_without_the_cpu_controller_names_the_drop_in(void **state)
{
	static const char group[] = "/sys/fs/cgroup/user.slice/user@4001.service/ringfence.service";
	char path[400], full[500];
	(void)state;
	put("/proc/self/mounts", V2);
	put("/proc/self/cgroup", "0::/user.slice/user@4001.service/ringfence.service\n");
	(void)snprintf(path, sizeof(path), "%s/cgroup.controllers", group);
	put(path, "cpuset memory pids\n"); /* cpuset is not cpu */
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	put(path, "1\n");
	(void)snprintf(full, sizeof(full), "%s%s", root, path);
	assert_int_equal(chmod(full, 0666), 0);
	(void)snprintf(full, sizeof(full), "%s%s", root, group);
	assert_int_equal(chmod(full, 0777), 0);
	as_user(user_with_a_part_of_it);
	assert_int_equal(chmod(full, 0755), 0);
}

static int
user_on_version_1(void *data)
{
	(void)data;
	become_user();
	struct finding f = examine(check_cgroup_layout, mend_cgroup);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.detail, "hybrid");
	assert_says(f.fix, "systemd.unified_cgroup_hierarchy=1");
	return 0;
}

static void
version_1_is_named_with_what_an_ordinary_user_can_do(void **state)
{
	(void)state;
	put("/proc/self/mounts",
	    "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
	    "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
	    "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
	put("/proc/self/cgroup", "4:memory:/\n3:pids:/\n1:cpu:/\n0::/\n");
	put("/sys/fs/cgroup/memory", NULL);
	put("/sys/fs/cgroup/pids", NULL);
	put("/sys/fs/cgroup/cpu", NULL);
	as_user(user_on_version_1);
}

static void
no_control_groups_at_all_and_read_only_ones_are_told_apart(void **state)
{
	(void)state;
	put("/proc/self/mounts", "proc /proc proc rw 0 0\n");
	struct finding f = examine(check_cgroup_layout, mend_cgroup);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.fix, "mount -t cgroup2");
	finding_done(&f);
	put("/proc/self/mounts", "cgroup /sys/fs/cgroup cgroup2 ro,nosuid 0 0\n");
	put("/proc/self/cgroup", "0::/\n");
	f = examine(check_cgroup_layout, mend_cgroup);
	assert_says(f.fix, "read-only");
	finding_done(&f);
}

/* ---- the place ---- */

static void
a_container_is_known_by_its_marks(void **state)
{
	static const char *const marks[][3] = {{"/proc/sentry-meminfo", "", "gvisor"},
	    {"/run/systemd/container", "lxc\n", "lxc"}, {"/run/.containerenv", "", "podman"},
	    {"/.dockerenv", "", "docker"}};
	(void)state;
	(void)unsetenv("KUBERNETES_SERVICE_HOST");
	(void)unsetenv("container");
	struct finding f = examine(check_container, NULL);
	assert_says(f.detail, "not inside");
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		put(marks[i][0], marks[i][1]);
		f = examine(check_container, NULL);
		assert_says(f.detail, marks[i][2]);
		assert_string_equal(json_get_str(f.facts, "kind", ""), marks[i][2]);
		finding_done(&f);
	}
}

static void
little_memory_is_weaker_also_where_only_our_group_has_little(void **state)
{
	(void)state;
	put("/proc/meminfo",
	    "MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 7000000 kB\nSwapTotal: 0 kB\n");
	struct finding f = examine(check_memory, NULL);
	assert_int_equal(f.state, STATE_OK);
	finding_done(&f);
	put("/proc/self/cgroup", "0::/small/inner\n");
	put("/sys/fs/cgroup/small/memory.max", "134217728\n");
	put("/sys/fs/cgroup/small/inner/memory.max", "max\n");
	f = examine(check_memory, NULL);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.detail, "allows 128");
	assert_int_equal(json_get_int(f.facts, "group_limit_bytes", 0), 134217728);
	finding_done(&f);
}

static void
a_disk_that_does_not_execute_or_has_no_room_is_named(void **state)
{
	static const char *const places[] = {"/dev/pts", "/proc/self", "/"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct statvfs fs;
		assert_int_equal(setenv("RINGFENCE_STATE", places[i], 1), 0);
		if (statvfs(places[i], &fs) < 0)
			continue;
		struct finding f = examine(check_disk, NULL);
		bool noexec = (fs.f_flag & ST_NOEXEC) != 0;
		assert_int_equal(json_get_bool(f.facts, "noexec", !noexec), noexec);
		if (noexec)
			assert_says(f.detail, "noexec");
		if (fs.f_bavail == 0)
			assert_int_equal(f.state, STATE_MISSING);
		finding_done(&f);
	}
	assert_int_equal(unsetenv("RINGFENCE_STATE"), 0);
}

static void
what_a_policy_with_a_network_would_miss_is_named(void **state)
{
	static const char bundle[] =
	    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	(void)state;
	assert_int_equal(setenv("RINGFENCE_CONFIG", "/config.yaml", 1), 0);
	struct finding f = examine(check_network, NULL);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.fix, "ca-certificates");
	finding_done(&f);
	put("/etc/ssl/certs/ca-certificates.crt", bundle);
	f = examine(check_network, NULL);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.fix, "resolvers");
	finding_done(&f);
	put("/etc/resolv.conf", "# ours\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n");
	f = examine(check_network, NULL);
	assert_int_equal(f.state, STATE_OK);
	assert_says(f.detail, "1 authority in");
	assert_says(f.detail, "2 resolvers, IPv4 alone");
	finding_done(&f);
	put("/config.yaml", "network: {authorities: /own.pem, resolvers: [127.0.0.1]}\n");
	put("/proc/net/if_inet6", "");
	put("/own.pem", bundle);
	f = examine(check_network, NULL);
	assert_int_equal(f.state, STATE_OK);
	assert_says(f.detail, "/own.pem, 1 resolver, IPv4 and IPv6");
	finding_done(&f);
	put("/config.yaml", "network: {authorites: /own.pem}\n");
	f = examine(check_network, NULL);
	assert_int_equal(f.state, STATE_WEAKER);
	assert_says(f.detail, "authorites");
	finding_done(&f);
	assert_int_equal(unsetenv("RINGFENCE_CONFIG"), 0);
}

#define ROOTED(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ROOTED(an_old_kernel_is_missing_with_the_version_that_is_needed),
	    ROOTED(what_each_landlock_version_adds_agrees_with_the_kernel),
	    ROOTED(every_system_call_that_we_need_is_asked_for),
	    ROOTED(namespaces_that_are_forbidden_are_explained_by_what_forbids_them),
	    ROOTED(few_namespaces_are_weaker_and_none_are_missing),
	    ROOTED(landlock_that_is_not_in_the_list_of_modules_is_explained_by_the_command_line),
	    ROOTED(version_2_that_is_not_delegated_names_the_user_unit),
	    ROOTED(version_2_without_the_cpu_controller_names_the_drop_in),
	    ROOTED(version_1_is_named_with_what_an_ordinary_user_can_do),
	    ROOTED(no_control_groups_at_all_and_read_only_ones_are_told_apart),
	    ROOTED(a_container_is_known_by_its_marks),
	    ROOTED(little_memory_is_weaker_also_where_only_our_group_has_little),
	    ROOTED(a_disk_that_does_not_execute_or_has_no_room_is_named),
	    ROOTED(what_a_policy_with_a_network_would_miss_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
