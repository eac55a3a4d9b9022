/* One import: a place in the store, a reader that fills it, the last look, the name.
 *
 *     OPEN ─ stage ─▶ FILL ─ readers ended ─▶ CONFINED ─ prepare, seal ─▶ COMMITTED
 *       └──────────────┴──────── any failure ───┴──▶ ABANDONED (nothing is left)
 *
 * FILL only starts processes and waits. What they left is read in CONFINED: this process has then
 * nothing but the store (profile.c). A plain directory needs no reader: it is copied in CONFINED. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "image/assemble.h"
#include "image/copy.h"
#include "image/prepare.h"
#include "image/seal.h"
#include "image/store.h"
#include "imagetool/profile.h"
#include "imagetool/tool.h"
#include "ipc/paths.h"
#include "sandbox/ids.h"
#include "sandbox/workspace_fs.h"

#define BLOCK 131072

struct import {
	const struct import_options *options;
	struct image_store store;
	char stage[STORE_STAGE_SIZE];
	int lock;   /* of the stage; -1: none yet */
	int source; /* FILE */
	int work;
	bool directory;      /* copied by ourselves */
	struct json *result; /* of the reader */
	int64_t left_out;
	char name[IMAGE_NAME_SIZE]; /* settled */
};

/* ---- OPEN ---- */

static int
open_source(struct import *im, struct error *err)
{
	const char *file = im->options->file;
	struct stat st;
	im->source = strcmp(file, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					    : open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (im->source < 0 || fstat(im->source, &st) < 0)
		return error_set_errno(err, errno, "no_file", "cannot open it");
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && strcmp(file, "-") != 0)
		return error_set(err, EINVAL, "no_file", "it is neither a file nor a directory");
	im->directory = S_ISDIR(st.st_mode);
	return 0;
}

/* The reader's directory: as root it belongs to the reader's own id. */
static int
make_work(struct import *im, struct error *err)
{
	char path[STORE_STAGE_SIZE + 16];
	(void)snprintf(path, sizeof(path), "%s/" WORK_DIR, im->stage);
	if (mkdirat(im->store.images, path, 0700) < 0)
		return image_failed(err, -errno, "make", path);
	if (geteuid() == 0 &&
	    fchownat(im->store.images, path, IDS_IMAGE, IDS_IMAGE, AT_SYMLINK_NOFOLLOW) < 0) {
		(void)error_set_errno(err, errno, "no_ids",
		    "the reader of archives cannot have an id of its own here (%u)", IDS_IMAGE);
		error_remedy(err, "run as an ordinary user instead of as this container's root");
		return -EPERM;
	}
	im->work = wsfs_open(im->store.images, path, O_RDONLY | O_DIRECTORY);
	return im->work < 0 ? image_failed(err, im->work, "open", path) : 0;
}

static int
open_all(struct import *im, struct error *err)
{
	char state[PATHS_MAX];
	int r = open_source(im, err);
	if (r == 0)
		r = paths_state_dir(state, err);
	if (r == 0)
		r = image_store_open(state, &im->store, err);
	if (r == 0)
		r = image_store_stage(&im->store, im->stage, &im->lock, err);
	return r < 0 ? r : make_work(im, err);
}

/* ---- FILL ---- */

