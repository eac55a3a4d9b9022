/* Reading and removing below a directory descriptor without ever following a link or a mount.
 * Shared by the workspace's walk, difference and commit. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/macros.h"
#include "base/sha256.h"

/* Opens PATH below DIR: no symbolic link anywhere in it, no "..", no other mount (openat2(2)).
 * FLAGS as open(2); O_CLOEXEC and O_NOFOLLOW are added. Descriptor or -errno. */
int wsfs_open(int dir, const char *path, int flags) MUST_CHECK;
/* As wsfs_open for reading, never blocking on a fifo. A file that the caller owns but whose mode forbids
 * reading is opened all the same, and keeps its mode. For the upper layer, which is thrown away. */
int wsfs_open_forced(int dir, const char *name) MUST_CHECK;
/* Opens the directory that holds PATH and points RET_NAME at the last component. */
int wsfs_open_parent(int dir, const char *path, const char **ret_name) MUST_CHECK;
/* lstat below DIR: 0, -ENOENT, or -errno. */
int wsfs_stat(int dir, const char *path, struct stat *ret) MUST_CHECK;

struct wsfs_names {
	char **items; /* owned, sorted by bytes */
	size_t n;
};
/* The names in directory FD (borrowed) without "." and "..". -E2BIG past MAX. */
int wsfs_names(int fd, size_t max, struct wsfs_names *ret) MUST_CHECK;
void wsfs_names_done(struct wsfs_names *names);
bool wsfs_names_have(const struct wsfs_names *names, const char *name);

/* SHA-256 of FD's contents from its position. -EFBIG when they pass *BUDGET, which is reduced. */
int wsfs_hash(int fd, int64_t *budget, uint8_t ret[SHA256_BYTES]) MUST_CHECK;
/* The target of the link NAME, owned; -errno. */
int wsfs_readlink(int dir, const char *name, char **ret) MUST_CHECK;
/* Sets the mode of the entry NAME, which is no link. */
int wsfs_chmod(int dir, const char *name, mode_t mode) MUST_CHECK;
/* Writes all of it. */
int wsfs_write(int fd, const void *bytes, size_t len) MUST_CHECK;
/* Removes NAME and all below it; a missing NAME is no error. */
int wsfs_remove_tree(int dir, const char *name);
