/* A set of changes with every kind of step in it, and a description of a tree to compare with. */
#pragma once

#include <sys/sysmacros.h>

#include "sandbox/workspace_fs.h"
#include "workspace_fixture.h"

/* The old tree, and in UPPER what both forms of the new one have. */
static inline void
scenario_fill_common(const struct fixture *f)
{
	make_dir(f->lower, "dir");
	put(f->lower, "edited", "old");
	put(f->lower, "dir/edited", "old");
	put(f->lower, "dir/kept", "kept");
	put(f->lower, "gone", "old");
	make_dir(f->lower, "tree");
	make_dir(f->lower, "tree/sub");
	put(f->lower, "tree/sub/leaf", "old");
	put(f->lower, "mode", "x");
	put(f->lower, "file-to-dir", "old");
	make_dir(f->lower, "dir-to-file");
	put(f->lower, "dir-to-file/inside", "old");

	make_dir(f->upper, "dir");
	put(f->upper, "edited", "new");
	put(f->upper, "dir/edited", "new");
	assert_int_equal(fchmodat(f->upper, "dir", 0700, 0), 0);
	put(f->upper, "mode", "x");
	assert_int_equal(fchmodat(f->upper, "mode", 0750, 0), 0);
	make_dir(f->upper, "file-to-dir");
	put(f->upper, "file-to-dir/inside", "new");
	put(f->upper, "dir-to-file", "new");
	make_dir(f->upper, "added");
	make_dir(f->upper, "added/sub");
	put(f->upper, "added/sub/one", "1");
	assert_int_equal(linkat(f->upper, "added/sub/one", f->upper, "added/two", 0), 0);
	assert_int_equal(linkat(f->upper, "added/sub/one", f->upper, "zwei", 0), 0);
	assert_int_equal(symlinkat("sub/one", f->upper, "added/link"), 0);
	assert_int_equal(fchmodat(f->upper, "added/sub", 0555, 0), 0);
	put(f->upper, "added-next", "n");
}

/* The new tree as an overlay's upper layer. */
static inline void
scenario_fill(const struct fixture *f)
{
	scenario_fill_common(f);
	const char *whiteouts[] = {"gone", "tree"};
	for (size_t i = 0; i < 2; i++)
		if (mknodat(f->upper, whiteouts[i], S_IFCHR | 0600, makedev(0, 0)) < 0)
			skip();
}

/* The new tree as a whole. */
static inline void
scenario_fill_whole(const struct fixture *f)
{
	scenario_fill_common(f);
	put(f->upper, "dir/kept", "kept");
}

static inline void
describe(int dir, const char *prefix, struct buf *out)
{
	struct wsfs_names names;
	assert_int_equal(wsfs_names(dir, 1000, &names), 0);
	for (size_t i = 0; i < names.n; i++) {
		struct stat st;
		char path[512];
		assert_int_equal(fstatat(dir, names.items[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		(void)snprintf(path, sizeof(path), "%s/%s", prefix, names.items[i]);
		(void)buf_addf(out, "%s %o", path, st.st_mode);
		if (S_ISREG(st.st_mode)) {
			const char *text = get(dir, names.items[i]);
			(void)buf_addf(
			    out, " [%s] %u\n", text != NULL ? text : "?", (unsigned)st.st_nlink);
		} else if (S_ISDIR(st.st_mode)) {
			(void)buf_add_char(out, '\n');
			int fd = open_dir(dir, names.items[i]);
			describe(fd, path, out);
			(void)close(fd);
		} else {
			(void)buf_add_str(out, " other\n");
		}
	}
	wsfs_names_done(&names);
}

static const char scenario_old[] =
    "/dir 40755\n/dir/edited 100644 [old] 1\n/dir/kept 100644 [kept] 1\n"
    "/dir-to-file 40755\n/dir-to-file/inside 100644 [old] 1\n/edited 100644 [old] 1\n"
    "/file-to-dir 100644 [old] 1\n/gone 100644 [old] 1\n/mode 100644 [x] 1\n"
    "/tree 40755\n/tree/sub 40755\n/tree/sub/leaf 100644 [old] 1\n";
static const char scenario_new[] =
    "/added 40755\n/added/link 120777 other\n/added/sub 40555\n/added/sub/one 100644 [1] 3\n"
    "/added/two 100644 [1] 3\n/added-next 100644 [n] 1\n/dir 40700\n/dir/edited 100644 [new] 1\n"
    "/dir/kept 100644 [kept] 1\n/dir-to-file 100644 [new] 1\n/edited 100644 [new] 1\n"
    "/file-to-dir 40755\n/file-to-dir/inside 100644 [new] 1\n/mode 100750 [x] 1\n"
    "/zwei 100644 [1] 3\n";
