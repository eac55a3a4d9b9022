/* The compiler against brute force: a small BPF interpreter runs the program for every number and
 * many arguments, and a direct reading of the rules must give the same answer. */
#include "unit.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/macros.h"
#include "sys/seccomp.h"

#ifdef __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#define FOREIGN AUDIT_ARCH_I386
#else
#define ARCH AUDIT_ARCH_AARCH64
#define FOREIGN AUDIT_ARCH_ARM
#endif

#define ALLOW SECCOMP_RET_ALLOW
#define KILL SECCOMP_RET_KILL_PROCESS
#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))

/* RET_LOADED tells whether the program looked at an argument. */
static uint32_t
interpret(const struct seccomp_program *p, const struct seccomp_data *data, bool *ret_loaded)
{
	uint32_t a = 0;
	*ret_loaded = false;
	for (size_t pc = 0; pc < p->len; pc++) {
		const struct sock_filter *f = &p->code[pc];
		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(f->k % 4 == 0 && f->k + 4 <= sizeof(*data));
			memcpy(&a, (const char *)data + f->k, 4);
			*ret_loaded |= f->k >= offsetof(struct seccomp_data, args);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= f->k ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		default:
			fail_msg("unexpected instruction %x", f->code);
		}
	}
	fail_msg("ran off the end");
	return 0;
}

static bool
test_holds(const struct seccomp_test *t, uint64_t arg)
{
	switch (t->op) {
	case SECCOMP_EQ:
		return t->wide ? arg == t->value : (uint32_t)arg == (uint32_t)t->value;
	case SECCOMP_NE:
		return t->wide ? arg != t->value : (uint32_t)arg != (uint32_t)t->value;
	default:
		return (arg & t->mask) == t->value;
	}
}

/* What the header promises, read off the rules. */
static uint32_t
expected(
    const struct seccomp_rule *rules, size_t n, uint32_t fallback, const struct seccomp_data *data)
{
	for (size_t i = 0; i < n; i++) {
		bool holds = rules[i].nr == data->nr;
		for (size_t t = 0; holds && t < rules[i].n_tests; t++)
			holds = test_holds(&rules[i].tests[t], data->args[rules[i].tests[t].index]);
		if (holds)
			return rules[i].action;
	}
	return fallback;
}

static uint64_t
random64(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15;
	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	return x;
}

/* Half the time a value that some test of RULES compares with, so that tests do hold. */
static uint64_t
random_argument(const struct seccomp_rule *rules, size_t n)
{
	const struct seccomp_rule *rule = n > 0 ? &rules[random64() % n] : NULL;
	if (rule == NULL || rule->n_tests == 0 || random64() % 4 == 0)
		return random64() >> (random64() % 64);
	uint64_t value = rule->tests[random64() % rule->n_tests].value;
	uint64_t flip = random64() % 3 == 0 ? 1ULL << (random64() % 64) : 0;
	return value ^ flip;
}

static bool
has_tests(const struct seccomp_rule *rules, size_t n, int nr)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].nr == nr)
			return rules[i].n_tests > 0;
	return false;
}

static void
check_program(const struct seccomp_rule *rules, size_t n, uint32_t fallback)
{
	struct seccomp_program p;
	assert_int_equal(seccomp_compile(rules, n, fallback, &p, NULL), 0);
	for (int nr = 0; nr <= 600; nr++)
		for (int round = 0; round < 20; round++) {
			struct seccomp_data data = {.nr = nr, .arch = ARCH};
			for (int i = 0; i < 6; i++)
				data.args[i] = random_argument(rules, n);
			bool loaded;
			assert_int_equal(
			    interpret(&p, &data, &loaded), expected(rules, n, fallback, &data));
			if (!has_tests(rules, n, nr))
				assert_false(loaded);
		}
	seccomp_program_done(&p);
}

