/* list, inspect, remove, gc: they read what rf-image wrote before. Confined to the store all the same:
 * what an image is called and says of itself came from an archive. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "image/seal.h"
#include "image/store.h"
#include "imagetool/profile.h"
#include "imagetool/tool.h"
#include "sandbox/workspace_fs.h"

static int
open_confined(const char *state, struct image_store *ret, struct error *err)
{
	int r = image_store_open(state, ret, err);
	if (r < 0)
		return r;
	r = profile_enter_store(ret->images, -1, err);
	if (r < 0)
		image_store_done(ret);
	return r;
}

/* ---- list ---- */

static void
print_row(const char *name, const struct json *image)
{
	char shown[220];
	log_escape(name, strlen(name), shown, sizeof(shown));
	(void)printf("%-32s %.12s %9lld %9.1f  %s\n", shown, json_get_str(image, "id", "") + 7,
	    (long long)json_get_int(image, "entries", 0),
	    (double)json_get_int(image, "bytes", 0) / (1 << 20),
	    json_get_bool(image, "damaged", false)      ? "damaged"
		: json_get_bool(image, "in_use", false) ? "in use"
							: "");
}

int
show_list(const char *state, bool json)
{
	struct image_store store;
	struct error err = {0};
	_cleanup_json_ struct json *list = NULL;
	int r = open_confined(state, &store, &err);
	if (r == 0) {
		r = image_store_list(&store, &list, &err);
		image_store_done(&store);
	}
	if (r < 0)
		return tell_error(&err, NULL, json);
	if (json)
		return tell_json(list);
	if (json_len(list) > 0)
		(void)printf("%-32s %-12s %9s %9s\n", "NAME", "ID", "FILES", "MiB");
	for (size_t i = 0; i < json_len(list); i++) {
		const struct json *image = json_at(list, i), *names = json_get(image, "names");
		for (size_t k = 0; k < json_len(names); k++)
			print_row(json_str(json_at(names, k), ""), image);
		if (json_len(names) == 0)
			print_row("(no name)", image);
	}
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- inspect ---- */

static void
print_text(const char *label, const char *text)
{
	char shown[1024];
	if (text == NULL || text[0] == 0)
		return;
	log_escape(text, strlen(text), shown, sizeof(shown));
	(void)printf("%-12s %s\n", label, shown);
}

static void
print_words(const char *label, const struct json *list)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 4096);
	for (size_t i = 0; i < json_len(list); i++)
		(void)buf_addf(&text, "%s%s", i > 0 ? " " : "", json_str(json_at(list, i), ""));
	print_text(label, buf_str(&text));
}

static void
print_image(const struct json *image, const char *id)
{
	const struct json *content = json_get(image, "content"),
			  *import = json_get(image, "import");
	const struct json *env = json_get(content, "env");
	char when[32], line[4400];
	clock_format(json_get_int(import, "at_ms", 0), when);
	print_text("id", id);
	print_text("source", json_get_str(import, "source", NULL));
	print_text("imported", when);
	(void)printf("%-12s %lld, %.1f MiB\n", "files",
	    (long long)json_get_int(content, "entries", 0),
	    (double)json_get_int(content, "bytes", 0) / (1 << 20));
	for (size_t i = 0; i < json_len(env); i++) {
		(void)snprintf(line, sizeof(line), "%s=%s", json_name_at(env, i),
		    json_str(json_at(env, i), ""));
		print_text("env", line);
	}
	print_text("working dir", json_get_str(content, "working_dir", NULL));
	print_text("user", json_get_str(content, "user", NULL));
	print_words("entrypoint", json_get(content, "entrypoint"));
	print_words("cmd", json_get(content, "cmd"));
	print_text("tree", json_get_str(content, "tree", NULL));
}

