/* The reader of hostile bytes: this program, started again. It confines itself (profile.c), and only
 * then reads the archive. What it leaves, files and a result, is not trusted by who started it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"
#include "image/assemble.h"
#include "image/tar.h"
#include "imagetool/profile.h"
#include "imagetool/tool.h"
#include "sandbox/workspace_fs.h"
#include "sys/process.h"

#define RESULT_MAX (1 << 20)
#define MEMORY_MAX (1LL << 30) /* xz and zstd may want hundreds of megabytes */
#define CPU_SECONDS 1800
#define FILES_MAX 512

/* ---- in the worker ---- */

static int
set_bounds(const struct image_limits *limits, struct error *err)
{
	const struct {
		int resource;
		rlim_t value;
	} bounds[] = {{RLIMIT_AS, MEMORY_MAX}, {RLIMIT_CPU, CPU_SECONDS}, {RLIMIT_CORE, 0},
	    {RLIMIT_FSIZE, (rlim_t)limits->bytes}, {RLIMIT_NOFILE, FILES_MAX}};
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		struct rlimit limit = {bounds[i].value, bounds[i].value}, now;
		if (getrlimit(bounds[i].resource, &now) == 0 && now.rlim_max < limit.rlim_max)
			limit = (struct rlimit){now.rlim_max, now.rlim_max};
		if (setrlimit(bounds[i].resource, &limit) < 0)
			return error_set_errno(err, errno, "confine_failed", "rf-image: limits");
	}
	/* Beyond a limit on sizes: an error, not a death without words. */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)umask(022);
	return 0;
}

