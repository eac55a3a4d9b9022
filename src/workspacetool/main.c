/* rf-workspace: what a staged run changed, and how it gets out.
 *
 *     rf-workspace summary|diff|changes|commit|recover --lower-fd N|DIR [--upper-fd N] [options]
 *
 * The CLI executes it with two directory descriptors: the upper layer of a finished sandbox and the
 * user's own directory. Runs as the user (root when the user is). Before it reads anything that the
 * agent wrote it confines itself to the two trees (profile.c): no other file, no program, no socket.
 * Secrets: the key that authenticates commit journals, STATE/workspace.key.
 *
 * If compromised, an attacker can read and write the workspace with the user's privileges, and nothing
 * else. Exit codes: 0; 1 failed; 2 wrong usage; 3 refused (conflict, other digest, unreadable). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/log.h"
#include "ipc/paths.h"
#include "sandbox/workspace.h"
#include "workspacetool/profile.h"

#define KEY_BYTES 32
#define DIFF_BYTES_MAX (16 * 1024 * 1024)
#define LIST_BYTES_MAX (256 * 1024 * 1024)
#define SUMMARY_PATHS 200
#define SUMMARY_BYTES (48 * 1024) /* of a message's 128 KiB, leaving room for escapes */

struct arguments {
	const char *command;
	int upper;
	int lower;
	int64_t since_ms;
	const char *name;
	const char *digest;
	bool json;
	bool force;
	uint8_t key[KEY_BYTES];
};

static int
usage(void)
{
	(void)fputs(
	    "usage: rf-workspace summary|diff|changes|commit|recover --lower-fd N | DIR\n"
	    "    [--upper-fd N] [--since MS] [--name PATH] [--digest HEX] [--force] [--json]\n",
	    stderr);
	return 2;
}

static int
report(const struct arguments *a, int r, const struct error *err)
{
	if (a->json) {
		_cleanup_json_ struct json *o = json_new_object();
		struct json *e = json_new_object();
		_cleanup_buf_ struct buf out;
		buf_init(&out, 65536);
		(void)json_set_str(e, "code", err->code);
		(void)json_set_str(e, "message", err->message);
		(void)json_set_str(e, "remedy", err->remedy);
		(void)json_set(o, "error", e);
		if (json_write(o, &out) == 0)
			(void)printf("%s\n", buf_str(&out));
	} else {
		(void)fprintf(stderr, "ringfence: %s%s%s%s%s\n", a->name != NULL ? a->name : "",
		    a->name != NULL ? ": " : "", err->message, err->remedy[0] != 0 ? "; " : "",
		    err->remedy);
	}
	return r == -EBUSY || r == -ESTALE || r == -EFBIG ? 3 : 1;
}

/* ---- arguments ---- */

static int
parse_number(const char *text, int64_t max, int64_t *ret)
{
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != 0 || n < 0 || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int
parse_fd(const char *text, int *ret)
{
	int64_t n;
	if (parse_number(text, INT_MAX, &n) < 0 || fcntl((int)n, F_GETFD) < 0)
		return -EINVAL;
	*ret = (int)n;
	return 0;
}

static int
take_option(struct arguments *a, const char *name, const char *value)
{
	if (strcmp(name, "--upper-fd") == 0)
		return parse_fd(value, &a->upper);
	if (strcmp(name, "--lower-fd") == 0)
		return parse_fd(value, &a->lower);
	if (strcmp(name, "--since") == 0)
		return parse_number(value, INT64_MAX / 1000000, &a->since_ms);
	if (strcmp(name, "--lower") == 0) {
		a->lower = open(value, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (a->name == NULL)
			a->name = value;
		return a->lower < 0 ? -errno : 0;
	}
	if (strcmp(name, "--name") == 0)
		a->name = value;
	else if (strcmp(name, "--digest") == 0)
		a->digest = value;
	else
		return -EINVAL;
	return 0;
}

static int
parse_arguments(int argc, char **argv, struct arguments *a)
{
	*a = (struct arguments){.upper = -1, .lower = -1};
	if (argc < 2)
		return -EINVAL;
	a->command = argv[1];
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			a->json = true;
		} else if (strcmp(argv[i], "--force") == 0) {
			a->force = true;
		} else if (argv[i][0] != '-') {
			if (take_option(a, "--lower", argv[i]) < 0) {
				(void)fprintf(
				    stderr, "ringfence: %s: %s\n", argv[i], strerror(errno));
				return -EINVAL;
			}
		} else {
			if (i + 1 >= argc || take_option(a, argv[i], argv[i + 1]) < 0) {
				(void)fprintf(stderr,
				    "ringfence: rf-workspace: %s: bad option or value\n", argv[i]);
				return -EINVAL;
			}
			i++;
		}
	}
	bool needs_upper = strcmp(a->command, "recover") != 0;
	return a->lower < 0 || (needs_upper && a->upper < 0) ? -EINVAL : 0;
}

/* ---- the key ---- */

