/* A scratch directory for the tests of images, with helpers to fill and read it. */
#pragma once

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/remove.h"
#include "image/tree.h"
#include "sandbox/workspace_fs.h"

struct fixture {
	char base[64];
	int at;   /* base */
	int root; /* base/root: the tree */
	struct tree tree;
	struct error err;
};

static const struct image_limits test_limits = {.bytes = 1 << 20, .entries = 1000};

static inline int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct stat st;
	assert_non_null(f);
	(void)umask(022);
	(void)snprintf(f->base, sizeof(f->base), "%s/test-image-XXXXXX",
	    stat("/dev/shm", &st) == 0 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(f->base));
	f->at = open(f->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->at >= 0);
	assert_int_equal(mkdirat(f->at, "root", 0755), 0);
	f->root = openat(f->at, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->root >= 0);
	tree_init(&f->tree, f->root, &test_limits);
	*state = f;
	return 0;
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;
	tree_done(&f->tree);
	struct wsfs_names names = {0};
	assert_int_equal(wsfs_names(f->at, 1000, &names), 0);
	for (size_t i = 0; i < names.n; i++)
		assert_int_equal(remove_deep(f->at, names.items[i]), 0);
	wsfs_names_done(&names);
	(void)close(f->root);
	(void)close(f->at);
	assert_int_equal(rmdir(f->base), 0);
	free(f);
	return 0;
}

static inline void
put(int dir, const char *path, const char *text)
{
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

/* The text of PATH, "-> TARGET" of a link, "dir", or NULL. Static storage. */
static inline const char *
get(int dir, const char *path)
{
	static char text[8192];
	struct stat st;
	if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NULL;
	if (S_ISDIR(st.st_mode))
		return "dir";
	if (S_ISLNK(st.st_mode)) {
		(void)snprintf(text, sizeof(text), "-> ");
		ssize_t n = readlinkat(dir, path, text + 3, sizeof(text) - 4);
		assert_true(n > 0);
		text[3 + n] = 0;
		return text;
	}
	int fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	assert_true(fd >= 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	assert_true(n >= 0);
	text[n] = 0;
	return text;
}

/* ---- entries of an archive ---- */

struct contents {
	const char *text;
	bool given;
};

static inline int
read_contents(
    void *data, const void **ret_bytes, size_t *ret_len, int64_t *ret_offset, struct error *err)
{
	struct contents *c = data;
	(void)err;
	*ret_bytes = c->text;
	*ret_len = strlen(c->text);
	*ret_offset = 0;
	bool first = !c->given;
	c->given = true;
	return first && c->text[0] != 0 ? 1 : 0;
}

static inline int
add_file(struct fixture *f, const char *path, const char *text)
{
	struct contents c = {.text = text};
	struct tree_entry e = {.path = path,
	    .type = TREE_FILE,
	    .size = (int64_t)strlen(text),
	    .read = read_contents,
	    .data = &c};
	return tree_add(&f->tree, &e, &f->err);
}

static inline int
add(struct fixture *f, enum tree_type type, const char *path, const char *target)
{
	struct tree_entry e = {
	    .path = path, .type = type, .target = target, .kind = "a device node"};
	return tree_add(&f->tree, &e, &f->err);
}
