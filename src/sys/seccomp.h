/* seccomp filters from data: a list of rules becomes a BPF program (binary search by system call
 * number, then the argument tests of that call). See seccomp(2), linux/filter.h.
 *
 * Compiled once and reused; the kernel answers calls that are allowed whatever their arguments from
 * a bitmap, without running the program. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/macros.h"
#include "base/sha256.h"

enum seccomp_op { SECCOMP_EQ, SECCOMP_NE, SECCOMP_MASKED_EQ };

/* Tests argument INDEX (0..5): EQ and NE compare the low 32 bits when WIDE is false, all 64
 * otherwise; MASKED_EQ compares (argument & mask) with value. */
struct seccomp_test {
	uint8_t index;
	uint8_t op;
	bool wide;
	uint64_t mask;
	uint64_t value;
};

/* System call NR gets ACTION (SECCOMP_RET_…) when all its tests hold. Several rules for one number
 * are tried in order; if none holds, the filter's default action applies. No test: always. */
struct seccomp_rule {
	int nr;
	uint32_t action;
	struct seccomp_test tests[3];
	uint8_t n_tests;
};

/* A rule that lets fcntl(2) do COMMAND. Programs list those they need: F_SETOWN, for one, has the kernel signal others in
 * our name. */
#define SECCOMP_FCNTL(command)                                                              \
	{                                                                                   \
		.nr = SYS_fcntl, .action = SECCOMP_RET_ALLOW,                               \
		.tests = {{.index = 1, .op = SECCOMP_EQ, .value = (command)}}, .n_tests = 1 \
	}

/* A rule that lets CALL (mmap(2), mprotect(2)) give memory, but none that can be executed. */
#define SECCOMP_NO_CODE(call)                                                                    \
	{                                                                                        \
		.nr = (call), .action = SECCOMP_RET_ALLOW,                                       \
		.tests = {{.index = 2, .op = SECCOMP_MASKED_EQ, .mask = PROT_EXEC, .value = 0}}, \
		.n_tests = 1                                                                     \
	}

struct seccomp_program {
	struct sock_filter *code; /* owned */
	unsigned short len;
	char hash[SHA256_HEX]; /* of the code's bytes */
};

/* Compiles RULES; any order. A foreign architecture or an x32 call is killed. 0 or -EINVAL/-ENOMEM. */
int seccomp_compile(const struct seccomp_rule *rules, size_t n_rules, uint32_t default_action,
    struct seccomp_program *ret, struct error *err) MUST_CHECK;
void seccomp_program_done(struct seccomp_program *program);
/* Compiles RULES and installs them on this thread. WHO stands in the error. 0 or -errno with ERR. */
int seccomp_enter(const struct seccomp_rule *rules, size_t n_rules, uint32_t default_action,
    const char *who, struct error *err) MUST_CHECK;
/* Installs CODE on this thread (no_new_privs must be set, or CAP_SYS_ADMIN held). 0 or -errno. */
int seccomp_install(const struct sock_filter *code, unsigned short len) MUST_CHECK;
