/* Policy generations in this process: compiled once, found by hash, shared by counted reference. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "base/sha256.h"
#include "policy/policy.h"

#define GENERATIONS_CACHED 16
/* Those that a session may propose by: the last ones viewed, and no more text than this in all. A
 * session whose policy fell out of it must view it again. */
#define GENERATIONS_KEPT 256
#define GENERATIONS_KEPT_BYTES (8 * 1024 * 1024)
#define POLICY_NAME_MAX 64 /* bytes, of a name that is looked up or activated */

struct arbiter;

struct generation {
	unsigned refs;
	struct policy *policy; /* owned */
	char hash[SHA256_HEX];
	size_t text_bytes;
	char name[POLICY_NAME_MAX + 1];        /* the policy's own; may be "" */
	struct json *sandbox;                  /* owned: policy_sandbox */
	int64_t calls_per_task, calls_per_day; /* 0: no budget */
	bool writes_host;                      /* its sandboxes change the workspace directly */
	bool two_people;                       /* policy_needs_two_people */
	char *missing; /* owned: what this build cannot enforce; NULL if nothing */
};

struct generations {
	struct generation *cached[GENERATIONS_CACHED]; /* most recently used first */
	struct generation *kept[GENERATIONS_KEPT];     /* as well */
	size_t n_kept, kept_bytes;
	/* Names that were looked up: only this process changes what is active. */
	struct {
		char name[POLICY_NAME_MAX + 1];
		struct generation *generation;
	} active[GENERATIONS_CACHED];
};

/* The generation of TEXT, compiled or from the cache; LABEL stands in errors. A new reference. */
int generation_load(struct generations *all, const char *text, size_t len, const char *label,
    struct generation **ret, struct error *err) MUST_CHECK;
/* The bytes of a policy from FD (borrowed): a regular file of at most POLICY_BYTES_MAX, not served by
 * another process, so that reading cannot make us wait. TEXT is initialized by the caller. */
int generation_file_text(int fd, const char *label, struct buf *text, struct error *err) MUST_CHECK;
/* Both in one. */
int generation_read(struct generations *all, int fd, const char *label, struct generation **ret,
    struct error *err) MUST_CHECK;
/* The built-in or active generation NAME. A new reference; -ENOENT with what to do in ERR. */
int generation_named(struct arbiter *arbiter, const char *name, struct generation **ret,
    struct error *err) MUST_CHECK;
/* The generation with HASH: kept, cached, or one that was activated at some time. A new reference;
 * -ENOENT with what to do in ERR. */
int generation_hashed(struct arbiter *arbiter, const char *hash, struct generation **ret,
    struct error *err) MUST_CHECK;
/* Keeps GENERATION, so that generation_hashed finds it; forgets the least recently used ones. */
void generation_keep(struct generations *all, struct generation *generation);
struct generation *generation_ref(struct generation *generation);
/* Accepts NULL; returns NULL. */
struct generation *generation_unref(struct generation *generation);
/* Forgets what NAME stands for, so that the next look-up asks the store. */
void generations_forget_name(struct generations *all, const char *name);
void generations_done(struct generations *all);
