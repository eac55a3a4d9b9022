/* rf-workspace: what a staged workspace changed, and how it gets out.
 *
 *     rf-workspace summary|diff|changes|commit|recover --lower-fd N|DIR [--upper-fd N] [options]
 *     rf-workspace compare|apply --from-fd N --to-fd N [--layers-fd N --layers NAME,…] [options]
 *
 * The CLI executes it with directory descriptors. First form: the upper layer of a finished sandbox, and the
 * user's own directory. Second form: two whole trees, states of a session's workspace (for apply, FROM is the
 * user's own directory), and the layers that tell where they can differ (sandbox/workspace.h). Runs as the
 * user (root when the user is). Before it reads anything that the agent wrote it confines itself to these
 * trees (profile.c): no other file, no program, no socket.
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
#include <time.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/paths.h"
#include "sandbox/workspace.h"
#include "sandbox/workspace_fs.h"
#include "sandbox/workspace_list.h"
#include "workspacetool/profile.h"

#define KEY_BYTES 32
#define DIFF_BYTES_MAX (16 * 1024 * 1024)
#define LIST_BYTES_MAX (256 * 1024 * 1024)
#define TIME_PASSES_NS 100000000LL /* a clock that is set back does not hold us up */
#define SUMMARY_PATHS 200
#define SUMMARY_BYTES (48 * 1024) /* of a message's 128 KiB, leaving room for escapes */

struct arguments {
	const char *command;
	int upper;  /* or the newer tree */
	int lower;  /* or the older tree */
	int layers; /* the directory of the layers NAMES, or -1 */
	const char *layer_names;
	bool summary, diff;
	int64_t since_ms;
	const char *name;
	const char *digest;
	bool json;
	bool force;
	uint8_t key[KEY_BYTES];
};

static const char usage_text[] =
    "usage: rf-workspace summary|diff|changes|commit|recover --lower-fd N | DIR\n"
    "           [--upper-fd N] [--since MS] [--name PATH] [--digest HEX] [--force] [--json]\n"
    "       rf-workspace compare --from-fd N --to-fd N [--layers-fd N --layers NAME,...]\n"
    "           [--summary | --diff] [--json] [--since MS] [--name PATH]\n"
    "       rf-workspace apply --from-fd N --to-fd N [--layers-fd N --layers NAME,...]\n"
    "           [--since MS] [--digest HEX] [--force] [--json] [--name PATH]\n";

static const char help_text[] =
    "\n"
    "The descriptors are open directories. Text for people by default; --json: one object.\n"
    "  summary   the changes, at most 200 of their paths in JSON    diff     as unified diff\n"
    "  changes   all of them                                        commit   apply to LOWER\n"
    "  recover   finish, or remove what is left of, a commit that was killed\n"
    "  compare   what TO has that FROM has not: two states of a session's workspace. Text is the "
    "list;\n"
    "            --diff a unified diff, --summary --json as `summary --json`, --json as `changes "
    "--json`\n"
    "  apply     make the user's own directory FROM what TO is; --digest: that of the comparison "
    "that was\n"
    "            approved (compare with the same FROM, TO, layers and --since)\n"
    "  --layers  names of directories below --layers-fd: only where they have entries can FROM and "
    "TO\n"
    "            differ. Without it both trees are read whole\n"
    "  --since   milliseconds since 1970; what changed later in LOWER or FROM is a conflict\n"
    "  --force   also over conflicts\n"
    "Exit codes: 0; 1 failed; 2 wrong usage; 3 refused (conflict, other digest, unreadable).\n";

static int
usage(void)
{
	(void)fputs(usage_text, stderr);
	return 2;
}

