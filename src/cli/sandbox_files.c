/* `ringfence sandbox read | write | ls`. The path is walked inside, by a process with a command's rights; what
 * arrives is an open regular file or a directory, whatever links, mounts and renames the sandbox plays with. */
#include "cli/sandbox_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/request.h"
#include "cli/sandbox.h"
#include "cli/ttyfilter.h"
#include "ipc/messages.h"
#include "sandbox/plan.h"

#define CHUNK 65536
#define READ_MAX (1LL << 40) /* bytes; a sparse file may claim any size */
#define SHOWN_MAX (64u << 20)

const struct option_spec sandbox_read_options[] = {
    {"raw", NULL, "pass terminal control sequences to the terminal", 0},
    {"max", "SIZE", "at most so many bytes (1TiB)", 0},
    {"help", NULL, "this text", 'h'},
    {0},
};

const struct option_spec sandbox_write_options[] = {
    {"mode", "OCTAL", "its permissions if it is new (644)", 'm'},
    {"help", NULL, "this text", 'h'},
    {0},
};

const struct option_spec sandbox_ls_options[] = {
    {"long", NULL, "with type, permissions, size and time", 'l'},
    {"json", NULL, "print JSON", 0},
    {"help", NULL, "this text", 'h'},
    {0},
};

/* ---- asking ---- */

static int
check_path(const char *path, struct error *err)
{
	if (path[0] != '/') {
		error_set(
		    err, EINVAL, "usage", "%.200s: a path in a sandbox must be absolute", path);
		error_remedy(err, "the workspace is " PLAN_WORKSPACE ", the home " PLAN_HOME);
		return -EINVAL;
	}
	if (strlen(path) >= SANDBOX_PATH_MAX)
		return error_set(err, ENAMETOOLONG, "usage", "%.200s…: the path is too long", path);
	return request_check_text("the path", path, err);
}

/* Whether FD is what HOW asked for. The supervisor has looked already; this costs nothing. */
static bool
is_as_asked(int fd, const char *how)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st) < 0)
		return false;
	if (strcmp(how, "list") == 0)
		return S_ISDIR(st.st_mode);
	return S_ISREG(st.st_mode) &&
	    (flags & O_ACCMODE) == (strcmp(how, "write") == 0 ? O_WRONLY : O_RDONLY);
}

int
sandbox_open(struct connection *c, const char *sandbox, const char *path, const char *how, int mode,
    struct sandbox_file *ret, struct error *err)
{
	struct msg reply = MSG_INIT;
	*ret = (struct sandbox_file){.fd = -1};
	int r = check_path(path, err);
	if (r < 0)
		return r;
	_cleanup_json_ struct json *body = sandbox_body(sandbox);
	(void)json_set_str(body, "path", path);
	(void)json_set_str(body, "how", how);
	if (mode >= 0)
		(void)json_set_int(body, "mode", mode);
	r = sandbox_ask(
	    c, CONNECT_JOIN, MSG_SESSION_OPEN, body, NULL, 0, MSG_SESSION_FILE, &reply, err);
	if (r < 0) {
		struct error theirs = *err;
		if (strcmp(theirs.code, "file_failed") == 0 ||
		    strcmp(theirs.code, "not_a_file") == 0)
			error_set(err, EIO, theirs.code, "%.300s: %.300s", path, theirs.message);
		return r;
	}
	ret->fd = msg_take_fd(&reply, 0);
	(void)snprintf(ret->type, sizeof(ret->type), "%s", json_get_str(reply.body, "type", "?"));
	ret->size = json_get_int(reply.body, "size", 0);
	ret->mode = (mode_t)json_get_int(reply.body, "mode", 0);
	ret->mtime_ms = json_get_int(reply.body, "mtime_ms", 0);
	msg_done(&reply);
	bool wants =
	    strcmp(how, "read") == 0 || strcmp(how, "write") == 0 || strcmp(how, "list") == 0;
	if (wants && !is_as_asked(ret->fd, how)) {
		cleanup_close(&ret->fd);
		ret->fd = -1;
		return error_set(
		    err, EPROTO, "protocol", "%.300s: not what was asked for came", path);
	}
	return 0;
}

/* ---- directories ---- */

static int
compare_entries(const void *a, const void *b)
{
	return strcmp(
	    ((const struct sandbox_entry *)a)->name, ((const struct sandbox_entry *)b)->name);
}

static bool
is_component(const char *name)
{
	return name[0] != 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	    strchr(name, '/') == NULL;
}