/* FROM to its end into WORK/input, where the reader, whoever it is, may read it; opened again in RET. */
static int
copy_input(struct import *im, int *ret, struct error *err)
{
	_cleanup_free_ uint8_t *block = malloc(BLOCK);
	_cleanup_close_ int to = openat(
	    im->work, WORK_INPUT, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	int64_t left = im->options->limits.bytes;
	if (block == NULL || to < 0 || fchmod(to, 0644) < 0)
		return image_failed(err, block == NULL ? -ENOMEM : -errno, "make", WORK_INPUT);
	for (;;) {
		ssize_t n = read(im->source, block, BLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, errno, "no_file", "cannot read it");
		if (n == 0)
			break;
		left -= n;
		if (left < 0)
			return image_refuse(err, "it is longer than %lld MiB",
			    (long long)(im->options->limits.bytes >> 20));
		int r = wsfs_write(to, block, (size_t)n);
		if (r < 0)
			return image_failed(err, r, "write", WORK_INPUT);
	}
	*ret = wsfs_open(im->work, WORK_INPUT, O_RDONLY);
	return *ret < 0 ? image_failed(err, *ret, "open", WORK_INPUT) : 0;
}

static int
run_reader(struct import *im, const char *kind, int input, struct error *err)
{
	struct worker reader;
	int status = 0;
	int r = worker_start(kind, input, im->work, -1, &im->options->limits, &reader, err);
	if (r < 0)
		return r;
	(void)worker_wait(&reader, &status);
	/* Its words are read later, confined; only that there are some matters here. */
	return worker_ended(status, err);
}

static int
copy_tree(struct import *im, const char *name, int *ret, struct error *err)
{
	struct tree tree;
	if (mkdirat(im->work, name, 0755) < 0)
		return image_failed(err, -errno, "make", name);
	_cleanup_close_ int to = wsfs_open(im->work, name, O_RDONLY | O_DIRECTORY);
	if (to < 0)
		return image_failed(err, to, "open", name);
	tree_init(&tree, to, &im->options->limits);
	int r = copy_directory(im->source, &tree, err);
	im->left_out = tree.left_out;
	tree_done(&tree);
	if (r == 0 && ret != NULL)
		*ret = TAKE_FD(to);
	return r;
}

/* The reader of root's has another id, which may not be let into root's directories. */
static int
read_layout(struct import *im, struct error *err)
{
	_cleanup_close_ int copy = -1;
	int r = geteuid() == 0 ? copy_tree(im, WORK_FILES, &copy, err) : 0;
	return r < 0 ? r : run_reader(im, "layout", copy >= 0 ? copy : im->source, err);
}

static int
fill(struct import *im, struct error *err)
{
	struct stat st;
	if (im->directory) {
		bool layout = fstatat(im->source, "oci-layout", &st, 0) == 0 &&
		    fstatat(im->source, "index.json", &st, 0) == 0;
		im->directory = !layout;
		return layout ? read_layout(im, err) : 0;
	}
	_cleanup_close_ int copy = -1;
	enum fstool tool = fstool_recognise(im->source);
	if (tool != FSTOOL_NONE || lseek(im->source, 0, SEEK_SET) < 0) {
		int r = copy_input(im, &copy, err);
		if (r < 0)
			return r;
		if (tool == FSTOOL_NONE)
			tool = fstool_recognise(copy);
	}
	if (tool != FSTOOL_NONE)
		return fstool_unpack(tool, im->work, &im->options->limits, err);
	return run_reader(im, "archive", copy >= 0 ? copy : im->source, err);
}

/* ---- CONFINED ---- */

/* fsck.erofs leaves no words; all others do. */
static int
take_result(struct import *im, struct error *err)
{
	struct stat st;
	if (im->directory) {
		im->result = json_new_object();
		(void)json_set_str(im->result, "source", "directory");
		return copy_tree(im, WORK_ROOTFS, NULL, err);
	}
	if (wsfs_stat(im->work, WORK_RESULT, &st) == 0) {
		int r = worker_result(im->work, &im->result, err);
		im->left_out = json_get_int(im->result, "left_out", 0);
		return r;
	}
	im->result = json_new_object();
	return json_set_str(im->result, "source", "file system image");
}

/* The name that was asked for, or what the archive calls itself: but that only if no other image has it,
 * for an archive must not choose what `root: image:debian` means. */
static int
choose_name(struct import *im, struct error *err)
{
	const char *asked = im->options->name;
	const char *own = json_str(json_at(json_get(im->result, "names"), 0), NULL);
	const char *name = asked != NULL ? asked : own;
	char dir[IMAGE_DIR_SIZE];
	struct error ignored;
	if (name == NULL || image_name_settle(name, im->name) < 0 ||
	    strncmp(im->name, "sha256:", 7) == 0) {
		int r = asked != NULL
		    ? error_set(
			  err, EINVAL, "bad_image_name", "%.100s is no name for an image", asked)
		    : error_set(err, EINVAL, "no_name", "it does not say what it is called");
		error_remedy(err, "give it a name: --name NAME[:TAG] (letters, digits, _ . - /)");
		return r;
	}
	if (asked == NULL && image_find(im->store.state, im->name, dir, &ignored) == 0) {
		int r = error_set(err, EEXIST, "name_taken",
		    "it calls itself %s, and there is such an image already", im->name);
		error_remedy(err, "say --name %s if this one shall have the name", im->name);
		return r;
	}
	return 0;
}

/* Only what image_view and people expect: the reader may have said anything. */
static void
copy_config(const struct json *from, struct json *content)
{
	static const char *const texts[] = {"working_dir", "user"},
				 *lists[] = {"entrypoint", "cmd"};
	struct json *env = json_new_object();
	for (size_t i = 0; i < json_len(json_get(from, "env")); i++) {
		const char *name = json_name_at(json_get(from, "env"), i);
		const char *text = json_str(json_at(json_get(from, "env"), i), NULL);
		if (text != NULL && name[0] != 0 && strchr(name, '=') == NULL)
			(void)json_set_str(env, name, text);
	}
	(void)json_set(content, "env", env);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (json_get_str(from, texts[i], NULL) != NULL)
			(void)json_set_str(content, texts[i], json_get_str(from, texts[i], NULL));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct json *list = json_get(from, lists[i]);
		struct json *words = json_new_array();
		for (size_t k = 0; k < json_len(list); k++)
			(void)json_push(words, json_new_string(json_str(json_at(list, k), "")));
		(void)json_set(content, lists[i], words);
	}
}

