/* Staging of a commit: the new contents, copied out of the upper layer into STAGING/new, where the
 * journal's renames take them from. What is copied is hashed and must be what was compared. */
#pragma once

#include <sys/stat.h>

#include "sandbox/workspace.h"
#include "sandbox/workspace_journal.h"

/* A name that shares its file with others. The merged tree of several layers has several devices. */
struct link {
	uint64_t inode, device;
	size_t index;
};

/* Where a change is staged: new/SLOT, and below it what the path has beyond the path of change TOP. */
struct spot {
	bool used;
	unsigned slot;
	size_t top;
};

struct stage {
	const struct changes *changes; /* borrowed, as all here but spots and links */
	int upper;
	int new_fd; /* STAGING/new */
	struct error *err;
	struct commit_result result;
	unsigned slots;     /* given out so far */
	struct spot *spots; /* owned; one per change */
	struct link *links; /* owned; sorted by inode, then index */
	size_t n_links;
};

/* S->changes, upper, new_fd and err are set; allocates the rest. 0 or -ENOMEM. */
int stage_init(struct stage *s) MUST_CHECK;
void stage_done(struct stage *s);

/* Stages change I and, of a directory, all that was added below it; counts them in the result. OLD is the
 * lower file that is replaced, whose owner is kept where the caller may, or NULL. RET gets slot and inode. */
int stage_tree(struct stage *s, size_t i, const struct stat *old, struct step *ret) MUST_CHECK;

/* The first change after I that is not below it. */
size_t stage_after_subtree(const struct changes *changes, size_t i);
/* Fills ERR with "cannot DOING PATH: reason of R" and returns R. */
int stage_fail(struct error *err, int r, const char *doing, const char *path);