static int
read_entries(
    DIR *directory, const char *path, struct sandbox_entry **ret, size_t *n, struct error *err)
{
	size_t room = 0;
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(directory);
		if (entry == NULL && errno != 0)
			return error_set_errno(err, errno, "file_failed", "%.300s", path);
		if (entry == NULL)
			return 0;
		if (!is_component(entry->d_name))
			continue;
		if (*n == SANDBOX_ENTRIES_MAX)
			return error_set(err, EFBIG, "too_many", "%.300s: more than %d entries",
			    path, SANDBOX_ENTRIES_MAX);
		if (*n == room) {
			room = room == 0 ? 64 : 2 * room;
			struct sandbox_entry *more = realloc(*ret, room * sizeof(*more));
			if (more == NULL)
				return error_set(err, ENOMEM, "no_memory", "out of memory");
			*ret = more;
		}
		struct sandbox_entry *e = &(*ret)[*n];
		if (fstatat(dirfd(directory), entry->d_name, &e->st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* gone meanwhile */
		e->name = strdup(entry->d_name);
		if (e->name == NULL)
			return error_set(err, ENOMEM, "no_memory", "out of memory");
		++*n;
	}
}

int
sandbox_entries(
    int fd, const char *path, struct sandbox_entry **ret, size_t *ret_n, struct error *err)
{
	*ret = NULL;
	*ret_n = 0;
	DIR *directory = fdopendir(fd);
	if (directory == NULL) {
		int saved = errno;
		(void)close(fd);
		return error_set_errno(err, saved, "file_failed", "%.300s", path);
	}
	int r = read_entries(directory, path, ret, ret_n, err);
	(void)closedir(directory);
	if (r < 0) {
		sandbox_entries_free(*ret, *ret_n);
		*ret = NULL;
		*ret_n = 0;
	} else if (*ret_n > 0) {
		qsort(*ret, *ret_n, sizeof(**ret), compare_entries);
	}
	return r;
}

void
sandbox_entries_free(struct sandbox_entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(entries[i].name);
	free(entries);
}

static void
add_mode(struct buf *out, mode_t mode)
{
	static const char letters[] = "rwxrwxrwx";
	char type = S_ISDIR(mode) ? 'd'
	    : S_ISLNK(mode)       ? 'l'
	    : S_ISFIFO(mode)      ? 'p'
	    : S_ISSOCK(mode)      ? 's'
	    : S_ISREG(mode)       ? '-'
				  : 'c';
	(void)buf_add_char(out, type);
	for (int i = 0; i < 9; i++)
		(void)buf_add_char(out, (mode & (mode_t)(0400 >> i)) != 0 ? letters[i] : '-');
}

static void
add_entry(struct buf *out, const struct sandbox_entry *e, bool long_form)
{
	time_t seconds = e->st.st_mtim.tv_sec;
	struct tm local;
	char when[32] = "-";
	if (localtime_r(&seconds, &local) != NULL)
		(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &local);
	if (long_form) {
		add_mode(out, e->st.st_mode);
		(void)buf_addf(out, " %12lld %16s  ", (long long)e->st.st_size, when);
	}
	say_add_text(out, e->name);
	if (long_form && S_ISDIR(e->st.st_mode))
		(void)buf_add_char(out, '/');
	(void)buf_add_char(out, '\n');
}

static const char *
type_name(mode_t mode)
{
	return S_ISREG(mode) ? "file"
	    : S_ISDIR(mode)  ? "directory"
	    : S_ISLNK(mode)  ? "symlink"
	    : S_ISFIFO(mode) ? "fifo"
	    : S_ISSOCK(mode) ? "socket"
			     : "device";
}

static struct json *
entry_json(const struct sandbox_entry *e)
{
	struct json *v = json_new_object();
	(void)json_set_str(v, "name", e->name);
	(void)json_set_str(v, "type", type_name(e->st.st_mode));
	(void)json_set_int(v, "size", e->st.st_size);
	(void)json_set_int(v, "mode", e->st.st_mode & 07777);
	(void)json_set_int(
	    v, "mtime_ms", (int64_t)e->st.st_mtim.tv_sec * 1000 + e->st.st_mtim.tv_nsec / 1000000);
	return v;
}

static int
print_entries(const struct sandbox_arguments *a, const struct sandbox_entry *entries, size_t n)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, SHOWN_MAX);
	if (a->json) {
		_cleanup_json_ struct json *list = json_new_array();
		for (size_t i = 0; i < n; i++)
			(void)json_push(list, entry_json(&entries[i]));
		return say_json(list);
	}
	for (size_t i = 0; i < n; i++)
		add_entry(&out, &entries[i], a->long_form);
	return say_out(&out);
}

/* A file is listed by itself. */
static int
list_file(const struct sandbox_arguments *a, const char *path, const struct sandbox_file *file)
{
	const char *slash = strrchr(path, '/');
	struct sandbox_entry e = {.name = strdup(slash[1] != 0 ? slash + 1 : path)};
	mode_t type = strcmp(file->type, "file") == 0 ? S_IFREG
	    : strcmp(file->type, "symlink") == 0      ? S_IFLNK
	    : strcmp(file->type, "fifo") == 0         ? S_IFIFO
	    : strcmp(file->type, "socket") == 0       ? S_IFSOCK
						      : S_IFCHR;
	e.st.st_mode = type | (file->mode & 07777);
	e.st.st_size = file->size;
	e.st.st_mtim.tv_sec = file->mtime_ms / 1000;
	e.st.st_mtim.tv_nsec = file->mtime_ms % 1000 * 1000000;
	int r = e.name == NULL ? EXIT_RINGFENCE : print_entries(a, &e, 1);
	free(e.name);
	return r;
}

