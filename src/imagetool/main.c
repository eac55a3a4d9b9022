/* rf-image: the store of images; what `ringfence image` executes.
 *
 *     image import FILE|DIR|- [--name NAME[:TAG]] [--max-bytes N] [--max-entries N] | list
 *           | inspect NAME [--verify] | remove NAME... | gc                          [--json]
 *
 * Runs as the user (root when the user is), without any network. An archive is read by this program
 * started again (worker.c): as root under an id of its own and chrooted, always with Landlock and seccomp
 * around one empty directory. This process does not look at what that wrote before it has confined
 * itself to the store (profile.c). File systems in a file are read by their own tools under the same
 * locks (fstool.c); nothing is ever mounted. Secrets: none.
 *
 * If the reader is compromised by an archive, an attacker can fill that directory with files of their
 * choice, which they could by the archive; if this process is, they can change images.
 * Exit codes: 0; 1 failed; 2 wrong usage; 3 refused (a hostile or damaged archive). */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "imagetool/tool.h"
#include "ipc/paths.h"

struct arguments {
	const char *command;
	char **operands;
	int n_operands;
	const char *name;
	struct image_limits limits;
	bool json;
	bool verify;
};

static int
usage(FILE *to)
{
	(void)fputs(
	    "usage: ringfence image COMMAND\n\n"
	    "  import FILE|DIR|- [--name NAME[:TAG]]   a directory, a tar of a root file system, "
	    "a\n"
	    "                                          docker save or OCI archive, squashfs, "
	    "erofs\n"
	    "  list                                    what there is\n"
	    "  inspect NAME [--verify]                 one image; --verify reads all its files\n"
	    "  remove NAME...                          a name, and with the last one the image\n"
	    "  gc                                      images without a name, leftovers\n\n"
	    "  --json             output for programs\n"
	    "  --max-bytes SIZE, --max-entries N\n"
	    "                     refuse what is larger (import)\n\n"
	    "A policy uses an image with `root: image:NAME`. See doc/images.md.\n",
	    to);
	return to == stdout ? 0 : 2;
}

int
tell_error(const struct error *err, const char *about, bool json)
{
	if (json) {
		_cleanup_json_ struct json *o = json_new_object();
		struct json *e = json_new_object();
		(void)json_set_str(e, "code", err->code);
		(void)json_set_str(e, "message", err->message);
		(void)json_set_str(e, "remedy", err->remedy);
		(void)json_set(o, "error", e);
		(void)tell_json(o);
	} else {
		char shown[256] = "";
		if (about != NULL)
			log_escape(about, strlen(about), shown, sizeof(shown));
		(void)fprintf(stderr, "ringfence: %s%s%s%s%s\n", shown, shown[0] != 0 ? ": " : "",
		    err->message, err->remedy[0] != 0 ? "; " : "", err->remedy);
	}
	static const char *const refusals[] = {
	    "image_refused", "image_damaged", "image_reader_died", "name_taken"};
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (strcmp(err->code, refusals[i]) == 0)
			return 3;
	return 1;
}

int
tell_json(const struct json *v)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 64 << 20);
	if (json_write(v, &out) < 0)
		return 1;
	return printf("%s\n", buf_str(&out)) > 0 && fflush(stdout) == 0 ? 0 : 1;
}

/* ---- arguments ---- */

/* "512", "512KiB", "512MiB", "2GiB". */
static int
parse_size(const char *text, int64_t *ret)
{
	static const struct {
		const char *unit;
		int shift;
	} units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
	char *end;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (errno != 0 || end == text || n <= 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(end, units[i].unit) == 0 && n <= INT64_MAX >> units[i].shift) {
			*ret = n << units[i].shift;
			return 0;
		}
	return -EINVAL;
}

/* A bound: only ever below what is built in. */
static int
take_bound(const char *option, const char *text, int64_t most, int64_t *ret)
{
	int64_t n;
	if (parse_size(text, &n) == 0 && n <= most) {
		*ret = n;
		return 0;
	}
	(void)fprintf(stderr,
	    "ringfence: %s: a number from 1 to %lld; KiB, MiB and GiB are understood\n", option,
	    (long long)most);
	return -EINVAL;
}

