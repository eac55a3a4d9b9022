/* Lets the changes out of a staged workspace: stage, journal, rename (workspace_journal.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox/workspace.h"
#include "sandbox/workspace_fs.h"
#include "sandbox/workspace_journal.h"
#include "sandbox/workspace_stage.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

struct commit {
	struct stage stage;
	int lower; /* our own open directory, locked */
	struct staging staging;
	struct journal journal;
};

/* ---- the plan ---- */

/* Whether the caller may change the directory that holds PATH: better to know before the journal. */
static int
check_parent(struct commit *c, const char *path)
{
	const char *name;
	_cleanup_close_ int parent = wsfs_open_parent(c->lower, path, &name);
	if (parent == -EXDEV)
		return error_set(c->stage.err, EXDEV, "commit_refused",
		    "%s is on another file system than the workspace", path);
	if (parent < 0)
		return stage_fail(c->stage.err, parent, "open the directory of", path);
	if (syscall(SYS_faccessat2, parent, "", W_OK | X_OK, AT_EACCESS | AT_EMPTY_PATH) < 0 &&
	    errno != ENOSYS)
		return stage_fail(c->stage.err, -errno, "write", path);
	return 0;
}

static int
add_step(struct commit *c, const struct change *change, enum step_kind kind, struct step step)
{
	step.kind = kind;
	step.path = change->path;
	int r = kind == STEP_CHMOD ? 0 : check_parent(c, change->path);
	if (r == 0)
		r = journal_add(&c->journal, &step);
	return r;
}

static int
add_chmod(struct commit *c, const struct change *change, const struct stat *old)
{
	/* A directory keeps its own set-group-ID and sticky bits. */
	mode_t kept = old != NULL && S_ISDIR(old->st_mode) ? old->st_mode & 07000 : 0;
	struct step step = {
	    .mode = change->mode | kept,
	    .old_mode = old != NULL ? old->st_mode & 07777 : change->mode | 0700,
	};
	return add_step(c, change, STEP_CHMOD, step);
}

/* Plans change I and returns in *RET_NEXT which one comes next. */
static int
plan_change(struct commit *c, size_t i, size_t *ret_next)
{
	const struct change *change = &c->stage.changes->items[i];
	struct step step = {0};
	struct stat old;
	*ret_next = i + 1;
	if (change_is_withheld(change)) {
		*ret_next = stage_after_subtree(c->stage.changes, i);
		c->stage.result.withheld += *ret_next - i;
		return 0;
	}
	bool exists = change->kind != CHANGE_ADDED;
	int r = exists ? wsfs_stat(c->lower, change->path, &old) : 0;
	if (r < 0)
		return stage_fail(c->stage.err, r, "find", change->path);
	if (change->kind == CHANGE_DELETED) {
		*ret_next = stage_after_subtree(c->stage.changes, i);
		c->stage.result.applied += *ret_next - i;
		step.slot = c->stage.slots++;
		return add_step(c, change, STEP_REMOVE, step);
	}
	if (exists && !(change->flags & (CHANGE_CONTENT | CHANGE_TYPE))) {
		c->stage.result.applied++;
		return change->type == ENTRY_DIR ? 0 : add_chmod(c, change, &old);
	}
	if (change->type == ENTRY_DIR || (change->flags & CHANGE_TYPE))
		*ret_next = stage_after_subtree(c->stage.changes, i);
	bool same_type = exists && !(change->flags & CHANGE_TYPE);
	r = stage_tree(&c->stage, i, same_type ? &old : NULL, &step);
	return r < 0 ? r : add_step(c, change, exists ? STEP_REPLACE : STEP_PLACE, step);
}

