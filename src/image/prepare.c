#include "image/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "image/image.h"
#include "image/path.h"
#include "sandbox/image_view.h"
#include "sandbox/plan.h"
#include "sandbox/workspace_fs.h"

#define ETC_TEXT_MAX (64 * 1024)

static bool
is_type(int dir, const char *name, mode_t type)
{
	struct stat st;
	return wsfs_stat(dir, name, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static int
drop(int dir, const char *name, struct error *err)
{
	int r = wsfs_remove_tree(dir, name);
	return r < 0 ? image_failed(err, r, "remove", name) : 0;
}

/* ---- the root's entries ---- */

static int
drop_what_is_ours(int root, struct error *err)
{
	/* The skeleton has these as directories; something else of the image's cannot be shown there. */
	static const char *const directories[] = {"home", "var", "workspace"};
	struct wsfs_names names = {0};
	int r = wsfs_names(root, IMAGE_ENTRIES_MAX, &names);
	if (r < 0)
		return image_failed(err, r, "list", "/");
	for (size_t i = 0; i < names.n && r == 0; i++)
		if (path_is_left_out(names.items[i]))
			r = drop(root, names.items[i], err);
	wsfs_names_done(&names);
	for (size_t i = 0; i < ARRAY_LEN(directories) && r == 0; i++)
		if (!is_type(root, directories[i], S_IFDIR))
			r = drop(root, directories[i], err);
	return r;
}

static int
replace_by_link(int dir, const char *name, const char *target, struct error *err)
{
	int r = drop(dir, name, err);
	if (r == 0 && symlinkat(target, dir, name) < 0)
		r = image_failed(err, -errno, "make", name);
	return r;
}

static int
make_mount_points(int root, struct error *err)
{
	int r = 0;
	if (is_type(root, "home", S_IFDIR)) {
		r = drop(root, &PLAN_HOME[1], err);
		if (r == 0 && mkdirat(root, &PLAN_HOME[1], 0755) < 0)
			r = image_failed(err, -errno, "make", PLAN_HOME);
	}
	if (r == 0 && is_type(root, "var", S_IFDIR)) {
		_cleanup_close_ int var = wsfs_open(root, "var", O_RDONLY | O_DIRECTORY);
		r = var < 0 ? image_failed(err, var, "open", "var")
			    : replace_by_link(var, "tmp", "../tmp", err);
	}
	return r;
}

/* ---- /etc ---- */

/* The text of a file of /etc, without lines that say what `agent` is. Not there, too long, or no text:
 * as if there were none. */
static int
keep_text(int etc, const char *name, struct json *content, struct error *err)
{
	_cleanup_free_ char *text = malloc(ETC_TEXT_MAX);
	_cleanup_close_ int fd =
	    is_type(etc, name, S_IFREG) ? wsfs_open(etc, name, O_RDONLY | O_NONBLOCK) : -1;
	ssize_t n = fd < 0 || text == NULL ? -1 : read(fd, text, ETC_TEXT_MAX - 1);
	if (text == NULL)
		return error_set(err, ENOMEM, "no_memory", "out of memory");
	if (n <= 0 || n == ETC_TEXT_MAX - 1)
		return 0;
	text[n] = 0;
	_cleanup_buf_ struct buf kept;
	buf_init(&kept, ETC_TEXT_MAX + 1);
	for (const char *line = text; *line != 0;) {
		size_t len = strcspn(line, "\n");
		if (len > 0 && strncmp(line, "agent:", 6) != 0) {
			(void)buf_add(&kept, line, len);
			(void)buf_add_char(&kept, '\n');
		}
		line += len;
		line += *line == '\n';
	}
	return json_set_str(content, name, buf_str(&kept)) < 0
	    ? error_set(err, ENOMEM, "no_memory", "out of memory")
	    : 0;
}

static int
prepare_etc(int root, struct json *content, struct error *err)
{
	static const char *const ours[] = {"passwd", "group", "hosts", "hostname", "resolv.conf"};
	char target[64];
	if (mkdirat(root, "etc", 0755) < 0 && errno != EEXIST)
		return image_failed(err, -errno, "make", "etc");
	_cleanup_close_ int etc = wsfs_open(root, "etc", O_RDONLY | O_DIRECTORY);
	if (etc < 0)
		return image_refuse_path(err, "etc", "is no directory");
	int r = keep_text(etc, "passwd", content, err);
	if (r == 0)
		r = keep_text(etc, "group", content, err);
	for (size_t i = 0; i < ARRAY_LEN(ours) && r == 0; i++) {
		(void)snprintf(target, sizeof(target), IMAGE_OURS "/%s", ours[i]);
		r = replace_by_link(etc, ours[i], target, err);
	}
	return r;
}

/* ---- what the view needs ---- */

/* Names and targets that stand in the view are text: UTF-8, no control characters. */
static bool
is_text(const char *bytes)
{
	_cleanup_json_ struct json *v = json_new_string(bytes);
	for (const char *p = bytes; *p != 0; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return false;
	return strcmp(json_str(v, ""), bytes) == 0;
}

static int
describe(int root, const char *name, struct json *top, struct error *err)
{
	struct stat st = {0};
	_cleanup_free_ char *target = NULL;
	struct json *entry = json_new_object();
	int r = wsfs_stat(root, name, &st);
	if (r == 0 && S_ISLNK(st.st_mode))
		r = wsfs_readlink(root, name, &target);
	if (r < 0)
		(void)image_failed(err, r, "look at", name);
	else if (!is_text(name) || (target != NULL && !is_text(target)))
		r = image_refuse_path(err, name, "a name in the root directory that is no text");
	(void)json_set_str(entry, "name", name);
	(void)json_set_str(entry, "type",
	    target != NULL            ? "link"
		: S_ISDIR(st.st_mode) ? "dir"
				      : "file");
	if (target != NULL)
		(void)json_set_str(entry, "target", target);
	if (json_push(top, entry) < 0 && r == 0)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	return r;
}

static int
list_top(int root, struct json *content, struct error *err)
{
	struct wsfs_names names = {0};
	struct json *top = json_new_array();
	int r = wsfs_names(root, IMAGE_TOP_MAX, &names);
	if (r == -E2BIG)
		(void)image_refuse(
		    err, "more than %d entries in the root directory", IMAGE_TOP_MAX);
	else if (r < 0)
		(void)image_failed(err, r, "list", "/");
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = describe(root, names.items[i], top, err);
	wsfs_names_done(&names);
	if (json_set(content, "top", top) < 0 && r == 0)
		r = error_set(err, ENOMEM, "no_memory", "out of memory");
	return r;
}

int
prepare_root(int root, struct json *content, struct error *err)
{
	int r = drop_what_is_ours(root, err);
	if (r == 0)
		r = make_mount_points(root, err);
	if (r == 0)
		r = prepare_etc(root, content, err);
	return r < 0 ? r : list_top(root, content, err);
}
