/* A store in a directory of its own, with a second connection where a test needs a rival. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"

struct fixture {
	char directory[64];
	char path[96];
	struct store *a, *b;
};

static inline int
fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	(void)snprintf(f->directory, sizeof(f->directory), "/tmp/test-store-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	(void)snprintf(f->path, sizeof(f->path), "%s/store.db", f->directory);
	struct error err;
	assert_int_equal(store_open(f->path, &f->a, &err), 0);
	assert_int_equal(store_open(f->path, &f->b, &err), 0);
	*state = f;
	return 0;
}

static inline int
fixture_teardown(void **state)
{
	struct fixture *f = *state;
	static const char *const endings[] = {"", "-wal", "-shm"};
	store_close(f->a);
	store_close(f->b);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		char path[128];
		(void)snprintf(path, sizeof(path), "%s%s", f->path, endings[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(f->directory), 0);
	free(f);
	return 0;
}

/* An action in STATE; ID also stands for its task. */
static inline struct store_action
an_action(const char *id, enum action_state state)
{
	return (struct store_action){
	    .id = id,
	    .task = id,
	    .kind = "exec",
	    .target = "/usr/bin/true",
	    .state = state,
	    .requester = 1000,
	    .owner = 1000,
	    .digest = "d1",
	    .policy_hash = "p1",
	    .policy_name = "acme",
	    .epoch = 3,
	    .created_at = 100,
	    .expires_at = 1000,
	    .record = "{\"kind\":\"exec\"}",
	};
}
