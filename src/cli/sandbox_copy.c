/* `ringfence sandbox cp`: files out of a sandbox and into it.
 *
 * On the sandbox's side every file is opened inside, one by one, by its whole path (sandbox_files.h): what a
 * path leads to is never more than the sandbox has. On ours no link is followed and no name is believed:
 * below the destination that the caller named there are only directories that we opened without following
 * links, and files that appear whole, by rename. Links, devices and the like are not copied, and said. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/request.h"
#include "cli/sandbox.h"
#include "cli/sandbox_files.h"

#define DEPTH_MAX 64
#define BYTES_MAX (4LL << 30)
#define SAID_MAX 20

const struct option_spec sandbox_cp_options[] = {
    {"recursive", NULL, "directories, with all below", 'r'},
    {"max", "SIZE", "at most so many bytes in all (4GiB)", 0},
    {"quiet", NULL, "do not say what was left out", 'q'},
    {"help", NULL, "this text", 'h'},
    {0},
};

struct copying {
	struct connection c;
	const char *sandbox;
	const struct sandbox_arguments *a;
	int64_t bytes_left;
	unsigned files_left;
	unsigned left_out; /* links, devices, names that cannot be carried */
	mode_t umask;
};

/* ---- both ways ---- */

static void
leave_out(struct copying *cp, const char *path, const char *why)
{
	if (cp->left_out++ < SAID_MAX && !cp->a->quiet)
		say("left out: %.600s (%s)", path, why);
}

static int
count_file(struct copying *cp, struct error *err)
{
	if (cp->files_left-- > 0)
		return 0;
	return error_set(err, EFBIG, "too_many", "more than %d files", SANDBOX_ENTRIES_MAX);
}

/* PATH/NAME into RET. */
static int
join(char ret[SANDBOX_PATH_MAX], const char *path, const char *name, struct error *err)
{
	const char *slash = path[0] == 0 || path[strlen(path) - 1] == '/' ? "" : "/";
	if ((size_t)snprintf(ret, SANDBOX_PATH_MAX, "%s%s%s", path, slash, name) >=
	    SANDBOX_PATH_MAX)
		return error_set(
		    err, ENAMETOOLONG, "file_failed", "%.300s…: the path is too long", path);
	return 0;
}

/* The last component of PATH, which has no slash at its end; NULL if it is none. */
static const char *
last_component(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	return name[0] == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? NULL : name;
}

static int
copy_content(struct copying *cp, int from, int to, const char *path, struct error *err)
{
	int64_t n = 0;
	int r = sandbox_copy_bytes(from, to, cp->bytes_left, &n);
	cp->bytes_left -= n;
	if (r == -EFBIG) {
		error_set(err, EFBIG, "too_large", "%.300s: more bytes than --max", path);
		return r;
	}
	return r < 0 ? error_set_errno(err, -r, "file_failed", "%.300s", path) : 0;
}

/* ---- out of the sandbox ---- */