static int
take_option(struct arguments *a, const char *option, const char *value)
{
	if (strcmp(option, "--json") == 0)
		a->json = true;
	else if (strcmp(option, "--verify") == 0)
		a->verify = true;
	else if (value == NULL)
		return -EINVAL;
	else if (strcmp(option, "--name") == 0)
		a->name = value;
	else if (strcmp(option, "--max-bytes") == 0)
		return take_bound(option, value, IMAGE_BYTES_MAX, &a->limits.bytes) < 0 ? -EINVAL
											: 1;
	else if (strcmp(option, "--max-entries") == 0)
		return take_bound(option, value, IMAGE_ENTRIES_MAX, &a->limits.entries) < 0
		    ? -EINVAL
		    : 1;
	else
		return -EINVAL;
	return strcmp(option, "--name") == 0;
}

/* Operands are moved to the front of ARGV. */
static int
parse_arguments(int argc, char **argv, struct arguments *a)
{
	*a = (struct arguments){.limits = {IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX}};
	if (argc < 2)
		return -EINVAL;
	a->command = argv[1];
	a->operands = argv + 2;
	for (int i = 2; i < argc; i++) {
		if (argv[i][0] != '-' || argv[i][1] == 0) {
			a->operands[a->n_operands++] = argv[i];
			continue;
		}
		int used = take_option(a, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
		if (used < 0) {
			(void)fprintf(
			    stderr, "ringfence: image: %.60s: bad option or value\n", argv[i]);
			return -EINVAL;
		}
		i += used;
	}
	return 0;
}

/* ---- commands ---- */

static int
import(const struct arguments *a)
{
	struct import_options options = {
	    .file = a->operands[0], .name = a->name, .limits = a->limits};
	struct error err = {0};
	_cleanup_json_ struct json *told = NULL;
	int r = import_run(&options, &told, &err);
	if (r < 0)
		return tell_error(&err, options.file, a->json);
	if (a->json)
		return tell_json(told);
	long long left_out = (long long)json_get_int(told, "left_out", 0);
	(void)printf("%s %s\n%s: %lld files, %.1f MiB\n",
	    json_get_bool(told, "new", true) ? "imported" : "already there:",
	    json_get_str(told, "name", ""), json_get_str(told, "id", ""),
	    (long long)json_get_int(told, "entries", 0),
	    (double)json_get_int(told, "bytes", 0) / (1 << 20));
	if (left_out > 0)
		(void)printf(
		    "left out: %lld entries below /dev, /proc, /run, /sys and /tmp, which each "
		    "sandbox has of its own\n",
		    left_out);
	return fflush(stdout) == 0 ? 0 : 1;
}

static int
run(struct arguments *a)
{
	char state[PATHS_MAX];
	struct error err = {0};
	if (strcmp(a->command, "import") == 0 && a->n_operands == 1)
		return import(a);
	if (paths_state_dir(state, &err) < 0)
		return tell_error(&err, NULL, a->json);
	if (strcmp(a->command, "list") == 0 && a->n_operands == 0)
		return show_list(state, a->json);
	if (strcmp(a->command, "inspect") == 0 && a->n_operands == 1)
		return show_inspect(state, a->operands[0], a->verify, a->json);
	if (strcmp(a->command, "remove") == 0 && a->n_operands > 0)
		return show_remove(state, a->operands, a->n_operands, a->json);
	if (strcmp(a->command, "gc") == 0 && a->n_operands == 0)
		return show_gc(state, a->json);
	return usage(stderr);
}

int
main(int argc, char **argv)
{
	struct arguments a;
	log_program("rf-image");
	(void)umask(022); /* sandboxes have other ids and must pass */
	if (argc >= 2 && strcmp(argv[1], "--worker") == 0)
		return worker_main(argc, argv);
	if (argc >= 2 &&
	    (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0))
		return usage(stdout);
	if (parse_arguments(argc, argv, &a) < 0)
		return usage(stderr);
	return run(&a);
}