static int
help(void)
{
	(void)fputs(usage_text, stdout);
	(void)fputs(help_text, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
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
	if (strcmp(name, "--upper-fd") == 0 || strcmp(name, "--to-fd") == 0)
		return parse_fd(value, &a->upper);
	if (strcmp(name, "--lower-fd") == 0 || strcmp(name, "--from-fd") == 0)
		return parse_fd(value, &a->lower);
	if (strcmp(name, "--layers-fd") == 0)
		return parse_fd(value, &a->layers);
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
	else if (strcmp(name, "--layers") == 0)
		a->layer_names = value;
	else
		return -EINVAL;
	return 0;
}

static bool
take_flag(struct arguments *a, const char *name)
{
	bool *flag = NULL;
	if (strcmp(name, "--json") == 0)
		flag = &a->json;
	else if (strcmp(name, "--force") == 0)
		flag = &a->force;
	else if (strcmp(name, "--summary") == 0)
		flag = &a->summary;
	else if (strcmp(name, "--diff") == 0)
		flag = &a->diff;
	if (flag != NULL)
		*flag = true;
	return flag != NULL;
}

static int
parse_arguments(int argc, char **argv, struct arguments *a)
{
	*a = (struct arguments){.upper = -1, .lower = -1, .layers = -1};
	if (argc < 2)
		return -EINVAL;
	a->command = argv[1];
	for (int i = 2; i < argc; i++) {
		if (take_flag(a, argv[i]))
			continue;
		if (argv[i][0] != '-') {
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
	if ((a->layers >= 0) != (a->layer_names != NULL))
		return -EINVAL;
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
		_cleanup_json_ struct json *o = a->summary
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

/* Returns when what is written from now on has another time than what we wrote (a few milliseconds): whoever takes the
 * time of files after us can tell one from the other. */
static void
pass_our_own_time(void)
{
	struct timespec moment = {.tv_nsec = 500000};
	int64_t ours = clock_wall_ms(), began = clock_monotonic_ns();
	while (clock_files_ms() <= ours && clock_monotonic_ns() - began < TIME_PASSES_NS)
		(void)nanosleep(&moment, NULL);
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
	pass_our_own_time();
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

/* ---- two trees ---- */

/* Opens the layers that a->layer_names lists. Their number, or -errno. */
static int
open_layers(const struct arguments *a, int fds[WORKSPACE_LAYERS_MAX], struct error *err)
{
	int n = 0;
	for (const char *p = a->layer_names; p != NULL && *p != 0;) {
		char name[64];
		size_t len = strcspn(p, ",");
		if (len == 0 || len >= sizeof(name) || n == WORKSPACE_LAYERS_MAX)
			return error_set(
			    err, EINVAL, "bad_layers", "the list of layers is not one");
		memcpy(name, p, len);
		name[len] = 0;
		p += len + (p[len] == ',');
		fds[n] = wsfs_open(a->layers, name, O_RDONLY | O_DIRECTORY);
		if (fds[n] < 0)
			return error_set_errno(err, -fds[n], "bad_layers", "layer %s", name);
		n++;
	}
	return n;
}

/* A list that is there and empty: the two states are the same, and nothing is looked at. */
static int
compare(const struct arguments *a, struct changes *ret, struct error *err)
{
	int fds[WORKSPACE_LAYERS_MAX];
	int n = open_layers(a, fds, err);
	if (n < 0)
		return n;
	if (n == 0 && a->layer_names != NULL) {
		*ret = (struct changes){0};
		changes_finish(ret);
		return 0;
	}
	return workspace_compare(a->lower, a->upper, fds, (size_t)n, a->since_ms, ret, err);
}

/* ---- what is asked ---- */

static const struct command {
	const char *name;
	bool trees, commits, recovers;
} commands[] = {
    {"summary", false, false, false},
    {"diff", false, false, false},
    {"changes", false, false, false},
    {"commit", false, true, false},
    {"recover", false, false, true},
    {"compare", true, false, false},
    {"apply", true, true, false},
};

static int
perform(struct arguments *a, const struct command *command, struct error *err)
{
	struct changes changes;
	bool writes = command->commits || command->recovers;
	int r = writes ? load_key(a->key, err) : 0;
	struct profile_trees trees = {
	    .from = a->lower, .writes = writes, .to = a->upper, .layers = a->layers};
	if (r == 0)
		r = profile_enter(&trees, err);
	if (r < 0 || command->recovers)
		return r < 0 ? r : recover(a, false, err);
	if (command->commits)
		r = recover(a, true, err);
	if (r == 0)
		r = command->trees ? compare(a, &changes, err)
				   : workspace_scan(a->upper, a->lower, a->since_ms, &changes, err);
	if (r < 0)
		return r;
	if (command->commits)
		r = commit(a, &changes, err);
	else
		r = a->diff ? show_diff(a, &changes, err) : show_changes(a, &changes, err);
	changes_done(&changes);
	return r;
}

int
main(int argc, char **argv)
{
	struct arguments a;
	struct error err = {0};
	const struct command *command = NULL;
	log_program("rf-workspace");
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return help();
	if (parse_arguments(argc, argv, &a) < 0)
		return usage();
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(a.command, commands[i].name) == 0)
			command = &commands[i];
	if (command == NULL)
		return usage();
	a.summary = a.summary || strcmp(a.command, "summary") == 0;
	a.diff = a.diff || strcmp(a.command, "diff") == 0;
	int r = perform(&a, command, &err);
	return r < 0 ? report(&a, r, &err) : 0;
}