static int
list(struct connection *c, const struct sandbox_arguments *a, struct error *err)
{
	const char *sandbox = a->operands[0], *path = a->operands[1];
	struct sandbox_file file;
	struct sandbox_entry *entries;
	size_t n;
	int r =
	    sandbox_open(c, sandbox, path != NULL ? path : PLAN_WORKSPACE, "stat", -1, &file, err);
	if (path == NULL)
		path = r < 0 ? PLAN_HOME : PLAN_WORKSPACE;
	else if (r < 0)
		return r;
	if (r == 0 && strcmp(file.type, "directory") != 0)
		return list_file(a, path, &file);
	r = sandbox_open(c, sandbox, path, "list", -1, &file, err);
	if (r < 0)
		return r;
	r = sandbox_entries(file.fd, path, &entries, &n, err);
	if (r < 0)
		return r;
	r = print_entries(a, entries, n);
	sandbox_entries_free(entries, n);
	return r;
}

int
sandbox_ls(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct connection c = CONNECTION_INIT;
	struct error err = {0};
	int r = sandbox_parse(argc, argv, sandbox_ls_options, 1, 2, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	r = list(&c, &a, &err);
	connect_done(&c);
	return r < 0 ? sandbox_fail(&err) : r;
}

/* ---- read and write ---- */

int
sandbox_copy_bytes(int from, int to, int64_t max, int64_t *ret_n)
{
	static uint8_t chunk[CHUNK];
	*ret_n = 0;
	for (;;) {
		ssize_t n = read(from, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (n > max - *ret_n)
			return -EFBIG;
		int r = say_write(to, chunk, (size_t)n);
		if (r < 0)
			return r;
		*ret_n += n;
	}
}

/* To a terminal goes only what a terminal may see. */
static int
show_file(int fd, int64_t max)
{
	static uint8_t chunk[CHUNK], shown[CHUNK + sizeof(((struct ttyfilter *)0)->held)];
	struct ttyfilter filter = {0};
	for (int64_t done = 0;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		done += n;
		if (done > max)
			return -EFBIG;
		int r = say_write(
		    STDOUT_FILENO, shown, ttyfilter_run(&filter, chunk, (size_t)n, shown));
		if (r < 0)
			return r;
	}
}

int
sandbox_read(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct connection c = CONNECTION_INIT;
	struct sandbox_file file;
	struct error err = {0};
	long long max = READ_MAX;
	int64_t n;
	int r = sandbox_parse(argc, argv, sandbox_read_options, 2, 2, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	if (a.max != NULL)
		r = parse_bytes(a.max, "max", &max, &err);
	if (r == 0)
		r = sandbox_open(&c, a.operands[0], a.operands[1], "read", -1, &file, &err);
	connect_done(&c);
	if (r < 0)
		return sandbox_fail(&err);
	if (!a.raw && isatty(STDOUT_FILENO) == 1)
		r = show_file(file.fd, max);
	else
		r = sandbox_copy_bytes(file.fd, STDOUT_FILENO, max, &n);
	(void)close(file.fd);
	if (r == -EPIPE)
		return EXIT_BROKEN_PIPE;
	if (r == -EFBIG)
		error_set(
		    &err, EFBIG, "too_large", "%.300s: larger than %lld bytes", a.operands[1], max);
	else if (r < 0)
		error_set_errno(&err, -r, "file_failed", "%.300s", a.operands[1]);
	return r < 0 ? sandbox_fail(&err) : 0;
}

static int
parse_mode(const char *text, int *ret, struct error *err)
{
	int mode = 0;
	size_t len = strspn(text, "01234567");
	for (size_t i = 0; i < len && i < 5; i++)
		mode = mode * 8 + (text[i] - '0');
	if (len == 0 || len > 4 || text[len] != 0 || mode > 0777)
		return error_set(err, EINVAL, "bad_value",
		    "--mode %.40s: expected permissions such as 644", text);
	*ret = mode;
	return 0;
}

int
sandbox_write(int argc, char **argv)
{
	struct sandbox_arguments a;
	struct connection c = CONNECTION_INIT;
	struct sandbox_file file;
	struct error err = {0};
	int mode = 0644;
	int64_t n;
	int r = sandbox_parse(argc, argv, sandbox_write_options, 2, 2, &a);
	if (r != 0)
		return r > 0 ? 0 : EXIT_BAD_USAGE;
	if (a.mode != NULL)
		r = parse_mode(a.mode, &mode, &err);
	if (r == 0)
		r = sandbox_open(&c, a.operands[0], a.operands[1], "write", mode, &file, &err);
	connect_done(&c);
	if (r < 0)
		return sandbox_fail(&err);
	r = sandbox_copy_bytes(STDIN_FILENO, file.fd, INT64_MAX, &n);
	if (close(file.fd) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		error_set_errno(&err, -r, "file_failed", "%.300s, after %lld bytes", a.operands[1],
		    (long long)n);
	return r < 0 ? sandbox_fail(&err) : 0;
}