static int
open_new(int work, const char *name)
{
	if (mkdirat(work, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	return wsfs_open(work, name, O_RDONLY | O_DIRECTORY);
}

/* A tar archive is unpacked as the root file system that it may be; if what came out is the inside of an
 * image archive, that is put together instead. */
static int
read_archive(int input, int work, const struct image_limits *limits, struct json **ret,
    struct tree *tree, struct error *err)
{
	uint8_t ignored[SHA256_BYTES];
	_cleanup_close_ int first = open_new(work, WORK_ROOTFS);
	if (first < 0)
		return image_failed(err, first, "make", WORK_ROOTFS);
	tree_init(tree, first, limits);
	int r = tar_read(input, tree, ignored, err);
	if (r < 0 || !assemble_fits(first)) {
		*ret = json_new_object();
		(void)json_set_str(*ret, "source", "tar archive");
		return r;
	}
	if (renameat(work, WORK_ROOTFS, work, WORK_FILES) < 0)
		return image_failed(err, -errno, "move", WORK_FILES);
	_cleanup_close_ int rootfs = open_new(work, WORK_ROOTFS);
	if (rootfs < 0)
		return image_failed(err, rootfs, "make", WORK_ROOTFS);
	tree_next_layer(tree);
	tree->root = rootfs;
	r = assemble(first, tree, ret, err);
	tree->root = -1;
	return r;
}

static int
read_layout(int input, int work, const struct image_limits *limits, struct json **ret,
    struct tree *tree, struct error *err)
{
	_cleanup_close_ int rootfs = open_new(work, WORK_ROOTFS);
	if (rootfs < 0)
		return image_failed(err, rootfs, "make", WORK_ROOTFS);
	tree_init(tree, rootfs, limits);
	return assemble(input, tree, ret, err);
}

static int
write_result(int work, int r, struct json *result, const struct tree *tree, const struct error *err)
{
	_cleanup_buf_ struct buf text;
	if (r < 0) {
		struct json *e = json_new_object();
		(void)json_set_str(e, "code", err->code);
		(void)json_set_str(e, "message", err->message);
		(void)json_set_str(e, "remedy", err->remedy);
		(void)json_set(result, "error", e);
	}
	(void)json_set_int(result, "left_out", tree->left_out);
	buf_init(&text, RESULT_MAX);
	if (json_write(result, &text) < 0)
		return 1;
	_cleanup_close_ int fd =
	    openat(work, WORK_RESULT, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || wsfs_write(fd, text.data, text.len) < 0)
		return 1;
	return r < 0 && strcmp(err->code, "image_damaged") == 0 ? WORKER_DAMAGED : 0;
}

static int
read_hostile(const char *kind, const struct image_limits *limits)
{
	struct error err = {0};
	struct tree tree = {0};
	struct json *result = NULL;
	bool archive = strcmp(kind, "archive") == 0;
	int r = profile_enter_reader(WORKER_WORK_FD, archive ? -1 : WORKER_INPUT_FD, &err);
	if (r == 0 && archive)
		r = read_archive(WORKER_INPUT_FD, WORKER_WORK_FD, limits, &result, &tree, &err);
	else if (r == 0)
		r = read_layout(WORKER_INPUT_FD, WORKER_WORK_FD, limits, &result, &tree, &err);
	if (result == NULL)
		result = json_new_object();
	int status = write_result(WORKER_WORK_FD, r, result, &tree, &err);
	tree_done(&tree);
	json_free(result);
	return status;
}

int
worker_main(int argc, char **argv)
{
	struct error err = {0};
	struct image_limits limits = {IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX};
	if (argc == 5) {
		limits.bytes = MIN(limits.bytes, strtoll(argv[3], NULL, 10));
		limits.entries = MIN(limits.entries, strtoll(argv[4], NULL, 10));
	}
	const char *kind = argc == 5 ? argv[2] : "";
	if (set_bounds(&limits, &err) < 0)
		return 1;
	if (strcmp(kind, "archive") == 0 || strcmp(kind, "layout") == 0)
		return read_hostile(kind, &limits);
	(void)fstool_become(kind, WORKER_WORK_FD, &limits, &err);
	return 126;
}

/* ---- in who starts it ---- */

int
worker_start(const char *kind, int input, int work, int out, const struct image_limits *limits,
    struct worker *ret, struct error *err)
{
	char bytes[24], entries[24];
	static const char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};
	(void)snprintf(bytes, sizeof(bytes), "%lld", (long long)limits->bytes);
	(void)snprintf(entries, sizeof(entries), "%lld", (long long)limits->entries);
	const char *const argv[] = {"rf-image", "--worker", kind, bytes, entries, NULL};
	const int fds[] = {-1, out, -1, input, work};
	*ret = (struct worker){.pidfd = -1};
	_cleanup_close_ int program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (program < 0)
		return error_set_errno(err, errno, "image_failed", "cannot open this program");
	struct process_spec spec = {.program_fd = program,
	    .argv = argv,
	    .envp = env,
	    .fds = fds,
	    .n_fds = ARRAY_LEN(fds),
	    .die_with_parent = true};
	int r = process_start(&spec, &ret->pid, &ret->pidfd);
	return r < 0 ? error_set_errno(err, -r, "image_failed", "cannot start the reader") : 0;
}

int
worker_wait(struct worker *worker, int *ret_status)
{
	int r = process_reap(worker->pidfd, true, ret_status);
	(void)close(TAKE_FD(worker->pidfd));
	return r;
}

void
worker_kill(struct worker *worker)
{
	if (worker->pidfd < 0)
		return;
	(void)process_signal(worker->pidfd, SIGKILL);
	(void)worker_wait(worker, NULL);
}

static int
read_result(int work, struct json **ret)
{
	struct error ignored;
	_cleanup_buf_ struct buf text;
	_cleanup_close_ int fd = wsfs_open(work, WORK_RESULT, O_RDONLY | O_NONBLOCK);
	buf_init(&text, RESULT_MAX + 65536);
	while (fd >= 0) {
		uint8_t *room = buf_reserve(&text, 65536);
		ssize_t n = room == NULL ? -1 : read(fd, room, 65536);
		if (n < 0)
			return -EIO;
		if (n == 0)
			break;
		buf_grew(&text, (size_t)n);
	}
	int r = fd < 0 ? fd : json_parse(buf_str(&text), text.len, ret, &ignored);
	return r == 0 && json_type(*ret) != JSON_OBJECT ? -EINVAL : r;
}

int
worker_ended(int status, struct error *err)
{
	int number = status & 0x7f;
	if (status == 0 || status == WORKER_DAMAGED << 8)
		return 0;
	return number == SIGXCPU || number == SIGKILL
	    ? image_refuse(err, "reading it took too long, or too much memory")
	    : error_set(err, EBADMSG, "image_reader_died",
		  "the reader of the archive died (status %#x)", (unsigned)status);
}

int
worker_result(int work, struct json **ret, struct error *err)
{
	_cleanup_json_ struct json *result = NULL;
	if (read_result(work, &result) < 0)
		return error_set(
		    err, EBADMSG, "image_reader_died", "the reader of the archive left no result");
	const struct json *e = json_get(result, "error");
	if (e == NULL) {
		*ret = TAKE_PTR(result);
		return 0;
	}
	char code[40], message[620], remedy[380];
	const char *text = json_get_str(e, "message", "");
	(void)snprintf(code, sizeof(code), "%s", json_get_str(e, "code", "image_refused"));
	log_escape(text, strlen(text), message, sizeof(message));
	text = json_get_str(e, "remedy", "");
	log_escape(text, strlen(text), remedy, sizeof(remedy));
	int r = error_set(err, EBADMSG, code, "%s", message);
	error_remedy(err, "%s", remedy);
	return r;
}
