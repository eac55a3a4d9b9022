/* The staged workspace after a run: what the agent changed, shown and let out.
 *
 * A staged run writes into the upper layer of an overlay; the user's own directory, the lower one, is
 * untouched. Here the two are compared, and the changes are applied to the lower directory on request.
 *
 * The upper layer is hostile: every name, link, mode and size in it was chosen by the agent. So both
 * trees are walked by descriptor only (openat2 with RESOLVE_BENEATH, no symbolic links, no mounts
 * crossed), everything is bounded, and nothing but regular files, directories and symbolic links that stay
 * inside ever leaves it; set-id bits never do.
 *
 * What an overlay's upper layer looks like (Documentation/filesystems/overlayfs.rst): a deleted entry
 * is a whiteout (character device 0:0, or an empty file with the attribute overlay.whiteout); a
 * directory with overlay.opaque hides the lower one; the attributes are user.* in a user namespace and
 * trusted.* otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/macros.h"
#include "base/sha256.h"

#define WORKSPACE_ENTRIES_MAX 200000            /* looked at, in both trees together */
#define WORKSPACE_LAYERS_MAX 128                /* of a comparison */
#define WORKSPACE_DEPTH_MAX 128                 /* directories */
#define WORKSPACE_PATH_MAX 4096                 /* bytes */
#define WORKSPACE_BYTES_MAX (4LL << 30)         /* contents read; sparse files count in full */
#define WORKSPACE_RESERVED ".ringfence-commit-" /* names that the commit uses */

enum change_kind { CHANGE_ADDED, CHANGE_MODIFIED, CHANGE_DELETED };

enum entry_type {
	ENTRY_NONE,
	ENTRY_FILE,
	ENTRY_DIR,
	ENTRY_SYMLINK,
	ENTRY_FIFO,
	ENTRY_SOCKET,
	ENTRY_DEVICE,
};

enum change_flag {
	CHANGE_CONTENT = 1 << 0, /* contents or link target differ */
	CHANGE_MODE = 1 << 1,    /* permissions differ */
	CHANGE_TYPE = 1 << 2,    /* another type than before */
	CHANGE_SETID = 1 << 3,   /* had set-user-ID, set-group-ID or sticky bits: removed */
	CHANGE_OUTSIDE =
	    1 << 4, /* a symbolic link that is absolute or may lead out: never committed */
	CHANGE_SPECIAL = 1 << 5,  /* fifo, socket or device: never committed */
	CHANGE_PRIVATE = 1 << 6,  /* a reserved name: never committed */
	CHANGE_UNREAD = 1 << 7,   /* too large or not readable: a commit is refused */
	CHANGE_CONFLICT = 1 << 8, /* the user's copy changed after the run began */
};

struct change {
	char *path;   /* owned; relative, any bytes but NUL */
	char *target; /* owned; of a symbolic link, else NULL */
	enum change_kind kind;
	enum entry_type type;     /* now; of a deleted entry, what it was */
	enum entry_type old_type; /* ENTRY_NONE when added */
	mode_t mode;              /* permission bits now, 0777 at most */
	mode_t old_mode;
	int64_t size; /* bytes; 0 for directories */
	int64_t old_size;
	uint32_t flags;
	uint8_t hash[SHA256_BYTES]; /* of a file's contents or a link's target; zero otherwise */
	uint64_t inode, device;     /* of the new file */
	bool linked;                /* it has more than one name */
};

/* The changes, sorted by path so that what is below a directory follows it. */
struct changes {
	struct change *items; /* owned */
	size_t n;
	size_t room;
	size_t counts[3]; /* by enum change_kind */
	size_t files;     /* changes that are no directory */
	int64_t bytes;    /* contents added or modified */
	uint32_t flags;   /* all flags that occur */
	char digest[SHA256_HEX];
};

/* Compares UPPER with LOWER (directory descriptors, borrowed). SINCE_MS is when the run began
 * (milliseconds since the epoch; 0: do not look for conflicts).
 * 0, -E2BIG past a bound, -ENAMETOOLONG, -ENOMEM, or -errno, with ERR. On success changes_done RET. */
int workspace_scan(int upper, int lower, int64_t since_ms, struct changes *ret, struct error *err)
    MUST_CHECK;
/* Compares two whole trees, FROM and TO: states of a session's workspace, or the user's directory and a
 * state. What they differ in can only lie where one of the N_LAYERS directories LAYERS (upper layers of an
 * overlay; those that one state has and the other has not) has an entry: only there is looked. With no layers
 * everywhere. Otherwise as workspace_scan. */
int workspace_compare(int from, int to, const int *layers, size_t n_layers, int64_t since_ms,
    struct changes *ret, struct error *err) MUST_CHECK;
void changes_done(struct changes *changes);

/* {"changes":[…],"added","modified","deleted","files","bytes","flags":[],"digest"}; owned. */
struct json *changes_to_json(const struct changes *changes);
/* The same, with at most PATHS_MAX paths and PATHS_BYTES of them in "paths", the rest counted in
 * "omitted": bounded, so that it fits a message. Owned. */
struct json *changes_summary(const struct changes *changes, size_t paths_max, size_t paths_bytes);
/* One line a change, for a terminal: names are escaped. */
int changes_to_text(const struct changes *changes, struct buf *out) MUST_CHECK;
/* A unified diff of every change, for a terminal when ESCAPE; binary files are named only. */
int changes_diff(const struct changes *changes, int upper, int lower, bool escape, struct buf *out,
    struct error *err) MUST_CHECK;

const char *change_kind_name(enum change_kind kind); /* "added", "modified", "deleted" */
const char *entry_type_name(enum entry_type type);   /* "file", "directory", … */
/* Whether CHANGE is left out of every commit. */
bool change_is_withheld(const struct change *change);

struct commit_options {
	const uint8_t *key; /* authenticates the journal; the agent must not be able to read it */
	size_t key_len;
	const char *digest; /* commit only if the changes have this digest; NULL: any */
	bool force;         /* also over conflicts */
};

struct commit_result {
	size_t applied;  /* changes */
	size_t withheld; /* changes left out: special files, links that lead out, reserved names */
};

/* Applies the changes to LOWER with the caller's own privileges: all of them or none.
 *
 * New contents are staged in a directory LOWER/.ringfence-commit-XXXXXX and synced; then the journal is
 * written and synced; then the steps are renames. Killed before the journal is whole: the old state,
 * and the next commit or workspace_recover removes what is left; killed after: they finish the new one.
 * A step that fails undoes those before it.
 * -EBUSY for conflicts, -ESTALE when the digest is another, -EFBIG for CHANGE_UNREAD, or -errno. */
int workspace_commit(int upper, int lower, const struct changes *changes,
    const struct commit_options *options, struct commit_result *ret, struct error *err) MUST_CHECK;

enum recover_outcome { RECOVER_NOTHING, RECOVER_OLD, RECOVER_NEW };
/* Finishes or removes what an interrupted commit left in LOWER. A journal that KEY does not
 * authenticate is refused with -EBADMSG and left alone: an agent may have planted it. */
int workspace_recover(int lower, const uint8_t *key, size_t key_len, enum recover_outcome *ret,
    struct error *err) MUST_CHECK;
