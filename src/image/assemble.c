#include "image/assemble.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "image/manifest.h"
#include "image/tar.h"
#include "sandbox/workspace_fs.h"
#include "sys/opens.h"

#define INDEXES_MAX 4 /* index.json and indexes within */

/* ---- the archive's files ---- */

/* Old `docker save` writes a layer that it has already as a link to it, so links are followed: but only
 * within FILES. Only regular files are opened. */
static int
open_blob(int files, const char *path, struct error *err)
{
	struct stat st;
	int fd = opens_below(files, path, O_RDONLY | O_NONBLOCK, 0,
	    RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
	if (fd == -EXDEV)
		return image_refuse_path(err, path, "a link that leads out of the archive");
	if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR)
		return image_refuse_path(err, path, "named by the manifest, but not there");
	if (fd < 0)
		return image_failed(err, fd, "open", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return image_refuse_path(err, path, "not a file");
	}
	return fd;
}

static int
check_digest(
    const char *path, const uint8_t hash[SHA256_BYTES], const char *wanted, struct error *err)
{
	char hex[SHA256_HEX];
	hex_encode(hash, SHA256_BYTES, hex);
	if (wanted[0] == 0 || strcmp(hex, wanted) == 0)
		return 0;
	return image_refuse_path(err, path, "is not what its digest says");
}

static int
read_document(int files, const struct image_blob *blob, struct buf *ret, struct error *err)
{
	uint8_t hash[SHA256_BYTES];
	_cleanup_close_ int fd = open_blob(files, blob->path, err);
	if (fd < 0)
		return fd;
	buf_clear(ret);
	for (;;) {
		uint8_t *room = buf_reserve(ret, 65536);
		ssize_t n = room == NULL ? 0 : read(fd, room, 65536);
		if (room == NULL)
			return image_refuse_path(err, blob->path, "is too long");
		if (n < 0)
			return image_failed(err, -errno, "read", blob->path);
		if (n == 0)
			break;
		buf_grew(ret, (size_t)n);
	}
	sha256(ret->data, ret->len, hash);
	return check_digest(blob->path, hash, blob->digest, err);
}

static bool
is_file(int files, const char *name)
{
	struct stat st;
	return fstatat(files, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static const struct image_blob docker_manifest = {.path = "manifest.json"};

static bool
has_docker_manifest(int files)
{
	_cleanup_buf_ struct buf text;
	struct error ignored;
	buf_init(&text, IMAGE_DOCUMENT_MAX + 65536);
	return is_file(files, docker_manifest.path) &&
	    read_document(files, &docker_manifest, &text, &ignored) == 0 &&
	    manifest_is_docker(buf_str(&text), text.len);
}

bool
assemble_fits(int files)
{
	return (is_file(files, "oci-layout") && is_file(files, "index.json")) ||
	    has_docker_manifest(files);
}

/* ---- manifests ---- */

static int
find_oci(int files, struct buf *text, struct image_manifest *ret, struct error *err)
{
	struct image_blob blob = {.path = "index.json"};
	_cleanup_json_ struct json *names = json_new_array();
	bool index = true;
	int r = 0;
	for (int i = 0; index && r == 0; i++) {
		if (i == INDEXES_MAX)
			return image_refuse(err, "indexes within indexes without end");
		r = read_document(files, &blob, text, err);
		if (r == 0)
			r = manifest_choose(buf_str(text), text->len, manifest_architecture(),
			    names, &blob, &index, err);
	}
	if (r == 0)
		r = read_document(files, &blob, text, err);
	if (r == 0)
		r = manifest_parse_oci(buf_str(text), text->len, ret, err);
	if (r == 0)
		ret->names = TAKE_PTR(names);
	return r;
}

/* `docker save` of today writes both; its manifest.json is the one that names a single image. */
static int
find_manifest(int files, struct buf *text, struct image_manifest *ret, const char **ret_source,
    struct error *err)
{
	if (!has_docker_manifest(files)) {
		*ret_source = "OCI image layout";
		return find_oci(files, text, ret, err);
	}
	*ret_source = "docker archive";
	int r = read_document(files, &docker_manifest, text, err);
	return r < 0 ? r : manifest_parse_docker(buf_str(text), text->len, ret, err);
}

/* ---- layers ---- */

static int
check_layer_file(int fd, const struct image_blob *blob, int64_t limit, struct error *err)
{
	uint8_t hash[SHA256_BYTES];
	if (blob->digest[0] == 0)
		return 0;
	int r = wsfs_hash(fd, &limit, hash);
	if (r < 0)
		return image_failed(err, r, "read", blob->path);
	r = check_digest(blob->path, hash, blob->digest, err);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = image_failed(err, -errno, "read", blob->path);
	return r;
}

static int
add_layer(int files, const struct image_blob *blob, const char *diff_id, struct tree *tree,
    struct error *err)
{
	uint8_t hash[SHA256_BYTES];
	_cleanup_close_ int fd = open_blob(files, blob->path, err);
	if (fd < 0)
		return fd;
	int r = check_layer_file(fd, blob, tree->limits.bytes, err);
	if (r < 0)
		return r;
	tree_next_layer(tree);
	r = tar_read(fd, tree, hash, err);
	return r < 0 ? r : check_digest(blob->path, hash, diff_id, err);
}

static int
add_layers(int files, const struct image_manifest *manifest, struct tree *tree, struct buf *text,
    struct json **ret_config, struct error *err)
{
	char(*diff_ids)[SHA256_HEX] = NULL;
	int r = read_document(files, &manifest->config, text, err);
	if (r == 0)
		r = manifest_parse_config(buf_str(text), text->len, manifest->n_layers,
		    manifest_architecture(), ret_config, &diff_ids, err);
	tree->layered = true;
	for (size_t i = 0; i < manifest->n_layers && r == 0; i++)
		r = add_layer(files, &manifest->layers[i], diff_ids[i], tree, err);
	free(diff_ids);
	return r;
}

int
assemble(int files, struct tree *tree, struct json **ret, struct error *err)
{
	struct image_manifest manifest = {0};
	_cleanup_json_ struct json *config = NULL, *result = json_new_object();
	_cleanup_buf_ struct buf text;
	const char *source = "";
	buf_init(&text, IMAGE_DOCUMENT_MAX + 65536);
	int r = find_manifest(files, &text, &manifest, &source, err);
	if (r == 0)
		r = add_layers(files, &manifest, tree, &text, &config, err);
	if (r == 0) {
		(void)json_set_str(result, "source", source);
		(void)json_set(result, "names", TAKE_PTR(manifest.names));
		if (json_set(result, "config", TAKE_PTR(config)) < 0 || result == NULL)
			r = error_set(err, ENOMEM, "no_memory", "out of memory");
	}
	manifest_done(&manifest);
	if (r == 0)
		*ret = TAKE_PTR(result);
	return r;
}
