/* The seccomp compiler: rules in, a BPF program out. Pure, except for seccomp_install.
 *
 * The numbers are cut into segments: a run of numbers with one unconditional answer, or one number
 * whose arguments are tested. A balanced binary search over the segments' first numbers finds the
 * segment; what answers without looking at arguments never loads any, so the kernel can answer
 * it from its bitmap (seccomp_cache_prepare_bitmap in kernel/seccomp.c).
 *
 * Layout: load arch, kill if foreign; load number; search tree. An x32 number (bit 30) falls in a last
 * segment of its own that kills. */
#include "sys/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000U
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "seccomp: unknown architecture"
#endif

#define NR_MAX 0x3fffffff
#define OFFSET_NR 0
#define OFFSET_ARCH 4
#define OFFSET_ARG(i) (16U + 8U * (i)) /* little-endian: low half first */

/* Numbers from FIRST to the next segment's first: ACTION, or the tests of RULES if there are any. */
struct segment {
	uint32_t first;
	uint32_t action;
	const struct seccomp_rule *const *rules;
	size_t n_rules;
};

struct compiler {
	const struct seccomp_rule **sorted; /* owned; stable by number */
	size_t n_sorted;
	struct segment *segments; /* owned */
	size_t n_segments;
	uint32_t default_action;
	struct sock_filter *code; /* BPF_MAXINSNS, owned */
	size_t len;
	bool overflow;
};

/* ---- segments ---- */

static void
sort_rules(struct compiler *c, const struct seccomp_rule *rules, size_t n_rules)
{
	/* Insertion: the tables are short and mostly in order. */
	for (size_t i = 0; i < n_rules; i++) {
		size_t at = i;
		for (; at > 0 && c->sorted[at - 1]->nr > rules[i].nr; at--)
			c->sorted[at] = c->sorted[at - 1];
		c->sorted[at] = &rules[i];
	}
	c->n_sorted = n_rules;
}

/* Adds a segment, or lets the one before go on if it has the same unconditional answer. */
static void
add_segment(struct compiler *c, struct segment s)
{
	if (c->n_segments > 0 && c->segments[c->n_segments - 1].first == s.first)
		c->n_segments--; /* it was empty */
	if (c->n_segments > 0) {
		struct segment *last = &c->segments[c->n_segments - 1];
		if (last->n_rules == 0 && s.n_rules == 0 && last->action == s.action)
			return;
	}
	c->segments[c->n_segments++] = s;
}

static void
cut_segments(struct compiler *c)
{
	add_segment(c, (struct segment){.first = 0, .action = c->default_action});
	for (size_t i = 0, next; i < c->n_sorted; i = next) {
		for (next = i + 1; next < c->n_sorted && c->sorted[next]->nr == c->sorted[i]->nr;)
			next++;
		struct segment s = {.first = (uint32_t)c->sorted[i]->nr};
		if (c->sorted[i]->n_tests == 0) {
			s.action = c->sorted[i]->action;
		} else {
			s.rules = c->sorted + i;
			s.n_rules = next - i;
		}
		add_segment(c, s);
		add_segment(c, (struct segment){.first = s.first + 1, .action = c->default_action});
	}
#ifdef X32_BIT
	add_segment(c, (struct segment){.first = X32_BIT, .action = SECCOMP_RET_KILL_PROCESS});
#endif
}

/* ---- code ---- */

static void
emit(struct compiler *c, uint16_t code, uint32_t k, size_t jt, size_t jf)
{
	if (c->len >= BPF_MAXINSNS || jt > UINT8_MAX || jf > UINT8_MAX) {
		c->overflow = true;
		return;
	}
	c->code[c->len++] = (struct sock_filter){code, (uint8_t)jt, (uint8_t)jf, k};
}

static void
emit_load(struct compiler *c, uint32_t offset)
{
	emit(c, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static void
emit_return(struct compiler *c, uint32_t action)
{
	emit(c, BPF_RET | BPF_K, action, 0, 0);
}

/* A jump that leaves the rule carries this mark until the rule's end is known. */
#define TO_NEXT_RULE UINT8_MAX

static void
emit_equal_half(struct compiler *c, uint32_t offset, uint32_t mask, uint32_t value)
{
	emit_load(c, offset);
	if (mask != UINT32_MAX)
		emit(c, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, value, 0, TO_NEXT_RULE);
}

static void
emit_not_equal(struct compiler *c, const struct seccomp_test *t)
{
	uint32_t low = OFFSET_ARG(t->index);
	if (t->wide) {
		emit_load(c, low + 4);
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(t->value >> 32), 0, 2);
	}
	emit_load(c, low);
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)t->value, TO_NEXT_RULE, 0);
}

static void
emit_test(struct compiler *c, const struct seccomp_test *t)
{
	uint64_t mask = t->op == SECCOMP_MASKED_EQ ? t->mask : t->wide ? UINT64_MAX : UINT32_MAX;
	if (t->op == SECCOMP_NE) {
		emit_not_equal(c, t);
		return;
	}
	uint32_t low = OFFSET_ARG(t->index);
	if (mask >> 32 != 0)
		emit_equal_half(c, low + 4, (uint32_t)(mask >> 32), (uint32_t)(t->value >> 32));
	if ((uint32_t)mask != 0)
		emit_equal_half(c, low, (uint32_t)mask, (uint32_t)t->value);
}

/* Points the marked jumps of code[from..] at the instruction after the rule. */
static void
close_rule(struct compiler *c, size_t from)
{
	for (size_t i = from; i < c->len; i++) {
		struct sock_filter *f = &c->code[i];
		uint8_t distance = (uint8_t)(c->len - i - 1);
		if (f->jt == TO_NEXT_RULE)
			f->jt = distance;
		if (f->jf == TO_NEXT_RULE)
			f->jf = distance;
	}
}