/* Modes of directories come last, when nothing in them has to change any more. */
static int
plan_directory_modes(struct commit *c)
{
	for (size_t i = c->stage.changes->n; i-- > 0;) {
		const struct change *change = &c->stage.changes->items[i];
		struct stat old;
		int r = 0;
		if (change->type != ENTRY_DIR || change->kind == CHANGE_DELETED ||
		    change_is_withheld(change))
			continue;
		if (c->stage.spots[i].used && c->stage.spots[i].top == i &&
		    (change->mode & 0700) != 0700)
			r = add_chmod(c, change, NULL);
		else if (!c->stage.spots[i].used && change->flags & CHANGE_MODE) {
			r = wsfs_stat(c->lower, change->path, &old);
			r = r < 0 ? stage_fail(c->stage.err, r, "find", change->path)
				  : add_chmod(c, change, &old);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int
plan_all(struct commit *c)
{
	c->stage.new_fd = c->staging.new_fd;
	int r = stage_init(&c->stage);
	for (size_t i = 0; r == 0 && i < c->stage.changes->n;)
		r = plan_change(c, i, &i);
	return r == 0 ? plan_directory_modes(c) : r;
}

/* ---- the commit ---- */

static int
check_changes(
    const struct changes *changes, const struct commit_options *options, struct error *err)
{
	if (options->digest != NULL && strcmp(options->digest, changes->digest) != 0)
		return error_set(err, ESTALE, "workspace_changed",
		    "the changes are not those that were approved");
	for (size_t i = 0; i < changes->n; i++) {
		const struct change *change = &changes->items[i];
		char shown[512];
		log_escape(change->path, strlen(change->path), shown, sizeof(shown));
		if (change->flags & CHANGE_UNREAD)
			return error_set(
			    err, EFBIG, "commit_refused", "%s is too large or not readable", shown);
		if (change->flags & CHANGE_CONFLICT && !options->force) {
			int r = error_set(err, EBUSY, "commit_conflict",
			    "%s changed in the workspace after the run began", shown);
			error_remedy(err, "run again: the next run begins with your copy");
			return r;
		}
	}
	return 0;
}

static int
make_staging(int lower, struct staging *s)
{
	uint64_t random;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	(void)snprintf(
	    s->name, sizeof(s->name), WORKSPACE_RESERVED "%016llx", (unsigned long long)random);
	if (mkdirat(lower, s->name, 0700) < 0)
		return -errno;
	int fd = wsfs_open(lower, s->name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	int r = mkdirat(fd, "new", 0700) < 0 || mkdirat(fd, "old", 0700) < 0 ? -errno : 0;
	(void)close(fd);
	return r < 0 ? r : staging_open(lower, s);
}

static int
sync_all(int lower)
{
	return syncfs(lower) < 0 ? -errno : 0;
}

/* With the journal on disk: does it, and removes what is left over. */
static int
finish(const struct journal *j, struct staging *s, int lower, struct error *err)
{
	int undone = 0;
	int r = journal_apply(j, s, lower, &undone, err);
	if (r < 0 && undone < 0) {
		error_remedy(err, "`ringfence workspace recover DIR` tries again");
		return r;
	}
	int synced = sync_all(lower);
	if (synced == 0)
		synced = journal_drop(s);
	if (r == 0 && synced < 0)
		r = error_set_errno(err, -synced, "commit_failed", "cannot sync the workspace");
	if (r == 0 || synced == 0)
		(void)wsfs_remove_tree(lower, s->name);
	return r;
}

static int
stage_and_apply(struct commit *c, const struct commit_options *options)
{
	int r = make_staging(c->lower, &c->staging);
	if (r < 0)
		r = error_set_errno(
		    c->stage.err, -r, "commit_failed", "cannot write to the workspace");
	else
		r = plan_all(c);
	if (r == 0) {
		r = sync_all(c->lower);
		if (r == 0)
			r = journal_save(&c->journal, &c->staging, options->key, options->key_len);
		if (r < 0)
			(void)error_set_errno(
			    c->stage.err, -r, "commit_failed", "cannot write the journal");
	}
	if (r < 0) {
		(void)wsfs_remove_tree(c->lower, c->staging.name);
		return r;
	}
	return finish(&c->journal, &c->staging, c->lower, c->stage.err);
}

/* Opens LOWER anew and locks it: one commit at a time. */
static int
lock_lower(int lower, struct error *err)
{
	int fd = wsfs_open(lower, ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return error_set_errno(err, -fd, "commit_failed", "cannot open the workspace");
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	(void)close(fd);
	return error_set(
	    err, EBUSY, "commit_busy", "another commit to this workspace is under way");
}

static int
recover_one(int lower, const char *name, const uint8_t *key, size_t key_len,
    enum recover_outcome *outcome, struct error *err)
{
	struct staging s = STAGING_INIT;
	struct journal j = {0};
	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	int r = staging_open(lower, &s);
	if (s.fd >= 0 && r != -EACCES)
		r = journal_load(&s, key, key_len, &j);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP) {
		r = wsfs_remove_tree(lower, name);
		*outcome = MAX(*outcome, RECOVER_OLD);
	} else if (r == 0) {
		r = finish(&j, &s, lower, err);
		*outcome = r == 0 ? RECOVER_NEW : *outcome;
	}
	journal_done(&j);
	staging_done(&s);
	if (r == -EBADMSG) {
		(void)error_set(err, EBADMSG, "commit_journal_foreign",
		    "the workspace holds %s, whose journal is damaged or not ours", name);
		error_remedy(err, "look into it and remove it by hand");
	}
	return r;
}

static int
recover_locked(
    int lower, const uint8_t *key, size_t key_len, enum recover_outcome *ret, struct error *err)
{
	struct wsfs_names names;
	*ret = RECOVER_NOTHING;
	int r = wsfs_names(lower, WORKSPACE_ENTRIES_MAX, &names);
	if (r < 0)
		return error_set_errno(err, -r, "commit_failed", "cannot list the workspace");
	for (size_t i = 0; i < names.n && r == 0; i++) {
		const char *name = names.items[i];
		if (strncmp(name, WORKSPACE_RESERVED, strlen(WORKSPACE_RESERVED)) != 0)
			continue;
		if (strlen(name) >= sizeof(((struct staging *)0)->name))
			continue; /* too long to be one of ours */
		r = recover_one(lower, name, key, key_len, ret, err);
	}
	wsfs_names_done(&names);
	return r;
}

int
workspace_recover(
    int lower, const uint8_t *key, size_t key_len, enum recover_outcome *ret, struct error *err)
{
	_cleanup_close_ int fd = lock_lower(lower, err);
	return fd < 0 ? fd : recover_locked(fd, key, key_len, ret, err);
}

int
workspace_commit(int upper, int lower, const struct changes *changes,
    const struct commit_options *options, struct commit_result *ret, struct error *err)
{
	enum recover_outcome before;
	struct commit c = {
	    .stage = {.changes = changes, .upper = upper, .err = err},
	    .lower = -1,
	    .staging = STAGING_INIT,
	};
	int r = check_changes(changes, options, err);
	if (r < 0)
		return r;
	c.lower = lock_lower(lower, err);
	if (c.lower < 0)
		return c.lower;
	r = recover_locked(c.lower, options->key, options->key_len, &before, err);
	if (r == 0 && before == RECOVER_NEW)
		r = error_set(err, ESTALE, "workspace_changed",
		    "an interrupted commit was finished first: compare again");
	if (r == 0 && changes->n > 0)
		r = stage_and_apply(&c, options);
	if (r == 0)
		*ret = c.stage.result;
	journal_done(&c.journal);
	staging_done(&c.staging);
	stage_done(&c.stage);
	(void)close(c.lower);
	return r;
}