static const struct seccomp_rule mixed[] = {
    {.nr = 3, .action = ALLOW},
    {.nr = 1, .action = ALLOW},
    {.nr = 2, .action = ALLOW},
    {.nr = 0, .action = ALLOW},
    {.nr = 10,
	.action = ERRNO(1),
	.tests = {{.index = 0, .op = SECCOMP_EQ, .value = 7}},
	.n_tests = 1},
    {.nr = 10,
	.action = ALLOW,
	.tests = {{.index = 5, .op = SECCOMP_NE, .value = 9}},
	.n_tests = 1},
    {.nr = 11,
	.action = ALLOW,
	.tests = {{.index = 1, .op = SECCOMP_EQ, .wide = true, .value = 0x1234567800000007},
	    {.index = 2, .op = SECCOMP_NE, .wide = true, .value = 0xffffffff00000000},
	    {.index = 3, .op = SECCOMP_MASKED_EQ, .mask = 0xff000000ff, .value = 0x1000000001}},
	.n_tests = 3},
    {.nr = 11, .action = ERRNO(38)},
    {.nr = 11, .action = ALLOW}, /* never reached */
    {.nr = 12,
	.action = ALLOW,
	.tests = {{.op = SECCOMP_MASKED_EQ, .mask = 0x7e020000}},
	.n_tests = 1},
    {.nr = 13, .action = ALLOW, .tests = {{.op = SECCOMP_EQ, .value = UINT64_MAX}}, .n_tests = 1},
    {.nr = 14, .action = ALLOW, .tests = {{.op = SECCOMP_MASKED_EQ}}, .n_tests = 1},
    {.nr = 599, .action = ALLOW},
};

static void
answers_as_the_rules_say_for_every_number(void **state)
{
	check_program(mixed, ARRAY_LEN(mixed), KILL);
	check_program(mixed, ARRAY_LEN(mixed), ALLOW);
	check_program(NULL, 0, ERRNO(1));
}

static void
answers_random_tables_as_their_rules_say(void **state)
{
	static const uint32_t actions[] = {ALLOW, ALLOW, ERRNO(1), ERRNO(38), SECCOMP_RET_TRAP};
	for (int round = 0; round < 40; round++) {
		struct seccomp_rule rules[400];
		size_t n = random64() % ARRAY_LEN(rules);
		for (size_t i = 0; i < n; i++) {
			struct seccomp_rule *r = &rules[i];
			*r = (struct seccomp_rule){.nr = (int)(random64() % 500)};
			r->action = actions[random64() % ARRAY_LEN(actions)];
			r->n_tests = random64() % 3 == 0 ? (uint8_t)(random64() % 4) : 0;
			for (int t = 0; t < 3; t++) {
				struct seccomp_test *test = &r->tests[t];
				test->index = (uint8_t)(random64() % 6);
				test->op = (uint8_t)(random64() % 3);
				test->wide = random64() % 2 == 0;
				test->mask = random64() & random64() &
				    (random64() % 2 == 0 ? UINT32_MAX : UINT64_MAX);
				test->value = random64() >> (random64() % 64);
				if (test->op == SECCOMP_MASKED_EQ)
					test->value &= test->mask;
			}
		}
		check_program(rules, n, KILL);
	}
}

static void
kills_foreign_architectures_and_x32(void **state)
{
	struct seccomp_program p;
	bool loaded;
	assert_int_equal(seccomp_compile(mixed, ARRAY_LEN(mixed), ALLOW, &p, NULL), 0);
	struct seccomp_data data = {.nr = 1, .arch = FOREIGN};
	assert_int_equal(interpret(&p, &data, &loaded), KILL);
	data = (struct seccomp_data){.nr = 1, .arch = ARCH};
	assert_int_equal(interpret(&p, &data, &loaded), ALLOW);
#ifdef __x86_64__
	data.nr = 0x40000001;
	assert_int_equal(interpret(&p, &data, &loaded), KILL);
	data.nr = -1;
	assert_int_equal(interpret(&p, &data, &loaded), KILL);
#endif
	seccomp_program_done(&p);
}

static void
merges_runs_with_the_same_answer(void **state)
{
	struct seccomp_rule rules[200];
	for (int i = 0; i < 200; i++)
		rules[i] = (struct seccomp_rule){.nr = 100 + i, .action = ALLOW};
	struct seccomp_program p;
	assert_int_equal(seccomp_compile(rules, 200, KILL, &p, NULL), 0);
	/* arch (3), number, two or three cuts, three or four answers */
	assert_true(p.len <= 12);
	seccomp_program_done(&p);
}

