/* The root file system that an import builds, entry by entry, layer over layer.
 *
 * Nothing is ever written through a name that the archive chose: every parent is opened with openat2
 * (no link anywhere in it, nothing above the tree, no other file system), and what is made is new. Sets
 * of ids, set-id bits, device nodes, sockets and extended attributes do not exist here: a file is
 * executable or not, that is all. Entries below /dev, /proc and the like are left out (image/path.h).
 *
 * Layers (OCI image layout, "Image Layer Filesystem Changeset"): `.wh.NAME` removes NAME of the layers
 * below, `.wh..wh..opq` all that they have in its directory, wherever in the layer it stands. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/macros.h"
#include "image/image.h"
#include "image/pathset.h"

/* TREE_NULL_DEVICE is 0:0, with which an overlay says what a whiteout says; a device node otherwise. */
enum tree_type { TREE_DIR, TREE_FILE, TREE_LINK, TREE_HARD_LINK, TREE_NULL_DEVICE, TREE_OTHER };

/* Contents of a file: the next piece, and where in the file it goes (pieces ascend; what is between is
 * zero). 1, 0 at the end, or -errno with ERR. The bytes live until the next call. */
typedef int tree_read_fn(
    void *data, const void **ret_bytes, size_t *ret_len, int64_t *ret_offset, struct error *err);

struct tree_entry {
	const char *path; /* as the archive has it */
	enum tree_type type;
	const char *kind; /* of TREE_OTHER: "a device node", … */
	bool executable;
	int64_t size;
	int64_t mtime_s;
	const char *target; /* of both kinds of link */
	tree_read_fn *read; /* of a file */
	void *data;
};

struct tree {
	int root;     /* borrowed */
	bool layered; /* whiteouts mean something */
	struct image_limits limits;
	int64_t bytes, entries;
	int64_t left_out;
	struct pathset seen; /* what this layer has brought */
};

void tree_init(struct tree *tree, int root, const struct image_limits *limits);
/* What comes now may replace what is there. */
void tree_next_layer(struct tree *tree);
/* 0, -EBADMSG (refused), or -errno; always with ERR. */
int tree_add(struct tree *tree, const struct tree_entry *entry, struct error *err) MUST_CHECK;
void tree_done(struct tree *tree);
