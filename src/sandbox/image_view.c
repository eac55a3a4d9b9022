#include "sandbox/image_view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/buf.h"
#include "base/sha256.h"
#include "sandbox/plan.h"
#include "sys/opens.h"

#define ID_PREFIX "sha256:"
#define ID_PREFIX_LEN 7
#define HEX_LEN 64
#define NAME_LONGEST 200
#define ETC_TEXT_MAX (64 * 1024)

static const char default_path[] =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; /* as container engines have it */

/* ---- names ---- */

static bool
is_hex(const char *text, size_t len)
{
	return strlen(text) == len && strspn(text, "0123456789abcdef") == len;
}

/* "a/b/c" without an empty part, "." or "..". */
static bool
has_good_parts(const char *name)
{
	for (const char *part = name;; part++) {
		size_t len = strcspn(part, "/");
		if (len == 0 || (len == 1 && part[0] == '.') ||
		    (len == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += len;
		if (*part == 0)
			return true;
	}
}

int
image_name_settle(const char *name, char ret[IMAGE_NAME_SIZE])
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:-";
	size_t len = strlen(name);
	if (strncmp(name, ID_PREFIX, ID_PREFIX_LEN) == 0) {
		if (!is_hex(name + ID_PREFIX_LEN, HEX_LEN))
			return -EINVAL;
		(void)snprintf(ret, IMAGE_NAME_SIZE, "%s", name);
		return 0;
	}
	if (len == 0 || len > NAME_LONGEST || strspn(name, letters) != len ||
	    strchr("./:-", name[0]) != NULL || !has_good_parts(name))
		return -EINVAL;
	const char *slash = strrchr(name, '/');
	const char *colon = strchr(slash != NULL ? slash + 1 : name, ':');
	if (colon != NULL &&
	    (colon[1] == 0 || strchr(colon + 1, ':') != NULL || colon == name || colon[-1] == '/'))
		return -EINVAL;
	(void)snprintf(ret, IMAGE_NAME_SIZE, "%s%s", name, colon != NULL ? "" : ":latest");
	return strncmp(ret, ID_PREFIX, ID_PREFIX_LEN) == 0 ? -EINVAL : 0;
}

void
image_name_encode(const char *name, char ret[IMAGE_NAME_SIZE])
{
	(void)snprintf(ret, IMAGE_NAME_SIZE, "%s", name);
	for (char *p = ret; *p != 0; p++)
		if (*p == '/')
			*p = '!';
}

static int
no_image(const char *name, struct error *err)
{
	(void)error_set(err, ENOENT, "no_image", "there is no image %.200s", name);
	error_remedy(err,
	    "import it: ringfence image import FILE --name %.100s (ringfence image list shows what "
	    "there is)",
	    name);
	return -ENOENT;
}

/* What the link images/names/NAME says, as "sha256-HEX"; -ENOENT for anything else. */
static int
read_name(int state_fd, const char *settled, char *ret, size_t ret_size)
{
	static const char before[] = "../sha256-";
	char encoded[IMAGE_NAME_SIZE], path[IMAGE_NAME_SIZE + 16], target[IMAGE_DIR_SIZE + 8];
	image_name_encode(settled, encoded);
	(void)snprintf(path, sizeof(path), "images/names/%s", encoded);
	ssize_t n = readlinkat(state_fd, path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = 0;
	if (strncmp(target, before, sizeof(before) - 1) != 0 ||
	    !is_hex(target + sizeof(before) - 1, HEX_LEN))
		return -ENOENT;
	(void)snprintf(ret, ret_size, "%s", target + 3);
	return 0;
}

int
image_find(int state_fd, const char *name, char ret[IMAGE_DIR_SIZE], struct error *err)
{
	char settled[IMAGE_NAME_SIZE], id[IMAGE_DIR_SIZE - 8];
	struct stat st;
	if (image_name_settle(name, settled) < 0)
		return error_set(
		    err, EINVAL, "bad_image_name", "%.200s is no name of an image", name);
	if (strncmp(settled, ID_PREFIX, ID_PREFIX_LEN) == 0)
		(void)snprintf(id, sizeof(id), "sha256-%s", settled + ID_PREFIX_LEN);
	else if (read_name(state_fd, settled, id, sizeof(id)) < 0)
		return no_image(settled, err);
	(void)snprintf(ret, IMAGE_DIR_SIZE, "images/%s", id);
	if (fstatat(state_fd, ret, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return no_image(settled, err);
	if (st.st_uid != geteuid())
		return error_set(
		    err, EPERM, "state_dir", "%s in the state directory is not ours", ret);
	return 0;
}

int
image_load(int state_fd, const char *dir, struct json **ret, struct error *err)
{
	char path[IMAGE_DIR_SIZE + 16];
	_cleanup_buf_ struct buf text = {0};
	(void)snprintf(path, sizeof(path), "%s/image.json", dir);
	_cleanup_close_ int fd = openat(state_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_set_errno(err, errno, "image_broken", "cannot open %s", path);
	buf_init(&text, IMAGE_JSON_MAX);
	for (;;) {
		uint8_t *room = buf_reserve(&text, 16384);
		ssize_t n = room == NULL ? -1 : read(fd, room, 16384);
		if (n < 0)
			return error_set(err, EIO, "image_broken", "cannot read %s", path);
		if (n == 0)
			break;
		buf_grew(&text, (size_t)n);
	}
	int r = json_parse(buf_str(&text), text.len, ret, err);
	return r < 0 ? error_set(err, EIO, "image_broken", "%s is damaged", path) : 0;
}

int
image_hold(int state_fd, const char *name, struct error *err)
{
	char dir[IMAGE_DIR_SIZE], path[IMAGE_DIR_SIZE + 8];
	struct stat held, there;
	int r = image_find(state_fd, name, dir, err);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/lock", dir);
	_cleanup_close_ int fd = openat(state_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return no_image(name, err);
	/* Who removes it holds it alone until it is out of the way: that is short, and then it is gone. */
	if (flock(fd, LOCK_SH) < 0 || fstat(fd, &held) < 0 ||
	    fstatat(state_fd, path, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    held.st_ino != there.st_ino || held.st_dev != there.st_dev)
		return no_image(name, err);
	return TAKE_FD(fd);
}

/* ---- the view ---- */

static void
add_bind(struct json *view, const char *base, const char *name, bool file)
{
	char from[5000], to[300];
	struct json *bind = json_new_object(), *rule = json_new_object();
	(void)snprintf(from, sizeof(from), "%s/%s", base, name);
	(void)snprintf(to, sizeof(to), "/%s", name);
	(void)json_set_str(bind, "from", from);
	(void)json_set_str(bind, "to", to);
	(void)json_set_str(rule, "path", to);
	(void)json_set_bool(rule, "execute", true);
	if (file) {
		(void)json_set_bool(bind, "file", true);
		(void)json_set_bool(rule, "file", true);
	}
	(void)json_push(json_get(view, "binds"), bind);
	(void)json_push(json_get(view, "rules"), rule);
}

static void
add_link(struct json *view, const char *path, const char *target)
{
	struct json *link = json_new_object();
	(void)json_set_str(link, "path", path);
	(void)json_set_str(link, "target", target);
	(void)json_push(json_get(view, "links"), link);
}

static void
add_file(struct json *view, const char *name, const char *text)
{
	char path[64];
	struct json *file = json_new_object();
	(void)snprintf(path, sizeof(path), IMAGE_OURS "/%s", name);
	(void)json_set_str(file, "path", path);
	(void)json_set_str(file, "text", text);
	(void)json_push(json_get(view, "files"), file);
}

/* `agent` first, so that its id has this name; then what the image has. */
static void
add_users(struct json *view, const struct json *content, uid_t uid, gid_t gid)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, ETC_TEXT_MAX + 512);
	(void)buf_addf(
	    &text, "agent:x:%u:%u:agent:" PLAN_HOME ":/bin/sh\n", (unsigned)uid, (unsigned)gid);
	(void)buf_add_str(&text,
	    json_get_str(content, "passwd",
		"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"));
	add_file(view, "passwd", buf_str(&text));
	buf_clear(&text);
	(void)buf_addf(&text, "agent:x:%u:\n", (unsigned)gid);
	(void)buf_add_str(&text, json_get_str(content, "group", "root:x:0:\nnogroup:x:65534:\n"));
	add_file(view, "group", buf_str(&text));
	add_file(view, "hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n");
	add_file(view, "hostname", "sandbox\n");
	add_file(view, "resolv.conf", "");
	struct json *rule = json_new_object();
	(void)json_set_str(rule, "path", IMAGE_OURS);
	(void)json_set_bool(rule, "execute", false);
	(void)json_push(json_get(view, "rules"), rule);
}

static int
add_top(struct json *view, const struct json *content, const char *base)
{
	const struct json *top = json_get(content, "top");
	char path[300];
	bool var = false;
	for (size_t i = 0; i < json_len(top); i++) {
		const struct json *entry = json_at(top, i);
		const char *name = json_get_str(entry, "name", "");
		const char *type = json_get_str(entry, "type", "");
		if (name[0] == 0 || name[0] == '/' || strchr(name, '/') != NULL ||
		    strlen(name) > 255)
			return -EINVAL;
		(void)snprintf(path, sizeof(path), "/%s", name);
		if (strcmp(type, "link") == 0)
			add_link(view, path, json_get_str(entry, "target", "/"));
		else
			add_bind(view, base, name, strcmp(type, "file") == 0);
		var = var || strcmp(name, "var") == 0;
	}
	if (!var)
		add_link(view, "/var/tmp", "../tmp");
	return 0;
}

static void
add_config(struct json *view, const struct json *content)
{
	struct json *env = json_copy(json_get(content, "env"));
	if (env == NULL)
		env = json_new_object();
	if (json_get(env, "PATH") == NULL)
		(void)json_set_str(env, "PATH", default_path);
	(void)json_set(view, "env", env);
	const char *dir = json_get_str(content, "working_dir", NULL);
	if (dir != NULL)
		(void)json_set_str(view, "working_dir", dir);
}

int
image_view(int state_fd, const char *state, const char *name, uid_t uid, gid_t gid,
    struct json **ret_view, struct error *err)
{
	char dir[IMAGE_DIR_SIZE], base[4600], id[IMAGE_NAME_SIZE];
	_cleanup_json_ struct json *image = NULL, *view = json_new_object();
	int r = image_find(state_fd, name, dir, err);
	if (r == 0)
		r = image_load(state_fd, dir, &image, err);
	if (r < 0)
		return r;
	const struct json *content = json_get(image, "content");
	(void)json_set(view, "binds", json_new_array());
	(void)json_set(view, "links", json_new_array());
	(void)json_set(view, "files", json_new_array());
	(void)json_set(view, "rules", json_new_array());
	if (snprintf(base, sizeof(base), "%s/%s/rootfs", state, dir) >= (int)sizeof(base))
		return error_set(
		    err, ENAMETOOLONG, "state_dir", "the state directory's path is too long");
	r = add_top(view, content, base);
	if (r < 0)
		return error_set(err, EIO, "image_broken", "%s/image.json is damaged", dir);
	add_users(view, content, uid, gid);
	add_config(view, content);
	(void)snprintf(id, sizeof(id), ID_PREFIX "%s", strrchr(dir, '-') + 1);
	(void)json_set_str(view, "image", id);
	*ret_view = TAKE_PTR(view);
	return *ret_view == NULL ? error_set(err, ENOMEM, "no_memory", "out of memory") : 0;
}

/* ---- finding a program ---- */

/* CWD/NAME, or NAME, without "//", "." and "..", by text alone. */
static int
make_path(const char *name, const char *cwd, char ret[RESOLVED_MAX])
{
	char whole[RESOLVED_MAX];
	size_t len = 0;
	int n = name[0] == '/' ? snprintf(whole, sizeof(whole), "%s", name)
			       : snprintf(whole, sizeof(whole), "%s/%s", cwd, name);
	if (n >= (int)sizeof(whole))
		return -ENAMETOOLONG;
	for (const char *part = whole; *part != 0;) {
		size_t span = strcspn(part, "/");
		if (span == 2 && part[0] == '.' && part[1] == '.') {
			while (len > 0 && ret[--len] != '/')
				;
		} else if (span > 0 && !(span == 1 && part[0] == '.')) {
			ret[len++] = '/';
			memcpy(ret + len, part, span);
			len += span;
		}
		part += span;
		part += *part == '/';
	}
	if (len == 0)
		ret[len++] = '/';
	ret[len] = 0;
	return 0;
}

/* Where the command can write, and what is not the image's: not looked at. */
static bool
is_elsewhere(const char *path)
{
	static const char *const places[] = {
	    "/tmp/", PLAN_HOME "/", PLAN_WORKSPACE "/", "/dev/", "/proc/", "/run/", "/var/tmp/"};
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (strncmp(path, places[i], strlen(places[i])) == 0)
			return true;
	return false;
}

static int
open_inside(int rootfs, const char *path)
{
	return opens_below(
	    rootfs, path, O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
}

/* The path of FD below ROOTFS, as the image has it. -errno if the kernel cannot say. */
static int
path_inside(int rootfs, int fd, char ret[RESOLVED_MAX])
{
	char link[64], root[RESOLVED_MAX], path[2 * RESOLVED_MAX];
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", rootfs);
	ssize_t n = readlink(link, root, sizeof(root) - 1);
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t m = readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || m < n)
		return -ENOENT;
	root[n] = path[m] = 0;
	if (strncmp(path, root, (size_t)n) != 0 || (path[n] != '/' && path[n] != 0))
		return -ENOENT;
	if (m - n >= RESOLVED_MAX)
		return -ENAMETOOLONG;
	(void)snprintf(ret, RESOLVED_MAX, "%s", path + n);
	return 0;
}

/* PATH inside, if it is a program: the directory it lies in without links, and what it really is. */
static int
look(int rootfs, const char *path, char *ret_program, char *ret_resolved)
{
	char directory[RESOLVED_MAX], real[RESOLVED_MAX];
	const char *name = strrchr(path, '/') + 1;
	struct stat st;
	_cleanup_close_ int fd = open_inside(rootfs, path);
	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return -EACCES;
	(void)snprintf(directory, sizeof(directory), "%.*s", (int)(name - path), path);
	_cleanup_close_ int parent = open_inside(rootfs, directory);
	int r = parent < 0 ? -ENOENT : path_inside(rootfs, parent, real);
	if (r < 0)
		return r;
	if (snprintf(ret_program, RESOLVED_MAX, "%s/%s", real, name) >= RESOLVED_MAX)
		return -ENAMETOOLONG;
	return path_inside(rootfs, fd, ret_resolved);
}

static int
search(int rootfs, const char *dirs, const char *name, char *ret_program, char *ret_resolved)
{
	char path[RESOLVED_MAX];
	int found = -ENOENT;
	while (*dirs != 0) {
		size_t span = strcspn(dirs, ":");
		int n = snprintf(path, sizeof(path), "%.*s/%s", (int)span, dirs, name);
		bool absolute = dirs[0] == '/';
		dirs += span;
		dirs += *dirs == ':';
		if (!absolute || n >= (int)sizeof(path) || is_elsewhere(path))
			continue;
		int r = look(rootfs, path, ret_program, ret_resolved);
		if (r == 0)
			return 0;
		if (r != -ENOENT)
			found = r;
	}
	return found;
}

static int
resolve_in(int state_fd, const char *dir, int rootfs, const char *name, char *ret_program,
    char *ret_resolved)
{
	_cleanup_json_ struct json *image = NULL;
	struct error ignored;
	if (image_load(state_fd, dir, &image, &ignored) < 0)
		return -ENOENT;
	const struct json *env = json_get(json_get(image, "content"), "env");
	return search(
	    rootfs, json_get_str(env, "PATH", default_path), name, ret_program, ret_resolved);
}

int
image_resolve(int state_fd, const char *name_of_image, const char *name, const char *cwd,
    char ret_program[RESOLVED_MAX], char ret_resolved[RESOLVED_MAX])
{
	char dir[IMAGE_DIR_SIZE], path[RESOLVED_MAX];
	struct error ignored;
	if (name[0] == 0 || image_find(state_fd, name_of_image, dir, &ignored) < 0)
		return -ENOENT;
	(void)snprintf(path, sizeof(path), "%s/rootfs", dir);
	_cleanup_close_ int rootfs =
	    openat(state_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (rootfs < 0)
		return -ENOENT;
	if (strchr(name, '/') == NULL)
		return resolve_in(state_fd, dir, rootfs, name, ret_program, ret_resolved);
	int r = make_path(name, cwd, path);
	if (r < 0)
		return r;
	if (!is_elsewhere(path))
		return look(rootfs, path, ret_program, ret_resolved);
	(void)snprintf(ret_program, RESOLVED_MAX, "%s", path);
	(void)snprintf(ret_resolved, RESOLVED_MAX, "%s", path);
	return 0;
}
