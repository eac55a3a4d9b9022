/* The journal of a commit: the renames that turn the old workspace into the new one.
 *
 *     staged ──journal_save──▶ journalled ──journal_apply──▶ applied ──journal_drop──▶ (gone)
 *                                   └──a step fails: undone──▶ journalled ──journal_drop──▶ (gone)
 *
 *   staged      LOWER is untouched; new contents are in STAGING/new. Without a journal: throw away.
 *   journalled  the journal is whole and on disk; each step is done or not, and both can be told from
 *               STAGING/new and STAGING/old alone, so that a step may be repeated and undone.
 *   applied     all steps done; the old contents are in STAGING/new (replaced) and STAGING/old (removed).
 *
 * On disk: canonical JSON, a newline, HMAC-SHA-256 of the JSON in hexadecimal, a newline. The key is
 * outside the workspace: an agent that may write the workspace can plant files but no journal. The
 * staging directory's name and inode are in it, so that an old journal cannot be played again. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/macros.h"

enum step_kind {
	STEP_PLACE,   /* new/SLOT becomes PATH, which did not exist */
	STEP_REPLACE, /* new/SLOT becomes PATH, which existed */
	STEP_REMOVE,  /* PATH goes to old/SLOT */
	STEP_CHMOD,   /* PATH gets MODE; it had OLD_MODE */
	STEP_KINDS
};

struct step {
	enum step_kind kind;
	unsigned slot;
	uint64_t inode; /* of new/SLOT */
	mode_t mode, old_mode;
	char *path; /* owned; below the workspace */
};

struct journal {
	struct step *items; /* owned */
	size_t n;
	size_t room;
};

/* An open staging directory; all three are owned. */
struct staging {
	char name[64];
	int fd;
	int new_fd;
	int old_fd;
};
#define STAGING_INIT                                 \
	{                                            \
		.fd = -1, .new_fd = -1, .old_fd = -1 \
	}

/* Copies STEP's path. 0 or -ENOMEM. */
int journal_add(struct journal *j, const struct step *step) MUST_CHECK;
void journal_done(struct journal *j);

/* Opens the directories of S->name below LOWER; -errno. */
int staging_open(int lower, struct staging *s) MUST_CHECK;
void staging_done(struct staging *s);

/* Writes and syncs the journal of S; when it returns 0 the commit will happen. */
int journal_save(const struct journal *j, const struct staging *s, const void *key, size_t key_len)
    MUST_CHECK;
/* Reads it. -ENOENT if there is none, -EBADMSG if it is not ours. */
int journal_load(const struct staging *s, const void *key, size_t key_len, struct journal *ret)
    MUST_CHECK;
/* Does the steps that are not done yet. When one fails, undoes all and returns its error; *RET_UNDONE
 * says whether that worked: if not, the journal must stay. */
int journal_apply(const struct journal *j, const struct staging *s, int lower, int *ret_undone,
    struct error *err) MUST_CHECK;
/* Removes the journal and syncs that. */
int journal_drop(const struct staging *s) MUST_CHECK;
