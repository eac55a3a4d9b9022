#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/sha256.h"
#include "image/image.h"
#include "image/remove.h"
#include "sandbox/workspace_fs.h"

#define IMAGES_MAX 10000
#define ID_PREFIX "sha256:"
#define ID_PREFIX_LEN 7
#define DIR_PREFIX "sha256-"
#define NEW_PREFIX ".new-"
#define OLD_PREFIX ".old-"
#define PREFIX_LEN 5

static int
fail(struct error *err, int negative, const char *what, const char *name)
{
	return error_set_errno(err, -negative, "image_store", "cannot %s %s", what, name);
}

/* ---- opening ---- */

static int
open_dir(int at, const char *name, mode_t mode)
{
	if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int
make_state(const char *path)
{
	char partial[4096];
	size_t len = strlen(path);
	if (len >= sizeof(partial))
		return -ENAMETOOLONG;
	for (size_t i = 1; i < len; i++) {
		if (path[i] != '/')
			continue;
		memcpy(partial, path, i);
		partial[i] = 0;
		(void)mkdir(partial, 0755);
	}
	return mkdir(path, geteuid() == 0 ? 0755 : 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* As root, sandboxes have other ids and must pass, by names that they are given, but need not list. */
int
image_store_open(const char *path, struct image_store *ret, struct error *err)
{
	bool root = geteuid() == 0;
	struct stat st;
	*ret = (struct image_store){-1, -1, -1, -1};
	int r = make_state(path);
	if (r == 0) {
		ret->state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ret->images =
		    ret->state < 0 ? -errno : open_dir(ret->state, "images", root ? 0711 : 0700);
		ret->names = ret->images < 0 ? ret->images : open_dir(ret->images, "names", 0700);
		ret->lock = ret->names < 0
		    ? ret->names
		    : openat(ret->images, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		r = ret->lock < 0 ? (ret->names < 0 ? ret->names : -errno) : 0;
	}
	if (r == 0 &&
	    (fstat(ret->images, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 0022) != 0))
		r = -EPERM;
	if (r < 0) {
		image_store_done(ret);
		return error_set_errno(
		    err, -r, "state_dir", "the store of images, %s/images", path);
	}
	return 0;
}

void
image_store_done(struct image_store *store)
{
	int *fds[] = {&store->lock, &store->names, &store->images, &store->state};
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (*fds[i] >= 0)
			(void)close(TAKE_FD(*fds[i]));
}

static int
lock_store(struct image_store *store, struct error *err)
{
	while (flock(store->lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return fail(err, -errno, "lock", "the store of images");
	return 0;
}

static void
unlock_store(struct image_store *store)
{
	(void)flock(store->lock, LOCK_UN);
}

/* ---- names ---- */

static int
list_dir(int fd, struct wsfs_names *ret, struct error *err)
{
	int r = wsfs_names(fd, IMAGES_MAX, ret);
	return r < 0 ? fail(err, r, "list", "the store of images") : 0;
}

/* What a link in names/ points to, as "sha256-HEX", or "". */
static void
read_name(struct image_store *store, const char *encoded, char ret[IMAGE_DIR_SIZE])
{
	ssize_t n = readlinkat(store->names, encoded, ret, IMAGE_DIR_SIZE - 1);
	ret[n < 0 ? 0 : n] = 0;
	if (strncmp(ret, "../" DIR_PREFIX, 3 + sizeof(DIR_PREFIX) - 1) == 0)
		memmove(ret, ret + 3, strlen(ret + 3) + 1);
	else
		ret[0] = 0;
}

static void
decode_name(char *name)
{
	for (; *name != 0; name++)
		if (*name == '!')
			*name = '/';
}

static int
set_name(struct image_store *store, const char *name, const char *dir, struct error *err)
{
	char encoded[IMAGE_NAME_SIZE], target[IMAGE_DIR_SIZE + 8];
	image_name_encode(name, encoded);
	(void)snprintf(target, sizeof(target), "../%s", dir);
	(void)unlinkat(store->names, ".new", 0); /* of somebody who died; we have the lock */
	if (symlinkat(target, store->names, ".new") < 0 ||
	    renameat(store->names, ".new", store->names, encoded) < 0 || fsync(store->names) < 0)
		return fail(err, -errno, "name the image", name);
	return 0;
}

/* The names of the image DIR; and how many. */
static struct json *
names_of(struct image_store *store, const struct wsfs_names *all, const char *dir)
{
	struct json *names = json_new_array();
	char target[IMAGE_DIR_SIZE];
	for (size_t i = 0; i < all->n; i++) {
		read_name(store, all->items[i], target);
		if (strcmp(target, dir) != 0)
			continue;
		char name[IMAGE_NAME_SIZE];
		(void)snprintf(name, sizeof(name), "%s", all->items[i]);
		decode_name(name);
		(void)json_push(names, json_new_string(name));
	}
	return names;
}

/* ---- use ---- */

/* The lock below DIR, held alone; -EWOULDBLOCK if somebody holds it, -ENOENT if there is none. */
static int
take_alone(struct image_store *store, const char *dir)
{
	char path[IMAGE_DIR_SIZE + 8];
	(void)snprintf(path, sizeof(path), "%s/lock", dir);
	int fd = openat(store->images, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int r = -errno;
		(void)close(fd);
		return r;
	}
	return fd;
}

/* Removes DIR of images/, which nobody uses. First out of the way, by one rename: who looks for it now
 * finds nothing, and if we die the rest is a leftover. */
static int
destroy(struct image_store *store, const char *dir, struct error *err)
{
	char old[IMAGE_DIR_SIZE + 8];
	(void)snprintf(old, sizeof(old), OLD_PREFIX "%s", dir);
	int r = remove_deep(store->images, old);
	if (r == 0 && renameat(store->images, dir, store->images, old) < 0)
		r = -errno;
	if (r == 0)
		r = remove_deep(store->images, old);
	return r < 0 ? fail(err, r, "remove", dir) : 0;
}

/* 1 removed, 0 in use, -errno. */
static int
destroy_unused(struct image_store *store, const char *dir, struct error *err)
{
	_cleanup_close_ int lock = take_alone(store, dir);
	if (lock == -EWOULDBLOCK)
		return 0;
	if (lock < 0 && lock != -ENOENT)
		return fail(err, lock, "lock", dir);
	int r = destroy(store, dir, err);
	return r < 0 ? r : 1;
}

/* ---- making ---- */

static int
drop_leftovers(struct image_store *store, int64_t *count, struct error *err)
{
	struct wsfs_names names = {0};
	int r = list_dir(store->images, &names, err);
	for (size_t i = 0; i < names.n && r >= 0; i++) {
		const char *name = names.items[i];
		r = 0;
		if (strncmp(name, OLD_PREFIX, PREFIX_LEN) == 0)
			r = remove_deep(store->images, name) < 0 ? 0 : 1;
		else if (strncmp(name, NEW_PREFIX, PREFIX_LEN) == 0)
			r = destroy_unused(store, name, err);
		*count += r > 0;
	}
	wsfs_names_done(&names);
	return r < 0 ? r : 0;
}

static int
make_stage(struct image_store *store, char ret_name[STORE_STAGE_SIZE], int *ret_lock)
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1], path[STORE_STAGE_SIZE + 8];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	hex_encode(random, sizeof(random), hex);
	(void)snprintf(ret_name, STORE_STAGE_SIZE, NEW_PREFIX "%s", hex);
	(void)snprintf(path, sizeof(path), "%s/lock", ret_name);
	if (mkdirat(store->images, ret_name, 0755) < 0)
		return -errno;
	int fd =
	    openat(store->images, path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	*ret_lock = fd;
	return 0;
}

int
image_store_stage(
    struct image_store *store, char ret_name[STORE_STAGE_SIZE], int *ret_lock, struct error *err)
{
	int64_t ignored = 0;
	int r = lock_store(store, err);
	if (r < 0)
		return r;
	r = drop_leftovers(store, &ignored, err);
	if (r == 0) {
		r = make_stage(store, ret_name, ret_lock);
		if (r < 0)
			r = fail(err, r, "make a place for", "the image");
	}
	unlock_store(store);
	return r;
}

void
image_store_abandon(struct image_store *store, const char *stage)
{
	(void)remove_deep(store->images, stage);
}

static int
write_json(struct image_store *store, const char *stage, const struct json *content,
    const struct json *import, struct error *err)
{
	char path[STORE_STAGE_SIZE + 16];
	_cleanup_json_ struct json *image = json_new_object();
	_cleanup_buf_ struct buf text;
	(void)json_set(image, "content", json_copy(content));
	(void)json_set(image, "import", json_copy(import));
	buf_init(&text, IMAGE_JSON_MAX - 1);
	int r = json_write(image, &text);
	if (r < 0)
		return r == -EMSGSIZE ? image_refuse(err, "its configuration is too long")
				      : error_set(err, ENOMEM, "no_memory", "out of memory");
	(void)snprintf(path, sizeof(path), "%s/image.json", stage);
	_cleanup_close_ int fd =
	    openat(store->images, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	r = fd < 0 ? -errno : wsfs_write(fd, text.data, text.len);
	return r < 0 ? fail(err, r, "write", path) : 0;
}

static int
name_by_content(const struct json *content, char ret_hex[SHA256_HEX], struct error *err)
{
	uint8_t hash[SHA256_BYTES];
	_cleanup_buf_ struct buf text;
	buf_init(&text, IMAGE_JSON_MAX);
	int r = json_write(content, &text);
	if (r < 0)
		return error_set_errno(err, -r, "image_failed", "cannot write what the image is");
	sha256(text.data, text.len, hash);
	hex_encode(hash, sizeof(hash), ret_hex);
	return 0;
}

/* STAGE becomes DIR, unless DIR is there: then they are the same. */
static int
move_in(struct image_store *store, const char *stage, const char *dir, int lock, bool *ret_new,
    struct error *err)
{
	struct stat st;
	*ret_new = fstatat(store->images, dir, &st, AT_SYMLINK_NOFOLLOW) < 0;
	if (!*ret_new) {
		image_store_abandon(store, stage);
		return 0;
	}
	if (renameat(store->images, stage, store->images, dir) < 0 || fsync(store->images) < 0)
		return fail(err, -errno, "store", dir);
	(void)flock(lock, LOCK_UN);
	return 0;
}

int
image_store_commit(struct image_store *store, const char *stage, int lock,
    const struct json *content, const struct json *import, const char *name,
    char ret_id[IMAGE_NAME_SIZE], bool *ret_new, struct error *err)
{
	char hex[SHA256_HEX], dir[IMAGE_DIR_SIZE];
	struct stat st;
	int r = name_by_content(content, hex, err);
	if (r == 0)
		r = write_json(store, stage, content, import, err);
	(void)snprintf(dir, sizeof(dir), DIR_PREFIX "%s", hex);
	(void)snprintf(ret_id, IMAGE_NAME_SIZE, ID_PREFIX "%s", hex);
	/* On disk before it has its name: a name promises that it is whole. Before the lock: it takes time. */
	if (r == 0 && fstatat(store->images, dir, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
	    syncfs(store->images) < 0)
		r = fail(err, -errno, "write", "the image");
	if (r == 0)
		r = lock_store(store, err);
	if (r < 0)
		return r;
	r = move_in(store, stage, dir, lock, ret_new, err);
	if (r == 0 && name != NULL)
		r = set_name(store, name, dir, err);
	unlock_store(store);
	return r;
}

/* ---- looking ---- */

static struct json *
describe(struct image_store *store, const struct wsfs_names *names, const char *dir)
{
	char path[IMAGE_DIR_SIZE], id[IMAGE_NAME_SIZE];
	_cleanup_json_ struct json *image = NULL;
	struct error ignored;
	struct json *entry = json_new_object();
	(void)snprintf(path, sizeof(path), "images/%.80s", dir);
	(void)snprintf(id, sizeof(id), ID_PREFIX "%s", dir + sizeof(DIR_PREFIX) - 1);
	_cleanup_close_ int lock = take_alone(store, dir);
	(void)json_set_str(entry, "id", id);
	(void)json_set(entry, "names", names_of(store, names, dir));
	(void)json_set_bool(entry, "in_use", lock == -EWOULDBLOCK);
	if (image_load(store->state, path, &image, &ignored) < 0) {
		(void)json_set_bool(entry, "damaged", true);
		return entry;
	}
	const struct json *content = json_get(image, "content"),
			  *import = json_get(image, "import");
	(void)json_set_int(entry, "entries", json_get_int(content, "entries", 0));
	(void)json_set_int(entry, "bytes", json_get_int(content, "bytes", 0));
	(void)json_set_str(entry, "source", json_get_str(import, "source", ""));
	(void)json_set_int(entry, "imported_ms", json_get_int(import, "at_ms", 0));
	return entry;
}

static bool
is_image(const char *name)
{
	return strncmp(name, DIR_PREFIX, sizeof(DIR_PREFIX) - 1) == 0 &&
	    strlen(name) == sizeof(DIR_PREFIX) - 1 + SHA256_HEX - 1;
}

int
image_store_list(struct image_store *store, struct json **ret, struct error *err)
{
	struct wsfs_names dirs = {0}, names = {0};
	_cleanup_json_ struct json *list = json_new_array();
	int r = lock_store(store, err);
	if (r < 0)
		return r;
	r = list_dir(store->images, &dirs, err);
	if (r == 0)
		r = list_dir(store->names, &names, err);
	for (size_t i = 0; i < dirs.n && r == 0; i++)
		if (is_image(dirs.items[i]) &&
		    json_push(list, describe(store, &names, dirs.items[i])) < 0)
			r = error_set(err, ENOMEM, "no_memory", "out of memory");
	unlock_store(store);
	wsfs_names_done(&dirs);
	wsfs_names_done(&names);
	if (r == 0)
		*ret = TAKE_PTR(list);
	return r;
}

/* The one image whose hash begins with HEX. -ENOENT if there is none, -EINVAL if there are more. */
static int
find_beginning(
    struct image_store *store, const char *hex, char ret_id[IMAGE_NAME_SIZE], struct error *err)
{
	struct wsfs_names dirs = {0};
	int found = 0, r = list_dir(store->images, &dirs, err);
	for (size_t i = 0; i < dirs.n && r == 0; i++) {
		const char *name = dirs.items[i] + sizeof(DIR_PREFIX) - 1;
		if (!is_image(dirs.items[i]) || strncmp(name, hex, strlen(hex)) != 0)
			continue;
		found++;
		(void)snprintf(ret_id, IMAGE_NAME_SIZE, ID_PREFIX "%s", name);
	}
	wsfs_names_done(&dirs);
	if (r == 0 && found > 1)
		r = error_set(err, EINVAL, "bad_image_name",
		    "%.64s is the beginning of several images' ids", hex);
	return r < 0 ? r : found == 1 ? 0 : -ENOENT;
}

int
image_store_id(
    struct image_store *store, const char *name, char ret_id[IMAGE_NAME_SIZE], struct error *err)
{
	char dir[IMAGE_DIR_SIZE];
	bool prefixed = strncmp(name, ID_PREFIX, ID_PREFIX_LEN) == 0;
	const char *hex = prefixed ? name + ID_PREFIX_LEN : name;
	size_t len = strlen(hex);
	int r =
	    prefixed && len < SHA256_HEX - 1 ? -ENOENT : image_find(store->state, name, dir, err);
	if (r == 0) {
		(void)snprintf(ret_id, IMAGE_NAME_SIZE, ID_PREFIX "%s", strrchr(dir, '-') + 1);
		return 0;
	}
	if (len < 6 || len >= SHA256_HEX - 1 || strspn(hex, "0123456789abcdef") != len)
		return prefixed && r == -ENOENT
		    ? error_set(err, ENOENT, "no_image", "there is no image %.100s", name)
		    : r;
	r = find_beginning(store, hex, ret_id, err);
	return r == -ENOENT ? error_set(err, ENOENT, "no_image", "there is no image %.100s", name)
			    : r;
}

/* ---- removing ---- */

static int
drop_names(struct image_store *store, const struct json *names, struct error *err)
{
	char encoded[IMAGE_NAME_SIZE];
	for (size_t i = 0; i < json_len(names); i++) {
		image_name_encode(json_str(json_at(names, i), ""), encoded);
		if (unlinkat(store->names, encoded, 0) < 0 && errno != ENOENT)
			return fail(err, -errno, "remove the name", encoded);
	}
	return 0;
}

/* Names first: if we die in between, the image has none and is collected. */
static int
remove_image(
    struct image_store *store, const char *dir, const struct json *names, struct error *err)
{
	_cleanup_close_ int lock = take_alone(store, dir);
	if (lock == -EWOULDBLOCK) {
		int r = error_set(err, EBUSY, "image_in_use", "sandboxes use this image");
		error_remedy(err, "end them first (ringfence tasks; ringfence stop)");
		return r;
	}
	if (lock < 0 && lock != -ENOENT)
		return fail(err, lock, "lock", dir);
	int r = drop_names(store, names, err);
	return r < 0 ? r : destroy(store, dir, err);
}

static int
remove_locked(struct image_store *store, const char *name, bool *ret_removed, struct error *err)
{
	char id[IMAGE_NAME_SIZE], dir[IMAGE_DIR_SIZE], settled[IMAGE_NAME_SIZE] = "";
	struct wsfs_names all = {0};
	*ret_removed = false;
	int r = image_store_id(store, name, id, err);
	if (r == 0)
		r = list_dir(store->names, &all, err);
	if (r < 0)
		return r;
	(void)snprintf(dir, sizeof(dir), DIR_PREFIX "%.64s", id + ID_PREFIX_LEN);
	_cleanup_json_ struct json *names = names_of(store, &all, dir);
	wsfs_names_done(&all);
	bool by_name = image_name_settle(name, settled) == 0 && strcmp(settled, id) != 0;
	bool has_it = false;
	for (size_t i = 0; i < json_len(names); i++)
		has_it = has_it || strcmp(json_str(json_at(names, i), ""), settled) == 0;
	if (by_name && has_it && json_len(names) > 1) {
		_cleanup_json_ struct json *one = json_new_array();
		return json_push(one, json_new_string(settled)) < 0
		    ? error_set(err, ENOMEM, "no_memory", "out of memory")
		    : drop_names(store, one, err);
	}
	r = remove_image(store, dir, names, err);
	*ret_removed = r == 0;
	return r;
}

int
image_store_remove(
    struct image_store *store, const char *name, bool *ret_removed, struct error *err)
{
	int r = lock_store(store, err);
	if (r < 0)
		return r;
	r = remove_locked(store, name, ret_removed, err);
	unlock_store(store);
	return r;
}

static int
drop_dangling_names(struct image_store *store, const struct wsfs_names *names, struct error *err)
{
	char dir[IMAGE_DIR_SIZE];
	struct stat st;
	for (size_t i = 0; i < names->n; i++) {
		read_name(store, names->items[i], dir);
		if (dir[0] != 0 && fstatat(store->images, dir, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (unlinkat(store->names, names->items[i], 0) < 0)
			return fail(err, -errno, "remove the name", names->items[i]);
	}
	return 0;
}

static int
collect(struct image_store *store, struct image_gc *ret, struct error *err)
{
	struct wsfs_names dirs = {0}, names = {0};
	int r = drop_leftovers(store, &ret->leftovers, err);
	if (r == 0)
		r = list_dir(store->images, &dirs, err);
	if (r == 0)
		r = list_dir(store->names, &names, err);
	if (r == 0)
		r = drop_dangling_names(store, &names, err);
	for (size_t i = 0; i < dirs.n && r >= 0; i++) {
		if (!is_image(dirs.items[i]))
			continue;
		_cleanup_json_ struct json *called = names_of(store, &names, dirs.items[i]);
		if (json_len(called) > 0)
			continue;
		r = destroy_unused(store, dirs.items[i], err);
		ret->images += r > 0;
		ret->in_use += r == 0;
	}
	wsfs_names_done(&dirs);
	wsfs_names_done(&names);
	return r < 0 ? r : 0;
}

int
image_store_gc(struct image_store *store, struct image_gc *ret, struct error *err)
{
	*ret = (struct image_gc){0};
	int r = lock_store(store, err);
	if (r < 0)
		return r;
	r = collect(store, ret, err);
	unlock_store(store);
	return r;
}
