/* A scratch upper and lower directory for the workspace tests, with helpers to fill and read them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/workspace.h"
#include "sandbox/workspace_fs.h"

struct fixture {
	char root[64];
	int dir;
	int upper;
	int lower;
};

static const uint8_t test_key[32] = "a key that the agent cannot read";

static inline void
put(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
}

static inline void
make_dir(int dir, const char *path)
{
	assert_int_equal(mkdirat(dir, path, 0755), 0);
}

/* The text of PATH, or NULL. Static storage. */
static inline const char *
get(int dir, const char *path)
{
	static char text[4096];
	int fd = openat(dir, path, O_RDONLY | O_NOFOLLOW);
	if (fd < 0)
		return NULL;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (n < 0)
		return NULL;
	text[n] = 0;
	return text;
}

static inline bool
exists(int dir, const char *path)
{
	struct stat st;
	return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline mode_t
mode_of(int dir, const char *path)
{
	struct stat st;
	assert_int_equal(fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static inline int
open_dir(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static inline void
fixture_open(struct fixture *f)
{
	struct stat st;
	(void)umask(022);
	const char *base =
	    stat("/dev/shm", &st) == 0 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(f->root, sizeof(f->root), "%s/test-workspace-XXXXXX", base);
	assert_non_null(mkdtemp(f->root));
	f->dir = open_dir(AT_FDCWD, f->root);
	make_dir(f->dir, "upper");
	make_dir(f->dir, "lower");
	f->upper = open_dir(f->dir, "upper");
	f->lower = open_dir(f->dir, "lower");
}

static inline void
fixture_close(struct fixture *f)
{
	(void)wsfs_remove_tree(f->dir, "upper");
	(void)wsfs_remove_tree(f->dir, "lower");
	(void)close(f->upper);
	(void)close(f->lower);
	(void)close(f->dir);
	assert_int_equal(rmdir(f->root), 0);
}

static inline int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	fixture_open(f);
	*state = f;
	return 0;
}

static inline int
teardown(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

static inline void
scan(const struct fixture *f, struct changes *ret)
{
	struct error err = {0};
	if (workspace_scan(f->upper, f->lower, 0, ret, &err) < 0)
		fail_msg("%s", err.message);
}

/* The change at PATH, or one that equals no real change. */
static inline const struct change *
find_change(const struct changes *changes, const char *path)
{
	static const struct change absent = {
	    .kind = (enum change_kind)99, .type = (enum entry_type)99, .flags = ~0u, .mode = ~0u};
	for (size_t i = 0; i < changes->n; i++)
		if (strcmp(changes->items[i].path, path) == 0)
			return &changes->items[i];
	print_error("%s is not reported\n", path);
	return &absent;
}