/* Takes the tree out of the reader's hands (it has ended), and makes of it what will be shown. */
static int
finish_tree(struct import *im, struct json *content, struct error *err)
{
	char path[STORE_STAGE_SIZE + 16];
	struct seal seal;
	(void)snprintf(path, sizeof(path), "%s/" WORK_ROOTFS, im->stage);
	if (renameat(im->work, WORK_ROOTFS, im->store.images, path) < 0)
		return image_refuse(err, "there is no root file system in it");
	_cleanup_close_ int rootfs = wsfs_open(im->store.images, path, O_RDONLY | O_DIRECTORY);
	if (rootfs < 0)
		return image_refuse(err, "there is no root file system in it");
	int r = prepare_root(rootfs, content, err);
	if (r == 0)
		r = seal_tree(rootfs, SEAL_MEND, &im->options->limits, &seal, err);
	if (r < 0)
		return r;
	(void)json_set_int(content, "version", 1);
	(void)json_set_str(content, "tree", seal.hash);
	(void)json_set_int(content, "entries", seal.entries);
	(void)json_set_int(content, "bytes", seal.bytes);
	copy_config(json_get(im->result, "config"), content);
	return 0;
}

static int
commit(struct import *im, const struct json *content, struct json **ret, struct error *err)
{
	char id[IMAGE_NAME_SIZE], path[STORE_STAGE_SIZE + 16], source[64];
	bool is_new = false;
	_cleanup_json_ struct json *import = json_new_object(), *told = json_new_object();
	(void)snprintf(source, sizeof(source), "%s", json_get_str(im->result, "source", ""));
	(void)snprintf(path, sizeof(path), "%s/" WORK_DIR, im->stage);
	image_store_abandon(&im->store, path);
	(void)json_set_str(import, "source", source);
	(void)json_set_int(import, "at_ms", clock_wall_ms());
	(void)json_set_int(import, "left_out", im->left_out);
	int r = image_store_commit(
	    &im->store, im->stage, im->lock, content, import, im->name, id, &is_new, err);
	if (r < 0)
		return r;
	im->stage[0] = 0;
	(void)json_set_str(told, "id", id);
	(void)json_set_str(told, "name", im->name);
	(void)json_set_bool(told, "new", is_new);
	(void)json_set_int(told, "entries", json_get_int(content, "entries", 0));
	(void)json_set_int(told, "bytes", json_get_int(content, "bytes", 0));
	(void)json_set_int(told, "left_out", im->left_out);
	(void)json_set_str(told, "source", source);
	*ret = TAKE_PTR(told);
	return 0;
}

static int
finish(struct import *im, struct json **ret, struct error *err)
{
	_cleanup_json_ struct json *content = json_new_object();
	int r = profile_enter_store(im->store.images, im->directory ? im->source : -1, err);
	if (r == 0)
		r = take_result(im, err);
	if (r == 0)
		r = choose_name(im, err);
	if (r == 0)
		r = finish_tree(im, content, err);
	return r < 0 ? r : commit(im, content, ret, err);
}

int
import_run(const struct import_options *options, struct json **ret, struct error *err)
{
	struct import im = {
	    .options = options, .store = {-1, -1, -1, -1}, .lock = -1, .source = -1, .work = -1};
	int r = open_all(&im, err);
	if (r == 0)
		r = fill(&im, err);
	if (r == 0)
		r = finish(&im, ret, err);
	if (im.stage[0] != 0)
		image_store_abandon(&im.store, im.stage);
	json_free(im.result);
	int *fds[] = {&im.work, &im.source, &im.lock};
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			(void)close(*fds[i]);
	image_store_done(&im.store);
	return r;
}