/* Reads all files of the image again: are they, and what is said of them, what the id says? */
static int
verify_image(
    struct image_store *store, const char *dir, const struct json *image, struct error *err)
{
	static const struct image_limits limits = {IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX};
	const struct json *content = json_get(image, "content");
	char path[IMAGE_DIR_SIZE + 8], hex[SHA256_HEX];
	uint8_t hash[SHA256_BYTES];
	struct seal seal;
	_cleanup_buf_ struct buf text;
	buf_init(&text, IMAGE_JSON_MAX);
	(void)snprintf(path, sizeof(path), "%s/" WORK_ROOTFS, dir);
	_cleanup_close_ int rootfs = wsfs_open(store->state, path, O_RDONLY | O_DIRECTORY);
	if (rootfs < 0)
		return error_set_errno(err, -rootfs, "image_broken", "cannot open %s", path);
	int r = seal_tree(rootfs, SEAL_CHECK, &limits, &seal, err);
	if (r == 0)
		r = json_write(content, &text);
	if (r < 0)
		return r;
	sha256(text.data, text.len, hash);
	hex_encode(hash, sizeof(hash), hex);
	if (strcmp(hex, strrchr(dir, '-') + 1) != 0 ||
	    strcmp(seal.hash, json_get_str(content, "tree", "")) != 0)
		return error_set(
		    err, EIO, "image_broken", "the image is not what its id says: it was changed");
	return 0;
}

static int
inspect(struct image_store *store, const char *name, bool verify, char ret_id[IMAGE_NAME_SIZE],
    struct json **ret, struct error *err)
{
	char dir[IMAGE_DIR_SIZE];
	int r = image_store_id(store, name, ret_id, err);
	if (r == 0)
		r = image_find(store->state, ret_id, dir, err);
	if (r == 0)
		r = image_load(store->state, dir, ret, err);
	if (r == 0 && verify)
		r = verify_image(store, dir, *ret, err);
	return r;
}

int
show_inspect(const char *state, const char *name, bool verify, bool json)
{
	struct image_store store;
	struct error err = {0};
	char id[IMAGE_NAME_SIZE];
	_cleanup_json_ struct json *image = NULL;
	int r = open_confined(state, &store, &err);
	if (r == 0) {
		r = inspect(&store, name, verify, id, &image, &err);
		image_store_done(&store);
	}
	if (r < 0)
		return tell_error(&err, name, json);
	(void)json_set_str(image, "id", id);
	if (verify)
		(void)json_set_bool(image, "verified", true);
	if (json)
		return tell_json(image);
	print_image(image, id);
	if (verify)
		(void)printf("%-12s every file is what the id says\n", "verified");
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- remove, gc ---- */

int
show_remove(const char *state, char **names, int n, bool json)
{
	struct image_store store;
	struct error err = {0};
	int status = 0;
	if (open_confined(state, &store, &err) < 0)
		return tell_error(&err, NULL, json);
	for (int i = 0; i < n; i++) {
		bool removed = false;
		if (image_store_remove(&store, names[i], &removed, &err) < 0) {
			status = tell_error(&err, names[i], json);
		} else if (json) {
			_cleanup_json_ struct json *o = json_new_object();
			(void)json_set_str(o, "name", names[i]);
			(void)json_set_bool(o, "removed", removed);
			(void)tell_json(o);
		} else {
			(void)printf(
			    "%s\n", removed ? "removed" : "removed the name; the image has others");
		}
	}
	image_store_done(&store);
	return fflush(stdout) == 0 ? status : 1;
}

int
show_gc(const char *state, bool json)
{
	struct image_store store;
	struct error err = {0};
	struct image_gc gc = {0};
	int r = open_confined(state, &store, &err);
	if (r == 0) {
		r = image_store_gc(&store, &gc, &err);
		image_store_done(&store);
	}
	if (r < 0)
		return tell_error(&err, NULL, json);
	if (json) {
		_cleanup_json_ struct json *o = json_new_object();
		(void)json_set_int(o, "images", gc.images);
		(void)json_set_int(o, "leftovers", gc.leftovers);
		(void)json_set_int(o, "in_use", gc.in_use);
		return tell_json(o);
	}
	(void)printf("removed %lld images without a name and %lld leftovers", (long long)gc.images,
	    (long long)gc.leftovers);
	if (gc.in_use > 0)
		(void)printf("; %lld without a name are still in use", (long long)gc.in_use);
	(void)printf("\n");
	return fflush(stdout) == 0 ? 0 : 1;
}