static void
hash_depends_on_the_rules_and_not_on_their_order(void **state)
{
	struct seccomp_rule a[] = {{.nr = 1, .action = ALLOW}, {.nr = 5, .action = ALLOW}};
	struct seccomp_rule b[] = {{.nr = 5, .action = ALLOW}, {.nr = 1, .action = ALLOW}};
	struct seccomp_program p, q, r;
	assert_int_equal(seccomp_compile(a, 2, KILL, &p, NULL), 0);
	assert_int_equal(seccomp_compile(b, 2, KILL, &q, NULL), 0);
	assert_int_equal(seccomp_compile(a, 2, ALLOW, &r, NULL), 0);
	assert_string_equal(p.hash, q.hash);
	assert_string_not_equal(p.hash, r.hash);
	seccomp_program_done(&p);
	seccomp_program_done(&q);
	seccomp_program_done(&r);
}

static void
refuses_rules_that_cannot_mean_anything(void **state)
{
	const struct seccomp_rule bad[] = {
	    {.nr = -1, .action = ALLOW},
	    {.nr = 0x40000000, .action = ALLOW},
	    {.nr = 1, .action = ALLOW, .n_tests = 4},
	    {.nr = 1, .action = ALLOW, .tests = {{.index = 6}}, .n_tests = 1},
	    {.nr = 1, .action = ALLOW, .tests = {{.op = 3}}, .n_tests = 1},
	    {.nr = 1,
		.action = ALLOW,
		.tests = {{.op = SECCOMP_MASKED_EQ, .mask = 1, .value = 2}},
		.n_tests = 1},
	};
	struct seccomp_program p;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(seccomp_compile(&bad[i], 1, KILL, &p, NULL), -EINVAL);
}

static void
refuses_a_program_longer_than_the_kernel_takes(void **state)
{
	static struct seccomp_rule rules[1500];
	for (int i = 0; i < 1500; i++)
		rules[i] = (struct seccomp_rule){.nr = 2 * i, .action = ALLOW, .n_tests = 1};
	struct seccomp_program p;
	assert_int_equal(seccomp_compile(rules, 1500, KILL, &p, NULL), -EINVAL);
}

/* In a child: getppid answers EPERM under the filter; RET says what was seen. */
static int
install_and_try(void *data)
{
	const struct seccomp_rule rule = {.nr = SYS_getppid, .action = ERRNO(EPERM)};
	struct seccomp_program p;
	if (getppid() <= 0 || seccomp_compile(&rule, 1, ALLOW, &p, NULL) < 0)
		return 1; /* the control: without the filter it answers */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_install(p.code, p.len) < 0)
		return 2;
	return syscall(SYS_getppid) == -1 && errno == EPERM ? 0 : 3;
}

static int
install_and_die(void *data)
{
	const struct seccomp_rule rule = {.nr = SYS_getppid, .action = KILL};
	struct seccomp_program p;
	if (seccomp_compile(&rule, 1, ALLOW, &p, NULL) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_install(p.code, p.len) < 0)
		return 2;
	syscall(SYS_getppid);
	return 3;
}

static void
the_kernel_takes_the_program_and_obeys_it(void **state)
{
	assert_exited(in_child(install_and_try, NULL), 0);
	assert_killed_by(in_child(install_and_die, NULL), 31 /* SIGSYS */);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_as_the_rules_say_for_every_number),
	    cmocka_unit_test(answers_random_tables_as_their_rules_say),
	    cmocka_unit_test(kills_foreign_architectures_and_x32),
	    cmocka_unit_test(merges_runs_with_the_same_answer),
	    cmocka_unit_test(hash_depends_on_the_rules_and_not_on_their_order),
	    cmocka_unit_test(refuses_rules_that_cannot_mean_anything),
	    cmocka_unit_test(refuses_a_program_longer_than_the_kernel_takes),
	    cmocka_unit_test(the_kernel_takes_the_program_and_obeys_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