static int
make_directories(char *path)
{
	for (char *p = path + 1; *p != 0; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		(void)mkdir(path, 0700);
		*p = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Makes STATE/workspace.key if it is missing: written aside and linked, so that it is whole or absent. */
static int
make_key(int state)
{
	uint8_t key[KEY_BYTES];
	char name[64];
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return -EIO;
	(void)snprintf(name, sizeof(name), "workspace.key.%ld", (long)getpid());
	int fd = openat(state, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	bool written = write(fd, key, sizeof(key)) == (ssize_t)sizeof(key) && fsync(fd) == 0;
	int r = written ? 0 : -EIO;
	(void)close(fd);
	if (r == 0 && linkat(state, name, state, "workspace.key", 0) < 0 && errno != EEXIST)
		r = -errno;
	(void)unlinkat(state, name, 0);
	return r;
}

static int
load_key(uint8_t ret[KEY_BYTES], struct error *err)
{
	char path[PATHS_MAX];
	int r = paths_state_dir(path, err);
	if (r < 0)
		return r;
	r = make_directories(path);
	_cleanup_close_ int state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r < 0 || state < 0)
		return error_set_errno(
		    err, r < 0 ? -r : errno, "state_unusable", "the state directory %s", path);
	_cleanup_close_ int fd = openat(state, "workspace.key", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		r = make_key(state);
		fd = r < 0 ? r : openat(state, "workspace.key", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0 || read(fd, ret, KEY_BYTES) != KEY_BYTES)
		return error_set(err, EIO, "state_unusable", "cannot read %s/workspace.key", path);
	return 0;
}

/* ---- commands ---- */

static int
print_json(const struct json *v, struct error *err)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, LIST_BYTES_MAX);
	int r = json_write(v, &out);
	if (r == 0)
		r = buf_add_char(&out, '\n');
	if (r < 0)
		return error_set_errno(err, -r, "output_failed", "cannot print the changes");
	if (fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout) != 0)
		return error_set_errno(err, errno, "output_failed", "cannot print the changes");
	return 0;
}

static int
print_text(const struct buf *out, struct error *err)
{
	if (fwrite(buf_str(out), 1, out->len, stdout) != out->len || fflush(stdout) != 0)
		return error_set_errno(err, errno, "output_failed", "cannot print the changes");
	return 0;
}

static int
show_changes(const struct arguments *a, const struct changes *changes, struct error *err)
{
	if (a->json) {
		_cleanup_json_ struct json *o = strcmp(a->command, "summary") == 0
		    ? changes_summary(changes, SUMMARY_PATHS, SUMMARY_BYTES)
		    : changes_to_json(changes);
		return print_json(o, err);
	}
	_cleanup_buf_ struct buf out;
	buf_init(&out, LIST_BYTES_MAX);
	int r = changes_to_text(changes, &out);
	if (r < 0)
		return error_set_errno(err, -r, "output_failed", "cannot print the changes");
	return print_text(&out, err);
}

/* A difference that is too long is printed as far as it goes, and then said to be cut. */
static int
show_diff(const struct arguments *a, const struct changes *changes, struct error *err)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, DIFF_BYTES_MAX);
	int r = changes_diff(
	    changes, a->upper, a->lower, isatty(STDOUT_FILENO) == 1 || !a->json, &out, err);
	int printed = print_text(&out, r < 0 ? NULL : err);
	return r < 0 ? r : printed;
}

static int
commit(const struct arguments *a, const struct changes *changes, struct error *err)
{
	struct commit_options options = {
	    .key = a->key, .key_len = sizeof(a->key), .digest = a->digest, .force = a->force};
	struct commit_result result = {0};
	int r = workspace_commit(a->upper, a->lower, changes, &options, &result, err);
	if (r < 0)
		return r;
	if (!a->json) {
		(void)printf("committed %zu changes", result.applied);
		if (result.withheld > 0)
			(void)printf(", %zu kept out", result.withheld);
		(void)printf("\n");
		return 0;
	}
	_cleanup_json_ struct json *o = changes_summary(changes, SUMMARY_PATHS, SUMMARY_BYTES);
	(void)json_set_int(o, "applied", (int64_t)result.applied);
	(void)json_set_int(o, "withheld", (int64_t)result.withheld);
	return print_json(o, err);
}

static int
recover(const struct arguments *a, bool quiet, struct error *err)
{
	static const char *const outcomes[] = {"nothing", "old", "new"};
	static const char *const says[] = {"nothing to recover",
	    "removed what an interrupted commit had staged", "finished an interrupted commit"};
	enum recover_outcome outcome;
	int r = workspace_recover(a->lower, a->key, sizeof(a->key), &outcome, err);
	if (r < 0)
		return r;
	if (a->json && !quiet) {
		_cleanup_json_ struct json *o = json_new_object();
		(void)json_set_str(o, "recovered", outcomes[outcome]);
		return print_json(o, err);
	}
	if (!quiet || outcome == RECOVER_NEW)
		(void)fprintf(quiet ? stderr : stdout, "%s\n", says[outcome]);
	return 0;
}

static int
perform(struct arguments *a, struct error *err)
{
	struct changes changes;
	bool commits = strcmp(a->command, "commit") == 0,
	     recovers = strcmp(a->command, "recover") == 0;
	int r = commits || recovers ? load_key(a->key, err) : 0;
	if (r == 0)
		r = profile_enter(a->upper, a->lower, err);
	if (r < 0 || recovers)
		return r < 0 ? r : recover(a, false, err);
	if (commits)
		r = recover(a, true, err);
	if (r == 0)
		r = workspace_scan(a->upper, a->lower, a->since_ms, &changes, err);
	if (r < 0)
		return r;
	if (commits)
		r = commit(a, &changes, err);
	else if (strcmp(a->command, "diff") == 0)
		r = show_diff(a, &changes, err);
	else
		r = show_changes(a, &changes, err);
	changes_done(&changes);
	return r;
}

int
main(int argc, char **argv)
{
	static const char *const commands[] = {"summary", "diff", "changes", "commit", "recover"};
	struct arguments a;
	struct error err = {0};
	log_program("rf-workspace");
	bool known = false;
	if (parse_arguments(argc, argv, &a) < 0)
		return usage();
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		known = known || strcmp(a.command, commands[i]) == 0;
	if (!known)
		return usage();
	int r = perform(&a, &err);
	return r < 0 ? report(&a, r, &err) : 0;
}
