/* Files of a sandbox, as the caller's side holds them: descriptors that rf-supervisor handed out. Nothing
 * here opens a path of the sandbox; names that come out of it are hostile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/macros.h"
#include "cli/connect.h"

#define SANDBOX_PATH_MAX 4096
#define SANDBOX_ENTRIES_MAX 100000

struct sandbox_file {
	int fd;        /* owned; -1 where HOW hands out none */
	char type[16]; /* "file", "directory", "symlink", … */
	int64_t size;
	mode_t mode;
	int64_t mtime_ms;
};

struct sandbox_entry {
	char *name;     /* owned; one component */
	struct stat st; /* of itself: links are not followed */
};

/* Asks for PATH of SANDBOX: HOW is read, write, list, stat, mkdir or remove; MODE (write, mkdir) or -1. The
 * descriptor is what HOW says, checked here as well: a regular file open for that and nothing more, or a
 * directory. 0, or -errno with ERR. */
int sandbox_open(struct connection *c, const char *sandbox, const char *path, const char *how,
    int mode, struct sandbox_file *ret, struct error *err) MUST_CHECK;
/* The entries of the directory FD (taken), sorted; at most SANDBOX_ENTRIES_MAX. Names that are no single
 * component are left out. 0, or -errno with ERR (PATH names it). Free with sandbox_entries_free. */
int sandbox_entries(int fd, const char *path, struct sandbox_entry **ret, size_t *ret_n,
    struct error *err) MUST_CHECK;
void sandbox_entries_free(struct sandbox_entry *entries, size_t n);
/* Copies from FROM to TO until the end, at most MAX bytes; how many in *RET_N, also on failure. 0; -EFBIG
 * if there is more; or -errno. */
int sandbox_copy_bytes(int from, int to, int64_t max, int64_t *ret_n) MUST_CHECK;
