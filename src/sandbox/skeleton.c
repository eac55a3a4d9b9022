#include "sandbox/skeleton.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sha256.h"
#include "sandbox/plan.h"

/* Counts in the name: raise it when what is built here changes. */
#define SKELETON_VERSION 2

static const char *const directories[] = {"/dev/pts", "/proc", PLAN_NETWORK, "/tmp", "/var",
    PLAN_HOME, PLAN_WORKSPACE, "/.empty/directory"};
static const char *const files[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
    "/dev/urandom", "/.empty/file", "/.canary"};
static const char *const links[][2] = {{"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"}, {"/dev/ptmx", "pts/ptmx"}, {"/dev/shm", "/tmp/.shm"}};

int
skeleton_make_path(int fd, const char *path, bool whole)
{
	char partial[4096];
	size_t len = strlen(path);
	if (len >= sizeof(partial))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && !(path[i] == 0 && whole))
			continue;
		memcpy(partial, path + 1, i - 1);
		partial[i - 1] = 0;
		if (partial[0] != 0 && mkdirat(fd, partial, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int
make_file(int fd, const char *path, const char *text)
{
	int r = skeleton_make_path(fd, path, false);
	if (r < 0)
		return r;
	_cleanup_close_ int file =
	    openat(fd, path + 1, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	if (file < 0)
		return errno == EEXIST ? 0 : -errno;
	return write(file, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -EIO;
}

static int
make_link(int fd, const char *path, const char *target)
{
	int r = skeleton_make_path(fd, path, false);
	if (r == 0 && symlinkat(target, fd, path + 1) < 0 && errno != EEXIST)
		r = -errno;
	return r;
}

static int
make_from_view(int fd, const struct json *view)
{
	const struct json *binds = json_get(view, "binds"), *view_links = json_get(view, "links");
	const struct json *view_files = json_get(view, "files");
	int r = 0;
	for (size_t i = 0; i < json_len(binds) && r == 0; i++) {
		const char *from = json_get_str(json_at(binds, i), "from", "/");
		const char *to = json_get_str(json_at(binds, i), "to", from);
		bool file = json_get_bool(json_at(binds, i), "file", false);
		r = file ? make_file(fd, to, "") : skeleton_make_path(fd, to, true);
	}
	for (size_t i = 0; i < json_len(view_links) && r == 0; i++)
		r = make_link(fd, json_get_str(json_at(view_links, i), "path", ""),
		    json_get_str(json_at(view_links, i), "target", ""));
	for (size_t i = 0; i < json_len(view_files) && r == 0; i++)
		r = make_file(fd, json_get_str(json_at(view_files, i), "path", ""),
		    json_get_str(json_at(view_files, i), "text", ""));
	return r;
}

static int
make_all(int fd, const struct json *view)
{
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(directories) && r == 0; i++)
		r = skeleton_make_path(fd, directories[i], true);
	for (size_t i = 0; i < ARRAY_LEN(files) && r == 0; i++)
		r = make_file(fd, files[i], "");
	for (size_t i = 0; i < ARRAY_LEN(links) && r == 0; i++)
		r = make_link(fd, links[i][0], links[i][1]);
	return r < 0 ? r : make_from_view(fd, view);
}

/* Removes NAME below FD with everything in it; what cannot be removed stays and does no harm. */
static void
remove_tree(int fd, const char *name, unsigned depth)
{
	int child = openat(fd, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = child < 0 ? NULL : fdopendir(child);
	struct dirent *entry;
	while (dir != NULL && depth < 8 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			remove_tree(dirfd(dir), entry->d_name, depth + 1);
	}
	if (dir != NULL)
		(void)closedir(dir);
	(void)unlinkat(fd, name, AT_REMOVEDIR);
}

static int
name_of(const struct json *view, char ret[64])
{
	_cleanup_buf_ struct buf text;
	uint8_t hash[SHA256_BYTES];
	char hex[SHA256_HEX];
	buf_init(&text, 1 << 20);
	(void)buf_addf(&text, "%d ", SKELETON_VERSION);
	int r = json_write(view, &text);
	if (r < 0)
		return r;
	sha256(text.data, text.len, hash);
	hex_encode(hash, sizeof(hash), hex);
	(void)snprintf(ret, 64, "run/root-%.24s", hex);
	return 0;
}

int
skeleton_ensure(int state_fd, const struct json *view, char ret[64], struct error *err)
{
	struct stat st;
	char temporary[64];
	int r = name_of(view, ret);
	if (r == 0 && fstatat(state_fd, ret, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 0022) == 0)
			return 0;
		return error_set(
		    err, EPERM, "state_dir", "%s in the state directory is not ours", ret);
	}
	(void)snprintf(temporary, sizeof(temporary), "run/root-new-%d", (int)getpid());
	remove_tree(state_fd, temporary, 0);
	if (r == 0 && mkdirat(state_fd, temporary, 0755) < 0)
		r = -errno;
	_cleanup_close_ int fd = r < 0
	    ? -1
	    : openat(state_fd, temporary, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (r == 0)
		r = fd < 0 ? -errno : make_all(fd, view);
	if (r == 0 && renameat(state_fd, temporary, state_fd, ret) < 0 && errno != EEXIST)
		r = -errno;
	if (r < 0) {
		remove_tree(state_fd, temporary, 0);
		return error_set_errno(err, -r, "state_dir", "cannot make the sandbox's skeleton");
	}
	return 0;
}