static void
emit_leaf(struct compiler *c, const struct segment *s)
{
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct seccomp_rule *rule = s->rules[i];
		size_t from = c->len;
		for (size_t t = 0; t < rule->n_tests; t++)
			emit_test(c, &rule->tests[t]);
		emit_return(c, rule->action);
		close_rule(c, from);
		if (rule->n_tests == 0)
			return; /* what follows is never reached */
	}
	emit_return(c, s->n_rules == 0 ? s->action : c->default_action);
}

/* The search over segments [low, high): `number >= middle's first` goes right. */
static void
emit_search(struct compiler *c, size_t low, size_t high)
{
	if (high - low == 1) {
		emit_leaf(c, &c->segments[low]);
		return;
	}
	size_t middle = low + (high - low) / 2;
	size_t at = c->len;
	uint32_t first = c->segments[middle].first;
	emit(c, BPF_JMP | BPF_JGE | BPF_K, first, 0, 1);
	emit(c, BPF_JMP | BPF_JA, 0, 0, 0);
	emit_search(c, low, middle);
	if (c->overflow)
		return;
	size_t left = c->len - at - 2;
	if (left <= UINT8_MAX) {
		/* The common case: the right side is near enough for the conditional jump itself. */
		memmove(&c->code[at + 1], &c->code[at + 2], left * sizeof(*c->code));
		c->code[at] =
		    (struct sock_filter){BPF_JMP | BPF_JGE | BPF_K, (uint8_t)left, 0, first};
		c->len--;
	} else {
		c->code[at + 1].k = (uint32_t)left;
	}
	emit_search(c, middle, high);
}

static void
emit_program(struct compiler *c)
{
	emit_load(c, OFFSET_ARCH);
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
	emit_return(c, SECCOMP_RET_KILL_PROCESS);
	emit_load(c, OFFSET_NR);
	emit_search(c, 0, c->n_segments);
}

/* ---- the front ---- */

static int
check_rule(const struct seccomp_rule *rule, struct error *err)
{
	if (rule->nr < 0 || rule->nr > NR_MAX)
		return error_set(err, EINVAL, "seccomp_invalid",
		    "seccomp: no system call has number %d", rule->nr);
	if (rule->n_tests > ARRAY_LEN(rule->tests))
		return error_set(err, EINVAL, "seccomp_invalid",
		    "seccomp: too many tests for call %d", rule->nr);
	for (size_t i = 0; i < rule->n_tests; i++) {
		const struct seccomp_test *t = &rule->tests[i];
		bool never = t->op == SECCOMP_MASKED_EQ && (t->value & ~t->mask) != 0;
		if (t->index > 5 || t->op > SECCOMP_MASKED_EQ || never)
			return error_set(err, EINVAL, "seccomp_invalid",
			    "seccomp: test %zu of call %d cannot hold", i, rule->nr);
	}
	return 0;
}

static int
compile(struct compiler *c, const struct seccomp_rule *rules, size_t n_rules,
    struct seccomp_program *ret, struct error *err)
{
	c->sorted = calloc(n_rules + 1, sizeof(struct seccomp_rule *));
	c->segments = calloc(2 * n_rules + 3, sizeof(*c->segments));
	c->code = calloc(BPF_MAXINSNS, sizeof(*c->code));
	if (c->sorted == NULL || c->segments == NULL || c->code == NULL)
		return error_set(err, ENOMEM, "no_memory", "seccomp: out of memory");
	sort_rules(c, rules, n_rules);
	cut_segments(c);
	emit_program(c);
	if (c->overflow)
		return error_set(
		    err, EINVAL, "seccomp_invalid", "seccomp: the program is too long");
	struct sock_filter *code = malloc(c->len * sizeof(*code));
	if (code == NULL)
		return error_set(err, ENOMEM, "no_memory", "seccomp: out of memory");
	memcpy(code, c->code, c->len * sizeof(*code));
	uint8_t hash[SHA256_BYTES];
	sha256(code, c->len * sizeof(*code), hash);
	*ret = (struct seccomp_program){.code = code, .len = (unsigned short)c->len};
	hex_encode(hash, sizeof(hash), ret->hash);
	return 0;
}

int
seccomp_compile(const struct seccomp_rule *rules, size_t n_rules, uint32_t default_action,
    struct seccomp_program *ret, struct error *err)
{
	for (size_t i = 0; i < n_rules; i++) {
		int r = check_rule(&rules[i], err);
		if (r < 0)
			return r;
	}
	struct compiler c = {.default_action = default_action};
	int r = compile(&c, rules, n_rules, ret, err);
	free(c.sorted);
	free(c.segments);
	free(c.code);
	return r;
}

void
seccomp_program_done(struct seccomp_program *program)
{
	free(program->code);
	*program = (struct seccomp_program){0};
}

int
seccomp_install(const struct sock_filter *code, unsigned short len)
{
	/* The kernel only reads the filter; its structure merely lacks the const. */
	union {
		const struct sock_filter *in;
		struct sock_filter *out;
	} filter = {.in = code};
	struct sock_fprog program = {.len = len, .filter = filter.out};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return -errno;
	return 0;
}

int
seccomp_enter(const struct seccomp_rule *rules, size_t n_rules, uint32_t default_action,
    const char *who, struct error *err)
{
	struct seccomp_program program;
	int r = seccomp_compile(rules, n_rules, default_action, &program, err);
	if (r < 0)
		return r;
	r = seccomp_install(program.code, program.len);
	seccomp_program_done(&program);
	return r < 0 ? error_set_errno(err, -r, "confine_failed", "%s: seccomp", who) : 0;
}
