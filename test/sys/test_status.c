/* What the kernel says of us agrees with what it says by other calls, before and after locks; a text that
 * lacks a field is no evidence. */
#include "unit.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#include "sys/seccomp.h"
#include "sys/status.h"

#define TEXT                                                                                     \
	"Name:\tsh\nUmask:\t0022\nUid:\t1000\t1001\t1002\t1003\nGid:\t5\t6\t7\t8\nFDSize:\t64\n" \
	"Groups:\t4 24 27 \nCapInh:\t0000000000000001\nCapPrm:\t0000000000000002\n"              \
	"CapEff:\t000001ffffffffff\nCapBnd:\t0000000000000008\nCapAmb:\t0000000000000010\n"      \
	"NoNewPrivs:\t1\nSeccomp:\t2\n"

static void
every_field_is_read(void **state)
{
	struct status s;
	(void)state;
	assert_int_equal(status_parse(TEXT "Seccomp_filters:\t3\n", &s), 0);
	assert_int_equal(s.uid[0], 1000);
	assert_int_equal(s.uid[3], 1003);
	assert_int_equal(s.gid[1], 6);
	assert_int_equal(s.groups, 3);
	assert_int_equal(s.caps[STATUS_INHERITABLE], 1);
	assert_int_equal(s.caps[STATUS_PERMITTED], 2);
	assert_int_equal(s.caps[STATUS_EFFECTIVE], 0x1ffffffffff);
	assert_int_equal(s.caps[STATUS_BOUNDING], 8);
	assert_int_equal(s.caps[STATUS_AMBIENT], 16);
	assert_int_equal(s.no_new_privs, 1);
	assert_int_equal(s.seccomp_mode, SECCOMP_MODE_FILTER);
	assert_int_equal(s.seccomp_filters, 3);
	assert_int_equal(status_parse(TEXT, &s), 0);
	assert_int_equal(s.seccomp_filters, -1);
}

static void
a_text_without_one_of_the_fields_is_no_evidence(void **state)
{
	static const char *const needed[] = {"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff",
	    "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"};
	(void)state;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		char text[] = TEXT;
		struct status s;
		char *at = strstr(text, needed[i]);
		assert_non_null(at);
		*at = 'x';
		assert_int_equal(status_parse(text, &s), -EBADMSG);
	}
}

static void
it_agrees_with_the_kernel_s_other_answers(void **state)
{
	struct status s;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2] = {0};
	(void)state;
	assert_int_equal(status_read(&s), 0);
	assert_int_equal(s.uid[1], geteuid());
	assert_int_equal(s.gid[0], getgid());
	assert_int_equal(s.groups, getgroups(0, NULL));
	assert_int_equal(syscall(SYS_capget, &header, caps), 0);
	assert_int_equal(
	    s.caps[STATUS_EFFECTIVE], (uint64_t)caps[1].effective << 32 | caps[0].effective);
	assert_int_equal(s.no_new_privs, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	assert_int_equal(s.caps[STATUS_BOUNDING] >> CAP_SYS_ADMIN & 1,
	    (uint64_t)prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0));
}

static int
lock_and_look(void *data)
{
	static const struct seccomp_rule rules[] = {
	    {.nr = SYS_getppid, .action = SECCOMP_RET_ERRNO | ENOTTY}};
	struct seccomp_program program;
	struct error err = {0};
	struct status before, after;
	(void)data;
	if (status_read(&before) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    seccomp_compile(rules, 1, SECCOMP_RET_ALLOW, &program, &err) < 0 ||
	    seccomp_install(program.code, program.len) < 0 || status_read(&after) < 0)
		return 1;
	return after.no_new_privs == 1 && after.seccomp_mode == SECCOMP_MODE_FILTER &&
		(before.seccomp_filters < 0 || after.seccomp_filters == before.seccomp_filters + 1)
	    ? 0
	    : 2;
}

static void
a_lock_shows_in_it(void **state)
{
	(void)state;
	assert_exited(in_child(lock_and_look, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_field_is_read),
	    cmocka_unit_test(a_text_without_one_of_the_fields_is_no_evidence),
	    cmocka_unit_test(it_agrees_with_the_kernel_s_other_answers),
	    cmocka_unit_test(a_lock_shows_in_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