/* A name for a file that is not finished, in a directory of ours. */
static int
make_temporary(int directory, char name[32])
{
	for (int i = 0; i < 100; i++) {
		uint64_t random;
		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -EIO;
		(void)snprintf(name, 32, ".rf-%016llx", (unsigned long long)random);
		int fd = openat(
		    directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd >= 0 ? fd : -errno;
	}
	return -EEXIST;
}

/* FILE (borrowed), which is PATH inside, becomes NAME in DIRECTORY. */
static int
place_file(struct copying *cp, const struct sandbox_file *file, const char *path, int directory,
    const char *name, struct error *err)
{
	char temporary[32];
	if (file->size > cp->bytes_left)
		return error_set(err, EFBIG, "too_large", "%.300s: more bytes than --max", path);
	int fd = make_temporary(directory, temporary);
	if (fd < 0)
		return error_set_errno(
		    err, -fd, "file_failed", "cannot make a file for %.200s", name);
	int r = copy_content(cp, file->fd, fd, path, err);
	if (r == 0 && fchmod(fd, file->mode & 0777 & ~cp->umask) < 0)
		r = error_set_errno(err, errno, "file_failed", "%.200s", name);
	if (close(fd) < 0 && r == 0)
		r = error_set_errno(err, errno, "file_failed", "%.200s", name);
	if (r == 0 && renameat(directory, temporary, directory, name) < 0)
		r = error_set_errno(err, errno, "file_failed", "%.200s", name);
	if (r < 0)
		(void)unlinkat(directory, temporary, 0);
	return r;
}

static int
file_out(struct copying *cp, const char *path, int directory, const char *name, struct error *err)
{
	struct sandbox_file file;
	int r = count_file(cp, err);
	if (r == 0)
		r = sandbox_open(&cp->c, cp->sandbox, path, "read", -1, &file, err);
	if (r < 0)
		return r;
	r = place_file(cp, &file, path, directory, name, err);
	(void)close(file.fd);
	return r;
}

static int tree_out(struct copying *cp, const char *path, int directory, const char *name,
    int depth, struct error *err);

static int
entry_out(struct copying *cp, const char *path, const struct sandbox_entry *e, int directory,
    int depth, struct error *err)
{
	char below[SANDBOX_PATH_MAX];
	int r = join(below, path, e->name, err);
	if (r < 0)
		return r;
	if (request_check_text("a name", e->name, err) < 0)
		leave_out(cp, below, "its name is not UTF-8");
	else if (S_ISREG(e->st.st_mode))
		r = file_out(cp, below, directory, e->name, err);
	else if (S_ISDIR(e->st.st_mode))
		r = tree_out(cp, below, directory, e->name, depth + 1, err);
	else
		leave_out(cp, below, S_ISLNK(e->st.st_mode) ? "a link" : "not a regular file");
	return r;
}

/* A directory of ours by the name NAME, new or not; never a link. fd or -errno. */
static int
enter_own(int directory, const char *name, mode_t mode, struct error *err)
{
	if (mkdirat(directory, name, mode & 0777) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "file_failed", "cannot make %.200s", name);
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? fd : error_set_errno(err, errno, "file_failed", "%.200s", name);
}

static int
tree_out(struct copying *cp, const char *path, int directory, const char *name, int depth,
    struct error *err)
{
	struct sandbox_file file;
	struct sandbox_entry *entries;
	size_t n;
	if (depth > DEPTH_MAX)
		return error_set(err, ELOOP, "too_many", "%.300s: too deep", path);
	int r = count_file(cp, err);
	if (r == 0)
		r = sandbox_open(&cp->c, cp->sandbox, path, "list", -1, &file, err);
	if (r == 0)
		r = sandbox_entries(file.fd, path, &entries, &n, err);
	if (r < 0)
		return r;
	_cleanup_close_ int own = enter_own(directory, name, file.mode | 0700, err);
	r = own < 0 ? own : 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = entry_out(cp, path, &entries[i], own, depth, err);
	sandbox_entries_free(entries, n);
	return r;
}

/* The directory that LOCAL's file goes into, and its name there: LOCAL itself if that is a directory (then
 * as BASE), else what is above it. fd or -errno. */
static int
open_destination(const char *local, const char *base, const char **ret_name, struct error *err)
{
	char above[SANDBOX_PATH_MAX];
	int fd = open(local, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*ret_name = base;
	if (fd >= 0 && base == NULL) {
		(void)close(fd);
		return error_set(err, EINVAL, "usage", "%.200s: give the copy a name", local);
	}
	if (fd >= 0 || (errno != ENOENT && errno != ENOTDIR))
		return fd >= 0 ? fd : error_set_errno(err, errno, "file_failed", "%.300s", local);
	*ret_name = last_component(local);
	size_t len = *ret_name == NULL ? 0 : (size_t)(*ret_name - local);
	if (*ret_name == NULL || len >= sizeof(above))
		return error_set(err, EINVAL, "usage", "%.200s: no such directory", local);
	memcpy(above, local, len);
	above[len] = 0;
	fd = open(len == 0 ? "." : above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : error_set_errno(err, errno, "file_failed", "%.300s", local);
}

static int
copy_out(struct copying *cp, const char *path, const char *local, struct error *err)
{
	struct sandbox_file file;
	const char *name;
	int r = sandbox_open(&cp->c, cp->sandbox, path, "stat", -1, &file, err);
	if (r < 0)
		return r;
	bool directory = strcmp(file.type, "directory") == 0;
	if (directory && !cp->a->recursive) {
		error_set(err, EISDIR, "usage", "%.300s is a directory", path);
		error_remedy(err, "-r copies directories");
		return -EISDIR;
	}
	_cleanup_close_ int into = open_destination(local, last_component(path), &name, err);
	if (into < 0)
		return into;
	return directory ? tree_out(cp, path, into, name, 0, err)
			 : file_out(cp, path, into, name, err);
}

/* ---- into the sandbox ---- */

/* The open regular file FD becomes PATH inside. */
static int
file_in(struct copying *cp, int fd, const char *path, struct error *err)
{
	struct sandbox_file file;
	struct stat st;
	int r = count_file(cp, err);
	if (r == 0 && fstat(fd, &st) < 0)
		r = error_set_errno(err, errno, "file_failed", "%.300s", path);
	if (r == 0 && st.st_size > cp->bytes_left)
		r = error_set(err, EFBIG, "too_large", "%.300s: more bytes than --max", path);
	if (r == 0)
		r = sandbox_open(&cp->c, cp->sandbox, path, "write", st.st_mode & 0777, &file, err);
	if (r < 0)
		return r;
	r = copy_content(cp, fd, file.fd, path, err);
	if (close(file.fd) < 0 && r == 0)
		r = error_set_errno(err, errno, "file_failed", "%.300s", path);
	return r;
}

static int
make_inside(struct copying *cp, const char *path, struct error *err)
{
	struct sandbox_file file;
	struct error unknown;
	int r = sandbox_open(&cp->c, cp->sandbox, path, "stat", -1, &file, &unknown);
	if (r == 0 && strcmp(file.type, "directory") == 0)
		return 0;
	if (r == 0)
		return error_set(err, ENOTDIR, "file_failed", "%.300s is a %s", path, file.type);
	return sandbox_open(&cp->c, cp->sandbox, path, "mkdir", 0755, &file, err);
}

static int tree_in(struct copying *cp, int fd, const char *path, int depth, struct error *err);

static int
entry_in(struct copying *cp, int directory, const struct sandbox_entry *e, const char *path,
    int depth, struct error *err)
{
	char below[SANDBOX_PATH_MAX];
	bool tree = S_ISDIR(e->st.st_mode);
	int r = join(below, path, e->name, err);
	if (r < 0)
		return r;
	if (!tree && !S_ISREG(e->st.st_mode)) {
		leave_out(cp, below, S_ISLNK(e->st.st_mode) ? "a link" : "not a regular file");
		return 0;
	}
	if (request_check_text("a name", e->name, err) < 0) {
		leave_out(cp, below, "its name is not UTF-8");
		return 0;
	}
	int fd = openat(directory, e->name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (tree ? O_DIRECTORY : 0));
	if (fd < 0)
		return error_set_errno(err, errno, "file_failed", "%.300s", e->name);
	if (tree)
		return tree_in(cp, fd, below, depth + 1, err);
	r = file_in(cp, fd, below, err);
	(void)close(fd);
	return r;
}

/* The directory FD (taken) becomes PATH inside. */
static int
tree_in(struct copying *cp, int fd, const char *path, int depth, struct error *err)
{
	struct sandbox_entry *entries = NULL;
	size_t n = 0;
	_cleanup_close_ int own = fd;
	int r = depth > DEPTH_MAX ? error_set(err, ELOOP, "too_many", "%.300s: too deep", path)
				  : count_file(cp, err);
	if (r == 0)
		r = make_inside(cp, path, err);
	int again = r < 0 ? -1 : fcntl(own, F_DUPFD_CLOEXEC, 3);
	if (r == 0 && again < 0)
		r = error_set_errno(err, errno, "file_failed", "%.300s", path);
	if (r == 0)
		r = sandbox_entries(again, path, &entries, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = entry_in(cp, own, &entries[i], path, depth, err);
	sandbox_entries_free(entries, n);
	return r;
}

static int
copy_in(struct copying *cp, const char *local, const char *path, struct error *err)
{
	char inside[SANDBOX_PATH_MAX];
	struct sandbox_file file;
	struct stat st;
	const char *base = last_component(local);
	int fd = open(local, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "file_failed", "%.300s", local);
	_cleanup_close_ int own = fd;
	bool tree = S_ISDIR(st.st_mode);
	if (!tree && !S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "usage", "%.300s: not a regular file", local);
	if (tree && !cp->a->recursive) {
		error_set(err, EISDIR, "usage", "%.300s is a directory", local);
		error_remedy(err, "-r copies directories");
		return -EISDIR;
	}
	(void)snprintf(inside, sizeof(inside), "%s", path);
	int r = sandbox_open(&cp->c, cp->sandbox, path, "stat", -1, &file, err);
	if (r < 0 && (strcmp(err->code, "file_failed") != 0))
		return r;
	if (r == 0 && strcmp(file.type, "directory") == 0) {
		if (base == NULL)
			return error_set(
			    err, EINVAL, "usage", "%.200s: give the copy a name", local);
		r = request_check_text("the name", base, err);
		if (r < 0 || (r = join(inside, path, base, err)) < 0)
			return r;
	}
	*err = (struct error){0};
	return tree ? tree_in(cp, TAKE_FD(own), inside, 0, err) : file_in(cp, own, inside, err);
}

/* ---- the command ---- */

/* Splits "SANDBOX:PATH" (in place); NULL if TEXT is a local path. A local name with a colon is written
 * ./name. */
static char *
split(char *text)
{
	char *colon = strchr(text, ':');
	if (colon == NULL || colon == text || memchr(text, '/', (size_t)(colon - text)) != NULL)
		return NULL;
	*colon = 0;
	return colon + 1;
}

static void
strip_slashes(char *path)
{
	for (size_t len = strlen(path); len > 1 && path[len - 1] == '/';)
		path[--len] = 0;
}

static int
copy(struct copying *cp, char *from, char *to, struct error *err)
{
	char *from_path = split(from), *to_path = split(to);
	if ((from_path == NULL) == (to_path == NULL)) {
		error_set(err, EINVAL, "usage",
		    "sandbox cp: one of the two must be SANDBOX:PATH, the other a local path");
		return -EINVAL;
	}
	cp->sandbox = from_path != NULL ? from : to;
	strip_slashes(from_path != NULL ? from_path : from);
	strip_slashes(to_path != NULL ? to_path : to);
	int r = request_check_text("the sandbox's name", cp->sandbox, err);
	if (r < 0)
		return r;
	return from_path != NULL ? copy_out(cp, from_path, to, err)
				 : copy_in(cp, from, to_path, err);
}

int
sandbox_cp(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct error err = {0};
	long long max = BYTES_MAX;
	int r = sandbox_parse(argc, argv, sandbox_cp_options, 2, 2, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	if (a.max != NULL && parse_bytes(a.max, "max", &max, &err) < 0)
		return sandbox_fail(&err);
	struct copying cp = {
	    .c = CONNECTION_INIT, .a = &a, .bytes_left = max, .files_left = SANDBOX_ENTRIES_MAX};
	cp.umask = umask(077);
	(void)umask(cp.umask);
	char *from = strdup(a.operands[0]), *to = strdup(a.operands[1]);
	r = from == NULL || to == NULL ? error_set(&err, ENOMEM, "no_memory", "out of memory")
				       : copy(&cp, from, to, &err);
	free(from);
	free(to);
	connect_done(&cp.c);
	if (r < 0)
		return sandbox_fail(&err);
	if (cp.left_out > 0 && !a.quiet)
		say("%u left out", cp.left_out);
	return cp.left_out > 0 ? EXIT_FAILURE : 0;
}
