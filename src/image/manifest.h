/* The documents in an image archive: `docker save` (manifest.json) and OCI image layout (index.json, a
 * manifest, a configuration). From text to values; no file is opened here. All of it is hostile.
 *
 * Sources: OCI image-spec v1.1 ("Image Manifest", "Image Index", "Image Configuration"); moby's
 * image/spec ("Combined Image JSON + Filesystem Changeset Format"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "base/sha256.h"
#include "image/image.h"

/* A file in the archive. */
struct image_blob {
	char path[IMAGE_PATH_MAX]; /* clean */
	char digest[SHA256_HEX];   /* "" where the archive does not say */
};

struct image_manifest {
	struct image_blob config;
	struct image_blob *layers; /* owned; lowest first */
	size_t n_layers;
	struct json *names; /* owned; what it calls itself, strings */
};

void manifest_done(struct image_manifest *manifest);

/* Whether TEXT is a manifest.json of `docker save`, and not some other file of that name. */
bool manifest_is_docker(const char *text, size_t len);
/* manifest.json. Refused: several images in it. 0, -EBADMSG or -ENOMEM. */
int manifest_parse_docker(
    const char *text, size_t len, struct image_manifest *ret, struct error *err) MUST_CHECK;

/* index.json or a nested index: the manifest, or further index, for this machine. RET_INDEX says which.
 * NAMES (an array) gets what annotations call it. */
int manifest_choose(const char *text, size_t len, const char *architecture, struct json *names,
    struct image_blob *ret, bool *ret_index, struct error *err) MUST_CHECK;
/* An OCI manifest. */
int manifest_parse_oci(const char *text, size_t len, struct image_manifest *ret, struct error *err)
    MUST_CHECK;

/* The configuration: RET gets {"env":{},"working_dir"?,"user"?,"entrypoint"?:[],"cmd"?:[],
 * "architecture"?} of it, checked and bounded (owned); RET_DIFF_IDS the hashes of the uncompressed layers,
 * exactly N_LAYERS (owned array of hexadecimal). */
int manifest_parse_config(const char *text, size_t len, size_t n_layers, const char *architecture,
    struct json **ret, char (**ret_diff_ids)[SHA256_HEX], struct error *err) MUST_CHECK;

/* What containers call this machine's processor: "amd64". */
const char *manifest_architecture(void);
