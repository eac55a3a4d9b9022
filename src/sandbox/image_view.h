/* Images as sandboxes see them: what `root: image:NAME` shows, and where a program lies in it.
 *
 * The store is STATE/images (doc/images.md); rf-image fills it. An image is a directory that is never
 * changed once it has its name:
 *
 *     images/sha256-HEX/image.json   what it is; HEX is the hash of its member "content"
 *                       rootfs/      its files, owned by nobody inside, readable by everybody
 *                       lock         held (flock, shared) by who uses it
 *     images/names/NAME              a link to ../sha256-HEX; "/" is written as "!"
 *
 * Lean: the supervisor calls this; it reads what rf-image wrote, never what an archive said. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "sandbox/host.h"

#define IMAGE_NAME_SIZE 256 /* a name with its tag, or an id, with the NUL */
#define IMAGE_DIR_SIZE 96   /* "images/sha256-HEX" */
#define IMAGE_JSON_MAX (1 << 20)
/* Files of the image's /etc that are written for each sandbox lie here; the image has links to them. */
#define IMAGE_OURS "/.ringfence"

/* NAME with its tag (":latest" unless it has one), or the id "sha256:HEX" as it is. 0 or -EINVAL. */
int image_name_settle(const char *name, char ret[IMAGE_NAME_SIZE]) MUST_CHECK;
/* The file name of a settled name, in images/names. */
void image_name_encode(const char *name, char ret[IMAGE_NAME_SIZE]);
/* The directory of the image NAME, relative to STATE_FD. -ENOENT with a remedy when there is none. */
int image_find(int state_fd, const char *name, char ret[IMAGE_DIR_SIZE], struct error *err)
    MUST_CHECK;
/* The image.json below the image's directory DIR; owned by the caller. */
int image_load(int state_fd, const char *dir, struct json **ret, struct error *err) MUST_CHECK;

/* Keeps the image NAME from being removed for as long as the descriptor is open. Whoever starts
 * sandboxes with a view of it holds one. A descriptor, or -errno. */
int image_hold(int state_fd, const char *name, struct error *err) MUST_CHECK;

/* The view of the image NAME ("debian:12", or "sha256:…") for a sandbox whose user is UID:GID inside:
 * binds, links, files, rules, and
 *     "env": {…}         what the image's configuration sets (PATH always); under the request's own
 *     "working_dir"?     where its configuration would start programs
 *     "image": "sha256:…"
 * STATE is the path of STATE_FD. -ENOENT with a remedy when there is none. Holds nothing open. */
int image_view(int state_fd, const char *state, const char *name, uid_t uid, gid_t gid,
    struct json **ret_view, struct error *err) MUST_CHECK;

/* As host_resolve, in the image: PATH is its configuration's, links are followed inside it only. */
int image_resolve(int state_fd, const char *name_of_image, const char *name, const char *cwd,
    char ret_program[RESOLVED_MAX], char ret_resolved[RESOLVED_MAX]) MUST_CHECK;
