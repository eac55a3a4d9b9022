/* Image archives: whatever the bytes say, nothing outside the tree is made, what is accepted passes the
 * seal without a complaint, and what is refused says why. The first byte chooses: '0' a manifest.json,
 * '1' an index and an OCI manifest, '2' a configuration, '3' a root file system, '4' two layers (the same
 * bytes twice), '5' an image archive, put together from what the archive holds. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image/assemble.h"
#include "image/manifest.h"
#include "image/prepare.h"
#include "image/remove.h"
#include "image/seal.h"
#include "image/tar.h"
#include "sandbox/workspace_fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct image_limits limits = {.bytes = 1 << 20, .entries = 300};

static void
check(bool condition)
{
	if (!condition)
		abort();
}

static void
try_documents(char kind, const char *text, size_t size)
{
	struct image_manifest manifest = {0};
	struct image_blob blob;
	struct error err = {0};
	struct json *config = NULL, *names = json_new_array();
	char(*ids)[SHA256_HEX] = NULL;
	bool index;
	int r = 0;
	if (kind == '0') {
		r = manifest_parse_docker(text, size, &manifest, &err);
		for (size_t i = 0; r == 0 && i < manifest.n_layers; i++)
			check(manifest.layers[i].path[0] != '/' &&
			    manifest.layers[i].path[0] != 0 &&
			    strstr(manifest.layers[i].path, "/../") == NULL &&
			    strncmp(manifest.layers[i].path, "../", 3) != 0);
	} else if (kind == '1') {
		r = manifest_choose(text, size, "amd64", names, &blob, &index, &err);
		check(r == 0 || err.message[0] != 0);
		r = manifest_parse_oci(text, size, &manifest, &err);
	} else {
		r = manifest_parse_config(text, size, 1, "amd64", &config, &ids, &err);
	}
	check(r == 0 || err.message[0] != 0);
	manifest_done(&manifest);
	json_free(config);
	json_free(names);
	free(ids);
}

static int
open_new(int at, const char *name)
{
	(void)mkdirat(at, name, 0755);
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0);
	return fd;
}

/* The tree at ROOT was accepted: it is plain, and can be made ready. */
static void
check_accepted(int root, const struct tree *tree)
{
	struct seal seal;
	struct error err = {0};
	struct json *content = json_new_object();
	struct image_limits wide = {.bytes = INT64_C(1) << 40, .entries = limits.entries};
	check(tree->entries <= limits.entries && tree->bytes <= limits.bytes);
	check(seal_tree(root, SEAL_CHECK, &wide, &seal, &err) == 0);
	check(prepare_root(root, content, &err) == 0 || err.message[0] != 0);
	check(seal_tree(root, SEAL_MEND, &wide, &seal, &err) == 0);
	json_free(content);
}

static void
try_archive(int base, char kind, int archive)
{
	uint8_t hash[SHA256_BYTES];
	struct error err = {0};
	struct tree tree;
	struct json *result = NULL;
	int root = open_new(base, "root"), second = -1;
	tree_init(&tree, root, &limits);
	tree.layered = kind == '4';
	int r = tar_read(archive, &tree, hash, &err);
	if (r == 0 && kind == '4') {
		tree_next_layer(&tree);
		check(lseek(archive, 0, SEEK_SET) == 0);
		r = tar_read(archive, &tree, hash, &err);
	} else if (r == 0 && kind == '5') {
		second = open_new(base, "second");
		tree_next_layer(&tree);
		tree.root = second;
		r = assemble(root, &tree, &result, &err);
	}
	check(r == 0 || err.message[0] != 0);
	if (r == 0)
		check_accepted(tree.root, &tree);
	tree_done(&tree);
	json_free(result);
	(void)close(root);
	if (second >= 0)
		(void)close(second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char base[64];
	struct stat st;
	if (size < 1 || data[0] < '0' || data[0] > '5')
		return 0;
	if (data[0] < '3') {
		try_documents((char)data[0], (const char *)data + 1, size - 1);
		return 0;
	}
	(void)umask(022);
	(void)snprintf(base, sizeof(base), "%s/fuzz-image-XXXXXX",
	    stat("/dev/shm", &st) == 0 ? "/dev/shm" : "/tmp");
	check(mkdtemp(base) != NULL);
	int at = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int archive = (int)syscall(SYS_memfd_create, "archive", MFD_CLOEXEC);
	check(at >= 0 && archive >= 0 &&
	    write(archive, data + 1, size - 1) == (ssize_t)(size - 1) &&
	    lseek(archive, 0, SEEK_SET) == 0);
	try_archive(at, (char)data[0], archive);
	/* Beside the trees nothing was made. */
	struct wsfs_names names = {0};
	check(wsfs_names(at, 3, &names) == 0 && names.n >= 1 && names.n <= 2);
	wsfs_names_done(&names);
	(void)remove_deep(at, "root");
	(void)remove_deep(at, "second");
	check(rmdir(base) == 0);
	(void)close(at);
	(void)close(archive);
	return 0;
}
